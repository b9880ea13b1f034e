"""Numba kernels of the ADMM iterations and of the cone projection.

Blocks are rows: weights are (2P, r), products with the data (2P, n), the first P rows
belong to V and the others to W; patterns are (P, n), 0.0 or 1.0.
"""

import numpy as np

from farkas.kernels import kernel, on_warmup


@kernel(fastmath={"reassoc", "contract"})
def gated_sum(D, products, out):
    """``out = sum_i D_i (products_i - products_{P+i})`` (gated: only the first)."""
    P, n = D.shape
    signed = products.shape[0] > P
    out[:] = 0.0
    for i in range(P):
        for k in range(n):
            out[k] += D[i, k] * products[i, k]
        if signed:
            for k in range(n):
                out[k] -= D[i, k] * products[P + i, k]


@kernel(fastmath={"reassoc", "contract"})
def shrink_blocks(x, threshold, out):
    """``out_i = (1 - threshold/|x_i|)_+ x_i``, the prox of the sum of norms."""
    m, r = x.shape
    for i in range(m):
        square = 0.0
        for j in range(r):
            square += x[i, j] * x[i, j]
        norm = np.sqrt(square)
        shrink = 1.0 - threshold / norm if norm > threshold else 0.0
        for j in range(r):
            out[i, j] = shrink * x[i, j]


@kernel
def prox_logistic(a, y, rho, out):
    """Root m of ``m - c = sigma(-m) / rho`` with c = y a, in ``[c, c + 1/rho]``.

    The left side minus the right increases in m. Newton; a step that leaves the
    bracket, or is not half as long as the one before, is replaced by bisection, since
    Newton alone can cycle around the inflection at 0.
    """
    for k in range(a.shape[0]):
        c = y[k] * a[k]
        low, high = c, c + 1.0 / rho
        m = 0.0 if low < 0.0 < high else low
        step_before = high - low
        for _ in range(200):
            e = np.exp(-abs(m))
            sigma = (e if m >= 0 else 1.0) / (1.0 + e)
            value = m - c - sigma / rho
            if value < 0:
                low = m
            else:
                high = m
            step = value / (1.0 + sigma * (1.0 - sigma) / rho)
            if abs(step) <= 4e-16 * max(abs(m), 1.0):
                break
            new = m - step
            if abs(step) > 0.5 * step_before or not low < new < high:
                new = 0.5 * (low + high)
                if not low < new < high:  # no number lies between
                    break
            step_before = abs(new - m)
            m = new
        out[k] = y[k] * m


@kernel(fastmath={"reassoc", "contract"})
def project_cones(
    A,
    gram,
    rows,
    D,
    points,
    lam,
    passive,
    counts,
    factors,
    margins,
    centers,
    projections,
    threshold,
    tolerance,
    max_changes,
):
    """Project each point onto the cone of its pattern, by a dual active set.

    Block i solves ``min |p - x_i|`` s.t. ``S_i A p >= 0`` through its dual
    ``min_{lam >= 0} |x_i + A'S_i lam|`` (Lawson and Hanson, 1974). What an earlier call
    left behind is the start: multipliers ``lam`` (m, n), positive on the first
    ``counts[i]`` rows of ``passive`` (m, r), and the Cholesky ``factors`` (m, r, r) of
    those rows' Gram matrices. ``gram`` is ``A A'``, or empty; ``rows`` the norms of the
    rows of A; ``D`` is (m, n).

    ``margins`` (m, n) are the values ``S_i A c`` at a center c (m, r) of an earlier
    call, or -inf. A row whose margin exceeds ``rows |p - c|`` cannot be violated, so
    most rows are passed over. A block whose start ``x_i + A'S_i lam_i`` has norm at
    most ``threshold`` is left there: any multipliers bound the norm of the projection,
    and the caller will shrink it to zero. Returns the number of blocks that used up
    ``max_changes``.
    """
    m, r = points.shape
    unfinished = 0
    trial = np.empty(r)
    row = np.empty(r)
    for i in range(m):
        x, p, multipliers, pattern = points[i], projections[i], lam[i], D[i]
        active, L, count = passive[i], factors[i], counts[i]
        _combine(A, pattern, x, multipliers, active, count, p)
        if _norm(p) <= threshold:
            continue
        size = _norm(x)
        finished = False
        for _ in range(max_changes):
            _solve_passive(A, pattern, x, active, count, L, trial)
            step, leaving = 1.0, -1
            for a in range(count):
                if trial[a] <= 0.0:
                    old = multipliers[active[a]]
                    ratio = old / (old - trial[a]) if old > trial[a] else 0.0
                    if ratio < step or leaving < 0:
                        step, leaving = min(ratio, step), a
            for a in range(count):
                k = active[a]
                multipliers[k] += step * (trial[a] - multipliers[k])
            if leaving >= 0:
                multipliers[active[leaving]] = 0.0
                old_count = count
                count = leaving
                for a in range(leaving + 1, old_count):
                    k = active[a]
                    if _append(A, gram, pattern, active, count, k, L, row):
                        active[count] = k
                        count += 1
                    else:
                        multipliers[k] = 0.0
                continue
            _combine(A, pattern, x, multipliers, active, count, p)
            if count == r:
                finished = True
                break
            entering = _most_violated(
                A,
                rows,
                pattern,
                multipliers,
                p,
                margins[i],
                centers[i],
                -tolerance * size,
            )
            if entering < 0 or not _append(
                A, gram, pattern, active, count, entering, L, row
            ):
                finished = True  # a dependent row is violated by rounding only
                break
            active[count] = entering
            count += 1
        if not finished:
            unfinished += 1
            _combine(A, pattern, x, multipliers, active, count, p)
        counts[i] = count
    return unfinished


@kernel(fastmath={"reassoc", "contract"})
def factor_passive(A, gram, D, lam, passive, counts, factors):
    """Factor the Gram matrices of given passive rows, dropping dependent ones."""
    row = np.empty(A.shape[1])
    for i in range(passive.shape[0]):
        count = 0
        for a in range(counts[i]):
            k = passive[i, a]
            if _append(A, gram, D[i], passive[i], count, k, factors[i], row):
                passive[i, count] = k
                count += 1
            else:
                lam[i, k] = 0.0
        counts[i] = count


@kernel(fastmath={"reassoc", "contract"})
def _norm(x):
    square = 0.0
    for j in range(x.shape[0]):
        square += x[j] * x[j]
    return np.sqrt(square)


@kernel(fastmath={"reassoc", "contract"})
def _combine(A, pattern, x, multipliers, passive, count, p):
    """``p = x + A'S lam``, where only the passive rows have multipliers."""
    r = A.shape[1]
    for j in range(r):
        p[j] = x[j]
    for a in range(count):
        k = passive[a]
        scaled = (2.0 * pattern[k] - 1.0) * multipliers[k]
        for j in range(r):
            p[j] += scaled * A[k, j]


@kernel(fastmath={"reassoc", "contract"})
def _most_violated(A, rows, pattern, multipliers, p, margin, center, threshold):
    """Return the row with the least ``S A p / |row|`` below the threshold, or -1."""
    n, r = A.shape
    distance = 0.0
    for j in range(r):
        distance += (p[j] - center[j]) ** 2
    distance = np.sqrt(distance)
    doubtful = 0
    for k in range(n):
        doubtful += (margin[k] <= rows[k] * distance) & (multipliers[k] == 0.0)
    if doubtful == 0:
        return -1
    if 8 * doubtful > n:  # move the center here
        for k in range(n):
            dot = 0.0
            for j in range(r):
                dot += A[k, j] * p[j]
            margin[k] = (2.0 * pattern[k] - 1.0) * dot if rows[k] > 0.0 else np.inf
        for j in range(r):
            center[j] = p[j]
        distance = 0.0
    worst, entering = threshold, -1
    for k in range(n):
        if margin[k] <= rows[k] * distance and multipliers[k] == 0.0:
            dot = 0.0
            for j in range(r):
                dot += A[k, j] * p[j]
            dot *= (2.0 * pattern[k] - 1.0) / rows[k]
            if dot < worst:
                worst, entering = dot, k
    return entering


@kernel(fastmath={"reassoc", "contract"})
def _append(A, gram, pattern, passive, count, k, L, row):
    """Extend the Cholesky factor of the passive rows' Gram matrix by row k."""
    r = A.shape[1]
    sign = 2.0 * pattern[k] - 1.0
    square = 0.0
    for j in range(r):
        square += A[k, j] * A[k, j]
    rest = square
    for a in range(count):
        other = passive[a]
        dot = 0.0
        if gram.shape[0] > 0:
            dot = gram[k, other]
        else:
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
def _solve_passive(A, pattern, g, passive, count, L, out):
    """Solve ``A_Q A_Q' out = -A_Q g`` for the passive rows Q."""
    for a in range(count):
        k = passive[a]
        dot = 0.0
        for j in range(A.shape[1]):
            dot -= A[k, j] * g[j]
        dot *= 2.0 * pattern[k] - 1.0
        for b in range(a):
            dot -= L[a, b] * out[b]
        out[a] = dot / L[a, a]
    for a in range(count - 1, -1, -1):
        value = out[a]
        for b in range(a + 1, count):
            value -= L[b, a] * out[b]
        out[a] = value / L[a, a]


@kernel
def prox_softmax(a, own, rho, out):
    """Minimise ``log sum exp(z) - z_own + rho/2 |z - a|^2`` for each row, from ``out``.

    Newton; its matrix ``diag(p) - p p' + rho I`` is inverted by the formula of Sherman
    and Morrison. A step that raises the objective is halved.
    """
    n, C = a.shape
    p, step = np.empty(C), np.empty(C)
    for k in range(n):
        z = out[k]
        best = np.inf
        scale = 0.0  # first evaluate the start, then try steps
        for _ in range(100):
            largest = -np.inf
            for c in range(C):
                largest = max(largest, z[c] - scale * step[c] if scale else z[c])
            total, square = 0.0, 0.0
            for c in range(C):
                moved = z[c] - scale * step[c] if scale else z[c]
                p[c] = np.exp(moved - largest)
                total += p[c]
                square += (moved - a[k, c]) ** 2
            at_own = z[own[k]] - scale * step[own[k]] if scale else z[own[k]]
            value = largest + np.log(total) - at_own + 0.5 * rho * square
            if value > best:
                scale *= 0.5
                if scale < 1e-4:
                    break
                continue
            fallen = best - value
            best = value
            if scale:
                for c in range(C):
                    z[c] -= scale * step[c]
            below, along, gradient = 0.0, 0.0, 0.0
            for c in range(C):
                p[c] /= total
                step[c] = p[c] + rho * (z[c] - a[k, c])
            step[own[k]] -= 1.0
            for c in range(C):
                gradient = max(gradient, abs(step[c]))
                step[c] /= p[c] + rho
                below += p[c] / (p[c] + rho)
                along += p[c] * step[c]
            if gradient <= 1e-13 * max(1.0, rho) or fallen == 0.0:
                break
            for c in range(C):
                step[c] += p[c] / (p[c] + rho) * along / (rho * below)
            scale = 1.0


@on_warmup
def compile_all():
    """Call every kernel that Python code calls once, as the solver does."""
    A, D, two = np.eye(2), np.ones((1, 2)), np.ones(2)
    points, lam, factors = -np.ones((1, 2)), np.zeros((1, 2)), np.zeros((1, 2, 2))
    passive, counts = np.zeros((1, 2), dtype=np.int64), np.zeros(1, dtype=np.int64)
    margins, centers = np.full((1, 2), -np.inf), np.zeros((1, 2))
    gated_sum(D, D, two.copy())
    shrink_blocks(points, 1.0, centers)
    prox_logistic(two, two, 1.0, two.copy())
    prox_softmax(A, np.zeros(2, dtype=np.int64), 1.0, np.zeros((2, 2)))
    factor_passive(A, A, D, lam, passive, counts, factors)
    project_cones(
        A, A, two, D, points, lam, passive, counts, factors, margins, centers,
        np.empty((1, 2)), -1.0, 1e-13, 9,
    )  # fmt: skip
