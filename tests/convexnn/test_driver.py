"""However a run ends, it ends with its best point, a certificate and a state."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import farkas
from convexnn import sample_patterns, solve_gated, solve_relu
from convexnn._measure_losses import LOSSES
from farkas.checkpoint import Checkpoint, load, save
from farkas.status import Status

LABEL_LOSSES = ("logistic", "hinge")


def random_problem(seed, loss="squared", *, n=20, d=4, P=8):
    """A program of moderate size on sampled patterns."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    y = rng.standard_normal(n)
    if loss in LABEL_LOSSES:
        y = np.where(y > 0, 1.0, -1.0)
    return X, y, sample_patterns(X, P, random_state=seed)


def objective(X, y, D, V, W, alpha):
    """The squared program's objective."""
    z = np.sum(D * (X @ (V - W)), axis=1)
    norms = sum(np.linalg.norm(part, axis=0).sum() for part in (V, W))
    return 0.5 * np.sum((z - y) ** 2) + alpha * norms


def assert_certified(result, X, y):
    """The certificate verifies, and says what the result says."""
    certificate = result.certificate
    assert farkas.verify(certificate, X, y).check()
    assert np.isfinite([certificate.lower, certificate.upper]).all(), certificate
    assert all(np.isfinite(part).all() for part in result.x), certificate
    assert (result.lower_bound, result.fun) == (certificate.lower, certificate.upper)


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


def test_a_gap_closed_between_two_looks_counts_as_converged():
    # The gap is looked at every ten iterations, and once more at the limit.
    X, y, patterns = random_problem(3)
    options = {"alpha": 0.1, "tol": 1e-6}
    reached = solve_relu(X, y, patterns, **options).nit
    for max_iter in range(reached - 9, reached):
        result = solve_relu(X, y, patterns, **options, max_iter=max_iter)
        assert result.nit == max_iter
        assert result.success == result.certificate.satisfied, result.certificate
    assert result.status is Status.CONVERGED, result.certificate


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
            value = objective(X, y, patterns.D, *blocks, 0.01)
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
