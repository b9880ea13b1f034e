"""Generations of an evolution strategy that adapts a covariance matrix, fused.

Rank-one and rank-mu updates with cumulative step size adaptation (Hansen and
Ostermeier, Evol. Comput. 9 (2001); Hansen, arXiv:1604.00772). The covariance
``C = A A^T`` is factorised by Cholesky, and steps are whitened by ``A^-1`` (Krause,
Arbones and Igel, NeurIPS 2016), which spares an eigendecomposition. The normal numbers
are an argument: arrays in, arrays out.

The scalars of a run lie in three small arrays, whose entries have names here: `P`
parameters, `S` real state and `K` integer state.
"""

import math

import numpy as np
from numba import types

from farkas.kernels import kernel, on_warmup

# Parameters of the strategy, in the notation of arXiv:1604.00772.
C_SIGMA, D_SIGMA, C_C, C_1, C_MU, MU_EFF, CHI, FTARGET = range(8)
# Real and integer state.
SIGMA, BEST, REFERENCE, SPREAD, DECAY = range(5)
NIT, NFEV, STALL, PATIENCE = range(4)

# Reasons to end, with the codes of a consensus-based run.
GO_ON, TARGET, COLLAPSED, STALLED, FLAT, BUDGET = range(6)

XTOL = 1e-12  # largest standard deviation, in units of the box
FTOL = 1e-12  # relative to max(1, |f|): what counts as a difference of values
LARGEST_CONDITION = 1e7  # of the factor, so 1e14 of the covariance


@kernel
def reflected(x, lo, hi):
    """Return a coordinate mirrored at the side of its interval that it has crossed."""
    if x < lo:
        x = lo + (lo - x)
    elif x > hi:
        x = hi - (x - hi)
    return min(max(x, lo), hi)


@kernel(fastmath={"reassoc", "contract"})
def sample(mean, A, sigma, scale, Z, lower, upper, X):
    """Set the rows of X to ``mean + sigma scale A z``, kept in the box."""
    n, d = X.shape
    for i in range(n):
        for j in range(d):
            y = 0.0
            for m in range(j + 1):
                y += A[j, m] * Z[i, m]
            x = mean[j] + sigma * scale[j] * y
            X[i, j] = reflected(x, lower[j], upper[j])


@kernel
def factorise(C, A):
    """Set A to the lower Cholesky factor; return the ratio of its pivots, or inf."""
    d, low, high = C.shape[0], np.inf, 0.0
    for j in range(d):
        for i in range(j, d):
            total = C[i, j]
            for m in range(j):
                total -= A[i, m] * A[j, m]
            if i == j:
                if not total > 0.0:
                    return np.inf
                A[j, j] = math.sqrt(total)
                low, high = min(low, A[j, j]), max(high, A[j, j])
            else:
                A[i, j] = total / A[j, j]
    return high / low


@kernel
def adapt(X, f, mean, C, A, path, walk, weights, scale, lower, upper, best_x, P, S, K):
    """Take in the values of a generation; return why the run should end, if so."""
    n, d = X.shape
    K[NIT] += 1
    key = np.empty(n)
    for i in range(n):
        key[i] = f[i] if f[i] < np.inf else np.inf
    order = np.argsort(key, kind="mergesort")
    best = order[0]
    if key[best] < S[BEST]:
        S[BEST] = key[best]
        for j in range(d):
            best_x[j] = X[best, j]

    # Recombination: the new mean, and the mean step whitened.
    mu, sigma = weights.shape[0], S[SIGMA]
    Y, step, white = np.empty((mu, d)), np.zeros(d), np.empty(d)
    for r in range(mu):
        for j in range(d):
            Y[r, j] = (X[order[r], j] - mean[j]) / (sigma * scale[j])
            step[j] += weights[r] * Y[r, j]
    for j in range(d):
        total = step[j]
        for m in range(j):
            total -= A[j, m] * white[m]
        white[j] = total / A[j, j]
        mean[j] = min(max(mean[j] + sigma * scale[j] * step[j], lower[j]), upper[j])

    # Step size: the length of the whitened path against that of a random one.
    keep, length = 1.0 - P[C_SIGMA], 0.0
    grow = math.sqrt(P[C_SIGMA] * (2.0 - P[C_SIGMA]) * P[MU_EFF])
    for j in range(d):
        walk[j] = keep * walk[j] + grow * white[j]
        length += walk[j] * walk[j]
    length = math.sqrt(length) / P[CHI]
    S[DECAY] *= keep * keep
    usual = length < math.sqrt(1.0 - S[DECAY]) * (1.4 + 2.0 / (d + 1.0))
    S[SIGMA] = sigma * math.exp(min(1.0, P[C_SIGMA] / P[D_SIGMA] * (length - 1.0)))

    # Covariance: one direction from the path, mu from the best particles.
    grow = math.sqrt(P[C_C] * (2.0 - P[C_C]) * P[MU_EFF]) if usual else 0.0
    keep = 1.0 - P[C_1] - P[C_MU]
    if not usual:
        keep += P[C_1] * P[C_C] * (2.0 - P[C_C])
    for j in range(d):
        path[j] = (1.0 - P[C_C]) * path[j] + grow * step[j]
    spread = 0.0
    for i in range(d):
        for j in range(i + 1):
            total = 0.0
            for r in range(mu):
                total += weights[r] * Y[r, i] * Y[r, j]
            C[i, j] = keep * C[i, j] + P[C_1] * path[i] * path[j] + P[C_MU] * total
        spread = max(spread, C[i, i])
    condition = factorise(C, A)
    S[SPREAD] = S[SIGMA] * math.sqrt(spread)

    unit = max(1.0, abs(S[BEST]))
    first = S[REFERENCE] == np.inf and S[BEST] < np.inf
    if first or S[BEST] < S[REFERENCE] - FTOL * unit:
        S[REFERENCE], K[STALL] = S[BEST], 0
    else:
        K[STALL] += 1
    if S[BEST] <= P[FTARGET]:
        return TARGET
    if S[SPREAD] < XTOL or not condition < LARGEST_CONDITION:
        return COLLAPSED
    if key[order[n - 1]] - key[best] <= FTOL * unit:
        return FLAT
    if K[STALL] >= K[PATIENCE]:
        return STALLED
    return GO_ON


@kernel
def advance(
    fun,
    X,
    f,
    Z,
    mean,
    C,
    A,
    path,
    walk,
    weights,
    scale,
    lower,
    upper,
    best_x,
    P,
    S,
    K,
    budget,
):
    """Take generations while Z has rows; `fun` is a first-class function of a row."""
    n, d = X.shape
    row = np.empty(d)
    for start in range(0, Z.shape[0], n):
        if K[NFEV] + n > budget:
            return BUDGET
        sample(mean, A, S[SIGMA], scale, Z[start : start + n], lower, upper, X)
        for i in range(n):
            for j in range(d):
                row[j] = X[i, j]
            f[i] = fun(row)
        K[NFEV] += n
        reason = adapt(
            X, f, mean, C, A, path, walk, weights, scale, lower, upper, best_x, P, S, K
        )
        if reason != GO_ON:
            return reason
    return GO_ON


_ROW = types.float64[::1]
_ROWS = types.float64[:, ::1]
_OBJECTIVE = types.FunctionType(types.float64(_ROW))


def compile_for_objectives() -> None:
    """Compile :func:`advance` for every objective at once."""
    if hasattr(advance, "compile") and not advance.signatures:
        matrices, rows = (_ROWS, _ROW, _ROWS, _ROW, _ROWS, _ROWS), (_ROW,) * 9
        integers = types.int64[::1]
        advance.compile((_OBJECTIVE, *matrices, *rows, integers, types.int64))
        advance.disable_compile()


@on_warmup
def _warmup() -> None:
    compile_for_objectives()
    X, f, C = np.ones((4, 2)), np.arange(4.0), np.eye(2)
    rows = [np.zeros(2) for _ in range(4)]
    P, S, K = np.full(8, 0.5), np.ones(5), np.zeros(4, dtype=np.int64)
    ones = np.ones(2)
    sample(ones, C, 1.0, ones, X, -ones, ones, X.copy())
    adapt(X, f, *rows[:1], C, C.copy(), *rows[1:3], ones, ones, -ones, ones, *rows[3:],
          P, S, K)  # fmt: skip
