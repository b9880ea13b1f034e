"""The arithmetic behind the certificates of flow diffusion, NumPy only.

On a graph with weights ``w``, source mass ``Delta`` and sink capacity ``T``::

    min_f  1/p sum_e w_e |f_e / w_e|^p   s.t.  m = Delta - B'f <= T
    max_{x >= 0}  x'(Delta - T) - 1/q sum_e w_e |x_i - x_j|^q,      1/p + 1/q = 1

(Fountoulakis, Wang, Yang, arXiv:2005.09810). Any ``x >= 0`` proves its dual value. The
flow ``f_e = w_e sign(x_i - x_j) |x_i - x_j|^(q-1)`` proves its primal value when
``m <= T`` holds beyond all rounding. With ``mu > 0`` both programs are smoothed, see
:mod:`graphs._measure_power`; their common optimum is at least that without, and a
flow's smoothed value at least its own, so what follows from them about cuts holds too.
For p = 2 the flow may differ from that of the
heights: each node has a level, -1 beyond the nodes of the witness, and a drain ``s_i``
that adds ``w_ij s_i`` to the flow along its edges to lower levels. Any numbers make a
flow, so no choice of levels or drains can make the proof wrong. Only rows of the
support of ``x``, of nodes with a level and of the cluster are read.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import graphs._measure_cut
import graphs._measure_heat
import graphs._measure_pagerank  # noqa: F401  (all three register problems)
from farkas.certificate import CertificateError, Guarantee, Parameter
from farkas.verification import ROUNDING, Measurement, problem
from graphs._measure_flow import Flow, Near, summed_flow
from graphs._measure_graph import (
    EPS,
    TINY,
    Array,
    Ints,
    as_graph,
    conductance_of,
    cut_and_volume,
    distinct,
    nonnegative,
    summed,
)
from graphs._measure_lookup import among, placed

_LARGEST = float(np.finfo(np.float64).max)


class Source(NamedTuple):
    """Where the mass starts: seed nodes, increasing, and the mass of each."""

    nodes: Ints
    mass: Array


@problem("graphs.flow_diffusion/1", data=("graph",))
def measure_flow(
    graph: Any,
    *,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    """Duality gap of a flow diffusion on a graph.

    Parameters
    ----------
    graph : callable, sparse matrix or ndarray
        See :func:`graphs._measure_graph.as_graph`.
    witness : mapping
        ``nodes`` (k,) increasing: support, cluster and seeds; ``x`` (k,) heights;
        ``cluster`` (k,) whether a node is in the cluster; ``seeds`` (s,) increasing;
        ``source`` (s,) their mass; for sinks "array", ``sink_nodes`` increasing and
        their ``sink``; for labels that are no data, ``label_nodes``, ``labels``; where
        the flow is not that of the heights, ``level`` (k,) and ``drain`` (k,).
    parameters : mapping
        ``p``, ``sinks`` ("degree", "unit", "array"), ``affinity``, ``n_neighbors``,
        ``symmetrize``, ``mu`` where it is not 0, what the weight factors need, and
        ``edge_length``: whether the mean length of edges between rows of features is
        measured.

    Returns
    -------
    Measurement
        ``upper`` and ``value`` are inf while some node may hold more than its sink.
        ``scale`` is the largest known lower bound of the optimum: ``lower``, or the
        value of single steps at the seeds.

    Raises
    ------
    CertificateError
        If the witness is malformed or the arithmetic overflows.
    """
    return _measure_diffusion(graph, None, None, witness, parameters)


@problem("graphs.label_flow_diffusion/1", data=("graph", "labels"))
def measure_label_flow(
    graph: Any,
    labels: Any,
    *,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    """Duality gap of a diffusion whose edges are weighted by node labels.

    Parameters
    ----------
    graph : callable, sparse matrix or ndarray
        See :func:`graphs._measure_graph.as_graph`.
    labels : ndarray of shape (n,) or callable
        1, 0, -1 for unknown, or the probability of a 1.
    witness, parameters : mapping
        See :func:`measure_flow`.

    Returns
    -------
    Measurement
    """
    return _measure_diffusion(graph, labels, None, witness, parameters)


@problem("graphs.attributed_flow_diffusion/1", data=("graph", "labels", "attributes"))
def measure_attributed_flow(
    graph: Any,
    labels: Any,
    attributes: Any,
    *,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    """Duality gap of a diffusion whose edges are weighted by attributes and labels.

    Parameters
    ----------
    graph : callable, sparse matrix or ndarray
        See :func:`graphs._measure_graph.as_graph`.
    labels : ndarray of shape (n,), callable, or nan
        As in :func:`measure_label_flow`; nan for none.
    attributes : ndarray of shape (n, d) or callable
        Rows of numbers.
    witness, parameters : mapping
        See :func:`measure_flow`.

    Returns
    -------
    Measurement
    """
    absent = not callable(labels) and labels.ndim == 0 and bool(np.isnan(labels))
    given = None if absent else labels
    return _measure_diffusion(graph, given, attributes, witness, parameters)


def _measure_diffusion(
    data: Any,
    labels: Any,
    attributes: Any,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    graph = as_graph(data, parameters)
    n = graph.n_nodes
    p = float(parameters["p"])
    if not 2 <= p < math.inf:
        raise CertificateError(f"p={p!r} must be at least 2.")
    mu = float(parameters.get("mu", 0.0))
    if not (mu == 0 or 1e-100 <= mu <= 1e100):
        raise CertificateError(f"mu={mu!r} must be 0 or a number of moderate size.")
    q = p / (p - 1)
    nodes = distinct("nodes", witness["nodes"], n)
    x = nonnegative("x", witness["x"], len(nodes))
    inside = np.asarray(witness["cluster"])
    if inside.shape != nodes.shape or inside.dtype.kind != "b":
        raise CertificateError("cluster must be one bool a node.")
    seeds = distinct("seeds", witness["seeds"], n)
    source = Source(seeds, nonnegative("source", witness["source"], len(seeds)))
    if not len(seeds) or not among(seeds, nodes).all():
        raise CertificateError("seeds must be among the nodes.")
    if labels is None and "labels" in witness:
        labels = _looked_up(witness, "label_nodes", "labels", n)
    at_seeds = np.searchsorted(nodes, seeds)
    delta = np.zeros(len(nodes))
    delta[at_seeds] = source.mass
    sink = _sinks(graph, nodes, witness, parameters, n)

    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        near = Near(data, graph, nodes, x, inside, seeds, labels, attributes)
        flow = summed_flow(near, p, mu, witness, parameters)
        capacity = _sinks(graph, flow.border, witness, parameters, n)
        mass = delta - flow.net
        radius = flow.net_error + 2 * EPS * (np.abs(delta) + np.abs(flow.net))
        excess = max(
            float((mass + radius - sink).max(initial=-math.inf)),
            float(
                (flow.arrived + flow.arrived_error - capacity).max(initial=-math.inf)
            ),
            0.0,
        )
        linear, linear_error = summed(x * (delta - sink))
        linear_error += 4 * EPS * float((x * (delta + sink)).sum()) + len(x) * TINY
        primal, primal_error = flow.total(flow.primal)
        energy, energy_error = flow.total(flow.dual)
        primal, dual = primal / p, linear - energy / q
        lower = dual - linear_error - energy_error - 4 * EPS * (energy + abs(dual))
        upper = primal + primal_error + 4 * EPS * primal * p
        excess_mass = source.mass - sink[at_seeds]
        scale = _one_push(flow.degree[at_seeds], excess_mass, p)
    if not (math.isfinite(lower) and math.isfinite(upper) and not math.isnan(excess)):
        raise CertificateError("the arithmetic overflows; rescale weights or mass.")
    scale = max(scale, lower)  # both bound the optimum from below
    gap = upper - lower
    if excess > 0:
        gap = upper = math.inf
    elif gap < -ROUNDING * scale:
        raise CertificateError(f"negative duality gap {gap:.3g}.")
    gap = max(gap, 0.0)
    residuals = {
        "primal_value": primal,
        "dual_value": dual,
        "max_excess": excess,
        "mass": math.fsum(source.mass),
        "support_volume": float(sink[x > 0].sum()),
        "conductance_upper": _coarea(flow, x),
        **_cluster(
            graph, flow, nodes, inside, delta, sink, source.mass, upper, p, parameters
        ),
    }
    if parameters["edge_length"]:
        residuals["edge_length"] = flow.length / max(flow.entries, 1)
    return Measurement(
        kind="duality_gap",
        value=gap,
        guarantee=Guarantee.GLOBAL,
        scale=scale,
        lower=max(lower, 0.0),  # x = 0 is feasible
        upper=upper,
        residuals=residuals,
        assumptions=("the graph is undirected",),
    )


def _sinks(
    graph: Any,
    nodes: Ints,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
    n: int,
) -> Array:
    sinks = parameters["sinks"]
    if sinks == "degree":
        return np.asarray(graph.degrees(nodes), dtype=np.float64)
    if sinks == "unit":
        return np.ones(len(nodes))
    if sinks != "array":
        raise CertificateError(f"sinks={sinks!r} must be degree, unit or array.")
    listed = distinct("sink_nodes", witness["sink_nodes"], n)
    sink = nonnegative("sink", witness["sink"], len(listed))
    return _at(listed, sink, nodes, "sink")


def _at(listed: Ints, values: Array, nodes: Ints, name: str) -> Array:
    place = np.minimum(np.searchsorted(listed, nodes), max(len(listed) - 1, 0))
    if len(nodes) and (not len(listed) or (listed[place] != nodes).any()):
        raise CertificateError(f"{name} leaves out a node that the diffusion reaches.")
    return values[place] if len(nodes) else np.zeros(0)


def _looked_up(
    witness: Mapping[str, NDArray[Any]], where: str, what: str, n: int
) -> Any:
    listed = distinct(where, witness[where], n)
    values = np.asarray(witness[what])
    if values.shape != listed.shape or values.dtype.kind not in "biuf":
        raise CertificateError(f"{what} must be one number for each of {where}.")
    return lambda nodes: _at(listed, values.astype(np.float64), nodes, what)


def _one_push(d: Array, excess: Array, p: float) -> float:
    """Bound the optimum from below by single steps at seeds of degree d.

    ``x = sum_s a_s e_s`` has a dual value of at least ``sum_s a_s excess_s - d_s
    a_s^q / q``, since ``|a - b|^q <= a^q + b^q`` for nonnegative numbers.
    """
    moves = (excess > 0) & (d > 0)
    if not moves.any():
        return 1.0
    logarithm = p * np.log(excess[moves]) - (p - 1) * np.log(d[moves]) - math.log(p)
    total = float(np.exp(np.minimum(logarithm, 690.0)).sum())
    return min(max(total, TINY), _LARGEST)


def _coarea(flow: Flow, x: Array) -> float:
    """Bound the conductance of the best level set of x, by the co-area formula."""
    mass = float((flow.degree * x).sum())
    return float(flow.variation.sum()) / mass if mass > 0 else 1.0


def _cluster(
    graph: Any,
    flow: Flow,
    nodes: Ints,
    inside: NDArray[np.bool_],
    delta: Array,
    sink: Array,
    source: Array,
    upper: float,
    p: float,
    parameters: Mapping[str, Parameter],
) -> dict[str, float]:
    """Cut and conductance of the cluster, and what no rival can undercut.

    The mass ``Delta(C) - T(C)`` leaves through the boundary of C, so
    ``cut(C) >= (Delta(C) - T(C))^q / (p P)^(q/p)`` for every feasible flow of value P.
    """
    q = p / (p - 1)
    cut, volume = flow.cut, float(flow.degree[inside].sum())
    weighted = "label_weight" in parameters or "gamma" in parameters
    cut_input, volume_input = cut, volume
    if weighted:
        _, columns, weights = graph(nodes[inside])
        leaving = placed(columns, nodes[inside], graph.n_nodes).place == 0
        cut_input, volume_input = cut_and_volume(leaving, weights)
    phi_input = conductance_of(cut_input, volume_input, graph.volume)
    phi = cut / volume if weighted and volume > 0 else phi_input
    stuck, error = summed((delta - sink)[inside])
    stuck -= error + 2 * EPS * float((delta + sink)[inside].sum())

    def least_cut(mass: float) -> float:
        if not mass > 0 or not math.isfinite(upper) or upper <= 0:
            return 0.0
        power = q * math.log(mass) - q / p * math.log(p * upper)
        return math.exp(min(power, 690.0)) * (1 - 1e-12)

    occupied, error = summed(sink[inside])
    occupied += error
    rival = 0.0
    shrinks = float(parameters.get("unknown_weight", 1.0)) <= 1
    counts = parameters["sinks"] == "degree" and graph.unit and shrinks
    if counts and occupied > 0:
        rival = least_cut(math.fsum(source) - occupied * (1 + EPS)) / occupied
    return {
        "conductance": phi,
        "conductance_input": phi_input,
        "cut": cut,
        "cut_lower": least_cut(stuck),
        "conductance_lower": min(rival, 1.0),
        "sinks_are_volumes": float(counts),
    }
