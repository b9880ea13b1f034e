"""Where row entries stand among the nodes of a witness; NumPy only.

Tables of all nodes serve small graphs, hash tables large ones, so that a measure costs
as much as what it reads.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

# Up to this many nodes a row entry, a table of all nodes is cheaper than a hash table.
_DENSE = 16
_ENTRIES = 1 << 14  # row entries that are worked on at a time
_MIX = 0x9E3779B97F4A7C15  # an odd number near 2**64 over the golden ratio


class Lookup:
    """Find row entries among increasing nodes: one plus their position, 0 beyond.

    Parameters
    ----------
    nodes : ndarray of int
        Increasing, within ``0..n - 1``.
    n : int
        Number of nodes of the graph. Together with `entries`, how many will be asked
        for, it decides how things are found, never what.
    """

    def __init__(self, nodes: Ints, n: int, entries: int) -> None:
        self.nodes = nodes
        numbers = np.arange(1, len(nodes) + 1)
        self._tables: list[tuple[Ints, Any, Any]] = []
        if n <= _DENSE * entries:
            table = np.zeros(n, dtype=np.int32 if len(nodes) < 2**31 else np.int64)
            table[nodes] = numbers
            self._tables = [(table, None, None)]
            return
        # Hash tables: who is displaced from one is in a later one.
        while len(numbers):
            bits = (4 * len(numbers)).bit_length()
            factor = np.uint64(_MIX + 2 * len(self._tables))
            shift = np.uint64(64 - bits)
            table = np.zeros(1 << bits, dtype=np.int64)
            own = (nodes[numbers - 1].astype(np.uint64) * factor) >> shift
            table[own] = numbers
            self._tables.append((table, factor, shift))
            numbers = numbers[table[own] != numbers]

    def __call__(self, columns: Ints) -> Ints:
        """Return the places of entries within ``0..n - 1``."""
        if self._tables and self._tables[0][1] is None:
            return self._tables[0][0].take(columns).astype(np.int64)
        place = np.zeros(len(columns), dtype=np.int64)
        asked, keys = slice(None), columns.astype(np.uint64)
        for table, factor, shift in self._tables:
            found = table[(keys * factor) >> shift]
            some = np.flatnonzero(found)
            found, keys = found[some], keys[some]
            where = some if isinstance(asked, slice) else asked[some]
            hit = self.nodes[found - 1] == columns[where]
            place[where[hit]] = found[hit]
            asked, keys = where[~hit], keys[~hit]
        return place


class Places(NamedTuple):
    """Where row entries stand, and the nodes beyond."""

    place: Ints  # one plus the position among the nodes, 0 beyond
    border: Ints  # nodes beyond, each once
    slot: Ints  # position in the border of each entry beyond, in order

    def known(self, of_nodes: NDArray[Any], beyond: float) -> NDArray[Any]:
        """Return the value at each entry of what is known of the nodes only."""
        return padded(of_nodes, beyond)[self.place]


def padded(of_nodes: NDArray[Any], beyond: float) -> NDArray[Any]:
    """Return an array to be read at places."""
    out = np.empty(len(of_nodes) + 1, dtype=of_nodes.dtype)
    out[0], out[1:] = beyond, of_nodes
    return out


def placed(columns: Ints, nodes: Ints, n: int) -> Places:
    """Find row entries among increasing nodes, and number those beyond."""
    place = Lookup(nodes, n, len(columns))(columns)
    outside = np.flatnonzero(place == 0)
    return Places(place, *numbered(columns.take(outside), n, len(columns)))


def numbered(columns: Ints, n: int, entries: int) -> tuple[Ints, Ints]:
    """Return the distinct nodes of some entries, and where each entry stands in them.

    As with :class:`Lookup`, ``entries`` tells how many rows the caller works on.
    """
    if n <= _DENSE * entries:
        seen = np.zeros(n, dtype=bool)
        seen[columns] = True
        border = np.flatnonzero(seen)
        table = np.empty(n, dtype=np.int32 if n < 2**31 else np.int64)
        table[border] = np.arange(len(border))
        return border, table.take(columns).astype(np.int64)
    # Equal nodes share a slot, in which one entry speaks for all that equal it.
    slot, border, found = np.empty_like(columns), [columns[:0]], 0
    pending = np.arange(len(columns))
    bits = (2 * len(columns) + 2).bit_length()
    table = np.empty(1 << bits, dtype=np.int64)
    factor, shift = _MIX, np.uint64(64 - bits)
    while len(pending):
        asked = columns[pending]
        hashed = (asked.astype(np.uint64) * np.uint64(factor)) >> shift
        table[hashed] = pending
        speaker = table[hashed]
        hit = columns[speaker] == asked
        first = pending[speaker == pending]
        border.append(columns[first])
        slot[first] = np.arange(found, found + len(first))
        slot[pending[hit]] = slot[speaker[hit]]
        found += len(first)
        pending = pending[~hit]
        factor += 2
    return np.concatenate(border), slot


def blocks(counts: Ints) -> Iterator[slice]:
    """Cut rows into runs of a bounded number of entries: they stay in the cache."""
    ends, first = np.cumsum(counts), 0
    while first < len(counts):
        limit = (ends[first - 1] if first else 0) + _ENTRIES
        last = max(first + 1, int(np.searchsorted(ends, limit, side="right")))
        yield slice(first, last)
        first = last


def among(nodes: Ints, others: Ints) -> NDArray[np.bool_]:
    """Tell which nodes are among increasing others."""
    if not len(others):
        return np.zeros(len(nodes), dtype=bool)
    place = np.minimum(np.searchsorted(others, nodes), len(others) - 1)
    return np.asarray(others[place] == nodes)
