"""SciPy's L-BFGS-B on all nodes."""

import numpy as np
from benchopt import BaseSolver
from scipy import sparse
from scipy.optimize import minimize


class Solver(BaseSolver):
    """Each point of the curve is a run of its own."""

    name = "L-BFGS-B"
    sampling_strategy = "iteration"

    def set_objective(self, graph, seed, mass):
        degrees = np.asarray(graph.sum(axis=1)).ravel()
        self.L = sparse.diags_array(degrees) - graph
        self.linear = degrees.astype(float)
        self.linear[seed] -= mass

    def run(self, n_iter):
        def objective(x):
            Lx = self.L @ x
            return x @ Lx / 2 + x @ self.linear, Lx + self.linear

        start = np.zeros(len(self.linear))
        options = {"maxiter": n_iter, "maxfun": 10 * n_iter + 10, "ftol": 0.0}
        found = minimize(
            objective, start, jac=True, bounds=[(0, None)] * len(start), options=options
        )
        self.x = found.x

    def get_result(self):
        return {"x": self.x}
