"""MQI, FlowImprove and SimpleLocal against brute force over all subsets."""

import itertools

import numpy as np
import pytest
from scipy.sparse import csr_array

import farkas
from graphs import (
    check_graph,
    conductance,
    flow_diffusion,
    flow_improve,
    load_karate_club,
    make_planted_cluster,
    mqi,
    simple_local,
)

KARATE, _ = load_karate_club()


def graphs(count, n=9):
    rng = np.random.default_rng(0)
    while count:
        weights = 10.0 ** rng.uniform(-3, 3, (n, n)) if count % 2 else np.ones((n, n))
        W = np.triu((rng.random((n, n)) < 0.4) * weights, 1)
        W = W + W.T
        R = np.sort(rng.permutation(n)[: n // 2])
        if (W.sum(axis=0) > 0).all() and W[R].sum() <= W.sum() / 2:
            count -= 1
            yield W, R


def smallest(W, R, theta):
    d, n = W.sum(axis=0), len(W)
    among = R if np.isinf(theta) else np.arange(n)
    best = np.inf
    for size in range(1, len(among) + 1):
        for S in itertools.combinations(among, size):
            inside = np.isin(np.arange(n), S)
            rest = inside & ~np.isin(np.arange(n), R)
            value = d[inside & ~rest].sum()
            value -= theta * d[rest].sum() if rest.any() else 0.0
            if value > 1e-12 * d.sum():
                best = min(best, W[inside][:, ~inside].sum() / value)
    return best


def test_mqi_equals_brute_force_and_its_flow_proves_it():
    for W, R in graphs(50):
        result = mqi(check_graph(W, affinity="precomputed"), R)
        assert result.fun == pytest.approx(smallest(W, R, np.inf), rel=1e-9)
        assert result.certificate.satisfied
        volume = W[R].sum()
        assert result.certificate.residuals["flow_value"] == pytest.approx(
            result.fun * volume, rel=1e-9
        )
        farkas.verify(result, csr_array(W)).check()


@pytest.mark.parametrize("delta", [0.0, 0.3])
def test_flow_improve_equals_brute_force(delta):
    for W, R in graphs(8):
        graph = check_graph(W, affinity="precomputed")
        run = {"delta": delta} if delta else {}
        result = (simple_local if delta else flow_improve)(graph, R, **run)
        theta = W[R].sum() / (W.sum() - W[R].sum()) + delta
        assert result.fun == pytest.approx(smallest(W, R, theta), rel=1e-9)
        assert result.certificate.satisfied
        assert result.conductance <= result.fun * (1 + 1e-9)
        assert result.fun <= conductance(graph, R) * (1 + 1e-9)


def test_karate_club():
    R = flow_diffusion(KARATE, 0, mass=100).x.coords[0]
    result = mqi(KARATE, R)
    assert KARATE.toarray()[R].sum() == 87
    assert result.fun == pytest.approx(0.1315789, abs=1e-7)
    assert np.setdiff1d(R, result.cluster).tolist() == [8, 31]
    assert result.x.sum() == 16


def test_simple_local_stays_local():
    A, target = make_planted_cluster(3000, 60, 0.4, 0.002, random_state=0)
    R = np.arange(10, 50)
    result = simple_local(A, R, delta=1.0)
    assert result.n_touched < 1500
    assert result.conductance < conductance(A, R)
    assert (target[result.cluster]).mean() > 0.95


def test_a_component_is_proven_at_once():
    two = csr_array(np.kron(np.eye(3), np.ones((4, 4)) - np.eye(4)))
    result = mqi(two, [0, 1, 2, 3])
    assert result.fun == 0
    assert result.certificate.satisfied


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mqi(KARATE, []), "at least one|vector"),
        (lambda: mqi(KARATE, [0, 0]), "twice"),
        (lambda: mqi(KARATE, [40]), "0 to 33"),
        (lambda: mqi(KARATE, np.ones(3, dtype=bool)), "34 entries"),
        (lambda: flow_improve(KARATE, np.arange(30)), "complement"),
        (lambda: simple_local(KARATE, [0], delta=0.0), "delta=0.0"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
