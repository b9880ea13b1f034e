"""The part of a graph that a diffusion has seen, with nodes in local numbers."""

import dataclasses
import threading
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from farkas.base import check_number
from graphs import _kernels, _kernels_heights
from graphs._measure_graph import Graph
from graphs.weights import Weighting

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

_FIRST_NODES, _FIRST_EDGES = 2048, 16384
_MOST_KEPT = 1 << 27  # bytes of local arrays that are kept for the next run

# Registers of ``count``.
NODES, EDGES, HEAD, WAITING, PUSHES, WORK, OPENED, PUSHED, BITS, PARTS = range(10)
# Positions in ``state``.
TABLE, NODE, VALUE, GIVEN, SINK, DEGREE, START, LENGTH, LABEL = range(9)
TO, WEIGHT, QUEUE, FLAGS, PARENT = range(9, 14)
OTHER, FACTOR = 14, 15  # room for a matrix; never grown into
# Positions in ``source``.
INDPTR, ATTRIBUTES = 0, 4

_ASKED_ZERO = 2.0  # stands for the label 0, for 0 says that nobody has asked yet

_SINK_RULES = {"degree": 0.0, "unit": 1.0}
_ARRAY_RULE = 2.0


@dataclasses.dataclass(frozen=True, eq=False)
class Sinks:
    """Capacity of every node: a rule, or one number for each node.

    Parameters
    ----------
    rule : {"degree", "unit", "array"}
        The rule.
    capacity : ndarray
        The numbers of ``"array"``, else empty.
    """

    rule: str
    capacity: Array

    @classmethod
    def validated(cls, sinks: Any, n: int) -> "Sinks":
        """Return the sinks that a user described, or raise."""
        if isinstance(sinks, str):
            if sinks not in _SINK_RULES:
                raise ValueError(
                    f'sinks={sinks!r} must be "degree", "unit" or an array of {n} '
                    "capacities."
                )
            return cls(sinks, np.empty(0))
        capacity = np.asarray(sinks, dtype=np.float64)
        if capacity.shape != (n,):
            raise ValueError(
                f"sinks must be one capacity for each of {n} nodes, got shape "
                f"{capacity.shape}."
            )
        if not np.isfinite(capacity).all() or (capacity < 0).any():
            raise ValueError("sinks must be finite and nonnegative.")
        return cls("array", capacity)

    def of(self, graph: Graph, nodes: Ints) -> Array:
        """Return the capacities of some nodes."""
        if self.rule == "degree":
            return graph.degrees(nodes).astype(np.float64)
        return np.ones(len(nodes)) if self.rule == "unit" else self.capacity[nodes]

    def total(self, graph: Graph) -> float:
        """Return the capacity of all nodes."""
        if self.rule == "degree":
            return float(len(graph.indices))
        return float(graph.n_nodes if self.rule == "unit" else self.capacity.sum())


class Neighborhood:
    """Local arrays of the nodes met so far, and the rows that were read.

    The size of the graph enters nowhere: a node costs memory once it is met.

    Parameters
    ----------
    graph : Graph
        Where rows come from.
    seeds : ndarray of int
        First nodes; they get the local numbers 0, 1, ...
    masses : ndarray
        Source mass of each.
    weighting : Weighting
        Factors of the edge weights.
    sinks : Sinks
        Capacities.
    band : float
        Width of the target, relative to the capacity.
    shift : float
        How many bands the target lies below the capacity.
    """

    def __init__(
        self,
        graph: Graph,
        seeds: Ints,
        masses: Array,
        weighting: Weighting,
        sinks: Sinks,
        band: float = 0.01,
        shift: float = 1.0,
    ) -> None:
        self.graph = graph
        self.count = np.zeros(10, dtype=np.int64)
        self._mean = sinks.total(graph) / graph.n_nodes
        rule = _SINK_RULES.get(sinks.rule, _ARRAY_RULE)
        self._scalars = np.array(
            [
                weighting.label_weight,
                weighting.unknown_weight,
                weighting.gamma,
                rule,
                band,
                band * (self._mean or 1.0),
                shift,
                float(weighting.asks),
            ]
        )
        self._weighting = weighting
        self._labels = weighting.label_array(graph.n_nodes)
        if weighting.asks:
            self._ask(seeds)
        self.source = (
            *(frozen(part) for part in (graph.indptr, graph.indices)),
            frozen(np.empty(0) if graph.data is None else graph.data),
            frozen(self._labels),
            frozen(weighting.attribute_array()),
            frozen(sinks.capacity),
            self._scalars,
        )
        nodes = max(_FIRST_NODES, 2 * len(seeds))
        self.state: tuple[Any, ...] = _shelf.take(nodes)
        self.count[BITS] = _bits(self.state)
        _kernels.meet(seeds, masses, self.source, self.state, self.count)

    @property
    def size(self) -> int:
        """Number of nodes met so far."""
        return int(self.count[NODES])

    def column(self, which: int, column: int | None = None) -> NDArray[Any]:
        """Return an array of the state, cut to the nodes met so far."""
        array = self.state[which][: self.size]
        return array if column is None else array[:, column]

    def grow(self, which: Ints | None = None) -> None:
        """Ask for labels near nodes, by default those in the queue, or make room."""
        old, n = self.state, self.size
        queued = self._queued()
        if self._weighting.asks:
            asking = queued if which is None else which
            if self._ask(self.graph(self.column(NODE)[asking])[1]):
                return
        seen = old[NODE][:n]
        opened = old[START][:n] >= 0
        need = int(self.graph.degrees(seen[~opened]).max(initial=0))
        nodes = _doubled(len(old[NODE]), n + need)
        edges = _doubled(len(old[TO]), int(self.count[EDGES]) + need)
        self.state = _fresh(nodes, edges)
        for which in range(NODE, PARENT + 1):
            if which == QUEUE:
                continue
            used = int(self.count[EDGES]) if which in (TO, WEIGHT) else n
            self.state[which][:used] = old[which][:used]
        self.state[QUEUE][: len(queued)] = queued
        self.count[HEAD] = 0
        self.count[BITS] = bits = _bits(self.state)
        _kernels.rehash(self.state[TABLE], self.state[NODE], n, bits)

    def _queued(self) -> NDArray[Any]:
        ring = self.state[QUEUE]
        place = self.count[HEAD] + np.arange(self.count[WAITING])
        return np.asarray(ring[place & (len(ring) - 1)])

    def _ask(self, nodes: Ints) -> bool:
        """Ask for labels of nodes that have none yet; whether there were any."""
        missing = np.unique(nodes[self._labels[nodes] == 0])
        if len(missing):
            found = self._weighting.labels_of(missing)
            self._labels[missing] = np.where(found == 0, _ASKED_ZERO, found)
        return len(missing) > 0

    def release(self) -> None:
        """Leave the local arrays to the next run of this thread; they end here."""
        bits = int(self.count[BITS])
        _kernels.forget(self.state[TABLE], self.state[NODE], self.size, bits)
        _shelf.put(self.state)
        self.state = ()

    def open(self, which: Ints) -> None:
        """Read the rows of local nodes."""
        done = 0
        while done < len(which):
            rest = which[done:]
            done += _kernels.open_rows(rest, self.source, self.state, self.count)
            if done < len(which):
                self.grow(rest)

    def narrow(self, band: float, shift: float = 1.0) -> None:
        """Set band and target of every node, met or not, in shares of its capacity."""
        empty = band * (self._mean or 1.0)
        self._scalars[4:7] = band, empty, shift
        _kernels_heights.narrow(self.state, self.count, band, empty, shift)

    def pour(self, masses: Array) -> None:
        """Replace the source mass of the seeds; heights stay."""
        added = masses - self.column(GIVEN)[: len(masses)]
        self.column(GIVEN)[: len(masses)] = masses
        self.column(VALUE, 0)[: len(masses)] += added

    def overfull(self, share: float) -> bool:
        """Tell whether a component, known in full, cannot hold its source mass.

        It must hold it within its targets, and within this share of its sinks.
        """
        return bool(_kernels_heights.overfull(self.state, self.count, share))

    def rows(self, which: Ints) -> tuple[Ints, Ints, Array]:
        """Return counts, local columns and weights of opened local nodes."""
        counts = self.column(LENGTH)[which]
        first = self.column(START)[which] - np.cumsum(counts) + counts
        place = np.repeat(first, counts) + np.arange(int(counts.sum()))
        return counts, self.state[TO][place].astype(np.int64), self.state[WEIGHT][place]


def joined(nodes: Ints, *others: Ints) -> Ints:
    """Return the union of increasing vectors; cheap if the first holds the others."""
    for other in others:
        place = np.searchsorted(nodes, other)
        place[place == len(nodes)] = 0
        missing = other[nodes[place] != other] if len(nodes) else other
        if len(missing):
            nodes = np.sort(np.concatenate([nodes, missing]))
    return nodes


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Return a read-only view, so that kernels are compiled for one kind of array."""
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view


class _Shelf(threading.local):
    """Local arrays of the last run in a thread, with an empty hash table.

    Fresh memory costs a page fault every 4 KiB, which is more than a small run.
    """

    state: tuple[Any, ...] = ()

    def take(self, nodes: int) -> tuple[Any, ...]:
        state, self.state = self.state, ()
        if state and len(state[NODE]) >= nodes:
            return state
        return _fresh(nodes, _FIRST_EDGES)

    def put(self, state: tuple[Any, ...]) -> None:
        if sum(part.nbytes for part in state) <= _MOST_KEPT:
            self.state = state


_shelf = _Shelf()


def _bits(state: tuple[Any, ...]) -> int:
    return int(len(state[TABLE])).bit_length() - 1


def _doubled(size: int, need: int) -> int:
    size *= 2
    while size < need:
        size *= 2
    return size


def _fresh(nodes: int, edges: int) -> tuple[Any, ...]:
    """Return empty local arrays. The zeros cost nothing until they are written."""
    ring = 1 << (nodes - 1).bit_length()
    return (
        np.zeros(4 * ring, dtype=np.int32),
        np.empty(nodes, dtype=np.int64),
        np.empty((nodes, 4)),
        np.empty(nodes),
        np.empty(nodes),
        np.empty(nodes),
        np.empty(nodes, dtype=np.int64),
        np.empty(nodes, dtype=np.int64),
        np.empty(nodes),
        np.empty(edges, dtype=np.int32),
        np.empty(edges),
        np.empty(ring, dtype=np.int32),
        np.empty(nodes, dtype=np.uint8),
        np.empty(nodes, dtype=np.int32),
        np.empty((2, edges), dtype=np.int32),
        np.empty((2, edges)),
    )


def check_seeds(
    seeds: ArrayLike, n: int, seed_weights: ArrayLike | None = None
) -> tuple[Ints, Array]:
    """Return distinct seeds, increasing, and their shares of the mass.

    Parameters
    ----------
    seeds : int or array-like of int
        Nodes.
    n : int
        Number of nodes.
    seed_weights : array-like, optional
        Positive weights, default: equal.

    Returns
    -------
    seeds : ndarray of int64
        Increasing.
    shares : ndarray of float64
        They sum to one.

    Raises
    ------
    ValueError
        If a seed is out of range or doubled, or a weight is not positive.
    TypeError
        If seeds are not integers.
    """
    array = np.atleast_1d(np.asarray(seeds))
    if array.ndim != 1 or not len(array):
        raise ValueError(
            f"seeds={seeds!r} must be a node or a non-empty list of nodes."
        )
    if array.dtype.kind not in "iu":
        raise TypeError(f"seeds={seeds!r} must be integers, got {array.dtype}.")
    outside = array[(array < 0) | (array >= n)]
    if len(outside):
        raise ValueError(f"seeds holds {outside[0]}; nodes are numbered 0 to {n - 1}.")
    order = np.argsort(array, kind="stable")
    nodes = array[order].astype(np.int64)
    if (np.diff(nodes) == 0).any():
        twin = nodes[:-1][np.diff(nodes) == 0][0]
        raise ValueError(f"seeds holds {twin} twice; list each seed once.")
    if seed_weights is None:
        return nodes, np.full(len(nodes), 1.0 / len(nodes))
    weights = np.asarray(seed_weights, dtype=np.float64)
    if weights.shape != array.shape:
        raise ValueError(
            f"seed_weights must be {len(array)} numbers, one for each seed, got shape "
            f"{weights.shape}."
        )
    for weight in weights:
        check_number("seed_weights", float(weight), low=0.0, inclusive="neither")
    return nodes, weights[order] / weights.sum()
