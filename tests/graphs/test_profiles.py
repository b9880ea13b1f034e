"""Capacity releasing diffusion, community profiles and partitions."""

import numpy as np
import pytest
from scipy.sparse import block_diag, csr_array

from graphs import (
    conductance,
    crd,
    find_clusters,
    load_karate_club,
    make_planted_cluster,
    ncp_profile,
)

KARATE, _ = load_karate_club()
CLIQUES = csr_array(block_diag([np.ones((6, 6)) - np.eye(6)] * 3)).tolil()
for a, b in ((5, 6), (11, 12), (17, 0)):
    CLIQUES[a, b] = CLIQUES[b, a] = 1
CLIQUES = csr_array(CLIQUES)


@pytest.mark.parametrize("weight", [1.0, 0.5])
def test_crd_finds_a_planted_cluster(weight):
    A, target = make_planted_cluster(1000, 60, 0.4, 0.003, r=0.02, random_state=0)
    result = crd(weight * A, 3)
    found = np.isin(np.arange(1000), result.cluster)
    assert 2 * (found & target).sum() / (found.sum() + target.sum()) > 0.9
    assert result.conductance == pytest.approx(conductance(A, result.cluster))
    if weight == 1.0:  # with weights, degrees of all neighbours are read as well
        assert result.n_touched < 1000
    assert result.certificate is None


def test_crd_keeps_mass_within_degrees_and_reports_levels():
    result = crd(KARATE, 0, iterations=2)
    assert (result.x.data <= KARATE.sum(axis=0)[result.x.coords[0]] + 1e-9).all()
    assert result.levels["conductance"].min() == pytest.approx(result.fun)
    assert (np.diff(result.levels["size"][result.levels["round"] == 1]) > 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"w": 1.0}, "w=1.0"), ({"h": 0}, "h=0"), ({"U": 0.0}, "U=0.0"),
     ({"tau": 0.0}, "tau=0.0"), ({"iterations": 0}, "iterations=0")],
)  # fmt: skip
def test_bad_input_of_crd_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        crd(KARATE, 0, **options)


@pytest.mark.parametrize("method", ["pagerank", "flow", "heat", "crd"])
def test_profiles_hold_true_conductances(method):
    profile = ncp_profile(CLIQUES, method, n_seeds=6)
    assert profile.fun == pytest.approx(2 / 32)
    assert (np.diff(profile.envelope["size"]) > 0).all()
    best = profile.envelope[np.argmin(profile.envelope["conductance"])]
    assert best["size"] == 6
    assert (2 * profile.records["volume"] <= CLIQUES.sum()).all()


def test_profiles_do_not_depend_on_workers():
    one, two = (ncp_profile(KARATE, n_seeds=20, n_jobs=n) for n in (1, 2))
    assert np.array_equal(one.records, two.records)
    assert len(ncp_profile(KARATE, ratio=0.5).records)
    with pytest.raises(ValueError, match="params"):
        ncp_profile(KARATE, params=[])
    with pytest.raises(ValueError, match="method='walk'"):
        ncp_profile(KARATE, "walk")


def test_partitions_cover_every_node():
    result = find_clusters(CLIQUES, "flow", target_volume=32)
    assert result.n_clusters == 3
    assert len(np.unique(result.x.reshape(3, 6), axis=1).T) == 1
    lonely = csr_array(block_diag([CLIQUES, np.zeros((2, 2))]))
    result = find_clusters(lonely)
    assert (result.x >= 0).all()
    assert result.conductance[-1] == 1.0
