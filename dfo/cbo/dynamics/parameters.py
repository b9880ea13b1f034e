"""The parameters of a swarm as the arrays that kernels take."""

import math

import numpy as np
from numpy.typing import NDArray

from dfo.cbo.dynamics import _kernels as k
from dfo.cbo.dynamics.settings import Settings

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

BOUNDARY_CODES = {
    "resample": k.RESAMPLE,
    "reflect": k.REFLECT,
    "clip": k.CLIP,
    "penalty": k.FREE,
    None: k.FREE,
}


def kernel_parameters(
    settings: Settings, dimension: int, n_particles: int
) -> tuple[Array, Integers]:
    """Return the real and the integer parameters of a run.

    Parameters
    ----------
    settings : Settings
        What the user chose.
    dimension, n_particles : int
        Sizes.

    Returns
    -------
    P : ndarray of shape (13,)
    Q : ndarray of shape (6,), int64
    """
    s, root = settings, math.sqrt(settings.dt)
    P, Q = np.zeros(13), np.zeros(6, dtype=np.int64)
    P[k.DRIFT], P[k.NOISE_START] = s.lam * s.dt, s.sigma_for(dimension) * root
    P[k.COOLING], P[k.COOLING_FLOOR] = s.cooling, s.cooling_floor
    P[k.TRUNCATION], P[k.DELTA] = s.truncated_at[0], s.delta * root
    P[k.XTOL], P[k.FTOL], P[k.FTARGET] = s.xtol, s.ftol, -math.inf
    P[k.ESS] = s.ess_for(n_particles)
    weights, *alpha = _weighting(s)
    P[k.ALPHA_START], P[k.ALPHA_FACTOR], P[k.ALPHA_MAX] = alpha
    Q[k.WEIGHTS], Q[k.BOUNDARY] = weights, BOUNDARY_CODES[s.boundary]
    Q[k.ISOTROPIC], Q[k.EXACT] = s.noise == "isotropic", s.exact
    Q[k.AFTER_DRIFT], Q[k.PATIENCE] = s.noise_after_drift, s.patience
    return P, Q


def first_state(P: Array) -> tuple[Array, Integers]:
    """Return the real and the integer state before the first step.

    Parameters
    ----------
    P : ndarray of shape (13,)
        Real parameters.

    Returns
    -------
    S : ndarray of shape (8,)
    K : ndarray of shape (3,), int64
    """
    S, K = np.zeros(8), np.zeros(3, dtype=np.int64)
    S[k.NOISE] = P[k.NOISE_START]
    S[k.BEST] = S[k.REFERENCE] = math.inf
    return S, K


def _weighting(s: Settings) -> tuple[int, float, float, float]:
    """Return the kernel's code of the weights, and start, factor and end of alpha."""
    if s.weights == "rank":
        return k.RANK, 1.0, 1.0, 1.0
    if s.weights == "best" or s.alpha == math.inf:
        return k.BEST_ONLY, 1.0, 1.0, 1.0
    if isinstance(s.alpha, str):
        return k.ADAPTIVE, 1.0, 1.0, 1.0
    if isinstance(s.alpha, int | float | np.number):
        return k.GIBBS, float(s.alpha), 1.0, float(s.alpha)
    return k.GIBBS, s.alpha.start, s.alpha.factor, s.alpha.maximum
