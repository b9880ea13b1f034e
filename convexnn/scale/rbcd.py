"""ADMM-RBCD: the ADMM of the paper, whose u-step factors nothing of size n or P.

Bai, Gautam and Sojoudi (arXiv:2201.01965, section 4) split the weights, ``u = v``, and
the cone constraints, ``s_i = S_i A u_i >= 0``. With scaled duals lam and nu:

    u   <- argmin L(F u, y) + rho/2 sum_i (|u_i - v_i + lam_i|^2
                                           + |S_i A u_i - s_i + nu_i|^2)
    v   <- groupshrink(u + lam, alpha / rho)
    s   <- max(S A u + nu, 0)
    lam <- lam + u - v,   nu <- nu + S A u - s

and solve the u-step approximately by randomised block coordinate descent with Armijo
backtracking, until the mean decrease of the last steps falls below a threshold that
falls geometrically. Since ``S_i'S_i`` is the identity, the quadratic part of every
block has the same matrix ``B = I + A'A``; steps are taken in its metric, by one r x r
Cholesky factor, instead of the plain gradient of the paper, which A'A would make short.
The program without cones splits ``u = v`` alone, and B is the identity.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexnn import _kernels
from convexnn._measure_losses import HUBER_DELTA, LOSSES
from convexnn.admm import ADAPT_AT, Factor, balance, first_rho
from convexnn.scale import _kernels as _kernels_large
from farkas.checkpoint import pack_generator, unpack_generator

Array = NDArray[np.float64]

# Codes of the losses in the kernel; the hinge loss has no gradient.
SMOOTH = {"squared": 0, "logistic": 1, "huber": 2}

# Line search and stopping rule of the u-step, from section 4 of the paper.
SHRINK, GROW, ARMIJO = 2.5, 1.05, 1e-3
# Threshold of the k-th u-step, relative to the loss at zero: FIRST FALL^k, or LAST.
FIRST, FALL, LAST = 1e-4, 0.9, 1e-16
RELAXATION = 1.6  # 1 in the paper; any value in (0, 2) converges
# Weight of the constraints s = sqrt(weight) S A u, 1 in the paper: more keeps v closer
# to the cones.
CONE_WEIGHT = 10.0
SWEEPS = 20  # steps of one u-step, at most, in multiples of P


class RandomizedIteration:
    """The splitting iteration of the paper; `advance` is one step of it.

    Parameters
    ----------
    factor : Factor
        Data and patterns; only ``A`` and ``D`` are used.
    y : ndarray of shape (n,)
        Targets.
    alpha : float
        Weight of the penalty in the user's program.
    loss : {"squared", "logistic", "huber"}
        Loss.
    rho : float, optional
        First penalty parameter.
    x0 : ndarray of shape (m, r), optional
        Blocks to start from.
    state : dict, optional
        What :meth:`state` returned, to continue bit for bit.
    """

    check_every = 25

    def __init__(
        self,
        factor: Factor,
        y: Array,
        alpha: float,
        loss: str,
        *,
        rho: float | None = None,
        x0: Array | None = None,
        state: dict[str, Any] | None = None,
    ) -> None:
        if loss not in SMOOTH:
            raise ValueError(
                f"u_update='rbcd' needs a loss with a gradient, one of "
                f"{sorted(SMOOTH)}; for loss={loss!r} use u_update='auto'."
            )
        self.factor, self.y, self.loss = factor, y, loss
        self.alpha = alpha * factor.scale
        n, r = factor.A.shape
        m = factor.n_blocks
        self.rho = first_rho(rho, self.alpha, m, y)
        self.nit = 0
        self._at_zero = float(LOSSES[loss].value(np.zeros(n), y).sum())
        copies = 2 if factor.relu else 1
        self._signs = np.concatenate([2.0 * factor.D - 1.0] * copies)
        self._weight = np.sqrt(CONE_WEIGHT) if factor.relu else 0.0
        self._metric = np.eye(r) + self._weight**2 * (factor.A.T @ factor.A)
        # Of the loss, in this metric, at most; the steepest loss is the squared one.
        inner = factor.A.T @ factor.A
        self._curvature = copies * float(np.trace(np.linalg.solve(self._metric, inner)))
        self._root = np.ascontiguousarray(np.linalg.cholesky(self._metric))
        self._transposed = np.ascontiguousarray(factor.A.T)
        self.u = np.zeros((m, r)) if x0 is None else np.array(x0)
        self.v = self.u.copy()
        self.lam = np.zeros((m, r))
        self.nu = np.zeros((m, n) if factor.relu else (0, 0))
        self.s = np.maximum(self._products(), 0.0)
        self.prediction = np.empty(n)
        self._step = 1.0
        self._moved = np.inf
        self._rng = np.random.default_rng(0)  # the solution does not depend on it
        if state is not None:
            self.rho, self.nit = float(state["rho"]), int(state["nit"])
            self._step = float(state["rbcd_step"])
            self._rng = unpack_generator(str(state["rbcd_generator"]))
            for name in ("u", "v", "s", "lam", "nu"):
                setattr(self, name, np.array(state[f"rbcd_{name}"]))
        self._predict()

    @property
    def point(self) -> Array:
        """What the driver watches for numbers that are not finite."""
        return np.concatenate([self.u.ravel(), self.lam.ravel(), self.prediction])

    def state(self) -> dict[str, Any]:
        """Return what continues this iteration bit for bit."""
        names = ("u", "v", "s", "lam", "nu")
        return {
            "rho": self.rho,
            "nit": self.nit,
            "rbcd_step": self._step,
            "rbcd_generator": pack_generator(self._rng),
            **{f"rbcd_{name}": getattr(self, name).copy() for name in names},
        }

    def advance(self) -> None:
        """Take one step of the ADMM."""
        self.nit += 1
        self._descend()
        before, products = (self.v, self.s), self._products()
        relaxed = RELAXATION * self.u + (1.0 - RELAXATION) * self.v
        relaxed_products = RELAXATION * products + (1.0 - RELAXATION) * self.s
        self.v = np.empty_like(self.u)
        _kernels.shrink_blocks(relaxed + self.lam, self.alpha / self.rho, self.v)
        self.s = np.maximum(relaxed_products + self.nu, 0.0)
        self.lam += relaxed - self.v
        self.nu += relaxed_products - self.s
        primal = _norm(self.u - self.v, products - self.s)
        dual = _norm(self.v - before[0], self.s - before[1])
        self._moved = max(primal, dual) / (_norm(self.v, self.s) or 1.0)
        if self.nit in ADAPT_AT:
            size = _norm(self.lam, self.nu)
            largest = max(_norm(self.u, products), _norm(self.v, self.s), size)
            self._set_rho(
                balance(self.rho, primal / (largest or 1.0), dual / (size or 1.0))
            )

    def blocks(self) -> Array:
        """Return the weights v of the last step, (m, r): sparse, near the cones."""
        return self.v.copy()

    def theta(self) -> Array:
        """Return the dual point -L'(F u) of the last step, (n,)."""
        return LOSSES[self.loss].theta(self.prediction, self.y)

    def multipliers(self) -> Array:
        """Return the multipliers of the cone constraints, (m, n); gated: (0, 0)."""
        return self.rho * self._weight * np.maximum(-self.nu, 0.0)

    def is_stationary(self) -> bool:
        """Whether the last step was rounding: nothing more will be gained."""
        return self._moved <= 1e-15

    def _descend(self) -> None:
        """Lower the objective of the u-step, from where the last one ended."""
        P = len(self.factor.D)
        centers = self.v - self.lam
        if self.factor.relu:
            pull = (self._signs * (self.s - self.nu)) @ self.factor.A
            centers += self._weight * pull
        self._predict()
        threshold = max(FIRST * FALL**self.nit, LAST) * self._at_zero / P
        self._step, _ = _kernels_large.descend_blocks(
            self.factor.A,
            self.factor.D,
            self._metric,
            self._root,
            centers,
            self.u,
            self.prediction,
            self.y,
            SMOOTH[self.loss],
            HUBER_DELTA,
            self.rho,
            self._rng.integers(P, size=SWEEPS * P),
            self._step,
            1.0 / (self.rho + self._curvature),
            int(np.ceil(np.sqrt(P))),
            threshold,
            SHRINK,
            GROW,
            ARMIJO,
        )

    def _predict(self) -> None:
        """Compute ``F u`` anew, so that the updates of the descent do not add up."""
        products = self.u @ self._transposed
        _kernels.gated_sum(self.factor.D, products, self.prediction)

    def _products(self) -> Array:
        """Return ``sqrt(weight) S_i A u_i`` of all blocks, (m, n); gated: (0, 0)."""
        if not self.factor.relu:
            return np.zeros((0, 0))
        products: Array = self.u @ self._transposed
        products *= self._weight * self._signs
        return products

    def _set_rho(self, rho: float) -> None:
        self.lam *= self.rho / rho
        self.nu *= self.rho / rho
        self.rho = rho


def _norm(*parts: Array) -> float:
    return float(np.sqrt(sum(float(np.vdot(part, part)) for part in parts)))
