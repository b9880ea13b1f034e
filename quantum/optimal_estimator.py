"""The classifier by the best measurement: validate, call the solver, store."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from farkas.base import CertifiedMixin, certified_fit
from quantum.decisions import Decisions
from quantum.measurement_fit import MeasurementFit

Array = NDArray[np.float64]


class OptimalMeasurementClassifier(
    Decisions, MeasurementFit, CertifiedMixin, ClassifierMixin, BaseEstimator
):
    """Classifier by the best measurement of encoded data, proven to be the best.

    Minimises the mean loss over all measurements of the encoded states, a convex
    problem that contains every circuit. Its optimum is a floor under the loss of all
    variational classifiers with this encoding; as a classifier it has ``d^2`` degrees
    of freedom and fits the training data closely when that is not far below the number
    of samples: use ``alpha`` then.

    Parameters
    ----------
    feature_map : str or QuantumCircuit, default="auto"
        As in :class:`VariationalQuantumClassifier`.
    feature_map_reps : int, default=2
        Repetitions of the ZZ and Z maps.
    feature_map_entanglement : str, default="full"
        Pairs that the ZZ map couples.
    rank : float, "half" or None, default="half"
        Trace of the effect of the second class; None allows any. Not used for more
        than two classes.
    loss : {"cross_entropy", "squared"}, default="cross_entropy"
        Loss of the class probabilities.
    alpha : float, default=0.0
        Weight of ``|M - r/d I|_F^2``, for more classes ``sum_c |M_c - I/K|_F^2``.
    tol : float, default=1e-6
        Proven gap at which to stop.
    max_iter : int, default=2000
        Largest number of iterations.
    max_time : float, default=None
        Seconds.
    prob_floor : float, default=1e-9
        Cross-entropy is that of ``prob_floor + (1 - K prob_floor) p``.
    class_weight : dict or "balanced", default=None
        Weights of the classes.
    verbose : {0, 1, 2}, default=0
        1 prints a line now and then, 2 in each iteration.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    n_qubits_ : int
        Number of qubits.
    measurement_ : ndarray of shape (k, k) or (n_classes, k, k)
        Effect of the second of two classes, or all effects.
    basis_ : ndarray of shape (d, k) or None
        Orthonormal basis in which it is written, when there are fewer samples than
        dimensions; outside of it the measurement is a multiple of the identity.
    rank_ : float or None
        Trace of the effect of the second class.
    encoding_ : Encoding
        The encoding.
    loss_ : float
        Mean loss on the training data.
    lower_bound_ : float
        Floor under the loss (with the penalty, if there is one).
    certificate_ : Certificate
        Re-check it with ``farkas.verify(model, X, y)``.
    history_ : dict of ndarray
        Columns ``iteration``, ``elapsed``, ``objective``, ``certificate``,
        ``lower_bound``, and ``barrier`` for more than two classes.
    n_iter_ : int
        Number of iterations.
    status_ : Status
        Why the solver stopped.
    message_ : str
        The same as a sentence.
    n_features_in_ : int
        Number of features seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X had any.

    See Also
    --------
    optimal_measurement : The solver as a plain function.

    Examples
    --------
    >>> import farkas
    >>> from quantum import OptimalMeasurementClassifier
    >>> X, y = [[0.0, 0.1], [0.2, 1.0], [1.0, 0.0], [1.2, 1.1]], ["a", "b", "b", "a"]
    >>> model = OptimalMeasurementClassifier().fit(X, y)
    >>> model.predict(X).tolist(), model.certificate_.guarantee.name
    (['a', 'b', 'b', 'a'], 'GLOBAL')
    >>> bool(farkas.verify(model, X, y))
    True
    """

    def __init__(
        self,
        feature_map: Any = "auto",
        *,
        feature_map_reps: int = 2,
        feature_map_entanglement: str = "full",
        rank: Any = "half",
        loss: str = "cross_entropy",
        alpha: float = 0.0,
        tol: float = 1e-6,
        max_iter: int = 2000,
        max_time: float | None = None,
        prob_floor: float = 1e-9,
        class_weight: Any = None,
        verbose: int = 0,
    ) -> None:
        self.feature_map = feature_map
        self.feature_map_reps = feature_map_reps
        self.feature_map_entanglement = feature_map_entanglement
        self.rank = rank
        self.loss = loss
        self.alpha = alpha
        self.tol = tol
        self.max_iter = max_iter
        self.max_time = max_time
        self.prob_floor = prob_floor
        self.class_weight = class_weight
        self.verbose = verbose

    @certified_fit
    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> OptimalMeasurementClassifier:
        """Find the best measurement.

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
        self : OptimalMeasurementClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data are out of range, or there is one class only.
        """
        self._fit(X, y, sample_weight)
        return self

    def predict_proba(self, X: ArrayLike) -> Array:
        """Return class probabilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Rows sum to one.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        return self._probabilities(X)

    _decide = predict_proba

    def to_circuit(self) -> tuple[Any, float]:
        """Return a circuit that measures almost alike, and the loss that costs.

        The eigenvectors of the effect are rotated onto the computational basis, and
        its eigenvalues rounded to 0 and 1. Bit strings with the integer value at least
        ``d - r`` are read as the second class.

        Returns
        -------
        circuit : QuantumCircuit
            One unitary gate, to be put behind the feature map.
        increase : float
            Mean training loss of the rounded measurement less that of the best one.

        Raises
        ------
        ValueError
            For more than two classes, or a rank that is no integer.
        """
        check_is_fitted(self)
        return self._circuit()
