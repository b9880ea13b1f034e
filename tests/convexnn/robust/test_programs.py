"""Robust training against known optima, cvxpy, and hostile input."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import farkas
from convexnn import (
    enumerate_patterns,
    pgd,
    recover_network,
    reference_robust,
    sample_patterns,
    sample_robust_patterns,
    solve_relu,
    solve_robust,
)
from convexnn._measure_robust import ROBUST_LOSSES
from convexnn.program import Settings
from convexnn.robust.layers import Network
from convexnn.robust.program import RobustProgram
from convexnn.robust.programs import mint_robust, solve_program
from farkas import Guarantee
from farkas.status import Status

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
SIGNS = np.array([-1.0, -1, -1, -1, -1, 1])
EPS = (0.0, 0.05, 0.1)
# Optimal values over all 32 patterns at alpha = 0.1, from an interior point method.
OPTIMA = {
    "hinge": (0.6622976706, 0.9125022750, 1.5258074820),
    "squared": (0.6688325996, 0.9067891506, 1.2795364505),
    "logistic": (1.6773113097, 1.9552713020, 2.3141393865),
}
CASES = [
    (loss, eps, value)
    for loss, values in OPTIMA.items()
    for eps, value in zip(EPS, values, strict=True)
]


def moved_line(seed, loss, n=20, d=3, P=8):
    """A program on robust patterns, with a column of ones."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.standard_normal((n, d)), np.ones(n)])
    y = X[:, 0] + 0.5 * rng.standard_normal(n)
    if ROBUST_LOSSES[loss].labels:
        y = np.where(y > 0, 1.0, -1.0)
    eps = np.append(0.02 + 0.1 * rng.random(d), 0.0)
    return X, y, sample_robust_patterns(X, P, eps=eps, random_state=seed), eps


@pytest.mark.parametrize("solver", ["admm", "cvxpy"])
@pytest.mark.parametrize(("loss", "eps", "value"), CASES)
def test_known_optima(loss, eps, value, solver):
    options = {"tol": 1e-7, "max_iter": 20_000} if solver == "admm" else {"tol": 1e-5}
    result = solve_robust(
        SIX,
        SIGNS,
        enumerate_patterns(SIX),
        alpha=0.1,
        eps=eps,
        loss=loss,
        solver=solver,
        **options,
    )
    assert result.status is Status.CONVERGED, result.certificate
    assert result.fun == pytest.approx(value, rel=1e-6)
    assert result.lower_bound == pytest.approx(value, rel=1e-6)
    assert farkas.verify(result, SIX, SIGNS)


@pytest.mark.parametrize(("loss", "eps", "value"), CASES)
def test_the_reference_agrees_with_known_optima(loss, eps, value):
    found = reference_robust(
        SIX, SIGNS, enumerate_patterns(SIX), alpha=0.1, eps=eps, loss=loss
    )
    assert found.fun == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("loss", OPTIMA)
def test_zero_radius_is_the_ordinary_program(loss):
    X, y, patterns, _ = moved_line(0, loss)
    plain = solve_relu(X, y, patterns, alpha=0.2, loss=loss, tol=1e-7)
    robust = solve_robust(X, y, patterns, alpha=0.2, eps=0, loss=loss, tol=1e-7)
    assert robust.fun == pytest.approx(plain.fun, rel=1e-6)
    assert robust.lower_bound == pytest.approx(plain.lower_bound, rel=1e-6)


@pytest.mark.filterwarnings("ignore:all units vanish")
@pytest.mark.parametrize("loss", OPTIMA)
@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_the_reference_agrees_on_random_programs(loss, seed):
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(2, 9)), int(rng.integers(1, 4))
    X = rng.standard_normal((n, d))
    if seed % 2:
        X = np.column_stack([X, np.ones(n)])
    y = rng.standard_normal(n)
    if ROBUST_LOSSES[loss].labels:
        y = np.where(y > 0, 1.0, -1.0)
    eps = 0.2 * rng.random(X.shape[1]) * (rng.random(X.shape[1]) < 0.7)
    D = X @ rng.standard_normal((X.shape[1], 6)) >= 0
    alpha = 10.0 ** rng.uniform(-2, 0)
    program = {"alpha": alpha, "eps": eps, "loss": loss}
    mine = solve_robust(X, y, D, tol=1e-6, max_iter=20_000, **program)
    theirs = reference_robust(X, y, D, **program)
    if theirs.status is Status.CONVERGED:
        assert mine.fun <= theirs.fun * (1 + 1e-5) + 1e-7, mine.certificate
        assert mine.lower_bound <= theirs.fun * (1 + 1e-6) + 1e-7, mine.certificate
    assert mine.gap <= 2e-6 * max(mine.fun, 1e-6), mine.certificate


@pytest.mark.parametrize("loss", OPTIMA)
def test_the_claim_about_the_box_is_true(loss):
    # Corners, random points and attacks: no perturbation has a larger loss than that
    # of the certificate, and a row that counts as certified keeps its class.
    X, y, patterns, eps = moved_line(3, loss)
    result = solve_robust(X, y, patterns, alpha=0.05, eps=eps, loss=loss, tol=1e-6)
    U, a = recover_network(*result.x, X)
    penalty = 0.05 * sum(np.linalg.norm(part, axis=0).sum() for part in result.x)
    rng = np.random.default_rng(0)
    worst = np.zeros(len(y))
    signs = np.where(y > 0, 1.0, -1.0)
    least = np.full(len(y), np.inf)
    for draw in range(400):
        shift = rng.uniform(-1, 1, X.shape)
        moved = X + eps * (np.sign(shift) if draw % 2 else shift)
        z = np.maximum(moved @ U, 0.0) @ a
        none = np.zeros(len(y))
        worst = np.maximum(worst, ROBUST_LOSSES[loss].value(z, none, y))
        least = np.minimum(least, signs * z)
    assert worst.sum() + penalty <= result.fun * (1 + 1e-9)
    assert worst.sum() + penalty >= 0.9 * result.fun  # and it is not far from that
    if ROBUST_LOSSES[loss].labels:
        certified = result.certificate.residuals["certified_accuracy"]
        assert certified <= np.mean(least > 0)
        assert certified > 0


@pytest.mark.parametrize("loss", OPTIMA)
def test_the_optimum_grows_with_the_radius_and_falls_with_more_patterns(loss):
    X, y, patterns, eps = moved_line(1, loss)
    values = [
        solve_robust(X, y, patterns, alpha=0.1, eps=f * eps, loss=loss, tol=1e-6)
        for f in (0.0, 0.5, 1.0)
    ]
    for small, large in zip(values, values[1:], strict=False):
        assert small.lower_bound <= large.fun * (1 + 1e-9)
    few = solve_robust(X, y, patterns.D[:, :3], alpha=0.1, eps=eps, loss=loss, tol=1e-6)
    assert values[-1].lower_bound <= few.fun * (1 + 1e-9)
    assert values[0].fun < values[-1].lower_bound


def test_order_of_rows_and_patterns_and_units_do_not_matter():
    X, y, patterns, eps = moved_line(2, "hinge")
    first = solve_robust(X, y, patterns, alpha=0.1, eps=eps, tol=1e-7)
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(len(X)), rng.permutation(len(patterns))
    D = patterns.D[rows][:, columns]
    second = solve_robust(X[rows], y[rows], D, alpha=0.1, eps=eps, tol=1e-7)
    assert second.fun == pytest.approx(first.fun, rel=1e-6)
    for scale in (1e-3, 1e3, 1e100):
        other = solve_robust(
            scale * X, y, patterns, alpha=0.1 * scale, eps=scale * eps, tol=1e-7
        )
        assert other.fun == pytest.approx(first.fun, rel=1e-6)


def test_a_number_spares_the_constant_column():
    X, y, patterns, _ = moved_line(4, "hinge")
    number = solve_robust(X, y, patterns, alpha=0.1, eps=0.05)
    array = solve_robust(X, y, patterns, alpha=0.1, eps=[0.05, 0.05, 0.05, 0.0])
    assert number.fun == array.fun
    np.testing.assert_array_equal(
        number.certificate.witness["eps"], [0.05, 0.05, 0.05, 0.0]
    )


def test_collapse_is_announced_with_the_radius_that_is_left():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal((40, 3)), np.ones(40)])
    y = np.where(X[:, 0] > 0, 1.0, -1.0)
    gaussian = sample_patterns(X, 10, random_state=0)
    with pytest.warns(UserWarning, match="all units vanish at eps=0.5: 0 of 10"):
        result = solve_robust(X, y, gaussian, alpha=0.1, eps=0.5)
    assert result.fun == len(y)  # the hinge loss of the zero network
    assert not result.x[0].any()
    assert not result.x[1].any()
    kept = solve_robust(
        X, y, sample_robust_patterns(X, 10, eps=0.5, random_state=0), alpha=0.1, eps=0.5
    )
    assert kept.fun < 0.9 * len(y)
    with pytest.warns(UserWarning, match="Alpha outweighs every unit"):
        solve_robust(X, y, np.ones((40, 1)), alpha=1e3, eps=0.1)


def test_zero_is_answered_at_once():
    X, y, patterns, eps = moved_line(0, "logistic")
    with pytest.warns(UserWarning, match="all units vanish"):
        result = solve_robust(X, y, patterns, alpha=1e4, eps=eps, loss="logistic")
    assert result.nit == 1
    assert result.fun == pytest.approx(len(y) * math.log(2))
    assert result.certificate.satisfied


def test_state_continues_bit_for_bit():
    X, y, patterns, eps = moved_line(5, "hinge")
    program = {"alpha": 0.1, "eps": eps, "tol": 0.0}
    whole = solve_robust(X, y, patterns, max_iter=120, **program)
    half = solve_robust(X, y, patterns, max_iter=70, **program)
    rest = solve_robust(X, y, patterns, max_iter=120, state=half.state, **program)
    for one, other in zip(whole.x, rest.x, strict=True):
        np.testing.assert_array_equal(one, other)
    assert whole.lower_bound == rest.lower_bound
    np.testing.assert_array_equal(whole.history["iteration"], rest.history["iteration"])


def test_a_warm_start_takes_fewer_iterations():
    X, y, patterns, eps = moved_line(6, "squared", n=60, P=20)
    program = {"alpha": 0.1, "eps": eps, "loss": "squared", "tol": 1e-6}
    cold = solve_robust(X, y, patterns, **program)
    warm = solve_robust(X, y, patterns, x0=cold.x, **program)
    assert warm.nit < cold.nit
    assert warm.fun == pytest.approx(cold.fun, rel=1e-5)


def test_callbacks_see_progress_and_may_stop():
    X, y, patterns, eps = moved_line(7, "hinge")
    seen = []

    def callback(intermediate_result):
        seen.append((intermediate_result.nit, intermediate_result.fun))
        if len(seen) == 2:
            raise StopIteration

    result = solve_robust(X, y, patterns, alpha=0.1, eps=eps, callback=callback, tol=0)
    assert result.status is Status.CALLBACK
    assert result.nit == 20
    assert seen[0][1] >= seen[1][1]
    assert farkas.verify(result, X, y)


def test_an_interrupt_keeps_the_best_point():
    X, y, patterns, eps = moved_line(7, "hinge")

    def callback(intermediate_result):
        raise KeyboardInterrupt

    result = solve_robust(X, y, patterns, alpha=0.1, eps=eps, callback=callback, tol=0)
    assert result.message == "Interrupted by the user."
    assert result.fun < len(y)
    assert farkas.verify(result, X, y)


def test_several_outputs_share_one_certificate():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(c, 0.3, (12, 2)) for c in (-2, 0, 2)])
    y = np.repeat(["low", "middle", "high"], 12)
    data = np.column_stack([X, np.ones(len(X))])
    eps = np.array([0.1, 0.1])
    patterns = sample_robust_patterns(data, 20, eps=np.append(eps, 0), random_state=0)
    Y = np.where(y[:, None] == np.unique(y), 1.0, -1.0)
    bounds = []
    for column in Y.T:
        program = RobustProgram.validated(
            data, column, patterns, 0.05, np.append(eps, 0), "hinge"
        )
        bounds.append(solve_program(program, Settings(tol=1e-5)).bounds)
    parameters = program.parameters() | {"encoding": "labels", "intercept": 1.0}
    certificate = mint_robust(bounds, (X, y), patterns, eps, parameters, 1e-4)
    assert certificate.satisfied
    assert certificate.guarantee is Guarantee.GLOBAL
    assert farkas.verify(certificate, X, y)
    networks = [recover_network(*part.weights(), data) for part in bounds]

    class Model:
        classes_ = np.unique(y)
        coefs_ = (
            np.concatenate([U[:-1] for U, _ in networks], axis=1),
            np.concatenate(
                [np.eye(3)[[c]] * a[:, None] for c, (_, a) in enumerate(networks)]
            ),
        )
        intercepts_ = (
            np.concatenate([U[-1] for U, _ in networks]),
            np.zeros(3),
        )

    attacked, _ = Network.of(Model).forward(pgd(Model, X, y, eps, random_state=0))
    kept = np.mean(np.unique(y)[attacked.argmax(axis=1)] == y)
    assert 0.5 < certificate.residuals["certified_accuracy"] <= kept


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eps": -0.1}, "eps=-0.1 must be finite and >= 0"),
        ({"eps": np.nan}, "eps=nan"),
        ({"eps": "wide"}, "eps='wide' must be a number or one"),
        ({"eps": [0.1, 0.2]}, r"eps must be a number or have shape \(4,\)"),
        ({"loss": "huber"}, "loss='huber' must be one of"),
        ({"alpha": 0.0}, "alpha=0"),
        ({"alpha": -1.0}, "alpha=-1.0"),
        ({"solver": "osqp"}, "solver='osqp' must be 'admm' or 'cvxpy'"),
        ({"tol": -1.0}, "tol=-1.0"),
        ({"max_iter": 0}, "max_iter=0"),
        ({"rho": 0.0}, "rho=0.0"),
        ({"x0": (np.zeros((4, 1)), np.zeros((4, 1)))}, "x0 must hold"),
    ],
)
def test_bad_arguments_are_named(changes, message):
    X, y, patterns, eps = moved_line(0, "hinge")
    arguments = {"alpha": 0.1, "eps": eps} | changes
    with pytest.raises(ValueError, match=message):
        solve_robust(X, y, patterns, **arguments)


def test_bad_data_are_named():
    X, y, patterns, eps = moved_line(0, "hinge")
    with pytest.raises(ValueError, match="y must be -1 or"):
        solve_robust(X, 2 * y, patterns, alpha=0.1, eps=eps)
    with pytest.raises(ValueError, match="y must have shape"):
        solve_robust(X, y[1:], patterns, alpha=0.1, eps=eps)
    with pytest.raises(ValueError, match="patterns have"):
        solve_robust(X[1:], y[1:], patterns, alpha=0.1, eps=eps)
    with pytest.raises(ValueError, match="NaN"):
        solve_robust(np.full_like(X, np.nan), y, patterns, alpha=0.1, eps=eps)


def test_nothing_warns_on_ordinary_data():
    X, y, patterns, eps = moved_line(8, "squared")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solve_robust(X, y, patterns, alpha=0.1, eps=eps, loss="squared")
