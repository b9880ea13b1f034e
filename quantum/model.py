"""A classifier circuit: encoding, ansatz, readout and loss, ready to be evaluated."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantum._measure_losses import Loss
from quantum.circuit import GateTable
from quantum.encodings import Encoding
from quantum.readout import Readout
from quantum.simulator import Simulator

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

# States of more samples than fit into this many bytes are processed in blocks.
MAX_MEMORY = 2**30
# Encoded states, final states, co-states and what the gates need in between.
_COPIES = 4


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CircuitModel:
    """Everything about a variational classifier except its weights.

    Parameters
    ----------
    encoding : Encoding
        How rows of X become states; of a re-uploading model, only its first layer.
    table : GateTable
        Trainable gates; with ``reuploading`` the whole circuit, data gates included.
    readout : Readout
        How outputs follow from final states.
    loss : Loss
        Of the outputs.
    reuploading : bool
        Whether ``table`` starts from the zero state and depends on the data.
    device : {"auto", "cpu", "cuda"}
        Where the simulator runs; "auto" is the CPU.
    """

    encoding: Encoding
    table: GateTable
    readout: Readout
    loss: Loss
    reuploading: bool = False
    device: str = "auto"

    @property
    def n(self) -> int:
        """Number of qubits."""
        return self.table.n

    @functools.cached_property
    def split(self) -> int:
        """Number of gates up to the last one that depends on the data."""
        if not self.reuploading:
            return 0
        return int(np.flatnonzero(self.table.gates[:, 5] >= 0)[-1]) + 1

    def simulator(self, X: Array) -> Any:
        """Return the exact simulator of the rows of X."""
        if self.device == "cuda":
            return self._on_device(X)
        if len(X) > (rows := self.rows_at_once()):
            return BlockSimulator(self, X, rows)
        if not self.reuploading:
            planes = self.encoding.planes(X)
            return Simulator(table=self.table, readout=self.readout, planes=planes)
        planes = np.zeros((2, 2**self.n, len(X)))
        planes[0, 0] = 1.0
        whole = dataclasses.replace(self.encoding, table=self.table, name="circuit")
        return Simulator(
            table=self.table, readout=self.readout, planes=planes,
            angles=whole.angles(X),
        )  # fmt: skip

    def rows_at_once(self) -> int:
        """Return how many rows fit into ``MAX_MEMORY``, with their working copies."""
        return max(1, MAX_MEMORY // (_COPIES * 16 * 2**self.n))

    def _on_device(self, X: Array) -> Any:
        from farkas.backend import get_namespace
        from quantum._array import ArraySimulator

        xp, device = get_namespace(device=self.device)
        return ArraySimulator(
            xp, device, self.table, self.readout, self.encoding.planes(X)
        )

    def outputs(self, X: Array, theta: Array) -> Array:
        """Return the exact outputs (C, N)."""
        return self.simulator(X).outputs(theta)

    def probabilities(self, outputs: Array) -> Array:
        """Return class probabilities (N, K) from outputs of an interpretation."""
        if self.readout.n_classes == 2:
            p = np.clip(outputs[0], 0.0, 1.0)
            return np.column_stack([1.0 - p, p])
        p = np.clip(outputs.T, 0.0, 1.0)
        return p / p.sum(axis=1, keepdims=True)

    def encoded(self, X: Array, theta: Array) -> NDArray[np.complex128]:
        """Return the states (N, d) on which the free part of the circuit acts."""
        if not self.reuploading:
            return self.encoding.states(X)
        gates = self.table.gates[: self.split]
        prefix = dataclasses.replace(
            self.table, gates=gates, angles=self.table.angles[: self.split]
        )
        partial = dataclasses.replace(self, table=prefix)
        planes = partial.simulator(X).final(theta)
        return np.ascontiguousarray((planes[0] + 1j * planes[1]).T)

    def idle(self, simulator: Simulator, y: Integers, s: Array) -> Integers:
        """Return the parameters that change no output.

        Those behind which only diagonal gates follow are found by structure, others by
        a gradient that vanishes at three random points.
        """
        found = np.zeros(self.table.n_parameters, dtype=bool)
        if not self.readout.is_observable:
            found[self.table.idle] = True
        rng = np.random.default_rng(0)  # fixed: whether a gradient vanishes is no luck
        largest = np.zeros(self.table.n_parameters)
        for _ in range(_PROBES):
            theta = rng.uniform(-np.pi, np.pi, self.table.n_parameters)
            _, g = simulator.value_and_gradient(theta, self.loss, y, s)
            largest = np.maximum(largest, np.abs(g))
            idle = found | (largest < _VANISHING)
            if np.array_equal(idle, found):  # no further one is left to doubt
                break
        return np.flatnonzero(idle)


_PROBES, _VANISHING = 3, 1e-12


class BlockSimulator:
    """Simulator of more rows than fit into memory: encodes them anew, in blocks.

    Parameters
    ----------
    model : CircuitModel
        The circuit.
    X : ndarray of shape (N, m)
        Data.
    rows : int
        Rows in a block.
    """

    def __init__(self, model: CircuitModel, X: Array, rows: int) -> None:
        self.model, self.X, self.rows = model, X, rows
        self.nfev = self.njev = 0

    def _blocks(self) -> Iterator[tuple[slice, Any]]:
        for first in range(0, len(self.X), self.rows):
            part = slice(first, first + self.rows)
            yield part, self.model.simulator(self.X[part])

    def outputs(self, theta: Array) -> Array:
        """Return the outputs (C, N)."""
        self.nfev += 1
        found = [simulator.outputs(theta) for _, simulator in self._blocks()]
        return np.concatenate(found, axis=1)

    def outputs_many(self, thetas: Array) -> Array:
        """Return the outputs (T, C, N) at several parameter vectors (T, P)."""
        self.nfev += len(thetas)
        found = [simulator.outputs_many(thetas) for _, simulator in self._blocks()]
        return np.concatenate(found, axis=2)

    def value_and_gradient(
        self, theta: Array, loss: Loss, y: Integers, s: Array
    ) -> tuple[float, Array]:
        """Return the mean loss and its exact gradient (P,)."""
        self.nfev += 1
        self.njev += 1
        value, gradient = 0.0, np.zeros(self.model.table.n_parameters)
        for part, simulator in self._blocks():
            f, g = simulator.value_and_gradient(theta, loss, y[part], s[part])
            value, gradient = value + f, gradient + g
        return value, gradient

    @property
    def planes(self) -> Array:
        """Refuse what needs all states at once."""
        raise ValueError(
            f"the states of {len(self.X)} rows on {self.model.n} qubits exceed "
            f"{MAX_MEMORY / 2**30:g} GiB; choose an optimizer without batches and "
            "metric."
        )


def merge_rows(X: Array, y: Integers, s: Array) -> tuple[Array, Integers, Array]:
    """Drop rows of weight zero and merge equal ones, in a fixed order.

    A repeated row and a row of twice the weight then give the same bits, and so does
    any order of the rows.
    """
    keep = s > 0
    X, y, s = X[keep], y[keep], s[keep]
    order = np.lexsort((*X.T, y))
    X, y, s = X[order], y[order], s[order]
    new = np.ones(len(y), dtype=bool)
    new[1:] = (X[1:] != X[:-1]).any(axis=1) | (y[1:] != y[:-1])
    starts = np.flatnonzero(new)
    return np.ascontiguousarray(X[starts]), y[starts], np.add.reduceat(s, starts)


def effect_matrix(model: CircuitModel, theta: Array) -> NDArray[np.complex128]:
    """Return ``U^H E U`` of the last output, (d, d).

    Parameters
    ----------
    model : CircuitModel
        The circuit; of a re-uploading model only what follows the last data gate.
    theta : ndarray of shape (P,)
        Weights.

    Returns
    -------
    ndarray of shape (d, d)
    """
    d, first = 2**model.n, model.split
    free = dataclasses.replace(
        model.table, gates=model.table.gates[first:], angles=model.table.angles[first:]
    )
    identity = np.stack([np.eye(d), np.zeros((d, d))])
    simulator = Simulator(table=free, readout=model.readout, planes=identity)
    S = simulator.final(theta)
    U = S[0] + 1j * S[1]
    weights, basis = model.readout.diagonal
    if basis is not None:
        U = basis.conj().T @ U
    return (U.conj().T * weights[-1]) @ U
