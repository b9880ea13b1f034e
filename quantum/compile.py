"""From a Qiskit circuit to a gate table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from quantum._measure_circuit import FIXED, ROTATIONS
from quantum.circuit import GateTable, table_from_rows
from quantum.expressions import Instructions, program_of

# Definitions are expanded at most this deep.
_DEPTH = 5
_IGNORED = ("barrier", "id", "delay", "global_phase")


def compile_circuit(circuit: Any, *, data: bool) -> GateTable:
    """Read a circuit whose parameters are all features, or all trainable.

    Parameters
    ----------
    circuit : QuantumCircuit
        Without measurements, or with final ones, which are dropped.
    data : bool
        Whether its parameters, in the order of ``circuit.parameters``, are the
        features; else they are trainable.

    Returns
    -------
    GateTable

    Raises
    ------
    ValueError
        If a gate is not unitary, not supported, or has an angle that is not affine in
        one trainable parameter.
    """
    _check_type(circuit)
    parameters = list(circuit.parameters)
    roles = {p: ("data" if data else "theta", k) for k, p in enumerate(parameters)}
    return compile_mixed(circuit, roles)


def compile_mixed(circuit: Any, roles: dict[Any, tuple[str, int]]) -> GateTable:
    """Read a circuit whose parameters are features and weights in any order.

    Parameters
    ----------
    circuit : QuantumCircuit
        The circuit.
    roles : dict
        Maps each parameter to ``("data", feature)`` or ``("theta", k)``.

    Returns
    -------
    GateTable

    Raises
    ------
    ValueError
        See :func:`compile_circuit`.
    """
    bare = circuit
    if "measure" in circuit.count_ops():
        bare = circuit.remove_final_measurements(inplace=False)
    reader = _Reader(roles)
    wires = {qubit: q for q, qubit in enumerate(bare.qubits)}
    for position, instruction in enumerate(bare.data):
        qubits = tuple(wires[q] for q in instruction.qubits)
        place = f"gate {instruction.operation.name!r} at position {position}"
        if instruction.clbits:
            raise ValueError(
                f"{place} uses classical bits; measurements inside a circuit and "
                "classical control are not supported."
            )
        reader.read(instruction.operation, qubits, place, _DEPTH)
    return reader.table(bare.num_qubits)


def _check_type(circuit: Any) -> None:
    from qiskit.circuit import QuantumCircuit

    if not isinstance(circuit, QuantumCircuit):
        raise TypeError(
            f"expected a QuantumCircuit, got {type(circuit).__name__}; a name such as "
            "'zz' or 'efficient_su2' works too."
        )


class _Reader:
    def __init__(self, roles: dict[Any, tuple[str, int]]) -> None:
        self.rows: list[tuple[Any, ...]] = []
        self.angles: list[tuple[float, float]] = []
        self.programs: list[Instructions] = []
        self.columns: list[tuple[int, int]] = []  # program, matrix
        self.matrices: list[Any] = []
        self.features = sorted(
            (p for p, (role, _) in roles.items() if role == "data"),
            key=lambda p: roles[p][1],
        )
        self.weights = {p: k for p, (role, k) in roles.items() if role == "theta"}
        self.seen: dict[tuple[tuple[int, float], ...], int] = {}

    def read(self, gate: Any, qubits: tuple[int, ...], place: str, depth: int) -> None:
        name = gate.name
        if name in _IGNORED:
            return
        if name in ("reset", "measure", "if_else", "while_loop", "for_loop",
                    "switch_case", "initialize"):  # fmt: skip
            raise ValueError(f"{place} is not unitary and is not supported.")
        plain = getattr(gate, "ctrl_state", None) in (None, 2 ** len(qubits[:-1]) - 1)
        if name in FIXED and plain:
            self._add(name, qubits)
        elif name in ROTATIONS and plain:
            self._add(name, qubits, gate.params[0], place)
        elif name == "u":  # U(t, f, l) = P(f) RY(t) P(l)
            theta, phi, lam = gate.params
            for part, angle in (("p", lam), ("ry", theta), ("p", phi)):
                self._add(part, qubits, angle, place)
        elif len(qubits) <= 3 and not _free(gate):
            self._unitary(gate, qubits, place)
        elif depth > 0 and (inner := _definition(gate, place)) is not None:
            wires = dict(zip(inner.qubits, qubits, strict=True))
            for instruction in inner.data:
                if instruction.clbits:
                    raise ValueError(f"{place} is not unitary and is not supported.")
                self.read(
                    instruction.operation,
                    tuple(wires[q] for q in instruction.qubits),
                    place,
                    depth - 1,
                )
        else:
            raise ValueError(
                f"{place} is not supported; decompose it into rotations and gates of "
                "at most 3 qubits."
            )

    def _add(
        self, name: str, qubits: tuple[int, ...], angle: Any = 0.0, place: str = ""
    ) -> None:
        weight, coefficient, offset, program = None, 0.0, 0.0, -1
        free = _parameters(angle)
        if not free:
            offset = float(angle)
        elif all(p in self.weights for p in free):
            weight, coefficient, offset = self._affine(angle, free, place)
        elif any(p in self.weights for p in free):
            raise ValueError(f"{place} mixes features and weights in one angle.")
        else:
            try:
                instructions = program_of(angle, self.features)
            except ValueError as error:
                raise ValueError(f"{place}: {error}") from None
            key = tuple(instructions)
            program = self.seen.setdefault(key, len(self.programs))
            if program == len(self.programs):
                self.programs.append(instructions)
        self.rows.append((name, qubits, weight))
        self.angles.append((coefficient, offset))
        self.columns.append((program, -1))

    def _affine(
        self, angle: Any, free: Sequence[Any], place: str
    ) -> tuple[int, float, float]:
        if len(free) > 1:
            raise ValueError(f"{place} has an angle with {len(free)} weights: {angle}.")
        (parameter,) = free
        slope = angle.gradient(parameter) if hasattr(angle, "gradient") else 1.0
        if _parameters(slope):
            raise ValueError(
                f"{place} has the angle {angle}, which is not affine in its weight."
            )
        coefficient = float(np.real(slope))
        offset = float(angle.bind({parameter: 0.0}).numeric())
        return self.weights[parameter], coefficient, offset

    def _unitary(self, gate: Any, qubits: tuple[int, ...], place: str) -> None:
        from qiskit.exceptions import QiskitError
        from qiskit.quantum_info import Operator

        try:
            matrix = Operator(gate).data
        except QiskitError as error:
            raise ValueError(f"{place} has no matrix: {error}") from None
        padded = np.eye(8, dtype=complex)
        padded[: len(matrix), : len(matrix)] = matrix
        self.rows.append((f"unitary{len(qubits)}", qubits, None))
        self.angles.append((0.0, 0.0))
        self.columns.append((-1, len(self.matrices)))
        self.matrices.append(padded)

    def table(self, n: int) -> GateTable:
        table = table_from_rows(n, self.rows, len(self.weights))
        if self.rows:
            table.angles[:] = self.angles
            table.gates[:, 5:7] = self.columns
        flat = [item for program in self.programs for item in program]
        starts = np.cumsum([0, *map(len, self.programs)]).astype(np.int64)
        matrices = np.array(self.matrices, dtype=complex).reshape(-1, 8, 8)
        return GateTable(
            n=n,
            gates=table.gates,
            angles=table.angles,
            n_parameters=table.n_parameters,
            matrices=matrices,
            tape=np.array(flat, dtype=float).reshape(-1, 2),
            starts=starts,
        )


def _definition(gate: Any, place: str) -> Any:
    """Return the circuit that a gate stands for, or None.

    Raises
    ------
    ValueError
        If the circuit is an approximation only.
    """
    from qiskit.exceptions import QiskitError

    if gate.name == "PauliEvolution" and not _commute(gate.operator):
        raise ValueError(
            f"{place} evolves under terms that do not commute, which its definition "
            "only approximates; use circuit.decompose() to choose that circuit."
        )
    try:
        return getattr(gate, "definition", None)
    except QiskitError:  # there is none before its parameters are bound
        return None


def _commute(operator: Any) -> bool:
    from qiskit.quantum_info import SparsePauliOp

    parts = operator if isinstance(operator, list) else [operator]
    terms = SparsePauliOp.sum([SparsePauliOp(part) for part in parts]).paulis
    return all(bool(terms.commutes(term).all()) for term in terms)


def _free(gate: Any) -> bool:
    return any(_parameters(value) for value in gate.params)


def _parameters(value: Any) -> list[Any]:
    found = getattr(value, "parameters", None)
    if found is None or isinstance(value, int | float | complex | np.ndarray):
        return []
    return sorted(found, key=lambda p: p.name)
