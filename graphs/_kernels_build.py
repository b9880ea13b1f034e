"""Numba kernels that build CSR rows from a stream of edges, by counting sort."""

import numpy as np

from farkas.kernels import kernel, on_warmup


@kernel
def count_ends(edges, degree):
    """Count both ends of every edge that is no loop; the number of loops."""
    loops = 0
    for k in range(edges.shape[0]):
        i, j = edges[k, 0], edges[k, 1]
        if i == j:
            loops += 1
        else:
            degree[i] += 1
            degree[j] += 1
    return loops


@kernel
def place_edges(edges, weights, cursor, indices, data):
    """Write both directions of every edge where its row has room next."""
    weighted = weights.shape[0] > 0
    for k in range(edges.shape[0]):
        i, j = edges[k, 0], edges[k, 1]
        if i == j:
            continue
        indices[cursor[i]] = j
        indices[cursor[j]] = i
        if weighted:
            data[cursor[i]] = weights[k]
            data[cursor[j]] = weights[k]
        cursor[i] += 1
        cursor[j] += 1


@kernel
def merge_rows(first, bounds, indices, data, counts):
    """Sort rows and merge their duplicates to the front; weights add up.

    ``indices`` is the part of the entries from ``bounds[first]`` on, for the rows
    ``first .. first + len(counts)``.
    """
    weighted = data.shape[0] > 0
    offset = bounds[first]
    for row in range(counts.shape[0]):
        a, b = bounds[first + row] - offset, bounds[first + row + 1] - offset
        if weighted:
            order = np.argsort(indices[a:b])
            columns, values = indices[a:b][order], data[a:b][order]
        else:
            columns = np.sort(indices[a:b])
            values = data[:0]
        kept = 0
        for k in range(columns.shape[0]):
            if kept > 0 and indices[a + kept - 1] == columns[k]:
                if weighted:
                    data[a + kept - 1] += values[k]
                continue
            indices[a + kept] = columns[k]
            if weighted:
                data[a + kept] = values[k]
            kept += 1
        counts[row] = kept


@on_warmup
def compile_all():
    """Build the path of two nodes, with and without weights."""
    edges, degree = np.array([[0, 1]]), np.zeros(2, dtype=np.int64)
    count_ends(edges, degree)
    bounds = np.array([0, 1, 2])
    for data in (np.zeros(0), np.zeros(2)):
        indices = np.zeros(2, dtype=np.int32)
        place_edges(edges, np.ones(len(data) // 2), bounds[:2].copy(), indices, data)
        merge_rows(0, bounds, indices, data, np.zeros(2, dtype=np.int64))
