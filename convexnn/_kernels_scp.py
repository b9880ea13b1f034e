"""Numba kernels of the sampled convex program: pricing, and the Lasso of a working set.

Features are rows (N, n). A working set of k features has the Gram matrix ``G`` (k, k)
and the products ``q`` (k,) with the target; the Lasso on it is
``min_a a'G a / 2 - q'a + alpha |a|_1``.
"""

import numpy as np

from farkas.kernels import kernel, on_warmup

# A column of which this share of its square is left is taken as dependent.
DEPENDENT = 1e-11

# Epochs of coordinate descent between two Newton steps.
EPOCHS_PER_NEWTON = 4


@kernel(fastmath={"reassoc", "contract"})
def price(features, alive, theta, scores):
    """``scores[j] = f_j'theta`` for the listed features."""
    n = theta.shape[0]
    for index in range(alive.shape[0]):
        j = alive[index]
        dot = 0.0
        for k in range(n):
            dot += features[j, k] * theta[k]
        scores[j] = dot


@kernel(fastmath={"reassoc", "contract"})
def combine(features, coef, out):
    """``out = sum_j coef_j f_j`` over nonzero coefficients."""
    n = out.shape[0]
    out[:] = 0.0
    for j in range(coef.shape[0]):
        if coef[j] != 0.0:
            for k in range(n):
                out[k] += coef[j] * features[j, k]


@kernel(fastmath={"reassoc", "contract"})
def lasso(G, q, alpha, tol, max_epochs, nonnegative, a):
    """Solve the Lasso from ``a``, in place, to KKT violations of ``tol * alpha``.

    Coordinate descent finds the signs, and every few epochs a Newton step solves the
    equations that hold while they last. With ``nonnegative`` the coefficients are.
    Returns the number of epochs.
    """
    k = a.shape[0]
    g = np.empty(k)  # q - G a
    step = np.empty(k)
    support = np.empty(k, dtype=np.int64)
    L = np.empty((k, k))
    _gradient(G, q, a, g)
    for epoch in range(max_epochs):
        for j in range(k):
            curvature = G[j, j]
            if curvature <= 0.0:
                continue
            old = a[j]
            u = g[j] + curvature * old
            new = 0.0
            if u > alpha:
                new = (u - alpha) / curvature
            elif u < -alpha and not nonnegative:
                new = (u + alpha) / curvature
            if new != old:
                a[j] = new
                change = new - old
                for i in range(k):
                    g[i] -= change * G[j, i]
        if _violation(g, a, alpha, nonnegative) <= tol * alpha:
            _gradient(G, q, a, g)  # without what rounding has piled up
            if _violation(g, a, alpha, nonnegative) <= tol * alpha:
                return epoch + 1
        if (epoch + 1) % EPOCHS_PER_NEWTON == 0:
            _newton(G, q, alpha, a, g, L, support, step)
            if _violation(g, a, alpha, nonnegative) <= tol * alpha:
                return epoch + 1
    return max_epochs


@kernel(fastmath={"reassoc", "contract"})
def _newton(G, q, alpha, a, g, L, support, step):
    """Minimise over the current signs, dropping coefficients that reach zero.

    An active set: each step goes to the minimiser of the face, or to the first
    coefficient that would change its sign, which leaves (Osborne et al., 2000).
    """
    _gradient(G, q, a, g)
    count = _factor(G, alpha, a, g, L, support, step)
    _gradient(G, q, a, g)
    for _ in range(count):
        for b in range(count):
            j = support[b]
            value = g[j] - (alpha if a[j] > 0.0 else -alpha)
            for c in range(b):
                value -= L[b, c] * step[c]
            step[b] = value / L[b, b]
        for b in range(count - 1, -1, -1):
            value = step[b] / L[b, b]
            step[b] = value
            for c in range(b):
                step[c] -= L[b, c] * value
        length, leaving = 1.0, -1
        for b in range(count):
            j = support[b]
            if (a[j] + step[b]) * a[j] <= 0.0:
                ratio = -a[j] / step[b]
                if ratio <= length:
                    length, leaving = ratio, b
        for b in range(count):
            a[support[b]] += length * step[b]
        if leaving >= 0:
            a[support[leaving]] = 0.0
            _remove(L, support, leaving, count)
            count -= 1
        _gradient(G, q, a, g)
        if leaving < 0:
            break


@kernel(fastmath={"reassoc", "contract"})
def _factor(G, alpha, a, g, L, support, w):
    """Cholesky factor of the Gram matrix of the support, made independent.

    A column that depends on those before, ``f_j = sum_b w_b f_b``, leaves: along
    ``(1, -w)`` the fit stays, and downhill for the penalty some coefficient vanishes.
    """
    count = 0
    for j in range(a.shape[0]):
        while a[j] != 0.0:
            square = G[j, j]
            rest = square
            for b in range(count):
                dot = G[j, support[b]]
                for c in range(b):
                    dot -= L[count, c] * L[b, c]
                dot /= L[b, b]
                L[count, b] = dot
                rest -= dot * dot
            if rest > DEPENDENT * square:
                L[count, count] = np.sqrt(rest)
                support[count] = j
                count += 1
                break
            slope = (alpha if a[j] > 0.0 else -alpha) - g[j]
            for b in range(count):
                w[b] = L[count, b]
            for b in range(count - 1, -1, -1):
                w[b] /= L[b, b]
                for c in range(b):
                    w[c] -= L[b, c] * w[b]
                i = support[b]
                slope -= w[b] * ((alpha if a[i] > 0.0 else -alpha) - g[i])
            if slope == 0.0:
                slope = a[j]
            direction = -1.0 if slope > 0.0 else 1.0
            length, leaving = np.inf, -2
            if direction * a[j] < 0.0:
                length, leaving = abs(a[j]), -1
            for b in range(count):
                change = -direction * w[b]
                if change * a[support[b]] < 0.0:
                    ratio = abs(a[support[b]] / change)
                    if ratio < length:
                        length, leaving = ratio, b
            if leaving == -2:  # rounding: nothing can leave downhill
                break
            a[j] += direction * length
            for b in range(count):
                a[support[b]] -= direction * length * w[b]
            if leaving == -1:
                a[j] = 0.0
            else:
                a[support[leaving]] = 0.0
                _remove(L, support, leaving, count)
                count -= 1
    return count


@kernel(fastmath={"reassoc", "contract"})
def _remove(L, support, b, count):
    """Remove one column from the factor by Givens rotations."""
    for row in range(b, count - 1):
        support[row] = support[row + 1]
        for c in range(row + 2):
            L[row, c] = L[row + 1, c]
    for c in range(b, count - 1):
        x, z = L[c, c], L[c, c + 1]
        length = np.sqrt(x * x + z * z)
        cosine, sine = x / length, z / length
        for row in range(c, count - 1):
            x, z = L[row, c], L[row, c + 1]
            L[row, c] = cosine * x + sine * z
            L[row, c + 1] = cosine * z - sine * x


@kernel(fastmath={"reassoc", "contract"})
def _gradient(G, q, a, g):
    k = a.shape[0]
    for i in range(k):
        g[i] = q[i]
    for j in range(k):
        if a[j] != 0.0:
            for i in range(k):
                g[i] -= a[j] * G[j, i]


@kernel(fastmath={"reassoc", "contract"})
def _objective(q, g, a, alpha):
    """``a'G a / 2 - q'a + alpha |a|_1``, given ``g = q - G a``."""
    value = 0.0
    for j in range(a.shape[0]):
        value += alpha * abs(a[j]) - 0.5 * a[j] * (q[j] + g[j])
    return value


@kernel
def _violation(g, a, alpha, nonnegative):
    """Return the largest distance of ``g`` from the subdifferential."""
    worst = 0.0
    for j in range(a.shape[0]):
        if a[j] > 0.0:
            excess = abs(g[j] - alpha)
        elif a[j] < 0.0:
            excess = abs(g[j] + alpha)
        else:
            excess = (g[j] if nonnegative else abs(g[j])) - alpha
        worst = max(worst, excess)
    return worst


@on_warmup
def compile_scp():
    """Call every kernel that Python code calls once, as the solver does."""
    two = np.ones(2)
    price(np.eye(2), np.arange(2), two, two.copy())
    combine(np.eye(2), two, two.copy())
    lasso(np.eye(2), two, 0.5, 1e-10, 10, False, np.zeros(2))
