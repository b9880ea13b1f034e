"""Feasible points and dual points of a program, and the best of each so far."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexnn import _kernels
from convexnn._measure import violation_limit
from convexnn._measure_losses import LOSSES
from convexnn.admm import Factor
from convexnn.cones import project_blocks

Array = NDArray[np.float64]

# Projected blocks this much smaller than what was projected are rounding.
NEGLIGIBLE = 1e-8


class Bounds:
    """Best upper and lower bound of one program, each with its witness.

    Parameters
    ----------
    factor : Factor
        Data and patterns.
    y : ndarray of shape (n,)
        Targets.
    alpha : float
        Weight of the penalty in the user's program, positive.
    loss : str
        Key of ``LOSSES``.
    state : dict, optional
        What :meth:`state` returned.
    """

    def __init__(
        self,
        factor: Factor,
        y: Array,
        alpha: float,
        loss: str,
        state: dict[str, Any] | None = None,
    ) -> None:
        self.factor, self.y, self.loss = factor, y, LOSSES[loss]
        self.name = loss
        self.alpha = alpha * factor.scale
        copies = 2 if factor.relu else 1
        self.patterns = np.concatenate([factor.D] * copies)
        self._signs = 2.0 * self.patterns - 1.0
        self._rows = np.linalg.norm(factor.A, axis=1)
        shape = (factor.n_blocks, factor.A.shape[1])
        self.upper = float(self.loss.value(np.zeros_like(y), y).sum())
        self.blocks = np.zeros(shape)
        self.lower = -np.inf
        self.theta = np.zeros_like(y)
        self.multipliers = np.zeros(self.patterns.shape if factor.relu else (0, 0))
        if state is not None:
            for name in ("upper", "lower"):
                setattr(self, name, float(state[name]))
            for name in ("blocks", "theta", "multipliers"):
                setattr(self, name, np.array(state[name]))

    def state(self) -> dict[str, Any]:
        """Return what restores these bounds."""
        names = ("upper", "lower", "blocks", "theta", "multipliers")
        return {name: getattr(self, name) for name in names}

    @property
    def gap(self) -> float:
        """Difference of the two bounds."""
        return self.upper - self.lower

    def objective(self, blocks: Array) -> tuple[float, Array]:
        """Return the program's objective at ``blocks``, and their products with X."""
        products = blocks @ self.factor.A.T
        z = np.empty(len(self.y))
        _kernels.gated_sum(self.factor.D, products, z)
        loss = float(self.loss.value(z, self.y).sum())
        return loss + self.alpha * float(np.linalg.norm(blocks, axis=1).sum()), products

    def try_primal(self, blocks: Array) -> None:
        """Keep ``blocks``, moved into their cones, if they are the best point."""
        value, products = self.objective(blocks)
        if self.factor.relu:
            inside = self._signs * products >= -self._room(blocks)
            outside = ~inside.all(axis=1)
            if outside.any():
                blocks = blocks.copy()
                blocks[outside] = self._into_cones(blocks, outside)
                value, _ = self.objective(blocks)
        if value < self.upper:
            self.upper, self.blocks = value, blocks

    def try_dual(
        self, theta: Array, multipliers: Array, *, project: bool = False
    ) -> None:
        """Keep ``theta``, scaled into the feasible set, if it is the best bound.

        With ``project`` the multipliers of the blocks that bind are improved by exact
        projections onto their cones.
        """
        theta = self.loss.project(theta, self.y)
        lower, norms = self._dual_bound(theta, multipliers)
        if project and self.factor.relu:
            binding = np.flatnonzero(norms > self.alpha)
            _, improved = project_blocks(
                self.factor.A,
                self.patterns[binding],
                self._gradients(theta)[binding],
                multipliers[binding],
            )
            multipliers = multipliers.copy()
            multipliers[binding] = improved
            lower, _ = self._dual_bound(theta, multipliers)
        if lower > self.lower:
            self.lower, self.theta, self.multipliers = lower, theta, multipliers

    def zero_is_optimal(self) -> bool:
        """Whether the zero network is optimal: alpha is at least alpha_max.

        Blocks are projected in the order of their gradients, until one refutes it.
        """
        theta = self.loss.theta(np.zeros_like(self.y), self.y)
        gradients = self._gradients(theta)
        norms = np.linalg.norm(gradients, axis=1)
        order = np.argsort(-norms)
        lam = np.zeros(self.patterns.shape)
        for i in order[norms[order] > self.alpha]:
            if not self.factor.relu:
                return False
            projection, lam_i = project_blocks(
                self.factor.A, self.patterns[[i]], gradients[[i]]
            )
            if np.linalg.norm(projection) > self.alpha * (1 + 1e-12):
                return False
            lam[i] = lam_i[0]
        self.try_dual(theta, lam)
        return True

    def weights(self) -> tuple[Array, Array]:
        """Return the best point as (V, W) of shape (d, P); gated: W is empty."""
        P = len(self.factor.D)
        return (
            self.factor.to_user(self.blocks[:P]),
            self.factor.to_user(self.blocks[P:]),
        )

    def x(self) -> Any:
        """Return the best point as the solver functions do: (V, W), or V if gated."""
        V, W = self.weights()
        return (V, W) if self.factor.relu else V

    def witness(self) -> dict[str, Array]:
        """Return the arrays that the certificate needs, in the user's coordinates."""
        V, W = self.weights()
        witness = {"V": V}
        if self.alpha > 0:
            witness["theta"] = self.theta
        if self.factor.relu:
            index = np.flatnonzero(self.multipliers)
            witness["W"] = W
            witness["multiplier_index"] = index
            witness["multiplier_value"] = self.multipliers.ravel()[index]
        return witness

    def _gradients(self, theta: Array) -> Array:
        half = (self.factor.D * theta) @ self.factor.A
        return np.concatenate([half, -half]) if self.factor.relu else half

    def _dual_bound(self, theta: Array, multipliers: Array) -> tuple[float, Array]:
        blocks = self._gradients(theta)
        if self.factor.relu:
            blocks = blocks + (self._signs * multipliers) @ self.factor.A
        norms = np.linalg.norm(blocks, axis=1)
        norm = float(norms.max())
        largest = float(self.alpha) / norm if norm > 0 else np.inf
        s = largest if self.name == "squared" else min(1.0, largest)
        if not self.loss.labels:
            square = float(theta @ theta)
            s = min(max(float(theta @ self.y) / square, 0.0), s) if square else 0.0
        return float(self.loss.dual(s * theta, self.y).sum()), norms

    def _into_cones(self, blocks: Array, outside: NDArray[np.bool_]) -> Array:
        """Project the blocks that are outside; what is left of rounding becomes 0."""
        patterns = self.patterns[outside]
        projected, _ = project_blocks(self.factor.A, patterns, blocks[outside])
        products = (2.0 * patterns - 1.0) * (projected @ self.factor.A.T)
        inside = products >= -self._room(projected)
        sizes, before = (
            np.linalg.norm(b, axis=1) for b in (projected, blocks[outside])
        )
        kept = inside.all(axis=1) & (sizes > NEGLIGIBLE * before)
        return np.where(kept[:, None], projected, 0.0)

    def _room(self, blocks: Array) -> Array:
        """Half of the violation (m, n) that the certificate lets pass."""
        sizes = np.linalg.norm(blocks, axis=1)
        return 0.5 * violation_limit(self._rows, sizes, self.y).T
