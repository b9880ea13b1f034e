"""scikit-learn estimators of the sampled convex program."""

import dataclasses
import math
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import block_diag
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from convexnn._measure_losses import encode_targets, with_intercept
from convexnn.program import Settings
from convexnn.scp import Solution, final_status, mint, solve
from convexnn.units import (
    SCP_LOSSES,
    check_targets,
    make_features,
    sample_units,
    unit_network,
)
from farkas.base import CertifiedMixin, certified_fit, check_choice, check_number
from farkas.parallel import pmap
from farkas.status import Status

Array = NDArray[np.float64]


class SampledMLP(CertifiedMixin, BaseEstimator):
    """Parameters, training and output of a network on sampled units; not for users."""

    def __init__(
        self,
        alpha: float = 0.1,
        *,
        n_units: int = 1000,
        loss: str = "squared",
        fit_intercept: bool = True,
        intercept_scaling: float = 1.0,
        max_iter: int = 200,
        tol: float = 1e-4,
        max_time: float | None = None,
        certificate: str | None = "units",
        warm_start: bool = False,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.alpha = alpha
        self.n_units = n_units
        self.loss = loss
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.max_iter = max_iter
        self.tol = tol
        self.max_time = max_time
        self.certificate = certificate
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _check_parameters(self, losses: tuple[str, ...]) -> Settings:
        check_choice("loss", self.loss, losses)
        check_choice("certificate", self.certificate, ("units", None))
        check_number("alpha", self.alpha, low=0, inclusive="neither")
        check_number("n_units", self.n_units, low=1, integer=True)
        if self.fit_intercept:
            check_number(
                "intercept_scaling", self.intercept_scaling, low=0, inclusive="neither"
            )
        settings = Settings.validated(
            self.tol,
            self.max_iter,
            self.max_time,
            "auto",
            callback=None,
            history_every=1,
            verbose=self.verbose,
        )
        return dataclasses.replace(settings, name=type(self).__name__)

    def _fit_programs(
        self, X: Array, y: Any, encoding: str, settings: Settings
    ) -> None:
        """Solve one program for each column of the encoded targets, and store."""
        intercept = float(self.intercept_scaling) if self.fit_intercept else 0.0
        data = with_intercept(X, intercept)
        Y = encode_targets(np.asarray(y), encoding)
        check_targets(Y, self.loss)
        self._intercept = intercept
        earlier = self._earlier_fit(data.shape[1], Y.shape[1])
        if earlier is None:
            self.units_ = sample_units(
                data.shape[1], self.n_units, random_state=self.random_state
            )
        solutions = self._solve_all(data, Y, earlier, settings, X, y)
        for name, value in self._network([part.coef for part in solutions]).items():
            setattr(self, name, value)
        certificate = None
        status = max((part.status for part in solutions), key=abs)
        self.objective_ = math.fsum(part.upper for part in solutions)
        self.lower_bound_ = math.fsum(part.lower for part in solutions)
        if self.certificate is not None:
            parameters = {
                "alpha": float(self.alpha),
                "loss": self.loss,
                "encoding": encoding,
                "intercept": intercept,
            }
            certificate = mint(solutions, (X, y), self.units_, parameters, self.tol)
            status = final_status(status, certificate)
            self.objective_, self.lower_bound_ = certificate.upper, certificate.lower
        self.gap_ = self.objective_ - self.lower_bound_
        interrupted = any(part.interrupted for part in solutions)
        self._record_fit(
            certificate=certificate,
            history=_joined(solutions),
            n_iter=max(part.nit for part in solutions),
            status=status,
            message="Interrupted by the user." if interrupted else status.message,
        )
        if interrupted:
            raise KeyboardInterrupt

    def _solve_all(
        self,
        data: Array,
        Y: Array,
        earlier: Array | None,
        settings: Settings,
        X: Array,
        y: Any,
    ) -> list[Solution]:
        units, features = self.units_, make_features(data, self.units_)
        solutions: list[Solution] = []

        def attributes(progress: Any) -> dict[str, Any]:
            """Fitted attributes as if the fit stopped here: later outputs are zero."""
            coef = np.zeros((Y.shape[1], units.shape[1]))
            for c, part in enumerate(solutions):
                coef[c] = part.coef
            coef[len(solutions)] = progress.x
            return self._network(list(coef))

        def solve_one(c: int, settings: Settings = settings) -> Solution:
            start = None if earlier is None else earlier[c]
            target = np.ascontiguousarray(Y[:, c])
            program = data, target, units, float(self.alpha), self.loss, settings
            return solve(*program, start=start, features=features)

        callback = self._solver_callback(X, y, reconstruction_attributes=attributes)
        if callback is None and effective_n_jobs(self.n_jobs) > 1:
            return pmap(solve_one, range(Y.shape[1]), n_jobs=self.n_jobs)
        for c in range(Y.shape[1]):  # a callback or Ctrl-C stops all that follow
            stopped = any(done.status is Status.CALLBACK for done in solutions)
            told = dataclasses.replace(
                settings, callback=_stop if stopped else callback
            )
            solutions.append(solve_one(c, told))
        return solutions

    def _earlier_fit(self, d: int, n_outputs: int) -> Array | None:
        """Coefficients of the last fit, if its units fit the new program."""
        coef, units = getattr(self, "unit_coef_", None), getattr(self, "units_", None)
        if not self.warm_start or coef is None or units is None:
            return None
        fits = len(units) == d and coef.shape == (n_outputs, self.n_units)
        return coef if fits else None

    def _network(self, coef: list[Array]) -> dict[str, Any]:
        """Return the fitted attributes that predictions need."""
        networks = [unit_network(self.units_, part) for part in coef]
        hidden = np.concatenate([U for U, _ in networks], axis=1)
        output = block_diag(*[a[:, None] for _, a in networks])
        biases = np.zeros(hidden.shape[1])
        if self._intercept:
            hidden, biases = hidden[:-1], self._intercept * hidden[-1]
        return {
            "coefs_": [hidden, output],
            "intercepts_": [biases, np.zeros(len(networks))],
            "n_hidden_": hidden.shape[1],
            "unit_coef_": np.stack(coef),
        }

    def _output(self, X: ArrayLike) -> Array:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        (hidden, output), (biases, _) = self.coefs_, self.intercepts_
        return np.maximum(X @ hidden + biases, 0.0) @ output


def _stop(intermediate_result: Any) -> None:
    raise StopIteration


def _joined(solutions: list[Solution]) -> dict[str, NDArray[Any]]:
    """Add up the histories of all outputs; one that has finished keeps its last row."""
    histories = [solution.history for solution in solutions]
    iterations = np.unique(np.concatenate([h["iteration"] for h in histories]))
    joined = {"iteration": iterations}
    for name in ("elapsed", "objective", "certificate", "lower_bound"):
        columns = []
        for history in histories:
            row = np.searchsorted(history["iteration"], iterations, side="right") - 1
            columns.append(history[name][np.maximum(row, 0)])
        joined[name] = np.sum(columns, axis=0)
    return joined


class SCPClassifier(ClassifierMixin, SampledMLP):
    """ReLU classifier on random hidden units, whose output weights are proven optimal.

    For each output, with unit vectors ``u_j`` drawn from the sphere::

        min_a  L(sum_j a_j (X u_j)_+, y) + alpha |a|_1

    Its solution is a two-layer ReLU network with the smallest loss plus ``alpha / 2``
    times the sum of squared weights, among networks whose hidden units are multiples of
    the ``u_j``. Several classes are trained one against the rest, on the same units.

    Parameters
    ----------
    alpha : float, default=0.1
        Weight of the penalty against the sum of losses. It assumes standardised
        columns, and corresponds to ``alpha`` of scikit-learn's full-batch
        ``MLPClassifier``.
    n_units : int, default=1000
        Number of hidden units to draw from the sphere. The penalty chooses among them.
    loss : {"squared", "logistic", "hinge"}, default="squared"
        Loss on targets -1 and +1. ``"logistic"`` gives ``predict_proba``.
    fit_intercept : bool, default=True
        Append a constant column, whose weights are penalised like the others.
    intercept_scaling : float, default=1.0
        Value of that column.
    max_iter : int, default=200
        Largest number of rounds of the working set for each output.
    tol : float, default=1e-4
        Largest proven gap, relative to the objective, at which to stop. A fit that a
        limit ends before counts as converged if the gap is at most ``tol`` times the
        loss of the zero network, the scale of its certificate.
    max_time : float, default=None
        Seconds for each output after which the best network so far is kept.
    certificate : {"units", None}, default="units"
        None mints none.
    warm_start : bool, default=False
        Start from the last fit, with its units.
    n_jobs : int, default=None
        Processes for several outputs; the result does not depend on it.
    random_state : int, RandomState or None, default=None
        Determines the units.
    verbose : {0, 1, 2}, default=0
        1 prints a line now and then, 2 at every round.

    Attributes
    ----------
    coefs_ : list of two ndarray, (n_features, n_hidden) and (n_hidden, n_outputs)
        Weights as in ``MLPClassifier``, of the units in use.
    intercepts_ : list of two ndarray, (n_hidden,) and (n_outputs,)
        Biases as in ``MLPClassifier``.
    n_hidden_ : int
        Number of units in use; each output has its own.
    units_ : ndarray of shape (d, n_units)
        All units that were drawn, of length one; the last row for the intercept.
    unit_coef_ : ndarray of shape (n_outputs, n_units)
        Solution of the l1 program.
    objective_ : float
        Objective of the network, summed over outputs.
    lower_bound_ : float
        Proven lower bound of the program's optimum.
    gap_ : float
        Proven gap of the program.
    certificate_ : Certificate or None
        Re-check it with ``farkas.verify(model, X, y)``.
    history_ : dict of ndarray
        Columns ``iteration``, ``elapsed``, ``objective``, ``certificate`` and
        ``lower_bound``.
    n_iter_ : int
        Rounds, of the output that took most.
    status_ : Status
        Why the solver stopped.
    message_ : str
        The same as a sentence.
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    n_features_in_ : int
        Number of features seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X had any.
    See Also
    --------
    SCPRegressor : The same for real targets.
    ConvexMLPClassifier : Chooses the hidden weights as well.
    solve_scp : The solver as a plain function.

    References
    ----------
    Bai, Gautam, Sojoudi, "Efficient Global Optimization of Two-Layer ReLU Networks",
    arXiv:2201.01965, section 4.

    Examples
    --------
    >>> import farkas
    >>> from convexnn import SCPClassifier
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], ["even", "odd", "odd", "even"]
    >>> model = SCPClassifier(0.01, random_state=0).fit(X, y)
    >>> model.predict(X).tolist(), model.certificate_.guarantee.name
    (['even', 'odd', 'odd', 'even'], 'GLOBAL')
    >>> bool(farkas.verify(model, X, y))
    True
    """

    @certified_fit
    def fit(self, X: ArrayLike, y: ArrayLike) -> "SCPClassifier":
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,)
            Class labels.

        Returns
        -------
        self : SCPClassifier
            The fitted estimator.

        Raises
        ------
        TypeError
            If a parameter has the wrong type.
        ValueError
            If a parameter or the data are out of range, or there is one class only.
        """
        settings = self._check_parameters(SCP_LOSSES)
        X, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        classes = np.unique(labels)
        if len(classes) < 2:
            raise ValueError(
                f"y holds one class, {classes[0]!r}; a classifier needs at least 2 "
                "classes."
            )
        self.classes_ = classes
        self._fit_programs(X, y, "labels", settings)
        return self

    def decision_function(self, X: ArrayLike) -> Array:
        """Return the output of the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            Positive values favour the second of two classes; else one column a class.
        """
        output = self._output(X)
        return output.ravel() if output.shape[1] == 1 else output

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most likely class of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples,)
            Class labels.
        """
        output = self.decision_function(X)
        index = (output > 0).astype(int) if output.ndim == 1 else output.argmax(axis=1)
        return self.classes_[index]

    @available_if(lambda self: self.loss == "logistic")
    def predict_proba(self, X: ArrayLike) -> Array:
        """Return class probabilities; only with ``loss="logistic"``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Rows sum to one; several classes are normalised one-vs-rest scores.
        """
        positive = expit(self._output(X))
        if positive.shape[1] == 1:
            return np.column_stack([1.0 - positive[:, 0], positive[:, 0]])
        total = positive.sum(axis=1, keepdims=True)
        uniform = 1.0 / positive.shape[1]
        return np.divide(
            positive, total, out=np.full_like(positive, uniform), where=total > 0
        )


class SCPRegressor(RegressorMixin, SampledMLP):
    """ReLU regressor on random hidden units, whose output weights are proven optimal.

    The program is that of :class:`SCPClassifier` with real targets, a Lasso on random
    ReLU features. Standardise the targets, or choose ``alpha`` to their scale.

    Parameters
    ----------
    alpha : float, default=0.1
        Weight of the penalty against the sum of losses. It assumes standardised
        columns, and corresponds to ``alpha`` of scikit-learn's full-batch
        ``MLPRegressor``.
    n_units : int, default=1000
        Number of hidden units to draw from the sphere. The penalty chooses among them.
    loss : {"squared"}, default="squared"
        Half the squared error.
    fit_intercept : bool, default=True
        Append a constant column, whose weights are penalised like the others.
    intercept_scaling : float, default=1.0
        Value of that column.
    max_iter : int, default=200
        Largest number of rounds of the working set for each output.
    tol : float, default=1e-4
        Largest proven gap, relative to the objective, at which to stop. A fit that a
        limit ends before counts as converged if the gap is at most ``tol`` times the
        loss of the zero network, the scale of its certificate.
    max_time : float, default=None
        Seconds for each output after which the best network so far is kept.
    certificate : {"units", None}, default="units"
        None mints none.
    warm_start : bool, default=False
        Start from the last fit, with its units.
    n_jobs : int, default=None
        Processes for several outputs; the result does not depend on it.
    random_state : int, RandomState or None, default=None
        Determines the units.
    verbose : {0, 1, 2}, default=0
        1 prints a line now and then, 2 at every round.

    Attributes
    ----------
    coefs_ : list of two ndarray, (n_features, n_hidden) and (n_hidden, n_outputs)
        Weights as in ``MLPRegressor``, of the units in use.
    intercepts_ : list of two ndarray, (n_hidden,) and (n_outputs,)
        Biases as in ``MLPRegressor``.
    n_hidden_ : int
        Number of units in use; each output has its own.
    units_ : ndarray of shape (d, n_units)
        All units that were drawn, of length one; the last row for the intercept.
    unit_coef_ : ndarray of shape (n_outputs, n_units)
        Solution of the l1 program.
    objective_ : float
        Objective of the network, summed over outputs.
    lower_bound_ : float
        Proven lower bound of the program's optimum.
    gap_ : float
        Proven gap of the program.
    certificate_ : Certificate or None
        Re-check it with ``farkas.verify(model, X, y)``.
    history_ : dict of ndarray
        Columns ``iteration``, ``elapsed``, ``objective``, ``certificate`` and
        ``lower_bound``.
    n_iter_ : int
        Rounds, of the output that took most.
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
    SCPClassifier : The same for class labels.
    ConvexMLPRegressor : Chooses the hidden weights as well.

    References
    ----------
    Bai, Gautam, Sojoudi, "Efficient Global Optimization of Two-Layer ReLU Networks",
    arXiv:2201.01965, section 4.

    Examples
    --------
    >>> import numpy as np
    >>> from convexnn import SCPRegressor
    >>> x = np.linspace(-1, 1, 9)[:, None]
    >>> model = SCPRegressor(0.01, random_state=0).fit(x, abs(x).ravel())
    >>> bool(model.score(x, abs(x).ravel()) > 0.99)
    True
    """

    @certified_fit
    def fit(self, X: ArrayLike, y: ArrayLike) -> "SCPRegressor":
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets; several outputs are independent programs on the same units.

        Returns
        -------
        self : SCPRegressor
            The fitted estimator.

        Raises
        ------
        TypeError
            If a parameter has the wrong type.
        ValueError
            If a parameter or the data are out of range.
        """
        settings = self._check_parameters(("squared",))
        X, target = validate_data(
            self, X, y, dtype=np.float64, multi_output=True, y_numeric=True
        )
        self._flat = target.ndim == 1
        self._fit_programs(X, y, "none", settings)
        return self

    def predict(self, X: ArrayLike) -> Array:
        """Return the output of the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            As the targets of ``fit``.
        """
        output = self._output(X)
        return output.ravel() if self._flat else output

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
