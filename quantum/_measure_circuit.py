"""A plain simulator of gate tables, one gate at a time: states, outputs, gradient.

Slow and short on purpose. It shares no code with the kernels whose results it judges.
A gate with an angle is ``exp(-i phi g / 2)`` for a Hermitian generator g, so that
``dL/dphi = Im <Lambda| g |S>`` with the state S after the gate and the co-state Lambda
(arXiv:2009.02823).
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from farkas.certificate import CertificateError

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Integers = NDArray[np.int64]

EPS = float(np.finfo(np.float64).eps)

# A gate is off by a few units: sine, cosine, and sums of up to eight products.
GATE_ERROR = 32.0

FIXED = ("h", "x", "y", "z", "s", "sdg", "t", "tdg", "sx", "cx", "cz", "swap")
ROTATIONS = (
    "rx", "ry", "rz", "p", "crx", "cry", "crz", "cp", "rxx", "ryy", "rzz", "rzx",
)  # fmt: skip
UNITARIES = ("unitary1", "unitary2", "unitary3")
KINDS = (*FIXED, *ROTATIONS, *UNITARIES)
TWO_QUBITS = (
    "cx", "cz", "swap", "crx", "cry", "crz", "cp", "rxx", "ryy", "rzz", "rzx",
    "unitary2",
)  # fmt: skip

_I, _X = np.eye(2, dtype=complex), np.array([[0, 1], [1, 0]], dtype=complex)
_Y, _Z = np.array([[0, -1j], [1j, 0]]), np.diag([1, -1]).astype(complex)
_ONE = np.diag([0, 1]).astype(complex)
PAULIS = (_I, _X, _Y, _Z)

# np.kron(second, first): the first qubit of a gate is the low bit, as in Qiskit.
GENERATORS = {
    "rx": _X, "ry": _Y, "rz": _Z, "p": -2 * _ONE,
    "crx": np.kron(_X, _ONE), "cry": np.kron(_Y, _ONE), "crz": np.kron(_Z, _ONE),
    "cp": -2 * np.kron(_ONE, _ONE), "rxx": np.kron(_X, _X), "ryy": np.kron(_Y, _Y),
    "rzz": np.kron(_Z, _Z), "rzx": np.kron(_X, _Z),
}  # fmt: skip
_FIXED = {
    "h": (_X + _Z) / np.sqrt(2), "x": _X, "y": _Y, "z": _Z, "s": np.diag([1, 1j]),
    "sdg": np.diag([1, -1j]), "t": np.diag([1, np.exp(0.25j * np.pi)]),
    "tdg": np.diag([1, np.exp(-0.25j * np.pi)]),
    "sx": 0.5 * np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]]),
    "cx": np.eye(4)[[0, 3, 2, 1]].astype(complex), "cz": np.diag([1, 1, 1, -1]) + 0j,
    "swap": np.eye(4)[[0, 2, 1, 3]].astype(complex),
}  # fmt: skip


class Circuit(NamedTuple):
    """A table of gates.

    ``gates`` (G, 7) holds kind, three qubits (-1 for none), parameter, program of the
    data, and matrix (-1 for none); ``angles`` (G, 2) coefficient and offset, so that
    ``phi = coefficient * theta[parameter] + offset + program(x)``; ``matrices``
    (M, 8, 8) unitaries in their upper left corner.
    """

    n: int
    gates: Integers
    angles: Array
    matrices: Complex


def checked_circuit(witness: Mapping[str, NDArray[Any]], n: int, P: int) -> Circuit:
    """Read and check the circuit of a witness.

    Raises
    ------
    CertificateError
        If a table has a wrong shape or names what does not exist.
    """
    gates = np.asarray(witness["gates"])
    angles = np.asarray(witness["angles"], dtype=np.float64)
    matrices = np.asarray(witness.get("matrices", np.empty((0, 8, 8))), dtype=complex)
    if gates.ndim != 2 or gates.shape[1] != 7 or gates.dtype.kind != "i":
        raise CertificateError("gates must be an integer array of shape (G, 7).")
    if angles.shape != (len(gates), 2) or not np.isfinite(angles).all():
        raise CertificateError("angles must be a finite array of shape (G, 2).")
    if matrices.ndim != 3 or matrices.shape[1:] != (8, 8):
        raise CertificateError("matrices must have shape (M, 8, 8).")
    for row in gates:
        kind, *qubits, parameter, program, matrix = (int(entry) for entry in row)
        if not 0 <= kind < len(KINDS):
            raise CertificateError(f"gate kind {kind} is not known.")
        used = qubits[: width(KINDS[kind])]
        if len(set(used)) < len(used) or not all(0 <= q < n for q in used):
            raise CertificateError(f"a gate acts on the qubits {used} of {n}.")
        rotation = KINDS[kind] in ROTATIONS
        if not -1 <= parameter < P or (not rotation and max(parameter, program) >= 0):
            raise CertificateError(f"a gate has the parameter {parameter} of {P}.")
        if KINDS[kind] in UNITARIES and not 0 <= matrix < len(matrices):
            raise CertificateError(f"a gate has the matrix {matrix}.")
    for M in matrices:
        if not np.abs(M @ M.conj().T - np.eye(8)).max() < 1e-9:  # NaN fails too
            raise CertificateError("a matrix of the circuit is not unitary.")
    return Circuit(n, gates, angles, matrices)


def width(kind: str) -> int:
    """Return the number of qubits of a gate."""
    return 3 if kind == "unitary3" else 2 if kind in TWO_QUBITS else 1


def qubits_of(row: Integers) -> tuple[int, ...]:
    """Return the qubits of a row of the table."""
    return tuple(int(q) for q in row[1 : 1 + width(KINDS[int(row[0])])])


def phi(circuit: Circuit, g: int, theta: Array, data: Array | None) -> Any:
    """Angle of gate ``g``: a number, or one number a sample."""
    coefficient, angle = circuit.angles[g]
    parameter, program = circuit.gates[g, 4:6]
    if parameter >= 0:
        angle = angle + coefficient * theta[parameter]
    if program >= 0:
        if data is None:
            raise CertificateError("a gate after the encoding depends on the data.")
        if program >= len(data):
            raise CertificateError(f"a gate has the program {program}.")
        angle = angle + data[program]
    return angle


def gate_matrix(circuit: Circuit, g: int, angle: Any) -> Complex:
    """Matrix of gate ``g``, (K, K), or (N, K, K) for one angle a sample."""
    kind = KINDS[circuit.gates[g, 0]]
    if kind in UNITARIES:
        K = 2 ** width(kind)
        return circuit.matrices[circuit.gates[g, 6], :K, :K]
    if kind in _FIXED:
        return _FIXED[kind]
    G = GENERATORS[kind]
    angle = np.asarray(angle)[..., None, None]
    if kind in ("p", "cp"):
        return np.eye(len(G)) - 0.5 * (np.exp(1j * angle) - 1.0) * G
    support = G @ G
    rest = np.eye(len(G)) - support
    return rest + np.cos(angle / 2) * support - 1j * np.sin(angle / 2) * G


def apply(S: Complex, matrix: Complex, qubits: tuple[int, ...], n: int) -> Complex:
    """Apply a gate to the columns of S, shape (d, B)."""
    B = S.shape[1]
    # Qubit q is axis n - 1 - q; the last qubit of the gate is the high bit.
    axes = [n - 1 - q for q in reversed(qubits)]
    T = np.moveaxis(S.reshape([2] * n + [B]), axes, range(len(axes)))
    shape = T.shape
    T = T.reshape(2 ** len(axes), -1, B)
    T = (
        np.einsum("bij,jrb->irb", matrix, T)
        if matrix.ndim == 3
        else np.tensordot(matrix, T, 1)
    )
    return np.moveaxis(T.reshape(shape), range(len(axes)), axes).reshape(S.shape)


def run(
    circuit: Circuit,
    S: Complex,
    theta: Array,
    span: tuple[int, int],
    data: Array | None = None,
) -> Complex:
    """Apply the gates ``span[0] <= g < span[1]`` to the columns of S."""
    for g in range(*span):
        matrix = gate_matrix(circuit, g, phi(circuit, g, theta, data))
        S = apply(S, matrix, qubits_of(circuit.gates[g]), circuit.n)
    return S


def rounding(
    circuit: Circuit,
    theta: Array,
    span: tuple[int, int],
    data: Array | None = None,
    errors: Array | None = None,
) -> Any:
    """Bound on the error of a state of norm 1 after these gates, (N,) or a number."""
    total: Any = 0.0
    for g in range(*span):
        total = total + GATE_ERROR * EPS
        parameter, program = circuit.gates[g, 4:6]
        size = abs(circuit.angles[g, 1])
        if parameter >= 0:
            size = size + abs(circuit.angles[g, 0] * theta[parameter])
        if program >= 0 and data is not None and errors is not None:
            # |g| <= 2, so that a state moves by at most the error of the angle.
            size = size + np.abs(data[program])
            total = total + errors[program]
        total = total + 2 * EPS * size
    return total


def gradient(
    circuit: Circuit,
    S: Complex,
    co: Complex,
    theta: Array,
    span: tuple[int, int],
    data: Array | None = None,
) -> tuple[Array, Array]:
    """Gradient by the parameters of the gates in ``span``, walking backwards.

    Parameters
    ----------
    circuit : Circuit
        The gates.
    S, co : ndarray of shape (d, B)
        States after the last gate, and half the derivative of the loss by their
        conjugates.
    theta : ndarray of shape (P,)
        Parameters.
    span : tuple of int
        First gate, and the one after the last.
    data : ndarray, optional
        Angles from the data.

    Returns
    -------
    gradient : ndarray of shape (P,)
    leverage : ndarray of shape (P,)
        Sum of ``|coefficient| |g|`` over the gates of each parameter: how much an error
        of the states weighs.
    """
    result, leverage = np.zeros(len(theta)), np.zeros(len(theta))
    for g in reversed(range(*span)):
        qubits, parameter = qubits_of(circuit.gates[g]), circuit.gates[g, 4]
        if parameter >= 0:
            G = GENERATORS[KINDS[circuit.gates[g, 0]]]
            coefficient = circuit.angles[g, 0]
            slope = np.vdot(co, apply(S, G, qubits, circuit.n)).imag
            result[parameter] += coefficient * slope
            leverage[parameter] += abs(coefficient) * np.abs(G).max()
        matrix = gate_matrix(circuit, g, phi(circuit, g, theta, data))
        inverse = np.conj(np.swapaxes(matrix, -1, -2))
        S = apply(S, inverse, qubits, circuit.n)
        co = apply(co, inverse, qubits, circuit.n)
    return result, leverage


def pulled_back(
    circuit: Circuit, co: Complex, theta: Array, span: tuple[int, int]
) -> Complex:
    """Undo the gates of ``span``, last gate first."""
    for g in reversed(range(*span)):
        matrix = gate_matrix(circuit, g, phi(circuit, g, theta, None))
        co = apply(co, matrix.conj().T, qubits_of(circuit.gates[g]), circuit.n)
    return co


def apply_paulis(
    S: Complex, paulis: NDArray[Any], coefficients: Array, n: int
) -> Complex:
    """Apply ``sum_t c_t P_t``; ``paulis[t, q]`` is 0, 1, 2, 3 for I, X, Y, Z."""
    total = np.zeros_like(S)
    for word, coefficient in zip(paulis, coefficients, strict=True):
        T = S
        for q in np.flatnonzero(word):
            T = apply(T, PAULIS[int(word[q])], (int(q),), n)
        total += coefficient * T
    return total


@functools.cache
def popcounts(n: int) -> Integers:
    """Return the number of ones of every bit string of length n."""
    return np.array([bin(b).count("1") for b in range(2**n)])
