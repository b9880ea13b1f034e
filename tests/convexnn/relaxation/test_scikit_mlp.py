"""Reading scikit-learn's MLPs."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from convexnn.relaxation.scikit_mlp import (
    checked_mlp,
    effective_alpha,
    time_of_fit,
    with_biases,
)


def fitted(**options):
    X, y = load_breast_cancer(return_X_y=True)
    X, y = StandardScaler().fit_transform(X[:60]), y[:60]
    settings = {"solver": "lbfgs", "random_state": 0, "max_iter": 5}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mlp = MLPClassifier(**(settings | {"hidden_layer_sizes": (8,)} | options))
        return mlp.fit(X, y), X


def test_the_penalty_counts_the_rows_of_a_batch():
    assert effective_alpha(fitted(alpha=0.3)[0], 60) == 0.3
    adam = fitted(alpha=0.3, solver="adam", batch_size=20)[0]
    assert effective_alpha(adam, 60) == pytest.approx(0.9)
    assert effective_alpha(fitted(alpha=1.0, solver="sgd")[0], 1000) == 5.0
    assert effective_alpha(fitted(alpha=1.0, solver="sgd")[0], 50) == 1.0


def test_the_time_of_a_fit_grows_with_its_iterations():
    mlp, X = fitted()
    one = time_of_fit(mlp, X) / mlp.n_iter_
    assert 0 < one < 1
    mlp.n_iter_ *= 1000
    assert time_of_fit(mlp, X) > 100 * one


@pytest.mark.parametrize("scaling", [1.0, 10.0])
def test_biases_become_weights_of_a_constant_column(scaling):
    mlp, X = fitted()
    U, a = with_biases(mlp, scaling)
    data = np.column_stack([X, np.full(60, scaling)])
    odds = np.maximum(data @ U, 0) @ a
    assert np.allclose(1 / (1 + np.exp(-odds)), mlp.predict_proba(X)[:, 1])
    mlp.intercepts_[1][:] = 0.0
    assert with_biases(mlp, scaling)[0].shape[1] == 8


def test_the_loss_is_that_of_the_training():
    assert checked_mlp(fitted()[0]) == ("logistic", "labels")
