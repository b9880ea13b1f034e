"""The head of a feature model, estimated again on codes that did not see the labels.

Training codes used the labels, codes of new data cannot. Coefficients that are
estimated on re-encoded training codes remove the mismatch.
"""

import array_api_compat.numpy as xp
import numpy as np
from numpy.typing import NDArray

from sdl._measure_data import Problem
from sdl.head import Head

Array = NDArray[np.float64]

# Directions of the codes below this share of the largest are not estimated.
_NEGLIGIBLE = 1e-10


def refit_head(task: Problem, H: Array) -> tuple[Array, Array]:
    """Minimise the label loss and its ridge over the coefficients of given codes.

    Parameters
    ----------
    task : Problem
        Labels, covariates and numbers; the ridge is ``(nu/2) sum_i v_i |h_i beta|^2``.
    H : ndarray of shape (n, r)
        Codes.

    Returns
    -------
    beta : ndarray of shape (r, K)
        Coefficients of the codes.
    Gamma : ndarray of shape (q, K)
        Coefficients of the covariates.
    """
    root = np.sqrt(task.v)[:, None]
    U, s, Vt = np.linalg.svd(root * H, full_matrices=False)
    kept = s > _NEGLIGIBLE * s[0] if s.size and s[0] > 0 else np.zeros(len(s), bool)
    U, s, Vt = U[:, kept], s[kept], Vt[kept]
    head = Head(
        task.Y, task.Z, task.omega, task.penalised, task.nu, task.nu_c, xp, "cpu"
    )
    K = task.Y.shape[1]
    start = np.zeros((U.shape[1], K)), np.zeros((task.Z.shape[1], K))
    point = head.minimise(U / root, *start)
    return Vt.T @ (point.beta / s[:, None]), point.Gamma
