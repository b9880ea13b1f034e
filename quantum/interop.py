"""Exchange trained classifiers with qiskit-machine-learning, both ways."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantum.compile import compile_circuit
from quantum.encodings import make_encoding
from quantum.model import CircuitModel
from quantum.primitives import full_circuit


class TabulatedInterpretation:
    """Interpretation that looks its classes up; it can be pickled.

    Parameters
    ----------
    table : array-like of int
        Class of each bit string.
    """

    def __init__(self, table: ArrayLike) -> None:
        self.table = tuple(int(c) for c in np.asarray(table))

    def __call__(self, b: int) -> int:
        """Return the class of the bit string with this value."""
        return self.table[b]

    def __repr__(self) -> str:
        return f"TabulatedInterpretation({list(self.table)})"


def from_qiskit_vqc(vqc: Any, *, classes: ArrayLike | None = None) -> Any:
    """Turn a qiskit-machine-learning ``VQC`` into one of ours.

    Its default interpretation is ``b mod K``, which for two classes reads qubit 0 only,
    although it is called parity there: a warning says so.

    Parameters
    ----------
    vqc : VQC
        Fitted or not.
    classes : array-like of shape (K,), optional
        Class labels in the order of its one-hot columns; default 0 to K - 1.

    Returns
    -------
    VariationalQuantumClassifier
        With the same circuit, and the same weights if `vqc` is fitted. It has no
        certificate, which needs the data: ``fit`` with ``warm_start=True`` mints one.

    Raises
    ------
    TypeError
        If `vqc` is something else.

    Examples
    --------
    >>> from qiskit.circuit.library import real_amplitudes, zz_feature_map
    >>> from qiskit_machine_learning.algorithms import VQC
    >>> from quantum import from_qiskit_vqc
    >>> table = [0, 1, 1, 0]
    >>> vqc = VQC(feature_map=zz_feature_map(2), ansatz=real_amplitudes(2),
    ...           interpret=table.__getitem__, output_shape=2)
    >>> model = from_qiskit_vqc(vqc)
    >>> model.ansatz.num_qubits, model.interpret(2)
    (2, 1)
    """
    from quantum.estimators import VariationalQuantumClassifier

    for name in ("feature_map", "ansatz", "interpret", "output_shape"):
        if not hasattr(vqc, name):
            raise TypeError(f"vqc has no {name}: {type(vqc).__name__} is not a VQC.")
    n = vqc.feature_map.num_qubits
    K = int(vqc.num_classes or vqc.output_shape)
    table = np.array([vqc.interpret(b) for b in range(2**n)])
    if np.array_equal(table, np.arange(2**n) % K):
        warnings.warn(
            f"this VQC reads b mod {K}, not the parity of the bits; the imported model "
            "does the same.",
            UserWarning,
            stacklevel=2,
        )
    model = VariationalQuantumClassifier(
        vqc.feature_map, vqc.ansatz, interpret=TabulatedInterpretation(table)
    )
    weights = _weights_of(vqc)
    if weights is None:
        return model
    labels = np.arange(K) if classes is None else np.asarray(classes)
    if labels.shape != (K,):
        raise ValueError(f"classes must hold {K} labels, got shape {labels.shape}.")
    m = len(vqc.feature_map.parameters)
    encoding = make_encoding(vqc.feature_map, m)
    model.classes_, model.n_features_in_, model.n_qubits_ = labels, m, encoding.n
    model.weights_ = np.array(weights, dtype=np.float64)
    model.model_ = CircuitModel(
        encoding=encoding, table=compile_circuit(vqc.ansatz, data=False),
        readout=model._readout(encoding.n, K), loss=model._loss(K),
    )  # fmt: skip
    return model


def _weights_of(vqc: Any) -> NDArray[np.float64] | None:
    from qiskit_machine_learning.exceptions import QiskitMachineLearningError

    try:
        return np.asarray(vqc.weights)
    except QiskitMachineLearningError:  # how an unfitted VQC answers
        return None


def to_sampler_qnn(model: Any, *, sampler: Any = None) -> Any:
    """Return a fitted classifier as a ``SamplerQNN``.

    Parameters
    ----------
    model : VariationalQuantumClassifier
        Fitted, with an interpretation.
    sampler : object, optional
        A V2 sampler.

    Returns
    -------
    SamplerQNN
        ``qnn.forward(X, model.weights_)`` gives the class probabilities.

    Examples
    --------
    >>> from quantum import VariationalQuantumClassifier, to_sampler_qnn
    >>> X, y = [[0.0, 0.1], [0.2, 1.0], [1.0, 0.0], [1.2, 1.1]], [0, 1, 1, 0]
    >>> model = VariationalQuantumClassifier("angle", max_iter=1000, random_state=0)
    >>> qnn = to_sampler_qnn(model.fit(X, y))
    >>> qnn.num_inputs, qnn.num_weights, qnn.output_shape
    (2, 16, (2,))
    """
    from qiskit_machine_learning.neural_networks import SamplerQNN

    circuit, features, weights, interpret, K = _parts(model)
    return SamplerQNN(
        circuit=circuit, input_params=features, weight_params=weights,
        interpret=interpret, output_shape=K, sampler=sampler,
    )  # fmt: skip


def to_qiskit_vqc(model: Any, *, sampler: Any = None) -> Any:
    """Return a fitted classifier as a qiskit-machine-learning ``VQC``.

    Parameters
    ----------
    model : VariationalQuantumClassifier
        Fitted, with an interpretation and an encoding before the ansatz.
    sampler : object, optional
        A V2 sampler.

    Returns
    -------
    VQC
        With the weights as its start and as its result; it predicts one-hot rows.

    Examples
    --------
    >>> from quantum import VariationalQuantumClassifier, to_qiskit_vqc
    >>> X, y = [[0.0, 0.1], [0.2, 1.0], [1.0, 0.0], [1.2, 1.1]], [0, 1, 1, 0]
    >>> model = VariationalQuantumClassifier("angle", max_iter=1000, random_state=0)
    >>> vqc = to_qiskit_vqc(model.fit(X, y))
    >>> vqc.num_qubits, len(vqc.initial_point)
    (2, 16)
    """
    from qiskit_machine_learning.algorithms import VQC
    from qiskit_machine_learning.optimizers import OptimizerResult

    _, _, _, interpret, K = _parts(model)
    if model.model_.reuploading:
        raise ValueError("a VQC has no re-uploading; use to_sampler_qnn.")
    vqc = VQC(
        feature_map=model.feature_map_, ansatz=model.ansatz_, interpret=interpret,
        output_shape=K, initial_point=model.weights_, sampler=sampler,
    )  # fmt: skip
    result = OptimizerResult()
    result.x, result.fun = model.weights_.copy(), model.loss_
    # There is no public way to hand trained weights to a VQC.
    vqc._fit_result, vqc._num_classes = result, K
    return vqc


def _parts(model: Any) -> tuple[Any, Any, Any, Any, int]:
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(model)
    readout = model.model_.readout
    if readout.classes is None:
        raise ValueError("a model with an observable has no interpretation.")
    circuit, features, weights = full_circuit(model.model_)
    interpret = TabulatedInterpretation(readout.classes)
    return circuit, features, weights, interpret, readout.n_classes
