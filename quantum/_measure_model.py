"""What both certificates read from a witness: states, labels, readout."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from farkas.certificate import CertificateError, Parameter
from quantum._measure_bounds import (
    EPS,
    Interval,
    Spectrum,
    compressed,
    in_basis,
    orbit_minimum,
    spectrum_with_radius,
    weighted_gram,
)
from quantum._measure_circuit import (
    Circuit,
    apply_paulis,
    checked_circuit,
    rounding,
    run,
)
from quantum._measure_losses import Loss
from quantum._measure_states import data_angles, encoded_states, number_of_qubits

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Integers = NDArray[np.int64]
# The spectrum of the effect, or the interval that holds it.
Target = Spectrum | Interval
PROBABILITIES = Interval(0.0, 1.0)
Witness = Mapping[str, NDArray[Any]]
Parameters = Mapping[str, Parameter]

# Largest number of qubits whose states are recomputed here: 2^20 amplitudes a sample.
MAX_QUBITS = 20

# A sum of normalised weights may be off by this much.
_SUM = 1e-9


class Encoded(NamedTuple):
    """States before the free part of the circuit, and what produced them."""

    states: Complex  # (N, d)
    errors: Array  # (N,)
    circuit: Circuit
    data: Array | None  # angles from the data, (n_programs, N)
    data_errors: Array | None
    split: int  # gates before it belong to the encoding


class Readout(NamedTuple):
    """How outputs follow from the final states: diagonal effects or Pauli words."""

    effects: Array  # (C, d)
    paulis: NDArray[Any] | None = None
    coefficients: Array | None = None
    members: NDArray[Any] | None = None  # which observable a word belongs to

    def _observables(self) -> list[tuple[NDArray[Any], Array]]:
        """Words and coefficients of each observable; there are none of effects."""
        if self.paulis is None or self.coefficients is None:
            return []
        if self.members is None:
            return [(self.paulis, self.coefficients)]
        rows = [self.members == c for c in range(int(self.members.max()) + 1)]
        return [(self.paulis[mine], self.coefficients[mine]) for mine in rows]

    def apply(self, S: Complex, weights: Array, n: int) -> Complex:
        """``sum_c weights[c, i] E_c`` applied to the columns of S."""
        if self.paulis is None:
            return S * (self.effects.T @ weights)
        total = np.zeros_like(S)
        for (words, c), w in zip(self._observables(), weights, strict=True):
            total += apply_paulis(S, words, c, n) * w
        return total

    def outputs(self, S: Complex, n: int) -> Array:
        """Return the outputs (C, N) of final states (d, N)."""
        if self.paulis is None:
            return self.effects @ (S.real**2 + S.imag**2)
        bra = S.conj()
        return np.stack(
            [
                np.sum(bra * apply_paulis(S, words, c, n), axis=0).real
                for words, c in self._observables()
            ]
        )

    def size(self) -> float:
        """Bound on the norm of each effect."""
        if self.paulis is not None:
            return max(float(np.abs(c).sum()) for _, c in self._observables())
        return max(1.0, float(np.abs(self.effects).max()))

    def target(self, n: int, scope: str) -> Target:
        """Return what the free part of the circuit leaves unchanged, in a scope."""
        spectrum = self.spectrum(n)
        if scope == "readout":
            return spectrum
        if self.paulis is None:
            return PROBABILITIES
        low, high = spectrum.values.min(), spectrum.values.max()
        return Interval(float(low) - spectrum.radius, float(high) + spectrum.radius)

    def spectrum(self, n: int) -> Spectrum:
        """Eigenvalues of the (first) effect."""
        if self.paulis is None or self.coefficients is None:
            return Spectrum(self.effects[0], 8 * n * EPS)
        if len(self.paulis) == 1:
            c, half = float(self.coefficients[0]), 2 ** (n - 1)
            if not self.paulis[0].any():
                return Spectrum(np.full(2**n, c))
            return Spectrum(np.repeat([c, -c], half))
        identity = np.eye(2**n, dtype=complex)
        O = apply_paulis(identity, self.paulis, self.coefficients, n)  # noqa: E741
        values, radius, _ = spectrum_with_radius(O, EPS * self.size() * 8 * n)
        return Spectrum(values, float(radius.max()))


def encode(X: Array, theta: Array, witness: Witness, parameters: Parameters) -> Encoded:
    """Recompute the states on which the free part of the circuit acts.

    Raises
    ------
    CertificateError
        If the witness does not describe a circuit that fits the data.
    """
    n, split = int(parameters["n_qubits"]), int(parameters.get("split", 0))
    if not 1 <= n <= MAX_QUBITS:
        raise CertificateError(f"n_qubits={n} must lie in [1, {MAX_QUBITS}].")
    if "gates" in witness:
        circuit = checked_circuit(witness, n, len(theta))
    else:
        circuit = Circuit(
            n, np.empty((0, 7), dtype=np.int64), np.empty((0, 2)), np.empty((0, 8, 8))
        )
    if not 0 <= split <= len(circuit.gates):
        raise CertificateError(f"split={split} must be a position in the circuit.")
    data = data_errors = None
    if str(parameters["encoding"]) == "circuit":
        if X.ndim != 2 or not np.isfinite(X).all():
            raise CertificateError("X must be a finite 2-dimensional array.")
        tape = np.asarray(witness["tape"], dtype=np.float64)
        data, data_errors = data_angles(X, tape, np.asarray(witness["starts"]))
        S = np.zeros((2**n, len(X)), dtype=complex)
        S[0] = 1.0
        states = run(circuit, S, theta, (0, split), data).T
        errors = rounding(circuit, theta, (0, split), data, data_errors)
        errors = np.broadcast_to(errors, len(X)).astype(np.float64)
    else:
        states, errors = encoded_states(X, witness, parameters)
        if split != 0 or n != number_of_qubits(str(parameters["encoding"]), X.shape[1]):
            raise CertificateError(f"n_qubits={n} does not fit the encoding.")
    return Encoded(
        np.ascontiguousarray(states), errors, circuit, data, data_errors, split
    )


def labels_and_weights(
    X: Array, y: NDArray[Any], witness: Witness
) -> tuple[Integers, int, Array, bool]:
    """Return class indices, their number, normalised weights, and whether given."""
    if y.shape == (len(X), 1):  # a column, as scikit-learn accepts it with a warning
        y = y[:, 0]
    if y.ndim != 1 or len(y) != len(X) or len(y) == 0:
        raise CertificateError(f"y must have shape ({len(X)},), got {y.shape}.")
    classes, index = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise CertificateError("y must hold at least two classes.")
    given = "sample_weight" in witness
    if given:
        s = np.asarray(witness["sample_weight"], dtype=np.float64)
        if s.shape != y.shape or not (s >= 0).all():
            raise CertificateError("sample_weight must hold one number >= 0 a row.")
        total = math.fsum(s)
        if not abs(total - 1.0) <= _SUM:
            raise CertificateError(f"sample_weight must sum to 1, not {total!r}.")
        s = s / total
    else:
        s = np.full(len(y), 1.0 / len(y))
    return index, len(classes), s, given


def readout_from(
    witness: Witness, parameters: Parameters, n: int, n_classes: int
) -> Readout:
    """Read classes of bit strings, noise, or Pauli words from the witness.

    Raises
    ------
    CertificateError
        If they are malformed.
    """
    noise = float(parameters.get("depolarizing", 0.0))
    if not 0.0 <= noise <= 1.0:
        raise CertificateError(f"depolarizing={noise!r} must lie in [0, 1].")
    if "paulis" in witness:
        words = np.asarray(witness["paulis"])
        c = np.asarray(witness["coefficients"], dtype=np.float64)
        if words.ndim != 2 or words.shape != (len(c), n) or words.dtype.kind != "i":
            raise CertificateError("paulis must be integers of shape (T, n).")
        if not np.isin(words, (0, 1, 2, 3)).all() or not np.isfinite(c).all():
            raise CertificateError("paulis must be 0 to 3, coefficients finite.")
        if noise or "readout_error" in witness:
            raise CertificateError("an observable has no noise here.")
        members = None
        if "members" in witness:  # one observable a class
            members = np.asarray(witness["members"])
            whole = members.shape == (len(c),) and members.dtype.kind == "i"
            if not whole or not np.array_equal(np.unique(members), range(n_classes)):
                raise CertificateError(
                    f"members must give each word an observable below {n_classes}."
                )
        elif n_classes != 2:
            raise CertificateError("one observable is for two classes.")
        return Readout(np.empty((0, 2**n)), words, c, members)
    classes = np.asarray(witness["classes"])
    if classes.shape != (2**n,) or classes.dtype.kind not in "iu":
        raise CertificateError(f"classes must be {2**n} integers.")
    if not np.array_equal(np.unique(classes), np.arange(n_classes)):
        raise CertificateError(f"classes must take the values 0 to {n_classes - 1}.")
    effects = (classes == np.arange(n_classes)[:, None]).astype(np.float64)
    if "readout_error" in witness:
        R = np.asarray(witness["readout_error"], dtype=np.float64)
        stochastic = R.shape == (n, 2, 2) and (R >= 0).all()
        if not stochastic or not np.abs(R.sum(axis=1) - 1).max() <= _SUM:
            raise CertificateError("readout_error must hold column-stochastic 2 x 2.")
        R = R / R.sum(axis=1, keepdims=True)
        for q in range(n):  # E(b) = sum_b' c(b') prod_q R_q[b'_q, b_q]
            T = effects.reshape(n_classes, -1, 2, 2**q)
            effects = np.einsum("cajb,ji->caib", T, R[q]).reshape(n_classes, -1)
    traces = effects.sum(axis=1, keepdims=True)
    effects = (1.0 - noise) * effects + noise * traces / 2**n
    return Readout(effects[1:] if n_classes == 2 else effects)


class Free(NamedTuple):
    """The free part of the circuit, applied."""

    S: Complex  # final states (d, N)
    errors: Array  # (N,)
    U: Complex | None  # the unitary itself, when it was cheaper to form it


def free_part(encoded: Encoded, theta: Array) -> Free:
    """Apply the gates after the encoding to the encoded states."""
    circuit, span = encoded.circuit, (encoded.split, len(encoded.circuit.gates))
    N, d = encoded.states.shape
    added = rounding(circuit, theta, span)
    if N <= d:
        S = run(circuit, np.ascontiguousarray(encoded.states.T), theta, span)
        return Free(S, encoded.errors + added, None)
    U = run(circuit, np.eye(d, dtype=complex), theta, span)
    # |U|_F <= sqrt(d), for the error of U as for that of the product.
    more = np.sqrt(d) * (added + (d + 8) * EPS * (1.0 + added))
    return Free(U @ encoded.states.T, encoded.errors + more, U)


def output_radius(errors: Array, d: int, size: float) -> Array:
    """How far an output may be off when the state is off by ``errors``."""
    return size * (2.0 * errors + errors**2 + (d + 8) * EPS)


def binary_lower_bound(
    encoded: Encoded,
    y: Integers,
    s: Array,
    loss: Loss,
    tangent: Array,
    target: Target,
    slope: Complex | None = None,
    constant: float = 0.0,
) -> float:
    """Bound every measurement from the tangent of the loss at any outputs.

    The loss is convex in the output, so it lies above its tangent at ``tangent``, and
    the tangent is linear in the measurement: its minimum is a sum of eigenvalues.
    ``slope`` and ``constant`` add the tangent of a penalty on the measurement.
    """
    values, slopes = loss.values(tangent, y), loss.slopes(tangent, y)[0]
    weights = s * slopes
    full = slope is not None
    states, errors, defect = (
        (encoded.states, encoded.errors, 0.0)
        if full
        else compressed(encoded.states, encoded.errors)
    )
    G, error = weighted_gram(states, weights, errors)
    if slope is not None:
        G = G + slope
        error += 16 * EPS * float(np.linalg.norm(slope))
        constant -= 64 * EPS * len(G) * (abs(constant) + np.linalg.norm(slope))
    eigenvalues, radius, _ = spectrum_with_radius(G, error)
    radius = radius + defect * (np.abs(eigenvalues) + radius)
    d = encoded.states.shape[1]
    linear = orbit_minimum(eigenvalues, radius, d, target, error)
    reach = 1.0 + float(
        np.abs(target if isinstance(target, Interval) else target.values).max()
    )
    sizes = s * (np.abs(values) + np.abs(slopes) * (np.abs(tangent[0]) + reach))
    constant += math.fsum(s * values) - math.fsum(weights * tangent[0])
    return constant + linear - 64 * EPS * math.fsum(sizes)


def single_shot_accuracy(
    encoded: Encoded, y: Integers, s: Array, target: Target
) -> float:
    """Bound the mean probability of reading the right class once (Helstrom)."""
    states, errors, defect = compressed(encoded.states, encoded.errors)
    G, error = weighted_gram(states, s * (1.0 - 2.0 * y), errors)
    eigenvalues, radius, _ = spectrum_with_radius(G, error)
    radius = radius + defect * (np.abs(eigenvalues) + radius)
    d = encoded.states.shape[1]
    gain = -orbit_minimum(eigenvalues, radius, d, target, error)
    return min(1.0, math.fsum(s * (1.0 - y)) + gain + 64 * EPS)


class Frame(NamedTuple):
    """States in an orthonormal basis, up to errors."""

    states: Complex  # (N, k)
    errors: Array  # (N,)
    defect: float
    basis: Complex  # (d, k)


def coordinates(encoded: Encoded, witness: Witness, s: Array) -> Frame:
    """Write the states in the basis of the witness; by default the standard basis.

    States of weight 0 may lie outside of it.

    Raises
    ------
    CertificateError
        If the basis is not orthonormal or does not span the states.
    """
    N, d = encoded.states.shape
    if "basis" not in witness:
        return Frame(encoded.states, encoded.errors, 0.0, np.eye(d, dtype=complex))
    Q = np.asarray(witness["basis"], dtype=complex)
    if Q.ndim != 2 or len(Q) != d or not 1 <= Q.shape[1] <= d:
        raise CertificateError(f"basis must have shape (d, k) with d={d}.")
    states, errors, defect = in_basis(encoded.states, encoded.errors, Q)
    outside = (errors - encoded.errors)[s > 0].max(initial=0.0)
    if not (defect <= _SUM and outside <= _SUM):
        raise CertificateError("basis must be orthonormal and span the states.")
    return Frame(states, errors, defect, Q)


def multiclass_lower_bound(
    frame: Frame,
    y: Integers,
    s: Array,
    loss: Loss,
    tangent: Array,
    dual: Complex | Array,
    slope: Complex | None = None,
    constant: float = 0.0,
) -> float:
    """Bound every measurement with K > 2 outcomes.

    ``Y <= G_c`` for all c gives ``sum_c tr(G_c M_c) >= tr Y``. ``dual`` is any
    Hermitian matrix in the coordinates of ``states``, or measurements (K, k, k) from
    which ``Herm(sum_c G_c M_c)`` is formed. It is repaired in two ways and the better
    bound counts (Eldar, Megretski, Verghese, IEEE Trans. Inf. Theory 49, 2003).
    """
    values, slopes = loss.values(tangent, y), loss.slopes(tangent, y)
    k = frame.states.shape[1]
    pairs = [weighted_gram(frame.states, s * g, frame.errors) for g in slopes]
    Gs, slack = [G for G, _ in pairs], k * math.fsum(error for _, error in pairs)
    if slope is not None:
        Gs = [G + more for G, more in zip(Gs, slope, strict=True)]
        size = float(np.linalg.norm(slope))
        slack += 64 * EPS * k * (k * size + abs(constant))
    if dual.ndim == 3:
        dual = np.sum([G @ M for G, M in zip(Gs, dual, strict=True)], axis=0)
    Y = 0.5 * (dual + dual.conj().T)
    excess, largest = 0.0, 0.0
    for G in Gs:
        eigenvalues, radius, _ = spectrum_with_radius(Y - G, 0.0)
        positive = np.maximum(eigenvalues + radius, 0.0)
        excess += math.fsum(positive)
        largest = max(largest, float(positive.max()))
    size = math.sqrt(k) * float(np.linalg.norm(Y))
    slack += (frame.defect + 16 * k * EPS) * (size + 2 * k * largest + excess)
    linear = math.fsum(np.diagonal(Y).real) - min(excess, k * largest) - slack
    sizes = s * (np.abs(values) + np.sum(np.abs(slopes) * (np.abs(tangent) + 1), 0))
    constant += math.fsum(s * values) - math.fsum(s * np.sum(slopes * tangent, axis=0))
    return constant + linear - 64 * EPS * math.fsum(sizes)


def checked_tangent(tangent: Any, shape: tuple[int, ...], bounded: bool) -> Array:
    """Return tangent points (C, N): probabilities lie in [0, 1].

    Raises
    ------
    CertificateError
        If they do not.
    """
    q = np.asarray(tangent, dtype=np.float64)
    if q.shape != shape or not np.isfinite(q).all():
        raise CertificateError(f"tangent must be a finite array of shape {shape}.")
    if bounded and not ((q >= 0) & (q <= 1)).all():
        raise CertificateError("tangent must hold probabilities.")
    return q
