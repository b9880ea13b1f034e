"""A bound without iterations: each sample for itself.

With ``p = (X u + |X u|) / 2`` and ``p_k >= l_k x_k'u`` for any l in [0, 1],

    g'p <= (g_+ / 2 - l g_-)'X u + sum_k g_{k+} |x_k'u| / 2,

so that the multipliers of ``a p_k`` and ``a q_k`` are ``g_- (1 - l)`` and ``g_- l``,
and ``|x_k'u| = p_k + q_k`` is bounded by its square. The l that makes the linear part
short is a least squares problem in a box.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import lsq_linear

from convexnn.relaxation.dnn import Dual

Array = NDArray[np.float64]


def elementary_dual(X: Array, g: Array) -> Dual:
    """Return the multipliers of the elementary bound.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Data, scaled.
    g : ndarray of shape (n,)
        Weights, sign times theta.

    Returns
    -------
    Dual
    """
    n, d = X.shape
    plus, minus = np.maximum(g, 0.0), np.maximum(-g, 0.0)
    some = minus > 0
    part = np.full(n, 0.5)
    if some.any():
        size = float(minus.max())
        A = (X[some] * (minus[some, None] / size)).T
        fit = lsq_linear(A, X.T @ (0.5 * plus / size), bounds=(0.0, 1.0))
        part[some] = np.clip(fit.x, 0.0, 1.0)
    products = np.zeros((2 + 2 * n, 2 + 2 * n))
    products[0, 2:] = 0.5 * np.concatenate([minus * (1.0 - part), minus * part])
    products[2:, 0] = products[0, 2:]
    sample = np.arange(n)
    # (p_k + q_k)^2 = (x_k'u)^2 + 4 p_k q_k, so some weight on p_k q_k is needed.
    diagonal = products[2 + sample, 2 + n + sample] = -0.5 * plus / np.sqrt(n)
    products[2 + n + sample, 2 + sample] = diagonal
    trace = 0.25 * float(np.linalg.norm((X.T * plus) @ X, 2)) / np.sqrt(n)
    return Dual(products, np.zeros((1 + 2 * n, d)), trace)
