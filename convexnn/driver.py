"""Iterate, ask for bounds now and then, and stop when the proven gap is small enough.

ADMM (admm.py) moves a point; bounds.py turns it into a feasible point and a dual point.
"""

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult

from convexnn.admm import Factor, Iteration, factorize, reduce
from convexnn.bounds import Bounds
from convexnn.program import Program, Settings
from convexnn.scale._array import ArrayIteration, Place
from convexnn.scale.normal import least_squares
from convexnn.scale.rbcd import RandomizedIteration
from farkas.history import Recorder
from farkas.parallel import blas_threads_for
from farkas.status import Status

Array = NDArray[np.float64]


@dataclasses.dataclass
class Solution:
    """What the driver found."""

    bounds: Bounds
    status: Status
    nit: int
    elapsed: float
    history: dict[str, NDArray[Any]]
    state: dict[str, Any]
    interrupted: bool  # by Ctrl-C


def solve(
    program: Program,
    settings: Settings,
    *,
    x0: tuple[Array, ...] | None = None,
    state: dict[str, Any] | None = None,
    factor: Factor | None = None,
    where: Place | None = None,
) -> Solution:
    """Run the driver on a validated program.

    Parameters
    ----------
    program : Program
        What to solve.
    settings : Settings
        When to stop and whom to tell.
    x0 : tuple of ndarray of shape (d, P), optional
        Start.
    state : dict, optional
        Continue an earlier run.
    factor : Factor, optional
        Shared factorisation of the same data and patterns.
    where : Place, optional
        Where the iteration runs; default: on the host.

    Returns
    -------
    Solution
    """
    with blas_threads_for(program.X):
        return _solve(program, settings, x0, state, factor, where)


def _solve(
    program: Program,
    settings: Settings,
    x0: tuple[Array, ...] | None,
    state: dict[str, Any] | None,
    factor: Factor | None,
    where: Place | None,
) -> Solution:
    begun = time.perf_counter()
    method = _method(program, settings, where)
    if factor is None:
        data = program.X, program.patterns.D, program.activation
        if method is Iteration:
            factor = factorize(*data, settings.u_update)
        else:
            factor = reduce(*data)
    if program.alpha == 0:
        return _least_norm(program, factor, begun)
    if settings.solver == "cvxpy":
        return _by_cvxpy(program, factor, begun)
    arguments = (factor, program.y, program.alpha, program.loss)
    blocks = None
    if x0 is not None:
        blocks = np.concatenate([factor.to_internal(part) for part in x0])
    try:
        iteration = method(*arguments, rho=settings.rho, x0=blocks, state=state)
    except KeyError as error:
        raise ValueError(
            f"state= has no entry {error}; pass the state of a run with the same "
            "u_update and device."
        ) from error
    bounds = Bounds(*arguments, state=state)
    return Driver(settings, iteration, bounds, begun, state).run()


def _method(
    program: Program, settings: Settings, where: Place | None
) -> Callable[..., "Method"]:
    """Return the class of the iteration."""
    if program.alpha == 0 or settings.solver == "cvxpy":
        return Iteration
    u_update = settings.u_update
    if where is None or where.has_kernels:
        return RandomizedIteration if u_update == "rbcd" else Iteration
    if u_update not in ("auto", "eigh", "cg"):
        raise ValueError(
            f"u_update={u_update!r} runs on the CPU in float64; choose 'eigh' or 'cg' "
            "for device='cuda' or dtype='float32'."
        )
    return partial(ArrayIteration, where=where, u_update=u_update)


class Method(Protocol):
    """What moves the point: :class:`convexnn.admm.Iteration` or one of its kind."""

    nit: int
    rho: float
    check_every: int  # iterations between two looks at the gap

    @property
    def point(self) -> Array:
        """What must stay finite."""

    def advance(self) -> None:
        """Take one step."""

    def blocks(self) -> Array:
        """Return weights (m, r); they need not lie in the cones."""

    def theta(self) -> Array:
        """Return a dual point (n,)."""

    def multipliers(self) -> Array:
        """Return nonnegative multipliers of the cone constraints (m, n)."""

    def is_stationary(self) -> bool:
        """Whether the last step was rounding."""

    def state(self) -> dict[str, Any]:
        """Return what continues bit for bit."""


class Driver:
    """One run: a method, the bounds of what it finds, and who is told.

    Parameters
    ----------
    settings : Settings
        When to stop and whom to tell.
    iteration : Method
        What moves the point.
    bounds : Bounds
        What turns its points into bounds; or another of its kind.
    begun : float
        When the run began, ``time.perf_counter()``.
    state : dict, optional
        Continue an earlier run; method and bounds have taken their parts already.
    """

    def __init__(
        self,
        settings: Settings,
        iteration: Method,
        bounds: Any,
        begun: float,
        state: dict[str, Any] | None = None,
    ) -> None:
        self.settings, self.iteration, self.begun = settings, iteration, begun
        self.bounds = bounds
        earlier = {} if state is None else _history_of(state)
        self.recorder = Recorder(
            every=settings.history_every,
            columns=("lower_bound", "rho"),
            verbose=settings.verbose,
            name=settings.name,
            start=earlier or None,
        )

    def run(self) -> Solution:
        """Iterate until the gap is small enough or another reason to stop."""
        interrupted = False
        try:
            status = self._loop()
        except KeyboardInterrupt:
            status, interrupted = Status.CALLBACK, True
        except StopIteration:
            status = Status.CALLBACK
        if status is not Status.CONVERGED and self.iteration.nit > 0:
            self._bound(project=True)
            if self._met() and status is not Status.CALLBACK:
                status = Status.CONVERGED
        self._record(force=True)
        if status is not Status.CALLBACK:
            try:
                self._tell(final=True)
            except KeyboardInterrupt:
                interrupted = True
        return Solution(
            bounds=self.bounds,
            status=status,
            nit=self.iteration.nit,
            elapsed=time.perf_counter() - self.begun,
            history=self.recorder.to_dict(),
            state=self.state(),
            interrupted=interrupted,
        )

    def _loop(self) -> Status:
        iteration, settings = self.iteration, self.settings
        if iteration.nit == 0 and self.bounds.zero_is_optimal() and self._met():
            iteration.nit = 1
            return Status.CONVERGED
        while iteration.nit < settings.max_iter:
            iteration.advance()
            if time.perf_counter() - self.begun > settings.max_time:
                return Status.MAX_TIME
            if iteration.nit % iteration.check_every:
                continue
            reason = self._check()
            self._record()
            self._tell()
            if reason is not None:
                return reason
        return Status.MAX_ITER

    def _check(self) -> Status | None:
        if not np.isfinite(self.iteration.point).all():
            return Status.NUMERICAL
        self._bound()
        if self._met():
            return Status.CONVERGED
        return Status.STALLED if self.iteration.is_stationary() else None

    def _bound(self, *, project: bool = False) -> None:
        """Offer the iterate to both bounds."""
        iteration = self.iteration
        if np.isfinite(iteration.point).all():
            theta, multipliers = iteration.theta(), iteration.multipliers()
            self.bounds.try_primal(iteration.blocks())
            self.bounds.try_dual(theta, multipliers, project=project)

    def _met(self) -> bool:
        return self.bounds.gap <= self.settings.tol * abs(self.bounds.upper)

    def _record(self, *, force: bool = False) -> None:
        self.recorder.record(
            self.iteration.nit,
            objective=self.bounds.upper,
            certificate=self.bounds.gap,
            lower_bound=self.bounds.lower,
            rho=self.iteration.rho,
            force=force,
        )

    def _tell(self, *, final: bool = False) -> None:
        callback = self.settings.callback
        if callback is None:
            return
        progress = OptimizeResult(
            x=self.bounds.x(),
            fun=self.bounds.upper,
            nit=self.iteration.nit,
            lower_bound=self.bounds.lower,
            gap=self.bounds.gap,
            state=self.state,
        )
        try:
            callback(intermediate_result=progress)
        except StopIteration:
            if not final:
                raise

    def state(self) -> dict[str, Any]:
        """Return what continues this run."""
        columns = self.recorder.to_dict()
        return {
            **self.iteration.state(),
            **self.bounds.state(),
            **{f"history_{name}": column for name, column in columns.items()},
        }


def _least_norm(program: Program, factor: Factor, begun: float) -> Solution:
    """Solve the gated least squares problem: ``u_i = X'D_i x`` with ``M x = y``."""
    if factor.u_step is None:
        e, Q = factor.eigenvalues, factor.eigenvectors
        kept = e > len(e) * np.finfo(np.float64).eps * e.max()
        x = Q[:, kept] @ ((program.y @ Q[:, kept]) / e[kept])
        blocks = (factor.D * x) @ factor.A
    else:
        blocks = least_squares(factor.A, factor.D, program.y)
    bounds = Bounds(factor, program.y, 0.0, program.loss)
    bounds.blocks = blocks
    bounds.upper, _ = bounds.objective(bounds.blocks)
    elapsed = time.perf_counter() - begun
    return Solution(bounds, Status.CONVERGED, 1, elapsed, {}, {}, False)


def _by_cvxpy(program: Program, factor: Factor, begun: float) -> Solution:
    """Solve by an interior point method, and bound its answer as any other."""
    from convexnn.reference import reference_cvxpy

    found = reference_cvxpy(
        program.X,
        program.y,
        program.patterns,
        alpha=program.alpha,
        loss=program.loss,
        activation=program.activation,
    )
    bounds = Bounds(factor, program.y, program.alpha, program.loss)
    if found.status is not Status.NUMERICAL:
        blocks = found.x if program.activation == "relu" else (found.x,)
        bounds.try_primal(np.concatenate([factor.to_internal(x) for x in blocks]))
        none = np.zeros(bounds.patterns.shape)
        bounds.try_dual(found.theta, none, project=True)
        bounds.try_dual(-found.theta, none, project=True)
    elapsed = time.perf_counter() - begun
    return Solution(bounds, found.status, found.nit, elapsed, {}, {}, False)


def _history_of(state: dict[str, Any]) -> dict[str, Any]:
    prefix = "history_"
    return {
        name.removeprefix(prefix): column
        for name, column in state.items()
        if name.startswith(prefix)
    }
