"""Circuits on Qiskit's V2 primitives: any simulator or hardware.

All samples and parameter vectors go out as one array of bindings; the answer is folded
from bytes to classes without a loop over samples. A failed job is tried again.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantum.encodings import feature_map_circuit
from quantum.export import separated, table_circuit
from quantum.model import CircuitModel
from quantum.objectives import estimates

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

# Shots if the user names none: that of Qiskit's samplers.
DEFAULT_SHOTS = 1024


class PrimitiveError(RuntimeError):
    """A job failed again and again; the cause is chained."""


def check_backend(backend: Any, observable: Any) -> None:
    """Refuse what is no primitive, or the wrong one of Qiskit's two kinds.

    Raises
    ------
    TypeError
        If it cannot run a circuit of this kind.
    """
    from qiskit.primitives import BaseEstimatorV2, BaseSamplerV2

    wanted, other = "a V2 sampler", BaseEstimatorV2
    if observable is not None:
        wanted, other = "a V2 estimator, for an observable", BaseSamplerV2
    if not callable(getattr(backend, "run", None)) or isinstance(backend, other):
        raise TypeError(f"backend={backend!r} must be {wanted}.")


class PrimitiveRunner:
    """Evaluates a circuit on a V2 sampler or estimator.

    Parameters
    ----------
    model : CircuitModel
        The circuit.
    X : ndarray of shape (N, m)
        Data.
    primitive : object
        A V2 sampler for interpretations, a V2 estimator for observables.
    pass_manager : object or None
        Transpiles the circuit.
    shots : int or None
        Shots a sample; an estimator without is asked for precision 0.
    max_retries : int
        How often a failed job is tried again.
    max_circuits_per_job : int or None
        Largest number of bindings in one job.
    """

    def __init__(
        self,
        model: CircuitModel,
        X: Array,
        primitive: Any,
        *,
        pass_manager: Any = None,
        shots: int | None = None,
        max_retries: int = 2,
        max_circuits_per_job: int | None = None,
    ) -> None:
        self.model, self.X, self.primitive = model, X, primitive
        self.shots, self.max_retries = shots, max_retries
        self.chunk = max_circuits_per_job
        self.n_jobs_run = self.n_shots = 0
        self.expects = model.readout.is_observable
        circuit, features, weights = full_circuit(model, separate=True)
        if not self.expects:
            # Before transpilation, so that bits keep their logical order.
            circuit.measure_all()
        if pass_manager is not None:
            circuit = pass_manager.run(circuit)
        self.circuit = circuit
        names = [p.name for p in circuit.parameters]
        self._feature_columns = [names.index(p.name) for p in features]
        self._weight_columns = [names.index(p.name) for p in weights]
        self._width = len(names)
        if self.expects:
            self.observables = _observables(model, circuit)

    def with_data(self, X: Array) -> PrimitiveRunner:
        """Return the same circuit for other rows."""
        import copy

        twin = copy.copy(self)
        twin.X = X
        return twin

    def __call__(self, phis: Array) -> Array:
        """Return estimated outputs (T, C, N) at angles (T, n) of the trained gates."""
        if self.expects:
            values = self._run(phis, self._expectations)  # (T N, C)
            return np.moveaxis(values.reshape(len(phis), len(self.X), -1), 2, 1)
        return estimates(self.counts(phis), self.model)

    def counts(self, phis: Array) -> Integers:
        """Return counted classes (T, N, K)."""
        K = self.model.readout.n_classes
        return self._run(phis, self._sampled).reshape(len(phis), len(self.X), K)

    def _run(self, phis: Array, evaluate: Callable[[Array], Array]) -> Array:
        T, N = len(phis), len(self.X)
        bindings = np.empty((T, N, self._width))
        bindings[:, :, self._feature_columns] = self.X[None]
        bindings[:, :, self._weight_columns] = phis[:, None]
        flat = bindings.reshape(T * N, -1)
        step = self.chunk or len(flat)
        parts = [
            self._retried(evaluate, flat[first : first + step])
            for first in range(0, len(flat), step)
        ]
        return np.concatenate(parts)

    def _retried(self, evaluate: Callable[[Array], Array], bindings: Array) -> Array:
        for attempt in range(1 + self.max_retries):
            try:
                self.n_jobs_run += 1
                return evaluate(bindings)
            except Exception as error:  # whatever a remote service may raise
                if attempt == self.max_retries:
                    raise PrimitiveError(
                        f"job failed {attempt + 1} times, last with "
                        f"{type(error).__name__}: {error}. The best weights so far are "
                        "in partial_result of this exception."
                    ) from error
        raise AssertionError

    def _sampled(self, bindings: Array) -> Array:
        shots = self.shots or DEFAULT_SHOTS
        result = self.primitive.run([(self.circuit, bindings)], shots=shots).result()
        classes = self.model.readout.classes
        if classes is None:
            raise PrimitiveError("a sampler needs an interpretation.")
        words = bit_integers(result[0].data.meas.array)
        self.n_shots += words.size
        read = classes[words]
        K = self.model.readout.n_classes
        return np.stack([(read == c).sum(axis=-1) for c in range(K)], axis=-1)

    def _expectations(self, bindings: Array) -> Array:
        # Without a precision the default of an estimator would make "exact" noisy.
        precision = 0.0 if self.shots is None else 1.0 / np.sqrt(self.shots)
        column = [[operator] for operator in self.observables]  # against all bindings
        pub = (self.circuit, column, bindings)
        result = self.primitive.run([pub], precision=precision).result()
        return np.asarray(result[0].data.evs, dtype=np.float64).T


def bit_integers(array: NDArray[np.uint8]) -> Integers:
    """Fold the bytes of a ``BitArray``, most significant first, into integers."""
    words = np.zeros(array.shape[:-1], dtype=np.int64)
    for byte in np.moveaxis(array, -1, 0):
        words = (words << 8) | byte
    return words


def full_circuit(
    model: CircuitModel, *, separate: bool = False
) -> tuple[Any, Any, Any]:
    """Return encoding and ansatz in one circuit, its features and its weights.

    Parameters
    ----------
    model : CircuitModel
        The circuit.
    separate : bool, default=False
        Give each trained gate a parameter of its own.

    Returns
    -------
    circuit : QuantumCircuit
    features, weights : list of Parameter
    """
    from qiskit.circuit import ParameterVector

    table = separated(model.table) if separate else model.table
    taken = set()
    if not model.reuploading:
        first = feature_map_circuit(model.encoding)
        features = list(first.parameters)
        taken = {p.name for p in features}
    else:
        features = list(ParameterVector("x", model.encoding.m))
    name = "w" if not any(t.startswith("w") for t in taken) else "weight"
    weights = list(ParameterVector(name, table.n_parameters))
    second = table_circuit(table, weights, features)
    if model.reuploading:
        return second, features, weights
    return first.compose(second), features, weights


def _observables(model: CircuitModel, circuit: Any) -> list[Any]:
    """Return the operators of the outputs, on the qubits of the circuit."""
    from qiskit.quantum_info import SparsePauliOp

    words, c = model.readout.paulis, model.readout.coefficients
    if words is None or c is None:
        raise PrimitiveError("an estimator needs an observable.")
    labels = ["".join("IXYZ"[k] for k in word[::-1]) for word in words]
    members = model.readout.members
    if members is None:
        members = np.zeros(len(words), dtype=np.int64)
    operators = []
    for k in range(members.max() + 1):
        mine = np.flatnonzero(members == k)
        operators.append(SparsePauliOp([labels[t] for t in mine], c[mine]))
    layout = getattr(circuit, "layout", None)
    if layout is None:
        return operators
    return [operator.apply_layout(layout) for operator in operators]


def without_live_handles(state: dict[str, Any]) -> dict[str, Any]:
    """Drop backend and pass manager from a state when they cannot be pickled."""
    kept = dict(state)
    for name in ("backend", "pass_manager"):
        try:
            pickle.dumps(kept.get(name))
        except Exception as error:  # sessions, locks, sockets: each has its own error
            warnings.warn(
                f"{name}={kept[name]!r} cannot be pickled ({error}) and is dropped; "
                "set it again after loading.",
                UserWarning,
                stacklevel=3,
            )
            kept[name] = None
    return kept
