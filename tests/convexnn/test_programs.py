"""The two solver functions against closed forms, cvxpy and hostile input."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import farkas
from convexnn import (
    enumerate_patterns,
    reference_cvxpy,
    sample_patterns,
    solve_gated,
    solve_relu,
)
from convexnn._measure_losses import LOSSES
from convexnn.patterns import PatternSet
from farkas import Guarantee

LABEL_LOSSES = ("logistic", "hinge")
XOR = np.array([[0.0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
XOR_Y = np.array([-1.0, 1, 1, -1])
SIX = np.array(
    [
        [0, 0.3, -0.27],
        [-0.89, -0.45, -0.99],
        [0.06, 1.34, -0.49],
        [-0.62, 0.49, 0.36],
        [0.11, -0.93, -0.03],
        [0.7, -1.34, -0.46],
    ]
)
SIX_Y = np.array([-1.9, -1.29, -1.84, -0.24, -1.27, 0.27])
LINE = np.column_stack([np.linspace(-1, 1, 9), np.ones(9)])

# Interior point answers must be much more accurate than the 1e-7 that they judge.
TIGHT = {"tol_gap_abs": 1e-11, "tol_gap_rel": 1e-11, "tol_feas": 1e-11}


def random_problem(seed, loss="squared", *, n=20, d=4, P=8):
    """A program of moderate size on sampled patterns."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    y = rng.standard_normal(n)
    if loss in LABEL_LOSSES:
        y = np.where(y > 0, 1.0, -1.0)
    return X, y, sample_patterns(X, P, random_state=seed)


def awkward_problem(seed, loss):
    """A tiny program with arbitrary patterns, repeated rows and rows of zeros."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(3, 13)), int(rng.integers(1, 5))
    X = rng.standard_normal((n, d))
    if seed % 3 == 0:
        X[-1] = X[0]
    if seed % 5 == 0:
        X[n // 2] = 0.0
    if seed % 7 == 0:
        X[1] = -2.0 * X[0]
    y = rng.standard_normal(n)
    if loss in LABEL_LOSSES:
        y = np.where(y > 0, 1.0, -1.0)
    P = int(rng.integers(1, 9))
    realised = X @ rng.standard_normal((d, P)) >= 0
    arbitrary = rng.random((n, P)) < 0.5
    patterns = np.where(rng.random(P) < 0.5, realised, arbitrary)
    return X, y, patterns, 10.0 ** rng.uniform(-3, 1)


def cvxpy_optimum(*problem, **options):
    with warnings.catch_warnings():
        # Clarabel at its last digits calls an answer inaccurate that is not.
        warnings.simplefilter("ignore")
        result = reference_cvxpy(*problem, **options, **TIGHT)
        if not result.success:
            result = reference_cvxpy(*problem, **options)
    assert result.success
    return result.fun


def objective(X, y, D, V, W, alpha, loss):
    """The program's objective, term by term."""
    z = np.zeros(len(y))
    for i in range(D.shape[1]):
        z += D[:, i] * (X @ (V[:, i] - W[:, i]))
    norms = sum(np.linalg.norm(B[:, i]) for B in (V, W) for i in range(B.shape[1]))
    return LOSSES[loss].value(z, y).sum() + alpha * norms


def assert_certified(result, X, y):
    """The certificate verifies, is finite, and says what the result says."""
    certificate = result.certificate
    assert farkas.verify(certificate, X, y).check()
    numbers = [certificate.lower, certificate.upper, certificate.value, result.fun]
    assert np.isfinite(numbers).all(), certificate
    assert all(np.isfinite(part).all() for part in result.x), certificate
    assert certificate.lower <= certificate.upper, certificate
    assert result.lower_bound == certificate.lower
    assert result.fun == certificate.upper
    assert result.gap == certificate.gap


ORACLES = [
    ("squared", 0.01, 0.0624252873),
    ("squared", 0.1, 0.5792528734),
    ("squared", 0.5, 1.8962643747),
    ("hinge", 0.01, 0.0629252875),
    ("hinge", 0.1, 0.629252876),
    ("hinge", 0.5, 3.14626439),
    ("logistic", 0.01, 0.3233731607),
    ("logistic", 0.1, 1.7369347354),
    ("logistic", 0.5, 4 * math.log(2)),
]


@pytest.mark.parametrize(("loss", "alpha", "expected"), ORACLES)
def test_relu_optimum_of_xor_is_the_known_one(loss, alpha, expected):
    result = solve_relu(
        XOR, XOR_Y, enumerate_patterns(XOR), alpha=alpha, loss=loss, tol=1e-8
    )
    assert result.success, result.certificate
    assert result.fun == pytest.approx(expected, rel=1e-6), result.certificate
    assert result.lower_bound == pytest.approx(expected, rel=1e-6), result.certificate
    assert result.certificate.guarantee is Guarantee.GLOBAL
    assert "any width" in result.certificate.assumptions[0]
    assert_certified(result, XOR, XOR_Y)


@pytest.mark.parametrize(
    ("alpha", "expected"),
    [(0.01, 0.0283430749), (0.1, 0.2737523544), (0.5, 1.1536863369)],
)
def test_gated_optimum_of_xor_is_the_known_one(alpha, expected):
    result = solve_gated(XOR, XOR_Y, enumerate_patterns(XOR), alpha=alpha, tol=1e-8)
    assert result.success, result.certificate
    assert result.fun == pytest.approx(expected, rel=1e-6), result.certificate
    assert result.lower_bound == pytest.approx(expected, rel=1e-6), result.certificate
    assert "given gates" in result.certificate.assumptions[0]
    assert_certified(result, XOR, XOR_Y)


@pytest.mark.parametrize("loss", LABEL_LOSSES)
def test_gated_optimum_of_xor_is_that_of_cvxpy(loss):
    problem = XOR, XOR_Y, enumerate_patterns(XOR)
    options = {"alpha": 0.1, "loss": loss}
    result = solve_gated(*problem, **options, tol=1e-8)
    expected = cvxpy_optimum(*problem, **options, activation="gated")
    assert result.fun == pytest.approx(expected, rel=1e-6), result.certificate
    assert result.lower_bound == pytest.approx(expected, rel=1e-6), result.certificate


@pytest.mark.parametrize("solver", [solve_relu, solve_gated])
def test_one_sample_has_the_scalar_solution(solver):
    # min 1/2 (5t - 2)^2 + t at t = 9/25
    result = solver([[3.0, 4.0]], [2.0], [[1]], alpha=1.0, tol=1e-10)
    assert result.fun == pytest.approx(0.38, rel=1e-9), result.certificate
    V = result.x[0] if solver is solve_relu else result.x
    assert V.ravel() == pytest.approx([0.216, 0.288], rel=1e-4), result.certificate


@pytest.mark.parametrize(("alpha", "value"), [(0.01, 0.0198802447), (0.1, 0.188204535)])
def test_absolute_value_on_a_line_has_the_known_optimum(alpha, value):
    y = np.abs(LINE[:, 0])
    result = solve_relu(LINE, y, enumerate_patterns(LINE), alpha=alpha, tol=1e-8)
    assert result.fun == pytest.approx(value, rel=1e-6), result.certificate
    assert result.lower_bound == pytest.approx(value, rel=1e-6), result.certificate
    assert_certified(result, LINE, y)


@pytest.mark.parametrize(
    ("loss", "alpha", "value"),
    [
        ("squared", 0.1, 1.1573941442),
        ("squared", 1.0, 3.2371400325),
        ("signs squared", 0.1, 0.6688325996),
        ("hinge", 0.1, 0.6622976706),
        ("logistic", 0.1, 1.6773113097),
    ],
)
def test_six_by_three_has_the_known_optimum(loss, alpha, value):
    labels = loss != "squared"
    y = np.sign(SIX_Y) if labels else SIX_Y
    loss = loss.removeprefix("signs ")
    patterns = enumerate_patterns(SIX)
    result = solve_relu(SIX, y, patterns, alpha=alpha, loss=loss, tol=1e-8)
    assert result.fun == pytest.approx(value, rel=1e-6), result.certificate
    assert result.lower_bound == pytest.approx(value, rel=1e-6), result.certificate
    assert_certified(result, SIX, y)


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge"])
def test_bounds_enclose_the_optimum_of_awkward_programs(loss):
    for seed in range(67):
        X, y, D, alpha = awkward_problem(seed, loss)
        optimum = cvxpy_optimum(X, y, D, alpha=alpha, loss=loss)
        for limits in ({"tol": 1e-8, "max_iter": 2000}, {"max_iter": 7}):
            result = solve_relu(X, y, D, alpha=alpha, loss=loss, **limits)
            found = seed, optimum, result.certificate
            room = 1e-7 * optimum
            assert result.lower_bound <= optimum + room, found
            assert result.fun >= optimum - room, found
            V, W = result.x
            value = objective(X, y, D, V, W, alpha, loss)
            assert result.fun == pytest.approx(value, rel=1e-9), found
            assert_certified(result, X, y)


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge", "huber"])
def test_gated_bounds_enclose_the_optimum_of_awkward_programs(loss):
    for seed in range(12):
        X, y, D, alpha = awkward_problem(seed, loss)
        options = {"alpha": alpha, "loss": loss}
        optimum = cvxpy_optimum(X, y, D, **options, activation="gated")
        result = solve_gated(X, y, D, **options, tol=1e-8)
        found = seed, optimum, result.certificate
        assert result.lower_bound <= optimum * (1 + 1e-7), found
        assert result.fun >= optimum * (1 - 1e-7), found
        assert_certified(result, X, y)


def test_tight_tolerances_are_reached_on_awkward_programs():
    for loss in ("squared", "logistic", "hinge", "huber"):
        for seed in range(100, 115):
            X, y, D, alpha = awkward_problem(seed, loss)
            result = solve_relu(X, y, D, alpha=alpha, loss=loss, tol=1e-7)
            assert result.success, (loss, seed, result.certificate)
            assert result.certificate.satisfied, (loss, seed, result.certificate)


seeds = st.integers(0, 2**32 - 1)
losses = st.sampled_from(["squared", "logistic", "hinge", "huber"])


@settings(max_examples=15)
@given(seeds, losses)
def test_more_patterns_never_raise_the_optimum(seed, loss):
    X, y, patterns = random_problem(seed, loss, n=10, d=3, P=9)
    D = patterns.D
    options = {"alpha": 0.1, "loss": loss, "tol": 1e-6}
    few = solve_relu(X, y, D[:, :4], **options)
    many = solve_relu(X, y, D, **options)
    assert many.lower_bound <= few.fun, (many.certificate, few.certificate)


@settings(max_examples=15)
@given(seeds, losses)
def test_the_gated_optimum_is_at_most_the_relu_optimum(seed, loss):
    X, y, patterns = random_problem(seed, loss, n=10, d=3, P=6)
    options = {"alpha": 0.1, "loss": loss, "tol": 1e-6}
    relaxed = solve_gated(X, y, patterns, **options)
    cones = solve_relu(X, y, patterns, **options)
    assert relaxed.lower_bound <= cones.fun, (relaxed.certificate, cones.certificate)


def test_zero_is_optimal_from_alpha_max_on():
    patterns = enumerate_patterns(XOR)
    largest = 1 / math.sqrt(2)
    above = solve_relu(XOR, XOR_Y, patterns, alpha=largest * (1 + 1e-9))
    assert not np.any(above.x), above.certificate
    assert above.nit == 1
    assert above.certificate.relative <= 1e-13, above.certificate
    below = solve_relu(XOR, XOR_Y, patterns, alpha=largest * (1 - 1e-3), tol=1e-9)
    assert np.any(below.x), below.certificate


@settings(max_examples=15)
@given(seeds, losses)
def test_zero_is_optimal_with_a_gated_alpha_above_every_gradient(seed, loss):
    X, y, patterns = random_problem(seed, loss, n=8, d=3, P=5)
    theta = LOSSES[loss].theta(np.zeros_like(y), y)
    largest = np.linalg.norm(X.T @ (patterns.D * theta[:, None]), axis=0).max()
    result = solve_gated(X, y, patterns, alpha=largest * (1 + 1e-9), loss=loss)
    assert not result.x.any(), result.certificate
    assert result.success, result.certificate
    below = solve_gated(X, y, patterns, alpha=largest * 0.9, loss=loss, tol=1e-9)
    assert below.x.any(), below.certificate


@settings(max_examples=12)
@given(seeds, losses, st.integers(-3, 3))
def test_scaling_the_data_and_alpha_alike_changes_nothing(seed, loss, exponent):
    X, y, patterns = random_problem(seed, loss, n=10, d=3, P=5)
    c = 10.0**exponent
    plain = solve_relu(X, y, patterns, alpha=0.2, loss=loss, tol=1e-8)
    scaled = solve_relu(c * X, y, patterns.D, alpha=c * 0.2, loss=loss, tol=1e-8)
    assert scaled.fun == pytest.approx(plain.fun, rel=2e-8), scaled.certificate
    assert_certified(scaled, c * X, y)


@settings(max_examples=12)
@given(seeds, losses, st.randoms(use_true_random=False))
def test_order_of_rows_and_patterns_does_not_matter(seed, loss, random):
    X, y, patterns = random_problem(seed, loss, n=10, d=3, P=5)
    rows, columns = list(range(10)), list(range(5))
    random.shuffle(rows)
    random.shuffle(columns)
    options = {"alpha": 0.2, "loss": loss, "tol": 1e-8}
    plain = solve_relu(X, y, patterns.D, **options)
    moved = solve_relu(X[rows], y[rows], patterns.D[np.ix_(rows, columns)], **options)
    assert moved.fun == pytest.approx(plain.fun, rel=2e-8), moved.certificate


@settings(max_examples=10)
@given(seeds)
def test_rotating_the_features_does_not_matter(seed):
    X, y, patterns = random_problem(seed, n=10, d=3, P=5)
    Q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    plain = solve_relu(X, y, patterns.D, alpha=0.2, tol=1e-8)
    rotated = solve_relu(X @ Q, y, patterns.D, alpha=0.2, tol=1e-8)
    assert rotated.fun == pytest.approx(plain.fun, rel=2e-8), rotated.certificate


@pytest.mark.parametrize("loss", ["squared", "logistic", "huber"])
def test_nonzero_blocks_meet_the_optimality_conditions(loss):
    for seed in range(5):
        X, y, patterns = random_problem(seed, loss, n=12, d=3, P=6)
        D, S = patterns.D, 2.0 * patterns.D - 1
        V, W = (result := solve_relu(X, y, D, alpha=0.3, loss=loss, tol=1e-11)).x
        z = np.sum(D * (X @ (V - W)), axis=1)
        theta = LOSSES[loss].theta(z, y)
        for sign, blocks in ((1, V), (-1, W)):
            for i in np.flatnonzero(np.linalg.norm(blocks, axis=0) > 1e-3):
                v = blocks[:, i]
                # v solves max g'v over the cone and the unit ball, with value alpha.
                gradient = sign * X.T @ (D[:, i] * theta)
                along = gradient @ v / np.linalg.norm(v)
                assert along == pytest.approx(0.3, rel=1e-4), result.certificate
                rows = S[:, i] * (X @ v)
                bound = 1e-12 * np.linalg.norm(X, axis=1) * np.linalg.norm(v)
                assert (rows >= -bound).all(), result.certificate


def test_least_squares_without_penalty_is_the_least_norm_solution():
    X, y, patterns = random_problem(3, n=12, d=2, P=4)
    result = solve_gated(X, y, patterns, alpha=0)
    F = np.concatenate([patterns.D[:, [i]] * X for i in range(4)], axis=1)
    expected = np.linalg.lstsq(F, y, rcond=None)[0]
    assert result.x.T.ravel() == pytest.approx(expected, abs=1e-10)
    assert result.certificate.kind == "kkt_residual"
    assert result.certificate.guarantee is Guarantee.LOCAL
    assert result.success, result.certificate
    assert farkas.verify(result, X, y).check()


EXTREME = {
    "huge": (1e150 * SIX, SIX_Y, 1e150),
    "tiny": (1e-150 * SIX, SIX_Y, 1e-150),
    "beyond squares": (1e170 * SIX, SIX_Y, 1e170),
    "below squares": (1e-170 * SIX, SIX_Y, 1e-170),
    "huge, little alpha": (1e150 * SIX, SIX_Y, 1.0),
    "tiny, large alpha": (1e-150 * SIX, SIX_Y, 1.0),
    "huge targets": (SIX, 1e100 * SIX_Y, 1e100),
    "tiny targets": (SIX, 1e-100 * SIX_Y, 1e-100),
    "mixed columns": (SIX * [1e-8, 1.0, 1e8], SIX_Y, 0.1),
    "constant columns": (np.ones((6, 3)), SIX_Y, 0.1),
    "zero column": (SIX * [1, 0, 1], SIX_Y, 0.1),
    "zero data": (np.zeros((6, 3)), SIX_Y, 0.1),
    "zero targets": (SIX, np.zeros(6), 0.1),
    "one row": (SIX[:1], SIX_Y[:1], 0.1),
    "one column": (SIX[:, :1], SIX_Y, 0.1),
    "one number": (SIX[1:2, :1], SIX_Y[:1], 0.1),
    "almost no penalty": (SIX, SIX_Y, 1e-9),
    "denormal penalty": (SIX, SIX_Y, 5e-324),
    "denormal targets": (SIX, 1e-310 * SIX_Y, 0.1),
    "denormal entry": (np.where(SIX == 0.0, 5e-324, SIX), SIX_Y, 0.1),
    "targets without squares": (SIX, 1e-160 * SIX_Y, 1e-161),
    "equal rows": (np.repeat(SIX[:1], 6, axis=0), SIX_Y, 0.1),
    "opposite rows": (np.concatenate([SIX[:3], -SIX[:3]]), SIX_Y, 0.1),
}


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge", "huber"])
@pytest.mark.parametrize("solver", [solve_relu, solve_gated])
@pytest.mark.parametrize("case", EXTREME)
def test_extreme_data_never_give_a_non_finite_or_false_answer(case, solver, loss):
    X, y, alpha = EXTREME[case]
    if loss in LABEL_LOSSES:
        y = np.where(y > 0, 1.0, -1.0)
    D = np.column_stack([np.ones(len(X)), np.arange(len(X)) % 2])
    result = solver(X, y, D, alpha=alpha, loss=loss, max_iter=300)
    assert_certified(result, X, y)


@pytest.mark.parametrize("loss", ["squared", "hinge"])
@pytest.mark.parametrize("exponent", [-170, -150, 150, 170])
def test_units_of_the_data_do_not_change_the_proof(loss, exponent):
    y = SIX_Y if loss == "squared" else np.sign(SIX_Y)
    c = 10.0**exponent
    expected = {"squared": 1.1573941442, "hinge": 0.6622976706}[loss]
    result = solve_relu(
        c * SIX, y, enumerate_patterns(SIX).D, alpha=0.1 * c, loss=loss, tol=1e-8
    )
    assert result.fun == pytest.approx(expected, rel=1e-6), result.certificate
    assert result.lower_bound == pytest.approx(expected, rel=1e-6), result.certificate


def test_all_patterns_of_any_units_prove_a_global_optimum():
    for c in (1e-170, 1e-20, 1e20, 1e170):
        patterns = enumerate_patterns(c * SIX)
        assert len(patterns) == 32
        result = solve_relu(c * SIX, SIX_Y, patterns, alpha=0.1 * c, tol=1e-8)
        assert "any width" in result.certificate.assumptions[0]
        assert result.fun == pytest.approx(1.1573941442, rel=1e-6), result.certificate


def test_repeated_patterns_leave_the_optimum():
    X, y, patterns = random_problem(7)
    once = solve_relu(X, y, patterns.D, alpha=0.1, tol=1e-8)
    D = np.concatenate([patterns.D, patterns.D[:, ::-1]], axis=1)
    twice = solve_relu(X, y, D, alpha=0.1, tol=1e-8)
    assert twice.fun == pytest.approx(once.fun, rel=2e-8), twice.certificate


def test_a_falsely_complete_list_is_refused():
    patterns = enumerate_patterns(XOR)
    kept = np.arange(14) != np.flatnonzero(patterns.D.any(axis=0))[0]
    short = PatternSet(patterns.D[:, kept], patterns.gates[:, kept], complete=True)
    with pytest.raises(farkas.CertificateError, match="not complete"):
        solve_relu(XOR, XOR_Y, short, alpha=0.1)


@pytest.mark.parametrize("solver", [solve_relu, solve_gated])
@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge", "huber"])
def test_success_means_that_the_certificate_is_satisfied(solver, loss):
    for seed in range(25):
        X, y, D, alpha = awkward_problem(seed, loss)
        rng = np.random.default_rng(seed)
        X = X * 10.0 ** rng.uniform(-9, 9, (len(X), 1))  # rows in odd units
        alpha *= np.abs(X).max()
        result = solver(X, y, D, alpha=alpha, loss=loss, max_iter=500)
        assert result.success == result.certificate.satisfied, result.certificate
        assert_certified(result, X, y)


@pytest.mark.parametrize("solver", [solve_relu, solve_gated])
@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge", "huber"])
def test_patterns_without_a_row_leave_the_zero_network(solver, loss):
    y = np.array([1.0, -1, 1])
    result = solver(np.eye(3), y, np.zeros((3, 2)), alpha=1e3, loss=loss)
    assert result.success, result.certificate
    assert result.gap == 0.0, result.certificate
    assert not np.any(result.x)
