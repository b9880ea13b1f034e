"""The loop around every solver: record, tell, stop by proof, and mint the certificate.

A method offers ``advance()``, ``bound()``, ``objective``, ``lower``, ``nit``,
``state()`` and ``parts()``, its label loss and relative reconstruction error; what it
returns at the end are factors and a dual point.
"""

import dataclasses
import math
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult
from sklearn.exceptions import ConvergenceWarning

from farkas.base import check_number
from farkas.certificate import Certificate
from farkas.history import Recorder
from farkas.result import make_result
from farkas.status import Status
from sdl._measure import objective
from sdl._measure_stationarity import Factors
from sdl.formulation import Formulation

Array = NDArray[np.float64]

COLUMNS = (
    "lower_bound", "step", "gradient_mapping", "label_loss", "reconstruction",
)  # fmt: skip
# A proved relative gap that counts as the global optimum.
GLOBAL_GAP = 1e-6


@dataclasses.dataclass(frozen=True)
class Settings:
    """When to stop and whom to tell."""

    tol: float = 1e-6
    max_iter: int = 1000
    max_time: float = math.inf
    callback: Callable[..., None] | None = None
    history_every: int = 1
    verbose: int = 0
    name: str = ""

    @staticmethod
    def validated(**given: Any) -> "Settings":
        """Check the numbers; ``max_time=None`` means no limit."""
        if given.get("max_time") is None:
            given["max_time"] = math.inf
        else:
            check_number("max_time", given["max_time"], low=0.0)
        settings = Settings(**given)
        check_number("tol", settings.tol, low=0.0)
        check_number("max_iter", settings.max_iter, low=1, integer=True)
        return settings


@dataclasses.dataclass
class Outcome:
    """Where a run ended."""

    iteration: Any
    status: Status
    history: dict[str, NDArray[Any]]
    elapsed: float
    interrupted: bool  # by Ctrl-C

    @property
    def closed(self) -> bool:
        """Whether the run ended with a proof."""
        return self.status is Status.CONVERGED


def drive(
    iteration: Any, settings: Settings, history: dict[str, Any] | None = None
) -> Outcome:
    """Iterate until the proven gap is small enough, or something else ends it.

    Parameters
    ----------
    iteration : LongSteps, Textbook or another method
        Its state.
    settings : Settings
        When to stop and whom to tell.
    history : dict, optional
        History of an earlier run that this one continues.

    Returns
    -------
    Outcome
    """
    begun = time.perf_counter()
    recorder = Recorder(
        every=settings.history_every,
        columns=COLUMNS,
        verbose=settings.verbose,
        name=settings.name,
        start=history or None,
    )
    interrupted = False
    try:
        status = _loop(iteration, settings, recorder, begun)
    except KeyboardInterrupt:
        status, interrupted = Status.CALLBACK, True
    except StopIteration:
        status = Status.CALLBACK
    except FloatingPointError:
        status = Status.NUMERICAL
    _record(recorder, iteration, force=True)
    return Outcome(
        iteration,
        status,
        recorder.to_dict(),
        time.perf_counter() - begun,
        interrupted,
    )


def _loop(
    iteration: Any, settings: Settings, recorder: Recorder, begun: float
) -> Status:
    if iteration.nit == 0:
        iteration.bound()
    if iteration.met(settings.tol):
        return Status.CONVERGED
    while iteration.nit < settings.max_iter:
        moved = iteration.advance()
        if moved and iteration.nit % iteration.check_every == 0:
            iteration.bound()
        if not moved:
            iteration.bound()
        _record(recorder, iteration)
        _tell(settings, iteration, recorder)
        if iteration.met(settings.tol):
            return Status.CONVERGED
        if not moved:
            return Status.STALLED
        if time.perf_counter() - begun > settings.max_time:
            return Status.MAX_TIME
    return Status.MAX_ITER


def _record(recorder: Recorder, iteration: Any, *, force: bool = False) -> None:
    if not (force or recorder.due(iteration.nit)):
        return
    gap, (label_loss, reconstruction) = iteration.gap, iteration.parts()
    recorder.record(
        iteration.nit,
        objective=iteration.objective,
        certificate=max(gap, 0.0) if math.isfinite(gap) else math.nan,
        lower_bound=iteration.lower,
        step=iteration.tau,
        gradient_mapping=iteration.mapping,
        label_loss=label_loss,
        reconstruction=reconstruction,
        force=force,
    )


def _tell(settings: Settings, iteration: Any, recorder: Recorder) -> None:
    if settings.callback is None:
        return

    def state() -> dict[str, Any]:
        columns = recorder.to_dict()
        kept = {f"history_{name}": column for name, column in columns.items()}
        return {**iteration.state(), **kept}

    settings.callback(
        intermediate_result=OptimizeResult(
            x=iteration.factors(),
            fun=iteration.objective,
            nit=iteration.nit,
            lower_bound=iteration.lower,
            gap=iteration.gap,
            state=state,
        )
    )


def history_of(state: dict[str, Any]) -> dict[str, Any]:
    """Return the history that a saved state carries."""
    prefix = "history_"
    return {
        name.removeprefix(prefix): column
        for name, column in state.items()
        if name.startswith(prefix)
    }


def collect(
    form: Formulation,
    outcome: Outcome,
    factors: dict[str, Array],
    dual: Array | None,
    *,
    tol: float,
    certify: bool = True,
    leading: Array | None = None,
    **extra: Any,
) -> OptimizeResult:
    """Mint the certificate and gather what a solver returns.

    Parameters
    ----------
    form : Formulation
        The problem.
    outcome : Outcome
        How the loop ended.
    factors : dict
        ``W``, ``H``, ``beta``, ``Gamma``.
    dual : ndarray of shape (n, K) or None
        Dual point.
    tol : float
        Tolerance of the certificate.
    certify : bool, default=True
        Whether to mint one.
    leading : ndarray of shape (p, r + 1), optional
        Leading eigenvectors of the matrix of the dual bound.
    **extra : object
        Further fields of the result.

    Returns
    -------
    OptimizeResult
    """
    certificate: Certificate | None = None
    status, lower = outcome.status, -math.inf
    if certify:
        certificate = form.mint(factors, dual, tol, leading=leading)
        value, lower = certificate.upper, certificate.lower
        label_loss = certificate.residuals["label_loss"]
        reconstruction = certificate.residuals["reconstruction"]
        extra["eigengap"] = certificate.residuals["eigengap"]
        if certificate.satisfied and status in _ENDED_EARLY:
            status = Status.CONVERGED
        elif not certificate.satisfied and status is Status.CONVERGED:
            status = Status.STALLED
    else:
        point = Factors(**factors)
        value, label_loss, reconstruction = objective(form.task, point, form.parameters)
    if separated(form, factors):
        warnings.warn(
            "alpha=0 and the scores separate the classes: no weights minimise the "
            "label loss, they grow without bound; set alpha > 0.",
            ConvergenceWarning,
            stacklevel=4,
        )
    gap = value - lower
    relative = max(gap, 0.0) / abs(value) if value else 0.0
    return make_result(
        factors,
        fun=value,
        status=status,
        nit=outcome.iteration.nit,
        certificate=certificate,
        history=outcome.history,
        elapsed=outcome.elapsed,
        state=outcome.iteration.state(),
        message="Interrupted by the user." if outcome.interrupted else None,
        label_loss=label_loss,
        reconstruction=reconstruction,
        lower_bound=lower,
        gap=gap,
        relative_gap=relative,
        is_global=relative <= GLOBAL_GAP,
        interrupted=outcome.interrupted,
        formulation=form,
        **extra,
    )


def separated(form: Formulation, factors: dict[str, Array]) -> bool:
    """Tell whether longer class weights would lower the label loss for ever.

    Parameters
    ----------
    form : Formulation
        The problem.
    factors : dict
        ``W``, ``H``, ``beta``, ``Gamma``.

    Returns
    -------
    bool
        True if nothing holds the weights, and every row's own class has the largest
        score.
    """
    task = form.task
    held = task.nu > 0 or task.penalised.any()
    if held or form.value("l2_beta") or form.value("max_coef_norm"):
        return False
    A = factors["beta"]
    D = task.X @ (factors["W"] @ A) if task.model == "filter" else factors["H"] @ A
    D = np.asarray(D) + task.Z @ factors["Gamma"]
    scores = np.hstack([np.zeros((len(D), 1)), D])
    own = np.hstack([1.0 - task.Y.sum(axis=1, keepdims=True), task.Y]) > 0
    best = np.max(np.where(own, -np.inf, scores), axis=1)
    return bool(np.all(scores[own] > best))


_ENDED_EARLY = (Status.STALLED, Status.MAX_ITER, Status.MAX_TIME)
