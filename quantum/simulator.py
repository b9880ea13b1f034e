"""Exact outputs, losses and gradients of a circuit on all samples at once.

Two orders give the same numbers. *Rows*: the r rows of the unitary that the readout
needs are built once, and a product with all states follows; the cost of the gates does
not depend on the number of samples. *States*: the gates act on all states. Gradients
are exact, by one walk through the gates with a state and a co-state (Jones and Gacon,
arXiv:2009.02823).
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from quantum import _kernels
from quantum._measure_losses import Loss
from quantum.circuit import GateTable
from quantum.readout import Readout

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

# A flop of a matrix product is this much cheaper than one of a gate (measured).
GEMM_ADVANTAGE = 8.0
# Largest number of doubles that evaluations at many points hold at once: 512 MiB.
_CHUNK = 2**26
# From this many points on, products of amplitudes are worth being formed (measured).
_MANY = 8


@dataclasses.dataclass(kw_only=True, eq=False)
class Simulator:
    """A circuit, its readout and the encoded samples.

    Parameters
    ----------
    table : GateTable
        Gates that act on the states.
    readout : Readout
        What is read.
    planes : ndarray of shape (2, d, N)
        Real and imaginary parts of the states.
    order : {"auto", "rows", "states"}
        How to evaluate.
    angles : ndarray of shape (n_programs, N)
        Angles that the data give gates of ``table``; then the order is "states".
    """

    table: GateTable
    readout: Readout
    planes: Array
    order: Literal["auto", "rows", "states"] = "auto"
    angles: Array | None = None
    nfev: int = 0
    njev: int = 0

    def __post_init__(self) -> None:
        _, d, N = self.planes.shape
        self.weights, basis = self.readout.diagonal
        self._basis = None if basis is None else np.ascontiguousarray(basis.conj().T)
        low = self.table.lowered
        self._ops, self._matrices = low.ops, low.matrices
        self._signs = low.transpose
        trained = self._trained = self.table.occurrences()
        self._parameters = self.table.gates[trained, 4]
        self._coefficients = self.table.angles[trained, 0]
        self._fixed = self._signs * low.fixed
        self._signed_coefficients = self._signs[trained] * self._coefficients
        # Rows with the same weight 0 need not be computed; of two complementary sets
        # of rows with weights 0 and 1 the smaller is taken.
        w = self.weights
        self._offset, self._flip = 0.0, 1.0
        self._rows = np.arange(w.shape[1])
        if len(w) == 1 and basis is None and np.isin(w[0], (0.0, 1.0)).all():
            inside = np.flatnonzero(w[0] == 1.0)
            if 2 * len(inside) > d:
                inside = np.flatnonzero(w[0] == 0.0)
                self._offset, self._flip = 1.0, -1.0
            self._rows = inside
        r, gates = len(self._rows), max(1, len(self._ops))
        if self.order == "auto":
            rows = gates * r + N * r / GEMM_ADVANTAGE
            self.order = "rows" if rows < gates * N else "states"
        if self.angles is not None and len(self.angles):
            self.order = "states"
        self._columns = (
            np.zeros((0, N))
            if self.angles is None
            else np.ascontiguousarray(self.angles)
        )
        if self.order == "rows":
            self._tall = np.ascontiguousarray(self.planes.reshape(2 * d, N).T)
            if self._basis is None:
                self._start = np.zeros((2, d, r))
                self._start[0] = np.eye(d)[:, self._rows]
            else:
                self._start = np.stack([self._basis.real.T, self._basis.imag.T])
        parts = {
            "forward": self._matrices,
            "transposed": self._matrices.swapaxes(1, 2),
            "adjoint": self._matrices.conj().swapaxes(1, 2),
            "conjugate": self._matrices.conj(),
        }
        self._parts = {
            name: (np.ascontiguousarray(U.real), np.ascontiguousarray(U.imag))
            for name, U in parts.items()
        }
        self._none = np.zeros((0, 1))

    @property
    def n_parameters(self) -> int:
        """Number of trainable parameters."""
        return self.table.n_parameters

    def with_states(self, planes: Array, angles: Array | None = None) -> Simulator:
        """Return the same circuit for other samples."""
        return Simulator(
            table=self.table, readout=self.readout, planes=planes, angles=angles
        )

    def outputs(self, theta: Array) -> Array:
        """Return the outputs (C, N): ``p_1``, or every ``p_c``, or an expectation."""
        self.nfev += 1
        if self.order == "rows":
            return self._read(self._project(self._transposed(self._signed(theta))))
        return self._read_planes(self._in_basis(self._final(theta)))

    def outputs_many(self, thetas: Array) -> Array:
        """Return the outputs (T, C, N) at several parameter vectors (T, P)."""
        T = len(thetas)
        if self.order != "rows":
            return np.array([self.outputs(theta) for theta in thetas])
        self.nfev += T
        r, N = len(self._rows), self.planes.shape[2]
        step = max(1, _CHUNK // max(1, 2 * r * max(N, 2 * self.planes.shape[1])))
        if self._has_few_products(T):
            return self._by_products(thetas, step)
        found = []
        for first in range(0, T, step):
            some = thetas[first : first + step]
            blocks = [
                _real_block(self._transposed(self._signed(theta))) for theta in some
            ]
            A = self._tall @ np.concatenate(blocks, axis=1)
            found += [self._read(part) for part in np.split(A, len(some), axis=1)]
        return np.array(found)

    def _has_few_products(self, T: int) -> bool:
        """Tell whether d^2 products a sample beat 2d x 2r entries for T points."""
        _, d, N = self.planes.shape
        pays = d < 4 * len(self._rows) and T >= _MANY and N >= d
        return self._rows_are_plain and pays and 4 * N * d * d <= _CHUNK

    def _by_products(self, thetas: Array, step: int) -> Array:
        """Return outputs as inner products ``p_i = <rho_i, W>`` of Hermitian matrices.

        Real part plus imaginary part is a real matrix that holds all of a Hermitian
        one, and keeps inner products if one of the two signs is turned.
        """
        found = []
        for first in range(0, len(thetas), step):
            some = thetas[first : first + step]
            K = np.array([self._transposed(self._signed(theta)) for theta in some])
            left = np.concatenate([K[:, 0], K[:, 1]], axis=2)
            right = np.concatenate([K[:, 0] - K[:, 1], K[:, 0] + K[:, 1]], axis=2)
            W = left @ right.swapaxes(1, 2)
            found.append(W.reshape(len(K), -1) @ self._products)
        return (self._offset + self._flip * np.concatenate(found))[:, None]

    @functools.cached_property
    def _products(self) -> Array:
        """Real part less imaginary part of all ``psi_a conj(psi_b)``, (d^2, N)."""
        u, v = self.planes
        products = u[:, None] * (u + v) + v[:, None] * (v - u)
        return products.reshape(-1, products.shape[-1])

    def value_and_gradient(
        self, theta: Array, loss: Loss, y: Integers, s: Array
    ) -> tuple[float, Array]:
        """Return the mean loss and its exact gradient (P,)."""
        return self.pullback(theta, lambda P: (
            float(s @ loss.values(P, y)), s * loss.slopes(P, y)))  # fmt: skip

    def pullback(self, theta: Array, top: Any) -> tuple[float, Array]:
        """Differentiate ``value = top(outputs)[0]``, whose slopes (C, N) top gives."""
        self.nfev += 1
        self.njev += 1
        return self._by_rows(theta, top) if self.order == "rows" else self._by_states(
            theta, top
        )  # fmt: skip

    def _by_rows(self, theta: Array, top: Any) -> tuple[float, Array]:
        signed = self._signed(theta)
        K = self._transposed(signed)
        A = self._project(K)
        value, w = top(self._read(A))
        # C[a, j] = sum_i conj(Psi_ia) w_i A_ij, in real arithmetic.
        r = len(self._rows)
        if self._rows_are_plain:
            A *= (self._flip * w[0])[:, None]
        else:
            per_row = w.T @ self.weights
            A[:, :r] *= per_row
            A[:, r:] *= per_row
        C = self._tall.T @ A
        d = self.planes.shape[1]
        Y = np.empty((2, d, r))
        np.add(C[:d, :r], C[d:, r:], out=Y[0])
        np.subtract(C[:d, r:], C[d:, :r], out=Y[1])
        slopes = np.zeros(len(self._ops))
        # Multiplying by conj(U_k) undoes the transposed gate k.
        _kernels.walk(
            K[0], K[1], Y[0], Y[1], self._ops, -signed, self._none, 1.0,
            *self._parts["conjugate"], slopes, False,
        )  # fmt: skip
        return value, self._gather(slopes * self._signs)

    def _by_states(self, theta: Array, top: Any) -> tuple[float, Array]:
        S = self._final(theta)
        T = self._in_basis(S)
        if self._rows_are_plain:
            part = T[:, self._rows]
            value, w = top(self._plain(part))
            part *= self._flip * w[0]
            Y = np.zeros_like(T)
            Y[:, self._rows] = part
        else:
            value, w = top(self._read_planes(T))
            Y = T * (self.weights.T @ w)
        if self._basis is not None:
            Y = _multiply(self._basis.conj().T, Y)
        slopes = np.zeros(len(self._ops))
        phis = self.table.phis(theta)
        _kernels.walk(
            S[0], S[1], Y[0], Y[1], self._ops, -phis, self._columns, -1.0,
            *self._parts["adjoint"], slopes, True,
        )  # fmt: skip
        return value, self._gather(slopes)

    @property
    def _rows_are_plain(self) -> bool:
        return len(self._rows) < self.weights.shape[1]

    def _gather(self, slopes: Array) -> Array:
        weights = self._coefficients * slopes[self._trained]
        return np.bincount(self._parameters, weights, minlength=self.n_parameters)

    def _signed(self, theta: Array) -> Array:
        """Angles of the transposed gates."""
        signed = self._fixed.copy()
        signed[self._trained] += self._signed_coefficients * theta[self._parameters]
        return signed

    def _transposed(self, signed: Array) -> Array:
        """Transposed rows of the unitary (2, d, r) from the angles of its gates."""
        K = self._start.copy()
        _kernels.run_gates(
            K[0], K[1], self._ops, signed, self._none,
            *self._parts["transposed"], True,
        )  # fmt: skip
        return K

    def _project(self, K: Array) -> Array:
        return self._tall @ _real_block(K)

    def _read(self, A: Array) -> Array:
        """Return the outputs (C, N) from amplitudes (N, 2r)."""
        if self._rows_are_plain:
            p = np.einsum("ij,ij->i", A, A)
            return (self._offset + self._flip * p)[None]
        r = len(self._rows)
        squares = A[:, :r] ** 2 + A[:, r:] ** 2
        return self.weights @ squares.T

    def final(self, theta: Array) -> Array:
        """Return the final states as planes (2, d, N)."""
        return self._final(theta)

    def _final(self, theta: Array) -> Array:
        S = self.planes.copy()
        _kernels.run_gates(
            S[0], S[1], self._ops, self.table.phis(theta), self._columns,
            *self._parts["forward"], False,
        )  # fmt: skip
        return S

    def _in_basis(self, S: Array) -> Array:
        return S if self._basis is None else _multiply(self._basis, S)

    def _read_planes(self, T: Array) -> Array:
        """Return the outputs (C, N) from states (2, d, N) in the basis of readout."""
        if self._rows_are_plain:
            return self._plain(T[:, self._rows])
        return self.weights @ (T[0] ** 2 + T[1] ** 2)

    def _plain(self, part: Array) -> Array:
        """Return the output (1, N) from the rows (2, r, N) that count."""
        p = np.einsum("cjn,cjn->n", part, part)
        return (self._offset + self._flip * p)[None]


def _real_block(K: Array) -> Array:
    """Write multiplication by the complex matrix K as a real one, (2d, 2r)."""
    _, d, r = K.shape
    block = np.empty((2 * d, 2 * r))
    block[:d, :r], block[:d, r:] = K[0], K[1]
    np.negative(K[1], out=block[d:, :r])
    block[d:, r:] = K[0]
    return block


def _multiply(M: NDArray[np.complex128], S: Array) -> Array:
    product = M @ (S[0] + 1j * S[1])
    return np.stack([product.real, product.imag])
