"""What PageRank and heat kernels share: seeds as a distribution, sweep, certificate."""

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult
from scipy.sparse import coo_array

import farkas
from farkas.result import make_result
from farkas.status import Status
from graphs._measure_graph import Graph
from graphs.diffusion import INTERRUPTED
from graphs.graph import check_graph
from graphs.neighborhood import (
    DEGREE,
    NODE,
    PUSHES,
    VALUE,
    WORK,
    Neighborhood,
    Sinks,
    check_seeds,
)
from graphs.sweep import rounded, sweep_near
from graphs.weights import Weighting

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclasses.dataclass(frozen=True, eq=False)
class Spectral:
    """Seeds of a walk on a graph; all checked. Shares sum to one."""

    graph: Graph
    seeds: Ints
    share: Array
    weighting: Weighting

    def neighborhood(self) -> Neighborhood:
        """Return the rows of the seeds, with their shares as mass."""
        near = Neighborhood(
            self.graph, self.seeds, self.share, self.weighting,
            Sinks("unit", np.empty(0)),
        )  # fmt: skip
        near.open(np.arange(len(self.seeds)))
        lonely = near.column(DEGREE)[: len(self.seeds)] <= 0
        if lonely.any():
            raise ValueError(
                f"seeds holds {self.seeds[np.argmax(lonely)]}, which has no edges (or "
                "only edges of weight 0); choose another seed, or label_weight > 0."
            )
        return near


def spectral_task(
    graph: Any,
    seeds: ArrayLike,
    seed_weights: ArrayLike | None,
    labels: Any,
    label_weight: float,
    unknown_weight: float,
) -> Spectral:
    """Check what a user passed and return the task, or raise."""
    checked = check_graph(graph)
    nodes, share = check_seeds(seeds, checked.n_nodes, seed_weights)
    weighting = Weighting.validated(
        checked, nodes, labels, label_weight, unknown_weight
    )
    return Spectral(checked, nodes, share, weighting)


def told(rounds: Any, near: Neighborhood, objective: float, value: float) -> bool:
    """Note where a run stands; False if the callback asks to stop."""
    pushes = float(near.count[PUSHES])
    rounds.recorder.record(
        rounds.nit, objective=objective, certificate=value, pushes=pushes
    )
    if rounds.callback is None:
        return True
    try:
        rounds.callback(
            intermediate_result=OptimizeResult(
                x=near.column(VALUE, 1),
                nodes=near.column(NODE),
                fun=objective,
                nit=rounds.nit,
                certificate=value,
            )
        )
    except StopIteration:
        return False
    return True


def vector_result(
    task: Spectral,
    near: Neighborhood,
    u: Array,
    x: Array,
    rounds: Any,
    status: Status,
    problem: str,
    parameters: dict[str, Any],
    tol: float,
    wanted: bool,
    data: Any,
    *,
    levels: Array | None = None,
    residual: Array | None = None,
) -> OptimizeResult:
    """Sweep over mass per degree, mint the certificate and collect the result.

    ``u`` is the mass per degree of local nodes, ``x`` the mass, ``levels`` the terms of
    a series that replace u in the witness.
    """
    graph, weighting = task.graph, task.weighting
    total = graph.volume if weighting.plain else math.inf
    size = len(u)
    sweep = sweep_near(near, u, total)
    cluster = rounded(sweep, "sweep", u, 0.0) if len(sweep.nodes) else task.seeds
    phi = float(sweep.conductance[len(cluster) - 1]) if len(sweep.nodes) else 1.0
    chosen = np.flatnonzero(x > 0)
    ids = near.column(NODE)[:size]
    proof = None
    if wanted:
        kept = chosen if levels is None else np.flatnonzero(levels.any(axis=1))
        nodes = np.union1d(np.union1d(ids[kept], cluster), task.seeds)
        place = np.searchsorted(nodes, ids[kept])
        witness = {
            "nodes": nodes,
            "cluster": np.isin(nodes, cluster, assume_unique=True),
            "seeds": task.seeds,
            "share": task.share,
        }
        if levels is None:
            witness["u"] = np.zeros(len(nodes))
            witness["u"][place] = u[kept]
        else:
            witness["levels"] = np.zeros((len(nodes), levels.shape[1]))
            witness["levels"][place] = levels[kept]
        first = graph if data is None else data
        values = [] if weighting.labels is None else [weighting.labels]
        if callable(first):
            values = [value.__getitem__ for value in values]
        proof = farkas.certify(
            f"graphs.{'label_' if values else ''}{problem}/1",
            (first, *values),
            witness,
            {
                **parameters,
                "affinity": graph.affinity,
                "n_neighbors": graph.n_neighbors,
                "symmetrize": graph.symmetrize,
                "edge_length": data is not None and graph.affinity == "knn",
                **weighting.parameters(),
            },
            tolerance=float(tol),
        )
        if status is Status.CONVERGED and not proof.satisfied:
            status = Status.STALLED
        elif proof.satisfied and status in (Status.STALLED, Status.MAX_ITER):
            status = Status.CONVERGED
    order = chosen[np.argsort(ids[chosen])]
    n = graph.n_nodes
    extra = {}
    if residual is not None:
        left = np.flatnonzero(residual[:size] > 0)
        extra["residual"] = coo_array((residual[left], (ids[left],)), shape=(n,))
    message = INTERRUPTED if rounds.interrupted else None
    exact = problem == "l1_pagerank"
    known = proof is not None
    return make_result(
        coo_array((x[order], (ids[order],)), shape=(n,)),
        fun=(proof.upper if exact else proof.value) if known else math.nan,
        status=status,
        nit=int(near.count[PUSHES]),
        certificate=proof,
        history=rounds.recorder.to_dict(),
        elapsed=rounds.recorder.elapsed,
        message=message,
        cluster=cluster,
        conductance=phi,
        gap=proof.value if known else math.nan,
        lower_bound=proof.lower if known else math.nan,
        work=int(near.count[WORK]),
        n_touched=near.size,
        profile=sweep.profile(),
        order=sweep.nodes,
        seeds=task.seeds,
        share=task.share,
        state={"share": task.share},
        **extra,
    )
