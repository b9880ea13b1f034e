"""A dual point moved into its constraints, with what is left of them bounded.

``alpha = omega (Y - Q)`` for probabilities Q, and ``Z_j' alpha = 0`` for every column
without a ridge.
"""

import math

import numpy as np
from numpy.typing import NDArray

from sdl._measure_data import BLOCK_SUM, EPS, Array, Problem, frobenius

# A sample whose two probabilities are at least this takes part in the repair of the
# dual constraints: there the entropy's slope is at most log(1 / MARGIN).
MARGIN = 1e-9
# Smallest singular value, over the largest, at which the repair counts as well posed.
WELL_POSED = 1e-7
_REPAIRS = 4


def repaired_dual(task: Problem, dual: Array) -> tuple[Array, float] | None:
    """Move a dual point into its constraints.

    Returns
    -------
    alpha : ndarray of shape (n, K)
        Its rows belong to probabilities for certain.
    remainder : float
        A point that meets the constraints exactly lies within this distance, and it
        differs only where probabilities are at least MARGIN / 2.
    """
    omega = task.omega[:, None]
    alpha = omega * (task.Y - _probabilities(task.Y - dual / omega))
    free = task.free_columns()
    if free is None:
        return None
    if free.shape[1] == 0:
        return alpha, 0.0
    if free.shape[1] == 1 and alpha.shape[1] == 1 and task.only_intercept:
        alpha = _balanced(alpha)
    for _ in range(_REPAIRS):
        left = _exact_product(free, alpha)
        if np.all(np.abs(left) <= EPS * (np.abs(free).T @ np.abs(alpha))):
            break  # what is left is below the rounding counted below
        step = _correction(task, free, alpha, left)
        if step is None:
            return None
        alpha = alpha + step
        Q = task.Y - alpha / omega
        room = np.minimum(Q, 1.0 - np.sum(Q, axis=1, keepdims=True))
        if np.min(room[step != 0], initial=1.0) < MARGIN / 2:
            return None
    # Sums are exact; every product carries one rounding.
    error = np.abs(_exact_product(free, alpha))
    error = error + 2 * EPS * (np.abs(free).T @ np.abs(alpha))
    worst = 0.0
    for k in range(alpha.shape[1]):
        inside = _inside(task, alpha, k)
        spectrum = _singular_values(free[inside])
        if spectrum is None:
            return None
        distance = frobenius(error[:, [k]]) / spectrum
        limit = 0.25 * MARGIN * float(task.omega[inside].min()) / alpha.shape[1]
        if not distance <= limit:
            return None
        worst += distance
    return alpha, worst


def _probabilities(Q: Array) -> Array:
    """Clip and shrink rows until they are probabilities with room for rounding."""
    Q = np.clip(np.nan_to_num(Q, nan=0.0), 0.0, 1.0)
    if Q.shape[1] == 1:
        return Q
    total = np.sum(Q, axis=1, keepdims=True)
    room = 8 * (1 + Q.shape[1]) * EPS
    return np.where(total > 1.0 - room, Q * ((1.0 - room) / np.maximum(total, 1.0)), Q)


def _balanced(alpha: Array) -> Array:
    """Shrink the positive or the negative part until both have the same sum."""
    positive = math.fsum(np.maximum(alpha[:, 0], 0.0))
    negative = math.fsum(np.maximum(-alpha[:, 0], 0.0))
    if positive > negative:
        return np.where(alpha > 0, alpha * (negative / positive), alpha)
    if negative > positive:
        return np.where(alpha < 0, alpha * (positive / negative), alpha)
    return alpha


def _inside(task: Problem, alpha: Array, k: int) -> NDArray[np.bool_]:
    Q = task.Y - alpha / task.omega[:, None]
    inside: NDArray[np.bool_] = np.minimum(Q[:, k], 1.0 - np.sum(Q, axis=1)) >= MARGIN
    return inside


def _correction(task: Problem, free: Array, alpha: Array, left: Array) -> Array | None:
    """Return the shortest step to the constraints on samples with room to move."""
    step = np.zeros_like(alpha)
    for k in range(alpha.shape[1]):
        inside = _inside(task, alpha, k)
        block = free[inside]
        if _singular_values(block) is None:
            return None
        step[inside, k] = np.linalg.lstsq(block.T, -left[:, k], rcond=None)[0]
    return step


def _exact_product(free: Array, alpha: Array) -> Array:
    """Return ``free' alpha`` from exact sums of the rounded products."""
    columns = [[math.fsum((z * a).tolist()) for a in alpha.T] for z in free.T]
    return np.array(columns, dtype=np.float64).reshape(free.shape[1], alpha.shape[1])


def _singular_values(block: Array) -> float | None:
    """Return a lower bound of the smallest singular value, None where it is tiny."""
    if block.shape[0] < block.shape[1]:
        return None
    if block.shape[1] == 1:
        return frobenius(block) * (1.0 - 2 * BLOCK_SUM * EPS) or None
    values = np.linalg.svd(block, compute_uv=False)
    smallest = float(values[-1] - sum(block.shape) * EPS * values[0])
    return smallest if smallest > WELL_POSED * values[0] else None
