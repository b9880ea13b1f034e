"""Personalised PageRank near a few seeds: push, and the l1-regularised program.

Lazy walk ``W = (I + A D^-1) / 2``; the vector solves ``(I - (1-alpha) W) p = alpha s``,
which is standard PageRank with damping ``(1-alpha) / (1+alpha)`` (Andersen, Chung,
Lang, FOCS 2006; Fountoulakis et al., arXiv:1602.01886).
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult

from farkas.base import check_choice, check_number
from farkas.history import Recorder
from farkas.status import Status
from graphs import _kernels_spectral
from graphs.neighborhood import (
    DEGREE,
    GIVEN,
    HEAD,
    NODE,
    PUSHES,
    QUEUE,
    START,
    VALUE,
    WAITING,
    Neighborhood,
)
from graphs.spectral import (
    Found,
    Spectral,
    found_near,
    spectral_task,
    told,
    vector_result,
)
from graphs.table_push import MOST_NODES, push_on_tables

Array = NDArray[np.float64]

_FIRST_ROUND, _LARGEST_ROUND = 16, 1 << 20
_ROWS = 2  # what a kernel returns when it needs rows
_FIRST_BAND = 0.3  # violation allowed at first, relative to the penalty
_OMEGA = 1.3  # over-relaxation; alpha keeps the system well conditioned

SOLVERS = ("cd", "fista", "ista")


@dataclasses.dataclass
class Rounds:
    """Rounds of a local method, with their history and callback."""

    recorder: Recorder
    callback: Callable[..., None] | None
    nit: int = 0
    size: int = _FIRST_ROUND
    interrupted: bool = False

    def next(self, pushes: int) -> int:
        """Return how many pushes there may have been after the coming round."""
        limit = pushes + self.size
        self.size = min(2 * self.size, _LARGEST_ROUND)
        self.nit += 1
        return limit


def approximate_pagerank(
    graph: Any,
    seeds: ArrayLike,
    *,
    alpha: float = 0.1,
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
    """Approximate a personalised PageRank vector by pushing residual mass.

    Parameters
    ----------
    graph : graph
        Anything :func:`check_graph` takes.
    seeds : int or array-like of int
        Nodes at which the walk starts.
    alpha : float, default=0.1
        Probability of a return to the seeds in each step of the lazy walk.
    eps : float, optional
        Largest error per degree. Default: ``1 / (10 target_volume)``, else 1e-5.
    target_volume : float, optional
        Volume of the cluster looked for.
    seed_weights : array-like, optional
        How the walk chooses among the seeds; default: equally.
    labels, label_weight, unknown_weight : optional
        Noisy labels that weight the edges, as in :func:`flow_diffusion`.
    max_iter : int, default=1000
        Largest number of rounds; a round is 16 pushes at first, then at least twice as
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
        ``x`` (sparse vector p, at most the true one), ``residual`` (sparse vector r),
        ``cluster`` (best sweep cut of ``p / d``), ``conductance``, ``fun`` (proven
        error per degree), ``certificate``, ``nit`` (pushes), ``work`` (edge visits),
        ``profile``, ``status``, ``success``, ``message``.

    Raises
    ------
    ValueError
        If an argument is out of range or a seed has no edges.

    References
    ----------
    Andersen, Chung, Lang, "Local graph partitioning using PageRank vectors", FOCS 2006.

    Examples
    --------
    >>> from graphs import approximate_pagerank, check_graph
    >>> path = check_graph([[0, 1], [1, 2]], affinity="edges")
    >>> result = approximate_pagerank(path, 0, eps=1e-9)
    >>> result.x.toarray().round(4).tolist()
    [0.3659, 0.45, 0.1841]
    """
    check_number("alpha", alpha, low=0.0, high=1.0, inclusive="neither")
    task = spectral_task(
        graph, seeds, seed_weights, labels, label_weight, unknown_weight
    )
    eps = chosen_eps(eps, target_volume, 1e-5)
    check_number("max_iter", max_iter, low=1, integer=True)
    recorder = Recorder(
        columns=("pushes",), verbose=verbose, name="approximate_pagerank"
    )
    rounds = Rounds(recorder, callback)
    return run_appr(task, alpha, eps, max_iter, rounds, certificate)


def chosen_eps(eps: float | None, target_volume: float | None, other: float) -> float:
    """Return the error per degree that a user asked for, or the default."""
    if eps is not None:
        check_number("eps", eps, low=0.0, inclusive="neither")
        return float(eps)
    if target_volume is not None:
        check_number("target_volume", target_volume, low=0.0, inclusive="neither")
        return 1.0 / (10.0 * float(target_volume))
    return other


def run_appr(
    task: Spectral,
    alpha: float,
    eps: float,
    max_iter: int,
    rounds: Rounds,
    certificate: bool = True,
    data: Any = None,
) -> OptimizeResult:
    """Push in rounds until every residual is below eps times its degree."""
    graph = task.graph
    small = graph.unit and task.weighting.plain and graph.n_nodes <= MOST_NODES
    push = push_on_tables if small and rounds.callback is None else _push_nearby
    found, status = push(task, alpha, eps, max_iter, rounds)
    return vector_result(
        task, found, rounds, status, "approximate_pagerank", {"alpha": float(alpha)},
        eps, certificate, data,
    )  # fmt: skip


def _push_nearby(
    task: Spectral, alpha: float, eps: float, max_iter: int, rounds: Rounds
) -> tuple[Found, Status]:
    near = task.neighborhood()
    _kernels_spectral.queue_residuals(near.state, near.count, eps)
    status = Status.MAX_ITER
    try:
        while rounds.nit < max_iter:
            limit = rounds.next(int(near.count[PUSHES]))
            code = _with_rows(
                near,
                lambda limit=limit: _kernels_spectral.appr(
                    near.state, near.count, alpha, eps, limit
                ),
            )
            r, d = near.column(VALUE, 0), near.column(DEGREE)
            error = float(np.max(r[d > 0] / d[d > 0], initial=0.0))
            if not told(rounds, near, 1.0 - float(r.sum()), error):
                status = Status.CALLBACK
                break
            if code == 0:
                status = Status.CONVERGED
                break
    except KeyboardInterrupt:
        rounds.interrupted, status = True, Status.CALLBACK
    degree = near.column(DEGREE)
    p = near.column(VALUE, 1)
    u = np.divide(p, degree, out=np.zeros(len(p)), where=p > 0)
    r = near.column(VALUE, 0)
    residual = near.column(NODE)[r > 0], r[r > 0]
    found = found_near(near, u, p, task, residual=residual)
    return found, status


def _with_rows(near: Neighborhood, kernel: Callable[[], int]) -> int:
    """Run a kernel, reading the rows of all queued nodes whenever it asks."""
    while (code := kernel()) == _ROWS:
        mask = len(near.state[QUEUE]) - 1
        place = (near.count[HEAD] + np.arange(near.count[WAITING])) & mask
        queued = near.state[QUEUE][place].astype(np.int64)
        near.open(np.sort(queued[near.column(START)[queued] < 0]))
    return int(code)


def l1_pagerank(
    graph: Any,
    seeds: ArrayLike,
    *,
    alpha: float = 0.1,
    rho: float | None = None,
    target_volume: float | None = None,
    seed_weights: ArrayLike | None = None,
    labels: Any = None,
    label_weight: float = 0.05,
    unknown_weight: float = 1.0,
    solver: str = "cd",
    tol: float = 1e-6,
    max_iter: int = 1000,
    certificate: bool = True,
    callback: Callable[..., None] | None = None,
    verbose: int = 0,
) -> OptimizeResult:
    """Personalised PageRank with an l1 penalty, to a proven gap.

    With ``Q = alpha I + (1-alpha)/2 (I - D^(-1/2) A D^(-1/2))`` and ``p = D^(1/2) z``::

        min  1/2 z'Qz - alpha (D^(-1/2) s)'z + rho alpha sum_i sqrt(d_i) |z_i|

    Parameters
    ----------
    graph : graph
        Anything :func:`check_graph` takes.
    seeds : int or array-like of int
        Nodes at which the walk starts.
    alpha : float, default=0.1
        Probability of a return to the seeds in each step of the lazy walk.
    rho : float, optional
        Penalty; the volume of the support is at most ``1 / rho``. Default: ``1 / (10
        target_volume)``, else 1e-4.
    target_volume : float, optional
        Volume of the cluster looked for.
    seed_weights : array-like, optional
        How the walk chooses among the seeds; default: equally.
    labels, label_weight, unknown_weight : optional
        Noisy labels that weight the edges, as in :func:`flow_diffusion`.
    solver : {"cd", "fista", "ista"}, default="cd"
        Over-relaxed coordinate descent on a queue, or proximal gradients with and
        without momentum.
    tol : float, default=1e-6
        Largest proven gap, relative to what single steps at the seeds gain.
    max_iter : int, default=1000
        Largest number of rounds (pushes, doubling from 16) or of proximal steps.
    certificate : bool, default=True
        Whether to mint a certificate.
    callback : callable, optional
        Called with ``intermediate_result`` after each round; may raise StopIteration.
    verbose : {0, 1, 2}, default=0
        1 prints a line now and then, 2 every round.

    Returns
    -------
    OptimizeResult
        ``x`` (sparse vector p), ``fun`` (objective), ``lower_bound``, ``gap``,
        ``cluster``, ``conductance``, ``certificate``, ``nit``, ``work``, ``profile``,
        ``status``, ``success``, ``message``.

    Raises
    ------
    ValueError
        If an argument is out of range or a seed has no edges.

    References
    ----------
    Fountoulakis, Roosta-Khorasani, Shun, Cheng, Mahoney, "Variational perspective on
    local graph clustering", arXiv:1602.01886.

    Examples
    --------
    >>> from graphs import check_graph, l1_pagerank
    >>> path = check_graph([[0, 1], [1, 2], [2, 3]], affinity="edges")
    >>> result = l1_pagerank(path, 0, rho=0.1)
    >>> result.x.toarray().round(3).tolist(), result.certificate.satisfied
    ([0.232, 0.166, 0.031, 0.0], True)
    """
    check_number("alpha", alpha, low=0.0, high=1.0, inclusive="neither")
    check_choice("solver", solver, SOLVERS)
    check_number("tol", tol, low=0.0, inclusive="neither")
    check_number("max_iter", max_iter, low=1, integer=True)
    if rho is not None:
        check_number("rho", rho, low=0.0, inclusive="neither")
    rho = chosen_eps(rho, target_volume, 1e-4)
    task = spectral_task(
        graph, seeds, seed_weights, labels, label_weight, unknown_weight
    )
    recorder = Recorder(columns=("pushes",), verbose=verbose, name="l1_pagerank")
    rounds = Rounds(recorder, callback)
    return run_l1(task, alpha, rho, solver, tol, max_iter, rounds, certificate)


def run_l1(
    task: Spectral,
    alpha: float,
    rho: float,
    solver: str,
    tol: float,
    max_iter: int,
    rounds: Rounds,
    certificate: bool = True,
    data: Any = None,
) -> OptimizeResult:
    """Descend until the subgradient proves a small gap."""
    near = task.neighborhood()
    goal = 0.9 * tol * _first_gain(near, len(task.seeds), alpha, rho)
    descend = _coordinate_descent if solver == "cd" else _proximal_gradient
    try:
        status = descend(near, alpha, rho, solver, goal, max_iter, rounds)
    except KeyboardInterrupt:
        rounds.interrupted, status = True, Status.CALLBACK
    near.open(np.flatnonzero(near.column(VALUE, 1) > 0))
    u = near.column(VALUE, 1)
    found = found_near(near, u, u * near.column(DEGREE), task)
    return vector_result(
        task, found, rounds, status, "l1_pagerank",
        {"alpha": float(alpha), "rho": float(rho)}, tol, certificate, data,
    )  # fmt: skip


def _first_gain(near: Neighborhood, k: int, alpha: float, rho: float) -> float:
    d = near.column(DEGREE)[:k]
    push = np.maximum(alpha * near.column(GIVEN)[:k] - rho * alpha * d, 0.0)
    gain = float((push**2 / d).sum()) / (1.0 + alpha)
    return gain if gain > 0 else 1.0


def _coordinate_descent(
    near: Neighborhood,
    alpha: float,
    rho: float,
    solver: str,
    goal: float,
    max_iter: int,
    rounds: Rounds,
) -> Status:
    band, report = _FIRST_BAND, np.zeros(2)
    _kernels_spectral.l1_settle(near.state, near.count, alpha, rho, band, report)
    while rounds.nit < max_iter:
        limit = rounds.next(int(near.count[PUSHES]))
        code = _with_rows(
            near,
            lambda limit=limit, band=band: _kernels_spectral.l1_descend(
                near.state, near.count, alpha, rho, _OMEGA, band, limit
            ),
        )
        narrower = band
        if code == 0:
            narrower = band = 0.25 * band
        _kernels_spectral.l1_settle(
            near.state, near.count, alpha, rho, narrower, report
        )
        gap = report[1] / (2.0 * alpha)
        if not told(rounds, near, float(report[0]), float(gap)):
            return Status.CALLBACK
        if gap <= goal:
            return Status.CONVERGED
        if band < 1e-15:
            return Status.STALLED
    return Status.MAX_ITER


def _proximal_gradient(
    near: Neighborhood,
    alpha: float,
    rho: float,
    solver: str,
    goal: float,
    max_iter: int,
    rounds: Rounds,
) -> Status:
    """ISTA, or FISTA with the momentum of an alpha-strongly convex problem."""
    root = math.sqrt(alpha)
    momentum = (1.0 - root) / (1.0 + root) if solver == "fista" else 0.0
    before, report = np.zeros(near.size), np.zeros(2)
    _kernels_spectral.l1_settle(near.state, near.count, alpha, rho, math.inf, report)
    while rounds.nit < max_iter:
        rounds.nit += 1
        # Neighbours of the support take part: their degrees must be known.
        reached = near.column(VALUE, 0) > 0
        near.open(np.flatnonzero(reached & (near.column(DEGREE) <= 0)))
        before = np.concatenate([before, np.zeros(near.size - len(before))])
        _kernels_spectral.l1_proximal(
            near.state, near.count, alpha, rho, momentum, before
        )
        support = np.flatnonzero(near.column(VALUE, 1) > 0)
        near.count[PUSHES] += len(support)
        near.open(support)
        _kernels_spectral.l1_settle(
            near.state, near.count, alpha, rho, math.inf, report
        )
        gap = report[1] / (2.0 * alpha)
        if not told(rounds, near, float(report[0]), float(gap)):
            return Status.CALLBACK
        if gap <= goal:
            return Status.CONVERGED
    return Status.MAX_ITER
