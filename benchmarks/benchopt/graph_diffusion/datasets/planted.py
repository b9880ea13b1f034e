"""A random graph of planted blocks."""

import numpy as np
from benchopt import BaseDataset
from scipy import sparse


class Dataset(BaseDataset):
    """Nodes of one block meet with probability 0.2, others with 2 / n."""

    name = "planted blocks"
    parameters = {"n": [1000, 5000], "size": [50]}

    def get_data(self):
        rng = np.random.default_rng(0)
        pairs = rng.integers(self.n, size=(self.n, 2))
        first, second = np.triu_indices(self.size, 1)
        for start in range(0, self.n, self.size):
            met = rng.random(len(first)) < 0.2
            block = np.column_stack([first[met], second[met]]) + start
            pairs = np.concatenate([pairs, block])
        pairs = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]]), axis=0)
        ones = np.ones(len(pairs))
        graph = sparse.coo_array((ones, tuple(pairs.T)), shape=(self.n, self.n)).tocsr()
        graph = graph + graph.T
        inside = graph[: self.size].sum()
        return {"graph": graph, "seed": 0, "mass": float(3 * inside)}
