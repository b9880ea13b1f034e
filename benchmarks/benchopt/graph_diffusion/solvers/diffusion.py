"""Farkas' active set method, and coordinate push."""

from benchopt import BaseSolver

from graphs import flow_diffusion


class Solver(BaseSolver):
    """Each point of the curve is a run of its own."""

    name = "farkas"
    sampling_strategy = "tolerance"
    parameters = {"solver": ["auto", "push"]}

    def set_objective(self, graph, seed, mass):
        self.problem = graph, seed
        self.mass = mass
        self.run(1e-1)  # compiles

    def run(self, tolerance):
        tolerance = min(max(tolerance, 1e-12), 1e-1)
        self.x = flow_diffusion(
            *self.problem, mass=self.mass, solver=self.solver, tol=tolerance
        ).x

    def get_result(self):
        return {"x": self.x.toarray().ravel()}
