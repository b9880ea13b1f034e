"""The head: ridge logistic regression on few features and the covariates, by Newton.

    min_{beta, Gamma}  sum_i omega_i loss(f_i beta + z_i Gamma)
                       + (nu/2) |beta|^2 + (nu_c/2) |Gamma_pen|^2

It has r K + q K unknowns and is solved again and again from nearby points, so two to
six steps are enough.
"""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from farkas.backend import asnumpy, to_device
from sdl._array import hessian, label_loss, softmax

Array = NDArray[np.float64]

# A squared Newton decrement below this share of the objective is rounding.
DECREMENT = 1e-22
# Share of the trace that is added to a singular Hessian: covariates without a penalty
# that are collinear, or a sample all of whose probabilities have saturated.
JITTER = 1e-14
_HALVINGS = 40
# Squared decrement, over the value, that the value cannot show.
ROUNDING_SHARE = 1e-12


@dataclasses.dataclass
class HeadPoint:
    """Coefficients of the head, what they cost, and the label residual there."""

    beta: Array  # (r, K)
    Gamma: Array  # (q, K)
    value: float  # label loss and both ridges
    label_loss: float
    alpha: Any  # (n, K) omega (Y - P), on the device
    P: Any  # (n, K), on the device
    converged: bool


class Head:
    """What stays the same from one head to the next.

    Parameters
    ----------
    Y, Z, omega : ndarray of shape (n, K), (n, q), (n,)
        Labels, covariates and label weights.
    penalised : ndarray of shape (q,)
        Which covariates are ridged.
    nu, nu_c : float
        Ridge of the features and of the covariates.
    xp, device : module and device
        Where the arrays of length n live.
    """

    def __init__(
        self,
        Y: Array,
        Z: Array,
        omega: Array,
        penalised: NDArray[np.bool_],
        nu: float,
        nu_c: float,
        xp: Any,
        device: Any,
    ) -> None:
        self.xp, self.device = xp, device
        self.Y, self.Z = to_device(Y, xp, device), to_device(Z, xp, device)
        self.omega = to_device(np.ascontiguousarray(omega[:, None]), xp, device)
        self.nu, self.nu_c, self.penalised = nu, nu_c, penalised
        self.n_scores = Y.shape[1]

    def at(self, M: Any, theta: Array, r: int) -> HeadPoint:
        """Evaluate the coefficients ``theta`` (r + q, K) on the features M."""
        xp = self.xp
        D = M @ to_device(theta, xp, self.device)
        P = softmax(xp, D)
        loss = label_loss(xp, D, self.Y, self.omega)
        beta, Gamma = theta[:r], theta[r:]
        ridge = 0.5 * self.nu * float(np.sum(beta * beta))
        ridge += 0.5 * self.nu_c * float(np.sum(Gamma[self.penalised] ** 2))
        alpha = self.omega * (self.Y - P)
        return HeadPoint(beta, Gamma, loss + ridge, loss, alpha, P, False)

    def minimise(
        self,
        F: Any,
        beta: Array,
        Gamma: Array,
        *,
        steps: int = 50,
        enough: float = 0.0,
        start: HeadPoint | None = None,
    ) -> HeadPoint:
        """Damped Newton from a start; the value never rises.

        Parameters
        ----------
        F : array of shape (n, r)
            Features, on the device.
        beta, Gamma : ndarray of shape (r, K), (q, K)
            Start.
        steps : int, default=50
            Largest number of steps.
        enough : float, default=0.0
            Squared Newton decrement at which to stop early.
        start : HeadPoint, optional
            The start where it has been evaluated already.

        Returns
        -------
        HeadPoint
        """
        r = F.shape[1]
        M = self.xp.concat([F, self.Z], axis=1) if self.Z.shape[1] else F
        point = start or self.at(M, np.concatenate([beta, Gamma]), r)
        ridge = np.concatenate(
            [np.full(r, self.nu), np.where(self.penalised, self.nu_c, 0.0)]
        )
        for _ in range(steps):
            theta = np.concatenate([point.beta, point.Gamma])
            slope = ridge[:, None] * theta - asnumpy(
                self.xp.matrix_transpose(M) @ point.alpha
            )
            step = self._newton_step(M, point, ridge, slope)
            decrement = float(np.sum(slope * step))
            if not decrement > max(DECREMENT * abs(point.value), enough, 1e-300):
                point.converged = True
                break
            new = self._line_search(M, point, theta, step, decrement, r)
            if new is None:  # stationary to rounding
                point.converged = True
                break
            point = new
        return point

    def _newton_step(
        self, M: Any, point: HeadPoint, ridge: Array, slope: Array
    ) -> Array:
        H = hessian(self.xp, M, point.P, self.omega)
        diagonal = np.einsum("ii->i", H)
        diagonal += np.tile(ridge, self.n_scores)
        diagonal += JITTER * diagonal.sum() / len(H)
        flat = slope.T.ravel()
        try:
            step = cho_solve(cho_factor(H, check_finite=False), flat)
        except np.linalg.LinAlgError:
            diagonal += 1e-8 * diagonal.max()
            step = np.linalg.lstsq(H, flat, rcond=None)[0]
        return step.reshape(self.n_scores, -1).T

    def _line_search(
        self,
        M: Any,
        point: HeadPoint,
        theta: Array,
        step: Array,
        decrement: float,
        r: int,
    ) -> HeadPoint | None:
        size = 1.0
        # Below this the decrease drowns in the rounding of the value.
        tiny = decrement < ROUNDING_SHARE * abs(point.value)
        for _ in range(1 if tiny else _HALVINGS):
            new = self.at(M, theta - size * step, r)
            asked = 0.0 if tiny else 1e-4 * size * decrement
            if new.value <= point.value - asked:
                return new
            size *= 0.5
        return None
