"""The sampled convex program: a ReLU network on hidden units drawn from the sphere."""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult

from convexnn.program import Settings
from convexnn.sampled.units import (
    SampledProgram,
    check_program,
    make_features,
    unit_network,
)
from convexnn.sampled.working_set import WorkingSet
from farkas.certificate import Certificate
from farkas.history import Recorder
from farkas.parallel import holds_blas_threads
from farkas.result import make_result
from farkas.status import Status
from farkas.verification import certify

Array = NDArray[np.float64]

PROBLEM = "convexnn.scp/1"


@holds_blas_threads
def solve_scp(
    X: ArrayLike,
    y: ArrayLike,
    units: "int | ArrayLike" = 1000,
    *,
    alpha: float,
    loss: str = "squared",
    tol: float = 1e-4,
    max_iter: int = 200,
    max_time: float | None = None,
    x0: ArrayLike | None = None,
    random_state: Any = None,
    callback: Callable[..., Any] | None = None,
    history_every: int = 1,
    verbose: int = 0,
    state: dict[str, Any] | None = None,
) -> OptimizeResult:
    """Train the output weights of sampled ReLU units to proven optimality.

    With unit vectors ``u_1, ..., u_N`` drawn uniformly from the sphere it solves::

        min_a  L(sum_j a_j (X u_j)_+, y) + alpha |a|_1

    which is the network problem with hidden units restricted to multiples of the
    ``u_j``. It has no patterns and no constraints, and needs many more units than
    :func:`solve_relu` for the same objective.

    Parameters
    ----------
    X : array-like of shape (n, d)
        Data. A hidden bias is an extra constant column.
    y : array-like of shape (n,)
        Targets; -1 or +1 for the logistic and the hinge loss.
    units : int or array-like of shape (d, N), default=1000
        Number of units to draw, or the units; they are scaled to length one.
    alpha : float
        Weight of the penalty, positive.
    loss : {"squared", "logistic", "hinge"}, default="squared"
        Summed over samples.
    tol : float, default=1e-4
        Stops when the proven gap is at most ``tol`` times the objective.
    max_iter : int, default=200
        Largest number of rounds of the working set.
    max_time : float, optional
        Seconds after which the best point so far is returned; looked at after each
        round.
    x0 : array-like of shape (N,), optional
        Coefficients to start from.
    random_state : int, RandomState, Generator or None, default=None
        Determines the units, if they are drawn.
    callback : callable, optional
        Called after each round as ``callback(intermediate_result=...)`` with the
        fields x, fun, nit, lower_bound, gap and state. It may raise StopIteration.
    history_every : int, default=1
        Rounds between two rows of the history. 0 keeps none.
    verbose : int, default=0
        1 prints a line now and then, 2 at every round.
    state : dict, optional
        ``result.state`` of an earlier run on the same data, to continue bit for bit
        with its units; ``units`` and ``random_state`` are then not read.

    Returns
    -------
    OptimizeResult
        ``x`` of shape (N,), the coefficients; ``units`` (d, N); ``network``, the
        hidden weights (d, m) and output weights (m,); ``fun``, ``lower_bound``,
        ``gap``, ``certificate`` and the usual fields.

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
    arXiv:2201.01965, section 4.

    Examples
    --------
    >>> import numpy as np
    >>> from convexnn import solve_scp
    >>> x = np.linspace(-1, 1, 9)
    >>> X = np.column_stack([x, np.ones(9)])
    >>> result = solve_scp(X, abs(x), 500, alpha=0.01, random_state=0)
    >>> bool(result.fun < 0.021), result.certificate.guarantee.name
    (True, 'GLOBAL')
    """
    if state is not None:
        units = state["units"]
    X, y, directions = check_program(X, y, units, alpha, loss, random_state)
    if state is not None:  # bit for bit: their length is one already
        directions = np.array(state["units"])
    settings = Settings.validated(
        tol, max_iter, max_time, "auto", callback, history_every, verbose
    )
    settings = dataclasses.replace(settings, name="scp")
    start = None if x0 is None else check_coef(x0, directions.shape[1])
    solution = solve(X, y, directions, alpha, loss, settings, start=start, state=state)
    parameters = {"alpha": float(alpha), "loss": loss, "encoding": "none"}
    certificate = mint(
        [solution], (X, y), directions, {**parameters, "intercept": 0.0}, tol
    )
    return make_result(
        solution.coef,
        fun=certificate.upper,
        status=final_status(solution.status, certificate),
        nit=solution.nit,
        certificate=certificate,
        history=solution.history,
        elapsed=solution.elapsed,
        state=solution.state,
        message="Interrupted by the user." if solution.interrupted else None,
        lower_bound=certificate.lower,
        gap=certificate.gap,
        units=directions,
        network=unit_network(directions, solution.coef),
    )


@dataclasses.dataclass
class Solution:
    """What the working set found, in the user's coordinates."""

    coef: Array
    theta: Array
    upper: float
    lower: float
    status: Status
    nit: int
    elapsed: float
    history: Mapping[str, NDArray[Any]]
    state: dict[str, Any]
    interrupted: bool  # by Ctrl-C


def solve(
    X: Array,
    y: Array,
    units: Array,
    alpha: float,
    loss: str,
    settings: Settings,
    *,
    start: Array | None = None,
    state: dict[str, Any] | None = None,
    features: tuple[Array, float] | None = None,
) -> Solution:
    """Run rounds of the working set on validated data.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Data, with the intercept column.
    y : ndarray of shape (n,)
        Targets.
    units : ndarray of shape (d, N)
        Units of length one.
    alpha : float
        Weight of the penalty.
    loss : {"squared", "logistic", "hinge"}
        Loss.
    settings : Settings
        When to stop and whom to tell.
    start : ndarray of shape (N,), optional
        Coefficients to start from.
    state : dict, optional
        Continue an earlier run.
    features : tuple, optional
        What ``make_features(X, units)`` returned, to share it.

    Returns
    -------
    Solution
    """
    begun = time.perf_counter()
    rows, scale = make_features(X, units) if features is None else features
    program = SampledProgram(rows, y, float(alpha) / scale, loss, scale)
    initial = None if start is None else start * scale
    working_set = WorkingSet(program, initial, state)
    recorder = Recorder(
        every=settings.history_every,
        columns=("lower_bound", "n_active"),
        verbose=settings.verbose,
        name=settings.name,
        start=None if state is None else _history_of(state),
    )

    def snapshot() -> dict[str, Any]:
        columns = {f"history_{k}": v for k, v in recorder.to_dict().items()}
        return {**working_set.state(), **columns, "units": units}

    def progress() -> OptimizeResult:
        return OptimizeResult(
            x=working_set.coef / scale,
            fun=working_set.upper,
            nit=working_set.nit,
            lower_bound=working_set.lower,
            gap=working_set.gap,
            state=snapshot,
        )

    interrupted = False
    try:
        status = _rounds(working_set, settings, recorder, progress, begun)
    except KeyboardInterrupt:
        status, interrupted = Status.CALLBACK, True
    except StopIteration:
        status = Status.CALLBACK
    _record(recorder, working_set, force=True)
    return Solution(
        coef=working_set.coef / scale,
        theta=working_set.theta,
        upper=working_set.upper,
        lower=working_set.lower,
        status=status,
        nit=working_set.nit,
        elapsed=time.perf_counter() - begun,
        history=recorder.to_dict(),
        state=snapshot(),
        interrupted=interrupted,
    )


def _rounds(
    working_set: WorkingSet,
    settings: Settings,
    recorder: Recorder,
    progress: Callable[[], OptimizeResult],
    begun: float,
) -> Status:
    while True:
        if working_set.met(settings.tol):
            return Status.CONVERGED
        if working_set.nit >= settings.max_iter:
            return Status.MAX_ITER
        if time.perf_counter() - begun > settings.max_time:
            return Status.MAX_TIME
        before = working_set.upper, working_set.lower, working_set.used.sum()
        working_set.advance()
        if not math.isfinite(working_set.upper):
            return Status.NUMERICAL
        _record(recorder, working_set)
        if settings.callback is not None:
            settings.callback(intermediate_result=progress())
        after = working_set.upper, working_set.lower, working_set.used.sum()
        if after == before and not working_set.met(settings.tol):
            return Status.STALLED


def _record(recorder: Recorder, working_set: WorkingSet, force: bool = False) -> None:
    recorder.record(
        working_set.nit,
        objective=working_set.upper,
        certificate=working_set.gap,
        lower_bound=working_set.lower,
        n_active=int(np.count_nonzero(working_set.coef)),
        force=force,
    )


def _history_of(state: dict[str, Any]) -> dict[str, Any] | None:
    prefix = "history_"
    columns = {
        name.removeprefix(prefix): column
        for name, column in state.items()
        if name.startswith(prefix)
    }
    return columns or None


def check_coef(x0: ArrayLike, n_units: int) -> Array:
    """Return the start as an array that fits the units, or raise ValueError."""
    coef = np.asarray(x0, dtype=np.float64)
    if coef.shape != (n_units,) or not np.isfinite(coef).all():
        raise ValueError(f"x0 must be finite and of shape ({n_units},).")
    return coef


def mint(
    solutions: list[Solution],
    data: tuple[Any, Any],
    units: Array,
    parameters: dict[str, Any],
    tol: float,
) -> Certificate:
    """Certify one or several outputs on the data that the user passed.

    Parameters
    ----------
    solutions : list of Solution
        One for each output.
    data : tuple
        (X, y) as passed by the user.
    units : ndarray of shape (d, N)
        Shared by all outputs.
    parameters : dict
        Parameters of the certificate.
    tol : float
        Relative gap that counts as solved.

    Returns
    -------
    Certificate
    """
    witness = {
        "gates": units,
        "coef": np.stack([solution.coef for solution in solutions]),
        "theta": np.stack([solution.theta for solution in solutions], axis=1),
    }
    return certify(PROBLEM, data, witness, parameters, tolerance=tol)


def final_status(status: Status, certificate: Certificate) -> Status:
    """Return the status that agrees with the certificate: it has the last word."""
    limits = (Status.MAX_ITER, Status.MAX_TIME, Status.STALLED)
    if status in limits and certificate.satisfied:
        return Status.CONVERGED
    if status is Status.CONVERGED and not certificate.satisfied:
        return Status.STALLED
    return status
