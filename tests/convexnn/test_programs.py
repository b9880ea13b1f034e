"""The two solver functions against closed forms, cvxpy and hostile input."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import farkas
from convexnn import (
    enumerate_patterns,
    recover_network,
    reference_cvxpy,
    sample_patterns,
    solve_gated,
    solve_relu,
)
from convexnn._measure import HUBER_DELTA, LOSSES
from convexnn.network import network_output
from convexnn.patterns import PatternSet
from farkas import Guarantee
from farkas.checkpoint import Checkpoint, load, save
from farkas.status import Status

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


@settings(max_examples=15)
@given(seeds, losses)
def test_the_recovered_network_has_the_objective_of_the_program(seed, loss):
    X, y, patterns = random_problem(seed, loss, n=10, d=3, P=6)
    result = solve_relu(X, y, patterns, alpha=0.2, loss=loss, tol=1e-6)
    U, a = recover_network(*result.x)
    z = network_output(X, U, a)
    value = LOSSES[loss].value(z, y).sum() + 0.1 * ((U**2).sum() + (a**2).sum())
    assert value == pytest.approx(result.fun, rel=1e-9), result.certificate
    network = result.certificate.residuals["network_objective"]
    assert network == pytest.approx(value, rel=1e-9), result.certificate


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


X3, Y3, D3 = np.eye(3), np.array([1.0, -1, 1]), np.ones((3, 2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": np.zeros((0, 3))}, "X must be a nonempty"),
        ({"X": np.zeros(3)}, "X must be a nonempty"),
        ({"X": np.diag([1, np.nan, 1])}, "X must not contain NaN"),
        ({"X": np.diag([1, np.inf, 1])}, "X must not contain NaN or infinity"),
        ({"y": [1.0, 2.0]}, "y must have shape"),
        ({"y": [[1.0], [2], [3]]}, "y must have shape"),
        ({"y": [1.0, np.nan, 1]}, "y must not contain NaN"),
        ({"y": [1.0, np.inf, 1]}, "y must not contain NaN or infinity"),
        ({"y": [0.0, 1, 1], "loss": "hinge"}, "y must be -1 or"),
        ({"y": [2.0, 1, 1], "loss": "logistic"}, "y must be -1 or"),
        ({"patterns": np.ones(3)}, "patterns must have shape"),
        ({"patterns": np.ones((2, 4))}, "patterns must have shape"),
        ({"patterns": np.ones((3, 0))}, "patterns must have shape"),
        ({"patterns": 0.5 * D3}, "patterns must hold 0 and 1"),
        ({"patterns": -D3}, "patterns must hold 0 and 1"),
        ({"patterns": D3.astype(str)}, "patterns must hold 0 and 1"),
        ({"patterns": np.nan * D3}, "patterns must hold 0 and 1"),
        ({"patterns": enumerate_patterns(XOR)}, "patterns have 4 rows"),
        ({"alpha": -1.0}, "alpha=-1.0"),
        ({"alpha": np.nan}, "alpha=nan"),
        ({"alpha": np.inf}, "alpha=inf"),
        ({"alpha": "1"}, "alpha='1'"),
        ({"alpha": True}, "alpha=True"),
        ({"loss": "hing"}, "loss='hing'"),
        ({"tol": -1e-4}, "tol="),
        ({"tol": np.nan}, "tol=nan"),
        ({"max_iter": 0}, "max_iter=0"),
        ({"max_iter": 2.5}, "max_iter=2.5"),
        ({"max_time": 0}, "max_time=0"),
        ({"max_time": np.nan}, "max_time=nan"),
        ({"rho": 0}, "rho=0"),
        ({"rho": "big"}, "rho='big'"),
        ({"rho": np.inf}, "rho=inf"),
        ({"callback": 3}, "callback=3"),
        ({"history_every": -1}, "every=-1"),
        ({"verbose": 7}, "verbose=7"),
    ],
)
@pytest.mark.parametrize("solver", [solve_relu, solve_gated])
def test_bad_arguments_are_named(solver, change, message):
    arguments = {"X": X3, "y": Y3, "patterns": D3, "alpha": 1.0, **change}
    with pytest.raises(ValueError, match=message):
        solver(**arguments)


def test_bad_starts_are_named():
    good = np.zeros((3, 2))
    with pytest.raises(ValueError, match="x0 must hold 2"):
        solve_relu(X3, Y3, D3, alpha=1.0, x0=(good,))
    with pytest.raises(ValueError, match="x0 must hold 2"):
        solve_relu(X3, Y3, D3, alpha=1.0, x0=(good, good[:1]))
    with pytest.raises(ValueError, match="x0 must hold 1"):
        solve_gated(X3, Y3, D3, alpha=1.0, x0=good.T)
    with pytest.raises(ValueError, match="x0 must not contain NaN"):
        solve_gated(X3, Y3, D3, alpha=1.0, x0=np.nan * good)


@pytest.mark.parametrize("loss", ["logistic", "hinge", "huber"])
def test_alpha_zero_needs_the_gated_squared_program(loss):
    with pytest.raises(ValueError, match="alpha=0"):
        solve_gated(X3, Y3, D3, alpha=0, loss=loss)
    with pytest.raises(ValueError, match="alpha=0"):
        solve_relu(X3, Y3, D3, alpha=0)


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, StopIteration])
def test_interrupting_returns_the_best_point_with_a_certificate(loss, error):
    X, y, patterns = random_problem(1, loss, n=40, d=6, P=20)

    def stop(intermediate_result):
        if intermediate_result.nit >= 20:
            raise error

    result = solve_relu(X, y, patterns, alpha=0.01, loss=loss, tol=0.0, callback=stop)
    assert (result.nit, result.status) == (20, Status.CALLBACK)
    assert not result.success
    text = "Interrupted by the user." if error is KeyboardInterrupt else "callback"
    assert text in result.message
    assert result.fun < LOSSES[loss].value(np.zeros_like(y), y).sum()
    assert_certified(result, X, y)


def test_interrupting_the_final_call_keeps_the_result():
    def interrupt(intermediate_result):
        raise KeyboardInterrupt

    X, y, patterns = random_problem(1)
    result = solve_relu(X, y, patterns, alpha=1e3, callback=interrupt)
    assert result.message == "Interrupted by the user."
    assert_certified(result, X, y)


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge", "huber"])
@pytest.mark.parametrize("solver", [solve_relu, solve_gated])
@pytest.mark.parametrize("limit", [{"max_iter": 1}, {"max_time": 1e-9}])
def test_a_limit_returns_the_best_point_with_a_certificate(loss, solver, limit):
    X, y, patterns = random_problem(1, loss)
    result = solver(X, y, patterns, alpha=0.01, loss=loss, **limit)
    expected = Status.MAX_ITER if "max_iter" in limit else Status.MAX_TIME
    assert (result.nit, result.status) == (1, expected), result.certificate
    assert_certified(result, X, y)


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge", "huber"])
def test_a_finished_state_can_be_resumed_without_iterating(loss):
    X, y, patterns = random_problem(1, loss)
    options = {"alpha": 0.01, "loss": loss, "tol": 0.0}
    first = solve_relu(X, y, patterns, **options, max_iter=10)
    again = solve_relu(X, y, patterns, **options, max_iter=10, state=first.state)
    assert again.nit == 10
    assert again.fun == first.fun, again.certificate
    assert again.lower_bound == first.lower_bound, again.certificate
    assert_certified(again, X, y)


def test_history_has_a_row_for_every_check_and_improves_monotonically():
    X, y, patterns = random_problem(2, n=40, d=6, P=20)
    result = solve_relu(X, y, patterns, alpha=0.01, tol=1e-10, max_iter=95)
    history = result.history
    columns = ["iteration", "elapsed", "objective", "certificate", "lower_bound", "rho"]
    assert list(history) == columns
    assert_array_equal(history["iteration"], [*range(10, 100, 10), 95])
    assert (np.diff(history["objective"]) <= 0).all()
    assert (np.diff(history["lower_bound"]) >= 0).all()
    assert (np.diff(history["elapsed"]) >= 0).all()
    assert (history["rho"] > 0).all()
    gaps = history["objective"] - history["lower_bound"]
    assert history["certificate"] == pytest.approx(gaps, abs=1e-15)
    assert history["objective"][-1] == pytest.approx(result.fun, rel=1e-10)


def test_history_can_be_thinned_and_switched_off():
    X, y, patterns = random_problem(2)
    options = {"alpha": 0.01, "tol": 0.0, "max_iter": 65}
    thin = solve_relu(X, y, patterns, **options, history_every=30)
    assert_array_equal(thin.history["iteration"], [30, 60, 65])
    none = solve_relu(X, y, patterns, **options, history_every=0)
    assert not len(none.history["iteration"])
    assert none.fun == thin.fun


@pytest.mark.parametrize("solver", [solve_relu, solve_gated])
def test_the_callback_sees_every_check_and_the_final_point(solver):
    X, y, patterns = random_problem(2, n=40, d=6, P=20)
    seen = []

    def watch(intermediate_result):
        assert callable(intermediate_result.state)
        seen.append(intermediate_result)

    result = solver(X, y, patterns, alpha=0.01, tol=0.0, max_iter=35, callback=watch)
    assert [progress.nit for progress in seen] == [10, 20, 30, 35]
    last = seen[-1]
    assert last.fun == pytest.approx(result.fun, rel=1e-10)
    assert last.gap == last.fun - last.lower_bound
    assert_array_equal(last.x, result.x)
    for progress in seen:
        blocks = progress.x if solver is solve_relu else (progress.x, 0 * progress.x)
        if solver is solve_relu:
            value = objective(X, y, patterns.D, *blocks, 0.01, "squared")
            assert progress.fun == pytest.approx(value, rel=1e-10)


def test_stopping_in_the_final_call_changes_nothing():
    X, y, patterns = random_problem(2)

    def stop(intermediate_result):
        raise StopIteration

    result = solve_relu(X, y, patterns, alpha=1e3, callback=stop)
    assert result.status is Status.CONVERGED


def test_an_error_in_the_callback_is_raised():
    def fail(intermediate_result):
        raise ZeroDivisionError

    X, y, patterns = random_problem(2)
    with pytest.raises(ZeroDivisionError):
        solve_relu(X, y, patterns, alpha=0.01, callback=fail)


def test_progress_is_printed_on_request(capsys):
    X, y, patterns = random_problem(2)
    solve_relu(X, y, patterns, alpha=0.01, tol=0.0, max_iter=30, verbose=2)
    assert capsys.readouterr().out.count("convexnn  iteration") >= 3


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


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge", "huber"])
@pytest.mark.parametrize("solver", [solve_relu, solve_gated])
def test_two_runs_of_50_iterations_are_one_of_100(loss, solver, tmp_path):
    X, y, patterns = random_problem(4, loss, n=40, d=6, P=20)
    options = {"alpha": 0.01, "loss": loss, "tol": 0.0}
    whole = solver(X, y, patterns, **options, max_iter=100)
    half = solver(X, y, patterns, **options, max_iter=50)
    save(tmp_path / "half.npz", half.state)
    state = load(tmp_path / "half.npz")
    both = solver(X, y, patterns, **options, max_iter=100, state=state)
    assert (half.nit, both.nit, whole.nit) == (50, 100, 100)
    assert_array_equal(both.x, whole.x)
    assert_array_equal(both.state["point"], whole.state["point"])
    assert both.fun == whole.fun
    assert both.lower_bound == whole.lower_bound
    assert_array_equal(both.history["iteration"], whole.history["iteration"])
    assert_array_equal(both.history["objective"], whole.history["objective"])
    assert_array_equal(both.history["rho"], whole.history["rho"])


def test_a_checkpoint_of_the_callback_continues_bit_for_bit(tmp_path):
    X, y, patterns = random_problem(4, "hinge", n=40, d=6, P=20)
    options = {"alpha": 0.01, "loss": "hinge", "tol": 0.0, "max_iter": 100}
    path = tmp_path / "run.npz"
    callback = Checkpoint(path, every=70)
    whole = solve_relu(X, y, patterns, **options, callback=callback)
    state = load(path)
    assert state["nit"] == 70
    rest = solve_relu(X, y, patterns, **options, state=state)
    assert_array_equal(rest.x, whole.x)
    assert (rest.fun, rest.lower_bound) == (whole.fun, whole.lower_bound)


def test_the_answer_is_a_good_start():
    X, y, patterns = random_problem(5, n=40, d=6, P=20)
    options = {"alpha": 0.1, "tol": 1e-5}
    cold = solve_relu(X, y, patterns, **options)
    warm = solve_relu(X, y, patterns, **options, x0=cold.x)
    assert warm.nit <= cold.nit
    assert warm.fun == pytest.approx(cold.fun, rel=1e-5), warm.certificate
    relaxed = solve_gated(X, y, patterns, **options)
    again = solve_gated(X, y, patterns, **options, x0=relaxed.x)
    assert again.nit <= relaxed.nit


def test_any_first_rho_converges_to_the_same_value():
    X, y, patterns = random_problem(6)
    values = [
        solve_relu(X, y, patterns, alpha=0.1, tol=1e-7, rho=rho).fun
        for rho in (1e-3, 1e-1, 1e1, 1e3)
    ]
    assert values == pytest.approx([values[0]] * 4, rel=1e-6)


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


def test_huber_threshold_separates_the_two_branches():
    r = np.array([0.5, HUBER_DELTA, 3.0])
    value = LOSSES["huber"].value(r, np.zeros(3))
    expected = [0.125, HUBER_DELTA**2 / 2, HUBER_DELTA * 3 - HUBER_DELTA**2 / 2]
    assert value == pytest.approx(expected, rel=1e-15)


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
    result = solver(X3, y, np.zeros((3, 2)), alpha=1e3, loss=loss)
    assert result.success, result.certificate
    assert result.gap == 0.0, result.certificate
    assert not np.any(result.x)


def test_targets_whose_loss_overflows_are_refused():
    with pytest.raises(ValueError, match="y is too large"):
        solve_relu(X3, 1e200 * Y3, D3, alpha=1.0)
    result = solve_relu(X3, 1e200 * Y3, D3, alpha=1.0, loss="huber")
    assert result.lower_bound >= 0, result.certificate


@pytest.mark.parametrize("solver", [solve_relu, solve_gated])
def test_a_state_that_is_not_finite_ends_with_the_best_point_before(solver):
    X, y, patterns = random_problem(1)
    options = {"alpha": 0.01, "tol": 0.0}
    first = solver(X, y, patterns, **options, max_iter=20)
    broken = first.state["point"].copy()
    broken[0] = np.nan
    state = {**first.state, "point": broken}
    result = solver(X, y, patterns, **options, max_iter=60, state=state)
    assert result.status is Status.NUMERICAL
    assert "non-finite" in result.message
    assert result.fun == first.fun, result.certificate
    assert_certified(result, X, y)


def test_a_state_of_other_data_makes_no_false_claim():
    X, y, patterns = random_problem(1)
    options = {"alpha": 0.01, "tol": 1e-6}
    easy = solve_relu(X, 1e-3 * y, patterns, **options)
    mixed = solve_relu(X, y, patterns, **options, state=easy.state)
    honest = solve_relu(X, y, patterns, **options)
    assert mixed.lower_bound <= honest.fun, mixed.certificate
    assert mixed.fun >= honest.lower_bound, mixed.certificate
    assert mixed.success == mixed.certificate.satisfied, mixed.certificate
    assert_certified(mixed, X, y)


def test_a_solution_found_by_the_last_projection_counts_as_converged():
    # Just below the limit the cheap multipliers may not close the gap; the exact ones
    # of the final bound do.
    X, y, patterns = random_problem(3, "hinge")
    options = {"alpha": 0.1, "loss": "hinge"}
    for max_iter in range(20, 200, 7):
        result = solve_relu(X, y, patterns, **options, tol=1e-3, max_iter=max_iter)
        assert result.success == result.certificate.satisfied, result.certificate
