"""The state of a direct search, and one iteration of it.

Steps in order, each skipped when an earlier one has succeeded: the user's search,
covering, model, simplex, random search, poll. Then the radius is updated.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfo.direct.barrier import DOMINATING, IMPROVING, UNSUCCESSFUL, Barrier
from dfo.direct.covering import CANDIDATES, Cloud, HaltonBall, ball, farthest_move
from dfo.direct.directions import unit_vector
from dfo.direct.model_search import FAILURES, model_search
from dfo.direct.oracle import Oracle
from dfo.direct.poll import Poll, poll_step
from dfo.direct.simplex_search import simplex_search
from dfo.direct.space import Space

Array = NDArray[np.float64]

# A search that always gains a little must not switch the covering off.
MOST_SKIPS = 9
LARGEST_DELTA = 1e3
CREEP = 0.1
RANDOM_REACH = 10.0
STEPS = (
    "search",
    "covering",
    "model",
    "simplex",
    "random",
    "poll",
    "speculative",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What :func:`dfo.minimize_cdsm` was asked for, checked."""

    poll: str = "2n"
    rotation: str = "random"
    opportunistic: bool = True
    covering: str | None = "farthest"
    covering_radius: float = 1.0
    covering_every: int = 1
    model_search: bool = True
    simplex_search: bool = True
    random_search: bool = False
    forcing: float = 0.0
    lipschitz: float = math.nan
    lower_bound: float = -math.inf
    xtol: float = 1e-8
    delta0: float = 1.0
    block_size: int = 1
    certify: bool = True
    only_search: bool = False
    search_step: Callable[..., Any] | None = None


class Run:
    """Everything that one iteration reads and changes.

    Parameters
    ----------
    space : Space
        The set X.
    oracle : Oracle
        The black box and its log.
    barrier : Barrier
        What counts as better.
    options : Options
        Fixed during the run.
    rng : Generator
        The only source of randomness.
    """

    def __init__(
        self,
        space: Space,
        oracle: Oracle,
        barrier: Barrier,
        options: Options,
        rng: np.random.Generator,
    ) -> None:
        self.space, self.oracle, self.barrier = space, oracle, barrier
        self.options, self.rng = options, rng
        self.cloud = Cloud()
        self.halton: HaltonBall | None = None
        self.delta = self.model_radius = options.delta0
        self.counts = dict.fromkeys(STEPS, 0)
        self.nit = self.skipped = self.coverings = self.searches = self.polls = 0
        self.last_direction: Array | None = None
        self.last_step = 0.0
        self.model: Any = None
        self.hessian: Array | None = None
        self.patience = FAILURES
        self.failed_poll: Poll | None = None
        self.reached, self.reached_length, self.crept = (0, 0), 0.0, False
        self.step = "start"
        self.polled = math.inf  # radius of the last iteration

    def rotation(self) -> Array:
        """Return the unit vector of the next rotation."""
        self.polls += 1
        number = self.polls - 1 if self.options.rotation == "halton" else -1
        return unit_vector(self.space.k, self.rng, number)

    def iterate(self) -> int:
        """Do one iteration.

        Returns
        -------
        int
            The best class that was met.
        """
        self.nit += 1
        self.failed_poll = None
        self.model, self.last_step = None, 0.0
        outcome = UNSUCCESSFUL
        for name, step in (
            ("search", self._search),
            ("covering", self._cover),
            ("model", self._model),
            ("simplex", self._simplex),
            ("random", self._random),
            ("poll", poll_step),
        ):
            if outcome == DOMINATING and not (name == "covering" and self._due()):
                continue
            if self.options.only_search and name != "search":
                break
            found = step(self) if name == "poll" else step()
            outcome = max(outcome, found)
            if found == DOMINATING:
                self.counts[name] += 1
                self.step = name
        if outcome != DOMINATING:
            self.step = "improving" if outcome == IMPROVING else "failure"
        self._resize(outcome)
        self.barrier.update(outcome)
        return outcome

    def _due(self) -> bool:
        return self.skipped >= MOST_SKIPS

    def _search(self) -> int:
        hook = self.options.search_step
        if hook is None:
            return UNSUCCESSFUL
        x = self.oracle.X[self.barrier.primary].copy()
        outcome = UNSUCCESSFUL
        for candidate in hook(x, self.delta, self):
            point = np.asarray(candidate, dtype=np.float64)
            if point.shape != x.shape or not np.isfinite(point).all():
                raise ValueError(
                    f"search_step yielded a point of shape {point.shape}, expected "
                    f"{x.shape} finite numbers."
                )
            if self.space.plain:
                point = self.space.place(point)
            else:
                w = self.space.coordinates(point) - self.space.coordinates(x)
                point = self.space.step(x, w)
            outcome = max(outcome, self.barrier.classify(self.oracle(point, "search")))
            if outcome == DOMINATING:
                break
        # What a hook learns from its outcome, it learns here.
        tell = getattr(hook, "tell", None)
        if tell is not None:
            tell(outcome == DOMINATING, self)
        self.skipped = self.skipped + 1 if outcome == DOMINATING else 0
        return outcome

    def _cover(self) -> int:
        how = self.options.covering
        if how is None or (self.nit - 1) % self.options.covering_every:
            return UNSUCCESSFUL
        self.skipped = 0
        center = self.oracle.X[self.barrier.primary]
        radius, k = self.options.covering_radius, self.space.k
        if how == "random":
            move = ball(k, radius, 1, self.rng)[0]
        else:
            if self.halton is None:
                self.halton = HaltonBall(k)
            m = CANDIDATES if how == "farthest" else 1
            first = m * self.coverings
            moves = np.array([self.halton.point(radius, first + j) for j in range(m)])
            move = moves[0]
            if m > 1:
                move = farthest_move(
                    self.space, center, moves, self.oracle.W, self.cloud
                )
        self.coverings += 1
        x = self.space.step(center, move)
        return self.barrier.classify(self.oracle(x, "covering"))

    def _model(self) -> int:
        if not self.options.model_search:
            return UNSUCCESSFUL
        # The extreme barrier first minimises the violation, as a function of its own.
        searching = self.barrier.handling == "eb" and self.barrier.feasible < 0
        if self.barrier.constrained and not searching:
            from dfo.direct.constrained_model import constrained_model_search

            return constrained_model_search(self)
        return model_search(self)

    def _simplex(self) -> int:
        if not self.options.simplex_search or self.barrier.constrained:
            return UNSUCCESSFUL
        if not self.space.plain or self.space.gridded:
            return UNSUCCESSFUL
        return simplex_search(self)

    def _random(self) -> int:
        if not self.options.random_search:
            return UNSUCCESSFUL
        self.searches += 1
        length = self.options.delta0 * min(math.sqrt(self.searches), RANDOM_REACH)
        w = length * unit_vector(self.space.k, self.rng)
        x = self.space.step(self.oracle.X[self.barrier.primary], w)
        return self.barrier.classify(self.oracle(x, "random"))

    def _resize(self, outcome: int) -> None:
        """Double after a success of the poll or a long one of the model."""
        self.polled = self.delta
        # A step that X has cut to almost nothing says that the radius is too large.
        self.crept = self.step == "poll" and self.reached_length < CREEP * self.delta
        if outcome == UNSUCCESSFUL and not self.options.only_search:
            if self.delta > self.options.xtol:  # the last poll has this very size
                self.delta = max(0.5 * self.delta, self.options.xtol)
        elif (self.step == "poll" and not self.crept) or (
            self.step == "model" and self.last_step >= self.delta
        ):
            largest = LARGEST_DELTA * self.options.delta0
            self.delta = min(2.0 * self.delta, largest)
        elif self.crept:
            self.delta = max(0.5 * self.delta, self.options.xtol)
