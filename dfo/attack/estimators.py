"""A surrogate that is fitted to data, and its best input."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    BaseEstimator,
    RegressorMixin,
    clone,
)
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

from dfo._measure_surrogate import forward
from dfo.attack.layers import BinaryNetwork, Network
from dfo.attack.network import as_network
from dfo.attack.through import STRATEGIES, optimize_through_network
from dfo.direct.poll import Claim
from dfo.direct.problem import read_box
from farkas.base import CertifiedMixin, certified_fit, check_choice, check_number

Array = NDArray[np.float64]


class NetworkOptimizer(CertifiedMixin, RegressorMixin, BaseEstimator):
    """Fit a network to data, and find the input at which it promises most.

    Parameters
    ----------
    estimator : estimator, optional
        The surrogate, a network that :func:`as_network` takes. Default: a
        standardised ``MLPRegressor`` with two layers of 16 tanh units.
    objective : array-like of shape (p,) or callable, optional
        Weights of the outputs, default all 1; or a function of the outputs, whose
        certificate is verified with ``objective_`` instead of the data.
    gradient : callable, optional
        Gradient of a callable `objective`.
    constraints : object, default=()
        As in :func:`optimize_through_network`.
    bounds : "data" or array-like of shape (n, 2), default="data"
        Box of the inputs: the ranges of the data, or any other one, whose certificate
        is verified with ``objective_``.
    maximize : bool, default=True
        Whether more is better.
    strategy : {"hybrid", "attack", "cdsm", "line_search"}, default="hybrid"
        See :func:`optimize_through_network`.
    max_evaluations : int, optional
        Budget, default ``300 (n + 1)``.
    max_iter : int, optional
        Largest number of iterations.
    tol : float, default=1e-6
        Final poll radius, in tenths of the ranges.
    random_state : int, Generator or None
        Of surrogate and search.

    Attributes
    ----------
    estimator_ : estimator
        The fitted surrogate.
    x_best_ : ndarray of shape (n,)
        The best input.
    value_ : float
        Objective of the surrogate there.
    objective_ : callable
        The minimised function of an input.
    certificate_ : Certificate
        Poll around ``x_best_``.
    history_ : dict of str to ndarray
        One row for each iteration.
    status_ : Status
        Why the search ended.
    message_ : str
        The same as a sentence.
    n_iter_ : int
        Number of iterations.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of str
        Their names, if the data had any.

    See Also
    --------
    optimize_through_network : The search, for any network.

    Examples
    --------
    >>> import farkas
    >>> from sklearn.datasets import load_diabetes
    >>> from dfo import NetworkOptimizer
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = NetworkOptimizer(random_state=0).fit(X[:, :4], y / 100)
    >>> bool(farkas.verify(model, X[:, :4], y / 100))
    True
    """

    def __init__(
        self,
        estimator: Any = None,
        objective: Any = None,
        *,
        gradient: Any = None,
        constraints: Any = (),
        bounds: Any = "data",
        maximize: bool = True,
        strategy: str = "hybrid",
        max_evaluations: int | None = None,
        max_iter: int | None = None,
        tol: float = 1e-6,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.objective = objective
        self.gradient = gradient
        self.constraints = constraints
        self.bounds = bounds
        self.maximize = maximize
        self.strategy = strategy
        self.max_evaluations = max_evaluations
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    @certified_fit
    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit the surrogate, then optimise its input.

        Parameters
        ----------
        X : array-like of shape (m, n)
            Inputs.
        y : array-like of shape (m,) or (m, p)
            Targets.

        Returns
        -------
        NetworkOptimizer
        """
        check_choice("strategy", self.strategy, STRATEGIES)
        check_number("tol", self.tol, low=0, inclusive="neither")
        for name in ("max_evaluations", "max_iter"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), low=1, integer=True)
        data = (X, y)
        X, y = validate_data(
            self, X, y, dtype=np.float64, multi_output=True, y_numeric=True
        )
        self.estimator_ = fitted(self.estimator, _regressor(), X, y, self.random_state)
        phi = _measured(as_network(self.estimator_))
        rows = X[:, :]
        outputs = phi.forward(rows)
        outputs = outputs.reshape(len(rows), -1)
        sign = -1.0 if self.maximize else 1.0
        weights = None
        if callable(self.objective):
            objective, gradient = self.objective, self.gradient
            values = np.array([float(objective(row)) for row in outputs])
        else:
            p = outputs.shape[1]
            weights = np.ones(p) if self.objective is None else self.objective
            weights = np.asarray(weights, dtype=np.float64)
            if weights.shape != (p,) or not np.isfinite(weights).all():
                raise ValueError(f"objective must be callable or hold {p} weights.")
            objective, gradient = _Weighted(weights), lambda y: weights
            values = outputs @ weights
        claim = None
        free = isinstance(self.bounds, str) and not self._constrained()
        if isinstance(self.bounds, str):
            check_choice("bounds", self.bounds, ("data",))
            bounds: Any = np.column_stack([X.min(axis=0), X.max(axis=0)])
        else:
            bounds = self.bounds
        if weights is not None and free and isinstance(phi, _Measured):
            witness = {**network_arrays(phi), "weights": sign * weights}
            claim = Claim("dfo.surrogate_poll/1", data, witness, {})
        lower, upper = read_box(bounds, X.shape[1])
        start = np.clip(X[int(np.argmin(sign * values))], lower, upper)
        result = optimize_through_network(
            phi,
            objective,
            start,
            gradient=gradient,
            constraints=self.constraints,
            bounds=bounds,
            maximize=self.maximize,
            strategy=self.strategy,
            maxfev=self.max_evaluations or 300 * (X.shape[1] + 1),
            maxiter=self.max_iter,
            xtol=self.tol,
            radius_restarts=1,
            random_state=self.random_state,
            callback=self._solver_callback(
                X,
                y,
                reconstruction_attributes=lambda _: {"estimator_": self.estimator_},
            ),
            claim=claim,
        )
        self.x_best_, self.value_ = result.x, result.fun
        self.objective_ = result.objective
        self._record_fit(
            certificate=result.certificate,
            history=result.history,
            n_iter=result.nit,
            status=result.status,
            message=result.message,
        )
        return self

    def predict(self, X: ArrayLike) -> Array:
        """Return the predictions of the surrogate.

        Parameters
        ----------
        X : array-like of shape (m, n)
            Inputs.

        Returns
        -------
        ndarray of shape (m,) or (m, p)
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return np.asarray(self.estimator_.predict(X))

    def _constrained(self) -> bool:
        single = callable(self.constraints) or hasattr(self.constraints, "keys")
        return single or hasattr(self.constraints, "lb") or len(self.constraints) > 0

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.regressor_tags.poor_score = False
        return tags


def network_arrays(phi: Any) -> dict[str, Any]:
    """Return the layers of a network as a witness.

    Parameters
    ----------
    phi : Network
        With exact layers.

    Returns
    -------
    dict
        ``W0``, ``b0``, ... and ``activations``.
    """
    arrays: dict[str, Any] = {"activations": np.array([a for _, _, a in phi.layers])}
    for i, (W, b, _) in enumerate(phi.layers):
        arrays[f"W{i}"], arrays[f"b{i}"] = W, b
    return arrays


class _Measured(Network):
    """A network that computes exactly as the measure does."""

    def forward(self, X: ArrayLike) -> Array:
        return forward(self.layers, np.asarray(X, dtype=np.float64))


class _Weighted:
    """Picklable product with weights."""

    def __init__(self, weights: Array) -> None:
        self.weights = weights

    def __call__(self, y: Array) -> float:
        return float(y @ self.weights)


def _measured(phi: Any) -> Any:
    exact = isinstance(phi, Network) and not isinstance(phi, BinaryNetwork)
    return _Measured(phi.layers) if exact else phi


def _regressor() -> Pipeline:
    network = MLPRegressor(
        hidden_layer_sizes=(16, 16), activation="tanh", solver="lbfgs", max_iter=500
    )
    return make_pipeline(StandardScaler(), network)


def fitted(given: Any, default: Any, X: Array, y: Any, random_state: Any) -> Any:
    """Fit a clone of an estimator, or the default with a seed of its own.

    Parameters
    ----------
    given, default : estimator
        The user's, None for the default.
    X, y : ndarray
        Training data.
    random_state : int, Generator or None
        Of the default.

    Returns
    -------
    estimator
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    model = default if given is None else clone(given)
    seeds = {
        name: int(np.random.default_rng(random_state).integers(2**31))
        for name in model.get_params()
        if given is None and name.endswith("random_state")
    }
    model.set_params(**seeds)
    with warnings.catch_warnings():
        if given is None:  # a surrogate need not be trained to the last digit
            warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)
