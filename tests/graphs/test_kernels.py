"""Kernels against loops over dense matrices."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from farkas.kernels import warmup
from graphs import check_graph, make_planted_cluster
from graphs._kernels import forget, meet, open_rows, rehash
from graphs._kernels_build import count_ends, merge_rows, place_edges
from graphs._kernels_heights import conjugate, settle, spread
from graphs.maxflow import maximum_flow
from graphs.neighborhood import (
    DEGREE,
    GIVEN,
    NODE,
    OPENED,
    PARENT,
    PARTS,
    SINK,
    VALUE,
    Neighborhood,
    Sinks,
)
from graphs.weights import Weighting

A, _ = make_planted_cluster(60, 15, 0.5, 0.1, random_state=0)
GRAPH = check_graph(A)


def near(seeds=(3, 7), mass=50.0, sinks="degree", weighting=None):
    seeds = np.array(seeds)
    return Neighborhood(
        GRAPH, seeds, np.full(len(seeds), mass), weighting or Weighting(),
        Sinks.validated(sinks, 60),
    )  # fmt: skip


def test_rows_are_those_of_the_graph():
    place = near()
    place.open(np.arange(2))
    place.open(np.arange(place.size))
    ids = place.column(NODE)
    counts, columns, weights = place.rows(np.arange(2))
    assert counts.tolist() == np.diff(A.indptr)[[3, 7]].tolist()
    assert sorted(ids[columns[: counts[0]]]) == A[[3]].indices.tolist()
    assert (weights == 1).all()
    assert np.array_equal(place.column(SINK), np.diff(A.indptr)[ids])
    assert place.column(GIVEN)[:2].tolist() == [50.0, 50.0]
    assert len(np.unique(ids)) == place.size


def test_settle_is_the_laplacian():
    place = near()
    place.open(np.arange(2))
    place.open(np.arange(place.size))
    x = np.random.default_rng(0).random(place.size)
    place.column(VALUE, 1)[:] = x
    place.open(np.arange(place.size))
    n = place.size
    x = place.column(VALUE, 1).copy()
    x[len(x) :] = 0
    ids = place.column(NODE)
    dense = A.toarray()[np.ix_(ids, ids)]
    L = np.diag(A.sum(axis=0)[ids]) - dense
    for power in (1.0, 0.5):
        report = np.zeros(4)
        settle(place.state, place.count, power, 0.0, report)
        step = x[:, None] - x[None, :]
        flow = dense * np.sign(step) * np.abs(step) ** power
        # Nodes beyond those met hold nothing: here all neighbours were met.
        mass = place.column(GIVEN) - flow.sum(axis=1)
        assert np.allclose(place.column(VALUE, 0), mass)
        assert report[0] == pytest.approx((flow * step).sum() / 2)
        if power == 1.0:
            assert np.allclose(mass, place.column(GIVEN) - L @ x)
            gap = x @ (place.column(SINK) - mass)
            assert report[2] == pytest.approx(gap)
    assert n == place.size == 60


def test_both_ways_to_recompute_masses_agree():
    place = near()
    rng = np.random.default_rng(1)
    while place.count[OPENED] < place.size:  # the whole graph
        place.open(np.arange(place.size))
    x = np.where(rng.random(place.size) < 0.5, rng.random(place.size), 0.0)
    reports = np.zeros((2, 4))
    place.column(VALUE, 1)[:] = x
    settle(place.state, place.count, 1.0, 0.0, reports[0])
    held = place.column(VALUE, 0).copy()
    place.column(VALUE, 0)[:] = np.nan
    spread(place.state, place.count, reports[1])
    assert np.allclose(place.column(VALUE, 0), held, rtol=1e-12, atol=1e-12)
    assert np.allclose(reports[0, :3], reports[1, :3], rtol=1e-12)


def test_conjugate_gradients_solve_the_system_on_the_support():
    place = near()
    place.open(np.arange(2))
    support = np.arange(min(12, place.size))
    place.open(support)
    place.column(VALUE, 1)[:] = 0
    place.column(VALUE, 1)[support] = 1.0
    settle(place.state, place.count, 1.0, 0.0, np.zeros(4))
    conjugate(place.state, place.count, 200, 1e-12)
    ids = place.column(NODE)[support]
    L = np.diag(place.column(DEGREE)[support]) - A.toarray()[np.ix_(ids, ids)]
    goal = (place.column(GIVEN) - place.column(VALUE, 2))[support]
    expected = np.maximum(np.linalg.solve(L, goal), 0)
    assert np.allclose(place.column(VALUE, 1)[support], expected, atol=1e-6)


def test_components_are_known_once_all_rows_are():
    two = csr_array(np.kron(np.eye(2), np.ones((3, 3)) - np.eye(3)))
    place = Neighborhood(
        check_graph(two), np.array([0, 3]), np.array([5.9, 0.1]), Weighting(),
        Sinks.validated("degree", 6),
    )  # fmt: skip
    place.open(np.array([0, 1]))
    assert not place.overfull(0.95)
    place.open(np.arange(place.size))
    assert len(np.unique(place.column(PARENT))) >= 2
    assert place.count[PARTS] == 2
    assert place.overfull(0.95)
    place.pour(np.array([5.0, 5.0]))
    assert not place.overfull(0.95)


def test_seeds_of_one_component_become_one_part():
    place = near(seeds=(3, 7, 9))
    assert place.count[PARTS] == 3
    place.open(np.arange(3))
    place.open(np.arange(place.size))
    assert place.count[PARTS] == 1


def test_the_hash_table_survives_growth():
    place = near(seeds=np.arange(0, 60, 2), mass=1.0)
    table = np.zeros(128, dtype=np.int32)
    nodes = np.arange(50) * 977 % 4001
    rehash(table, nodes, 50, 7)
    assert sorted(table[table > 0]) == list(range(1, 51))
    forget(table, nodes, 50, 7)
    assert not table.any()
    before = place.column(NODE).copy()
    place.grow()
    assert np.array_equal(place.column(NODE), before)
    assert open_rows(np.arange(2), place.source, place.state, place.count) == 2
    with pytest.raises(TypeError):
        meet()


@pytest.mark.parametrize("exact", [True, False])
def test_maximum_flow_equals_scipy(exact):
    from scipy.sparse.csgraph import maximum_flow as peer

    rng = np.random.default_rng(0)
    for _ in range(20):
        C = np.triu(rng.integers(0, 20, (8, 8)) * (rng.random((8, 8)) < 0.5), 1)
        u, v = np.nonzero(C)
        forth, back = C[u, v], rng.integers(0, 20, len(u))
        full = C.copy()
        full[v, u] = back
        expected = peer(csr_array(full.astype(np.int32)), 0, 7).flow_value
        kind = np.int64 if exact else np.float64
        scale = 1 if exact else 0.125
        flow = maximum_flow(
            8, u, v, (scale * forth).astype(kind), (scale * back).astype(kind), 0, 7
        )
        assert flow.value == scale * expected
        side = flow.source_side
        cut = full[side][:, ~side].sum()
        assert side[0]
        assert not side[7]
        assert cut == expected


def test_counting_sort_by_hand():
    edges = np.array([[0, 1], [2, 1], [1, 1], [0, 1]])
    degree = np.zeros(3, dtype=np.int64)
    assert count_ends(edges, degree) == 1
    assert degree.tolist() == [2, 3, 1]
    bounds = np.array([0, 2, 5, 6])
    indices, data = np.zeros(6, dtype=np.int32), np.zeros(6)
    place_edges(edges, np.array([1.0, 2.0, 9.0, 3.0]), bounds[:3].copy(), indices, data)
    counts = np.zeros(3, dtype=np.int64)
    merge_rows(0, bounds, indices, data, counts)
    assert counts.tolist() == [1, 2, 1]
    assert (indices[[0, 2, 3, 5]].tolist(), data[[0, 2, 3, 5]].tolist()) == (
        [1, 0, 2, 1],
        [4.0, 4.0, 2.0, 2.0],
    )


def test_warm_up_reaches_every_kernel_file():
    names = {name.rsplit(".", 1)[0] for name in warmup() if name.startswith("graphs.")}
    kinds = ("", "_build", "_drain", "_flow", "_heights", "_spectral")
    assert names == {f"graphs._kernels{kind}" for kind in kinds}
