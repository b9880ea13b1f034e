"""Leading eigenpairs of a diagonal matrix plus one of low rank.

In the eigenbasis of the Gram matrix every eigenproblem of the lifted solver reads
``diag(d) + U U'`` with K columns in U. One column leads to the secular equation
``1 + sum_i u_i^2 / (d_i - lambda) = 0`` (Golub and Van Loan, section 8.5.3).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

Array = NDArray[np.float64]

# Below this order LAPACK is faster than the secular equation.
DENSE = 96
# Up to this order LAPACK is taken for several columns (measured on one core).
DENSE_BLOCK = 500
# Weights below this share of the norm decouple.
DEFLATION = 1e-15
# Steps and halvings of a bracket; half a dozen is usual.
_STEPS = 150
# A step below this share of the root is rounding.
_DIGITS = 4e-15


def leading_pairs(d: Array, U: Array, r: int) -> tuple[Array, Array]:
    """Return the r largest eigenvalues of ``diag(d) + U U'`` and their vectors.

    Parameters
    ----------
    d : ndarray of shape (k,)
        Diagonal, in descending order.
    U : ndarray of shape (k, K)
        Columns.
    r : int
        How many, at most k.

    Returns
    -------
    values : ndarray of shape (r,)
        In descending order.
    Q : ndarray of shape (k, r)
        Orthonormal columns.

    Examples
    --------
    >>> values, Q = leading_pairs(np.array([2.0, 1.0]), np.array([[0.0], [3.0]]), 1)
    >>> values
    array([10.])
    """
    k = len(d)
    if U.shape[1] == 1 and k > DENSE:
        found = _secular(d, U[:, 0], r)
        if found is not None:
            return found
    if k > DENSE_BLOCK and r < k // 4:
        found = _lanczos(d, U, r)
        if found is not None:
            return found
    values, Q = eigh(
        np.diag(d) + U @ U.T, subset_by_index=[k - r, k - 1], check_finite=False
    )
    return values[::-1], Q[:, ::-1]


def leading_sum(d: Array, U: Array, r: int) -> float:
    """Return the sum of the r largest eigenvalues of ``diag(d) + U U'``.

    Parameters
    ----------
    d : ndarray of shape (k,)
        Diagonal, in descending order.
    U : ndarray of shape (k, K)
        Columns.
    r : int
        How many.

    Returns
    -------
    float
    """
    if U.shape[1] == 1 and len(d) > DENSE:
        u = U[:, 0]
        weights = u * u
        gaps = -np.diff(d)
        whole = np.abs(u).min() > DEFLATION * np.linalg.norm(u)
        if whole and gaps.min() > 1e-14 * max(abs(d[0]), weights.sum()):
            return float(_roots(d, weights, r)[0].sum())
    return float(leading_pairs(d, U, r)[0].sum())


def _secular(d: Array, u: Array, r: int) -> tuple[Array, Array] | None:
    """Solve by the secular equation; None where diagonal entries coincide."""
    norm = float(np.linalg.norm(u))
    active = np.abs(u) > DEFLATION * norm
    index = np.flatnonzero(active)
    if len(index) == 0:
        return d[:r].copy(), np.eye(len(d))[:, :r]
    poles, weights = d[index], u[index] ** 2
    gaps = -np.diff(poles)
    if len(gaps) and gaps.min() <= 1e-14 * max(abs(poles[0]), norm * norm):
        return None
    m = min(r, len(index))
    roots, distance = _roots(poles, weights, m)
    vectors = np.zeros((len(d), m))
    vectors[index] = u[index, None] / distance
    vectors /= np.linalg.norm(vectors, axis=0)
    # Diagonal entries without a weight are eigenvalues themselves.
    still = np.flatnonzero(~active)[:r]
    values = np.concatenate([roots, d[still]])
    if len(still):
        units = np.zeros((len(d), len(still)))
        units[still, np.arange(len(still))] = 1.0
        vectors = np.hstack([vectors, units])
    order = np.argsort(-values, kind="stable")[:r]
    Q, R = np.linalg.qr(vectors[:, order])
    return values[order], Q * np.sign(np.diag(R))


def _roots(poles: Array, weights: Array, m: int) -> tuple[Array, Array]:
    """Return the m largest roots, and all differences ``d_i - root`` (k, m).

    Each root is measured from the nearer of the two poles around it, so that the
    differences keep their relative accuracy.
    """
    upper = np.concatenate([[poles[0] + weights.sum()], poles[: m - 1]])
    width = upper - poles[:m]
    from_lower = poles[:, None] - poles[:m]
    middle = 1.0 + np.sum(weights[:, None] / (from_lower - 0.5 * width), axis=0)
    near_lower = middle >= 0.0
    near_lower[0] = True  # there is no pole above the largest root
    origin = np.where(near_lower, poles[:m], upper)
    offset = poles[:, None] - origin
    offset[np.arange(m), np.arange(m)] = np.where(near_lower, 0.0, poles[:m] - upper)
    low = np.where(near_lower, 0.0, -0.5 * width)
    high = np.where(near_lower, np.where(middle >= 0.0, 0.5, 1.0) * width, 0.0)
    # The two poles around a root; the largest root has one below it only.
    above = np.where(np.arange(m) > 0, upper - origin, np.inf)
    mu = _middle_way(weights, offset, poles[:m] - origin, above, low, high)
    return origin + mu, offset - mu


def _middle_way(
    weights: Array, offset: Array, below: Array, above: Array, low: Array, high: Array
) -> Array:
    """Solve ``1 + sum_i w_i / (offset_i - mu) = 0`` in brackets, all roots at a time.

    Each step solves a model with the two poles around the root whose slopes are those
    of the poles on either side (Li, LAPACK working note 89); one that leaves the
    bracket halves it instead.
    """
    mu, m = 0.5 * (low + high), len(low)
    lone = ~np.isfinite(above)
    far = np.where(lone, 0.0, above)
    lower_side = np.arange(len(weights))[:, None] >= np.arange(m)
    for _ in range(_STEPS):
        inverse = 1.0 / (offset - mu)
        terms = weights[:, None] * inverse
        f = 1.0 + terms.sum(axis=0)
        low, high = np.where(f < 0.0, mu, low), np.where(f < 0.0, high, mu)
        terms *= inverse
        first = np.einsum("ij,ij->j", terms, lower_side)
        a, b = below - mu, np.where(lone, 1.0, far - mu)
        p = a * a * first
        q = np.where(lone, 0.0, b * b * (terms.sum(axis=0) - first))
        c = f - p / a - q / b
        with np.errstate(invalid="ignore", divide="ignore"):
            linear = c * (a + b) + p + q
            root = np.sqrt(np.maximum(linear * linear - 4.0 * c * f * a * b, 0.0))
            step = np.where(
                linear > 0.0,
                2.0 * f * a * b / (linear + root),
                (linear - root) / (2.0 * c),
            )
            step = np.where(lone, a + p / c, step)
        done = (np.abs(step) <= _DIGITS * np.abs(mu)) | (f == 0.0)
        if done.all():
            break
        new = mu + step
        inside = ((new > low) & (new < high)) | done
        mu = np.where(inside, new, 0.5 * (low + high))
        if np.all(done | (high - low <= _DIGITS * np.abs(mu))):
            break
    return mu


def _lanczos(d: Array, U: Array, r: int) -> tuple[Array, Array] | None:
    operator = LinearOperator(
        (len(d), len(d)), matvec=lambda x: d * np.ravel(x) + U @ (U.T @ np.ravel(x))
    )
    start = np.abs(d) + U @ np.ones(U.shape[1]) + 1e-3 * np.abs(d).max()
    try:
        values, Q = eigsh(operator, r, which="LA", v0=start)
    except ArpackError:
        return None
    residual = d[:, None] * Q + U @ (U.T @ Q) - Q * values
    if np.abs(residual).max() > 1e-9 * np.abs(values).max():
        return None
    order = np.argsort(-values)
    return values[order], np.linalg.qr(Q[:, order])[0]
