"""Gates on batches of states, and the walk that gives a gradient.

A batch is two real arrays (d, B), real and imaginary parts: amplitudes are slow, the
batch is fast and contiguous, so that every gate streams over runs of numbers.

A row of ``ops`` is ``(code, x, z, control, program, matrix)`` with bit masks:

* ROTATION: ``exp(-i phi P / 2)`` for the Pauli word P with X on ``x`` and Z on ``z``
  (Y on both), where all bits of ``control`` are set;
* PHASE: ``exp(i phi)`` where all bits of ``control`` are set;
* FLIP: flips the bits ``x`` where ``control`` is set;
* SWAP: exchanges the two bits of ``x``;
* UNITARY: ``matrix`` on the qubits ``x``, ``z``, ``control`` (-1 for none).

The angle is ``phis[g]``, or ``columns[program]``, one angle for each state.
"""

import numpy as np

from farkas.kernels import kernel, on_warmup

ROTATION, PHASE, FLIP, SWAP, UNITARY = 0, 1, 2, 3, 4


@kernel
def run_gates(re, im, ops, phis, columns, ure, uim, reverse):
    """Apply all gates in place, from the last to the first if ``reverse``."""
    G = ops.shape[0]
    for step in range(G):
        g = G - 1 - step if reverse else step
        _apply(re, im, ops[g], phis[g], columns, 1.0, ure, uim)


@kernel
def walk(re, im, yre, yim, ops, phis, columns, sign, ure, uim, slopes, reverse):
    """Apply gates to a state and a co-state; add ``Im <y| g |s>`` to ``slopes[g]``.

    ``slopes[g]`` is left alone where ``ops[g, 6]`` is zero. A rotation commutes with
    its generator, so it does not matter whether the slope is taken before or after.
    """
    G = ops.shape[0]
    for step in range(G):
        g = G - 1 - step if reverse else step
        if ops[g, 6] and ops[g, 0] == ROTATION and ops[g, 4] < 0:
            c, s = np.cos(phis[g] / 2), np.sin(phis[g] / 2)
            x, z, control = ops[g, 1], ops[g, 2], ops[g, 3]
            slopes[g] += _rotate_both(re, im, yre, yim, x, z, control, c, s)
            continue
        if ops[g, 6]:
            slopes[g] += _slope(re, im, yre, yim, ops[g])
        _apply(re, im, ops[g], phis[g], columns, sign, ure, uim)
        _apply(yre, yim, ops[g], phis[g], columns, sign, ure, uim)


@kernel(fastmath={"reassoc", "contract"})
def _rotate_both(re, im, yre, yim, x, z, control, c, s):
    """Rotate a state and a co-state in one pass, and return their slope."""
    B = re.shape[1]
    ys = _count(x & z) % 4
    total = 0.0
    for b in range(re.shape[0]):
        if b & control != control:
            continue
        pb = -1.0 if _parity(b & z) else 1.0
        if x == 0:
            t, part = pb * s, 0.0
            for k in range(B):
                u, v, p, q = re[b, k], im[b, k], yre[b, k], yim[b, k]
                part += p * v - q * u
                re[b, k] = c * u + t * v
                im[b, k] = c * v - t * u
                yre[b, k] = c * p + t * q
                yim[b, k] = c * q - t * p
            total += pb * part
            continue
        a = b ^ x
        if a < b:
            continue
        pa = -1.0 if _parity(a & z) else 1.0
        part = 0.0
        if ys % 2 == 1:
            f = s if ys == 1 else -s
            ta, tb = f * pa, f * pb
            for k in range(B):
                u, v, p, q = re[b, k], im[b, k], re[a, k], im[a, k]
                e, f2, g, h = yre[b, k], yim[b, k], yre[a, k], yim[a, k]
                part += pb * (g * u + h * v) + pa * (e * p + f2 * q)
                re[b, k] = c * u + ta * p
                im[b, k] = c * v + ta * q
                re[a, k] = c * p + tb * u
                im[a, k] = c * q + tb * v
                yre[b, k] = c * e + ta * g
                yim[b, k] = c * f2 + ta * h
                yre[a, k] = c * g + tb * e
                yim[a, k] = c * h + tb * f2
        else:
            f = s if ys == 0 else -s
            ta, tb = f * pa, f * pb
            for k in range(B):
                u, v, p, q = re[b, k], im[b, k], re[a, k], im[a, k]
                e, f2, g, h = yre[b, k], yim[b, k], yre[a, k], yim[a, k]
                part += pb * (g * v - h * u) + pa * (e * q - f2 * p)
                re[b, k] = c * u + ta * q
                im[b, k] = c * v - ta * p
                re[a, k] = c * p + tb * v
                im[a, k] = c * q - tb * u
                yre[b, k] = c * e + ta * h
                yim[b, k] = c * f2 - ta * g
                yre[a, k] = c * g + tb * f2
                yim[a, k] = c * h - tb * e
        total += part
    return -total if ys >= 2 else total


@kernel
def _parity(b):
    odd = 0
    while b:
        odd ^= 1
        b &= b - 1
    return odd


@kernel
def _count(b):
    ones = 0
    while b:
        ones += 1
        b &= b - 1
    return ones


@kernel
def _apply(re, im, op, phi, columns, sign, ure, uim):
    code, x, z, control, program = op[0], op[1], op[2], op[3], op[4]
    if code == ROTATION:
        if program < 0:
            _rotate(re, im, x, z, control, np.cos(phi / 2), np.sin(phi / 2))
        else:
            half = sign * 0.5 * (columns[program] + 0.0) + 0.5 * phi
            _rotate_columns(re, im, x, z, control, np.cos(half), np.sin(half))
    elif code == PHASE:
        if program < 0:
            _phase(re, im, control, np.cos(phi), np.sin(phi))
        else:
            angle = sign * columns[program] + phi
            _phase_columns(re, im, control, np.cos(angle), np.sin(angle))
    elif code == FLIP:
        for b in range(re.shape[0]):
            if b & control == control and b < b ^ x:
                _exchange(re, b, b ^ x)
                _exchange(im, b, b ^ x)
    elif code == SWAP:
        for b in range(re.shape[0]):
            if _parity(b & x) and b < b ^ x:
                _exchange(re, b, b ^ x)
                _exchange(im, b, b ^ x)
    else:
        _unitary(re, im, x, z, control, ure[op[5]], uim[op[5]])


@kernel
def _exchange(a, i, j):
    for k in range(a.shape[1]):
        t = a[i, k]
        a[i, k] = a[j, k]
        a[j, k] = t


@kernel
def _rotate(re, im, x, z, control, c, s):
    B = re.shape[1]
    ys = _count(x & z)
    for b in range(re.shape[0]):
        if b & control != control:
            continue
        if x == 0:
            t = -s if _parity(b & z) else s  # times c - i t
            for k in range(B):
                u, v = re[b, k], im[b, k]
                re[b, k] = c * u + t * v
                im[b, k] = c * v - t * u
            continue
        a = b ^ x
        if a < b:
            continue
        # P|a> = i^ys (-1)^parity(a & z) |b>, and row b gets -i s times that.
        pa = -1.0 if _parity(a & z) else 1.0
        pb = -1.0 if _parity(b & z) else 1.0
        if ys % 2 == 1:  # -i * i^ys is real: 1 for ys = 1, -1 for ys = 3
            f = s if ys % 4 == 1 else -s
            ta, tb = f * pa, f * pb
            for k in range(B):
                u, v, p, q = re[b, k], im[b, k], re[a, k], im[a, k]
                re[b, k] = c * u + ta * p
                im[b, k] = c * v + ta * q
                re[a, k] = c * p + tb * u
                im[a, k] = c * q + tb * v
        else:  # -i * i^ys is -i for ys = 0, i for ys = 2
            f = s if ys % 4 == 0 else -s
            ta, tb = f * pa, f * pb
            for k in range(B):
                u, v, p, q = re[b, k], im[b, k], re[a, k], im[a, k]
                re[b, k] = c * u + ta * q
                im[b, k] = c * v - ta * p
                re[a, k] = c * p + tb * v
                im[a, k] = c * q - tb * u


@kernel
def _rotate_columns(re, im, x, z, control, c, s):
    B = re.shape[1]
    ys = _count(x & z)
    for b in range(re.shape[0]):
        if b & control != control:
            continue
        if x == 0:
            f = -1.0 if _parity(b & z) else 1.0
            for k in range(B):
                u, v, t = re[b, k], im[b, k], f * s[k]
                re[b, k] = c[k] * u + t * v
                im[b, k] = c[k] * v - t * u
            continue
        a = b ^ x
        if a < b:
            continue
        pa = -1.0 if _parity(a & z) else 1.0
        pb = -1.0 if _parity(b & z) else 1.0
        if ys % 2 == 1:
            f = 1.0 if ys % 4 == 1 else -1.0
            for k in range(B):
                u, v, p, q = re[b, k], im[b, k], re[a, k], im[a, k]
                ta, tb = f * pa * s[k], f * pb * s[k]
                re[b, k] = c[k] * u + ta * p
                im[b, k] = c[k] * v + ta * q
                re[a, k] = c[k] * p + tb * u
                im[a, k] = c[k] * q + tb * v
        else:
            f = 1.0 if ys % 4 == 0 else -1.0
            for k in range(B):
                u, v, p, q = re[b, k], im[b, k], re[a, k], im[a, k]
                ta, tb = f * pa * s[k], f * pb * s[k]
                re[b, k] = c[k] * u + ta * q
                im[b, k] = c[k] * v - ta * p
                re[a, k] = c[k] * p + tb * v
                im[a, k] = c[k] * q - tb * u


@kernel
def _phase(re, im, control, c, s):
    for b in range(re.shape[0]):
        if b & control == control:
            for k in range(re.shape[1]):
                u, v = re[b, k], im[b, k]
                re[b, k] = c * u - s * v
                im[b, k] = c * v + s * u


@kernel
def _phase_columns(re, im, control, c, s):
    for b in range(re.shape[0]):
        if b & control == control:
            for k in range(re.shape[1]):
                u, v = re[b, k], im[b, k]
                re[b, k] = c[k] * u - s[k] * v
                im[b, k] = c[k] * v + s[k] * u


@kernel
def _unitary(re, im, q0, q1, q2, ure, uim):
    """Apply a matrix to up to three qubits, q0 the low bit of its index."""
    width = 1 + (q1 >= 0) + (q2 >= 0)
    K = 1 << width
    mask = 1 << q0
    if q1 >= 0:
        mask |= 1 << q1
    if q2 >= 0:
        mask |= 1 << q2
    rows = np.empty(K, dtype=np.int64)
    tre, tim = np.empty((K, re.shape[1])), np.empty((K, re.shape[1]))
    for b in range(re.shape[0]):
        if b & mask:
            continue
        for j in range(K):
            a = b | ((j & 1) << q0)
            if q1 >= 0:
                a |= ((j >> 1) & 1) << q1
            if q2 >= 0:
                a |= ((j >> 2) & 1) << q2
            rows[j] = a
            for k in range(re.shape[1]):
                tre[j, k] = re[a, k]
                tim[j, k] = im[a, k]
        for i in range(K):
            a = rows[i]
            for k in range(re.shape[1]):
                re[a, k] = 0.0
                im[a, k] = 0.0
            for j in range(K):
                u, v = ure[i, j], uim[i, j]
                for k in range(re.shape[1]):
                    re[a, k] += u * tre[j, k] - v * tim[j, k]
                    im[a, k] += u * tim[j, k] + v * tre[j, k]


@kernel(fastmath={"reassoc", "contract"})
def _slope(re, im, yre, yim, op):
    """``Im <y| g |s>`` for the generator g of a gate."""
    code, x, z, control = op[0], op[1], op[2], op[3]
    total = 0.0
    if code == PHASE:
        for b in range(re.shape[0]):
            if b & control == control:
                for k in range(re.shape[1]):
                    total += yre[b, k] * im[b, k] - yim[b, k] * re[b, k]
        return -2.0 * total
    ys = _count(x & z) % 4
    for b in range(re.shape[0]):
        if b & control != control:
            continue
        a = b ^ x
        part = 0.0
        if ys % 2 == 0:  # P|b> = +-|a>
            for k in range(re.shape[1]):
                part += yre[a, k] * im[b, k] - yim[a, k] * re[b, k]
        else:  # P|b> = +-i|a>
            for k in range(re.shape[1]):
                part += yre[a, k] * re[b, k] + yim[a, k] * im[b, k]
        total += -part if _parity(b & z) else part
    return -total if ys >= 2 else total


@kernel
def phase_states(X, pairs, product, reps, re, im):
    """States (d, N) of the ZZ map: Hadamards and phases, ``reps`` times.

    ``product[p, i]`` is ``2 (pi - x_j) (pi - x_k)`` of the p-th pair (j, k).
    """
    d, N = re.shape
    n = X.shape[1]
    c, s = np.empty((d, N)), np.empty((d, N))
    total = np.empty(N)
    for b in range(d):
        for i in range(N):
            total[i] = 0.0
        for q in range(n):
            if (b >> q) & 1:
                for i in range(N):
                    total[i] += 2.0 * X[i, q]
        for p in range(pairs.shape[0]):
            if ((b >> pairs[p, 0]) ^ (b >> pairs[p, 1])) & 1:
                for i in range(N):
                    total[i] += product[p, i]
        for i in range(N):
            c[b, i] = np.cos(total[i])
            s[b, i] = np.sin(total[i])
    norm = 1.0 / np.sqrt(d)
    for b in range(d):
        for i in range(N):
            re[b, i] = norm * c[b, i]
            im[b, i] = norm * s[b, i]
    for _ in range(reps - 1):
        for q in range(n):
            for b in range(d):
                a = b ^ (1 << q)
                if a < b:
                    continue
                for i in range(N):
                    u, v, p, t = re[b, i], im[b, i], re[a, i], im[a, i]
                    re[b, i], im[b, i] = u + p, v + t
                    re[a, i], im[a, i] = u - p, v - t
        for b in range(d):
            for i in range(N):
                u, v = norm * re[b, i], norm * im[b, i]
                re[b, i] = c[b, i] * u - s[b, i] * v
                im[b, i] = c[b, i] * v + s[b, i] * u


@on_warmup
def _warm_up():
    re, im = np.ones((4, 2)), np.zeros((4, 2))
    ops = np.array([[ROTATION, 1, 1, 0, -1, -1, 1], [UNITARY, 0, 1, -1, -1, 0, 0]])
    columns, unit = np.zeros((1, 2)), np.eye(8)[None]
    run_gates(re, im, ops, np.zeros(2), columns, unit, 0 * unit, False)
    walk(
        re, im, re.copy(), im.copy(), ops, np.zeros(2), columns, 1.0, unit, 0 * unit,
        np.zeros(2), False,
    )  # fmt: skip
    pairs = np.array([[0, 1]])
    phase_states(np.zeros((2, 2)), pairs, np.zeros((1, 2)), 2, re, im)
