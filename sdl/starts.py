"""Starting subspaces of the lifted solver.

``"svd"`` is the span of the principal directions; ``"lr"`` (filter model) holds the
weights of the ridge logistic regression on all of X and, orthogonal to them, the best
principal directions that are left, which already meets the sandwich bound.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse.linalg import LinearOperator, eigsh

from farkas.backend import asnumpy
from sdl._measure_data import Problem
from sdl.head import Head
from sdl.lifting import DenseFilter, Space

Array = NDArray[np.float64]

STARTS = ("lr", "svd", "random")
# Up to this many features logistic regression is solved by Newton's method.
NEWTON_FEATURES = 300


def start_basis(
    kind: str,
    space: Space,
    head: Head,
    task: Problem,
    seed: np.random.SeedSequence,
) -> Array:
    """Return an orthonormal basis (k, r) to start from.

    Parameters
    ----------
    kind : {"lr", "svd", "random"}
        Which start.
    space : Space
        Coordinates.
    head : Head
        Solves the logistic regression of "lr".
    task : Problem
        Data and numbers.
    seed : SeedSequence
        Of the random start.

    Returns
    -------
    ndarray of shape (k, r)
    """
    r = min(task.rank, space.size)
    if kind == "random":
        rng = np.random.default_rng(seed)
        return np.linalg.qr(rng.standard_normal((space.size, r)))[0]
    if kind == "lr" and isinstance(space, DenseFilter):
        return _logistic_start(space, head, task, r)
    return space.start()


def _logistic_start(space: DenseFilter, head: Head, task: Problem, r: int) -> Array:
    A = logistic_weights(space.all_features(), head, task)[0]
    first = np.linalg.qr(A)[0][:, : min(r, A.shape[1])]
    rest = r - first.shape[1]
    if rest == 0:
        return first
    root = np.sqrt(np.maximum(space.g, 0.0))

    def project(x: Array) -> Array:
        return x - first @ (first.T @ x)

    if space.size > 200 and rest < space.size // 4:
        operator = LinearOperator(
            (space.size, space.size),
            matvec=lambda x: project(space.g * project(np.ravel(x))),
            dtype=np.float64,
        )
        Q = eigsh(operator, rest, which="LA", v0=root + 1e-3)[1]
    else:
        P = np.eye(space.size) - first @ first.T
        Q = np.linalg.eigh(P @ (space.g[:, None] * P))[1][:, -rest:]
    return np.linalg.qr(np.hstack([first, project(Q)]))[0]


def logistic_weights(X: Any, head: Head, task: Problem) -> tuple[Array, Array, Any]:
    """Solve the ridge logistic regression on all features.

    Parameters
    ----------
    X : array of shape (n, k)
        Features, on the device of the head.
    head : Head
        Its problem.
    task : Problem
        Data and numbers.

    Returns
    -------
    A : ndarray of shape (k, K)
        Class weights.
    Gamma : ndarray of shape (q, K)
        Coefficients of the covariates.
    alpha : ndarray of shape (n, K)
        Label residual, the dual point.
    """
    k, K, q = X.shape[1], task.Y.shape[1], task.Z.shape[1]
    A, Gamma = np.zeros((k, K)), np.zeros((q, K))
    if k > NEWTON_FEATURES:
        A, Gamma = _by_lbfgs(X, head, task)
        M = head.xp.concat([X, head.Z], axis=1) if q else X
        point = head.at(M, np.concatenate([A, Gamma]), k)
    else:
        point = head.minimise(X, A, Gamma)
    return point.beta, point.Gamma, np.asarray(asnumpy(point.alpha))


def _by_lbfgs(X: Any, head: Head, task: Problem) -> tuple[Array, Array]:
    k, K, q = X.shape[1], task.Y.shape[1], task.Z.shape[1]
    M = head.xp.concat([X, head.Z], axis=1) if q else X
    ridge = np.concatenate(
        [np.full(k, task.nu), np.where(task.penalised, task.nu_c, 0.0)]
    )[:, None]

    def value_and_slope(flat: Array) -> tuple[float, Array]:
        theta = flat.reshape(k + q, K)
        point = head.at(M, theta, k)
        slope = ridge * theta - asnumpy(head.xp.matrix_transpose(M) @ point.alpha)
        return point.value, slope.ravel()

    found = minimize(
        value_and_slope,
        np.zeros((k + q) * K),
        jac=True,
        method="L-BFGS-B",
        options={"maxcor": 20, "maxiter": 1000, "ftol": 1e-15, "gtol": 1e-9},
    )
    theta = found.x.reshape(k + q, K)
    return theta[:k], theta[k:]
