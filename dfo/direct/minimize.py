"""Covering direct search (arXiv:2401.07097, arXiv:2510.01461): the public function."""

import inspect
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult

from dfo.direct import checkpoint as checkpoints
from dfo.direct.barrier import DOMINATING, Barrier
from dfo.direct.model_search import FAILURES
from dfo.direct.oracle import Oracle, Stop
from dfo.direct.poll import certify_poll, final_poll, smallest_size
from dfo.direct.problem import Problem, read_problem
from dfo.direct.run import Run
from dfo.direct.settings import read_options
from farkas.parallel import seed_sequence
from farkas.result import make_result
from farkas.status import Status

Array = NDArray[np.float64]

HISTORY = ("nfev", "violation", "delta", "search_radius")


def minimize_cdsm(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: tuple[Any, ...] = (),
    *,
    bounds: Any = None,
    constraints: Any = (),
    integrality: ArrayLike | None = None,
    granularity: ArrayLike | None = None,
    search_step: Callable[..., Any] | None = None,
    simplex_search: bool = True,
    poll: str = "2n",
    rotation: str = "random",
    opportunistic: bool = True,
    covering: str | None = "farthest",
    covering_radius: float | None = None,
    covering_every: int = 1,
    model_search: bool = True,
    random_search: bool = False,
    constraint_handling: str = "pb",
    forcing: float = 0.0,
    initial_radius: Any = None,
    xtol: float = 1e-8,
    radius_restarts: int = 0,
    restart_xtol: float = 1e-5,
    maxfev: int | None = None,
    maxiter: int | None = None,
    max_time: float | None = None,
    ftarget: float | None = None,
    lipschitz_gradient: float | None = None,
    lower_bound: float | None = None,
    certify: bool = True,
    workers: Any = 1,
    block_size: int | None = None,
    vectorized: bool = False,
    cache: bool = True,
    on_error: str = "inf",
    random_state: Any = None,
    checkpoint: Any = None,
    checkpoint_every: int = 1,
    resume: Any = None,
    n_restarts: int = 0,
    callback: Callable[..., Any] | None = None,
    disp: bool = False,
) -> OptimizeResult:
    """Minimise a function from its values alone, and certify the poll at the end.

    Each iteration evaluates one point far from all others (covering), follows
    quadratic models and a simplex of known points, and polls directions that
    positively span the space. The radius of the poll is halved when all of that fails.

    Parameters
    ----------
    fun : callable
        Of one point (n,), returns a number. NaN, inf and exceptions count as failures.
    x0 : array-like of shape (n,)
        Start.
    args : tuple, default=()
        Further arguments of `fun`.
    bounds : array-like of shape (n, 2), sequence of pairs, or Bounds, optional
        Never violated. Equal bounds fix a variable.
    constraints : LinearConstraint, NonlinearConstraint, dict or sequence, default=()
        As for :func:`scipy.optimize.minimize`. Linear ones are never violated;
        nonlinear ones may be, during the search. Nonlinear equalities are refused.
    integrality : array-like of shape (n,), optional
        Nonzero where a variable is an integer.
    granularity : array-like of shape (n,), optional
        Spacing of the values ``x0 + g Z`` of a variable, 0 for none.
    search_step : callable, optional
        ``search_step(x, delta, state)`` yields points to try first.
    simplex_search : bool, default=True
        Whether simplices of known points are reflected.
    poll : {"2n", "n+1", "simplex", "coordinate"}, default="2n"
        Directions in free space.
    rotation : {"random", "halton"}, default="random"
        How they are rotated.
    opportunistic : bool, default=True
        Whether a poll ends at its first success.
    covering : {"farthest", "random", "halton"} or None, default="farthest"
        The covering step: the one of two points of a Halton sequence that is farther
        from all evaluated points, a random point, or each point of the sequence.
    covering_radius : float, optional
        Radius of its ball in scaled units, default ``max(1, delta_0)``.
    covering_every : int, default=1
        Iterations from one covering step to the next.
    model_search : bool, default=True
        Whether quadratic models are followed.
    random_search : bool, default=False
        Whether one point in a random direction is tried.
    constraint_handling : {"pb", "eb", "penalty"}, default="pb"
        Progressive barrier, extreme barrier, or l1 penalty.
    forcing : float, default=0.0
        Constant c of the decrease ``c delta^2`` that a poll must reach.
    initial_radius : float or array-like of shape (n,), optional
        First poll radius, in the units of the variables. Default: a tenth of the
        range, else of ``|x0|``, else 1.
    xtol : float, default=1e-8
        Final poll radius, relative to the first.
    radius_restarts : int, default=0
        How often the radius is set back when it has come down to `restart_xtol`.
    restart_xtol : float, default=1e-5
        See there.
    maxfev : int, optional
        Budget, default ``1000 (n + 1)``; never exceeded.
    maxiter : int, optional
        Largest number of iterations.
    max_time : float, optional
        Seconds after which no evaluation begins.
    ftarget : float, optional
        Stop at a feasible value this low.
    lipschitz_gradient : float, optional
        Lipschitz constant of the gradient of `fun`; makes the bound of the
        certificate rigorous.
    lower_bound : float, optional
        Known lower bound of the minimum.
    certify : bool, default=True
        Whether up to 2n evaluations outside of `maxfev` may complete the last poll.
    workers : int, joblib.Parallel or map-like callable, default=1
        Who evaluates the points of a block.
    block_size : int, optional
        Points evaluated at once in a poll, default 1; the result depends on it, not on
        `workers`.
    vectorized : bool, default=False
        Whether `fun` (and the constraints) take rows (m, n).
    cache : bool, default=True
        Whether a known point is looked up rather than evaluated.
    on_error : {"inf", "raise"}, default="inf"
        Whether exceptions of `fun` are failed points.
    random_state : int, Generator or None
        Same seed, same bits.
    checkpoint : str or path, optional
        File to which the state is written every `checkpoint_every` iterations.
    checkpoint_every : int, default=1
        See there.
    resume : str or path, optional
        Such a file, to continue from.
    n_restarts : int, default=0
        New runs from the known point farthest from all earlier results.
    callback : callable, optional
        ``callback(intermediate_result)`` after every iteration; may raise
        StopIteration.
    disp : bool, default=False
        Print one line for each iteration.

    Returns
    -------
    OptimizeResult
        With ``x``, ``fun``, ``success``, ``status``, ``message``, ``nfev``, ``nit``,
        ``maxcv``, ``certificate``, ``history`` (one row an iteration), ``evaluations``
        (one row a point), ``radius``, ``scale``, ``nfev_certificate``,
        ``n_cache_hits`` and ``step_counts``.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, or `fun` does not return a number.

    Examples
    --------
    >>> import farkas
    >>> from dfo import minimize_cdsm
    >>> f = lambda x: (x[0] - 1) ** 2 + abs(x[1])
    >>> res = minimize_cdsm(f, [3.0, 2.0], maxfev=500, random_state=0)
    >>> bool(res.fun < 1e-6), bool(farkas.verify(res, f))
    (True, True)
    """
    given = dict(locals())
    return search(read_problem(given), given)


def checked(options: dict[str, Any]) -> dict[str, Any]:
    """Return keyword arguments of :func:`minimize_cdsm` with defaults filled in.

    Parameters
    ----------
    options : dict
        Arguments by name.

    Returns
    -------
    dict

    Raises
    ------
    TypeError
        If a name is unknown.
    """
    known = inspect.signature(minimize_cdsm).parameters
    if unknown := sorted(set(options) - set(known)):
        raise TypeError(f"unknown argument {unknown[0]!r} of minimize_cdsm.")
    defaults = {name: parameter.default for name, parameter in known.items()}
    return {**defaults, **options}


def search(
    problem: Problem, given: dict[str, Any], *, only_search: bool = False
) -> OptimizeResult:
    """Run a search on a problem that has been read.

    Parameters
    ----------
    problem : Problem
        What is minimised.
    given : dict
        The arguments of the user.
    only_search : bool, default=False
        Whether iterations consist of the search hook alone, until it is finished.

    Returns
    -------
    OptimizeResult
    """
    started = time.monotonic()
    options, limits = read_options(given, problem, only_search)
    space = problem.space
    root = seed_sequence(given["random_state"])
    oracle = Oracle(
        problem.answer,
        space,
        maxfev=limits["maxfev"],
        deadline=started + limits["max_time"],
        ftarget=limits["ftarget"],
        on_error=given["on_error"],
        workers=given["workers"],
        rows=problem.rows,
        cache=given["cache"],
    )
    barrier = Barrier(oracle, given["constraint_handling"], problem.constrained)
    run = Run(space, oracle, barrier, options, np.random.default_rng(root))
    plan: dict[str, Any] = {
        "hash": limits["hash"],
        "restarts_left": limits["radius_restarts"],
        "runs_left": limits["n_restarts"],
        "starts": [],
        "rows": [],
    }
    status, message = Status.STALLED, None
    try:
        if given["resume"] is not None:
            checkpoints.load(given["resume"], run, plan)
        else:
            _first(run)
        status = _loop(run, plan, limits, given)
    except Stop as stop:
        status = stop.status
    except StopIteration:
        status = Status.CALLBACK
    except KeyboardInterrupt:
        status, message = Status.CALLBACK, "The run was interrupted."
        if not oracle.size:
            raise
    return _finish(run, problem, status, message, plan, started, given["disp"])


def _first(run: Run) -> None:
    """Evaluate x0; a run without any value has nothing to hand out."""
    i = run.oracle(run.space.x0, "start")
    if run.oracle.on_error == "raise" and not np.isfinite(run.oracle.F[i]):
        raise ValueError(
            "fun is not a finite number at x0; start elsewhere, or pass on_error='inf'."
        )
    run.barrier.rank()


def _loop(
    run: Run, plan: dict[str, Any], limits: dict[str, Any], given: dict[str, Any]
) -> Status:
    options = run.options
    while True:
        if run.space.k == 0:
            return Status.CONVERGED
        if run.nit >= limits["maxiter"]:
            return Status.MAX_ITER
        outcome = run.iterate()
        _record(run, plan, given["disp"])
        if given["checkpoint"] is not None and not run.nit % given["checkpoint_every"]:
            checkpoints.save(given["checkpoint"], run, plan)
        if given["callback"] is not None:
            given["callback"](intermediate_result=_intermediate(run))
        if options.only_search:
            if options.search_step.finished:  # type: ignore[union-attr]
                return Status.STALLED
            continue
        if outcome == DOMINATING and not run.crept:
            continue
        done = run.polled <= max(options.xtol, smallest_size(run)) or _neighbours(run)
        if plan["restarts_left"] and (done or run.delta <= limits["restart_xtol"]):
            plan["restarts_left"] -= 1
            _reset(run)
        elif done and plan["runs_left"]:
            plan["runs_left"] -= 1
            _restart(run, plan)
        elif done:
            return Status.CONVERGED


def _neighbours(run: Run) -> bool:
    """Tell whether a poll of all neighbours on a grid of every variable has failed."""
    space = run.space
    on = (space.grid > 0)[space.free]
    if not on.all() or run.failed_poll is None:
        return False
    spacing = (space.grid / space.scale)[space.free]
    return bool((run.polled < spacing).all())


def _reset(run: Run) -> None:
    """Widen the search again; what is known is kept."""
    run.delta = run.model_radius = run.options.delta0
    run.barrier.h_max = math.inf
    run.barrier.rank()


def _restart(run: Run, plan: dict[str, Any]) -> None:
    """Move the start of the next run far from the results of the earlier ones."""
    plan["starts"].append(run.barrier.primary)
    W = run.oracle.W
    gaps = np.min([np.linalg.norm(W - W[i], axis=1) for i in plan["starts"]], axis=0)
    gaps[~np.isfinite(run.barrier.merits())] = -1.0
    run.barrier.move_to(int(np.argmax(gaps)))
    run.delta = run.model_radius = run.options.delta0
    run.hessian = run.last_direction = None
    run.patience = FAILURES


def _record(run: Run, plan: dict[str, Any], disp: bool) -> None:
    oracle, i = run.oracle, run.barrier.primary
    radius = float(getattr(run.options.search_step, "radius", math.nan))
    row = (
        run.nit,
        oracle.T[-1],
        oracle.F[i],
        oracle.nfev,
        oracle.H[i],
        run.delta,
        radius,
    )
    plan["rows"].append(row)
    if disp:
        print(
            f"iteration {run.nit:6d}  f {oracle.F[i]:.9e}  h {oracle.H[i]:.2e}  "
            f"delta {run.delta:.2e}  radius {radius:.2e}  nfev {oracle.nfev:6d}  "
            f"{run.step}",
            flush=True,
        )


def _intermediate(run: Run) -> OptimizeResult:
    i = run.barrier.primary
    return OptimizeResult(
        x=run.oracle.X[i].copy(),
        fun=float(run.oracle.F[i]),
        nit=run.nit,
        nfev=run.oracle.nfev,
        njev=getattr(run.options.search_step, "njev", 0),
        radius=run.delta,
        violation=float(run.oracle.H[i]),
        step=run.step,
    )


def _finish(
    run: Run,
    problem: Problem,
    status: Status,
    message: str | None,
    plan: dict[str, Any],
    started: float,
    disp: bool,
) -> OptimizeResult:
    oracle, options = run.oracle, run.options
    run.barrier.rank()
    if oracle.size and run.nit > len(plan["rows"]):  # the iteration that was cut short
        _record(run, plan, disp)
    poll = final_poll(run) if oracle.size else None
    certificate = certify_poll(run, poll, problem.violation, problem.claim)
    best = run.barrier.result() if poll is None else poll.center
    if status is Status.CONVERGED and not certificate.satisfied:
        status = Status.STALLED
    if oracle.H[best] > 0 and status is Status.CONVERGED:
        status = Status.STALLED
    rows = np.array(plan["rows"], dtype=np.float64).reshape(-1, 7)
    names = ("iteration", "elapsed", "objective", *HISTORY)
    history = dict(zip(names, rows.T.copy(), strict=True))
    history["iteration"] = history["iteration"].astype(np.int64)
    history["certificate"] = np.full(len(rows), math.nan)
    if len(rows):
        history["certificate"][-1] = certificate.value
    positive = np.maximum(oracle.C[best], 0.0)
    return make_result(
        oracle.X[best].copy(),
        fun=float(oracle.F[best]),
        status=status,
        message=message,
        nit=run.nit,
        nfev=oracle.nfev,
        certificate=certificate,
        history=history,
        elapsed=time.monotonic() - started,
        maxcv=float(np.max(positive, initial=0.0)),
        evaluations=oracle.history(),
        radius=run.delta,
        scale=run.space.scale.copy(),
        covering_ball=options.covering_radius,
        nfev_certificate=oracle.nfev_certificate,
        n_cache_hits=oracle.hits,
        step_counts=dict(run.counts),
    )
