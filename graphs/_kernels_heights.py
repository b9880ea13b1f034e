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
def settle(state, count, power, mu, report):
    """Recompute the mass from the heights, and the values of both programs.

    ``report`` gets the energy ``sum_e w_e h(x_i - x_j)``, ``x'(Delta - T)``, the gap
    ``sum_i x_i (T_i - m_i)`` and the largest excess of a node, all rounding counted in.
    """
    _, _, value, given, sink, _, start, length, _, to, weight = state[:11]
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
                cost = flow * step
            elif mu == 0.0:
                flow = weight[e] * np.copysign(np.abs(step) ** power, step)
                cost = flow * step
            else:  # h(t) = (t^2 + mu^2)^(q/2) - mu^q
                growth = np.log1p((step / mu) * (step / mu))
                scale = weight[e] * mu ** (power - 1.0)
                flow = scale * step * np.exp((0.5 * power - 0.5) * growth)
                cost = scale * mu * mu * np.expm1((0.5 * power + 0.5) * growth)
            net += flow
            size += np.abs(flow)
            if y > 0.0:
                energy += 0.5 * cost
            else:
                energy += cost
                value[j, 0] += flow
        count[5] += length[i]
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
def spread(state, count, report):
    """Recompute masses and values as :func:`settle` does, faster, for p = 2.

    Without branches, and with rounding of the size of ``d_i x_i``; the largest excess
    is left out.
    """
    _, _, value, given, sink, degree, start, length, _, to, weight = state[:11]
    n = count[0]
    for i in range(n):
        value[i, 0] = given[i]
    for i in range(n):
        x = value[i, 1]
        if x <= 0.0:
            continue
        value[i, 0] -= degree[i] * x
        for e in range(np.uint64(start[i]), np.uint64(start[i] + length[i])):
            value[np.uint32(to[e]), 0] += weight[e] * x
        count[5] += length[i]
    energy = linear = gap = 0.0
    for i in range(n):
        x = value[i, 1]
        energy += x * (given[i] - value[i, 0])
        linear += x * (given[i] - sink[i])
        gap += x * (sink[i] - value[i, 0])
    report[0] = energy
    report[1] = linear
    report[2] = gap
    report[3] = 0.0


@kernel
def _halves(nodes, place, start, length, to, weight, other, factor, first):
    """Split the matrix of some nodes: entries before the diagonal, and those after it.

    Every entry is written to both halves, and stays where it belongs: no branch.
    """
    visits = 0
    for a in range(nodes.shape[0]):
        low, high = first[0, a], first[1, a]
        i = nodes[a]
        visits += length[i]
        for e in range(np.uint64(start[i]), np.uint64(start[i] + length[i])):
            b, w = place[np.uint32(to[e])], weight[e]
            other[0, np.uint64(low)], factor[0, np.uint64(low)] = b, w
            other[1, np.uint64(high)], factor[1, np.uint64(high)] = b, w
            low += (b >= 0) & (b < a)
            high += b > a
        first[0, a + 1], first[1, a + 1] = low, high
    return visits


@kernel
def _gathered(first, last, other, factor, values):
    """Return the product of a piece of a row with a vector, in two sums at a time."""
    even = odd = 0.0
    e, end = np.uint64(first), np.uint64(last)
    while e + np.uint64(1) < end:
        even += factor[e] * values[np.uint32(other[e])]
        odd += factor[e + np.uint64(1)] * values[np.uint32(other[e + np.uint64(1)])]
        e += np.uint64(2)
    if e < end:
        even += factor[e] * values[np.uint32(other[e])]
    return even + odd


@kernel
def conjugate(state, count, steps, reduction):
    """Conjugate gradients on the support with a sweep each way, for p = 2.

    Solves ``m_i = target_i`` where ``x_i > 0`` until the preconditioned residual has
    shrunk by ``reduction``, and cuts negative heights off. Pushes mend what the cut
    leaves behind. The masses must be recomputed after. One step visits each edge once
    (Eisenstat, 1981).
    """
    value, degree, start, length = state[2], state[5], state[6], state[7]
    n = count[0]
    nodes, place = np.empty(n, dtype=np.int64), np.full(n, np.int32(-1))
    k = 0
    for i in range(n):
        if value[i, 1] > 0.0:
            nodes[k] = i
            place[i] = k
            k += 1
    nodes = nodes[:k]
    first = np.zeros((2, k + 1), dtype=np.int64)
    lower, upper, below, above = state[14][0], state[14][1], state[15][0], state[15][1]
    visits = _halves(
        nodes, place, start, length, state[9], state[10], state[14], state[15], first
    )
    d, x, rest = np.empty(k), np.zeros(k), np.empty(k)
    direction, up, image = np.empty(k), np.empty(k), np.empty(k)
    rho = 0.0
    for a in range(k):
        i = nodes[a]
        d[a] = degree[i]
        total = value[i, 0] - value[i, 2]
        total += _gathered(first[0, a], first[0, a + 1], lower, below, rest)
        rest[a] = total / d[a]
        direction[a] = total
        rho += total * rest[a]
    visits += first[0, k]
    begun = rho
    for _ in range(steps):
        if not rho > reduction * reduction * begun:
            break
        size = curvature = 0.0
        for a in range(k - 1, -1, -1):
            total = direction[a]
            size += total * total / d[a]
            total += _gathered(first[1, a], first[1, a + 1], upper, above, up)
            up[a] = total / d[a]
        for a in range(k):
            total = direction[a] - d[a] * up[a]
            total += _gathered(first[0, a], first[0, a + 1], lower, below, image)
            image[a] = total / d[a]
        visits += first[0, k] + first[1, k]
        for a in range(k):
            image[a] += up[a]
            curvature += direction[a] * image[a]
        if not curvature > 1e-14 * size:  # a whole component: nothing holds it down
            break
        step = rho / curvature
        before, rho = rho, 0.0
        for a in range(k):
            x[a] += step * up[a]
            rest[a] -= step * image[a]
            rho += rest[a] * rest[a] * d[a]
        for a in range(k):
            direction[a] = d[a] * rest[a] + rho / before * direction[a]
    for a in range(k):
        value[nodes[a], 1] = max(value[nodes[a], 1] + x[a], 0.0)
    count[5] += visits


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
def narrow(state, count, band, empty_band, shift):
    """Set the band of every node, and its target, shifted by so many bands."""
    value, sink = state[2], state[4]
    for i in range(count[0]):
        width = band * sink[i] if sink[i] > 0 else empty_band
        value[i, 2] = sink[i] - shift * width
        value[i, 3] = 0.99 * width  # a hundredth stays free for rounding


@kernel
def overfull(state, count, share):
    """Tell whether a component, known in full, cannot hold its source mass.

    It must hold it within its targets, and within this share of its sinks.
    """
    value, given, sink, start, parent = (
        state[2],
        state[3],
        state[4],
        state[6],
        state[13],
    )
    n = count[0]
    unknown, sums = np.zeros(n, dtype=np.uint8), np.zeros((n, 3))
    for i in range(n):
        root = np.int64(parent[i])
        while parent[root] != root:
            root = np.int64(parent[root])
        parent[i] = root
        if start[i] < 0:
            unknown[root] = 1
        sums[root, 0] += given[i]
        sums[root, 1] += sink[i]
        sums[root, 2] += value[i, 2]
    for i in range(n):
        mass = sums[i, 0]
        if mass > 0.0 and unknown[i] == 0:
            if mass > share * sums[i, 1] or mass >= sums[i, 2]:
                return True
    return False


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
        for e in range(np.uint64(start[i]), np.uint64(start[i] + length[i])):
            within += weight[e] if rank[np.uint32(to[e])] < k else 0.0
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
        np.zeros(8, dtype=np.int32), np.arange(2), np.zeros((2, 4)),
        np.array([1.5, 0.0]), np.ones(2), np.ones(2), np.arange(2),
        np.ones(2, dtype=np.int64), np.ones(2), np.array([1, 0], dtype=np.int32),
        np.ones(2), np.zeros(2, dtype=np.int32), np.zeros(2, dtype=np.uint8),
        np.arange(2, dtype=np.int32), np.zeros((2, 2), dtype=np.int32),
        np.zeros((2, 2)),
    )  # fmt: skip
    count, report = np.array([2, 2, 0, 0, 0, 0, 2, 0, 3, 1]), np.zeros(4)
    narrow(state, count, 0.01, 0.01, 1.0)
    state[2][0, 1] = 1.0
    settle(state, count, 1.0, 0.0, report)
    enqueue(state, count)
    spread(state, count, report)
    conjugate(state, count, 2, 0.1)
    restart(state, count)
    overfull(state, count, 0.95)
    order = np.zeros(1, dtype=np.int64)
    sweep(order, np.zeros(2, dtype=np.int64), state, np.inf, report, report.copy())
