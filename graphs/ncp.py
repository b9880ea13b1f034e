"""Many local clusters at once: network community profiles and whole partitions."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult

from farkas.base import check_choice, check_number
from farkas.parallel import RandomSource, pmap, seed_sequence
from graphs._measure_graph import Graph
from graphs.capacity_releasing import crd
from graphs.diffusion import flow_diffusion
from graphs.graph import check_graph
from graphs.heat import heat_kernel
from graphs.pagerank import approximate_pagerank

Ints = NDArray[np.int64]

METHODS = ("pagerank", "flow", "heat", "crd")
# One run for each of these when the caller names none.
_PARAMETERS: dict[str, list[dict[str, Any]]] = {
    "pagerank": [{"eps": eps} for eps in (1e-2, 1e-3, 1e-4, 1e-5)],
    "flow": [{"target_volume": volume} for volume in (30.0, 300.0, 3000.0)],
    "heat": [{"t": t, "eps": eps} for t, eps in ((5.0, 1e-3), (20.0, 1e-4))],
    "crd": [{}],
}
_CHUNK = 16  # seeds a worker takes at a time
_BINS = 60  # logarithmic bins of the envelope

RECORD = np.dtype(
    [
        ("size", np.int64), ("volume", np.float64), ("conductance", np.float64),
        ("seed", np.int64), ("setting", np.int64),
    ]
)  # fmt: skip


def ncp_profile(
    graph: Any,
    method: str = "pagerank",
    *,
    n_seeds: int | None = 100,
    ratio: float | None = None,
    params: Sequence[dict[str, Any]] | None = None,
    n_jobs: int | None = None,
    random_state: RandomSource = 0,
) -> OptimizeResult:
    """Smallest conductance found at every cluster size, over many seeds.

    Parameters
    ----------
    graph : graph
        Anything :func:`check_graph` takes.
    method : {"pagerank", "flow", "heat", "crd"}, default="pagerank"
        Diffusion whose sweeps are collected.
    n_seeds : int, default=100
        Number of seeds, drawn among the nodes with edges.
    ratio : float, optional
        Share of the nodes to use as seeds, instead of `n_seeds`.
    params : sequence of dict, optional
        Keywords of the method, one dict for each run from a seed.
    n_jobs : int, optional
        Workers; the result does not depend on it.
    random_state : int, RandomState, Generator or None, default=0
        Determines the seeds.

    Returns
    -------
    OptimizeResult
        ``records`` and ``envelope``, arrays with fields ``size``, ``volume``,
        ``conductance``, ``seed`` and ``setting`` (position in `params`). Records hold
        the best prefix in each of 60 logarithmic bins of size, for every run; the
        envelope the best record of each bin. ``edges`` are the bins' bounds,
        ``settings`` the keywords, ``fun`` the smallest conductance.

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    Leskovec, Lang, Dasgupta, Mahoney, "Community structure in large networks",
    arXiv:0810.1355.

    Examples
    --------
    >>> from graphs import make_planted_cluster, ncp_profile
    >>> A, target = make_planted_cluster(n=300, k=30, p=0.5, q=0.01, random_state=0)
    >>> profile = ncp_profile(A, n_seeds=20)
    >>> bool(profile.fun < 0.4)
    True
    """
    check_choice("method", method, METHODS)
    graph = check_graph(graph)
    settings = list(_PARAMETERS[method] if params is None else params)
    if not settings:
        raise ValueError("params must hold at least one dict of keywords.")
    n = graph.n_nodes
    if ratio is not None:
        check_number("ratio", ratio, low=0.0, high=1.0, inclusive="right")
        n_seeds = max(1, round(ratio * n))
    check_number("n_seeds", n_seeds, low=1, integer=True)
    rng = np.random.default_rng(seed_sequence(random_state))
    linked = np.flatnonzero(np.diff(graph.indptr))
    seeds = np.sort(rng.choice(linked, min(int(n_seeds or 1), len(linked)), False))
    edges = np.geomspace(1, max(n, 2), _BINS + 1)
    chunks = [seeds[i : i + _CHUNK] for i in range(0, len(seeds), _CHUNK)]
    work = functools.partial(_profiles, graph, method, settings, edges)
    records = np.concatenate(pmap(work, chunks, n_jobs=n_jobs))
    envelope = _lowest(records, edges)
    return OptimizeResult(
        records=records,
        envelope=envelope,
        edges=edges,
        settings=settings,
        fun=float(envelope["conductance"].min()) if len(envelope) else 1.0,
        success=True,
    )


def _profiles(
    graph: Graph, method: str, settings: list[dict[str, Any]], edges: Any, seeds: Ints
) -> NDArray[Any]:
    found = []
    for seed in seeds:
        for number, setting in enumerate(settings):
            try:
                result = run(graph, method, int(seed), setting)
            except ValueError:  # a component too small for this setting
                continue
            table = result.levels if method == "crd" else result.profile
            record = np.zeros(len(table["size"]), dtype=RECORD)
            for name in ("size", "volume", "conductance"):
                record[name] = table[name]
            record["seed"], record["setting"] = seed, number
            # Beyond half of the graph a prefix is the complement of another cluster.
            record = record[2 * record["volume"] <= graph.volume]
            found.append(_lowest(record, edges))
    return np.concatenate(found) if found else np.zeros(0, dtype=RECORD)


def run(graph: Any, method: str, seeds: ArrayLike, setting: dict[str, Any]) -> Any:
    """Run one method by its name, without a certificate."""
    if method == "crd":
        return crd(graph, seeds, **setting)
    function = {
        "pagerank": approximate_pagerank, "flow": flow_diffusion, "heat": heat_kernel,
    }[method]  # fmt: skip
    return function(graph, seeds, **{"certificate": False, **setting})


def _lowest(records: NDArray[Any], edges: Any) -> NDArray[Any]:
    """Keep the smallest conductance in every bin of size; ties by seed and setting."""
    order = np.lexsort((records["setting"], records["seed"], records["conductance"]))
    ranked = records[order]
    which = np.searchsorted(edges, ranked["size"], side="right")
    _, first = np.unique(which, return_index=True)
    return ranked[first]


def find_clusters(
    graph: Any, method: str = "pagerank", **parameters: Any
) -> OptimizeResult:
    """Cover a graph by local clusters, one after the other.

    The seed of each cluster is the uncovered node of largest degree; the nodes that the
    cluster covers first are its part.

    Parameters
    ----------
    graph : graph
        Anything :func:`check_graph` takes.
    method : {"pagerank", "flow", "heat", "crd"}, default="pagerank"
        Local method.
    **parameters : dict
        Keywords of the method.

    Returns
    -------
    OptimizeResult
        ``x`` (ndarray (n,), number of the part of each node), ``clusters`` (list of
        node numbers as they were found, overlapping), ``conductance`` (ndarray, of
        each), ``n_clusters``.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> from graphs import check_graph, find_clusters
    >>> edges = [[0, 1], [1, 2], [0, 2], [2, 3], [3, 4], [4, 5], [3, 5]]
    >>> find_clusters(check_graph(edges, affinity="edges")).x.tolist()
    [0, 0, 0, 1, 1, 1]
    """
    check_choice("method", method, METHODS)
    graph = check_graph(graph)
    degree = np.diff(graph.indptr)
    part = np.full(graph.n_nodes, -1)
    clusters, phis = [], []
    for seed in np.argsort(-degree, kind="stable"):
        if part[seed] >= 0:
            continue
        cluster, phi = np.array([seed]), 1.0
        if degree[seed]:
            found = run(graph, method, int(seed), parameters)
            cluster, phi = found.cluster, float(found.conductance)
        fresh = np.union1d(cluster[part[cluster] < 0], [seed])
        part[fresh] = len(clusters)
        clusters.append(cluster)
        phis.append(phi)
    return OptimizeResult(
        x=part,
        clusters=clusters,
        conductance=np.array(phis),
        n_clusters=len(clusters),
        success=True,
    )
