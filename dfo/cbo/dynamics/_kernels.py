"""One step of consensus-based optimization, fused, and its random numbers.

Arrays in, arrays out. The scalars of a run lie in three small arrays, whose entries
have names here: `P` real parameters, `Q` integer parameters, `S` real state and `K`
integer state. The objective is a first-class function of one row, so that a new
objective compiles alone and the kernels do not.

Random numbers: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), whose words are a hash
of a counter, and the method of Box and Muller (Ann. Math. Stat. 29 (1958)), half a word
for a number, in single precision: 24 bits, at most 6.5 deviations. Neither has branches
or tables, so that the compiler vectorises them: a normal number costs a quarter of what
a ziggurat's does. Row 0 of the generator drives the normal numbers of the step, row 1
the uniform numbers of the box, row 2 the noise that does not vanish; the first word of
a row is its counter.
"""

import math

import numpy as np
from numba import types

from farkas.kernels import kernel, on_warmup

# Real parameters.
DRIFT, NOISE_START, COOLING, COOLING_FLOOR, TRUNCATION, DELTA = range(6)
ESS, ALPHA_START, ALPHA_FACTOR, ALPHA_MAX, XTOL, FTOL, FTARGET = range(6, 13)
# Integer parameters.
ISOTROPIC, WEIGHTS, BOUNDARY, PATIENCE, EXACT, AFTER_DRIFT = range(6)
# Real state.
NOISE, BEST, REFERENCE, ALPHA, LOG_ALPHA, SIZE, RADIUS, VARIANCE = range(8)
# Integer state.
NIT, NFEV, STALL = range(3)

# Ways to weigh, and ways to stay in the box, in the order of their codes.
ADAPTIVE, GIBBS, RANK, BEST_ONLY = range(4)
FREE, CLIP, REFLECT, RESAMPLE = range(4)

# Reasons to end a run.
GO_ON, TARGET, COLLAPSED, STALLED, FLAT, BUDGET = range(6)

EXP_UNDERFLOW = 745.0  # exp(-745) is the last positive double
LOG_LOW, LOG_HIGH = -10.0, 60.0  # bracket of log(alpha * mean gap)
ESS_ACCURACY = 1e-3
ESS_ROUNDS = 60

PAIRS = 128  # pairs of normal numbers that are made at once
GAMMA = np.uint64(0x9E3779B97F4A7C15)  # the golden ratio: the counter's step
ROOT_HALF = np.int32(0x3F3504F3)  # the bits of sqrt(1/2) in single precision
ZERO, ONE, TWO, LOG_2 = np.float32([0.0, 1.0, 2.0, math.log(2.0)])
PER_WORD, ANGLE = np.float32([2.0**-31, math.pi * 2.0**-32])
# Taylor coefficients in the square of the argument, from the last to the first.
ARTANH = tuple(np.float32([1 / 9, 1 / 7, 1 / 5, 1 / 3, 1.0]))
SINE = tuple(
    np.float32([(-1) ** k / math.factorial(2 * k + 1) for k in range(5, -1, -1)])
)
COSINE = tuple(
    np.float32([(-1) ** k / math.factorial(2 * k) for k in range(6, -1, -1)])
)


@kernel
def hashed(z):
    """Return the output of SplitMix64 for a counter."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@kernel
def next_bits(s):
    """Advance a row of the generator and return 64 random bits."""
    s[0] += GAMMA
    return hashed(s[0])


@kernel
def uniform(s):
    """Return a double in [0, 1)."""
    return np.float64(next_bits(s) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@kernel(fastmath={"contract"})
def box_muller(counter, words, u_word, v_word, exponent, u, u_bits, a, b):
    """Set a and b to ``sqrt(-2 log u)`` times cosine and sine of ``2 pi v``.

    `u_word` and `v_word` are the halves of `words`, `u_bits` are the bits of `u`. The
    polynomials are as exact as single precision.
    """
    n = u.shape[0]
    for i in range(n):
        words[i] = hashed(np.uint64(i) * GAMMA + counter)
    for i in range(n):
        positive = (u_word[i] >> np.int32(1)) & np.int32(0x7FFFFFFF) | np.int32(1)
        u[i] = np.float32(np.int32(positive)) * PER_WORD
    for i in range(n):  # not in the loop above, where u and its bits would overlap
        # u = m 2^e with m between sqrt(1/2) and sqrt(2).
        e = np.int32(u_bits[i] - ROOT_HALF) >> np.int32(23)
        u_bits[i] -= np.int32(e << np.int32(23))
        exponent[i] = e
    for i in range(n):
        s = (u[i] - ONE) / (u[i] + ONE)
        q = s * s
        p = ARTANH[0]
        p = p * q + ARTANH[1]
        p = p * q + ARTANH[2]
        p = p * q + ARTANH[3]
        p = p * q + ARTANH[4]
        log_u = TWO * s * p + np.float32(exponent[i]) * LOG_2
        r = math.sqrt(max(-TWO * log_u, ZERO))
        t = np.float32(v_word[i]) * ANGLE  # half of the angle
        q = t * t
        p = SINE[0]
        p = p * q + SINE[1]
        p = p * q + SINE[2]
        p = p * q + SINE[3]
        p = p * q + SINE[4]
        sine = (p * q + SINE[5]) * t
        p = COSINE[0]
        p = p * q + COSINE[1]
        p = p * q + COSINE[2]
        p = p * q + COSINE[3]
        p = p * q + COSINE[4]
        p = p * q + COSINE[5]
        cosine = p * q + COSINE[6]
        a[i] = r * (ONE - TWO * sine * sine)
        b[i] = TWO * r * sine * cosine


@kernel
def fill_normal(s, out):
    """Fill an array (N, d) with standard normal numbers."""
    n, flat = out.size, out.reshape(out.size)
    space = np.empty(4 * PAIRS, np.uint64)
    words, singles = space[:PAIRS], space[PAIRS : 2 * PAIRS]
    half, u, exponent = (
        words.view(np.int32),
        singles.view(np.float32),
        singles.view(np.int32),
    )
    numbers = (
        words,
        half[:PAIRS],
        half[PAIRS:],
        exponent[PAIRS:],
        u[:PAIRS],
        exponent[:PAIRS],
    )
    for k in range(0, n - n % (2 * PAIRS), 2 * PAIRS):
        middle = k + PAIRS
        box_muller(s[0], *numbers, flat[k:middle], flat[middle : middle + PAIRS])
        s[0] += np.uint64(PAIRS) * GAMMA
    rest = n % (2 * PAIRS)
    if rest > 0:
        pairs = space[2 * PAIRS :].view(np.float64)
        box_muller(s[0], *numbers, pairs[:PAIRS], pairs[PAIRS:])
        s[0] += np.uint64(PAIRS) * GAMMA
        flat[n - rest :] = pairs[:rest]


@kernel
def fill_uniform(s, out):
    """Fill an array (N, d) with uniform numbers in [0, 1)."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = uniform(s)


@kernel
def evaluate_rows(fun, X, f):
    """Evaluate an objective of one row on all rows; the rows stay as they are."""
    row = np.empty(X.shape[1])
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            row[j] = X[i, j]
        f[i] = fun(row)


@kernel
def gibbs(f, low, alpha, w):
    """Set ``w_i = exp(-alpha (f_i - low))`` and return their sum."""
    total = 0.0
    for i in range(f.shape[0]):
        gap = f[i] - low
        if not (f[i] < np.inf):
            w[i] = 0.0
        elif gap <= 0.0:
            w[i] = 1.0
        elif alpha * gap > EXP_UNDERFLOW:
            w[i] = 0.0
        else:
            w[i] = math.exp(-alpha * gap)
        total += w[i]
    return total


@kernel
def adaptive(f, low, wanted, start, gaps, w):
    """Weigh so that the effective sample size is `wanted`; a safeguarded Newton search.

    Returns the logarithm of alpha times the mean gap, the mean gap and the sum of w.
    """
    n, count, mean = f.shape[0], 0, 0.0
    for i in range(n):
        gap = f[i] - low
        gaps[i] = gap
        if math.isfinite(gap):
            count += 1
    for i in range(n):
        if math.isfinite(gaps[i]):
            mean += gaps[i] / count
    if not mean > 0.0:
        return -np.inf, 0.0, gibbs(f, low, 0.0, w)
    for i in range(n):
        gaps[i] /= mean
    a, b, m, total = LOG_LOW, LOG_HIGH, start, 0.0
    for _ in range(ESS_ROUNDS):
        e = math.exp(m)
        total, square, slope1, slope2 = 0.0, 0.0, 0.0, 0.0
        for i in range(n):
            exponent = e * gaps[i]
            if exponent <= EXP_UNDERFLOW:
                v = math.exp(-exponent)
                w[i] = v
                total += v
                square += v * v
                slope1 += v * exponent
                slope2 += 2.0 * v * v * exponent
            else:  # also NaN and infinite gaps
                w[i] = 0.0
        size = total * total / square
        if abs(size - wanted) < ESS_ACCURACY:
            break
        if size > wanted:
            a = m
        else:
            b = m
        if b - a < 1e-12:
            break
        slope = -2.0 * slope1 / total + slope2 / square
        m = m - math.log(size / wanted) / slope if slope < 0.0 else a
        if not (a < m < b):
            m = 0.5 * (a + b)
    return m, mean, total


@kernel
def by_rank(f, wanted, w):
    """Set ``w`` to the positive part of ``log(wanted + 1/2) - log(rank)``."""
    n, total = f.shape[0], 0.0
    key = np.empty(n)
    for i in range(n):
        key[i] = f[i] if f[i] < np.inf else np.inf
        w[i] = 0.0
    order = np.argsort(key, kind="mergesort")
    for rank in range(n):
        i = order[rank]
        weight = math.log(wanted + 0.5) - math.log(rank + 1.0)
        if weight <= 0.0 or key[i] == np.inf:
            break
        w[i] = weight
        total += weight
    return total


@kernel
def weigh(f, gaps, w, P, Q, S, K):
    """Set the weights of the particles, summing to one; return whether any counts."""
    n, low = f.shape[0], np.inf
    for i in range(n):
        if f[i] < low:
            low = f[i]
    if low == np.inf:
        for i in range(n):
            w[i] = 0.0
        S[SIZE] = 0.0
        return False
    if low == -np.inf:
        total = 0.0
        for i in range(n):
            w[i] = 1.0 if f[i] == -np.inf else 0.0
            total += w[i]
    elif Q[WEIGHTS] == ADAPTIVE:
        m, mean, total = adaptive(f, low, P[ESS], S[LOG_ALPHA], gaps, w)
        if mean > 0.0:
            S[LOG_ALPHA] = m
            S[ALPHA] = math.exp(m) / mean
        else:
            S[ALPHA] = 0.0
    elif Q[WEIGHTS] == RANK:
        total = by_rank(f, P[ESS], w)
    else:
        alpha = np.inf
        if Q[WEIGHTS] == GIBBS:
            grown = math.log(P[ALPHA_FACTOR]) * (K[NIT] - 1.0)
            alpha = P[ALPHA_MAX]
            if math.log(P[ALPHA_START]) + grown < math.log(P[ALPHA_MAX]):
                alpha = P[ALPHA_START] * math.exp(grown)
        S[ALPHA] = alpha
        total = gibbs(f, low, alpha, w)
    square = 0.0
    for i in range(n):
        w[i] /= total
        square += w[i] * w[i]
    S[SIZE] = 1.0 / square
    return True


@kernel
def consensus(X, w, usable, c):
    """Set c to the weighted mean, or to the plain mean if no weight is usable."""
    n, d = X.shape
    for j in range(d):
        c[j] = 0.0
    for i in range(n):
        weight = w[i] if usable else 1.0 / n
        if weight > 0.0:
            for j in range(d):
                c[j] += weight * X[i, j]


@kernel
def spread(X, c, reach, square):
    """Set the largest and add the sum of the squared offsets of each coordinate.

    Four rows at a time, which the compiler vectorises over the coordinates.
    """
    n, d = X.shape
    for i in range(0, n - 3, 4):
        for j in range(d):
            c_j = c[j]
            a = (X[i, j] - c_j) * (X[i, j] - c_j)
            b = (X[i + 1, j] - c_j) * (X[i + 1, j] - c_j)
            e = (X[i + 2, j] - c_j) * (X[i + 2, j] - c_j)
            f = (X[i + 3, j] - c_j) * (X[i + 3, j] - c_j)
            square[j] += (a + b) + (e + f)
            a, e = a if a > b else b, e if e > f else f
            a = a if a > e else e
            reach[j] = a if a > reach[j] else reach[j]
    for i in range(n - n % 4, n):
        for j in range(d):
            a = (X[i, j] - c[j]) * (X[i, j] - c[j])
            square[j] += a
            reach[j] = a if a > reach[j] else reach[j]


@kernel
def judge(f, trace, P, Q, S, K):
    """Note the variance, and return why the run should end, if so."""
    low, high, finite = np.inf, -np.inf, 0
    for i in range(f.shape[0]):
        if math.isfinite(f[i]):
            finite += 1
            low = min(low, f[i])
            high = max(high, f[i])
    trace[(K[NIT] - 1) % trace.shape[0]] = S[VARIANCE]
    reference = S[REFERENCE]
    better = S[BEST] < reference - P[FTOL] * abs(reference) or reference == np.inf
    if better and S[BEST] < np.inf:
        S[REFERENCE] = S[BEST]
        K[STALL] = 0
    else:
        K[STALL] += 1
    if S[BEST] <= P[FTARGET]:
        return TARGET
    if S[RADIUS] <= P[XTOL]:
        return COLLAPSED
    if finite == f.shape[0] and low == high:
        return FLAT
    return STALLED if K[STALL] >= Q[PATIENCE] else GO_ON


@kernel
def tell(X, f, gaps, w, c, best_x, scale, trace, P, Q, S, K):
    """Take in the values of the particles; return why the run should end, if so."""
    n, d = X.shape
    K[NIT] += 1
    for i in range(n):
        if f[i] < S[BEST]:
            S[BEST] = f[i]
            for j in range(d):
                best_x[j] = X[i, j]
    usable = weigh(f, gaps, w, P, Q, S, K)
    consensus(X, w, usable, c)
    reach, square = np.zeros(d), np.zeros(d)
    spread(X, c, reach, square)
    radius = 0.0
    for j in range(d):
        radius = max(radius, math.sqrt(reach[j]) / scale[j])
    S[RADIUS] = radius
    S[VARIANCE] = np.sum(square) / (2.0 * n)
    return judge(f, trace, P, Q, S, K)


@kernel
def inside(x, lo, hi, boundary, s):
    """Return a coordinate that has left its interval, after the treatment of it."""
    if boundary == REFLECT or boundary == RESAMPLE:
        share = uniform(s) if boundary == RESAMPLE else 1.0
        if x > hi:
            x = hi - min(hi - lo, x - hi) * share
        elif x < lo:
            x = lo + min(hi - lo, lo - x) * share
    return min(max(x, lo), hi)


@kernel
def keep_inside(X, lower, upper, boundary, s):
    """Treat all particles as a move would; numbers are drawn only where needed."""
    if boundary == FREE:
        return
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            if not (lower[j] <= X[i, j] <= upper[j]):
                X[i, j] = inside(X[i, j], lower[j], upper[j], boundary, s)


@kernel(fastmath={"contract"})
def move_plainly(X, Z, c, lower, upper, rng, drift, noise, boundary):
    """Move with anisotropic noise and nothing else: the step of the default."""
    n, d = X.shape
    for i in range(n):
        left = 0
        for j in range(d):
            old, xi = X[i, j], Z[i, j]
            offset = old - c[j]
            x = old - drift * offset + noise * abs(offset) * xi
            left += np.int64(not (x >= lower[j] and x <= upper[j]))
            Z[i, j] = old
            X[i, j] = x
        if left > 0 and boundary != FREE:
            for j in range(d):
                x = X[i, j]
                if not (lower[j] <= x <= upper[j]):
                    X[i, j] = inside(x, lower[j], upper[j], boundary, rng[1])


@kernel
def move(X, Z, c, lower, upper, rng, P, Q, S):
    """Draw every particle towards c, add noise, and keep it in the box.

    `Z` keeps the old positions, those that the values belong to.
    """
    n, d = X.shape
    drift, noise = P[DRIFT], S[NOISE]
    truncation, delta, boundary = P[TRUNCATION], P[DELTA], Q[BOUNDARY]
    fill_normal(rng[0], Z)
    S[NOISE] = max(P[COOLING] * noise, P[COOLING_FLOOR] * P[NOISE_START])
    simple = Q[ISOTROPIC] == 0 and Q[EXACT] == 0 and Q[AFTER_DRIFT] == 0
    if simple and truncation == np.inf and delta == 0.0:
        move_plainly(X, Z, c, lower, upper, rng, drift, noise, boundary)
        return
    more = np.empty((n if delta > 0.0 else 0, d))
    fill_normal(rng[2], more)
    rate = -(drift + 0.5 * noise * noise)
    for i in range(n):
        length = 0.0
        if Q[ISOTROPIC]:
            for j in range(d):
                offset = X[i, j] - c[j]
                length += offset * offset
            length = math.sqrt(length)
        for j in range(d):
            offset, xi = X[i, j] - c[j], Z[i, j]
            Z[i, j] = X[i, j]
            size = length if Q[ISOTROPIC] else abs(offset)
            if Q[AFTER_DRIFT]:
                size *= abs(1.0 - drift)
            if Q[EXACT]:
                x = c[j] + offset * math.exp(rate + noise * xi)
            else:
                x = X[i, j] - drift * offset + noise * min(size, truncation) * xi
            if delta > 0.0:
                x += delta * more[i, j]
            if boundary != FREE and not (lower[j] <= x <= upper[j]):
                x = inside(x, lower[j], upper[j], boundary, rng[1])
            X[i, j] = x


@kernel
def step(X, Z, f, gaps, w, c, best_x, lower, upper, scale, trace, rng, P, Q, S, K):
    """Take in the values of the particles and move them; return why to end, if so."""
    reason = tell(X, f, gaps, w, c, best_x, scale, trace, P, Q, S, K)
    move(X, Z, c, lower, upper, rng, P, Q, S)
    return reason


@kernel
def advance(fun, run, steps, budget):
    """Take up to `steps` steps; `fun` is a first-class function of one row.

    `run` holds the arguments of :func:`step`.
    """
    X, f, K = run[0], run[2], run[15]
    for _ in range(steps):
        if K[NFEV] + X.shape[0] > budget:
            return BUDGET
        evaluate_rows(fun, X, f)
        K[NFEV] += X.shape[0]
        reason = step(*run)
        if reason != GO_ON:
            return reason
    return GO_ON


_ROW = types.float64[::1]
_ROWS = types.float64[:, ::1]
_INTEGERS = types.int64[::1]
_WORDS = types.uint64[:, ::1]
_OBJECTIVE = types.FunctionType(types.float64(_ROW))
_RUN = (_ROWS, _ROWS, *[_ROW] * 9, _WORDS, _ROW, _INTEGERS, _ROW, _INTEGERS)


def compile_for_objectives() -> None:
    """Compile the two kernels that call an objective, for every objective at once.

    Without the explicit signature they would be compiled for each objective anew.
    """
    for dispatcher, signature in (
        (evaluate_rows, (_OBJECTIVE, _ROWS, _ROW)),
        (advance, (_OBJECTIVE, types.Tuple(_RUN), types.int64, types.int64)),
    ):
        if hasattr(dispatcher, "compile") and not dispatcher.signatures:
            dispatcher.compile(signature)
            dispatcher.disable_compile()


@on_warmup
def _warmup() -> None:
    compile_for_objectives()
    N, d = 3, 2
    rng = np.ones((3, 4), dtype=np.uint64)
    out = np.zeros((N, d))
    fill_normal(rng[0], out)
    fill_uniform(rng[1], out)
    P, S = np.ones(13), np.zeros(8)
    S[BEST] = S[REFERENCE] = np.inf
    Q, K = np.zeros(6, dtype=np.int64), np.zeros(3, dtype=np.int64)
    rows, coordinates = [np.zeros(N) for _ in range(3)], [np.zeros(d) for _ in range(4)]
    step(out, out.copy(), *rows, *coordinates, np.ones(d), np.ones(1), rng, P, Q, S, K)
