"""The block of beta and Gamma: logistic regression with a ridge on a product.

    min  sum_i omega_i loss(f_i beta + z_i Gamma) + (nu/2) tr(beta' S beta)
         + (l2/2) |beta|^2 + (nu_c/2) |Gamma_pen|^2,   optionally |beta|_F <= limit

with ``S = W'W`` (filter) or ``H'VH`` (feature). In the eigenbasis of the quadratic form
it is the head of the lifted solver; a bound on the norm is met by its multiplier.
"""

import array_api_compat.numpy as xp
import numpy as np
from numpy.typing import NDArray

from sdl._measure_data import Problem
from sdl.head import Head

Array = NDArray[np.float64]

# Eigenvalues of the quadratic form below this share of the largest carry no ridge;
# their directions of beta are left at zero.
NEGLIGIBLE = 1e-14
_BISECTIONS = 60


def solve_head(
    task: Problem,
    F: Array,
    S: Array,
    beta: Array,
    Gamma: Array,
    *,
    l2: float = 0.0,
    limit: float = 0.0,
    steps: int = 50,
) -> tuple[Array, Array]:
    """Minimise over the coefficients, from a start that is never made worse.

    Parameters
    ----------
    task : Problem
        Labels, covariates, weights and ridges.
    F : ndarray of shape (n, r)
        Features.
    S : ndarray of shape (r, r)
        Matrix of the ridge.
    beta, Gamma : ndarray of shape (r, K), (q, K)
        Start.
    l2 : float, default=0.0
        Ridge of beta itself.
    limit : float, default=0.0
        Bound of its norm; 0 means none.
    steps : int, default=50
        Newton steps.

    Returns
    -------
    beta : ndarray of shape (r, K)
        Coefficients of the features.
    Gamma : ndarray of shape (q, K)
        Coefficients of the covariates.
    """
    found = _ridged(task, F, S, beta, Gamma, l2, steps)
    if not limit or np.linalg.norm(found[0]) <= limit:
        return found
    low, high = 0.0, max(1.0, task.nu)
    for _ in range(_BISECTIONS):
        trial = _ridged(task, F, S, *found, l2 + high, steps)
        if np.linalg.norm(trial[0]) <= limit:
            break
        low, high = high, 10.0 * high
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        found = _ridged(task, F, S, *found, l2 + middle, steps)
        if np.linalg.norm(found[0]) > limit:
            low = middle
        else:
            high = middle
        if high - low <= 1e-13 * high:
            break
    shrink = min(1.0, limit / max(float(np.linalg.norm(found[0])), 1e-300))
    return found[0] * shrink, found[1]


def _ridged(
    task: Problem,
    F: Array,
    S: Array,
    beta: Array,
    Gamma: Array,
    l2: float,
    steps: int,
) -> tuple[Array, Array]:
    form = task.nu * S + l2 * np.eye(len(S))
    values, V = np.linalg.eigh(form)
    kept = values > NEGLIGIBLE * max(float(values[-1]), 1e-300)
    nu = 1.0
    if not kept.any():  # no ridge at all
        kept, values, nu = np.ones(len(values), bool), np.ones(len(values)), 0.0
    V, root = V[:, kept], np.sqrt(values[kept])
    head = Head(task.Y, task.Z, task.omega, task.penalised, nu, task.nu_c, xp, "cpu")
    start = root[:, None] * (V.T @ beta)
    point = head.minimise(F @ (V / root), start, Gamma, steps=steps)
    return V @ (point.beta / root[:, None]), point.Gamma
