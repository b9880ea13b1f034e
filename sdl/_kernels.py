"""Coordinate descent on codes and atoms, and Newton's method on the head.

Arrays hold one row per atom, so that loops over samples or features run over
neighbours: ``H`` (r, n), ``W`` (r, p), features of the head (m, n).
"""

import math

import numpy as np

from farkas.kernels import kernel, on_warmup

# Samples whose codes are swept at a time: the rows of a chunk stay in the first cache.
CHUNK = 128
# Halvings of a Newton step.
HALVINGS = 25
# A squared Newton decrement below this share of the value is rounding.
DECREMENT = 1e-22
# Below this share the value does not show it.
DROWNED = 1e-12
# Pivots of the head's Hessian below this share of its trace carry no information.
PIVOT = 1e-14


@kernel(fastmath={"reassoc", "contract"})
def hals_sweeps(H, L, T, a, C, b, l1, l2, nonnegative, sweeps):
    """Sweep over the rows of H (r, n) in place; return the largest change.

    For each column h of H, one coordinate after the other is set to its minimiser of

        (1/2) h'(a T + b C) h - l'h + l1 |h|_1 + (l2/2) |h|^2,  optionally with h >= 0

    (hierarchical alternating least squares; Cichocki and Phan, 2009, for C = 0).

    Parameters
    ----------
    H : ndarray of shape (r, n)
        Codes, overwritten.
    L : ndarray of shape (r, n)
        Linear terms.
    T, C : ndarray of shape (r, r)
        Symmetric matrices.
    a, b : ndarray of shape (n,)
        Their factors for each column; an empty b leaves C out.
    l1, l2 : float
        Penalties.
    nonnegative : bool
        Whether codes are clipped at zero.
    sweeps : int
        Number of sweeps.

    Returns
    -------
    float
        Largest change of an entry in the last sweep.
    """
    r, n = H.shape
    two = b.shape[0] > 0
    slope, other, inverse = np.empty(CHUNK), np.empty(CHUNK), np.empty((r, CHUNK))
    peak = np.zeros(CHUNK)  # of each place in a chunk: maxima side by side
    for low in range(0, n, CHUNK):
        m = min(CHUNK, n - low)
        # Slices of rows: sums in an index would be checked for negative ones.
        one = a[low : low + m]
        more = b[low : low + m] if two else b
        for j in range(r):
            inv = inverse[j]
            for i in range(m):
                inv[i] = one[i] * T[j, j] + l2
            if two:
                for i in range(m):
                    inv[i] += more[i] * C[j, j]
            for i in range(m):  # a coordinate without curvature stays
                inv[i] = 1.0 / inv[i] if inv[i] > 0.0 else 0.0
        for sweep in range(sweeps):
            for j in range(r):
                inv, h, linear = inverse[j], H[j, low : low + m], L[j, low : low + m]
                _combine(T[j], H, low, m, slope)
                for i in range(m):
                    slope[i] = one[i] * slope[i] - linear[i]
                if two:
                    _combine(C[j], H, low, m, other)
                    for i in range(m):
                        slope[i] += more[i] * other[i]
                for i in range(m):
                    old = h[i]
                    new = old - (slope[i] + l2 * old) * inv[i]
                    over = new - l1 * inv[i]
                    under = 0.0 if nonnegative else new + l1 * inv[i]
                    over = over if over > 0.0 else 0.0
                    under = under if under < 0.0 else 0.0
                    slope[i] = over + under - old
                    h[i] = over + under
                if sweep == sweeps - 1:
                    for i in range(m):
                        size = abs(slope[i])
                        peak[i] = size if size > peak[i] else peak[i]
    return peak.max()


@kernel(fastmath={"reassoc", "contract"})
def _combine(t, H, low, m, out):
    """Write ``t'H`` of m columns into the head of `out`, four rows at a time."""
    r = H.shape[0]
    out[:m] = 0.0
    for k in range(0, r - 3, 4):
        t0, t1, t2, t3 = t[k], t[k + 1], t[k + 2], t[k + 3]
        h0, h1 = H[k, low : low + m], H[k + 1, low : low + m]
        h2, h3 = H[k + 2, low : low + m], H[k + 3, low : low + m]
        for i in range(m):
            out[i] += (t0 * h0[i] + t1 * h1[i]) + (t2 * h2[i] + t3 * h3[i])
    for k in range(r - r % 4, r):
        h0 = H[k, low : low + m]
        for i in range(m):
            out[i] += t[k] * h0[i]


@kernel(fastmath={"reassoc", "contract"})
def atom_sweeps(W, XtH, pull, S, G, beta, xi, nu, bend, l1, l2, nonnegative, sweeps):
    """Sweep over the columns of W (r, p) in place, the labels' loss majorised.

    With ``E = (W - W0)'beta`` and ``A = W'beta`` it descends on

        xi (tr W'SW - 2 <W, XtH>) + <pull, E'> + (bend/2) tr E'GE + (nu/2) |A|^2
            + l1 |W|_1 + (l2/2) |W|^2,   optionally with W >= 0

    Parameters
    ----------
    W : ndarray of shape (r, p)
        Atoms, overwritten.
    XtH : ndarray of shape (r, p)
        ``H X`` with weighted codes.
    pull : ndarray of shape (K, p)
        Gradient of the labels' loss in A.
    S : ndarray of shape (r, r)
        Gram matrix of the codes.
    G : ndarray of shape (p, p)
        Weighted Gram matrix of the data; empty where the labels see no atoms.
    beta : ndarray of shape (r, K)
        Coefficients.
    xi, nu, bend : float
        Weight of the reconstruction, ridge, and curvature of the labels' loss.
    l1, l2 : float
        Penalties.
    nonnegative : bool
        Whether atoms are clipped at zero.
    sweeps : int
        Number of sweeps.
    """
    (r, p), K = W.shape, beta.shape[1] if G.shape[0] else 0
    base, bent = np.empty((r, r)), np.empty((r, r))
    for j in range(r):
        for k in range(r):
            ridge = 0.0
            for c in range(K):
                ridge += beta[j, c] * beta[k, c]
            base[j, k] = 2.0 * xi * S[j, k] + nu * ridge
            bent[j, k] = bend * ridge
        base[j, j] += l2
    GE = pull.copy()  # the gradient of the labels' loss, kept up to date
    w, old, slope, inverse = np.empty(r), np.empty(r), np.empty(r), np.empty(r)
    for _ in range(sweeps):
        for i in range(p):
            weight = G[i, i] if K else 0.0
            for j in range(r):
                w[j] = old[j] = W[j, i]
                slope[j] = -2.0 * xi * XtH[j, i]
                for c in range(K):
                    slope[j] += beta[j, c] * GE[c, i]
                curvature = base[j, j] + weight * bent[j, j]
                inverse[j] = 1.0 / curvature if curvature > 0.0 else 0.0
            for j in range(r):
                for k in range(r):
                    slope[k] += base[j, k] * w[j]
            for j in range(r):
                new = w[j] - slope[j] * inverse[j]
                over, under = new - l1 * inverse[j], new + l1 * inverse[j]
                new = over if over > 0.0 else 0.0
                if under < 0.0 and not nonnegative:
                    new = under
                step = new - w[j]
                for k in range(r):
                    slope[k] += step * (base[j, k] + weight * bent[j, k])
                w[j] = new
            for j in range(r):
                W[j, i] = w[j]
            for c in range(K):
                step = 0.0
                for j in range(r):
                    step += beta[j, c] * (w[j] - old[j])
                step *= bend
                if step != 0.0:
                    for k in range(p):
                        GE[c, k] += step * G[i, k]


@kernel(fastmath={"reassoc", "contract"})
def code_moments(H, v, P, Y, omega, S, rows):
    """Write ``v H`` and ``omega (P - Y)`` into rows (r + K, n), ``H (v H)'`` into S."""
    (r, n), K = H.shape, P.shape[0]
    for j in range(r):
        row = rows[j]
        for i in range(n):
            row[i] = v[i] * H[j, i]
        for k in range(j + 1):
            total = 0.0
            for i in range(n):
                total += row[i] * H[k, i]
            S[j, k] = total
            S[k, j] = total
    for k in range(K):
        row = rows[r:][k]
        for i in range(n):
            row[i] = omega[i] * (P[k, i] - Y[k, i])


@kernel(fastmath={"reassoc", "contract"})
def atom_moments(W, XtH, S, T):
    """Write ``W W'`` into T and return ``<S, W W'> - 2 <W, XtH>``."""
    r, p = W.shape
    value = 0.0
    for j in range(r):
        for i in range(p):
            value -= 2.0 * W[j, i] * XtH[j, i]
        for k in range(j + 1):
            total = 0.0
            for i in range(p):
                total += W[j, i] * W[k, i]
            T[j, k] = total
            T[k, j] = total
            value += total * (S[j, k] if j == k else S[j, k] + S[k, j])
    return value


@kernel(fastmath={"contract"})
def _log_one_plus(e):
    """Return ``log(1 + e)`` for e in [0, 1] to the last digits, without a call.

    It is ``2 artanh z`` at ``z = e / (2 + e) <= 1/3``; terms beyond z^33 are below
    1e-17 of the sum.
    """
    z = e / (2.0 + e)
    w = z * z
    t = ((1 / 33 * w + 1 / 31) * w + 1 / 29) * w + 1 / 27
    t = (((t * w + 1 / 25) * w + 1 / 23) * w + 1 / 21) * w + 1 / 19
    t = (((t * w + 1 / 17) * w + 1 / 15) * w + 1 / 13) * w + 1 / 11
    t = (((t * w + 1 / 9) * w + 1 / 7) * w + 1 / 5) * w + 1 / 3
    return 2.0 * z * (t * w + 1.0)


@kernel(fastmath={"reassoc", "contract"})
def label_values(M, theta, Y, omega, P):
    """Write probabilities into P (K, n) and return the labels' loss.

    Parameters
    ----------
    M : ndarray of shape (m, n)
        Features and covariates.
    theta : ndarray of shape (m, K)
        Coefficients.
    Y : ndarray of shape (K, n)
        One-hot labels without the baseline.
    omega : ndarray of shape (n,)
        Weights.
    P : ndarray of shape (K, n)
        Overwritten.

    Returns
    -------
    float
    """
    (m, n), K = M.shape, Y.shape[0]
    for k in range(K):
        for i in range(n):
            P[k, i] = 0.0
        for j in range(m):
            t = theta[j, k]
            for i in range(n):
                P[k, i] += t * M[j, i]
    loss = 0.0
    if K == 1:
        own, y = P[0], Y[0]
        power = np.empty(n)
        for i in range(n):
            power[i] = math.exp(-abs(own[i]))
        for i in range(n):  # no calls: this loop vectorizes
            d, e = own[i], power[i]
            above = d if d > 0.0 else 0.0
            loss += omega[i] * (_log_one_plus(e) + above - y[i] * d)
            own[i] = (1.0 if d > 0.0 else e) / (1.0 + e)
        return loss
    for i in range(n):
        peak, own = 0.0, 0.0
        for k in range(K):
            peak = max(peak, P[k, i])
            own += Y[k, i] * P[k, i]
        total = math.exp(-peak)
        for k in range(K):
            P[k, i] = math.exp(P[k, i] - peak)
            total += P[k, i]
        for k in range(K):
            P[k, i] /= total
        loss += omega[i] * (math.log(total) + (peak - own))
    return loss


@kernel(fastmath={"reassoc", "contract"})
def newton_head(M, theta, Q, Y, omega, P, limit, steps):
    """Damped Newton steps on the head; theta (m, K) and P (K, n) are overwritten.

    It descends on ``loss(M'theta) + (1/2) tr theta'Q theta``.

    Parameters
    ----------
    M : ndarray of shape (m, n)
        Features and covariates.
    theta : ndarray of shape (m, K)
        Start.
    Q : ndarray of shape (m, m)
        Ridge.
    Y, omega, P : ndarray
        As in :func:`label_values`.
    limit : float
        Nothing is done if the start lies above this value.
    steps : int
        Number of steps.

    Returns
    -------
    value, loss : float
        The last value, infinite if the start lies above the limit, and the labels'
        loss in it.
    """
    (m, n), K = M.shape, Y.shape[0]
    size = m * K
    loss = label_values(M, theta, Y, omega, P)
    value = loss + _ridge(Q, theta)
    if not value <= limit:
        return np.inf, loss
    hessian, slope = np.empty((size, size)), np.empty(size)
    weight, row, new = np.empty(n), np.empty(n), np.empty((m, K))
    for _ in range(steps):
        for k in range(K):
            for i in range(n):
                weight[i] = omega[i] * (P[k, i] - Y[k, i])
            for j in range(m):
                total = 0.0
                for i in range(n):
                    total += M[j, i] * weight[i]
                for a in range(m):
                    total += Q[j, a] * theta[a, k]
                slope[k * m + j] = total
            for c in range(k + 1):
                for i in range(n):
                    own = 1.0 if c == k else 0.0
                    weight[i] = omega[i] * P[k, i] * (own - P[c, i])
                for j in range(m):
                    for i in range(n):
                        row[i] = weight[i] * M[j, i]
                    for a in range(j + 1):
                        total = 0.0
                        for i in range(n):
                            total += row[i] * M[a, i]
                        if c == k:
                            total += Q[j, a]
                        # blocks are symmetric; Cholesky reads the lower triangle
                        hessian[k * m + j, c * m + a] = total
                        hessian[k * m + a, c * m + j] = total
        step = _solve(hessian, slope)
        decrement = 0.0
        for j in range(size):
            decrement += slope[j] * step[j]
        if not decrement > DECREMENT * abs(value):
            break
        length, fell = 1.0, False
        # A decrease that drowns in rounding is tried at its full length only.
        tries = 1 if decrement < DROWNED * abs(value) else HALVINGS
        for _ in range(tries):
            for k in range(K):
                for j in range(m):
                    new[j, k] = theta[j, k] - length * step[k * m + j]
            trial_loss = label_values(M, new, Y, omega, P)
            trial = trial_loss + _ridge(Q, new)
            if trial <= value - 1e-4 * length * decrement:
                fell = True
                break
            length *= 0.5
        if not fell:
            label_values(M, theta, Y, omega, P)
            break
        theta[:] = new
        value, loss = trial, trial_loss
    return value, loss


@kernel
def _ridge(Q, theta):
    """Return ``(1/2) tr theta'Q theta``."""
    m, K = theta.shape
    total = 0.0
    for k in range(K):
        for i in range(m):
            for j in range(m):
                total += Q[i, j] * theta[i, k] * theta[j, k]
    return 0.5 * total


@kernel(fastmath={"reassoc", "contract"})
def _solve(A, b):
    """Solve ``A x = b`` by Cholesky, A overwritten; flat directions get 0."""
    n = b.shape[0]
    trace = 0.0
    for i in range(n):
        trace += A[i, i]
    x = b.copy()
    for i in range(n):
        for j in range(i):
            total = A[i, j]
            for k in range(j):
                total -= A[i, k] * A[j, k]
            A[i, j] = total * A[j, j]  # the diagonal holds inverse pivots
        total = A[i, i]
        for k in range(i):
            total -= A[i, k] * A[i, k]
        A[i, i] = 1.0 / math.sqrt(total) if total > PIVOT * trace else 0.0
        for k in range(i):
            x[i] -= A[i, k] * x[k]
        x[i] *= A[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            x[i] -= A[k, i] * x[k]
        x[i] *= A[i, i]
    return x


@on_warmup
def _compile():
    one, v = np.ones((1, 1)), np.ones(1)
    hals_sweeps(one.copy(), one, one, v, one, v, 0.0, 0.0, True, 1)
    atom_sweeps(one.copy(), one, one, one, one, one, 1.0, 1.0, 0.25, 0.0, 0.0, True, 1)
    code_moments(one, v, one, one, v, one.copy(), np.empty((2, 1)))
    atom_moments(one, one, one, one.copy())
    newton_head(one, one.copy(), one, one, v, one.copy(), np.inf, 1)
