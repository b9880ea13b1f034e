"""Solve the convex program of a two-layer network, and certify the answer.

The driver iterates (admm.py), asks now and then for a feasible point and a dual point
(bounds.py), and stops when the proven gap is small enough.
"""

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult

from convexnn._measure import LOSSES
from convexnn.admm import RHO, Factor, Iteration, factorize
from convexnn.bounds import Bounds
from convexnn.patterns import PatternSet, as_matrix
from farkas.certificate import Certificate
from farkas.history import Recorder
from farkas.result import make_result
from farkas.status import Status
from farkas.verification import ROUNDING, certify

Array = NDArray[np.float64]

PROBLEM = "convexnn.two_layer/1"

# Iterations between two cheap looks at the gap, each worth about one iteration.
CHECK_EVERY = 25

# The gap is proven at this iteration and whenever their number has doubled, so that the
# history shows it closing; and when an estimate says that it may be small enough.
FIRST_PROOF = 100

# A failed attempt is repeated when the estimate has fallen by this factor.
RETRY = 0.7


def solve_relu(
    X: ArrayLike,
    y: ArrayLike,
    patterns: "ArrayLike | PatternSet",
    *,
    alpha: float,
    loss: str = "squared",
    tol: float = 1e-4,
    max_iter: int = 5000,
    max_time: float | None = None,
    x0: tuple[ArrayLike, ArrayLike] | None = None,
    rho: float | str = "auto",
    callback: Callable[..., Any] | None = None,
    history_every: int = 1,
    verbose: int = 0,
    state: dict[str, Any] | None = None,
) -> OptimizeResult:
    """Train a two-layer ReLU network to proven optimality on its patterns.

    Solves, with ``D_i = diag(d_i)`` and ``S_i = 2 D_i - I``::

        min  L(sum_i D_i X (v_i - w_i), y) + alpha sum_i (|v_i| + |w_i|)
        s.t. S_i X v_i >= 0,  S_i X w_i >= 0

    Parameters
    ----------
    X : array-like of shape (n, d)
        Data. A hidden bias is an extra constant column.
    y : array-like of shape (n,)
        Targets; -1 or +1 for the logistic and the hinge loss.
    patterns : array-like of shape (n, P) or PatternSet
        Activation patterns d_i, 0/1. With ``enumerate_patterns(X)`` the optimum is
        that of the network problem itself, and the certificate says so.
    alpha : float
        Weight of the penalty, positive.
    loss : {"squared", "logistic", "hinge", "huber"}, default="squared"
        Summed over samples.
    tol : float, default=1e-4
        Stops when the proven gap is at most ``tol`` times the objective.
    max_iter : int, default=5000
        Largest number of iterations.
    max_time : float, optional
        Seconds after which the best point so far is returned.
    x0 : tuple of two array-like of shape (d, P), optional
        Weights (V, W) to start from.
    rho : float or "auto", default="auto"
        First penalty parameter of ADMM; it is adapted.
    callback : callable, optional
        Called every 25 iterations as ``callback(intermediate_result=...)`` with the
        fields x, fun, nit, lower_bound, gap and state. It may raise StopIteration.
    history_every : int, default=1
        Keep every so manieth check in the history, a check being 25 iterations; 0
        keeps none.
    verbose : int, default=0
        1 prints a line now and then, 2 at every check.
    state : dict, optional
        ``result.state`` of an earlier run on the same data, to continue bit for bit.

    Returns
    -------
    OptimizeResult
        ``x = (V, W)`` of shape (d, P) each, inside the cones; ``fun``,
        ``lower_bound``, ``gap``, ``certificate`` and the usual fields.

    Raises
    ------
    ValueError
        If an argument has a wrong shape or value.

    Notes
    -----
    Interrupting with Ctrl-C returns the best point so far, with its certificate.

    References
    ----------
    Bai, Gautam, Sojoudi, "Efficient Global Optimization of Two-Layer ReLU Networks",
    arXiv:2201.01965. Pilanci, Ergen, "Neural Networks are Convex Regularizers",
    arXiv:2002.10553.

    Examples
    --------
    >>> from convexnn import enumerate_patterns, solve_relu
    >>> X = [[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]]
    >>> result = solve_relu(X, [-1, 1, 1, -1], enumerate_patterns(X), alpha=0.1)
    >>> round(result.fun, 3), result.certificate.guarantee.name
    (0.579, 'GLOBAL')
    """
    program = Program.validated(X, y, patterns, alpha, loss, "relu")
    settings = Settings.validated(
        tol, max_iter, max_time, rho, callback, history_every, verbose
    )
    start = None if x0 is None else _validated_start(x0, program)
    solution = solve(program, settings, x0=start, state=state)
    V, W = solution.weights()
    return _result(program, settings, solution, (V, W))


def solve_gated(
    X: ArrayLike,
    y: ArrayLike,
    patterns: "ArrayLike | PatternSet",
    *,
    alpha: float,
    loss: str = "squared",
    tol: float = 1e-4,
    max_iter: int = 5000,
    max_time: float | None = None,
    x0: ArrayLike | None = None,
    rho: float | str = "auto",
    callback: Callable[..., Any] | None = None,
    history_every: int = 1,
    verbose: int = 0,
    state: dict[str, Any] | None = None,
) -> OptimizeResult:
    """Train a network of gated ReLU units, a group lasso, to proven optimality.

    Solves ``min L(sum_i D_i X u_i, y) + alpha sum_i |u_i|``, the relaxation of
    :func:`solve_relu` without cone constraints. Predictions need the gates:
    ``sum_i 1[x'g_i >= 0] x'u_i``.

    Parameters
    ----------
    X, y, patterns, loss, tol, max_iter, max_time, rho, callback, history_every, \
verbose, state
        As in :func:`solve_relu`.
    alpha : float
        Weight of the penalty; 0 is allowed for the squared loss and gives the least
        squares solution of least norm.
    x0 : array-like of shape (d, P), optional
        Weights to start from.

    Returns
    -------
    OptimizeResult
        ``x`` of shape (d, P), otherwise as in :func:`solve_relu`.

    Raises
    ------
    ValueError
        If an argument has a wrong shape or value.

    References
    ----------
    Mishkin, Sahiner, Pilanci, "Fast Convex Optimization for Two-Layer ReLU Networks",
    arXiv:2202.01331.

    Examples
    --------
    >>> from convexnn import enumerate_patterns, solve_gated
    >>> X = [[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]]
    >>> result = solve_gated(X, [-1, 1, 1, -1], enumerate_patterns(X), alpha=0.1)
    >>> round(result.fun, 3)
    0.274
    """
    program = Program.validated(X, y, patterns, alpha, loss, "gated")
    settings = Settings.validated(
        tol, max_iter, max_time, rho, callback, history_every, verbose
    )
    start = None if x0 is None else _validated_start((x0,), program)
    solution = solve(program, settings, x0=start, state=state)
    return _result(program, settings, solution, solution.weights()[0])


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """A validated program: data, patterns and penalty."""

    X: Array  # (n, d)
    y: Array  # (n,)
    patterns: PatternSet
    alpha: float
    loss: str
    activation: str

    @classmethod
    def validated(
        cls,
        X: ArrayLike,
        y: ArrayLike,
        patterns: "ArrayLike | PatternSet",
        alpha: float,
        loss: str,
        activation: str,
    ) -> "Program":
        """Check the arguments that the solver functions share."""
        X = as_matrix(X)
        if loss not in LOSSES:
            raise ValueError(f"loss={loss!r} must be one of {sorted(LOSSES)}.")
        y = np.asarray(y, dtype=np.float64)
        if y.shape != (len(X),):
            raise ValueError(f"y must have shape ({len(X)},), got {y.shape}.")
        if not np.isfinite(y).all():
            raise ValueError("y must not contain NaN or infinity.")
        if LOSSES[loss].labels and not np.isin(y, (-1.0, 1.0)).all():
            raise ValueError(f"y must be -1 or +1 for loss={loss!r}.")
        check_alpha(alpha, activation, loss)
        return cls(X, y, as_patterns(patterns, X), float(alpha), loss, activation)

    @property
    def scope(self) -> str:
        """What the lower bound covers."""
        complete = self.patterns.complete and self.activation == "relu"
        return "global" if complete else "patterns"

    def parameters(self) -> dict[str, Any]:
        """Return what defines this program in a certificate."""
        return {
            "alpha": self.alpha,
            "loss": self.loss,
            "activation": self.activation,
            "scope": self.scope,
            "encoding": "none",
            "intercept": 0.0,
        }


@dataclasses.dataclass(frozen=True)
class Settings:
    """Validated controls of the driver."""

    tol: float = 1e-4
    max_iter: int = 5000
    max_time: float = math.inf
    rho: float = RHO
    callback: Callable[..., Any] | None = None
    history_every: int = 1
    verbose: int = 0
    name: str = ""

    @classmethod
    def validated(
        cls,
        tol: float,
        max_iter: int,
        max_time: float | None,
        rho: float | str,
        callback: Callable[..., Any] | None,
        history_every: int,
        verbose: int,
        name: str = "convexnn",
    ) -> "Settings":
        """Check the controls that the solver functions share."""
        if not (_is_real(tol) and 0 <= tol < math.inf):
            raise ValueError(f"tol={tol!r} must be a number >= 0.")
        if not (isinstance(max_iter, int | np.integer) and max_iter >= 1):
            raise ValueError(f"max_iter={max_iter!r} must be an integer >= 1.")
        if max_time is not None and not (_is_real(max_time) and max_time > 0):
            raise ValueError(f"max_time={max_time!r} must be None or seconds > 0.")
        if rho != "auto" and not (_is_real(rho) and 0 < rho < math.inf):
            raise ValueError(f"rho={rho!r} must be 'auto' or a positive number.")
        if callback is not None and not callable(callback):
            raise ValueError(f"callback={callback!r} must be callable or None.")
        return cls(
            float(tol),
            int(max_iter),
            math.inf if max_time is None else float(max_time),
            RHO if rho == "auto" else float(rho),
            callback,
            history_every,
            verbose,
            name,
        )


@dataclasses.dataclass
class Solution:
    """What the driver found; the weights are inside the cones."""

    bounds: Bounds
    status: Status
    nit: int
    elapsed: float
    history: dict[str, NDArray[Any]]
    state: dict[str, Any]
    interrupted: bool  # by Ctrl-C

    def weights(self) -> tuple[Array, Array]:
        """Return (V, W) of shape (d, P); W is empty for the gated program."""
        factor, P = self.bounds.factor, len(self.bounds.factor.D)
        blocks = self.bounds.blocks
        return factor.to_user(blocks[:P]), factor.to_user(blocks[P:])


def solve(
    program: Program,
    settings: Settings,
    *,
    x0: tuple[Array, ...] | None = None,
    state: dict[str, Any] | None = None,
    factor: Factor | None = None,
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

    Returns
    -------
    Solution
    """
    begun = time.perf_counter()
    if factor is None:
        factor = factorize(program.X, program.patterns.D, program.activation)
    if program.alpha == 0:
        return _least_norm(program, factor, begun)
    arguments = (factor, program.y, program.alpha, program.loss)
    blocks = None
    if x0 is not None:
        blocks = np.concatenate([factor.to_internal(part) for part in x0])
    iteration = Iteration(*arguments, rho=settings.rho, x0=blocks, state=state)
    bounds = Bounds(*arguments, state=state)
    earlier = {} if state is None else _history_of(state)
    recorder = Recorder(
        every=settings.history_every,
        columns=("lower_bound", "rho"),
        verbose=settings.verbose,
        name=settings.name,
        start=earlier or None,
    )
    return _Driver(program, settings, iteration, bounds, recorder, begun).run()


class _Driver:
    def __init__(
        self,
        program: Program,
        settings: Settings,
        iteration: Iteration,
        bounds: Bounds,
        recorder: Recorder,
        begun: float,
    ) -> None:
        self.program, self.settings = program, settings
        self.iteration, self.bounds = iteration, bounds
        self.recorder, self.begun = recorder, begun
        self.retry_below = math.inf
        self.next_proof = FIRST_PROOF
        while self.next_proof <= iteration.nit:
            self.next_proof *= 2

    def run(self) -> Solution:
        interrupted = False
        try:
            status = self._loop()
        except KeyboardInterrupt:
            status, interrupted = Status.CALLBACK, True
        except StopIteration:
            status = Status.CALLBACK
        if status is not Status.CONVERGED and not interrupted:
            self._prove()
            if self._met() and status is not Status.CALLBACK:
                status = Status.CONVERGED
        self._record(force=True)
        if status is not Status.CALLBACK:
            self._tell(final=True)
        return Solution(
            bounds=self.bounds,
            status=status,
            nit=self.iteration.nit,
            elapsed=time.perf_counter() - self.begun,
            history=self.recorder.to_dict(),
            state=self._state(),
            interrupted=interrupted,
        )

    def _loop(self) -> Status:
        iteration, settings = self.iteration, self.settings
        if iteration.nit == 0 and self.bounds.zero_is_optimal():
            iteration.nit = 1
            return Status.CONVERGED
        while iteration.nit < settings.max_iter:
            iteration.advance()
            if time.perf_counter() - self.begun > settings.max_time:
                return Status.MAX_TIME
            if iteration.nit % CHECK_EVERY:
                continue
            reason = self._check()
            self._record()
            self._tell()
            if reason is not None:
                return reason
        return Status.MAX_ITER

    def _check(self) -> Status | None:
        """Estimate the gap; prove it when the estimate is small enough."""
        if not np.isfinite(self.iteration.point).all():
            return Status.NUMERICAL
        bounds = self.bounds
        blocks, multipliers = self._offer_dual()
        value, products = bounds.objective(blocks)
        estimate = abs(value - bounds.lower) + bounds.violation(products, multipliers)
        due = self.iteration.nit >= self.next_proof
        if due or estimate <= min(self._target(value), self.retry_below):
            self._prove()
            self.retry_below = RETRY * estimate
            self.next_proof *= 2 if due else 1
        if self._met():
            return Status.CONVERGED
        return Status.STALLED if self.iteration.is_stationary() else None

    def _offer_dual(self) -> tuple[Array, Array]:
        iteration = self.iteration
        blocks = iteration.blocks()
        multipliers = iteration.signed_multipliers()
        self.bounds.try_dual(iteration.theta(), multipliers)
        return blocks, multipliers

    def _prove(self) -> None:
        """Project onto the cones: a feasible point, and the best multipliers."""
        if not np.isfinite(self.iteration.point).all():
            return
        blocks, multipliers = self._offer_dual()
        self.bounds.try_primal(blocks)
        self.bounds.try_dual(self.iteration.theta(), multipliers, project=True)

    def _target(self, value: float) -> float:
        return self.settings.tol * abs(value)

    def _met(self) -> bool:
        return self.bounds.gap <= self._target(self.bounds.upper)

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
        solution = Solution(self.bounds, Status.CALLBACK, 0, 0.0, {}, {}, False)
        V, W = solution.weights()
        progress = OptimizeResult(
            x=(V, W) if self.program.activation == "relu" else V,
            fun=self.bounds.upper,
            nit=self.iteration.nit,
            lower_bound=self.bounds.lower,
            gap=self.bounds.gap,
            state=self._state,
        )
        try:
            callback(intermediate_result=progress)
        except StopIteration:
            if not final:
                raise

    def _state(self) -> dict[str, Any]:
        columns = self.recorder.to_dict()
        return {
            **self.iteration.state(),
            **self.bounds.state(),
            **{f"history_{name}": column for name, column in columns.items()},
        }


def _least_norm(program: Program, factor: Factor, begun: float) -> Solution:
    """Solve the gated least squares problem: ``u_i = X'D_i x`` with ``M x = y``."""
    e, Q = factor.eigenvalues, factor.eigenvectors
    kept = e > len(e) * np.finfo(np.float64).eps * e.max()
    x = Q[:, kept] @ ((program.y @ Q[:, kept]) / e[kept])
    bounds = Bounds(factor, program.y, 0.0, program.loss)
    bounds.blocks = (factor.D * x) @ factor.A
    bounds.upper, _ = bounds.objective(bounds.blocks)
    z = np.sum(factor.D * (bounds.blocks @ factor.A.T), axis=0)
    bounds.theta = program.y - z
    elapsed = time.perf_counter() - begun
    return Solution(bounds, Status.CONVERGED, 1, elapsed, {}, {}, False)


def _result(
    program: Program, settings: Settings, solution: Solution, x: Any
) -> OptimizeResult:
    certificate = mint(
        [solution.bounds],
        (program.X, program.y),
        program.patterns,
        program.parameters(),
        settings.tol,
    )
    message = "Interrupted by the user." if solution.interrupted else None
    return make_result(
        x,
        fun=certificate.upper,
        status=final_status(solution.status, certificate),
        nit=solution.nit,
        certificate=certificate,
        history=solution.history,
        elapsed=solution.elapsed,
        state=solution.state,
        message=message,
        lower_bound=certificate.lower,
        gap=certificate.gap,
    )


def mint(
    bounds: list[Bounds],
    data: tuple[Any, Any],
    patterns: PatternSet,
    parameters: dict[str, Any],
    tol: float,
) -> Certificate:
    """Certify one or several outputs on the data that the user passed.

    Parameters
    ----------
    bounds : list of Bounds
        One for each output.
    data : tuple
        (X, y) as passed by the user.
    patterns : PatternSet
        Shared by all outputs.
    parameters : dict
        Parameters of the certificate.
    tol : float
        Relative gap that counts as solved.

    Returns
    -------
    Certificate
    """
    parts = [part.witness() for part in bounds]
    witness: dict[str, Any] = {"patterns": patterns.D}
    if parameters["scope"] == "global":
        witness["gates"] = patterns.gates
    if len(parts) == 1:
        witness |= parts[0]
    else:
        witness["theta"] = np.stack([part["theta"] for part in parts], axis=1)
        size = 2 * patterns.D.size
        for name in parts[0].keys() - {"theta"}:
            if name == "multiplier_index":
                arrays = [c * size + part[name] for c, part in enumerate(parts)]
                witness[name] = np.concatenate(arrays)
            elif name == "multiplier_value":
                witness[name] = np.concatenate([part[name] for part in parts])
            else:
                witness[name] = np.stack([part[name] for part in parts])
    return certify(PROBLEM, data, witness, parameters, tolerance=tol)


def final_status(status: Status, certificate: Certificate) -> Status:
    """Return CONVERGED for a limit that was reached with a satisfied certificate."""
    limits = (Status.MAX_ITER, Status.MAX_TIME, Status.STALLED)
    return Status.CONVERGED if status in limits and certificate.satisfied else status


def check_alpha(alpha: float, activation: str, loss: str) -> None:
    """Raise ValueError unless alpha is in range."""
    if not (_is_real(alpha) and 0 <= alpha < math.inf):
        raise ValueError(f"alpha={alpha!r} must be a finite number >= 0.")
    if alpha == 0 and (activation != "gated" or loss != "squared"):
        raise ValueError(
            "alpha=0 is allowed for the gated program with the squared loss only; "
            "use alpha > 0."
        )


def as_patterns(patterns: "ArrayLike | PatternSet", X: Array) -> PatternSet:
    """Return the patterns as a PatternSet that fits X, or raise ValueError."""
    if isinstance(patterns, PatternSet):
        if patterns.D.shape[:1] != (len(X),):
            raise ValueError(
                f"patterns have {len(patterns.D)} rows but X has {len(X)}; "
                "sample or enumerate them on the same X."
            )
        return patterns
    D = np.asarray(patterns)
    if D.ndim != 2 or D.shape[0] != len(X) or D.shape[1] < 1:
        raise ValueError(f"patterns must have shape ({len(X)}, P), got {D.shape}.")
    if D.dtype.kind not in "biuf" or not np.isin(D, (0, 1)).all():
        raise ValueError("patterns must hold 0 and 1 only.")
    return PatternSet(D.astype(bool), np.zeros((X.shape[1], D.shape[1])))


def _validated_start(x0: tuple[ArrayLike, ...], program: Program) -> tuple[Array, ...]:
    shape = (program.X.shape[1], len(program.patterns))
    parts = tuple(np.asarray(part, dtype=np.float64) for part in x0)
    expected = 2 if program.activation == "relu" else 1
    if len(parts) != expected or any(part.shape != shape for part in parts):
        raise ValueError(f"x0 must hold {expected} array(s) of shape {shape}.")
    if not all(np.isfinite(part).all() for part in parts):
        raise ValueError("x0 must not contain NaN or infinity.")
    return parts


def _history_of(state: dict[str, Any]) -> dict[str, Any]:
    prefix = "history_"
    return {
        name.removeprefix(prefix): column
        for name, column in state.items()
        if name.startswith(prefix)
    }


def _is_real(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)
