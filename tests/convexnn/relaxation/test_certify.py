"""Certificates of other people's networks, and ours as scikit-learn's."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

import farkas
from convexnn import (
    ConvexMLPClassifier,
    ConvexMLPRegressor,
    certify_mlp,
    certify_network,
)
from convexnn.relaxation.certify import to_mlp


def cancer(n=60):
    X, y = load_breast_cancer(return_X_y=True)
    return StandardScaler().fit_transform(X[:n]), y[:n]


def diabetes(n=60):
    X, y = load_diabetes(return_X_y=True)
    X, y = StandardScaler().fit_transform(X[:n]), y[:n]
    return X, (y - y.mean()) / y.std()


def fitted(kind, X, y, **options):
    settings = {"solver": "lbfgs", "alpha": 1.0, "random_state": 0, "max_iter": 300}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return kind(**(settings | {"hidden_layer_sizes": (8,)} | options)).fit(X, y)


@pytest.mark.parametrize("scope", ["patterns", "global"])
@pytest.mark.parametrize(
    ("kind", "data"), [(MLPClassifier, cancer), (MLPRegressor, diabetes)]
)
def test_a_trained_mlp_is_certified_on_its_own_data(kind, data, scope):
    X, y = data(40)
    mlp = fitted(kind, X, y)
    certificate = certify_mlp(mlp, X, y, scope=scope, max_time=1.0)
    assert farkas.verify(certificate, X, y)
    assert 0 < certificate.lower <= certificate.upper
    # The objective is that of the MLP, with its biases as weights.
    (hidden, output), (first, last) = mlp.coefs_, mlp.intercepts_
    z = np.maximum(X @ hidden + first, 0) @ output[:, 0] + last[0]
    if kind is MLPClassifier:
        value = np.logaddexp(0, -np.where(y == mlp.classes_[1], 1, -1) * z).sum()
    else:
        value = 0.5 * np.sum((z - y) ** 2)
    units = np.linalg.norm(np.vstack([hidden, first / 10.0]), axis=0)
    value += units @ np.abs(output[:, 0]) + abs(last[0]) / 10.0
    assert certificate.upper == pytest.approx(value, rel=1e-8)


def test_a_well_trained_network_is_proven_near_the_best():
    X, y = cancer(40)
    mlp = fitted(MLPClassifier, X, y, hidden_layer_sizes=(20,), max_iter=1000)
    options = {"intercept_scaling": 50.0, "max_time": None}
    own = certify_mlp(mlp, X, y, tol=1e-3, **options)
    everything = certify_mlp(mlp, X, y, scope="global", tol=0.06, **options)
    assert own.gap <= 0.06 * own.upper
    assert everything.gap <= 0.06 * everything.upper
    # The summed loss and penalty that scikit-learn reports have free biases.
    assert everything.lower <= own.upper
    assert own.upper == pytest.approx(40 * mlp.loss_, rel=0.1)
    assert everything.guarantee.name == "GLOBAL"
    assert "any width" in everything.assumptions


def test_the_penalty_is_that_of_the_training():
    X, y = cancer()
    adam = fitted(MLPClassifier, X, y, alpha=0.3, solver="adam", batch_size=20)
    certificate = certify_mlp(adam, X, y, max_iter=5)
    assert certificate.parameters["alpha"] == pytest.approx(0.9)
    assert certify_mlp(adam, X, y, alpha=2.0, max_iter=5).parameters["alpha"] == 2.0


def test_a_larger_constant_column_penalises_the_biases_less():
    X, y = diabetes()
    mlp = fitted(MLPRegressor, X, y)
    near, far = (
        certify_mlp(mlp, X, y, intercept_scaling=scaling, max_iter=5)
        for scaling in (1.0, 100.0)
    )
    assert far.upper < near.upper
    assert farkas.verify(far, X, y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_layer_sizes": (4, 4)}, "2 hidden layers"),
        ({"activation": "tanh"}, "activation='tanh'"),
    ],
)
def test_other_networks_are_refused(options, message):
    X, y = cancer()
    mlp = fitted(MLPClassifier, X, y, max_iter=3, **options)
    with pytest.raises(ValueError, match=message):
        certify_mlp(mlp, X, y)


def test_several_outputs_are_refused_with_the_remedy():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match="OneVsRestClassifier"):
        certify_mlp(fitted(MLPClassifier, X, y, max_iter=3), X, y)
    Y = X[:, :2]
    with pytest.raises(ValueError, match="MultiOutputRegressor"):
        certify_mlp(fitted(MLPRegressor, X, Y, max_iter=3), X, Y)


def test_bad_arguments_of_certify_mlp_are_named():
    X, y = cancer()
    mlp = fitted(MLPClassifier, X, y, max_iter=3)
    with pytest.raises(TypeError, match="LogisticRegression"):
        certify_mlp(LogisticRegression().fit(X, y), X, y)
    with pytest.raises(NotFittedError):
        certify_mlp(MLPClassifier(), X, y)
    for arguments, options, name in (
        ((X[:, :3], y), {}, "X has 3 columns"),
        ((X, y[:5]), {}, "y must"),
        ((X, np.ones(60)), {}, "two classes"),
        ((X, y), {"alpha": 0.0}, "alpha"),
        ((X, y), {"scope": "all"}, "scope"),
        ((X, y), {"intercept_scaling": 0.0}, "intercept_scaling"),
        ((X, y), {"max_time": "long"}, "max_time"),
        ((X, y), {"branches": 9}, "branches"),
    ):
        with pytest.raises(ValueError, match=name):
            certify_mlp(mlp, *arguments, **options)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"U": np.ones((3, 2))}, "U must"),
        ({"a": np.ones(3)}, "a must"),
        ({"U": np.full((2, 2), np.inf)}, "U and a"),
        ({"y": np.ones(2)}, "y must"),
        ({"y": np.full(3, np.nan)}, "y must"),
        ({"y": np.zeros(3), "loss": "hinge"}, "-1 or"),
        ({"alpha": 0.0}, "alpha"),
        ({"loss": "cubic"}, "loss"),
        ({"scope": "local"}, "scope"),
        ({"method": "guess"}, "method"),
        ({"extra_patterns": np.ones((2, 1))}, "extra_patterns"),
        ({"extra_patterns": np.full((3, 1), 2)}, "extra_patterns"),
        ({"tol": -1.0}, "tol"),
        ({"max_iter": -1}, "max_iter"),
        ({"max_time": -1.0}, "max_time"),
    ],
)
def test_bad_arguments_of_certify_network_are_named(changes, name):
    arguments = {
        "U": np.ones((2, 2)),
        "a": np.ones(2),
        "X": np.eye(3)[:, :2],
        "y": np.ones(3),
        "alpha": 1.0,
    } | changes
    with pytest.raises(ValueError, match=name):
        certify_network(**arguments)


def test_more_patterns_can_only_lower_the_bound():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((12, 3)), rng.standard_normal(12)
    U, a = rng.standard_normal((3, 2)), rng.standard_normal(2)
    extra = X @ rng.standard_normal((3, 30)) >= 0
    few = certify_network(U, a, X, y, 0.3, tol=1e-5)
    many = certify_network(U, a, X, y, 0.3, tol=1e-5, extra_patterns=extra)
    assert many.lower <= few.lower * (1 + 1e-4)
    assert many.upper == pytest.approx(few.upper)
    assert farkas.verify(many, X, y)
    listed = {column.tobytes() for column in many.witness["patterns"].T.copy()}
    assert {column.tobytes() for column in extra.T.copy()} <= listed


def test_a_network_without_units_is_certified():
    X, y = np.eye(3), np.array([1.0, -2.0, 0.5])
    for scope in ("patterns", "global"):
        certificate = certify_network(
            np.zeros((3, 0)), np.zeros(0), X, y, 3.0, scope=scope, tol=1e-6
        )
        assert certificate.upper == pytest.approx(0.5 * y @ y)
        assert certificate.lower == pytest.approx(0.5 * y @ y, rel=1e-4)
        assert farkas.verify(certificate, X, y)


@pytest.mark.parametrize("labels", [("no", "yes"), ("a", "b", "c")])
def test_to_mlp_classifies_the_same(labels):
    X, y = load_iris(return_X_y=True)
    y = np.asarray(labels)[y % len(labels)]
    model = ConvexMLPClassifier(0.1, loss="logistic", random_state=0, max_iter=100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    mlp = to_mlp(model)
    assert (mlp.predict(X) == model.predict(X)).all()
    assert mlp.classes_.tolist() == list(labels)
    if len(labels) == 2:
        assert np.allclose(mlp.predict_proba(X), model.predict_proba(X))
        certificate = certify_mlp(mlp, X, y, intercept_scaling=1.0, max_iter=50)
        assert farkas.verify(certificate, X, y)
        assert certificate.upper == pytest.approx(model.objective_, rel=1e-6)


def test_to_mlp_regresses_the_same():
    X, y = diabetes(40)
    for target in (y, np.column_stack([y, -2 * y])):
        model = ConvexMLPRegressor(1.0, random_state=0, tol=1e-2).fit(X, target)
        assert np.allclose(to_mlp(model).predict(X), model.predict(X))


def test_to_mlp_of_the_zero_network_and_of_gates():
    X, y = diabetes(20)
    zero = ConvexMLPRegressor(1e6, random_state=0).fit(X, y)
    assert (to_mlp(zero).predict(X) == 0).all()
    gated = ConvexMLPRegressor(1.0, activation="gated", random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="gated"):
        to_mlp(gated)
    with pytest.raises(NotFittedError):
        to_mlp(ConvexMLPRegressor())
