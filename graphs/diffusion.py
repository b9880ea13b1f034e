"""Flow diffusion: spread source mass until every node holds at most its sink.

The program, for ``p >= 2`` and ``1/p + 1/q = 1``::

    max_{x >= 0}  x'(Delta - T) - 1/q sum_e w_e |x_i - x_j|^q

is solved by coordinate steps on nodes that hold too much (Fountoulakis, Wang, Yang,
arXiv:2005.09810). For p = 2 the steps are over-relaxed and aim one band below the
sink; all stop inside that band, so that the final flow is feasible and its duality gap
a proof, without a phase of repair.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult
from scipy.sparse import coo_array

from farkas.base import check_number
from farkas.history import Recorder
from farkas.result import make_result
from farkas.status import Status
from graphs._measure_graph import Graph
from graphs.drain import NOTHING, numbered
from graphs.graph import check_graph
from graphs.minting import Outcome, Task, mint
from graphs.neighborhood import (
    GIVEN,
    NODE,
    NODES,
    OPENED,
    PUSHED,
    PUSHES,
    SINK,
    VALUE,
    WORK,
    Neighborhood,
    Sinks,
    check_seeds,
)
from graphs.push import CAPACITY_SHARE, FIRST_BAND, Options, Run, solve
from graphs.sweep import positive, rounded, sweep_near
from graphs.weights import Weighting

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

# Source mass over the capacity of the target, where the latter is known.
MASS_FACTOR = {"sweep": 2.5, "support": 1.5, "threshold": 1.5}
# Share of a component that is filled when all guesses were too large for it.
_MOST = 0.9
INTERRUPTED = "Interrupted by the user."


def flow_diffusion(
    graph: Any,
    seeds: ArrayLike,
    *,
    mass: ArrayLike | None = None,
    target_volume: float | None = None,
    p: float = 2.0,
    mu: float = 0.0,
    sinks: Any = "degree",
    seed_weights: ArrayLike | None = None,
    labels: Any = None,
    label_weight: float = 0.05,
    unknown_weight: float = 1.0,
    attributes: Any = None,
    gamma: Any = None,
    rounding: str = "sweep",
    threshold: float = 0.0,
    solver: str = "auto",
    omega: float = 1.6,
    tol: float = 1e-3,
    max_iter: int = 1000,
    certificate: bool = True,
    callback: Callable[..., None] | None = None,
    verbose: int = 0,
) -> OptimizeResult:
    """Find the cluster around seeds by diffusing mass until it fits the sinks.

    Parameters
    ----------
    graph : graph
        Anything :func:`check_graph` takes. Only rows near the seeds are read.
    seeds : int or array-like of int
        Nodes at which the mass starts.
    mass : float or array-like, optional
        Source mass, in the units of the sinks; of several values the one whose
        cluster has the smallest conductance is kept, and infeasible ones are dropped.
        Default: 2.5 times `target_volume` (1.5 for ``rounding="support"``), or eight
        values from 4 to 200 times the sinks of the seeds.
    target_volume : float, optional
        Capacity of the cluster looked for.
    p : float, default=2
        Norm of the flow, at least 2. Larger values leak less and take longer.
    mu : float, default=0
        For ``p > 2``, height difference below which the dual program is smoothed:
        ``|t|^q`` becomes ``(t^2 + mu^2)^(q/2) - mu^q``. Flows over small differences
        shrink, and floats can tell them apart. The certificate is that of the smoothed
        programs.
    sinks : {"degree", "unit"} or array-like of shape (n,), default="degree"
        Capacity of each node: its number of neighbours, one, or given.
    seed_weights : array-like, optional
        How the mass is shared among the seeds; default: equally.
    labels : array-like of shape (n,) or callable, optional
        Noisy labels 0 and 1, -1 for unknown, or probabilities of a 1. Seeds count
        as 1. A function gets an array of node numbers, which may repeat, and returns
        their labels; it is asked about nodes next to those that pass mass on.
    label_weight : float, default=0.05
        Factor of edges whose ends disagree, from 0 to 1.
    unknown_weight : float, default=1
        Factor of edges with an unknown end, from 0 to 1.
    attributes : array-like of shape (n, d), optional
        Node attributes; used with `gamma`.
    gamma : float or "scale", optional
        Factor ``exp(-gamma |X_i - X_j|^2)``; ``"scale"`` is one over the median squared
        distance along the edges of the seeds.
    rounding : {"sweep", "support", "threshold"}, default="sweep"
        The cluster is the best sweep cut, the support, or where heights reach
        `threshold`.
    threshold : float, default=0
        See `rounding`.
    solver : {"auto", "sor", "push", "active_set"}, default="auto"
        Over-relaxed pushes below the sinks, plain pushes, or linear systems on the
        support. ``"auto"`` pushes around the sinks and leads the rest out, and solves
        systems when `tol` is below 1e-6 or small weights block the mass.
        For ``p > 2`` there is only pushing.
    omega : float, default=1.6
        Over-relaxation that steps approach, strictly between 0 and 2.
    tol : float, default=1e-3
        Largest proven duality gap, relative to a proven lower bound of the optimum.
    max_iter : int, default=1000
        Largest number of rounds for each mass; a round is 16 pushes at first, then at
        least twice as many each time.
    certificate : bool, default=True
        Whether to mint a certificate.
    callback : callable, optional
        Called with ``intermediate_result`` after each round; may raise StopIteration.
    verbose : {0, 1, 2}, default=0
        1 prints a line now and then, 2 every round.

    Returns
    -------
    OptimizeResult
        ``x`` (sparse vector of heights), ``cluster`` (node numbers), ``conductance``,
        ``mass``, ``fun`` (dual value), ``gap``, ``certificate``, ``nit`` (pushes),
        ``work`` (edge visits), ``n_touched``, ``drains`` (how surplus leaves the
        support, where the flow of the heights does not fit), ``profile`` of the sweep,
        ``source``, ``band`` (the final mass lies within two bands below the sinks, or
        within one around them before surplus is led away), ``status``,
        ``success``, ``message``.

    Raises
    ------
    ValueError
        If an argument is out of range, or the mass exceeds what the component of the
        seeds can hold.

    References
    ----------
    Fountoulakis, Wang, Yang, "p-Norm Flow Diffusion for Local Graph Clustering",
    arXiv:2005.09810. Back de Luca, Fountoulakis, Yang, "Local Graph Clustering with
    Noisy Labels", arXiv:2310.08031.

    Examples
    --------
    >>> from graphs import check_graph, flow_diffusion
    >>> path = check_graph([[0, 1], [1, 2], [2, 3], [3, 4]], affinity="edges")
    >>> result = flow_diffusion(path, 0, mass=3, sinks="unit", tol=1e-9)
    >>> result.x.toarray().round(6).tolist()
    [3.0, 1.0, 0.0, 0.0, 0.0]
    >>> round(result.fun, 6)
    2.5
    """
    graph = check_graph(graph)
    nodes, shares = check_seeds(seeds, graph.n_nodes, seed_weights)
    weighting = Weighting.validated(
        graph, nodes, labels, label_weight, unknown_weight, attributes, gamma
    )
    options = Options(
        p, mu, rounding, threshold, solver, omega, tol, max_iter, certificate, verbose
    ).checked()
    capacity = Sinks.validated(sinks, graph.n_nodes)
    masses = mass_grid(graph, capacity, nodes, mass, target_volume, rounding)
    task = Task(graph, nodes, shares, weighting, capacity)
    searching = mass is None and target_volume is None
    return diffuse(task, masses, options, searching=searching, callback=callback)


def diffuse(
    task: Task,
    masses: Array,
    options: Options,
    *,
    searching: bool = False,
    callback: Callable[..., None] | None = None,
    data: Any = None,
    name: str = "flow_diffusion",
) -> OptimizeResult:
    """Run a checked task for every source mass and keep the best cluster.

    ``searching`` says that the masses are a guess: a component that is too small for
    them is itself the cluster. ``data`` is what the certificate is minted on, by
    default the graph of the task.
    """
    recorder = Recorder(columns=("pushes",), verbose=options.verbose, name=name)
    near = Neighborhood(
        task.graph, task.seeds, masses[0] * task.shares, task.weighting, task.sinks,
        FIRST_BAND,
    )  # fmt: skip
    best, nit, queue, closed = None, 0, list(masses), False
    while queue:
        mass = queue.pop(0)
        near.pour(mass * task.shares)
        run = Run(near, len(task.seeds), options, recorder, callback, recorded=nit)
        status = _interruptible(run)
        nit += run.nit
        if status is Status.NUMERICAL:
            raise ValueError(
                f"mass={mass:g} leads beyond all floats; choose other units for the "
                "mass or the weights."
            )
        if status is Status.INFEASIBLE:  # and so are all larger masses
            known = near.count[OPENED] == near.count[NODES] and not run.stuck
            if not (searching and known) or closed:
                break
            closed, queue = True, []
            if best is None:
                queue = [_MOST * float(near.column(SINK).sum())]
                run.again()
            continue
        found = _outcome(run, status, task, options)
        if best is None or found.conductance < best.conductance:
            best = found
        if status is Status.CALLBACK:
            best = dataclasses.replace(best, status=status)
            break
    if best is None:
        raise ValueError(_refusal(near, float(masses[0]), run.stuck))
    if closed:
        best = _whole(best, np.sort(near.column(NODE)), task)
    result = _finished(best, near, task, options, recorder, data)
    near.release()
    if run.interrupted:
        result.message = INTERRUPTED
    return result


def mass_grid(
    graph: Graph,
    sinks: Sinks,
    seeds: Ints,
    mass: ArrayLike | None,
    target_volume: float | None,
    rounding: str,
) -> Array:
    """Return the source masses to try, increasing."""
    if mass is not None:
        values = np.unique(np.atleast_1d(np.asarray(mass, dtype=np.float64)))
        if values.ndim != 1 or not len(values):
            raise ValueError("mass must be a positive number or a list of them.")
        for value in values:
            check_number("mass", float(value), low=0.0, inclusive="neither")
        return values
    if target_volume is not None:
        check_number("target_volume", target_volume, low=0.0, inclusive="neither")
        return np.array([target_volume * MASS_FACTOR[rounding]])
    own = float(sinks.of(graph, seeds).sum())
    low, high = 4.0 * own, min(0.45 * sinks.total(graph), 200.0 * own)
    if not high > 0:
        raise ValueError("mass must be given when the seeds have no capacity.")
    return np.geomspace(low, high, 8) if low < high else np.array([high])


def _outcome(run: Run, status: Status, task: Task, options: Options) -> Outcome:
    """Round the heights of a run to a cluster."""
    near = run.near
    total = task.graph.volume if task.weighting.plain else math.inf
    support = positive(near, near.column(VALUE, 1))
    sweep = sweep_near(near, near.column(VALUE, 1), total, support)
    x = near.column(VALUE, 1)
    cluster, phi = task.seeds, 1.0  # where the seeds hold all the mass
    if len(support):
        heights = np.sort(x[support])[::-1]
        cluster = rounded(sweep, options.rounding, heights, options.threshold)
        phi = float(sweep.conductance[len(cluster) - 1]) if len(cluster) else 1.0
    return Outcome(
        run.mass, near.column(GIVEN)[: run.n_seeds].copy(), near.column(NODE)[support],
        x[support], sweep, cluster, phi, status, run.band, numbered(run.drains, near),
    )  # fmt: skip


def _interruptible(run: Run) -> Status:
    try:
        return solve(run)
    except KeyboardInterrupt:
        run.interrupted = True
        run.drains = NOTHING
        run.settle()
        return Status.CALLBACK


def _whole(best: Outcome, component: Ints, task: Task) -> Outcome:
    """Return the outcome with a whole component as its cluster, if it is small."""
    _, columns, weights = task.graph(component)
    volume = float(len(columns) if weights is None else weights.sum())
    if volume > 0.5 * task.graph.volume:
        return best
    return dataclasses.replace(best, cluster=component, conductance=0.0)


def _refusal(near: Neighborhood, mass: float, stuck: bool) -> str:
    """Say why no source mass could be spread."""
    if stuck:
        return (
            f"source mass {mass:g} does not fit: a node that holds more than its sink "
            "has no edges (or only edges of weight 0); choose a smaller mass, another "
            "seed, or label_weight > 0."
        )
    return (
        f"source mass {mass:g} exceeds the capacity of the seed's component, of which "
        f"{CAPACITY_SHARE:.0%} may be filled (nodes met so far hold "
        f"{near.column(SINK).sum():g}); choose a smaller mass."
    )


def _finished(
    best: Outcome,
    near: Neighborhood,
    task: Task,
    options: Options,
    recorder: Recorder,
    data: Any,
) -> OptimizeResult:
    """Mint the certificate and collect the result."""
    proof, status = None, best.status
    if options.certificate:
        proof = mint(task, best, options, data)
        if status is Status.CONVERGED and not proof.satisfied:
            status = Status.STALLED
        elif proof.satisfied and status in (Status.STALLED, Status.MAX_ITER):
            status = Status.CONVERGED
    return make_result(
        coo_array((best.x, (best.nodes,)), shape=(task.graph.n_nodes,)),
        fun=math.nan if proof is None else proof.residuals["dual_value"],
        status=status,
        nit=int(near.count[PUSHES]),
        certificate=proof,
        history=recorder.to_dict(),
        elapsed=recorder.elapsed,
        cluster=best.cluster,
        conductance=best.conductance,
        mass=best.mass,
        gap=math.nan if proof is None else proof.value,
        lower_bound=math.nan if proof is None else proof.lower,
        work=int(near.count[WORK]),
        n_touched=near.size,
        n_pushed=int(near.count[PUSHED]),
        profile=best.sweep.profile(),
        order=best.sweep.nodes,
        seeds=task.seeds,
        source=best.source,
        band=best.band,
        drains=best.drains,
        state={"nodes": best.nodes, "heights": best.x},
    )
