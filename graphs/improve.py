"""Improve a given set by maximum flows: MQI, FlowImprove and SimpleLocal.

All minimise ``cut(S) / (vol(S & R) - theta vol(S - R))`` around a reference set R by
Dinkelbach's iteration: with the present quotient a, a minimum cut finds a set with a
smaller one or proves that there is none. MQI (Lang, Rao, IPCO 2004) stays inside R,
FlowImprove (Andersen, Lang, SODA 2008) has ``theta = vol(R) / vol(V - R)``, SimpleLocal
(Veldt, Gleich, Mahoney, arXiv:1605.08490) adds a constant to it and stays near R.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult

import farkas
from farkas.base import check_number
from farkas.result import make_result
from farkas.status import Status
from graphs._measure_graph import Graph
from graphs.graph import check_graph
from graphs.maxflow import maximum_flow
from graphs.neighborhood import (
    DEGREE,
    NODE,
    START,
    WORK,
    Neighborhood,
    Sinks,
)
from graphs.sweep import members
from graphs.weights import Weighting

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

_TOL = 1e-6  # of the certificates, relative to the quotient of R
_EQUAL = 1e-12  # quotients of float weights that differ by less are equal
# The flow that certifies aims this much below the optimum, so that rounding leaves all
# sources saturated.
_BELOW = 1e-9
_MAX_ROUNDS = 1000


class Quotient(NamedTuple):
    """A set of local nodes, its cut and its denominator."""

    inside: NDArray[np.bool_]
    cut: float
    denominator: float

    @property
    def value(self) -> float:
        """The quotient."""
        return self.cut / self.denominator


def mqi(graph: Any, reference: ArrayLike) -> OptimizeResult:
    """Subset of a set with the smallest cut over volume.

    Parameters
    ----------
    graph : graph
        Anything :func:`check_graph` takes.
    reference : array-like of int, or of bool with shape (n,)
        The set R. Beyond half the volume of the graph the quotient is no conductance.

    Returns
    -------
    OptimizeResult
        ``cluster``, ``fun`` (its quotient, at most that of R), ``certificate`` (a flow
        proves that no subset is better), ``nit`` (maximum flows), ``x`` (mask over the
        nodes, int8), ``status``, ``success``, ``message``.

    Raises
    ------
    ValueError
        If R is empty or one of its nodes has no edges.

    References
    ----------
    Lang, Rao, "A flow-based method for improving the expansion or conductance of graph
    cuts", IPCO 2004.

    Examples
    --------
    >>> from graphs import check_graph, mqi
    >>> edges = [[0, 1], [1, 2], [0, 2], [2, 3], [3, 4], [4, 5], [5, 6], [6, 7]]
    >>> mqi(check_graph(edges, affinity="edges"), [0, 1, 2, 4]).cluster.tolist()
    [0, 1, 2]
    """
    return _improved(check_graph(graph), reference, None, "mqi")


def flow_improve(graph: Any, reference: ArrayLike) -> OptimizeResult:
    """Set around a reference set with the smallest relative conductance.

    Parameters
    ----------
    graph : graph
        Anything :func:`check_graph` takes.
    reference : array-like of int, or of bool with shape (n,)
        The set R, of at most half the volume.

    Returns
    -------
    OptimizeResult
        As of :func:`mqi`; ``conductance`` is at most ``fun``, which is at most the
        conductance of R.

    Raises
    ------
    ValueError
        If R is empty, has no edges, or more than half the volume.

    References
    ----------
    Andersen, Lang, "An algorithm for improving graph partitions", SODA 2008.

    Examples
    --------
    >>> from graphs import check_graph, flow_improve
    >>> edges = [[0, 1], [1, 2], [0, 2], [2, 3], [3, 4], [4, 5], [3, 5]]
    >>> flow_improve(check_graph(edges, affinity="edges"), [0, 1]).cluster.tolist()
    [0, 1, 2]
    """
    return _improved(check_graph(graph), reference, 0.0, "flow_improve")


def simple_local(
    graph: Any, reference: ArrayLike, *, delta: float = 0.5
) -> OptimizeResult:
    """Like :func:`flow_improve`, at a cost that depends on the reference set only.

    Parameters
    ----------
    graph : graph
        Anything :func:`check_graph` takes.
    reference : array-like of int, or of bool with shape (n,)
        The set R, of at most half the volume.
    delta : float, default=0.5
        Added to theta, positive; a larger one keeps closer to R.

    Returns
    -------
    OptimizeResult
        As of :func:`flow_improve`.

    Raises
    ------
    ValueError
        If R is empty, has no edges, or more than half the volume; or delta is not
        positive.

    References
    ----------
    Veldt, Gleich, Mahoney, "A simple and strongly-local flow-based method for cut
    improvement", arXiv:1605.08490.

    Examples
    --------
    >>> from graphs import check_graph, simple_local
    >>> edges = [[0, 1], [1, 2], [0, 2], [2, 3], [3, 4], [4, 5], [3, 5]]
    >>> A = check_graph(edges, affinity="edges")
    >>> simple_local(A, [0, 1], delta=0.05).cluster.tolist()
    [0, 1, 2]
    """
    check_number("delta", delta, low=0.0, inclusive="neither")
    return _improved(check_graph(graph), reference, float(delta), "simple_local")


def _improved(
    graph: Graph, reference: ArrayLike, delta: float | None, name: str
) -> OptimizeResult:
    nodes = members(reference, graph.n_nodes)
    if not len(nodes):
        raise ValueError("reference must hold at least one node.")
    near = Neighborhood(
        graph, nodes, np.zeros(len(nodes)), Weighting(), Sinks("unit", np.empty(0))
    )
    near.open(np.arange(len(nodes)))
    degree = near.column(DEGREE)[: len(nodes)]
    volume = float(degree.sum())
    if not (degree > 0).all():
        raise ValueError(
            f"reference holds node {nodes[np.argmin(degree)]}, which has no edges."
        )
    if delta is not None and volume > 0.5 * graph.volume:
        raise ValueError(
            f"reference has volume {volume:g}, more than half of {graph.volume:g}; "
            "pass the complement."
        )
    theta = math.inf if delta is None else volume / (graph.volume - volume) + delta
    network = _Network(near, len(nodes), theta)
    best = network.quotient(np.arange(near.size) < len(nodes))
    nit = 0
    while best.cut > 0:
        nit += 1
        inside, value = network.cut_below(best)
        if not inside.any() or value >= best.cut * network.volume * (1 - _EQUAL):
            break
        found = network.quotient(inside)
        if not found.denominator > 0 or found.value >= best.value * (1 - _EQUAL):
            break
        best = found
    tail, head, flow = network.proof(best)
    cluster = np.sort(near.column(NODE)[np.flatnonzero(best.inside)])
    proof = farkas.certify(
        "graphs.quotient_cut/1",
        (graph,),
        {
            "reference": nodes,
            "cluster": cluster,
            "tail": tail,
            "head": head,
            "flow": flow,
        },
        {
            "theta": theta,
            "affinity": graph.affinity,
            "n_neighbors": graph.n_neighbors,
            "symmetrize": graph.symmetrize,
        },
        tolerance=_TOL,
    )
    mask = np.zeros(graph.n_nodes, dtype=np.int8)
    mask[cluster] = 1
    return make_result(
        mask,
        fun=best.value,
        status=Status.CONVERGED if proof.satisfied else Status.STALLED,
        nit=nit,
        certificate=proof,
        cluster=cluster,
        conductance=proof.residuals["conductance"],
        lower_bound=proof.lower,
        gap=proof.value,
        state={"seeds": nodes},
        history={"iteration": np.arange(nit)},
        n_touched=near.size,
        work=int(near.count[WORK]),
    )


class _Network:
    """Flow networks on the nodes near a reference set, which come first."""

    def __init__(self, near: Neighborhood, k: int, theta: float) -> None:
        self.near, self.k, self.theta = near, k, theta
        self.volume = float(near.column(DEGREE)[:k].sum())
        self.exact = near.graph.unit and math.isinf(theta)

    def quotient(self, inside: NDArray[np.bool_]) -> Quotient:
        """Return the quotient of a set of local nodes whose rows were read."""
        marked = np.zeros(self.near.size, dtype=bool)
        marked[: len(inside)] = inside
        which = np.flatnonzero(marked)
        _, columns, weights = self.near.rows(which)
        cut = float(weights[~marked[columns]].sum())
        d = self.near.column(DEGREE)[which]
        beyond = float(d[which >= self.k].sum())
        taken = self.theta * beyond if beyond else 0.0
        return Quotient(marked, cut, float(d[which < self.k].sum()) - taken)

    def cut_below(self, best: Quotient) -> tuple[NDArray[np.bool_], float]:
        """Return a set with a smaller quotient, and the value of the maximum flow.

        The value is in units of the denominator of ``best``: at ``cut * vol(R)`` there
        is no better set.
        """
        if math.isinf(self.theta):
            return self._inside(best)[:2]
        side, value, _ = self._around(best.value)
        return side, value * best.denominator

    def _inside(
        self, best: Quotient
    ) -> tuple[NDArray[np.bool_], float, tuple[Ints, Ints, Array]]:
        """MQI: boundary edges feed nodes, each of which needs ``cut d / vol``."""
        near, k = self.near, self.k
        counts, columns, weights = near.rows(np.arange(k))
        owner = np.repeat(np.arange(k), counts)
        inner = columns < k
        pairs = inner & (owner < columns)
        u, v, w = owner[pairs], columns[pairs], weights[pairs]
        fed = np.bincount(owner[~inner], weights[~inner], k)
        d = near.column(DEGREE)[:k]
        if self.exact:  # integers, so that the flow is exact
            kind: Any = np.int64
            scale, need = round(best.denominator), round(best.cut)
            w, fed, d = (np.rint(part).astype(kind) for part in (w, fed, d))
        else:
            kind = np.float64
            scale, need = best.denominator, best.cut
        s, t = k, k + 1
        every = np.arange(k)
        none, flat = np.zeros(k, dtype=kind), np.full(k, s)
        flow = maximum_flow(
            k + 2,
            np.concatenate([u, flat, every]),
            np.concatenate([v, every, np.full(k, t)]),
            np.concatenate([scale * w, scale * fed, need * d]),
            np.concatenate([scale * w, none, none]),
            s,
            t,
        )
        along = np.clip(flow.along[: len(u)] / scale, -weights[pairs], weights[pairs])
        edges = (
            np.concatenate([np.where(along > 0, v, u), owner[~inner]]),
            np.concatenate([np.where(along > 0, u, v), columns[~inner]]),
            np.concatenate([np.abs(along), weights[~inner]]),
        )
        return ~flow.source_side[:k], flow.value, edges

    def _around(
        self, a: float
    ) -> tuple[NDArray[np.bool_], float, tuple[Ints, Ints, Array]]:
        """FlowImprove: R sends out ``a d``, other nodes take in ``a theta d``.

        Rows are read until no node whose row is unknown is full.
        """
        near, k = self.near, self.k
        for _ in range(_MAX_ROUNDS):
            if not near.graph.unit:  # degrees beyond are needed as well
                near.open(np.arange(near.size))
            n = near.size
            opened = np.flatnonzero(near.column(START) >= 0)
            counts, columns, weights = near.rows(opened)
            owner = np.repeat(opened, counts)
            known = np.zeros(n, dtype=bool)
            known[opened] = True
            once = ~known[columns] | (owner < columns)
            u, v, w = owner[once], columns[once], weights[once]
            d = near.column(DEGREE)
            s, t = n, n + 1
            taken = a * self.theta * d[k:]
            none = np.zeros(n)
            flow = maximum_flow(
                n + 2,
                np.concatenate([u, np.full(k, s), np.arange(k, n)]),
                np.concatenate([v, np.arange(k), np.full(n - k, t)]),
                np.concatenate([w, a * d[:k], taken]),
                np.concatenate([w, none]),
                s,
                t,
            )
            filled = np.zeros(n, dtype=bool)
            filled[k:] = flow.along[len(u) + k :] >= taken * (1 - 1e-14)
            new = np.flatnonzero(filled & ~known)
            if not len(new):
                break
            near.open(new)
        along = flow.along[: len(u)]
        runs = along != 0
        u, v, along = u[runs], v[runs], along[runs]
        edges = (np.where(along > 0, u, v), np.where(along > 0, v, u), np.abs(along))
        return flow.source_side[:n], flow.value, edges

    def proof(self, best: Quotient) -> tuple[Ints, Ints, Array]:
        """Return node numbers and amounts of the flow that certifies the quotient."""
        if not best.cut > 0:
            none = np.zeros(0, dtype=np.int64)
            return none, none, np.zeros(0)
        if math.isinf(self.theta):
            tail, head, flow = self._inside(best)[2]
        else:
            tail, head, flow = self._around(best.value * (1.0 - _BELOW))[2]
            flow = np.minimum(flow, self._capacity(tail, head))
        ids = self.near.column(NODE)
        return ids[tail], ids[head], flow

    def _capacity(self, tail: Ints, head: Ints) -> Array:
        """Return the weights of edges between local nodes."""
        if self.near.graph.unit:
            return np.ones(len(tail))
        n = self.near.size
        opened = np.flatnonzero(self.near.column(START) >= 0)
        counts, columns, weights = self.near.rows(opened)
        key = np.repeat(opened, counts) * n + columns
        order = np.argsort(key)
        known = self.near.column(START)[tail] >= 0
        wanted = np.where(known, tail * n + head, head * n + tail)
        return np.asarray(weights[order][np.searchsorted(key[order], wanted)])
