"""The estimator: prediction, covariates through both doors, encodings, batches."""

import numpy as np
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_curve
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

import farkas
from sdl import SDLClassifier, make_sdl_classification


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return scale(X)[::3], y[::3]


@pytest.fixture(scope="module")
def wine():
    X, y = load_wine(return_X_y=True)
    return scale(X), y


def test_decisions_and_probabilities_agree(cancer, wine):
    for (X, y), shape in ((cancer, (190,)), (wine, (178, 3))):
        model = SDLClassifier(3, xi=1.0, alpha=3.0).fit(X, y)
        scores, P = model.decision_function(X), model.predict_proba(X)
        assert scores.shape == shape
        assert P.sum(axis=1) == pytest.approx(np.ones(len(X)))
        assert model.predict_log_proba(X) == pytest.approx(np.log(P))
        assert np.array_equal(model.classes_[P.argmax(axis=1)], model.predict(X))
        if scores.ndim == 1:
            assert P[:, 1] == pytest.approx(1 / (1 + np.exp(-scores)))
        else:
            assert (scores[:, 0] == 0).all()
            e = np.exp(scores)
            assert pytest.approx(e / e.sum(axis=1, keepdims=True)) == P
        direct = X @ model.coef_.T + model.intercept_
        assert direct.ravel() == pytest.approx(
            scores if scores.ndim == 1 else scores[:, 1:].ravel()
        )


def test_coef_is_the_product_of_the_factors(cancer):
    model = SDLClassifier(3).fit(*cancer)
    assert model.coef_ == pytest.approx(model.beta_ @ model.components_)
    assert model.filter_scores(cancer[0]) == pytest.approx(model.codes_)
    assert model.transform(cancer[0]) == pytest.approx(model.codes_)
    assert model.components_.shape == (3, 30)


@pytest.mark.parametrize("model", ["filter", "feature"])
def test_codes_reconstruct(cancer, model):
    X, y = cancer
    fitted = SDLClassifier(5, model=model, xi=10.0).fit(X, y)
    error = np.sum((X - fitted.inverse_transform(fitted.transform(X))) ** 2)
    assert error <= fitted.reconstruction_err_ * np.sum(X**2) * (1 + 1e-9)
    again = clone(fitted).fit_transform(X, y)
    assert again == pytest.approx(fitted.transform(X))
    assert list(fitted.get_feature_names_out()) == [
        f"sdlclassifier{j}" for j in range(5)
    ]


def test_both_doors_lead_to_the_same_model(wine):
    X, y = wine
    columns = [0, 4]
    rest = np.delete(X, columns, axis=1)
    first = SDLClassifier(3, xi=0.1, covariate_columns=columns).fit(X, y)
    second = SDLClassifier(3, xi=0.1).fit(rest, y, covariates=X[:, columns])
    assert first.objective_ == pytest.approx(second.objective_, rel=1e-10)
    assert first.covariate_coef_.shape == (2, 2)
    assert np.array_equal(first.predict(X), second.predict(rest, X[:, columns]))
    assert first.score(X, y) == second.score(rest, y, covariates=X[:, columns])
    assert first.transform(X) == pytest.approx(second.transform(rest))
    farkas.verify(first, X, y).check()
    farkas.verify(second, rest, y, X[:, columns]).check()
    assert not farkas.verify(second, rest, y, X[:, [4, 0]])


@pytest.mark.parametrize(
    "columns",
    [[0, -1], slice(0, None, 12), lambda X: [0, 12], [True] + [False] * 11 + [True]],
)
def test_columns_may_be_named_in_many_ways(wine, columns):
    X, y = wine
    expected = SDLClassifier(2, covariate_columns=[0, 12]).fit(X, y).predict(X)
    model = SDLClassifier(2, covariate_columns=columns).fit(X, y)
    assert np.array_equal(model.predict(X), expected)


def test_names_of_columns(wine):
    pd = pytest.importorskip("pandas")
    X, y = wine
    frame = pd.DataFrame(X, columns=[f"f{j}" for j in range(13)])
    model = SDLClassifier(2, covariate_columns=["f3"]).fit(frame, y)
    assert model._columns.tolist() == [3]


def test_grid_search_with_covariates_through_both_doors(wine):
    X, y = wine
    C, rest = X[:, :2], X[:, 2:]
    grid = {"xi": [0.01, 0.1]}
    one = GridSearchCV(
        SDLClassifier(3, alpha=3.0, covariate_columns=[0, 1]), grid, cv=3,
        error_score="raise",
    ).fit(X, y)  # fmt: skip
    with config_context(enable_metadata_routing=True):
        routed = SDLClassifier(3, alpha=3.0).set_fit_request(covariates=True)
        routed.set_score_request(covariates=True)
        two = GridSearchCV(routed, grid, cv=3, error_score="raise")
        two.fit(rest, y, covariates=C)
    first, second = (s.cv_results_["mean_test_score"] for s in (one, two))
    assert np.isfinite(first).all()
    assert np.array_equal(first, second)


def test_cross_validation_in_a_pipeline(wine):
    X, y = wine
    pipeline = make_pipeline(
        StandardScaler(), SDLClassifier(3, alpha=3.0, covariate_columns=[0])
    )
    assert cross_val_score(pipeline, X, y, cv=3).mean() > 0.9


def test_the_baseline_and_text_labels(wine):
    X, y = wine
    names = np.array(["b", "c", "a"])[y]
    model = SDLClassifier(2, xi=0.1, baseline="c").fit(X, names)
    moved = SDLClassifier(2, xi=0.1).fit(X, np.where(names == "c", "A", names))
    assert model.objective_ == pytest.approx(moved.objective_, rel=1e-6)
    assert (model.decision_function(X)[:, 2] == 0).all()
    assert model.score(X, names) > 0.9
    farkas.verify(model, X, names).check()


@pytest.mark.parametrize("encode", ["reconstruct", "map", "alternate"])
def test_three_ways_to_code_new_data(cancer, encode):
    X, y = cancer
    fitted = SDLClassifier(4, model="feature", encode=encode, xi=0.5, alpha=0.1).fit(
        X[::2], y[::2]
    )
    assert fitted.score(X[1::2], y[1::2]) > 0.84
    P = fitted.predict_proba(X)
    assert P.sum(axis=1) == pytest.approx(np.ones(len(X)))


def test_map_probabilities_are_the_minima_of_each_class(wine):
    from scipy.optimize import minimize

    X, y = wine
    model = SDLClassifier(2, model="feature", encode="map", xi=0.3).fit(X, y)
    W, beta = model.components_.T, model.beta_joint_.T

    def least(x, c):
        def value(h):
            d = h @ beta + model._gamma_joint[0]
            loss = np.log(1 + np.exp(d).sum()) - (d[c - 1] if c else 0.0)
            return 0.3 * np.sum((x - W @ h) ** 2) + loss + 0.5 * np.sum((h @ beta) ** 2)

        return minimize(value, np.zeros(2), tol=1e-12).fun

    exact = np.array([[least(x, c) for c in range(3)] for x in X[:5]])
    weight = np.exp(exact.min(axis=1, keepdims=True) - exact)
    expected = weight / weight.sum(axis=1, keepdims=True)
    assert model.predict_proba(X[:5]) == pytest.approx(expected, abs=1e-5)


def test_refitting_the_head_fits_codes_without_labels(cancer):
    X, y = cancer
    joint = SDLClassifier(4, model="feature", refit_head=False, alpha=0.1, xi=0.5)
    refitted = clone(joint).set_params(refit_head=True).fit(X, y)
    joint.fit(X, y)
    assert np.array_equal(joint.beta_, joint.beta_joint_)
    assert np.array_equal(refitted.beta_joint_, joint.beta_joint_)
    values = []
    for m in (joint, refitted):
        loss = -m.predict_log_proba(X)[np.arange(len(y)), y].sum()
        values.append(loss + 0.05 * np.sum((m.transform(X) @ m.beta_.T) ** 2))
    assert values[1] < values[0]


def test_youden_threshold(cancer):
    X, y = cancer
    model = SDLClassifier(3, threshold="youden", xi=1.0, alpha=10.0).fit(X, y)
    P = model.predict_proba(X)[:, 1]
    fpr, tpr, _ = roc_curve(y, P)
    guess = model.predict(X)
    rate = guess[y == 1].mean() - guess[y == 0].mean()
    assert rate == pytest.approx((tpr - fpr).max())
    with pytest.raises(ValueError, match="two classes"):
        SDLClassifier(3, threshold="youden").fit(*load_iris(return_X_y=True))


def test_class_weights_help_rare_classes():
    data = make_sdl_classification(
        600, 30, 3, positive_rate=0.06, strength=1.5, random_state=2
    )
    plain = SDLClassifier(3).fit(data.X, data.y)
    heavy = SDLClassifier(3, class_weight="balanced").fit(data.X, data.y)
    found = [m.predict(data.X)[data.y == 1].mean() for m in (plain, heavy)]
    assert found[1] > found[0]


def test_zero_weights_drop_rows(cancer):
    X, y = cancer
    weights = np.ones(len(X))
    weights[::4] = 0.0
    for model in ("filter", "feature"):
        some = SDLClassifier(3, model=model).fit(X, y, sample_weight=weights)
        fewer = SDLClassifier(3, model=model).fit(X[weights > 0], y[weights > 0])
        assert some.objective_ == pytest.approx(fewer.objective_, rel=1e-6)
        assert some.codes_.shape == (len(X), 3)
        farkas.verify(some, X, y, weights).check()


def test_varimax_changes_the_presentation_only(cancer):
    X, y = cancer
    plain = SDLClassifier(4, alpha=10.0).fit(X, y)
    turned = SDLClassifier(4, alpha=10.0, rotation="varimax").fit(X, y)
    assert turned.coef_ == pytest.approx(plain.coef_)
    assert turned.objective_ == plain.objective_
    fourth = [np.sum(m.components_**4) for m in (plain, turned)]
    assert fourth[1] > fourth[0]
    error = [
        np.sum((X - m.inverse_transform(m.transform(X))) ** 2) for m in (plain, turned)
    ]
    assert error[0] == pytest.approx(error[1])


def test_solvers_agree(cancer):
    X, y = cancer
    values = [
        SDLClassifier(3, alpha=10.0, solver=solver, tol=1e-8).fit(X, y).objective_
        for solver in ("lpgd", "lbfgs")
    ]
    assert values[0] == pytest.approx(values[1], rel=2e-8)
    with pytest.raises(ValueError, match="solver='lbfgs'"):
        SDLClassifier(2, solver="lbfgs", nonnegative="W").fit(X, y)
    with pytest.raises(ValueError, match="solver='bcd'"):
        SDLClassifier(2, solver="lpgd", nonnegative="W").fit(X, y)


def test_constraints_choose_the_block_solver():
    X, y = load_digits(return_X_y=True)
    X, y = X[:200] / 16, y[:200] % 2
    model = SDLClassifier(4, nonnegative=True, tol=1e-4).fit(X, y)
    assert model.components_.min() >= 0
    assert model.transform(X).min() >= 0
    assert model.certificate_.kind == "kkt_residual"
    with pytest.raises(ValueError, match="Negative values"):
        SDLClassifier(4, nonnegative=True).fit(-X, y)
    noisy = SDLClassifier(4, xi="mle", tol=1e-4).fit(X, y)
    assert noisy.xi_ != 1.0


def test_missing_entries():
    X, y = load_iris(return_X_y=True)
    X = scale(X)
    X[::7, 1] = np.nan
    model = SDLClassifier(2, model="feature", missing="impute", tol=1e-4).fit(X, y)
    assert model.score(X, y) > 0.8
    assert np.isfinite(model.transform(X)).all()
    farkas.verify(model, X, y).check()
    with pytest.raises(ValueError, match="NaN"):
        SDLClassifier(2, model="feature").fit(X, y)


def test_sparse_data(cancer):
    X, y = np.where(cancer[0] > 0.5, cancer[0], 0.0), cancer[1]
    thin = sparse.csr_matrix(X)
    dense = SDLClassifier(3, covariate_columns=[0]).fit(X, y)
    model = SDLClassifier(3, covariate_columns=[0]).fit(thin, y)
    assert model.objective_ == pytest.approx(dense.objective_, rel=1e-6)
    assert np.array_equal(model.predict(thin), dense.predict(X))
    assert model.transform(thin) == pytest.approx(model.transform(X))
    farkas.verify(model, thin, y).check()


def test_batches_learn(cancer):
    X, y = cancer
    for changes in ({}, {"model": "feature", "alpha": 0.1}, {"nonnegative": "W"}):
        model = SDLClassifier(4, xi=0.5, random_state=0, **changes)
        for _ in range(3):
            for first in range(0, len(X), 60):
                rows = slice(first, first + 60)
                model.partial_fit(X[rows], y[rows], classes=[0, 1])
        assert model.score(X, y) > 0.9
        best = np.sum(np.linalg.svd(X, compute_uv=False)[4:] ** 2)
        error = np.sum((X - model.inverse_transform(model.transform(X))) ** 2)
        assert error <= 1.7 * best
        assert model.n_iter_ == 12
        assert model.certificate_.guarantee is farkas.Guarantee.LOCAL
        farkas.verify(model, X[rows], y[rows]).check()


def test_a_batch_may_lack_a_class(wine):
    X, y = wine
    model = SDLClassifier(3, class_weight={1: 2.0}, baseline=1)
    model.partial_fit(X[::2], y[::2], classes=[0, 1, 2])
    model.partial_fit(X[y < 2][:20], y[y < 2][:20])
    assert model.score(X, y) > 0.8
    codes = np.eye(3)[np.array([1, 0, 2])[y[y < 2][:20]]][:, 1:]
    farkas.verify(model, X[y < 2][:20], codes).check()
    with pytest.raises(ValueError, match="which classes does not"):
        model.partial_fit(X, y + 1)
    with pytest.raises(ValueError, match="classes must list"):
        SDLClassifier().partial_fit(X, y)
    with pytest.raises(ValueError, match="whole data"):
        SDLClassifier(class_weight="balanced").partial_fit(X, y, classes=[0, 1, 2])


def test_batches_after_a_fit_and_sparse_batches(wine):
    X, y = wine
    model = SDLClassifier(3).fit(X, y)
    before = model.score(X, y)
    model.partial_fit(sparse.csr_matrix(X[:50]), y[:50])
    assert model.score(X, y) >= before - 0.1


def test_a_warm_start_takes_fewer_iterations(wine):
    X, y = wine
    model = SDLClassifier(2, xi=0.1, warm_start=True, tol=1e-8).fit(X, y)
    first, value = model.n_iter_, model.objective_
    model.fit(X, y)
    assert model.n_iter_ < first
    assert model.objective_ == pytest.approx(value, rel=1e-8)
    model.set_params(n_components=3).fit(X, y)  # does not fit: a cold start
    assert model.components_.shape == (3, 13)


def test_interrupts_lose_nothing(wine):
    class Interrupt:
        def setup(self, estimator, context): ...
        def teardown(self, estimator, context): ...
        def on_fit_task_begin(self, estimator, context): ...
        def on_fit_task_end(self, estimator, context, **_):
            if context.task_name == "iteration":
                raise KeyboardInterrupt

    X, y = wine
    model = SDLClassifier(2, xi=0.1, tol=1e-12).set_callbacks(Interrupt())
    with pytest.raises(KeyboardInterrupt), pytest.warns(ConvergenceWarning):
        model.fit(X, y)
    assert "Interrupted" in model.message_
    farkas.verify(model, X, y).check()


def test_full_rank_is_logistic_regression(cancer):
    X, y = cancer
    model = SDLClassifier(30, alpha=2.0, tol=1e-10).fit(X, y)
    peer = LogisticRegression(C=0.5, tol=1e-9, max_iter=1000).fit(X, y)
    assert model.coef_ == pytest.approx(peer.coef_, abs=1e-4)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_components": 0}, "n_components=0"),
        ({"xi": 0}, "xi=0"),
        ({"alpha": -1}, "alpha=-1"),
        ({"model": "other"}, "model='other'"),
        ({"solver": "sgd"}, "solver='sgd'"),
        ({"solver": "lpgd", "xi": "mle"}, "xi='mle' needs solver='bcd'"),
        ({"solver": "lbfgs", "xi": "mle"}, "xi='mle' needs solver='bcd'"),
        ({"encode": "guess"}, "encode='guess'"),
        ({"certificate": "maybe"}, "certificate='maybe'"),
        ({"svd": "fast"}, "svd='fast'"),
        ({"threshold": 0.5}, "threshold=0.5"),
        ({"rotation": "promax"}, "rotation='promax'"),
        ({"device": "tpu"}, "device='tpu'"),
        ({"baseline": 9}, "baseline=9"),
        ({"covariate_columns": [0, 0]}, "twice"),
        ({"covariate_columns": [99]}, "position 99"),
        ({"covariate_columns": "age"}, "no column names"),
        ({"covariate_columns": [1.5]}, "neither"),
        ({"covariate_columns": list(range(13))}, "leaves no column"),
        ({"covariate_columns": [True]}, "mask"),
        ({"class_weight": {9: 1.0}}, "class_weight names"),
    ],
    ids=str,
)
def test_bad_parameters_are_named(wine, parameters, message):
    with pytest.raises(ValueError, match=message):
        SDLClassifier(**parameters).fit(*wine)


def test_misused_covariates_are_explained(wine):
    X, y = wine
    with pytest.raises(ValueError, match="one door"):
        SDLClassifier(covariate_columns=[0]).fit(X, y, covariates=X[:, :1])
    with pytest.raises(ValueError, match="one row for each"):
        SDLClassifier().fit(X, y, covariates=X[:5, :1])
    with pytest.raises(ValueError, match="NaN"):
        SDLClassifier().fit(X, y, covariates=np.full(len(X), np.nan))
    with pytest.warns(UserWarning, match="constant"):
        SDLClassifier(2).fit(X, y, covariates=np.ones(len(X)))
    with pytest.warns(UserWarning, match="constant"):
        SDLClassifier(2, covariate_columns=[0]).fit(np.c_[np.ones(len(X)), X], y)
    model = SDLClassifier(2).fit(X[:, 1:], y, covariates=X[:, 0])
    with pytest.raises(ValueError, match="fitted with 1 covariates"):
        model.predict(X[:, 1:])
    with pytest.raises(ValueError, match="has 2 columns"):
        model.predict(X[:, 1:], X[:, :2])
    plain = SDLClassifier(2).fit(X, y)
    with pytest.raises(ValueError, match="fitted without"):
        plain.predict(X, X[:, 0])
    column = SDLClassifier(2, covariate_columns=[0]).fit(X, y)
    with pytest.raises(ValueError, match="one door"):
        column.predict(X, X[:, 0])
    with pytest.raises(ValueError, match="codes have 2 columns"):
        plain.inverse_transform(np.ones((3, 5)))
