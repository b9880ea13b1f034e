"""Fidelities and the Fubini-Study metric of a circuit, averaged over samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantum import _kernels
from quantum._measure_circuit import GENERATORS, KINDS, apply, qubits_of
from quantum.circuit import GateTable

Array = NDArray[np.float64]

# Samples over which fidelities and metric are averaged.
METRIC_BATCH = 64


def final_states(
    table: GateTable, planes: Array, theta: Array
) -> NDArray[np.complex128]:
    """Apply a circuit to states given as planes (2, d, B); return (d, B)."""
    S = np.ascontiguousarray(planes)
    if S is planes:
        S = planes.copy()
    _run(table, S, theta, slice(None))
    return S[0] + 1j * S[1]


def fidelity(table: GateTable, planes: Array, x: Array, y: Array) -> float:
    """Return the mean of ``|<psi_i(x)|psi_i(y)>|^2``.

    Parameters
    ----------
    table : GateTable
        The circuit.
    planes : ndarray of shape (2, d, B)
        States that it acts on.
    x, y : ndarray of shape (P,)
        Two weight vectors.

    Returns
    -------
    float
    """
    a, b = final_states(table, planes, x), final_states(table, planes, y)
    return float(np.mean(np.abs(np.sum(a.conj() * b, axis=0)) ** 2))


def fubini_study(table: GateTable, planes: Array, theta: Array) -> Array:
    """Return the metric ``Re(<d_k|d_l> - <d_k|psi><psi|d_l>)``, mean over samples.

    Parameters
    ----------
    table : GateTable
        The circuit.
    planes : ndarray of shape (2, d, B)
        States that it acts on; memory is P of them.
    theta : ndarray of shape (P,)
        Weights.

    Returns
    -------
    ndarray of shape (P, P)
    """
    d, B = planes.shape[1:]
    tangents = np.zeros((table.n_parameters, d, B), dtype=complex)
    S, done = planes.copy(), 0
    for g in table.occurrences():
        _run(table, S, theta, slice(done, g + 1))
        done = g + 1
        row = table.gates[g]
        moved = apply(
            S[0] + 1j * S[1], GENERATORS[KINDS[row[0]]], qubits_of(row), table.n
        )
        moved *= -0.5j * table.angles[g, 0]
        T = np.stack([moved.real, moved.imag])
        _run(table, T, theta, slice(done, None))
        tangents[row[4]] += T[0] + 1j * T[1]
    _run(table, S, theta, slice(done, None))
    psi = S[0] + 1j * S[1]
    flat = tangents.reshape(table.n_parameters, -1)
    along = np.sum(psi.conj() * tangents, axis=1)  # <psi|d_k>, (P, B)
    return (flat.conj() @ flat.T - along.conj() @ along.T).real / B


def _run(table: GateTable, S: Array, theta: Array, part: slice) -> None:
    low = table.lowered
    _kernels.run_gates(
        S[0], S[1], low.ops[part], table.phis(theta)[part], np.zeros((0, 1)),
        np.ascontiguousarray(low.matrices.real),
        np.ascontiguousarray(low.matrices.imag), False,
    )  # fmt: skip
