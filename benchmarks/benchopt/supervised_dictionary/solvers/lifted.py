"""Farkas' projected gradient descent on lifted low-rank matrices."""

from benchopt import BaseSolver

from sdl import lpgd


class Solver(BaseSolver):
    """Each point of the curve is a run of its own."""

    name = "farkas"
    sampling_strategy = "iteration"

    def set_objective(self, X, y, r, xi, alpha):
        self.problem = X, y, r
        self.weights = {"xi": xi, "alpha": alpha}

    def run(self, n_iter):
        self.x = lpgd(
            *self.problem, max_iter=max(n_iter, 1), certificate="none", **self.weights
        ).x

    def get_result(self):
        x = self.x
        return {
            "W": x["W"],
            "H": x["H"],
            "beta": x["beta"][:, 0],
            "intercept": float(x["Gamma"][0, 0]),
        }
