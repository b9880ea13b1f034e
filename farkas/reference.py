"""Two reference problems, the shortest demonstration of what a certificate is.

The Lasso shows a duality gap, Farkas' lemma a proof of infeasibility.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from farkas.certificate import Certificate
from farkas.verification import certify


def certify_lasso(
    X: ArrayLike, y: ArrayLike, w: ArrayLike, *, alpha: float, tolerance: float = 1e-6
) -> Certificate:
    """Certify any candidate of ``min_w 1/2 |y - Xw|^2 + alpha |w|_1``.

    Parameters
    ----------
    X : array-like of shape (n, d)
        Design matrix.
    y : array-like of shape (n,)
        Targets.
    w : array-like of shape (d,)
        The candidate, from any solver.
    alpha : float
        Weight of the penalty, positive.
    tolerance : float, default=1e-6
        Largest duality gap, relative to ``|y|^2 / 2``, that counts as solved.

    Returns
    -------
    Certificate
        Its ``lower`` is a proven lower bound of the optimum. The dual point is the
        residual, scaled into the feasible set.

    Raises
    ------
    ValueError
        If shapes disagree, a number is not finite, or ``alpha`` is not positive.

    Examples
    --------
    >>> import farkas
    >>> X, y = [[1, 0], [0, 2], [1, 1]], [1, 2, 3]
    >>> certificate = farkas.certify_lasso(X, y, [0, 0], alpha=0.5)
    >>> certificate.upper, round(certificate.lower, 9)
    (7.0, 0.964285714)
    """
    X = _finite("X", X, ndim=2)
    y = _finite("y", y, ndim=1)
    w = _finite("w", w, ndim=1)
    if X.shape != (len(y), len(w)):
        raise ValueError(
            f"X of shape {X.shape} does not fit y ({len(y)},) and w ({len(w)},); "
            "pass X (n, d), y (n,) and w (d,)."
        )
    if not 0 < alpha < np.inf:
        raise ValueError(f"alpha={alpha!r} must be positive and finite.")
    r = y - X @ w
    theta = r / max(alpha, float(np.max(np.abs(X.T @ r), initial=0.0)))
    return certify(
        "farkas.lasso/1",
        (X, y),
        {"w": w, "theta": theta},
        {"alpha": float(alpha)},
        tolerance=tolerance,
    )


def certify_infeasible(
    A: ArrayLike, b: ArrayLike, *, tolerance: float = 1e-9
) -> Certificate:
    """Find a proof that ``Ax = b, x >= 0`` has no solution (Farkas' lemma).

    Solves ``min b'y`` subject to ``A'y >= 0`` and ``-1 <= y <= 1`` by HiGHS. By the
    lemma the minimum is negative if and only if the system has no solution.

    Parameters
    ----------
    A : array-like of shape (m, n)
        Matrix of the system.
    b : array-like of shape (m,)
        Right-hand side.
    tolerance : float, default=1e-9
        Largest violation of ``A'y >= 0``, with y scaled to ``b'y = -1``, that counts
        as a proof.

    Returns
    -------
    Certificate
        Its witness ``y`` has ``A'y >= 0`` and ``b'y = -1``.

    Raises
    ------
    ValueError
        If the system has a solution, shapes disagree, or a number is not finite.

    Examples
    --------
    >>> import farkas
    >>> certificate = farkas.certify_infeasible([[1, 1], [1, 1]], [1, 2])
    >>> y = certificate.witness["y"]
    >>> y @ [[1, 1], [1, 1]] >= 0, float(y @ [1, 2])
    (array([ True,  True]), -1.0)
    """
    from scipy.optimize import linprog

    A = _finite("A", A, ndim=2)
    b = _finite("b", b, ndim=1)
    if A.shape[0] != len(b):
        raise ValueError(
            f"A has {A.shape[0]} rows but b has {len(b)} entries; pass A (m, n) and "
            "b (m,)."
        )
    # Unit columns and a unit right-hand side make the solver's tolerances relative.
    columns = np.linalg.norm(A, axis=0)
    cone = (A / np.where(columns > 0, columns, 1.0)).T
    target = b / (np.linalg.norm(b) or 1.0)
    y = _separate(cone, target) if b.any() else None
    if y is None or not target @ y < -1e-9:
        x = np.zeros(A.shape[1])
        if b.any():
            x = linprog(x, A_eq=A, b_eq=b, method="highs").x
        where = "" if x is None else f": x = {np.round(x, 6)}"
        raise ValueError(f"Ax = b, x >= 0 has a solution, so no proof exists{where}.")
    return certify(
        "farkas.linear_system/1",
        (A, b),
        {"y": y / -(b @ y)},
        tolerance=tolerance,
    )


def _separate(cone: NDArray[Any], target: NDArray[Any]) -> NDArray[Any] | None:
    """Return y with ``cone y >= 0`` and the least ``target'y`` in the unit box.

    If a y with ``cone y > 0`` and half that descent exists, it is preferred: its proof
    survives rounding.
    """
    from scipy.optimize import linprog

    k, m = cone.shape
    found = linprog(target, A_ub=-cone, b_ub=np.zeros(k), bounds=(-1.0, 1.0))
    if found.x is None or not target @ found.x < 0:
        return None
    interior = linprog(
        np.append(np.zeros(m), -1.0),
        A_ub=np.block([[-cone, np.ones((k, 1))], [target, np.zeros((1, 1))]]),
        b_ub=np.append(np.zeros(k), 0.5 * target @ found.x),
        bounds=[(-1.0, 1.0)] * m + [(0.0, 1.0)],
    )
    strict = interior.x is not None and interior.x[-1] > 1e-9
    y: NDArray[Any] = interior.x[:-1] if strict else found.x
    return y


def _finite(name: str, value: ArrayLike, *, ndim: int) -> NDArray[Any]:
    array = np.asarray(value, dtype=np.float64)
    if array.ndim != ndim:
        raise ValueError(f"{name} must be {ndim}-dimensional, got {array.ndim}.")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must not contain NaN or infinity.")
    return array
