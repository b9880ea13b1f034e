"""Scores, losses and the head's Newton system in array-API code, for CPU and GPU.

Every function takes the namespace ``xp`` first; arrays lie on one device.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from farkas.backend import asnumpy

Array = NDArray[np.float64]


def label_loss(xp: Any, D: Any, Y: Any, omega: Any) -> float:
    """Return ``sum_i omega_i [log(1 + sum_k exp D_ik) - Y_i . D_i]``.

    Parameters
    ----------
    xp : module
        Namespace.
    D, Y : array of shape (n, K)
        Scores, and one-hot labels without the baseline.
    omega : array of shape (n, 1)
        Weights.

    Returns
    -------
    float
    """
    if D.shape[1] == 1:
        # log(1 + e^d) - y d, through the stable log1p of a decaying exponential
        losses = xp.log1p(xp.exp(-xp.abs(D))) + xp.where(D > 0, D, 0.0 * D) - Y * D
        return float(xp.sum(omega * losses))
    peak = xp.max(D, axis=1, keepdims=True)
    peak = xp.where(peak > 0, peak, 0.0 * peak)
    total = xp.exp(-peak) + xp.sum(xp.exp(D - peak), axis=1, keepdims=True)
    losses = xp.log(total) + (peak - xp.sum(Y * D, axis=1, keepdims=True))
    return float(xp.sum(omega * losses))


def softmax(xp: Any, D: Any) -> Any:
    """Return class probabilities of the scores D, the baseline (score 0) left out."""
    peak = xp.max(D, axis=1, keepdims=True)
    peak = xp.where(peak > 0, peak, 0.0 * peak)
    e = xp.exp(D - peak)
    return e / (xp.exp(-peak) + xp.sum(e, axis=1, keepdims=True))


def hessian(xp: Any, M: Any, P: Any, omega: Any) -> Array:
    """Return the Hessian of the label loss in the coefficients of the features M.

    Parameters
    ----------
    xp : module
        Namespace.
    M : array of shape (n, m)
        Features and covariates.
    P : array of shape (n, K)
        Probabilities.
    omega : array of shape (n, 1)
        Weights.

    Returns
    -------
    ndarray of shape (K m, K m)
        On the host, blocks ordered by class.
    """
    m, K = M.shape[1], P.shape[1]
    result = np.empty((K * m, K * m))
    for k in range(K):
        for j in range(k + 1):
            weight = -omega * P[:, k : k + 1] * P[:, j : j + 1]
            if j == k:
                weight = weight + omega * P[:, k : k + 1]
            block = asnumpy(xp.matrix_transpose(M) @ (weight * M))
            result[k * m : (k + 1) * m, j * m : (j + 1) * m] = block
            result[j * m : (j + 1) * m, k * m : (k + 1) * m] = block.T
    return result
