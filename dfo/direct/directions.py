"""Poll sets: directions that positively span what bounds and linear rows leave open.

Kolda, Lewis, Torczon, SIAM Review 45 (2003), section 2.2 and 8; arXiv:2401.07097.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.stats import qmc

from dfo._measure_cone import cone_parts
from dfo.direct.space import Space

Array = NDArray[np.float64]

POLLS = ("2n", "n+1", "simplex", "coordinate")
ROTATIONS = ("random", "halton")
SHORTEST = 1e-12


def householder(v: Array) -> Array:
    """Return the orthogonal matrix ``I - 2 v v'`` of a unit vector.

    Parameters
    ----------
    v : ndarray of shape (n,)
        Unit vector.

    Returns
    -------
    ndarray of shape (n, n)

    Examples
    --------
    >>> 9 * householder(np.array([1, 2, 2]) / 3)
    array([[ 7., -4., -4.],
           [-4.,  1., -8.],
           [-4., -8.,  1.]])
    """
    return np.eye(len(v)) - 2.0 * np.outer(v, v)


def positive_spanning_set(kind: str, v: Array) -> Array:
    """Return unit directions that positively span the space.

    Parameters
    ----------
    kind : {"2n", "n+1", "simplex", "coordinate"}
        ``"2n"`` is ``[H, -H]``, ``"n+1"`` is ``[H, -sum(H) / sqrt(n)]``, ``"simplex"``
        has equal angles, ``"coordinate"`` is ``[I, -I]``.
    v : ndarray of shape (n,)
        Unit vector of the rotation ``H = I - 2 v v'``.

    Returns
    -------
    ndarray of shape (2n, n) or (n + 1, n)
    """
    n = len(v)
    H = np.eye(n) if kind == "coordinate" else householder(v)
    if kind in ("2n", "coordinate") or n == 0:
        return np.vstack([H, -H])
    if kind == "n+1":
        return np.vstack([H, -H.sum(axis=0) / math.sqrt(n)])
    return regular_simplex(n) @ H


def regular_simplex(n: int) -> Array:
    """Return n + 1 unit vectors with pairwise products ``-1/n``.

    Parameters
    ----------
    n : int
        Dimension.

    Returns
    -------
    ndarray of shape (n + 1, n)
    """
    # Columns of the Cholesky factor of the Gram matrix (1 + 1/n) I - 1/n, last dropped.
    gram = (1 + 1 / n) * np.eye(n) - 1 / n
    first = np.linalg.cholesky(gram)
    return np.vstack([first, -first.sum(axis=0)])


def cosine_measure_of(kind: str, n: int) -> float:
    """Return the closed form of ``min over unit v of max d.v`` of a poll set.

    Parameters
    ----------
    kind : str
        As in :func:`positive_spanning_set`.
    n : int
        Dimension.

    Returns
    -------
    float

    Examples
    --------
    >>> round(cosine_measure_of("n+1", 3), 6)
    0.250563
    """
    if kind == "n+1":
        return 1.0 / math.sqrt(n * n + 2 * (n - 1) * math.sqrt(n))
    return 1.0 / n if kind == "simplex" else 1.0 / math.sqrt(n)


def unit_vector(k: int, rng: np.random.Generator, halton: int = -1) -> Array:
    """Return a random unit vector, or the one of a point of the Halton sequence.

    Parameters
    ----------
    k : int
        Dimension.
    rng : Generator
        For the random one.
    halton : int, default=-1
        Number of the point of the sequence, if not negative.

    Returns
    -------
    ndarray of shape (k,)
    """
    if halton >= 0:
        sequence = qmc.Halton(k, scramble=False)
        sequence.fast_forward(halton + 1)
        v = 2 * sequence.random(1)[0] - 1
    else:
        v = rng.standard_normal(k)
    length = float(np.linalg.norm(v))
    if length < SHORTEST:
        v, length = np.ones(k), math.sqrt(k)
    return v / length


def poll_directions(
    space: Space, center: Array, delta: float, kind: str, v: Array
) -> tuple[Array, Array, bool]:
    """Return the directions of a poll, in the coordinates of the basis.

    Parameters
    ----------
    space : Space
        The set X.
    center : ndarray of shape (n,)
        Center of the poll.
    delta : float
        Its radius.
    kind : str
        The poll set in free space.
    v : ndarray of shape (k,)
        Rotation.

    Returns
    -------
    directions : ndarray of shape (q, k)
        Unit rows.
    active : ndarray of int
        Numbers of the linear rows that they respect.
    generated : bool
        False when the cone has too many rays to be listed.
    """
    none = np.empty(0, dtype=np.int64)
    if space.gridded:
        return _on_grid(space, center, delta, kind, v), none, space.plain
    if not space.plain:
        return _in_cone(space, center, delta, kind, v)
    below, above = (room[space.free] for room in space.rooms(center))
    near = np.minimum(below, above) <= min(delta, 1.0)
    if not near.any():
        return positive_spanning_set(kind, v), none, True
    k = space.k
    axes = np.eye(k)[near]
    ways = np.vstack([axes[above[near] > 0], -axes[below[near] > 0]])
    if near.all():
        return ways, none, True
    u = v[~near]
    length = float(np.linalg.norm(u))
    u = u / length if length > SHORTEST else np.eye(len(u))[0]
    inner = positive_spanning_set(kind, u)
    others = np.zeros((len(inner), k))
    others[:, ~near] = inner
    return np.vstack([others, ways]), none, True


def _on_grid(space: Space, center: Array, delta: float, kind: str, v: Array) -> Array:
    """Neighbours on the grid, rotated directions of the others, and of all together."""
    on = (space.grid > 0)[space.free]
    k = space.k
    parts = []
    if not on.all():
        u = v[~on]
        length = float(np.linalg.norm(u))
        u = u / length if length > SHORTEST else np.eye(len(u))[0]
        inner = positive_spanning_set(kind, u)
        rest = np.zeros((len(inner), k))
        rest[:, ~on] = inner
        parts.append(rest)
    axes = np.eye(k)[on]
    parts += [axes, -axes]
    step = (delta * space.scale / np.where(space.grid > 0, space.grid, 1.0))[space.free]
    if (step[on] >= 1.0).any():
        parts.append(positive_spanning_set(kind, v))
    return np.vstack(parts)


def _in_cone(
    space: Space, center: Array, delta: float, kind: str, v: Array
) -> tuple[Array, Array, bool]:
    """Return generators of the cone of rows within ``min(delta, 1)``, and normals."""
    rows = space.units if space.basis is None else space.units @ space.basis
    distances = space.distances(center)
    eps = min(delta, 1.0)
    while True:
        active = np.flatnonzero(distances <= eps)
        line, rays, complete = cone_parts(rows[active])
        if line.shape[1] or len(rays) or not complete or eps < np.finfo(float).tiny:
            break
        eps *= 0.5
    if not complete:
        return _projections(rows[active], v), active, False
    parts = [rays]
    if line.shape[1]:
        u = line.T @ v
        length = float(np.linalg.norm(u))
        u = u / length if length > SHORTEST else np.eye(line.shape[1])[0]
        parts.insert(0, positive_spanning_set(kind, u) @ line.T)
    normals = rows[active]
    lengths = np.linalg.norm(normals, axis=1)
    parts.append(normals[lengths > SHORTEST] / lengths[lengths > SHORTEST, None])
    return np.vstack(parts), active, True


def _projections(rows: Array, v: Array) -> Array:
    """Project both signs of two bases on the cone ``rows d <= 0``."""
    H = householder(v)
    eye = np.eye(len(v))
    found = []
    for d in np.vstack([eye, -eye, H, -H]):
        weights = nnls(rows.T, d)[0]
        p = d - rows.T @ weights
        length = float(np.linalg.norm(p))
        if length > 1e-8:
            found.append(p / length)
    return np.array(found).reshape(-1, len(v))
