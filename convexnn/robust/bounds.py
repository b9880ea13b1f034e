"""Feasible points and dual points of a robust program, and the best of each so far."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexnn._measure_cells import lengths
from convexnn._measure_robust import ROBUST_LOSSES, robust_violation_limit
from convexnn.bounds import NEGLIGIBLE
from convexnn.robust.admm import Dual, RobustFactor
from convexnn.robust.cones import RobustConeProjector

Array = NDArray[np.float64]

# -dl/dz over y at the zero network.
_SLOPE_AT_ZERO = {"hinge": 1.0, "logistic": 0.5, "squared": 1.0}

# Relative gap that rounding leaves.
ROUNDING = 1e-12


class RobustBounds:
    """Best upper and lower bound of one robust program, each with its witness.

    Parameters
    ----------
    factor : RobustFactor
        Data, radius and patterns.
    y : ndarray of shape (n,)
        Targets.
    alpha : float
        Weight of the penalty in the user's program, positive.
    loss : str
        Key of ``ROBUST_LOSSES``.
    state : dict, optional
        What :meth:`state` returned.
    """

    def __init__(
        self,
        factor: RobustFactor,
        y: Array,
        alpha: float,
        loss: str,
        state: dict[str, Any] | None = None,
    ) -> None:
        self.factor, self.y, self.loss = factor, y, ROBUST_LOSSES[loss]
        self.name = loss
        self.alpha = alpha * factor.scale
        self.patterns = np.concatenate([factor.D, factor.D])
        self._signs = 2.0 * self.patterns - 1.0
        self._rows = lengths(factor.A, axis=1) + float(lengths(factor.eps, axis=0))
        zero = np.zeros_like(y)
        self.upper = float(self.loss.value(zero, zero, y).sum())
        self.blocks = np.zeros((factor.n_blocks, factor.A.shape[1]))
        self.lower = -np.inf
        self.dual = Dual(np.zeros(factor.A.shape), zero.copy(), zero.copy())
        self.multipliers = np.zeros(self.patterns.shape)
        if state is not None:
            self.upper, self.lower = float(state["upper"]), float(state["lower"])
            self.blocks = np.array(state["blocks"])
            self.multipliers = np.array(state["multipliers"])
            self.dual = Dual(*(np.array(state[name]) for name in Dual._fields))

    def state(self) -> dict[str, Any]:
        """Return what restores these bounds."""
        names = ("upper", "lower", "blocks", "multipliers")
        return {name: getattr(self, name) for name in names} | self.dual._asdict()

    @property
    def gap(self) -> float:
        """Difference of the two bounds."""
        return self.upper - self.lower

    def objective(self, blocks: Array) -> float:
        """Return the program's objective at ``blocks``."""
        P = len(self.factor.D)
        zeta = self.factor.D.T @ (blocks[:P] - blocks[P:])
        z = np.sum(self.factor.A * zeta, axis=1)
        size = np.abs(zeta) @ self.factor.eps
        loss = float(self.loss.value(z, size, self.y).sum())
        return loss + self.alpha * float(np.linalg.norm(blocks, axis=1).sum())

    def try_primal(self, blocks: Array) -> None:
        """Keep ``blocks``, moved into their cones, if they are the best point."""
        outside = ~self._inside(blocks)
        if outside.any():
            blocks = blocks.copy()
            blocks[outside] = self._into_cones(blocks[outside], outside)
        value = self.objective(blocks)
        if value < self.upper:
            self.upper, self.blocks = value, blocks

    def try_dual(
        self, theta: Dual, multipliers: Array, *, project: bool = False
    ) -> None:
        """Keep a dual point, scaled into the feasible set, if it is the best bound.

        With ``project`` the multipliers of the blocks that bind are improved by exact
        projections onto their cones.
        """
        lower, norms = self._dual_bound(theta, multipliers)
        if project:
            binding = np.flatnonzero(norms > self.alpha)
            projector = self._projector(binding)
            projector(self._gradients(theta.Theta)[binding])
            multipliers = multipliers.copy()
            multipliers[binding] = projector.multipliers()
            lower, _ = self._dual_bound(theta, multipliers)
        if lower > self.lower:
            self.lower, self.dual, self.multipliers = lower, theta, multipliers

    def zero_is_optimal(self) -> bool:
        """Whether the zero network is seen to be optimal.

        The worst-case loss has a kink there. Two of its subgradients are tried: the
        one without perturbations, and the one with all entries as small as they get.
        """
        theta = _SLOPE_AT_ZERO[self.name] * self.y
        clean = theta[:, None] * self.factor.A
        width = np.abs(theta)[:, None] * self.factor.eps
        least = np.sign(clean) * np.maximum(np.abs(clean) - width, 0.0)
        for Theta in (clean, least):
            dual = Dual(Theta, theta, np.abs(theta))
            none = np.zeros(self.patterns.shape)
            self.try_dual(dual, none, project=True)
            if self.gap <= ROUNDING * self.upper:
                return True
        return False

    def weights(self) -> tuple[Array, Array]:
        """Return the best point as (V, W) of shape (d, P)."""
        P = len(self.factor.D)
        return (
            self.factor.to_user(self.blocks[:P]),
            self.factor.to_user(self.blocks[P:]),
        )

    def x(self) -> Any:
        """Return the best point as the solver functions do."""
        return self.weights()

    def witness(self) -> dict[str, Array]:
        """Return the arrays that the certificate needs, in the user's coordinates."""
        V, W = self.weights()
        index = np.flatnonzero(self.multipliers)
        return {
            "V": V,
            "W": W,
            "Theta": self.dual.Theta / self.factor.scale,
            "theta": self.dual.theta,
            "amplitude": self.dual.amplitude,
            "multiplier_index": index,
            "multiplier_value": self.multipliers.ravel()[index],
        }

    def _gradients(self, Theta: Array) -> Array:
        half = self.factor.D @ Theta
        return np.concatenate([half, -half])

    def _dual_bound(self, dual: Dual, multipliers: Array) -> tuple[float, Array]:
        """Return the best value on the multiples of a dual point, and block norms."""
        h = self._gradients(dual.Theta) + (self._signs * multipliers) @ self.factor.A
        shrink = multipliers.sum(axis=1)[:, None] * self.factor.eps
        norms = np.linalg.norm(np.maximum(np.abs(h) - shrink, 0.0), axis=1)
        norm = float(norms.max())
        largest = float(self.alpha) / norm if norm > 0 else np.inf
        theta, b = self.loss.project(dual.theta, dual.amplitude, self.y)
        s = min(1.0, largest)
        if not self.loss.labels:  # the dual is a parabola in s
            square = float(b @ b)
            s = min(max(float(theta @ self.y) / square, 0.0), largest) if square else 0
        return float(self.loss.dual(s * theta, s * b, self.y).sum()), norms

    def _projector(self, which: NDArray[Any]) -> RobustConeProjector:
        return RobustConeProjector(self.factor.A, self.factor.eps, self.patterns[which])

    def _into_cones(self, blocks: Array, outside: NDArray[np.bool_]) -> Array:
        """Project blocks that are outside; what is left of rounding becomes zero."""
        projected = self._projector(outside)(blocks)
        sizes, before = (np.linalg.norm(b, axis=1) for b in (projected, blocks))
        kept = self._inside(projected, outside) & (sizes > NEGLIGIBLE * before)
        return np.where(kept[:, None], projected, 0.0)

    def _inside(self, blocks: Array, which: Any = slice(None)) -> NDArray[np.bool_]:
        """Tell which blocks (m, d) violate no constraint by more than half the room."""
        values = self._signs[which] * (blocks @ self.factor.A.T)
        values -= (np.abs(blocks) @ self.factor.eps)[:, None]
        sizes = np.linalg.norm(blocks, axis=1)
        room = 0.5 * robust_violation_limit(self._rows, sizes, self.y).T
        inside: NDArray[np.bool_] = (values >= -room).all(axis=1)
        return inside
