"""The whole search: budgets, failures, constraints, grids, and its certificate."""

import math
import time

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, NonlinearConstraint, rosen

import farkas
from dfo import minimize_cdsm
from dfo.constraints import Violation
from farkas.status import Status


def sphere(x):
    return float(x @ x)


def shifted(x):
    return float((x[0] - 2.3) ** 2 + (x[1] + 1.7) ** 2 + 0.1 * x[0] * x[1])


@pytest.mark.parametrize("seed", range(5))
def test_rosenbrock(seed):
    res = minimize_cdsm(
        rosen, [-1.2, 1.0], initial_radius=1.0, maxfev=1000, random_state=seed
    )
    assert res.fun <= 1e-20
    assert res.status is Status.CONVERGED
    assert res.certificate.satisfied
    assert res.certificate.value == 1e-8
    farkas.verify(res, rosen).check()
    assert not farkas.verify(res, lambda x: -rosen(x))


@pytest.mark.parametrize("poll", ["2n", "n+1", "simplex", "coordinate"])
@pytest.mark.parametrize("rotation", ["random", "halton"])
def test_every_poll_set_without_models(poll, rotation):
    res = minimize_cdsm(
        sphere,
        [3.0, -2.0, 1.0],
        poll=poll,
        rotation=rotation,
        model_search=False,
        simplex_search=False,
        maxfev=3000,
        random_state=0,
    )
    assert res.fun < 1e-10
    farkas.verify(res, sphere).check()
    bound = res.certificate.residuals["stationarity_bound"]
    if res.certificate.satisfied and not math.isnan(bound):
        assert np.linalg.norm(2 * res.x * res.scale) <= bound


@pytest.mark.parametrize("seed", range(100))
def test_the_bound_holds_on_random_quadratics(seed):
    """Ten quadratics each, with bounds active and inactive."""
    rng = np.random.default_rng(seed)
    for k in range(10):
        n = int(rng.integers(2, 5))
        A, b = rng.standard_normal((n, n)), rng.standard_normal(n)
        H = A @ A.T + 0.1 * np.eye(n)
        bounds = [(-1.0, 0.5)] * n if k % 2 else None
        res = minimize_cdsm(
            lambda x, H=H, b=b: float(0.5 * x @ H @ x + b @ x),
            np.zeros(n),
            bounds=bounds,
            maxfev=int(rng.integers(15, 80)),
            random_state=seed,
            lipschitz_gradient=float(np.linalg.eigvalsh(H)[-1]),
            model_search=bool(k % 3),
        )
        bound = res.certificate.residuals["stationarity_bound"]
        if math.isnan(bound):
            assert math.isinf(res.certificate.value)
            continue
        g = (H @ res.x + b) * res.scale
        if bounds:  # directions blocked within one poll size are not in T
            h = res.certificate.value
            above, below = (0.5 - res.x) / res.scale, (res.x + 1.0) / res.scale
            g[((above <= h) & (g < 0)) | ((below <= h) & (g > 0))] = 0.0
        assert np.linalg.norm(g) <= bound * (1 + 1e-9)


@pytest.mark.parametrize("maxfev", [1, 2, 7, 33, 100])
@pytest.mark.parametrize("block_size", [1, 3])
def test_the_budget_is_never_exceeded(maxfev, block_size):
    calls = []

    def counted(x):
        calls.append(x.copy())
        return rosen(x)

    res = minimize_cdsm(
        counted,
        np.zeros(4),
        maxfev=maxfev,
        certify=False,
        block_size=block_size,
        random_state=0,
    )
    assert len(calls) == res.nfev == maxfev
    assert res.status is Status.MAX_EVAL
    assert res.nfev_certificate == 0
    calls.clear()
    res = minimize_cdsm(counted, np.zeros(4), maxfev=maxfev, random_state=0)
    assert res.nfev == maxfev
    assert len(calls) == maxfev + res.nfev_certificate
    assert res.nfev_certificate <= 8
    np.testing.assert_array_equal(np.array(calls), res.evaluations["X"])
    assert len({x.tobytes() for x in calls}) == len(calls)


def test_history_and_log_agree():
    res = minimize_cdsm(rosen, [-1.2, 1.0], maxfev=300, random_state=0)
    log, rows = res.evaluations, res.history
    assert len(rows["iteration"]) == res.nit
    assert (np.diff(rows["objective"]) <= 0).all()
    assert (np.diff(log["elapsed"]) >= 0).all()
    assert set(log["label"]) <= {
        "start",
        "covering",
        "model",
        "simplex",
        "poll",
        "speculative",
        "certificate",
    }
    assert res.fun == log["F"].min()
    assert res.maxcv == 0


@pytest.mark.parametrize("workers", [2, 4, map])
@pytest.mark.parametrize("block_size", [1, 4])
def test_workers_do_not_change_a_bit(workers, block_size):
    options = {"maxfev": 150, "block_size": block_size, "random_state": 3}
    one = minimize_cdsm(rosen, np.zeros(3), **options)
    many = minimize_cdsm(rosen, np.zeros(3), workers=workers, **options)
    for name in ("X", "F", "label"):
        np.testing.assert_array_equal(one.evaluations[name], many.evaluations[name])


def test_rows_of_a_vectorized_function():
    def rows(X):
        return (X**2).sum(axis=1)

    options = {"maxfev": 200, "block_size": 3, "random_state": 0}
    one = minimize_cdsm(lambda x: rows(x[None])[0], np.ones(3), **options)
    many = minimize_cdsm(rows, np.ones(3), vectorized=True, **options)
    np.testing.assert_array_equal(one.evaluations["X"], many.evaluations["X"])
    with pytest.raises(TypeError, match="shape"):
        minimize_cdsm(lambda X: X, np.ones(3), vectorized=True)


def failing(x):
    if x[0] < 0.5:
        raise RuntimeError("no convergence")
    return float("nan") if x[1] < 0 else x[0] ** 2 + x[1]


def test_failing_and_undefined_points():
    res = minimize_cdsm(failing, [1.0, 1.0], random_state=0)
    assert res.fun == pytest.approx(0.25, abs=1e-6)
    farkas.verify(res, failing).check()
    with pytest.raises(RuntimeError, match="convergence"):
        minimize_cdsm(failing, [1.0, 1.0], on_error="raise", random_state=0)


def test_a_failing_start_is_left():
    def fails_at_start(x):
        return float("nan") if np.all(x == 1) else sphere(x)

    res = minimize_cdsm(fails_at_start, [1.0, 1.0], maxfev=500, random_state=0)
    assert res.fun < 1e-8
    with pytest.raises(ValueError, match="x0"):
        minimize_cdsm(fails_at_start, [1.0, 1.0], on_error="raise")
    nothing = minimize_cdsm(lambda x: math.nan, [1.0], maxfev=20)
    assert nothing.fun == math.inf
    assert not nothing.success
    assert math.isinf(nothing.certificate.value)


def test_a_slow_function_stops_in_time():
    def slow(x):
        time.sleep(0.01)
        return sphere(x)

    res = minimize_cdsm(slow, np.ones(3), max_time=0.1, certify=False)
    assert res.status is Status.MAX_TIME
    assert res.elapsed < 1.0


def test_interrupts_keep_what_is_known():
    calls = 0

    def interrupted(x):
        nonlocal calls
        calls += 1
        if calls == 40:
            raise KeyboardInterrupt
        return sphere(x)

    res = minimize_cdsm(interrupted, np.ones(3), random_state=0)
    assert res.status is Status.CALLBACK
    assert res.nfev == 39
    assert res.fun == res.evaluations["F"].min()

    def callback(intermediate_result):
        if intermediate_result.nit == 3:
            raise StopIteration

    res = minimize_cdsm(sphere, np.ones(3), callback=callback, random_state=0)
    assert (res.status, res.nit, res.success) == (Status.CALLBACK, 3, False)


def test_targets_and_iterations():
    res = minimize_cdsm(sphere, np.ones(3), ftarget=0.1, random_state=0)
    assert res.status is Status.TARGET_REACHED
    assert res.fun <= 0.1
    res = minimize_cdsm(sphere, np.ones(3), maxiter=2, random_state=0)
    assert (res.status, res.nit) == (Status.MAX_ITER, 2)
    res = minimize_cdsm(sphere, np.ones(2), lower_bound=0.0, random_state=0)
    assert res.certificate.lower == 0


def test_fixed_variables():
    res = minimize_cdsm(sphere, [1.0, 2.0], bounds=[(1, 1), (2, 2)])
    assert res.nfev == 1
    assert res.status is Status.CONVERGED
    assert res.certificate.value == 0
    farkas.verify(res, sphere).check()
    res = minimize_cdsm(sphere, [1.0, 2.0], bounds=Bounds([1, -1], [1, 3]))
    np.testing.assert_allclose(res.x, [1, 0], atol=1e-7)
    assert res.certificate.satisfied


def test_the_corner_of_a_box():
    res = minimize_cdsm(lambda x: float(x.sum()), np.ones(4), bounds=[(0, 2)] * 4)
    np.testing.assert_array_equal(res.x, 0)
    assert res.certificate.satisfied
    farkas.verify(res, lambda x: float(x.sum())).check()


def test_linear_constraints_are_never_left():
    rows = LinearConstraint([[1.0, 1.0, 1.0], [1.0, -1.0, 0.0]], ub=[1.0, 0.5])

    def f(x):
        assert x.sum() <= 1 + 1e-9
        assert x[0] - x[1] <= 0.5 + 1e-9
        return float((x[0] - 2) ** 2 + (x[1] - 1) ** 2 + x[2] ** 2)

    res = minimize_cdsm(f, np.zeros(3), constraints=rows, random_state=0)
    # Distances 2 / sqrt(3) and 0.5 / sqrt(2) to two orthogonal planes.
    assert res.fun == pytest.approx(4 / 3 + 1 / 8)
    assert res.certificate.satisfied
    farkas.verify(res, f).check()


def test_linear_equalities_are_eliminated():
    plane = LinearConstraint([[1.0, 1.0, 1.0]], lb=1.0, ub=1.0)
    res = minimize_cdsm(sphere, [5.0, 0.0, 0.0], constraints=plane, random_state=0)
    np.testing.assert_allclose(res.x, 1 / 3, atol=1e-6)
    assert np.abs(res.evaluations["X"].sum(axis=1) - 1).max() < 1e-12
    assert res.certificate.satisfied
    farkas.verify(res, sphere).check()


def test_contradicting_rows_are_refused():
    rows = [LinearConstraint([[1.0]], ub=0.0), LinearConstraint([[1.0]], lb=1.0)]
    with pytest.raises(ValueError, match="contradict"):
        minimize_cdsm(sphere, [0.0], constraints=rows)


DISC = NonlinearConstraint(lambda x: x @ x, -np.inf, 1.0)


@pytest.mark.parametrize("handling", ["pb", "eb", "penalty"])
@pytest.mark.parametrize("start", [[2.0, 3.0], [0.1, 0.2]])
def test_nonlinear_constraints(handling, start):
    def f(x):
        return float(x[0] + x[1])

    res = minimize_cdsm(
        f,
        start,
        constraints=DISC,
        constraint_handling=handling,
        maxfev=600,
        random_state=0,
    )
    assert res.maxcv == 0
    assert res.fun == pytest.approx(-math.sqrt(2), abs=1e-5)
    assert math.isfinite(res.certificate.value)
    farkas.verify(res, f, Violation(DISC)).check()
    assert not farkas.verify(res, f, lambda x: 1.0)
    assert math.isnan(res.certificate.residuals["stationarity_bound"])


def test_no_feasible_point():
    impossible = {"type": "ineq", "fun": lambda x: -1.0 - x @ x}
    res = minimize_cdsm(sphere, np.ones(2), constraints=impossible, maxfev=400)
    assert not res.success
    assert res.maxcv == pytest.approx(1.0, abs=1e-2)
    assert math.isinf(res.certificate.value)


def test_nonlinear_equalities_are_refused():
    for equality in (
        NonlinearConstraint(lambda x: x[0], 1.0, 1.0),
        {"type": "eq", "fun": lambda x: x[0]},
    ):
        with pytest.raises(ValueError, match="equality"):
            minimize_cdsm(sphere, [0.0], constraints=equality)


def test_integers():
    res = minimize_cdsm(shifted, [7, 8], integrality=[1, 1], random_state=0)
    np.testing.assert_array_equal(res.evaluations["X"] % 1, 0)
    np.testing.assert_array_equal(res.x, [2, -2])
    assert res.status is Status.CONVERGED
    assert res.certificate.value == 0
    assert math.isnan(res.certificate.residuals["cosine_measure"])
    farkas.verify(res, shifted).check()


def test_mixed_and_granular_variables():
    res = minimize_cdsm(
        shifted,
        [7, 4],
        integrality=[1, 0],
        bounds=[(-10.5, 10.5), (-9, 5)],
        random_state=0,
    )
    assert res.x[0] == 2
    assert res.x[1] == pytest.approx(-1.8, abs=1e-6)
    assert res.certificate.satisfied
    res = minimize_cdsm(shifted, [7.1, 8.0], granularity=[0.25, 0], random_state=0)
    np.testing.assert_allclose(
        (res.evaluations["X"][:, 0] - 7.1) / 0.25 % 1 % 1, 0, atol=1e-9
    )
    assert res.certificate.satisfied
    farkas.verify(res, shifted).check()


def test_a_search_hook_comes_first():
    asked = []

    class Hook:
        def __call__(self, x, delta, run):
            asked.append(delta)
            yield 0.5 * x

    res = minimize_cdsm(sphere, np.ones(3), search_step=Hook(), maxfev=200)
    assert res.step_counts["search"] > 5
    assert (res.evaluations["label"] == "covering").sum() >= res.nit // 11
    with pytest.raises(ValueError, match="search_step"):
        minimize_cdsm(sphere, np.ones(3), search_step=lambda x, d, r: [[np.nan] * 3])


def test_restarts_and_other_options():
    def two_wells(x):
        return float(min((x - 3) @ (x - 3), 0.5 + 4 * (x + 3) @ (x + 3)))

    local = minimize_cdsm(two_wells, [-3.0, -2.5], initial_radius=0.3, random_state=0)
    assert local.fun == pytest.approx(0.5)
    again = minimize_cdsm(
        two_wells, [-3.0, -2.5], initial_radius=3.0, n_restarts=6, random_state=0
    )
    assert again.fun < 0.5
    res = minimize_cdsm(
        rosen,
        [-1.2, 1.0],
        maxfev=400,
        random_search=True,
        opportunistic=False,
        forcing=1e-4,
        radius_restarts=2,
        covering_every=2,
        cache=False,
        random_state=0,
    )
    assert res.fun < 1e-3
    assert "random" in res.evaluations["label"]


def test_never_worse_than_the_start():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        x0 = rng.standard_normal(3)
        f = lambda x: float(np.sin(50 * x).sum() + x @ x)  # noqa: E731
        assert minimize_cdsm(f, x0, maxfev=20, random_state=seed).fun <= f(x0)


def test_moves_into_the_box_with_a_warning():
    with pytest.warns(UserWarning, match="x0"):
        res = minimize_cdsm(sphere, [5.0], bounds=[(1, 2)], maxfev=50)
    assert res.x[0] == 1


def test_prints_one_line_an_iteration(capsys):
    res = minimize_cdsm(sphere, np.ones(2), maxfev=50, disp=True)
    assert len(capsys.readouterr().out.splitlines()) >= res.nit


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"x0": [np.nan]}, "x0"),
        ({"x0": [[1.0]]}, "x0"),
        ({"bounds": [(0, 1)] * 2}, "bounds"),
        ({"bounds": [(1, 0)]}, "lower bound"),
        ({"bounds": [(np.nan, 0)]}, "NaN"),
        ({"poll": "3n"}, "poll"),
        ({"rotation": "sobol"}, "rotation"),
        ({"covering": "near"}, "covering"),
        ({"constraint_handling": "x"}, "constraint_handling"),
        ({"on_error": "x"}, "on_error"),
        ({"maxfev": 0}, "maxfev"),
        ({"maxiter": 0}, "maxiter"),
        ({"block_size": 0}, "block_size"),
        ({"covering_every": 0}, "covering_every"),
        ({"initial_radius": 0.0}, "initial_radius"),
        ({"initial_radius": [1.0, 2.0]}, "initial_radius"),
        ({"covering_radius": -1.0}, "covering_radius"),
        ({"xtol": 0.0}, "xtol"),
        ({"forcing": -1.0}, "forcing"),
        ({"max_time": 0}, "max_time"),
        ({"lower_bound": math.nan}, "lower_bound"),
        ({"integrality": [-1]}, "integrality"),
        ({"granularity": [1.0, 1.0]}, "granularity"),
        ({"n_restarts": -1}, "n_restarts"),
        ({"integrality": [1], "bounds": [(0.2, 0.8)], "x0": [0.5]}, "grid"),
        ({"constraints": LinearConstraint([[1.0, 1.0]], ub=1.0)}, "columns"),
    ],
)
def test_bad_arguments(change, match):
    arguments = {"x0": [1.0], **change}
    with pytest.raises(ValueError, match=match):
        minimize_cdsm(sphere, arguments.pop("x0"), **arguments)


@pytest.mark.parametrize(
    ("fun", "change", "match"),
    [
        (3, {}, "fun"),
        (lambda x: x, {}, "shape"),
        (sphere, {"workers": "two"}, "workers"),
        (sphere, {"constraints": 3}, "constraints|iterable"),
    ],
)
def test_wrong_types(fun, change, match):
    with pytest.raises(TypeError, match=match):
        minimize_cdsm(fun, [1.0, 1.0], **change)
