"""What graphs shows in ``farkas demo``: a karate club and a planted cluster."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from farkas.sections import (
    Figure,
    Score,
    Section,
    certified,
    interval_figure,
    timed,
)
from graphs.diffusion import flow_diffusion
from graphs.estimators import FlowDiffusionClustering
from graphs.karate import load_karate_club
from graphs.planted import make_planted_cluster, noisy_labels
from graphs.plotting import plot_graph, plot_sweep
from graphs.walk_estimators import HeatKernelClustering, PageRankClustering

SEED = 0


def sections() -> Iterator[Section]:
    """Cluster, certify and compare on two graphs, one section each."""
    yield _karate()
    yield _planted()


def _karate() -> Section:
    A, faction = load_karate_club()
    name = "karate club"
    models = [
        FlowDiffusionClustering(mass=100),
        PageRankClustering("l1", rho=1e-3),
        HeatKernelClustering(),
    ]
    fits = [
        certified(name, type(model).__name__, lambda m=model: m.fit(A, seeds=[0]), (A,))
        for model in models
    ]
    flow = models[0]
    angle = 2 * np.pi * np.arange(34) / 34
    place = np.column_stack([np.cos(angle), np.sin(angle)]) + 2.4 * faction[:, None]
    residuals = flow.certificate_.residuals
    return Section(
        package="graphs",
        title="Karate club: the friends of one member",
        prose=(
            "Mass starts at the instructor and flows along friendships until everybody "
            "holds at most as much as he has friends. Who passes mass on is close to "
            "him; the best cut among them is his cluster.",
            "The flow and the heights prove each other optimal up to the gap. The flow "
            "also bounds every rival: no set of that size around the instructor has a "
            f"conductance below {residuals['conductance_lower']:.3f}; the cluster has "
            f"{residuals['conductance']:.3f}.",
        ),
        fits=fits[:1],
        facts=[("members", "34"), ("friendships", "78")],
        metric="F1 against the faction after the split",
        scores=[
            Score(
                model=fit.model,
                value=float(model.score(A, faction)),
                seconds=fit.seconds,
                ours=True,
            )
            for model, fit in zip(models, fits, strict=True)
        ],
        figures=[
            interval_figure(fits[:1]),
            Figure(
                name="club",
                caption="The two factions, heights as colour, the cluster outlined.",
                draw=lambda ax: plot_graph(
                    A, place, x=flow.diffusion_, cluster=flow.cluster_, ax=ax
                ),
                size=(5.2, 4.2),
            ),
            Figure(
                name="sweep",
                caption="Conductance of every prefix; the dot is the cluster.",
                draw=lambda ax: plot_sweep(flow, ax=ax),
            ),
        ],
        code=(
            "import farkas\nfrom graphs import FlowDiffusionClustering, "
            "load_karate_club\n\nA, faction = load_karate_club()\n"
            "model = FlowDiffusionClustering(mass=100).fit(A, seeds=[0])\n"
            "print(farkas.verify(model, A))"
        ),
    )


def _planted() -> Section:
    A, target = make_planted_cluster(5000, 250, 0.05, 0.003, random_state=SEED)
    labels = noisy_labels(target, 0.9, 0.95, random_state=SEED)
    name = "planted cluster"
    options = {"sinks": "unit", "mass": 2.1 * 250, "rounding": "support"}
    model = FlowDiffusionClustering(**options)
    fit = certified(name, "label-weighted", lambda: model.fit(A, labels, seeds=[0]),
                    (A, labels))  # fmt: skip
    plain, seconds = timed(
        f"{name}: without labels", lambda: flow_diffusion(A, 0, **options)
    )
    return Section(
        package="graphs",
        title="Noisy labels and a graph, better than either",
        prose=(
            "A cluster of 250 nodes among 5000, so well linked to the rest that the "
            "graph alone does not give it away. Of the labels, one in ten is wrong "
            "inside and one in twenty outside, which is about as many false alarms as "
            "there are members.",
            "Edges between different labels get a twentieth of their weight. From one "
            "seed, the diffusion then finds most of the cluster.",
        ),
        fits=[fit],
        facts=[
            ("nodes", "5000"),
            ("edges", str(A.nnz // 2)),
            ("nodes met", str(model.n_touched_)),
        ],
        metric="F1",
        scores=[
            Score(
                model="label-weighted diffusion",
                value=float(model.score(A, target)),
                seconds=fit.seconds,
                ours=True,
            ),
            Score(
                model="diffusion without labels",
                value=_f1(plain.cluster, target),
                seconds=seconds,
                ours=True,
            ),
            Score(
                model="labels alone",
                value=_f1(np.flatnonzero(labels == 1), target),
                seconds=0.0,
            ),
        ],
        figures=[interval_figure([fit])],
        code=(
            "import farkas\nfrom graphs import FlowDiffusionClustering\n\n"
            f"model = {model!r}.fit(A, labels, seeds=[0])\n"
            "print(farkas.verify(model, A, labels))"
        ),
    )


def _f1(cluster: Any, target: Any) -> float:
    found = np.zeros(len(target), dtype=bool)
    found[cluster] = True
    return float(2 * (found & target).sum() / (found.sum() + target.sum()))
