"""The arithmetic behind the certificates of flow diffusion, NumPy only.

On a graph with weights ``w``, source mass ``Delta`` and sink capacity ``T``::

    min_f  1/p sum_e w_e |f_e / w_e|^p   s.t.  m = Delta - B'f <= T
    max_{x >= 0}  x'(Delta - T) - 1/q sum_e w_e |x_i - x_j|^q,      1/p + 1/q = 1

(Fountoulakis, Wang, Yang, arXiv:2005.09810). Any ``x >= 0`` proves its dual value. The
flow ``f_e = w_e sign(x_i - x_j) |x_i - x_j|^(q-1)`` proves its primal value when
``m <= T`` holds beyond all rounding. Only rows of the support of ``x`` and of the
cluster are read.
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
from graphs._measure_graph import (
    EPS,
    TINY,
    Array,
    Ints,
    Rows,
    as_graph,
    conductance_of,
    cut_and_volume,
    distinct,
    edge_length,
    nonnegative,
    segment_sums,
    weighted_rows,
)

_LARGEST = float(np.finfo(np.float64).max)

# A power |t|^(q-1) is off by few units in the last place; a generous count of them.
_POWER_ROUNDING = 16


class Source(NamedTuple):
    """Where the mass starts: seed nodes, increasing, and the mass of each."""

    nodes: Ints
    mass: Array


class Energy(NamedTuple):
    """Sums over the edges at the support, with bounds on their rounding errors."""

    value: float  # sum_e w_e |x_i - x_j|^q
    error: float
    net: Array  # net outflow of each node of the support
    net_error: Array
    outside: Ints  # neighbours beyond the support, repeated
    total_variation: float  # sum_e w_e |x_i - x_j|


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
        their ``sink``; for labels that are no data, ``label_nodes``, ``labels``.
    parameters : mapping
        ``p``, ``sinks`` ("degree", "unit", "array"), ``affinity``, ``n_neighbors``,
        ``symmetrize``, what the weight factors need, and ``edge_length``: whether the
        mean length of edges between rows of features is measured.

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
    q = p / (p - 1)
    nodes = distinct("nodes", witness["nodes"], n)
    x = nonnegative("x", witness["x"], len(nodes))
    inside = np.asarray(witness["cluster"])
    if inside.shape != nodes.shape or inside.dtype.kind != "b":
        raise CertificateError("cluster must be one bool a node.")
    seeds = distinct("seeds", witness["seeds"], n)
    source = Source(seeds, nonnegative("source", witness["source"], len(seeds)))
    if not len(seeds) or not np.isin(seeds, nodes).all():
        raise CertificateError("seeds must be among the nodes.")
    if labels is None and "labels" in witness:
        labels = _looked_up(witness, "label_nodes", "labels", n)
    rows = weighted_rows(graph, nodes, seeds, parameters, labels, attributes)
    at_seeds = np.searchsorted(nodes, seeds)
    delta = np.zeros(len(nodes))
    delta[at_seeds] = source.mass
    sink = _sinks(graph, nodes, witness, parameters, n)

    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        energy, arrived, arrived_error, capacity = _flow(
            graph, rows, nodes, x, p, witness, parameters
        )
        mass = delta - energy.net
        radius = energy.net_error + 2 * EPS * (np.abs(delta) + np.abs(energy.net))
        excess = max(
            float((mass + radius - sink).max(initial=-math.inf)),
            float((arrived + arrived_error - capacity).max(initial=-math.inf)),
            0.0,
        )
        terms = x * (delta - sink)
        linear = _fsum(terms)
        linear_error = 4 * EPS * _fsum(x * (delta + sink)) + len(x) * TINY
        primal, dual = energy.value / p, linear - energy.value / q
        slack = energy.error + 4 * EPS * energy.value
        lower = dual - linear_error - slack - 4 * EPS * abs(dual)
        upper = primal + slack
        scale = _one_push(rows, at_seeds, source.mass - sink[at_seeds], p)
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
        "mass": _fsum(source.mass),
        "support_volume": _fsum(sink[x > 0]),
        "conductance_upper": _coarea(rows, x, energy.total_variation),
        **_cluster(graph, rows, nodes, inside, delta, sink, upper, p, parameters),
    }
    if parameters["edge_length"]:
        residuals["edge_length"] = edge_length(data, rows, nodes)
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


def _flow(
    graph: Any,
    rows: Rows,
    nodes: Ints,
    x: Array,
    p: float,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> tuple[Energy, Array, Array, Array]:
    """Sum the flow over rows, and what arrives at the nodes just outside.

    An array over all nodes is only ever written where the support reaches: the
    operating system hands out zeros lazily, so the cost is that of the support.
    """
    n, q = graph.n_nodes, p / (p - 1)
    height = np.zeros(n)
    height[nodes] = x
    known = np.zeros(n, dtype=bool)
    known[nodes] = True
    difference = np.repeat(x, rows.counts) - height[rows.columns]
    size = np.abs(difference)
    if p == 2:
        flow = rows.weights * difference
    else:
        flow = rows.weights * np.copysign(size ** (q - 1.0), difference)
    inner = known[rows.columns]
    work = np.abs(flow) * size
    half = np.where(inner, 0.5 * work, work)  # an inner edge stands in two rows
    unit = (rows.counts + _POWER_ROUNDING) * EPS + 2 * rows.error
    parts = segment_sums(half, rows.starts)
    value = _fsum(parts)
    error = _fsum(parts * unit) + len(flow) * TINY
    net = segment_sums(flow, rows.starts)
    net_error = segment_sums(np.abs(flow), rows.starts) * unit + rows.counts * TINY
    beyond = rows.columns[~inner]
    gained = np.zeros(n)
    np.add.at(gained, beyond, flow[~inner])
    arrived = gained[beyond]
    many = graph.degrees(beyond) + _POWER_ROUNDING
    arrived_error = arrived * (many * EPS + 2 * rows.error) + many * TINY
    variation = rows.weights * size
    total = float(np.where(inner, 0.5 * variation, variation).sum())
    capacity = _sinks(graph, beyond, witness, parameters, n)
    return (
        Energy(value, error, net, net_error, beyond, total),
        arrived,
        arrived_error,
        capacity,
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


def _one_push(rows: Rows, at_seeds: Ints, excess: Array, p: float) -> float:
    """Bound the optimum from below by single steps at the seeds.

    ``x = sum_s a_s e_s`` has a dual value of at least ``sum_s a_s excess_s - d_s
    a_s^q / q``, since ``|a - b|^q <= a^q + b^q`` for nonnegative numbers.
    """
    d = segment_sums(rows.weights, rows.starts)[at_seeds]
    moves = (excess > 0) & (d > 0)
    if not moves.any():
        return 1.0
    logarithm = p * np.log(excess[moves]) - (p - 1) * np.log(d[moves]) - math.log(p)
    total = float(np.exp(np.minimum(logarithm, 690.0)).sum())
    return min(max(total, TINY), _LARGEST)


def _coarea(rows: Rows, x: Array, variation: float) -> float:
    """Bound the conductance of the best level set of x, by the co-area formula."""
    mass = float((segment_sums(rows.weights, rows.starts) * x).sum())
    return variation / mass if mass > 0 else 1.0


def _cluster(
    graph: Any,
    rows: Rows,
    nodes: Ints,
    inside: NDArray[np.bool_],
    delta: Array,
    sink: Array,
    upper: float,
    p: float,
    parameters: Mapping[str, Parameter],
) -> dict[str, float]:
    """Cut and conductance of the cluster, and what no rival can undercut.

    The mass ``Delta(C) - T(C)`` leaves through the boundary of C, so
    ``cut(C) >= (Delta(C) - T(C))^q / (p P)^(q/p)`` for every feasible flow of value P.
    """
    q = p / (p - 1)
    member = np.repeat(inside, rows.counts)
    marked = np.zeros(graph.n_nodes, dtype=bool)
    marked[nodes[inside]] = True
    cut, volume = cut_and_volume(rows.columns[member], rows.weights[member], marked)
    _, columns, weights = graph(nodes[inside])
    cut_input, volume_input = cut_and_volume(columns, weights, marked)
    weighted = "label_weight" in parameters or "gamma" in parameters
    phi_input = conductance_of(cut_input, volume_input, graph.volume)
    phi = cut / volume if weighted and volume > 0 else phi_input
    stuck = _fsum(delta[inside]) - _fsum(sink[inside])

    def least_cut(mass: float) -> float:
        if not mass > 0 or not math.isfinite(upper) or upper <= 0:
            return 0.0
        power = q * math.log(mass) - q / p * math.log(p * upper)
        return math.exp(min(power, 690.0)) * (1 - 1e-12)

    occupied = _fsum(sink[inside])
    rival = 0.0
    shrinks = float(parameters.get("unknown_weight", 1.0)) <= 1
    counts = parameters["sinks"] == "degree" and graph.unit and shrinks
    if counts and occupied > 0:
        rival = least_cut(_fsum(delta) - occupied) / occupied
    return {
        "conductance": phi,
        "conductance_input": phi_input,
        "cut": cut,
        "cut_lower": least_cut(stuck),
        "conductance_lower": min(rival, 1.0),
        "sinks_are_volumes": float(counts),
    }


def _fsum(terms: Array) -> float:
    try:
        return math.fsum(terms)
    except (OverflowError, ValueError):  # beyond all floats, or inf - inf
        return math.nan
