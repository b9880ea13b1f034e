"""Sweep cuts and conductance.

The nodes of a vector's support are ordered by it, descending, ties by node number, and
the prefix of smallest conductance is returned. Only rows of the support are read.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult
from scipy.sparse import issparse

from graphs import _kernels_heights
from graphs._measure_graph import conductance_of, cut_and_volume
from graphs._measure_lookup import placed
from graphs.graph import check_graph
from graphs.neighborhood import DEGREE, NODE, VALUE, Neighborhood, Sinks
from graphs.weights import Weighting

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

ROUNDINGS = ("sweep", "support", "threshold")


class Sweep(NamedTuple):
    """Every prefix of an order of nodes, and the best of them."""

    nodes: Ints
    cut: Array
    volume: Array
    conductance: Array
    best: int

    def profile(self) -> dict[str, NDArray[Any]]:
        """Return size, volume, cut and conductance of every prefix."""
        return {
            "size": np.arange(1, len(self.nodes) + 1),
            "volume": self.volume,
            "cut": self.cut,
            "conductance": self.conductance,
        }


def positive(near: Neighborhood, score: Array) -> Ints:
    """Return the local nodes with a positive score, by their numbers in the graph."""
    chosen = np.flatnonzero(score > 0)
    return chosen[np.argsort(near.column(NODE)[chosen])]


def sweep_near(near: Neighborhood, score: Array, total: float, chosen: Ints) -> Sweep:
    """Sweep over the :func:`positive` local nodes; ``total`` may be inf."""
    near.open(chosen)
    order = chosen[descending(score[chosen])]
    k = len(order)
    rank = np.full(near.size, k)
    rank[order] = np.arange(k)
    cuts, volumes = np.empty(k), np.empty(k)
    best = _kernels_heights.sweep(order, rank, near.state, total, cuts, volumes)
    smaller = np.minimum(volumes, total - volumes)
    # Where nothing is left on one side there is no cut to speak of.
    phi = np.divide(cuts, smaller, out=np.ones(k), where=smaller > 0)
    return Sweep(near.column(NODE)[order], cuts, volumes, phi, best)


def descending(values: Array) -> Ints:
    """Return the order of falling values; equal ones stay in order."""
    order = np.argsort(-values)  # vectorised, unlike a stable one
    ranked = values[order]
    if (ranked[1:] == ranked[:-1]).any():
        return np.argsort(-values, kind="stable")
    return order


def rounded(sweep: Sweep, rounding: str, score: Array, threshold: float) -> Ints:
    """Return the cluster that a rounding rule makes of a sweep, increasing."""
    if rounding == "sweep" and sweep.best >= 0:
        return np.sort(sweep.nodes[: sweep.best + 1])
    if rounding == "threshold":
        return np.sort(sweep.nodes[score[: len(sweep.nodes)] >= threshold])
    return np.sort(sweep.nodes)


def sweep_cut(graph: Any, x: Any, *, degree_normalized: bool = False) -> OptimizeResult:
    """Best prefix of the support of a vector, by conductance.

    Parameters
    ----------
    graph : graph
        Anything :func:`check_graph` takes.
    x : array-like or sparse vector of shape (n,)
        Scores; nodes with a positive one are swept from the largest down.
    degree_normalized : bool, default=False
        Divide by degrees first, as PageRank and heat kernels want it.

    Returns
    -------
    OptimizeResult
        ``cluster`` (node numbers), ``fun`` (its conductance), ``order`` (nodes swept)
        and ``profile``, a dict with ``size``, ``volume``, ``cut``, ``conductance`` of
        every prefix.

    Raises
    ------
    ValueError
        If `x` has the wrong length, NaN, or no positive entry.

    Examples
    --------
    >>> from graphs import sweep_cut
    >>> edges = [[0, 1], [1, 2], [0, 2], [2, 3], [3, 4], [4, 5], [3, 5]]
    >>> from graphs import check_graph
    >>> A = check_graph(edges, affinity="edges")
    >>> sweep_cut(A, [3, 3, 2, 1, 0, 0]).cluster.tolist()
    [0, 1, 2]
    """
    graph = check_graph(graph)
    n = graph.n_nodes
    nodes, values = support_of(x, n)
    if not len(nodes):
        raise ValueError("x has no positive entry; there is nothing to sweep.")
    near = Neighborhood(
        graph, nodes, np.zeros(len(nodes)), Weighting(), Sinks("unit", np.empty(0))
    )
    near.open(np.arange(len(nodes)))
    near.column(VALUE, 1)[: len(nodes)] = values
    score = near.column(VALUE, 1)
    if degree_normalized:
        score = divided(score, near.column(DEGREE))
    sweep = sweep_near(near, score, graph.volume, positive(near, score))
    cluster = rounded(sweep, "sweep", score, 0.0)
    near.release()
    best = max(sweep.best, 0) if sweep.best >= 0 else len(sweep.nodes) - 1
    return OptimizeResult(
        cluster=cluster,
        fun=float(sweep.conductance[best]),
        order=sweep.nodes,
        profile=sweep.profile(),
        success=True,
    )


def divided(score: Array, degree: Array) -> Array:
    """Return scores over degrees; unopened rows and isolated nodes give zero."""
    out = np.zeros(len(score))
    return np.divide(score, degree, out=out, where=(degree > 0) & (score > 0))


def support_of(x: Any, n: int) -> tuple[Ints, Array]:
    """Return where a vector is positive, and its values there."""
    if issparse(x):
        vector = x.tocoo() if x.ndim == 1 else x.reshape((1, -1)).tocoo()
        if math.prod(vector.shape) != n:
            raise ValueError(f"x must have {n} entries, got shape {x.shape}.")
        nodes = np.asarray(vector.coords[-1], dtype=np.int64)
        values = np.asarray(vector.data, dtype=np.float64)
        order = np.argsort(nodes)
        nodes, values = nodes[order], values[order]
    else:
        dense = np.asarray(x, dtype=np.float64).ravel()
        if dense.shape != (n,):
            raise ValueError(f"x must have {n} entries, got {len(dense)}.")
        nodes, values = np.flatnonzero(dense), dense[dense != 0]
    if not np.isfinite(values).all():
        raise ValueError("x must be finite.")
    return nodes[values > 0], values[values > 0]


def conductance(graph: Any, cluster: ArrayLike) -> float:
    """Cut of a set over the smaller volume of the two sides.

    Parameters
    ----------
    graph : graph
        Anything :func:`check_graph` takes.
    cluster : array-like of int, or of bool with shape (n,)
        Nodes, or a mask.

    Returns
    -------
    float
        Within [0, 1]; 1 if one side has no edges.

    Raises
    ------
    ValueError
        If a node is out of range or listed twice.

    Examples
    --------
    >>> from graphs import conductance, check_graph
    >>> A = check_graph([[0, 1], [1, 2], [0, 2], [2, 3]], affinity="edges")
    >>> conductance(A, [3])
    1.0
    """
    graph = check_graph(graph)
    nodes = members(cluster, graph.n_nodes)
    _, columns, weights = graph(nodes)
    leaving = placed(columns, nodes, graph.n_nodes).place == 0
    return conductance_of(*cut_and_volume(leaving, weights), graph.volume)


def members(cluster: ArrayLike, n: int) -> Ints:
    """Return the nodes of a cluster, increasing, from numbers or a mask."""
    array = np.asarray(cluster)
    if array.dtype == bool:
        if array.shape != (n,):
            raise ValueError(f"cluster as a mask needs {n} entries, got {array.shape}.")
        return np.flatnonzero(array)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError("cluster must be a vector of node numbers, or a mask.")
    nodes = np.unique(array).astype(np.int64)
    if len(nodes) != len(array):
        raise ValueError("cluster lists a node twice.")
    if len(nodes) and not (0 <= nodes[0] and nodes[-1] < n):
        raise ValueError(f"cluster must hold nodes from 0 to {n - 1}.")
    return nodes
