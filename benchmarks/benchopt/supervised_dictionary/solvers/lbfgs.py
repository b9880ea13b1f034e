"""L-BFGS on all factors at once, from the singular vectors of the data."""

import numpy as np
from benchopt import BaseSolver
from scipy.optimize import minimize
from scipy.special import expit


class Solver(BaseSolver):
    """Each point of the curve is a run of its own."""

    name = "L-BFGS"
    sampling_strategy = "iteration"

    def set_objective(self, X, y, r, xi, alpha):
        self.X, self.y, self.r, self.xi, self.alpha = X, y, r, xi, alpha

    def run(self, n_iter):
        U, s, Vt = np.linalg.svd(self.X, full_matrices=False)
        W, H = Vt[: self.r].T, U[:, : self.r] * s[: self.r]
        start = np.concatenate([W.ravel(), H.ravel(), np.zeros(self.r + 1)])
        options = {"maxiter": n_iter, "maxfun": 10 * n_iter + 10}
        self.x = minimize(self._value_and_gradient, start, jac=True, options=options).x

    def _value_and_gradient(self, x):
        X, W, H, beta, intercept = self.X, *self._parts(x)
        score = X @ (W @ beta) + intercept
        missed, slope = H @ W.T - X, expit(score) - self.y
        value = (
            np.sum(np.logaddexp(0.0, score) - self.y * score)
            + self.xi * np.sum(missed**2)
            + self.alpha / 2 * np.sum((W @ beta) ** 2)
        )
        a = X.T @ slope + self.alpha * (W @ beta)
        parts = (
            2 * self.xi * missed.T @ H + np.outer(a, beta),
            2 * self.xi * missed @ W,
            W.T @ a,
            [slope.sum()],
        )
        return value, np.concatenate([np.ravel(part) for part in parts])

    def _parts(self, x):
        n, p = self.X.shape
        W, H, beta, intercept = np.split(x, np.cumsum([p * self.r, n * self.r, self.r]))
        return W.reshape(p, -1), H.reshape(n, -1), beta, intercept[0]

    def get_result(self):
        names = ("W", "H", "beta", "intercept")
        return dict(zip(names, self._parts(self.x), strict=True))
