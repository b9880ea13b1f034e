"""L-BFGS on the factors, codes profiled out: an independent check of the lifted solver.

Filter model, variables ``(W, beta, Gamma)`` with ``S = W'W``, ``T = W'GW``:

    f = loss + (nu/2) |W beta|^2 + (nu_c/2) |Gamma|^2 + xi (|X|^2 - tr S^-1 T)

and the same with H for W and ``X X'`` for G in the feature model.
"""

import math
from typing import Any

import array_api_compat.numpy as xp
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, minimize

from sdl._measure import dual_bound_of, label_losses
from sdl._measure_data import Problem
from sdl._measure_stationarity import label_residual
from sdl.driver import Settings, collect, drive
from sdl.formulation import Formulation
from sdl.head import Head
from sdl.lifting import lifted_space
from sdl.recovery import recover

Array = NDArray[np.float64]

# L-BFGS iterations between two checks; the memory is restarted then.
ROUND = 50
# Relative decrease of a round that counts as none.
STAGNATION = 1e-13


class Factored:
    """State of the descent: a basis U of the factor space, and the head on it."""

    def __init__(self, task: Problem, U: Array) -> None:
        self.task = task
        K, q = task.Y.shape[1], task.Z.shape[1]
        self.root = np.sqrt(task.v)[:, None]
        self.U, _ = np.linalg.qr(U)
        self.beta, self.Gamma = np.zeros((U.shape[1], K)), np.zeros((q, K))
        self.objective = self.value(self._pack())[0]
        self.lower, self.dual = -math.inf, None
        self.tau, self.mapping, self.nit = math.nan, math.nan, 0

    check_every = 1

    @property
    def gap(self) -> float:
        """Objective minus the best dual bound."""
        return self.objective - self.lower

    def met(self, tol: float) -> bool:
        """Whether the proven gap is at most `tol` times the objective."""
        return self.gap <= tol * abs(self.objective)

    def _pack(self) -> Array:
        return np.concatenate([self.U.ravel(), self.beta.ravel(), self.Gamma.ravel()])

    def _unpack(self, theta: Array) -> tuple[Array, Array, Array]:
        (k, r), K = self.U.shape, self.task.Y.shape[1]
        first, second = k * r, k * r + r * K
        return (
            theta[:first].reshape(k, r),
            theta[first:second].reshape(r, K),
            theta[second:].reshape(-1, K),
        )

    def value(self, theta: Array) -> tuple[float, Array]:
        """Return f and its gradient (section 2.4 of the module's formula)."""
        task = self.task
        U, beta, Gamma = self._unpack(theta)
        X, filtering = task.weighted_X, task.model == "filter"
        GU = X.T @ (X @ U) if filtering else X @ (X.T @ U)
        S, T = U.T @ U, U.T @ GU
        inverse = np.linalg.pinv(S, hermitian=True)
        A = U @ beta
        D = (task.X @ A if filtering else A / self.root) + task.Z @ Gamma
        R = label_residual(task, D)
        pull = task.X.T @ R if filtering else R / self.root
        slope_A = np.asarray(pull) + task.nu * A
        ridge = np.where(task.penalised[:, None], task.nu_c * Gamma, 0.0)
        loss = float(task.omega @ label_losses(D, task.Y))
        error = task.square - float(np.sum(inverse * T))
        self._parts = loss, error / task.square if task.square else 0.0
        f = loss + task.xi * error
        f += 0.5 * task.nu * float(np.sum(A * A)) + 0.5 * float(np.sum(ridge * Gamma))
        profile = GU @ inverse - U @ (inverse @ T @ inverse)
        slopes = (
            slope_A @ beta.T - 2.0 * task.xi * profile,
            U.T @ slope_A,
            task.Z.T @ R + ridge,
        )
        return f, np.concatenate([part.ravel() for part in slopes])

    def advance(self) -> bool:
        """Run one round of L-BFGS, then orthonormalise and restart."""
        found = minimize(
            self.value,
            self._pack(),
            jac=True,
            method="L-BFGS-B",
            options={"maxcor": 20, "maxiter": ROUND, "ftol": 1e-15, "gtol": 1e-10},
        )
        U, beta, self.Gamma = self._unpack(found.x)
        self.U, triangle = np.linalg.qr(U)
        self.beta = triangle @ beta
        before, self.objective = self.objective, self.value(self._pack())[0]
        self.mapping = float(np.linalg.norm(found.jac))
        self.nit += 1
        return before - self.objective > STAGNATION * abs(before)

    def parts(self) -> tuple[float, float]:
        """Return the label loss and the relative reconstruction error."""
        return self._parts

    def finish(self) -> None:
        """Minimise the head to the end."""
        task = self.task
        head = Head(
            task.Y, task.Z, task.omega, task.penalised, task.nu, task.nu_c, xp, "cpu"
        )
        filtering = task.model == "filter"
        features = np.asarray(task.X @ self.U) if filtering else self.U / self.root
        point = head.minimise(features, self.beta, self.Gamma)
        self.beta, self.Gamma = point.beta, point.Gamma
        self.objective = self.value(self._pack())[0]
        self.bound()

    def bound(self) -> None:
        """Evaluate the dual bound at the label residual."""
        task = self.task
        A = self.U @ self.beta
        D = task.X @ A if task.model == "filter" else A / self.root
        alpha = -label_residual(task, np.asarray(D) + task.Z @ self.Gamma)
        lower, _ = dual_bound_of(task, alpha)
        if lower > self.lower:
            self.lower, self.dual = lower, alpha

    def factors(self) -> dict[str, Array]:
        """Return W, H, beta and Gamma."""
        return recover(self.task, self.U, self.beta, self.Gamma)

    def state(self) -> dict[str, Any]:
        """Return the present point."""
        return {"U": self.U, "beta": self.beta, "Gamma": self.Gamma, "nit": self.nit}


def solve_factored(
    form: Formulation,
    settings: Settings,
    *,
    x0: dict[str, Array] | None = None,
    certificate: str = "auto",
    random_state: Any = None,
) -> OptimizeResult:
    """Minimise over free factors by L-BFGS.

    Parameters
    ----------
    form : Formulation
        The problem; its factors must be free.
    settings : Settings
        When to stop.
    x0 : dict, optional
        Factors to start from; default: principal directions.
    certificate : {"auto", "refine", "none"}, default="auto"
        As for :func:`sdl.lpgd`.
    random_state : int or None, default=None
        Seeds the eigensolver of large sparse data.

    Returns
    -------
    OptimizeResult
        As from :func:`sdl.lpgd`.
    """
    from farkas.parallel import seed_sequence

    if form.constrained or form.task.mask is not None:
        raise ValueError(
            "solver='lbfgs' handles free factors and complete data only; use "
            "solver='bcd'."
        )
    task = form.task
    if x0 is not None:
        U = x0["W"] if task.model == "filter" else np.sqrt(task.v)[:, None] * x0["H"]
    else:
        space = lifted_space(task, task.rank, xp, "cpu", seed_sequence(random_state))
        U = space.ambient(space.start())
    iteration = Factored(task, np.asarray(U, dtype=np.float64))
    outcome = drive(iteration, settings)
    if not outcome.interrupted:
        iteration.finish()
    factors, dual = iteration.factors(), iteration.dual
    if certificate == "refine" and task.nu > 0 and not iteration.met(settings.tol):
        from sdl.fantope import refine

        factors, dual = refine(form, factors, dual, settings.tol)
    return collect(
        form, outcome, factors, dual, tol=settings.tol, certify=certificate != "none"
    )
