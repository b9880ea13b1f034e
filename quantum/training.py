"""Train the weights of a circuit: the objective, its starts, and the optimizers."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult

from farkas.base import check_number
from farkas.parallel import pmap
from quantum.model import CircuitModel
from quantum.objectives import Objective
from quantum.optimizers.adam import adam
from quantum.optimizers.aqgd import aqgd
from quantum.optimizers.cobyla import cobyla
from quantum.optimizers.qng import qng
from quantum.optimizers.qnspsa import qnspsa
from quantum.optimizers.quasi_newton import quasi_newton
from quantum.optimizers.sequential import circuit_frequencies, sequential
from quantum.optimizers.spsa import spsa

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

OPTIMIZERS: dict[str, Callable[..., OptimizeResult]] = {
    "lbfgs": quasi_newton,
    "slsqp": functools.partial(quasi_newton, method="SLSQP"),
    "adam": adam,
    "aqgd": aqgd,
    "qng": qng,
    "sequential": sequential,
    "spsa": spsa,
    "qnspsa": qnspsa,
    "cobyla": cobyla,
    "cobyqa": functools.partial(cobyla, method="COBYQA"),
}
INITIALISATIONS = ("normal", "uniform", "small", "zeros", "identity_block")
# Those that use the gradient.
_WITH_GRADIENT = ("lbfgs", "slsqp", "adam", "aqgd", "qng")
# Those for which ``tol`` is something else than a gradient: the default is theirs.
_OWN_TOLERANCE = ("cobyla", "cobyqa", "spsa", "qnspsa")
# What is no option: the problem itself.
_GIVEN = {"fun", "x0", "args", "jac", "method"}


def initial_weights(init: str, model: CircuitModel, rng: np.random.Generator) -> Array:
    """Draw a start (P,).

    Parameters
    ----------
    init : {"normal", "uniform", "small", "zeros", "identity_block"}
        Standard normal; uniform on (-pi, pi); normal with sd 0.01; zeros; or normal in
        the first half of the gates and mirrored in the second, so that the rotations
        of the circuit cancel out.
    model : CircuitModel
        The circuit.
    rng : Generator
        Source of randomness.

    Returns
    -------
    ndarray of shape (P,)
    """
    P = model.table.n_parameters
    if init == "zeros":
        return np.zeros(P)
    if init == "uniform":
        return rng.uniform(-np.pi, np.pi, P)
    theta = rng.standard_normal(P)
    if init == "small":
        return 0.01 * theta
    if init == "identity_block":
        half = P // 2
        theta[P - half :] = -theta[:half][::-1]
    return theta


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How to train.

    Parameters
    ----------
    optimizer : str
        One of ``OPTIMIZERS``.
    options : dict
        Passed to the optimizer.
    max_iter : int
        Largest number of iterations.
    tol : float
        Tolerance of the optimizer.
    max_time : float or None
        Seconds for each start.
    verbose : int
        Print the progress.
    batch_size : int or None
        Samples in each step of stochastic methods.
    """

    optimizer: str
    options: dict[str, Any]
    max_iter: int
    tol: float
    max_time: float | None = None
    verbose: int = 0
    batch_size: int | None = None


def train(
    objective: Objective,
    starts: list[Array],
    seeds: list[np.random.SeedSequence],
    settings: Settings,
    *,
    callback: Callable[..., Any] | None = None,
    n_jobs: int | None = None,
) -> OptimizeResult:
    """Train from every start and return the best run.

    Parameters
    ----------
    objective : Objective
        What to minimise.
    starts : list of ndarray of shape (P,)
        First weights.
    seeds : list of SeedSequence
        One for each start.
    settings : Settings
        How to train.
    callback : callable, optional
        Called in each iteration with the full weights as ``x``.
    n_jobs : int, optional
        Processes for several starts; the answer does not depend on it.

    Returns
    -------
    OptimizeResult
        ``x`` holds all weights (P,); ``nfev`` sums over the starts.
    """
    from joblib import effective_n_jobs

    one = functools.partial(_train_once, objective, settings, callback)
    jobs = list(zip(starts, seeds, strict=True))
    # A callback lives in this process.
    alone = len(jobs) == 1 or callback is not None or effective_n_jobs(n_jobs) == 1
    results = _in_turn(one, jobs) if alone else pmap(one, jobs, n_jobs=n_jobs)
    best = min(results, key=lambda result: result.fun)
    best.nfev = sum(result.nfev for result in results)
    best.njev = sum(result.njev for result in results)
    best.restart_losses = np.array([result.fun for result in results])
    return best


def _in_turn(
    one: Callable[..., OptimizeResult], jobs: list[Any]
) -> list[OptimizeResult]:
    """Run all starts; an exception does not lose those that are done."""
    done: list[OptimizeResult] = []
    for job in jobs:
        try:
            done.append(one(job))
        except BaseException as error:
            partial = getattr(error, "partial_result", None)
            if partial is not None:
                best = min([*done, partial], key=lambda result: result.fun)
                error.partial_result = best  # type: ignore[attr-defined]
            raise
    return done


def check_time(max_time: Any) -> None:
    """Raise an error unless ``max_time`` is None or a number of seconds."""
    if max_time is not None:
        check_number("max_time", max_time, low=0.0)


def check_options(optimizer: str, options: dict[str, Any] | None) -> None:
    """Raise ValueError if an optimizer does not know one of its options."""
    if not options:
        return
    method = OPTIMIZERS[optimizer]
    known = sorted(set(inspect.signature(method).parameters) - _GIVEN)
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(
            f"optimizer_options has {unknown}, which optimizer={optimizer!r} does not "
            f"take; it takes {known}."
        )


def _train_once(
    objective: Objective,
    settings: Settings,
    callback: Callable[..., Any] | None,
    job: tuple[Array, np.random.SeedSequence],
) -> OptimizeResult:
    start, seed = job
    rng = np.random.default_rng(seed)
    objective = objective.for_run(start, rng)
    options = {
        "maxiter": settings.max_iter,
        "max_time": settings.max_time,
        "disp": settings.verbose,
        "certify": False,
        **_particular(objective, settings, rng),
        **settings.options,
    }
    if callback is not None:
        options["callback"] = _widened(callback, objective)
    if settings.optimizer not in _OWN_TOLERANCE:
        options.setdefault("tol", settings.tol)
    fun: Callable[..., Any] = objective.value
    if settings.optimizer in _WITH_GRADIENT and options.get("gradient") != "loss_shift":
        fun, options["jac"] = objective.value_and_gradient, True
    if settings.optimizer == "sequential":
        fun = objective.loss_of
    try:
        result = OPTIMIZERS[settings.optimizer](fun, start[objective.live], **options)
    except BaseException as error:
        partial = getattr(error, "partial_result", None)
        if partial is not None:  # the caller knows weights, not live weights
            partial.x = objective.weights(partial.x)
        raise
    result.x = objective.weights(result.x)
    return result


def _particular(
    objective: Objective, settings: Settings, rng: np.random.Generator
) -> dict[str, Any]:
    """Return what single optimizers need besides a function."""
    name, size = settings.optimizer, settings.batch_size
    if name == "adam" and size is not None and objective.exact:
        return {"epoch": lambda: objective.epoch(rng, size)}
    if name == "aqgd" and objective.exact:
        return {"workers": objective.values}
    if name == "qng":
        return {"metric": lambda x: objective.metric(x, rng, size)}
    if name == "sequential":
        series = circuit_frequencies(objective.model.table)
        return {
            "inner": objective.outputs, "random_state": rng,
            "frequencies": [series[k] for k in objective.live],
        }  # fmt: skip
    if name == "qnspsa":
        return {
            "fidelity": lambda x, y: objective.fidelity(x, y, rng, size),
            "random_state": rng,
        }
    return {"random_state": rng} if name == "spsa" else {}


def _widened(callback: Callable[..., Any], objective: Objective) -> Callable[..., None]:
    def with_all_weights(intermediate_result: OptimizeResult) -> None:
        x = intermediate_result.x = objective.weights(intermediate_result.x)
        intermediate_result.state = {**intermediate_result.state, "x": x}
        callback(intermediate_result=intermediate_result)

    return with_all_weights
