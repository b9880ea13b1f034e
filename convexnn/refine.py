"""Choose the activation patterns of the convex program by what its dual point asks for.

Random patterns approximate the best network poorly. The dual point of a solved program
tells which units, of any pattern, would improve it (search.py). Their patterns join
those in use, the program is solved again, and so on, until no such unit is found::

    network = 0
    repeat: search units, add small ones, descend on all weights      (descent.py)
    repeat: search units, solve the program on the patterns of the network and of the
            units found, read off its network

The first loop is cheap and not convex; it only proposes patterns. The second ends with
a certified program and with the ratio ``max |theta'(X u)_+| / alpha`` that the last
search saw. A ratio of 1 would prove that no network of any width is better, were the
search exhaustive; it is an estimate.
"""

import dataclasses
import math
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexnn._measure_losses import LOSSES
from convexnn.admm import Factor, factorize
from convexnn.descent import descend, network_objective, without_negligible
from convexnn.driver import Solution, solve
from convexnn.network import recover_network
from convexnn.patterns import PatternSet, pattern_of
from convexnn.program import Program, Settings
from convexnn.scale._array import Place
from convexnn.search import Found, search_units
from farkas.status import Status

Array = NDArray[np.float64]

# A ratio at which the search counts as having found nothing.
RATIO_TOL = 1e-3

# Units added in a round, for each sign of the output weight; those that improve at all.
CANDIDATES = 20
IMPROVING = 1e-4

# Patterns of the first program with init="gaussian".
FIRST_PATTERNS = 40

# Relative decrease in a round of descent below which the convex rounds begin.
DESCENT_TOL = 1e-3

# Iterations of a round of the convex program, and its loosest tolerance: an inexact
# dual point finds the same units as long as the ratio is far from 1.
ROUND_ITERATIONS = 500
LOOSEST = 1e-3
LOOSENESS = 0.02  # of tolerance over excess of the ratio

# Convex rounds end when the objective falls by less than this part of the tolerance.
STALLED = 0.1


@dataclasses.dataclass(frozen=True, eq=False)
class Refined:
    """The last program, its solution, and the ratio of the last search."""

    patterns: PatternSet
    solution: Solution
    ratio: float


@dataclasses.dataclass(frozen=True, eq=False)
class _Round:
    """One convex program on its patterns, and its solution."""

    patterns: PatternSet
    factor: Factor | None
    solution: Solution

    @property
    def upper(self) -> float:
        return self.solution.bounds.upper


def refine(
    program: Program,
    settings: Settings,
    *,
    rounds: int,
    n_starts: int,
    seed: np.random.SeedSequence,
    init: str = "network",
    start: tuple[Array, Array] | None = None,
    where: Place | None = None,
) -> Refined:
    """Solve the program on patterns that are improved round by round.

    Parameters
    ----------
    program : Program
        The ReLU program; its patterns are those of the first convex round with
        ``init="gaussian"`` or ``start``, and are not used otherwise.
    settings : Settings
        Controls of the solver. ``max_iter`` and ``max_time`` hold for all rounds.
    rounds : int
        Largest number of rounds of both kinds.
    n_starts : int
        Random starts of each search.
    seed : SeedSequence
        Determines them.
    init : {"network", "gaussian"}, default="network"
        Whether rounds of descent come first.
    start : tuple of ndarray of shape (d, P), optional
        Blocks (V, W) of an earlier fit on the program's patterns.
    where : Place, optional
        Where the programs are solved; default: on the host.

    Returns
    -------
    Refined
    """
    refinement = _Refinement(program, settings, n_starts, seed, where)
    return refinement.run(rounds, init, start)


class _Refinement:
    def __init__(
        self,
        program: Program,
        settings: Settings,
        n_starts: int,
        seed: np.random.SeedSequence,
        where: Place | None,
    ) -> None:
        self.where = where
        self.program, self.settings, self.n_starts = program, settings, n_starts
        self.rng = np.random.default_rng(seed)
        self.begun = time.perf_counter()
        self.terms = LOSSES[program.loss]
        self.size = float(np.abs(program.X).max()) or 1.0
        self.X, self.alpha = program.X / self.size, program.alpha / self.size
        self.at_zero = float(
            self.terms.value(np.zeros_like(program.y), program.y).sum()
        )
        self.U, self.a = np.zeros((program.X.shape[1], 0)), np.zeros(0)
        self.theta = self.terms.theta(np.zeros_like(program.y), program.y)
        self.histories: list[dict[str, NDArray[Any]]] = []
        self.nit = 0  # of all rounds

    def run(self, rounds: int, init: str, start: tuple[Array, Array] | None) -> Refined:
        last, found, done, interrupted = None, None, 0, False
        try:
            if start is not None or init == "gaussian":
                last = self._solve(self.program.patterns, math.inf, start)
            else:
                done = self._descents((rounds + 1) // 2)
            found = self._search()
            while last is None or self._may_go_on(last, done, rounds, found):
                before, last = last, self._solve(self._wanted(found), found.ratio)
                done += 1
                if before is not None and self._stalled(before, last):
                    last = min(before, last, key=lambda part: part.upper)
                    break
                found = self._search()
            last = self._finish(last)
            self._read(last.solution)
            found = self._search()
        except KeyboardInterrupt:
            interrupted = True
        if last is None:
            last = self._solve(self._wanted(found), 1.0)
        solution = dataclasses.replace(
            last.solution,
            status=self._status(last.solution),
            nit=self.nit,
            elapsed=time.perf_counter() - self.begun,
            history=_chained(self.histories),
            interrupted=interrupted or last.solution.interrupted,
        )
        ratio = math.nan if found is None else found.ratio
        return Refined(last.patterns, solution, ratio)

    def _descents(self, rounds: int) -> int:
        """Improve the network by descent from units that the search proposes."""
        best = self.at_zero
        for k in range(rounds):
            found = self._search()
            new = _candidates(found)
            if not len(new) or self._out_of_time():
                return k
            self._add_units(found, new)
            self.U, self.a = descend(
                self.X,
                self.program.y,
                self.U,
                self.a,
                alpha=self.alpha,
                loss=self.program.loss,
            )
            value = network_objective(
                self.X, self.program.y, self.U, self.a, self.alpha, self.program.loss
            )
            z = np.maximum(self.X @ self.U, 0.0) @ self.a
            self.theta = self.terms.theta(z, self.program.y)
            if best - value <= DESCENT_TOL * best:
                return k + 1
            best = value
        return rounds

    def _add_units(self, found: Found, new: NDArray[np.intp]) -> None:
        """Add units of a size at which a share of the decrease is certain.

        Along one direction the objective falls by ``t (h - alpha) - t^2 |p|^2 / 2``,
        with p the unit's output on the data.
        """
        directions, signs = found.directions[:, new], found.signs[new]
        outputs = np.maximum(self.X @ directions, 0.0)
        slopes = self.alpha * (found.ratios[new] - 1.0)
        t = slopes / np.maximum(np.sum(outputs * outputs, axis=0) * len(new), 1e-300)
        roots = np.sqrt(t)
        self.U = np.concatenate([self.U, directions * roots], axis=1)
        self.a = np.concatenate([self.a, signs * roots])

    def _search(self) -> Found:
        shape = (self.X.shape[1], self.n_starts)
        starts = np.concatenate([self.rng.standard_normal(shape), self.U], axis=1)
        return search_units(self.X, self.theta, self.alpha, starts)

    def _wanted(self, found: Found | None) -> PatternSet:
        """Patterns of the network's units and of the units found.

        The network's are read off its weights again: where a unit ends on hyperplanes,
        one pattern that holds it is enough, and which does not matter.
        """
        gates = [self.U]
        if found is not None:
            new = _candidates(found)
            gates.append(found.directions[:, new if len(new) else slice(0, 1)])
        stacked = np.concatenate(gates, axis=1)
        return distinct(pattern_of(self.program.X, stacked), stacked)

    def _solve(
        self,
        patterns: PatternSet,
        ratio: float,
        start: tuple[Array, Array] | None = None,
    ) -> _Round:
        """Solve the program on these patterns; the further from 1 the looser."""
        tol = min(LOOSENESS * max(ratio - 1.0, 0.0), LOOSEST)
        left = max(self.settings.max_iter - self.nit, 1)
        settings = self._limited(tol, min(ROUND_ITERATIONS, left))
        program = dataclasses.replace(self.program, patterns=patterns)
        factor = None
        if self.where is None or self.where.has_kernels:
            factor = factorize(program.X, patterns.D, "relu")
        solution = self._run(program, settings, factor, x0=start)
        self.nit += solution.nit
        self.histories.append(solution.history)
        self._read(solution)
        return _Round(patterns, factor, solution)

    def _finish(self, last: _Round) -> _Round:
        """Continue the last program to the final tolerance."""
        earlier, tol = last.solution, self.settings.tol
        left = self.settings.max_iter - self.nit
        solved = earlier.bounds.gap <= tol * abs(last.upper)
        if solved or left <= 0 or not earlier.state or not self._may_continue(earlier):
            return last
        program = dataclasses.replace(self.program, patterns=last.patterns)
        settings = self._limited(tol, earlier.nit + left)
        solution = self._run(program, settings, last.factor, state=earlier.state)
        self.nit += solution.nit - earlier.nit
        self.histories[-1] = solution.history  # which begins with the earlier one
        return _Round(last.patterns, last.factor, solution)

    def _run(
        self, program: Program, settings: Settings, factor: Factor | None, **start: Any
    ) -> Solution:
        return solve(program, settings, factor=factor, where=self.where, **start)

    def _stalled(self, before: _Round, last: _Round) -> bool:
        least = STALLED * self.settings.tol * self.at_zero
        return before.upper - last.upper <= least

    def _read(self, solution: Solution) -> None:
        """Take over the network and the dual point of a solution."""
        V, W = solution.bounds.weights()
        U, a = recover_network(V * self.size, W * self.size, self.X)
        self.U, self.a = without_negligible(U, a)
        self.theta = solution.bounds.theta

    def _limited(self, tol: float, max_iter: int) -> Settings:
        left = self.settings.max_time - (time.perf_counter() - self.begun)
        return dataclasses.replace(
            self.settings,
            tol=max(tol, self.settings.tol),
            max_iter=max_iter,
            max_time=max(left, 1e-9),
        )

    def _status(self, last: Solution) -> Status:
        """Return why all rounds ended: the last had limits of its own."""
        met = last.bounds.gap <= self.settings.tol * abs(last.bounds.upper)
        if met or not self._went_well(last):
            return last.status
        return Status.MAX_TIME if self._out_of_time() else Status.MAX_ITER

    def _may_go_on(self, last: _Round, done: int, rounds: int, found: Found) -> bool:
        more = done < rounds and self.nit < self.settings.max_iter
        improves = found.ratio > 1.0 + RATIO_TOL
        return more and improves and self._may_continue(last.solution)

    def _may_continue(self, last: Solution) -> bool:
        """Whether there is time, nobody stopped, and nothing failed."""
        return self._went_well(last) and not self._out_of_time()

    @staticmethod
    def _went_well(last: Solution) -> bool:
        ended = last.status in (Status.CONVERGED, Status.MAX_ITER)
        return ended and not last.interrupted

    def _out_of_time(self) -> bool:
        return time.perf_counter() - self.begun > self.settings.max_time


def distinct(D: NDArray[np.bool_], gates: Array) -> PatternSet:
    """Return the distinct nonzero patterns, in order of first occurrence.

    Parameters
    ----------
    D : ndarray of shape (n, P), bool
        Patterns.
    gates : ndarray of shape (d, P)
        A gate of each.

    Returns
    -------
    PatternSet
        With the one pattern of all ones if no pattern is left.
    """
    kept = np.flatnonzero(D.any(axis=0))
    if not len(kept):
        return PatternSet(np.ones((len(D), 1), dtype=bool), np.zeros((len(gates), 1)))
    keys = np.packbits(D[:, kept], axis=0)
    _, first = np.unique(keys, axis=1, return_index=True)
    order = kept[np.sort(first)]
    return PatternSet(D[:, order], gates[:, order])


def _candidates(found: Found) -> NDArray[np.intp]:
    """Return the best units of each sign that improve."""
    good = found.ratios > 1.0 + IMPROVING
    new = [np.flatnonzero(good & (found.signs == s))[:CANDIDATES] for s in (1.0, -1.0)]
    return np.concatenate(new)


def _chained(histories: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Join the histories of successive programs; iterations and time run on.

    The objective is the smallest so far, the bound that of the present program.
    """
    joined: dict[str, NDArray[Any]] = {}
    for history in histories:
        part = dict(history)
        if not joined:
            joined = part
        elif part:
            for name in ("iteration", "elapsed"):
                part[name] = part[name] + joined[name][-1]
            joined = {n: np.concatenate([joined[n], part[n]]) for n in joined}
    if joined:
        best = np.minimum.accumulate(joined["objective"])
        joined["objective"] = best
        joined["certificate"] = np.maximum(best - joined["lower_bound"], 0.0)
    return joined
