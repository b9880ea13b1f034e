"""Farkas' ADMM."""

import numpy as np
from benchopt import BaseSolver

from convexnn import solve_gated


class Solver(BaseSolver):
    """One run; the curve is sampled by its callback."""

    name = "farkas"
    sampling_strategy = "callback"

    def set_objective(self, X, y, patterns, alpha):
        self.problem = X, y, patterns
        self.alpha = alpha
        self.V = np.zeros((X.shape[1], patterns.shape[1]))
        solve_gated(*self.problem, alpha=alpha, max_iter=2)  # compiles

    def run(self, callback):
        def look(intermediate_result):
            self.V = intermediate_result.x
            if not callback():
                raise StopIteration

        self.V = np.zeros_like(self.V)
        if callback():
            solve_gated(*self.problem, alpha=self.alpha, tol=1e-10, callback=look)

    def get_result(self):
        return {"V": self.V}
