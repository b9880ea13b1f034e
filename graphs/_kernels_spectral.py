"""Numba kernels of PageRank and heat kernel pushes over rows that were read.

``state`` and ``count`` are those of :class:`graphs.neighborhood.Neighborhood`. A kernel
that meets a node whose row was not read returns 2; the caller reads the rows of all
queued nodes and calls again.
"""

import numpy as np

from farkas.kernels import kernel, on_warmup


@kernel
def appr(state, count, alpha, eps, budget):
    """Push residual mass of personalised PageRank until all is below ``eps d``.

    Columns 0 and 1 of ``value`` are the residual r and the answer p. All of r_i is
    moved at once, the limit of repeated lazy pushes: ``2 alpha / (1 + alpha)`` of it
    settles and the rest goes to the neighbours.
    """
    value, degree, start, length = state[2], state[5], state[6], state[7]
    to, weight, queue, flags = state[9], state[10], state[11], state[12]
    mask = np.uint64(queue.shape[0] - 1)
    settles = 2.0 * alpha / (1.0 + alpha)
    moves = (1.0 - alpha) / (1.0 + alpha)
    # Registers live in variables: through the array they would be reloaded each time.
    head, waiting, pushes, work = np.uint64(count[2]), count[3], count[4], count[5]
    code = 0
    while waiting > 0:
        if pushes >= budget:
            code = 1
            break
        i = np.uint32(queue[head & mask])
        if start[i] < 0:
            code = 2
            break
        head += np.uint64(1)
        waiting -= 1
        flags[i] &= 2
        r, d = value[i, 0], degree[i]
        if not r >= eps * d or d <= 0.0:
            continue
        value[i, 0] = 0.0
        value[i, 1] += settles * r
        share = moves * r / d
        first, last = np.uint64(start[i]), np.uint64(start[i] + length[i])
        for e in range(first, last):
            j = np.uint32(to[e])
            other = value[j, 0] + share * weight[e]
            value[j, 0] = other
            if other >= eps * degree[j] and flags[j] & 1 == 0:
                flags[j] |= 1
                queue[(head + np.uint64(waiting)) & mask] = to[e]
                waiting += 1
        pushes += 1
        work += length[i]
    count[2], count[3] = np.int64(head & mask), waiting
    count[4], count[5] = pushes, work
    return code


@kernel
def queue_residuals(state, count, eps):
    """Queue every node whose residual reaches ``eps d``."""
    value, degree, queue, flags = state[2], state[5], state[11], state[12]
    mask = queue.shape[0] - 1
    for i in range(count[0]):
        if value[i, 0] > 0.0 and value[i, 0] >= eps * degree[i] and flags[i] & 1 == 0:
            flags[i] |= 1
            queue[(count[2] + count[3]) & mask] = i
            count[3] += 1


@kernel
def start_push(seeds, share, limits, value, touched, queue, count):
    """Put shares at seeds and queue them, for :func:`table_push`.

    The columns of ``value``, for all nodes, are r, p, the residual at which a node is
    queued, and 1 for nodes that were met, 2 while they are queued. ``count`` holds head
    and length of the queue, pushes, edge visits and the nodes met.
    """
    for k in range(seeds.shape[0]):
        value[seeds[k], 0] = share[k]
        value[seeds[k], 2] = limits[k]
        value[seeds[k], 3] = 2.0
        touched[k] = queue[k] = seeds[k]
    count[1] = count[4] = seeds.shape[0]


@kernel
def table_push(indptr, indices, value, touched, queue, count, alpha, eps, budget):
    """Push as :func:`appr` does, on the rows of a unit graph themselves.

    Returns whether work is left and the mass that settled.
    """
    mask = queue.shape[0] - 1
    settles = 2.0 * alpha / (1.0 + alpha)
    moves = (1.0 - alpha) / (1.0 + alpha)
    head, waiting, pushes, work, met = count[0], count[1], count[2], count[3], count[4]
    code, settled = 0, 0.0
    while waiting > 0:
        if pushes >= budget:
            code = 1
            break
        i = np.int64(queue[head & mask])
        head += 1
        waiting -= 1
        value[i, 3] = 1.0
        first, last = indptr[i], indptr[i + 1]
        r, d = value[i, 0], np.float64(last - first)
        if not r >= eps * d or d <= 0.0:
            continue
        value[i, 0] = 0.0
        value[i, 1] += settles * r
        settled += settles * r
        share = moves * r / d
        # Touch all neighbours first: with no branch between them, the waits for memory
        # overlap. Nothing is added to what has settled.
        touch = 0.0
        for e in range(np.uint64(first), np.uint64(last)):
            j = np.uint32(indices[e])
            touch += value[j, 3] + indptr[j]
        settled += 0.0 * touch
        for e in range(np.uint64(first), np.uint64(last)):
            j = np.int64(np.uint32(indices[e]))
            other = value[j, 0] + share
            value[j, 0] = other
            state = value[j, 3]
            if state == 0.0:
                value[j, 2] = eps * (indptr[j + 1] - indptr[j])
                value[j, 3] = state = 1.0
                touched[met] = j
                met += 1
            if state == 1.0 and other >= value[j, 2]:
                value[j, 3] = 2.0
                queue[(head + waiting) & mask] = j
                waiting += 1
        pushes += 1
        work += last - first
    count[0], count[1], count[2], count[3], count[4] = head, waiting, pushes, work, met
    return code, settled


@kernel
def harvest(value, touched, out):
    """Take r and p of the nodes that were met, and clear the table."""
    for k in range(out.shape[1]):
        i = np.int64(touched[k])
        out[0, k] = value[i, 0]
        out[1, k] = value[i, 1]
        value[i, 0] = value[i, 1] = value[i, 3] = 0.0


@kernel
def table_sweep(indptr, indices, nodes, value, total, cuts, volumes):
    """Cut and volume of every prefix of nodes, as :func:`sweep` has them.

    Column 0 of ``value``, all zero, holds ranks for a while.
    """
    for k in range(nodes.shape[0]):
        value[nodes[k], 0] = k + 1.0
    cut = volume = 0.0
    best, lowest = -1, np.inf
    for k in range(nodes.shape[0]):
        i, within = nodes[k], 0
        for e in range(np.uint64(indptr[i]), np.uint64(indptr[i + 1])):
            rank = value[np.uint32(indices[e]), 0]
            within += (rank > 0.0) & (rank <= k)
        d = indptr[i + 1] - indptr[i]
        cut += d - 2 * within
        volume += d
        cuts[k] = cut
        volumes[k] = volume
        smaller = min(volume, total - volume)
        if smaller > 0.0 and cut < lowest * smaller:
            best, lowest = k, cut / smaller
    for k in range(nodes.shape[0]):
        value[nodes[k], 0] = 0.0
    return best


@kernel
def l1_descend(state, count, alpha, rho, omega, band, budget):
    """Over-relaxed coordinate descent on l1-regularised PageRank, ``u = D^-1 p``.

    Column 0 of ``value`` is minus the gradient of the smooth part, column 1 is u. A
    node is queued while the optimality condition is violated by more than ``band rho
    alpha d``.
    """
    value, degree, start, length = state[2], state[5], state[6], state[7]
    to, weight, queue, flags = state[9], state[10], state[11], state[12]
    mask = queue.shape[0] - 1
    lazy = 0.5 * (1.0 - alpha)
    pull = rho * alpha
    while count[3] > 0:
        if count[4] >= budget:
            return 1
        i = queue[count[2] & mask]
        if start[i] < 0:
            return 2
        count[2] = (count[2] + 1) & mask
        count[3] -= 1
        flags[i] &= 2
        d, u = degree[i], value[i, 1]
        over = value[i, 0] - pull * d
        room = band * pull * d
        if not (over > room or (u > 0.0 and over < -room)) or d <= 0.0:
            continue
        curvature = (alpha + lazy) * d
        a = max(omega * over / curvature, -u)
        value[i, 1] = u + a
        value[i, 0] -= a * curvature
        for e in range(start[i], start[i] + length[i]):
            j = to[e]
            value[j, 0] += lazy * a * weight[e]
            if flags[j] & 1 == 0:
                over = value[j, 0] - pull * degree[j]
                room = band * pull * degree[j]
                if over > room or (value[j, 1] > 0.0 and over < -room):
                    flags[j] |= 1
                    queue[(count[2] + count[3]) & mask] = j
                    count[3] += 1
        count[4] += 1
        count[5] += length[i]
        over = value[i, 0] - pull * d
        room = band * pull * d
        if over > room or (value[i, 1] > 0.0 and over < -room):
            flags[i] |= 1
            queue[(count[2] + count[3]) & mask] = i
            count[3] += 1
    return 0


@kernel
def l1_settle(state, count, alpha, rho, queue_band, report):
    """Recompute the gradient from u, queue violated nodes, measure the violation.

    ``report`` gets the objective and the squared norm of the least subgradient.
    """
    value, given, degree, start, length = (
        state[2], state[3], state[5], state[6], state[7],
    )  # fmt: skip
    to, weight, queue, flags = state[9], state[10], state[11], state[12]
    mask = queue.shape[0] - 1
    lazy = 0.5 * (1.0 - alpha)
    n = count[0]
    for i in range(n):
        value[i, 0] = alpha * given[i]
    objective = square = 0.0
    for i in range(n):
        u = value[i, 1]
        if u > 0.0:
            value[i, 0] -= (alpha + lazy) * degree[i] * u
            for e in range(start[i], start[i] + length[i]):
                value[to[e], 0] += lazy * weight[e] * u
    for i in range(n):
        u, d = value[i, 1], degree[i]
        if u > 0.0:
            # The quadratic form is half of u times (its gradient).
            objective += 0.5 * u * (-value[i, 0] + alpha * given[i])
            objective += u * (rho * alpha * d - alpha * given[i])
        over = value[i, 0] - rho * alpha * d
        if u <= 0.0:
            over = max(over, 0.0)
        if d > 0.0:
            square += over * over / d
        if np.abs(over) > queue_band * rho * alpha * d and flags[i] & 1 == 0:
            flags[i] |= 1
            queue[(count[2] + count[3]) & mask] = i
            count[3] += 1
    report[0] = objective
    report[1] = square


@kernel
def l1_proximal(state, count, alpha, rho, momentum, before):
    """One proximal gradient step from ``u + momentum (u - before)``.

    The rows of both supports were read. ``before`` becomes the present u, column 1 of
    ``value`` the next.
    """
    value, given, degree, start, length = (
        state[2], state[3], state[5], state[6], state[7],
    )  # fmt: skip
    to, weight = state[9], state[10]
    lazy = 0.5 * (1.0 - alpha)
    n = count[0]
    for i in range(n):
        value[i, 0] = alpha * given[i]
    for i in range(n):
        y = value[i, 1] + momentum * (value[i, 1] - before[i])
        if y != 0.0:
            value[i, 0] -= (alpha + lazy) * degree[i] * y
            for e in range(start[i], start[i] + length[i]):
                value[to[e], 0] += lazy * weight[e] * y
            count[5] += length[i]
    for i in range(n):
        u, d = value[i, 1], degree[i]
        y = u + momentum * (u - before[i])
        before[i] = u
        if d > 0.0:
            value[i, 1] = max(y + value[i, 0] / d - rho * alpha, 0.0)


@kernel
def heat(state, count, residual, settled, limit, t, ring, waits, place, budget):
    """Relax residuals of the Taylor series of the heat kernel, level by level.

    ``residual`` and ``settled`` are (nodes, N + 1); an entry is relaxed when its
    residual reaches ``limit_j d``. ``ring`` queues ``node (N + 1) + level``; ``place``
    holds its head and length.
    """
    degree, start, length = state[5], state[6], state[7]
    to, weight = state[9], state[10]
    levels = residual.shape[1]
    mask = ring.shape[0] - 1
    while place[1] > 0:
        if count[4] >= budget:
            return 1
        key = ring[place[0] & mask]
        i, j = key // levels, key % levels
        if start[i] < 0:
            return 2
        place[0] = (place[0] + 1) & mask
        place[1] -= 1
        waits[i, j] = 0
        r, d = residual[i, j], degree[i]
        if not r >= limit[j] * d or d <= 0.0:
            continue
        residual[i, j] = 0.0
        settled[i, j] += r
        count[4] += 1
        if j + 1 == levels:
            continue
        share = t * r / ((j + 1) * d)
        for e in range(start[i], start[i] + length[i]):
            k = to[e]
            residual[k, j + 1] += share * weight[e]
            if waits[k, j + 1] == 0:
                if residual[k, j + 1] >= limit[j + 1] * degree[k]:
                    waits[k, j + 1] = 1
                    ring[(place[0] + place[1]) & mask] = k * levels + j + 1
                    place[1] += 1
        count[5] += length[i]
    return 0


@on_warmup
def compile_all():
    """Call every kernel once on the path of two nodes."""
    state = (
        np.zeros(8, dtype=np.int32), np.arange(2), np.zeros((2, 4)),
        np.array([1.0, 0.0]), np.ones(2), np.ones(2), np.arange(2),
        np.ones(2, dtype=np.int64), np.ones(2), np.array([1, 0], dtype=np.int32),
        np.ones(2), np.zeros(2, dtype=np.int32), np.zeros(2, dtype=np.uint8),
        np.arange(2, dtype=np.int32), np.zeros((2, 2), dtype=np.int32),
        np.zeros((2, 2)),
    )  # fmt: skip
    count, report = np.array([2, 2, 0, 0, 0, 0, 2, 0, 3, 1]), np.zeros(2)
    state[2][0, 0] = 1.0
    queue_residuals(state, count, 0.1)
    appr(state, count, 0.1, 0.1, 10)
    l1_settle(state, count, 0.1, 0.1, 0.1, report)
    l1_descend(state, count, 0.1, 0.1, 1.0, 0.1, 10)
    l1_proximal(state, count, 0.1, 0.1, 0.0, np.zeros(2))
    indptr, indices = np.array([0, 1, 2]), np.array([1, 0], dtype=np.int32)
    for array in (indptr, indices):
        array.flags.writeable = False
    tables = (
        np.zeros((2, 4)), np.zeros(2, dtype=np.int32), np.zeros(2, dtype=np.int32),
    )  # fmt: skip
    places = np.zeros(5, dtype=np.int64)
    start_push(places[:1], np.ones(1), np.ones(1), *tables, places)
    table_push(indptr, indices, *tables, places, 0.1, 0.1, 10)
    harvest(tables[0], tables[1], np.empty((2, 2)))
    table_sweep(indptr, indices, np.arange(2), tables[0], 2.0, np.zeros(2), np.zeros(2))
    residual = np.array([[1.0, 0.0], [0.0, 0.0]])
    heat(
        state, count, residual, np.zeros((2, 2)), np.full(2, 0.1), 1.0,
        np.zeros(4, dtype=np.int64), np.zeros((2, 2), dtype=np.uint8),
        np.array([0, 1]), 10,
    )  # fmt: skip
