"""Numba kernels on rows that were read: masses, values, smoothing and sweeps.

``state`` and ``count`` are those of :class:`graphs.neighborhood.Neighborhood`.
"""

import numpy as np

from farkas.kernels import kernel, on_warmup


@kernel
def enqueue(state, count):
    """Queue every node outside its band; the number of nodes in the queue."""
    value, queue, flags = state[2], state[11], state[12]
    mask = queue.shape[0] - 1
    for i in range(count[0]):
        over = value[i, 0] - value[i, 2]
        if over > value[i, 3] or (value[i, 1] > 0.0 and over < -value[i, 3]):
            if flags[i] & 1 == 0:
                flags[i] |= 1
                queue[(count[2] + count[3]) & mask] = i
                count[3] += 1
    return count[3]


@kernel
def settle(state, count, power, report):
    """Recompute the mass from the heights, and the values of both programs.

    ``report`` gets the energy ``sum_e w_e |x_i - x_j|^q``, ``x'(Delta - T)``, the gap
    ``sum_i x_i (T_i - m_i)`` and the largest excess of a node, all rounding counted in.
    """
    _, _, value, given, sink, _, start, length, _, to, weight, _, _, _ = state
    n = count[0]
    energy = linear = gap = 0.0
    excess = -np.inf
    for i in range(n):
        value[i, 0] = given[i]
    for i in range(n):
        x = value[i, 1]
        if x <= 0.0:
            continue
        linear += x * (given[i] - sink[i])
        net = size = 0.0
        for e in range(start[i], start[i] + length[i]):
            j = to[e]
            y = value[j, 1]
            step = x - y
            if power == 1.0:
                flow = weight[e] * step
            else:
                flow = weight[e] * np.copysign(np.abs(step) ** power, step)
            net += flow
            size += np.abs(flow)
            if y > 0.0:
                energy += 0.5 * flow * step
            else:
                energy += flow * step
                value[j, 0] += flow
        held = given[i] - net
        value[i, 0] = held
        gap -= x * (held - sink[i])
        # The bound of the measure: so many roundings of the largest partial sum.
        radius = 2.3e-16 * ((length[i] + 40) * size + 2.0 * given[i])
        excess = max(excess, held + radius - sink[i])
    for i in range(n):
        if value[i, 1] <= 0.0:
            held = value[i, 0]
            radius = 2.3e-16 * (sink[i] + 400.0) * (held - given[i])
            excess = max(excess, held + radius - sink[i])
    report[0] = energy
    report[1] = linear
    report[2] = gap
    report[3] = excess


@kernel
def conjugate(state, count, steps):
    """Jacobi-preconditioned conjugate gradients on the support, for p = 2.

    Solves ``m_i = target_i`` where ``x_i > 0`` until every residual is within half of
    its band, and cuts negative heights off. Pushes mend what the cut leaves behind; the
    masses must be recomputed first.
    """
    _, _, value, _, _, degree, start, length, _, to, weight, _, _, _ = state
    n = count[0]
    residual, direction, image = np.zeros(n), np.zeros(n), np.zeros(n)
    nodes = np.empty(n, dtype=np.int64)
    k, visits, rho = 0, 0, 0.0
    for i in range(n):
        if value[i, 1] > 0.0:
            nodes[k] = i
            k += 1
            residual[i] = value[i, 0] - value[i, 2]
            direction[i] = residual[i] / degree[i]
            rho += residual[i] * direction[i]
            visits += length[i]
    for _ in range(steps):
        curvature, size = 0.0, 0.0
        for a in range(k):
            i = nodes[a]
            total = degree[i] * direction[i]
            size += total * direction[i]
            for e in range(start[i], start[i] + length[i]):
                total -= weight[e] * direction[to[e]]
            image[i] = total
            curvature += direction[i] * total
        count[5] += visits
        if not curvature > 1e-14 * size:  # a whole component: nothing holds it down
            break
        step = rho / curvature
        before, rho, far = rho, 0.0, False
        for a in range(k):
            i = nodes[a]
            value[i, 1] += step * direction[i]
            residual[i] -= step * image[i]
            rho += residual[i] * residual[i] / degree[i]
            far |= np.abs(residual[i]) > 0.5 * value[i, 3]
        if not far:
            break
        for a in range(k):
            i = nodes[a]
            direction[i] = residual[i] / degree[i] + rho / before * direction[i]
    for a in range(k):
        value[nodes[a], 1] = max(value[nodes[a], 1], 0.0)


@kernel
def restart(state, count):
    """Forget all heights and keep what is known of the graph."""
    value, given, flags = state[2], state[3], state[12]
    for i in range(count[0]):
        value[i, 0] = given[i]
        value[i, 1] = 0.0
        flags[i] = 0
    count[2] = count[3] = count[7] = 0


@kernel
def narrow(state, count, band, empty_band):
    """Set the band of every node, and its target one band below the sink."""
    value, sink = state[2], state[4]
    for i in range(count[0]):
        width = band * sink[i] if sink[i] > 0 else empty_band
        value[i, 2] = sink[i] - width
        value[i, 3] = 0.99 * width  # a hundredth stays free for rounding


@kernel
def sweep(order, rank, state, total, cuts, volumes):
    """Cut and volume of every prefix of an order of opened local nodes.

    ``rank`` holds the position of each local node in the order, or its length.
    Returns the position of the smallest conductance; ``total`` is the volume of the
    graph, inf if unknown.
    """
    degree, start, length, to, weight = (
        state[5], state[6], state[7], state[9], state[10],
    )  # fmt: skip
    cut = volume = 0.0
    best, lowest = -1, np.inf
    for k in range(order.shape[0]):
        i = order[k]
        within = 0.0
        for e in range(start[i], start[i] + length[i]):
            if rank[to[e]] < k:
                within += weight[e]
        cut += degree[i] - 2.0 * within
        volume += degree[i]
        cuts[k] = cut
        volumes[k] = volume
        smaller = min(volume, total - volume)
        if smaller > 0.0 and cut < lowest * smaller:
            best, lowest = k, cut / smaller
    return best


@on_warmup
def compile_all():
    """Call every kernel once on the path of two nodes."""
    state = (
        np.zeros((8, 2), dtype=np.int64), np.arange(2), np.zeros((2, 4)),
        np.array([1.5, 0.0]), np.ones(2), np.ones(2), np.arange(2),
        np.ones(2, dtype=np.int64), np.ones(2), np.array([1, 0], dtype=np.int32),
        np.ones(2), np.zeros(2, dtype=np.int32), np.zeros(2, dtype=np.uint8),
        np.arange(2, dtype=np.int32),
    )  # fmt: skip
    count, report = np.array([2, 2, 0, 0, 0, 0, 2, 0]), np.zeros(4)
    narrow(state, count, 0.01, 0.01)
    state[2][0, 1] = 1.0
    settle(state, count, 1.0, report)
    enqueue(state, count)
    conjugate(state, count, 2)
    restart(state, count)
    order = np.zeros(1, dtype=np.int64)
    sweep(order, np.zeros(2, dtype=np.int64), state, np.inf, report, report.copy())
