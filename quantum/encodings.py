"""Encodings of data into states, by name or as any Qiskit circuit."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from farkas.base import check_number
from quantum import _kernels
from quantum._measure_states import (
    data_angles,
    encoded_states,
    entangled_pairs,
    number_of_qubits,
)
from quantum.ansatz import ENTANGLEMENTS
from quantum.circuit import GateTable
from quantum.compile import compile_circuit

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

NAMES = ("auto", "zz", "z", "angle", "rx", "ry", "rz", "dense_angle", "amplitude")
# Above this many qubits a statevector is refused; hardware has no such limit.
MAX_QUBITS = 20
# "auto" gives each feature a qubit of the ZZ map up to here. A fit on 12 qubits takes
# seconds, and each further qubit doubles that.
AUTO_QUBITS = 12


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Encoding:
    """An encoding for a number of features.

    Parameters
    ----------
    name : str
        One of "zz", "z", "rx", "ry", "rz", "dense_angle", "amplitude", "circuit".
    n : int
        Number of qubits.
    m : int
        Number of features.
    reps : int
        Repetitions of the ZZ and Z maps.
    entanglement : str
        Pairs that the ZZ map couples.
    table : GateTable or None
        Gates of a circuit.
    circuit : QuantumCircuit or None
        The circuit that the user gave.
    """

    name: str
    n: int
    m: int
    reps: int = 2
    entanglement: str = "full"
    table: GateTable | None = None
    circuit: Any = None

    def parameters(self) -> dict[str, Any]:
        """Return what a certificate needs to know besides arrays."""
        return {
            "encoding": self.name,
            "reps": self.reps,
            "entanglement": self.entanglement,
            "n_qubits": self.n,
            "split": 0 if self.table is None else len(self.table.gates),
        }

    def states(self, X: Array) -> Complex:
        """Return the states (N, d) of the rows of X."""
        planes = self.planes(X)
        return np.ascontiguousarray((planes[0] + 1j * planes[1]).T)

    def planes(self, X: Array) -> Array:
        """Return real and imaginary parts (2, d, N) of the states.

        Raises
        ------
        ValueError
            If a row has no state.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            planes = self._planes(X)
        finite = np.isfinite(planes).all(axis=(0, 1))
        if not finite.all():
            raise ValueError(
                f"row {int(np.argmin(finite))} of X gives an angle that is not finite; "
                "scale the features."
            )
        return planes

    def _planes(self, X: Array) -> Array:
        if self.name in ("zz", "z"):
            return _phase_planes(X, self.name, self.reps, self.entanglement)
        if self.table is None:
            if self.name == "amplitude" and not X.any(axis=1).all():
                row = int(np.argmin(X.any(axis=1)))
                raise ValueError(
                    f"row {row} of X is zero and has no direction for "
                    "feature_map='amplitude'; drop it or choose another feature_map, "
                    "of many features after PCA or with backend=."
                )
            states, _ = encoded_states(X, {}, self.parameters())
            return np.stack([states.real.T, states.imag.T])
        planes = np.zeros((2, 2**self.n, len(X)))
        planes[0, 0] = 1.0
        low = self.table.lowered
        columns = np.ascontiguousarray(self.angles(X))
        _kernels.run_gates(
            planes[0], planes[1], low.ops, low.fixed, columns,
            np.ascontiguousarray(low.matrices.real),
            np.ascontiguousarray(low.matrices.imag), False,
        )  # fmt: skip
        return planes

    def angles(self, X: Array) -> Array:
        """Return the angles (n_programs, N) that the data give the circuit."""
        if self.table is None or len(self.table.starts) == 1:
            return np.zeros((0, len(X)))
        return data_angles(X, self.table.tape, self.table.starts)[0]


def make_encoding(
    feature_map: Any,
    n_features: int,
    *,
    reps: int = 2,
    entanglement: str = "full",
    n_qubits: int | None = None,
) -> Encoding:
    """Resolve a feature map for data with a number of columns.

    Parameters
    ----------
    feature_map : str or QuantumCircuit
        A name in ``NAMES``, or a circuit whose parameters are the features.
    n_features : int
        Number of columns of X.
    reps : int, default=2
        Repetitions of the ZZ and Z maps.
    entanglement : str, default="full"
        Pairs that the ZZ map couples.
    n_qubits : int, optional
        Checked against the encoding.

    Returns
    -------
    Encoding

    Raises
    ------
    ValueError
        If the feature map is unknown, does not fit the data, or is too large.
    """
    check_number("reps", reps, low=1, integer=True)
    m = n_features
    table = circuit = None
    if isinstance(feature_map, str):
        if feature_map not in NAMES:
            allowed = ", ".join(map(repr, NAMES))
            raise ValueError(
                f"feature_map={feature_map!r} must be one of {allowed}, or a "
                "QuantumCircuit."
            )
        name = "ry" if feature_map == "angle" else feature_map
        if name == "auto":
            # A number of qubits that is asked for decides, if it fits one of the two.
            fits_zz = m <= AUTO_QUBITS if n_qubits is None else m == n_qubits
            name = "zz" if fits_zz else "amplitude"
        if name == "zz" and m == 1:
            name = "z"  # there is no pair to couple
        n = number_of_qubits(name, m)
        if entanglement not in ENTANGLEMENTS:
            allowed = ", ".join(map(repr, ENTANGLEMENTS))
            raise ValueError(f"entanglement={entanglement!r} must be one of {allowed}.")
    else:
        if len(getattr(feature_map, "parameters", ())) != m:
            count = len(getattr(feature_map, "parameters", ()))
            if hasattr(feature_map, "parameters"):
                raise ValueError(
                    f"feature_map has {count} parameters, but X has {m} features; "
                    "they must be as many."
                )
        table, circuit, name = (
            compile_circuit(feature_map, data=True),
            feature_map,
            "circuit",
        )
        n = table.n
    if n_qubits is not None and n_qubits != n:
        check_number("n_qubits", n_qubits, low=1, integer=True)
        either = f"{m} qubits or, as amplitudes, " if feature_map == "auto" else ""
        raise ValueError(
            f"n_qubits={n_qubits!r}, but this feature map takes {either}{n} qubits for "
            f"{m} features; leave n_qubits=None."
        )
    return Encoding(
        name=name,
        n=n,
        m=m,
        reps=int(reps),
        entanglement=entanglement,
        table=table,
        circuit=circuit,
    )


def check_size(n: int, n_samples: int) -> None:
    """Refuse statevectors that do not fit.

    Raises
    ------
    ValueError
        Above ``MAX_QUBITS`` qubits.
    """
    if n > MAX_QUBITS:
        gib = n_samples * 2.0 ** (n + 4) / 2**30
        raise ValueError(
            f"n_qubits={n} exceeds {MAX_QUBITS}: the states of {n_samples} samples "
            f"would take {gib:.3g} GiB. Reduce the features first, for example with "
            "PCA, use feature_map='amplitude', or pass backend=."
        )


def encode(
    feature_map: Any, X: ArrayLike, *, reps: int = 2, entanglement: str = "full"
) -> Complex:
    """Encode data into states.

    Parameters
    ----------
    feature_map : str or QuantumCircuit
        ``"zz"``, ``"z"``, ``"angle"`` (the same as ``"ry"``), ``"rx"``, ``"rz"`` (after
        a Hadamard), ``"dense_angle"`` (two features a qubit), ``"amplitude"``,
        ``"auto"`` (``"zz"`` up to 12 features, ``"amplitude"`` above), or a circuit
        whose parameters, in the order of ``circuit.parameters``, are the features.
    X : array-like of shape (N, m)
        Data; angles in radians.
    reps : int, default=2
        Repetitions of the ZZ and Z maps.
    entanglement : str, default="full"
        Pairs that the ZZ map couples.

    Returns
    -------
    ndarray of shape (N, 2**n), complex
        One state a row; qubit q is bit q of the index.

    Raises
    ------
    ValueError
        If the feature map does not fit the data.

    References
    ----------
    Havlicek et al., "Supervised learning with quantum-enhanced feature spaces",
    arXiv:1804.11326.

    Examples
    --------
    >>> from quantum import encode
    >>> encode("angle", [[0.0], [3.141592653589793]]).round(6).real.tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    X = np.ascontiguousarray(X, dtype=np.float64)
    if X.ndim != 2 or not np.isfinite(X).all():
        raise ValueError("X must be a finite 2-dimensional array.")
    encoding = make_encoding(
        feature_map, X.shape[1], reps=reps, entanglement=entanglement
    )
    check_size(encoding.n, len(X))
    return encoding.states(X)


def _phase_planes(X: Array, name: str, reps: int, entanglement: str) -> Array:
    n = X.shape[1]
    pairs = np.array(
        entangled_pairs(n, entanglement) if name == "zz" else [], dtype=np.int64
    ).reshape(-1, 2)
    product = 2.0 * (np.pi - X[:, pairs[:, 0]]) * (np.pi - X[:, pairs[:, 1]])
    planes = np.empty((2, 2**n, len(X)))
    _kernels.phase_states(
        np.ascontiguousarray(X), pairs, np.ascontiguousarray(product.T), reps,
        planes[0], planes[1],
    )  # fmt: skip
    return planes


def feature_map_circuit(encoding: Encoding) -> Any:
    """Return the encoding as a Qiskit circuit.

    Raises
    ------
    ValueError
        For amplitude encoding, which is another circuit for every sample.
    """
    from qiskit.circuit import ParameterVector, QuantumCircuit, library

    if encoding.circuit is not None:
        return encoding.circuit
    n, m = encoding.n, encoding.m
    if encoding.name == "zz":
        return library.zz_feature_map(
            m, reps=encoding.reps, entanglement=encoding.entanglement
        )
    if encoding.name == "z":
        return library.z_feature_map(m, reps=encoding.reps)
    if encoding.name == "amplitude":
        raise ValueError(
            "feature_map='amplitude' has no circuit with the features as parameters; "
            "choose another feature map to run on a backend."
        )
    x, circuit = ParameterVector("x", m), QuantumCircuit(n)
    if encoding.name == "dense_angle":
        for q in range(n):
            circuit.ry(x[2 * q], q)
            if 2 * q + 1 < m:
                circuit.rz(x[2 * q + 1], q)
        return circuit
    for q in range(n):
        if encoding.name == "rz":
            circuit.h(q)
        getattr(circuit, encoding.name)(x[q], q)
    return circuit
