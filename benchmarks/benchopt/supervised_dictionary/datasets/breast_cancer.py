"""Breast cancer, standardised."""

from benchopt import BaseDataset
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import scale


class Dataset(BaseDataset):
    """All rows; labels are 0 and 1."""

    name = "breast cancer"

    def get_data(self):
        X, y = load_breast_cancer(return_X_y=True)
        return {"X": scale(X), "y": y}
