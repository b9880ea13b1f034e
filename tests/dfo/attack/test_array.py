"""Networks on a device: the stand-in refuses every silent copy to the host."""

import pickle

import array_api_strict
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dfo import as_network
from farkas.backend import asnumpy

DEVICE = array_api_strict.Device("device1")
RNG = np.random.default_rng(0)
WEIGHTS = [RNG.standard_normal(shape) for shape in ((4, 5), (5, 6), (6, 3))]
BIASES = [RNG.standard_normal(n) for n in (5, 6, 3)]
X = RNG.standard_normal((7, 4))
ACTIVATIONS = ["identity", "relu", "tanh", "logistic", "softmax"]


def on_device(x):
    return array_api_strict.asarray(x, device=DEVICE)


def agree(network, X, U, V):
    """Compare all three functions on the host and on the device."""
    for here, there in (
        ([network.forward(X)], [network.forward(on_device(X))]),
        (network.vjp(X, U), network.vjp(on_device(X), on_device(U))),
        (network.jvp(X, V), network.jvp(on_device(X), on_device(V))),
    ):
        for a, b in zip(here, there, strict=True):
            assert b.device == DEVICE
            np.testing.assert_allclose(asnumpy(b), a, atol=1e-12)


@pytest.mark.parametrize("hidden", ACTIVATIONS[:-1])
@pytest.mark.parametrize("output", ACTIVATIONS)
def test_layers(hidden, output):
    network = as_network((WEIGHTS, BIASES, [hidden, "tanh", output]))
    agree(network, X, RNG.standard_normal((7, 3)), RNG.standard_normal((7, 4)))
    agree(network, X[0], RNG.standard_normal(3), RNG.standard_normal(4))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_scaled_classifier(n_classes):
    A, y = load_iris(return_X_y=True)
    A, y = A[y < n_classes], y[y < n_classes]
    model = make_pipeline(
        StandardScaler(), MLPClassifier((6,), max_iter=30, random_state=0)
    ).fit(A, y)
    network = as_network(model)
    agree(network, A[:9], RNG.standard_normal((9, n_classes)), A[:9] + 1.0)
    again = pickle.loads(pickle.dumps(network))  # without what lies on the device
    np.testing.assert_array_equal(again.forward(A), network.forward(A))


@pytest.mark.gpu
@pytest.mark.parametrize("hidden", ACTIVATIONS[:-1])
def test_cupy(hidden):
    cupy = pytest.importorskip("cupy")
    if not cupy.cuda.is_available():
        pytest.skip("no CUDA device")
    network = as_network((WEIGHTS, BIASES, [hidden, "tanh", "softmax"]))
    U = RNG.standard_normal((7, 3))
    here, there = network.vjp(X, U), network.vjp(cupy.asarray(X), cupy.asarray(U))
    for a, b in zip(here, there, strict=True):
        assert isinstance(b, cupy.ndarray)
        np.testing.assert_allclose(asnumpy(b), a, atol=1e-12)
