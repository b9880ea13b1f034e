"""The arithmetic behind the certificates of MQI, FlowImprove and SimpleLocal.

For a reference set R the three minimise, over sets S with a positive denominator,

    phi_R(S) = cut(S) / (vol(S & R) - theta vol(S - R))

with ``theta = inf`` for MQI, which keeps S inside R. A flow with ``|f_e| <= w_e``
proves a lower bound: what leaves S is at most its cut, so if every node of R sends out
at least ``a d_i`` net, and every other node takes in at most ``a theta d_i``, then
``cut(S) >= a (vol(S & R) - theta vol(S - R))`` for all S.

Rounding may let a node take in slightly more. Then the interval holds for a theta that
is larger by the same factor, at most ``1 + 1e-9``; ``residuals`` name it.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farkas.certificate import CertificateError, Guarantee, Parameter
from farkas.verification import Measurement, problem
from graphs._measure_graph import (
    EPS,
    Array,
    Ints,
    as_graph,
    cut_and_volume,
    distinct,
    nonnegative,
    segment_sums,
)
from graphs._measure_lookup import placed

THETA_ROUNDING = 1e-9


@problem("graphs.quotient_cut/1", data=("graph",))
def measure_quotient_cut(
    graph: Any,
    *,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    """Gap between the quotient of a set and what a flow proves of all sets.

    Parameters
    ----------
    graph : callable, sparse matrix or ndarray
        See :func:`graphs._measure_graph.as_graph`.
    witness : mapping
        ``reference`` and ``cluster``, increasing node numbers; ``tail``, ``head``
        (m,) node numbers of edges and the ``flow`` (m,) on them.
    parameters : mapping
        ``theta`` and how to read the graph.

    Returns
    -------
    Measurement
        ``scale`` is the quotient of the reference set.

    Raises
    ------
    CertificateError
        If the witness is malformed or the flow exceeds an edge.
    """
    graph = as_graph(graph, parameters)
    n = graph.n_nodes
    theta = float(parameters["theta"])
    if not theta > 0:
        raise CertificateError(f"theta={theta!r} must be positive.")
    reference = distinct("reference", witness["reference"], n)
    cluster = distinct("cluster", witness["cluster"], n)
    tail, head = (_ends(name, witness[name], n) for name in ("tail", "head"))
    flow = nonnegative("flow", witness["flow"], len(tail))
    if not len(reference) or not len(cluster) or len(head) != len(tail):
        raise CertificateError("reference and cluster must not be empty.")
    _check_capacities(graph, tail, head, flow)
    at_start, start_volume, _ = _cut(graph, reference)
    cut, volume, error = _cut(graph, cluster)
    lower, theta = _proven(graph, reference, tail, head, flow, theta)
    shared = np.intersect1d(reference, cluster, assume_unique=True)
    beyond = np.setdiff1d(cluster, reference, assume_unique=True)
    _, own, own_error = _cut(graph, shared)
    taken = 0.0
    if len(beyond):
        _, rest, rest_error = _cut(graph, beyond)
        taken = theta * rest * (1 + rest_error) * (1 + 4 * EPS)
    # Every sum is rounded to the side that makes the quotient larger.
    denominator = own * (1 - own_error) * (1 - 2 * EPS) - taken
    if not denominator > 0:
        raise CertificateError("the cluster has no positive denominator.")
    upper = cut * (1 + error) / denominator * (1 + 4 * EPS)
    scale = at_start / start_volume if start_volume > 0 and at_start > 0 else 1.0
    gap = upper - lower
    if gap < -1e-9 * scale:
        raise CertificateError(f"negative gap {gap:.3g}.")
    smaller = min(volume, graph.volume - volume)
    return Measurement(
        kind="duality_gap",
        value=max(gap, 0.0),
        guarantee=Guarantee.GLOBAL,
        scale=scale,
        lower=min(lower, upper),
        upper=upper,
        residuals={
            "cut": cut,
            "volume": volume,
            "conductance": cut / smaller if smaller > 0 else 1.0,
            "flow_value": max(lower, 0.0) * start_volume,
            "theta": theta,
        },
        assumptions=("the graph is undirected", "theta is met to a relative 1e-9"),
    )


def _ends(name: str, values: NDArray[Any], n: int) -> Ints:
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise CertificateError(f"{name} must be a vector of integers.")
    if len(array) and not (0 <= array.min() and array.max() < n):
        raise CertificateError(f"{name} must lie within 0..{n - 1}.")
    return array.astype(np.int64)


def _cut(graph: Any, nodes: Ints) -> tuple[float, float, float]:
    """Return cut, volume, and the relative rounding error of both."""
    _, columns, weights = graph(nodes)
    if weights is not None and not ((weights >= 0) & np.isfinite(weights)).all():
        raise CertificateError("edge weights must be finite and nonnegative.")
    error = 0.0 if weights is None else (len(columns) + 2) * EPS
    leaving = placed(columns, nodes, graph.n_nodes).place == 0
    return *cut_and_volume(leaving, weights), error


def _check_capacities(graph: Any, tail: Ints, head: Ints, flow: Array) -> None:
    """Raise unless every flow runs once along an edge that can carry it."""
    n = graph.n_nodes
    low, high = np.minimum(tail, head), np.maximum(tail, head)
    key = low * n + high
    if len(np.unique(key)) != len(key):
        raise CertificateError("an edge is listed twice.")
    nodes = np.unique(low)
    counts, columns, weights = graph(nodes)
    keys = np.repeat(nodes, counts) * n + columns
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    if not len(key):
        return
    if not len(keys):
        raise CertificateError("a flow runs where there is no edge.")
    place = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
    if (keys[place] != key).any():
        raise CertificateError("a flow runs where there is no edge.")
    capacity = 1.0 if weights is None else np.asarray(weights, float)[order][place]
    if (flow > capacity).any():
        raise CertificateError("the flow exceeds the weight of an edge.")


def _proven(
    graph: Any, reference: Ints, tail: Ints, head: Ints, flow: Array, theta: float
) -> tuple[float, float]:
    """Return the largest a that the flow proves, 0 if none, and the theta it is for."""
    ends, place = np.unique(np.concatenate([tail, head]), return_inverse=True)
    both = np.concatenate([flow, flow])
    net = np.bincount(place, np.concatenate([flow, -flow]), len(ends))
    number = np.bincount(place, minlength=len(ends))
    error = (number + 2) * EPS * np.bincount(place, both, len(ends))
    sends = np.isin(ends, reference, assume_unique=True)
    degree, degree_error = _degrees(graph, reference)
    if not (degree > 0).all():
        raise CertificateError("a node of the reference set has no edges.")
    sent = np.zeros(len(reference))  # without flow a node sends nothing
    sent[np.searchsorted(reference, ends[sends])] = (net - error)[sends]
    lower = float((sent / (degree + degree_error)).min()) * (1 - 4 * EPS)
    if not lower > 0 or math.isinf(theta):
        return max(lower, 0.0), theta
    degree, degree_error = _degrees(graph, ends[~sends])
    taken = np.maximum(error - net, 0.0)[~sends]
    rate = np.divide(
        taken,
        degree - degree_error,
        out=np.where(taken > 0, np.inf, 0.0),
        where=degree > degree_error,
    )
    needed = float(rate.max(initial=0.0)) / lower * (1 + 8 * EPS)
    if needed > theta * (1 + THETA_ROUNDING):
        return 0.0, theta
    return lower, max(theta, needed)


def _degrees(graph: Any, nodes: Ints) -> tuple[Array, Array]:
    counts, _, weights = graph(nodes)
    if weights is None:
        return counts.astype(np.float64), np.zeros(len(nodes))
    starts = np.concatenate([[0], np.cumsum(counts)])
    degree = segment_sums(np.asarray(weights, dtype=np.float64), starts)
    return degree, counts * EPS * degree
