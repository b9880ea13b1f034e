"""Summing a flow and its values over the rows near a support; NumPy only."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from farkas.certificate import Parameter
from graphs._measure_drain import drained, levels_of
from graphs._measure_graph import (
    EPS,
    TINY,
    Array,
    Ints,
    edge_lengths,
    segment_sums,
    summed,
    weighted_rows,
)
from graphs._measure_lookup import Lookup, blocks, numbered, padded
from graphs._measure_power import edge_terms


class Near(NamedTuple):
    """Where a flow is summed: nodes, increasing, their heights and the cluster."""

    data: Any
    graph: Any
    nodes: Ints
    x: Array
    inside: NDArray[np.bool_]
    seeds: Ints
    labels: Any
    attributes: Any


class Flow:
    """A flow on the rows of the nodes, row by row, and what leaves them."""

    def __init__(self, k: int) -> None:
        self.primal = np.zeros(k)  # p times the value of the flow on the edges of a
        self.dual = np.zeros(k)  # node, and sum_e w_e h(x_i - x_j),
        self.variation = np.zeros(k)  # sum_e w_e |x_i - x_j|: inner edges count half
        self.unit = np.zeros(k)  # relative error of these terms
        self.net = np.zeros(k)  # net outflow, with a bound of its error
        self.net_error = np.zeros(k)
        self.degree = np.zeros(k)
        self.cut = 0.0  # weight that leaves the cluster
        self.border = np.empty(0, dtype=np.int64)  # nodes beyond, and what they get
        self.arrived = self.arrived_error = np.empty(0)
        self.length, self.entries = 0.0, 0

    def total(self, parts: Array) -> tuple[float, float]:
        """Sum nonnegative terms over the nodes, with a bound of the error."""
        value, error = summed(parts)
        error += float((parts * self.unit).sum()) * 1.01 + self.entries * TINY
        return value, error


def summed_flow(
    near: Near,
    p: float,
    mu: float,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Flow:
    """Sum the flow over the rows of the nodes, a block of rows at a time."""
    graph, nodes, x = near.graph, near.nodes, near.x
    counts = graph.degrees(nodes)
    n, entries = graph.n_nodes, int(counts.sum())
    lookup = Lookup(nodes, n, entries)
    levels = levels_of(witness, len(nodes), p)
    height, member = padded(x, 0.0), padded(near.inside, False)
    flow = Flow(len(nodes))
    beyond, sent, relative, rounding = [nodes[:0]], [x[:0]], 0.0, 0.0
    for block in blocks(counts):
        rows = weighted_rows(
            graph, nodes[block], near.seeds, parameters, near.labels, near.attributes
        )
        place, w = lookup(rows.columns), None if rows.unit else rows.weights
        outside = np.flatnonzero(place == 0)
        owner = np.repeat(np.arange(len(rows.counts)), rows.counts).take(outside)

        def halved(
            terms: Array, starts: Ints = rows.starts, o: Ints = outside, i: Ints = owner
        ) -> Array:
            """Sum over edges, of which those between the nodes stand in two rows."""
            return 0.5 * (
                segment_sums(terms, starts)
                + np.bincount(i, terms[o], minlength=len(starts) - 1)
            )

        step = np.repeat(x[block], rows.counts) - height.take(place)
        size = np.abs(step)
        terms = edge_terms(size, p, mu)
        work = _times(w, size)
        flow.variation[block] = halved(work)
        if terms.energy is None or terms.cost is None:
            work *= terms.flow
            flow.dual[block] = flow.primal[block] = halved(work)
        else:
            flow.dual[block] = halved(_times(w, terms.energy))
            flow.primal[block] = halved(_times(w, terms.cost))
        if p > 2:
            step = np.copysign(terms.flow, step)
        if levels is not None:  # then p = 2
            step += drained(rows.counts, place, block, *levels)
            flow.primal[block] = halved(_times(w, step) * step)
        step = _times(w, step)
        unit = (rows.counts + terms.flow_rounding) * EPS + 2 * rows.error
        flow.unit[block] = unit + terms.value_rounding * EPS
        flow.net[block] = segment_sums(step, rows.starts)
        flow.net_error[block] = segment_sums(np.abs(step), rows.starts) * unit
        flow.net_error[block] += rows.counts * TINY
        if w is None:
            flow.degree[block] = rows.counts
        else:
            flow.degree[block] = segment_sums(w, rows.starts)
        leaving = np.repeat(near.inside[block], rows.counts) & ~member.take(place)
        flow.cut += float(
            np.count_nonzero(leaving) if w is None else w.sum(where=leaving)
        )
        beyond.append(rows.columns.take(outside))
        sent.append(step.take(outside))
        relative = max(relative, rows.error)
        rounding = max(rounding, terms.flow_rounding)
        flow.entries += len(rows.columns)
        if parameters["edge_length"]:
            flow.length += float(edge_lengths(near.data, rows, nodes[block]).sum())
    out = np.concatenate(sent)
    flow.border, slot = numbered(np.concatenate(beyond), n, entries)
    flow.arrived = np.bincount(slot, out, len(flow.border))
    bulk = np.bincount(slot, np.abs(out), len(flow.border))
    many = graph.degrees(flow.border) + rounding
    flow.arrived_error = bulk * (many * EPS + 2 * relative) + many * TINY
    return flow


def _times(weights: Array | None, terms: Array) -> Array:
    return terms.copy() if weights is None else weights * terms
