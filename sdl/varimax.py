"""Varimax rotation of atoms within their span (Kaiser, 1958), for presentation only."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ITERATIONS, _TOL = 200, 1e-10


def varimax(W: Array) -> tuple[Array, Array]:
    """Rotate columns so that the variance of their squared entries is largest.

    Parameters
    ----------
    W : ndarray of shape (p, r)
        Atoms.

    Returns
    -------
    rotated : ndarray of shape (p, r)
        ``W T``.
    T : ndarray of shape (r, r)
        Orthogonal.

    Examples
    --------
    >>> import numpy as np
    >>> turned = np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2)
    >>> np.round(np.abs(varimax(turned)[0]), 6).sum()
    np.float64(2.0)
    """
    p, r = W.shape
    # An exact saddle (all entries of equal size) has no direction: nudge it a little.
    T = np.linalg.qr(np.eye(r) + 1e-3 * np.triu(np.ones((r, r)), 1))[0]
    total = 0.0
    for _ in range(_ITERATIONS):
        L = W @ T
        slope = W.T @ (L**3 - L * (np.sum(L**2, axis=0) / p))
        U, s, Vt = np.linalg.svd(slope)
        T = U @ Vt
        if s.sum() <= total * (1.0 + _TOL):
            break
        total = float(s.sum())
    return W @ T, T
