"""Digits 2 against 5."""

import numpy as np
from benchopt import BaseDataset
from sklearn.datasets import load_digits


class Dataset(BaseDataset):
    """Pixels between 0 and 1; label 1 is the digit 5."""

    name = "digits 2 vs 5"

    def get_data(self):
        X, y = load_digits(return_X_y=True)
        kept = np.isin(y, (2, 5))
        return {"X": X[kept] / 16, "y": (y[kept] == 5).astype(int)}
