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
    joined,
)
from graphs.sweep import Sweep, positive, rounded, sweep_near
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

    @property
    def total(self) -> float:
        """Volume of the graph that the walk sees; inf if it is not known locally."""
        return self.graph.volume if self.weighting.plain else math.inf

    def check_degrees(self, degree: Array) -> None:
        """Raise if a seed has no edges."""
        if (degree <= 0).any():
            raise ValueError(
                f"seeds holds {self.seeds[np.argmax(degree <= 0)]}, which has no edges "
                "(or only edges of weight 0); choose another seed, or label_weight > 0."
            )

    def neighborhood(self) -> Neighborhood:
        """Return the rows of the seeds, with their shares as mass."""
        near = Neighborhood(
            self.graph, self.seeds, self.share, self.weighting,
            Sinks("unit", np.empty(0)),
        )  # fmt: skip
        near.open(np.arange(len(self.seeds)))
        self.check_degrees(near.column(DEGREE)[: len(self.seeds)])
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


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """What a walk left on nodes, increasing, and how much work that was.

    ``x`` is the mass, ``u`` the mass per degree, ``levels`` the terms of a series that
    replace u in the witness, ``residual`` nodes with what is left to push there.
    """

    ids: Ints
    u: Array
    x: Array
    sweep: Sweep
    n_touched: int
    n_pushes: int
    work: int
    levels: Array | None = None
    residual: tuple[Ints, Array] | None = None


def found_near(
    near: Neighborhood, u: Array, x: Array, task: Spectral, **more: Any
) -> Found:
    """Sweep over local nodes, collect what was found, and release the arrays."""
    sweep = sweep_near(near, u, task.total, positive(near, u))
    order = np.argsort(near.column(NODE)[: len(u)])
    if more.get("levels") is not None:
        more["levels"] = more["levels"][order]
    found = Found(
        near.column(NODE)[order], u[order], x[order], sweep, near.size,
        int(near.count[PUSHES]), int(near.count[WORK]), **more,
    )  # fmt: skip
    near.release()
    return found


def vector_result(
    task: Spectral,
    found: Found,
    rounds: Any,
    status: Status,
    problem: str,
    parameters: dict[str, Any],
    tol: float,
    wanted: bool,
    data: Any,
) -> OptimizeResult:
    """Mint the certificate of the best sweep cut and collect the result."""
    graph, weighting, sweep = task.graph, task.weighting, found.sweep
    cluster = rounded(sweep, "sweep", found.u, 0.0) if len(sweep.nodes) else task.seeds
    phi = float(sweep.conductance[len(cluster) - 1]) if len(sweep.nodes) else 1.0
    chosen = found.x > 0
    proof = None
    if wanted:
        levels = found.levels
        kept = chosen if levels is None else levels.any(axis=1)
        nodes = joined(found.ids[kept], cluster, task.seeds)
        inside = np.zeros(len(nodes), dtype=bool)
        inside[np.searchsorted(nodes, cluster)] = True
        witness = {
            "nodes": nodes,
            "cluster": inside,
            "seeds": task.seeds,
            "share": task.share,
        }
        name, values = ("u", found.u) if levels is None else ("levels", levels)
        witness[name] = np.zeros((len(nodes), *values.shape[1:]))
        witness[name][np.searchsorted(nodes, found.ids[kept])] = values[kept]
        first = graph if data is None else data
        values = [] if weighting.labels is None else [weighting.labels]
        if callable(first):
            values = [v if callable(v) else v.__getitem__ for v in values]
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
    n = graph.n_nodes
    extra = {}
    if found.residual is not None:
        where, left = found.residual
        extra["residual"] = _sparse(left, where, n)
    message = INTERRUPTED if rounds.interrupted else None
    exact = problem == "l1_pagerank"
    known = proof is not None
    return make_result(
        _sparse(found.x[chosen], found.ids[chosen], n),
        fun=(proof.upper if exact else proof.value) if known else math.nan,
        status=status,
        nit=found.n_pushes,
        certificate=proof,
        history=rounds.recorder.to_dict(),
        elapsed=rounds.recorder.elapsed,
        message=message,
        cluster=cluster,
        conductance=phi,
        gap=proof.value if known else math.nan,
        lower_bound=proof.lower if known else math.nan,
        work=found.work,
        n_touched=found.n_touched,
        profile=sweep.profile(),
        order=sweep.nodes,
        seeds=task.seeds,
        share=task.share,
        state={"share": task.share},
        **extra,
    )


def _sparse(values: Array, ids: Ints, n: int) -> Any:
    return coo_array((values, (ids,)), shape=(n,))
