"""scikit-learn estimators: validate, call the solver, store."""

import dataclasses
import math
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import block_diag
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_scalar
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from convexnn._measure import encode_targets, with_intercept
from convexnn.admm import factorize
from convexnn.network import gated_output, recover_network
from convexnn.patterns import (
    PatternSet,
    enumerate_patterns,
    pattern_of,
    sample_patterns,
)
from convexnn.driver import Solution, solve
from convexnn.program import Program, Settings, as_patterns, check_alpha
from convexnn.programs import final_status, mint
from farkas.base import CertifiedMixin, certified_fit, check_choice
from farkas.parallel import pmap
from farkas.status import Status

Array = NDArray[np.float64]

_SAMPLERS = ("gaussian", "data", "sparse")


class _ConvexMLP(CertifiedMixin, BaseEstimator):
    """What classifier and regressor share: one program for each output."""

    def __init__(
        self,
        alpha: float = 0.1,
        *,
        n_patterns: int = 100,
        patterns: Any = "gaussian",
        activation: str = "relu",
        loss: str = "squared",
        solver: str = "auto",
        fit_intercept: bool = True,
        intercept_scaling: float = 1.0,
        max_iter: int = 5000,
        tol: float = 1e-4,
        max_time: float | None = None,
        rho: Any = "auto",
        certificate: str | None = "patterns",
        warm_start: bool = False,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.alpha = alpha
        self.n_patterns = n_patterns
        self.patterns = patterns
        self.activation = activation
        self.loss = loss
        self.solver = solver
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.max_iter = max_iter
        self.tol = tol
        self.max_time = max_time
        self.rho = rho
        self.certificate = certificate
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _check_parameters(self, losses: tuple[str, ...]) -> Settings:
        check_choice("activation", self.activation, ("relu", "gated"))
        check_choice("loss", self.loss, losses)
        check_choice("solver", self.solver, ("auto", "admm", "cvxpy"))
        check_choice("certificate", self.certificate, ("patterns", "global", None))
        if isinstance(self.patterns, str):
            check_choice("patterns", self.patterns, (*_SAMPLERS, "all"))
        check_alpha(self.alpha, self.activation, self.loss)
        check_scalar(self.n_patterns, "n_patterns", Integral, min_val=1)
        if self.fit_intercept:
            check_scalar(
                self.intercept_scaling,
                "intercept_scaling",
                Real,
                min_val=0,
                max_val=math.inf,
                include_boundaries="neither",
            )
        settings = Settings.validated(
            self.tol,
            self.max_iter,
            self.max_time,
            self.rho,
            callback=None,
            history_every=1,
            verbose=self.verbose,
        )
        return dataclasses.replace(
            settings,
            name=type(self).__name__,
            solver="admm" if self.solver == "auto" else self.solver,
        )

    def _fit_programs(
        self, X: Array, y: Any, encoding: str, settings: Settings
    ) -> None:
        """Solve one program for each column of the encoded targets, and store."""
        intercept = float(self.intercept_scaling) if self.fit_intercept else 0.0
        data = with_intercept(X, intercept)
        Y = encode_targets(np.asarray(y), encoding)
        earlier = self._earlier_fit(data) if self.warm_start else None
        patterns = self._make_patterns(data, Y) if earlier is None else earlier[0]
        columns = range(Y.shape[1])
        programs = [
            Program(
                data,
                np.ascontiguousarray(Y[:, c]),
                patterns,
                float(self.alpha),
                self.loss,
                self.activation,
            )
            for c in columns
        ]
        starts = [None if earlier is None else earlier[1][c] for c in columns]
        self.patterns_ = patterns
        self._intercept = intercept
        solutions = self._solve_all(programs, starts, settings, X, y)

        self._weights = [solution.weights() for solution in solutions]
        for name, value in self._network(self._weights, data).items():
            setattr(self, name, value)
        parameters = {
            **programs[0].parameters(),
            "encoding": encoding,
            "intercept": intercept,
        }
        certificate = None
        status = max((solution.status for solution in solutions), key=abs)
        if self.certificate is not None:
            bounds = [solution.bounds for solution in solutions]
            certificate = mint(bounds, (X, y), patterns, parameters, self.tol)
            status = final_status(status, certificate)
        upper = math.fsum(solution.bounds.upper for solution in solutions)
        self.lower_bound_ = math.fsum(solution.bounds.lower for solution in solutions)
        self.objective_ = upper
        self.gap_ = upper - self.lower_bound_
        if certificate is not None:
            self.lower_bound_, self.gap_ = certificate.lower, certificate.gap
            self.objective_ = certificate.residuals.get(
                "network_objective", certificate.upper
            )
        interrupted = any(solution.interrupted for solution in solutions)
        self._record_fit(
            certificate=certificate,
            history=_joined(solutions),
            n_iter=max(solution.nit for solution in solutions),
            status=status,
            message="Interrupted by the user." if interrupted else status.message,
        )
        if interrupted:
            raise KeyboardInterrupt

    def _solve_all(
        self,
        programs: list[Program],
        starts: list[Any],
        settings: Settings,
        X: Array,
        y: Any,
    ) -> list[Solution]:
        first = programs[0]
        factor = factorize(first.X, first.patterns.D, first.activation)
        solutions: list[Solution] = []

        def attributes(progress: Any) -> dict[str, Any]:
            """Fitted attributes as if the fit stopped here: later outputs are zero."""
            x = progress.x if isinstance(progress.x, tuple) else (progress.x,)
            weights = [solution.weights() for solution in solutions]
            weights.append((x[0], x[-1]))
            zero = np.zeros_like(x[0])
            weights += [(zero, zero)] * (len(programs) - len(weights))
            return self._network(weights, first.X)

        callback = self._solver_callback(X, y, reconstruction_attributes=attributes)
        jobs = list(zip(programs, starts, strict=True))
        if callback is None:

            def solve_one(job: tuple[Program, Any]) -> Solution:
                return solve(job[0], settings, x0=job[1], factor=factor)

            return list(pmap(solve_one, jobs, n_jobs=self.n_jobs))
        for program, start in jobs:  # a callback lives in this process
            stopped = any(done.status is Status.CALLBACK for done in solutions)
            told = dataclasses.replace(settings, callback=_stop if stopped else callback)
            solutions.append(solve(program, told, x0=start, factor=factor))
        return solutions

    def _make_patterns(self, data: Array, Y: Array) -> PatternSet:
        if isinstance(self.patterns, str) and self.patterns == "all":
            patterns = enumerate_patterns(data)
        elif isinstance(self.patterns, str):
            patterns = sample_patterns(
                data,
                self.n_patterns,
                method=self.patterns,
                y=Y[:, 0] if Y.shape[1] == 1 else np.argmax(Y, axis=1),
                random_state=self.random_state,
            )
        else:
            patterns = as_patterns(self.patterns, data)
        if self.certificate == "global" and not (
            patterns.complete and self.activation == "relu"
        ):
            raise ValueError(
                "certificate='global' needs every activation pattern of a ReLU network; "
                "set patterns='all' (small data) or certificate='patterns'."
            )
        if self.activation == "gated" and not patterns.gates.any():
            raise ValueError(
                "patterns without gates cannot predict with activation='gated'; pass a "
                "PatternSet or the name of a sampling method."
            )
        return patterns

    def _earlier_fit(self, data: Array) -> tuple[PatternSet, list[Any]] | None:
        """Patterns and weights of the last fit, if they fit the new data."""
        patterns = getattr(self, "patterns_", None)
        if patterns is None or patterns.gates.shape[0] != data.shape[1]:
            return None
        if not patterns.gates.any():
            return None
        D = pattern_of(data, patterns.gates)
        return PatternSet(D, patterns.gates), self._weights

    def _network(
        self, weights: list[tuple[Array, Array]], data: Array
    ) -> dict[str, Any]:
        """Return the fitted attributes that predictions need."""
        if self.activation == "gated":
            stacked = np.stack([parts[0] for parts in weights])
            n_hidden = int(stacked.any(axis=(0, 1)).sum())
            return {"weights_": stacked, "n_hidden_": n_hidden}
        networks = [recover_network(V, W, data) for V, W in weights]
        hidden = np.concatenate([U for U, _ in networks], axis=1)
        output = block_diag(*[a[:, None] for _, a in networks])
        biases = np.zeros(hidden.shape[1])
        if self._intercept:
            hidden, biases = hidden[:-1], self._intercept * hidden[-1]
        return {
            "coefs_": [hidden, output],
            "intercepts_": [biases, np.zeros(len(networks))],
            "n_hidden_": hidden.shape[1],
        }

    def _output(self, X: ArrayLike) -> Array:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        if self.activation == "gated":
            data = with_intercept(X, self._intercept)
            return gated_output(data, self.patterns_.gates, self.weights_)
        (hidden, output), (biases, _) = self.coefs_, self.intercepts_
        return np.maximum(X @ hidden + biases, 0.0) @ output


class ConvexMLPClassifier(ClassifierMixin, _ConvexMLP):
    """Two-layer ReLU classifier trained to the proven optimum of a convex program.

    For each output the program is, with ``D_i`` the activation patterns and
    ``S_i = 2 D_i - I``::

        min  L(sum_i D_i X (v_i - w_i), y) + alpha sum_i (|v_i| + |w_i|)
        s.t. S_i X v_i >= 0,  S_i X w_i >= 0

    Its solution is a network with the smallest loss plus ``alpha / 2`` times the sum of
    squared weights, among networks whose hidden units keep to the patterns. Several
    classes are trained one against the rest, on one factorisation.

    Parameters
    ----------
    alpha : float, default=0.1
        Weight of the penalty against the sum of losses. It assumes standardised
        columns, and corresponds to ``alpha`` of scikit-learn's full-batch
        ``MLPClassifier``. 0 is allowed for ``activation="gated"`` with the squared
        loss.
    n_patterns : int, default=100
        Number of activation patterns to sample.
    patterns : str, array-like of shape (n_samples, P) or PatternSet, default="gaussian"
        ``"gaussian"``, ``"data"`` and ``"sparse"`` name a sampling method of
        :func:`sample_patterns`; ``"all"`` enumerates, which small data allow.
    activation : {"relu", "gated"}, default="relu"
        ``"gated"`` drops the constraints: units ``1[x'g_i >= 0] x'u_i`` with fixed
        gates, cheaper to train but no longer a ReLU network.
    loss : {"squared", "logistic", "hinge"}, default="squared"
        Loss on targets -1 and +1. ``"logistic"`` gives ``predict_proba``.
    solver : {"auto", "admm", "cvxpy"}, default="auto"
        ``"auto"`` is ``"admm"``; ``"cvxpy"`` is a slow second opinion.
    fit_intercept : bool, default=True
        Append a constant column, whose weights are penalised like the others.
    intercept_scaling : float, default=1.0
        Value of that column.
    max_iter : int, default=5000
        Largest number of iterations for each output.
    tol : float, default=1e-4
        Largest proven gap, relative to the objective, at which to stop.
    max_time : float, default=None
        Seconds for each output after which the best network so far is kept.
    rho : float or "auto", default="auto"
        First penalty parameter of ADMM; it is adapted.
    certificate : {"patterns", "global", None}, default="patterns"
        ``"global"`` insists on a certificate over networks of any width, which needs
        ``patterns="all"``; None mints none.
    warm_start : bool, default=False
        Start from the last fit, with its gates.
    n_jobs : int, default=None
        Processes for several classes; the result does not depend on it.
    random_state : int, RandomState or None, default=None
        Determines the sampled patterns.
    verbose : {0, 1, 2}, default=0
        1 prints a line now and then, 2 at every check.

    Attributes
    ----------
    coefs_ : list of two ndarray, (n_features, n_hidden) and (n_hidden, n_outputs)
        Weights as in ``MLPClassifier``; ReLU only.
    intercepts_ : list of two ndarray, (n_hidden,) and (n_outputs,)
        Biases as in ``MLPClassifier``; ReLU only.
    weights_ : ndarray of shape (n_outputs, d, P)
        Weights of the gated units, the last row for the intercept; gated only.
    n_hidden_ : int
        Number of units.
    patterns_ : PatternSet
        Activation patterns of the training data, and their gates.
    objective_ : float
        Objective of the network itself, summed over outputs.
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
        Iterations, of the output that took most.
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
    ConvexMLPRegressor : The same for real targets.
    solve_relu : The solver as a plain function.

    References
    ----------
    Bai, Gautam, Sojoudi, "Efficient Global Optimization of Two-Layer ReLU Networks",
    arXiv:2201.01965.

    Examples
    --------
    >>> import farkas
    >>> from convexnn import ConvexMLPClassifier
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], ["even", "odd", "odd", "even"]
    >>> model = ConvexMLPClassifier(0.01, patterns="all").fit(X, y)
    >>> list(model.predict(X)), model.certificate_.guarantee.name
    (['even', 'odd', 'odd', 'even'], 'GLOBAL')
    >>> bool(farkas.verify(model, X, y))
    True
    """

    @certified_fit
    def fit(self, X: ArrayLike, y: ArrayLike) -> "ConvexMLPClassifier":
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,)
            Class labels.

        Returns
        -------
        self : ConvexMLPClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data are out of range, or there is one class only.
        """
        settings = self._check_parameters(("squared", "logistic", "hinge"))
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


class ConvexMLPRegressor(RegressorMixin, _ConvexMLP):
    """Two-layer ReLU regressor trained to the proven optimum of a convex program.

    The program is that of :class:`ConvexMLPClassifier` with real targets. Standardise
    them, or choose ``alpha`` to their scale.

    Parameters
    ----------
    alpha : float, default=0.1
        Weight of the penalty against the sum of losses. It assumes standardised
        columns, and corresponds to ``alpha`` of scikit-learn's full-batch
        ``MLPRegressor``. 0 is allowed for ``activation="gated"`` with the squared loss.
    n_patterns : int, default=100
        Number of activation patterns to sample.
    patterns : str, array-like of shape (n_samples, P) or PatternSet, default="gaussian"
        ``"gaussian"``, ``"data"`` and ``"sparse"`` name a sampling method of
        :func:`sample_patterns`; ``"all"`` enumerates, which small data allow.
    activation : {"relu", "gated"}, default="relu"
        ``"gated"`` drops the constraints: units ``1[x'g_i >= 0] x'u_i`` with fixed
        gates, cheaper to train but no longer a ReLU network.
    loss : {"squared", "huber"}, default="squared"
        ``"huber"`` is quadratic up to residuals of 1.35, then linear.
    solver : {"auto", "admm", "cvxpy"}, default="auto"
        ``"auto"`` is ``"admm"``; ``"cvxpy"`` is a slow second opinion.
    fit_intercept : bool, default=True
        Append a constant column, whose weights are penalised like the others.
    intercept_scaling : float, default=1.0
        Value of that column.
    max_iter : int, default=5000
        Largest number of iterations for each output.
    tol : float, default=1e-4
        Largest proven gap, relative to the objective, at which to stop.
    max_time : float, default=None
        Seconds for each output after which the best network so far is kept.
    rho : float or "auto", default="auto"
        First penalty parameter of ADMM; it is adapted.
    certificate : {"patterns", "global", None}, default="patterns"
        ``"global"`` insists on a certificate over networks of any width, which needs
        ``patterns="all"``; None mints none.
    warm_start : bool, default=False
        Start from the last fit, with its gates.
    n_jobs : int, default=None
        Processes for several outputs; the result does not depend on it.
    random_state : int, RandomState or None, default=None
        Determines the sampled patterns.
    verbose : {0, 1, 2}, default=0
        1 prints a line now and then, 2 at every check.

    Attributes
    ----------
    coefs_ : list of two ndarray, (n_features, n_hidden) and (n_hidden, n_outputs)
        Weights as in ``MLPRegressor``; ReLU only.
    intercepts_ : list of two ndarray, (n_hidden,) and (n_outputs,)
        Biases as in ``MLPRegressor``; ReLU only.
    weights_ : ndarray of shape (n_outputs, d, P)
        Weights of the gated units, the last row for the intercept; gated only.
    n_hidden_ : int
        Number of units.
    patterns_ : PatternSet
        Activation patterns of the training data, and their gates.
    objective_ : float
        Objective of the network itself, summed over outputs.
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
        Iterations, of the output that took most.
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
    ConvexMLPClassifier : The same for class labels.

    References
    ----------
    Bai, Gautam, Sojoudi, "Efficient Global Optimization of Two-Layer ReLU Networks",
    arXiv:2201.01965.

    Examples
    --------
    >>> import numpy as np
    >>> from convexnn import ConvexMLPRegressor
    >>> x = np.linspace(-1, 1, 9)[:, None]
    >>> model = ConvexMLPRegressor(0.01, patterns="all").fit(x, abs(x).ravel())
    >>> bool(model.score(x, abs(x).ravel()) > 0.99), model.n_hidden_
    (True, 2)
    """

    @certified_fit
    def fit(self, X: ArrayLike, y: ArrayLike) -> "ConvexMLPRegressor":
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets; several outputs are independent programs on the same patterns.

        Returns
        -------
        self : ConvexMLPRegressor
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data are out of range.
        """
        settings = self._check_parameters(("squared", "huber"))
        X, targets = validate_data(
            self, X, y, dtype=np.float64, multi_output=True, y_numeric=True
        )
        self._fit_programs(X, targets, "none", settings)
        self._flat = targets.ndim == 1
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


def _stop(intermediate_result: Any) -> None:
    raise StopIteration


def _joined(solutions: list[Solution]) -> dict[str, NDArray[Any]]:
    """Add up the histories of all outputs; one that has finished keeps its last row."""
    if len(solutions) == 1:
        return solutions[0].history
    histories = [solution.history for solution in solutions if solution.history]
    if not histories:
        return {}
    iterations = np.unique(np.concatenate([h["iteration"] for h in histories]))
    joined = {"iteration": iterations}
    for name in ("elapsed", "objective", "certificate", "lower_bound"):
        columns = []
        for history in histories:
            row = np.searchsorted(history["iteration"], iterations, side="right") - 1
            columns.append(history[name][np.maximum(row, 0)])
        joined[name] = np.sum(columns, axis=0)
    return joined
