"""ADMM for the convex programs of two-layer ReLU and gated ReLU networks.

Bai, Gautam and Sojoudi (arXiv:2201.01965) split ``u = v``, ``G u = s >= 0`` (and here
``F u = z`` for losses other than squared), where ``F = [D_i X, -D_i X]`` predicts and
``G = blkdiag(S_i X)`` holds the cone constraints. Their u-update factors a matrix of
size 2dP. It is not needed: ``(S_i X)'(S_i X) = X'X`` for every pattern, so all diagonal
blocks are one matrix, and by Woodbury's identity what couples them is the n x n matrix

    M = (D D') o H,     H = X B^-1 X',     B = I + sigma X'X,

whose eigenvectors serve every rho. In the basis of the right singular vectors of X the
matrix B is diagonal. The iteration is kept in Douglas-Rachford form, on the single
vector ``(v + lam, s + nu, z + eta)``, so that it can be accelerated (anderson.py).
"""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexnn import _kernels
from convexnn.anderson import INTERVAL, Anderson
from convexnn.prox import PROX

Array = NDArray[np.float64]

RELAXATION = 1.6  # over-relaxation of Bai et al. and of Boyd et al. (2011)
RHO = 0.5  # first penalty, for data of unit mean square row norm
RHO_RANGE = (1e-6, 1e6)
ADAPT_AT = (50, 100, 200, 400, 800, 1600)  # then fixed: the convergence proof needs it
ADAPT_FACTOR = 5.0  # largest change of rho at once
SIGMA = {"relu": 3.0, "gated": 0.0}  # weight of the cone constraints (measured)


@dataclasses.dataclass(frozen=True, eq=False)
class Factor:
    """What all programs on the same data and patterns share.

    ``X = A @ basis / scale`` with A (n, r) of unit mean square row norm.
    """

    A: Array  # (n, r) data in the basis of the right singular vectors
    basis: Array  # (r, d) orthonormal rows
    scale: float
    D: Array  # (P, n) patterns as 0.0 / 1.0
    sigma: float
    shrink: Array  # (r,) diagonal of B^-1
    eigenvalues: Array  # (n,) of M
    eigenvectors: Array  # (n, n)

    @property
    def relu(self) -> bool:
        """Whether there are cone constraints."""
        return self.sigma > 0

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


def factorize(X: Array, patterns: NDArray[Any], activation: str) -> Factor:
    """Reduce the data to their row space and diagonalise what couples the blocks.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Data, with the intercept column.
    patterns : ndarray of shape (n, P)
        Activation patterns, 0/1.
    activation : {"relu", "gated"}
        The program.

    Returns
    -------
    Factor
        Costs O(n d^2 + n^2 P + n^3) time and O(n^2 + n P) memory.
    """
    left, singular, basis = np.linalg.svd(X, full_matrices=False)
    rank = int(np.sum(singular > max(X.shape) * 2.3e-16 * singular.max(initial=0.0)))
    rank = max(rank, 1)
    scale = 1.0 / (np.sqrt(np.mean(X**2) * X.shape[1]) or 1.0)
    singular = scale * singular[:rank]
    A = np.ascontiguousarray(left[:, :rank] * singular)
    D = np.ascontiguousarray(patterns.T, dtype=np.float64)
    sigma = SIGMA[activation]
    shrink = 1.0 / (1.0 + sigma * singular**2)
    M = (D.T @ D) * ((A * shrink) @ A.T)
    eigenvalues, eigenvectors = np.linalg.eigh(M)
    return Factor(
        A=A,
        basis=basis[:rank],
        scale=scale,
        D=D,
        sigma=sigma,
        shrink=shrink,
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
    loss : str
        Key of ``LOSSES``.
    rho : float, default=RHO
        First penalty parameter.
    x0 : ndarray of shape (m, r), optional
        Blocks to start from.
    state : dict, optional
        What :meth:`state` returned, to continue bit for bit.
    """

    def __init__(
        self,
        factor: Factor,
        y: Array,
        alpha: float,
        loss: str,
        *,
        rho: float = RHO,
        x0: Array | None = None,
        state: dict[str, Any] | None = None,
    ) -> None:
        self.factor, self.y, self.loss = factor, y, loss
        self.alpha = alpha * factor.scale
        n, r = factor.A.shape
        m = factor.n_blocks
        weights = m * r
        slacks = m * n if factor.relu else 0
        samples = 0 if loss == "squared" else n
        self._weights = slice(0, weights)
        self._constraints = slice(weights, weights + slacks)
        self._samples = slice(weights + slacks, weights + slacks + samples)
        size = weights + slacks + samples
        self.rho, self.nit = rho, 0
        self.point = np.zeros(size)  # (v + lam, s + nu, z + eta)
        self.prox = np.zeros(size)  # (v, s, z)
        self.image = np.zeros(size)  # (u, G u, F u)
        self._step = np.zeros(size)
        self._next = np.zeros(size)
        self._reflected = np.zeros((m, r))
        self._pull = np.zeros((m, n))
        self._products = (
            self._shaped(self.image, self._constraints)
            if factor.relu
            else np.zeros((m, n))
        )
        self._transposed = np.ascontiguousarray(factor.A.T)
        self._prediction = np.zeros(n)
        if x0 is not None:
            self._start_from(x0)
        self.anderson = Anderson(size, state)
        if state is not None:
            self.rho, self.nit = float(state["rho"]), int(state["nit"])
            self.point[:] = state["point"]

    def state(self) -> dict[str, Any]:
        """Return what continues this iteration bit for bit."""
        return {
            "point": self.point.copy(),
            "rho": self.rho,
            "nit": self.nit,
            **self.anderson.state(),
        }

    def advance(self) -> None:
        """Move the point by one relaxed splitting step, accelerated now and then."""
        self.nit += 1
        self._apply_prox()
        self._solve_coupled()
        _kernels.relax(
            self.point, self.prox, self.image, RELAXATION, self._step, self._next
        )
        self.point, self._next = self._next, self.point
        if self.nit in ADAPT_AT:
            self._adapt_rho()
        elif self.nit % INTERVAL == 0:
            self.point[:] = self.anderson.propose(self.point, self._step)

    def blocks(self) -> Array:
        """Return weights v at the point, (m, r): sparse, nearly inside the cones."""
        self._apply_prox()
        return self._shaped(self.prox, self._weights).copy()

    def theta(self) -> Array:
        """Return the dual point -L'(.) of the last step, inside its domain, (n,)."""
        if self.loss == "squared":
            return self.y - self._prediction
        self._apply_prox()
        return self.rho * (self.prox - self.point)[self._samples]

    def signed_multipliers(self) -> Array:
        """Return ``S_i lam_i`` of the cone constraints at the point, (m, n)."""
        self._apply_prox()
        scaled = self._shaped(self.prox - self.point, self._constraints)
        return self.rho * np.sqrt(self.factor.sigma) * scaled

    def is_stationary(self) -> bool:
        """Whether the last step was rounding: nothing more will be gained."""
        size = float(np.linalg.norm(self.point))
        return float(np.linalg.norm(self._step)) <= 1e-15 * size

    def _shaped(self, vector: Array, part: slice) -> Array:
        return vector[part].reshape(self.factor.n_blocks, -1)

    def _start_from(self, blocks: Array) -> None:
        """Set the point to consistent primal values with zero duals."""
        products = blocks @ self._transposed
        self.point[self._weights] = blocks.ravel()
        if self.factor.relu:
            self.point[self._constraints] = (
                np.sqrt(self.factor.sigma) * products.ravel()
            )
        if self.loss != "squared":
            _kernels.gated_sum(self.factor.D, products, self._prediction)
            self.point[self._samples] = self._prediction

    def _apply_prox(self) -> None:
        """Set (v, s, z) at the point, and what the coupled solve needs of it."""
        factor, rho = self.factor, self.rho
        _kernels.prox_blocks(
            self._shaped(self.point, self._weights),
            self.alpha / rho,
            self._shaped(self.prox, self._weights),
            self._reflected,
        )
        if self.loss == "squared":
            self._weight, target = 1.0 / rho, self.y
        else:
            w = self.point[self._samples]
            z = PROX[self.loss](w, self.y, rho)
            self.prox[self._samples] = z
            self._weight, target = 1.0, 2.0 * z - w
        if factor.relu:
            _kernels.prox_slacks(
                self._shaped(self.point, self._constraints),
                factor.D,
                np.sqrt(factor.sigma),
                self._weight,
                target,
                self._shaped(self.prox, self._constraints),
                self._pull,
            )
        else:
            np.multiply(factor.D, self._weight * target, out=self._pull)

    def _solve_coupled(self) -> None:
        """Solve ``(I + G'G + weight F'F) u = rhs`` for the image (u, G u, F u)."""
        factor = self.factor
        A, D, P = factor.A, factor.D, len(factor.D)
        u = self._shaped(self.image, self._weights)
        np.matmul(self._pull, A, out=u)
        u += self._reflected
        u *= factor.shrink
        np.matmul(u, self._transposed, out=self._products)
        _kernels.gated_sum(D, self._products, self._prediction)
        Q, e = factor.eigenvectors, factor.eigenvalues
        couple = (2.0 if factor.relu else 1.0) * e + 1.0 / self._weight
        x = Q @ ((self._prediction @ Q) / couple)
        correction = ((D * x) @ A) * factor.shrink
        u[:P] -= correction
        if factor.relu:
            u[P:] += correction
            _kernels.correct_products(
                self._products, correction @ self._transposed, np.sqrt(factor.sigma)
            )
        np.divide(x, self._weight, out=self._prediction)  # F u
        if self.loss != "squared":
            self.image[self._samples] = self._prediction

    def _adapt_rho(self) -> None:
        """Balance the relative primal and dual residuals (Boyd et al., 2011)."""
        before = self.prox.copy()
        self._apply_prox()
        dual = self.point - self.prox
        size = np.linalg.norm(dual)
        largest = max(np.linalg.norm(self.image), np.linalg.norm(before), size)
        primal_residual = np.linalg.norm(self.image - before) / (largest or 1.0)
        dual_residual = np.linalg.norm(self.prox - before) / (size or 1.0)
        if not (primal_residual > 0 and dual_residual > 0):
            return
        factor = float(np.sqrt(primal_residual / dual_residual))
        factor = min(max(factor, 1.0 / ADAPT_FACTOR), ADAPT_FACTOR)
        rho = min(max(self.rho * factor, RHO_RANGE[0]), RHO_RANGE[1])
        if 0.5 <= factor <= 2.0 or rho == self.rho:
            return
        self.point = self.prox + dual * (self.rho / rho)
        self.rho = rho
        self.anderson.reset()
