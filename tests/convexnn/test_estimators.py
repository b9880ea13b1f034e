"""Behaviour of the two estimators beyond what every estimator must do."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

import farkas
from convexnn import ConvexMLPClassifier, ConvexMLPRegressor, sample_patterns
from convexnn.admm import Iteration
from farkas.status import Status

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 3))
LABELS = np.where(X[:, 0] * X[:, 1] > 0, "same", "other")
TARGETS = np.abs(X[:, 0]) - X[:, 1]


def classifier(**parameters):
    return ConvexMLPClassifier(**{"n_patterns": 15, "random_state": 0} | parameters)


def regressor(**parameters):
    return ConvexMLPRegressor(**{"n_patterns": 15, "random_state": 0} | parameters)


BAD = [
    ({"alpha": -1.0}, ValueError, "alpha=-1.0"),
    ({"alpha": 0}, ValueError, "alpha=0 "),
    ({"n_patterns": 0}, ValueError, "n_patterns"),
    ({"n_patterns": 2.5}, TypeError, "n_patterns"),
    ({"refine": -1}, ValueError, "refine"),
    ({"init": "random"}, ValueError, "init"),
    ({"patterns": np.full((40, 2), 2)}, ValueError, "patterns must hold 0 and 1"),
    ({"patterns": np.ones((3, 2))}, ValueError, "patterns must have shape"),
    ({"patterns": "magic"}, ValueError, "patterns='magic'"),
    ({"patterns": "all"}, ValueError, "use sample_patterns"),
    ({"loss": "absolute"}, ValueError, "loss='absolute'"),
    ({"loss": "huber"}, ValueError, "loss='huber'"),
    ({"solver": "sgd"}, ValueError, "solver='sgd'"),
    ({"activation": "tanh"}, ValueError, "activation='tanh'"),
    ({"certificate": "yes"}, ValueError, "certificate='yes'"),
    (
        {"certificate": "global", "activation": "gated"},
        ValueError,
        "certificate='global' needs",
    ),
    ({"eps": -0.1}, ValueError, "eps"),
    ({"eps": [0.1, 0.2]}, ValueError, "eps must be a number or have shape"),
    ({"eps": 0.1, "activation": "gated"}, ValueError, "does not go with eps > 0"),
    ({"eps": 0.1, "certificate": "global"}, ValueError, "does not go with eps > 0"),
    ({"device": "tpu"}, ValueError, "device"),
    ({"tol": -1.0}, ValueError, "tol=-1.0"),
    ({"max_iter": 0}, ValueError, "max_iter=0"),
    ({"max_time": -1}, ValueError, "max_time=-1"),
    ({"rho": -1.0}, ValueError, "rho=-1.0"),
    ({"intercept_scaling": 0}, ValueError, "intercept_scaling"),
    ({"intercept_scaling": np.nan}, ValueError, "intercept_scaling"),
    ({"verbose": 7}, ValueError, "verbose=7"),
    (
        {"activation": "gated", "patterns": np.ones((40, 2))},
        ValueError,
        "patterns without gates",
    ),
]


@pytest.mark.parametrize(("parameters", "error", "message"), BAD)
def test_bad_parameters_are_named(parameters, error, message):
    data = np.column_stack([X, RNG.standard_normal((40, 9))])
    with pytest.raises(error, match=message):
        classifier(**parameters).fit(data, LABELS)


def test_bad_data_are_refused():
    with pytest.raises(ValueError, match="class"):
        classifier().fit(X, np.ones(40))
    with pytest.raises(ValueError, match="Unknown label type"):
        classifier().fit(X, TARGETS)
    with pytest.raises(ValueError, match="NaN"):
        classifier().fit(np.where(X > 2, np.nan, X), LABELS)
    with pytest.raises(ValueError, match="infinity"):
        regressor().fit(X, np.where(TARGETS > 1, np.inf, TARGETS))
    with pytest.raises(TypeError, match="[Ss]parse"):
        classifier().fit(csr_array(X), LABELS)
    with pytest.raises(ValueError, match="features"):
        classifier().fit(X, LABELS).predict(X[:, :2])


def test_network_has_the_layout_of_scikit_learn():
    model = classifier(alpha=0.3).fit(X, LABELS)
    hidden, output = model.coefs_
    assert hidden.shape == (3, model.n_hidden_)
    assert output.shape == (model.n_hidden_, 1)
    forward = np.maximum(X @ hidden + model.intercepts_[0], 0) @ output
    forward = forward + model.intercepts_[1]
    assert model.decision_function(X) == pytest.approx(forward.ravel())
    network = np.vstack([hidden, model.intercepts_[0]])
    penalty = 0.15 * (np.sum(network**2) + np.sum(output**2))
    y = np.where(LABELS == "same", 1.0, -1.0)
    loss = 0.5 * np.sum((forward.ravel() - y) ** 2)
    assert model.objective_ == pytest.approx(loss + penalty, rel=1e-6)
    assert model.lower_bound_ <= model.objective_
    assert model.gap_ == pytest.approx(model.certificate_.gap)


def test_three_classes_share_one_certificate():
    data, labels = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[labels]
    data = (data - data.mean(axis=0)) / data.std(axis=0)
    model = classifier(alpha=1.0).fit(data, names)
    assert model.score(data, names) > 0.95
    assert model.decision_function(data).shape == (150, 3)
    farkas.verify(model, data, names.tolist()).check()
    assert not farkas.verify(model, data, np.roll(names, 1))
    two = classifier(alpha=1.0, n_jobs=2).fit(data, names)
    assert two.certificate_.to_json() == model.certificate_.to_json()


def test_object_labels_verify():
    labels = np.array(["10" if label == "same" else "9" for label in LABELS], object)
    model = classifier(alpha=1.0).fit(X, labels)
    farkas.verify(model, X, labels).check()
    assert set(model.predict(X)) <= {"10", "9"}


def test_probabilities_belong_to_the_logistic_loss():
    assert not hasattr(classifier(), "predict_proba")
    model = classifier(loss="logistic", alpha=0.3).fit(X, LABELS)
    probability = model.predict_proba(X)
    assert probability.sum(axis=1) == pytest.approx(1)
    assert np.array_equal(model.classes_[probability.argmax(axis=1)], model.predict(X))
    data, labels = load_iris(return_X_y=True)
    many = classifier(loss="logistic", alpha=1.0).fit(data - 4, labels)
    assert many.predict_proba(data - 4).sum(axis=1) == pytest.approx(1)


def test_all_patterns_give_a_global_certificate():
    model = classifier(patterns="all", certificate="global", alpha=0.1)
    model.fit(X[:10, :2], LABELS[:10])
    assert "any width" in model.certificate_.assumptions[0]
    assert model.patterns_.complete
    farkas.verify(model, X[:10, :2], LABELS[:10]).check()


def test_certificate_can_be_left_out():
    model = classifier(certificate=None).fit(X, LABELS)
    assert model.certificate_ is None
    assert model.gap_ <= 1e-4 * model.objective_ * (1 + 1e-9)
    with pytest.raises(TypeError, match="holds no certificate"):
        farkas.verify(model, X, LABELS)


def test_cvxpy_as_second_opinion():
    ours = regressor(alpha=0.5, refine=0, tol=1e-7).fit(X, TARGETS)
    other = regressor(alpha=0.5, refine=0, solver="cvxpy").fit(X, TARGETS)
    assert ours.certificate_.upper == pytest.approx(other.certificate_.upper, rel=1e-6)
    assert ours.predict(X) == pytest.approx(other.predict(X), abs=1e-3)
    farkas.verify(other, X, TARGETS).check()


def test_several_outputs():
    Y = np.column_stack([TARGETS, 2 * TARGETS, X[:, 2]])
    model = regressor(alpha=0.5, refine=0).fit(X, Y)
    assert model.predict(X).shape == (40, 3)
    single = regressor(alpha=0.5, refine=0).fit(X, X[:, 2])
    assert model.predict(X)[:, 2] == pytest.approx(single.predict(X))
    farkas.verify(model, X, Y).check()


def test_patterns_may_be_given():
    data = np.column_stack([X, np.ones(40)])
    patterns = sample_patterns(data, 15, random_state=0)
    expected = regressor(alpha=0.5, refine=0).fit(X, TARGETS).predict(X)
    for given in (patterns, patterns.D, patterns.D.astype(int)):
        model = regressor(alpha=0.5, patterns=given).fit(X, TARGETS)
        assert model.predict(X) == pytest.approx(expected)


def test_each_output_is_refined_on_patterns_of_its_own():
    Y = np.column_stack([TARGETS, 2 * TARGETS, X[:, 2]])
    model = regressor(alpha=0.5, tol=1e-6).fit(X, Y)
    sampled = regressor(alpha=0.5, tol=1e-6, refine=0, n_patterns=200).fit(X, Y)
    assert model.objective_ < sampled.objective_
    assert len(model.patterns_) < 200
    assert model.search_ratio_ < 1.01
    assert not hasattr(sampled, "search_ratio_")
    members = model.certificate_.witness["members"]
    assert members.any(axis=0).all()
    assert not members.all()
    assert "each output" in model.certificate_.assumptions[0]
    farkas.verify(model, X, Y).check()
    twin = regressor(alpha=0.5, tol=1e-6, n_jobs=2).fit(X, Y)
    assert np.array_equal(twin.predict(X), model.predict(X))


@pytest.mark.parametrize("Y", [TARGETS, np.column_stack([TARGETS, X[:, 2]])])
def test_a_refined_fit_starts_from_the_last(Y):
    model = regressor(alpha=0.5, warm_start=True).fit(X, Y)
    objective = model.objective_
    model.fit(X, Y)
    assert model.objective_ <= objective * (1 + 1e-4)
    farkas.verify(model, X, Y).check()
    model.set_params(refine=0).fit(X, Y)  # all outputs on the patterns of all
    assert model.objective_ <= objective * (1 + 1e-4)


@pytest.mark.parametrize("init", ["network", "gaussian"])
def test_limits_hold_for_all_rounds_together(init):
    model = regressor(alpha=0.01, init=init, tol=1e-9, max_iter=60)
    with pytest.warns(ConvergenceWarning):
        model.fit(X, TARGETS)
    assert model.n_iter_ == 60
    assert model.history_["iteration"][-1] == 60
    model.set_params(max_iter=10**6, max_time=0.05)
    with pytest.warns(ConvergenceWarning, match="time"):
        model.fit(X, TARGETS)
    farkas.verify(model, X, TARGETS).check()


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge"])
def test_training_against_perturbations(loss):
    data = X[:, :2]
    labels = np.where(data[:, 0] + 0.3 * data[:, 1] > 0, "right", "left")
    kept = np.abs(data[:, 0] + 0.3 * data[:, 1]) > 0.4
    data, labels = data[kept], labels[kept]
    model = classifier(alpha=0.01, eps=0.2, loss=loss).fit(data, labels)
    farkas.verify(model, data, labels).check()
    assert model.certificate_.problem == "convexnn.robust/1"
    assert model.certificate_.satisfied
    scores = [
        model.certified_score(data, labels),
        model.robust_score(data, labels),
        model.robust_score(data, labels, attack="fgsm"),
        model.score(data, labels),
    ]
    assert scores == sorted(scores)
    assert scores[0] >= 0.9
    assert model.robust_score(data, labels, eps=0.0) == scores[-1]
    clean = classifier(alpha=0.01, loss=loss).fit(data, labels)
    assert model.objective_ > clean.objective_
    farther = [model.certified_score(data, labels, eps=e) for e in (0.2, 0.4, 3.0)]
    assert farther == sorted(farther, reverse=True)


def test_robust_outputs_of_three_classes():
    iris = load_iris()
    model = classifier(alpha=1.0, eps=[0.1, 0.0, 0.1, 0.0]).fit(iris.data, iris.target)
    farkas.verify(model, iris.data, iris.target).check()
    assert model.score(iris.data, iris.target) > 0.9
    regression = regressor(eps=0.1).fit(X, np.column_stack([TARGETS, X[:, 0]]))
    assert regression.predict(X).shape == (40, 2)


def test_units_vanish_where_no_pattern_survives():
    with pytest.warns(UserWarning, match="eps"):
        model = regressor(eps=50.0, fit_intercept=False).fit(X, TARGETS)
    assert model.n_hidden_ == 0
    assert not model.predict(X).any()


def test_a_global_certificate_without_enumeration():
    data, targets = X[:16], TARGETS[:16]
    model = regressor(alpha=1.0, certificate="global", max_time=20.0, tol=1e-3)
    model.fit(data, targets)
    certificate = model.certificate_
    assert certificate.guarantee.name == "GLOBAL"
    assert certificate.upper == pytest.approx(model.objective_)
    assert certificate.gap <= 1e-2 * certificate.upper
    farkas.verify(model, data, targets).check()
    later = regressor(alpha=1.0).fit(data, targets).certify(data, targets)
    farkas.verify(later, data, targets).check()
    assert later.upper >= certificate.lower


@pytest.mark.parametrize("labels", [LABELS, load_iris().target[::4][:40]])
def test_as_an_mlp_of_scikit_learn(labels):
    data = X[: len(labels)]
    model = classifier(alpha=0.1).fit(data, labels)
    assert np.array_equal(model.to_mlp().predict(data), model.predict(data))
    gated = classifier(activation="gated").fit(data, labels)
    for name in ("to_mlp", "certify", "robust_score", "certified_score"):
        assert hasattr(model, name)
        assert not hasattr(gated, name)


def test_randomised_block_descent_reaches_the_same_objective():
    one = regressor(alpha=0.5, refine=0).fit(X, TARGETS)
    other = regressor(alpha=0.5, refine=0, solver="rbcd", max_iter=20_000)
    other.fit(X, TARGETS)
    assert other.objective_ == pytest.approx(one.objective_, rel=5e-4)


def test_no_intercept():
    model = regressor(fit_intercept=False, alpha=0.5).fit(X, TARGETS)
    assert not model.intercepts_[0].any()
    assert model.predict(np.zeros((1, 3))) == pytest.approx([0.0])
    scaled = regressor(intercept_scaling=10.0, alpha=0.5).fit(X, TARGETS)
    farkas.verify(scaled, X, TARGETS).check()


def test_warm_start_keeps_the_gates():
    model = regressor(warm_start=True, refine=0, random_state=None, alpha=0.5)
    gates = model.fit(X, TARGETS).patterns_.gates
    model.set_params(alpha=0.4).fit(X, TARGETS)
    assert np.array_equal(model.patterns_.gates, gates)
    farkas.verify(model, X, TARGETS).check()
    model.fit(X[:, :2], TARGETS)  # other columns: a fresh start
    assert model.patterns_.gates.shape[0] == 3
    given = classifier(warm_start=True, patterns=np.ones((40, 1))).fit(X, LABELS)
    assert given.fit(X, LABELS).n_hidden_ <= 2  # one of each sign


class Interrupt:
    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if context.parent is not None:
            raise KeyboardInterrupt


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_interrupt_keeps_a_fitted_certified_model():
    for model, y in ((classifier(tol=1e-9), LABELS), (regressor(tol=1e-9), TARGETS)):
        with pytest.raises(KeyboardInterrupt):
            model.set_callbacks(Interrupt()).fit(X, y)
        assert model.status_ is Status.CALLBACK
        assert "Interrupted" in model.message_
        assert model.predict(X).shape == (40,)
        farkas.verify(model, X, y).check()


def test_output_is_silent_unless_asked(capsys):
    classifier().fit(X, LABELS)
    assert capsys.readouterr().out == ""
    classifier(verbose=2).fit(X, LABELS)
    assert "ConvexMLPClassifier" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (TARGETS, np.column_stack([TARGETS, -TARGETS])),
        (np.column_stack([TARGETS, -TARGETS]), TARGETS),
    ],
)
def test_warm_start_with_another_number_of_outputs_starts_afresh(before, after):
    model = regressor(warm_start=True, alpha=0.5).fit(X, before).fit(X, after)
    fresh = regressor(alpha=0.5).fit(X, after)
    assert model.predict(X) == pytest.approx(fresh.predict(X))
    farkas.verify(model, X, after).check()


@pytest.mark.parametrize("activations", [("relu", "gated"), ("gated", "relu")])
def test_warm_start_with_the_other_activation_starts_afresh(activations):
    model = regressor(warm_start=True, alpha=0.5)
    for activation in activations:
        model.set_params(activation=activation).fit(X, TARGETS)
    fresh = regressor(activation=activations[1], alpha=0.5).fit(X, TARGETS)
    assert model.predict(X) == pytest.approx(fresh.predict(X))
    assert hasattr(model, "weights_") is (activations[1] == "gated")


def test_warm_start_does_not_weaken_a_global_certificate():
    model = regressor(patterns="all", certificate="global", warm_start=True)
    for n in (8, 9):
        model.fit(X[:n, :2], TARGETS[:n])
        assert "any width" in model.certificate_.assumptions[0]


@pytest.mark.parametrize("activation", ["relu", "gated"])
def test_objective_is_that_of_the_predictions_even_on_a_grid(activation):
    # Sampled hyperplanes of method "data" pass through points of a grid.
    rng = np.random.default_rng(0)
    grid, y = rng.integers(0, 4, (30, 2)) / 10, rng.standard_normal(30)
    model = regressor(alpha=0.01, activation=activation, patterns="data", tol=1e-8)
    model.fit(grid, y)
    loss = 0.5 * np.sum((model.predict(grid) - y) ** 2)
    if activation == "gated":
        penalty = 0.01 * np.linalg.norm(model.weights_[0], axis=0).sum()
    else:
        hidden = np.vstack([model.coefs_[0], model.intercepts_[0]])
        penalty = 0.005 * (np.sum(hidden**2) + np.sum(model.coefs_[1] ** 2))
    # Merging equal units can only lower the penalty.
    assert loss + penalty <= model.objective_ * (1 + 1e-9)
    if activation == "gated":
        assert loss + penalty == pytest.approx(model.objective_), model.certificate_
    one_by_one = [model.predict(grid[[k]])[0] for k in range(30)]
    assert model.predict(grid) == pytest.approx(one_by_one, abs=1e-12)


def test_gated_least_squares_of_several_outputs_needs_no_penalty():
    Y = np.column_stack([TARGETS, X[:, 2]])
    model = regressor(alpha=0, activation="gated").fit(X, Y)
    assert model.certificate_.kind == "kkt_residual"
    assert model.certificate_.satisfied
    farkas.verify(model, X, Y).check()


def test_targets_whose_loss_overflows_are_refused():
    with pytest.raises(ValueError, match="y is too large"):
        regressor().fit(X, 1e200 * TARGETS)


def test_a_penalty_that_leaves_no_unit_predicts_evenly():
    labels = np.array(["a", "b", "c"])[np.arange(40) % 3]
    model = classifier(loss="logistic", alpha=1e4).fit(X, labels)
    assert model.n_hidden_ == 0
    assert model.predict_proba(X) == pytest.approx(np.full((40, 3), 1 / 3))
    assert model.coefs_[0].shape == (3, 0)
    assert model.coefs_[1].shape == (0, 3)
    farkas.verify(model, X, labels).check()


def test_frames_and_series_give_names_and_verify():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["one", "two", "three"])
    for kind in ("category", object):
        labels = pandas.Series(LABELS, dtype=kind)
        model = classifier(alpha=0.5).fit(frame, labels)
        assert list(model.feature_names_in_) == ["one", "two", "three"]
        assert set(model.predict(frame)) <= {"same", "other"}
        farkas.verify(model, frame, labels).check()


@pytest.mark.parametrize("limit", [{"max_iter": 2}, {"max_time": 1e-9}])
@pytest.mark.parametrize("certificate", ["patterns", None])
def test_a_limit_warns_and_keeps_a_model(limit, certificate):
    Y = np.column_stack([TARGETS, X[:, 2]])
    model = regressor(alpha=0.01, certificate=certificate, **limit)
    with pytest.warns(ConvergenceWarning, match="limit was reached"):
        model.fit(X, Y)
    assert model.status_ in (Status.MAX_ITER, Status.MAX_TIME)
    assert np.isfinite(model.predict(X)).all()
    assert model.gap_ > 0
    if certificate:
        farkas.verify(model, X, Y).check()
        assert not model.certificate_.satisfied


def test_history_of_several_outputs_adds_up():
    Y = np.column_stack([TARGETS, X[:, 2]])
    model = regressor(alpha=0.1).fit(X, Y)
    history = model.history_
    lengths = {len(column) for column in history.values()}
    assert len(lengths) == 1
    assert history["objective"][-1] == pytest.approx(model.certificate_.upper)
    assert (np.diff(history["objective"]) <= 1e-12).all()
    assert history["iteration"][-1] == model.n_iter_
    gaps = history["objective"] - history["lower_bound"]
    assert history["certificate"] == pytest.approx(gaps)


def test_ctrl_c_stops_the_outputs_that_follow(monkeypatch):
    calls = []
    advance = Iteration.advance

    def interrupted_once(iteration):
        calls.append(iteration)
        if len(calls) == 15:
            raise KeyboardInterrupt
        advance(iteration)

    monkeypatch.setattr(Iteration, "advance", interrupted_once)
    Y = np.column_stack([TARGETS, X[:, 2], X[:, 0] ** 2, np.sin(X[:, 1])])
    model = regressor(alpha=0.01, tol=1e-12)
    with (
        pytest.warns(ConvergenceWarning, match="Interrupted"),
        pytest.raises(KeyboardInterrupt),
    ):
        model.fit(X, Y)
    assert len(calls) <= 15 + 3 * 10
    assert model.status_ is Status.CALLBACK
    assert np.isfinite(model.predict(X)).all()
    farkas.verify(model, X, Y).check()


class Watch(Interrupt):
    """Predicts from what each task hands out, and asks to stop after a few."""

    def __init__(self, stop_after):
        self.stop_after = stop_after
        self.outputs = []

    def on_fit_task_end(self, estimator, context, *, X, fitted_estimator):
        if context.parent is not None:
            self.outputs.append(fitted_estimator.predict(X))
        return len(self.outputs) == self.stop_after


@pytest.mark.parametrize("activation", ["relu", "gated"])
def test_a_callback_sees_models_that_predict_and_may_stop_all_outputs(activation):
    Y = np.column_stack([TARGETS, X[:, 2], X[:, 0] ** 2])
    watch = Watch(stop_after=2)
    model = regressor(alpha=0.01, tol=1e-12, activation=activation)
    with pytest.warns(ConvergenceWarning, match="callback"):
        model.set_callbacks(watch).fit(X, Y)
    assert model.status_ is Status.CALLBACK
    assert model.n_iter_ == 20
    first, second = watch.outputs
    assert not first[:, 1:].any()  # outputs that have not begun are zero
    error = np.sum((first[:, 0] - TARGETS) ** 2), np.sum((second[:, 0] - TARGETS) ** 2)
    assert error[0] < np.sum(TARGETS**2)
    assert error[1] < np.sum(TARGETS**2)
    assert second[:, 0] == pytest.approx(model.predict(X)[:, 0], abs=0.1)
    farkas.verify(model, X, Y).check()
