"""Sharpen an approximate solution of the convex program: dual tangent, primal Lasso.

Near the optimum the dual point theta violates or misses its constraints
``|Pi_K(g_i)| <= alpha``, ``g_i = +-X'D_i theta``, by a first-order error, and scaling
it into the feasible set costs as much. Two steps leave a second-order error only.

1. One Newton step makes the constraints of the blocks in use tight: theta moves along
   their gradients ``J_i = +-D_i X p_i / |p_i|``, ``p_i = Pi_K(g_i)``.
2. At the optimum ``v_i`` is a multiple of ``p_i``. So the weights are restricted to
   nonnegative combinations of these directions and of those that were there, which
   leaves a Lasso on a few columns (a fully corrective cutting plane); squared loss.
"""

import numpy as np
from numpy.typing import NDArray

from convexnn import _kernels_scp
from convexnn._measure_losses import HUBER_DELTA
from convexnn.admm import Factor
from convexnn.bounds import Bounds
from convexnn.cones import ConeProjector

Array = NDArray[np.float64]

# Blocks whose constraint is at least this close to tight give a column. Projections
# that are much shorter need not be finished.
NEARLY_TIGHT, SHORT = 0.98, 0.9

# Ridge of the Newton system, relative to its mean diagonal: gradients of blocks with
# nearly the same pattern are nearly the same.
RIDGE = 1e-10

LASSO_TOL, LASSO_EPOCHS = 1e-4, 200


class Corrector:
    """Both steps, for one factorised program and any alpha.

    Parameters
    ----------
    factor : Factor
        Data and patterns.
    y : ndarray of shape (n,)
        Targets.
    loss : {"squared", "logistic", "hinge", "huber"}
        Loss.
    """

    def __init__(self, factor: Factor, y: Array, loss: str) -> None:
        self.factor, self.y, self.loss = factor, y, loss
        copies = 2 if factor.relu else 1
        self.patterns = np.concatenate([factor.D] * copies)
        self.signs = np.ones(len(self.patterns))
        self.signs[len(factor.D) :] = -1.0
        self._project = (
            ConeProjector(factor.A, self.patterns, factor.gram) if factor.relu else None
        )

    def __call__(
        self, bounds: Bounds, theta: Array, blocks: Array
    ) -> tuple[Array, Array]:
        """Offer better points to ``bounds``, and return them.

        Parameters
        ----------
        bounds : Bounds
            Of the program with one alpha.
        theta : ndarray of shape (n,)
            Dual point.
        blocks : ndarray of shape (m, r)
            Weights inside the cones.

        Returns
        -------
        theta : ndarray of shape (n,)
            Dual point with tight constraints.
        blocks : ndarray of shape (m, r)
            Weights that the Lasso chose.
        """
        alpha = float(bounds.alpha)
        sizes = np.linalg.norm(blocks, axis=1)
        used = sizes > 0
        p = self._projections(theta, alpha)
        norms = np.linalg.norm(p, axis=1)
        tight = np.flatnonzero((norms > alpha) | (used & (norms > 0)))
        if len(tight):
            J = self._columns(p[tight] / norms[tight, None], tight)
            theta = theta + self._newton_step(theta, J, alpha - norms[tight])
        multipliers: Array = np.zeros((0, 0))
        if self._project is not None:
            multipliers = self._project.multipliers.copy()
        bounds.try_dual(theta, multipliers)
        if self.loss == "squared":
            near = np.flatnonzero(norms > NEARLY_TIGHT * alpha)
            old = np.flatnonzero(used)
            directions = [p[near] / norms[near, None], blocks[old] / sizes[old, None]]
            start = np.concatenate([np.zeros(len(near)), sizes[old]])
            owners = np.concatenate([near, old])
            blocks = self._combine(np.concatenate(directions), owners, start, alpha)
        bounds.try_primal(blocks)
        return theta, blocks

    def _projections(self, theta: Array, alpha: float) -> Array:
        """Return ``Pi_K(g_i)``; where short, a vector no shorter."""
        half = (self.factor.D * theta) @ self.factor.A
        if self._project is None:
            return half
        return self._project(np.concatenate([half, -half]), SHORT * alpha)

    def _columns(self, directions: Array, owners: NDArray[np.intp]) -> Array:
        """Return the predictions ``+-D_i X v`` of one direction a row."""
        products = directions @ self.factor.A.T
        products *= self.patterns[owners]
        products *= self.signs[owners, None]
        return products

    def _newton_step(self, theta: Array, J: Array, missing: Array) -> Array:
        """Return the shortest step with ``J step = missing``.

        Its length is measured by the curvature of the dual, whose inverse vanishes
        where theta is at the limits of its domain.
        """
        t = self.y * theta
        if self.loss == "squared":
            free = J
        elif self.loss == "logistic":
            free = J * np.clip(t * (1.0 - t), 0.0, None)
        elif self.loss == "hinge":
            free = J * ((t > 0) & (t < 1))
        else:
            free = J * (np.abs(theta) < HUBER_DELTA)
        K = free @ J.T
        size = np.trace(K) / len(K)
        if size == 0.0:
            return np.zeros_like(theta)
        K[np.diag_indices(len(K))] += RIDGE * size
        step: Array = np.linalg.solve(K, missing) @ free
        return step

    def _combine(
        self, directions: Array, owners: NDArray[np.intp], start: Array, alpha: float
    ) -> Array:
        """Return the best nonnegative combination of the directions, as blocks."""
        blocks = np.zeros((len(self.patterns), directions.shape[1]))
        if len(owners):
            columns = self._columns(directions, owners)
            lengths = start.copy()
            _kernels_scp.lasso(
                columns @ columns.T,
                columns @ self.y,
                alpha,
                LASSO_TOL,
                LASSO_EPOCHS,
                True,
                lengths,
            )
            np.add.at(blocks, owners, lengths[:, None] * directions)
        return blocks
