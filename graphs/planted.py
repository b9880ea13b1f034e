"""Random graphs with a planted cluster, and noisy labels of it."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array, csr_array

from farkas.base import check_number
from farkas.parallel import seed_sequence


def make_planted_cluster(
    n: int = 1000,
    k: int = 100,
    p: float = 0.1,
    q: float = 0.005,
    *,
    r: float | None = None,
    random_state: Any = None,
) -> tuple[csr_array, NDArray[np.bool_]]:
    """Random graph in which the first k nodes form a cluster.

    Parameters
    ----------
    n : int, default=1000
        Number of nodes.
    k : int, default=100
        Size of the cluster.
    p : float, default=0.1
        Probability of an edge inside the cluster.
    q : float, default=0.005
        Probability of an edge that leaves it.
    r : float, optional
        Probability of an edge outside; default `q`.
    random_state : int, RandomState, Generator or None, default=None
        Determines the graph.

    Returns
    -------
    adjacency : csr_array of shape (n, n)
        Symmetric, with unit weights.
    target : ndarray of bool, shape (n,)
        The cluster.

    Raises
    ------
    ValueError
        If sizes or probabilities are out of range.

    Examples
    --------
    >>> from graphs import make_planted_cluster
    >>> A, target = make_planted_cluster(n=50, k=10, p=0.5, q=0.01, random_state=0)
    >>> A.shape, int(target.sum())
    ((50, 50), 10)
    """
    check_number("n", n, low=2, integer=True)
    check_number("k", k, low=1, high=n - 1, integer=True)
    r = q if r is None else r
    for name, value in (("p", p), ("q", q), ("r", r)):
        check_number(name, value, low=0.0, high=1.0)
    rng = np.random.default_rng(seed_sequence(random_state))
    inner = _pairs(rng, k * (k - 1) // 2, p)
    across = _pairs(rng, k * (n - k), q)
    outer = _pairs(rng, (n - k) * (n - k - 1) // 2, r)
    i, j = _triangle(inner)
    a, b = across // (n - k), k + across % (n - k)
    c, d = _triangle(outer)
    rows = np.concatenate([i, a, c + k])
    columns = np.concatenate([j, b, d + k])
    ends = (np.concatenate([rows, columns]), np.concatenate([columns, rows]))
    A = csr_array(coo_array((np.ones(2 * len(rows)), ends), shape=(n, n)))
    return A, np.arange(n) < k


def _pairs(rng: np.random.Generator, size: int, p: float) -> NDArray[np.int64]:
    """Draw each of ``size`` numbers with probability p, by drawing the gaps."""
    if p <= 0 or size <= 0:
        return np.empty(0, dtype=np.int64)
    if p >= 1:
        return np.arange(size)
    drawn = [np.array([-1], dtype=np.int64)]
    while drawn[-1][-1] < size:
        expected = int((size - drawn[-1][-1]) * p * 1.1) + 20
        drawn.append(drawn[-1][-1] + np.cumsum(rng.geometric(p, expected)))
    numbers = np.concatenate(drawn[1:])
    return numbers[numbers < size]


def _triangle(numbers: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the pairs i > j that are numbered row by row from 0."""
    i = ((1.0 + np.sqrt(1.0 + 8.0 * numbers)) / 2.0).astype(np.int64)
    i -= i * (i - 1) // 2 > numbers  # rounding of the root
    i += (i + 1) * i // 2 <= numbers
    return i, numbers - i * (i - 1) // 2


def noisy_labels(
    target: ArrayLike, a1: float, a0: float, *, random_state: Any = None
) -> NDArray[np.int8]:
    """Draw labels that are right with given probabilities.

    Parameters
    ----------
    target : array-like of bool, shape (n,)
        The true cluster.
    a1, a0 : float
        Probability that a node inside is labelled 1, and one outside 0.
    random_state : int, RandomState, Generator or None, default=None
        Determines the draw.

    Returns
    -------
    ndarray of int8, shape (n,)
        Labels 0 and 1.

    Examples
    --------
    >>> from graphs import noisy_labels
    >>> noisy_labels([True, True, False], 1.0, 1.0).tolist()
    [1, 1, 0]
    """
    for name, value in (("a1", a1), ("a0", a0)):
        check_number(name, value, low=0.0, high=1.0)
    inside = np.asarray(target, dtype=bool)
    rng = np.random.default_rng(seed_sequence(random_state))
    right = rng.random(len(inside)) < np.where(inside, a1, a0)
    return np.where(right, inside, ~inside).astype(np.int8)


def label_accuracy(labels: ArrayLike, target: ArrayLike) -> tuple[float, float]:
    """Return the shares of right labels inside and outside of the target.

    Parameters
    ----------
    labels : array-like of shape (n,)
        Noisy labels 0 and 1.
    target : array-like of bool, shape (n,)
        The true cluster.

    Returns
    -------
    a1 : float
        ``P(label 1 | inside)``.
    a0 : float
        ``P(label 0 | outside)``.

    Examples
    --------
    >>> from graphs import label_accuracy
    >>> label_accuracy([1, 0, 0, 0], [True, True, False, False])
    (0.5, 1.0)
    """
    inside, found = np.asarray(target, dtype=bool), np.asarray(labels)
    if inside.shape != found.shape:
        raise ValueError(
            f"labels and target must have one shape, got {found.shape} and "
            f"{inside.shape}."
        )
    return float((found[inside] == 1).mean()), float((found[~inside] == 0).mean())
