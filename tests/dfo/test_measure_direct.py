"""The measure of a direct search's poll: closed forms, and every way to forge one."""

import dataclasses
import math

import numpy as np
import pytest

import farkas
from dfo._measure_poll_set import cosine_measure, displaced
from dfo.direct.directions import cosine_measure_of, positive_spanning_set, unit_vector
from farkas.certificate import CertificateError
from farkas.testing import tampered, widened

CROSS = np.vstack([np.eye(2), -np.eye(2)])


def paraboloid(x):
    return float((x[0] ** 2 + 4 * x[1] ** 2) / 2)


def value(fun, x):
    try:
        v = float(fun(x))
    except ArithmeticError:
        return math.inf
    return math.inf if math.isnan(v) else v


def witness_of(fun, center, directions, steps, **changes):
    center = np.asarray(center, dtype=float)
    n = len(center)
    w = {
        "center": center,
        "directions": np.asarray(directions, dtype=float),
        "steps": np.broadcast_to(steps, len(directions)).astype(float),
        "scale": np.ones(n),
    }
    w.update(changes)
    moves = w["steps"][:, None] * (w["scale"] * w["directions"])
    lower, upper = w.get("lower", -np.inf), w.get("upper", np.inf)
    points = displaced(center, moves, lower, upper)
    w.setdefault("values", np.array([value(fun, x) for x in [center, *points]]))
    return w


def mint(fun, w, *more, tolerance=0.2, key="dfo.direct_poll/1", **parameters):
    return farkas.certify(key, (fun, *more), w, parameters, tolerance=tolerance)


def test_worked_case():
    w = witness_of(paraboloid, [0.01, -0.005], CROSS, 0.1)
    certificate = mint(paraboloid, w)
    r = certificate.residuals
    assert sorted(w["values"][1:]) == pytest.approx([0.0041, 0.0061, 0.0181, 0.0221])
    assert certificate.value == 0.1
    assert certificate.upper == pytest.approx(1e-4)
    assert r["lipschitz_estimate"] == pytest.approx(4)
    assert r["gradient_norm"] == pytest.approx(math.hypot(0.01, 0.02))
    assert r["stationarity_bound"] == pytest.approx(math.sqrt(2) * 4 * 0.1 / 2)
    assert r["cosine_measure"] == pytest.approx(1 / math.sqrt(2))
    farkas.verify(certificate, paraboloid).check()
    assert not farkas.verify(certificate, lambda x: paraboloid(x) + 1e-3)


def test_no_forgery_verifies_by_arithmetic():
    w = witness_of(paraboloid, [0.01, -0.005], CROSS, 0.1)
    certificate = mint(paraboloid, w)
    farkas.verify(widened(certificate), paraboloid).check()
    accepted = [
        name
        for name, forged, data in tampered(certificate, (paraboloid,))
        if farkas.verify(forged, *data)
    ]
    assert accepted == []


@pytest.mark.parametrize("lost", range(4))
def test_a_lost_direction_voids_the_poll(lost):
    directions = np.delete(CROSS, lost, axis=0)
    w = witness_of(paraboloid, [0.0, 0.0], directions, 0.1)
    assert mint(paraboloid, w).value == math.inf


def test_a_better_point_voids_the_poll():
    w = witness_of(paraboloid, [0.3, 0.0], CROSS, 0.1)
    certificate = mint(paraboloid, w)
    assert certificate.value == math.inf
    assert certificate.residuals["poll_decrease"] == pytest.approx(0.025)
    assert math.isnan(certificate.residuals["stationarity_bound"])


def test_forcing_admits_a_small_decrease():
    w = witness_of(paraboloid, [0.051, 0.0], CROSS, 0.1)
    assert mint(paraboloid, w).value == math.inf
    certificate = mint(paraboloid, w, forcing=0.1)
    assert certificate.value == 0.1
    bound = certificate.residuals["stationarity_bound"]
    decrease = (0.051**2 - 0.049**2) / 2
    assert bound == pytest.approx(math.sqrt(2) * (0.2 + decrease / 0.1 + 0.1 * 0.1))


def test_a_bound_excuses_what_lies_outside():
    box = {"lower": np.zeros(2), "upper": np.full(2, np.inf)}
    w = witness_of(lambda x: x.sum(), [0.0, 0.0], np.eye(2), 0.1, **box)
    certificate = mint(lambda x: x.sum(), w)
    assert certificate.value == 0.1
    assert certificate.residuals["cosine_measure"] == pytest.approx(1 / math.sqrt(2))
    off = witness_of(lambda x: x.sum(), [1e-3, 0.0], np.eye(2), 0.1, **box)
    assert mint(lambda x: x.sum(), off).value == math.inf


def test_a_clipped_rotated_direction_is_bent():
    box = {"lower": np.full(2, -0.05), "upper": np.full(2, 1.0)}
    H = positive_spanning_set("2n", np.array([0.6, 0.8]))
    w = witness_of(paraboloid, [0.0, 0.0], H, 0.5, **box)
    certificate = mint(paraboloid, w)
    assert math.isnan(certificate.residuals["stationarity_bound"])


def test_rows_far_away_excuse_nothing():
    def slope(x):
        return float(x[0])

    rows = {"rows": np.array([[-1.0, 0.0]]), "active": np.array([0])}
    directions = np.array([[0.0, 1.0], [0.0, -1.0], [1.0, 0.0]])
    near = witness_of(slope, [0, 0], directions, 0.1, limits=np.array([0.0]), **rows)
    assert mint(slope, near).value == 0.1
    far = witness_of(slope, [0, 0], directions, 0.1, limits=np.array([0.2]), **rows)
    assert mint(slope, far).value == math.inf


def test_points_outside_the_rows_do_not_count():
    rows = {
        "rows": np.array([[1.0, 0.0]]),
        "limits": np.array([0.0]),
        "active": np.empty(0, dtype=np.int64),
    }
    w = witness_of(lambda x: float(-x[0]), [0, 0], CROSS, 0.1, **rows)
    certificate = mint(lambda x: float(-x[0]), w)
    assert certificate.value == math.inf  # the direction across the row is not polled
    assert certificate.residuals["infeasible_poll_points"] == 1


def test_neighbours_on_a_grid_have_size_zero():
    grid = {"grid": np.ones(2), "origin": np.zeros(2)}
    w = witness_of(paraboloid, [0, 0], CROSS, 1.0, **grid)
    assert mint(paraboloid, w).value == 0.0
    w = witness_of(paraboloid, [0, 0], CROSS, 2.0, **grid)
    assert mint(paraboloid, w).value == math.inf  # those are no neighbours
    w = witness_of(paraboloid, [0.5, 0], CROSS, 1.0, **grid)
    with pytest.raises(CertificateError, match="grid"):
        mint(paraboloid, w)


def test_failures_at_poll_points_bound_nothing():
    def fails(x):
        if x[0] > 0.05:
            raise ZeroDivisionError
        return paraboloid(x)

    w = witness_of(fails, [0, 0], CROSS, 0.1)
    certificate = mint(fails, w)
    assert certificate.value == 0.1
    assert certificate.residuals["undefined_poll_points"] == 1
    assert math.isnan(certificate.residuals["stationarity_bound"])
    farkas.verify(certificate, fails).check()


def test_an_infeasible_center_proves_nothing():
    def violation(x):
        return max(0.0, float(x[0]))

    key = "dfo.direct_constrained_poll/1"
    for x, expected in ((0.0, 0.1), (0.01, math.inf)):
        w = witness_of(paraboloid, [x, 0.0], CROSS, 0.1)
        points = np.vstack([w["center"], w["center"] + 0.1 * CROSS])
        w["violations"] = np.array([violation(p) for p in points])
        assert mint(paraboloid, w, violation, key=key).value == expected


@pytest.mark.parametrize("kind", ["n+1", "simplex"])
@pytest.mark.parametrize("n", [2, 3, 7])
def test_cosine_measures_have_their_closed_forms(kind, n):
    v = unit_vector(n, np.random.default_rng(n))
    directions = positive_spanning_set(kind, v)
    assert cosine_measure(directions) == pytest.approx(cosine_measure_of(kind, n))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("center", np.array([np.nan, 0.0])),
        ("center", np.zeros((1, 2))),
        ("directions", np.eye(3)),
        ("directions", 2 * CROSS),
        ("steps", -np.ones(4)),
        ("steps", np.ones(1)),
        ("scale", np.zeros(2)),
        ("scale", np.ones(1)),
        ("lower", np.ones(2)),
        ("values", np.zeros(4)),
        ("values", np.zeros(5)),
        ("rows", np.ones((1, 2))),
        ("grid", -np.ones(2)),
    ],
)
def test_malformed_witnesses_are_refused(name, change):
    w = witness_of(paraboloid, [0.01, -0.005], CROSS, 0.1)
    with pytest.raises(CertificateError):
        mint(paraboloid, {**w, name: change})


def test_overflow_is_no_proof():
    w = witness_of(paraboloid, [0.0, 0.0], CROSS, 0.1)
    huge = {**w, "steps": np.full(4, 1e300), "scale": np.full(2, 1e300)}
    with pytest.raises(CertificateError, match="floats"):
        mint(paraboloid, huge)
    lost = {**w, "steps": np.full(4, 1e-30), "center": np.ones(2)}
    lost["values"] = np.full(5, paraboloid(np.ones(2)))
    assert mint(paraboloid, lost).value == math.inf


def test_a_wrong_lower_bound_is_refused():
    w = witness_of(paraboloid, [0.01, -0.005], CROSS, 0.1)
    assert mint(paraboloid, w, lower_bound=0.0).residuals["gap"] == pytest.approx(1e-4)
    with pytest.raises(CertificateError, match="lower_bound"):
        mint(paraboloid, w, lower_bound=1.0)
    edited = dataclasses.replace(mint(paraboloid, w), lower=0.0)
    assert not farkas.verify(edited, paraboloid)
