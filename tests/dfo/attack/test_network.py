"""Networks and their derivatives against tables, differences and scikit-learn."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, StandardScaler

from dfo import as_network
from dfo.attack.layers import BlackBox, Chain, Network

W1 = np.array([[1, -1, 0.5], [0.5, 2, -1]])
W2 = np.array([[1, -1], [0.5, 0.25], [-2, 1]])
B1, B2 = np.array([0.1, -0.2, 0.3]), np.array([0, 0.5])
X0, U0 = np.array([0.3, -0.4]), np.array([1.0, 2.0])


def tiny(activation, output="identity"):
    return as_network(([W1, W2], [B1, B2], [activation, output]))


@pytest.mark.parametrize(
    ("activation", "output", "y", "g"),
    [
        ("relu", "identity", (-1.5, 1.15), (-1, -0.5)),
        ("tanh", "identity", (-1.6156252, 0.77826336), (-1.21847618, 0.0343449)),
        ("logistic", "identity", (-0.74421778, 0.7042744), (-0.41581494, 0.21283844)),
        ("tanh", "softmax", (0.08363991, 0.91636009), (-0.0823231, -0.20364603)),
    ],
)
def test_table(activation, output, y, g):
    Y, G = tiny(activation, output).vjp(X0, U0)
    np.testing.assert_allclose(Y, y, atol=1e-8)
    np.testing.assert_allclose(G, g, atol=1e-8)


def differences(net, x, t=1e-6):
    steps = t * np.eye(len(x))
    return (net.forward(x + steps) - net.forward(x - steps)).T / (2 * t)


@pytest.mark.parametrize("activation", ["identity", "relu", "tanh", "logistic"])
@pytest.mark.parametrize("output", ["identity", "relu", "tanh", "logistic", "softmax"])
def test_products_agree_with_differences(activation, output):
    rng = np.random.default_rng(0)
    sizes = (4, 6, 5, 3)
    weights = [rng.standard_normal(s) for s in zip(sizes, sizes[1:], strict=False)]
    biases = [rng.standard_normal(s) for s in sizes[1:]]
    net = as_network((weights, biases, [activation, activation, output]))
    X, U, V = (rng.standard_normal((7, s)) for s in (4, 3, 4))
    Y, G = net.vjp(X, U)
    np.testing.assert_array_equal(Y, net.forward(X))
    for x, u, v, g, d in zip(X, U, V, G, net.jvp(X, V)[1], strict=True):
        J = differences(net, x)
        np.testing.assert_allclose(J.T @ u, g, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(J @ v, d, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(net.jacobian(x), J, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(net.vjp(x, u)[1], g, rtol=1e-12, atol=1e-14)


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


def check_against(net, x, expected):
    np.testing.assert_allclose(net.forward(x), expected, rtol=1e-9, atol=1e-12)
    u = np.linspace(-1, 2, net.n_outputs)
    J = differences(net, x[0])
    np.testing.assert_allclose(net.vjp(x[0], u)[1], J.T @ u, rtol=1e-5, atol=1e-7)
    v = np.linspace(1, -2, len(x[0]))
    np.testing.assert_allclose(net.jvp(x[0], v)[1], J @ v, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    "steps",
    [
        (),
        (StandardScaler(),),
        (MinMaxScaler(), PCA(3)),
        (StandardScaler(with_mean=False), PCA(2, whiten=True)),
        (StandardScaler(), "passthrough", PCA()),
    ],
    ids=str,
)
def test_classifiers_in_pipelines(iris, classes, steps):
    X, y = iris
    X, y = X[y < classes], y[y < classes]
    model = MLPClassifier((5,), activation="tanh", solver="lbfgs", max_iter=30)
    pipeline = make_pipeline(*steps, model.set_params(random_state=0))
    with _quiet():
        pipeline.fit(X, y)
    net = as_network(pipeline)
    assert isinstance(net, Network)
    check_against(net, X[:5], pipeline.predict_proba(X[:5]))
    logits = as_network(pipeline, output="logits")
    assert logits.n_outputs == (1 if classes == 2 else 3)
    check_against(logits, X[:5], logits.forward(X[:5]))


def _quiet():
    import contextlib
    import warnings

    @contextlib.contextmanager
    def quiet():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield

    return quiet()


def test_regressors(iris):
    X, y = iris
    with _quiet():
        model = MLPRegressor(
            hidden_layer_sizes=(6, 4), max_iter=30, random_state=0
        ).fit(X, y)
    check_against(as_network(model), X[:5], model.predict(X[:5])[:, None])
    Y = np.column_stack([y, X[:, 0]])
    with _quiet():
        model = MLPRegressor(hidden_layer_sizes=(6,), max_iter=30, random_state=0).fit(
            X, Y
        )
    check_against(as_network(model), X[:5], model.predict(X[:5]))


def test_a_convex_network_is_read_through_its_mlp(iris):
    class Convex(BaseEstimator):
        def __init__(self, model=None):
            self.model = model
            self.fitted_ = True

        def fit(self, X, y):
            return self

        def to_mlp(self):
            return self.model

    X, y = iris
    with _quiet():
        model = MLPRegressor(hidden_layer_sizes=(6,), max_iter=30, random_state=0).fit(
            X, y
        )
    check_against(as_network(Convex(model)), X[:5], model.predict(X[:5])[:, None])


def test_other_transformers_are_black_boxes(iris):
    X, y = iris
    with _quiet():
        pipeline = make_pipeline(
            PolynomialFeatures(2),
            StandardScaler(),
            MLPRegressor(hidden_layer_sizes=(4,), max_iter=30),
        ).fit(X, y)
    net = as_network(pipeline)
    assert isinstance(net, Chain)
    assert not net.white_box
    expected = pipeline.predict(X[:5])[:, None]
    np.testing.assert_allclose(net.forward(X[:5]), expected)
    J = differences(net, X[0], 1e-5)
    np.testing.assert_allclose(net.jacobian(X[0]), J, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(net.vjp(X[0], [1.0])[1], J[0], rtol=1e-4, atol=1e-6)
    v = np.ones(4)
    np.testing.assert_allclose(net.jvp(X[0], v)[1], J @ v, rtol=1e-4, atol=1e-6)


def test_callables():
    net = as_network(lambda X: np.sin(X))
    assert isinstance(net, BlackBox)
    x, u = np.array([0.1, 0.7]), np.array([1.0, -2.0])
    np.testing.assert_allclose(net.vjp(x, u)[1], np.cos(x) * u, rtol=1e-8)
    exact = as_network(np.sin, vjp=lambda X, U: (np.sin(X), np.cos(X) * U))
    assert exact.white_box
    np.testing.assert_array_equal(exact.vjp(x, u)[1], np.cos(x) * u)
    np.testing.assert_array_equal(exact.vjp(x[None], u[None])[1][0], np.cos(x) * u)
    assert as_network(exact) is exact
    with pytest.raises(TypeError, match="rows"):
        as_network(lambda X: 3.0).forward(x)


def test_the_derivative_of_relu_at_zero_is_zero():
    net = as_network(([np.eye(1), np.eye(1)], [np.zeros(1)] * 2, "relu"))
    assert net.vjp([0.0], [1.0])[1] == 0


@pytest.mark.parametrize(
    ("obj", "error", "match"),
    [
        (MLPRegressor(), NotFittedError, "fitted"),
        (make_pipeline(StandardScaler(), MLPRegressor()), NotFittedError, "fitted"),
        (3, TypeError, "network"),
        (([np.eye(2)], [np.zeros(3)], "relu"), ValueError, "fit"),
        (
            ([np.eye(2), np.eye(3)], [np.zeros(2), np.zeros(3)], "relu"),
            ValueError,
            "fit",
        ),
        (([np.eye(2)], [], "relu"), ValueError, "many"),
        (([np.eye(2)], [np.zeros(2)], "gelu"), ValueError, "activation"),
    ],
    ids=str,
)
def test_errors(obj, error, match):
    with pytest.raises(error, match=match):
        as_network(obj)


def test_unknown_output():
    with pytest.raises(ValueError, match="output"):
        as_network(([np.eye(2)], [np.zeros(2)], "relu"), output="x")
