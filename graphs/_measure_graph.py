"""Reading graphs for the measures: rows on demand, weights, cuts; NumPy and SciPy only.

A graph arrives as a sparse matrix, as a feature matrix whose nearest neighbours are the
edges, as an edge list, as the path of a stored graph, or as a callable that hands out
rows. Of the last two only the rows that are asked for are read, so that a measure
costs as much as the answer it grades, whatever the size of the graph.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.spatial import KDTree

from farkas.certificate import CertificateError, Parameter
from graphs._measure_lookup import among

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

EPS, TINY = float(np.finfo(np.float64).eps), float(np.finfo(np.float64).tiny)

# A k-d tree beats products of matrices up to about this many features.
_TREE_DIMENSIONS = 15
_BLOCK = 1 << 22  # entries of one block of distances: 32 MiB


class Rows(NamedTuple):
    """Rows of an adjacency matrix, one after another.

    ``weights`` carry a relative error of at most ``error``; ``unit`` says that all are
    one.
    """

    counts: Ints
    starts: Ints
    columns: Ints
    weights: Array
    error: float
    unit: bool


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Graph:
    """An undirected graph that hands out rows of its adjacency matrix.

    Made by :func:`graphs.check_graph` and :func:`graphs.load_graph`, and accepted
    wherever a graph is. Called with node numbers, it returns their rows.

    Parameters
    ----------
    indptr, indices : ndarray
        CSR structure; both directions of every edge are stored.
    data : ndarray or None
        Weights; None when every weight is one.
    volume : float
        Sum of all weights, both directions.
    path : str, default=""
        Folder of a stored graph.
    names : sequence, optional
        Names of the nodes, where the input had some.
    affinity : str, default="graph"
        What the input was; certificates read it the same way.
    n_neighbors : int, default=0
        Neighbours of each row of a feature matrix.
    symmetrize : str, default="error"
        How a directed input became undirected.
    """

    indptr: NDArray[Any]
    indices: NDArray[Any]
    data: NDArray[Any] | None
    volume: float
    path: str = ""
    names: Any = None
    affinity: str = "graph"
    n_neighbors: int = 0
    symmetrize: str = "error"

    def __repr__(self) -> str:
        kind = "unit" if self.unit else "weighted"
        place = f", {self.path!r}" if self.path else ""
        edges = len(self.indices) // 2
        return f"Graph({self.n_nodes} nodes, {edges} edges, {kind}{place})"

    def __reduce__(self) -> tuple[Any, ...]:
        if self.path:
            return stored, (self.path,)
        return Graph, tuple(getattr(self, f.name) for f in dataclasses.fields(self))

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return len(self.indptr) - 1

    @property
    def unit(self) -> bool:
        """Whether every weight is one."""
        return self.data is None

    def degrees(self, nodes: Ints) -> Ints:
        """Return the number of neighbours of each node.

        Parameters
        ----------
        nodes : ndarray of int, shape (k,)
            Node numbers.

        Returns
        -------
        ndarray of int64, shape (k,)
            Length of each row, whatever the weights.

        Examples
        --------
        >>> import numpy as np
        >>> from graphs import check_graph
        >>> path = check_graph([[0, 1], [1, 2]], affinity="edges")
        >>> path.degrees(np.array([0, 1])).tolist()
        [1, 2]
        """
        return (self.indptr[nodes + 1] - self.indptr[nodes]).astype(np.int64)

    def __call__(self, nodes: Ints) -> tuple[Ints, Ints, Array | None]:
        """Return counts, columns and weights of the rows of ``nodes``."""
        counts = self.degrees(nodes)
        place = np.repeat(self.indptr[nodes] - np.cumsum(counts) + counts, counts)
        place += np.arange(len(place))
        columns = self.indices.take(place).astype(np.int64)
        return counts, columns, None if self.data is None else self.data.take(place)


def as_graph(data: Any, parameters: Mapping[str, Parameter]) -> Any:
    """Return what hands out rows: the callable itself, or CSR arrays.

    Parameters
    ----------
    data : callable, sparse matrix or ndarray
        The graph in the canonical form of :func:`farkas.certify`.
    parameters : mapping
        ``affinity`` ("graph", "knn", "precomputed", "edges"), ``n_neighbors``,
        ``symmetrize`` ("max", "sum", "error").
    """
    affinity = str(parameters["affinity"])
    if callable(data):
        return data
    if hasattr(data, "tocsr"):
        return from_sparse(data, str(parameters["symmetrize"]))
    if data.dtype.kind in "US" and data.size == 1:
        return stored(str(data.ravel()[0]))
    if data.ndim != 2 or data.dtype.kind in "US":
        raise CertificateError("the graph must be a matrix, a stored path or callable.")
    if affinity == "knn":
        return from_sparse(knn_matrix(data, int(parameters["n_neighbors"])), "max")
    if affinity == "edges":
        return from_sparse(edge_matrix(data), str(parameters["symmetrize"]))
    return from_sparse(csr_array(data), str(parameters["symmetrize"]))


def stored(path: str) -> Graph:
    """Open a stored graph by memory maps."""
    folder = Path(path)
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        names = ("indptr", "indices", *(["data"] if meta["weighted"] else []))
        parts = [np.load(folder / f"{name}.npy", mmap_mode="r") for name in names]
    except (OSError, ValueError, KeyError) as error:
        raise CertificateError(f"{path} holds no stored graph: {error}") from None
    weights = parts[2] if meta["weighted"] else None
    return Graph(*parts[:2], weights, float(meta["volume"]), path=str(folder))


def from_sparse(matrix: Any, symmetrize: str) -> Graph:
    """Return a square matrix as a graph: symmetric, without loops and zeros."""
    n, columns = matrix.shape
    if n != columns:
        raise CertificateError(f"a graph must be square, got shape {matrix.shape}.")
    A = coo_array(matrix)
    if not (np.isfinite(A.data).all() and (A.data >= 0).all()):
        raise CertificateError("edge weights must be finite and nonnegative.")
    keep = (A.row != A.col) & (A.data != 0)
    csr = csr_array(
        coo_array((A.data[keep].astype(float), (A.row[keep], A.col[keep])), (n, n))
    )
    csr.sum_duplicates()
    mirror = csr_array(csr.T)
    if (csr != mirror).nnz:
        if symmetrize == "error":
            raise CertificateError("the graph is directed.")
        csr = csr_array(csr + mirror if symmetrize == "sum" else csr.maximum(mirror))
    csr.sort_indices()
    unit = bool((csr.data == 1).all())
    volume = float(csr.nnz if unit else csr.data.sum())
    return Graph(csr.indptr, csr.indices, None if unit else csr.data, volume)


def edge_matrix(edges: Array) -> csr_array:
    """Return an edge list, (m, 2) or (m, 3) with weights, as an undirected matrix.

    Every row is an edge; a pair that is listed twice, in any order, adds up.
    """
    if edges.ndim != 2 or edges.shape[1] not in (2, 3) or not len(edges):
        raise CertificateError(f"edges must be (m, 2) or (m, 3), got {edges.shape}.")
    ends = edges[:, :2]
    if not (np.isfinite(ends).all() and (ends >= 0).all()) or (ends % 1).any():
        raise CertificateError("edges must join nonnegative integers.")
    if not (ends < 2**53).all():
        raise CertificateError("node numbers must lie below 2**53.")
    i, j = ends.astype(np.int64).T
    w = edges[:, 2].astype(float) if edges.shape[1] == 3 else np.ones(len(edges))
    if edges.shape[1] == 2:  # a set of pairs: listing an edge twice adds nothing
        pairs = np.unique(np.stack([np.minimum(i, j), np.maximum(i, j)]), axis=1)
        (i, j), w = pairs, np.ones(pairs.shape[1])
    n = int(max(i.max(), j.max())) + 1
    loops = i == j
    rows = np.concatenate([i[~loops], j[~loops]])
    columns = np.concatenate([j[~loops], i[~loops]])
    both = np.concatenate([w[~loops], w[~loops]])
    return csr_array(coo_array((both, (rows, columns)), shape=(n, n)))


def knn_matrix(X: Array, k: int) -> csr_array:
    """Return the unit matrix of ``i ~ j`` if one is among the k nearest of the other.

    A node is not its own neighbour, also where points coincide.
    """
    n = len(X)
    if X.ndim != 2 or not np.isfinite(X).all() or not 1 <= k < n:
        raise CertificateError(f"{k} neighbours need a finite matrix of more rows.")
    if X.shape[1] <= _TREE_DIMENSIONS:
        near = KDTree(X).query(X, k + 1)[1]
    else:
        near = _nearest_by_products(X, k + 1)
    own = near == np.arange(n)[:, None]
    own[~own.any(axis=1), -1] = True  # k other copies of the point: drop the last
    columns = near[~own]
    rows = np.repeat(np.arange(n), k)
    A = csr_array((np.ones(n * k), (rows, columns)), shape=(n, n))
    return csr_array(A.maximum(A.T))


def _nearest_by_products(X: Array, k: int) -> Ints:
    X = X - X.mean(axis=0)
    square = np.einsum("ij,ij->i", X, X)
    step = max(1, _BLOCK // len(X))
    near = np.empty((len(X), k), dtype=np.int64)
    for start in range(0, len(X), step):
        block = slice(start, start + step)
        distance = square - 2.0 * X[block] @ X.T
        near[block] = np.argsort(distance, axis=1, kind="stable")[:, :k]
    return near


def weighted_rows(
    graph: Any,
    nodes: Ints,
    seeds: Ints,
    parameters: Mapping[str, Parameter],
    labels: Any = None,
    attributes: Any = None,
) -> Rows:
    """Read rows and multiply their weights by the factors of labels and attributes.

    Parameters
    ----------
    graph : callable
        From :func:`as_graph`.
    nodes, seeds : ndarray of int
        Rows to read; nodes whose label is forced to 1.
    parameters : mapping
        ``label_weight`` and ``unknown_weight``, or ``gamma``, where they apply.
    labels : ndarray or callable, optional
        1, 0, -1 for unknown, or the probability of a 1.
    attributes : ndarray or callable, optional
        Rows of numbers, one row a node.
    """
    counts, columns, weights = graph(nodes)
    error, unit = 0.0, weights is None and labels is None and attributes is None
    if weights is None:
        weights = np.ones(len(columns))
    else:
        weights = np.asarray(weights, dtype=np.float64)
        if not (np.isfinite(weights).all() and (weights >= 0).all()):
            raise CertificateError("edge weights must be finite and nonnegative.")
    n = graph.n_nodes
    if len(columns) and not (0 <= columns.min() and columns.max() < n):
        raise CertificateError("the graph names nodes that it does not have.")
    starts = np.concatenate([[0], np.cumsum(counts)])
    if len(columns) != starts[-1] or len(weights) != starts[-1]:
        raise CertificateError("the graph hands out rows of the wrong length.")
    if labels is not None:
        here, there = (_labels(labels, which, seeds, n) for which in (nodes, columns))
        eps, unknown = (
            _between(name, parameters[name], 1.0)
            for name in ("label_weight", "unknown_weight")
        )
        here = np.repeat(here, counts)
        agree = here * there + (1.0 - here) * (1.0 - there)
        factor = eps * (1.0 - agree) + agree
        factor[(here < 0) | (there < 0)] = unknown
        weights, error = weights * factor, 6 * EPS
    if attributes is not None:
        gamma = _between("gamma", parameters["gamma"], np.inf)
        square, relative = _squared_distances(attributes, nodes, counts, columns, n)
        exponent = gamma * square
        with np.errstate(under="ignore"):
            weights = weights * np.exp(-exponent)
        error += relative * float(exponent.max(initial=0.0)) + 4 * EPS
    if not unit and (weights == 0).any():
        keep = weights > 0
        owner = np.repeat(np.arange(len(nodes)), counts)[keep]
        counts = np.bincount(owner, minlength=len(nodes))
        starts = np.concatenate([[0], np.cumsum(counts)])
        columns, weights = columns[keep], weights[keep]
    return Rows(counts, starts, columns, weights, error, unit)


def _between(name: str, value: Parameter, high: float) -> float:
    number = float(value)
    if not 0 <= number <= high or number == np.inf:
        raise CertificateError(f"{name}={value!r} must lie between 0 and {high:g}.")
    return number


def _labels(labels: Any, nodes: Ints, seeds: Ints, n: int) -> Array:
    if callable(labels):
        values = np.asarray(labels(nodes), dtype=np.float64)
    elif labels.shape != (n,):
        raise CertificateError(f"labels must have shape ({n},), got {labels.shape}.")
    else:
        values = labels[nodes].astype(np.float64)
    if values.shape != nodes.shape:
        raise CertificateError("labels must be one number a node.")
    if not (((values >= 0) & (values <= 1)) | (values == -1)).all():
        raise CertificateError("labels must be 0, 1, -1 or a probability.")
    values[among(nodes, seeds)] = 1.0
    return values


def _squared_distances(
    attributes: Any, nodes: Ints, counts: Ints, columns: Ints, n: int
) -> tuple[Array, float]:
    def rows(which: Ints) -> Array:
        if callable(attributes):
            return np.asarray(attributes(which), dtype=np.float64)
        return np.asarray(attributes[which], dtype=np.float64)

    if not callable(attributes) and (attributes.ndim != 2 or len(attributes) != n):
        raise CertificateError(
            f"attributes must have {n} rows, got shape {attributes.shape}."
        )
    here, there = rows(nodes), rows(columns)
    if here.ndim != 2 or not (np.isfinite(here).all() and np.isfinite(there).all()):
        raise CertificateError("attributes must be finite rows of numbers.")
    difference = np.repeat(here, counts, axis=0) - there
    square = np.einsum("ij,ij->i", difference, difference)
    return square, (here.shape[1] + 6) * EPS


def summed(terms: Array) -> tuple[float, float]:
    """Return a sum and a bound of its rounding error.

    Pieces of about ``sqrt(n)`` terms are summed first, so no term passes through more
    than ``2 sqrt(n) + 2`` additions, in whatever order they are made.
    """
    n = len(terms)
    if not n:
        return 0.0, 0.0
    size = int(n**0.5) + 1
    starts = np.arange(0, n, size)
    with np.errstate(over="ignore", invalid="ignore"):
        value = float(np.add.reduceat(terms, starts).sum())
        bulk = float(np.abs(terms).sum())
    error = (size + len(starts) + 2) * EPS * bulk * (1 + n * EPS)
    if not np.isfinite(error):
        return np.nan, np.nan
    return value, error


def segment_sums(values: Array, starts: Ints) -> Array:
    """Return the sums of ``values[starts[i]:starts[i + 1]]``, also of empty pieces."""
    if not len(values):
        return np.zeros(len(starts) - 1)
    if starts[-2] == len(values):  # an empty piece at the end
        values = np.append(values, 0.0)
    total = np.add.reduceat(values, starts[:-1])
    total[starts[1:] == starts[:-1]] = 0.0
    return total


def distinct(name: str, nodes: NDArray[Any], n: int) -> Ints:
    """Return node numbers after checking that they are increasing and in range."""
    nodes = np.asarray(nodes)
    if nodes.ndim != 1 or nodes.dtype.kind not in "iu":
        raise CertificateError(f"{name} must be a vector of integers.")
    nodes = nodes.astype(np.int64)
    if len(nodes) and (nodes[0] < 0 or nodes[-1] >= n or (np.diff(nodes) <= 0).any()):
        raise CertificateError(f"{name} must increase strictly, within 0..{n - 1}.")
    return nodes


def nonnegative(name: str, values: NDArray[Any], size: int) -> Array:
    """Return a vector after checking its length, sign and finiteness."""
    array = np.asarray(values)
    if array.shape != (size,) or array.dtype.kind not in "biuf":
        raise CertificateError(f"{name} must be {size} numbers, got {array.shape}.")
    array = array.astype(np.float64)
    if not (np.isfinite(array).all() and (array >= 0).all()):
        raise CertificateError(f"{name} must be finite and nonnegative.")
    return array


def cut_and_volume(
    leaving: NDArray[np.bool_], weights: Array | None
) -> tuple[float, float]:
    """Return the weight that leaves a set, and its volume, from the rows of the set.

    ``leaving`` marks the entries beyond the set; weights None are ones.
    """
    if weights is None:
        return float(np.count_nonzero(leaving)), float(len(leaving))
    return float(weights[leaving].sum()), float(weights.sum())


def conductance_of(cut: float, volume: float, total: float) -> float:
    """Return cut over the smaller volume; 1 where one side has none."""
    smaller = min(volume, total - volume)
    return cut / smaller if smaller > 0 else 1.0


def edge_lengths(X: Any, rows: Rows, nodes: Ints) -> Array:
    """Return the lengths of the edges that were read, in units of X."""
    if not isinstance(X, np.ndarray) or X.ndim != 2:
        raise CertificateError("only rows of features have lengths between them.")
    steps = np.repeat(X[nodes], rows.counts, axis=0) - X[rows.columns]
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", steps, steps)))
