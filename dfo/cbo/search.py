"""The loop over runs: budget, incumbent, history and the reasons to stop."""

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult

from dfo.cbo.dynamics import _kernels as k
from dfo.cbo.dynamics.settings import Settings
from dfo.cbo.dynamics.swarm import CBO
from dfo.cbo.dynamics.variants import Variant
from dfo.cbo.journal import Journal
from dfo.cbo.local.covariance import CovarianceSearch
from dfo.cbo.local.polish import polish
from dfo.cbo.runs import WIDE, kind_of, new_run
from dfo.constraints import Projection, Violation
from dfo.objective import Objective
from farkas.status import Status

Array = NDArray[np.float64]

# The fused kernel runs for about this long between two looks at the clock.
SECONDS_PER_CHUNK = 0.02
HOP_STREAM = 1


@dataclasses.dataclass(kw_only=True)
class Plan:
    """What a search was asked to do."""

    settings: Settings
    n_particles: int
    restarts: Any
    maxiter: float
    maxfev: int
    max_time: float
    ftarget: float
    polish: Any
    restart_noise: float
    init: str
    x0: Any
    x0_scale: Any
    x_star: Any
    project: Any
    where: tuple[Any, Any] | None
    callback: Callable[..., Any] | None
    disp: bool
    record: str | None


class Search:
    """State of a search over several runs.

    Parameters
    ----------
    plan : Plan
        What to do.
    objective : Objective
        The black box.
    lower, upper : ndarray of shape (d,)
        The box.
    violation : Violation, Projection or None
        General constraints.
    root : SeedSequence
        Each run gets its own child.
    """

    def __init__(
        self,
        plan: Plan,
        objective: Objective,
        lower: Array,
        upper: Array,
        violation: Violation | Projection | None,
        root: np.random.SeedSequence,
    ) -> None:
        self.plan, self.objective, self.violation = plan, objective, violation
        self.lower, self.upper, self.root = lower, upper, root
        self.begun = time.perf_counter()
        self.x, self.f = np.empty(0), math.inf
        self.v = math.inf
        self.run = 0
        self.nit = 0
        self.run_values: list[float] = []
        self.comparable: list[float] = []
        self.kind = WIDE
        self.swarm: CBO | CovarianceSearch | None = None
        self.last: CBO | None = None  # the swarm of the best run
        self.last_value = math.inf
        self.status: Status | None = None
        self.reason = ""
        self.journal = Journal(plan)
        self.elapsed_before = 0.0
        self.resumed = False
        self._chunk = 1

    @property
    def elapsed(self) -> float:
        """Seconds since the search began, an earlier part included."""
        return self.elapsed_before + time.perf_counter() - self.begun

    @property
    def left(self) -> int:
        """Evaluations left."""
        return self.plan.maxfev - self.objective.nfev

    # The loop ------------------------------------------------------------------------

    def go(self) -> None:
        """Run, polish, restart, until a reason to stop appears."""
        while True:
            if self.swarm is None:
                self.swarm = self._new_swarm()
            reason = self._scout(self.swarm)
            truncated = reason in ("budget", "maxiter", "time", "callback", "target")
            value = self._finish(self.swarm)
            self._close_run(self.swarm, value, truncated)
            self.status = self._stop(reason)
            if self.status is not None:
                return
            self.run += 1
            self.swarm = None

    def _new_swarm(self) -> CBO | CovarianceSearch:
        """Start a run of its kind from a seed of its own."""
        plan = self.plan
        self.kind = kind_of(
            self.run,
            automatic=plan.restarts == "auto",
            bounded=self._bounded,
            refined=plan.polish is not None and self.violation is None,
        )
        box, child = (self.lower, self.upper), self._child(0)
        swarm = new_run(self.kind, self.run, plan, *box, self.x, child)
        if isinstance(swarm, CBO):
            if self.violation is not None and swarm.variant is None:
                swarm.variant = Variant(swarm, child.spawn(1)[0])
            free = self.violation is None
            swarm.P[k.FTARGET] = plan.ftarget if free else -math.inf
        return swarm

    def _child(self, stream: int) -> np.random.SeedSequence:
        """Return the seed of one of the streams of this run."""
        key = (*self.root.spawn_key, self.run, *([stream] if stream else []))
        return np.random.SeedSequence(self.root.entropy, spawn_key=key)

    @property
    def _bounded(self) -> bool:
        with np.errstate(over="ignore"):
            return bool(np.isfinite(self.upper - self.lower).all())

    def _scout(self, swarm: CBO | CovarianceSearch) -> str:
        """Step until the run ends; return why."""
        plan = self.plan
        watched = plan.callback is not None or plan.record is not None
        if self.resumed:
            self.resumed = False
            if swarm.stop():
                return "end"
        fused = self.objective.compiled and swarm.variant is None and not watched
        while True:
            if self.left < self._cost(swarm):
                self._use_rest(swarm)
                return "budget"
            if self.nit >= plan.maxiter:
                return "maxiter"
            if self.nit and self.elapsed >= plan.max_time:
                return "time"
            steps = int(min(self._chunk if fused else 1, plan.maxiter - self.nit))
            before, clock = swarm.nit, time.perf_counter()
            self._advance(swarm, steps)
            taken = swarm.nit - before
            self.nit += taken
            spent = time.perf_counter() - clock
            self._chunk = _adapted(self._chunk, spent)
            self._take(swarm.best_x, swarm.best_f, self._best_violation(swarm))
            self.journal.note(self, swarm)
            if self._told():
                return "callback"
            if self.f <= plan.ftarget and self.feasible:
                return "target"
            ended = swarm.stop()
            if "maxfev" in ended:
                return "budget"
            if ended:
                if plan.restart_noise > 0 and isinstance(swarm, CBO):
                    self._shake(swarm)
                    continue
                return "end"

    def _use_rest(self, swarm: CBO | CovarianceSearch) -> None:
        """Evaluate what a budget below one population allows, if it is all there is."""
        if len(self.x) or self.left <= 0:
            return
        assert isinstance(swarm, CBO)  # the first run
        X = swarm.ask()[: self.left, :]
        f = self.objective.rows(X)
        v = np.zeros(len(f)) if self.violation is None else self.violation.rows(X)
        swarm._tell(X, f, v, self.objective)
        self.nit += 1
        self._take(swarm.best_x, swarm.best_f, self._best_violation(swarm))

    def _cost(self, swarm: CBO | CovarianceSearch) -> int:
        batch = swarm.settings.batch_size if isinstance(swarm, CBO) else None
        return swarm.n_particles if batch is None else batch

    def _advance(self, swarm: CBO | CovarianceSearch, steps: int) -> None:
        if self.violation is None or not isinstance(swarm, CBO):
            swarm.advance(self.objective, steps, self.left)
            return
        X = swarm.ask()
        f, v = self.objective.rows(X), self.violation.rows(X)
        swarm._tell(X, f, v, self.objective)

    def _shake(self, swarm: CBO) -> None:
        """Instead of a restart, add independent noise to all particles."""
        xi = np.empty_like(swarm.X)
        k.fill_normal(swarm.rng[2], xi)
        moved = swarm.X + self.plan.restart_noise * swarm.scale * xi
        swarm.X = np.clip(moved, self.lower, self.upper)
        swarm.S[k.NOISE], swarm.S[k.REFERENCE] = swarm.P[k.NOISE_START], math.inf
        swarm.K[k.STALL], swarm._reason = 0, k.GO_ON

    def _finish(self, swarm: CBO | CovarianceSearch) -> float:
        """Polish the best point of the run; return its value."""
        x, f = swarm.best_x, swarm.best_f
        plan = self.plan
        if not isinstance(swarm, CBO):  # it converges by itself
            return f
        if plan.polish is None or not math.isfinite(f) or self.left <= 0:
            return f
        if self.f <= plan.ftarget and self.feasible:
            return f
        if self.elapsed >= plan.max_time or self.status is Status.CALLBACK:
            return f
        jac = plan.settings.jac
        better, value = polish(
            plan.polish,
            self.objective,
            x,
            self.lower,
            self.upper,
            budget=self.left,
            jac=None if getattr(jac, "vectorized", False) else jac,
            ftarget=plan.ftarget,
            feasible=None if self.violation is None else self._is_feasible,
            rng=np.random.default_rng(self._child(HOP_STREAM))
            if self._bounded
            else None,
        )
        if value < f:
            v = 0.0 if self.violation is None else self.violation(better)
            self._take(better, value, v)
            return value
        return f

    def _close_run(
        self, swarm: CBO | CovarianceSearch, value: float, truncated: bool
    ) -> None:
        self.run_values.append(value)
        if not isinstance(swarm, CBO):
            return
        seeded = self.run == 0 and self.plan.x0 is not None
        if self.kind == WIDE and not (seeded or truncated):
            self.comparable.append(value)
        if value <= self.last_value or self.last is None:
            self.last, self.last_value = swarm, value

    def _stop(self, reason: str) -> Status | None:
        """Turn the end of a run into the end of the search, if it is one."""
        plan = self.plan
        if self.f <= plan.ftarget and self.feasible:
            return Status.TARGET_REACHED
        if reason == "callback":
            return Status.CALLBACK
        if reason == "time" or self.elapsed >= plan.max_time:
            return Status.MAX_TIME
        if reason == "maxiter":
            return Status.MAX_ITER
        if plan.restarts != "auto" and self.run >= plan.restarts:
            return Status.MAX_EVAL if reason == "budget" else Status.STALLED
        if reason == "budget" or self.left < plan.n_particles:
            return Status.MAX_EVAL
        return None

    # The incumbent -------------------------------------------------------------------

    @property
    def feasible(self) -> bool:
        """Whether the incumbent satisfies the general constraints."""
        return self.v <= FEASIBILITY

    def _is_feasible(self, x: Array) -> bool:
        return self.violation is None or self.violation(x) <= FEASIBILITY

    def _best_violation(self, swarm: CBO | CovarianceSearch) -> float:
        if self.violation is None or swarm.variant is None:
            return 0.0
        return swarm.variant.best_v

    def _take(self, x: Array, f: float, v: float) -> None:
        """Keep the better point: feasibility first, then the value."""
        now = (0.0 if self.v <= FEASIBILITY else self.v, self.f)
        if not len(self.x) or (0.0 if v <= FEASIBILITY else v, f) < now:
            self.x, self.f, self.v = x.copy(), float(f), float(v)

    # Reports -------------------------------------------------------------------------

    def _told(self) -> bool:
        """Tell the callback; return whether it asks to stop."""
        if self.plan.callback is None:
            return False
        try:
            self.plan.callback(
                intermediate_result=OptimizeResult(
                    x=self.x.copy(),
                    fun=self.f,
                    nit=self.nit,
                    nfev=self.objective.nfev,
                    certificate_value=math.inf,
                    state=self.state,
                )
            )
        except StopIteration:
            self.status = Status.CALLBACK
            return True
        return False

    # Resuming ------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return everything that determines what follows, as arrays and scalars."""
        held: dict[str, Any] = {
            "x": self.x.copy(),
            "f": self.f,
            "v": self.v,
            "run": self.run,
            "nit": self.nit,
            "nfev": self.objective.nfev,
            "elapsed": self.elapsed,
            "run_values": np.array(self.run_values),
            "comparable": np.array(self.comparable),
            "last_value": self.last_value,
            "entropy": np.array([str(self.root.entropy)]),
            "spawn_key": np.array(self.root.spawn_key, dtype=np.int64),
        }
        for prefix, swarm in (("swarm_", self.swarm), ("last_", self.last)):
            if swarm is not None:
                held |= {f"{prefix}{n}": v for n, v in swarm.state().items()}
        return held

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state` of a search with the same plan."""
        self.x, self.f = np.array(state["x"]), float(state["f"])
        self.v = float(state["v"])
        self.nit, self.objective.nfev = int(state["nit"]), int(state["nfev"])
        self.elapsed_before = float(state["elapsed"])
        self.run_values = np.asarray(state["run_values"]).tolist()
        self.comparable = np.asarray(state["comparable"]).tolist()
        self.root = np.random.SeedSequence(
            _entropy(str(np.asarray(state["entropy"])[0])),
            spawn_key=tuple(np.asarray(state["spawn_key"]).tolist()),
        )
        present = int(state["run"])
        # What is kept of the best run is a swarm, as the first run is one.
        for prefix, name, run in (("last_", "last", 0), ("swarm_", "swarm", present)):
            self.run = run
            part = {
                n[len(prefix) :]: v for n, v in state.items() if n.startswith(prefix)
            }
            part.pop("value", None)
            if part:
                swarm = self._new_swarm()
                swarm.restore(part)
                setattr(self, name, swarm)
        self.last_value = float(state["last_value"])
        self.resumed = True


FEASIBILITY = 1e-8


def _adapted(chunk: int, seconds: float) -> int:
    """Return the number of steps for the next call of the kernel."""
    if seconds < 0.5 * SECONDS_PER_CHUNK:
        return min(2 * chunk, 4096)
    return max(1, chunk // 2) if seconds > 2 * SECONDS_PER_CHUNK else chunk


def _entropy(text: str) -> Any:
    """Read back ``str(entropy)``: an integer, or a list or array of integers."""
    numbers = [int(word) for word in text.strip("[]").replace(",", " ").split()]
    return numbers if text.startswith("[") else numbers[0]
