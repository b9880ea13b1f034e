"""The trust base of flow diffusion: by hand, by brute force, and forgeries."""

import contextlib
import dataclasses
import itertools
import math

import numpy as np
import pytest
from scipy.sparse import csr_array

import farkas
from farkas import CertificateError, Guarantee
from farkas.testing import tampered
from graphs import check_graph, flow_diffusion, load_karate_club
from graphs._measure_graph import Graph

PROBLEM = "graphs.flow_diffusion/1"
PATH = csr_array(np.diag(np.ones(4), 1) + np.diag(np.ones(4), -1))
# Path 0-1-2-3-4 with unit sinks and mass 3 at node 0: x = (3, 1, 0), optimum 5/2.
WITNESS = {
    "nodes": np.array([0, 1]),
    "x": np.array([3.0, 1.0]),
    "cluster": np.array([True, True]),
    "seeds": np.array([0]),
    "source": np.array([3.0]),
}
PARAMETERS = {
    "p": 2.0,
    "sinks": "unit",
    "affinity": "graph",
    "n_neighbors": 0,
    "symmetrize": "error",
    "edge_length": False,
}


def mint(witness=None, parameters=None, data=(PATH,), problem=PROBLEM):
    return farkas.certify(
        problem,
        data,
        WITNESS | (witness or {}),
        PARAMETERS | (parameters or {}),
        tolerance=1e-9,
    )


def mint_or_overflow(*arguments, **options):
    """Return the certificate, or None if floats do not suffice for it."""
    with contextlib.suppress(CertificateError):
        return mint(*arguments, **options)
    with pytest.raises(CertificateError, match="overflow"):
        mint(*arguments, **options)
    return None


def below(x):
    """Heights that leave node 2 of the path a little below its sink."""
    return {"x": np.array(x), "nodes": np.arange(len(x)),
            "cluster": np.ones(len(x), dtype=bool)}  # fmt: skip


def test_the_optimum_by_hand():
    certificate = mint(below([3.000002, 1.000001, 1e-9]), {"sinks": "unit"})
    assert certificate.guarantee is Guarantee.GLOBAL
    assert certificate.lower == pytest.approx(2.5, abs=1e-9)
    assert certificate.residuals["primal_value"] == pytest.approx(2.5, abs=1e-5)
    assert certificate.scale == certificate.lower
    # The optimum is at least what one push at the seed gains: (Delta - T)^2 / 2 d.
    zero = mint(below([0.0]))
    assert (zero.lower, zero.scale) == (0.0, pytest.approx((3 - 1) ** 2 / 2))


def test_a_node_that_is_full_to_the_last_bit_proves_no_upper_bound():
    # m_2 = T_2 exactly: rounding may hide an excess, so none is claimed.
    certificate = mint()
    assert certificate.upper == math.inf
    assert not certificate.satisfied
    assert certificate.lower == pytest.approx(2.5, abs=1e-12)
    assert certificate.lower <= 2.5


def test_any_heights_prove_a_lower_bound():
    rng = np.random.default_rng(0)
    for _ in range(200):
        x = rng.uniform(0, 4, 5) * (rng.random(5) < 0.7)
        assert mint(below(x)).lower <= 2.5


def test_bounds_hold_for_random_heights_and_the_gap_is_their_distance():
    # Against the optimum by brute force over supports.
    rng = np.random.default_rng(1)
    for _ in range(60):
        n = 6
        A = np.triu(10.0 ** rng.uniform(-3, 3, (n, n)) * (rng.random((n, n)) < 0.6), 1)
        A = A + A.T
        if not (A.sum(0) > 0).all():
            continue
        mass = rng.uniform(1.2, 4)
        optimum = brute_force(A, mass)
        if optimum is None:
            continue
        x = rng.uniform(0, 3, n)
        certificate = mint(
            below(x) | {"source": np.array([mass])}, {}, data=(csr_array(A),)
        )
        assert certificate.lower <= optimum * (1 + 1e-9)
        assert certificate.upper >= optimum * (1 - 1e-9)
        assert certificate.value == certificate.upper - certificate.lower or (
            math.isinf(certificate.value)
        )


def brute_force(A, mass, sink=1.0):
    """Optimum of the dual over all supports, None where it is unbounded."""
    n = len(A)
    b = np.full(n, -sink)
    b[0] += mass
    L = np.diag(A.sum(0)) - A
    best = 0.0
    for size in range(1, n):
        for S in itertools.combinations(range(n), size):
            S = list(S)
            block = L[np.ix_(S, S)]
            if np.linalg.cond(block) > 1e12:
                continue
            x = np.zeros(n)
            x[S] = np.linalg.solve(block, b[S])
            m = b + sink - L @ x
            if (x >= -1e-9 * abs(x).max()).all() and (m <= sink + 1e-7).all():
                best = max(best, b @ x / 2)
    return best if best > 0 else None


@pytest.mark.parametrize("p", [2.0, 3.0, 4.0])
def test_weak_duality_for_every_p(p):
    A, _ = load_karate_club()
    g = check_graph(A)
    result = flow_diffusion(g, 0, mass=100, p=p, tol=1e-6)
    proof = result.certificate
    rng = np.random.default_rng(0)
    for _ in range(20):
        x = np.abs(result.x.toarray() * (1 + 0.3 * rng.standard_normal(34)))
        other = mint(
            below(x) | {"source": np.array([100.0])},
            {"sinks": "degree", "p": p},
            data=(A,),
        )
        assert other.lower <= proof.upper
        assert other.upper >= proof.lower


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.array([-3.0, 1.0])}, "nonnegative"),
        ({"x": np.array([np.nan, 1.0])}, "finite"),
        ({"x": np.array([np.inf, 1.0])}, "finite"),
        ({"x": np.array([3.0])}, "x must be 2"),
        ({"x": np.array([[3.0], [1.0]])}, "x must be 2"),
        ({"x": np.array(3.0)}, "x must be 2"),
        ({"nodes": np.array([1, 0])}, "increase"),
        ({"nodes": np.array([0, 0])}, "increase"),
        ({"nodes": np.array([0, 9])}, "within 0..4"),
        ({"nodes": np.array([-1, 0])}, "within 0..4"),
        ({"nodes": np.array([0.0, 1.0])}, "integers"),
        ({"cluster": np.array([1, 1])}, "bool"),
        ({"cluster": np.array(True)}, "bool"),
        ({"seeds": np.array([3])}, "among the nodes"),
        ({"seeds": np.zeros(0, dtype=int), "source": np.zeros(0)}, "among the nodes"),
        ({"source": np.array([-3.0])}, "nonnegative"),
        ({"source": np.array([3.0, 3.0])}, "source must be 1"),
    ],
)
def test_malformed_witnesses_are_refused(change, message):
    with pytest.raises(CertificateError, match=message):
        mint(change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"p": 1.5}, "at least 2"),
        ({"p": math.nan}, "at least 2"),
        ({"p": math.inf}, "at least 2"),
        ({"sinks": "none"}, "sinks"),
        ({"sinks": "array"}, "sink_nodes"),
        ({"affinity": "knn", "edge_length": True}, "only rows"),
    ],
)
def test_malformed_parameters_are_refused(change, message):
    with pytest.raises(CertificateError, match=message):
        mint(parameters=change)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (csr_array(np.ones((2, 3))), "square"),
        (csr_array(-PATH), "nonnegative"),
        (csr_array(PATH * np.nan), "nonnegative"),
        (csr_array(np.triu(PATH.toarray())), "directed"),
    ],
)
def test_malformed_graphs_are_refused(matrix, message):
    with pytest.raises(CertificateError, match=message):
        mint(data=(matrix,))


def test_a_graph_that_hands_out_nonsense_is_refused():
    good = check_graph(PATH)

    class Liar:
        n_nodes, volume, unit = 5, 8.0, True
        degrees = good.degrees

        def __init__(self, change):
            self.change = change

        def __call__(self, nodes):
            return self.change(*good(nodes))

    for change, message in (
        (lambda c, j, w: (c, j + 5, w), "does not have"),
        (lambda c, j, w: (c, j - 5, w), "does not have"),
        (lambda c, j, w: (c, j[:-1], w), "wrong length"),
        (lambda c, j, w: (c, j, np.full(len(j), np.nan)), "finite"),
        (lambda c, j, w: (c, j, np.full(len(j), -1.0)), "nonnegative"),
        (lambda c, j, w: (c, j, np.ones(len(j) + 1)), "wrong length"),
    ):
        with pytest.raises(CertificateError, match=message):
            mint(data=(Liar(change),))


@pytest.mark.parametrize("factor", [1e-300, 1e-150, 1e150, 1e300])
def test_extreme_units_never_give_a_false_bound(factor):
    """Weights and heights in other units; the optimum is 5/2 over the unit."""
    A = csr_array(PATH * factor)
    x = np.array([3.000002, 1.000001, 1e-9]) / factor
    certificate = mint_or_overflow(below(x), data=(A,))
    if certificate is None:
        return
    assert certificate.lower <= 2.5 / factor
    assert certificate.upper >= 2.5 / factor


def test_heights_that_cancel_do_not_hide_an_excess():
    """Huge heights of neighbours cancel; what is left is below their rounding."""
    base = 1e17
    x = np.array([base, base, base, base, base])
    certificate = mint(below(x) | {"source": np.array([3.0])})
    assert certificate.upper == math.inf  # m = (3, 0, 0, 0, 0), far too much at node 0
    x = np.array([base + 64, base, base])
    certificate = mint(below(x))
    assert certificate.upper == math.inf
    assert certificate.lower <= 2.5


@pytest.mark.parametrize("mass", [1e-3, 1.0, 1e8, 1e200, 1e308])
def test_extreme_masses_overflow_or_bound(mass):
    certificate = mint_or_overflow({"source": np.array([mass])})
    if certificate is None:
        return
    assert certificate.lower >= 0
    assert certificate.scale > 0


def test_the_gap_counts_the_rounding_of_many_terms():
    """A star whose leaves fill to the brim: the bounds enclose the exact value."""
    n = 2001
    A = np.zeros((n, n))
    A[0, 1:] = A[1:, 0] = 0.1
    x0 = 9.0  # every leaf gets 0.9
    mass = 1.0 + 0.9 * (n - 1) - 1e-3
    certificate = mint(
        {
            "nodes": np.array([0]), "x": np.array([x0]), "cluster": np.array([True]),
            "source": np.array([mass]),
        },
        data=(csr_array(A),),
    )  # fmt: skip
    exact = (n - 1) * 0.1 * 81 / 2
    assert certificate.upper >= exact
    assert certificate.upper - exact <= 1e-9 * exact
    assert certificate.residuals["max_excess"] == 0


def test_every_forgery_is_rejected():
    A, faction = load_karate_club()
    y = faction.astype(int)
    rng = np.random.default_rng(0)
    attributes = rng.standard_normal((34, 2))
    cases = [
        (flow_diffusion(A, 0, mass=60), (A,)),
        (flow_diffusion(A, 0, mass=60, p=3), (A,)),
        (flow_diffusion(A, 0, mass=60, labels=y), (A, y)),
        (flow_diffusion(A, [0, 5], mass=12, sinks=np.full(34, 2.0)), (A,)),
        (
            flow_diffusion(A, 0, mass=60, labels=y, attributes=attributes, gamma=0.1),
            (A, y, attributes),
        ),
    ]
    for result, data in cases:
        assert result.certificate.satisfied
        farkas.verify(result, *data).check()
        for name, forged, _ in tampered(result.certificate, data):
            if any(word in name for word in ("rows", "replaced", "other units")):
                continue  # other data; see the next test
            outcome = farkas.verify(forged, *data)
            assert not outcome, (name, outcome.message)


def test_other_data_near_the_seeds_is_noticed_by_arithmetic_alone():
    A, faction = load_karate_club()
    y = faction.astype(int)
    result = flow_diffusion(A, 0, mass=60, labels=y)
    bare = dataclasses.replace(result.certificate, fingerprint="", seal="")
    flipped = y.copy()
    flipped[1] = 1 - flipped[1]
    assert farkas.verify(bare, A, y)
    assert not farkas.verify(bare, A, flipped)
    cut = A.tolil()
    cut[0, 1] = cut[1, 0] = 0
    assert not farkas.verify(bare, csr_array(cut), y)
    assert not farkas.verify(bare, csr_array(2 * A), y)
    order = np.random.default_rng(0).permutation(34)
    assert not farkas.verify(bare, csr_array(A[order][:, order]), y[order])


def test_no_rival_beats_the_lower_bounds():
    """Random connected sets around the seed, against section 2.8 and the co-area."""
    A, _ = load_karate_club()
    dense, degree = A.toarray(), A.sum(axis=0)
    result = flow_diffusion(A, 0, mass=100, tol=1e-9)
    residuals = result.certificate.residuals
    P = result.certificate.upper
    assert residuals["conductance_upper"] == pytest.approx(0.382789, abs=1e-5)
    assert residuals["conductance"] == pytest.approx(0.1466667, abs=1e-6)
    assert residuals["support_volume"] == 87
    rng = np.random.default_rng(0)
    tightest = math.inf
    for _ in range(3000):
        inside = np.zeros(34, dtype=bool)
        inside[0] = True
        for _ in range(rng.integers(1, 33)):
            border = np.flatnonzero((dense[inside].sum(0) > 0) & ~inside)
            if len(border):
                inside[rng.choice(border)] = True
        cut = dense[inside][:, ~inside].sum()
        stuck = 100 - degree[inside].sum()
        if stuck > 0:
            bound = stuck**2 / (2 * P)
            assert cut >= bound
            tightest = min(tightest, cut / bound)
            volume = degree[inside].sum()
            if volume <= result.certificate.residuals["support_volume"]:
                assert cut / volume >= stuck**2 / (2 * P * volume) * (1 - 1e-12)
    assert tightest < 1.5


def test_the_bound_on_rivals_uses_the_certified_numbers():
    A, _ = load_karate_club()
    result = flow_diffusion(A, 0, mass=100, tol=1e-6)
    volume = A.sum(axis=0)[result.cluster].sum()
    expected = (100 - volume) ** 2 / (2 * result.certificate.upper * volume)
    residuals = result.certificate.residuals
    assert residuals["conductance_lower"] == pytest.approx(expected, rel=1e-9)
    assert residuals["conductance_lower"] <= residuals["conductance"]
    assert residuals["cut_lower"] <= residuals["cut"]


@pytest.mark.parametrize("p", [2.0, 3.0])
def test_a_graph_with_weights_bounds_only_cuts(p):
    A, _ = load_karate_club(weighted=True)
    result = flow_diffusion(A, 0, mass=60, p=p)
    assert result.certificate.residuals["conductance_lower"] == 0
    assert 0 < result.certificate.residuals["cut_lower"]


def test_rows_are_read_only_near_the_answer():
    A, _ = load_karate_club()
    graph = check_graph(A)
    asked = []

    class Watched(Graph):
        def __call__(self, nodes):
            asked.extend(nodes.tolist())
            return super().__call__(nodes)

    watched = Watched(graph.indptr, graph.indices, graph.data, graph.volume)
    result = flow_diffusion(graph, 16, mass=6)
    farkas.verify(result, watched).check()
    assert set(asked) == set(result.cluster) | set(result.x.coords[0]) | {16}


def test_the_measure_knows_stored_graphs_and_features(tmp_path):
    from graphs import FlowDiffusionClustering, save_graph

    A, _ = load_karate_club()
    save_graph(tmp_path, A)
    result = flow_diffusion(str(tmp_path), 0, mass=60)
    farkas.verify(result, A).check()
    farkas.verify(result, str(tmp_path)).check()
    X = np.random.default_rng(0).standard_normal((40, 3))
    model = FlowDiffusionClustering().fit(X, seeds=[0])
    farkas.verify(model, X).check()
    assert not farkas.verify(model, 1.5 * X)
    with pytest.raises(CertificateError, match="stored"):
        farkas.verify(result, str(tmp_path / "missing")).check()
