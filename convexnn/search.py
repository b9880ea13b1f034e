"""Search for a hidden unit that would improve a network, whatever its pattern.

With theta = -L'(z) at the network's prediction z, adding a small unit in direction u
lowers the objective exactly if ``|theta'(X u)_+| > alpha |u|``. The largest ratio of
the two sides is what a lower bound over all networks needs; here it is estimated from
below, by ascent on the sphere from many starts at once.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from convexnn.cones import project_blocks

Array = NDArray[np.float64]

# Normalised gradient steps; halfway the worse half of the starts is dropped. Each start
# has a step of its own: longer after success, halved after failure. Measured on breast
# cancer and digits: more steps change the ratio in the fourth digit.
STEPS = 60
GROWTH, LONGEST, SHRINK = 1.5, 4.0, 0.5

# Units of each sign that are moved to the exact best of their cells at the end, and how
# often; rows this close to a unit's hyperplane, relative to their length, are on it.
POLISHED = 20
POLISH_ROUNDS = 5
TIE = 1e-10


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """Directions in which a unit improves the network most, best first."""

    directions: Array  # (d, k) unit vectors
    signs: Array  # (k,) sign of the output weight
    ratios: Array  # (k,) |theta'(X u)_+| / alpha

    @property
    def ratio(self) -> float:
        """The largest ratio: up to 1, no unit was found that improves."""
        return float(self.ratios.max(initial=0.0))


def search_units(
    X: Array, theta: Array, alpha: float, starts: Array, *, steps: int = STEPS
) -> Found:
    """Maximise ``|theta'(X u)_+| / alpha`` over the unit sphere from given starts.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Data.
    theta : ndarray of shape (n,)
        Negative derivative of the loss at the network's prediction.
    alpha : float
        Weight of the penalty.
    starts : ndarray of shape (d, s)
        Directions to start from; zero columns are left out.
    steps : int, default=60
        Steps of ascent.

    Returns
    -------
    Found
        The ends of all paths that survived, distinct in sign and pattern, sorted by
        ratio. An estimate from below: a path may miss the largest ratio.
    """
    lengths = np.linalg.norm(starts, axis=0)
    starts = starts[:, lengths > 0] / lengths[lengths > 0]
    paths = [_ascend(X, sign * theta, starts, steps) for sign in (1.0, -1.0)]
    directions = np.concatenate([units for units, _ in paths], axis=1)
    heights = np.concatenate([found for _, found in paths])
    signs = np.repeat([1.0, -1.0], [len(found) for _, found in paths])
    order = np.argsort(-heights, kind="stable")[: np.isfinite(heights).sum()]
    keys = np.vstack([signs[order] > 0, X @ directions[:, order] >= 0])
    _, first = np.unique(np.packbits(keys, axis=0), axis=1, return_index=True)
    order = order[np.sort(first)]
    return Found(directions[:, order], signs[order], heights[order] / alpha)


def _ascend(X: Array, theta: Array, units: Array, steps: int) -> tuple[Array, Array]:
    """Maximise ``theta'(X u)_+`` from all units at once; return ends and heights."""
    products = X @ units
    heights = _heights(theta, products)
    step = np.ones(len(heights))
    for k in range(steps):
        if k == steps // 2:
            kept = np.argsort(-heights, kind="stable")[: (len(heights) + 1) // 2]
            units, products = units[:, kept], products[:, kept]
            heights, step = heights[kept], step[kept]
        slopes = X.T @ ((products > 0) * theta[:, None])
        slopes *= step / np.maximum(np.linalg.norm(slopes, axis=0), 1e-300)
        trial = units + slopes
        trial /= np.maximum(np.linalg.norm(trial, axis=0), 1e-300)
        moved = X @ trial
        reached = _heights(theta, moved)
        better = reached > heights
        units = np.where(better, trial, units)
        products = np.where(better, moved, products)
        heights = np.where(better, reached, heights)
        step *= np.where(better, GROWTH, SHRINK)
        np.minimum(step, LONGEST, out=step)
    best = np.argsort(-heights, kind="stable")[:POLISHED]
    units[:, best], heights[best] = _polish(X, theta, units[:, best], heights[best])
    return units, heights


def _heights(theta: Array, products: Array) -> Array:
    """Return ``theta'(X u)_+``; minus infinity for a unit that no row activates."""
    alive = (products > 0).any(axis=0)
    return np.where(alive, theta @ np.maximum(products, 0.0), -np.inf)


def _polish(
    X: Array, theta: Array, units: Array, heights: Array
) -> tuple[Array, Array]:
    """Move each unit to the best point of its cell, and of one across its hyperplanes.

    On a cell the height is linear: the best point is the projection of its slope onto
    the cell's cone. A maximum where cells meet defeats gradient steps.
    """
    rows = np.linalg.norm(X, axis=1)[:, None]
    for _ in range(POLISH_ROUNDS):
        before = heights
        for tie in (TIE, -TIE):
            D = (X @ units >= tie * rows).T.astype(np.float64)
            moved = project_blocks(X, D, (D * theta) @ X)[0].T
            moved = moved / np.maximum(np.linalg.norm(moved, axis=0), 1e-300)
            reached = _heights(theta, X @ moved)
            better = reached > heights
            units = np.where(better, moved, units)
            heights = np.where(better, reached, heights)
        if not (heights > before * (1.0 + TIE)).any():
            break
    return units, heights
