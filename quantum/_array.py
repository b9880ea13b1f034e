"""The simulator in array-API style, for devices: the same numbers as the kernels.

Gates are small matrices made on the host and moved in one array; states stay on the
device, and only outputs (C, N) and the gradient (P,) come back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farkas.backend import asnumpy, to_device
from quantum._measure_circuit import GENERATORS, KINDS, gate_matrix, qubits_of
from quantum._measure_losses import Loss
from quantum.circuit import GateTable
from quantum.readout import Readout

Array = NDArray[np.float64]


class ArraySimulator:
    """Exact outputs and gradients on any device of the array API.

    Parameters
    ----------
    xp : module
        Namespace, from ``farkas.backend.get_namespace``.
    device : object
        Device of that namespace.
    table : GateTable
        Gates without angles from the data.
    readout : Readout
        What is read.
    planes : ndarray of shape (2, d, N)
        Real and imaginary parts of the encoded states, on the host.

    Raises
    ------
    ValueError
        If a gate depends on the data.
    """

    angles = None

    def __init__(
        self, xp: Any, device: Any, table: GateTable, readout: Readout, planes: Array
    ) -> None:
        if (table.gates[:, 5] >= 0).any():
            raise ValueError(
                "a circuit whose gates depend on the data runs on the CPU; use "
                "device='cpu' for feature_map='reupload'."
            )
        self.xp, self.device, self.table, self.readout = xp, device, table, readout
        self.planes = planes
        self.nfev = self.njev = 0
        weights, basis = readout.diagonal
        self._weights_host = weights
        self._states = self._move(planes[0] + 1j * planes[1])  # (d, N)
        self._weights = self._move(weights + 0j)
        self._basis = None if basis is None else self._move(basis.conj().T)
        d, N = self._states.shape
        # As on the host: with many samples the unitary itself is built.
        self._identity = (
            xp.eye(d, dtype=xp.complex128, device=device) if N > d else None
        )

    @property
    def n_parameters(self) -> int:
        """Number of trainable parameters."""
        return self.table.n_parameters

    def outputs(self, theta: Array) -> Array:
        """Return the outputs (C, N), on the host."""
        self.nfev += 1
        S, _ = self._final(theta)
        return self._read(S)

    def outputs_many(self, thetas: Array) -> Array:
        """Return the outputs (T, C, N) at several parameter vectors (T, P)."""
        return np.array([self.outputs(theta) for theta in thetas])

    def value_and_gradient(
        self, theta: Array, loss: Loss, y: NDArray[np.int64], s: Array
    ) -> tuple[float, Array]:
        """Return the mean loss and its exact gradient (P,), on the host."""
        return self.pullback(
            theta,
            lambda P: (float(s @ loss.values(P, y)), s * loss.slopes(P, y)),
        )

    def pullback(
        self, theta: Array, top: Callable[[Array], tuple[float, Array]]
    ) -> tuple[float, Array]:
        """Differentiate ``value = top(outputs)[0]``, whose slopes (C, N) top gives."""
        self.nfev += 1
        self.njev += 1
        xp = self.xp
        S, U = self._final(theta)
        value, w = top(self._read(S))
        T = S if self._basis is None else self._basis @ S
        Y = T * (xp.matrix_transpose(self._weights) @ self._move(w + 0j))
        if self._basis is not None:
            Y = self._adjoint(self._basis) @ Y
        if U is not None:  # all samples at once, see quantum._measure
            S, Y = U, Y @ self._adjoint(self._states)
        slopes = []
        inverses = self._matrices(theta, inverse=True)
        for g in range(len(self.table.gates) - 1, -1, -1):
            row = self.table.gates[g]
            qubits = qubits_of(row)
            if row[4] >= 0:
                G = self._move(GENERATORS[KINDS[row[0]]])
                moved = self._apply(S, G, qubits)
                slopes.append((g, xp.sum(xp.imag(xp.conj(Y) * moved))))
            S = self._apply(S, inverses[g], qubits)
            Y = self._apply(Y, inverses[g], qubits)
        gradient = np.zeros(self.n_parameters)
        if slopes:
            stacked = asnumpy(xp.stack([value for _, value in slopes]))
            for (g, _), slope in zip(slopes, stacked, strict=True):
                k = self.table.gates[g, 4]
                gradient[k] += self.table.angles[g, 0] * slope
        return value, gradient

    def final(self, theta: Array) -> Array:
        """Return the final states as planes (2, d, N), on the host."""
        S = asnumpy(self._final(theta)[0])
        return np.stack([S.real, S.imag])

    def _final(self, theta: Array) -> tuple[Any, Any]:
        S = self._states if self._identity is None else self._identity
        matrices = self._matrices(theta, inverse=False)
        for g, row in enumerate(self.table.gates):
            S = self._apply(S, matrices[g], qubits_of(row))
        return (S, None) if self._identity is None else (S @ self._states, S)

    def _read(self, S: Any) -> Array:
        xp = self.xp
        T = S if self._basis is None else self._basis @ S
        squares = xp.real(T) ** 2 + xp.imag(T) ** 2
        found: Array = asnumpy(xp.real(self._weights) @ squares)
        return found

    def _matrices(self, theta: Array, *, inverse: bool) -> list[Any]:
        """Matrices of all gates on the device, moved in one array."""
        table, phis = self.table, self.table.phis(theta)
        padded = np.zeros((len(table.gates), 8, 8), dtype=complex)
        widths = []
        for g in range(len(table.gates)):
            M = gate_matrix(table, g, phis[g])  # type: ignore[arg-type]
            widths.append(len(M))
            padded[g, : len(M), : len(M)] = M.conj().T if inverse else M
        moved = self._move(padded)
        return [moved[g, :K, :K] for g, K in enumerate(widths)]

    def _apply(self, S: Any, matrix: Any, qubits: tuple[int, ...]) -> Any:
        xp, n, B = self.xp, self.table.n, S.shape[1]
        front = [n - 1 - q for q in reversed(qubits)]
        order = [*front, *(a for a in range(n + 1) if a not in front)]
        T = xp.permute_dims(xp.reshape(S, (2,) * n + (B,)), tuple(order))
        shape = T.shape
        T = matrix @ xp.reshape(T, (2 ** len(qubits), -1))
        back = tuple(int(a) for a in np.argsort(order))
        return xp.reshape(xp.permute_dims(xp.reshape(T, shape), back), S.shape)

    def _adjoint(self, A: Any) -> Any:
        return self.xp.conj(self.xp.matrix_transpose(A))

    def _move(self, a: Any) -> Any:
        return to_device(np.ascontiguousarray(a), self.xp, self.device)
