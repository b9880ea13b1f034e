"""What the local clusterers do beyond the generated checks."""

import numpy as np
import pytest
from scipy.sparse import csr_array

import farkas
from graphs import (
    FlowDiffusionClustering,
    HeatKernelClustering,
    LabelFlowClustering,
    PageRankClustering,
    check_graph,
    flow_diffusion,
    make_planted_cluster,
    noisy_labels,
)

A, TARGET = make_planted_cluster(400, 40, 0.5, 0.006, r=0.05, random_state=0)
LABELS = noisy_labels(TARGET, 0.9, 0.9, random_state=0)
ALL = [
    FlowDiffusionClustering(target_volume=800),
    PageRankClustering(),
    PageRankClustering("l1"),
    HeatKernelClustering(),
]


@pytest.mark.parametrize("model", ALL, ids=repr)
def test_graphs_seeds_and_labels(model):
    model.fit(A, seeds=[3])
    assert model.score(A, TARGET) > 0.8
    assert np.array_equal(model.cluster_, np.flatnonzero(model.labels_))
    assert model.n_features_in_ == 400
    farkas.verify(model, A).check()
    assert not farkas.verify(model, csr_array(2 * A))
    labelled = model.fit(A, LABELS, seeds=[3])
    farkas.verify(labelled, A, LABELS).check()
    assert np.array_equal(model.predict([3, 399]), model.labels_[[3, 399]])
    with pytest.raises(ValueError, match="beyond 0 to 399"):
        model.predict([400])
    with pytest.raises(ValueError, match="400 entries"):
        model.score(A, TARGET[:5])


def test_the_default_seed_is_the_largest_node():
    degree = np.diff(A.indptr)
    assert FlowDiffusionClustering().fit(A).seeds_.tolist() == [int(degree.argmax())]
    chosen = FlowDiffusionClustering().fit(A, LABELS).seeds_[0]
    assert chosen == np.flatnonzero(LABELS)[degree[LABELS == 1].argmax()]


def test_labels_with_features_come_by_keyword():
    X = np.random.default_rng(0).standard_normal((60, 2))
    X[:20] += 4
    labels = (np.arange(60) < 20).astype(int)
    plain = FlowDiffusionClustering().fit(X, labels, seeds=[0])
    assert plain._weighting.plain
    model = FlowDiffusionClustering().fit(X, seeds=[0], node_labels=labels)
    assert not model._weighting.plain
    farkas.verify(model, X, labels).check()
    assert model.predict(X).tolist() == model.labels_.tolist()
    with pytest.raises(ValueError, match="node_labels"):
        model.fit(X, node_labels=labels[:5])


def test_flow_is_antisymmetric_and_moves_the_mass():
    model = FlowDiffusionClustering(mass=600).fit(A, seeds=[3])
    flow = model.flow_
    assert abs(flow + flow.T).max() < 1e-12
    held = -np.asarray(flow.sum(axis=1)).ravel()
    held[3] += 600
    assert (held <= np.diff(A.indptr) + 1e-9).all()
    assert held.min() >= -1e-9


def test_many_seeds_in_parallel_give_the_same_bits(tmp_path):
    seeds = [[i] for i in range(20)]
    model = FlowDiffusionClustering(target_volume=800)
    one = model.fit_many(A, LABELS, seeds=seeds)
    two = FlowDiffusionClustering(target_volume=800, n_jobs=2).fit_many(
        check_graph(A), LABELS, seeds=seeds
    )
    single = flow_diffusion(A, 7, target_volume=800, labels=LABELS)
    for a, b in zip(one, two, strict=True):
        assert np.array_equal(a.x.toarray(), b.x.toarray())
        assert a.certificate.to_json() == b.certificate.to_json()
    assert np.array_equal(one[7].x.toarray(), single.x.toarray())


def test_label_flow_learns_from_attributes():
    rng = np.random.default_rng(0)
    attributes = TARGET[:, None] + rng.standard_normal((400, 3)) / 2
    y = np.full(400, -1)
    y[:15], y[200:215] = 1, 0
    model = LabelFlowClustering(target_volume=800, random_state=0)
    model.fit(A, y, seeds=[3], attributes=attributes)
    assert model.score(A, TARGET) > 0.8
    assert (model.node_labels_[:15] == 1).all()
    farkas.verify(model, A).check()
    alone = LabelFlowClustering(target_volume=800, random_state=0)
    alone.fit(A, seeds=[3], attributes=attributes)
    assert alone.score(A, TARGET) > 0.7
    ready = LabelFlowClustering(target_volume=800).fit(A, LABELS, seeds=[3])
    farkas.verify(ready, A, LABELS).check()
    with pytest.raises(ValueError, match="needs labels"):
        LabelFlowClustering().fit(A, seeds=[3])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (FlowDiffusionClustering(p=1), "p=1"),
        (FlowDiffusionClustering(omega=2), "omega=2"),
        (FlowDiffusionClustering(mass=-1.0), "mass=-1.0"),
        (FlowDiffusionClustering(sinks="none"), "sinks='none'"),
        (FlowDiffusionClustering(affinity="rbf"), "affinity='rbf'"),
        (FlowDiffusionClustering(rounding="best"), "rounding='best'"),
        (PageRankClustering("power"), "method='power'"),
        (PageRankClustering(teleport=1.0), "teleport=1.0"),
        (PageRankClustering(rho=0.0), "rho=0.0"),
        (HeatKernelClustering(t=0.0), "t=0.0"),
        (HeatKernelClustering(tol=0.0), "tol=0.0"),
        (LabelFlowClustering(n_positive=0), "n_positive=0"),
    ],
    ids=repr,
)
def test_bad_parameters_are_named(model, message):
    with pytest.raises(ValueError, match=message):
        model.fit(A, LABELS)


def test_bad_fit_arguments_are_named():
    model = FlowDiffusionClustering()
    for arguments, message in (
        ({"seeds": [400]}, "0 to 399"),
        ({"seeds": [1, 1]}, "twice"),
        ({"y": np.ones(5)}, "400 nodes"),
        ({"y": np.full(400, 7)}, "0, 1, -1"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(A, **arguments)


def test_interrupted_fits_keep_what_they_have():
    class Interrupt:
        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context, **task):
            if context.task_name == "iteration":
                self.calls = getattr(self, "calls", 0) + 1
                if self.calls == 2:
                    raise KeyboardInterrupt

    model = FlowDiffusionClustering(target_volume=800).set_callbacks(Interrupt())
    with (
        pytest.warns(match="Interrupted"),
        pytest.raises(KeyboardInterrupt),
    ):
        model.fit(A, seeds=[3])
    assert model.labels_.any()
    farkas.verify(model, A).check()


class Named:
    """A triangle with a tail, as networkx hands it out."""

    nodes = ("a", "b", "c", "d")

    def adjacency(self):
        raise NotImplementedError

    def is_directed(self):
        return False

    def edges(self, data, default):
        assert data == "weight"
        return [("a", "b", default), ("b", "c", default), ("a", "c", default),
                ("c", "d", default)]  # fmt: skip


def test_names_of_the_nodes_are_kept_in_order():
    model = FlowDiffusionClustering(mass=4).fit(Named(), seeds=[0])
    assert list(model.nodes_) == ["a", "b", "c", "d"]
    assert FlowDiffusionClustering(mass=60).fit(A, seeds=[0]).nodes_ is None
