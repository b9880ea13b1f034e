"""A circuit as flat arrays: gates, affine angles, programs of the data.

The table is what the certificate stores; :meth:`GateTable.lowered` turns it into the
instructions of the kernels.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quantum._kernels import FLIP, PHASE, ROTATION, SWAP, UNITARY
from quantum._measure_circuit import KINDS, ROTATIONS, gate_matrix, width

Array = NDArray[np.float64]

# Pauli words of the rotations: X and Z on the first and second qubit, and whether the
# first qubit controls.
_WORDS: dict[str, tuple[tuple[int, int], tuple[int, int], bool]] = {
    "rx": ((1, 0), (0, 0), False), "ry": ((1, 0), (1, 0), False),
    "rz": ((0, 0), (1, 0), False), "crx": ((0, 1), (0, 0), True),
    "cry": ((0, 1), (0, 1), True), "crz": ((0, 0), (0, 1), True),
    "rxx": ((1, 1), (0, 0), False), "ryy": ((1, 1), (1, 1), False),
    "rzz": ((0, 0), (1, 1), False), "rzx": ((0, 1), (1, 0), False),
}  # fmt: skip
_FIXED_PHASES = {"z": np.pi, "s": np.pi / 2, "sdg": -np.pi / 2, "t": np.pi / 4,
                 "tdg": -np.pi / 4, "cz": np.pi}  # fmt: skip
# Gates that are diagonal in the computational basis.
_DIAGONAL = ("z", "s", "sdg", "t", "tdg", "cz", "rz", "p", "crz", "cp", "rzz")


class Lowered(NamedTuple):
    """Instructions for the kernels; see ``_kernels``."""

    ops: NDArray[np.int64]  # (G, 7)
    matrices: NDArray[np.complex128]  # (M, 8, 8)
    fixed: Array  # (G,) angles that do not depend on anything
    transpose: Array  # (G,) sign of the angle of the transposed gate


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class GateTable:
    """Gates of a circuit of ``n`` qubits.

    Parameters
    ----------
    n : int
        Number of qubits.
    gates : ndarray of shape (G, 7)
        Kind, three qubits, parameter, program, matrix; -1 for none.
    angles : ndarray of shape (G, 2)
        Coefficient and offset of the angle.
    matrices : ndarray of shape (M, 8, 8)
        Unitaries of gates without a name.
    tape : ndarray of shape (T, 2)
        Programs of the angles that depend on data.
    starts : ndarray of shape (n_programs + 1,)
        Where each program starts.
    n_parameters : int
        Number of trainable parameters.
    """

    n: int
    gates: NDArray[np.int64]
    angles: Array
    n_parameters: int
    matrices: NDArray[np.complex128] = dataclasses.field(
        default_factory=lambda: np.empty((0, 8, 8), dtype=complex)
    )
    tape: Array = dataclasses.field(default_factory=lambda: np.empty((0, 2)))
    starts: NDArray[np.int64] = dataclasses.field(
        default_factory=lambda: np.zeros(1, dtype=np.int64)
    )

    def __add__(self, other: GateTable) -> GateTable:
        """Run ``self``, then ``other``; parameters keep their own numbers."""
        gates = other.gates.copy()
        gates[:, 5] += (len(self.starts) - 1) * (gates[:, 5] >= 0)
        gates[:, 6] += len(self.matrices) * (gates[:, 6] >= 0)
        return GateTable(
            n=self.n,
            gates=np.vstack([self.gates, gates]),
            angles=np.vstack([self.angles, other.angles]),
            matrices=np.concatenate([self.matrices, other.matrices]),
            tape=np.vstack([self.tape, other.tape]),
            starts=np.concatenate([self.starts, other.starts[1:] + len(self.tape)]),
            n_parameters=max(self.n_parameters, other.n_parameters),
        )

    def shifted(self, by: int) -> GateTable:
        """Return the same gates with all parameter numbers moved up."""
        gates = self.gates.copy()
        gates[:, 4] += by * (gates[:, 4] >= 0)
        return dataclasses.replace(
            self, gates=gates, n_parameters=self.n_parameters + by
        )

    def phis(self, theta: Array) -> Array:
        """Return the angle of every gate at parameters ``theta``, without the data."""
        low = self.lowered
        if not self.n_parameters:
            return low.fixed
        trained = self._trained
        phis = low.fixed.copy()
        phis[trained] += self.angles[trained, 0] * theta[self.gates[trained, 4]]
        return phis

    @functools.cached_property
    def _trained(self) -> NDArray[np.int64]:
        return np.flatnonzero(self.gates[:, 4] >= 0)

    @functools.cached_property
    def lowered(self) -> Lowered:
        """Instructions of the kernels."""
        return _lower(self)

    @functools.cached_property
    def idle(self) -> NDArray[np.int64]:
        """Parameters without influence on readouts in the computational basis.

        Diagonal gates after which only diagonal gates follow on their qubits change no
        probability.
        """
        live = np.zeros(self.n_parameters, dtype=bool)
        mixed = np.zeros(self.n, dtype=bool)  # is there a non-diagonal gate later on?
        for row in self.gates[::-1]:
            kind = KINDS[row[0]]
            qubits = row[1 : 1 + width(kind)]
            if kind not in _DIAGONAL:
                mixed[qubits] = True
            if row[4] >= 0 and (kind not in _DIAGONAL or mixed[qubits].any()):
                live[row[4]] = True
        return np.flatnonzero(~live)

    def occurrences(self) -> NDArray[np.int64]:
        """Return the positions of gates with a trainable angle."""
        return self._trained


def empty_table(n: int) -> GateTable:
    """Return a table without gates."""
    return GateTable(
        n=n,
        gates=np.empty((0, 7), dtype=np.int64),
        angles=np.empty((0, 2)),
        n_parameters=0,
    )


def table_from_rows(n: int, rows: list[tuple[Any, ...]], P: int) -> GateTable:
    """Build a table from rows ``(name, qubits, parameter or None)``."""
    gates = np.full((len(rows), 7), -1, dtype=np.int64)
    angles = np.zeros((len(rows), 2))
    for g, (name, qubits, parameter) in enumerate(rows):
        gates[g, 0] = KINDS.index(name)
        gates[g, 1 : 1 + len(qubits)] = qubits
        if parameter is not None:
            gates[g, 4], angles[g, 0] = parameter, 1.0
    return GateTable(n=n, gates=gates, angles=angles, n_parameters=P)


def _lower(table: GateTable) -> Lowered:
    G = len(table.gates)
    ops = np.full((G, 7), -1, dtype=np.int64)
    fixed, transpose = table.angles[:, 1].copy(), np.ones(G)
    matrices = list(table.matrices)
    for g, row in enumerate(table.gates):
        kind, qubits = KINDS[row[0]], [int(q) for q in row[1:4]]
        bits = [1 << q if q >= 0 else 0 for q in qubits]
        ops[g, 4], ops[g, 6] = row[5], row[4] >= 0
        if kind in _WORDS:
            x, z, controlled = _WORDS[kind]
            word = [sum(f * b for f, b in zip(m, bits, strict=False)) for m in (x, z)]
            ops[g, :4] = ROTATION, *word, bits[0] if controlled else 0
            if (word[0] & word[1]).bit_count() % 2:  # Y transposed is -Y
                transpose[g] = -1.0
        elif kind in ("p", "cp") or kind in _FIXED_PHASES:
            ops[g, :4] = PHASE, 0, 0, sum(bits)
            fixed[g] += _FIXED_PHASES.get(kind, 0.0)
        elif kind in ("x", "cx"):
            ops[g, :4] = FLIP, bits[1] or bits[0], 0, bits[0] if kind == "cx" else 0
        elif kind == "swap":
            ops[g, :4] = SWAP, bits[0] | bits[1], 0, 0
        else:
            ops[g, :4] = UNITARY, *qubits
            ops[g, 5] = row[6]
            if kind in ("h", "y", "sx"):
                padded = np.eye(8, dtype=complex)
                padded[:2, :2] = gate_matrix(table, g, 0.0)  # type: ignore[arg-type]
                ops[g, 5] = len(matrices)
                matrices.append(padded)
    stacked = np.array(matrices) if matrices else np.zeros((1, 8, 8), dtype=complex)
    return Lowered(ops, stacked, fixed, transpose)


def is_rotation(kind: int) -> bool:
    """Tell whether a gate of this kind has an angle."""
    return KINDS[kind] in ROTATIONS
