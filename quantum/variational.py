"""What ``VariationalQuantumClassifier`` does in ``fit``, step by step."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from farkas.backend import check_device
from farkas.base import check_choice, check_number
from farkas.parallel import seed_sequence
from farkas.status import Status
from quantum._measure_losses import Loss, make_loss
from quantum.ansatz import ANSAETZE, ENTANGLEMENTS, ansatz_circuit, ansatz_table
from quantum.certificates import certify_circuit
from quantum.circuit import GateTable
from quantum.compile import compile_circuit
from quantum.encodings import Encoding, check_size, make_encoding
from quantum.model import CircuitModel
from quantum.objectives import (
    MAX_SIMULATED,
    Objective,
    SampledObjective,
    ShotSampler,
)
from quantum.primitives import PrimitiveRunner, check_backend
from quantum.readout import Readout, class_table, observable_readout
from quantum.reuploading import reuploading_table
from quantum.training import (
    INITIALISATIONS,
    OPTIMIZERS,
    Settings,
    check_options,
    check_time,
    initial_weights,
    train,
)

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

LEVELS = ("full", "one_shot", "gradient", False)


class VariationalFit:
    """The steps of a fit; mixed into the estimator, whose parameters it reads."""

    def _fit(self: Any, X: ArrayLike, y: ArrayLike, sample_weight: Any) -> None:
        self._check_parameters()
        X, labels = validate_data(self, X, y, dtype=np.float64)
        self.classes_, index, s, weighted = labels_and_weights(
            labels, sample_weight, self.class_weight
        )
        model = self._build(X, len(self.classes_))
        first, shots, *seeds = seed_sequence(self.random_state).spawn(
            2 + self.n_restarts
        )
        objective = self._objective(model, X, index, s, shots)
        if not len(objective.live):
            raise ValueError(
                "no weight of this circuit changes what is read; use another ansatz, "
                "interpret or observable."
            )
        starts = self._starts(model, objective, first)
        callback = self._callbacks(X, y, model)
        interrupt = None
        try:
            result = train(
                objective, starts, seeds, self._settings(), callback=callback,
                n_jobs=self.n_jobs,
            )  # fmt: skip
        except KeyboardInterrupt as error:  # keep what there is, then let it through
            interrupt = error
            result = getattr(error, "partial_result", None)
            if result is None or not np.isfinite(result.fun):
                raise
        self.model_, self.n_qubits_ = model, model.n
        self.weights_, self.loss_ = result.x, result.fun
        self.loss_curve_ = result.history["objective"]
        self.nfev_, self.optimizer_result_ = result.nfev, result
        self.idle_parameters_ = objective.idle
        certificate = None
        if self.certify is False:
            pass
        elif self.backend is not None and model.n > MAX_SIMULATED:
            warnings.warn(
                f"n={model.n} qubits exceed {MAX_SIMULATED}, up to which circuits on a "
                "backend are simulated: there is no certificate; use certify=False.",
                UserWarning,
                stacklevel=4,
            )
        else:
            certificate = certify_circuit(
                model, X, y, index, result.x, s / s.sum(), level=self.certify,
                tolerance=self.tol, weighted=weighted,
                scope="readout" if self.backend is None else "any",
                counts=None if interrupt else self._counts(objective, X, result.x),
            )  # fmt: skip
        status, message = final_status(result, certificate)
        if interrupt is not None:
            status, message = Status.CALLBACK, "Interrupted by the user."
        self._record_fit(
            certificate=certificate, history=result.history, n_iter=result.nit,
            status=status, message=message,
        )  # fmt: skip
        if interrupt is not None:
            raise interrupt

    def _check_parameters(self: Any) -> None:
        check_device(self.device)
        check_number("feature_map_reps", self.feature_map_reps, low=1, integer=True)
        check_number("ansatz_reps", self.ansatz_reps, low=0, integer=True)
        check_number("max_iter", self.max_iter, low=1, integer=True)
        check_number("n_restarts", self.n_restarts, low=1, integer=True)
        check_number("tol", self.tol, low=0.0)
        check_number("depolarizing", self.depolarizing, low=0.0, high=1.0)
        check_number("max_retries", self.max_retries, low=0, integer=True)
        for name in ("shots", "batch_size", "max_circuits_per_job"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), low=1, integer=True)
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_choice("init", self.init, INITIALISATIONS)
        check_choice("certify", self.certify, LEVELS)
        check_choice("entanglement", self.entanglement, ENTANGLEMENTS)
        losses = ("cross_entropy", "squared")
        if self.observable is not None:
            losses = ("squared", "hinge", "logistic")
            if self.loss == "cross_entropy":
                raise ValueError(
                    "loss='cross_entropy' needs probabilities; with an observable use "
                    "one of 'squared', 'hinge', 'logistic'."
                )
            self._refuse_noise("an observable", "interpret=")
        if self.backend is not None:
            check_backend(self.backend, self.observable)
            self._refuse_noise("a backend", "the noise model of the backend")
        check_choice("loss", self.loss, losses)
        check_time(self.max_time)
        if self.callback is not None and not callable(self.callback):
            raise TypeError(f"callback={self.callback!r} must be callable.")
        check_options(self.optimizer, self.optimizer_options)

    def _refuse_noise(self: Any, beside: str, instead: str) -> None:
        for name in ("depolarizing", "readout_error"):
            value = getattr(self, name)
            if value is not None and np.any(value):
                raise ValueError(
                    f"{name}={value!r} has no effect beside {beside}; use {instead}."
                )

    def _build(self: Any, X: Array, n_classes: int) -> CircuitModel:
        feature_map = self.feature_map
        named = isinstance(feature_map, str)
        reuploading = named and feature_map == "reupload"
        if reuploading:
            feature_map = "angle"  # of its first layer
        elif named and feature_map == "auto" and self.backend is not None:
            feature_map = "zz"  # hardware has no limit, and a circuit is needed
        encoding = make_encoding(
            feature_map, X.shape[1], reps=self.feature_map_reps,
            entanglement=self.feature_map_entanglement, n_qubits=self.n_qubits,
        )  # fmt: skip
        if self.backend is None:
            check_size(encoding.n, len(X))
        table = ansatz_of(
            self.ansatz, encoding, reps=self.ansatz_reps, entanglement=self.entanglement
        )
        if reuploading:
            table = reuploading_table(table, self.feature_map_reps)
        readout = self._readout(encoding.n, n_classes)
        return CircuitModel(
            encoding=encoding, table=table, readout=readout,
            loss=self._loss(n_classes), reuploading=reuploading, device=self.device,
        )  # fmt: skip

    def _loss(self: Any, n_classes: int) -> Loss:
        classes = n_classes if self.observable is None else 0
        return make_loss(self.loss, classes, self.prob_floor, 1.0)

    def _readout(self: Any, n: int, n_classes: int) -> Readout:
        if self.observable is not None:
            return observable_readout(self.observable, n, n_classes)
        error = None
        if self.readout_error is not None:
            error = np.ascontiguousarray(self.readout_error, dtype=np.float64)
            if error.shape != (n, 2, 2) or not np.allclose(error.sum(axis=1), 1.0) or (
                error < 0
            ).any():  # fmt: skip
                raise ValueError(
                    f"readout_error must have shape {(n, 2, 2)} with columns that are "
                    "probabilities."
                )
        return Readout(
            n=n, n_classes=n_classes, classes=class_table(self.interpret, n, n_classes),
            readout_error=error, depolarizing=float(self.depolarizing),
        )  # fmt: skip

    def _objective(
        self: Any, model: CircuitModel, X: Array, index: Integers, s: Array, seed: Any
    ) -> Objective:
        if self.backend is None and self.shots is None:
            return Objective(model, X, index, s)
        objective = SampledObjective(model, X, index, s)
        if self.backend is None:
            objective.sampler = ShotSampler(
                model, objective.X, self.shots, np.random.default_rng(seed)
            )
        else:
            objective.sampler = self._runner(model, objective.X)
        return objective

    def _runner(self: Any, model: CircuitModel, X: Array) -> PrimitiveRunner:
        return PrimitiveRunner(
            model, X, self.backend, pass_manager=self.pass_manager, shots=self.shots,
            max_retries=self.max_retries,
            max_circuits_per_job=self.max_circuits_per_job,
        )  # fmt: skip

    def _counts(
        self: Any, objective: Objective, X: Array, theta: Array
    ) -> Integers | None:
        """Count shots of all rows at the final weights, for the interval."""
        sampler = getattr(objective, "sampler", None)
        if sampler is None or objective.model.readout.is_observable:
            return None
        table = objective.model.table
        phis = table.phis(theta)[table.occurrences()][None]
        if isinstance(sampler, PrimitiveRunner):
            return sampler.with_data(X).counts(phis)[0]
        fresh = ShotSampler(objective.model, X, sampler.shots, sampler.rng)
        return fresh.counts(phis)[0]

    def _starts(
        self: Any, model: CircuitModel, objective: Objective, seed: Any
    ) -> list[Array]:
        P = model.table.n_parameters
        starts = []
        for k, child in enumerate(seed.spawn(self.n_restarts)):
            theta = initial_weights(self.init, model, np.random.default_rng(child))
            theta[objective.idle] = 0.0  # they change nothing
            if k == 0:
                if self.warm_start and len(getattr(self, "weights_", ())) == P:
                    theta = np.array(self.weights_)
                elif self.initial_point is not None:
                    theta = check_start(self.initial_point, P)
            starts.append(theta)
        return starts

    def _settings(self: Any) -> Settings:
        return Settings(
            optimizer=self.optimizer, options=dict(self.optimizer_options or {}),
            max_iter=self.max_iter, tol=self.tol, max_time=self.max_time,
            verbose=self.verbose, batch_size=self.batch_size,
        )  # fmt: skip

    def _callbacks(self: Any, X: Array, y: Any, model: CircuitModel) -> Any:
        def attributes(intermediate: OptimizeResult) -> dict[str, Any]:
            return {"model_": model, "n_qubits_": model.n, "weights_": intermediate.x}

        inner = self._solver_callback(X, y, reconstruction_attributes=attributes)
        outer = self.callback
        if inner is None or outer is None:
            return inner if outer is None else outer

        def both(intermediate_result: OptimizeResult) -> None:
            outer(intermediate_result=intermediate_result)
            inner(intermediate_result)

        return both

    def _ansatz_circuit(self: Any) -> Any:
        if not isinstance(self.ansatz, str):
            return self.ansatz
        n = self.n_qubits_
        return ansatz_circuit(self.ansatz, n, self.ansatz_reps, self.entanglement)

    def _evaluate(self: Any, X: Array) -> Array:
        if self.backend is not None:
            table = self.model_.table
            phis = table.phis(self.weights_)[table.occurrences()][None]
            return self._runner(self.model_, X)(phis)[0]
        check_size(self.n_qubits_, len(X))
        return self.model_.outputs(X, self.weights_)


def labels_and_weights(
    labels: NDArray[Any], sample_weight: Any, class_weight: Any
) -> tuple[NDArray[Any], Integers, Array, bool]:
    """Return the classes, the index of each label, weights, and whether they differ.

    Raises
    ------
    ValueError
        If a weight is negative, or fewer than two classes have any.
    """
    if labels.dtype.kind not in "biuUS":  # integers and strings are classes anyway
        check_classification_targets(labels)
    classes, index = np.unique(labels, return_inverse=True)
    s = np.ones(len(index))
    if sample_weight is not None:
        s = np.array(sample_weight, dtype=np.float64)
        if s.shape != index.shape or not np.isfinite(s).all() or (s < 0).any():
            raise ValueError(
                f"sample_weight must hold {len(index)} finite numbers >= 0."
            )
    if class_weight is not None:
        s = s * compute_sample_weight(class_weight, labels)
    if not (s > 0).any():
        raise ValueError("every sample weight is zero; at least 2 classes need some.")
    found = np.unique(index[s > 0])
    if len(found) < 2:
        raise ValueError(
            f"y holds {len(found)} class(es) with positive weight; a classifier needs "
            "at least 2 classes."
        )
    return classes, index.astype(np.int64), s, bool((s != s[0]).any())


def ansatz_of(
    ansatz: Any, encoding: Encoding, *, reps: int, entanglement: str
) -> GateTable:
    """Return the gates of an ansatz that fits an encoding.

    Raises
    ------
    ValueError
        If it is unknown, or shares qubits or parameters wrongly.
    """
    if isinstance(ansatz, str):
        if ansatz not in ANSAETZE:
            allowed = ", ".join(map(repr, ANSAETZE))
            raise ValueError(
                f"ansatz={ansatz!r} must be one of {allowed}, or a QuantumCircuit."
            )
        return ansatz_table(ansatz, encoding.n, reps, entanglement)
    table = compile_circuit(ansatz, data=False)
    if table.n != encoding.n:
        raise ValueError(
            f"ansatz has {table.n} qubits, but the feature map has {encoding.n}."
        )
    if encoding.circuit is not None:
        shared = {p.name for p in encoding.circuit.parameters} & {
            p.name for p in ansatz.parameters
        }
        if shared:
            raise ValueError(
                f"feature_map and ansatz share the parameter names {sorted(shared)}; "
                "rename those of one of them."
            )
    if not table.n_parameters:
        raise ValueError("ansatz has no parameters; there is nothing to train.")
    return table


def check_start(initial_point: ArrayLike, P: int) -> Array:
    """Return the first weights.

    Raises
    ------
    ValueError
        If their number is not P or one is not finite.
    """
    theta = np.array(initial_point, dtype=np.float64)
    if theta.shape != (P,) or not np.isfinite(theta).all():
        raise ValueError(
            f"initial_point must hold P={P} finite numbers, got shape {theta.shape}."
        )
    return theta


def final_status(result: OptimizeResult, certificate: Any) -> tuple[Status, str | None]:
    """Decide whether the fit did its job: the certificate says so, if there is one."""
    status = Status(result.status)
    if status in (Status.CALLBACK, Status.NUMERICAL) or certificate is None:
        return status, None if certificate is None else status.message
    if certificate.satisfied:
        return Status.CONVERGED, None
    if status.success:
        return Status.STALLED, None
    return status, result.message
