"""What the two estimators share: one convex program for each output."""

import dataclasses
import math
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import block_diag
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from convexnn._measure import encode_targets, with_intercept
from convexnn.admm import factorize
from convexnn.driver import Solution, solve
from convexnn.network import gated_output, recover_network
from convexnn.patterns import (
    PatternSet,
    draw_patterns,
    enumerate_patterns,
    pattern_of,
)
from convexnn.program import Program, Settings, as_patterns, check_alpha
from convexnn.programs import final_status, mint
from farkas.base import CertifiedMixin, check_choice, check_number
from farkas.parallel import pmap
from farkas.status import Status

Array = NDArray[np.float64]

_SAMPLERS = ("gaussian", "data", "sparse")


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
        earlier = self._earlier_fit(data, Y.shape[1]) if self.warm_start else None
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

        self._weights = [solution.bounds.weights() for solution in solutions]
        for name in ("coefs_", "intercepts_", "weights_"):  # of another activation
            self.__dict__.pop(name, None)
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
            weights = [solution.bounds.weights() for solution in solutions]
            weights.append((x[0], x[-1]))
            zero = np.zeros_like(x[0])
            weights += [(zero, zero)] * (len(programs) - len(weights))
            return self._network(weights, first.X)

        callback = self._solver_callback(X, y, reconstruction_attributes=attributes)
        jobs = list(zip(programs, starts, strict=True))
        if callback is None and effective_n_jobs(self.n_jobs) > 1:

            def solve_one(job: tuple[Program, Any]) -> Solution:
                return solve(job[0], settings, x0=job[1], factor=factor)

            return list(pmap(solve_one, jobs, n_jobs=self.n_jobs))
        for program, start in jobs:  # a callback or Ctrl-C stops all that follow
            stopped = any(done.status is Status.CALLBACK for done in solutions)
            told = dataclasses.replace(
                settings, callback=_stop if stopped else callback
            )
            solutions.append(solve(program, told, x0=start, factor=factor))
        return solutions

    def _make_patterns(self, data: Array, Y: Array) -> PatternSet:
        if isinstance(self.patterns, str) and self.patterns == "all":
            patterns = enumerate_patterns(data)
        elif isinstance(self.patterns, str):
            patterns = draw_patterns(
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
                "certificate='global' needs every activation pattern of a ReLU "
                "network: set patterns='all' (small data), or certificate='patterns'."
            )
        if self.activation == "gated" and not patterns.gates.any():
            raise ValueError(
                "patterns without gates cannot predict with activation='gated'; pass a "
                "PatternSet or the name of a sampling method."
            )
        return patterns

    def _earlier_fit(
        self, data: Array, n_outputs: int
    ) -> tuple[PatternSet, list[Any]] | None:
        """Patterns and weights of the last fit, if they fit the new program."""
        patterns = getattr(self, "patterns_", None)
        if patterns is None or patterns.gates.shape[0] != data.shape[1]:
            return None
        if not patterns.gates.any() or self.certificate == "global":
            return None
        relu = self._weights[0][1].size > 0
        if len(self._weights) != n_outputs or relu != (self.activation == "relu"):
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
