"""What the certificates need to know about scikit-learn's MLPs."""

import math
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

Array = NDArray[np.float64]


def effective_alpha(mlp: Any, n: int) -> float:
    """Return the weight of the penalty against the loss summed over n rows.

    Parameters
    ----------
    mlp : MLPClassifier or MLPRegressor
        Its solver and batch size matter.
    n : int
        Rows of its training data.

    Returns
    -------
    float
        ``mlp.alpha`` for ``solver="lbfgs"``, else ``mlp.alpha * n / batch size``.
    """
    if mlp.solver == "lbfgs":
        return float(mlp.alpha)
    batch = min(200, n) if mlp.batch_size == "auto" else min(mlp.batch_size, n)
    return float(mlp.alpha) * n / batch


def time_of_fit(mlp: Any, X: Array) -> float:
    """Estimate the seconds that a fit took, from below.

    An iteration of a fit costs at least three forward passes over the data: forward,
    backward, and the gradient of the weights. Two are counted.
    """
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        mlp.predict(X)
        times.append(time.perf_counter() - begun)
    return 2.0 * min(times) * float(mlp.n_iter_)


def with_biases(mlp: Any, scaling: float) -> tuple[Array, Array]:
    """Return the network on the data with a constant column.

    The output's bias b is a unit that is active everywhere.

    Parameters
    ----------
    mlp : MLPClassifier or MLPRegressor
        Fitted, with one hidden layer and one output.
    scaling : float
        Value of the constant column.

    Returns
    -------
    U : ndarray of shape (d + 1, m)
    a : ndarray of shape (m,)
    """
    (hidden, output), (first, last) = mlp.coefs_, mlp.intercepts_
    U = np.vstack([hidden, first / scaling]).astype(np.float64)
    a = output[:, 0].astype(np.float64)
    bias = float(last[0])
    if bias:
        root = math.sqrt(abs(bias) / scaling)
        unit = np.append(np.zeros(len(U) - 1), root)
        U = np.column_stack([U, unit])
        a = np.append(a, math.copysign(root, bias))
    return U, a


def checked_mlp(mlp: Any) -> tuple[str, str]:
    """Return the loss of an MLP and the encoding of its targets.

    Raises
    ------
    TypeError, ValueError
        If it is no MLP, or none with one hidden ReLU layer and one output.
    """
    from sklearn.neural_network import MLPClassifier, MLPRegressor  # slow to load

    if not isinstance(mlp, MLPClassifier | MLPRegressor):
        raise TypeError(
            f"mlp={type(mlp).__name__} must be a fitted MLPClassifier or MLPRegressor; "
            "for other networks use certify_network."
        )
    check_is_fitted(mlp)
    if len(mlp.coefs_) != 2:
        raise ValueError(
            f"mlp has {len(mlp.coefs_) - 1} hidden layers; certificates are for one: "
            "fit with hidden_layer_sizes=(m,)."
        )
    if mlp.activation != "relu":
        raise ValueError(
            f"mlp has activation={mlp.activation!r}; certificates are for 'relu'."
        )
    kind = "OneVsRestClassifier" if hasattr(mlp, "classes_") else "MultiOutputRegressor"
    if mlp.n_outputs_ > 1:
        raise ValueError(
            f"mlp has {mlp.n_outputs_} outputs that share their units; certificates "
            f"are for one output: wrap the MLP in {kind} and certify each."
        )
    losses = {"logistic": ("logistic", "labels"), "identity": ("squared", "none")}
    if mlp.out_activation_ not in losses:
        raise ValueError(
            f"mlp has the output activation {mlp.out_activation_!r}; certificates are "
            "for the log loss of two classes and the squared loss."
        )
    return losses[mlp.out_activation_]
