"""What ``OptimalMeasurementClassifier`` does in ``fit``, step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult
from sklearn.utils.validation import validate_data

import farkas
from farkas.base import check_choice, check_number
from quantum._measure_losses import LOSSES, make_loss
from quantum.certificates import best_measurement
from quantum.encodings import check_size, make_encoding
from quantum.model import merge_rows
from quantum.optimal import (
    check_rank,
    extended_probabilities,
    measurement_witness,
    rounded_measurement,
)
from quantum.training import check_time
from quantum.variational import final_status, labels_and_weights

Array = NDArray[np.float64]


class MeasurementFit:
    """The steps of a fit; mixed into the estimator, whose parameters it reads."""

    def _fit(self: Any, X: ArrayLike, y: ArrayLike, sample_weight: Any) -> None:
        check_choice("loss", self.loss, LOSSES)
        check_number("alpha", self.alpha, low=0.0)
        check_number("tol", self.tol, low=0.0)
        check_number("max_iter", self.max_iter, low=1, integer=True)
        check_time(self.max_time)
        check_number("feature_map_reps", self.feature_map_reps, low=1, integer=True)
        X, labels = validate_data(self, X, y, dtype=np.float64)
        classes, index, s, weighted = labels_and_weights(
            labels, sample_weight, self.class_weight
        )
        K = len(classes)
        encoding = make_encoding(
            self.feature_map, X.shape[1], reps=self.feature_map_reps,
            entanglement=self.feature_map_entanglement,
        )  # fmt: skip
        check_size(encoding.n, len(X))
        d = 2**encoding.n
        rank = check_rank(self.rank, d, K)
        self.classes_, self.encoding_, self.rank_ = classes, encoding, rank
        self.n_qubits_ = encoding.n
        loss = make_loss(self.loss, K, self.prob_floor, 1.0)
        # Equal rows are merged, so that weights and repetitions give the same bits.
        few, few_y, few_s = merge_rows(X, index, s)
        result = best_measurement(
            encoding.states(few), few_y, few_s / few_s.sum(), loss, rank=rank,
            alpha=float(self.alpha), tol=self.tol, max_iter=self.max_iter,
            max_time=self.max_time, callback=self._callback(X, y, few),
            verbose=self.verbose,
        )  # fmt: skip
        self.measurement_, self.basis_ = result.x, result.basis
        self._training = few, few_y, few_s / few_s.sum(), loss
        witness = measurement_witness(result)
        witness["tangent"] = self._tangent(X, few, result)
        witness |= _tables(encoding)
        if weighted:
            witness["sample_weight"] = s / s.sum()
        parameters = {
            **encoding.parameters(), "loss": self.loss, "prob_floor": self.prob_floor,
            "rank": 0.0 if rank is None else rank, "alpha": float(self.alpha),
        }  # fmt: skip
        certificate = farkas.certify(
            "quantum.measurement/1", (X, y), witness, parameters, tolerance=self.tol
        )
        self.loss_ = certificate.residuals["loss"]
        self.lower_bound_ = certificate.lower
        status, message = final_status(result, certificate)
        self._record_fit(
            certificate=certificate, history=result.history, n_iter=result.nit,
            status=status, message=message,
        )  # fmt: skip

    def _tangent(self: Any, X: Array, few: Array, result: OptimizeResult) -> Array:
        """Tangent points of all rows from those of the different rows."""
        if len(few) == len(X) and np.array_equal(few, X):
            return result.tangent
        table: dict[bytes, Array] = {}
        for row, point in zip(few, result.tangent.T, strict=True):
            table.setdefault(row.tobytes(), point)
        missing = np.full(len(result.tangent), 0.5)  # of rows of weight 0: no matter
        rows = np.ascontiguousarray(X)
        return np.array([table.get(row.tobytes(), missing) for row in rows]).T

    def _callback(self: Any, X: Array, y: Any, few: Array) -> Any:
        # Only the basis of the merged rows is needed to predict.
        basis = None

        def attributes(intermediate: OptimizeResult) -> dict[str, Any]:
            nonlocal basis
            d = 2**self.n_qubits_
            if basis is None and len(few) < d and not self.alpha:
                basis, _ = np.linalg.qr(self.encoding_.states(few).T)
            return {
                "measurement_": intermediate.x, "basis_": basis, "rank_": self.rank_,
                "encoding_": self.encoding_, "classes_": self.classes_,
                "n_qubits_": self.n_qubits_,
            }  # fmt: skip

        return self._solver_callback(X, y, reconstruction_attributes=attributes)

    def _probabilities(self: Any, X: Array) -> Array:
        states = self.encoding_.states(X)
        return extended_probabilities(
            states, self.measurement_, self.basis_, self.rank_
        )

    def _circuit(self: Any) -> tuple[Any, float]:
        from qiskit.circuit import QuantumCircuit
        from qiskit.circuit.library import UnitaryGate

        rank = self.rank_ if self.rank_ is not None else 2**self.n_qubits_ / 2
        if len(self.classes_) > 2 or rank != int(rank):
            raise ValueError(
                f"to_circuit needs 2 classes and an integer rank, got "
                f"{len(self.classes_)} classes and rank {rank}."
            )
        W, projector = rounded_measurement(self.measurement_, self.basis_, int(rank))
        circuit = QuantumCircuit(self.n_qubits_)
        circuit.append(UnitaryGate(W.conj().T), range(self.n_qubits_))
        X, y, s, loss = self._training
        P = extended_probabilities(self.encoding_.states(X), projector, None, rank)
        return circuit, float(s @ loss.values(P[:, 1][None], y)) - self.loss_


def _tables(encoding: Any) -> dict[str, Any]:
    table = encoding.table
    if table is None:
        return {}
    arrays = {"gates": table.gates, "angles": table.angles}
    if len(table.matrices):
        arrays["matrices"] = table.matrices
    return arrays | {"tape": table.tape, "starts": table.starts}
