"""Limited-memory quasi-Newton steps with nonnegative and free variables.

The two-metric projection of Bertsekas (1982): variables that sit at zero with a
positive slope are held, the others take an L-BFGS direction, and the point is projected
in a backtracking line search. SciPy's L-BFGS-B converts bounds entry by entry in
Python, which takes longer than the few steps that are wanted here.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Armijo's constant, and shortenings of a step before the search gives up.
SUFFICIENT, SHORTENINGS = 1e-4, 20
# Curvature along a step, relative to its length times that of the change in slope,
# from which the pair is remembered.
CURVATURE = 1e-10


def minimise_in_box(
    value_and_slope: Callable[[Array], tuple[float, Array]],
    start: Array,
    positive: NDArray[np.bool_],
    *,
    steps: int,
    memory: int = 10,
) -> Array:
    """Take quasi-Newton steps with some variables kept nonnegative.

    Parameters
    ----------
    value_and_slope : callable
        Returns the value and the gradient at a point.
    start : ndarray of shape (m,)
        Feasible start, scaled so that curvatures are of order one.
    positive : ndarray of shape (m,)
        Which variables are nonnegative.
    steps : int
        Largest number of steps.
    memory : int, default=10
        Pairs that the method remembers.

    Returns
    -------
    ndarray of shape (m,)
        Feasible, with a value that is not larger.

    Examples
    --------
    >>> def f(x):
    ...     return float((x + 1) @ (x + 1)), 2 * (x + 1)
    >>> minimise_in_box(f, np.ones(2), np.array([True, False]), steps=20)
    array([ 0., -1.])
    """
    x, pairs = start, []
    value, slope = value_and_slope(x)
    for _ in range(steps):
        free = ~(positive & (x <= 0.0) & (slope > 0.0))
        direction = -_two_loops(np.where(free, slope, 0.0), pairs, free)
        descent = float(direction @ slope)
        if not descent < 0.0:
            pairs.clear()
            direction = np.where(free, -slope, 0.0)
        found = _line_search(value_and_slope, x, value, slope, direction, positive)
        if found is None:
            break
        new, value, new_slope = found
        step, change = new - x, new_slope - slope
        if step @ change > CURVATURE * np.linalg.norm(step) * np.linalg.norm(change):
            pairs.append((step, change))
            del pairs[:-memory]
        x, slope = new, new_slope
    return x


def _two_loops(
    slope: Array, pairs: list[tuple[Array, Array]], free: NDArray[np.bool_]
) -> Array:
    """Apply the inverse of the remembered curvature to the free part of the slope."""
    kept = []
    for step, change in pairs:
        s, y = step * free, change * free
        inner = float(s @ y)
        if inner > 0.0:
            kept.append((s, y, inner))
    q, weights = slope, []
    for s, y, inner in reversed(kept):
        weights.append(float(s @ q) / inner)
        q = q - weights[-1] * y
    if kept:
        _, y, inner = kept[-1]
        q = q * (inner / float(y @ y))
    for (s, y, inner), weight in zip(kept, reversed(weights), strict=True):
        q = q + (weight - float(y @ q) / inner) * s
    return q * free


def _line_search(
    value_and_slope: Callable[[Array], tuple[float, Array]],
    x: Array,
    value: float,
    slope: Array,
    direction: Array,
    positive: NDArray[np.bool_],
) -> tuple[Array, float, Array] | None:
    """Backtrack along the projected path; None where nothing is gained."""
    size = 1.0
    for _ in range(SHORTENINGS):
        new = x + size * direction
        new = np.where(positive, np.maximum(new, 0.0), new)
        fall = float(slope @ (new - x))
        if fall >= 0.0:
            return None
        trial, new_slope = value_and_slope(new)
        if trial <= value + SUFFICIENT * fall:
            return new, trial, new_slope
        # the minimum of the parabola through what is known, within reason
        bend = trial - value - fall
        best = -0.5 * fall / bend if np.isfinite(bend) and bend > 0.0 else 0.1
        size *= min(max(best, 0.02), 0.5)
    return None
