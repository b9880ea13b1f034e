"""Counterfactual explanations: the nearest input that is put into another class."""

import dataclasses
import math
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from dfo._measure_surrogate import probabilities
from dfo.attack.counterfactual import nearest_counterfactual
from dfo.attack.estimators import fitted, network_arrays
from dfo.attack.layers import Network
from dfo.attack.network import as_network
from dfo.direct.poll import Claim
from farkas.base import CertifiedMixin, certified_fit, check_choice, check_number
from farkas.certificate import Certificate
from farkas.status import Status

Array = NDArray[np.float64]

NORMS = (1, 2, "inf")


@dataclasses.dataclass(frozen=True)
class Counterfactuals:
    """Explained rows, each with its certificate.

    Parameters
    ----------
    inputs : ndarray of shape (m, n)
        The nearest inputs of the target class; the row itself where none was found.
    distances : ndarray of shape (m,)
        How far they are, inf where none was found.
    success : ndarray of shape (m,) of bool
        Whether they reach the threshold.
    certificates : list of Certificate
        What ``farkas.verify(certificate, X, y)`` checks, with the training data.
    """

    inputs: Array
    distances: Array
    success: NDArray[np.bool_]
    certificates: list[Certificate]


class CounterfactualExplainer(
    CertifiedMixin, ClassifierMixin, TransformerMixin, BaseEstimator
):
    """Show by how little an input must change to be put into another class.

    Parameters
    ----------
    classifier : estimator, optional
        A network that :func:`as_network` takes, cloned and fitted. Default: a
        standardised ``MLPClassifier`` with 16 tanh units.
    target : label, optional
        The class to be reached; default the last one.
    threshold : float, default=0.9
        Probability that it must get.
    norm : {1, 2, "inf"}, default=2
        Of the distance, in standard deviations of the columns.
    immutable : array-like of int, optional
        Columns that must not change.
    bounds : "data", default="data"
        Box of the inputs: the ranges of the training data, widened to the explained
        row.
    max_evaluations : int, optional
        Budget of the direct search for a row, default ``60 (n + 1)``.
    max_iter : int, optional
        Largest number of its iterations.
    tol : float, default=1e-2
        Final poll radius, in standard deviations.
    random_state : int or None
        Of classifier and search.

    Attributes
    ----------
    classifier_ : estimator
        The fitted classifier.
    classes_ : ndarray
        The labels.
    reference_ : ndarray of shape (n,)
        Median of the training rows of other classes, which the fit explains.
    certificate_ : Certificate
        Of the counterfactual of ``reference_``.
    distances_ : ndarray of shape (1,)
        Its distance, inf if none was found.
    success_ : ndarray of shape (1,) of bool
        Whether it reaches the threshold.
    history_ : dict of str to ndarray
        Course of the search around ``reference_``.
    status_ : Status
        Why it ended.
    message_ : str
        The same as a sentence.
    n_iter_ : int
        Its number of iterations.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of str
        Their names, if the data had any.

    See Also
    --------
    directional_attack : The attack that finds a first valid input.

    Examples
    --------
    >>> import farkas
    >>> from sklearn.datasets import load_iris
    >>> from dfo import CounterfactualExplainer
    >>> X, y = load_iris(return_X_y=True)
    >>> model = CounterfactualExplainer(random_state=0).fit(X, y)
    >>> found = model.explain(X[:1])
    >>> bool(found.success[0]), bool(farkas.verify(found.certificates[0], X, y))
    (True, True)
    """

    def __init__(
        self,
        classifier: Any = None,
        target: Any = None,
        *,
        threshold: float = 0.9,
        norm: Any = 2,
        immutable: Any = None,
        bounds: str = "data",
        max_evaluations: int | None = None,
        max_iter: int | None = None,
        tol: float = 1e-2,
        random_state: Any = None,
    ) -> None:
        self.classifier = classifier
        self.target = target
        self.threshold = threshold
        self.norm = norm
        self.immutable = immutable
        self.bounds = bounds
        self.max_evaluations = max_evaluations
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    @certified_fit
    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit the classifier, and explain the median of the other classes.

        Parameters
        ----------
        X : array-like of shape (m, n)
            Inputs.
        y : array-like of shape (m,)
            Labels.

        Returns
        -------
        CounterfactualExplainer
        """
        check_number("threshold", self.threshold, low=0, high=1, inclusive="neither")
        check_number("tol", self.tol, low=0, inclusive="neither")
        check_choice("norm", self.norm, NORMS)
        check_choice("bounds", self.bounds, ("data",))
        for name in ("max_evaluations", "max_iter"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), low=1, integer=True)
        self._data = (X, y)
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, numbers = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y holds one class, {self.classes_[0]!r}; there is none to go to."
            )
        wanted = self.classes_[-1] if self.target is None else self.target
        if wanted not in self.classes_:
            raise ValueError(f"target={wanted!r} is none of the labels of y.")
        self._target = int(np.flatnonzero(self.classes_ == wanted)[0])
        n = X.shape[1]
        self._fixed = np.unique(
            np.asarray([] if self.immutable is None else self.immutable, dtype=np.int64)
        )
        if len(self._fixed) and not (0 <= self._fixed[0] and self._fixed[-1] < n):
            raise ValueError(f"immutable must number columns below {n}.")
        self.classifier_ = fitted(
            self.classifier, _classifier(), X, numbers, self.random_state
        )
        phi = as_network(self.classifier_)
        if not isinstance(phi, Network):
            raise TypeError(
                f"classifier={type(self.classifier_).__name__} has no derivatives; "
                "use a network, or a pipeline of scalers and a network."
            )
        self._phi = phi
        self._logits = as_network(self.classifier_, output="logits")
        self._lower, self._upper = X.min(axis=0), X.max(axis=0)
        spread = X.std(axis=0)
        self._unit = np.where(spread > 0, spread, 1.0)
        self._rows = X[numbers == self._target]
        self.reference_ = np.median(X[numbers != self._target], axis=0)
        result = self._explain(
            self.reference_,
            self._solver_callback(
                X,
                y,
                reconstruction_attributes=lambda _: {
                    "classifier_": self.classifier_,
                    "classes_": self.classes_,
                },
            ),
        )
        found = _collected([result], self.reference_[None])
        self.distances_, self.success_ = found.distances, found.success
        self._record_fit(
            certificate=result.certificate,
            history=result.history,
            n_iter=result.nit,
            status=_ended(result),
        )
        return self

    def explain(self, X: ArrayLike) -> Counterfactuals:
        """Return the nearest inputs of the target class with their certificates.

        Parameters
        ----------
        X : array-like of shape (m, n)
            Rows to be explained.

        Returns
        -------
        Counterfactuals
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return _collected([self._explain(row) for row in X], X)

    def transform(self, X: ArrayLike) -> Array:
        """Return the nearest inputs of the target class.

        Parameters
        ----------
        X : array-like of shape (m, n)
            Rows to be explained.

        Returns
        -------
        ndarray of shape (m, n)
            A row itself where nothing was found; :meth:`explain` tells where.
        """
        return self.explain(X).inputs

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the labels that the classifier gives.

        Parameters
        ----------
        X : array-like of shape (m, n)
            Inputs.

        Returns
        -------
        ndarray of shape (m,)
        """
        check_is_fitted(self)
        return self.classes_[np.argmax(self.predict_proba(X), axis=1)]

    def decision_function(self, X: ArrayLike) -> Array:
        """Return the logits of the classifier.

        Parameters
        ----------
        X : array-like of shape (m, n)
            Inputs.

        Returns
        -------
        ndarray of shape (m,) or (m, classes)
            For two classes that of the second one.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        Z = self._logits.forward(X)
        return Z[:, 0] if Z.shape[1] == 1 else Z

    def predict_proba(self, X: ArrayLike) -> Array:
        """Return the probabilities that the classifier gives.

        Parameters
        ----------
        X : array-like of shape (m, n)
            Inputs.

        Returns
        -------
        ndarray of shape (m, classes)
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return np.asarray(self.classifier_.predict_proba(X))

    def _explain(self, row: Array, callback: Any = None) -> Any:
        lower, upper = np.minimum(self._lower, row), np.maximum(self._upper, row)
        lower[self._fixed] = upper[self._fixed] = row[self._fixed]
        witness = {
            **network_arrays(self._phi),
            "original": row,
            "unit": self._unit,
            "fixed": self._fixed,
        }
        parameters = {
            "target": self._target,
            "threshold": float(self.threshold),
            "norm": str(self.norm),
        }
        return nearest_counterfactual(
            _Probabilities(self._phi),
            self._logits,
            row,
            self._target,
            float(self.threshold),
            str(self.norm),
            lower,
            upper,
            self._unit,
            maxfev=self.max_evaluations or 60 * (len(row) + 1),
            xtol=float(self.tol),
            claim=Claim("dfo.counterfactual/1", self._data, witness, parameters),
            candidates=self._rows,
            random_state=0,
            maxiter=self.max_iter,
            callback=callback,
        )


def _collected(results: list[Any], rows: Array) -> Counterfactuals:
    success = np.array([result.maxcv == 0 for result in results])
    pairs = list(zip(results, success, strict=True))
    return Counterfactuals(
        inputs=np.array(
            [r.x if ok else row for (r, ok), row in zip(pairs, rows, strict=True)]
        ),
        distances=np.array([r.fun if ok else math.inf for r, ok in pairs]),
        success=success,
        certificates=[result.certificate for result in results],
    )


def _ended(result: Any) -> Status:
    """Count a budget as well spent when the poll at its end holds."""
    stopped = result.status is Status.CALLBACK or not result.certificate.satisfied
    return result.status if stopped else Status.CONVERGED


class _Probabilities(Network):
    """Class probabilities, exactly as the measure computes them."""

    def __init__(self, phi: Network) -> None:
        super().__init__(phi.layers)

    def forward(self, X: ArrayLike) -> Array:
        return probabilities(self.layers, np.asarray(X, dtype=np.float64))


def _classifier() -> Pipeline:
    network = MLPClassifier(
        hidden_layer_sizes=(16,),
        activation="tanh",
        solver="lbfgs",
        alpha=1e-2,
        max_iter=1000,
    )
    return make_pipeline(StandardScaler(), network)
