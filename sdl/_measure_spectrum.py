"""A proven lower bound of the sum of all but the r largest eigenvalues."""

import math
from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import eigvalsh

from sdl._measure_data import BLOCK_SUM, EPS, Array, frobenius

# Rows of a product that are summed at a time: rounding errors of a sum of n terms then
# grow with BLOCK + n / BLOCK instead of n (Higham, 2002, section 4.2).
BLOCK = 1024


def tail_of_spectrum(
    M: Any, E: Array, xi: float, rank: int, square: float | None = None
) -> tuple[float, float]:
    """Bound ``sum_{j>r} lambda_j(xi M'M + E'E)`` from below.

    Parameters
    ----------
    M : ndarray or sparse matrix of shape (a, b)
        Weighted data, or its transpose.
    E : ndarray of shape (K, b)
        Score block.
    xi : float
        Weight of the data.
    rank : int
        Number r of eigenvalues left out.
    square : float, optional
        ``|M|^2`` by :func:`frobenius`, where it is known already.

    Returns
    -------
    tail : float
        Nonnegative, never more than the true sum.
    eigengap : float
        ``lambda_r - lambda_{r+1}``, not bounded; 0 where r covers the spectrum.

    Notes
    -----
    The Gram matrix is formed on the shorter side. By Weyl's inequality its rounding
    error moves an eigenvalue by at most its norm, and LAPACK's symmetric solver by a
    small multiple of m eps times the largest eigenvalue (Higham, 2002, sections 3.5
    and 20).
    """
    a, b = M.shape
    if rank >= min(a + E.shape[0], b):
        return 0.0, 0.0
    S, terms = gram(M, E, xi)
    if not np.isfinite(S).all():
        return math.nan, math.nan
    m = len(S)
    values = eigvalsh(S, check_finite=False)
    square = frobenius(M) ** 2 if square is None else square
    square = xi * square + frobenius(E) ** 2
    error = (terms + 12) * EPS * square + (m + 10) * EPS * max(float(values[-1]), 0.0)
    small, large = values[: m - rank], values[m - rank :]
    by_trace = square * (1.0 - 2 * BLOCK_SUM * EPS) - math.fsum(large) - rank * error
    by_sum = math.fsum(small) - len(small) * error
    eigengap = float(large[0] - small[-1]) if len(small) else 0.0
    return max(by_trace, by_sum, 0.0), eigengap


def gram(M: Any, E: Array, xi: float) -> tuple[Array, int]:
    """Return ``xi M'M + E'E``, or the same spectrum of the other side.

    Returns
    -------
    S : ndarray of shape (m, m)
        ``m = min(a + K, b)``.
    terms : int
        The rounding error of S has a norm of at most ``terms eps (xi |M|^2 + |E|^2)``.
    """
    a, b = M.shape
    if b <= a + E.shape[0]:
        S, terms = _product(M)
        return xi * S + E.T @ E, terms + len(E)
    root = math.sqrt(xi)
    S = np.empty((a + len(E), a + len(E)))
    S[:a, :a], terms = _product(M.T)
    S[:a, :a] *= xi
    S[:a, a:] = root * (M @ E.T)
    S[a:, :a] = S[:a, a:].T
    S[a:, a:] = E @ E.T
    # Cross terms are summed by BLAS over b terms; they are bounded by the same norms.
    return S, max(terms, b)


def _product(M: Any) -> tuple[Array, int]:
    """Return ``M'M`` and the number of roundings that a sum in it has seen."""
    if sparse.issparse(M):
        counts = np.bincount(M.tocoo().col, minlength=M.shape[1])
        return (M.T @ M).toarray(), int(counts.max(initial=0)) + 4
    total = np.zeros((M.shape[1], M.shape[1]))
    blocks = range(0, M.shape[0], BLOCK)
    for start in blocks:
        rows = M[start : start + BLOCK]
        total += rows.T @ rows
    return total, min(BLOCK, M.shape[0]) + len(blocks) + 4
