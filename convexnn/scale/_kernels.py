"""Numba kernels for many rows: cone projection, and block coordinate descent.

Blocks are rows: points are (m, r), products with the data (m, n); patterns are (m, n),
0.0 or 1.0.
"""

import numpy as np

from farkas.kernels import kernel, on_warmup


@kernel(fastmath={"reassoc", "contract"})
def start_from_passive(
    A, D, points, passive, values, counts, factors, projections, threshold, todo
):
    """Project each point onto the cone of its passive rows alone.

    A block whose start ``x_i + A'S_i lam_i`` has norm at most ``threshold`` is left
    there: any multipliers bound the norm of the projection, and the caller will shrink
    it to zero. Returns the number of the other blocks, listed in ``todo``.
    """
    r = A.shape[1]
    trial, row = np.empty(r), np.empty(r)
    number = 0
    for i in range(points.shape[0]):
        x, p, active, lam = points[i], projections[i], passive[i], values[i]
        _combine(A, D[i], x, lam, active, counts[i], p)
        if _norm(p) <= threshold:
            continue
        counts[i] = _optimize(
            A, D[i], x, active, lam, counts[i], factors[i], trial, row
        )
        _combine(A, D[i], x, lam, active, counts[i], p)
        todo[number] = i
        number += 1
    return number


@kernel(fastmath={"reassoc", "contract"})
def project_from_margins(
    A,
    rows,
    D,
    points,
    passive,
    values,
    counts,
    factors,
    todo,
    products,
    projections,
    pending,
    groups,
    tolerance,
    max_changes,
):
    """Improve the projections of the blocks ``todo`` with few looks at all rows.

    Block i solves ``min |p - x_i|`` s.t. ``S_i A p >= 0`` by the dual active set of
    Lawson and Hanson (1974), on a few candidate rows at a time: the most violated one
    of each of ``groups`` groups of rows. ``products`` (t, n) are ``A c`` at the centers
    c, the projections with which this call begins. A row whose margin there exceeds
    ``rows |p - c|`` cannot be violated at p; where so many rows are in doubt that a
    matrix product is cheaper, the block is left in ``pending`` (t,) for a new call.
    Multipliers are ``values`` (m, r), positive on the first ``counts[i]`` rows of
    ``passive`` (m, r), whose Gram matrices have the Cholesky ``factors`` (m, r, r).
    """
    n, r = A.shape
    width = (n + groups - 1) // groups
    candidates = np.empty(groups + r, dtype=np.int64)
    trial, row, center = np.empty(r), np.empty(r), np.empty(r)
    for t in range(todo.shape[0]):
        i = todo[t]
        x, p, pattern, product = points[i], projections[i], D[i], products[t]
        active, lam, L = passive[i], values[i], factors[i]
        limit = -tolerance * _norm(x)
        for j in range(r):
            center[j] = p[j]
        distance, changes = 0.0, 0
        pending[t] = False
        while True:
            doubtful, found = 0, 0
            for start in range(0, n, width):
                worst, entering = limit, -1
                for k in range(start, min(start + width, n)):
                    margin = (2.0 * pattern[k] - 1.0) * product[k]
                    if margin > rows[k] * distance or rows[k] == 0.0:
                        continue
                    if distance > 0.0:
                        doubtful += 1
                        margin = 0.0
                        for j in range(r):
                            margin += A[k, j] * p[j]
                        margin *= 2.0 * pattern[k] - 1.0
                    margin /= rows[k]
                    if margin < worst and not _among(k, active, counts[i]):
                        worst, entering = margin, k
                if entering >= 0:
                    candidates[found] = entering
                    found += 1
                if 8 * doubtful > n:
                    break
            if 8 * doubtful > n:
                pending[t] = changes < max_changes
                break
            if found == 0 or counts[i] == r or changes >= max_changes:
                break
            before = changes
            counts[i], changes = _solve_on_candidates(
                A, rows, pattern, x, active, lam, counts[i], L, candidates, found,
                p, trial, row, limit, changes, max_changes,
            )  # fmt: skip
            if changes == before:  # violated by rounding only
                break
            distance = 0.0
            for j in range(r):
                distance += (p[j] - center[j]) ** 2
            distance = np.sqrt(distance)


@kernel(fastmath={"reassoc", "contract"})
def factor_rows(A, D, passive, values, counts, factors):
    """Factor the Gram matrices of the passive rows, dropping dependent ones."""
    row = np.empty(A.shape[1])
    for i in range(passive.shape[0]):
        active, lam = passive[i], values[i]
        count = 0
        for a in range(counts[i]):
            k = active[a]
            if _append(A, D[i], active, count, k, factors[i], row):
                active[count], lam[count] = k, lam[a]
                count += 1
        counts[i] = count


@kernel(fastmath={"reassoc", "contract"})
def _solve_on_candidates(
    A, rows, pattern, x, active, lam, count, L, candidates, found,
    p, trial, row, limit, changes, max_changes,
):  # fmt: skip
    """Run the active set on the passive rows and the candidates."""
    r = A.shape[1]
    while changes < max_changes:
        worst, entering = limit, -1
        for c in range(found):
            k = candidates[c]
            margin = 0.0
            for j in range(r):
                margin += A[k, j] * p[j]
            margin *= (2.0 * pattern[k] - 1.0) / rows[k]
            if margin < worst and not _among(k, active, count):
                worst, entering = margin, k
        if entering < 0 or count == r:
            break
        if not _append(A, pattern, active, count, entering, L, row):
            break  # a dependent row is violated by rounding only
        active[count], lam[count] = entering, 0.0
        count += 1
        changes += 1
        count = _optimize(A, pattern, x, active, lam, count, L, trial, row)
        _combine(A, pattern, x, lam, active, count, p)
    return count, changes


@kernel(fastmath={"reassoc", "contract"})
def _optimize(A, pattern, x, active, lam, count, L, trial, row):
    """Find the best multipliers of the passive rows; rows that reach zero leave."""
    while True:
        _solve_passive(A, pattern, x, active, count, L, trial)
        step, leaving = 1.0, -1
        for a in range(count):
            if trial[a] <= 0.0:
                ratio = lam[a] / (lam[a] - trial[a]) if lam[a] > trial[a] else 0.0
                if ratio < step or leaving < 0:
                    step, leaving = min(ratio, step), a
        for a in range(count):
            lam[a] += step * (trial[a] - lam[a])
        if leaving < 0:
            return count
        old, count = count, leaving
        for a in range(leaving + 1, old):
            k = active[a]
            if _append(A, pattern, active, count, k, L, row):
                active[count], lam[count] = k, lam[a]
                count += 1


@kernel(fastmath={"reassoc", "contract"})
def descend_blocks(
    A,
    D,
    B,
    L,
    centers,
    u,
    prediction,
    y,
    loss,
    delta,
    rho,
    order,
    step,
    shortest,
    window,
    threshold,
    shrink,
    grow,
    armijo,
):
    """Lower ``L(F u, y) + rho sum_i (u_i'B u_i / 2 - c_i'u_i)`` block by block.

    One step moves the blocks of pattern ``order[t]``, V and W together, by ``-step``
    times the gradient in the metric of B (Cholesky factor L, lower), backtracking until
    Armijo's condition holds, which it does, but for rounding, at ``shortest``. Ends
    where the mean decrease of the last ``window`` steps falls to ``threshold``.
    ``prediction`` is ``F u``, kept up to date; ``loss`` is 0
    squared, 1 logistic, 2 Huber with parameter ``delta``. Returns the step length and
    the number of steps.
    """
    P, n = D.shape
    m, r = u.shape
    copies = m // P
    gradient, direction = np.empty((copies, r)), np.empty((copies, r))
    push, change = np.empty(r), np.empty(n)
    decreases = np.zeros(window)
    total = 0.0
    for t in range(order.shape[0]):
        i = order[t]
        for j in range(r):
            push[j] = 0.0
        for k in range(n):
            if D[i, k] == 0.0:
                continue
            slope = _slope(prediction[k], y[k], loss, delta)
            for j in range(r):
                push[j] += slope * A[k, j]
        descent, linear, square = 0.0, 0.0, 0.0
        for side in range(copies):
            block, g, s = side * P + i, gradient[side], direction[side]
            sign = 1.0 - 2.0 * side
            for j in range(r):
                g[j] = -centers[block, j]
                for a in range(r):
                    g[j] += B[j, a] * u[block, a]
                g[j] *= rho
                s[j] = -g[j] - sign * push[j]
            for a in range(r):
                for b in range(a):
                    s[a] -= L[a, b] * s[b]
                s[a] /= L[a, a]
                square += rho * s[a] * s[a]
            for a in range(r - 1, -1, -1):
                for b in range(a + 1, r):
                    s[a] -= L[b, a] * s[b]
                s[a] /= L[a, a]
            for j in range(r):
                linear += g[j] * s[j]
                descent -= (g[j] + sign * push[j]) * s[j]
        for k in range(n):
            change[k] = 0.0
            if D[i, k] != 0.0:
                for j in range(r):
                    change[k] += A[k, j] * direction[0, j]
                    if copies == 2:
                        change[k] -= A[k, j] * direction[1, j]
        while True:
            rise = 0.0  # of the loss, without the cancellation of its sums
            for k in range(n):
                if change[k] != 0.0:
                    rise += _rise(prediction[k], step * change[k], y[k], loss, delta)
            decrease = -rise - step * linear - 0.5 * step * step * square
            if decrease >= armijo * step * descent or step <= shortest:
                break
            step = max(step / shrink, shortest)
        for k in range(n):
            prediction[k] += step * change[k]
        for side in range(copies):
            for j in range(r):
                u[side * P + i, j] += step * direction[side, j]
        step *= grow
        total += decrease - decreases[t % window]
        decreases[t % window] = decrease
        if t + 1 >= window and total <= threshold * window:
            return step, t + 1
    return step, order.shape[0]


@kernel
def _rise(z, change, y, loss, delta):
    """Return ``l(z + change) - l(z)``, accurate however small the change."""
    if loss == 0:
        return change * (z - y + 0.5 * change)
    if loss == 1:
        e = np.exp(-abs(y * z))
        sigma = (e if y * z >= 0 else 1.0) / (1.0 + e)
        if abs(change) < 1.0:
            return np.log1p(sigma * np.expm1(-y * change))
        return _softplus(-y * (z + change)) - _softplus(-y * z)
    r, s = z - y, z - y + change
    if abs(r) <= delta and abs(s) <= delta:
        return change * (r + 0.5 * change)
    if min(r, s) >= delta or max(r, s) <= -delta:
        return delta * change if r > 0 else -delta * change
    return _huber(s, delta) - _huber(r, delta)


@kernel
def _softplus(x):
    return max(x, 0.0) + np.log1p(np.exp(-abs(x)))


@kernel
def _huber(r, delta):
    curved = min(abs(r), delta)
    return curved * (abs(r) - 0.5 * curved)


@kernel
def _slope(z, y, loss, delta):
    if loss == 0:
        return z - y
    if loss == 1:
        e = np.exp(-abs(y * z))
        return -y * (e if y * z >= 0 else 1.0) / (1.0 + e)
    return min(max(z - y, -delta), delta)


@kernel
def _among(k, active, count):
    for a in range(count):
        if active[a] == k:
            return True
    return False


@kernel(fastmath={"reassoc", "contract"})
def _norm(x):
    square = 0.0
    for j in range(x.shape[0]):
        square += x[j] * x[j]
    return np.sqrt(square)


@kernel(fastmath={"reassoc", "contract"})
def _combine(A, pattern, x, lam, active, count, p):
    """``p = x + A'S lam``, where only the passive rows have multipliers."""
    r = A.shape[1]
    for j in range(r):
        p[j] = x[j]
    for a in range(count):
        k = active[a]
        scaled = (2.0 * pattern[k] - 1.0) * lam[a]
        for j in range(r):
            p[j] += scaled * A[k, j]


@kernel(fastmath={"reassoc", "contract"})
def _append(A, pattern, active, count, k, L, row):
    """Extend the Cholesky factor of the passive rows' Gram matrix by row k."""
    r = A.shape[1]
    sign = 2.0 * pattern[k] - 1.0
    square = 0.0
    for j in range(r):
        square += A[k, j] * A[k, j]
    rest = square
    for a in range(count):
        other = active[a]
        dot = 0.0
        for j in range(r):
            dot += A[other, j] * A[k, j]
        dot *= sign * (2.0 * pattern[other] - 1.0)
        for b in range(a):
            dot -= L[a, b] * row[b]
        row[a] = dot / L[a, a]
        rest -= row[a] * row[a]
    if rest <= 1e-13 * square:
        return False
    for a in range(count):
        L[count, a] = row[a]
    L[count, count] = np.sqrt(rest)
    return True


@kernel(fastmath={"reassoc", "contract"})
def _solve_passive(A, pattern, x, active, count, L, out):
    """Solve ``A_Q A_Q' out = -A_Q x`` for the passive rows Q."""
    for a in range(count):
        k = active[a]
        dot = 0.0
        for j in range(A.shape[1]):
            dot -= A[k, j] * x[j]
        dot *= 2.0 * pattern[k] - 1.0
        for b in range(a):
            dot -= L[a, b] * out[b]
        out[a] = dot / L[a, a]
    for a in range(count - 1, -1, -1):
        value = out[a]
        for b in range(a + 1, count):
            value -= L[b, a] * out[b]
        out[a] = value / L[a, a]


@on_warmup
def compile_all():
    """Call every kernel that Python code calls once, as the solver does."""
    A, D, rows, two = np.eye(2), np.ones((1, 2)), np.ones(2), np.zeros((1, 2))
    points, p, factors = -np.ones((1, 2)), -np.ones((1, 2)), np.zeros((1, 2, 2))
    passive, counts = np.zeros((1, 2), dtype=np.int64), np.zeros(1, dtype=np.int64)
    todo = np.zeros(1, dtype=np.int64)
    start_from_passive(A, D, points, passive, two, counts, factors, p, -1.0, todo)
    factor_rows(A, D, passive, two, counts, factors)
    project_from_margins(
        A, rows, D, points, passive, two, counts, factors, todo, p @ A.T, p,
        np.zeros(1, dtype=np.bool_), 2, 1e-13, 9,
    )  # fmt: skip
    descend_blocks(
        A, D, A, A, p, points, np.zeros(2), np.zeros(2), 0, 1.0, 1.0,
        np.zeros(1, dtype=np.int64), 1.0, 0.1, 1, 0.0, 2.5, 1.05, 1e-3,
    )  # fmt: skip
