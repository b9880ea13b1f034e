"""Heat kernel of the walk matrix near a few seeds, by its Taylor series.

``h = exp(-t (I - A D^-1)) s``. Residuals live on pairs of a node and a level of the
series; a residual that is large per degree moves one level up, to the neighbours
(Kloster, Gleich, arXiv:1403.3148).
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult

from farkas.base import check_number
from farkas.history import Recorder
from farkas.status import Status
from graphs import _kernels_spectral
from graphs.neighborhood import DEGREE, PUSHES, START, VALUE, Neighborhood
from graphs.pagerank import Rounds, chosen_eps
from graphs.spectral import Spectral, found_near, spectral_task, told, vector_result

Array = NDArray[np.float64]

_ROWS = 2
_FIRST_NODES = 2048


def heat_kernel(
    graph: Any,
    seeds: ArrayLike,
    *,
    t: float = 5.0,
    eps: float | None = None,
    target_volume: float | None = None,
    seed_weights: ArrayLike | None = None,
    labels: Any = None,
    label_weight: float = 0.05,
    unknown_weight: float = 1.0,
    max_iter: int = 1000,
    certificate: bool = True,
    callback: Callable[..., None] | None = None,
    verbose: int = 0,
) -> OptimizeResult:
    """Approximate the heat kernel of a walk that starts at the seeds.

    Parameters
    ----------
    graph : graph
        Anything :func:`check_graph` takes.
    seeds : int or array-like of int
        Nodes at which the walk starts.
    t : float, default=5
        Time, at most 500.
    eps : float, optional
        Largest error per degree. Default: ``1 / (10 target_volume)``, else 1e-4.
    target_volume : float, optional
        Volume of the cluster looked for.
    seed_weights : array-like, optional
        How the walk chooses among the seeds; default: equally.
    labels, label_weight, unknown_weight : optional
        Noisy labels that weight the edges, as in :func:`flow_diffusion`.
    max_iter : int, default=1000
        Largest number of rounds; a round is 16 relaxations at first, then twice as
        many.
    certificate : bool, default=True
        Whether to mint a certificate.
    callback : callable, optional
        Called with ``intermediate_result`` after each round; may raise StopIteration.
    verbose : {0, 1, 2}, default=0
        1 prints a line now and then, 2 every round.

    Returns
    -------
    OptimizeResult
        ``x`` (sparse vector h), ``cluster`` (best sweep cut of ``h / d``),
        ``conductance``, ``fun`` (proven error per degree), ``certificate``, ``nit``
        (relaxations), ``work`` (edge visits), ``profile``, ``status``, ``success``,
        ``message``.

    Raises
    ------
    ValueError
        If an argument is out of range or a seed has no edges.

    References
    ----------
    Kloster, Gleich, "Heat kernel based community detection", arXiv:1403.3148.

    Examples
    --------
    >>> from graphs import check_graph, heat_kernel
    >>> path = check_graph([[0, 1], [1, 2]], affinity="edges")
    >>> heat_kernel(path, 0, eps=1e-9).x.toarray().round(4).tolist()
    [0.2534, 0.5, 0.2466]
    """
    check_number("t", t, low=0.0, high=500.0, inclusive="right")
    check_number("max_iter", max_iter, low=1, integer=True)
    task = spectral_task(
        graph, seeds, seed_weights, labels, label_weight, unknown_weight
    )
    eps = chosen_eps(eps, target_volume, 1e-4)
    recorder = Recorder(columns=("pushes",), verbose=verbose, name="heat_kernel")
    return run_heat(task, t, eps, max_iter, Rounds(recorder, callback), certificate)


def run_heat(
    task: Spectral,
    t: float,
    eps: float,
    max_iter: int,
    rounds: Rounds,
    certificate: bool = True,
    data: Any = None,
) -> OptimizeResult:
    """Relax in rounds until every residual is small per degree."""
    near = task.neighborhood()
    k = len(task.seeds)
    steepest = float((task.share / near.column(DEGREE)[:k]).max())
    N = taylor_degree(t, 0.5 * eps / max(1.0, steepest))
    psi = np.ones(N + 1)
    for j in range(N - 1, -1, -1):
        psi[j] = 1.0 + psi[j + 1] * t / (j + 1)
    # Half of eps is left to the residuals, an equal part of it to each level; a little
    # less, so that rounding does not break the promise.
    limit = 0.499 * eps * math.exp(t) / ((N + 1) * psi)
    series = _Series(near, N + 1)
    series.residual[:k, 0] = task.share
    series.enqueue(np.arange(k))
    status = Status.MAX_ITER
    try:
        while rounds.nit < max_iter:
            allowed = rounds.next(int(near.count[PUSHES]))
            code = series.relax(limit, t, allowed)
            settled = math.exp(-t) * series.settled.sum(axis=1)
            near.column(VALUE, 1)[:] = settled[: near.size]
            if not told(rounds, near, float(settled.sum()), math.nan):
                status = Status.CALLBACK
                break
            if code == 0:
                status = Status.CONVERGED
                break
    except KeyboardInterrupt:
        rounds.interrupted, status = True, Status.CALLBACK
    settled = series.settled[: near.size]
    degree = near.column(DEGREE)
    held = settled.any(axis=1)
    levels = np.zeros_like(settled)
    levels[held] = settled[held] / degree[held, None]
    x = math.exp(-t) * settled.sum(axis=1)
    u = np.divide(x, degree, out=np.zeros(len(x)), where=x > 0)
    found = found_near(near, u, x, task, levels=levels)
    return vector_result(
        task, found, rounds, status, "heat_kernel", {"t": float(t)}, eps, certificate,
        data,
    )  # fmt: skip


def taylor_degree(t: float, tail: float) -> int:
    """Return the smallest degree whose tail ``exp(-t) sum_{k>N} t^k/k!`` is small.

    Parameters
    ----------
    t : float
        Time.
    tail : float
        What may be left.

    Returns
    -------
    int
        At least 1.
    """
    N = max(1, int(t))
    while True:
        k = N + 1
        first = math.exp(k * math.log(t) - t - math.lgamma(k + 1))
        if k + 1 > t and first / (1.0 - t / (k + 1)) <= tail:
            return N
        N += 1


class _Series:
    """Residuals and settled mass on pairs of a node and a level."""

    def __init__(self, near: Neighborhood, levels: int) -> None:
        self.near, self.levels = near, levels
        self.place = np.zeros(2, dtype=np.int64)
        self.ring = np.zeros(1, dtype=np.int64)
        self.residual = self.settled = np.zeros((0, levels))
        self.waits = np.zeros((0, levels), dtype=np.uint8)
        self._grow()

    def _grow(self) -> None:
        """Follow the growth of the neighborhood."""
        known = len(self.residual)
        if self.near.size <= known:
            return
        rows = max(2 * known, self.near.size, _FIRST_NODES)
        for name in ("residual", "settled", "waits"):
            old = getattr(self, name)
            new = np.zeros((rows, self.levels), dtype=old.dtype)
            new[:known] = old
            setattr(self, name, new)
        queued = self._queued()
        self.ring = np.zeros(1 << (rows * self.levels - 1).bit_length(), dtype=np.int64)
        self.ring[: len(queued)] = queued
        self.place[0] = 0

    def _queued(self) -> NDArray[np.int64]:
        mask = len(self.ring) - 1
        return self.ring[(self.place[0] + np.arange(self.place[1])) & mask]

    def enqueue(self, nodes: NDArray[np.int64]) -> None:
        """Queue nodes at level 0."""
        self.ring[: len(nodes)] = nodes * self.levels
        self.waits[nodes, 0] = 1
        self.place[1] = len(nodes)

    def relax(self, limit: Array, t: float, allowed: int) -> int:
        """Relax what is queued, reading rows on the way."""
        near = self.near
        while True:
            code = _kernels_spectral.heat(
                near.state, near.count, self.residual, self.settled, limit, t,
                self.ring, self.waits, self.place, allowed,
            )  # fmt: skip
            if code != _ROWS:
                return int(code)
            nodes = np.unique(self._queued() // self.levels)
            near.open(nodes[near.column(START)[nodes] < 0])
            self._grow()
