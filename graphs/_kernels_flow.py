"""Numba kernels of flows: Dinic's maximum flow, and unit flow with heights.

A network is given by arcs sorted by tail: ``first`` (n + 1,), ``head``, residual
capacity ``room``, and ``twin``, the position of the reverse arc.
"""

import numpy as np

from farkas.kernels import kernel, on_warmup


@kernel
def reach(first, head, room, s, least, level):
    """Breadth-first levels from s over arcs with more room than ``least``; else -1."""
    n = first.shape[0] - 1
    line = np.empty(n, dtype=np.int64)
    level[:] = -1
    level[s] = 0
    line[0] = s
    a, b = 0, 1
    while a < b:
        i = line[a]
        a += 1
        for e in range(first[i], first[i + 1]):
            j = head[e]
            if room[e] > least and level[j] < 0:
                level[j] = level[i] + 1
                line[b] = j
                b += 1


@kernel
def max_flow(first, head, room, twin, s, t, least, level):
    """Dinic's algorithm; ``room`` becomes the residual. Returns the value.

    At the end ``level`` is nonnegative on the source side of the smallest minimum cut.
    """
    n = first.shape[0] - 1
    value = room[0] - room[0]
    arc = np.empty(n, dtype=np.int64)
    path = np.empty(n, dtype=np.int64)
    while True:
        reach(first, head, room, s, least, level)
        if level[t] < 0:
            return value
        for i in range(n):
            arc[i] = first[i]
        depth, i = 0, s
        while True:
            if i == t:
                amount = room[path[0]]
                for k in range(1, depth):
                    amount = min(amount, room[path[k]])
                back = depth
                for k in range(depth - 1, -1, -1):
                    e = path[k]
                    room[e] -= amount
                    room[twin[e]] += amount
                    if room[e] <= least:
                        back = k
                value += amount
                i = head[twin[path[back]]]
                depth = back
                continue
            moved = False
            while arc[i] < first[i + 1]:
                e = arc[i]
                if room[e] > least and level[head[e]] == level[i] + 1:
                    path[depth] = e
                    depth += 1
                    i = head[e]
                    moved = True
                    break
                arc[i] += 1
            if moved:
                continue
            if i == s:
                break
            level[i] = -2  # a dead end in this phase
            depth -= 1
            i = head[twin[path[depth]]]
            arc[i] += 1


@kernel
def link(nodes, start, length, to, twin):
    """Join every edge of newly read rows to its reverse, where that row was read."""
    for k in range(nodes.shape[0]):
        i = nodes[k]
        for e in range(start[i], start[i] + length[i]):
            j = to[e]
            twin[e] = -1
            if start[j] < 0:
                continue
            for back in range(start[j], start[j] + length[j]):
                if to[back] == i:
                    twin[e] = back
                    twin[back] = e
                    break


@kernel
def unit_flow(
    mass, height, flow, degree, start, length, to, weight, twin, buckets, sizes,
    most, rate, waits,
):  # fmt: skip
    """Push excess mass downhill, lowest nodes first, until all have room or are high.

    ``buckets`` (h, nodes) queue the active nodes of each height, ``most`` is the
    capacity of a unit edge, ``rate`` times its degree all that a node may hold. Returns
    -1 when done, else the node whose row must be read first.
    """
    h = buckets.shape[0]
    level = 0
    while level < h:
        if sizes[level] == 0:
            level += 1
            continue
        i = buckets[level, sizes[level] - 1]
        if start[i] < 0:
            return i
        excess = mass[i] - degree[i]
        if excess <= 0.0 or height[i] != level:
            sizes[level] -= 1
            waits[i] = 0
            continue
        lowest = h
        for e in range(start[i], start[i] + length[i]):
            if excess <= 0.0:
                break
            j = to[e]
            if height[j] >= level:
                continue
            room = min(float(level), most) * weight[e] - flow[e]
            free = rate * degree[j] - mass[j] if degree[j] > 0.0 else excess
            amount = min(excess, room, free)
            if amount <= 0.0:
                continue
            flow[e] += amount
            if twin[e] >= 0:
                flow[twin[e]] -= amount
            mass[i] -= amount
            mass[j] += amount
            excess -= amount
            if mass[j] > degree[j] and waits[j] == 0 and height[j] < h:
                waits[j] = 1
                buckets[height[j], sizes[height[j]]] = j
                sizes[height[j]] += 1
                lowest = min(lowest, height[j])
        if lowest < level:  # a lower node became active: it comes first
            level = lowest
            continue
        if excess > 0.0:
            sizes[level] -= 1
            height[i] += 1
            waits[i] = 0
            if height[i] < h:
                waits[i] = 1
                buckets[height[i], sizes[height[i]]] = i
                sizes[height[i]] += 1
    return -1


@on_warmup
def compile_all():
    """Call every kernel once on two nodes."""
    first, head, twin = np.array([0, 1, 2]), np.array([1, 0]), np.array([1, 0])
    level = np.zeros(2, dtype=np.int64)
    max_flow(first, head, np.array([1.0, 0.0]), twin, 0, 1, 0.0, level)
    max_flow(first, head, np.array([1, 0]), twin, 0, 1, 0, level)
    start, length = np.array([0, 1]), np.ones(2, dtype=np.int64)
    to, back = np.array([1, 0], dtype=np.int32), np.zeros(2, dtype=np.int64)
    link(np.arange(2), start, length, to, back)
    buckets, sizes = np.zeros((2, 2), dtype=np.int64), np.array([1, 0])
    unit_flow(
        np.array([2.0, 0.0]), np.zeros(2, dtype=np.int64), np.zeros(2), np.ones(2),
        start, length, to, np.ones(2), back, buckets, sizes, 3.0, 2.0,
        np.array([1, 0], dtype=np.uint8),
    )  # fmt: skip
