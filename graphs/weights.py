"""Factors of the edge weights: labels that agree, attributes that are close."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farkas.base import check_number
from graphs._measure_graph import Graph

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Weighting:
    """What multiplies the weight of an edge; evaluated where an edge is read.

    Parameters
    ----------
    labels : ndarray of shape (n,), callable or None
        1, 0, -1 for unknown, or the probability of a 1. A function of node numbers is
        asked about nodes once they are met.
    label_weight : float
        Factor of an edge whose ends disagree.
    unknown_weight : float
        Factor of an edge with an unknown end.
    attributes : ndarray of shape (n, d) or None
        Rows of numbers.
    gamma : float
        Factor ``exp(-gamma |X_i - X_j|^2)``.
    """

    labels: Any = None
    label_weight: float = 1.0
    unknown_weight: float = 1.0
    attributes: Array | None = None
    gamma: float = 0.0

    @classmethod
    def validated(
        cls,
        graph: Graph,
        seeds: NDArray[np.int64],
        labels: Any = None,
        label_weight: float = 0.05,
        unknown_weight: float = 1.0,
        attributes: Any = None,
        gamma: Any = None,
    ) -> "Weighting":
        """Check what a user passed and return the weighting, or raise."""
        n = graph.n_nodes
        check_number("label_weight", label_weight, low=0.0, high=1.0)
        check_number("unknown_weight", unknown_weight, low=0.0, high=1.0)
        if labels is not None:
            labels = check_labels(labels, n)
        if gamma is None:
            attributes = None
        if attributes is not None:
            attributes = np.ascontiguousarray(attributes, dtype=np.float64)
            if attributes.ndim != 2 or len(attributes) != n:
                raise ValueError(
                    f"attributes must be a matrix of {n} rows, one for each node, got "
                    f"shape {attributes.shape}."
                )
        elif gamma is not None:
            raise ValueError(
                f"gamma={gamma!r} weights edges by attributes; pass attributes too."
            )
        if isinstance(gamma, str):
            if gamma != "scale":
                raise ValueError(f'gamma={gamma!r} must be a number >= 0 or "scale".')
            gamma = _scale(graph, seeds, attributes)
        if gamma is not None:
            check_number("gamma", gamma, low=0.0)
        return cls(
            labels,
            float(label_weight),
            float(unknown_weight),
            attributes,
            float(gamma or 0.0),
        )

    @property
    def plain(self) -> bool:
        """Whether edges keep their weights."""
        return self.labels is None and self.attributes is None

    @property
    def asks(self) -> bool:
        """Whether labels come from a function."""
        return callable(self.labels)

    def label_array(self, n: int) -> NDArray[Any]:
        """Return the labels; an empty array for none; of a function, n zeros."""
        if self.labels is None:
            return np.empty(0)
        return np.zeros(n) if self.asks else self.labels

    def labels_of(self, nodes: NDArray[np.int64]) -> NDArray[Any]:
        """Return the labels of some nodes."""
        if not self.asks:
            return np.asarray(self.labels[nodes])
        return check_labels(self.labels(nodes), len(nodes), "labels")

    def attribute_array(self) -> Array:
        """Return the attributes, or an empty matrix."""
        return np.empty((0, 0)) if self.attributes is None else self.attributes

    def parameters(self) -> dict[str, float]:
        """Return the numbers that a certificate needs."""
        found = {}
        if self.labels is not None:
            found["label_weight"] = self.label_weight
            found["unknown_weight"] = self.unknown_weight
        if self.attributes is not None:
            found["gamma"] = self.gamma
        return found


def check_labels(labels: Any, n: int, name: str = "y") -> Any:
    """Return noisy node labels as int8, or probabilities as float64.

    Parameters
    ----------
    labels : array-like of shape (n,) or callable
        0, 1, -1 for unknown; or probabilities of a 1. Memory maps of int8 stay maps,
        and functions of node numbers functions.
    n : int
        Number of nodes.
    name : str, default="y"
        For the message.

    Returns
    -------
    ndarray of shape (n,) or callable

    Raises
    ------
    ValueError
        If the length or a value is wrong.
    """
    if callable(labels):
        return labels  # values are checked when they are asked for
    array = np.asarray(labels)
    if array.shape != (n,):
        raise ValueError(
            f"{name} must hold one label for each of {n} nodes, got shape "
            f"{array.shape}."
        )
    if array.dtype.kind == "O":
        array = array.astype(np.float64)
    if array.dtype == np.int8 and isinstance(labels, np.memmap):
        return array  # values are checked where they are read
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold numbers, got {array.dtype}.")
    if not (((array >= 0) & (array <= 1)) | (array == -1)).all():
        raise ValueError(
            f"{name} must hold 0, 1, -1 for unknown, or probabilities; encode other "
            "classes first."
        )
    whole = array.dtype.kind in "biu" or (array % 1 == 0).all()
    return array.astype(np.int8 if whole else np.float64)


def _scale(graph: Graph, seeds: NDArray[np.int64], attributes: Array) -> float:
    """Return one over the median squared distance along the edges of the seeds."""
    counts, columns, _ = graph(seeds)
    step = attributes[np.repeat(seeds, counts)] - attributes[columns]
    median = float(np.median(np.einsum("ij,ij->i", step, step))) if len(step) else 0.0
    return 1.0 / median if median > 0 else 1.0
