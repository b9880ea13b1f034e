"""From a gate table back to a Qiskit circuit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from quantum._measure_circuit import KINDS, ROTATIONS, qubits_of
from quantum._measure_states import CODES
from quantum.circuit import GateTable

_METHODS = {"arcsin": "arcsin", "arccos": "arccos", "arctan": "arctan"}


def table_circuit(
    table: GateTable, weights: Sequence[Any], features: Sequence[Any] = ()
) -> Any:
    """Return the table as a ``QuantumCircuit``.

    Parameters
    ----------
    table : GateTable
        The gates.
    weights : sequence
        Parameter or number for each weight.
    features : sequence
        Parameter for each feature that programs of the table read.

    Returns
    -------
    QuantumCircuit
    """
    from qiskit.circuit import QuantumCircuit
    from qiskit.circuit.library import UnitaryGate

    circuit = QuantumCircuit(table.n)
    for g, row in enumerate(table.gates):
        kind, qubits = KINDS[row[0]], qubits_of(row)
        if kind in ROTATIONS:
            angle: Any = float(table.angles[g, 1])
            if row[4] >= 0:
                angle = weights[row[4]] * float(table.angles[g, 0]) + angle
            if row[5] >= 0:
                angle = _expression(table, int(row[5]), features) + angle
            getattr(circuit, kind)(angle, *qubits)
        elif kind.startswith("unitary"):
            K = 2 ** len(qubits)
            circuit.append(UnitaryGate(table.matrices[row[6], :K, :K]), qubits)
        else:
            getattr(circuit, kind)(*qubits)
    return circuit


def _expression(table: GateTable, program: int, features: Sequence[Any]) -> Any:
    stack: list[Any] = []
    for code, value in table.tape[table.starts[program] : table.starts[program + 1]]:
        name = CODES[int(code)]
        if name == "constant":
            stack.append(float(value))
        elif name == "feature":
            stack.append(features[int(value)])
        elif name in ("add", "subtract", "multiply", "divide", "power"):
            right, left = stack.pop(), stack.pop()
            stack.append(_combined(name, left, right))
        else:
            stack.append(_applied(name, stack.pop()))
    return stack[0]


def _combined(name: str, left: Any, right: Any) -> Any:
    if name == "add":
        return left + right
    if name == "subtract":
        return left - right
    if name == "multiply":
        return left * right
    return left / right if name == "divide" else left**right


def _applied(name: str, operand: Any) -> Any:
    if isinstance(operand, float):
        return float(getattr(np, name)(operand))
    return getattr(operand, name)()


def separated(table: GateTable) -> GateTable:
    """Give every gate with a trained angle a weight of its own, in order of gates.

    The new weight is the whole angle: coefficient 1 and offset 0.
    """
    import dataclasses

    trained = table.occurrences()
    gates, angles = table.gates.copy(), table.angles.copy()
    gates[trained, 4] = np.arange(len(trained))
    angles[trained] = (1.0, 0.0)
    return dataclasses.replace(
        table, gates=gates, angles=angles, n_parameters=len(trained)
    )
