"""ADMM for the robust convex programs of two-layer ReLU networks.

The program is ``min sum_k l_k(Z_k) + g(u)`` subject to ``Z = F u``: row k of Z is the
vector ``zeta_k = sum_i d_ik (v_i - w_i)`` that the largest loss of sample k depends on,
and g holds the penalty and the robust cones. One iteration is

    v = prox_g(x), Z = prox_l(T)     project and shrink; one scalar equation a sample
    (u, F u) = the nearest point with Z = F u to the reflection 2 (v, Z) - (x, T)
    (x, T) = (x, T) + 1.8 ((u, F u) - (v, Z))

as in admm.py. Unlike there the blocks are coupled through ``D D'`` alone, so the system
is the same for all columns, n x n or P x P, whichever is smaller. The cones stay inside
the prox of g, as there: splitting them off, with ``s = S X v`` and ``r = v``, leads to
a Sylvester equation and takes many times the iterations.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convexnn import _kernels
from convexnn._measure_cells import lengths
from convexnn.admm import ADAPT_AT, ADAPT_FACTOR, RELAXATION, RHO_FACTOR, RHO_RANGE
from convexnn.anderson import INTERVAL, Anderson
from convexnn.robust import _kernels as _kernels_robust
from convexnn.robust.cones import RobustConeProjector
from convexnn.scale.drift import LOOK_EVERY, Drift

Array = NDArray[np.float64]

_PROX = {
    "hinge": _kernels_robust.prox_robust_hinge,
    "logistic": _kernels_robust.prox_robust_logistic,
    "squared": _kernels_robust.prox_robust_squared,
}

# Weight of Z = F u beside u = v. Measured on 42 programs (breast cancer, moons and
# Gaussian data, three losses): 0.5 takes fewest iterations, 0.2 and 1 some 20 % more.
COUPLING = 0.5


class Dual(NamedTuple):
    """A dual point: rows Theta within ``amplitude eps`` of ``theta X``."""

    Theta: Array  # (n, d)
    theta: Array  # (n,)
    amplitude: Array  # (n,)


@dataclasses.dataclass(frozen=True, eq=False)
class RobustFactor:
    """What all robust programs on the same data, radius and patterns share."""

    A: Array  # (n, d) data of unit mean square row norm, X * scale
    eps: Array  # (d,) radius * scale
    scale: float
    D: Array  # (P, n) patterns as 0.0 / 1.0
    solution: Array  # (P, n) 2 c (I + 2 c^2 D D')^{-1} D, c the coupling

    @property
    def n_blocks(self) -> int:
        """Blocks of weights, V and W."""
        return 2 * len(self.D)

    def to_internal(self, weights: Array) -> Array:
        """Map weights (d, P) of the user's program to blocks (P, d)."""
        return weights.T / self.scale

    def to_user(self, blocks: Array) -> Array:
        """Map blocks (P, d) to weights (d, P) of the user's program."""
        return self.scale * blocks.T


def factorize_robust(X: Array, eps: Array, patterns: NDArray[Any]) -> RobustFactor:
    """Scale the data and solve once for what couples the blocks.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Data, with the intercept column.
    eps : ndarray of shape (d,)
        Radius of each column.
    patterns : ndarray of shape (n, P)
        Activation patterns, 0/1.

    Returns
    -------
    RobustFactor
        Costs O(n P min(n, P)) time and O(n P) memory.
    """
    size = float(np.abs(X).max()) or 1.0  # so that squares neither over- nor underflow
    scale = math.sqrt(len(X)) / (float(np.linalg.norm(X / size)) or 1.0)
    D = np.ascontiguousarray(patterns.T, dtype=np.float64)
    P, n = D.shape
    c = COUPLING
    if P <= n:
        solution = np.linalg.solve(np.eye(P) + 2 * c**2 * (D @ D.T), 2 * c * D)
    else:
        solution = np.linalg.solve(np.eye(n) + 2 * c**2 * (D.T @ D), 2 * c * D.T).T
    return RobustFactor(
        A=np.ascontiguousarray(X / size * scale),
        eps=eps / size * scale,
        scale=scale / size,
        D=D,
        solution=np.ascontiguousarray(solution),
    )


class RobustIteration:
    """The splitting iteration of one robust program; `advance` is one step of it.

    Parameters
    ----------
    factor : RobustFactor
        Shared factorisation.
    y : ndarray of shape (n,)
        Targets; -1/+1 for classification losses.
    alpha : float
        Weight of the penalty in the user's program.
    loss : {"hinge", "squared", "logistic"}
        Loss.
    rho : float, optional
        First penalty parameter; default: in proportion to alpha over the size of
        the targets.
    x0 : ndarray of shape (m, d), optional
        Blocks to start from.
    state : dict, optional
        What :meth:`state` returned, to continue bit for bit.
    """

    check_every = 10  # iterations between two looks at the gap

    def __init__(
        self,
        factor: RobustFactor,
        y: Array,
        alpha: float,
        loss: str,
        *,
        rho: float | None = None,
        x0: Array | None = None,
        state: dict[str, Any] | None = None,
    ) -> None:
        self.factor, self.y, self.loss = factor, y, loss
        self.alpha = alpha * factor.scale
        n, d = factor.A.shape
        m = factor.n_blocks
        self._weights, self._samples = slice(0, m * d), slice(m * d, (m + n) * d)
        self._shape = {0: (m, d), m * d: (n, d)}
        if rho is None:  # without it, targets in other units would take other steps
            size = float(lengths(y, axis=0)) / math.sqrt(n) or 1.0
            rho = RHO_FACTOR * math.sqrt(m) * float(self.alpha) / size
        self.rho = min(max(rho, RHO_RANGE[0]), RHO_RANGE[1])
        self.nit = 0
        self.point = np.zeros((m + n) * d)  # (x, T)
        self.prox = np.zeros_like(self.point)  # (v, Z)
        self._image = np.zeros_like(self.point)  # (u, F u)
        self._step = np.full_like(self.point, np.inf)
        self._theta, self._amplitude = np.zeros(n), np.zeros(n)
        self._Theta = np.zeros((n, d))
        patterns = np.concatenate([factor.D, factor.D])
        self._project = RobustConeProjector(factor.A, factor.eps, patterns)
        if x0 is not None:
            self._part(self.point, self._weights)[:] = x0
            q = x0[: m // 2] - x0[m // 2 :]
            self._part(self.point, self._samples)[:] = COUPLING * (factor.D.T @ q)
        self.anderson = Anderson(len(self.point), state)
        self.drift = Drift(len(self.point), state)
        if state is not None:
            self.rho, self.nit = float(state["rho"]), int(state["nit"])
            self.point[:] = state["point"]
            self._project.restore(state)

    def state(self) -> dict[str, Any]:
        """Return what continues this iteration bit for bit."""
        return {
            "point": self.point.copy(),
            **self._project.state(),
            "rho": self.rho,
            "nit": self.nit,
            **self.anderson.state(),
            **self.drift.state(),
        }

    def advance(self) -> None:
        """Move the point by one relaxed splitting step, accelerated now and then."""
        self.nit += 1
        self._apply_prox()
        self._couple()
        np.subtract(self._image, self.prox, out=self._step)
        self._step *= RELAXATION
        image = self.point + self._step
        leap = None
        if self.nit % LOOK_EVERY == 0 and self.nit not in ADAPT_AT:
            leap = self.drift.propose(image, self._step)
        if leap is not None:
            self.point = leap
            self.anderson.reset()
        elif self.nit in ADAPT_AT:
            self.point = image
            self._adapt_rho()
            self.drift.reset()
        elif self.nit % INTERVAL == 0:
            self.point = self.anderson.propose(image, self._step)
        else:
            self.point = image

    def blocks(self) -> Array:
        """Return the weights v of the last step, (m, d): sparse, inside the cones."""
        return self._part(self.prox, self._weights).copy()

    def theta(self) -> Dual:
        """Return the dual point of the last step, in the user's coordinates of y."""
        return Dual(self._Theta.copy(), self._theta.copy(), self._amplitude.copy())

    def multipliers(self) -> Array:
        """Return the multipliers of the cone constraints, (m, n)."""
        return self.rho * self._project.multipliers()

    def is_stationary(self) -> bool:
        """Whether the last step was rounding: nothing more will be gained."""
        size = float(np.linalg.norm(self.point))
        return float(np.linalg.norm(self._step)) <= 1e-15 * size

    def _part(self, vector: Array, where: slice) -> Array:
        return vector[where].reshape(self._shape[where.start])

    def _apply_prox(self) -> None:
        """Set (v, Z) = prox of the point, and the dual point that belongs to Z."""
        threshold = self.alpha / self.rho
        projection = self._project(self._part(self.point, self._weights), threshold)
        _kernels.shrink_blocks(
            projection, threshold, self._part(self.prox, self._weights)
        )
        center = self._part(self.point, self._samples) / COUPLING
        weight = self.rho * COUPLING**2
        Z = np.empty_like(center)
        _PROX[self.loss](
            center,
            self.factor.A,
            self.factor.eps,
            self.y,
            weight,
            Z,
            self._theta,
            self._amplitude,
        )
        self._Theta = weight * (Z - center)
        self._part(self.prox, self._samples)[:] = COUPLING * Z

    def _couple(self) -> None:
        """Set (u, F u), the nearest such point to ``2 (v, Z) - (x, T)``."""
        np.multiply(self.prox, 2.0, out=self._image)
        self._image -= self.point
        D, P = self.factor.D, len(self.factor.D)
        u = self._part(self._image, self._weights)
        Fu = self._part(self._image, self._samples)
        q = u[:P] - u[P:]
        push = self.factor.solution @ (Fu - COUPLING * (D.T @ q))
        u[:P] += 0.5 * push
        u[P:] -= 0.5 * push
        Fu[:] = COUPLING * (D.T @ (q + push))

    def _adapt_rho(self) -> None:
        """Balance the relative primal and dual residuals (Boyd et al., 2011)."""
        before = self.prox.copy()
        self._apply_prox()
        dual = self.point - self.prox
        size = float(np.linalg.norm(dual))
        largest = max(np.linalg.norm(self._image), np.linalg.norm(before), size)
        primal_residual = np.linalg.norm(self._image - before) / (largest or 1.0)
        dual_residual = np.linalg.norm(self.prox - before) / (size or 1.0)
        if not (primal_residual > 0 or dual_residual > 0):
            return
        factor = ADAPT_FACTOR  # as long as all blocks stay zero, they do not move
        if dual_residual > 0:
            factor = float(np.sqrt(primal_residual / dual_residual))
        factor = min(max(factor, 1.0 / ADAPT_FACTOR), ADAPT_FACTOR)
        rho = min(max(self.rho * factor, RHO_RANGE[0]), RHO_RANGE[1])
        if 0.5 <= factor <= 2.0 or rho == self.rho:
            return
        self.point = self.prox + dual * (self.rho / rho)
        self._project.rescale(self.rho / rho)
        self.rho = rho
        self.anderson.reset()
