"""Certify heights from anywhere, and read bounds on rival clusters off a result."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from farkas.base import check_number
from farkas.certificate import Certificate
from farkas.status import Status
from graphs._kernels_heights import settle
from graphs.drain import NOTHING, Drains, drained, numbered
from graphs.graph import check_graph
from graphs.minting import Outcome, Task, mint
from graphs.neighborhood import VALUE, Neighborhood, Sinks, check_seeds
from graphs.push import Options
from graphs.sweep import Sweep, members, support_of
from graphs.weights import Weighting


def check_certificate(
    graph: Any,
    seeds: ArrayLike,
    mass: float,
    x: Any,
    *,
    sinks: Any = "degree",
    p: float = 2.0,
    mu: float = 0.0,
    cluster: ArrayLike | None = None,
    seed_weights: ArrayLike | None = None,
    labels: Any = None,
    label_weight: float = 0.05,
    unknown_weight: float = 1.0,
    attributes: Any = None,
    gamma: Any = None,
    tol: float = 1e-3,
) -> Certificate:
    """Grade any heights as a solution of a flow diffusion.

    For ``p = 2``, where the flow of the heights does not fit the sinks, what nodes hold
    too much is led to neighbours with room, if there are some.

    Parameters
    ----------
    graph : graph
        Anything :func:`check_graph` takes; only rows of the support are read.
    seeds : int or array-like of int
        Nodes at which the mass starts.
    mass : float
        Source mass.
    x : array-like or sparse vector of shape (n,)
        Heights; negative ones count as zero.
    sinks, p, mu : optional
        As of :func:`flow_diffusion`.
    cluster : array-like of int, or of bool with shape (n,), optional
        Cluster whose conductance is measured; default: the support.
    seed_weights, labels, label_weight, unknown_weight, attributes, gamma : optional
        As of :func:`flow_diffusion`.
    tol : float, default=1e-3
        Tolerance of the certificate.

    Returns
    -------
    Certificate
        ``lower`` and ``upper`` enclose the optimum; ``upper`` is inf where a node holds
        more than its sink and nothing can be led away.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> from graphs import check_certificate, check_graph
    >>> path = check_graph([[0, 1], [1, 2], [2, 3]], affinity="edges")
    >>> proof = check_certificate(path, 0, 3.0, [2.5, 1.0, 0.2, 0.0], sinks="unit")
    >>> proof.lower <= 2.5 <= proof.upper
    True
    """
    graph = check_graph(graph)
    check_number("mass", mass, low=0.0, inclusive="neither")
    nodes, shares = check_seeds(seeds, graph.n_nodes, seed_weights)
    weighting = Weighting.validated(
        graph, nodes, labels, label_weight, unknown_weight, attributes, gamma
    )
    options = Options(p=p, mu=mu, tol=tol).checked()
    capacity = Sinks.validated(sinks, graph.n_nodes)
    support, heights = support_of(x, graph.n_nodes)
    inside = support if cluster is None else members(cluster, graph.n_nodes)
    none = np.empty(0)
    sweep = Sweep(support, none, none, none, -1)
    task = Task(graph, nodes, shares, weighting, capacity)
    outcome = Outcome(
        mass, mass * shares, support, heights, sweep, inside, 1.0, Status.CONVERGED,
        0.0, _drains(task, mass, support, heights) if p == 2 else NOTHING,
    )  # fmt: skip
    return mint(task, outcome, options)


def _drains(
    task: Task, mass: float, support: NDArray[np.int64], heights: NDArray[np.float64]
) -> Drains:
    """Lead surplus out of the support, unless the flow of the heights fits as it is."""
    ids = np.union1d(support, task.seeds)
    given = np.full(len(ids), -1.0)  # no seed
    given[np.searchsorted(ids, task.seeds)] = mass * task.shares
    near = Neighborhood(task.graph, ids, given, task.weighting, task.sinks)
    near.column(VALUE, 1)[np.searchsorted(ids, support)] = heights
    near.open(np.arange(len(ids)))
    report = np.zeros(4)
    settle(near.state, near.count, 1.0, 0.0, report)
    drains = NOTHING
    if report[3] > 0:
        drains = numbered(drained(near), near)
    near.release()
    return drains


def cut_lower(certificate: Certificate, stuck: float) -> float:
    """Bound from below the cut of any set that mass must leave.

    Parameters
    ----------
    certificate : Certificate
        Of a flow diffusion.
    stuck : float
        ``Delta(C) - T(C)`` of the set C: source mass that its sinks cannot hold.

    Returns
    -------
    float
        ``stuck^q / (p P)^(q/p)`` with P the certified upper bound; 0 without one.

    Examples
    --------
    >>> from graphs import cut_lower, flow_diffusion, load_karate_club
    >>> A, _ = load_karate_club()
    >>> proof = flow_diffusion(A, 0, mass=100).certificate
    >>> bool(cut_lower(proof, 100 - 16) <= 16)  # the seed alone has 16 edges
    True
    """
    p = float(certificate.parameters["p"])
    if not stuck > 0 or not 0 < certificate.upper < math.inf:
        return 0.0
    power = p / (p - 1) * math.log(stuck)
    power -= math.log(p * certificate.upper) / (p - 1)
    return math.exp(min(power, 690.0)) * (1 - 1e-12)


def conductance_lower(certificate: Certificate, volume: float) -> float:
    """Bound from below the conductance of every cluster around the seeds.

    Parameters
    ----------
    certificate : Certificate
        Of a flow diffusion with ``sinks="degree"`` on a graph of unit weights.
    volume : float
        Largest volume of the clusters in question.

    Returns
    -------
    float
        No cluster that contains all seeds and has at most that volume has a smaller
        conductance.

    Raises
    ------
    ValueError
        If the sinks are not the volumes of the nodes, or the volume is not positive.

    Examples
    --------
    >>> from graphs import conductance_lower, flow_diffusion, load_karate_club
    >>> A, _ = load_karate_club()
    >>> result = flow_diffusion(A, 0, mass=100)
    >>> bound = conductance_lower(result.certificate, 60)
    >>> bool(0 < bound < result.conductance)
    True
    """
    check_number("volume", volume, low=0.0, inclusive="neither")
    if not certificate.residuals["sinks_are_volumes"]:
        raise ValueError(
            'certificate must be of a diffusion with sinks="degree" on a graph of unit '
            "weights; elsewhere only cut_lower holds."
        )
    mass = certificate.residuals["mass"]
    return min(cut_lower(certificate, mass - volume) / volume, 1.0)
