"""Flow diffusion, p = 2: ``1/2 x'Lx + x'(sinks - source)`` over ``x >= 0``."""

import numpy as np
from benchopt import BaseObjective

from graphs import check_certificate


class Objective(BaseObjective):
    """Duality gap of the heights, relative to the scale of the problem."""

    name = "Flow diffusion"
    url = "https://arxiv.org/abs/2310.08031"
    min_benchopt_version = "1.7"

    def set_data(self, graph, seed, mass):
        self.graph, self.seed, self.mass = graph, seed, mass

    def evaluate_result(self, x):
        proof = check_certificate(self.graph, self.seed, self.mass, x)
        # Where the flow does not fit the sinks there is no finite bound.
        value = proof.gap if np.isfinite(proof.gap) else proof.scale
        return {"value": value, "dual": proof.lower}

    def get_one_result(self):
        return {"x": np.zeros(self.graph.shape[0])}

    def get_objective(self):
        return {"graph": self.graph, "seed": self.seed, "mass": self.mass}
