"""ADMM for the convex programs of two-layer ReLU and gated ReLU networks.

The program is ``min L(F u, y) + g(v)`` subject to ``u = v``, where
``F = [D_1 X, ..., D_P X, -D_1 X, ..., -D_P X]`` predicts and g holds the penalty
``alpha sum |v_i|`` and, for ReLU units, the cones ``K_i = {v : S_i X v >= 0}``. Losses
other than the squared one are split as well, ``z = F u``. One iteration is

    v = prox_g(x)                    project onto the cones, then shrink the norms
    u = argmin L(F u, y) + rho/2 |u - (2 v - x)|^2
    x = x + 1.8 (u - v)

with ``x = v + lam`` (Douglas-Rachford form of scaled ADMM, over-relaxed). Bai, Gautam
and Sojoudi (arXiv:2201.01965) split the cone constraints too and factor a matrix of
size 2dP for the u-step. Neither is needed. The prox of penalty plus cone is the
projection followed by shrinkage, because K is a cone; with the constraints inside the
prox the iteration converges linearly after some 100 steps instead of several 1000, and
every iterate is feasible and has exact multipliers. And by Woodbury's identity all
that couples the blocks is the n x n matrix

    F F' = 2 (D D') o (X X')         (gated: without the 2)

whose eigenvectors serve every rho. Where n is too large for them, large.py solves with
it by other means.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexnn import _kernels
from convexnn._measure_cells import lengths
from convexnn.anderson import INTERVAL, Anderson
from convexnn.cones import ConeProjector
from convexnn.prox import PROX
from convexnn.scale.cones import LargeConeProjector
from convexnn.scale.normal import UStep, choose, prepare_u_step

Array = NDArray[np.float64]

RELAXATION = 1.8  # any value in (0, 2) converges (Eckstein and Bertsekas, 1992)

# First penalty over alpha sqrt(m) for m blocks, data and targets of unit mean square:
# the more blocks share the weights, the smaller each, the less may be cut off at once.
# Measured on 16 programs, six of them on real data.
RHO_FACTOR = 0.3
RHO_RANGE = (1e-6, 1e6)
ADAPT_AT = (20, 60, 180, 540, 1500)  # then fixed, as the convergence proof needs
# Iterations between two looks at the gap, each worth about half an iteration.
CHECK_EVERY = 10
ADAPT_FACTOR = 5.0  # largest change of rho at once


@dataclasses.dataclass(frozen=True, eq=False)
class Factor:
    """What all programs on the same data and patterns share.

    ``X = A @ basis / scale`` with A (n, r) of unit mean square row norm.
    """

    A: Array  # (n, r) data in the basis of the right singular vectors
    basis: Array  # (r, d) orthonormal rows
    scale: float
    D: Array  # (P, n) patterns as 0.0 / 1.0
    relu: bool  # with cone constraints, V and W; otherwise gated
    gram: Array  # (n, n) A A'; empty without eigenvectors
    eigenvalues: Array  # (n,) of F F'; empty without eigenvectors
    eigenvectors: Array  # (n, n); empty where `u_step` takes their place
    u_step: Callable[[], UStep] | None = None  # starts the u-step of one run

    @property
    def n_blocks(self) -> int:
        """Blocks of weights: V and W, or one for the gated program."""
        return (2 if self.relu else 1) * len(self.D)

    def to_internal(self, weights: Array) -> Array:
        """Map weights (d, P) of the user's program to blocks (P, r)."""
        return (self.basis @ weights).T / self.scale

    def to_user(self, blocks: Array) -> Array:
        """Map blocks (P, r) to weights (d, P) of the user's program."""
        return self.scale * (blocks @ self.basis).T


def factorize(
    X: Array, patterns: NDArray[Any], activation: str, u_update: str = "auto"
) -> Factor:
    """Reduce the data to their row space and diagonalise what couples the blocks.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Data, with the intercept column.
    patterns : ndarray of shape (n, P)
        Activation patterns, 0/1.
    activation : {"relu", "gated"}
        The program.
    u_update : {"auto", "eigh", "cholesky", "cg"}, default="auto"
        How the u-step is solved, see :func:`convexnn.scale.normal.choose`.

    Returns
    -------
    Factor
        Costs O(n d^2 + n^2 P + n^3) time and O(n^2 + n P) memory with eigenvectors;
        without, see :mod:`convexnn.scale.normal`.
    """
    factor = reduce(X, patterns, activation)
    if u_update == "auto":
        u_update = choose(len(X), factor.D.shape[0] * factor.A.shape[1])
    return couple(factor, u_update)


def reduce(X: Array, patterns: NDArray[Any], activation: str) -> Factor:
    """Reduce the data to their row space; as :func:`factorize`, without a u-step."""
    size = float(np.abs(X).max()) or 1.0  # so that squares neither over- nor underflow
    # The row space of rows of one length, so that small rows keep their digits.
    rows = lengths(X, axis=1)[:, None]
    units = X / np.where(rows > 0, rows, 1.0)
    _, singular, basis = np.linalg.svd(units, full_matrices=False)
    kept = singular > max(X.shape) * np.finfo(np.float64).eps * singular[0]
    rank = max(int(kept.sum()), 1)
    scale = np.sqrt(len(X)) / (float(np.linalg.norm(X / size)) or 1.0)
    return Factor(
        A=np.ascontiguousarray((X / size) @ basis[:rank].T * scale),
        basis=basis[:rank],
        scale=scale / size,
        D=np.ascontiguousarray(patterns.T, dtype=np.float64),
        relu=activation == "relu",
        gram=np.zeros((0, 0)),
        eigenvalues=np.zeros(0),
        eigenvectors=np.zeros((0, 0)),
    )


def couple(factor: Factor, u_update: str) -> Factor:
    """Add what the u-step of one method needs: "eigh", "cholesky" or "cg"."""
    A, D, copies = factor.A, factor.D, 2 if factor.relu else 1
    if u_update != "eigh":
        u_step = prepare_u_step(A, D, copies, u_update)
        return dataclasses.replace(factor, u_step=u_step)
    gram = A @ A.T
    coupling = float(copies) * (D.T @ D) * gram
    eigenvalues, eigenvectors = np.linalg.eigh(coupling)
    return dataclasses.replace(
        factor,
        gram=gram,
        eigenvalues=np.maximum(eigenvalues, 0.0),
        eigenvectors=eigenvectors,
    )


class Iteration:
    """The splitting iteration of one program; `advance` is one step of it.

    Parameters
    ----------
    factor : Factor
        Shared factorisation.
    y : ndarray of shape (n,)
        Targets; -1/+1 for classification losses.
    alpha : float
        Weight of the penalty in the user's program.
    loss : {"squared", "logistic", "hinge", "huber"}
        Loss.
    rho : float, optional
        First penalty parameter; default: in proportion to alpha over the size of
        the targets.
    x0 : ndarray of shape (m, r), optional
        Blocks to start from.
    state : dict, optional
        What :meth:`state` returned, to continue bit for bit.
    """

    check_every = CHECK_EVERY

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
        self.factor, self.y, self.loss = factor, y, loss
        self.alpha = alpha * factor.scale
        n, r = factor.A.shape
        m = factor.n_blocks
        self._weights = slice(0, m * r)
        self._samples = slice(m * r, m * r + (0 if loss == "squared" else n))
        self.rho = first_rho(rho, self.alpha, m, y)
        self.nit = 0
        self.point = np.zeros(self._samples.stop)  # (v + lam, z + eta)
        self.prox = np.zeros_like(self.point)  # (v, z)
        self._image = np.zeros_like(self.point)  # (u, F u)
        self._step = np.full_like(self.point, np.inf)
        self._shape = m, r
        self._products = np.zeros((m, n))
        self.prediction = np.zeros(n)  # F u
        self._transposed = np.ascontiguousarray(factor.A.T)
        self._before = self.point  # what the prox was applied to
        self._u_step = None if factor.u_step is None else factor.u_step()
        self._project: ConeProjector | LargeConeProjector | None = None
        if factor.relu:
            patterns = np.concatenate([factor.D, factor.D])
            if factor.gram.size:
                self._project = ConeProjector(factor.A, patterns, factor.gram)
            else:
                self._project = LargeConeProjector(factor.A, patterns)
        if x0 is not None:
            self._blocks(self.point)[:] = x0
            np.matmul(x0, self._transposed, out=self._products)
            _kernels.gated_sum(factor.D, self._products, self.prediction)
            self.point[self._samples] = self.prediction[: len(self.point) - m * r]
        self.anderson = Anderson(len(self.point), state)
        if state is not None:
            self.rho, self.nit = float(state["rho"]), int(state["nit"])
            self.point[:] = state["point"]
            if self._project is not None:
                self._project.restore(state)
            if self._u_step is not None:
                self._u_step.restore(state)

    def state(self) -> dict[str, Any]:
        """Return what continues this iteration bit for bit."""
        cones = {} if self._project is None else self._project.state()
        u_step = {} if self._u_step is None else self._u_step.state()
        return {
            "point": self.point.copy(),
            **cones,
            **u_step,
            "rho": self.rho,
            "nit": self.nit,
            **self.anderson.state(),
        }

    def advance(self) -> None:
        """Move the point by one relaxed splitting step, accelerated now and then."""
        self.nit += 1
        self._apply_prox()
        self._minimize_loss()
        np.subtract(self._image, self.prox, out=self._step)
        self._step *= RELAXATION
        image = self.point + self._step
        if self.nit in ADAPT_AT:
            self.point = image
            self._adapt_rho()
        elif self.nit % INTERVAL == 0:
            self.point = self.anderson.propose(image, self._step)
        else:
            self.point = image

    def blocks(self) -> Array:
        """Return the weights v of the last step, (m, r): sparse, inside the cones."""
        return self._blocks(self.prox).copy()

    def theta(self) -> Array:
        """Return the dual point -L'(F u) of the last step, (n,)."""
        if self.loss == "squared":
            return self.y - self.prediction
        return self.rho * (self.prox[self._samples] - self._before[self._samples])

    def multipliers(self) -> Array:
        """Return the multipliers of the cone constraints, (m, n); gated: (0, 0)."""
        if self._project is None:
            return np.zeros((0, 0))
        return self.rho * self._project.multipliers

    def is_stationary(self) -> bool:
        """Whether the last step was rounding: nothing more will be gained."""
        size = float(np.linalg.norm(self.point))
        return float(np.linalg.norm(self._step)) <= 1e-15 * size

    def _blocks(self, vector: Array) -> Array:
        return vector[self._weights].reshape(self._shape)

    def _apply_prox(self) -> None:
        """Set (v, z) = prox of the point."""
        self._before = self.point
        threshold = self.alpha / self.rho
        projection = self._blocks(self.point)
        if self._project is not None:
            projection = self._project(projection, threshold)
        _kernels.shrink_blocks(projection, threshold, self._blocks(self.prox))
        if self.loss != "squared":
            w = self.point[self._samples]
            self.prox[self._samples] = PROX[self.loss](w, self.y, self.rho)

    def _minimize_loss(self) -> None:
        """Set (u, F u), the minimiser of ``L(F u, y) + rho/2 |u - (2 v - x)|^2``.

        With the loss split off, L is replaced by ``rho/2 |F u - (2 z - w)|^2``.
        """
        factor = self.factor
        A, D, P = factor.A, factor.D, len(factor.D)
        if self.loss == "squared":
            weight, target = self.rho, self.y
        else:
            weight = 1.0
            target = 2.0 * self.prox[self._samples] - self.point[self._samples]
        u = self._blocks(self._image)
        np.multiply(self._blocks(self.prox), 2.0, out=u)
        u -= self._blocks(self.point)
        np.matmul(u, self._transposed, out=self._products)
        _kernels.gated_sum(D, self._products, self.prediction)
        # With residual weight q: u = c + F'q and (weight I + F F') q = t - F c.
        residual = target - self.prediction
        if self._u_step is None:
            Q, e = factor.eigenvectors, factor.eigenvalues
            q = Q @ ((residual @ Q) / (weight + e))
            push, residual = (D * q) @ A, weight * q
        else:
            push, residual = self._u_step.solve(weight, residual)
        u[:P] += push
        u[P:] -= push[: len(u) - P]
        self.prediction = target - residual
        if self.loss != "squared":
            self._image[self._samples] = self.prediction

    def _adapt_rho(self) -> None:
        """Balance the relative primal and dual residuals (Boyd et al., 2011)."""
        before = self.prox.copy()
        self._apply_prox()
        dual = self.point - self.prox
        size = float(np.linalg.norm(dual))
        largest = max(np.linalg.norm(self._image), np.linalg.norm(before), size)
        primal_residual = np.linalg.norm(self._image - before) / (largest or 1.0)
        dual_residual = np.linalg.norm(self.prox - before) / (size or 1.0)
        rho = balance(self.rho, float(primal_residual), float(dual_residual))
        if rho == self.rho:
            return
        self.point = self.prox + dual * (self.rho / rho)
        self._before = self.point
        if self._project is not None:
            self._project.rescale(self.rho / rho)
        self.rho = rho
        self.anderson.reset()


def balance(rho: float, primal_residual: float, dual_residual: float) -> float:
    """Return the penalty parameter that balances relative residuals."""
    if not (primal_residual > 0 or dual_residual > 0):
        return rho
    factor = ADAPT_FACTOR  # as long as all blocks stay zero, they do not move
    if dual_residual > 0:
        factor = float(np.sqrt(primal_residual / dual_residual))
    factor = min(max(factor, 1.0 / ADAPT_FACTOR), ADAPT_FACTOR)
    if 0.5 <= factor <= 2.0:
        return rho
    return min(max(rho * factor, RHO_RANGE[0]), RHO_RANGE[1])


def first_rho(rho: float | None, alpha: float, n_blocks: int, y: Array) -> float:
    """Return the penalty parameter to start with, ``rho`` itself if it is given."""
    if rho is None:  # without it, targets in other units would take other steps
        size = float(lengths(y, axis=0)) / math.sqrt(len(y)) or 1.0
        rho = RHO_FACTOR * math.sqrt(n_blocks) * float(alpha) / size
    return min(max(rho, RHO_RANGE[0]), RHO_RANGE[1])
