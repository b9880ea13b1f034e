"""Trainable circuits by name, as gate tables and as Qiskit circuits."""

from __future__ import annotations

import functools
from typing import Any

from quantum.circuit import GateTable, table_from_rows

ANSAETZE = ("efficient_su2", "real_amplitudes")
ENTANGLEMENTS = ("full", "linear", "reverse_linear", "circular", "sca", "pairwise")


@functools.lru_cache(maxsize=32)
def ansatz_table(name: str, n: int, reps: int, entanglement: str) -> GateTable:
    """Return the gates of ``efficient_su2`` or ``real_amplitudes``.

    Parameters are numbered as in ``circuit.parameters`` of Qiskit.

    Parameters
    ----------
    name : {"efficient_su2", "real_amplitudes"}
        Which circuit.
    n : int
        Number of qubits.
    reps : int
        Number of entangling blocks.
    entanglement : str
        One of ``ENTANGLEMENTS``.

    Returns
    -------
    GateTable
    """
    rotations = ("ry", "rz") if name == "efficient_su2" else ("ry",)
    rows: list[tuple[Any, ...]] = []
    k = 0
    for block in range(reps + 1):
        for gate in rotations:
            for q in range(n):
                rows.append((gate, (q,), k))
                k += 1
        if block < reps:
            rows += [("cx", pair, None) for pair in _pairs(n, entanglement, block)]
    return table_from_rows(n, rows, k)


def _pairs(n: int, entanglement: str, block: int) -> list[tuple[int, int]]:
    """Return control and target of each CX of a block, in Qiskit's order."""
    chain = [(i, i + 1) for i in range(n - 1)]
    if entanglement == "full":
        return [(i, j) for i in range(n) for j in range(i + 1, n)]
    if entanglement == "linear":
        return chain
    if entanglement == "reverse_linear":
        return chain[::-1]
    if entanglement == "pairwise":
        return chain[::2] + chain[1::2]
    ring = [(n - 1, 0), *chain] if n > 2 else chain
    if entanglement == "circular":
        return ring
    # Shifted circular alternating: the ring starts one pair earlier in each block,
    # and every other block exchanges control and target.
    shift = block % len(ring) if ring else 0
    ring = ring[len(ring) - shift :] + ring[: len(ring) - shift]
    return [(j, i) for i, j in ring] if block % 2 else ring


def ansatz_circuit(name: str, n: int, reps: int, entanglement: str) -> Any:
    """Return the same circuit as a Qiskit ``QuantumCircuit``."""
    from qiskit.circuit import library

    build = getattr(library, name)
    return build(n, reps=reps, entanglement=entanglement)
