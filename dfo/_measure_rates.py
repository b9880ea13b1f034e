"""How fast particles contract towards a frozen consensus point.

One step maps the distance D of a particle to ``(1 - l) D + s |D| xi`` with the drift
``l = lam dt`` and the noise ``s = sigma sqrt(dt)``; k is the number of coordinates that
share one distance: 1 for anisotropic noise, d for isotropic noise.
"""

import math

import numpy as np
from scipy.special import gammaln, psi


def mean_square_factor(drift: float, noise: float, k: int = 1) -> float:
    """Return ``E|D'|^2 / |D|^2 = (1 - l)^2 + k s^2`` of one step.

    Parameters
    ----------
    drift : float
        ``l = lam dt``.
    noise : float
        ``s = sigma sqrt(dt)``.
    k : int, default=1
        1 for anisotropic noise, the dimension for isotropic noise.

    Returns
    -------
    float
        Below 1 the mean square distance contracts.

    Examples
    --------
    >>> round(mean_square_factor(0.8, 1.3), 4)
    1.73
    """
    return (1.0 - drift) ** 2 + k * noise**2


def expected_log_factor(drift: float, noise: float, k: int = 1) -> float:
    """Return ``E log(|D'| / |D|)`` of one step, negative if particles contract.

    The squared factor is ``s^2`` times a noncentral chi-square variable with k degrees
    of freedom and noncentrality ``((1 - l) / s)^2``, a Poisson mixture of chi-squares.

    Parameters
    ----------
    drift : float
        ``l = lam dt``.
    noise : float
        ``s = sigma sqrt(dt)``.
    k : int, default=1
        1 for anisotropic noise, the dimension for isotropic noise.

    Returns
    -------
    float
        Minus infinity if one step ends on the consensus point.

    Examples
    --------
    >>> round(expected_log_factor(1.0, 1.0), 6)
    -0.635181
    """
    rest = abs(1.0 - drift)
    if noise == 0:
        return math.log(rest) if rest > 0 else -math.inf
    ratio = rest / noise
    if ratio > 1e4:  # xi is negligible: a relative error below 1e-8
        return math.log(rest)
    mean = 0.5 * ratio**2
    width = 40.0 * math.sqrt(mean + 1.0)
    j = np.arange(max(0.0, math.floor(mean - width)), math.ceil(mean + width) + 1.0)
    if mean > 0:
        weights = np.exp(j * math.log(mean) - mean - gammaln(j + 1.0))
    else:
        weights = (j == 0).astype(float)
    mixed = float(np.sum(weights * psi(0.5 * k + j)) / np.sum(weights))
    return 0.5 * (math.log(2.0) + mixed) + math.log(noise)


def decay_rate(variance: np.ndarray, dt: float) -> float:
    """Return the exponential rate of decay of a recorded variance.

    Parameters
    ----------
    variance : ndarray of shape (n_steps,)
        ``V = sum_i |X_i - c|^2 / (2 N)`` at every step.
    dt : float
        Time of a step.

    Returns
    -------
    float
        Minus the least-squares slope of ``log V`` over the middle 80 % of the steps,
        NaN with fewer than three positive values there.

    Examples
    --------
    >>> round(decay_rate(np.exp(-0.3 * np.arange(100)), 0.1), 6)
    3.0
    """
    n = len(variance)
    first, last = n // 10, n - n // 10
    t = np.arange(n)[first:last] * dt
    v = np.asarray(variance, dtype=np.float64)[first:last]
    usable = np.isfinite(v) & (v > 0)
    if usable.sum() < 3:
        return math.nan
    t = t[usable] - t[usable].mean()
    return float(-(t @ np.log(v[usable])) / (t @ t))
