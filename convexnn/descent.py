"""Gradient descent on the weights of a two-layer network, to find good patterns.

Minimises ``L((X U)_+ a, y) + alpha/2 (|U|^2 + |a|^2)`` by L-BFGS from given weights.
The problem is neither convex nor smooth, so the end point proves nothing; its
activation patterns are an excellent start for the convex program.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from convexnn._measure_losses import LOSSES

Array = NDArray[np.float64]

MEMORY = 20  # pairs that L-BFGS keeps
DECREASE = 1e-8  # relative decrease of one step at which to stop

# Units below this fraction of the largest |u||a| are dropped.
NEGLIGIBLE = 1e-4


def network_objective(
    X: Array, y: Array, U: Array, a: Array, alpha: float, loss: str
) -> float:
    """Return ``L((X U)_+ a, y) + alpha/2 (|U|^2 + |a|^2)`` of a network.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Data.
    y : ndarray of shape (n,)
        Targets.
    U : ndarray of shape (d, m)
        Hidden weights.
    a : ndarray of shape (m,)
        Output weights.
    alpha : float
        Weight of the penalty.
    loss : str
        Key of ``LOSSES``.

    Returns
    -------
    float
    """
    z = np.maximum(X @ U, 0.0) @ a
    penalty = 0.5 * alpha * (float(np.sum(U * U)) + float(a @ a))
    return float(LOSSES[loss].value(z, y).sum()) + penalty


def descend(
    X: Array,
    y: Array,
    U: Array,
    a: Array,
    *,
    alpha: float,
    loss: str,
    max_iter: int = 200,
) -> tuple[Array, Array]:
    """Improve a network by L-BFGS on all its weights.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Data.
    y : ndarray of shape (n,)
        Targets.
    U : ndarray of shape (d, m)
        Hidden weights.
    a : ndarray of shape (m,)
        Output weights.
    alpha : float
        Weight of the penalty.
    loss : str
        Key of ``LOSSES``.
    max_iter : int, default=200
        Steps of L-BFGS.

    Returns
    -------
    U : ndarray of shape (d, k)
        Hidden weights of the units that are not negligible.
    a : ndarray of shape (k,)
        Their output weights.
    """
    d, m = U.shape
    terms = LOSSES[loss]

    def value_and_gradient(weights: Array) -> tuple[float, Array]:
        U, a = weights[: d * m].reshape(d, m), weights[d * m :]
        hidden = X @ U
        active = hidden > 0
        hidden *= active
        z = hidden @ a
        theta = terms.theta(z, y)
        value = float(terms.value(z, y).sum()) + 0.5 * alpha * float(weights @ weights)
        gradient = alpha * weights
        gradient[d * m :] -= theta @ hidden
        gradient[: d * m] -= ((X.T @ (active * theta[:, None])) * a).ravel()
        return value, gradient

    options = {"maxiter": max_iter, "maxcor": MEMORY, "ftol": DECREASE, "gtol": 0.0}
    start = np.concatenate([U.ravel(), a])
    found = minimize(
        value_and_gradient, start, jac=True, method="L-BFGS-B", options=options
    )
    U, a = found.x[: d * m].reshape(d, m), found.x[d * m :]
    return without_negligible(U, a)


def without_negligible(U: Array, a: Array) -> tuple[Array, Array]:
    """Drop the units whose ``|u||a|`` is a tiny fraction of the largest.

    Parameters
    ----------
    U : ndarray of shape (d, m)
        Hidden weights.
    a : ndarray of shape (m,)
        Output weights.

    Returns
    -------
    U, a : ndarray
        The remaining units.
    """
    sizes = np.linalg.norm(U, axis=0) * np.abs(a)
    kept = sizes > NEGLIGIBLE * sizes.max(initial=0.0)
    return U[:, kept], a[kept]
