"""What the two estimators share: one convex program for each output."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from convexnn._measure_losses import encode_targets, with_intercept
from convexnn._measure_multiclass import class_columns
from convexnn.multiclass import mint_multiclass, solve_shared
from convexnn.network import gated_output, recover_network
from convexnn.outputs import join_histories, stack_networks, stop
from convexnn.patterns import PatternSet
from convexnn.program import Settings, check_alpha
from convexnn.programs import final_status, mint
from convexnn.refine import Refined
from convexnn.robust.patterns import warn_if_collapsed
from convexnn.robust.program import column_radius
from convexnn.robust.programs import mint_robust
from convexnn.scale._array import DTYPES, place
from convexnn.training import SAMPLERS, ForEach, Trained, Training, earlier_fit
from farkas.backend import check_device
from farkas.base import CertifiedMixin, check_choice, check_number
from farkas.certificate import Certificate
from farkas.parallel import pmap
from farkas.status import Status

Array = NDArray[np.float64]


class ConvexMLP(CertifiedMixin, BaseEstimator):
    """Parameters, training and output of a two-layer network; not for users."""

    def __init__(
        self,
        alpha: float = 0.1,
        *,
        n_patterns: int = 100,
        patterns: Any = "gaussian",
        activation: str = "relu",
        loss: str = "squared",
        multi_class: str = "ovr",
        refine: int = 10,
        init: str = "network",
        eps: Any = 0.0,
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
        device: str = "auto",
        dtype: str = "float64",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.alpha = alpha
        self.n_patterns = n_patterns
        self.patterns = patterns
        self.activation = activation
        self.loss = loss
        self.multi_class = multi_class
        self.refine = refine
        self.init = init
        self.eps = eps
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
        self.device = device
        self.dtype = dtype
        self.random_state = random_state
        self.verbose = verbose

    def _check_parameters(self, losses: tuple[str, ...]) -> Settings:
        check_choice("activation", self.activation, ("relu", "gated"))
        check_choice("loss", self.loss, losses)
        check_choice("multi_class", self.multi_class, ("ovr", "joint"))
        check_choice("init", self.init, ("network", "gaussian"))
        check_number("refine", self.refine, low=0, integer=True)
        check_choice("solver", self.solver, ("auto", "admm", "rbcd", "cvxpy"))
        check_choice("certificate", self.certificate, ("patterns", "global", None))
        if isinstance(self.patterns, str):
            check_choice("patterns", self.patterns, (*SAMPLERS, "all"))
        check_alpha(self.alpha, self.activation, self.loss)
        check_number("n_patterns", self.n_patterns, low=1, integer=True)
        if self.fit_intercept:
            check_number(
                "intercept_scaling", self.intercept_scaling, low=0, inclusive="neither"
            )
        settings = Settings.validated(
            self.tol,
            self.max_iter,
            self.max_time,
            self.rho,
            callback=None,
            history_every=1,
            verbose=self.verbose,
            u_update="rbcd" if self.solver == "rbcd" else "auto",
        )
        check_device(self.device)
        check_choice("dtype", self.dtype, DTYPES)
        return dataclasses.replace(
            settings,
            name=type(self).__name__,
            solver="cvxpy" if self.solver == "cvxpy" else "admm",
        )

    def _check_combination(self, eps: Array) -> None:
        """Raise ValueError for parameters that do not go together."""
        if eps.any():
            for name, wrong, remedy in (
                ("activation", "gated", "use activation='relu'"),
                ("loss", "huber", "use loss='squared'"),
                ("solver", "rbcd", "use solver='admm'"),
                ("certificate", "global", "use certificate='patterns'"),
                ("device", "cuda", "use device='cpu'"),
                ("dtype", "float32", "use dtype='float64'"),
            ):
                if getattr(self, name) == wrong:
                    raise ValueError(
                        f"{name}={wrong!r} does not go with eps > 0; {remedy}."
                    )
        if self.multi_class == "joint":
            for name, options, remedy in (
                ("activation", ("gated",), "use activation='gated'"),
                ("loss", ("squared", "logistic"), "use loss='squared'"),
                ("solver", ("auto", "admm"), "use solver='admm'"),
                ("device", ("auto", "cpu"), "use device='cpu'"),
                ("dtype", ("float64",), "use dtype='float64'"),
            ):
                value = getattr(self, name)
                if value not in options:
                    raise ValueError(
                        f"{name}={value!r} does not go with multi_class='joint'; "
                        f"{remedy}, or multi_class='ovr'."
                    )
            if self.alpha == 0:
                raise ValueError("alpha=0 does not go with multi_class='joint'.")
        if self.certificate == "global" and self.activation == "gated":
            raise ValueError(
                "certificate='global' needs activation='relu': gated units are no "
                "ReLU network."
            )

    def _fit_programs(
        self, X: Array, y: Any, encoding: str, settings: Settings
    ) -> None:
        """Solve one program for each column of the encoded targets, and store."""
        if self.multi_class == "joint":
            self._fit_jointly(X, y, encoding, settings)
            return
        intercept = float(self.intercept_scaling) if self.fit_intercept else 0.0
        data = with_intercept(X, intercept)
        radius = column_radius(self.eps, X)
        self._check_combination(radius)
        Y = encode_targets(np.asarray(y), encoding)
        columns = [np.ascontiguousarray(Y[:, c]) for c in range(Y.shape[1])]
        earlier = None
        if self.warm_start and hasattr(self, "patterns_"):
            same = len(self._weights) == len(columns)
            relu = self._weights[0][1].size > 0
            if same and relu == (self.activation == "relu"):
                of_last = (self.patterns_, self._members, self._weights)
                earlier = earlier_fit(data, *of_last)
        self._intercept = intercept
        everywhere = np.concatenate([radius, np.zeros(data.shape[1] - len(radius))])
        training = self._training(data, columns, everywhere, settings)
        trained = training.run(self._for_each(len(columns), settings, X, y), earlier)
        solutions = [part.solution for part in trained.outputs]
        self.patterns_, self._members = trained.patterns, trained.members
        self._weights = [solution.bounds.weights() for solution in solutions]
        for name in ("coefs_", "intercepts_", "weights_", "search_ratio_"):
            self.__dict__.pop(name, None)  # of other parameters
        if not math.isnan(trained.ratio):
            self.search_ratio_ = trained.ratio
        for name, value in self._network(self._weights, data).items():
            setattr(self, name, value)
        solved = all(solution.status is Status.CONVERGED for solution in solutions)
        empty = not any(solution.bounds.blocks.any() for solution in solutions)
        if radius.any() and solved and empty:
            warn_if_collapsed(data, trained.patterns, training.eps)
        certificate = None
        status = max((solution.status for solution in solutions), key=abs)
        if self.certificate is not None:
            certificate = self._mint(trained, (X, y), encoding, radius)
            if self.certificate == "patterns" or trained.patterns.complete:
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
            history=join_histories([solution.history for solution in solutions]),
            n_iter=max(solution.nit for solution in solutions),
            status=status,
            message="Interrupted by the user." if interrupted else status.message,
        )
        if interrupted:
            raise KeyboardInterrupt

    def _training(
        self, data: Array, columns: list[Array], eps: Array, settings: Settings
    ) -> Training:
        return Training(
            data=data,
            columns=columns,
            alpha=float(self.alpha),
            loss=self.loss,
            activation=self.activation,
            patterns=self.patterns,
            n_patterns=self.n_patterns,
            refine=self.refine,
            init=self.init,
            eps=eps,
            random_state=self.random_state,
            settings=settings,
            where=place(self.device, data, dtype=self.dtype),
        )

    def _fit_jointly(self, X: Array, y: Any, encoding: str, settings: Settings) -> None:
        """Solve one program of gated units that all outputs share, and store."""
        self._intercept = float(self.intercept_scaling) if self.fit_intercept else 0.0
        data = with_intercept(X, self._intercept)
        self._check_combination(column_radius(self.eps, X))
        Y = class_columns(np.asarray(y), encoding)
        columns = list(Y.T)
        training = self._training(data, columns, np.zeros(data.shape[1]), settings)
        self.patterns_ = training.gated_patterns()
        self._members = None

        def attributes(progress: Any) -> dict[str, Any]:
            return {"weights_": progress.x, "patterns_": self.patterns_}

        callback = self._solver_callback(X, y, reconstruction_attributes=attributes)
        told = dataclasses.replace(settings, callback=callback)
        loss = (
            "softmax" if self.loss == "logistic" and encoding == "labels" else "squared"
        )
        arguments = data, Y, self.patterns_, float(self.alpha), loss
        solution = solve_shared(*arguments, told)
        bounds: Any = solution.bounds
        for name in ("coefs_", "intercepts_", "search_ratio_"):
            self.__dict__.pop(name, None)
        self.weights_ = bounds.x()
        self._weights = [(part, np.zeros((len(part), 0))) for part in self.weights_]
        self.n_hidden_ = int(self.weights_.any(axis=(0, 1)).sum())
        self.objective_, self.lower_bound_ = bounds.upper, bounds.lower
        certificate, status = None, solution.status
        if self.certificate is not None:
            parameters = self._problem(encoding) | {"loss": loss}
            certificate = mint_multiclass(
                solution, (X, y), self.patterns_, parameters, self.tol
            )
            status = final_status(status, certificate)
            self.objective_, self.lower_bound_ = certificate.upper, certificate.lower
        self.gap_ = self.objective_ - self.lower_bound_
        interrupted = solution.interrupted
        self._record_fit(
            certificate=certificate,
            history=solution.history,
            n_iter=solution.nit,
            status=status,
            message="Interrupted by the user." if interrupted else status.message,
        )
        if interrupted:
            raise KeyboardInterrupt

    def _mint(
        self, trained: Trained, data: tuple[Array, Any], encoding: str, radius: Array
    ) -> Certificate:
        """Certify all outputs together, on the data that the user passed."""
        bounds: list[Any] = [part.solution.bounds for part in trained.outputs]
        patterns, common = trained.patterns, self._problem(encoding)
        if radius.any():
            return mint_robust(bounds, data, patterns, radius, common, self.tol)
        complete = patterns.complete and self.activation == "relu"
        if self.certificate == "global" and not complete:
            return self._certify_globally(data, common, self.tol, self.max_time)
        scope = "global" if complete else "patterns"
        parameters = {**common, "activation": self.activation, "scope": scope}
        return mint(bounds, data, patterns, parameters, self.tol, trained.members)

    def _problem(self, encoding: str) -> dict[str, Any]:
        """Return what every certificate states of the problem."""
        return {
            "alpha": float(self.alpha),
            "loss": self.loss,
            "encoding": encoding,
            "intercept": self._intercept,
        }

    def _certify_globally(
        self,
        data: tuple[Array, Any],
        problem: dict[str, Any],
        tol: float,
        max_time: float | None,
    ) -> Certificate:
        """Certify the network over all networks, by the relaxation."""
        from convexnn.relaxation.certificates import global_certificate

        (hidden, output), (biases, _) = self.coefs_, self.intercepts_
        if self._intercept:
            hidden = np.vstack([hidden, biases / self._intercept])
        limits = {"tol": tol, "max_time": max_time}
        return global_certificate(data, hidden, output, **problem, **limits)

    def _for_each(
        self, n_outputs: int, settings: Settings, X: Array, y: Any
    ) -> ForEach:
        """Return what calls a function for all outputs, and whoever watches."""
        results: list[Refined] = []
        shared: dict[str, Any] = {}

        def attributes(progress: Any) -> dict[str, Any]:
            """Fitted attributes as if the fit stopped here: later outputs are zero."""
            x = progress.x if isinstance(progress.x, tuple) else (progress.x,)
            weights = [part.solution.bounds.weights() for part in results]
            weights.append((x[0], x[-1]))
            zero = np.zeros_like(x[0])
            weights += [(zero, zero)] * (n_outputs - len(weights))
            network = self._network(weights, with_intercept(X, self._intercept))
            return {**shared, **network}

        callback = self._solver_callback(X, y, reconstruction_attributes=attributes)

        def for_each(
            solve_one: Callable[[int, Settings, bool], Refined],
            patterns: PatternSet | None,
        ) -> list[Refined]:
            shared["patterns_"] = patterns
            if callback is None and effective_n_jobs(self.n_jobs) > 1:

                def by_index(c: int) -> Refined:
                    return solve_one(c, settings, True)

                return list(pmap(by_index, range(n_outputs), n_jobs=self.n_jobs))
            for c in range(n_outputs):  # a callback or Ctrl-C stops all that follow
                stopped = any(p.solution.status is Status.CALLBACK for p in results)
                told = stop if stopped else callback
                controls = dataclasses.replace(settings, callback=told)
                results.append(solve_one(c, controls, not stopped))
            return results

        return for_each

    @available_if(lambda self: self.activation == "relu")
    def certify(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        tol: float = 1e-2,
        max_time: float | None = None,
    ) -> Certificate:
        """Prove how far the fitted network is from all networks, of any width.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data, such as those of ``fit``.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        tol : float, default=1e-2
            Gap, relative to the objective, at which to stop.
        max_time : float, optional
            Seconds after which the best bound so far is returned.

        Returns
        -------
        Certificate
            ``upper`` is the objective of this network on these data, ``lower`` a bound
            for every network; ``farkas.verify(certificate, X, y)`` redoes both.
        """
        check_is_fitted(self)
        data = validate_data(self, X, reset=False, dtype=np.float64)
        encoding = "labels" if hasattr(self, "classes_") else "none"
        return self._certify_globally(
            (data, np.asarray(y)), self._problem(encoding), tol, max_time
        )

    @available_if(lambda self: self.activation == "relu")
    def to_mlp(self) -> Any:
        """Return a fitted scikit-learn MLP that predicts the same.

        Returns
        -------
        MLPClassifier or MLPRegressor
        """
        from convexnn.relaxation.certify import to_mlp

        return to_mlp(self)

    def _network(
        self, weights: list[tuple[Array, Array]], data: Array
    ) -> dict[str, Any]:
        """Return the fitted attributes that predictions need."""
        if self.activation == "gated":
            stacked = np.stack([parts[0] for parts in weights])
            n_hidden = int(stacked.any(axis=(0, 1)).sum())
            return {"weights_": stacked, "n_hidden_": n_hidden}
        networks = [recover_network(V, W, data) for V, W in weights]
        return stack_networks(networks, self._intercept)

    def _output(self, X: ArrayLike) -> Array:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        if self.activation == "gated":
            data = with_intercept(X, self._intercept)
            return gated_output(data, self.patterns_.gates, self.weights_)
        (hidden, output), (biases, _) = self.coefs_, self.intercepts_
        return np.maximum(X @ hidden + biases, 0.0) @ output
