"""Push in rounds: the loop around the kernels that ends on a duality gap.

A node that holds too much moves to its target. For p = 2 steps are over-relaxed and all
stop within a band around the target. Either the band lies below the sink, so that the
final flow is feasible as it is; or, by default, it lies around the sink, and what is
left over is led out of the support once, at the end (:mod:`graphs.drain`).
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult

from farkas.base import check_choice, check_number
from farkas.history import Recorder
from farkas.status import Status
from graphs import _kernels, _kernels_heights
from graphs.active_set import solve_active_set
from graphs.drain import NOTHING, Drains, drained
from graphs.neighborhood import (
    DEGREE,
    EDGES,
    GIVEN,
    NODE,
    OPENED,
    PUSHES,
    SINK,
    START,
    VALUE,
    WORK,
    Neighborhood,
)
from graphs.sweep import ROUNDINGS

Array = NDArray[np.float64]

# Width of the first band below the sinks, relative to them; the gap is proportional.
FIRST_BAND = 0.01
# Bands around the sinks, where the gap is quadratic: wide ones find the support, the
# last is worth a proof.
LOOSE_BANDS = (2.0, 0.5, 0.07)
LARGEST_BAND = 0.02  # beyond, mass and a band below may not fit into a component
# The gap that surplus leaves, over what it would be if it left along all edges: a guess
# that is replaced by what is found.
_DETOUR = 4.0
_NARROWEST = 1e-6  # bands around the sinks, and tries, before the band moves below
_TRIES = 3
# A component filled to more than this share is refused: nothing would stay local.
CAPACITY_SHARE = 0.95
# Over-relaxation grows with the mean number a of pushes of a node, like a / (a + 1/2):
# the first push of a node is plain.
PATIENCE = 0.5
# Capacity of the nodes that may push, over the mass, before over-relaxation gives way.
EXCURSION = 2.0
# Pushes over known rows in a round, and edge visits over known edges after which
# conjugate gradients follow: theirs cost a tenth of the time of those of pushes.
ROUND, SOLVE_AFTER, CONJUGATE_STEPS, REDUCTION = 3, 2, 8, 0.1
# Edge visits over pushed volume beyond which small weights are taken for the reason.
SLOW = 500
SLOW_POWER = 50  # for p > 2, where a push is a search and Newton pays much sooner
ACTIVE_SET_TOL = 1e-6  # below this tolerance a linear solve beats pushing

SMALLEST_MU = 1e-100  # powers of smaller numbers leave the range of floats
_LOOK = 4  # rounds after which a component may be found to be too small

# The certificate counts rounding in, the solver does not: it aims a little lower.
SAFETY = 0.9
_FIRST_ROUND, _LARGEST_ROUND = 16, 1 << 20

_DONE, _BUDGET, _GROW, _EXCURSION, _STUCK = range(5)


@dataclasses.dataclass(frozen=True)
class Options:
    """How to diffuse; see :func:`flow_diffusion`."""

    p: float = 2.0
    mu: float = 0.0
    rounding: str = "sweep"
    threshold: float = 0.0
    solver: str = "auto"
    omega: float = 1.6
    tol: float = 1e-3
    max_iter: int = 1000
    certificate: bool = True
    verbose: int = 0

    def checked(self) -> "Options":
        """Return self, or raise if an option makes no sense."""
        check_number("p", self.p, low=2.0)
        check_number("mu", self.mu, low=0.0)
        if self.mu and not SMALLEST_MU <= self.mu <= 1 / SMALLEST_MU:
            raise ValueError(
                f"mu={self.mu:g} must be 0, or from {SMALLEST_MU:g} to "
                f"{1 / SMALLEST_MU:g}; choose other units for the mass or the weights."
            )
        check_choice("rounding", self.rounding, ROUNDINGS)
        check_choice("solver", self.solver, ("auto", "sor", "push", "active_set"))
        if self.solver == "sor" and self.p != 2:
            raise ValueError(
                f'solver="sor" works for p=2 only; choose "auto" for p={self.p}.'
            )
        check_number("omega", self.omega, low=0.0, high=2.0, inclusive="neither")
        check_number("tol", self.tol, low=0.0, inclusive="neither")
        check_number("max_iter", self.max_iter, low=1, integer=True)
        check_number("threshold", self.threshold, low=0.0)
        return self


@dataclasses.dataclass
class Run:
    """One diffusion under way, on a neighborhood that may outlive it."""

    near: Neighborhood
    n_seeds: int
    options: Options
    recorder: Recorder
    callback: Callable[..., None] | None
    omega: float = 0.0
    band: float = FIRST_BAND
    floor: float = 0.0  # narrowest band that rounding allows
    stuck: bool = False  # the excess sits at a node without edges
    interrupted: bool = False
    recorded: int = 0  # rounds of earlier masses
    solved: int = 0  # edge visits at the last conjugate gradients
    nit: int = 0
    round_size: int = _FIRST_ROUND
    report: Array = dataclasses.field(default_factory=lambda: np.zeros(4))
    leads_out: bool = False  # whether surplus is led out at the end
    drains: Drains = NOTHING
    detour: float = _DETOUR
    tries: int = 0

    def __post_init__(self) -> None:
        self.omega = 1.0 if self.options.solver == "push" else float(self.options.omega)

    @property
    def p(self) -> float:
        """Norm of the flow."""
        return float(self.options.p)

    @property
    def power(self) -> float:
        """``q - 1``."""
        return 1.0 / (self.p - 1.0)

    @property
    def mass(self) -> float:
        """Total source mass."""
        return float(self.near.column(GIVEN)[: self.n_seeds].sum())

    @property
    def dual(self) -> float:
        """Dual value of the heights."""
        return float(self.report[1] - self.report[0] * (1.0 - 1.0 / self.p))

    @property
    def coarse(self) -> bool:
        """Whether the band is too wide for a proof."""
        return self.leads_out and self.band > LOOSE_BANDS[-1]

    def push(self) -> int:
        """Push until the queue is empty or a round is over; rounds grow."""
        self.nit += 1
        self.drains = NOTHING
        near, size = self.near, self.round_size
        self.round_size = min(2 * size, _LARGEST_ROUND)
        if self.options.solver == "auto":
            size = max(size, ROUND * int(near.count[OPENED]))
        limit = int(near.count[PUSHES]) + size
        while True:
            if self.p == 2:
                code = _kernels.push(
                    near.source,
                    near.state,
                    near.count,
                    self.omega,
                    PATIENCE,
                    limit,
                    EXCURSION * self.mass,
                    self.report,
                )
            else:
                code = _kernels.push_power(
                    near.source,
                    near.state,
                    near.count,
                    self.power,
                    float(self.options.mu),
                    limit,
                )
            if code != _GROW:
                return int(code)
            near.grow()

    def settle(self) -> None:
        """Recompute mass, values and gap from the heights."""
        state, count = self.near.state, self.near.count
        if self.leads_out:
            _kernels_heights.spread(state, count, self.report)
        else:
            mu = float(self.options.mu)
            _kernels_heights.settle(state, count, self.power, mu, self.report)

    def aim(self, band: float) -> None:
        """Choose the width of the target and queue what lies outside."""
        self.band = band
        self.near.narrow(band, 0.0 if self.leads_out else 1.0)
        if self.p > 2:
            self.again()  # steps for p > 2 only raise heights
        _kernels_heights.enqueue(self.near.state, self.near.count)

    def again(self) -> None:
        """Start from zero heights on the rows that are known."""
        _kernels_heights.restart(self.near.state, self.near.count)
        _kernels_heights.enqueue(self.near.state, self.near.count)

    def smooth(self) -> None:
        """Run conjugate gradients on the support, if pushes have taken long."""
        state, count = self.near.state, self.near.count
        if count[WORK] - self.solved <= SOLVE_AFTER * count[EDGES]:
            return
        _kernels_heights.conjugate(state, count, CONJUGATE_STEPS, REDUCTION)
        self.settle()
        _kernels_heights.enqueue(state, count)
        self.solved = int(count[WORK])

    def gap(self, goal: float) -> float:
        """Prove a duality gap where nothing is queued; inf if it is above the goal."""
        if not self.leads_out:
            return float(self.report[2]) if self.report[3] <= 0 else math.inf
        least = self._least_gap()
        if self.detour * least > goal:
            return math.inf
        self.drains = drained(self.near)
        if math.isfinite(self.drains.gap):
            self.detour = max(1.0, self.drains.gap / least if least > 0 else 1.0)
        else:
            self.tries += 1
        return self.drains.gap

    def _least_gap(self) -> float:
        """Return the gap if all surplus could leave along all edges of its node."""
        near = self.near
        surplus = near.column(VALUE, 0) - near.column(SINK)
        d = near.column(DEGREE)
        off = ((near.column(VALUE, 1) > 0) | (surplus > 0)) & (near.column(START) >= 0)
        off &= d > 0
        return 0.5 * float((surplus[off] ** 2 / d[off]).sum())

    def aim_closer(self, gap: float, goal: float) -> bool:
        """Narrow the band as the gap asks for; False if rounding forbids it."""
        if self.coarse:
            self.aim(next(band for band in LOOSE_BANDS if band < self.band))
        elif self.leads_out:
            known = gap if math.isfinite(gap) else self.detour * self._least_gap()
            step = math.sqrt(0.6 * goal / known) if known > goal else 0.5
            band = self.band * min(max(step, 0.1), 0.7)
            self.leads_out = band > _NARROWEST and self.tries < _TRIES
            self.aim(band if self.leads_out else FIRST_BAND)
        elif math.isinf(gap):  # rounding is wider than the band
            self.floor = min(4 * self.band, LARGEST_BAND)
            if self.band == LARGEST_BAND:
                return False
            self.aim(self.floor)
        else:
            if self.band == self.floor:
                return False
            step = min(0.5, 0.5 * goal / gap)
            self.aim(max(self.band * step, self.floor, 1e-3 * self.band))
        return True

    def record(self, gap: float) -> bool:
        """Note where the run stands; False if the callback asks to stop."""
        self.recorder.record(
            self.recorded + self.nit,
            objective=self.dual,
            certificate=gap,
            pushes=float(self.near.count[PUSHES]),
        )
        if self.callback is None:
            return True
        try:
            self.callback(
                intermediate_result=OptimizeResult(
                    x=self.near.column(VALUE, 1),
                    nodes=self.near.column(NODE),
                    fun=self.dual,
                    nit=self.recorded + self.nit,
                    certificate=gap,
                    run=self,
                )
            )
        except StopIteration:
            return False
        return True

    def scale(self) -> float:
        """Dual value of single steps at the seeds, as the certificate has it."""
        near, k = self.near, self.n_seeds
        near.open(np.arange(k))
        excess = (near.column(GIVEN) - near.column(SINK))[:k]
        d = near.column(DEGREE)[:k]
        moves = (excess > 0) & (d > 0)
        if not moves.any():
            return 1.0
        logs = self.p * np.log(excess[moves]) - (self.p - 1) * np.log(d[moves])
        return float(np.exp(np.minimum(logs - math.log(self.p), 690.0)).sum())


def solve(run: Run) -> Status:
    """Push in rounds until the duality gap is small enough."""
    near, options, scale = run.near, run.options, run.scale()
    linear = options.solver == "active_set" or (
        options.solver == "auto" and options.tol < ACTIVE_SET_TOL
    )
    run.solved = int(near.count[WORK])
    run.leads_out = options.solver == "auto" and run.p == 2 and not linear
    run.aim(LOOSE_BANDS[0] if run.leads_out else run.band)
    run.settle()
    while run.nit < options.max_iter:
        # 1. A round of pushes.
        code = run.push()
        if code == _EXCURSION:  # too many nodes got mass: start again, monotonically
            run.omega = 1.0
            run.again()
            run.settle()
            continue
        run.stuck = code == _STUCK
        idle, coarse = code == _DONE, run.coarse
        looked = (idle and not coarse) or run.nit % _LOOK == 0
        if run.stuck or (looked and near.overfull(CAPACITY_SHARE)):
            return Status.INFEASIBLE
        # 2. Where do we stand?
        if run.p > 2 or (idle and not coarse):
            run.settle()
            idle = idle and not _kernels_heights.enqueue(near.state, near.count)
        if not np.isfinite(run.report).all():
            return Status.NUMERICAL
        goal = SAFETY * options.tol * max(scale, run.dual)
        gap = run.gap(goal) if idle and not coarse else math.inf
        if not run.record(gap):
            return Status.CALLBACK
        if gap <= goal and not linear:
            return Status.CONVERGED
        # 3. Pushes are slow on smooth errors: conjugate gradients on the support.
        if options.solver == "auto" and run.p == 2 and (run.leads_out or not idle):
            run.smooth()
        # 4. Solve linear systems, or aim closer to the sinks.
        patience = SLOW if run.p == 2 else SLOW_POWER
        slow = near.count[WORK] > patience * max(1, near.count[EDGES])
        if (linear and idle) or (options.solver in ("auto", "active_set") and slow):
            run.drains = NOTHING
            return solve_active_set(run, scale)
        if idle and not run.aim_closer(gap, goal):
            return Status.STALLED
    return Status.MAX_ITER
