"""The solver functions against numbers from the theory, cvxpy, and abuse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import farkas
from convexnn import (
    PatternSet,
    enumerate_patterns,
    recover_network,
    reference_cvxpy,
    sample_patterns,
    solve_gated,
    solve_relu,
)
from convexnn._measure import LOSSES
from convexnn.network import network_output
from farkas.checkpoint import Checkpoint, load
from farkas.status import Status

XOR = np.array([[0.0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
XOR_Y = np.array([-1.0, 1, 1, -1])
LINE = np.column_stack([np.linspace(-1, 1, 9), np.ones(9)])
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

# data, targets, loss, alpha, optimum over networks of any width
OPTIMA = [
    (np.array([[3.0, 4.0]]), np.array([2.0]), "squared", 1.0, 0.38),
    (XOR, XOR_Y, "squared", 0.01, 0.0624252873),
    (XOR, XOR_Y, "squared", 0.1, 0.5792528734),
    (XOR, XOR_Y, "squared", 0.5, 1.8962643747),
    (XOR, XOR_Y, "hinge", 0.01, 0.0629252875),
    (XOR, XOR_Y, "hinge", 0.1, 0.629252876),
    (XOR, XOR_Y, "hinge", 0.5, 3.14626439),
    (XOR, XOR_Y, "logistic", 0.01, 0.3233731607),
    (XOR, XOR_Y, "logistic", 0.1, 1.7369347354),
    (XOR, XOR_Y, "logistic", 0.5, 4 * np.log(2)),
    (LINE, np.abs(LINE[:, 0]), "squared", 0.01, 0.0198802447),
    (LINE, np.abs(LINE[:, 0]), "squared", 0.1, 0.1882045350),
    (SIX, SIX_Y, "squared", 0.1, 1.1573941442),
    (SIX, SIX_Y, "squared", 1.0, 3.2371400325),
    (SIX, np.sign(SIX_Y), "hinge", 0.1, 0.6622976706),
    (SIX, np.sign(SIX_Y), "squared", 0.1, 0.6688325996),
    (SIX, np.sign(SIX_Y), "logistic", 0.1, 1.6773113097),
]


@pytest.mark.parametrize(("X", "y", "loss", "alpha", "optimum"), OPTIMA)
def test_optimum_over_all_networks(X, y, loss, alpha, optimum):
    result = solve_relu(
        X, y, enumerate_patterns(X), alpha=alpha, loss=loss, tol=1e-8, max_iter=50_000
    )
    assert result.success, result.certificate
    assert result.fun == pytest.approx(optimum, rel=1e-6), result.certificate
    assert result.lower_bound == pytest.approx(optimum, rel=1e-6), result.certificate
    assert "any width" in result.certificate.assumptions[0]
    farkas.verify(result, X, y).check()


@pytest.mark.parametrize(
    ("alpha", "optimum"),
    [(0.01, 0.0283430749), (0.1, 0.2737523544), (0.5, 1.1536863369)],
)
def test_gated_optimum(alpha, optimum):
    patterns = enumerate_patterns(XOR)
    result = solve_gated(XOR, XOR_Y, patterns, alpha=alpha, tol=1e-8)
    assert result.fun == pytest.approx(optimum, rel=1e-6), result.certificate
    assert result.lower_bound == pytest.approx(optimum, rel=1e-6), result.certificate
    farkas.verify(result, XOR, XOR_Y).check()


def test_zero_is_the_answer_from_alpha_max_on():
    patterns = enumerate_patterns(XOR)
    alpha_max = 1 / np.sqrt(2)
    at = solve_relu(XOR, XOR_Y, patterns, alpha=alpha_max * (1 + 1e-9), tol=1e-10)
    assert not at.x[0].any()
    assert not at.x[1].any()
    assert at.nit == 1
    assert at.certificate.gap == pytest.approx(0, abs=1e-8)
    below = solve_relu(XOR, XOR_Y, patterns, alpha=alpha_max * 0.99, tol=1e-10)
    assert below.x[0].any() or below.x[1].any()
    assert below.fun < 2.0


def random_program(rng):
    n, d, P = rng.integers(3, 13), rng.integers(1, 5), rng.integers(1, 9)
    X = rng.standard_normal((n, d))
    if rng.random() < 0.3:
        X[-1] = X[0]
    if rng.random() < 0.2:
        X[1] = 0.0
    kind = rng.integers(3)
    if kind == 0:
        D = rng.integers(0, 2, (n, P))  # patterns that no unit may realise
    else:
        D = X @ rng.standard_normal((d, P)) >= 0
    alpha = 10 ** rng.uniform(-2.5, 1.0)
    loss = ("squared", "logistic", "hinge")[rng.integers(3)]
    y = np.where(rng.random(n) < 0.5, -1.0, 1.0)
    if loss == "squared":
        y = y + rng.standard_normal(n)
    return X, y, D, alpha, loss


@pytest.mark.filterwarnings("ignore:Solution may be inaccurate")
def test_bounds_enclose_the_optimum_of_200_random_programs():
    rng = np.random.default_rng(0)
    accuracy = {"tol_gap_abs": 1e-10, "tol_gap_rel": 1e-10, "tol_feas": 1e-10}
    unsolved = 0
    for _ in range(200):
        X, y, D, alpha, loss = random_program(rng)
        oracle = reference_cvxpy(X, y, D, alpha=alpha, loss=loss, **accuracy)
        result = solve_relu(X, y, D, alpha=alpha, loss=loss, tol=1e-7, max_iter=3000)
        farkas.verify(result, X, y).check()
        if not oracle.success:
            unsolved += 1
            continue
        room = 1e-7 * max(abs(oracle.fun), 1e-3)
        assert result.lower_bound <= oracle.fun + room, (loss, alpha, result)
        assert result.fun >= oracle.fun - room, (loss, alpha, result)
        assert result.gap <= 0.05 * result.fun, (loss, alpha, result)
    assert unsolved <= 20  # cvxpy's own verdict on its accuracy


def test_gated_bounds_enclose_the_optimum_of_random_programs():
    rng = np.random.default_rng(1)
    for _ in range(40):
        X, y, D, alpha, loss = random_program(rng)
        oracle = reference_cvxpy(X, y, D, alpha=alpha, loss=loss, activation="gated")
        result = solve_gated(X, y, D, alpha=alpha, loss=loss, tol=1e-7)
        farkas.verify(result, X, y).check()
        room = 1e-6 * max(abs(oracle.fun), 1e-3)
        assert result.lower_bound <= oracle.fun + room, result
        assert result.fun >= oracle.fun - room, result


def test_huber_agrees_with_cvxpy():
    y = 3 * SIX_Y
    patterns = enumerate_patterns(SIX)
    for solve, activation in ((solve_relu, "relu"), (solve_gated, "gated")):
        options = {"alpha": 0.3, "loss": "huber"}
        result = solve(SIX, y, patterns, tol=1e-8, **options)
        oracle = reference_cvxpy(SIX, y, patterns, activation=activation, **options)
        assert result.fun == pytest.approx(oracle.fun, rel=1e-6), result.certificate
        farkas.verify(result, SIX, y).check()


def test_gated_without_penalty_is_least_squares_of_least_norm():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((30, 3)), rng.standard_normal(30)
    patterns = sample_patterns(X, 4, random_state=0)
    result = solve_gated(X, y, patterns, alpha=0)
    F = np.concatenate([d[:, None] * X for d in patterns.D.T], axis=1)
    expected = np.linalg.lstsq(F, y, rcond=None)[0].reshape(4, 3).T
    assert np.allclose(result.x, expected, atol=1e-10)
    assert result.certificate.guarantee is farkas.Guarantee.LOCAL
    assert result.certificate.satisfied, result.certificate
    farkas.verify(result, X, y).check()


small = st.integers(0, 10_000)


@given(seed=small)
def test_more_patterns_never_hurt_and_gated_is_a_relaxation(seed):
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((8, 3)), rng.standard_normal(8)
    D = sample_patterns(X, 8, random_state=seed).D
    few = solve_relu(X, y, D[:, :4], alpha=0.2, tol=1e-6)
    many = solve_relu(X, y, D, alpha=0.2, tol=1e-6)
    gated = solve_gated(X, y, D, alpha=0.2, tol=1e-6)
    assert many.lower_bound <= few.fun + 1e-9
    assert gated.lower_bound <= many.fun + 1e-9


@given(seed=small, scale=st.sampled_from([1e-4, 0.3, 50.0, 1e5]))
def test_scaling_data_with_the_penalty_changes_nothing(seed, scale):
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((8, 3)), rng.standard_normal(8)
    D = X @ rng.standard_normal((3, 5)) >= 0
    one = solve_relu(X, y, D, alpha=0.3, tol=1e-7)
    other = solve_relu(scale * X, y, D, alpha=scale * 0.3, tol=1e-7)
    assert one.fun == pytest.approx(other.fun, rel=1e-6)
    order, columns = rng.permutation(8), rng.permutation(5)
    shuffled = solve_relu(X[order], y[order], D[order][:, columns], alpha=0.3, tol=1e-7)
    assert one.fun == pytest.approx(shuffled.fun, rel=1e-6)


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge"])
def test_network_has_the_objective_of_the_program(loss):
    patterns = enumerate_patterns(SIX)
    y = np.sign(SIX_Y)
    result = solve_relu(SIX, y, patterns, alpha=0.1, loss=loss, tol=1e-7)
    V, W = result.x
    signs = 2 * patterns.D - 1
    for block in (V, W):
        assert (signs * (SIX @ block)).min() >= -1e-12
    U, a = recover_network(V, W, SIX)
    z = network_output(SIX, U, a)
    penalty = 0.05 * (np.sum(U**2) + np.sum(a**2))
    objective = LOSSES[loss].value(z, y).sum() + penalty
    assert objective <= result.fun + 1e-9
    assert objective >= result.lower_bound - 1e-9
    assert len(a) <= len(y) + 20


BAD = [
    ({"alpha": -1.0}, "alpha=-1.0"),
    ({"alpha": 0}, "alpha=0 "),
    ({"alpha": np.nan}, "alpha=nan"),
    ({"alpha": "1"}, "alpha='1'"),
    ({"loss": "absolute"}, "loss='absolute'"),
    ({"y": [1.0, 2.0]}, "y must have shape"),
    ({"y": [1.0, np.nan, 1, 1]}, "y must not contain NaN"),
    ({"y": [0, 1, 1, 0], "loss": "hinge"}, "y must be -1 or \\+1"),
    ({"X": XOR[0]}, "X must be a nonempty"),
    ({"X": np.full((4, 3), np.inf)}, "X must not contain NaN"),
    ({"patterns": np.ones((3, 2))}, "patterns must have shape"),
    ({"patterns": np.ones(4)}, "patterns must have shape"),
    ({"patterns": np.full((4, 2), 0.5)}, "patterns must hold 0 and 1"),
    ({"patterns": PatternSet(np.ones((2, 2), bool), np.ones((3, 2)))}, "2 rows"),
    ({"tol": -1}, "tol=-1"),
    ({"max_iter": 0}, "max_iter=0"),
    ({"max_time": 0}, "max_time=0"),
    ({"rho": 0}, "rho=0"),
    ({"callback": 3}, "callback=3"),
    ({"verbose": 5}, "verbose=5"),
    ({"x0": (np.zeros((3, 1)),)}, "x0 must hold 2"),
    ({"x0": (np.zeros((3, 2)), np.full((3, 2), np.nan))}, "x0 must not contain"),
]


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_bad_input_is_named(changes, message):
    arguments = {"X": XOR, "y": XOR_Y, "patterns": np.ones((4, 2)), "alpha": 1.0}
    arguments |= changes
    X, y, patterns = (arguments.pop(name) for name in ("X", "y", "patterns"))
    with pytest.raises(ValueError, match=message):
        solve_relu(X, y, patterns, **arguments)


def hard_program():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.uniform(size=(20, 3)), np.ones(20)])
    y = np.where(np.arange(20) % 3 == 1, 1.0, -1.0)
    return X, y, sample_patterns(X, 30, random_state=0)


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge"])
def test_first_iteration_already_proves_something(loss):
    X, y, patterns = hard_program()
    result = solve_relu(X, y, patterns, alpha=0.01, loss=loss, max_iter=1)
    assert result.status is Status.MAX_ITER
    assert not result.success
    assert np.isfinite(result.fun)
    assert result.lower_bound >= 0
    farkas.verify(result, X, y).check()


def test_callback_sees_progress_and_may_stop():
    X, y, patterns = hard_program()
    seen = []

    def callback(intermediate_result):
        seen.append(intermediate_result)
        if len(seen) == 3:
            raise StopIteration

    result = solve_relu(X, y, patterns, alpha=0.01, tol=0, callback=callback)
    assert result.status is Status.CALLBACK
    assert not result.success
    assert [progress.nit for progress in seen] == [10, 20, 30]
    assert seen[-1].x[0].shape == (4, 30)
    assert (np.diff([progress.fun for progress in seen]) <= 0).all()
    assert (np.diff([progress.lower_bound for progress in seen]) >= 0).all()
    farkas.verify(result, X, y).check()


def test_callback_is_called_after_the_last_iteration():
    X, y, patterns = hard_program()
    seen = []
    result = solve_relu(
        X,
        y,
        patterns,
        alpha=0.01,
        max_iter=15,
        callback=lambda intermediate_result: seen.append(intermediate_result.nit),
    )
    assert seen == [10, 15]
    assert result.nit == 15


def test_interrupt_keeps_the_best_point():
    X, y, patterns = hard_program()

    def callback(intermediate_result):
        raise KeyboardInterrupt

    result = solve_relu(X, y, patterns, alpha=0.01, callback=callback)
    assert result.status is Status.CALLBACK
    assert "Interrupted" in result.message
    assert result.nit == 10
    farkas.verify(result, X, y).check()


def test_time_limit_keeps_the_best_point():
    X, y, patterns = hard_program()
    result = solve_relu(X, y, patterns, alpha=0.001, tol=0, max_time=1e-9)
    assert result.status is Status.MAX_TIME
    assert result.nit == 1
    farkas.verify(result, X, y).check()


def test_zero_tolerance_ends_when_nothing_more_can_be_gained():
    result = solve_relu(
        XOR, XOR_Y, enumerate_patterns(XOR), alpha=0.1, tol=0, max_iter=20_000
    )
    assert result.nit < 20_000
    assert result.gap < 1e-9


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge"])
def test_resuming_changes_no_bit(loss, tmp_path):
    X, y, patterns = hard_program()
    options = {"alpha": 0.01, "loss": loss, "tol": 1e-14}
    whole = solve_relu(X, y, patterns, max_iter=100, **options)
    path = tmp_path / "state.npz"
    solve_relu(
        X, y, patterns, max_iter=50, callback=Checkpoint(path, every=50), **options
    )
    rest = solve_relu(X, y, patterns, max_iter=100, state=load(path), **options)
    assert rest.nit == whole.nit == 100
    assert np.array_equal(rest.x[0], whole.x[0])
    assert np.array_equal(rest.x[1], whole.x[1])
    assert rest.certificate.to_json() == whole.certificate.to_json()
    assert np.array_equal(
        rest.history["lower_bound"][-5:], whole.history["lower_bound"][-5:]
    )


def test_good_start_saves_iterations():
    X, y, patterns = hard_program()
    first = solve_relu(X, y, patterns, alpha=0.1, loss="logistic", tol=1e-6)
    again = solve_relu(X, y, patterns, alpha=0.1, loss="logistic", tol=1e-2, x0=first.x)
    assert again.fun <= first.fun * 1.01
    gated = solve_gated(X, y, patterns, alpha=0.1)
    started = solve_gated(X, y, patterns, alpha=0.1, x0=gated.x)
    assert started.fun == pytest.approx(gated.fun, rel=1e-3)


@pytest.mark.parametrize("factor", [1e-150, 1e-20, 1.0, 1e20, 1e150])
@pytest.mark.parametrize("loss", ["squared", "hinge"])
def test_extreme_scales_never_give_a_false_or_infinite_bound(factor, loss):
    X, y, patterns = hard_program()
    result = solve_relu(factor * X, y, patterns, alpha=1.0, loss=loss, max_iter=300)
    assert np.isfinite(result.fun)
    assert np.isfinite(result.lower_bound)
    assert np.isfinite(result.x[0]).all()
    assert result.lower_bound <= result.fun
    farkas.verify(result, factor * X, y).check()


@pytest.mark.parametrize(
    ("X", "y"),
    [
        ([[2.0]], [1.0]),
        ([[0.0]], [1.0]),
        ([[1.0, 1.0], [1.0, 1.0]], [1.0, -1.0]),
        (np.ones((5, 2)), np.zeros(5)),
        (np.eye(4), np.arange(4.0)),
    ],
)
def test_degenerate_data_are_solved(X, y):
    result = solve_relu(X, y, enumerate_patterns(X), alpha=0.1, tol=1e-6)
    assert result.success, result.certificate
    farkas.verify(result, X, y).check()


def test_history_can_be_off_and_output_on(capsys):
    X, y, patterns = hard_program()
    silent = solve_relu(X, y, patterns, alpha=0.1, history_every=0)
    assert all(len(column) == 0 for column in silent.history.values())
    solve_relu(X, y, patterns, alpha=0.1, verbose=2)
    assert "objective" in capsys.readouterr().out
