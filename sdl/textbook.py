"""Textbook low-rank projected gradient descent with one step size for all blocks.

    M <- Pi_r(M - tau grad F),   Pi_r = truncated singular value decomposition

It contracts linearly for ``1/(2 mu) < tau < 3/(2 L)`` where the Hessian eigenvalues lie
in [mu, L] with ``L/mu < 3`` (Lee, Lyu and Yao, arXiv:2311.11182, theorem 3.5), and may
cycle or diverge outside that window. For teaching and as a reference; it forms M.
"""

import dataclasses
import math
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import eigvalsh, svd

from sdl._measure import label_losses
from sdl._measure_data import Problem
from sdl._measure_stationarity import label_residual

Array = NDArray[np.float64]


class StepWindow(NamedTuple):
    """Bounds of the Hessian, and the steps for which the iteration contracts."""

    mu: float
    L: float

    @property
    def low(self) -> float:
        """Shortest step that contracts."""
        return 0.5 / self.mu if self.mu > 0 else math.inf

    @property
    def high(self) -> float:
        """Longest step that contracts."""
        return 1.5 / self.L

    @property
    def best(self) -> float:
        """Step of the best rate, ``2 / (L + mu)``."""
        return 2.0 / (self.L + self.mu)

    @property
    def condition_ratio(self) -> float:
        """``L / mu``; the theory asks for less than 3."""
        return self.L / self.mu if self.mu > 0 else math.inf

    @property
    def rate(self) -> float:
        """Contraction factor at the best step; below 1 where the theory applies."""
        return 2.0 * (self.L - self.mu) / (self.L + self.mu)


def step_window(task: Problem) -> StepWindow:
    """Return Hessian bounds that hold everywhere, and with them the step window.

    Parameters
    ----------
    task : Problem
        The problem.

    Returns
    -------
    StepWindow
    """
    upper = 0.25 if task.Y.shape[1] == 1 else 0.5
    q = task.Z.shape[1]
    free = bool((~task.penalised).any())
    nus = [task.nu] + ([task.nu_c] if task.penalised.any() else [])
    least = 0.0 if free else min(nus)
    root = np.sqrt(task.omega)[:, None]
    if task.model == "filter":
        X = task.X.toarray() if sparse.issparse(task.X) else task.X
        block = root * np.hstack([X, task.Z])
        gram = block.T @ block if block.shape[1] <= len(block) else block @ block.T
        largest = float(eigvalsh(gram)[-1])
    else:
        block = root * np.hstack([np.zeros((len(root), 0)), task.Z])
        ratio = float(np.max(task.omega / task.v))
        largest = ratio
        if q:
            largest += float(eigvalsh(block.T @ block)[-1])
    L = max(2.0 * task.xi, max(nus) + upper * largest)
    return StepWindow(min(2.0 * task.xi, least), L)


@dataclasses.dataclass
class Textbook:
    """State of the iteration; M and Gamma change in every step."""

    task: Problem
    tau0: float
    decay: float  # tau_t = tau0 (t + 1)^-decay, never compounded
    M: Array
    Gamma: Array
    objective: float
    lower: float = -math.inf
    dual: Array | None = None
    mapping: float = math.nan
    fall: float = math.inf  # absolute change of the objective in the last step
    eigengap: float = math.nan
    nit: int = 0
    idle: int = 0
    _parts: tuple[float, float] = (math.nan, math.nan)

    @classmethod
    def begin(cls, task: Problem, tau: float, decay: float) -> "Textbook":
        """Start at zero."""
        (n, p), K = task.X.shape, task.Y.shape[1]
        shape = (K + n, p) if task.model == "filter" else (n, K + p)
        Gamma = np.zeros((task.Z.shape[1], K))
        self = cls(task, tau, decay, np.zeros(shape), Gamma, 0.0)
        self.objective = self._objective(self.M, Gamma)
        return self

    @property
    def tau(self) -> float:
        """Step of the next iteration."""
        return self.tau0 * (self.nit + 1.0) ** -self.decay

    check_every: ClassVar[int] = 10  # a dual bound costs as much as a step

    @property
    def gap(self) -> float:
        """Objective minus the best dual bound."""
        return self.objective - self.lower

    def met(self, tol: float) -> bool:
        """Whether the gap is closed, or M or the objective no longer move by `tol`."""
        size = max(1.0, float(np.linalg.norm(self.M)))
        still = self.mapping < tol * size or self.fall < tol * abs(self.objective)
        return still or self.gap <= tol * abs(self.objective)

    def blocks(self, M: Array) -> tuple[Array, Array]:
        """Return A and B; A is (p, K) in the filter model, (n, K) in the other."""
        K = self.task.Y.shape[1]
        if self.task.model == "filter":
            return M[:K].T, M[K:]
        return M[:, :K], M[:, K:]

    def advance(self) -> bool:
        """Take one step; return False when M no longer changes at all."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self._advance()

    def _advance(self) -> bool:
        task, tau = self.task, self.tau
        A, B = self.blocks(self.M)
        root = np.sqrt(task.v)[:, None]
        R = label_residual(task, self._scores(A, self.Gamma))
        X = task.weighted_X
        X = X.toarray() if sparse.issparse(X) else X
        pull = task.X.T @ R if task.model == "filter" else R / root
        A = A - tau * (pull + task.nu * A)
        B = B - tau * 2.0 * task.xi * (B - X)
        ridge = np.where(task.penalised[:, None], task.nu_c * self.Gamma, 0.0)
        Gamma = self.Gamma - tau * (task.Z.T @ R + ridge)
        M = np.vstack([A.T, B]) if task.model == "filter" else np.hstack([A, B])
        if not np.isfinite(M).all():
            raise FloatingPointError("the iteration diverges")
        U, s, Vt = svd(M, full_matrices=False, check_finite=False)
        r = task.rank
        self.eigengap = float(s[r - 1] - s[r]) if r < len(s) else math.nan
        M = (U[:, :r] * s[:r]) @ Vt[:r]
        objective = self._objective(M, Gamma)
        if not math.isfinite(objective):
            raise FloatingPointError("the iteration diverges")
        change = float(np.linalg.norm(M - self.M))
        self.mapping = change / tau
        self.M, self.Gamma = M, Gamma
        before, self.objective = self.objective, objective
        self.fall = abs(before - self.objective)
        self.nit += 1
        return change > 0.0

    def _scores(self, A: Array, Gamma: Array) -> Array:
        if self.task.model == "filter":
            return np.asarray(self.task.X @ A + self.task.Z @ Gamma)
        return A / np.sqrt(self.task.v)[:, None] + self.task.Z @ Gamma

    def _objective(self, M: Array, Gamma: Array) -> float:
        task = self.task
        A, B = self.blocks(M)
        X = task.weighted_X
        X = X.toarray() if sparse.issparse(X) else X
        loss = float(task.omega @ label_losses(self._scores(A, Gamma), task.Y))
        ridge = 0.5 * task.nu * float(np.sum(A * A))
        ridge += 0.5 * task.nu_c * float(np.sum(Gamma[task.penalised] ** 2))
        error = float(np.sum((X - B) ** 2))
        self._parts = loss, error / task.square if task.square else 0.0
        return loss + ridge + task.xi * error

    def parts(self) -> tuple[float, float]:
        """Return the label loss and the relative reconstruction error."""
        return self._parts

    def factors(self) -> dict[str, Array]:
        """Return W, H, beta and Gamma of the rank-r matrix M."""
        task, r = self.task, self.task.rank
        U, s, Vt = svd(self.M, full_matrices=False, check_finite=False)
        U, s, Vt = U[:, :r], s[:r], Vt[:r]
        K = task.Y.shape[1]
        root = np.sqrt(task.v)[:, None]
        if task.model == "filter":
            W, H, beta = Vt.T, (U[K:] * s) / root, (U[:K] * s).T
        else:
            W, H, beta = Vt[:, K:].T, (U * s) / root, Vt[:, :K]
        return {"W": W, "H": H, "beta": beta, "Gamma": self.Gamma}

    def bound(self) -> None:
        """Take the label residual at the present point as the dual point."""
        from sdl._measure import dual_bound_of

        A, _ = self.blocks(self.M)
        alpha = -label_residual(self.task, self._scores(A, self.Gamma))
        lower, _ = dual_bound_of(self.task, alpha)
        if lower > self.lower or self.dual is None:
            self.lower, self.dual = lower, alpha

    def state(self) -> dict[str, Any]:
        """Return what is needed to continue."""
        return {"M": self.M, "Gamma": self.Gamma, "nit": self.nit}
