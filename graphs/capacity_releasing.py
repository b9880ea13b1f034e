"""Capacity releasing diffusion: mass that is stuck shows where the bottleneck is.

In each round all mass doubles and flows downhill through bounded capacities; heights
rise where it cannot leave. Mass above a node's degree is then taken away. Once much is
taken away, the level sets of the heights are the candidates (Wang, Fountoulakis,
Henzinger, Mahoney, Rao, arXiv:1706.05826).
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult
from scipy.sparse import coo_array

from farkas.base import check_number
from farkas.result import make_result
from farkas.status import Status
from graphs import _kernels_flow
from graphs.graph import check_graph
from graphs.neighborhood import (
    DEGREE,
    EDGES,
    LENGTH,
    NODE,
    START,
    TO,
    WEIGHT,
    Neighborhood,
    Sinks,
    check_seeds,
)
from graphs.sweep import positive, sweep_near
from graphs.weights import Weighting

Ints = NDArray[np.int64]

# Saturated nodes may hold this share of the volume before the rounds end.
_LARGEST_SHARE = 1.0 / 3.0


def crd(
    graph: Any,
    seeds: ArrayLike,
    *,
    U: float = 3.0,
    h: int = 10,
    w: float = 2.0,
    tau: float = 0.5,
    iterations: int = 20,
) -> OptimizeResult:
    """Find a cluster by capacity releasing diffusion.

    Parameters
    ----------
    graph : graph
        Anything :func:`check_graph` takes.
    seeds : int or array-like of int
        Nodes at which the mass starts, with their degrees.
    U : float, default=3
        Largest capacity of an edge of weight one.
    h : int, default=10
        Largest height.
    w : float, default=2
        Factor by which the mass grows in each round, above 1.
    tau : float, default=0.5
        Share of the mass whose removal ends the rounds.
    iterations : int, default=20
        Largest number of rounds.

    Returns
    -------
    OptimizeResult
        ``cluster``, ``fun`` and ``conductance`` (of the best level set of all rounds),
        ``x`` (sparse vector, mass after the last round), ``levels`` (record of round,
        height, size, volume and conductance of every level set), ``certificate`` None:
        the method proves nothing about other clusters; ``nit`` (rounds), ``status``.

    Raises
    ------
    ValueError
        If an argument is out of range or a seed has no edges.

    References
    ----------
    Wang, Fountoulakis, Henzinger, Mahoney, Rao, "Capacity releasing diffusion for speed
    and locality", arXiv:1706.05826.

    Examples
    --------
    >>> from graphs import check_graph, crd
    >>> edges = [[0, 1], [1, 2], [0, 2], [2, 3], [3, 4], [4, 5], [3, 5]]
    >>> crd(check_graph(edges, affinity="edges"), 0).cluster.tolist()
    [0, 1, 2]
    """
    for name, value, low in (("U", U, 0.0), ("w", w, 1.0), ("tau", tau, 0.0)):
        check_number(name, value, low=low, inclusive="neither")
    check_number("h", h, low=1, integer=True)
    check_number("iterations", iterations, low=1, integer=True)
    graph = check_graph(graph)
    nodes, _ = check_seeds(seeds, graph.n_nodes)
    near = Neighborhood(
        graph, nodes, np.zeros(len(nodes)), Weighting(), Sinks("unit", np.empty(0))
    )
    near.open(np.arange(len(nodes)))
    degree = near.column(DEGREE)[: len(nodes)]
    if not (degree > 0).all():
        raise ValueError(f"seeds holds {nodes[np.argmin(degree)]}, which has no edges.")
    mass = degree.copy()
    records: list[tuple[int, int, int, float, float]] = []
    best, lowest = nodes, np.inf
    status = Status.MAX_ITER
    for nit in range(1, int(iterations) + 1):
        mass, height = _unit_flow(near, w * mass, float(U), int(h), float(w))
        kept = np.minimum(mass, near.column(DEGREE))
        for found in _level_sets(near, height, graph.volume):
            level, cluster, volume, phi = found
            records.append((nit, level, len(cluster), volume, phi))
            if phi < lowest:
                best, lowest = cluster, phi
        full = mass >= near.column(DEGREE)
        stuck = float((mass - kept).sum()) >= tau * float(mass.sum())
        mass = kept
        if stuck or near.column(DEGREE)[full].sum() > _LARGEST_SHARE * graph.volume:
            status = Status.CONVERGED
            break
    holds = np.flatnonzero(mass > 0)
    holds = holds[np.argsort(near.column(NODE)[holds])]
    message = {
        Status.CONVERGED: "The mass is stuck, or fills a third of the graph.",
        Status.MAX_ITER: "The rounds are over and the mass still spreads.",
    }[status]
    return make_result(
        coo_array((mass[holds], (near.column(NODE)[holds],)), shape=(graph.n_nodes,)),
        fun=float(min(lowest, 1.0)),
        status=status,
        message=message,
        nit=nit,
        cluster=np.sort(best),
        conductance=float(min(lowest, 1.0)),
        levels=np.array(
            records,
            dtype=[
                ("round", int), ("height", int), ("size", int), ("volume", float),
                ("conductance", float),
            ],
        ),
        state={"seeds": nodes},
        history={"iteration": np.arange(nit)},
        n_touched=near.size,
        work=int(near.count[EDGES]),
    )  # fmt: skip


def _unit_flow(
    near: Neighborhood, mass: NDArray[Any], U: float, h: int, w: float
) -> tuple[NDArray[np.float64], Ints]:
    """Spread mass until every node holds at most its degree or is h high."""
    amount = np.zeros(near.size)
    amount[: len(mass)] = mass
    height = np.zeros(near.size, dtype=np.int64)
    flow = np.zeros(int(near.count[EDGES]))
    twin = np.full(len(flow), -1)
    opened = np.flatnonzero(near.column(START) >= 0)
    _kernels_flow.link(opened, near.state[START], near.state[LENGTH], near.state[TO],
                       twin)  # fmt: skip
    buckets = np.zeros((h, near.size), dtype=np.int64)
    sizes = np.zeros(h, dtype=np.int64)
    active = np.flatnonzero(amount > near.column(DEGREE))
    buckets[0, : len(active)] = active
    sizes[0] = len(active)
    waits = np.zeros(near.size, dtype=np.uint8)
    waits[active] = 1
    while True:
        node = _kernels_flow.unit_flow(
            amount, height, flow, near.state[DEGREE], near.state[START],
            near.state[LENGTH], near.state[TO], near.state[WEIGHT], twin, buckets,
            sizes, U, w, waits,
        )  # fmt: skip
        if node < 0:
            return amount, height
        # Rows of all active nodes at once: they are needed anyway.
        known = near.column(START)[: len(amount)] >= 0
        new = np.flatnonzero((waits > 0) & ~known)
        near.open(new)
        more = near.size - len(amount)
        amount = np.concatenate([amount, np.zeros(more)])
        height = np.concatenate([height, np.zeros(more, dtype=np.int64)])
        waits = np.concatenate([waits, np.zeros(more, dtype=np.uint8)])
        grown = np.zeros((h, near.size), dtype=np.int64)
        grown[:, : buckets.shape[1]] = buckets
        buckets = grown
        edges = int(near.count[EDGES]) - len(flow)
        flow = np.concatenate([flow, np.zeros(edges)])
        twin = np.concatenate([twin, np.full(edges, -1)])
        _kernels_flow.link(new, near.state[START], near.state[LENGTH], near.state[TO],
                           twin)  # fmt: skip
        for i in new:  # what already came in runs backwards
            a, b = near.state[START][i], near.state[START][i] + near.state[LENGTH][i]
            joined = twin[a:b] >= 0
            flow[a:b][joined] = -flow[twin[a:b][joined]]


def _level_sets(
    near: Neighborhood, height: Ints, total: float
) -> list[tuple[int, Ints, float, float]]:
    """Return height, nodes, volume and conductance of every level set."""
    score = np.zeros(near.size)
    score[: len(height)] = height
    if not score.any():
        return []
    sweep = sweep_near(near, score, total, positive(near, score))
    place = np.sort(score[score > 0])[::-1]
    last = np.flatnonzero(np.append(place[1:] < place[:-1], True))
    return [
        (int(place[k]), sweep.nodes[: k + 1], float(sweep.volume[k]),
         float(sweep.conductance[k]))
        for k in last
    ]  # fmt: skip
