"""Flow diffusion: textbook numbers, independent solvers, properties, bad input."""

import warnings

import numpy as np
import pytest
from scipy.sparse import block_diag, csr_array

import farkas
from farkas import Status
from graphs import (
    check_graph,
    flow_diffusion,
    load_karate_club,
    make_planted_cluster,
    noisy_labels,
)

KARATE, _ = load_karate_club()
SUPPORT = [*range(9), 10, 11, 12, 13, 16, 17, 19, 21, 31]
FLIPPED = [2, 3, 11, 13, 15, 20, 21, 32]
# Two complete graphs of four nodes, joined by the edge 3-4.
BARBELL = [
    *[(i, j) for i in range(4) for j in range(i)],
    *[(i + 4, j + 4) for i in range(4) for j in range(i)],
    (3, 4),
]


def edges(pairs):
    return check_graph(pairs, affinity="edges")


def random_graph(rng, n=14, orders=0.0, density=0.3):
    A = np.triu(rng.random((n, n)) < density, 1).astype(float)
    if orders:
        A *= 10.0 ** rng.uniform(-orders / 2, orders / 2, (n, n))
    return csr_array(A + A.T)


def test_path_by_hand():
    path = edges([[0, 1], [1, 2], [2, 3], [3, 4]])
    result = flow_diffusion(path, 0, mass=3, sinks="unit", tol=1e-10)
    assert np.allclose(result.x.toarray(), [3, 1, 0, 0, 0], atol=1e-8)
    assert result.fun == pytest.approx(2.5, abs=1e-9)


def test_barbell_by_hand():
    result = flow_diffusion(edges(BARBELL), 0, mass=20, tol=1e-10)
    assert np.allclose(result.x.toarray(), [15, 10, 10, 8, 1, 0, 0, 0], atol=1e-7)
    assert result.fun == pytest.approx(79.5, abs=1e-7)
    assert result.conductance == pytest.approx(1 / 13)


@pytest.mark.parametrize(
    ("p", "optimum", "height", "phi", "size"),
    [
        (2, 267.0413135, 8.3251318, 0.1466667, 17),
        (3, 990.9118, 43.9817, 0.1315789, 16),
        (4, 4259.757, 249.165, 0.1315789, 16),
    ],
)
def test_karate_club(p, optimum, height, phi, size):
    result = flow_diffusion(KARATE, 0, mass=100, p=p, tol=1e-8)
    assert result.success
    assert result.fun == pytest.approx(optimum, rel=2e-7)
    assert result.x.toarray()[0] == pytest.approx(height, rel=1e-5)
    assert result.x.coords[0].tolist() == SUPPORT
    assert result.conductance == pytest.approx(phi, abs=1e-6)
    assert len(result.cluster) == size


def test_karate_club_with_weights():
    A, _ = load_karate_club(weighted=True)
    result = flow_diffusion(A, 0, mass=100, tol=1e-9)
    assert result.fun == pytest.approx(100.8421964, rel=1e-8)
    assert result.x.toarray()[0] == pytest.approx(3.2491491, rel=1e-7)
    assert result.x.coords[0].tolist() == SUPPORT


def test_karate_club_with_noisy_labels():
    _, faction = load_karate_club()
    labels = faction.astype(int)
    labels[FLIPPED] = 1 - labels[FLIPPED]
    result = flow_diffusion(KARATE, 0, mass=100, labels=labels, tol=1e-9)
    assert result.fun == pytest.approx(1017.94155, rel=1e-8)
    assert result.x.toarray()[0] == pytest.approx(41.194229, rel=1e-6)
    expected = [0, 1, *range(3, 9), 10, 11, 12, 16, 17, 19, 21, 32]
    assert result.x.coords[0].tolist() == expected
    farkas.verify(result, KARATE, labels).check()


@pytest.mark.parametrize("p", [2.0, 3.0])
def test_an_interior_point_solver_agrees(p):
    import cvxpy as cp

    A, _ = load_karate_club(weighted=True)
    dense = A.toarray()
    i, j = np.nonzero(np.triu(dense))
    sink = (dense > 0).sum(axis=0)
    x = cp.Variable(34, nonneg=True)
    q = p / (p - 1)
    steps = cp.power(cp.abs(x[i] - x[j]), q)
    source = np.zeros(34)
    source[[0, 33]] = 30.0, 60.0
    goal = (source - sink) @ x - cp.sum(cp.multiply(dense[i, j], steps)) / q
    optimum = cp.Problem(cp.Maximize(goal)).solve(solver=cp.CLARABEL)
    result = flow_diffusion(A, [33, 0], mass=90, seed_weights=[2, 1], p=p, tol=1e-8)
    assert result.fun == pytest.approx(optimum, rel=1e-5)
    assert result.lower_bound <= optimum * (1 + 1e-5)


@pytest.mark.parametrize("solver", ["sor", "push", "active_set"])
def test_all_solvers_find_one_optimum(solver):
    rng = np.random.default_rng(0)
    for trial in range(8):
        A = random_graph(rng, orders=trial % 3)
        if A.sum(axis=0)[0] == 0:
            continue
        mass = 0.6 * (A.toarray() > 0).sum()
        try:
            truth = flow_diffusion(A, 0, mass=mass, tol=1e-10)
        except ValueError:  # the component of node 0 is too small
            continue
        result = flow_diffusion(A, 0, mass=mass, tol=1e-5, solver=solver)
        assert result.success
        assert truth.lower_bound <= result.certificate.upper
        assert result.lower_bound <= truth.certificate.upper


def test_true_suboptimality_never_exceeds_the_reported_gap():
    rng = np.random.default_rng(1)
    met = 0
    for trial in range(120):
        A = random_graph(rng, n=int(rng.integers(3, 20)), orders=6.0 * (trial % 2))
        labels = (rng.random(A.shape[0]) < 0.5).astype(int) if trial % 3 == 0 else None
        weight = 0.0 if trial % 6 == 0 else 0.05
        mass = float(rng.uniform(1, 40))
        options = {"labels": labels, "label_weight": weight}
        try:
            truth = flow_diffusion(A, 0, mass=mass, tol=1e-9, **options)
            result = flow_diffusion(A, 0, mass=mass, solver="sor", tol=1e-2, **options)
        except ValueError:
            continue
        met += 1
        proof = result.certificate
        assert proof.lower <= truth.certificate.upper * (1 + 1e-12)
        assert proof.upper >= truth.certificate.lower * (1 - 1e-12)
    assert met > 50


def test_the_gap_is_within_the_bands():
    for seed in range(5):
        A, _ = make_planted_cluster(400, 40, 0.3, 0.01, random_state=seed)
        result = flow_diffusion(A, 3, mass=1000, solver="sor")
        nodes, x = result.x.coords[0], result.x.data
        degree = np.diff(A.indptr)
        most = 2 * result.band * (degree[nodes] * x).sum()
        assert 0 <= result.gap <= most
        mass = result.mass
        assert (1 - 2 * result.band) * degree[nodes].sum() <= mass


def test_push_never_spreads_beyond_the_mass():
    A, _ = make_planted_cluster(400, 40, 0.3, 0.01, random_state=0)
    degree = np.diff(A.indptr)
    heights = []

    def watch(intermediate_result):
        x = np.zeros(400)
        x[intermediate_result.nodes] = intermediate_result.x
        heights.append(x)

    flow_diffusion(A, 3, mass=1500, solver="push", callback=watch)
    assert all(
        (b >= a - 1e-12).all() for a, b in zip(heights, heights[1:], strict=False)
    )
    assert all(0.98 * degree[x > 0].sum() <= 1500 for x in heights)


def test_numbering_does_not_matter_within_the_gap():
    order = np.random.default_rng(0).permutation(34)
    moved = csr_array(KARATE[order][:, order])
    a = flow_diffusion(KARATE, 0, mass=60)
    b = flow_diffusion(moved, int(np.argmax(order == 0)), mass=60)
    assert max(a.lower_bound, b.lower_bound) <= min(
        a.certificate.upper, b.certificate.upper
    )


def test_weights_in_other_units_divide_the_heights():
    a = flow_diffusion(KARATE, 0, mass=60)
    b = flow_diffusion(KARATE * 4.0, 0, mass=60)
    assert np.allclose(a.x.toarray(), 4 * b.x.toarray(), rtol=1e-12)


def test_labels_of_full_weight_are_no_labels():
    labels = np.arange(34) % 2
    a = flow_diffusion(KARATE, 0, mass=60)
    b = flow_diffusion(KARATE, 0, mass=60, labels=labels, label_weight=1.0)
    assert np.array_equal(a.x.toarray(), b.x.toarray())


def test_unknown_labels_and_probabilities():
    unknown = flow_diffusion(KARATE, 0, mass=60, labels=np.full(34, -1))
    plain = flow_diffusion(KARATE, 0, mass=60)
    assert np.allclose(unknown.x.toarray()[1:], plain.x.toarray()[1:])
    soft = np.linspace(0, 1, 34)
    result = flow_diffusion(KARATE, 0, mass=60, labels=soft)
    farkas.verify(result, KARATE, soft).check()
    s = soft.copy()
    s[0] = 1.0
    agree = np.outer(s, s) + np.outer(1 - s, 1 - s)
    by_hand = csr_array(KARATE.toarray() * (0.05 + 0.95 * agree))
    expected = flow_diffusion(by_hand, 0, mass=60)
    assert result.fun == pytest.approx(expected.fun, rel=1e-9)


def test_attributes_weight_edges():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((34, 3))
    square = ((X[:, None] - X) ** 2).sum(axis=2)
    by_hand = csr_array(KARATE.toarray() * np.exp(-0.3 * square))
    expected = flow_diffusion(by_hand, 0, mass=60, tol=1e-5)
    result = flow_diffusion(KARATE, 0, mass=60, attributes=X, gamma=0.3, tol=1e-5)
    assert result.fun == pytest.approx(expected.fun, rel=1e-9)
    farkas.verify(result, KARATE, None, X).check()
    assert not farkas.verify(result, KARATE, None, X[::-1])
    scaled = flow_diffusion(KARATE, 0, mass=60, attributes=X, gamma="scale")
    assert scaled.success


def test_components_do_not_mix():
    two = csr_array(block_diag([KARATE, KARATE]))
    a = flow_diffusion(KARATE, 0, mass=60)
    b = flow_diffusion(two, 0, mass=60)
    assert np.array_equal(b.x.toarray()[:34], a.x.toarray())
    assert b.x.coords[0].max() < 34


def test_work_does_not_depend_on_what_is_far_away():
    A, _ = make_planted_cluster(500, 50, 0.3, 0.01, random_state=0)
    B, _ = make_planted_cluster(5000, 50, 0.3, 0.001, random_state=1)
    far = csr_array(block_diag([A, B]))
    a, b = (flow_diffusion(G, 3, mass=1500) for G in (A, far))
    assert (a.work, a.n_touched) == (b.work, b.n_touched)


def test_several_masses_keep_the_smallest_conductance():
    masses = [20, 40, 60, 100]
    best = flow_diffusion(KARATE, 0, mass=masses)
    single = [flow_diffusion(KARATE, 0, mass=m).conductance for m in masses]
    assert best.conductance == pytest.approx(min(single))
    assert best.mass == masses[int(np.argmin(single))]
    assert flow_diffusion(KARATE, 0, mass=[60, 1e9]).mass == 60


def test_a_component_too_small_for_the_default_masses_is_the_cluster():
    two = csr_array(block_diag([KARATE, KARATE, KARATE]))
    result = flow_diffusion(two, 0)
    assert result.cluster.tolist() == list(range(34))
    assert result.conductance == 0
    farkas.verify(result, two).check()


def test_small_label_weights_leave_pushing_for_linear_systems():
    labels = (np.arange(8) < 4).astype(int)
    for weight in (1e-2, 1e-4, 1e-6):
        result = flow_diffusion(
            edges(BARBELL), 0, mass=20, labels=labels, label_weight=weight
        )
        assert result.success
        assert result.nit < 100_000


def test_rounding_rules():
    support = flow_diffusion(KARATE, 0, mass=60, rounding="support")
    assert np.array_equal(support.cluster, support.x.coords[0])
    cut = flow_diffusion(KARATE, 0, mass=60, rounding="threshold", threshold=1.0)
    assert np.array_equal(cut.cluster, cut.x.coords[0][cut.x.data >= 1.0])
    known = flow_diffusion(KARATE, 0, target_volume=40)
    assert known.mass == 100
    assert flow_diffusion(KARATE, 0, target_volume=40, rounding="support").mass == 60


def test_mass_that_the_seeds_hold_stays_there():
    result = flow_diffusion(KARATE, 0, mass=10)
    assert result.cluster.tolist() == [0]
    assert result.x.nnz == 0
    assert result.success


def test_limits_are_reported_and_the_bound_still_holds():
    result = flow_diffusion(KARATE, 0, mass=100, max_iter=1)
    assert result.status is Status.MAX_ITER
    assert result.certificate.upper == np.inf
    assert 0 < result.lower_bound <= 267.05
    farkas.verify(result, KARATE).check()


def test_interrupts_lose_nothing():
    def stop(intermediate_result):
        raise KeyboardInterrupt if intermediate_result.nit >= 3 else StopIteration

    def interrupt(intermediate_result):
        if intermediate_result.nit >= 3:
            raise KeyboardInterrupt

    result = flow_diffusion(KARATE, 0, mass=100, tol=1e-9, callback=interrupt)
    assert "Interrupted" in result.message
    assert result.nit > 0
    farkas.verify(result, KARATE).check()
    result = flow_diffusion(KARATE, 0, mass=100, callback=stop)
    assert result.status is Status.CALLBACK
    assert len(result.history["iteration"]) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mass": 1e6}, "exceeds the capacity"),
        ({"mass": -1.0}, "mass=-1.0"),
        ({"mass": np.nan}, "mass=nan"),
        ({"mass": []}, "mass must"),
        ({"target_volume": 0.0, "mass": None}, "target_volume=0.0"),
        ({"p": 1.5}, "p=1.5"),
        ({"omega": 2.0}, "omega=2.0"),
        ({"omega": 0.0}, "omega=0.0"),
        ({"tol": 0.0}, "tol=0.0"),
        ({"max_iter": 0}, "max_iter=0"),
        ({"solver": "newton"}, "solver='newton'"),
        ({"solver": "sor", "p": 3.0}, "p=2 only"),
        ({"rounding": "up"}, "rounding='up'"),
        ({"threshold": -1.0}, "threshold=-1.0"),
        ({"seeds": 34}, "0 to 33"),
        ({"seeds": -1}, "0 to 33"),
        ({"seeds": [1, 1]}, "twice"),
        ({"seeds": []}, "non-empty"),
        ({"seeds": [0, 1], "seed_weights": [1.0]}, "seed_weights must be 2"),
        ({"seed_weights": [-1.0]}, "seed_weights=-1.0"),
        ({"labels": np.ones(33)}, "34 nodes"),
        ({"labels": np.full(34, 2)}, "0, 1, -1"),
        ({"labels": np.array(["a"] * 34)}, "numbers"),
        ({"label_weight": 1.5}, "label_weight=1.5"),
        ({"unknown_weight": -0.5}, "unknown_weight=-0.5"),
        ({"gamma": 1.0}, "pass attributes"),
        ({"gamma": "auto", "attributes": np.ones((34, 1))}, '"scale"'),
        ({"gamma": -1.0, "attributes": np.ones((34, 1))}, "gamma=-1.0"),
        ({"gamma": 1.0, "attributes": np.ones((33, 1))}, "34 rows"),
        ({"sinks": "volume"}, '"degree", "unit"'),
        ({"sinks": np.ones(33)}, "34 nodes"),
        ({"sinks": np.full(34, -1.0)}, "nonnegative"),
    ],
)
def test_bad_input_is_named(changes, message):
    arguments = {"seeds": 0, "mass": 60.0} | changes
    with pytest.raises(ValueError, match=message):
        flow_diffusion(KARATE, arguments.pop("seeds"), **arguments)


def test_seeds_of_another_type_are_named():
    with pytest.raises(TypeError, match="integers"):
        flow_diffusion(KARATE, [0.0], mass=60)


@pytest.mark.parametrize("p", [2.0, 3.0])
def test_infeasible_mass_is_detected_and_never_pushed_for_ever(p):
    """A pair of nodes beside a big graph, alone and next to a second seed."""
    A = csr_array(block_diag([np.array([[0.0, 1.0], [1.0, 0.0]]), KARATE]))
    for seeds, mass in ((0, 5.0), ([0, 2], 6.0)):
        with pytest.raises(ValueError, match="exceeds the capacity"):
            flow_diffusion(A, seeds, mass=mass, p=p)
    assert flow_diffusion(A, 0, mass=1.8, p=p).success


def test_a_seed_that_cannot_pass_anything_on_is_an_error():
    A = csr_array(block_diag([np.zeros((1, 1)), KARATE]))
    with pytest.raises(ValueError, match="no edges"):
        flow_diffusion(A, 0, mass=1.0)
    labels = np.zeros(34, dtype=int)
    with pytest.raises(ValueError, match="label_weight > 0"):
        flow_diffusion(KARATE, 0, mass=60, labels=labels, label_weight=0.0)


def test_numbers_beyond_all_floats_are_an_error():
    path = csr_array(np.diag(np.full(4, 1e-200), 1) + np.diag(np.full(4, 1e-200), -1))
    with pytest.raises(ValueError, match="beyond all floats"):
        flow_diffusion(path, 0, mass=3e200, sinks=np.full(5, 1e200))


def test_labels_help_where_they_should():
    A, target = make_planted_cluster(2000, 100, 0.08, 0.004, random_state=0)
    labels = noisy_labels(target, 0.9, 0.95, random_state=0)

    def f1(cluster):
        found = np.zeros(2000, dtype=bool)
        found[cluster] = True
        return 2 * (found & target).sum() / (found.sum() + target.sum())

    masses = 100 * np.array([1.1, 1.6, 2.1, 3.1])
    both, alone = [], []
    for seed in range(5):
        options = {"sinks": "unit", "rounding": "support", "certificate": False}
        both.append(
            max(
                f1(flow_diffusion(A, seed, mass=m, labels=labels, **options).cluster)
                for m in masses
            )
        )
        alone.append(
            max(f1(flow_diffusion(A, seed, mass=m, **options).cluster) for m in masses)
        )
    assert np.mean(both) > max(np.mean(alone), f1(np.flatnonzero(labels))) + 0.05


def test_no_warning_on_ordinary_input():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flow_diffusion(KARATE, 0)


def test_linear_systems_follow_a_support_that_grows_node_by_node():
    path = edges([(i, i + 1) for i in range(300)])
    result = flow_diffusion(path, 0, mass=150, sinks="unit", tol=1e-7)
    assert result.success
    # Node k passes on what 149 - k full nodes beyond it hold.
    heights = np.cumsum(np.arange(150))[::-1]
    assert np.allclose(result.x.toarray()[:150], heights, rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize("solver", ["auto", "push"])
def test_heights_beyond_the_spacing_of_one_do_not_push_for_ever(solver):
    # Heights of 1e20: adding one to them, to bracket a step, changes nothing.
    weak = csr_array(1e-3 * (np.eye(4, k=1) + np.eye(4, k=-1)))
    result = flow_diffusion(weak, 0, mass=5, p=7, tol=1e-2, solver=solver, max_iter=12)
    assert result.x.max() > 2.0**53
    farkas.verify(result, weak).check()
