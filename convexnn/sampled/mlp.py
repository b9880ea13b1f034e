"""What the two estimators on sampled units share: one l1 program for each output."""

import dataclasses
import math
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from convexnn._measure_losses import encode_targets, with_intercept
from convexnn.outputs import join_histories, stack_networks, stop
from convexnn.program import Settings
from convexnn.sampled.scp import Solution, final_status, mint, solve
from convexnn.sampled.units import (
    check_targets,
    make_features,
    sample_units,
    unit_network,
)
from farkas.base import CertifiedMixin, check_choice, check_number
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
            history=join_histories([part.history for part in solutions]),
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
            told = dataclasses.replace(settings, callback=stop if stopped else callback)
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
        stacked = stack_networks(networks, self._intercept)
        return stacked | {"unit_coef_": np.stack(coef)}

    def _output(self, X: ArrayLike) -> Array:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        (hidden, output), (biases, _) = self.coefs_, self.intercepts_
        return np.maximum(X @ hidden + biases, 0.0) @ output
