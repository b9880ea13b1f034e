"""The end of a search: polls around the incumbent, its certificate, and the result."""

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult

from dfo import poll
from dfo.cbo.search import FEASIBILITY, Search
from farkas.certificate import Certificate
from farkas.result import make_result
from farkas.status import Status

Array = NDArray[np.float64]

# Rounds of the final poll: a better point is taken, and polled in its turn.
POLL_ROUNDS = 4
HIT_RTOL, HIT_ATOL = 1e-6, 1e-8


def partial_outcome(search: Search) -> OptimizeResult:
    """Return what is known when the objective or the user broke in.

    Parameters
    ----------
    search : Search
        The search as it was left.

    Returns
    -------
    OptimizeResult
        Without a certificate; its ``state`` continues the search.
    """
    if search.swarm is not None:
        search._take(
            search.swarm.best_x,
            search.swarm.best_f,
            search._best_violation(search.swarm),
        )
    return make_result(
        search.x.copy(),
        fun=search.f,
        status=Status.CALLBACK,
        nit=search.nit,
        nfev=search.objective.nfev,
        history=search.journal.columns(search),
        elapsed=search.elapsed,
        state=search.state() if search.swarm is not None else None,
        message="Interrupted; this is what was known.",
        run_values=np.array(search.run_values),
    )


def outcome(search: Search, poll_size: float, lower_bound: float) -> OptimizeResult:
    """Certify the incumbent, and collect what the search knows.

    Parameters
    ----------
    search : Search
        A search that has ended.
    poll_size : float
        Size of the coarse poll, in units of the box.
    lower_bound : float
        The user's bound of the objective, or -inf.

    Returns
    -------
    OptimizeResult
    """
    swarm = search.last
    assert swarm is not None
    status = search.status
    assert status is not None
    paid = search.objective.nfev
    certificate, consensus_value = _certify(search, poll_size, lower_bound)
    nfev_certificate = search.objective.nfev - paid
    coarse = certificate.residuals["coarse_poll_size"]
    finite = math.isfinite(search.f)
    if not finite:
        status = Status.NUMERICAL
    elif status is Status.STALLED and certificate.satisfied and search.feasible:
        status = Status.CONVERGED
    target = status is Status.TARGET_REACHED
    success = (
        finite
        and search.feasible
        and status is not Status.CALLBACK
        and (target or coarse < math.inf)
    )
    message = _message(status, success, search, coarse)
    history = search.journal.columns(search)
    history["certificate"][-1] = certificate.value
    result = make_result(
        search.x.copy(),
        fun=search.f,
        status=status,
        nit=search.nit,
        nfev=paid,
        njev=0,
        certificate=certificate,
        history=history,
        elapsed=search.elapsed,
        state=search.state(),
        message=message,
        consensus=swarm.consensus,
        consensus_fun=consensus_value,
        population=swarm.population,
        population_fun=swarm.population_fun,
        n_restarts=search.run,
        run_values=np.array(search.run_values),
        maxcv=0.0 if search.violation is None else search.v,
        nfev_certificate=nfev_certificate,
        violation=search.violation,
    )
    result["success"] = bool(success)
    return result


def _message(status: Status, success: bool, search: Search, coarse: float) -> str:
    if status is Status.NUMERICAL:
        return "No finite value was found."
    if not search.feasible:
        return f"No feasible point was found; the violation is {search.v:.3g}."
    if success and status is Status.MAX_EVAL:
        return "The budget is spent; the final poll found nothing better."
    if not success and coarse == math.inf and status is not Status.CALLBACK:
        return f"{status.message} The final poll still found a decrease."
    return status.message


def _certify(
    search: Search, poll_size: float, lower_bound: float
) -> tuple[Certificate, float]:
    """Poll around the incumbent; take a better point, and poll around that."""
    swarm, plan = search.last, search.plan
    assert swarm is not None
    lower, upper = search.lower, search.upper
    if plan.settings.boundary is None:
        lower, upper = np.full_like(lower, -math.inf), np.full_like(upper, math.inf)
    consensus = np.clip(swarm.consensus, lower, upper)
    if not np.isfinite(consensus).all():
        consensus = search.x.copy()
    rounds = 1 if search.elapsed >= plan.max_time else POLL_ROUNDS
    for _ in range(rounds):
        if lower_bound > search.f:
            warnings.warn(
                f"lower_bound={lower_bound!r} exceeds the value {search.f!r} that was "
                "found; it is ignored.",
                RuntimeWarning,
                stacklevel=4,
            )
            lower_bound = -math.inf
        sizes = (poll_size, poll_size * poll.FINE)
        witness = poll.coordinate_poll(search.x, lower, upper, sizes)
        witness |= _evidence(search, swarm, consensus)
        certificate, points, values = poll.mint(
            search.objective,
            witness,
            _parameters(search, swarm, lower_bound),
            tolerance=poll_size,
            violation=search.violation,
        )
        order = np.argsort(np.where(np.isnan(values), math.inf, values), kind="stable")
        better = next(
            (
                i
                for i in order
                if values[i] < search.f and search._is_feasible(points[i])
            ),
            None,
        )
        gap = certificate.residuals["consensus_gap"]
        low = float(np.min(swarm.f[swarm.f < math.inf], initial=math.inf))
        consensus_value = low + gap
        if better is None or not search.feasible or certificate.satisfied:
            break
        search._take(points[better], float(values[better]), 0.0)
    return certificate, consensus_value


def _evidence(search: Search, swarm: Any, consensus: Array) -> dict[str, Array]:
    """Return what residuals are computed from, besides the poll."""
    population = swarm.population
    population = np.where(np.isfinite(population), population, consensus)
    held = {
        "population": population,
        "population_values": swarm.f.copy(),
        "consensus": consensus,
        "variance": swarm.variances,
    }
    if search.comparable:
        held["run_values"] = np.array(search.comparable)
    if search.plan.x_star is not None and search.journal.rows:
        # Those of the last run of particles; a covariance search has no alpha.
        rows = [row for row in search.journal.rows if not math.isnan(row["alpha"])]
        held["variance_star"] = np.array(
            [row["V_star"] for row in rows if row["run"] == rows[-1]["run"]]
        )
    return held


def _parameters(search: Search, swarm: Any, lower_bound: float) -> dict[str, Any]:
    s, plan = swarm.settings, search.plan
    alpha = float(swarm.alpha) if s.weights != "rank" else 0.0
    cut = search.status in (Status.TARGET_REACHED, Status.CALLBACK)
    fixed = plan.restarts != "auto" and search.run >= plan.restarts
    scope = (
        "the runs are alike and their number was fixed beforehand"
        if fixed
        else "the budget ended the sequence of runs: the chance is indicative only"
    )
    parameters = {
        "alpha": alpha,
        "lam": float(s.lam),
        "sigma": float(swarm.sigma),
        "dt": float(s.dt),
        "noise": s.noise,
        "runs_comparable": not cut,
        "run_scope": scope,
        "hit_tolerance": HIT_ATOL + HIT_RTOL * abs(search.f)
        if math.isfinite(search.f)
        else HIT_ATOL,
    }
    if lower_bound > -math.inf:
        parameters["lower_bound"] = lower_bound
    if search.violation is not None:
        parameters["feasibility"] = FEASIBILITY
    return parameters
