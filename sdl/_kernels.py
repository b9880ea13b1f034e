"""Coordinate sweeps over codes: hierarchical alternating least squares, row by row.

For each row h of H, one coordinate after the other is set to its minimiser of

    (1/2) h (a T + b C) h' - L . h + l1 |h|_1 + (l2/2) |h|^2,  optionally with h >= 0

(Cichocki and Phan, 2009, for C = 0).
"""

import numpy as np

from farkas.kernels import kernel, on_warmup


@kernel(fastmath={"reassoc", "contract"})
def hals_sweeps(H, L, T, a, C, b, l1, l2, nonnegative, sweeps):
    """Sweep over the columns of H (n, r) in place; return the largest change.

    Parameters
    ----------
    H : ndarray of shape (n, r)
        Codes, overwritten.
    L : ndarray of shape (n, r)
        Linear terms.
    T, C : ndarray of shape (r, r)
        Symmetric matrices.
    a, b : ndarray of shape (n,)
        Their factors in each row.
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
    n, r = H.shape
    largest = 0.0
    matrix = np.empty((r, r))
    last_a, last_b = np.nan, np.nan
    for i in range(n):
        if a[i] != last_a or b[i] != last_b:
            last_a, last_b = a[i], b[i]
            for j in range(r):
                for k in range(r):
                    matrix[j, k] = last_a * T[j, k] + last_b * C[j, k]
                matrix[j, j] += l2
        for sweep in range(sweeps):
            moved = 0.0
            for j in range(r):
                curvature = matrix[j, j]
                if curvature <= 0.0:
                    continue
                inner = 0.0
                for k in range(r):
                    inner += matrix[j, k] * H[i, k]
                new = H[i, j] - (inner - L[i, j]) / curvature
                shrink = l1 / curvature
                if nonnegative:
                    new = new - shrink if new > shrink else 0.0
                elif shrink > 0.0:
                    size = abs(new) - shrink
                    new = 0.0 if size <= 0.0 else (size if new > 0.0 else -size)
                change = abs(new - H[i, j])
                if change > moved:
                    moved = change
                H[i, j] = new
            if sweep == sweeps - 1 and moved > largest:
                largest = moved
    return largest


@on_warmup
def _compile():
    one, v = np.ones((1, 1)), np.ones(1)
    hals_sweeps(np.ones((1, 1)), one, one, v, one, v, 0.0, 0.0, True, 1)
