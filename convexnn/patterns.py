"""Activation patterns of ReLU units: sampled at random, or all of them.

A gate ``g`` has the pattern ``d = 1[X g >= 0]``. With every pattern in the list the
convex program equals the network problem (Pilanci and Ergen, arXiv:2002.10553); a
sample gives the best network whose units keep to it.
"""

import dataclasses
import hashlib
import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexnn._measure_cells import (
    ON_HYPERPLANE,
    column_exponents,
    distinct_lines,
    hyperplane_basis,
    is_complete,
    lengths,
)
from farkas.parallel import seed_sequence

Array = NDArray[np.float64]

# Draws allowed for each pattern asked for, before a sample gives up.
DRAWS_PER_PATTERN = 20

# Largest number of r-subsets of rows for which enumeration is attempted.
ENUMERATION_LIMIT = 1_000_000


@dataclasses.dataclass(frozen=True, eq=False)
class PatternSet:
    """Distinct activation patterns, and a gate that realises each.

    Parameters
    ----------
    D : ndarray of shape (n, P), bool
        Pattern of each gate.
    gates : ndarray of shape (d, P)
        ``D = (X @ gates >= 0)``, where rows on a hyperplane up to rounding count as
        on it.
    complete : bool, default=False
        Whether the list holds every pattern that contributes to a network.

    Examples
    --------
    >>> from convexnn import enumerate_patterns
    >>> patterns = enumerate_patterns([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
    >>> len(patterns), patterns.D.shape, patterns.gates.shape, patterns.complete
    (14, (4, 14), (3, 14), True)
    """

    D: NDArray[np.bool_]
    gates: Array
    complete: bool = False

    def __len__(self) -> int:
        return self.D.shape[1]


def sample_patterns(
    X: ArrayLike,
    n_patterns: int,
    *,
    method: str = "gaussian",
    y: ArrayLike | None = None,
    random_state: Any = None,
) -> PatternSet:
    """Draw distinct activation patterns; a seed gives nested sets.

    Parameters
    ----------
    X : array-like of shape (n, d)
        Data, with the intercept column if there is one.
    n_patterns : int
        Number P of patterns. The first k do not depend on P.
    method : {"gaussian", "data", "sparse"}, default="gaussian"
        ``"gaussian"``: gates from N(0, I). ``"data"``: hyperplanes halfway between
        random pairs of rows (of different targets if ``y`` is given). ``"sparse"``:
        Gaussian on a random subset of the columns.
    y : array-like of shape (n,), optional
        Targets, read by ``method="data"`` only.
    random_state : int, RandomState, Generator or None, default=None
        Source of randomness.

    Returns
    -------
    PatternSet
        The all-zero pattern is left out: it contributes nothing.

    Raises
    ------
    ValueError
        If an argument is out of range or X is not a finite matrix.

    Warns
    -----
    UserWarning
        If fewer patterns were found in ``20 n_patterns`` draws: small data have few.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[0.0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
    >>> sample_patterns(X, 5, random_state=0).D.shape
    (4, 5)
    """
    patterns = draw_patterns(
        X, n_patterns, method=method, y=y, random_state=random_state
    )
    if len(patterns) < n_patterns:
        warnings.warn(
            f"found only {len(patterns)} of n_patterns={n_patterns} activation "
            f"patterns in {DRAWS_PER_PATTERN * n_patterns} draws; these data have few.",
            stacklevel=2,
        )
    return patterns


def draw_patterns(
    X: ArrayLike,
    n_patterns: int,
    *,
    method: str,
    y: ArrayLike | None,
    random_state: Any,
) -> PatternSet:
    """Draw at most ``n_patterns`` patterns; see :func:`sample_patterns`."""
    X = as_matrix(X)
    if not isinstance(n_patterns, int | np.integer) or n_patterns < 1:
        raise ValueError(f"n_patterns={n_patterns!r} must be an integer >= 1.")
    if method not in _GATES:
        raise ValueError(f"method={method!r} must be one of {sorted(_GATES)}.")
    rng = np.random.default_rng(seed_sequence(random_state))
    targets = None if y is None else np.asarray(y)
    seen: dict[bytes, None] = {}
    columns: list[NDArray[np.bool_]] = []
    gates: list[Array] = []
    for _ in range(DRAWS_PER_PATTERN):
        # One gate a row, so that the stream of draws does not depend on n_patterns.
        batch = np.stack(
            [_GATES[method](rng, X, targets) for _ in range(n_patterns)], axis=1
        )
        patterns = pattern_of(X, batch)
        keys = np.packbits(patterns, axis=0).T
        for j in np.flatnonzero(patterns.any(axis=0)):
            key = hashlib.blake2b(keys[j].tobytes(), digest_size=16).digest()
            if key not in seen and len(columns) < n_patterns:
                seen[key] = None
                columns.append(patterns[:, j])
                gates.append(batch[:, j])
        if len(columns) == n_patterns:
            break
    if not columns:  # every draw was all-zero; the opposite gate is all-one
        gates, columns = [-batch[:, 0]], [pattern_of(X, -batch[:, :1])[:, 0]]
    return PatternSet(np.stack(columns, axis=1), np.stack(gates, axis=1))


def enumerate_patterns(X: ArrayLike) -> PatternSet:
    """List every activation pattern of the rows of ``X``, each with a gate inside.

    Hyperplanes are added one by one. The cells that a new hyperplane H cuts are the
    cells of the earlier hyperplanes restricted to H, found by recursion; a point of
    each is moved to both sides of H.

    Parameters
    ----------
    X : array-like of shape (n, d)
        Data, with the intercept column if there is one.

    Returns
    -------
    PatternSet
        The all-zero pattern is included if it is realisable. ``complete=True``, except
        where hyperplanes meet so nearly in one line that a cell between them, some
        1e-12 wide, may have been missed.

    Raises
    ------
    ValueError
        If more than a million r-subsets of rows (r the rank) would be involved.

    Notes
    -----
    In general position there are ``2 sum_{k<r} C(n-1, k)`` patterns (Cover, 1965).

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[0.0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
    >>> len(enumerate_patterns(X))
    14
    """
    X = as_matrix(X)
    exponents = column_exponents(X)
    X = np.ldexp(X, -exponents)
    _, singular, basis = np.linalg.svd(X, full_matrices=False)
    tolerance = max(X.shape) * np.finfo(np.float64).eps * singular.max(initial=0.0)
    basis = basis[singular > tolerance]
    normals = distinct_lines(X @ basis.T)
    rank = len(basis)
    if math.comb(len(normals), rank) > ENUMERATION_LIMIT:
        raise ValueError(
            f"X has {len(normals)} distinct rows of rank {rank}: too many activation "
            "patterns to enumerate; use sample_patterns."
        )
    gates = basis.T @ _cells(normals).T if rank else np.zeros((X.shape[1], 1))
    D = pattern_of(X, gates)
    complete = is_complete(X, D, gates)
    return PatternSet(D, np.ldexp(gates, -exponents[:, None]), complete)


def pattern_of(X: Array, gates: Array) -> NDArray[np.bool_]:
    """Return ``X @ gates >= 0``, with rows on a hyperplane up to rounding as on it."""
    products = X @ gates
    sizes = lengths(X, axis=1)[:, None] * lengths(gates, axis=0)
    return products >= -X.shape[1] * np.finfo(np.float64).eps * sizes


def as_matrix(X: ArrayLike) -> Array:
    """Return ``X`` as a finite float64 matrix with at least one row and column."""
    matrix = np.asarray(X, dtype=np.float64)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(f"X must be a nonempty (n, d) matrix, got {matrix.shape}.")
    if not np.isfinite(matrix).all():
        raise ValueError("X must not contain NaN or infinity.")
    return matrix


def _cells(normals: Array) -> Array:
    """Return one unit vector inside each cell of the arrangement, as rows."""
    dimension = normals.shape[1]
    if dimension == 1:
        return np.array([[1.0], [-1.0]])
    if dimension == 2:
        return _sectors(normals)
    points = np.eye(1, dimension)
    for k, normal in enumerate(normals):
        basis = hyperplane_basis(normal)
        on_plane = _cells(distinct_lines(normals[:k] @ basis)) @ basis.T
        # Half the way to the nearest earlier hyperplane.
        heights = np.abs(on_plane @ normals[:k].T)
        slopes = np.abs(normals[:k] @ normal)
        step = 0.5 * np.min(heights / np.maximum(slopes, heights), axis=1, initial=1.0)
        shift = step[:, None] * normal
        candidates = np.vstack([points, on_plane + shift, on_plane - shift])
        candidates /= np.linalg.norm(candidates, axis=1, keepdims=True)
        products = candidates @ normals[: k + 1].T
        off = np.abs(products).min(axis=1) > ON_HYPERPLANE
        _, first = np.unique(products[off] >= 0, axis=0, return_index=True)
        points = candidates[off][first]
    return points


def _sectors(normals: Array) -> Array:
    """Return the bisectors of the sectors that lines through 0 cut the plane into."""
    if not len(normals):
        return np.array([[1.0, 0.0]])
    angles = np.sort(np.arctan2(normals[:, 0], -normals[:, 1]) % np.pi)
    middle = 0.5 * (angles + np.append(angles[1:], angles[0] + np.pi))
    middle = np.concatenate([middle, middle + np.pi])
    return np.column_stack([np.cos(middle), np.sin(middle)])


def _gaussian_gate(rng: np.random.Generator, X: Array, y: Any) -> Array:
    return rng.standard_normal(X.shape[1])


def _sparse_gate(rng: np.random.Generator, X: Array, y: Any) -> Array:
    d = X.shape[1]
    gate = np.zeros(d)
    size = rng.integers(1, d, endpoint=True)
    gate[rng.permutation(d)[:size]] = rng.standard_normal(size)
    return gate


def _midpoint_gate(rng: np.random.Generator, X: Array, y: Any) -> Array:
    """Return the hyperplane halfway between two random rows.

    The offset goes into a constant column; without one the gate passes through 0.
    """
    a = rng.integers(len(X))
    others = np.arange(len(X)) if y is None else np.flatnonzero(y != y[a])
    b = rng.choice(others) if len(others) else a
    gate = X[a] - X[b]
    constant = np.flatnonzero((X == X[0]).all(axis=0) & (X[0] != 0))
    if len(constant):
        column = constant[-1]
        gate[column] = -gate @ (X[a] + X[b]) / (2 * X[0, column])
    return gate if gate.any() else rng.standard_normal(X.shape[1])


_GATES = {
    "gaussian": _gaussian_gate,
    "data": _midpoint_gate,
    "sparse": _sparse_gate,
}
