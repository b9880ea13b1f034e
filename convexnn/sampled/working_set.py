"""Working sets for the sampled convex program ``min_a L(F'a, y) + alpha |a|_1``.

A round solves the program on the units that matter so far, prices all others by
``f_j'theta`` with ``theta = -L'(F'a)``, and lets those above alpha in. The squared loss
leaves a Lasso, the logistic loss one for each Newton step (Lee, Sun and Saunders,
2014); a Lasso on k units needs their Gram matrix only. Coordinate descent finds its
signs, an active set its solution (Osborne, Presnell and Turlach, 2000).

The hinge loss leaves a linear program, and pricing is column generation: the dual
solution of the restricted program is the theta that prices.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from convexnn import _kernels_scp
from convexnn._measure_losses import LOSSES, dual_value
from convexnn.sampled.units import SampledProgram

Array = NDArray[np.float64]

# Units that a round lets in: at least this many, at most as many as are in use.
LEAST_NEW = 10

# KKT violation left inside, relative to the largest one outside.
INNER_SHARE = 0.1
INNER_LIMITS = (1e-13, 1e-1)

MAX_EPOCHS = 500  # of one Lasso; a handful is usual
MAX_NEWTON = 10  # steps of one round, logistic loss
LEAST_CURVATURE = 1e-8  # of the logistic loss, so that far samples do not vanish
ARMIJO = 1e-4
MAX_HALVINGS = 40

# Differences of the objective below it are rounding; the last digits of the gap come
# from steps that the objective cannot see.
ROUNDING = 8 * float(np.finfo(np.float64).eps)

# The least tolerances that HiGHS takes.
HIGHS = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}

# Curvature of the losses at most; the squared distance to the optimal theta is at most
# 2 gap Lip (Ndiaye et al., 2017).
LIPSCHITZ = {"squared": 1.0, "logistic": 0.25}


class WorkingSet:
    """Best point and best bound of one program; `advance` is one round.

    Parameters
    ----------
    program : SampledProgram
        What to solve.
    coef : ndarray of shape (N,), optional
        Where to start.
    state : dict, optional
        What :meth:`state` returned, to continue bit for bit.

    Attributes
    ----------
    coef : ndarray of shape (N,)
        Best point.
    upper, lower : float
        Its objective, and the best proven bound.
    theta : ndarray of shape (n,)
        Proves the bound, after scaling.
    """

    def __init__(
        self,
        program: SampledProgram,
        coef: Array | None = None,
        state: dict[str, Any] | None = None,
    ) -> None:
        self.program, self.loss = program, LOSSES[program.loss]
        self.features, self.y = program.features, program.y
        N, n = self.features.shape
        self.norms = np.linalg.norm(self.features, axis=1)
        self.scores = np.zeros(N)
        self.nit = 0
        if state is not None:
            self._restore(state)
            return
        self.coef, self.theta = np.zeros(N), np.zeros(n)
        self.prices = self.loss.theta(np.zeros(n), self.y)  # theta of the last round
        self.used = np.zeros(N, dtype=bool)  # hinge: columns of the linear program
        self.alive = np.ones(N, dtype=bool)
        self.upper, self.lower = self._objective(self.coef)[0], -np.inf
        self._price()
        if coef is not None and coef.any():
            value, z = self._objective(coef)
            if value < self.upper:
                self.coef, self.upper = coef.copy(), value
                if program.loss != "hinge":
                    self.prices = self.loss.theta(z, self.y)
                self.used = coef != 0
                self._price()

    @property
    def gap(self) -> float:
        """Difference of the two bounds."""
        return self.upper - self.lower

    def state(self) -> dict[str, Any]:
        """Return what continues bit for bit."""
        names = ("coef", "theta", "prices", "used", "alive")
        arrays = {name: getattr(self, name).copy() for name in names}
        return {**arrays, "upper": self.upper, "lower": self.lower, "nit": self.nit}

    def _restore(self, state: dict[str, Any]) -> None:
        for name in ("coef", "theta", "prices"):
            setattr(self, name, np.array(state[name], dtype=np.float64))
        for name in ("used", "alive"):
            setattr(self, name, np.array(state[name], dtype=bool))
        self.upper, self.lower = float(state["upper"]), float(state["lower"])
        self.nit = int(state["nit"])
        alive = np.flatnonzero(self.alive)
        _kernels_scp.price(self.features, alive, self.prices, self.scores)

    def advance(self) -> None:
        """Let units in, solve the program on them, and price all others."""
        self.nit += 1
        if self.program.loss == "hinge":
            self._solve_linear_program()
        else:
            self._solve_smooth()
        self._price()

    def met(self, tol: float) -> bool:
        """Whether the gap is at most ``tol`` times the objective.

        What screening left out is priced again before the answer is yes.
        """
        if self.gap <= tol * abs(self.upper) and not self.alive.all():
            everything = np.arange(len(self.alive))
            scores = np.empty_like(self.scores)
            _kernels_scp.price(self.features, everything, self.theta, scores)
            self.lower = self._bound(self.theta, scores)[0]
            if self.gap > tol * abs(self.upper):
                self.alive[:] = True
        return self.gap <= tol * abs(self.upper)

    def _price(self) -> None:
        """Price the units by theta, keep the best bound, and screen."""
        alive = np.flatnonzero(self.alive)
        _kernels_scp.price(self.features, alive, self.prices, self.scores)
        lower, s = self._bound(self.prices, self.scores[alive])
        if lower <= self.lower:
            return
        self.lower, self.theta = lower, self.prices.copy()
        lipschitz = LIPSCHITZ.get(self.program.loss)
        if lipschitz is None:
            return
        # Gap safe: a unit that no theta this close can price at alpha is not needed.
        radius = np.sqrt(2.0 * max(self.gap, 0.0) * lipschitz)
        largest = s * np.abs(self.scores) + self.norms * radius
        idle = (largest < self.program.alpha * (1.0 - 1e-9)) & (self.coef == 0)
        self.alive &= ~idle

    def _bound(self, theta: Array, scores: Array) -> tuple[float, float]:
        norm = float(np.abs(scores).max())
        return dual_value(theta, self.y, norm / self.program.alpha, self.loss)

    def _objective(self, coef: Array) -> tuple[float, Array]:
        z = np.empty(len(self.y))
        _kernels_scp.combine(self.features, coef, z)
        value = float(self.loss.value(z, self.y).sum())
        return value + self.program.alpha * float(np.abs(coef).sum()), z

    def _violators(self, in_use: int) -> NDArray[np.intp]:
        """Return the units with the largest prices above alpha."""
        prices = np.where(self.alive, np.abs(self.scores), 0.0)
        number = max(LEAST_NEW, in_use)
        above = np.flatnonzero(prices > self.program.alpha)
        return above[np.argsort(-prices[above], kind="stable")[:number]]

    def _solve_smooth(self) -> None:
        support = np.flatnonzero(self.coef)
        entering = self._violators(len(support))
        working = np.union1d(support, entering)
        if not len(working):
            return
        excess = np.abs(self.scores[working]).max() / self.program.alpha - 1.0
        tol = float(np.clip(INNER_SHARE * excess, *INNER_LIMITS))
        rows = self.features[working]
        a = self.coef[working]
        if self.program.loss == "squared":
            q = rows @ self.y
            _kernels_scp.lasso(
                rows @ rows.T, q, self.program.alpha, tol, MAX_EPOCHS, False, a
            )
        else:
            self._newton_steps(rows, tol, a)
        coef = np.zeros_like(self.coef)
        coef[working] = a
        value, z = self._objective(coef)
        if value <= self.upper + ROUNDING * abs(self.upper):
            self.upper, self.coef = value, coef
        self.prices = self.loss.theta(z, self.y)

    def _newton_steps(self, rows: Array, tol: float, a: Array) -> None:
        """Proximal Newton steps with a line search, in place."""
        alpha, y = self.program.alpha, self.y
        z = a @ rows
        value = float(self.loss.value(z, y).sum()) + alpha * float(np.abs(a).sum())
        for _ in range(MAX_NEWTON):
            theta = self.loss.theta(z, y)
            gradient = rows @ theta
            violation = _violation(gradient, a, alpha)
            if violation <= tol * alpha:
                break
            sigma = np.abs(theta)
            curvature = np.maximum(sigma * (1.0 - sigma), LEAST_CURVATURE)
            H = (rows * curvature) @ rows.T
            b = a.copy()
            _kernels_scp.lasso(H, gradient + H @ a, alpha, tol, MAX_EPOCHS, False, b)
            change = b - a
            slope = alpha * float(np.abs(b).sum() - np.abs(a).sum())
            slope -= float(gradient @ change)
            if abs(slope) <= ROUNDING * value:  # the objective sees no difference
                z = b @ rows
                if _violation(rows @ self.loss.theta(z, y), b, alpha) >= violation:
                    break
                a[:] = b
                continue
            dz, t = change @ rows, 1.0
            for _ in range(MAX_HALVINGS):
                trial = a + t * change if t < 1.0 else b
                new = float(self.loss.value(z + t * dz, y).sum())
                new += alpha * float(np.abs(trial).sum())
                if new <= value + ARMIJO * t * slope:
                    break
                t *= 0.5
            else:
                break
            a[:] = trial
            z, value = a @ rows, new

    def _solve_linear_program(self) -> None:
        """Solve the restricted linear program and take its dual solution as theta."""
        used = np.flatnonzero(self.used)
        self.used[self._violators(len(used))] = True
        used = np.flatnonzero(self.used)
        if not len(used):
            return
        n, k, alpha = len(self.y), len(used), self.program.alpha
        # Coefficients times alpha: all costs are one, as absolute tolerances want it.
        margins = (self.features[used] * (self.y / alpha)).T
        cost = np.ones(2 * k + n)
        matrix = np.concatenate([-margins, margins, -np.eye(n)], axis=1)
        answer = linprog(
            cost, A_ub=matrix, b_ub=-np.ones(n), method="highs", options=HIGHS
        )
        if answer.status != 0:
            return
        coef = np.zeros_like(self.coef)
        coef[used] = (answer.x[:k] - answer.x[k : 2 * k]) / alpha
        value, _ = self._objective(coef)
        if value < self.upper:
            self.upper, self.coef = value, coef
        self.prices = self.loss.project(-answer.ineqlin.marginals * self.y, self.y)


def _violation(gradient: Array, a: Array, alpha: float) -> float:
    at_zero = np.maximum(np.abs(gradient) - alpha, 0.0)
    return float(np.where(a == 0, at_zero, np.abs(gradient - alpha * np.sign(a))).max())
