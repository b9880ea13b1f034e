"""Graphs on disk: CSR arrays in a folder, also built from a stream of edges.

A folder holds ``indptr.npy``, ``indices.npy``, ``data.npy`` unless all weights are one,
and ``meta.json``, which is written last: a folder without it is not a graph.
"""

import json
import os
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from farkas.base import check_number
from graphs import _kernels_build
from graphs._measure_graph import Graph
from graphs.graph import check_graph

Ints = NDArray[np.int64]

_INT32 = 1 << 31
_BLOCK = 1 << 22  # entries that are sorted at a time: some 100 MiB with weights


def save_graph(path: str | os.PathLike[str], graph: Any) -> None:
    """Write a graph to a folder, from which it can be memory-mapped.

    Parameters
    ----------
    path : path
        Folder; it is made if needed, an earlier graph in it is replaced.
    graph : graph
        Anything :func:`check_graph` takes.

    Raises
    ------
    ValueError
        If it is no graph.

    Examples
    --------
    >>> import tempfile
    >>> from graphs import check_graph, load_graph, save_graph
    >>> A = check_graph([[0, 1], [1, 2]], affinity="edges")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_graph(folder, A)
    ...     len(load_graph(folder).indices)
    4
    """
    checked = check_graph(graph)
    folder = _cleared(path)
    dtype = np.int32 if checked.n_nodes < _INT32 else np.int64
    np.save(folder / "indptr.npy", np.asarray(checked.indptr, dtype=np.int64))
    np.save(folder / "indices.npy", np.asarray(checked.indices, dtype=dtype))
    if checked.data is not None:
        np.save(folder / "data.npy", np.asarray(checked.data))
    _write_meta(folder, checked)


def _cleared(path: str | os.PathLike[str]) -> Path:
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("meta.json", "indptr.npy", "indices.npy", "data.npy"):
        (folder / name).unlink(missing_ok=True)
    return folder


def _write_meta(folder: Path, graph: Graph) -> None:
    meta = {
        "n_nodes": graph.n_nodes,
        "entries": len(graph.indices),
        "volume": graph.volume,
        "weighted": graph.data is not None,
    }
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")


def save_edges(
    path: str | os.PathLike[str], chunks: Iterable[ArrayLike], n_nodes: int
) -> None:
    """Build a stored graph from a stream of edges, in bounded memory.

    The stream is read once and spooled to disk; a counting sort then writes the rows.
    Memory holds two numbers a node and one chunk.

    Parameters
    ----------
    path : path
        Folder; it is made if needed, an earlier graph in it is replaced.
    chunks : iterable of array-like of shape (m, 2) or (m, 3)
        Edges, each in either direction, the third column their weight. Loops are
        dropped, with a warning. An edge that comes twice counts once, or with the sum
        of its weights.
    n_nodes : int
        Number of nodes.

    Raises
    ------
    ValueError
        If a chunk has another shape than the first, a node is out of range, a weight
        is not positive and finite, or there is no edge.

    Examples
    --------
    >>> import tempfile
    >>> from graphs import load_graph, save_edges
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_edges(folder, ([[i, i + 1]] for i in range(9)), n_nodes=10)
    ...     load_graph(folder, mmap_mode=None)
    Graph(10 nodes, 9 edges, unit)
    """
    check_number("n_nodes", n_nodes, low=1, integer=True)
    folder = _cleared(path)
    with tempfile.TemporaryDirectory(dir=folder) as spool:
        _build(folder, Path(spool), chunks, int(n_nodes))


def _build(
    folder: Path, spool: Path, chunks: Iterable[ArrayLike], n_nodes: int
) -> None:
    # 1. Spool the edges and count the ends of each node.
    degree, sizes, weighted = _spooled(spool, chunks, n_nodes)
    bounds = np.concatenate([[0], np.cumsum(degree)])
    total = int(bounds[-1])
    if not total:
        raise ValueError("chunks holds no edge besides self loops.")
    # 2. Write every edge into both of its rows.
    dtype = np.int32 if n_nodes < _INT32 else np.int64
    indices = np.memmap(spool / "indices", dtype=dtype, mode="w+", shape=total)
    data = np.empty(0)
    if weighted:
        data = np.memmap(spool / "data", dtype=np.float64, mode="w+", shape=total)
    cursor = bounds[:-1].copy()
    with open(spool / "edges", "rb") as edges, open(spool / "weights", "rb") as loads:
        for size in sizes:
            pairs = np.fromfile(edges, dtype=np.int64, count=2 * size).reshape(-1, 2)
            w = np.fromfile(loads, dtype=np.float64, count=size if weighted else 0)
            _kernels_build.place_edges(
                pairs, w, cursor, np.asarray(indices), np.asarray(data)
            )
    # 3. Sort the rows block by block and merge duplicates.
    counts = np.empty(n_nodes, dtype=np.int64)
    blocks = _row_blocks(bounds)
    for a, b in blocks:
        part = np.asarray(indices[bounds[a] : bounds[b]])
        load = np.asarray(data[bounds[a] : bounds[b]]) if weighted else np.empty(0)
        _kernels_build.merge_rows(a, bounds, part, load, counts[a:b])
    # 4. Copy what is left.
    indptr = np.concatenate([[0], np.cumsum(counts)])
    np.save(folder / "indptr.npy", indptr)
    _copy(folder / "indices.npy", indices, bounds, counts, indptr, blocks)
    volume = float(indptr[-1])
    stored = None
    if weighted:
        _copy(folder / "data.npy", data, bounds, counts, indptr, blocks)
        stored = np.load(folder / "data.npy", mmap_mode="r")
        volume = float(
            sum(stored[i : i + _BLOCK].sum() for i in range(0, len(stored), _BLOCK))
        )
    entries = np.load(folder / "indices.npy", mmap_mode="r")
    _write_meta(folder, Graph(indptr, entries, stored, volume))


def _spooled(
    spool: Path, chunks: Iterable[ArrayLike], n_nodes: int
) -> tuple[Ints, list[int], bool]:
    degree = np.zeros(n_nodes, dtype=np.int64)
    sizes: list[int] = []
    columns, loops = 0, 0
    with open(spool / "edges", "wb") as edges, open(spool / "weights", "wb") as loads:
        for chunk in chunks:
            array = np.asarray(chunk)
            if array.ndim != 2 or array.shape[1] not in (2, 3):
                raise ValueError(
                    f"chunks must be (m, 2) or (m, 3) arrays, got {array.shape}."
                )
            if columns not in (0, array.shape[1]):
                raise ValueError(
                    f"chunks must all have {columns} columns, got {array.shape[1]}."
                )
            columns = array.shape[1]
            pairs = np.ascontiguousarray(array[:, :2], dtype=np.int64)
            if (pairs != array[:, :2]).any():
                raise ValueError("chunks must join nodes by whole numbers.")
            if len(pairs) and not (0 <= pairs.min() and pairs.max() < n_nodes):
                raise ValueError(
                    f"chunks holds a node beyond 0 to {n_nodes - 1}; raise n_nodes."
                )
            if columns == 3:
                w = np.ascontiguousarray(array[:, 2], dtype=np.float64)
                if not (np.isfinite(w) & (w > 0)).all():
                    raise ValueError("weights in chunks must be positive and finite.")
                w.tofile(loads)
            loops += _kernels_build.count_ends(pairs, degree)
            pairs.tofile(edges)
            sizes.append(len(pairs))
    if loops:
        warnings.warn(f"{loops} self loops are dropped.", stacklevel=4)
    return degree, sizes, columns == 3


def _row_blocks(bounds: Ints) -> list[tuple[int, int]]:
    """Cut the rows into blocks of bounded size; a longer row is a block of its own."""
    blocks, a, n = [], 0, len(bounds) - 1
    while a < n:
        b = int(np.searchsorted(bounds, bounds[a] + _BLOCK, side="right")) - 1
        b = min(max(b, a + 1), n)
        blocks.append((a, b))
        a = b
    return blocks


def _copy(
    path: Path,
    entries: NDArray[Any],
    bounds: Ints,
    counts: Ints,
    indptr: Ints,
    blocks: list[tuple[int, int]],
) -> None:
    """Write the first ``counts[i]`` entries of every row to a file."""
    out = np.lib.format.open_memmap(
        path, mode="w+", dtype=entries.dtype, shape=(int(indptr[-1]),)
    )
    for a, b in blocks:
        part = np.asarray(entries[bounds[a] : bounds[b]])
        row = np.repeat(np.arange(a, b), np.diff(bounds[a : b + 1]))
        rank = np.arange(len(part)) - (bounds[row] - bounds[a])
        out[indptr[a] : indptr[b]] = part[rank < counts[row]]
    out.flush()
