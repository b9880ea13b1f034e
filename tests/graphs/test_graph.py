"""Graph input of every kind gives one graph; what is no graph is named."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from scipy.sparse import coo_array, csc_array, csr_array, csr_matrix

from graphs import check_graph, flow_diffusion, load_karate_club, save_graph

A, _ = load_karate_club()
PAIRS = np.column_stack(A.nonzero())
UPPER = PAIRS[PAIRS[:, 0] < PAIRS[:, 1]]


class Edges(list):
    def attributes(self):
        return ["weight"]

    def __getitem__(self, key):
        return [3.0] * 78 if key == "weight" else list.__getitem__(self, key)


class FakeNetworkx:
    nodes = [f"n{i}" for i in range(34)]
    adjacency = None

    def edges(self, data, default):
        return [(f"n{i}", f"n{j}", default) for i, j in UPPER]

    def is_directed(self):
        return False


class FakeIgraph:
    es = Edges()
    vs = Edges()

    def vcount(self):
        return 34

    def get_edgelist(self):
        return [(int(i), int(j)) for i, j in UPPER]

    def is_directed(self):
        return False


FakeIgraph.vs.attributes = lambda: []


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: A,
        lambda folder: csc_array(A),
        lambda folder: coo_array(A),
        lambda folder: csr_matrix(A),
        lambda folder: A.astype(np.float32),
        lambda folder: A.astype(bool),
        lambda folder: check_graph(A.toarray(), affinity="precomputed"),
        lambda folder: check_graph(PAIRS, affinity="edges"),
        lambda folder: check_graph(UPPER[::-1], affinity="edges"),
        lambda folder: FakeNetworkx(),
        lambda folder: (save_graph(folder, A), folder)[1],
        lambda folder: (save_graph(folder, A), str(folder))[1],
    ],
)
def test_every_input_gives_the_same_bits(make, tmp_path):
    expected = flow_diffusion(A, 0, mass=60)
    result = flow_diffusion(make(tmp_path), 0, mass=60)
    assert np.array_equal(result.x.toarray(), expected.x.toarray())
    assert result.work == expected.work


def test_graph_objects_keep_names_and_weights():
    assert check_graph(FakeNetworkx()).names[3] == "n3"
    graph = check_graph(FakeIgraph())
    assert graph.volume == 3.0 * 2 * 78
    assert not graph.unit


def test_edges_with_weights_add_up():
    graph = check_graph([[0, 1, 2.0], [1, 0, 3.0], [1, 2, 1.0]], affinity="edges")
    assert graph(np.array([0]))[2].tolist() == [5.0]


def test_features_become_a_symmetric_graph_of_neighbours():
    X = np.random.default_rng(0).standard_normal((50, 3))
    from sklearn.neighbors import kneighbors_graph

    B = kneighbors_graph(X, 10)
    expected = csr_array(B.maximum(B.T))
    graph = check_graph(X)
    assert np.array_equal(graph.indices, expected.sorted_indices().indices)
    wide = np.random.default_rng(0).standard_normal((50, 30))
    B = kneighbors_graph(wide, 10)
    expected = csr_array(B.maximum(B.T))
    assert np.array_equal(check_graph(wide).indices, expected.sorted_indices().indices)
    same = check_graph(np.zeros((30, 2)), n_neighbors=3)
    assert (np.diff(same.indptr) >= 3).all()


def test_loops_and_directions_warn():
    with pytest.warns(UserWarning, match="1 self loops"):
        graph = check_graph(csr_array(np.array([[1.0, 1.0], [1.0, 0.0]])))
    assert len(graph.indices) == 2
    one_way = csr_array(np.array([[0.0, 2.0], [1.0, 0.0]]))
    with pytest.warns(UserWarning, match="directed"):
        assert check_graph(one_way).volume == 4.0
    with pytest.warns(UserWarning, match="directed"):
        assert check_graph(one_way, symmetrize="sum").volume == 6.0
    with pytest.raises(ValueError, match="directed"):
        check_graph(one_way, symmetrize="error")


@pytest.mark.parametrize(
    ("X", "options", "message"),
    [
        (csr_array((3, 3)), {}, "empty"),
        (csr_array((0, 0)), {}, "empty"),
        (csr_array(np.ones((2, 3))), {}, "square"),
        (csr_array(-np.ones((2, 2))), {}, "nonnegative"),
        (csr_array(np.full((2, 2), np.nan)), {}, "nonnegative"),
        (np.ones((2, 3)), {"affinity": "precomputed"}, "square"),
        (np.ones((3, 4)), {"affinity": "edges"}, "edges must be"),
        (np.array([[0, 0.5]]), {"affinity": "edges"}, "integers"),
        (np.array([[0, -1]]), {"affinity": "edges"}, "integers"),
        (np.ones((1, 3)), {}, "1 sample"),
        (np.full((5, 2), np.nan), {}, "NaN"),
        (np.ones((5, 2)), {"n_neighbors": 0}, "n_neighbors=0"),
        (A, {"affinity": "cosine"}, "affinity='cosine'"),
        (A, {"symmetrize": "min"}, "symmetrize='min'"),
        ("missing", {}, "no complete graph"),
    ],
)
def test_what_is_no_graph_is_named(X, options, message):
    with pytest.raises(ValueError, match=message):
        check_graph(X, **options)


@pytest.mark.parametrize("X", [np.ones(3), [["a", "b"]], 3.0, None])
def test_other_types_are_named(X):
    with pytest.raises(TypeError, match="no graph"):
        check_graph(X)


def test_a_graph_in_memory_or_on_disk_survives_pickling(tmp_path):
    save_graph(tmp_path, A)
    for graph in (check_graph(A), check_graph(tmp_path)):
        twin = pickle.loads(pickle.dumps(graph))
        assert np.array_equal(twin.indices, graph.indices)
        assert twin.path == graph.path


def test_graph_libraries_are_never_imported():
    code = "import graphs, sys; from graphs import *; "
    code += "print([m for m in ('networkx', 'igraph') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stderr
