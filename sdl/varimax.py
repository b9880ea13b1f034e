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
    >>> W = np.linalg.qr(np.random.default_rng(0).standard_normal((20, 3)))[0]
    >>> bool(np.sum(varimax(W)[0] ** 4) > np.sum(W**4))
    True
    """
    p, r = W.shape
    T, total = np.eye(r), 0.0
    for _ in range(_ITERATIONS):
        L = W @ T
        slope = W.T @ (L**3 - L * (np.sum(L**2, axis=0) / p))
        U, s, Vt = np.linalg.svd(slope)
        T = U @ Vt
        if s.sum() <= total * (1.0 + _TOL):
            break
        total = float(s.sum())
    return W @ T, T
