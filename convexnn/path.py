"""The regularisation path: one program for each alpha, all on one factorisation.

From the largest alpha down, each program starts where the path is predicted to be: the
dual point is extrapolated from the two programs before. A correction (corrector.py)
makes a feasible pair of it, whose gap often is small enough already. Where it is not,
ADMM starts from the pair, and the correction looks at the gap every few iterations. The
matrix that the iterations factor does not depend on alpha.
"""

import dataclasses
import time
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult

from convexnn._measure_losses import LOSSES
from convexnn.admm import Factor, Iteration, factorize, first_rho
from convexnn.bounds import Bounds
from convexnn.cones import project_blocks
from convexnn.corrector import Corrector
from convexnn.patterns import PatternSet
from convexnn.program import Program, Settings
from convexnn.programs import final_status, mint
from farkas.base import check_choice, check_number
from farkas.parallel import holds_blas_threads
from farkas.status import Status

Array = NDArray[np.float64]

# Iterations between two corrections, each worth about three; later a fifth of those
# done so far.
CHECK_EVERY = 5

# Iterations after which a start is given up: several times what is usual.
PATIENCE = 1000


@holds_blas_threads
def convexnn_path(
    X: ArrayLike,
    y: ArrayLike,
    patterns: "ArrayLike | PatternSet",
    *,
    activation: str = "relu",
    loss: str = "squared",
    alphas: ArrayLike | None = None,
    n_alphas: int = 50,
    eps: float = 1e-3,
    tol: float = 1e-4,
    max_iter: int = 5000,
    max_time: float | None = None,
) -> OptimizeResult:
    """Solve the convex program for a sequence of penalties, each with a certificate.

    Parameters
    ----------
    X : array-like of shape (n, d)
        Data. A hidden bias is an extra constant column.
    y : array-like of shape (n,)
        Targets; -1 or +1 for the logistic and the hinge loss.
    patterns : array-like of shape (n, P) or PatternSet
        Activation patterns d_i, 0/1.
    activation : {"relu", "gated"}, default="relu"
        The program: that of :func:`solve_relu` or :func:`solve_gated`.
    loss : {"squared", "logistic", "hinge", "huber"}, default="squared"
        Summed over samples.
    alphas : array-like of shape (n_alphas,), optional
        Penalties, positive. By default `n_alphas` values in geometric progression from
        :func:`alpha_max` down to ``eps`` times that.
    n_alphas : int, default=50
        Length of the default grid.
    eps : float, default=1e-3
        Ratio of the least to the largest alpha of the default grid.
    tol : float, default=1e-4
        Largest proven gap of each program, relative to its objective.
    max_iter : int, default=5000
        Largest number of iterations for each alpha.
    max_time : float, optional
        Seconds after which the path ends early.

    Returns
    -------
    OptimizeResult
        ``alphas`` (k,), decreasing; ``x = (V, W)`` of shape (k, d, P) each (gated:
        ``x`` alone); ``fun``, ``lower_bound``, ``gap``, ``nit`` of shape (k,);
        ``certificates`` and ``statuses``, lists; ``alpha_max``; ``status``, ``success``
        and ``message`` of the whole; ``elapsed``. Every certificate is that of the
        solver functions and holds for ``farkas.verify(certificate, X, y)``.

    Raises
    ------
    TypeError
        If a number has the wrong type.
    ValueError
        If an argument has a wrong shape or value.

    Notes
    -----
    Interrupting with Ctrl-C, or running out of `max_time`, returns the part of the path
    that is finished.

    Examples
    --------
    >>> from convexnn import convexnn_path, enumerate_patterns
    >>> X = [[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]]
    >>> path = convexnn_path(X, [-1, 1, 1, -1], enumerate_patterns(X), n_alphas=4)
    >>> path.alphas.round(4)
    array([7.071e-01, 7.070e-02, 7.100e-03, 7.000e-04])
    >>> [certificate.satisfied for certificate in path.certificates]
    [True, True, True, True]
    """
    begun = time.perf_counter()
    check_choice("activation", activation, ("relu", "gated"))
    first = Program.validated(X, y, patterns, 1.0, loss, activation)
    settings = Settings.validated(tol, max_iter, max_time, "auto", None, 1, 0)
    factor = factorize(first.X, first.patterns.D, activation)
    largest = _alpha_max(factor, first.y, loss)
    if alphas is None:
        grid = _default_grid(largest, n_alphas, eps)
    else:
        grid = _checked_grid(alphas)
    follower = _Follower(factor, first.y, loss, settings)
    points: list[tuple[Any, Any, int, Status]] = []
    status = Status.CONVERGED
    try:
        for alpha in grid:
            if time.perf_counter() - begun > settings.max_time:
                status = Status.MAX_TIME
                break
            program = dataclasses.replace(first, alpha=float(alpha))
            bounds, nit, ended = follower.follow(float(alpha))
            certificate = mint(
                [bounds],
                (program.X, program.y),
                program.patterns,
                program.parameters(),
                settings.tol,
            )
            points.append((bounds.x(), certificate, nit, ended))
    except KeyboardInterrupt:
        status = Status.CALLBACK
    return _result(
        points, grid, largest, status, activation, time.perf_counter() - begun
    )


def alpha_max(
    X: ArrayLike,
    y: ArrayLike,
    patterns: "ArrayLike | PatternSet",
    *,
    activation: str = "relu",
    loss: str = "squared",
) -> float:
    """Return the least alpha for which the zero network is optimal.

    It is the largest norm of ``+-X'D_i L'(0)`` (gated), projected onto the cone of the
    pattern (ReLU).

    Parameters
    ----------
    X : array-like of shape (n, d)
        Data.
    y : array-like of shape (n,)
        Targets.
    patterns : array-like of shape (n, P) or PatternSet
        Activation patterns.
    activation : {"relu", "gated"}, default="relu"
        The program.
    loss : {"squared", "logistic", "hinge", "huber"}, default="squared"
        The loss. That of the hinge has a kink, but not at a prediction of zero.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If an argument has a wrong shape or value.

    Examples
    --------
    >>> from convexnn import enumerate_patterns
    >>> from convexnn.path import alpha_max
    >>> X = [[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]]
    >>> round(alpha_max(X, [-1, 1, 1, -1], enumerate_patterns(X)), 10)
    0.7071067812
    """
    check_choice("activation", activation, ("relu", "gated"))
    program = Program.validated(X, y, patterns, 1.0, loss, activation)
    factor = factorize(program.X, program.patterns.D, activation)
    return _alpha_max(factor, program.y, loss)


def _alpha_max(factor: Factor, y: Array, loss: str) -> float:
    theta = LOSSES[loss].theta(np.zeros_like(y), y)
    g = (factor.D * theta) @ factor.A
    if factor.relu:
        patterns = np.concatenate([factor.D, factor.D])
        g, _ = project_blocks(factor.A, patterns, np.concatenate([g, -g]))
    return float(np.linalg.norm(g, axis=1).max() / factor.scale)


def _default_grid(largest: float, n_alphas: int, eps: float) -> Array:
    check_number("n_alphas", n_alphas, low=1, integer=True)
    check_number("eps", eps, low=0, high=1, inclusive="neither")
    if largest == 0:
        raise ValueError(
            "the zero network is optimal for every alpha; pass alphas to have it "
            "certified."
        )
    if n_alphas == 1:
        return np.array([largest])
    return largest * np.geomspace(1.0, eps, n_alphas)


def _checked_grid(alphas: ArrayLike) -> Array:
    grid = np.asarray(alphas, dtype=np.float64)
    if grid.ndim != 1 or not len(grid):
        raise ValueError(f"alphas must have shape (n_alphas,), got {grid.shape}.")
    if not (np.isfinite(grid) & (grid > 0)).all():
        raise ValueError("alphas must be positive and finite.")
    return np.sort(grid)[::-1]


class _PathIteration(Iteration):
    """An iteration that goes on with another alpha, keeping what it knows of cones."""

    def restart(self, alpha: float, rho: float, point: Array) -> None:
        if self._project is not None:
            self._project.rescale(self.rho / rho)
        self.alpha, self.rho, self.nit = alpha * self.factor.scale, rho, 0
        self.point = self._before = point
        self.anderson.reset()


class _Follower:
    """Solve one program after the other, each from the ones before."""

    def __init__(self, factor: Factor, y: Array, loss: str, settings: Settings) -> None:
        self.factor, self.y, self.loss, self.settings = factor, y, loss, settings
        self.correct = Corrector(factor, y, loss)
        self.blocks = np.zeros((factor.n_blocks, factor.A.shape[1]))
        self.thetas: list[Array] = []  # of the last two programs
        self.alphas: list[float] = []
        self.iteration = _PathIteration(factor, y, 1.0, loss)

    def follow(self, alpha: float) -> tuple[Bounds, int, Status]:
        """Return bounds of the next program, iterations, and why they ended."""
        bounds = Bounds(self.factor, self.y, alpha, self.loss)
        theta, self.blocks = self.correct(bounds, self._predict(alpha), self.blocks)
        nit, status = 0, Status.CONVERGED
        if not self._met(bounds):
            self._start(alpha, theta)
            theta, status = self._iterate(bounds, theta, PATIENCE)
            nit = self.iteration.nit
            if status is Status.MAX_ITER:  # the start misled: begin from nothing
                self._start(alpha, theta, np.zeros_like(self.blocks))
                theta, status = self._iterate(bounds, theta, self.settings.max_iter)
                nit += self.iteration.nit
            self.blocks = bounds.blocks
        self.thetas = [*self.thetas[-1:], theta]
        self.alphas = [*self.alphas[-1:], alpha]
        return bounds, nit, status

    def _iterate(
        self, bounds: Bounds, theta: Array, max_iter: int
    ) -> tuple[Array, Status]:
        iteration, due = self.iteration, CHECK_EVERY
        limit = min(max_iter, self.settings.max_iter)
        while iteration.nit < limit:
            iteration.advance()
            if iteration.nit < min(due, limit):
                continue
            due += max(CHECK_EVERY, iteration.nit // CHECK_EVERY)
            if not np.isfinite(iteration.point).all():
                return theta, Status.NUMERICAL
            theta = iteration.theta()
            if self.loss != "squared":
                bounds.try_dual(theta, iteration.multipliers())
            theta, _ = self.correct(bounds, theta, iteration.blocks())
            if self._met(bounds):
                return theta, Status.CONVERGED
            if iteration.is_stationary():
                return theta, Status.STALLED
        return theta, Status.MAX_ITER

    def _met(self, bounds: Bounds) -> bool:
        return bounds.gap <= self.settings.tol * abs(bounds.upper)

    def _predict(self, alpha: float) -> Array:
        if not self.thetas:
            return LOSSES[self.loss].theta(np.zeros_like(self.y), self.y)
        last = self.thetas[-1]
        if len(self.thetas) < 2 or self.alphas[-2] == self.alphas[-1]:
            return last
        step = (self.alphas[-1] - alpha) / (self.alphas[-2] - self.alphas[-1])
        predicted = last + min(step, 1.0) * (last - self.thetas[-2])
        return LOSSES[self.loss].project(predicted, self.y)

    def _start(self, alpha: float, theta: Array, blocks: Array | None = None) -> None:
        """Restart the iteration where it would stay if the pair were optimal."""
        if blocks is None:
            blocks = self.blocks
        else:
            theta = np.zeros_like(theta)
        rho = first_rho(None, alpha * self.factor.scale, len(self.blocks), self.y)
        g = (self.factor.D * theta) @ self.factor.A
        if self.factor.relu:
            g = np.concatenate([g, -g])
        point = (blocks + g / rho).ravel()
        if self.loss != "squared":
            products = blocks @ self.factor.A.T
            z = self.correct.signs @ (self.correct.patterns * products)
            point = np.concatenate([point, z - theta / rho])
        self.iteration.restart(alpha, rho, point)


def _result(
    points: list[tuple[Any, Any, int, Status]],
    grid: Array,
    largest: float,
    status: Status,
    activation: str,
    elapsed: float,
) -> OptimizeResult:
    certificates = [certificate for _, certificate, _, _ in points]
    statuses = [final_status(ended, c) for _, c, _, ended in points]
    if status is Status.CONVERGED:
        status = max(statuses, key=abs)
    parts = [x if activation == "relu" else (x,) for x, _, _, _ in points]
    stacked = tuple(np.stack(part) for part in zip(*parts, strict=True))
    return OptimizeResult(
        alphas=grid[: len(points)],
        x=stacked[0] if len(stacked) == 1 else stacked,
        fun=np.array([c.upper for c in certificates]),
        lower_bound=np.array([c.lower for c in certificates]),
        gap=np.array([c.gap for c in certificates]),
        nit=np.array([nit for _, _, nit, _ in points], dtype=int),
        certificates=certificates,
        statuses=statuses,
        alpha_max=largest,
        status=status,
        success=status.success,
        message=status.message,
        elapsed=elapsed,
    )
