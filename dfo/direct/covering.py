"""The covering step: one point far from all evaluated ones, in a ball of fixed radius.

It makes the evaluated points dense around every limit of incumbents, so that the limit
is a local minimiser even of a discontinuous function (arXiv:2401.07097, theorem 1).
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from scipy.stats import qmc

from dfo.direct.space import Space

Array = NDArray[np.float64]

COVERINGS = ("farthest", "random", "halton", None)
CANDIDATES = 2
# Beyond this many points a tree is faster than all distances.
BRUTE = 5000


class HaltonBall:
    """Points of a ball: the Halton sequence, mapped from the cube.

    Parameters
    ----------
    k : int
        Dimension.
    """

    def __init__(self, k: int) -> None:
        self._sequence = qmc.Halton(k + 1, scramble=False)

    def point(self, radius: float, number: int) -> Array:
        """Return one point of the ball around the origin.

        Parameters
        ----------
        radius : float
            Of the ball.
        number : int
            Which point, from 0.

        Returns
        -------
        ndarray of shape (k,)
        """
        if self._sequence.num_generated != number + 1:  # the first one is the corner
            self._sequence.reset()
            self._sequence.fast_forward(number + 1)
        p = self._sequence.random(1)[0]
        k = len(p) - 1
        v = 2 * p[:k] - 1
        length = float(np.linalg.norm(v))
        if length == 0:
            v, length = np.ones(k), math.sqrt(k)
        return (radius * p[k] ** (1.0 / k) / length) * v


class Cloud:
    """Distances to the evaluated points: a tree of the older ones, the rest by hand."""

    def __init__(self) -> None:
        self._tree: Any = None
        self._covered = 0

    def nearest(self, candidates: Array, W: Array) -> Array:
        """Return the distance of every candidate to its nearest point.

        Parameters
        ----------
        candidates : ndarray of shape (c, k)
            Points.
        W : ndarray of shape (N, k)
            All evaluated points so far.

        Returns
        -------
        ndarray of shape (c,)
        """
        if len(W) >= max(BRUTE, 2 * self._covered):
            self._tree, self._covered = cKDTree(W.copy()), len(W)
        rest = W[self._covered :]
        found = np.full(len(candidates), math.inf)
        if len(rest):
            found = cdist(candidates, rest).min(axis=1)
        if self._tree is not None:
            found = np.minimum(found, self._tree.query(candidates)[0])
        return found


def ball(k: int, radius: float, m: int, rng: np.random.Generator) -> Array:
    """Return uniform points of the ball around the origin.

    Parameters
    ----------
    k, m : int
        Dimension and number.
    radius : float
        Of the ball.
    rng : Generator
        Source.

    Returns
    -------
    ndarray of shape (m, k)
    """
    directions = rng.standard_normal((m, k))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return radius * rng.random((m, 1)) ** (1.0 / k) * directions


def farthest_move(
    space: Space,
    center: Array,
    moves: Array,
    W: Array,
    cloud: Cloud,
) -> Array:
    """Return the move whose end is farthest from all evaluated points.

    When the moves come from a dense sequence, the ends are dense too: only finitely
    many points of a ball are farther from each other than half of a hole is wide, so
    that some move into the hole is taken at last.

    Parameters
    ----------
    space : Space
        The set X.
    center : ndarray of shape (n,)
        Center of the ball.
    moves : ndarray of shape (c, k)
        Candidates, scaled.
    W : ndarray of shape (N, k)
        Evaluated points, scaled.
    cloud : Cloud
        What finds the nearest of them.

    Returns
    -------
    ndarray of shape (k,)
    """
    points = np.array([space.step(center, w) for w in moves])
    distances = cloud.nearest(space.coordinates(points), W)
    return moves[int(np.argmax(distances))]
