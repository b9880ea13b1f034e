"""Breast cancer: the first rows, standardised, and random gates."""

import numpy as np
from benchopt import BaseDataset
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler

from convexnn import sample_patterns


class Dataset(BaseDataset):
    """Labels are -1 and +1; a column of ones is appended."""

    name = "breast cancer"
    parameters = {"n, P": [(100, 20), (400, 100)]}

    def get_data(self):
        X, y = load_breast_cancer(return_X_y=True)
        X = StandardScaler().fit_transform(X[: self.n])
        X = np.column_stack([X, np.ones(len(X))])
        patterns = sample_patterns(X, self.P, random_state=0).D
        return {"X": X, "y": np.where(y[: self.n] > 0, 1.0, -1.0), "patterns": patterns}
