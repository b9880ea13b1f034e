"""What the two estimators of the sampled convex program add to the solver."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine, make_moons
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler, scale

import farkas
from convexnn import SCPClassifier, SCPRegressor, solve_scp
from farkas import Status


def moons():
    return make_moons(120, noise=0.15, random_state=0)


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge"])
def test_moons_are_learnt_and_a_linear_model_cannot(loss):
    X, y = moons()
    model = SCPClassifier(0.1, loss=loss, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.98 > RidgeClassifier().fit(X, y).score(X, y) + 0.05
    farkas.verify(model, X, y).check()


def test_the_estimator_is_the_solver_with_a_column_of_ones():
    X, y = moons()
    model = SCPClassifier(0.3, n_units=80, random_state=5).fit(X, y)
    data = np.column_stack([X, np.ones(len(X))])
    result = solve_scp(data, 2.0 * y - 1, 80, alpha=0.3, random_state=5)
    assert np.array_equal(model.units_, result.units)
    assert np.array_equal(model.unit_coef_[0], result.x)
    assert model.objective_ == pytest.approx(result.fun, rel=1e-14)
    U, a = result.network
    output = np.maximum(data @ U, 0) @ a
    assert model.decision_function(X) == pytest.approx(output, abs=1e-12)


def test_weights_have_the_layout_of_an_mlp():
    X, y = load_wine(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    model = SCPClassifier(1.0, n_units=200, random_state=0).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlp = MLPClassifier((model.n_hidden_,), max_iter=1).fit(X, y)
    for name in ("coefs_", "intercepts_"):
        ours = [part.shape for part in getattr(model, name)]
        assert ours == [part.shape for part in getattr(mlp, name)]
    (hidden, output), (biases, last) = model.coefs_, model.intercepts_
    by_hand = np.maximum(X @ hidden + biases, 0) @ output + last
    assert model.decision_function(X) == pytest.approx(by_hand)
    # Each output has its own units, balanced as the penalty wants them.
    assert (np.count_nonzero(output, axis=1) == 1).all()
    lengths = np.hypot(np.linalg.norm(hidden, axis=0), biases)
    assert lengths == pytest.approx(np.abs(output).sum(axis=1))


def test_generalises_about_as_well_as_the_convex_peers():
    X, y = load_breast_cancer(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, random_state=0)
    scaler = StandardScaler().fit(X)
    model = SCPClassifier(1.0, loss="logistic", random_state=0)
    model.fit(scaler.transform(X), y)
    assert model.score(scaler.transform(X_test), y_test) >= 0.95
    probabilities = model.predict_proba(scaler.transform(X_test))
    assert probabilities.sum(axis=1) == pytest.approx(1.0)
    by_rule = model.classes_[probabilities.argmax(axis=1)]
    assert np.array_equal(by_rule, model.predict(scaler.transform(X_test)))


def test_several_outputs_are_separate_fits_on_the_same_units():
    X, y = load_diabetes(return_X_y=True)
    X, Y = scale(X[:80]), scale(np.column_stack([y, y**2])[:80])
    whole = SCPRegressor(2.0, n_units=100, random_state=0).fit(X, Y)
    assert whole.predict(X).shape == (80, 2)
    for c in range(2):
        part = SCPRegressor(2.0, n_units=100, random_state=0).fit(X, Y[:, c])
        assert whole.predict(X)[:, c] == pytest.approx(part.predict(X))
    farkas.verify(whole, X, Y).check()


@pytest.mark.parametrize("n_jobs", [2])
def test_the_result_does_not_depend_on_processes(n_jobs):
    X, y = load_wine(return_X_y=True)
    models = [
        SCPClassifier(1.0, n_units=100, random_state=0, n_jobs=jobs).fit(X, y)
        for jobs in (None, n_jobs)
    ]
    assert np.array_equal(models[0].unit_coef_, models[1].unit_coef_)


def test_warm_start_keeps_units_and_saves_rounds():
    X, y = moons()
    model = SCPClassifier(0.3, n_units=300, warm_start=True).fit(X, y)
    units, rounds = model.units_, model.n_iter_
    model.set_params(alpha=0.29).fit(X, y)
    assert model.units_ is units
    assert model.n_iter_ < rounds
    farkas.verify(model, X, y).check()
    model.set_params(n_units=50).fit(X, y)
    assert model.units_.shape == (3, 50)
    model.fit(X[:, :1], y)
    assert model.units_.shape == (2, 50)


def test_without_an_intercept_and_without_a_certificate():
    X, y = moons()
    model = SCPClassifier(0.3, fit_intercept=False, certificate=None, n_units=50)
    model.fit(X, y)
    assert model.certificate_ is None
    assert model.units_.shape == (2, 50)
    assert not model.intercepts_[0].any()
    assert 0 <= model.gap_ <= 1e-4 * model.objective_


def test_probabilities_need_the_logistic_loss():
    assert hasattr(SCPClassifier(loss="logistic"), "predict_proba")
    assert not hasattr(SCPClassifier(), "predict_proba")
    X, y = load_wine(return_X_y=True)
    model = SCPClassifier(loss="logistic", n_units=50, random_state=0).fit(scale(X), y)
    assert model.predict_proba(scale(X)).shape == (len(y), 3)


def test_an_interrupt_leaves_a_fitted_model(monkeypatch):
    from convexnn.sampled.working_set import WorkingSet

    X, y = load_wine(return_X_y=True)
    original = WorkingSet.advance

    def interrupt(self):
        if self.nit == 2:
            raise KeyboardInterrupt
        original(self)

    monkeypatch.setattr(WorkingSet, "advance", interrupt)
    model = SCPClassifier(0.1, n_units=300, random_state=0, tol=1e-8)
    with pytest.warns(Warning, match="Interrupted"), pytest.raises(KeyboardInterrupt):
        model.fit(scale(X), y)
    assert model.status_ is Status.CALLBACK
    assert model.predict(scale(X)).shape == y.shape
    farkas.verify(model, scale(X), y).check()


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"alpha": 0.0}, ValueError),
        ({"alpha": "a"}, TypeError),
        ({"n_units": 0}, ValueError),
        ({"n_units": 2.5}, TypeError),
        ({"loss": "huber"}, ValueError),
        ({"certificate": "global"}, ValueError),
        ({"intercept_scaling": 0.0}, ValueError),
        ({"tol": -1.0}, ValueError),
        ({"max_iter": 0}, ValueError),
        ({"max_time": 0.0}, ValueError),
    ],
)
def test_bad_parameters_are_named(parameters, error):
    X, y = moons()
    with pytest.raises(error, match=next(iter(parameters))):
        SCPClassifier(**parameters).fit(X, y)


def test_one_class_and_targets_of_the_wrong_kind_are_refused():
    X, y = moons()
    with pytest.raises(ValueError, match="one class"):
        SCPClassifier().fit(X, np.ones(len(y)))
    with pytest.raises(ValueError, match="Unknown label type"):
        SCPClassifier().fit(X, X[:, 0])
    with pytest.raises(ValueError, match="too large"):
        SCPRegressor().fit(X, 1e200 * X[:, 0])
