"""Sweep cuts against prefixes counted one by one."""

import numpy as np
import pytest
from scipy.sparse import coo_array, csr_array

from graphs import conductance, load_karate_club, sweep_cut

A, _ = load_karate_club()
WEIGHTED, _ = load_karate_club(weighted=True)


@pytest.mark.parametrize("graph", [A, WEIGHTED], ids=["unit", "weighted"])
def test_every_prefix_has_its_conductance(graph):
    x = np.random.default_rng(0).random(34)
    x[20:] = 0
    result = sweep_cut(graph, x)
    order = np.argsort(-x[:20], kind="stable")
    assert np.array_equal(result.order, order)
    by_hand = [conductance(graph, order[: k + 1]) for k in range(20)]
    assert np.allclose(result.profile["conductance"], by_hand)
    assert result.fun == pytest.approx(min(by_hand))
    assert conductance(graph, result.cluster) == pytest.approx(result.fun)


def test_ties_go_by_node_number():
    assert sweep_cut(A, np.ones(34)).order.tolist() == list(range(34))


def test_sparse_vectors_and_degrees():
    x = np.zeros(34)
    x[[0, 1, 5]] = 16.0, 8.0, 8.0
    for sparse in (coo_array(x), csr_array(x[None, :])):
        assert sweep_cut(A, sparse).order.tolist() == [0, 1, 5]
    assert sweep_cut(A, x, degree_normalized=True).order.tolist() == [5, 0, 1]


def test_conductance_by_hand():
    dense = A.toarray()
    inside = np.arange(34) < 12
    cut, volume = dense[inside][:, ~inside].sum(), dense[inside].sum()
    assert conductance(A, inside) == cut / min(volume, dense.sum() - volume)
    assert conductance(A, np.ones(34, dtype=bool)) == 1.0


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros(34), "no positive entry"),
        (np.ones(33), "34 entries"),
        (np.full(34, np.nan), "finite"),
        (coo_array(np.ones(33)), "34 entries"),
    ],
)
def test_bad_vectors_are_named(x, message):
    with pytest.raises(ValueError, match=message):
        sweep_cut(A, x)
