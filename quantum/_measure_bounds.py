"""Eigenvalue bounds that hold in spite of rounding, and what follows for the loss.

Every bound is checked after the fact: ``G - V diag(lam) V'`` and ``V'V - I`` are
computed and bounded, so nothing is assumed about the eigenvalue routine. With the
residual norm ``rho`` and ``eta = |V'V - I|``, the theorems of Weyl and Ostrowski give
``|lam_j(G) - lam_j| <= rho + eta |lam_j|``.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

EPS = float(np.finfo(np.float64).eps)

# A sum of n products of complex numbers is off by at most this many units more than n,
# each times the sum of absolute products (Higham, 2002, sections 3.1 and 3.6).
_COMPLEX = 8


class Spectrum(NamedTuple):
    """Eigenvalues that an operator has, up to ``radius``."""

    values: Array
    radius: float = 0.0


class Interval(NamedTuple):
    """Interval that holds the eigenvalues of an operator."""

    low: float
    high: float


def spectrum_with_radius(G: Complex, error: float) -> tuple[Array, Array, Complex]:
    """Eigenvalues of a Hermitian matrix, and how far each may be off.

    Parameters
    ----------
    G : ndarray of shape (k, k)
        The matrix as computed; its Hermitian part is meant.
    error : float
        Bound on the spectral norm of the error of ``G`` itself.

    Returns
    -------
    eigenvalues : ndarray of shape (k,)
        Ascending.
    radius : ndarray of shape (k,)
        The j-th eigenvalue of the exact matrix differs by at most ``radius[j]``.
    V : ndarray of shape (k, k)
        Approximate eigenvectors.
    """
    k = len(G)
    H = 0.5 * (G + G.conj().T)
    eigenvalues, V = np.linalg.eigh(H)
    residual = _frobenius(H - (V * eigenvalues) @ V.conj().T)
    eta = orthogonality_defect(V)
    sizes = float(np.abs(eigenvalues).sum())
    # Rounding of the residual itself: |V| diag|lam| |V'| has Frobenius norm at most
    # sum |lam_j| |v_j|^2.
    rounding = (k + _COMPLEX) * EPS * (sizes * (1.0 + eta) + _frobenius(H))
    radius = residual + rounding + error + eta * np.abs(eigenvalues)
    return eigenvalues, radius, V


def orthogonality_defect(V: Complex) -> float:
    """Bound on the spectral norm of ``V'V - I``."""
    k = V.shape[1]
    defect = _frobenius(V.conj().T @ V - np.eye(k))
    return defect + (len(V) + _COMPLEX) * EPS * k


def weighted_gram(
    states: Complex, weights: Array, errors: Array
) -> tuple[Complex, float]:
    """Return ``sum_i w_i |psi_i><psi_i|`` and a bound on the norm of its error.

    Parameters
    ----------
    states : ndarray of shape (N, k)
        One state a row.
    weights : ndarray of shape (N,)
        Real weights.
    errors : ndarray of shape (N,)
        How far each state may be from the exact one, in the 2-norm.

    Returns
    -------
    G : ndarray of shape (k, k)
    error : float
    """
    G = (states.T * weights) @ states.conj()
    squares = np.sum(np.abs(states) ** 2, axis=1)
    sizes = np.abs(weights)
    rounding = (len(states) + _COMPLEX) * EPS * float(np.sum(sizes * squares))
    moved = float(np.sum(sizes * errors * (2.0 * np.sqrt(squares) + errors)))
    return G, rounding + moved


def compressed(states: Complex, errors: Array) -> tuple[Complex, Array, float]:
    """Coordinates of N states in an orthonormal basis of their span, when N < d.

    Returns
    -------
    coordinates : ndarray of shape (N, k)
    errors : ndarray of shape (N,)
        With the part of each state outside the computed span added.
    defect : float
        ``|Q'Q - I|`` of the basis.
    """
    N, d = states.shape
    if N >= d:
        return states, errors, 0.0
    Q, _ = np.linalg.qr(states.T)
    return in_basis(states, errors, Q)


def in_basis(
    states: Complex, errors: Array, Q: Complex
) -> tuple[Complex, Array, float]:
    """Coordinates of states in the columns of ``Q``; see :func:`compressed`."""
    d = len(Q)
    coordinates = states @ Q.conj()
    outside = np.linalg.norm(states - coordinates @ Q.T, axis=1)
    rounding = (d + Q.shape[1] + _COMPLEX) * EPS * (1.0 + np.sqrt(Q.shape[1]))
    return coordinates, errors + outside + rounding, orthogonality_defect(Q)


def orbit_minimum(
    eigenvalues: Array,
    radius: Array,
    dimension: int,
    target: Spectrum | Interval,
    spare_radius: float = 0.0,
) -> float:
    """Lower bound of ``min tr(G M)`` over all operators of a kind.

    Parameters
    ----------
    eigenvalues, radius : ndarray of shape (k,)
        Nonzero part of the spectrum of G, and its uncertainty; the remaining
        ``dimension - k`` eigenvalues are zero.
    dimension : int
        d.
    target : Spectrum or Interval
        Spectrum (dimension,) that M has, so that the minimum is the sum of the products
        in opposite order (von Neumann, Ky Fan); or the interval of its eigenvalues.
    spare_radius : float
        How far those zeros may be off.

    Returns
    -------
    float
    """
    spare = dimension - len(eigenvalues)
    if isinstance(target, Interval):
        ends = [e * (eigenvalues + r) for e in target for r in (radius, -radius)]
        least = np.min(ends, axis=0)
        largest = max(abs(end) for end in target)
        rounding = 4 * EPS * math.fsum(np.abs(least))
        return math.fsum(least) - spare * largest * spare_radius - rounding
    pad = np.concatenate([eigenvalues, np.zeros(spare)])
    pad_radius = np.concatenate([radius, np.full(spare, spare_radius)])
    # Both ends of each interval are sorted, so that order does not depend on rounding.
    low = np.sort(pad - pad_radius)
    high = np.sort(pad + pad_radius)
    descending = np.sort(target.values)[::-1]
    products = np.where(descending >= 0, low * descending, high * descending)
    largest = np.maximum(np.abs(low), np.abs(high))
    rounding = 4 * EPS * math.fsum(np.abs(products)) + target.radius * math.fsum(
        largest
    )
    return math.fsum(products) - rounding


def _frobenius(A: Complex) -> float:
    return float(np.linalg.norm(A)) * (1.0 + 2 * A.size * EPS)
