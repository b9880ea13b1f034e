"""Quadratic models of scattered values, and their minimum in a ball.

With enough points the model interpolates; with fewer, its Hessian changes as little as
possible from an earlier one in the Frobenius norm (Powell, Math. Program. 100 (2004)).
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

Array = NDArray[np.float64]

# Points on a line repeat themselves in the system: cutoff of its singular values.
CUTOFF = 1e-13
# A solution whose residual is larger than this is redone by singular values.
RESIDUAL = 1e-8
NEWTON_STEPS = 60
ON_BOUNDARY = 0.95


class Quadratic(NamedTuple):
    """The model ``a + g.p + p.H p / 2`` of ``p = w - center``."""

    center: Array
    a: float
    g: Array
    H: Array

    def at(self, p: Array) -> Array:
        """Return the values at displacements.

        Parameters
        ----------
        p : ndarray of shape (q, k)
            Displacements.

        Returns
        -------
        ndarray of shape (q,)
        """
        with np.errstate(over="ignore", invalid="ignore"):  # of huge values
            curved = 0.5 * np.einsum("ij,ij->i", p @ self.H, p)
            values: Array = self.a + p @ self.g + curved
        return values


def fit(
    P: Array, F: Array, prior: Array | None = None
) -> tuple[Array, Array, Array] | None:
    """Fit one or several functions at the same points.

    Parameters
    ----------
    P : ndarray of shape (q, k)
        Displacements from the center of the models.
    F : ndarray of shape (q, r)
        Values of r functions.
    prior : ndarray of shape (k, k), optional
        Hessian, of the first function, from which to change as little as possible.

    Returns
    -------
    a, g, H : ndarray of shape (r,), (r, k) and (r, k, k)
        None when the system cannot be solved.
    """
    q, k = P.shape
    scale = float(np.sqrt(np.max(np.einsum("ij,ij->i", P, P))))
    if not scale > 0:
        return None
    Y = P / scale
    if prior is not None:
        F = F.copy()
        F[:, 0] -= 0.5 * np.einsum("ij,ij->i", P @ prior, P)
    if q >= (k + 1) * (k + 2) // 2:
        solved = _regression(Y, F)
    else:
        solved = _least_change(Y, F)
    if solved is None:
        return None
    a, g, H = solved
    g, H = g / scale, H / scale**2
    if prior is not None:
        H[0] += prior
    if not (np.isfinite(a).all() and np.isfinite(g).all() and np.isfinite(H).all()):
        return None
    return a, g, H


def _least_change(Y: Array, F: Array) -> tuple[Array, Array, Array] | None:
    q, k = Y.shape
    system = np.zeros((q + k + 1, q + k + 1))
    system[:q, :q] = 0.5 * (Y @ Y.T) ** 2
    system[:q, q] = system[q, :q] = 1.0
    system[:q, q + 1 :] = Y
    system[q + 1 :, :q] = Y.T
    right = np.zeros((q + k + 1, F.shape[1]))
    right[:q] = F
    solution = _solve(system, right)
    if solution is None:
        return None
    lam, a, g = solution[:q], solution[q], solution[q + 1 :].T
    H = np.einsum("qr,qi,qj->rij", lam, Y, Y, optimize=True)
    return a, g, H


def _regression(Y: Array, F: Array) -> tuple[Array, Array, Array] | None:
    q, k = Y.shape
    i, j = np.triu_indices(k)
    columns = np.empty((q, 1 + k + len(i)))
    columns[:, 0] = 1.0
    columns[:, 1 : k + 1] = Y
    # p.H p / 2 of a symmetric H: off-diagonal entries count twice.
    weights = np.where(i == j, 0.5, 1.0 / math.sqrt(2.0))
    columns[:, k + 1 :] = weights * Y[:, i] * Y[:, j]
    if q == columns.shape[1]:
        solution = _solve(columns, F)
    else:
        solution = np.linalg.lstsq(columns, F, rcond=CUTOFF)[0]
    if solution is None:
        return None
    H = np.zeros((F.shape[1], k, k))
    entries = (
        solution[k + 1 :] * np.where(i == j, 1.0, 1.0 / math.sqrt(2.0))[:, None]
    ).T
    H[:, i, j] = entries
    H[:, j, i] = entries
    return solution[0], solution[1 : k + 1].T, H


def _solve(system: Array, right: Array) -> Array | None:
    """Solve a square system, by singular values where elimination is not accurate."""
    _, _, solution, info = lapack.dgesv(system, right)
    if info == 0 and np.isfinite(solution).all():
        residual = float(np.abs(system @ solution - right).max())
        if residual <= RESIDUAL * max(float(np.abs(right).max()), 1e-300):
            return solution
    try:
        return np.linalg.lstsq(system, right, rcond=CUTOFF)[0]
    except np.linalg.LinAlgError:
        return None


def minimize_in_ball(g: Array, H: Array, radius: float) -> Array:
    """Minimise ``g.p + p.H p / 2`` over ``|p| <= radius`` exactly.

    Parameters
    ----------
    g : ndarray of shape (k,)
        Gradient.
    H : ndarray of shape (k, k)
        Symmetric matrix.
    radius : float
        Of the ball.

    Returns
    -------
    ndarray of shape (k,)

    References
    ----------
    More, Sorensen, SIAM J. Sci. Stat. Comput. 4 (1983) 553-572.
    """
    values, vectors = np.linalg.eigh(H)
    c = vectors.T @ g
    lowest = float(values[0])
    size = max(abs(lowest), abs(float(values[-1])))
    if lowest > 1e-14 * size:
        p = -c / values
        if p @ p <= radius * radius:
            return vectors @ p
    length = float(np.sqrt(c @ c))
    if length == 0.0 and lowest >= 0:
        return np.zeros(len(g))
    # |p(lam)| = radius on lam > max(0, -lowest): bracket, then safeguarded Newton on
    # 1/radius - 1/|p|, which is nearly linear.
    tiny = 1e-15 * max(size, length / radius)
    low = max(0.0, -lowest) + tiny
    p = -c / (values + low)
    if p @ p < radius * radius:  # hard case: add a multiple of the lowest eigenvector
        if lowest < 0:
            p[0] = math.copysign(math.sqrt(radius * radius - p[1:] @ p[1:]), p[0])
        return vectors @ p
    high = max(0.0, -lowest) + length / radius + tiny
    lam = high
    for _ in range(NEWTON_STEPS):
        shifted = values + lam
        p = -c / shifted
        norm = float(np.sqrt(p @ p))
        if abs(norm - radius) <= 1e-10 * radius:
            break
        if norm > radius:
            low = lam
        else:
            high = lam
        slope = float(p @ (p / shifted))
        step = (norm * norm / slope) * (norm - radius) / radius if slope > 0 else 0.0
        lam = lam + step
        if not low < lam < high:
            lam = (
                math.sqrt(low * high)
                if low > 0 and high > 4 * low
                else 0.5 * (low + high)
            )
    return vectors @ p
