"""The measure of the sampled convex program against exact arithmetic and forgeries."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import farkas
from convexnn import solve_scp
from convexnn._measure_losses import LOSSES
from farkas import CertificateError, Guarantee
from farkas.testing import tampered

PARAMETERS = {"alpha": 1.0, "loss": "squared", "encoding": "none", "intercept": 0.0}

# Interior point answers must be much more accurate than what they judge.
TIGHT = {"tol_gap_abs": 1e-11, "tol_gap_rel": 1e-11, "tol_feas": 1e-11}

# Directions whose lengths are integers, so that exact arithmetic can follow.
TRIPLES = np.array([[3, 4], [-5, 12], [8, -15], [-1, 0], [0, 2]], dtype=float).T


def mint(X, y, gates, coef, theta, **parameters):
    witness = {"gates": gates, "coef": coef, "theta": theta}
    return farkas.certify(
        "convexnn.scp/1", (X, y), witness, PARAMETERS | parameters, tolerance=1e-4
    )


def exact_features(X, gates):
    """Features as fractions, a list for each unit."""
    rows = []
    for gate in gates.T:
        length = math.isqrt(int(gate @ gate))
        assert length**2 == gate @ gate
        products = [sum(Fraction(a) * Fraction(b) for a, b in zip(x, gate, strict=True))
                    for x in X]  # fmt: skip
        rows.append([max(p, 0) / length for p in products])
    return rows


def exact_objective(X, y, gates, coef, alpha):
    z = [Fraction(0)] * len(X)
    for feature, c in zip(exact_features(X, gates), coef, strict=True):
        z = [a + Fraction(c) * f for a, f in zip(z, feature, strict=True)]
    loss = sum((a - Fraction(b)) ** 2 for a, b in zip(z, y, strict=True)) / 2
    return loss + Fraction(alpha) * sum(abs(Fraction(c)) for c in coef)


def test_one_sample_in_closed_form():
    # f = 5, so that min (5 a - 2)^2 / 2 + a is at a = 0.36 with value 0.38.
    X, y = np.array([[3.0, 4.0]]), np.array([2.0])
    made = mint(X, y, np.array([[3.0], [4.0]]), [0.36], [0.2])
    assert made.lower == pytest.approx(0.38, abs=1e-13)
    assert made.upper == pytest.approx(0.38, abs=1e-13)
    assert made.lower <= 0.38 <= made.upper
    assert made.guarantee is Guarantee.GLOBAL
    assert made.scale == 2.0
    assert made.residuals["dual_norm"] == pytest.approx(1.0)


def test_an_infeasible_theta_is_scaled():
    X, y = np.array([[3.0, 4.0]]), np.array([2.0])
    made = mint(X, y, np.array([[3.0], [4.0]]), [0.0], [200.0])
    assert made.lower == pytest.approx(0.38, abs=1e-12)
    assert made.upper == 2.0 * (1 + 4 * np.finfo(float).eps)
    assert made.residuals["dual_norm"] == pytest.approx(1000.0)


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge"])
def test_bounds_contain_the_optimum_of_cvxpy(loss):
    cp = pytest.importorskip("cvxpy")
    rng = np.random.default_rng(5)
    X, gates = rng.standard_normal((12, 3)), rng.standard_normal((3, 15))
    y = np.where(rng.standard_normal(12) > 0, 1.0, -1.0)
    F = np.maximum(X @ (gates / np.linalg.norm(gates, axis=0)), 0)
    a = cp.Variable(15)
    losses = {
        "squared": 0.5 * cp.sum_squares(F @ a - y),
        "logistic": cp.sum(cp.logistic(-cp.multiply(y, F @ a))),
        "hinge": cp.sum(cp.pos(1 - cp.multiply(y, F @ a))),
    }
    optimum = cp.Problem(cp.Minimize(losses[loss] + 0.3 * cp.norm1(a))).solve(
        cp.CLARABEL, **TIGHT
    )
    theta = LOSSES[loss].theta(F @ a.value, y)
    made = mint(X, y, gates, a.value, theta, loss=loss, alpha=0.3)
    assert made.lower <= optimum + 1e-8
    assert made.upper == pytest.approx(optimum, rel=1e-7)
    for seed in range(20):  # any coefficients and any theta give valid bounds
        rng = np.random.default_rng(seed)
        coef = rng.standard_normal(15) * (rng.random(15) < 0.3)
        theta = LOSSES[loss].project(rng.standard_normal(12), y)
        made = mint(X, y, gates, coef, theta, loss=loss, alpha=0.3)
        assert made.lower <= optimum + 1e-8
        assert made.upper >= optimum - 1e-8


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**31),
    st.sampled_from([1.0, 1e-8, 1e8, 2.0**60]),
    st.sampled_from([1.0, 1e6, 1e16]),
)
@example(1, 2.0**60, 1e16)
def test_upper_is_never_below_the_exact_objective(seed, size, cancelling):
    rng = np.random.default_rng(seed)
    X, y = size * rng.standard_normal((4, 2)), rng.standard_normal(4)
    gates = np.concatenate([TRIPLES, TRIPLES], axis=1)
    coef = cancelling * rng.standard_normal(5)
    coef = np.concatenate([coef, -coef + rng.standard_normal(5)]) / size
    made = mint(X, y, gates, coef, np.zeros(4), alpha=0.5)
    exact = exact_objective(X, y, gates, coef, 0.5)
    if math.isfinite(made.upper):
        assert Fraction(made.upper) >= exact
    if cancelling == 1.0:
        assert made.upper == pytest.approx(float(exact), rel=1e-9)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**31), st.sampled_from([1.0, 1e7, 1e15]))
def test_theta_is_feasible_in_exact_arithmetic(seed, cancelling):
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((6, 2)), rng.standard_normal(6)
    X[3:] = X[:3] * (1 + 1e-9 * rng.standard_normal((3, 1)))
    theta = cancelling * rng.standard_normal(6)
    theta[3:] = -theta[:3] + rng.standard_normal(3)
    made = mint(X, y, TRIPLES, np.zeros(5), theta)
    largest = max(
        abs(sum(Fraction(t) * f for t, f in zip(theta, feature, strict=True)))
        for feature in exact_features(X, TRIPLES)
    )
    assert Fraction(made.residuals["dual_norm"]) >= largest


def test_the_length_of_a_direction_does_not_count():
    rng = np.random.default_rng(0)
    X, y, gates = rng.random((8, 3)), rng.random(8), rng.standard_normal((3, 6))
    coef, theta = rng.standard_normal(6), rng.standard_normal(8)
    one = mint(X, y, gates, coef, theta)
    other = mint(X, y, gates * 2.0 ** np.arange(-900, 900, 300), coef, theta)
    assert (one.lower, one.upper) == (other.lower, other.upper)


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge"])
@pytest.mark.parametrize("alpha", [0.3, 100.0])
def test_no_forgery_verifies(loss, alpha):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((15, 3))
    y = np.where(rng.standard_normal(15) > 0, 1.0, -1.0)
    result = solve_scp(X, y, 30, alpha=alpha, loss=loss, random_state=0)
    farkas.verify(result, X, y).check()
    accepted = [
        name
        for name, forged, data in tampered(result.certificate, (X, y))
        # With all coefficients zero, other directions prove the zero network as well.
        if farkas.verify(forged, *data) and not (alpha == 100.0 and "gates" in name)
    ]
    assert accepted == []


def test_several_outputs_add_up():
    rng = np.random.default_rng(2)
    X, Y, gates = rng.random((9, 2)), rng.random((9, 3)), rng.standard_normal((2, 7))
    coef, theta = rng.standard_normal((3, 7)), rng.standard_normal((9, 3))
    whole = mint(X, Y, gates, coef, theta)
    parts = [mint(X, Y[:, c], gates, coef[c], theta[:, c]) for c in range(3)]
    for name in ("lower", "upper", "scale"):
        total = sum(getattr(part, name) for part in parts)
        assert getattr(whole, name) == pytest.approx(total, rel=1e-12)


GOOD = {
    "gates": np.array([[1.0, 0.5], [0.0, 1.0]]),
    "coef": np.array([0.1, 0.0]),
    "theta": np.array([0.2, 0.1, 0.3]),
}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"gates": np.ones((3, 2))}, "gates must have shape"),
        ({"gates": np.ones(2)}, "gates must have shape"),
        ({"gates": np.ones((2, 0)), "coef": np.ones(0)}, "gates must have shape"),
        ({"gates": np.array([[1.0, 0.0], [1.0, 0.0]])}, "nonzero"),
        ({"gates": np.array([[1.0, np.nan], [1.0, 0.0]])}, "finite"),
        ({"coef": np.ones(3)}, "coef must have shape"),
        ({"coef": np.ones((2, 1))}, "coef must have shape"),
        ({"coef": np.ones(1)}, "coef must have shape"),
        ({"coef": np.array([np.inf, 0.0])}, "coef must be finite"),
        ({"theta": np.ones(1)}, "theta must have shape"),
        ({"theta": np.ones((1, 3))}, "theta must have shape"),
        ({"theta": np.array([np.nan, 0.0, 0.0])}, "theta must be finite"),
        ({"theta": np.full(3, 1e308)}, "overflow"),
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": -1.0}, "alpha"),
        ({"alpha": math.nan}, "alpha"),
        ({"loss": "hinge", "theta": np.full(3, 2.0)}, "domain"),
        ({"loss": "hinge", "y": np.array([1.0, -1.0, 0.5])}, "-1 or"),
        ({"y": np.full(3, 1e200)}, "exceeds all floats"),
        ({"y": np.array([1.0, np.nan, 0.5])}, "finite"),
        ({"y": np.ones(2)}, "rows"),
        ({"X": np.ones(3)}, "2-dimensional"),
        ({"X": np.full((3, 2), np.inf)}, "finite"),
        ({"encoding": "ranks"}, "encoding"),
    ],
)
def test_a_malformed_witness_is_refused(change, why):
    change = dict(change)
    data = {"X": np.ones((3, 2)), "y": np.array([1.0, -1.0, 1.0])}
    data = {name: change.pop(name, value) for name, value in data.items()}
    witness = {name: change.pop(name, value) for name, value in GOOD.items()}
    with np.errstate(all="ignore"), pytest.raises(CertificateError, match=why):
        mint(*data.values(), *witness.values(), **change)


def test_a_prediction_that_overflows_claims_nothing():
    X, y = np.full((2, 2), 1e200), np.array([1.0, 2.0])
    with np.errstate(all="ignore"):
        made = mint(X, y, np.ones((2, 1)), [1e100], [0.0, 0.0])
    assert made.upper == made.value == math.inf


def test_features_in_chunks_are_the_same(monkeypatch):
    rng = np.random.default_rng(4)
    X, y, gates = rng.random((9, 2)), rng.random(9), rng.standard_normal((2, 50))
    coef, theta = rng.standard_normal(50), rng.standard_normal(9)
    whole = mint(X, y, gates, coef, theta)
    monkeypatch.setattr("convexnn._measure_scp.CHUNK", 60)
    parts = mint(X, y, gates, coef, theta)
    assert parts.upper == pytest.approx(whole.upper, rel=1e-13)
    assert parts.lower == pytest.approx(whole.lower, rel=1e-13)
