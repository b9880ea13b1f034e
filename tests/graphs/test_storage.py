"""Graphs on disk: round trips, the streaming builder, and damaged folders."""

import json

import numpy as np
import pytest
from scipy.sparse import coo_array, csr_array

from graphs import (
    flow_diffusion,
    load_graph,
    make_planted_cluster,
    save_edges,
    save_graph,
    storage,
)

A, _ = make_planted_cluster(300, 30, 0.4, 0.02, random_state=0)
PAIRS = np.column_stack(A.nonzero())
UPPER = PAIRS[PAIRS[:, 0] < PAIRS[:, 1]]


def chunks(array, size=70):
    return (array[i : i + size] for i in range(0, len(array), size))


def test_stored_graphs_are_maps_and_equal(tmp_path):
    save_graph(tmp_path, A)
    graph = load_graph(tmp_path, validate="full")
    assert isinstance(graph.indices, np.memmap)
    assert np.array_equal(graph.indices, A.indices)
    assert graph.indices.dtype == np.int32
    assert not isinstance(load_graph(tmp_path, mmap_mode=None).indices, np.memmap)


@pytest.mark.parametrize("block", [64, 1 << 22])
def test_a_stream_in_any_order_gives_the_graph(tmp_path, monkeypatch, block):
    monkeypatch.setattr(storage, "_BLOCK", block)
    rng = np.random.default_rng(0)
    mixed = rng.permutation(np.concatenate([PAIRS, UPPER[:40]]))
    save_edges(tmp_path, chunks(mixed), 300)
    graph = load_graph(tmp_path, validate="full")
    assert np.array_equal(graph.indptr, A.indptr)
    assert np.array_equal(graph.indices, A.indices)
    assert graph.unit


def test_weights_of_a_stream_add_up(tmp_path):
    rng = np.random.default_rng(0)
    w = rng.random(len(UPPER)) + 0.1
    table = np.column_stack([UPPER, w])
    save_edges(tmp_path, chunks(np.concatenate([table, table[:50]])), 300)
    graph = load_graph(tmp_path, validate="full")
    w[:50] *= 2
    i, j = UPPER.T
    both = (np.concatenate([w, w]), (np.append(i, j), np.append(j, i)))
    expected = csr_array(coo_array(both, shape=(300, 300)))
    assert np.allclose(graph.data, expected.data)
    assert graph.volume == pytest.approx(2 * w.sum())


def test_diffusion_on_a_map_reads_no_copy(tmp_path):
    save_graph(tmp_path, A)
    graph = load_graph(tmp_path)
    assert np.array_equal(
        flow_diffusion(graph, 3, mass=300).x.toarray(),
        flow_diffusion(A, 3, mass=300).x.toarray(),
    )


@pytest.mark.parametrize("name", ["indptr.npy", "indices.npy", "data.npy"])
@pytest.mark.parametrize("keep", [0.5, 0.99])
def test_a_file_cut_off_in_the_middle_is_refused(tmp_path, name, keep):
    save_graph(tmp_path, 2.0 * A)
    path = tmp_path / name
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ValueError, match="write it again with save_graph"):
        load_graph(tmp_path)


def test_a_file_replaced_by_a_shorter_one_is_refused(tmp_path):
    save_graph(tmp_path, 2.0 * A)
    for name, message in (("indices", "announces"), ("data", "weights for")):
        array = np.load(tmp_path / f"{name}.npy")
        np.save(tmp_path / f"{name}.npy", array[:-5])
        with pytest.raises(ValueError, match=message):
            load_graph(tmp_path)
        np.save(tmp_path / f"{name}.npy", array)


def test_a_build_that_fails_leaves_no_graph(tmp_path):
    def broken():
        yield UPPER[:50]
        raise RuntimeError("the stream broke")

    with pytest.raises(RuntimeError, match="stream broke"):
        save_edges(tmp_path, broken(), 300)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="no complete graph"):
        load_graph(tmp_path)


def test_a_directed_file_is_refused(tmp_path):
    save_graph(tmp_path, A)
    indices = np.load(tmp_path / "indices.npy")
    indices[0] = 299 if indices[0] != 299 else 298
    np.save(tmp_path / "indices.npy", indices)
    with pytest.raises(ValueError, match="directed"):
        load_graph(tmp_path, validate="full")
    assert load_graph(tmp_path, validate=None).n_nodes == 300
    meta = json.loads((tmp_path / "meta.json").read_text())
    assert meta["n_nodes"] == 300


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        ([np.ones((2, 4))], "arrays"),
        ([np.array([[0, 1]]), np.array([[0, 1, 1.0]])], "columns"),
        ([np.array([[0, 300]])], "beyond 0 to 299"),
        ([np.array([[0.5, 1]])], "whole numbers"),
        ([np.array([[0, 1, -1.0]])], "positive"),
        ([], "no edge"),
    ],
)
def test_bad_streams_are_named(tmp_path, stream, message):
    with pytest.raises(ValueError, match=message):
        save_edges(tmp_path, stream, 300)


def test_loops_in_a_stream_warn(tmp_path):
    with pytest.warns(UserWarning, match="1 self loops"):
        save_edges(tmp_path, [[[0, 0], [0, 1]]], 2)
    assert len(load_graph(tmp_path).indices) == 2
