"""The same program by cvxpy + Clarabel, for falling tolerances."""

import cvxpy as cp
import numpy as np
from benchopt import BaseSolver


class Solver(BaseSolver):
    """Each point of the curve is a run of its own."""

    name = "clarabel"
    sampling_strategy = "tolerance"
    requirements = ["cvxpy"]

    def set_objective(self, X, y, patterns, alpha):
        self.V = cp.Variable((X.shape[1], patterns.shape[1]))
        z = cp.sum(cp.multiply(patterns, X @ self.V), axis=1)
        penalty = alpha * cp.sum(cp.norm(self.V, 2, axis=0))
        self.program = cp.Problem(cp.Minimize(cp.sum_squares(z - y) / 2 + penalty))

    def run(self, tolerance):
        tolerance = min(tolerance, 1e-1)
        names = ("tol_gap_abs", "tol_gap_rel", "tol_feas")
        self.program.solve(
            solver=cp.CLARABEL, warm_start=False, **dict.fromkeys(names, tolerance)
        )

    def get_result(self):
        return {"V": np.asarray(self.V.value)}
