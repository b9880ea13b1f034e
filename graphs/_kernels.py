"""Numba kernels that discover a graph row by row and push mass over what they found.

Nodes near the seeds get local numbers in the order in which they are met. A row is
read from the graph once, when its node first pushes: neighbours become local numbers,
weights are evaluated, both are kept. After that the size of the graph does not matter.

``source`` is ``(indptr, indices, data, labels, attributes, capacity, scalars)`` with
empty arrays for what is absent, and scalars ``(label_weight, unknown_weight, gamma,
sink rule, band, band of an empty sink, shift of the target in bands, whether labels
are asked for)``. Those are 0 where nobody has asked yet, and 2 stands for a 0.
``state`` holds the local arrays and ``count`` the registers of
:class:`graphs.neighborhood.Neighborhood`.
"""

import importlib

import numpy as np

from farkas.kernels import kernel, on_warmup


@kernel
def _slot(key, table, node, bits):
    """Return where a node stands in the hash table, or the free slot for it.

    The table holds local numbers plus one. As long as it is larger than the graph no
    two nodes collide; beyond, nodes with near numbers stay near.
    """
    mask = table.shape[0] - 1
    slot = (key + (key >> bits) * 0x9E3779B1) & mask
    while table[slot] != 0 and node[table[slot] - 1] != key:
        slot = (slot + 1) & mask
    return slot


@kernel
def _welcome(first, last, source, state):
    """Set what is known of new local nodes before their rows are read."""
    indptr, data, labels, attributes, capacity, scalars = (
        source[0], source[2], source[3], source[4], source[5], source[6],
    )  # fmt: skip
    node, value, given, sink, degree, start = state[1:7]
    flags = state[12]
    for i in range(first, last):
        key = node[i]
        many = np.float64(indptr[key + 1] - indptr[key])
        T = many
        if scalars[3] == 1.0:
            T = 1.0
        elif scalars[3] == 2.0:
            T = capacity[key]
        band = scalars[4] * T if T > 0 else scalars[5]
        given[i] = 0.0
        sink[i] = T
        value[i, 0] = 0.0
        value[i, 1] = 0.0
        value[i, 2] = T - scalars[6] * band
        value[i, 3] = 0.99 * band  # a hundredth stays free for rounding
        start[i] = -1
        # A lower bound of the degree, until the row is read.
        degree[i] = many
        if labels.shape[0] > 0:
            degree[i] *= min(scalars[0], scalars[1])
        if data.shape[0] > 0 or attributes.shape[0] > 0:
            degree[i] = 0.0
        flags[i] = 0


@kernel
def _root(i, parent):
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@kernel
def _label(stored):
    return 0.0 if stored == 2 else np.float64(stored)


@kernel
def _labelled(columns, labels):
    for j in columns:
        if labels[j] == 0.0:
            return False
    return True


@kernel
def open_rows(which, source, state, count):
    """Read the rows of local nodes; the number that fitted and had all labels.

    All in one call: to unpack the state for each row would cost more than to read it.
    """
    indptr, indices, data, labels, attributes, _, scalars = source
    table, node, degree, start, length = (
        state[0],
        state[1],
        state[5],
        state[6],
        state[7],
    )
    label, to, weight, parent = state[8], state[9], state[10], state[13]
    eps, unknown, gamma, asks = scalars[0], scalars[1], scalars[2], scalars[7] > 0.0
    weighted, labelled = data.shape[0] > 0, labels.shape[0] > 0
    attributed = attributes.shape[0] > 0
    known, bits, parts = count[0], count[8], count[9]
    direct = indptr.shape[0] <= table.shape[0]  # every node has a slot of its own
    next_one, e, done = known, count[1], 0
    for i in which:
        if start[i] >= 0:
            done += 1
            continue
        key = node[i]
        first, last = indptr[key], indptr[key + 1]
        room = last - first
        if (
            next_one + room > node.shape[0]
            or e + room > to.shape[0]
            or 2 * (next_one + room) > table.shape[0]
        ):
            break
        if asks and not _labelled(indices[first:last], labels):
            break
        root = _root(i, parent)
        start[i] = e
        d = 0.0
        for k in range(np.uint64(first), np.uint64(last)):
            other = np.int64(indices[k])
            if other == key:
                continue
            w = np.float64(data[k]) if weighted else 1.0
            if attributed:
                square = 0.0
                for c in range(attributes.shape[1]):
                    step = attributes[key, c] - attributes[other, c]
                    square += step * step
                w *= np.exp(-gamma * square)
            slot = other if direct else _slot(other, table, node, bits)
            j = np.int64(table[np.uint64(slot)]) - 1
            met = j >= 0
            if labelled:
                t = label[j] if met else _label(labels[other])
                s = label[i]
                if s < 0 or t < 0:
                    w *= unknown
                else:
                    agree = s * t + (1.0 - s) * (1.0 - t)
                    w *= eps * (1.0 - agree) + agree
            if w <= 0.0:
                continue
            if not met:
                j = next_one
                next_one += 1
                table[np.uint64(slot)] = next_one
                node[j] = other
                parent[j] = root
                if labelled:
                    label[j] = _label(labels[other])
            elif parts > 1 and parent[j] != root:
                near = _root(j, parent)
                if near != root:
                    parent[near] = root
                    parts -= 1
                parent[j] = root
            to[e] = j
            weight[e] = w
            d += w
            e += 1
        length[i] = e - start[i]
        degree[i] = d
        count[6] += 1
        done += 1
    count[0], count[1], count[9] = next_one, e, parts
    _welcome(known, next_one, source, state)
    return done


@kernel
def meet(keys, masses, source, state, count):
    """Give nodes the first local numbers, in order.

    Those with a nonnegative mass are seeds, and their labels count as 1.
    """
    labels = source[3]
    table, node, value, given, label, parent = (
        state[0], state[1], state[2], state[3], state[8], state[13],
    )  # fmt: skip
    first = count[0]
    for k in range(keys.shape[0]):
        i = count[0]
        count[0] += 1
        table[_slot(keys[k], table, node, count[8])] = i + 1
        node[i] = keys[k]
        parent[i] = i
        if labels.shape[0] > 0:
            label[i] = 1.0 if masses[k] >= 0.0 else _label(labels[keys[k]])
    count[9] += keys.shape[0]
    _welcome(first, count[0], source, state)
    for k in range(keys.shape[0]):
        given[first + k] = max(masses[k], 0.0)
        value[first + k, 0] = given[first + k]


@kernel
def rehash(table, node, n, bits):
    """Fill an empty hash table of ``2**bits`` slots with the first n nodes."""
    for i in range(n):
        table[_slot(node[i], table, node, bits)] = i + 1


@kernel
def forget(table, node, n, bits):
    """Empty a hash table of its first n nodes, the last first: chains stay whole."""
    for i in range(n - 1, -1, -1):
        table[_slot(node[i], table, node, bits)] = 0


@kernel
def _open_queued(head, waiting, source, state, count):
    """Read the rows of all queued nodes; False if that of the first did not fit."""
    start, queue = state[6], state[11]
    mask = queue.shape[0] - 1
    which, k = np.empty(waiting, dtype=np.int64), 0
    for place in range(head, head + waiting):
        if start[queue[place & mask]] < 0:
            which[k] = queue[place & mask]
            k += 1
    return open_rows(which[:k], source, state, count) > 0


@kernel
def push(source, state, count, omega, patience, budget, excursion, report):
    """Over-relaxed push for p = 2 until the queue is empty or the budget spent.

    A queued node moves to its target; it queues again when it leaves the band around
    that. With ``omega = 1`` mass only ever moves outwards. ``report[1]`` grows by what
    the dual value gains. Returns why it stopped: 0 done, 1 budget, 2 no room, 3
    excursion, 4 stuck.
    """
    value, sink, degree, start, length = (
        state[2],
        state[4],
        state[5],
        state[6],
        state[7],
    )
    to, weight, queue, flags = state[9], state[10], state[11], state[12]
    mask = np.uint64(queue.shape[0] - 1)
    # Registers live in variables: through the array they would be reloaded each time.
    head, waiting, pushes, work = np.uint64(count[2]), count[3], count[4], count[5]
    pushed, code, gain = count[7], 0, 0.0
    while waiting > 0:
        if pushes >= budget:
            code = 1
            break
        i = np.uint32(queue[head & mask])
        if start[i] < 0:
            if not _open_queued(np.int64(head), waiting, source, state, count):
                code = 2
                break
        head += np.uint64(1)
        waiting -= 1
        flags[i] &= 2
        mass, x, target, band = value[i, 0], value[i, 1], value[i, 2], value[i, 3]
        over = mass - target
        if not (over > band or (x > 0.0 and over < -band)):
            continue
        d = degree[i]
        if d <= 0.0:
            code = 4
            break
        if flags[i] & 2 == 0:
            flags[i] |= 2
            pushed += 1
            excursion -= sink[i]
            if omega > 1.0 and excursion < 0.0:
                code = 3
                break
        a = over / d
        if omega > 1.0:
            age = pushes / pushed
            a *= 1.0 + (omega - 1.0) * age / (age + patience)
        a = max(a, -x)
        gain += a * (mass - sink[i] - 0.5 * a * d)
        value[i, 1] = x + a
        mass -= a * d
        value[i, 0] = mass
        first, last = np.uint64(start[i]), np.uint64(start[i] + length[i])
        for e in range(first, last):
            j = np.uint32(to[e])
            other = value[j, 0] + weight[e] * a
            value[j, 0] = other
            over = other - value[j, 2]
            if over > value[j, 3] or (over < -value[j, 3] and value[j, 1] > 0.0):
                if flags[j] & 1 == 0:
                    flags[j] |= 1
                    queue[(head + np.uint64(waiting)) & mask] = to[e]
                    waiting += 1
        pushes += 1
        work += length[i]
        over = mass - target
        if over > band or (x + a > 0.0 and over < -band):
            flags[i] |= 1
            queue[(head + np.uint64(waiting)) & mask] = np.int32(i)
            waiting += 1
    count[2], count[3], count[4] = np.int64(head & mask), waiting, pushes
    count[5], count[7] = work, pushed
    report[1] += gain
    return code


@kernel
def _share(step, power, mu):
    """Return the flow over an edge of weight one between heights that differ."""
    if mu == 0.0:
        return np.copysign(np.abs(step) ** power, step)
    return step * (step * step + mu * mu) ** (0.5 * power - 0.5)


@kernel
def _held(x, first, last, to, weight, value, power, mu):
    """Return the mass that a node keeps at height x, besides its source."""
    total = 0.0
    for e in range(first, last):
        total -= weight[e] * _share(x - value[to[e], 1], power, mu)
    return total


@kernel
def push_power(source, state, count, power, mu, budget):
    """Push for p > 2, where ``power = q - 1``: raise one node until it fits its sink.

    The height is bracketed by doubling and found by the Illinois rule, up to a band
    above the target, so that no node is ever left with too little.
    """
    value, given, degree, start, length = (
        state[2], state[3], state[5], state[6], state[7],
    )  # fmt: skip
    to, weight, queue, flags = state[9], state[10], state[11], state[12]
    mask = queue.shape[0] - 1
    while count[3] > 0:
        if count[4] >= budget:
            return 1
        i = queue[count[2] & mask]
        if start[i] < 0 and not _open_queued(count[2], count[3], source, state, count):
            return 2
        count[2] = (count[2] + 1) & mask
        count[3] -= 1
        flags[i] &= 2
        target, band = value[i, 2], value[i, 3]
        if not value[i, 0] - target > band:
            continue
        if degree[i] <= 0.0:
            return 4
        if flags[i] & 2 == 0:
            flags[i] |= 2
            count[7] += 1
        first, last = start[i], start[i] + length[i]
        low = value[i, 1]
        high = low + max(1.0, 1e-9 * low)  # a step of one may be none at all
        goal = target + 0.25 * band - given[i]
        f_low = _held(low, first, last, to, weight, value, power, mu) - goal
        f_high = _held(high, first, last, to, weight, value, power, mu) - goal
        visits = 2
        while f_high > 0.25 * band:
            high = low + 2.0 * (high - low)
            f_high = _held(high, first, last, to, weight, value, power, mu) - goal
            visits += 1
        x, f = high, f_high
        side = 0
        for _ in range(200):
            if -0.25 * band <= f <= 0.25 * band:
                break
            x = high - f_high * (high - low) / (f_high - f_low)
            if not low < x < high:
                x = 0.5 * (low + high)
                if not low < x < high:  # no number lies between: keep the feasible end
                    x = low
                    break
            f = _held(x, first, last, to, weight, value, power, mu) - goal
            visits += 1
            if f > 0.0:
                low, f_low = x, f
                if side == 1:
                    f_high *= 0.5
                side = 1
            else:
                high, f_high = x, f
                if side == -1:
                    f_low *= 0.5
                side = -1
        old = value[i, 1]
        value[i, 1] = x
        kept = given[i]
        for e in range(first, last):
            j = to[e]
            flow = weight[e] * _share(x - value[j, 1], power, mu)
            kept -= flow
            flow -= weight[e] * _share(old - value[j, 1], power, mu)
            value[j, 0] += flow
            if flags[j] & 1 == 0 and value[j, 0] - value[j, 2] > value[j, 3]:
                flags[j] |= 1
                queue[(count[2] + count[3]) & mask] = j
                count[3] += 1
        value[i, 0] = kept
        count[4] += 1
        count[5] += visits * length[i]
        if kept - target > band:
            flags[i] |= 1
            queue[(count[2] + count[3]) & mask] = i
            count[3] += 1
    return 0


@on_warmup
def compile_all():
    """Call every kernel that Python code calls once, as the solver does."""
    indptr, indices = np.array([0, 1, 2]), np.array([1, 0], dtype=np.int32)
    for array in (indptr, indices):
        array.flags.writeable = False
    empty = np.empty(0)
    scalars = np.array([1.0, 1.0, 0.0, 1.0, 0.01, 0.01, 1.0, 0.0])
    source = (indptr, indices, empty, empty, np.empty((0, 0)), empty, scalars)
    state = (
        np.zeros(8, dtype=np.int32), np.zeros(2, dtype=np.int64),
        np.zeros((2, 4)), np.zeros(2), np.zeros(2), np.zeros(2),
        np.full(2, -1), np.zeros(2, dtype=np.int64), np.zeros(2),
        np.zeros(2, dtype=np.int32), np.zeros(2), np.zeros(2, dtype=np.int32),
        np.zeros(2, dtype=np.uint8), np.zeros(2, dtype=np.int32),
        np.zeros((2, 2), dtype=np.int32), np.zeros((2, 2)),
    )  # fmt: skip
    count = np.array([0, 0, 0, 0, 0, 0, 0, 0, 3, 0])
    meet(np.zeros(1, dtype=np.int64), np.array([1.5]), source, state, count)
    open_rows(np.zeros(1, dtype=np.int64), source, state, count)
    push(source, state, count, 1.6, 0.5, 10, 9.0, np.zeros(4))
    push_power(source, state, count, 0.5, 0.0, 10)
    rehash(np.zeros(8, dtype=np.int32), state[1], 2, 3)
    forget(state[0], state[1], 2, 3)


@on_warmup
def register_others():
    """Load the package's other kernel files, whose kernels are compiled next."""
    for name in ("build", "drain", "flow", "heights", "spectral"):
        importlib.import_module(f"graphs._kernels_{name}")
