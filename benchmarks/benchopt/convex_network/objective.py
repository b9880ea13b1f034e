"""Gated two-layer network, squared loss: ``1/2 |z - y|^2 + alpha sum_i |v_i|``."""

import numpy as np
from benchopt import BaseObjective

import farkas


class Objective(BaseObjective):
    """Duality gap of the weights, with the dual point of their own prediction."""

    name = "Convex network"
    url = "https://arxiv.org/abs/2201.01965"
    min_benchopt_version = "1.7"
    parameters = {"alpha": [1.0, 0.1]}

    def set_data(self, X, y, patterns):
        self.X, self.y, self.patterns = X, y, patterns

    def evaluate_result(self, V):
        z = np.sum(self.patterns * (self.X @ V), axis=1)
        certificate = farkas.certify(
            "convexnn.two_layer/1",
            (self.X, self.y),
            {"patterns": self.patterns, "V": V, "theta": self.y - z},
            {
                "alpha": self.alpha,
                "loss": "squared",
                "activation": "gated",
                "scope": "patterns",
                "encoding": "none",
                "intercept": 0.0,
            },
            tolerance=1e-6,
        )
        return {"value": certificate.gap, "objective": certificate.upper}

    def get_one_result(self):
        return {"V": np.zeros((self.X.shape[1], self.patterns.shape[1]))}

    def get_objective(self):
        return {
            "X": self.X,
            "y": self.y,
            "patterns": self.patterns,
            "alpha": self.alpha,
        }
