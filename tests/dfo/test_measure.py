"""The poll-set measure against closed forms, and against every forgery of one."""

import dataclasses
import math

import numpy as np
import pytest
from scipy.stats import binomtest

import farkas
from dfo._measure import box_scale, poll_points, positively_spans
from dfo._measure_consensus import clopper_pearson, gibbs_weights, laplace_gap
from farkas.certificate import CertificateError, Guarantee
from farkas.testing import tampered, widened


def paraboloid(x):
    return float((x[0] ** 2 + 4 * x[1] ** 2) / 2)


def coordinate_witness(fun, center, steps, **extra):
    center = np.asarray(center, dtype=float)
    n = len(center)
    directions = np.vstack([np.vstack([np.eye(n), -np.eye(n)]) for _ in steps])
    witness = {
        "center": center,
        "directions": directions,
        "steps": np.repeat(steps, 2 * n).astype(float),
        "poll": np.repeat(np.arange(len(steps)), 2 * n),
        **extra,
    }
    witness["values"] = np.array([fun(x) for x in poll_points(witness)], dtype=float)
    return witness


def mint(
    fun, witness, tolerance=1e-3, problem="dfo.poll_set/1", data=None, **parameters
):
    return farkas.certify(
        problem, (fun, *(data or ())), witness, parameters, tolerance=tolerance
    )


# The worked case: all four points fail at h = 0.1.
def worked(**extra):
    return coordinate_witness(
        paraboloid, [0.01, -0.005], [0.1], scale=np.ones(2), **extra
    )


def test_worked_case():
    witness = worked()
    assert sorted(witness["values"][1:]) == pytest.approx(
        [0.0041, 0.0061, 0.0181, 0.0221]
    )
    certificate = mint(paraboloid, witness, tolerance=0.2)
    assert certificate.value == pytest.approx(0.1)
    assert certificate.upper == pytest.approx(1e-4)
    assert certificate.guarantee is Guarantee.LOCAL
    assert certificate.satisfied
    farkas.verify(certificate, paraboloid).check()
    assert not farkas.verify(certificate, lambda x: -paraboloid(x))


def test_a_better_point_leaves_nothing_to_claim():
    witness = coordinate_witness(paraboloid, [0.3, 0.0], [0.1], scale=np.ones(2))
    certificate = mint(paraboloid, witness)
    assert certificate.value == math.inf
    assert not certificate.satisfied
    assert certificate.residuals["poll_decrease"] == pytest.approx((0.09 - 0.04) / 2)


def test_the_smallest_failing_poll_is_the_value():
    witness = coordinate_witness(
        paraboloid, [0.01, -0.005], [0.1, 1e-9], scale=np.ones(2)
    )
    assert mint(paraboloid, witness).value == pytest.approx(0.1)  # 1e-9 finds descent
    at_zero = coordinate_witness(paraboloid, [0.0, 0.0], [0.1, 1e-9], scale=np.ones(2))
    certificate = mint(paraboloid, at_zero)
    assert certificate.value == pytest.approx(1e-9)
    assert certificate.residuals["coarse_poll_size"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("center", "value"), [([0.0, 0.5], 0.1), ([0.5, 0.5], math.inf)]
)
def test_active_bounds_need_no_poll_outside(center, value):
    def fun(x):
        return float(x[0] + (x[1] - 0.5) ** 2)

    box = {"lower": np.zeros(2), "upper": np.ones(2)}
    witness = coordinate_witness(fun, center, [0.1], **box)
    assert mint(fun, witness).value == pytest.approx(value)
    assert poll_points(witness).min() >= 0


def test_clipped_steps_count_with_their_length():
    def fun(x):
        return abs(x[0] - 0.99)

    witness = coordinate_witness(
        fun, [0.99], [0.1], lower=np.zeros(1), upper=np.ones(1)
    )
    assert poll_points(witness)[:, 0] == pytest.approx([0.99, 1.0, 0.89])
    assert mint(fun, witness).value == pytest.approx(0.1)


def test_an_incomplete_poll_claims_nothing():
    full = worked()
    for rows in ([0, 1, 2], [0, 1], [0, 2]):
        part = dict(full)
        part["directions"] = full["directions"][rows]
        part["steps"], part["poll"] = full["steps"][rows], full["poll"][rows]
        part["values"] = full["values"][[0, *[r + 1 for r in rows]]]
        assert mint(paraboloid, part).value == math.inf


def test_points_that_round_to_the_center_are_no_poll():
    witness = coordinate_witness(paraboloid, [3.0, 4.0], [1e-18], scale=np.ones(2))
    assert mint(paraboloid, witness).value == math.inf


def test_spanning_by_a_simplex_and_by_rotated_axes():
    center, free = np.zeros(2), np.full(2, math.inf)
    angles = np.array([90.0, 210.0, 330.0]) * np.pi / 180
    simplex = np.column_stack([np.cos(angles), np.sin(angles)])
    assert positively_spans(simplex, center, -free, free)
    assert not positively_spans(simplex[:2], center, -free, free)
    assert not positively_spans(np.empty((0, 2)), center, -free, free)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]
    both = np.vstack([rotation, -rotation])
    free = np.full(5, math.inf)
    assert positively_spans(both, np.zeros(5), -free, free)
    assert not positively_spans(both[:-1], np.zeros(5), -free, free)


def test_scale_of_unbounded_and_infinite_boxes():
    center = np.array([0.0, 50.0, 0.0])
    lower = np.array([-1.0, -math.inf, -1.7e308])
    upper = np.array([3.0, math.inf, 1.7e308])
    assert box_scale(center, lower, upper) == pytest.approx([4, 50, 1])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_center_without_a_value_claims_nothing(bad):
    def fun(x):
        return bad if not x.any() else 1.0

    witness = coordinate_witness(fun, [0.0, 0.0], [0.1])
    certificate = mint(fun, witness)
    assert certificate.value == math.inf
    assert certificate.upper == math.inf


def test_points_without_a_value_are_not_better_but_counted():
    def fun(x):
        return math.nan if x[0] < -0.05 else float(x @ x)

    certificate = mint(fun, coordinate_witness(fun, [0.0, 0.0], [0.1]))
    assert certificate.value == pytest.approx(0.1)
    assert certificate.residuals["undefined_poll_points"] == 1


def test_minus_infinity_at_a_poll_point_is_better():
    def fun(x):
        return -math.inf if x[0] > 0 else float(x @ x)

    certificate = mint(fun, coordinate_witness(fun, [0.0, 0.0], [0.1]))
    assert certificate.value == math.inf


def test_huge_values_do_not_overflow_into_a_claim():
    def fun(x):
        return 1.7e308 * float(np.sign(-x[0]))

    certificate = mint(
        fun, coordinate_witness(fun, [-1.0, 0.0], [1.5], scale=np.ones(2))
    )
    assert certificate.value == math.inf


def test_rounding_of_the_objective_is_no_decrease():
    def fun(x):
        return 1.0 - 3e-16 * float(x[0] > 0)

    assert mint(fun, coordinate_witness(fun, [0.0], [0.1])).value == pytest.approx(0.1)

    def lower(x):
        return 1.0 - 3e-15 * float(x[0] > 0)

    assert mint(lower, coordinate_witness(lower, [0.0], [0.1])).value == math.inf


def test_forcing_allows_a_stated_decrease():
    def fun(x):
        return -0.5e-2 * float(x[0] > 0)

    witness = coordinate_witness(fun, [0.0], [0.1], scale=np.ones(1))
    assert mint(fun, witness).value == math.inf
    assert mint(fun, witness, forcing=1.0).value == pytest.approx(0.1)
    with pytest.raises(CertificateError, match="forcing"):
        mint(fun, witness, forcing=-1.0)


def test_lower_bound_is_the_users_and_must_not_contradict():
    certificate = mint(paraboloid, worked(), lower_bound=0.0)
    assert certificate.lower == 0
    assert certificate.residuals["gap"] == pytest.approx(1e-4)
    assert any("user" in text for text in certificate.assumptions)
    with pytest.raises(CertificateError, match="contradicts"):
        mint(paraboloid, worked(), lower_bound=1.0)


def test_constraints_hide_better_points_and_refuse_infeasible_centers():
    def fun(x):
        return float(x[0] + x[1])

    def violation(x):
        return max(0.0, 1.0 - float(x.sum()))

    def made(center):
        witness = coordinate_witness(fun, center, [0.1], scale=np.ones(2))
        seen = [violation(x) for x in poll_points(witness)]
        return {**witness, "violations": np.array(seen)}

    key = "dfo.constrained_poll_set/1"
    good = mint(fun, made([0.5, 0.5]), problem=key, data=(violation,), feasibility=1e-8)
    assert good.value == pytest.approx(0.1)
    assert good.residuals["undefined_poll_points"] == 2
    farkas.verify(good, fun, violation).check()
    assert not farkas.verify(good, fun, lambda x: 0.0)
    bad = mint(fun, made([0.4, 0.5]), problem=key, data=(violation,), feasibility=1e-8)
    assert bad.value == math.inf
    assert bad.upper == math.inf


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"center": np.array([math.nan, 0.0])}, "center"),
        ({"center": np.zeros((1, 2))}, "center"),
        ({"steps": np.full(4, -0.1)}, "steps"),
        ({"steps": np.full((4, 1), 0.1)}, "steps"),
        ({"steps": np.full(4, 1e308), "scale": np.full(2, 1e10)}, "leave"),
        ({"directions": 2 * np.vstack([np.eye(2), -np.eye(2)])}, "length 1"),
        ({"directions": np.eye(2)}, "directions"),
        ({"scale": np.array([0.0, 1.0])}, "scale"),
        ({"scale": np.ones(1)}, "scale"),
        ({"values": np.zeros(1)}, "values"),
        ({"values": np.zeros(5)}, "values"),
        ({"poll": np.zeros(3, dtype=int)}, "poll"),
        ({"poll": np.zeros(4)}, "poll"),
        ({"lower": np.ones(2)}, "center"),
        ({"lower": np.ones(2), "upper": np.zeros(2)}, "lower"),
        ({"lower": np.zeros(3)}, "lower"),
        ({"consensus": np.zeros(3)}, "consensus"),
    ],
)
def test_malformed_witnesses_prove_nothing(changes, match):
    with pytest.raises(CertificateError, match=match):
        mint(paraboloid, {**worked(), **changes})


@pytest.mark.parametrize("fun", [3.0, lambda x: np.zeros(2), lambda x: "a"])
def test_what_is_no_objective_is_refused(fun):
    certificate = mint(paraboloid, worked())
    assert not farkas.verify(certificate, fun)


def test_vectorised_objectives_are_called_once_with_copies():
    calls = []

    def fun(X):
        calls.append(X.shape)
        values = np.sum(X**2, axis=1)
        X[:] = 7.0
        return values

    witness = coordinate_witness(lambda x: float(x @ x), [0.0, 0.0], [0.1])
    certificate = mint(fun, witness, vectorized=True)
    assert calls == [(5, 2)]
    assert certificate.value == pytest.approx(0.1)
    assert not farkas.verify(certificate, lambda X: np.zeros((len(X), 1)))


def full_certificate():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(8, 2))
    f = np.array([paraboloid(x) for x in X])
    c = gibbs_weights(f, 5.0) @ X
    witness = worked(
        population=X,
        population_values=f,
        consensus=c,
        run_values=np.array([0.5, 1e-4, 2e-4, 0.7]),
        variance=np.exp(-0.2 * np.arange(30)),
    )
    return mint(
        paraboloid,
        witness,
        alpha=5.0,
        hit_tolerance=1e-3,
        runs_comparable=True,
        run_scope="runs of one size",
        lam=8.0,
        sigma=4.11096,
        dt=0.1,
        noise="anisotropic",
    )


def test_residuals_of_population_and_runs():
    certificate = full_certificate()
    found = certificate.residuals
    assert found["improvement_probability"] == pytest.approx(0.2)
    assert found["hits"] == 2
    exact = binomtest(2, 4).proportion_ci(0.95, method="exact")
    assert found["hit_rate_low"] == pytest.approx(exact.low)
    assert found["hit_rate_high"] == pytest.approx(exact.high)
    assert found["laplace_gap"] <= found["laplace_bound"]
    assert found["decay_rate"] == pytest.approx(2.0)
    assert found["mean_square_factor"] == pytest.approx(1.73, rel=1e-4)
    assert found["as_rate"] > 0
    offsets = certificate.witness["population"] - certificate.witness["consensus"]
    assert found["radius"] == np.abs(offsets).max()
    assert found["V"] == pytest.approx((offsets**2).sum() / 16)


def test_no_forgery_verifies():
    certificate = full_certificate()
    farkas.verify(certificate, paraboloid).check()
    forgeries = list(tampered(certificate, (paraboloid,)))
    accepted = [n for n, forged, data in forgeries if farkas.verify(forged, *data)]
    assert accepted == []
    assert len(forgeries) > 100
    farkas.verify(widened(certificate), paraboloid).check()


def test_a_smaller_claim_by_smaller_steps_must_really_fail():
    witness = coordinate_witness(paraboloid, [0.01, 0.0], [0.1], scale=np.ones(2))
    certificate = mint(paraboloid, witness)
    finer = {**witness, "steps": np.full(4, 1e-3)}
    finer["values"] = np.array([paraboloid(x) for x in poll_points(finer)])
    forged = dataclasses.replace(certificate, witness=finer, value=1e-3, seal="")
    assert not farkas.verify(forged, paraboloid)


def test_runs_that_chose_their_own_end_give_no_probability():
    witness = worked(run_values=np.array([1.0, 2.0]))
    found = mint(
        paraboloid, witness, hit_tolerance=0.0, runs_comparable=False
    ).residuals
    assert math.isnan(found["improvement_probability"])
    assert math.isnan(found["hit_rate_low"])


def test_clopper_pearson_at_its_ends():
    for hits, runs in ((0, 7), (7, 7), (3, 7)):
        exact = binomtest(hits, runs).proportion_ci(0.95, method="exact")
        assert clopper_pearson(hits, runs) == pytest.approx((exact.low, exact.high))


@pytest.mark.parametrize("alpha", [0.0, 1e-9, 1.0, 50.0, 1e15, math.inf])
def test_laplace_bound_holds_for_every_sample(alpha):
    rng = np.random.default_rng(3)
    for scale in (1e-300, 1.0, 1e300):
        values = scale * rng.normal(size=50)
        weights = gibbs_weights(values, alpha)
        gap, bound = laplace_gap(values, weights, alpha)
        assert 0 <= gap <= bound
        assert weights.sum() == pytest.approx(1)


def test_a_run_that_was_better_contradicts_the_certificate():
    witness = worked(run_values=np.array([1.0, 1e-5]))
    with pytest.raises(CertificateError, match="better"):
        mint(paraboloid, witness, hit_tolerance=0.0, runs_comparable=True)
