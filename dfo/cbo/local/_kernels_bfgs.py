"""BFGS in a box with gradients by differences, by reverse communication, fused.

`ask` writes the points whose values are needed next, `tell` takes the values and
decides what follows; `advance` does both for an objective that Numba has compiled.
Gradients are forward differences while these make progress, and central ones with
shrinking steps after that, for the precision of ill-conditioned functions. Update and
line search: Nocedal and Wright, Numerical Optimization, 2nd ed., eqs. 6.17 and 3.6;
variables at a bound that the gradient presses against are held there, as by Bertsekas,
SIAM J. Control Optim. 20 (1982).

The scalars lie in two small arrays, whose entries have names here: `S` real state and
`K` integer state.
"""

import math

import numpy as np
from numba import types

from farkas.kernels import kernel, on_warmup

# Real state: value, step and value of the trial, width of central differences (0 while
# they are forward), best value so far, target.
F, T, TRIAL, WIDTH, BEST, FTARGET = range(6)
# Integer state: what is asked for, tries of a line search, whether H is a multiple of
# the unit matrix, whether a last step is known, resets since the last progress.
PHASE, TRIES, FRESH, KNOWN, RESETS, NFEV = range(6)
START, DIFFERENCES, BACKTRACK, EXPAND = range(4)

GO_ON, DONE, BUDGET, TARGET = range(4)

FORWARD = 1.4901161193847656e-08  # square root of the machine precision
CENTRAL = 6e-6  # its cube root: the least width of central differences
FIRST_WIDTH, SHRINK = 1e-4, 1e-2  # of central differences, in units of the box
FIRST_STEP, LARGEST_STEP = 0.01, 0.5  # in units of the box
ARMIJO, NEARLY_LINEAR = 1e-4, 0.9
LARGEST_TRIES, LARGEST_RESETS = 25, 2
GAIN = 1e-15  # relative to |f| and absolute: what is no progress
WORST = 1e300  # what a missing value counts as


@kernel
def ask(x, p, S, K, lower, upper, scale, points):
    """Write the next points to the rows of `points` (2d, d); return their number."""
    d = x.shape[0]
    if K[PHASE] == DIFFERENCES:
        central = S[WIDTH] > 0.0
        m = 2 * d if central else d
        for i in range(m):
            j = i % d
            for n in range(d):
                points[i, n] = x[n]
            unit = max(1.0, abs(x[j]))
            h = max(CENTRAL * unit, S[WIDTH] * scale[j]) if central else FORWARD * unit
            if i >= d or (not central and x[j] + h > upper[j]):
                h = -h
            points[i, j] = min(max(x[j] + h, lower[j]), upper[j])
        return m
    t = 0.0 if K[PHASE] == START else S[T]
    for j in range(d):
        points[0, j] = min(max(x[j] + t * p[j], lower[j]), upper[j])
    return 1


@kernel
def gradient(x, points, values, S, g):
    """Set g to the gradient by differences; return whether it is finite."""
    d, f, finite = x.shape[0], S[F], True
    for j in range(d):
        h = points[j, j] - x[j]
        slope = (values[j] - f) / h if h != 0.0 else 0.0
        if S[WIDTH] > 0.0:
            k = points[d + j, j] - x[j]
            back = (values[d + j] - f) / k if k != 0.0 else slope
            # Weights that are exact for parabolas, also for unequal steps.
            slope = (slope * k - back * h) / (k - h) if h != 0.0 else back
        g[j] = slope
        finite = finite and abs(slope) < np.inf
    return finite


@kernel
def forget(g, H, scale, S, K):
    """Make H a multiple of the unit matrix: the first step is short."""
    d, norm, least = g.shape[0], 0.0, np.inf
    for j in range(d):
        norm += g[j] * g[j]
        least = min(least, scale[j])
    for i in range(d):
        for j in range(d):
            H[i, j] = 0.0
        H[i, i] = FIRST_STEP * least / max(math.sqrt(norm), 1e-300)
    K[FRESH], K[KNOWN] = 1, 0


@kernel
def update(x, g, x_old, g_old, H):
    """BFGS update of the inverse H; return whether the step was curved enough."""
    d = x.shape[0]
    s, y, Hy = x - x_old, g - g_old, np.zeros(d)
    sy, ss, yy, yHy = 0.0, 0.0, 0.0, 0.0
    for j in range(d):
        sy += s[j] * y[j]
        ss += s[j] * s[j]
        yy += y[j] * y[j]
    if not sy > 1e-10 * math.sqrt(ss * yy):
        return False
    for i in range(d):
        for j in range(d):
            Hy[i] += H[i, j] * y[j]
        yHy += y[i] * Hy[i]
    a, b = (1.0 + yHy / sy) / sy, 1.0 / sy
    for i in range(d):
        for j in range(d):
            H[i, j] += a * s[i] * s[j] - b * (Hy[i] * s[j] + s[i] * Hy[j])
    return True


@kernel
def scale_first(x, g, x_old, g_old, H):
    """Scale a fresh H by the curvature of the first step (Nocedal and Wright 6.20)."""
    d, sy, yy = x.shape[0], 0.0, 0.0
    for j in range(d):
        y = g[j] - g_old[j]
        sy += (x[j] - x_old[j]) * y
        yy += y * y
    if sy > 0.0 and sy / yy < np.inf:
        for j in range(d):
            H[j, j] = sy / yy


@kernel
def direct(x, g, H, p, lower, upper):
    """Set p to the quasi-Newton direction of the free variables; return its slope."""
    d, slope = x.shape[0], 0.0
    free = np.empty(d)
    for j in range(d):
        held = (x[j] <= lower[j] and g[j] > 0.0) or (x[j] >= upper[j] and g[j] < 0.0)
        free[j] = 0.0 if held else 1.0
    for i in range(d):
        p[i] = 0.0
        for j in range(d):
            p[i] -= free[i] * H[i, j] * free[j] * g[j]
        slope += p[i] * g[i]
    return slope


@kernel
def set_out(x, g, H, p, lower, upper, scale, S, K):
    """Choose a direction from a new gradient; return whether there is one."""
    if not direct(x, g, H, p, lower, upper) < 0.0:
        forget(g, H, scale, S, K)
        if not direct(x, g, H, p, lower, upper) < 0.0:
            return False
    longest = 0.0
    for j in range(x.shape[0]):
        longest = max(longest, abs(p[j]) / scale[j])
    S[T] = min(1.0, LARGEST_STEP / longest)
    K[PHASE], K[TRIES] = BACKTRACK, 0
    return True


@kernel
def retry(g, H, scale, S, K):
    """After a failed line search: better differences, a fresh H, or the end."""
    if S[WIDTH] == 0.0:
        S[WIDTH] = FIRST_WIDTH
    else:
        K[RESETS] += 1
        if K[RESETS] > LARGEST_RESETS:
            return DONE
        S[WIDTH] *= SHRINK
    forget(g, H, scale, S, K)
    K[PHASE] = DIFFERENCES
    return GO_ON


@kernel
def accept(x, z, g, x_old, g_old, S, K):
    """Move to the trial; return whether that was progress."""
    gain = S[F] - S[TRIAL]
    for j in range(x.shape[0]):
        x_old[j], g_old[j] = x[j], g[j]
        x[j] = z[j]
    S[F] = S[TRIAL]
    K[KNOWN], K[PHASE] = 1, DIFFERENCES
    if gain > GAIN * max(1.0, abs(S[F])):
        K[RESETS] = 0
        return True
    return False


@kernel
def tell(x, z, g, x_old, g_old, p, H, lower, upper, scale, points, values, m, S, K):
    """Take the values of the `m` points asked for; return whether to go on."""
    for i in range(m):
        if not values[i] < WORST:
            values[i] = WORST
    if K[PHASE] == START:
        S[F], K[PHASE] = values[0], DIFFERENCES
        return GO_ON if values[0] < WORST else DONE
    if K[PHASE] == DIFFERENCES:
        if not gradient(x, points, values, S, g):
            return DONE
        if K[KNOWN] == 1:
            if K[FRESH] == 1:
                scale_first(x, g, x_old, g_old, H)
            if update(x, g, x_old, g_old, H):
                K[FRESH] = 0
        else:
            forget(g, H, scale, S, K)
        return GO_ON if set_out(x, g, H, p, lower, upper, scale, S, K) else DONE
    linear, moved = 0.0, False
    for j in range(x.shape[0]):
        linear += g[j] * (points[0, j] - x[j])
        moved = moved or points[0, j] != x[j]
    if K[PHASE] == EXPAND:
        if not values[0] < S[TRIAL]:
            going = accept(x, z, g, x_old, g_old, S, K)
            return GO_ON if going else retry(g, H, scale, S, K)
    elif not (values[0] <= S[F] + ARMIJO * linear and values[0] < S[F]):
        K[TRIES] += 1
        if not moved or K[TRIES] > LARGEST_TRIES:
            return retry(g, H, scale, S, K)
        bend = 2.0 * (values[0] - S[F] - linear)  # vertex of the parabola
        share = -linear / bend if bend > 0.0 else 0.5
        S[T] *= min(max(share, 0.1), 0.5)
        return GO_ON
    S[TRIAL] = values[0]
    for j in range(x.shape[0]):
        z[j] = points[0, j]
    if K[TRIES] == 0 and moved and values[0] <= S[F] + NEARLY_LINEAR * linear:
        S[T] *= 4.0 if K[FRESH] == 1 else 2.0
        K[PHASE] = EXPAND
        return GO_ON
    going = accept(x, z, g, x_old, g_old, S, K)
    return GO_ON if going else retry(g, H, scale, S, K)


@kernel
def advance(
    fun,
    x,
    z,
    g,
    x_old,
    g_old,
    p,
    H,
    lower,
    upper,
    scale,
    points,
    values,
    best_x,
    S,
    K,
    budget,
):
    """Go on until an end; `fun` is a first-class function of one row."""
    d = x.shape[0]
    row = np.empty(d)
    while True:
        m = ask(x, p, S, K, lower, upper, scale, points)
        if K[NFEV] + m > budget:
            return BUDGET
        for i in range(m):
            for j in range(d):
                row[j] = points[i, j]
            values[i] = fun(row)
            if values[i] < S[BEST]:
                S[BEST] = values[i]
                for j in range(d):
                    best_x[j] = points[i, j]
        K[NFEV] += m
        if S[BEST] <= S[FTARGET]:
            return TARGET
        reason = tell(
            x, z, g, x_old, g_old, p, H, lower, upper, scale, points, values, m, S, K
        )
        if reason != GO_ON:
            return reason


_ROW = types.float64[::1]
_ROWS = types.float64[:, ::1]
_OBJECTIVE = types.FunctionType(types.float64(_ROW))


def compile_for_objectives() -> None:
    """Compile :func:`advance` for every objective at once."""
    if hasattr(advance, "compile") and not advance.signatures:
        arrays = ((_ROW,) * 6, (_ROWS,), (_ROW,) * 3, (_ROWS,), (_ROW,) * 3)
        flat = [kind for group in arrays for kind in group]
        advance.compile((_OBJECTIVE, *flat, types.int64[::1], types.int64))
        advance.disable_compile()


@on_warmup
def _warmup() -> None:
    compile_for_objectives()
    rows, one = [np.zeros(2) for _ in range(6)], np.ones(2)
    S, K = np.zeros(6), np.zeros(6, dtype=np.int64)
    points = np.zeros((4, 2))
    m = ask(rows[0], rows[5], S, K, -one, one, one, points)
    tell(*rows, np.eye(2), -one, one, one, points, np.zeros(4), m, S, K)
