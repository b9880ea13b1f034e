"""From heights to a certificate of flow diffusion."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

import farkas
from farkas.certificate import Certificate
from farkas.status import Status
from graphs._measure_graph import Graph
from graphs.drain import NOTHING, Drains
from graphs.neighborhood import Sinks, joined
from graphs.push import Options
from graphs.sweep import Sweep
from graphs.weights import Weighting

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """What is to be diffused on; all checked. Shares of the seeds sum to one.

    Labels that were made on the way, and are not part of the user's data, travel in
    the witness of the certificate.
    """

    graph: Graph
    seeds: Ints
    shares: Array
    weighting: Weighting
    sinks: Sinks
    made_labels: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What a diffusion with one source mass ended with."""

    mass: float
    source: Array
    nodes: Ints
    x: Array
    sweep: Sweep
    cluster: Ints
    conductance: float
    status: Status
    band: float
    drains: Drains = NOTHING  # nodes by their numbers in the graph


def mint(task: Task, best: Outcome, options: Options, data: Any = None) -> Certificate:
    """Certify heights; ``data`` replaces the graph that is handed to the measure."""
    graph, weighting, sinks = task.graph, task.weighting, task.sinks
    nodes = joined(best.nodes, best.cluster, task.seeds, best.drains.nodes)
    x = np.zeros(len(nodes))
    x[np.searchsorted(nodes, best.nodes)] = best.x
    inside = np.zeros(len(nodes), dtype=bool)
    inside[np.searchsorted(nodes, best.cluster)] = True
    witness = {
        "nodes": nodes,
        "x": x,
        "cluster": inside,
        "seeds": task.seeds,
        "source": best.source,
    }
    if len(best.drains.nodes):
        place = np.searchsorted(nodes, best.drains.nodes)
        level, drain = np.full(len(nodes), -1, dtype=np.int32), np.zeros(len(nodes))
        level[place], drain[place] = best.drains.level, best.drains.amount
        witness |= {"level": level, "drain": drain}
    parameters: dict[str, Any] = {
        "p": float(options.p),
        "sinks": sinks.rule,
        "affinity": graph.affinity,
        "n_neighbors": graph.n_neighbors,
        "symmetrize": graph.symmetrize,
        "edge_length": data is not None and graph.affinity == "knn",
        **weighting.parameters(),
    }
    if options.p > 2 and options.mu > 0:
        parameters["mu"] = float(options.mu)
    reached = nodes
    if sinks.rule == "array" or task.made_labels:
        reached = np.union1d(nodes, graph(nodes)[1])
    if sinks.rule == "array":
        witness |= {"sink_nodes": reached, "sink": sinks.capacity[reached]}
    problem, values = "graphs.flow_diffusion/1", []
    if task.made_labels:
        known = weighting.labels_of(reached)
        witness |= {"label_nodes": reached, "labels": known}
    if weighting.attributes is not None:
        problem = "graphs.attributed_flow_diffusion/1"
        labels = None if task.made_labels else weighting.labels
        values = [labels, weighting.attributes]
    elif weighting.labels is not None and not task.made_labels:
        problem, values = "graphs.label_flow_diffusion/1", [weighting.labels]
    first = graph if data is None else data
    if callable(first):  # then nothing is copied or hashed as a whole
        values = [
            value if value is None or callable(value) else value.__getitem__
            for value in values
        ]
    return farkas.certify(
        problem, (first, *values), witness, parameters, tolerance=float(options.tol)
    )
