"""Activation patterns that survive perturbations.

A Gaussian hyperplane usually passes within eps of some row, and then the robust cone
``{v : S X v >= |v|_eps}`` of its pattern is only the zero vector: with such patterns
the robust program returns the zero network. The patterns drawn here have room on both
sides of the hyperplane.
"""

import hashlib
import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linprog

from convexnn._measure_cells import lengths
from convexnn.patterns import DRAWS_PER_PATTERN, PatternSet, as_matrix
from convexnn.program import as_patterns
from convexnn.robust.cones import RobustConeProjector
from convexnn.robust.program import column_radius
from farkas.parallel import seed_sequence

Array = NDArray[np.float64]

# Hyperplanes kept at most of one direction: the widest gaps. More would be patterns
# that differ in few rows.
GAPS_PER_DIRECTION = 4

# A cone counts as nontrivial if it stays so for a radius larger by this factor.
ROOM = 1.0 + 1e-9


def sample_robust_patterns(
    X: ArrayLike,
    n_patterns: int,
    *,
    eps: ArrayLike,
    random_state: Any = None,
) -> PatternSet:
    """Draw distinct activation patterns whose robust cones are more than zero.

    The pattern of all ones comes first, as a constant column makes robust linear units
    available for any radius. Then directions ``a`` are drawn, Gaussian on random
    subsets of the columns: hyperplanes go through gaps of the projections ``X a`` wider
    than ``2 |a|_eps``, and both sides of each give a pattern. Between these, Gaussian
    gates with rows moved at random to corners of their boxes, as in the reference, are
    tried and kept where a linear program finds a vector inside the cone.

    Parameters
    ----------
    X : array-like of shape (n, d)
        Data, with the intercept column if there is one.
    n_patterns : int
        Number P of patterns. The first k do not depend on P.
    eps : float or array-like of shape (d,)
        Radius in the units of X; a number spares constant columns.
    random_state : int, RandomState, Generator or None, default=None
        Source of randomness.

    Returns
    -------
    PatternSet
        Its gates lie inside the robust cones. The all-zero pattern is left out: it
        contributes nothing. Fewer than P patterns where the draws found no more: data
        have few robust patterns. If there is none, the pattern of all ones alone.

    Raises
    ------
    ValueError
        If an argument is out of range or X is not a finite matrix.

    References
    ----------
    Bai, Gautam, Sojoudi, "Practical Convex Formulation of Robust One-hidden-layer
    Neural Network Training", arXiv:2105.12237, algorithm 2.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[-2.0, 1.0], [-1.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
    >>> sample_robust_patterns(X, 3, eps=0.6, random_state=0).D.astype(int)
    array([[1, 1, 0],
           [1, 1, 0],
           [1, 0, 1],
           [1, 0, 1]])
    """
    X = as_matrix(X)
    radius = column_radius(eps, X)
    if not isinstance(n_patterns, int | np.integer) or n_patterns < 1:
        raise ValueError(f"n_patterns={n_patterns!r} must be an integer >= 1.")
    rng = np.random.default_rng(seed_sequence(random_state))
    ones = np.ones(len(X), dtype=bool)
    columns, gates = [ones], [_inside(X, ones, radius)]
    seen = {_key(ones)}
    for pattern, gate in _candidates(X, radius, rng, DRAWS_PER_PATTERN * n_patterns):
        if len(columns) == n_patterns:
            break
        key = _key(pattern)
        if key in seen or not pattern.any():
            continue
        seen.add(key)
        point = gate if _margin(X, pattern, gate, radius) > 0 else None
        if point is None and _seems_nontrivial(X, pattern, gate, radius):
            point = _inside(X, pattern, radius)
        if point is not None:
            columns.append(pattern)
            gates.append(point)
    if gates[0] is None:  # without a constant column, one side may be out of reach
        keep_ones = len(columns) == 1
        gates = [np.zeros(X.shape[1])] if keep_ones else gates[1:]
        columns = columns if keep_ones else columns[1:]
    return PatternSet(np.stack(columns, axis=1), np.stack(gates, axis=1))


def pattern_radius(X: ArrayLike, patterns: Any, *, eps: ArrayLike) -> Array:
    """Return how far each pattern is from losing its robust cone.

    Solves ``max t`` s.t. ``S X v >= t, |v|_eps <= 1`` for each pattern.

    Parameters
    ----------
    X : array-like of shape (n, d)
        Data, with the intercept column if there is one.
    patterns : array-like of shape (n, P) or PatternSet
        Activation patterns, 0/1.
    eps : float or array-like of shape (d,)
        Radius of each column, or of all but constant ones; not all zero.

    Returns
    -------
    ndarray of shape (P,)
        The largest factor f for which the cone at the radius ``f eps`` holds more than
        zero. At ``eps=1`` it is the largest radius itself. ``inf`` where columns that
        are not perturbed decide alone.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> X = [[-2.0, 1.0], [-1.0, 1.0], [1.0, 1.0], [2.0, 1.0]]
    >>> pattern_radius(X, [[1, 0], [1, 0], [1, 1], [1, 1]], eps=1.0)
    array([inf,  1.])
    """
    X = as_matrix(X)
    radius = column_radius(eps, X)
    if not radius.any():
        raise ValueError("eps must be positive for at least one column.")
    D = as_patterns(patterns, X).D
    return np.array([_largest_factor(X, column, radius)[0] for column in D.T])


def warn_if_collapsed(
    X: Array, patterns: PatternSet, eps: Array, *, stacklevel: int = 2
) -> None:
    """Warn that all units vanished, and say up to which radius they would not.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Data of the program.
    patterns : PatternSet
        Its patterns.
    eps : ndarray of shape (d,)
        Radius of each column, not all zero.
    stacklevel : int, default=2
        As in ``warnings.warn``.
    """
    factors = pattern_radius(X, patterns, eps=eps)
    alive = int((factors >= 1.0).sum())
    listed = ", ".join(f"{f * eps.max():.3g}" for f in np.sort(factors)[::-1][:10])
    remedy = (
        "alpha outweighs every unit; lower alpha or eps"
        if alive
        else "lower eps, or draw patterns by sample_robust_patterns"
    )
    warnings.warn(
        f"all units vanish at eps={eps.max():.3g}: {alive} of {len(patterns)} patterns "
        f"have units that keep them on the whole box. The largest eps up to which a "
        f"pattern does, best first: {listed}. {remedy.capitalize()}.",
        stacklevel=stacklevel + 1,
    )


def _candidates(
    X: Array, eps: Array, rng: np.random.Generator, draws: int
) -> Iterator[tuple[NDArray[np.bool_], Array]]:
    """Yield patterns and their gates, direction after direction."""
    d = X.shape[1]
    constant = np.flatnonzero((X == X[0]).all(axis=0) & (X[0] != 0) & (eps == 0))
    bias = int(constant[-1]) if len(constant) else None
    free = [j for j in range(d) if j != bias]
    for _ in range(draws):
        direction = np.zeros(d)
        if free:
            size = rng.integers(1, len(free), endpoint=True)
            direction[rng.permutation(free)[:size]] = rng.standard_normal(size)
        corners = rng.choice((-1.0, 1.0), size=X.shape)
        moved = rng.standard_normal(d)
        if bias is not None:
            yield from _through_gaps(X, direction, bias, eps)
        else:
            yield X @ direction >= 0, direction
            yield X @ direction <= 0, -direction
        yield (X + eps * corners) @ moved >= 0, moved


def _through_gaps(
    X: Array, direction: Array, bias: int, eps: Array
) -> Iterator[tuple[NDArray[np.bool_], Array]]:
    """Yield both sides of the hyperplanes through the widest gaps of a projection."""
    projections = np.sort(X @ direction)
    gaps = np.diff(projections)
    needed = 2.0 * float(eps @ np.abs(direction))
    widest = np.argsort(-gaps, kind="stable")[:GAPS_PER_DIRECTION]
    for k in widest[gaps[widest] > needed * ROOM]:
        gate = direction.copy()
        gate[bias] = -0.5 * (projections[k] + projections[k + 1]) / X[0, bias]
        pattern = X @ gate >= 0
        yield pattern, gate
        yield ~pattern, -gate


def _margin(X: Array, pattern: NDArray[np.bool_], gate: Array, eps: Array) -> float:
    """Return ``min_k S_k x_k'g - |g|_eps``, less what may be rounding."""
    signed = np.where(pattern, 1.0, -1.0) * (X @ gate)
    room = (ROOM - 1.0) * float(lengths(X, axis=1).max() * lengths(gate, axis=0))
    return float(signed.min()) - float(eps @ np.abs(gate)) - room


def _seems_nontrivial(
    X: Array, pattern: NDArray[np.bool_], gate: Array, eps: Array
) -> bool:
    """Tell whether the gate's projection onto the cone is more than rounding.

    A hundred times cheaper than a linear program, and most cones are trivial. One that
    is not may be lost if its gate points away from all of it.
    """
    size = max(float(np.abs(X).max()), float(eps.max()))
    project = RobustConeProjector(X / size, eps / size, pattern[None, :].astype(float))
    projection = project(gate[None, :])
    return float(np.linalg.norm(projection)) > 1e-6 * float(np.linalg.norm(gate))


def _inside(X: Array, pattern: NDArray[np.bool_], eps: Array) -> Array | None:
    """Return a vector inside the robust cone of a pattern, or None."""
    factor, point = _largest_factor(X, pattern, eps)
    return point if factor > ROOM else None


def _largest_factor(
    X: Array, pattern: NDArray[Any], eps: Array
) -> tuple[float, Array | None]:
    """Return ``max t`` s.t. ``S X v >= t, |v|_eps <= 1``, and such a v.

    Where the columns without a radius separate alone, t is unbounded. The program is
    then bounded by |v|_inf <= 1 on those columns to obtain a vector.
    """
    n, d = X.shape
    size = float(np.abs(X).max()) or 1.0
    signed = (2.0 * np.asarray(pattern, dtype=np.float64) - 1.0)[:, None] * X / size
    still = eps == 0
    if still.any():
        alone, point = _maximum(signed[:, still], np.zeros(int(still.sum())))
        if alone > ROOM - 1.0:
            v = np.zeros(d)
            v[still] = point
            return math.inf, v
    if still.all():
        return 0.0, None
    reach = float(eps.max())
    t, point = _maximum(signed, eps / reach)
    return t * size / reach, point


def _maximum(signed: Array, weights: Array) -> tuple[float, Array]:
    """Solve ``max t`` s.t. ``signed v >= t``, ``weights'|v| <= 1``, by HiGHS.

    Entries of v without a weight are bounded by one in absolute value if none has a
    weight, else free: the rest cannot separate without the others.
    """
    n, d = signed.shape
    rows = np.column_stack([-signed, signed, np.ones(n)])
    last = np.concatenate([weights, weights, [0.0]])
    bound = None if weights.any() else 1.0
    found = linprog(
        np.append(np.zeros(2 * d), -1.0),
        A_ub=np.vstack([rows, last]),
        b_ub=np.append(np.zeros(n), 1.0),
        bounds=[(0, bound)] * (2 * d) + [(0, None)],
        method="highs",
    )
    if found.status != 0:
        return 0.0, np.zeros(d)
    return float(found.x[-1]), found.x[:d] - found.x[d : 2 * d]


def _key(pattern: NDArray[np.bool_]) -> bytes:
    return hashlib.blake2b(np.packbits(pattern).tobytes(), digest_size=16).digest()
