"""The arithmetic behind the certificates of PageRank, NumPy only.

With ``u = D^-1 p`` the l1-regularised program (arXiv:1602.01886) reads::

    min  alpha/2 sum_i d_i u_i^2 + (1-alpha)/4 sum_e w_e (u_i - u_j)^2
         - alpha s'u + rho alpha sum_i d_i |u_i|

It is alpha-strongly convex in ``z = D^(1/2) u``, so a subgradient of norm g in that
metric proves the lower bound ``f - g^2 / (2 alpha)``. Without the penalty its gradient
is the residual of ``(I - (1-alpha) W) p = alpha s`` with the lazy walk W, and the
largest residual per degree bounds the error per degree, because W maps D to D.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from farkas.certificate import CertificateError, Guarantee, Parameter
from farkas.verification import Measurement, problem
from graphs._measure_graph import (
    EPS,
    TINY,
    Array,
    Ints,
    Rows,
    as_graph,
    conductance_of,
    distinct,
    edge_lengths,
    nonnegative,
    segment_sums,
    summed,
    weighted_rows,
)
from graphs._measure_lookup import among, placed

_CONSTANT = 16  # roundings besides those of the sums; a generous count of them

ASSUMPTIONS = ("the graph is undirected",)


class Near(NamedTuple):
    """Nodes of a vector and their neighbours, with what the measures need of both."""

    data: Any
    graph: Any
    start: Array  # the share of each node that is a seed
    nodes: Ints  # where the vector may be nonzero, and the seeds
    border: Ints  # neighbours beyond
    rows: Rows
    place: Ints  # of the entries of the rows: position in nodes, then in the border
    degree: Array
    border_degree: Array
    unit: Array  # relative rounding error of a sum over each row
    border_unit: Array


def read_near(
    data: Any,
    labels: Any,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Near:
    graph = as_graph(data, parameters)
    n = graph.n_nodes
    nodes = distinct("nodes", witness["nodes"], n)
    seeds = distinct("seeds", witness["seeds"], n)
    share = nonnegative("share", witness["share"], len(seeds))
    if not len(seeds) or not among(seeds, nodes).all():
        raise CertificateError("seeds must be among the nodes.")
    rows = weighted_rows(graph, nodes, seeds, parameters, labels)
    near = placed(rows.columns, nodes, n)
    border, place = near.border, near.place - 1
    place[np.flatnonzero(place < 0)] = near.slot + len(nodes)
    if rows.unit:
        degree = rows.counts.astype(np.float64)
    else:
        degree = segment_sums(rows.weights, rows.starts)
    if graph.unit and "label_weight" not in parameters:
        border_counts = graph.degrees(border)
        border_degree = border_counts.astype(np.float64)
    else:
        around = weighted_rows(graph, border, seeds, parameters, labels)
        border_counts = around.counts
        border_degree = segment_sums(around.weights, around.starts)
    at_seeds = np.searchsorted(nodes, seeds)
    if not (degree[at_seeds] > 0).all():
        raise CertificateError("a seed has no edges.")
    start = np.zeros(len(nodes))
    start[at_seeds] = share
    return Near(
        data, graph, start, nodes, border, rows, place, degree, border_degree,
        (rows.counts + _CONSTANT) * EPS + 2 * rows.error,
        (border_counts + _CONSTANT) * EPS + 2 * rows.error,
    )  # fmt: skip


def walked(near: Near, u: Array) -> tuple[Array, Array, Array, Array]:
    """Return ``A u`` on the nodes and on the border, with bounds on its rounding."""
    gain = np.repeat(u, near.rows.counts)
    if not near.rows.unit:
        gain *= near.rows.weights
    k, all_nodes = len(near.nodes), len(near.nodes) + len(near.border)
    sums = np.bincount(near.place, gain, all_nodes)
    sizes = sums
    if not (u >= 0).all():
        sizes = np.bincount(near.place, np.abs(gain), all_nodes)
    return (
        sums[:k],
        sizes[:k] * near.unit + near.rows.counts * TINY,
        sums[k:],
        sizes[k:] * near.border_unit + TINY * len(gain),
    )


def finite(name: str, values: Any, shape: tuple[int, ...]) -> Array:
    """Return an array after checking its shape and finiteness."""
    array = np.asarray(values, dtype=np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise CertificateError(
            f"{name} must be {' x '.join(map(str, shape))} finite numbers."
        )
    return array


def within(
    name: str, value: Parameter, low: float, high: float, closed: bool = False
) -> float:
    """Return a parameter after checking that it lies above low and below high.

    ``closed`` includes high.
    """
    number = float(value)
    if not (low < number < high or (closed and number == high)):
        raise CertificateError(f"{name}={value!r} must lie between {low:g}, {high:g}.")
    return number


def _gradient(
    near: Near, u: Array, s: Array, alpha: float
) -> tuple[Array, Array, Array, Array]:
    """Gradient of the smooth part, on nodes and border, with rounding bounds."""
    lazy = (1.0 - alpha) / 2.0
    into, error, out, out_error = walked(near, u)
    own = (alpha + lazy) * near.degree * u
    gradient = own - lazy * into - alpha * s
    radius = np.abs(own) * near.unit + lazy * error
    radius += 4 * EPS * (np.abs(own) + lazy * np.abs(into) + alpha * s) + TINY
    return gradient, radius, -lazy * out, lazy * out_error + 4 * EPS * np.abs(out)


@problem("graphs.l1_pagerank/1", data=("graph",))
def measure_l1_pagerank(
    graph: Any,
    *,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    """Suboptimality of a candidate of l1-regularised PageRank.

    Parameters
    ----------
    graph : callable, sparse matrix or ndarray
        See :func:`graphs._measure_graph.as_graph`.
    witness : mapping
        ``nodes`` (k,) increasing: support, cluster and seeds; ``u`` (k,) mass over
        degree; ``cluster`` (k,) bool; ``seeds``, increasing, and their ``share``.
    parameters : mapping
        ``alpha``, ``rho`` and how to read the graph.

    Returns
    -------
    Measurement
        ``scale`` is what single steps at the seeds gain, ``residuals`` hold the
        subgradient's norm, the sum of p and cut and conductance of the cluster.

    Raises
    ------
    CertificateError
        If the witness is malformed.
    """
    return _measure_l1(graph, None, witness, parameters)


@problem("graphs.label_l1_pagerank/1", data=("graph", "labels"))
def measure_label_l1_pagerank(
    graph: Any,
    labels: Any,
    *,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    """Suboptimality of l1-regularised PageRank on label-weighted edges.

    Parameters
    ----------
    graph, labels : ndarray or callable
        Graph, and one label a node.
    witness, parameters : mapping
        See :func:`measure_l1_pagerank`.

    Returns
    -------
    Measurement
    """
    return _measure_l1(graph, labels, witness, parameters)


def _measure_l1(
    graph: Any,
    labels: Any,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    near = read_near(graph, labels, witness, parameters)
    u, s = finite("u", witness["u"], near.nodes.shape), near.start
    alpha = within("alpha", parameters["alpha"], 0.0, 1.0)
    rho = float(parameters["rho"])
    if not 0 <= rho < math.inf:
        raise CertificateError(f"rho={rho!r} must be nonnegative.")
    gradient, radius, beyond, beyond_error = _gradient(near, u, s, alpha)
    pull = rho * alpha * near.degree
    slope = np.where(
        u == 0,
        np.maximum(np.abs(gradient) - pull, 0.0),
        np.abs(gradient + np.copysign(pull, u)),
    )
    slope += radius + near.unit * pull
    border_pull = rho * alpha * near.border_degree
    border = np.maximum(np.abs(beyond) + beyond_error - border_pull * (1 - 1e-15), 0.0)
    border += near.border_unit * np.where(border > 0, border_pull, 0.0)
    lonely = (near.degree == 0) & (slope > 0)
    if lonely.any() or ((near.border_degree == 0) & (border > 0)).any():
        raise CertificateError("a node without edges holds mass.")
    square = sum(
        sum(summed(_per(part**2, degree)))
        for part, degree in ((slope, near.degree), (border, near.border_degree))
    )
    square *= 1 + 1e-12
    value, error = _objective(near, u, s, alpha, rho)
    upper = value + error
    lower = value - error - square / (2 * alpha)
    if not (math.isfinite(lower) and math.isfinite(upper)):
        raise CertificateError("the arithmetic overflows; rescale the weights.")
    return Measurement(
        kind="duality_gap",
        value=upper - lower,
        guarantee=Guarantee.GLOBAL,
        scale=_first_gain(near, s, alpha, rho),
        lower=lower,
        upper=upper,
        residuals={
            "subgradient": math.sqrt(square),
            "sum": float((near.degree * u).sum()),
            **cluster_numbers(near, witness, parameters),
        },
        assumptions=ASSUMPTIONS,
    )


def _per(values: Array, degree: Array) -> Array:
    return np.divide(values, degree, out=np.zeros_like(values), where=degree > 0)


def _objective(
    near: Near, u: Array, s: Array, alpha: float, rho: float
) -> tuple[float, float]:
    d, rows = near.degree, near.rows
    other = np.concatenate([u, np.zeros(len(near.border))])[near.place]
    step = np.repeat(u, rows.counts) - other
    energy = rows.weights * step**2 * np.where(near.place < len(u), 0.5, 1.0)
    parts = segment_sums(energy, rows.starts)
    terms = [
        alpha / 2 * d * u**2,
        (1 - alpha) / 4 * parts,
        -alpha * s * u,
        rho * alpha * d * np.abs(u),
    ]
    error = sum(float((np.abs(term) * near.unit).sum()) for term in terms) * 1.01
    sums = [summed(term) for term in terms]
    error += sum(rounding for _, rounding in sums) + len(energy) * TINY
    return math.fsum(value for value, _ in sums), error


def _first_gain(near: Near, s: Array, alpha: float, rho: float) -> float:
    """Return what single steps at the seeds gain together, 1 if nothing."""
    d = near.degree
    push = np.maximum(alpha * s - rho * alpha * d, 0.0)
    gain = float(_per(push**2, d).sum()) / (1 + alpha)
    return gain if TINY < gain < math.inf else 1.0


@problem("graphs.approximate_pagerank/1", data=("graph",))
def measure_pagerank(
    graph: Any,
    *,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    """Proven error per degree of an approximate personalised PageRank vector.

    Parameters
    ----------
    graph : callable, sparse matrix or ndarray
        See :func:`graphs._measure_graph.as_graph`.
    witness : mapping
        As of :func:`measure_l1_pagerank`.
    parameters : mapping
        ``alpha`` and how to read the graph.

    Returns
    -------
    Measurement
        ``value`` bounds ``|ppr_i - p_i| / d_i`` over all nodes.

    Raises
    ------
    CertificateError
        If the witness is malformed.
    """
    return _measure_appr(graph, None, witness, parameters)


@problem("graphs.label_approximate_pagerank/1", data=("graph", "labels"))
def measure_label_pagerank(
    graph: Any,
    labels: Any,
    *,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    """Proven error per degree of PageRank on label-weighted edges.

    Parameters
    ----------
    graph, labels : ndarray or callable
        Graph, and one label a node.
    witness, parameters : mapping
        See :func:`measure_pagerank`.

    Returns
    -------
    Measurement
    """
    return _measure_appr(graph, labels, witness, parameters)


def _measure_appr(
    graph: Any,
    labels: Any,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    near = read_near(graph, labels, witness, parameters)
    u, s = finite("u", witness["u"], near.nodes.shape), near.start
    alpha = within("alpha", parameters["alpha"], 0.0, 1.0)
    gradient, radius, beyond, beyond_error = _gradient(near, u, s, alpha)
    sizes = np.abs(gradient) + radius
    value = max(
        largest_per_degree(sizes, near.degree, near.unit),
        largest_per_degree(
            np.abs(beyond) + beyond_error, near.border_degree, near.border_unit
        ),
    )
    return Measurement(
        kind="error_per_degree",
        value=value / alpha * (1 + 4 * EPS),
        guarantee=Guarantee.GLOBAL,
        residuals={
            "sum": float((near.degree * u).sum()),
            "residual_sum": -(float(gradient.sum()) + float(beyond.sum())) / alpha,
            **cluster_numbers(near, witness, parameters),
        },
        assumptions=ASSUMPTIONS,
    )


def largest_per_degree(sizes: Array, degree: Array, unit: Array) -> float:
    """Return the largest size per degree, slightly rounded up."""
    if ((degree == 0) & (sizes > 2 * TINY)).any():
        raise CertificateError("a node without edges holds mass.")
    return float((_per(sizes, degree) * (1 + unit)).max(initial=0.0))


def cluster_numbers(
    near: Near,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> dict[str, float]:
    """Cut and conductance of the cluster, in the graph that diffused."""
    inside = np.asarray(witness["cluster"])
    if inside.shape != near.nodes.shape or inside.dtype.kind != "b":
        raise CertificateError("cluster must be one bool a node.")
    beyond = np.concatenate([~inside, np.ones(len(near.border), bool)])
    leaving = np.repeat(inside, near.rows.counts) & beyond.take(near.place)
    volume = float(near.degree[inside].sum())
    if near.rows.unit:
        cut = float(np.count_nonzero(leaving))
    else:
        cut = float(near.rows.weights.sum(where=leaving))
    if "label_weight" in parameters:
        phi = cut / volume if volume > 0 else 1.0
    else:
        phi = conductance_of(cut, volume, near.graph.volume)
    found = {"cut": cut, "conductance": phi}
    if parameters["edge_length"]:
        lengths = edge_lengths(near.data, near.rows, near.nodes)
        found["edge_length"] = float(lengths.mean()) if len(lengths) else 0.0
    return found
