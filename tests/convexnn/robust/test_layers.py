"""Outputs and gradients of a network against differences and scikit-learn."""

import numpy as np
import pytest
from sklearn.datasets import make_moons
from sklearn.neural_network import MLPRegressor

from convexnn.robust.layers import Network, least_output


@pytest.fixture(scope="module")
def model():
    X, y = make_moons(60, noise=0.1, random_state=0)
    return MLPRegressor(hidden_layer_sizes=(7, 5), max_iter=2000, random_state=0).fit(
        X, y
    )


def test_the_output_is_that_of_scikit_learn(model):
    X = np.random.default_rng(0).standard_normal((20, 2))
    output, on = Network.of(model).forward(X)
    np.testing.assert_allclose(output[:, 0], model.predict(X))
    assert [part.shape for part in on] == [(20, 7), (20, 5)]


def test_the_gradient_is_the_limit_of_differences(model):
    X = np.random.default_rng(1).standard_normal((20, 2))
    network, step = Network.of(model), 1e-6
    _, on = network.forward(X)
    gradient = network.backward(np.ones((20, 1)), on)
    for j, shift in enumerate(step * np.eye(2)):
        change = model.predict(X + shift) - model.predict(X - shift)
        np.testing.assert_allclose(gradient[:, j], change / (2 * step), atol=1e-6)


def test_a_box_that_is_a_point_is_bounded_by_its_output(model):
    X = np.random.default_rng(2).standard_normal((20, 2))
    for sign in (1.0, -1.0):
        bound = least_output(Network.of(model), X, X, np.full((20, 1), sign))
        assert (bound <= sign * model.predict(X)).all()
        np.testing.assert_allclose(bound, sign * model.predict(X), atol=1e-10)
