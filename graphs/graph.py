"""Every kind of graph input, brought into one form."""

import os
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, issparse

from farkas.base import check_choice, check_number
from farkas.certificate import CertificateError
from graphs._measure_graph import Graph, edge_matrix, from_sparse, knn_matrix, stored

AFFINITIES = ("auto", "knn", "precomputed", "edges")

# Edges of a stored graph that load_graph looks up in the other direction.
_SAMPLE = 1000


def check_graph(
    X: Any,
    *,
    affinity: str = "auto",
    n_neighbors: int = 10,
    symmetrize: str = "max",
) -> Graph:
    """Bring a graph of any kind into the form that all functions work on.

    Convert once and pass the result on: the conversion reads the whole graph, all
    that comes after reads only what the answer needs.

    Parameters
    ----------
    X : Graph, sparse matrix, networkx or igraph graph, path, or array-like
        A symmetric sparse matrix; a graph object of networkx (node order is kept) or
        igraph, with edge weights under ``"weight"``; a folder written by
        :func:`save_graph`; or a 2-d array, read as `affinity` says.
    affinity : {"auto", "knn", "precomputed", "edges"}, default="auto"
        How to read a dense array: ``"auto"`` and ``"knn"`` take rows of features and
        join each to its nearest neighbours; ``"precomputed"`` an (n, n) matrix of
        weights; ``"edges"`` an (m, 2) array of pairs, or (m, 3) with weights.
    n_neighbors : int, default=10
        Neighbours of each row of features, at most one less than the rows.
    symmetrize : {"max", "sum", "error"}, default="max"
        What to do with a directed input, besides a warning.

    Returns
    -------
    Graph
        Loops are dropped, with a warning; duplicate entries are summed.

    Raises
    ------
    ValueError
        If weights are negative or not finite, the graph is empty, not square, or
        directed with ``symmetrize="error"``.
    TypeError
        If `X` is none of these.

    Examples
    --------
    >>> from graphs import check_graph
    >>> check_graph([[0, 1], [1, 2], [2, 0]], affinity="edges")
    Graph(3 nodes, 3 edges, unit)
    """
    check_choice("affinity", affinity, AFFINITIES)
    check_choice("symmetrize", symmetrize, ("max", "sum", "error"))
    if isinstance(X, Graph):
        return X
    if isinstance(X, str | os.PathLike):
        return load_graph(X)
    names = None
    if issparse(X):
        matrix, kind = X, "graph"
    elif hasattr(X, "adjacency") and hasattr(X, "nodes"):
        matrix, names = _from_networkx(X)
        kind = "graph"
    elif hasattr(X, "get_edgelist") and hasattr(X, "vcount"):
        matrix, names = _from_igraph(X)
        kind = "graph"
    else:
        matrix, kind = _from_array(X, affinity, n_neighbors)
    graph = _checked(matrix, symmetrize)
    k = min(n_neighbors, matrix.shape[0] - 1) if kind == "knn" else 0
    return Graph(
        graph.indptr.astype(np.int64),
        graph.indices,
        graph.data,
        graph.volume,
        names=names,
        affinity=kind,
        n_neighbors=k,
        symmetrize="max" if kind == "knn" else symmetrize,
    )


def _checked(matrix: Any, symmetrize: str) -> Graph:
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(
            f"a sparse graph must be a square matrix, got shape {matrix.shape}; pass "
            "features as a dense array."
        )
    if matrix.dtype.kind not in "biuf":
        raise ValueError(f"edge weights must be real numbers, got {matrix.dtype}.")
    A = csr_array(matrix)
    if not A.shape[0] or not A.nnz:
        raise ValueError("the graph is empty; it needs at least one edge.")
    if not np.isfinite(A.data).all() or (A.data < 0).any():
        raise ValueError(
            "edge weights must be finite and nonnegative; remove NaN, inf and "
            "negative entries."
        )
    loops = A.diagonal()
    if loops.any():
        warnings.warn(
            f"{np.count_nonzero(loops)} self loops are dropped; remove them to silence "
            "this warning.",
            stacklevel=4,
        )
        if A.nnz == np.count_nonzero(loops):
            raise ValueError("the graph is empty but for self loops.")
    if (A != A.T).nnz:
        if symmetrize == "error":
            raise ValueError(
                "the graph is directed; symmetrize='max' or 'sum' makes it undirected."
            )
        warnings.warn(
            f"the graph is directed; symmetrize={symmetrize!r} makes it undirected.",
            stacklevel=4,
        )
    return from_sparse(A, symmetrize)


def _from_array(X: Any, affinity: str, n_neighbors: int) -> tuple[Any, str]:
    X = np.asarray(X)
    if X.dtype.kind not in "biuf" or X.ndim != 2:
        raise TypeError(
            f"X={type(X).__name__} of {X.dtype} with {X.ndim} dimensions is no graph; "
            "pass a sparse matrix, a networkx or igraph graph, a path written by "
            "save_graph, or a 2-d array of numbers."
        )
    if affinity == "precomputed":
        if X.shape[0] != X.shape[1]:
            raise ValueError(
                f"a precomputed affinity must be square, got shape {X.shape}; features "
                'need affinity="knn".'
            )
        return coo_array(X), "precomputed"
    if affinity == "edges":
        try:
            return edge_matrix(X), "edges"
        except CertificateError as error:
            raise ValueError(f"affinity='edges': {error}") from None
    check_number("n_neighbors", n_neighbors, low=1, integer=True)
    if len(X) < 2:
        raise ValueError(
            f"Found array with n_samples={len(X)} while a minimum of 2 is required: "
            "1 sample has no neighbours."
        )
    if not np.isfinite(X).all():
        raise ValueError("X contains NaN or infinity; features must be finite.")
    return knn_matrix(X.astype(np.float64), min(n_neighbors, len(X) - 1)), "knn"


def _from_networkx(G: Any) -> tuple[Any, list[Any]]:
    names = list(G.nodes)
    number = {name: i for i, name in enumerate(names)}
    edges = [(number[a], number[b], w) for a, b, w in G.edges(data="weight", default=1)]
    return _matrix(edges, len(names), G.is_directed()), names


def _from_igraph(G: Any) -> tuple[Any, list[Any] | None]:
    pairs = G.get_edgelist()
    weights = G.es["weight"] if "weight" in G.es.attributes() else [1] * len(pairs)
    edges = [(a, b, w) for (a, b), w in zip(pairs, weights, strict=True)]
    names = G.vs["name"] if "name" in G.vs.attributes() else None
    return _matrix(edges, G.vcount(), G.is_directed()), names


def _matrix(edges: list[tuple[int, int, float]], n: int, directed: bool) -> Any:
    table = np.array(edges, dtype=np.float64).reshape(-1, 3)
    i, j, w = table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2]
    if not directed:
        twin = i != j
        i, j = np.concatenate([i, j[twin]]), np.concatenate([j, i[twin]])
        w = np.concatenate([w, w[twin]])
    return coo_array((w, (i, j)), shape=(n, n))


def load_graph(
    path: str | os.PathLike[str],
    mmap_mode: str | None = "r",
    validate: str | None = "sample",
) -> Graph:
    """Open a graph that :func:`save_graph` or :func:`save_edges` wrote.

    Parameters
    ----------
    path : path
        Folder of the graph.
    mmap_mode : {"r", None}, default="r"
        ``"r"`` maps the files, so that only what is needed is read; None loads them.
    validate : {"sample", "full", None}, default="sample"
        Look for a thousand random edges in the other direction, for all, or none.

    Returns
    -------
    Graph
        Rows are read where they are needed.

    Raises
    ------
    ValueError
        If the folder holds no graph, a file was cut off, or the graph is directed.

    Examples
    --------
    >>> import tempfile
    >>> from graphs import load_graph, make_planted_cluster, save_graph
    >>> A, target = make_planted_cluster(n=100, k=10, p=0.5, q=0.01, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_graph(folder, A)
    ...     load_graph(folder).n_nodes
    100
    """
    check_choice("mmap_mode", mmap_mode, ("r", None))
    check_choice("validate", validate, ("sample", "full", None))
    try:
        graph = stored(os.fspath(path))
    except CertificateError as error:
        raise ValueError(
            f"path={os.fspath(path)!r} holds no complete graph; write it again with "
            f"save_graph. {error}"
        ) from None
    n, m = graph.n_nodes, len(graph.indices)
    if graph.indptr[0] != 0 or graph.indptr[-1] != m:
        raise ValueError(
            f"path={os.fspath(path)!r}: the index announces {graph.indptr[-1]} entries "
            f"and the file holds {m}; write the graph again with save_graph."
        )
    if graph.data is not None and len(graph.data) != m:
        raise ValueError(
            f"path={os.fspath(path)!r}: {len(graph.data)} weights for {m} entries; "
            "write the graph again with save_graph."
        )
    if validate is not None and m:
        if validate == "sample" and m > _SAMPLE:
            entries = np.random.default_rng(0).integers(m, size=_SAMPLE)
        else:
            entries = np.arange(m)
        _check_mirror(graph, entries, n)
    if mmap_mode is None:
        data = None if graph.data is None else np.array(graph.data)
        return Graph(
            np.array(graph.indptr), np.array(graph.indices), data, graph.volume
        )
    return graph


def _check_mirror(graph: Graph, entries: NDArray[np.int64], n: int) -> None:
    """Raise unless these entries stand in the other direction too."""
    row = np.searchsorted(graph.indptr, entries, side="right") - 1
    column = graph.indices[entries].astype(np.int64)
    if ((column < 0) | (column >= n)).any():
        raise ValueError("the graph names nodes that it does not have.")
    counts, columns, weights = graph(column)
    owner = np.repeat(np.arange(len(entries)), counts)
    hit = columns == row[owner]
    if weights is not None and graph.data is not None:
        hit &= weights == graph.data[entries[owner]]
    found = np.zeros(len(entries), dtype=bool)
    found[owner[hit]] = True
    if not found.all():
        first = int(np.argmin(found))
        raise ValueError(
            f"the stored graph is directed: edge ({row[first]}, {column[first]}) has "
            "no twin; store both directions of every edge."
        )
