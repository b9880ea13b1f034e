"""The sampled convex program against closed forms, scikit-learn, HiGHS and cvxpy."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from sklearn.linear_model import Lasso, LogisticRegression

import farkas
from convexnn import solve_gated, solve_scp
from convexnn._measure_losses import LOSSES
from convexnn.sampled import scp as scp_module
from convexnn.sampled.units import make_features, sample_units, unit_network
from convexnn.sampled.working_set import WorkingSet
from farkas import Guarantee, Status

LOSS_NAMES = ("squared", "logistic", "hinge")


def problem(seed=0, *, n=40, d=4, N=60, labels=False):
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.standard_normal((n, d)), np.ones(n)])
    y = np.abs(X[:, 0]) - X[:, 1] + 0.3 * rng.standard_normal(n)
    if labels:
        y = np.where(y > np.median(y), 1.0, -1.0)
    return X, y, sample_units(d + 1, N, random_state=seed)


def features(X, units):
    return np.maximum(X @ units, 0.0)


def objective(X, y, units, coef, alpha, loss):
    z = features(X, units) @ coef
    return LOSSES[loss].value(z, y).sum() + alpha * np.abs(coef).sum()


def test_one_sample_in_closed_form():
    result = solve_scp([[3.0, 4.0]], [2.0], [[3.0], [4.0]], alpha=1.0)
    assert result.x == pytest.approx([0.36], abs=1e-14)
    assert result.fun == pytest.approx(0.38, abs=1e-13)
    assert result.gap <= 1e-13


@pytest.mark.parametrize("alpha", [20.0, 1.0, 0.05])
def test_squared_loss_agrees_with_the_lasso_of_scikit_learn(alpha):
    X, y, units = problem()
    result = solve_scp(X, y, units, alpha=alpha, tol=1e-9)
    lasso = Lasso(alpha / len(y), fit_intercept=False, tol=1e-12, max_iter=10**6)
    lasso.fit(features(X, units), y)
    assert result.fun == pytest.approx(
        objective(X, y, units, lasso.coef_, alpha, "squared"), rel=1e-8
    )
    assert result.lower_bound <= result.fun * (1 + 1e-12)


@pytest.mark.parametrize("alpha", [3.0, 0.3])
def test_logistic_loss_agrees_with_scikit_learn(alpha):
    X, y, units = problem(1, labels=True)
    result = solve_scp(X, y, units, alpha=alpha, loss="logistic", tol=1e-9)
    peer = LogisticRegression(
        l1_ratio=1, C=1 / alpha, fit_intercept=False, solver="liblinear", tol=1e-10,
        max_iter=10_000, random_state=0,
    ).fit(features(X, units), y)  # fmt: skip
    theirs = objective(X, y, units, peer.coef_[0], alpha, "logistic")
    assert result.fun <= theirs * (1 + 1e-9)
    assert result.fun == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize("alpha", [3.0, 0.3])
def test_hinge_loss_agrees_with_the_whole_linear_program(alpha):
    X, y, units = problem(2, labels=True)
    result = solve_scp(X, y, units, alpha=alpha, loss="hinge", tol=1e-9)
    n, N = len(y), units.shape[1]
    margins = y[:, None] * features(X, units)
    whole = linprog(
        np.concatenate([np.full(2 * N, alpha), np.ones(n)]),
        A_ub=np.hstack([-margins, margins, -np.eye(n)]),
        b_ub=-np.ones(n),
    )
    assert result.fun == pytest.approx(whole.fun, rel=1e-8)
    assert np.count_nonzero(result.x) < N


@pytest.mark.parametrize("loss", LOSS_NAMES)
def test_any_accuracy_is_reached_and_certified(loss):
    X, y, units = problem(3, labels=loss != "squared")
    for tol in (1e-2, 1e-6, 1e-9):
        result = solve_scp(X, y, units, alpha=0.5, loss=loss, tol=tol)
        assert result.success
        assert result.gap <= tol * result.fun
        assert result.certificate.guarantee is Guarantee.GLOBAL
        farkas.verify(result, X, y).check()
        value = objective(X, y, units, result.x, 0.5, loss)
        assert result.fun == pytest.approx(value, rel=1e-12)


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 2**31),
    st.sampled_from(LOSS_NAMES),
    st.sampled_from([1e-3, 0.1, 1.0, 30.0]),
)
def test_awkward_data_are_solved(seed, loss, alpha):
    rng = np.random.default_rng(seed)
    n, d, N = (int(rng.integers(1, top)) for top in (15, 5, 30))
    X = rng.standard_normal((n, d)) * 10.0 ** rng.integers(-3, 4)
    X[rng.random(n) < 0.2] = 0.0  # rows of zeros
    X[-1] = X[0]
    units = rng.standard_normal((d, N))
    units[:, -1] = units[:, 0]  # a repeated unit
    y = rng.standard_normal(n)
    if loss != "squared":
        y = np.where(y > 0, 1.0, -1.0)
    result = solve_scp(X, y, units, alpha=alpha, loss=loss, tol=1e-7)
    assert result.success, result
    farkas.verify(result, X, y).check()


@pytest.mark.parametrize("loss", LOSS_NAMES)
def test_zero_is_the_answer_from_the_largest_price_on(loss):
    X, y, units = problem(labels=loss != "squared")
    theta = LOSSES[loss].theta(np.zeros_like(y), y)
    largest = np.abs(features(X, units).T @ theta).max()
    above = solve_scp(X, y, units, alpha=largest * (1 + 1e-9), loss=loss)
    assert not above.x.any()
    assert above.nit == 0
    below = solve_scp(X, y, units, alpha=0.95 * largest, loss=loss, tol=1e-8)
    assert below.x.any()


def test_units_times_a_factor_and_data_times_a_factor_change_nothing():
    X, y, units = problem()
    one = solve_scp(X, y, units, alpha=1.0, tol=1e-9)
    longer = solve_scp(X, y, 7.0 * units, alpha=1.0, tol=1e-9)
    assert longer.fun == pytest.approx(one.fun, rel=1e-9)
    scaled = solve_scp(2.0**40 * X, y, units, alpha=2.0**40, tol=1e-9)
    assert scaled.fun == pytest.approx(one.fun, rel=1e-9)
    assert scaled.x * 2.0**40 == pytest.approx(one.x, abs=1e-7)


def test_more_units_never_hurt_and_a_seed_gives_nested_units():
    X, y, _ = problem()
    results = [solve_scp(X, y, N, alpha=0.5, random_state=3) for N in (20, 100, 500)]
    assert np.array_equal(results[0].units, results[1].units[:, :20])
    assert results[0].fun > results[1].fun > results[2].fun


def test_gated_units_on_the_same_gates_reach_a_lower_value():
    # A gated unit may use any weights where its gate is open, its own among them.
    X, y, units = problem(5, N=25)
    sampled = solve_scp(X, y, units, alpha=0.5, tol=1e-8)
    gated = solve_gated(X, y, (X @ units >= 0).astype(int), alpha=0.5, tol=1e-8)
    assert gated.fun <= sampled.fun


def test_the_network_has_the_objective_of_the_program():
    X, y, units = problem()
    result = solve_scp(X, y, units, alpha=0.5, tol=1e-9)
    U, a = result.network
    assert U.shape[1] == len(a) == np.count_nonzero(result.x)
    loss = 0.5 * np.sum((np.maximum(X @ U, 0) @ a - y) ** 2)
    penalty = 0.25 * (np.sum(U**2) + np.sum(a**2))
    assert loss + penalty == pytest.approx(result.fun, rel=1e-12)


def test_rows_and_units_in_another_order_change_nothing():
    X, y, units = problem()
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(len(y)), rng.permutation(units.shape[1])
    one = solve_scp(X, y, units, alpha=0.5, tol=1e-10)
    other = solve_scp(X[rows], y[rows], units[:, columns], alpha=0.5, tol=1e-10)
    assert other.x == pytest.approx(one.x[columns], abs=1e-7)


@pytest.mark.parametrize("loss", LOSS_NAMES)
def test_a_run_continues_bit_for_bit(loss):
    X, y, units = problem(4, N=300, labels=loss != "squared")
    program = {"alpha": 0.05, "loss": loss, "tol": 1e-9}
    whole = solve_scp(X, y, units, **program)
    part = solve_scp(X, y, units, max_iter=2, **program)
    rest = solve_scp(X, y, state=part.state, **program)
    assert whole.nit > 2
    assert np.array_equal(rest.x, whole.x)
    assert rest.nit == whole.nit
    names = ("iteration", "objective", "lower_bound", "n_active")
    for name in names:
        assert np.array_equal(rest.history[name][-3:], whole.history[name][-3:])


def test_a_start_at_the_solution_ends_at_once():
    X, y, units = problem()
    one = solve_scp(X, y, units, alpha=0.5, tol=1e-6)
    again = solve_scp(X, y, units, alpha=0.5, tol=1e-6, x0=one.x)
    assert again.nit == 0
    assert again.fun == pytest.approx(one.fun, rel=1e-12)


def test_screening_removes_units_and_none_that_count(monkeypatch):
    X, y, units = problem(7, N=400)
    removed = []
    original = WorkingSet._price

    def watch(self):
        original(self)
        removed.append(np.flatnonzero(~self.alive))

    monkeypatch.setattr(WorkingSet, "_price", watch)
    result = solve_scp(X, y, units, alpha=2.0, tol=1e-10)
    assert len(removed[-1]) > 100
    assert not result.x[removed[-1]].any()
    assert result.success


def test_interrupts_time_limits_and_callbacks_keep_the_best_point(monkeypatch):
    X, y, units = problem(4, N=300)
    seen = []

    def stop(intermediate_result):
        seen.append(intermediate_result.fun)
        if len(seen) == 2:
            raise StopIteration

    result = solve_scp(X, y, units, alpha=0.05, tol=1e-9, callback=stop)
    assert result.status is Status.CALLBACK
    assert seen[1] < seen[0]
    farkas.verify(result, X, y).check()
    slow = solve_scp(X, y, units, alpha=0.05, tol=1e-9, max_time=1e-9)
    assert slow.status is Status.MAX_TIME

    original = WorkingSet.advance

    def interrupt(self):
        if self.nit == 3:
            raise KeyboardInterrupt
        original(self)

    monkeypatch.setattr(WorkingSet, "advance", interrupt)
    result = solve_scp(X, y, units, alpha=0.05, tol=1e-9)
    assert result.message == "Interrupted by the user."
    assert result.nit == 3
    farkas.verify(result, X, y).check()


def test_a_linear_program_that_fails_is_a_stall(monkeypatch):
    X, y, units = problem(labels=True)
    answer = type("Answer", (), {"status": 4})()
    monkeypatch.setattr("convexnn.sampled.working_set.linprog", lambda *_, **__: answer)
    result = solve_scp(X, y, units, alpha=0.5, loss="hinge", max_iter=50)
    assert result.status is Status.STALLED
    farkas.verify(result, X, y).check()


def test_a_certificate_that_is_not_met_is_not_called_converged():
    made = solve_scp(*problem()[:2], 20, alpha=1.0, random_state=0).certificate
    loose, tight = (
        farkas.certify(
            made.problem, problem()[:2], made.witness, made.parameters, tolerance=tol
        )
        for tol in (1.0, 0.0)
    )
    assert scp_module.final_status(Status.CONVERGED, tight) is Status.STALLED
    assert scp_module.final_status(Status.MAX_ITER, loose) is Status.CONVERGED
    assert scp_module.final_status(Status.CALLBACK, loose) is Status.CALLBACK


@pytest.mark.parametrize(
    ("options", "error", "name"),
    [
        ({"alpha": 0.0}, ValueError, "alpha=0.0"),
        ({"alpha": math.nan}, ValueError, "alpha=nan"),
        ({"alpha": "1"}, TypeError, "alpha='1'"),
        ({"loss": "huber"}, ValueError, "loss='huber'"),
        ({"loss": "hinge"}, ValueError, "y must be -1 or"),
        ({"units": 0}, ValueError, "units=0"),
        ({"units": np.ones((3, 2))}, ValueError, "units must be"),
        ({"units": np.zeros((5, 2))}, ValueError, "nonzero"),
        ({"units": np.full((5, 2), np.nan)}, ValueError, "finite"),
        ({"tol": -1}, ValueError, "tol=-1"),
        ({"max_iter": 0}, ValueError, "max_iter=0"),
        ({"x0": np.ones(3)}, ValueError, "x0"),
        ({"x0": np.full(60, np.inf)}, ValueError, "x0"),
        ({"callback": 3}, ValueError, "callback=3"),
        ({"X": np.ones(3)}, ValueError, "X must be"),
        ({"X": np.full((40, 5), np.nan)}, ValueError, "X must not"),
        ({"y": np.ones(3)}, ValueError, "y must have shape"),
        ({"y": np.full(40, np.inf)}, ValueError, "y must not"),
        ({"y": np.full(40, 1e200)}, ValueError, "y is too large"),
    ],
)
def test_bad_arguments_are_named(options, error, name):
    X, y, units = problem()
    options = {"X": X, "y": y, "units": units, "alpha": 1.0} | options
    with pytest.raises(error, match=name):
        solve_scp(**options)


def test_units_lie_on_the_sphere_and_bad_numbers_are_named():
    units = sample_units(4, 50, random_state=1)
    assert np.linalg.norm(units, axis=0) == pytest.approx(np.ones(50))
    assert np.array_equal(units, sample_units(4, 50, random_state=1))
    for bad in ((0, 5), (4, 0)):
        with pytest.raises(ValueError, match="must be an integer >= 1"):
            sample_units(*bad)


def test_features_are_scaled_by_a_power_of_two():
    X = np.array([[1e200, -3e200], [5e199, 0.0]])
    rows, scale = make_features(X, np.eye(2))
    assert math.frexp(scale)[0] == 0.5
    assert rows * scale == pytest.approx(np.maximum(X.T, 0))
    assert rows.max() <= 1.0


def test_a_network_of_no_unit_is_empty():
    U, a = unit_network(np.eye(3), np.zeros(3))
    assert U.shape == (3, 0)
    assert a.shape == (0,)
