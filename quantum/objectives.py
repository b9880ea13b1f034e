"""The mean loss of a circuit as a function of its live weights, exact or sampled."""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantum._measure_circuit import KINDS
from quantum.export import separated
from quantum.metric import METRIC_BATCH, fidelity, fubini_study
from quantum.model import CircuitModel, merge_rows
from quantum.readout import Readout
from quantum.simulator import Simulator

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

# Circuits on a backend are simulated beside it, for the certificate, up to here.
MAX_SIMULATED = 12

# Shift rules: a rotation has one frequency; a controlled one has 1/2 and 1 and needs
# four terms (Anselmetti et al., arXiv:2104.05695).
_TWO = ((math.pi / 2, 0.5), (-math.pi / 2, -0.5))
_C1, _C2 = (
    (math.sqrt(2) + 1) / (4 * math.sqrt(2)),
    (math.sqrt(2) - 1) / (4 * math.sqrt(2)),
)
_FOUR = (
    (math.pi / 2, _C1), (-math.pi / 2, -_C1),
    (3 * math.pi / 2, -_C2), (-3 * math.pi / 2, _C2),
)  # fmt: skip


class Objective:
    """Exact mean loss.

    Parameters
    ----------
    model : CircuitModel
        The circuit.
    X : ndarray of shape (N, m)
        Data.
    y : ndarray of shape (N,)
        Class indices.
    s : ndarray of shape (N,)
        Weights.
    """

    exact = True

    def __init__(self, model: CircuitModel, X: Array, y: Integers, s: Array) -> None:
        self.model = model
        self.X, self.y, s = merge_rows(X, y, s)
        self.s = s / s.sum()
        self._find_idle()
        self.template = np.zeros(model.table.n_parameters)

    def _find_idle(self) -> None:
        self.simulator = self.model.simulator(self.X)
        self._fix(self.model.idle(self.simulator, self.y, self.s))

    def _fix(self, idle: Integers) -> None:
        self.idle = idle
        live = np.ones(self.model.table.n_parameters, dtype=bool)
        live[self.idle] = False
        self.live = np.flatnonzero(live)

    def for_run(self, start: Array, rng: np.random.Generator) -> Objective:
        """Return a copy for one run: its idle weights, and randomness of its own."""
        twin = copy.copy(self)
        twin.template = start.copy()
        return twin

    def weights(self, x: Array) -> Array:
        """Return all weights (P,) from the live ones."""
        theta = self.template.copy()
        theta[self.live] = x
        return theta

    def outputs(self, x: Array) -> Array:
        """Return the outputs (C, N)."""
        return self.simulator.outputs(self.weights(x))

    def loss_of(self, P: Array) -> float:
        """Mean loss of outputs."""
        return float(self.s @ self.model.loss.values(P, self.y))

    def value(self, x: Array) -> float:
        """Mean loss."""
        return self.loss_of(self.outputs(x))

    def values(self, _: Any, points: list[Array]) -> list[float]:
        """Mean losses at several points at once; a map in the sense of SciPy."""
        thetas = np.array([self.weights(x) for x in points])
        P = self.simulator.outputs_many(thetas)  # (T, C, N)
        T, C, N = P.shape
        flat = P.swapaxes(0, 1).reshape(C, T * N)
        losses = self.model.loss.values(flat, np.tile(self.y, T)).reshape(T, N)
        return [float(f) for f in losses @ self.s]

    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        """Mean loss and its exact gradient by the live weights."""
        f, g = self.simulator.value_and_gradient(
            self.weights(x), self.model.loss, self.y, self.s
        )
        return f, g[self.live]

    # What single optimizers need.

    def metric(self, x: Array, rng: np.random.Generator, size: int | None) -> Array:
        """Fubini-Study metric (P, P) of the live weights on a batch."""
        planes = self._batch_planes(rng, size)
        G = fubini_study(self.model.table, planes, self.weights(x))
        return G[np.ix_(self.live, self.live)]

    def fidelity(
        self, x: Array, y: Array, rng: np.random.Generator, size: int | None
    ) -> float:
        """Mean fidelity of the states at two points, on a batch."""
        planes = self._batch_planes(rng, size)
        return fidelity(self.model.table, planes, self.weights(x), self.weights(y))

    def _batch_planes(self, rng: np.random.Generator, size: int | None) -> Array:
        if self.model.reuploading:
            raise ValueError(
                "optimizers with a metric need an encoding before the circuit; choose "
                "another for feature_map='reupload'."
            )
        N, B = len(self.y), METRIC_BATCH if size is None else size
        rows = np.arange(N) if B >= N else np.sort(rng.choice(N, B, replace=False))
        return np.ascontiguousarray(self.simulator.planes[:, :, rows])

    def epoch(
        self, rng: np.random.Generator, size: int
    ) -> Iterator[Callable[[Array], tuple[float, Array]]]:
        """Yield the loss on each batch of a reshuffled pass over the samples."""
        order = rng.permutation(len(self.y))
        for first in range(0, len(order), size):
            rows = np.sort(order[first : first + size])
            yield functools.partial(self._on_rows, rows)

    def _on_rows(self, rows: Integers, x: Array) -> tuple[float, Array]:
        simulator = self.simulator
        angles = None if simulator.angles is None else simulator.angles[:, rows]
        part = Simulator(
            table=simulator.table, readout=simulator.readout, angles=angles,
            planes=np.ascontiguousarray(simulator.planes[:, :, rows]),
        )  # fmt: skip
        s = self.s[rows] / self.s[rows].sum()
        f, g = part.value_and_gradient(
            self.weights(x), self.model.loss, self.y[rows], s
        )
        return f, g[self.live]


class SampledObjective(Objective):
    """Mean loss estimated from shots, with gradients by shift rules.

    Parameters
    ----------
    model, X, y, s : object
        See :class:`Objective`.
    sampler : callable
        ``sampler(phis)`` returns estimated outputs (T, C, N) at the angles (T, n) of
        the trained gates.
    """

    exact = False

    def __init__(
        self,
        model: CircuitModel,
        X: Array,
        y: Integers,
        s: Array,
        sampler: Callable[[Array], Array] | None = None,
    ) -> None:
        super().__init__(model, X, y, s)
        self.sampler = sampler

    def _find_idle(self) -> None:
        if self.model.n <= MAX_SIMULATED:
            super()._find_idle()
        else:  # too large to look at gradients: what the structure shows
            idle = self.model.table.idle
            self._fix(idle[:0] if self.model.readout.is_observable else idle)

    def for_run(self, start: Array, rng: np.random.Generator) -> SampledObjective:
        """Return a copy for one run: its idle weights, and shots of its own."""
        twin = copy.copy(self)
        twin.template = start.copy()
        if isinstance(self.sampler, ShotSampler):
            twin.sampler = copy.copy(self.sampler)
            twin.sampler.rng = rng.spawn(1)[0]
        return twin

    def sample(self, phis: Array) -> Array:
        """Estimated outputs (T, C, N) at angles (T, n)."""
        if self.sampler is None:
            raise ValueError("there is no sampler.")
        return self.sampler(phis)

    def outputs(self, x: Array) -> Array:
        """Estimated outputs (C, N)."""
        return self.sample(self._phis(x)[None])[0]

    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        """Estimated loss and gradient by the live weights, from one batch of jobs."""
        table, phis = self.model.table, self._phis(x)
        trained = table.occurrences()
        live = np.isin(table.gates[trained, 4], self.live)
        rules = [
            (j, *term)
            for j in np.flatnonzero(live)
            for term in _rule(KINDS[table.gates[trained[j], 0]])
        ]
        points = np.tile(phis, (1 + len(rules), 1))
        for row, (j, shift, _) in enumerate(rules, start=1):
            points[row, j] += shift
        P = self.sample(points)
        w = self.s * self.model.loss.slopes(P[0], self.y)
        gradient = np.zeros(table.n_parameters)
        for (j, _, weight), shifted in zip(rules, P[1:], strict=True):
            slope = weight * float(np.sum(w * shifted))
            g = trained[j]
            gradient[table.gates[g, 4]] += table.angles[g, 0] * slope
        return self.loss_of(P[0]), gradient[self.live]

    def _phis(self, x: Array) -> Array:
        table = self.model.table
        return table.phis(self.weights(x))[table.occurrences()]


def _rule(kind: str) -> tuple[tuple[float, float], ...]:
    return _FOUR if kind in ("crx", "cry", "crz") else _TWO


class ShotSampler:
    """Shots drawn from the exact probabilities of the built-in simulator.

    Parameters
    ----------
    model : CircuitModel
        The circuit.
    X : ndarray of shape (N, m)
        Data.
    shots : int
        Shots a sample.
    rng : Generator
        Source of randomness.
    """

    def __init__(
        self, model: CircuitModel, X: Array, shots: int, rng: np.random.Generator
    ) -> None:
        whole = dataclasses.replace(model, table=separated(model.table))
        self.model, self.simulator = model, whole.simulator(X)
        self.shots, self.rng, self.n_shots = shots, rng, 0
        self.words = list(_words(whole, X)) if model.readout.is_observable else None
        self.n_outputs = 1 if model.readout.members is None else model.readout.n_classes

    def __call__(self, phis: Array) -> Array:
        """Return estimated outputs (T, C, N)."""
        if self.words is None:
            return estimates(self.counts(phis), self.model)
        total = np.zeros((len(phis), self.n_outputs, self.simulator.planes.shape[2]))
        for member, c, word in self.words:
            total[:, member] += c * self._signs(word, phis)
        return total

    def _signs(self, word: Any, phis: Array) -> Array:
        """Mean (T, N) of the signs that shots of one Pauli word give."""
        p = np.clip(0.5 + 0.5 * word.outputs_many(phis)[:, 0], 0.0, 1.0)
        self.n_shots += self.shots * p.size
        return 2.0 * self.rng.binomial(self.shots, p) / self.shots - 1.0

    def counts(self, phis: Array) -> Integers:
        """Return counted classes (T, N, K)."""
        P = self.simulator.outputs_many(phis)  # (T, C, N)
        if self.model.readout.n_classes == 2:
            P = np.concatenate([1.0 - P, P], axis=1)
        p = np.clip(np.moveaxis(P, 1, 2), 0.0, 1.0)
        p /= p.sum(axis=2, keepdims=True)
        self.n_shots += self.shots * p.shape[0] * p.shape[1]
        return self.rng.multinomial(self.shots, p)


def _words(model: CircuitModel, X: Array) -> Iterator[tuple[int, float, Any]]:
    """Yield the output, the coefficient and a simulator of each Pauli word."""
    readout = model.readout
    if readout.paulis is None or readout.coefficients is None:
        return
    members = readout.members
    if members is None:
        members = np.zeros(len(readout.paulis), dtype=np.int64)
    for member, word, c in zip(
        members, readout.paulis, readout.coefficients, strict=True
    ):
        one = Readout(
            n=readout.n, n_classes=2, paulis=word[None], coefficients=np.ones(1)
        )
        simulator = dataclasses.replace(model, readout=one).simulator(X)
        yield int(member), float(c), simulator


def estimates(counts: Integers, model: CircuitModel) -> Array:
    """Return outputs (T, C, N) estimated from counted classes (T, N, K).

    Under cross-entropy half a count is added to each class, so that no class that was
    never read has an infinite loss.
    """
    K, S = counts.shape[2], counts.sum(axis=2, keepdims=True)
    if model.loss.kind == "cross_entropy":
        p = (counts + 0.5) / (S + 0.5 * K)
    else:
        p = counts / S
    P = np.moveaxis(p, 2, 1)
    return P[:, 1:] if K == 2 else P


__all__: list[Any] = ["Objective", "SampledObjective", "ShotSampler", "estimates"]
