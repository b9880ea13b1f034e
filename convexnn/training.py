"""Train one network for each output: on sampled, refined or robust patterns."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexnn.admm import factorize
from convexnn.driver import solve
from convexnn.patterns import (
    PatternSet,
    draw_patterns,
    enumerate_patterns,
    pattern_of,
)
from convexnn.program import Program, Settings, as_patterns
from convexnn.refine import FIRST_PATTERNS, Refined, distinct, refine
from convexnn.robust.admm import factorize_robust
from convexnn.robust.patterns import sample_robust_patterns
from convexnn.robust.program import RobustProgram
from convexnn.robust.programs import solve_by_cvxpy, solve_program
from convexnn.scale._array import Place
from farkas.parallel import seed_sequence

Array = NDArray[np.float64]

SAMPLERS = ("gaussian", "data", "sparse")

# Calls a function for every output, with its index, the controls, and whether the fit
# is to go on: after an interrupt, what remains is to be cut short. The patterns, where
# all outputs share them, are for those who watch.
ForEach = Callable[
    [Callable[[int, Settings, bool], Refined], PatternSet | None], list[Refined]
]


@dataclasses.dataclass(frozen=True, eq=False)
class Earlier:
    """Patterns of an earlier fit on the new data, and its weights."""

    patterns: PatternSet
    members: list[NDArray[np.intp]]
    weights: list[tuple[Array, Array]]

    def own(self, c: int) -> tuple[PatternSet, tuple[Array, Array]]:
        """Return the patterns of one output, and its weights on them."""
        own = self.members[c]
        patterns = PatternSet(self.patterns.D[:, own], self.patterns.gates[:, own])
        return patterns, self.weights[c]

    def spread(self, c: int) -> tuple[Array, ...]:
        """Return the weights of one output on the patterns of all."""
        shape = self.patterns.gates.shape
        blocks = []
        for part in self.weights[c]:
            if part.size:
                blocks.append(np.zeros(shape))
                blocks[-1][:, self.members[c]] = part
        return tuple(blocks)


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """One solution for each output, and the patterns of all of them."""

    outputs: list[Refined]
    patterns: PatternSet
    members: list[NDArray[np.intp]] | None  # None: every output has all patterns

    @property
    def ratio(self) -> float:
        """Largest ratio of the last searches; NaN if there was none."""
        return max((part.ratio for part in self.outputs), default=math.nan)


@dataclasses.dataclass(frozen=True, eq=False)
class Training:
    """What is to be trained, and how.

    Parameters
    ----------
    data : ndarray of shape (n, d)
        Data with the intercept column.
    columns : list of ndarray of shape (n,)
        Encoded targets of each output.
    alpha, loss, activation, patterns, n_patterns, refine, init, random_state
        As in the estimators.
    eps : ndarray of shape (d,)
        Radius of each column; all zero: not robust.
    settings : Settings
        Controls of the solver.
    where : Place
        Where programs that are not robust are solved.
    """

    data: Array
    columns: list[Array]
    alpha: float
    loss: str
    activation: str
    patterns: Any
    n_patterns: int
    refine: int
    init: str
    eps: Array
    random_state: Any
    settings: Settings
    where: Place

    def run(self, for_each: ForEach, earlier: Earlier | None) -> Trained:
        """Train all outputs, starting from an earlier fit if there is one."""
        sampled = isinstance(self.patterns, str) and self.patterns != "all"
        if self.eps.any():
            return self._on_robust_patterns(for_each, earlier)
        if sampled and self.refine > 0 and self.activation == "relu":
            return self._on_refined_patterns(for_each, earlier)
        return self._on_given_patterns(for_each, earlier)

    def make_patterns(self) -> PatternSet:
        """Sample, enumerate or check the patterns."""
        if not isinstance(self.patterns, str):
            return as_patterns(self.patterns, self.data)
        if self.patterns == "all":
            return enumerate_patterns(self.data)
        if self.eps.any():
            return sample_robust_patterns(
                self.data,
                self.n_patterns,
                eps=self.eps,
                random_state=self.random_state,
            )
        targets = np.stack(self.columns, axis=1)
        single = targets.shape[1] == 1
        return draw_patterns(
            self.data,
            self.n_patterns,
            method=self.patterns,
            y=targets[:, 0] if single else np.argmax(targets, axis=1),
            random_state=self.random_state,
        )

    def gated_patterns(self) -> PatternSet:
        """Make the patterns, and insist on gates."""
        patterns = self.make_patterns()
        if not patterns.gates.any():
            raise ValueError(
                "patterns without gates cannot predict with activation='gated'; pass a "
                "PatternSet or the name of a sampling method."
            )
        return patterns

    def _on_given_patterns(self, for_each: ForEach, earlier: Earlier | None) -> Trained:
        """Solve one program for each output, all on the same patterns."""
        if earlier is not None:
            patterns = earlier.patterns
        elif self.activation == "gated":
            patterns = self.gated_patterns()
        else:
            patterns = self.make_patterns()
        factor = None
        if self.where.has_kernels and self.settings.u_update != "rbcd":
            factor = factorize(self.data, patterns.D, self.activation)

        def solve_one(c: int, settings: Settings, go_on: bool) -> Refined:
            start = None if earlier is None else earlier.spread(c)
            program = self._program(c, patterns)
            solution = solve(
                program, settings, x0=start, factor=factor, where=self.where
            )
            return Refined(patterns, solution, math.nan)

        return Trained(for_each(solve_one, patterns), patterns, None)

    def _on_robust_patterns(
        self, for_each: ForEach, earlier: Earlier | None
    ) -> Trained:
        """Solve one robust program for each output, all on the same patterns."""
        patterns = self.make_patterns() if earlier is None else earlier.patterns
        by_cvxpy = self.settings.solver == "cvxpy"
        factor = None
        if not by_cvxpy:
            factor = factorize_robust(self.data, self.eps, patterns.D)

        def solve_one(c: int, settings: Settings, go_on: bool) -> Refined:
            program = RobustProgram(**vars(self._program(c, patterns)), eps=self.eps)
            if by_cvxpy:
                return Refined(patterns, solve_by_cvxpy(program, settings), math.nan)
            start = None if earlier is None else earlier.spread(c)
            solution = solve_program(program, settings, x0=start, factor=factor)
            return Refined(patterns, solution, math.nan)

        return Trained(for_each(solve_one, patterns), patterns, None)

    def _on_refined_patterns(
        self, for_each: ForEach, earlier: Earlier | None
    ) -> Trained:
        """Solve one program for each output, each on patterns of its own."""
        seeds = seed_sequence(self.random_state).spawn(len(self.columns))
        first = PatternSet(np.ones((len(self.data), 1), bool), self.data[:1].T)
        if earlier is None and self.init == "gaussian":
            drawn = self.make_patterns()
            kept = slice(0, FIRST_PATTERNS)
            first = PatternSet(drawn.D[:, kept], drawn.gates[:, kept])

        def refine_one(c: int, settings: Settings, go_on: bool) -> Refined:
            patterns, start = (first, None) if earlier is None else earlier.own(c)
            return refine(
                self._program(c, patterns),
                settings,
                rounds=self.refine if go_on else 0,
                n_starts=self.n_patterns,
                seed=seeds[c],
                init=self.init,
                start=start,
                where=self.where,
            )

        outputs = for_each(refine_one, None)
        parts = [part.patterns for part in outputs]
        patterns = distinct(
            np.concatenate([part.D for part in parts], axis=1),
            np.concatenate([part.gates for part in parts], axis=1),
        )
        place = {key: i for i, key in enumerate(_keys(patterns.D))}
        members = [np.array([place[key] for key in _keys(p.D)]) for p in parts]
        return Trained(outputs, patterns, members)

    def _program(self, c: int, patterns: PatternSet) -> Program:
        return Program(
            self.data,
            self.columns[c],
            patterns,
            self.alpha,
            self.loss,
            self.activation,
        )


def earlier_fit(
    data: Array,
    patterns: PatternSet,
    members: list[NDArray[np.intp]] | None,
    weights: list[tuple[Array, Array]],
) -> Earlier | None:
    """Return an earlier fit on new data, or None if it has no gates for them.

    Parameters
    ----------
    data : ndarray of shape (n, d)
        New data.
    patterns : PatternSet
        Patterns of the earlier fit.
    members : list of ndarray of int, or None
        Those of each output among them.
    weights : list of tuple of ndarray
        Blocks of each output.

    Returns
    -------
    Earlier or None
    """
    if patterns.gates.shape[0] != data.shape[1] or not patterns.gates.any():
        return None
    if members is None:
        members = [np.arange(len(patterns))] * len(weights)
    D = pattern_of(data, patterns.gates)
    return Earlier(PatternSet(D, patterns.gates), members, weights)


def _keys(D: NDArray[np.bool_]) -> list[bytes]:
    return [column.tobytes() for column in np.packbits(D, axis=0).T]
