"""Labels that come from a function, asked about nodes once they are met."""

import numpy as np
import pytest

import farkas
from graphs import (
    FlowDiffusionClustering,
    approximate_pagerank,
    check_certificate,
    check_graph,
    flow_diffusion,
    heat_kernel,
    l1_pagerank,
    make_planted_cluster,
    noisy_labels,
)

A, TARGET = make_planted_cluster(2000, 60, 0.3, 0.004, random_state=0)
GRAPH = check_graph(A)
LABELS = noisy_labels(TARGET, 0.8, 0.9, random_state=1)
MASS = 600.0


class Asked:
    """A function of node numbers that remembers what it was asked."""

    def __init__(self, labels=LABELS):
        self.labels, self.nodes = labels, set()

    def __call__(self, nodes):
        self.nodes.update(nodes.tolist())
        return self.labels[nodes]


@pytest.mark.parametrize(
    "labels",
    [
        LABELS,
        np.where(np.arange(2000) % 7, LABELS, -1),
        np.clip(0.8 * LABELS + 0.1, 0, 1),
    ],
)
def test_a_function_gives_the_bits_of_its_array(labels):
    whole = flow_diffusion(GRAPH, 3, mass=MASS, labels=labels)
    asked = flow_diffusion(GRAPH, 3, mass=MASS, labels=Asked(labels))
    assert (whole.x != asked.x).nnz == 0
    assert whole.gap == asked.gap
    farkas.verify(asked, GRAPH, Asked(labels)).check()


@pytest.mark.parametrize("p", [2.0, 3.0])
def test_only_nodes_that_were_met_are_asked_about(p):
    labels = Asked()
    result = flow_diffusion(GRAPH, 3, mass=MASS, labels=labels, p=p, certificate=False)
    assert len(labels.nodes) == result.n_touched < 1000


@pytest.mark.parametrize("run", [approximate_pagerank, l1_pagerank, heat_kernel])
def test_walks_ask_too(run):
    options = {"target_volume": 300}
    labels = Asked()
    asked = run(GRAPH, 3, labels=labels, certificate=False, **options)
    assert len(labels.nodes) <= asked.n_touched
    whole = run(GRAPH, 3, labels=LABELS, **options)
    assert (whole.x != asked.x).nnz == 0
    farkas.verify(run(GRAPH, 3, labels=labels, **options), GRAPH, labels).check()


def test_estimators_take_functions():
    whole = FlowDiffusionClustering(mass=MASS).fit(A, LABELS, seeds=[3])
    asked = FlowDiffusionClustering(mass=MASS).fit(A, Asked(), seeds=[3])
    assert (whole.labels_ == asked.labels_).all()
    assert (whole.flow_ != asked.flow_).nnz == 0
    farkas.verify(asked, A, Asked()).check()
    assert not farkas.verify(asked, A, Asked(1 - LABELS))


def test_any_heights_can_be_graded():
    result = flow_diffusion(GRAPH, 3, mass=MASS, labels=LABELS)
    proof = check_certificate(GRAPH, 3, MASS, result.x, labels=Asked())
    assert proof.lower == result.lower_bound


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (lambda nodes: LABELS[:3], "one label for each"),
        (lambda nodes: np.full(len(nodes), 7), "encode other classes"),
        (lambda nodes: np.full(len(nodes), np.nan), "encode other classes"),
        (lambda nodes: ["a"] * len(nodes), "hold numbers"),
    ],
)
def test_bad_answers_are_named(labels, message):
    with pytest.raises(ValueError, match=message):
        flow_diffusion(GRAPH, 3, mass=MASS, labels=labels)


def test_an_exception_of_the_function_leaves_later_runs_alone():
    def breaks(nodes):
        raise RuntimeError("no labels today")

    with pytest.raises(RuntimeError, match="today"):
        flow_diffusion(GRAPH, 3, mass=MASS, labels=breaks)
    whole = flow_diffusion(GRAPH, 3, mass=MASS, labels=LABELS)
    farkas.verify(whole, GRAPH, LABELS).check()
