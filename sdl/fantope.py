"""Refinement of an open dual bound by the convex program over the Fantope.

With ``A = P^(1/2) A'`` the relaxed problem is ``min phi(P)`` over the Fantope
``{0 <= P <= I, tr P = r}``, where

    phi(P) = xi (|X|^2 - tr PG) + min_{A', Gamma} [ loss + (nu/2) |A'|^2 + ... ]

is convex, ``grad phi = -(xi G + X'alpha alpha'X / (2 nu))`` at the minimiser of the
inner logistic regression, and the alpha of every P gives a valid bound. The minimum of
phi is the best of them (Bertsimas, Cory-Wright and Pauphilet, arXiv:2009.10395).
"""

import dataclasses
import math
import warnings
from typing import Any

import array_api_compat.numpy as xp
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.linalg import eigh
from scipy.optimize import OptimizeResult

from farkas.base import check_number
from farkas.parallel import blas_threads_for
from farkas.result import make_result
from farkas.status import Status
from sdl._measure import dual_bound_of
from sdl._measure_data import Problem
from sdl.formulation import Formulation, formulate
from sdl.head import Head, HeadPoint

Array = NDArray[np.float64]

# Largest order of P for which the program is attempted.
LARGEST = 1500
# Eigenvalues of P below this have no features.
SUPPORT = 1e-10
ITERATIONS = 300
# Iterations between two evaluations of the bound.
_BOUND_EVERY = 5
_PATIENCE = 12


class _Program:
    """The Fantope program in the eigenbasis of G."""

    def __init__(self, task: Problem) -> None:
        self.task = task
        X = task.weighted_X
        X = X.toarray() if sparse.issparse(X) else X
        root = np.sqrt(task.v)[:, None]
        U, s, Vt = np.linalg.svd(X, full_matrices=task.model == "feature")
        if task.model == "filter":
            kept = s > 1e-12 * max(float(s[0]), 1e-300)
            self.basis, self.g = (U[:, : len(s)] * s)[:, kept] / root, s[kept] ** 2
        else:
            self.basis = U / root
            self.g = np.concatenate([s**2, np.zeros(len(U) - len(s))])
        self.head = Head(
            task.Y, task.Z, task.omega, task.penalised, task.nu, task.nu_c, xp, "cpu"
        )

    @property
    def rank(self) -> int:
        """Trace of P."""
        return min(self.task.rank, len(self.g))

    def evaluate(self, P: Array, warm: HeadPoint | None) -> "_Point":
        """Solve the inner logistic regression at P."""
        values, V = eigh(P, check_finite=False)
        kept = values > SUPPORT
        features = self.basis @ (V[:, kept] * np.sqrt(values[kept]))
        K, q = self.task.Y.shape[1], self.task.Z.shape[1]
        Gamma = np.zeros((q, K)) if warm is None else warm.Gamma
        beta = np.zeros((int(kept.sum()), K))
        if warm is not None:  # the minimiser satisfies nu A' = features' alpha
            beta = features.T @ warm.alpha / self.task.nu
            if (
                self.head.at(
                    np.hstack([features, self.head.Z]),
                    np.vstack([beta, Gamma]),
                    len(beta),
                ).value
                > self.head.at(
                    np.hstack([features, self.head.Z]),
                    np.vstack([0.0 * beta, Gamma]),
                    len(beta),
                ).value
            ):
                beta = 0.0 * beta
        point = self.head.minimise(features, beta, Gamma)
        left = self.task.square - float(np.einsum("ii,i->", P, self.g))
        pull = self.basis.T @ point.alpha
        slope = -np.diag(self.task.xi * self.g) - pull @ pull.T / (2.0 * self.task.nu)
        return _Point(P, self.task.xi * left + point.value, slope, point)


@dataclasses.dataclass
class _Point:
    P: Array
    value: float
    slope: Array
    head: HeadPoint


def project_on_fantope(S: Array, r: int) -> Array:
    """Return the point of ``{0 <= P <= I, tr P = r}`` that is nearest to S.

    Parameters
    ----------
    S : ndarray of shape (k, k)
        Symmetric.
    r : int
        Trace.

    Returns
    -------
    ndarray of shape (k, k)

    Examples
    --------
    >>> project_on_fantope(np.diag([3.0, 0.4, 0.2]), 1)
    array([[1., 0., 0.],
           [0., 0., 0.],
           [0., 0., 0.]])
    """
    values, V = eigh(S, check_finite=False)
    clipped = _shifted(values, r)
    kept = clipped > 0
    P = (V[:, kept] * clipped[kept]) @ V[:, kept].T
    return 0.5 * (P + P.T)


def _shifted(values: Array, r: int) -> Array:
    """Shift and clip eigenvalues to [0, 1] so that they sum to r, exactly."""
    # The sum is piecewise linear in the shift, with kinks at the values and 1 below.
    kinks = np.unique(np.concatenate([values, values - 1.0]))
    sums = np.clip(values[:, None] - kinks, 0.0, 1.0).sum(axis=0)
    # sums decreases from len(values) to 0
    place = int(np.searchsorted(-sums, -float(r), side="right"))
    if place == 0:
        return np.clip(values - kinks[0], 0.0, 1.0)
    if place == len(kinks):
        return np.clip(values - kinks[-1], 0.0, 1.0)
    low, high = kinks[place - 1], kinks[place]
    fall = sums[place - 1] - sums[place]
    shift = low + (high - low) * ((sums[place - 1] - r) / fall if fall > 0 else 0.0)
    return np.clip(values - shift, 0.0, 1.0)


@dataclasses.dataclass
class _Search:
    """Accelerated projected gradient with a monotone safeguard, and the best bound."""

    program: _Program
    lower: float
    dual: Array | None
    upper: float = math.inf  # least phi, not a bound of anything but the relaxation
    nit: int = 0

    def run(self, P: Array, tol: float, max_iter: int) -> Array:
        program = self.program
        now = program.evaluate(P, None)
        self._offer(now)
        step = 1.0 / max(float(np.abs(now.slope).max()), 1e-300)
        ahead, momentum, idle = now, 1.0, 0
        for self.nit in range(1, max_iter + 1):
            new, step = self._step(ahead, step)
            if new.value > now.value:  # momentum overshot: restart from the best
                if ahead is now:
                    break
                ahead, momentum = now, 1.0
                continue
            following = 0.5 * (1.0 + math.sqrt(1.0 + 4.0 * momentum * momentum))
            gain = now.value - new.value
            mixed = new.P + (momentum - 1.0) / following * (new.P - now.P)
            momentum, now = following, new
            if self.nit % _BOUND_EVERY == 0:
                self._offer(now)
                if now.value - self.lower <= tol * abs(now.value):
                    break
            idle = idle + 1 if gain <= 1e-9 * abs(now.value) else 0
            if idle >= _PATIENCE:
                break
            ahead = program.evaluate(project_on_fantope(mixed, program.rank), now.head)
        self._offer(now)
        self.upper = now.value
        return now.P

    def _step(self, at: _Point, step: float) -> tuple[_Point, float]:
        """Take a projected gradient step, shortened until its model is above phi."""
        step *= 1.5
        for _ in range(40):
            P = project_on_fantope(at.P - step * at.slope, self.program.rank)
            move = P - at.P
            new = self.program.evaluate(P, at.head)
            model = at.value + float(np.sum(at.slope * move))
            model += float(np.sum(move * move)) / (2.0 * step)
            if new.value <= model + 1e-13 * abs(at.value):
                break
            step *= 0.4
        return new, step

    def _offer(self, point: _Point) -> None:
        alpha = np.asarray(point.head.alpha)
        lower, _ = dual_bound_of(self.program.task, alpha)
        if lower > self.lower:
            self.lower, self.dual = lower, alpha


def fantope_bound(
    X: Any,
    Y: ArrayLike,
    r: int,
    *,
    tol: float = 1e-6,
    max_iter: int = ITERATIONS,
    **problem: Any,
) -> OptimizeResult:
    """Solve the Fantope relaxation for the best dual bound it can give.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n, p)
        Data; ``min(n, p)`` (feature model: n) must not exceed 1500.
    Y : array-like of shape (n,) or (n, K)
        Labels, or their one-hot code without the baseline class.
    r : int
        Rank.
    tol : float, default=1e-6
        Relative gap of the relaxation at which to stop.
    max_iter : int, default=300
        Largest number of iterations.
    **problem : object
        As for :func:`dual_bound`.

    Returns
    -------
    OptimizeResult
        ``lower_bound`` (proven), ``fun`` (value of the relaxation reached, no bound of
        anything), ``dual`` (n, K) whose :func:`dual_bound` it is, ``fractional``, the
        number of eigenvalues of P strictly between 0 and 1.

    Raises
    ------
    ValueError
        If an argument is out of range, alpha is 0 or the data are too large.

    Examples
    --------
    >>> import numpy as np
    >>> from sdl import fantope_bound, lpgd
    >>> X = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0], [1.0, 3.0]])
    >>> y = [0, 0, 1, 1]
    >>> bool(fantope_bound(X, y, 1).lower_bound <= lpgd(X, y, 1).fun)
    True
    """
    check_number("tol", tol, low=0.0)
    check_number("max_iter", max_iter, low=1, integer=True)
    task = formulate(X, Y, r, **problem).task
    if task.nu == 0:
        raise ValueError("alpha=0 has no Fantope program; use sandwich_bound.")
    if _order(task) > LARGEST:
        raise ValueError(
            f"the Fantope program of order {_order(task)} is too large (limit "
            f"{LARGEST}); use dual_bound."
        )
    search = _Search(_Program(task), -math.inf, None)
    with blas_threads_for(X):
        P = search.run(_leading_projection(search.program), tol, max_iter)
        values = np.linalg.eigvalsh(P)
    met = search.upper - search.lower <= tol * abs(search.upper)
    return make_result(
        P,
        fun=search.upper,
        status=Status.CONVERGED if met else Status.STALLED,
        nit=search.nit,
        lower_bound=search.lower,
        dual=search.dual,
        fractional=int(((values > 1e-4) & (values < 1.0 - 1e-4)).sum()),
    )


def best_dual(task: Problem, dual: Array, tol: float) -> Array:
    """Return the better of a dual point and that of the Fantope program."""
    if _order(task) > LARGEST:
        return dual
    search = _Search(_Program(task), dual_bound_of(task, dual)[0], dual)
    search.run(_leading_projection(search.program), tol, ITERATIONS)
    return dual if search.dual is None else search.dual


def _order(task: Problem) -> int:
    return task.X.shape[0] if task.model == "feature" else min(task.X.shape)


def _leading_projection(program: _Program) -> Array:
    """Spread the trace a little: a vertex of the Fantope is a poor start."""
    k, r = len(program.g), program.rank
    P = np.full(k, 0.1 * r / k)
    order = np.argsort(-program.g, kind="stable")[:r]
    P[order] += 0.9
    return np.diag(_shifted(P, r))


def refine(
    form: Formulation, factors: dict[str, Array], dual: Array | None, tol: float
) -> tuple[dict[str, Array], Array | None]:
    """Improve the dual point, and the factors if rounding P gives better ones.

    Parameters
    ----------
    form : Formulation
        The problem.
    factors : dict
        ``W``, ``H``, ``beta``, ``Gamma``.
    dual : ndarray of shape (n, K) or None
        Dual point.
    tol : float
        Relative gap wanted.

    Returns
    -------
    factors : dict
        The better of the old ones and those polished from the leading eigenvectors.
    dual : ndarray of shape (n, K)
        Dual point of the best bound.
    """
    from sdl._measure import objective
    from sdl._measure_stationarity import Factors
    from sdl.driver import Settings, drive
    from sdl.lifting import lifted_space
    from sdl.long_steps import LongSteps

    task = form.task
    if _order(task) > LARGEST:
        warnings.warn(
            f"certificate='refine' is limited to order {LARGEST}; the bound stays.",
            UserWarning,
            stacklevel=4,
        )
        return factors, dual
    start = -math.inf if dual is None else dual_bound_of(task, dual)[0]
    program = _Program(task)
    search = _Search(program, start, dual)
    P = search.run(_leading_projection(program), tol, ITERATIONS)
    space = lifted_space(task, task.rank, xp, "cpu", np.random.SeedSequence(0), "exact")
    leading = eigh(P)[1][:, -program.rank :]
    root = np.sqrt(task.v)[:, None]
    if task.model == "filter":
        if space.size != len(program.g):
            return factors, search.dual
        # both bases are eigenbases of G: go through the features, where they agree
        change = np.linalg.lstsq(
            space.all_features(), program.basis @ leading, rcond=None
        )[0]
        Q = np.linalg.qr(change)[0]
    else:
        Q = np.linalg.qr(root * (program.basis @ leading))[0]
    head = program.head
    outcome = drive(LongSteps.begin(space, head, task, Q), Settings(tol=tol))
    outcome.iteration.finish()
    polished = outcome.iteration.factors()
    old = objective(task, Factors(**factors), form.parameters)[0]
    new = objective(task, Factors(**polished), form.parameters)[0]
    return (polished if new < old else factors), search.dual
