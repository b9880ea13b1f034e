"""Filter model: label loss of ``X W beta + c``, reconstruction, ridge of ``W beta``."""

import numpy as np
from benchopt import BaseObjective
from scipy.special import expit

from sdl import dual_bound


class Objective(BaseObjective):
    """Objective of the factors minus the bound that their own residual proves."""

    name = "Supervised dictionary"
    url = "https://arxiv.org/abs/2206.06774"
    min_benchopt_version = "1.7"
    parameters = {"r": [2, 5], "xi": [0.1], "alpha": [1.0]}

    def set_data(self, X, y):
        self.X, self.y = X, y

    def evaluate_result(self, W, H, beta, intercept):
        score = self.X @ (W @ beta) + intercept
        value = (
            np.sum(np.logaddexp(0.0, score) - self.y * score)
            + self.xi * np.sum((self.X - H @ W.T) ** 2)
            + self.alpha / 2 * np.sum((W @ beta) ** 2)
        )
        residual = (self.y - expit(score))[:, None]
        bound = dual_bound(
            self.X, self.y, self.r, residual, xi=self.xi, alpha=self.alpha
        )
        return {"value": value - bound, "objective": value}

    def get_one_result(self):
        n, p = self.X.shape
        return {
            "W": np.zeros((p, self.r)),
            "H": np.zeros((n, self.r)),
            "beta": np.zeros(self.r),
            "intercept": 0.0,
        }

    def get_objective(self):
        return {
            "X": self.X,
            "y": self.y,
            "r": self.r,
            "xi": self.xi,
            "alpha": self.alpha,
        }
