"""Numba kernels of robust training: robust cones, and the worst loss over a box.

Blocks are rows, (m, d); patterns are (m, n), 0.0 or 1.0; ``|q|_eps`` is
``sum_j eps_j |q_j|`` and ``soft`` shrinks each entry towards zero.
"""

import numpy as np

from farkas.kernels import kernel, on_warmup

# Relative size below which a step of a root search is rounding.
STEP = 4e-16


@kernel(fastmath={"reassoc", "contract"})
def project_robust_cones(
    A,
    eps,
    rows,
    D,
    points,
    normals,
    owners,
    lam,
    counts,
    factors,
    margins,
    centers,
    projections,
    threshold,
    tolerance,
    max_changes,
):
    """Project each point onto ``{p : S_i A p >= |p|_eps}`` by a dual active set.

    The cone is the intersection of the half-spaces ``b'p >= 0`` with
    ``b = S_k a_k - eps o sigma`` over all rows k and all signs sigma. There are
    ``2^d n`` of them, but the one that p violates most for a given row has
    ``sigma = sign(p)``, so they are generated when they are needed. Block i solves
    ``min_{lam >= 0} |x_i + sum_q lam_q b_q|`` (Lawson and Hanson, 1974). What an
    earlier call left behind is the start: the first ``counts[i]`` of ``normals``
    (m, d, d), the rows k that own them in ``owners`` (m, d), their ``lam`` (m, d),
    positive, and the Cholesky ``factors`` (m, d, d) of their Gram matrices.

    ``rows`` are ``|a_k| + |eps|``, by which the constraint of row k grows at most with
    p. ``margins`` (m, n) are the values of the constraints at a center (m, d) of an
    earlier call, or -inf, by which most rows are passed over. A block whose start has
    norm at most ``threshold`` is left there: the caller will shrink it to zero.
    Returns the number of blocks that used up ``max_changes``.
    """
    m, d = points.shape
    unfinished = 0
    trial = np.empty(d)
    row = np.empty(d)
    for i in range(m):
        x, p, pattern = points[i], projections[i], D[i]
        B, owner, weights, L = normals[i], owners[i], lam[i], factors[i]
        count = counts[i]
        _combine(x, B, weights, count, p)
        if _norm(p) <= threshold:
            continue
        size = _norm(x)
        finished = False
        for _ in range(max_changes):
            _solve_passive(x, B, count, L, trial)
            step, leaving = 1.0, -1
            for a in range(count):
                if trial[a] <= 0.0:
                    old = weights[a]
                    ratio = old / (old - trial[a]) if old > trial[a] else 0.0
                    if ratio < step or leaving < 0:
                        step, leaving = min(ratio, step), a
            for a in range(count):
                weights[a] += step * (trial[a] - weights[a])
            if leaving >= 0:
                old_count = count
                count = leaving
                for a in range(leaving + 1, old_count):
                    B[count], owner[count], weights[count] = B[a], owner[a], weights[a]
                    if _append(B, count, L, row):
                        count += 1
                continue
            _combine(x, B, weights, count, p)
            if count == d:
                finished = True
                break
            entering = _most_violated(
                A, eps, rows, pattern, p, margins[i], centers[i], tolerance * size
            )
            if entering < 0:
                finished = True
                break
            sign = 2.0 * pattern[entering] - 1.0
            for j in range(d):
                reach = eps[j] if p[j] >= 0.0 else -eps[j]
                B[count, j] = sign * A[entering, j] - reach
            owner[count], weights[count] = entering, 0.0
            if not _append(B, count, L, row):
                finished = True  # a dependent row is violated by rounding only
                break
            count += 1
        if not finished:
            unfinished += 1
            _combine(x, B, weights, count, p)
        counts[i] = count
    return unfinished


@kernel(fastmath={"reassoc", "contract"})
def factor_normals(normals, owners, lam, counts, factors):
    """Factor the Gram matrices of given passive normals, dropping dependent ones."""
    row = np.empty(normals.shape[2])
    for i in range(normals.shape[0]):
        B, count = normals[i], 0
        for a in range(counts[i]):
            B[count], owners[i, count], lam[i, count] = B[a], owners[i, a], lam[i, a]
            if _append(B, count, factors[i], row):
                count += 1
        counts[i] = count


@kernel(fastmath={"reassoc", "contract"})
def _norm(x):
    square = 0.0
    for j in range(x.shape[0]):
        square += x[j] * x[j]
    return np.sqrt(square)


@kernel(fastmath={"reassoc", "contract"})
def _combine(x, B, weights, count, p):
    """``p = x + B'weights`` over the first ``count`` rows."""
    for j in range(x.shape[0]):
        p[j] = x[j]
    for a in range(count):
        for j in range(x.shape[0]):
            p[j] += weights[a] * B[a, j]


@kernel(fastmath={"reassoc", "contract"})
def _most_violated(A, eps, rows, pattern, p, margin, center, threshold):
    """Return the row with the least ``(S A p - |p|_eps) / rows``, or -1.

    Only values below ``-threshold`` count as violated.
    """
    n, d = A.shape
    distance, reach = 0.0, 0.0
    for j in range(d):
        distance += (p[j] - center[j]) ** 2
        reach += eps[j] * abs(p[j])
    distance = np.sqrt(distance)
    doubtful = 0
    for k in range(n):
        doubtful += margin[k] <= rows[k] * distance
    if doubtful == 0:
        return -1
    if 8 * doubtful > n:  # move the center here
        for k in range(n):
            dot = 0.0
            for j in range(d):
                dot += A[k, j] * p[j]
            margin[k] = (2.0 * pattern[k] - 1.0) * dot - reach
            if rows[k] == 0.0:
                margin[k] = np.inf
        for j in range(d):
            center[j] = p[j]
        distance = 0.0
    worst, entering = -threshold, -1
    for k in range(n):
        if margin[k] <= rows[k] * distance:
            dot = 0.0
            for j in range(d):
                dot += A[k, j] * p[j]
            value = ((2.0 * pattern[k] - 1.0) * dot - reach) / rows[k]
            if value < worst:
                worst, entering = value, k
    return entering


@kernel(fastmath={"reassoc", "contract"})
def _append(B, count, L, row):
    """Extend the Cholesky factor of the Gram matrix of B by its row ``count``."""
    d = B.shape[1]
    square = 0.0
    for j in range(d):
        square += B[count, j] * B[count, j]
    rest = square
    for a in range(count):
        dot = 0.0
        for j in range(d):
            dot += B[a, j] * B[count, j]
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
def _solve_passive(x, B, count, L, out):
    """Solve ``B B' out = -B x`` for the first ``count`` rows of B."""
    for a in range(count):
        dot = 0.0
        for j in range(x.shape[0]):
            dot -= B[a, j] * x[j]
        for b in range(a):
            dot -= L[a, b] * out[b]
        out[a] = dot / L[a, a]
    for a in range(count - 1, -1, -1):
        value = out[a]
        for b in range(a + 1, count):
            value -= L[b, a] * out[b]
        out[a] = value / L[a, a]


@kernel
def prox_robust_hinge(a, X, eps, y, rho, z, theta, b):
    """Prox of the largest hinge loss over a box, row by row.

    ``z(c) = soft(a + c y x, c eps)``, where c in [0, 1/rho] is the root of m(c) = 1 for
    the least margin ``m = y x'z - |z|_eps``, or an end. ``theta = rho c y`` and
    ``b = rho c``. m is nondecreasing and piecewise linear: Newton in a bracket.
    """
    for k in range(a.shape[0]):
        low, high = 0.0, 1.0 / rho
        c = low
        margin, slope = _margin(a[k], X[k], eps, y[k], low, z[k])
        if margin < 1.0:
            c = high
            at_high, _ = _margin(a[k], X[k], eps, y[k], high, z[k])
            if at_high > 1.0:
                c = low
                for _ in range(200):
                    new = c + (1.0 - margin) / slope if slope > 0.0 else high
                    if not low < new < high:
                        new = 0.5 * (low + high)
                        if not low < new < high:  # no number lies between
                            break
                    change = abs(new - c)
                    c = new
                    margin, slope = _margin(a[k], X[k], eps, y[k], c, z[k])
                    if margin < 1.0:
                        low = c
                    else:
                        high = c
                    if abs(margin - 1.0) <= STEP or change <= STEP * c:
                        break
        b[k] = rho * c
        theta[k] = y[k] * b[k]


@kernel
def prox_robust_logistic(a, X, eps, y, rho, z, theta, b):
    """Prox of the largest logistic loss over a box: ``c = sigma(-m(c)) / rho``.

    As in :func:`prox_robust_hinge`; ``c - sigma(-m(c)) / rho`` increases in c.
    """
    for k in range(a.shape[0]):
        low, high = 0.0, 1.0 / rho
        c = 0.5 * high
        step_before = high
        for _ in range(200):
            margin, slope = _margin(a[k], X[k], eps, y[k], c, z[k])
            e = np.exp(-abs(margin))
            sigma = (e if margin >= 0 else 1.0) / (1.0 + e)
            value = c - sigma / rho
            if value < 0:
                low = c
            else:
                high = c
            step = value / (1.0 + sigma * (1.0 - sigma) * slope / rho)
            if abs(step) <= STEP * c:
                break
            new = c - step
            if abs(step) > 0.5 * step_before or not low < new < high:
                new = 0.5 * (low + high)
                if not low < new < high:
                    break
            step_before = abs(new - c)
            c = new
        _margin(a[k], X[k], eps, y[k], c, z[k])
        b[k] = rho * c
        theta[k] = y[k] * b[k]


@kernel
def _margin(a, x, eps, sign, c, z):
    """Set ``z = soft(a + c sign x, c eps)``; return its margin and the slope in c."""
    margin, slope = 0.0, 0.0
    for j in range(a.shape[0]):
        push = sign * x[j]
        center, width = a[j] + c * push, c * eps[j]
        if center > width:
            z[j] = center - width
            push -= eps[j]
        elif center < -width:
            z[j] = center + width
            push += eps[j]
        else:
            z[j] = 0.0
            continue
        margin += push * z[j]
        slope += push * push
    return margin, slope


@kernel
def prox_robust_squared(a, X, eps, y, rho, z, theta, b):
    """Prox of ``(|x'z - y| + |z|_eps)^2 / 2``, row by row.

    With g the sum in parentheses, z is the prox of ``c g`` at a for the c in
    ``[0, g(a) / rho]`` with ``rho c = g(z(c))``, whose right side falls in c.
    ``b = rho c``, and theta in [-b, b] is -b sign(x'z - y) where that is not zero.
    """
    for k in range(a.shape[0]):
        x = X[k]
        c, tilt = 0.0, 0.0
        value, slope, tilt = _deviation(a[k], x, eps, y[k], c, z[k])
        low, high = 0.0, value / rho
        step_before = high
        for _ in range(200):
            excess = rho * c - value
            if excess < 0:
                low = c
            else:
                high = c
            step = excess / (rho - slope)
            if abs(step) <= STEP * c:
                break
            new = c - step
            slow = c > 0.0 and abs(step) > 0.5 * step_before
            if slow or not low < new < high:
                new = 0.5 * (low + high)
                if not low < new < high:
                    break
            step_before = abs(new - c)
            c = new
            value, slope, tilt = _deviation(a[k], x, eps, y[k], c, z[k])
        b[k] = rho * c
        theta[k] = -rho * tilt


@kernel
def _deviation(a, x, eps, y, c, z):
    """Set z to the prox of ``c g``, ``g = |x'z - y| + |z|_eps``; return g, g', tilt.

    ``z = soft(a - t x, c eps)``, where the tilt t in [-c, c] is the root of
    ``x'z = y``, or an end; x'z falls in t and is piecewise linear.
    """
    low, high = -c, c
    t = c
    excess, steepness = _residual(a, x, eps, y, t, c, z)
    inside = False
    if excess < 0.0 and c > 0.0:
        t = -c
        excess, steepness = _residual(a, x, eps, y, t, c, z)
        if excess > 0.0:
            inside = True
            for _ in range(200):
                new = t + excess / steepness if steepness > 0.0 else high
                if not low < new < high:
                    new = 0.5 * (low + high)
                    if not low < new < high:
                        break
                change = abs(new - t)
                t = new
                excess, steepness = _residual(a, x, eps, y, t, c, z)
                if excess > 0.0:
                    low = t
                else:
                    high = t
                if excess == 0.0 or change <= STEP * c:
                    break
    size, across, square, slope = 0.0, 0.0, 0.0, 0.0
    sign = 1.0 if t > 0.0 or (t == 0.0 and excess > 0.0) else -1.0
    for j in range(a.shape[0]):
        if z[j] != 0.0:
            edge = eps[j] if z[j] > 0.0 else -eps[j]
            size += edge * z[j]
            across += edge * x[j]
            square += edge * edge
            slope -= (sign * x[j] + edge) ** 2
    if inside:  # along x'z = y only the size changes
        slope = -square
        if steepness > 0.0:
            slope += across * across / steepness
        return size, min(slope, 0.0), t
    return abs(excess) + size, slope, t


@kernel
def _residual(a, x, eps, y, t, c, z):
    """Set ``z = soft(a - t x, c eps)``; return ``x'z - y`` and -d/dt of it."""
    total, steepness = -y, 0.0
    for j in range(a.shape[0]):
        center, width = a[j] - t * x[j], c * eps[j]
        if center > width:
            z[j] = center - width
        elif center < -width:
            z[j] = center + width
        else:
            z[j] = 0.0
            continue
        total += x[j] * z[j]
        steepness += x[j] * x[j]
    return total, steepness


@on_warmup
def compile_all():
    """Call every kernel that Python code calls once, as the solver does."""
    A, D, two = np.eye(2), np.ones((1, 2)), np.ones(2)
    points, lam, stack = -np.ones((1, 2)), np.zeros((1, 2)), np.zeros((1, 2, 2))
    owners, counts = np.zeros((1, 2), dtype=np.int64), np.zeros(1, dtype=np.int64)
    factor_normals(stack, owners, lam, counts, stack.copy())
    project_robust_cones(
        A, 0.1 * two, two, D, points, stack, owners, lam, counts, stack.copy(),
        np.full((1, 2), -np.inf), np.zeros((1, 2)), np.empty((1, 2)), -1.0, 1e-13, 9,
    )  # fmt: skip
    for prox in (prox_robust_hinge, prox_robust_logistic, prox_robust_squared):
        prox(A, A, 0.1 * two, two, 1.0, np.empty((2, 2)), two.copy(), two.copy())
