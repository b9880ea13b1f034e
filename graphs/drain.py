"""From heights that are almost right to a flow that fits: surplus leaves the support.

Pushes leave every node of the support within a band around its sink. What is left over
is led out along short ways to nodes with room, whose heights are zero. The duality gap
of the new flow is then *quadratic* in the band: with surplus ``R_i`` sent over a weight
``W_i`` it is ``sum_i R_i^2 / (2 W_i)``, where a band below the sinks would cost its
width times ``sum_i x_i T_i``.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from graphs import _kernels_drain
from graphs.neighborhood import (
    ATTRIBUTES,
    INDPTR,
    NODE,
    SINK,
    VALUE,
    Neighborhood,
)

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

_STAGES = 8  # rounds in which nodes that were filled up may pass on
_ATTEMPTS = 4
# Outside nodes fuller than this are left alone, at a level above all others.
_FULL, _ABOVE = 0.7, 1 << 30
_EPS = float(np.finfo(np.float64).eps)
_LARGEST_EXPONENT = 745.0  # beyond, an attribute weight is zero


class Drains(NamedTuple):
    """Levels and drains of local nodes, and the duality gap that they leave."""

    nodes: Ints  # local numbers of nodes with a level
    level: Ints
    amount: Array
    gap: float


NOTHING = Drains(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), math.inf)


def drained(near: Neighborhood) -> Drains:
    """Lead surplus out of the support; the masses must be recomputed first.

    Parameters
    ----------
    near : Neighborhood
        With heights and masses. Rows are read where nodes pass something on.

    Returns
    -------
    Drains
        The gap is inf where some node can pass its surplus on to nobody.
    """
    held, sink = near.column(VALUE, 0), near.column(SINK)
    which = np.flatnonzero((near.column(VALUE, 1) > 0) | (held >= sink))
    near.open(which)
    apart = np.flatnonzero(near.column(VALUE, 0) > _FULL * near.column(SINK))
    for _ in range(_ATTEMPTS):
        drains, stuck = _attempt(near, which, apart)
        if math.isfinite(drains.gap):
            return drains
        if len(stuck):
            apart = np.concatenate([apart, stuck])
        elif len(apart):  # full nodes stood in the way: they must pass on
            apart = apart[:0]
        else:
            break
    return NOTHING


def _attempt(near: Neighborhood, which: Ints, apart: Ints) -> tuple[Drains, Ints]:
    """Lead surplus from some nodes to others that are not set apart.

    Returns the drains and the outside nodes that overflow, if that has no end.
    """
    slack = 0.0
    if near.source[ATTRIBUTES].size:
        columns = near.source[ATTRIBUTES].shape[1] + 6
        slack = 2 * _EPS * columns * _LARGEST_EXPONENT / 100
    level = np.full(near.size, -1, dtype=np.int32)
    level[apart] = _ABOVE
    level[which] = -1
    down, extra, amount = np.zeros((3, near.size))
    report, layer = np.zeros(1), which
    for base in range(_STAGES, -1, -1):
        order = np.empty_like(layer)
        found = _kernels_drain.layer(
            layer, base, near.state, near.count, level, down, order
        )
        if base < _STAGES and (level[layer] != base).any():
            return NOTHING, layer
        if found < len(layer):  # a whole component is full: nothing leaves it
            order = np.concatenate([layer[level[layer] == 0], order[:found]])
        if not _kernels_drain.drain(
            order, near.state, near.count, slack, level, down, extra, amount, report
        ):
            return NOTHING, np.empty(0, dtype=np.int64)
        layer = np.empty(near.size, dtype=np.int64)
        k = _kernels_drain.overflowing(
            near.source[INDPTR], near.state, near.count, slack, level, extra, layer
        )
        if not k:
            nodes = np.flatnonzero(level >= 0)
            gap = float(report[0])
            return Drains(nodes, level[nodes], amount[nodes], gap), layer[:0]
        layer = layer[:k]
        near.open(layer)
        more = near.size - len(level)
        level = np.append(level, np.full(more, -1, dtype=np.int32))
        down, extra, amount = (
            np.append(part, np.zeros(more)) for part in (down, extra, amount)
        )
    return NOTHING, layer


def numbered(drains: Drains, near: Neighborhood) -> Drains:
    """Return drains with the numbers of the graph, increasing."""
    ids = near.column(NODE)[drains.nodes]
    order = np.argsort(ids)
    return Drains(ids[order], drains.level[order], drains.amount[order], drains.gap)
