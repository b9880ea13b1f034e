"""Numba kernels that lead what nodes hold too much, or too little, out of the support.

``state`` is that of :class:`graphs.neighborhood.Neighborhood`. Inside nodes get levels
by their distance to the outside, from ``base`` up; a node sends its surplus along all
edges to lower levels, in proportion to their weights. ``level`` is -1 outside.
"""

import numpy as np

from farkas.kernels import kernel, on_warmup

_ROUNDING = 8.9e-16  # four units: the measure counts one, the sums here another


@kernel
def layer(which, base, state, count, level, down, order):
    """Give opened nodes levels; the number of those from which a way leads out.

    ``down`` gets their weight towards lower levels, ``order`` the nodes from the lowest
    level up. Nodes without a way out get level 0.
    """
    start, length, to, weight = state[6], state[7], state[9], state[10]
    for i in which:
        level[i] = -2
    found = 0
    for i in which:
        out = 0.0
        for e in range(np.uint64(start[i]), np.uint64(start[i] + length[i])):
            out += weight[e] if level[np.uint32(to[e])] == -1 else 0.0
        count[5] += length[i]
        down[i] = out
        if out > 0.0:
            order[found] = i
            found += 1
    for k in range(found):
        level[order[k]] = base
    k = 0
    while k < found:  # breadth first; the row of a node serves those above it
        i = order[k]
        above = level[i] + 1
        for e in range(np.uint64(start[i]), np.uint64(start[i] + length[i])):
            j = np.uint32(to[e])
            if level[j] == -2:
                level[j] = above
                order[found] = j
                found += 1
            down[j] += weight[e] if level[j] == above else 0.0
        count[5] += length[i]
        k += 1
    for i in which:
        if level[i] == -2:
            level[i] = 0
    return found


@kernel
def drain(order, state, count, slack, level, down, extra, amount, report):
    """Send surplus down, from the highest level; False if a node cannot.

    ``extra`` collects what arrives, ``amount`` is the flow per weight of each node and
    ``report[0]`` grows by what this adds to the duality gap.
    """
    value, given, sink = state[2], state[3], state[4]
    degree, start = state[5], state[6]
    length, to, weight = state[7], state[9], state[10]
    fits = True
    for k in range(order.shape[0] - 1, -1, -1):
        i = order[k]
        surplus, x = value[i, 0] + extra[i] - sink[i], value[i, 1]
        # The flow at a node is at most d x outwards, and inwards what made its mass.
        size = 2.0 * (degree[i] * x + given[i]) + np.abs(value[i, 0])
        size += np.abs(extra[i]) + np.abs(surplus)
        surplus += (_ROUNDING + slack) * (length[i] + 100.0) * size
        if surplus <= 0.0:  # holding less costs x: fill up as long as that is cheaper
            share = max(surplus / down[i], -x) if down[i] > 0.0 else 0.0
        elif down[i] > 0.0:
            share = surplus / down[i]
        else:
            fits = False
            continue
        report[0] += 0.5 * share * share * down[i] - x * (surplus - share * down[i])
        if share == 0.0:
            continue
        amount[i] = share
        above = level[i]
        for e in range(np.uint64(start[i]), np.uint64(start[i] + length[i])):
            j = np.uint32(to[e])
            extra[j] += share * weight[e] if level[j] < above else 0.0
        count[5] += length[i]
    return fits


@kernel
def overflowing(indptr, state, count, slack, level, extra, found):
    """List the outside nodes that now hold too much; their number."""
    node, value, sink = state[1], state[2], state[4]
    k = 0
    for i in range(count[0]):
        if level[i] == -1:
            held = value[i, 0] + extra[i]
            if held > 0.999 * sink[i]:
                many = indptr[node[i] + 1] - indptr[node[i]] + 100.0
                size = value[i, 0] + 2.0 * np.abs(extra[i]) + sink[i]
                if held + (_ROUNDING + slack) * many * size > sink[i]:
                    found[k] = i
                    k += 1
    return k


@on_warmup
def compile_all():
    """Call every kernel once on the path of two nodes."""
    indptr = np.array([0, 1, 2])
    indptr.flags.writeable = False
    state = (
        np.zeros(8, dtype=np.int32), np.arange(2), np.zeros((2, 4)),
        np.array([1.5, 0.0]), np.ones(2), np.ones(2), np.arange(2),
        np.ones(2, dtype=np.int64), np.ones(2), np.array([1, 0], dtype=np.int32),
        np.ones(2), np.zeros(2, dtype=np.int32), np.zeros(2, dtype=np.uint8),
        np.arange(2, dtype=np.int32), np.zeros((2, 2), dtype=np.int32),
        np.zeros((2, 2)),
    )  # fmt: skip
    count = np.array([2, 2, 0, 0, 0, 0, 2, 0, 3, 1])
    level, order = np.full(2, -1, dtype=np.int32), np.zeros(1, dtype=np.int64)
    parts = [np.zeros(2) for _ in range(4)]
    layer(order, 8, state, count, level, parts[0], order.copy())
    drain(order, state, count, 0.0, level, parts[0], parts[1], parts[2], np.zeros(1))
    overflowing(indptr, state, count, 0.0, level, parts[2], order)
