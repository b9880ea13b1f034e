"""Surplus that is led out of the support: exact numbers, and proofs that hold."""

import math

import numpy as np
import pytest
from scipy.sparse import csr_array

import farkas
from farkas import CertificateError
from graphs import check_graph, flow_diffusion, load_karate_club, make_planted_cluster
from graphs._kernels_heights import settle
from graphs._measure_graph import summed
from graphs._measure_lookup import Lookup, among, numbered
from graphs.drain import drained
from graphs.neighborhood import NODE, VALUE, Neighborhood, Sinks
from graphs.weights import Weighting

A, _ = load_karate_club()
PATH = check_graph([[0, 1], [1, 2], [2, 3], [3, 4]], affinity="edges")


def near(graph, heights, mass, sinks="unit"):
    place = Neighborhood(
        graph, np.array([0]), np.array([mass]), Weighting(),
        Sinks.validated(sinks, graph.n_nodes),
    )  # fmt: skip
    while place.size < graph.n_nodes:
        place.open(np.arange(place.size))
    place.column(VALUE, 1)[:] = np.asarray(heights)[place.column(NODE)]
    place.open(np.arange(place.size))
    settle(place.state, place.count, 1.0, 0.0, np.zeros(4))
    return place


def test_surplus_walks_out_along_a_path():
    # Nodes 0 and 1 hold 1.05 each: .05 goes from 0 to 1 and .1 on to node 2.
    place = near(PATH, [1.85, 0.4, 0, 0, 0], 2.5)
    assert np.allclose(place.column(VALUE, 0)[:3], [1.05, 1.05, 0.4])
    found = drained(place)
    assert place.column(NODE)[found.nodes].tolist() == [0, 1]
    assert np.allclose(found.amount, [0.05, 0.1], atol=1e-12)
    assert found.level[0] > found.level[1]
    assert found.gap == pytest.approx((0.05**2 + 0.1**2) / 2)


def test_full_nodes_pass_on_where_there_is_no_other_way():
    # Node 2 holds .95 and gets .1 more: .05 goes on to node 3.
    place = near(PATH, [2.85, 0.95, 0, 0, 0], 3.0)
    assert np.allclose(place.column(VALUE, 0)[:3], [1.1, 0.95, 0.95])
    found = drained(place)
    amount = dict(zip(place.column(NODE)[found.nodes], found.amount, strict=True))
    assert amount[0] == pytest.approx(0.1)
    assert amount[1] == pytest.approx(0.05)
    assert amount.get(2, 0.0) == pytest.approx(0.0, abs=1e-9)
    place = near(PATH, [2.85, 0.98, 0, 0, 0], 3.03)
    found = drained(place)
    amount = dict(zip(place.column(NODE)[found.nodes], found.amount, strict=True))
    assert amount[0] == pytest.approx(0.16)
    assert amount[1] == pytest.approx(0.05)
    assert amount[2] == pytest.approx(0.03)


def test_a_deficit_is_filled_only_as_long_as_that_pays():
    # Node 1 lacks 0.2 and has height 0.2: taking back more than 0.2 costs more.
    place = near(PATH, [1.2, 0.2, 0, 0, 0], 2.0)
    assert np.allclose(place.column(VALUE, 0)[:3], [1.0, 0.8, 0.2])
    found = drained(place)
    amount = dict(zip(place.column(NODE)[found.nodes], found.amount, strict=True))
    assert amount[1] == pytest.approx(-0.2)
    assert found.gap == pytest.approx(0.2**2 / 2)
    place = near(PATH, [1.0, 0.1, 0, 0, 0], 1.9)  # with height .1, only .1 pays
    assert np.allclose(place.column(VALUE, 0)[:3], [1.0, 0.8, 0.1])
    found = drained(place)
    amount = dict(zip(place.column(NODE)[found.nodes], found.amount, strict=True))
    assert amount[1] == pytest.approx(-0.1)
    assert found.gap == pytest.approx(0.1**2 / 2 + 0.1 * 0.1)


def test_nobody_with_room_means_no_flow():
    place = near(check_graph([[0, 1]], affinity="edges"), [9.0, 8.0], 3.0)
    assert drained(place).gap == np.inf


@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-6])
def test_the_certified_interval_holds_the_optimum(tol):
    rng = np.random.default_rng(int(-np.log10(tol)))
    met = led = 0
    for trial in range(60):
        n = int(rng.integers(4, 25))
        B = np.triu(rng.random((n, n)) < 0.3, 1) * 10.0 ** rng.uniform(-3, 3, (n, n))
        B = csr_array(B + B.T)
        labels = (rng.random(n) < 0.5).astype(int) if trial % 3 == 0 else None
        options = {
            "mass": float(rng.uniform(1, 40)), "labels": labels,
            "label_weight": 0.0 if trial % 6 == 0 else 0.05,
        }  # fmt: skip
        try:
            truth = flow_diffusion(B, 0, tol=1e-10, **options)
            result = flow_diffusion(B, 0, tol=tol, **options)
        except ValueError:
            continue
        met += 1
        led += len(result.drains.nodes) > 0
        proof = result.certificate
        assert proof.lower <= truth.certificate.upper * (1 + 1e-12)
        assert proof.upper >= truth.certificate.lower * (1 - 1e-12)
        if result.success:
            assert proof.value <= tol * proof.scale
        data = (B,) if labels is None else (B, labels)
        farkas.verify(result, *data).check()
    assert met > 25
    assert led > 5


def test_attributes_and_sinks_of_any_kind_are_led_out_too():
    rng = np.random.default_rng(0)
    X, sinks = rng.standard_normal((34, 3)), rng.uniform(1, 5, 34)
    result = flow_diffusion(A, 0, mass=60, attributes=X, gamma=0.3)
    assert result.success
    farkas.verify(result, A, None, X).check()
    result = flow_diffusion(A, 0, mass=40, sinks=sinks)
    assert result.success
    assert len(result.drains.nodes)
    farkas.verify(result, A).check()


def test_invented_levels_and_drains_prove_nothing_false():
    best = flow_diffusion(A, 0, mass=100, tol=1e-10).certificate
    proof = flow_diffusion(A, 0, mass=100, tol=1e-2).certificate
    assert "drain" in proof.witness
    rng = np.random.default_rng(0)
    k = len(proof.witness["nodes"])
    tight = 0
    for _ in range(300):
        witness = dict(proof.witness)
        if rng.random() < 0.5:
            witness["level"] = rng.integers(-1, 6, k)
        size = 10.0 ** rng.uniform(-6, 12)
        witness["drain"] = witness["drain"] + size * rng.standard_normal(k)
        other = farkas.certify(
            proof.problem, (A,), witness, proof.parameters, tolerance=1e-2
        )
        assert other.upper >= best.lower
        assert other.lower == proof.lower
        tight += np.isfinite(other.upper)
    assert tight < 300


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"drain": np.array([np.nan])}, "drain"),
        ({"drain": np.zeros(3)}, "drain"),
        ({"drain": np.zeros(3, dtype=bool)}, "drain"),
        ({"level": np.array([0.5])}, "level"),
        ({"level": np.array([-2])}, "level"),
        ({"level": np.zeros((1, 1), dtype=int)}, "level"),
    ],
)
def test_malformed_drains_are_refused(change, message):
    witness = {
        "nodes": np.array([0]), "x": np.array([1.5]), "cluster": np.array([True]),
        "seeds": np.array([0]), "source": np.array([2.5]), "level": np.array([0]),
        "drain": np.array([0.1]),
    }  # fmt: skip
    parameters = {
        "p": 2.0, "sinks": "unit", "affinity": "graph", "n_neighbors": 0,
        "symmetrize": "error", "edge_length": False,
    }  # fmt: skip
    problem = "graphs.flow_diffusion/1"
    farkas.certify(problem, (PATH,), witness, parameters, tolerance=1.0)
    with pytest.raises(CertificateError, match=message):
        farkas.certify(problem, (PATH,), witness | change, parameters, tolerance=1.0)
    with pytest.raises(CertificateError, match="p=2"):
        farkas.certify(
            problem, (PATH,), witness, parameters | {"p": 3.0}, tolerance=1.0
        )


def test_arrays_of_one_run_leave_no_trace_in_the_next():
    B, _ = make_planted_cluster(400, 40, 0.3, 0.01, random_state=0)
    fresh = flow_diffusion(B, 3, mass=1500).certificate.to_json()
    flow_diffusion(A, 0, mass=100)
    with pytest.raises(ValueError, match="exceeds the capacity"):
        flow_diffusion(A, 0, mass=1e5)
    assert flow_diffusion(B, 3, mass=1500).certificate.to_json() == fresh


def test_lookups_find_what_tables_find():
    rng = np.random.default_rng(0)
    for n, k in ((50, 20), (10**6, 1), (10**12, 5000), (10**6, 0)):
        nodes = np.unique(rng.integers(n, size=k))
        asked = np.concatenate([nodes, rng.integers(n, size=300)])
        expected = np.zeros(len(asked), dtype=int)
        known = np.isin(asked, nodes)
        expected[known] = np.searchsorted(nodes, asked[known]) + 1
        hashed = Lookup(nodes, 10**13, 1)(asked)
        assert np.array_equal(hashed, expected)
        assert np.array_equal(among(asked, nodes), known)
        if n <= 10**6:
            assert np.array_equal(Lookup(nodes, n, n)(asked), expected)
        for room in (1, 10**13):
            if room > 1 and n > 10**6:
                continue
            border, slot = numbered(asked, n if room > 1 else 10**13, room)
            assert np.array_equal(border[slot], asked)
            assert len(border) == len(np.unique(asked))


def test_sums_come_with_their_rounding():
    rng = np.random.default_rng(0)
    for n in (0, 1, 2, 1000, 10_000):
        terms = rng.standard_normal(n) * 10.0 ** rng.uniform(-8, 8, n)
        value, error = summed(terms)
        assert abs(value - math.fsum(terms)) <= error <= 1e-11 * np.abs(terms).sum()
    assert np.isnan(summed(np.array([1e308, 1e308]))[0])
