"""The variational classifier: validate, call the solver, store."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from farkas.base import CertifiedMixin, certified_fit
from quantum.decisions import Decisions
from quantum.encodings import feature_map_circuit
from quantum.model import effect_matrix
from quantum.primitives import full_circuit, without_live_handles
from quantum.variational import VariationalFit

Array = NDArray[np.float64]


class VariationalQuantumClassifier(
    Decisions, VariationalFit, CertifiedMixin, ClassifierMixin, BaseEstimator
):
    """Variational quantum classifier with a proven floor under its loss.

    A row x becomes a state ``psi(x)``, a circuit ``U(theta)`` acts on it, and the bit
    strings that are measured are sorted into classes. The mean loss of the class
    probabilities is minimised over theta. The certificate bounds from below the loss of
    *every* circuit on the same encoded data.

    Parameters
    ----------
    feature_map : str or QuantumCircuit, default="auto"
        "zz", "z", "angle", "rx", "rz", "dense_angle", "amplitude", "reupload" (layers
        of angles between blocks of the ansatz), or a circuit whose parameters are the
        features. "auto" is "zz", with a qubit for each feature, up to 12 features or
        on a backend, and "amplitude", with ``log2(n_features)`` qubits, above. Angles
        are in radians: scale the features, for example with ``MinMaxScaler``.
    ansatz : str or QuantumCircuit, default="efficient_su2"
        "efficient_su2", "real_amplitudes", or a circuit whose parameters are weights.
    n_qubits : int, default=None
        Checked against the feature map; with "auto" it chooses between the two.
    feature_map_reps : int, default=2
        Repetitions of the ZZ and Z maps, layers of "reupload".
    feature_map_entanglement : str, default="full"
        Pairs that the ZZ map couples.
    ansatz_reps : int, default=3
        Entangling blocks of the ansatz.
    entanglement : str, default="reverse_linear"
        Pairs that the ansatz entangles: "full", "linear", "reverse_linear", "circular",
        "sca" or "pairwise".
    interpret : str or callable, default=None
        Class of a bit string: "parity" (default for two classes), "majority", "modulo"
        (default for more), or a function of the integer.
    observable : str, Pauli, SparsePauliOp, or list of them, default=None
        Expectation value to use instead, for two classes: a Pauli word such as "ZZ", or
        a sum of words. A list holds one a class: the loss adds up over the classes, the
        largest value decides, and there is no floor.
    loss : str, default="cross_entropy"
        "cross_entropy" (natural logarithm) or "squared"; with an observable "squared",
        "hinge" or "logistic".
    optimizer : str, default="lbfgs"
        "lbfgs", "slsqp", "adam", "aqgd", "qng", "sequential" use exact gradients or
        the structure of the circuit; "cobyla", "cobyqa", "spsa", "qnspsa" do not.
    optimizer_options : dict, default=None
        Further arguments of the optimizer function.
    max_iter : int, default=100
        Iterations; of COBYLA and COBYQA, evaluations.
    tol : float, default=1e-6
        Largest gradient entry at which the fit counts as converged.
    max_time : float, default=None
        Seconds for each start.
    initial_point : array-like of shape (P,), default=None
        First weights.
    init : str, default="normal"
        How to draw them: "normal", "uniform", "small", "zeros", "identity_block".
    n_restarts : int, default=1
        Number of starts, of which the best is kept.
    batch_size : int, default=None
        Samples in each step of "adam", "qng", "qnspsa".
    backend : object, default=None
        A Qiskit V2 sampler (or, with an observable, estimator). None is the exact
        built-in simulator.
    pass_manager : PassManager, default=None
        Transpiles the circuit for the backend.
    shots : int, default=None
        Shots a sample; None is exact.
    max_retries : int, default=2
        How often a failed job of the backend is tried again.
    max_circuits_per_job : int, default=None
        Largest number of circuits in one job of the backend.
    readout_error : array-like of shape (n, 2, 2), default=None
        Probability ``[q, i, j]`` of reading i on qubit q when j is true. Like
        ``depolarizing``, neither with an observable nor on a backend.
    depolarizing : float, default=0.0
        Weight of the uniform mixture.
    certify : {"full", "one_shot", "gradient", False}, default="full"
        "full" proves the best floor, "one_shot" the one that the trained circuit's own
        outputs give, "gradient" none.
    prob_floor : float, default=1e-9
        Cross-entropy is that of ``prob_floor + (1 - K prob_floor) p``.
    class_weight : dict or "balanced", default=None
        Weights of the classes.
    warm_start : bool, default=False
        Start from the weights of the last fit.
    callback : callable, default=None
        Called in each iteration with the keyword ``intermediate_result``.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where the simulator runs; "auto" is the CPU.
    n_jobs : int, default=None
        Processes for several starts; the result does not depend on it.
    random_state : int, RandomState or None, default=None
        Determines starts, batches and shots.
    verbose : {0, 1, 2}, default=0
        1 prints a line now and then, 2 in each iteration.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    n_qubits_ : int
        Number of qubits.
    weights_ : ndarray of shape (P,)
        Trained weights, in the order of ``circuit.parameters``.
    loss_ : float
        Mean loss on the training data at these weights.
    loss_curve_ : ndarray
        Loss in each iteration.
    nfev_ : int
        Number of loss evaluations.
    optimizer_result_ : OptimizeResult
        What the optimizer returned.
    idle_parameters_ : ndarray
        Weights that change no output; they are kept fixed.
    model_ : CircuitModel
        The circuit without its weights.
    certificate_ : Certificate or None
        ``value`` is the largest gradient entry, ``lower`` the floor, ``upper`` the
        loss. Re-check it with ``farkas.verify(model, X, y)``.
    history_ : dict of ndarray
        Columns ``iteration``, ``elapsed``, ``objective``, ``certificate``, ``nfev``.
    n_iter_ : int
        Number of iterations.
    status_ : Status
        Why the fit stopped.
    message_ : str
        The same as a sentence.
    n_features_in_ : int
        Number of features seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X had any.

    See Also
    --------
    OptimalMeasurementClassifier : The best measurement, without a circuit.

    References
    ----------
    Havlicek et al., arXiv:1804.11326; Joshi, Katyayan, Ahmed, arXiv:2102.08949.

    Examples
    --------
    >>> import farkas
    >>> from quantum import VariationalQuantumClassifier
    >>> X, y = [[0.0, 0.1], [0.2, 1.0], [1.0, 0.0], [1.2, 1.1]], ["a", "b", "b", "a"]
    >>> model = VariationalQuantumClassifier(random_state=0, max_iter=1000).fit(X, y)
    >>> model.predict(X).tolist()
    ['a', 'b', 'b', 'a']
    >>> bool(farkas.verify(model, X, y))
    True
    """

    def __init__(
        self,
        feature_map: Any = "auto",
        ansatz: Any = "efficient_su2",
        *,
        n_qubits: int | None = None,
        feature_map_reps: int = 2,
        feature_map_entanglement: str = "full",
        ansatz_reps: int = 3,
        entanglement: str = "reverse_linear",
        interpret: Any = None,
        observable: Any = None,
        loss: str = "cross_entropy",
        optimizer: str = "lbfgs",
        optimizer_options: dict[str, Any] | None = None,
        max_iter: int = 100,
        tol: float = 1e-6,
        max_time: float | None = None,
        initial_point: ArrayLike | None = None,
        init: str = "normal",
        n_restarts: int = 1,
        batch_size: int | None = None,
        backend: Any = None,
        pass_manager: Any = None,
        shots: int | None = None,
        max_retries: int = 2,
        max_circuits_per_job: int | None = None,
        readout_error: ArrayLike | None = None,
        depolarizing: float = 0.0,
        certify: str | bool = "full",
        prob_floor: float = 1e-9,
        class_weight: Any = None,
        warm_start: bool = False,
        callback: Any = None,
        device: str = "auto",
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.feature_map = feature_map
        self.ansatz = ansatz
        self.n_qubits = n_qubits
        self.feature_map_reps = feature_map_reps
        self.feature_map_entanglement = feature_map_entanglement
        self.ansatz_reps = ansatz_reps
        self.entanglement = entanglement
        self.interpret = interpret
        self.observable = observable
        self.loss = loss
        self.optimizer = optimizer
        self.optimizer_options = optimizer_options
        self.max_iter = max_iter
        self.tol = tol
        self.max_time = max_time
        self.initial_point = initial_point
        self.init = init
        self.n_restarts = n_restarts
        self.batch_size = batch_size
        self.backend = backend
        self.pass_manager = pass_manager
        self.shots = shots
        self.max_retries = max_retries
        self.max_circuits_per_job = max_circuits_per_job
        self.readout_error = readout_error
        self.depolarizing = depolarizing
        self.certify = certify
        self.prob_floor = prob_floor
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.callback = callback
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @certified_fit
    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> VariationalQuantumClassifier:
        """Train the circuit.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,)
            Class labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples in the mean loss.

        Returns
        -------
        self : VariationalQuantumClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data are out of range, or there is one class only.
        KeyboardInterrupt
            Passed on once the best weights so far and their certificate are stored.
        """
        self._fit(X, y, sample_weight)
        return self

    @available_if(lambda self: self.observable is None)
    def predict_proba(self, X: ArrayLike) -> Array:
        """Return class probabilities; not with an observable.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Rows sum to one.
        """
        return self._decide(X)

    def observable_matrix(self) -> NDArray[np.complex128]:
        """Return the operator M whose expectation value is the second class.

        Returns
        -------
        ndarray of shape (d, d)
            ``U(theta)^H E U(theta)``; with an observable that operator, with more than
            two classes the one of the last class.
        """
        check_is_fitted(self)
        return effect_matrix(self.model_, self.weights_)

    @property
    def circuit_(self) -> Any:
        """Encoding and ansatz in one circuit, weights as parameters."""
        check_is_fitted(self)
        return full_circuit(self.model_)[0]

    @property
    def feature_map_(self) -> Any:
        """The encoding as a circuit."""
        check_is_fitted(self)
        return feature_map_circuit(self.model_.encoding)

    @property
    def ansatz_(self) -> Any:
        """The ansatz as a circuit."""
        check_is_fitted(self)
        return self._ansatz_circuit()

    def draw(self, output: str = "text", **options: Any) -> Any:
        """Draw the whole circuit.

        Parameters
        ----------
        output : str, default="text"
            As in ``QuantumCircuit.draw``.
        **options : object
            Passed on.

        Returns
        -------
        object
            What Qiskit returns.
        """
        return self.circuit_.draw(output=output, **options)

    def __getstate__(self) -> dict[str, Any]:
        return without_live_handles(super().__getstate__())

    def _decide(self, X: ArrayLike) -> Array:
        outputs = self._outputs(X)
        readout = self.model_.readout
        if readout.members is not None:
            return outputs[1] - outputs[0] if readout.n_classes == 2 else outputs.T
        if readout.is_observable:
            return outputs[0]
        return self.model_.probabilities(outputs)

    def _outputs(self, X: ArrayLike) -> Array:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        return self._evaluate(X)
