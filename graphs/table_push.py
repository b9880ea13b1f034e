"""PageRank pushes on unit graphs that are small enough for tables of all nodes.

Without weights a row needs no copy and no local numbers, so pushes run on the graph
itself. The tables outlive the call and are cleared where they were written: the cost is
that of the answer. Pushes come in the same order as on a neighborhood, with the same
results to the last bit.
"""

import math
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farkas.status import Status
from graphs import _kernels_spectral
from graphs._measure_graph import Graph
from graphs.neighborhood import frozen
from graphs.spectral import Found, Spectral
from graphs.sweep import Sweep, descending

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST_NODES = 1 << 20  # 30 MB of tables for each thread

_ROUND = 4096  # pushes of the second round at least: nobody looks on

# Registers of ``count``.
_HEAD, _WAITING, PUSHES, WORK, _TOUCHED = range(5)


class _Shelf(threading.local):
    """Tables of the last graph in a thread; the first is all zero."""

    tables: tuple[NDArray[np.generic], ...] = ()


_shelf = _Shelf()


class TablePush:
    """Residual r and answer p of a push, and the nodes that were met.

    Parameters
    ----------
    graph : Graph
        With unit weights and at most ``MOST_NODES`` nodes.
    seeds : ndarray of int
        Where the walk starts.
    share : ndarray
        Probability of each seed.
    alpha : float
        Probability of a return.
    eps : float
        Residual per degree at which a node is pushed.
    """

    def __init__(
        self, graph: Graph, seeds: Ints, share: Array, alpha: float, eps: float
    ) -> None:
        self.graph = graph
        self.rows = frozen(graph.indptr), frozen(graph.indices)
        n = graph.n_nodes
        tables, _shelf.tables = _shelf.tables, ()
        if not tables or len(tables[0]) != n:
            ring = 1 << n.bit_length()
            tables = (
                np.zeros((n, 4)), np.empty(n, dtype=np.int32),
                np.empty(ring, dtype=np.int32),
            )  # fmt: skip
        self.tables = tables
        self.count = np.zeros(5, dtype=np.int64)
        self.alpha, self.eps = alpha, eps
        limits = eps * graph.degrees(seeds)
        _kernels_spectral.start_push(seeds, share, limits, *self.tables, self.count)

    def push(self, budget: int) -> tuple[bool, float]:
        """Push; whether it is done, and how much has settled now."""
        code, settled = _kernels_spectral.table_push(
            *self.rows, *self.tables, self.count, self.alpha, self.eps, budget
        )
        return code == 0, float(settled)

    def harvest(self) -> tuple[Ints, Array, Array]:
        """Take the nodes that were met, with r and p; the tables are zero again."""
        ids = self.tables[1][: self.count[_TOUCHED]]
        found = np.empty((2, len(ids)))
        _kernels_spectral.harvest(self.tables[0], ids, found)
        return ids.astype(np.int64), found[0], found[1]

    def sweep(self, ids: Ints, u: Array, total: float) -> Sweep:
        """Sweep over increasing nodes with a positive score, after the harvest."""
        nodes, k = ids[descending(u)], len(ids)
        cuts, volumes = np.empty(k), np.empty(k)
        best = _kernels_spectral.table_sweep(
            *self.rows, nodes, self.tables[0], total, cuts, volumes
        )
        smaller = np.minimum(volumes, total - volumes)
        phi = np.divide(cuts, smaller, out=np.ones(k), where=smaller > 0)
        return Sweep(nodes, cuts, volumes, phi, int(best))

    def release(self) -> None:
        """Leave the tables to the next push of this thread."""
        _shelf.tables, self.tables = self.tables, ()


def push_on_tables(
    task: Spectral, alpha: float, eps: float, max_iter: int, rounds: Any
) -> tuple[Found, Status]:
    """Push in rounds until every residual is below eps times its degree."""
    task.check_degrees(task.graph.degrees(task.seeds).astype(np.float64))
    pushed = TablePush(task.graph, task.seeds, task.share, alpha, eps)
    status, settled = Status.MAX_ITER, 0.0
    try:
        while rounds.nit < max_iter and status is Status.MAX_ITER:
            limit = rounds.next(int(pushed.count[PUSHES]))
            rounds.size = max(rounds.size, _ROUND)
            done, more = pushed.push(limit)
            settled += more
            pushes = float(pushed.count[PUSHES])
            error = eps if done else math.inf
            rounds.recorder.record(
                rounds.nit, objective=settled, certificate=error, pushes=pushes
            )
            status = Status.CONVERGED if done else status
    except KeyboardInterrupt:
        rounds.interrupted, status = True, Status.CALLBACK
    met, r, p = pushed.harvest()
    order = np.argsort(met[high := p > 0])
    ids, p = met[high][order], p[high][order]
    u = p / task.graph.degrees(ids)
    left = r > 0
    found = Found(
        ids, u, p, pushed.sweep(ids, u, task.total), len(met),
        int(pushed.count[PUSHES]), int(pushed.count[WORK]),
        residual=(met[left], r[left]),
    )  # fmt: skip
    pushed.release()
    return found, status
