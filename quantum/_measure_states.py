"""Encoded states recomputed from the data, with a bound on their rounding errors.

The named encodings are written in closed form; any other circuit is a table of gates
whose angles are small programs on the features. Nothing here is shared with the
simulator. Qubit q is bit q of the index of an amplitude, as in Qiskit.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farkas.certificate import CertificateError, Parameter

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

EPS = float(np.finfo(np.float64).eps)

# Relative error of a rotation of one qubit in floating point, in units of EPS: two
# products and a sum of complex numbers, and the error of sine and cosine.
GATE_ERROR = 16.0

# How far the norm of a given state may be from 1.
_NORM = 1e-9

ENCODINGS = (
    "zz", "z", "rx", "ry", "rz", "dense_angle", "amplitude", "states",
    "circuit",
)  # fmt: skip


def encoded_states(
    X: Array, witness: Mapping[str, NDArray[Any]], parameters: Mapping[str, Parameter]
) -> tuple[Complex, Array]:
    """Return the states of a named encoding, shape (N, d), and their errors (N,).

    Raises
    ------
    CertificateError
        If the encoding is unknown or the data do not fit it.
    """
    name = str(parameters["encoding"])
    if X.ndim != 2 or X.shape[1] < 1 or not np.isfinite(X).all():
        raise CertificateError("X must be a finite 2-dimensional array.")
    if name in ("zz", "z"):
        return _phase_states(X, name, parameters)
    if name in ("rx", "ry", "rz", "dense_angle"):
        return _product_states(X, name)
    if name == "amplitude":
        return _amplitude_states(X)
    if name == "states":
        return _given_states(X)
    raise CertificateError(f"encoding={name!r} must be one of {ENCODINGS}.")


def number_of_qubits(name: str, m: int) -> int:
    """Return how many qubits a named encoding of m features takes."""
    if name == "dense_angle":
        return (m + 1) // 2
    if name == "amplitude":
        return max(1, math.ceil(math.log2(m)))
    if name == "states":
        return (m // 2).bit_length() - 1
    return m


def entangled_pairs(n: int, entanglement: str) -> list[tuple[int, int]]:
    """Return the pairs of qubits that the ZZ map couples.

    Raises
    ------
    CertificateError
        If the name is unknown.
    """
    chain = [(i, i + 1) for i in range(n - 1)]
    if entanglement == "full":
        return [(i, j) for i in range(n) for j in range(i + 1, n)]
    if entanglement in ("linear", "reverse_linear", "pairwise"):
        return chain
    if entanglement in ("circular", "sca"):
        return [(n - 1, 0), *chain] if n > 2 else chain
    raise CertificateError(f"entanglement={entanglement!r} is not known.")


def _phase_states(
    X: Array, name: str, parameters: Mapping[str, Parameter]
) -> tuple[Complex, Array]:
    """Hadamards and diagonal phases, ``reps`` times; arXiv:1804.11326."""
    N, n = X.shape
    reps = int(parameters["reps"])
    if not 1 <= reps <= 1000:
        raise CertificateError(f"reps={reps!r} must lie in [1, 1000].")
    pairs = entangled_pairs(n, str(parameters["entanglement"])) if name == "zz" else []
    bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1  # (d, n)
    phases = X @ (2.0 * bits.T)
    sizes = 2.0 * np.abs(X).sum(axis=1)
    for i, j in pairs:
        product = 2.0 * (math.pi - X[:, i]) * (math.pi - X[:, j])
        phases += product[:, None] * (bits[:, i] ^ bits[:, j])
        sizes += 2.0 * (math.pi + np.abs(X[:, i])) * (math.pi + np.abs(X[:, j]))
    rotation = np.exp(1j * phases)
    S = np.zeros((N, 2**n), dtype=complex)
    S[:, 0] = 1.0
    for _ in range(reps):
        S = _hadamards(S, n) * rotation
    terms = n + len(pairs) + 8
    errors = reps * EPS * (GATE_ERROR * (n + 1) + terms * sizes)
    return S, errors


def _hadamards(S: Complex, n: int) -> Complex:
    for q in range(n):
        pairs = S.reshape(len(S), -1, 2, 2**q)
        S = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]])
        S = np.moveaxis(S, 0, 2).reshape(len(pairs), -1) * math.sqrt(0.5)
    return S


def _product_states(X: Array, name: str) -> tuple[Complex, Array]:
    """One rotation a qubit, or two with ``dense_angle``."""
    N, m = X.shape
    if name == "dense_angle":
        theta = X[:, 0::2]
        phi = np.zeros_like(theta)
        phi[:, : m // 2] = X[:, 1::2]
        factors = _qubit(np.cos(theta / 2), np.sin(theta / 2), phi)
    elif name == "ry":
        factors = _qubit(np.cos(X / 2), np.sin(X / 2), np.zeros_like(X))
    else:
        half = np.full_like(X, math.sqrt(0.5))
        if name == "rx":
            factors = np.stack([np.cos(X / 2) + 0j, -1j * np.sin(X / 2)], axis=2)
        else:  # RZ after a Hadamard, since it leaves |0> alone
            factors = _qubit(half, half, X)
    S = np.ones((N, 1), dtype=complex)
    for q in range(factors.shape[1]):
        S = (factors[:, q, :, None] * S[:, None, :]).reshape(N, -1)
    errors = EPS * (GATE_ERROR * factors.shape[1] + 2.0 * np.abs(X).sum(axis=1))
    return S, errors


def _qubit(c: Array, s: Array, phi: Array) -> Complex:
    """``RZ(phi)`` applied to ``c |0> + s |1>``."""
    return np.stack([c * np.exp(-0.5j * phi), s * np.exp(0.5j * phi)], axis=2)


def _amplitude_states(X: Array) -> tuple[Complex, Array]:
    N, m = X.shape
    largest = np.abs(X).max(axis=1)
    if not (largest > 0).all():
        row = int(np.argmin(largest > 0))
        raise CertificateError(f"row {row} of X is zero and has no direction.")
    scaled = X / largest[:, None]  # so that squares neither overflow nor vanish
    S = np.zeros((N, 2 ** number_of_qubits("amplitude", m)), dtype=complex)
    S[:, :m] = scaled / np.linalg.norm(scaled, axis=1)[:, None]
    return S, np.full(N, EPS * (m + GATE_ERROR))


def _given_states(X: Array) -> tuple[Complex, Array]:
    """Real and imaginary parts in turn, as ``complex.view(float)`` gives them."""
    if X.shape[1] % 2:
        raise CertificateError("states must be pairs of real and imaginary parts.")
    S = np.ascontiguousarray(X).view(complex)
    norms = np.linalg.norm(S, axis=1)
    if not (np.abs(norms - 1.0) <= _NORM).all():
        raise CertificateError("states must have norm 1.")
    # What is meant is the state of norm 1 in this direction.
    return S, np.abs(norms - 1.0) + EPS * (X.shape[1] + GATE_ERROR)


def data_angles(
    X: Array, tape: Array, starts: NDArray[np.int64]
) -> tuple[Array, Array]:
    """Run the programs of a feature map on every row.

    Parameters
    ----------
    X : ndarray of shape (N, m)
        Data.
    tape : ndarray of shape (T, 2)
        Postfix instructions ``(code, value)``; see :data:`CODES`.
    starts : ndarray of shape (n_programs + 1,)
        Where each program begins, and where the last one ends.

    Returns
    -------
    angles, errors : ndarray of shape (n_programs, N)
        Values and bounds on their rounding errors (running error analysis; Higham,
        2002, section 3.3).

    Raises
    ------
    CertificateError
        If a program is malformed.
    """
    if tape.ndim != 2 or tape.shape[1] != 2 or starts.ndim != 1 or len(starts) < 1:
        raise CertificateError("tape must have shape (T, 2), starts shape (n + 1,).")
    if starts[0] != 0 or starts[-1] != len(tape) or (np.diff(starts) < 1).any():
        raise CertificateError("starts must increase from 0 to the length of the tape.")
    found = [_run(X, tape[a:b]) for a, b in zip(starts[:-1], starts[1:], strict=True)]
    shape = (len(found), len(X))
    values = np.array([value for value, _ in found]).reshape(shape)
    errors = np.array([error for _, error in found]).reshape(shape)
    if not (np.isfinite(values).all() and np.isfinite(errors).all()):
        raise CertificateError("an angle of the feature map is not finite.")
    return values, errors


# Instructions: push a constant, push a feature, then functions of the top of the stack.
CODES = (
    "constant", "feature", "add", "multiply", "power", "sin", "cos", "tan", "exp",
    "log", "abs", "arcsin", "arccos", "arctan", "sign", "divide", "subtract",
)  # fmt: skip


def _run(X: Array, program: Array) -> tuple[Array, Array]:
    stack: list[tuple[Array, Array]] = []
    zero = np.zeros(len(X))
    with np.errstate(all="ignore"):  # what is not finite is refused by the caller
        for code, number in program:
            if code != int(code) or not 0 <= code < len(CODES):
                raise CertificateError(f"{code!r} is not an instruction.")
            name = CODES[int(code)]
            if name == "constant":
                stack.append((zero + number, zero + EPS * abs(number)))
            elif name == "feature":
                if number != int(number) or not 0 <= number < X.shape[1]:
                    raise CertificateError(f"{number!r} is not a feature.")
                stack.append((X[:, int(number)], zero))
            elif name in _BINARY:
                if len(stack) < 2:
                    raise CertificateError("a program pops from an empty stack.")
                right, left = stack.pop(), stack.pop()
                stack.append(_binary(name, *left, *right))
            else:
                if not stack:
                    raise CertificateError("a program pops from an empty stack.")
                stack.append(_unary(name, *stack.pop()))
    if len(stack) != 1:
        raise CertificateError("a program must leave one number.")
    return stack[0]


_BINARY = ("add", "multiply", "power", "divide", "subtract")


def _binary(name: str, a: Array, da: Array, b: Array, db: Array) -> tuple[Array, Array]:
    if name == "add":
        value, error = a + b, da + db
    elif name == "subtract":
        value, error = a - b, da + db
    elif name == "multiply":
        value, error = a * b, np.abs(a) * db + np.abs(b) * da + da * db
    elif name == "divide":
        value = a / b
        room = np.maximum(np.abs(b) - db, 0.0)
        error = (da + np.abs(value) * db) / room
    else:
        if (db > 2 * EPS * np.abs(b)).any() or (b != np.round(b)).any():
            raise CertificateError("a power must have a constant integer exponent.")
        value = a**b
        reach = np.abs(a) + da
        reach = np.where(b < 0, np.maximum(np.abs(a) - da, 0.0), reach)
        error = np.abs(b) * reach ** (b - 1.0) * da
    return value, error + 4 * EPS * np.abs(value)


def _unary(name: str, a: Array, da: Array) -> tuple[Array, Array]:
    function = {"arcsin": np.arcsin, "arccos": np.arccos, "arctan": np.arctan}.get(
        name, getattr(np, name)
    )
    value = function(a)
    if name in ("sin", "cos", "abs", "arctan"):
        steep = np.ones_like(a)
    elif name == "exp":
        steep = np.exp(a + da)
    elif name == "log":
        steep = 1.0 / np.maximum(a - da, 0.0)
    elif name == "sign":
        steep = np.where(np.abs(a) > da, 0.0, math.inf)
    elif name == "tan":
        # |tan'| = 1 + tan^2 on the whole interval, if it stays clear of the poles.
        end = np.maximum(np.abs(np.tan(a - da)), np.abs(np.tan(a + da)))
        clear = np.abs(np.cos(a)) > 2 * da
        steep = np.where(clear, 1.0 + 4.0 * end**2, math.inf)
    else:
        end = np.abs(a) + da
        steep = 1.0 / np.sqrt(np.maximum(1.0 - end**2, 0.0))
    # 0 * inf: an exact argument at the end of a domain has an exact value.
    moved = np.where(da > 0, steep * da, 0.0)
    return value, moved + 4 * EPS * (np.abs(value) + EPS)
