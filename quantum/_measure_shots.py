"""Loss estimated from counted shots, without its bias, and a 95 % interval.

With S shots a sample the cross-entropy of ``(k + 1/2) / (S + K/2)`` exceeds that of the
probability by ``(K - 1) / (2 S)`` to first order, and the squared loss of the raw
frequencies by ``p (1 - p) / S``; both are subtracted. The variance follows from the
delta method.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farkas.certificate import CertificateError
from quantum._measure_losses import Loss

NORMAL_95 = 1.959963984540054


def shot_estimate(
    counts: NDArray[Any], y: NDArray[np.int64], s: NDArray[np.float64], loss: Loss
) -> dict[str, float]:
    """Return ``loss_estimate``, ``loss_ci_low``, ``loss_ci_high``, ``n_shots_total``.

    Parameters
    ----------
    counts : ndarray of shape (N, K)
        How often each class was read.
    y : ndarray of shape (N,)
        Class indices.
    s : ndarray of shape (N,)
        Normalised weights.
    loss : Loss
        Of K classes.

    Raises
    ------
    CertificateError
        If the counts are not counts of the same number of shots.
    """
    K = loss.classes
    if counts.shape != (len(y), K) or counts.dtype.kind not in "iu":
        raise CertificateError(f"counts must be integers of shape {(len(y), K)}.")
    S = int(counts[0].sum())
    if (counts < 0).any() or S < 1 or (counts.sum(axis=1) != S).any():
        raise CertificateError("counts must sum to one number of shots in each row.")
    entropy = loss.kind == "cross_entropy"
    p = (counts + 0.5) / (S + 0.5 * K) if entropy else counts / S
    P = p[:, 1][None] if K == 2 else p.T
    values, slopes = loss.values(P, y), loss.slopes(P, y)
    if K == 2:  # one output, p_1
        variance = slopes[0] ** 2 * p[:, 0] * p[:, 1] / S
        bias = p[:, 0] * p[:, 1]
    else:
        mean = np.sum(slopes * p.T, axis=0)
        variance = (np.sum(slopes**2 * p.T, axis=0) - mean**2) / S
        bias = np.sum(p * (1 - p), axis=1)
    if entropy:
        estimate = math.fsum(s * values) - (K - 1) / (2.0 * S)
    else:
        estimate = math.fsum(s * (values - (bias / (S - 1) if S > 1 else bias)))
    half = NORMAL_95 * math.sqrt(math.fsum(s**2 * np.maximum(variance, 0.0)))
    return {
        "loss_estimate": estimate,
        "loss_ci_low": estimate - half,
        "loss_ci_high": estimate + half,
        "n_shots_total": float(S * len(y)),
    }
