"""minimize_cbo as a user meets it: answers, certificates, budgets, mishaps."""

import math
import time

import numpy as np
import pytest
from scipy.optimize import (
    Bounds,
    LinearConstraint,
    NonlinearConstraint,
    minimize,
    rosen,
)

import farkas
from dfo import CBO, cbo_method, minimize_cbo, stationarity_bound
from dfo.testfunctions import get
from farkas import Status
from farkas.checkpoint import Checkpoint, load
from farkas.testing import tampered

BOX = [(-4.0, 5.0)] * 2


def bowl(x):
    return float((x[0] - 1) ** 2 + 4 * (x[1] + 2) ** 2)


def solve(fun=bowl, bounds=BOX, **options):
    options = {"random_state": 0, "maxfev": 2000, **options}
    return minimize_cbo(fun, bounds, **options)


def test_result_is_complete_and_verifies():
    res = solve(record="full", lower_bound=0.0, x_star=[1.0, -2.0])
    assert res.x == pytest.approx([1, -2], abs=1e-5)
    assert bowl(res.x) == res.fun < 1e-9
    assert res.success
    assert res.nfev <= 2000
    assert res.population.shape[1] == 2
    assert res.population_fun.shape == (len(res.population),)
    assert res.consensus_fun == pytest.approx(bowl(res.consensus))
    assert len(res.run_values) == res.n_restarts + 1
    assert res.maxcv == 0
    assert res.history["consensus"].shape == (res.nit, 2)
    assert res.history["population"].shape[0] == res.nit
    assert {len(column) for column in res.history.values()} == {res.nit}
    assert (np.diff(res.history["objective"]) <= 0).all()
    certificate = res.certificate
    assert certificate.satisfied
    assert certificate.lower == 0
    assert certificate.residuals["gap"] == certificate.upper == res.fun
    assert (
        certificate.residuals["laplace_gap"] <= certificate.residuals["laplace_bound"]
    )
    assert certificate.residuals["decay_rate_star"] > 0
    assert "improvement_probability" in certificate.residuals
    farkas.verify(res, bowl).check()
    assert not farkas.verify(res, lambda x: bowl(x) + 1)
    assert (
        farkas.Certificate.from_json(certificate.to_json()).value == certificate.value
    )


def test_no_forgery_of_the_certificate_verifies():
    def raised(x):  # run values far from zero, whose sign matters
        return bowl(x) + 1.0

    certificate = solve(raised, restarts=3).certificate
    accepted = [
        name
        for name, forged, data in tampered(certificate, (raised,))
        if farkas.verify(forged, *data)
    ]
    assert accepted == []


@pytest.mark.parametrize("d", [1, 2, 5])
def test_multimodal_functions_in_few_dimensions(d):
    f = get("rastrigin", d)
    res = minimize_cbo(f.fun, f.bounds, maxfev=4000 * d, random_state=1)
    assert res.fun < 1e-8
    farkas.verify(res, f.fun).check()


def test_all_forms_of_objectives():
    f = get("sphere", 2)
    compiled = minimize_cbo(f.fun_row, f.bounds, maxfev=1000, random_state=2)
    rows = minimize_cbo(f.fun, f.bounds, vectorized=True, maxfev=500, random_state=2)
    points = minimize_cbo(
        lambda x: float(f.fun(x)),
        f.bounds,
        vectorized=False,
        maxfev=500,
        random_state=2,
    )
    assert rows.x == pytest.approx(points.x, abs=1e-6)
    assert compiled.fun < 1e-9
    assert points.nfev <= 500
    farkas.verify(compiled, f.fun_row).check()
    farkas.verify(rows, f.fun).check()
    extra = minimize_cbo(
        lambda x, a: bowl(x) + a, BOX, args=(5.0,), maxfev=500, random_state=0
    )
    assert extra.fun == pytest.approx(5.0, abs=1e-6)


@pytest.mark.parametrize("options", [{}, {"polish": None}, {"polish": "cdsm"}])
def test_the_same_seed_gives_the_same_bits_for_any_workers(options):
    runs = [
        solve(vectorized=False, workers=workers, maxfev=200, **options)
        for workers in (1, map, 2)
    ]
    for run in runs[1:]:
        assert np.array_equal(run.x, runs[0].x)
        assert run.fun == runs[0].fun
        assert run.nfev == runs[0].nfev
        assert np.array_equal(run.population, runs[0].population)
    assert not np.array_equal(
        solve(random_state=1, maxfev=200).population, runs[0].population
    )


@pytest.mark.parametrize("maxfev", [1, 7, 16, 17, 100, 333])
@pytest.mark.parametrize("vectorized", [True, False])
def test_the_budget_is_never_exceeded(maxfev, vectorized):
    calls = []

    def fun(x):
        calls.append(len(x) if vectorized else 1)
        return np.sum(x**2, axis=-1)

    res = solve(fun, maxfev=maxfev, vectorized=vectorized)
    assert res.nfev <= maxfev
    assert sum(calls) == res.nfev + res.nfev_certificate
    assert res.certificate.value == math.inf or res.certificate.value > 0


def test_statuses():
    assert solve(ftarget=0.5).status is Status.TARGET_REACHED
    assert solve(ftarget=0.5).fun <= 0.5
    assert solve(ftarget=0.5).success
    assert solve(maxiter=3).status is Status.MAX_ITER
    assert solve(maxiter=3).nit == 3
    assert solve(restarts=0).status is Status.CONVERGED
    assert solve(max_time=1e-9).status is Status.MAX_TIME
    full = solve()
    assert full.status is Status.MAX_EVAL
    assert full.success
    assert "budget" in full.message


def test_restart_statistics_count_comparable_runs_only():
    fixed = solve(restarts=3, maxfev=10**5)
    assert fixed.n_restarts == 3
    assert fixed.certificate.residuals["improvement_probability"] == 1 / 5
    assert fixed.certificate.residuals["runs"] == 4
    assert any("fixed beforehand" in text for text in fixed.certificate.assumptions)
    seeded = solve(x0=[0.0, 0.0], restarts=3, maxfev=10**5)
    assert seeded.certificate.residuals["runs"] == 3
    cut = solve(ftarget=1e-12, restarts=3, maxfev=10**5)
    assert math.isnan(
        cut.certificate.residuals.get("improvement_probability", math.nan)
    )
    spent = solve(maxfev=3000)
    assert any("indicative" in text for text in spent.certificate.assumptions)


def test_callback_stops_and_sees_the_best():
    seen = []

    def callback(intermediate_result):
        seen.append(intermediate_result.fun)
        if len(seen) == 4:
            raise StopIteration

    res = solve(callback=callback)
    assert res.status is Status.CALLBACK
    assert not res.success
    assert len(seen) == 4 == res.nit
    assert seen[-1] == res.fun or res.fun <= seen[-1]
    farkas.verify(res, bowl).check()


@pytest.mark.parametrize(
    "options",
    [{}, {"polish": None}, {"memory": True, "lam_memory": 0.4}, {"batch_size": 8}],
)
def test_resume_from_a_checkpoint_is_exact(tmp_path, options):
    def stop_at(limit):
        def callback(intermediate_result):
            checkpoint(intermediate_result=intermediate_result)
            if intermediate_result.nit == limit:
                raise StopIteration

        return callback

    checkpoint = Checkpoint(tmp_path / "run.npz", every=1)
    options = {"vectorized": False, "maxfev": 1500, **options}
    whole = solve(callback=lambda intermediate_result: None, **options)
    solve(callback=stop_at(25), **options)
    resumed = solve(state=load(tmp_path / "run.npz"), **options)
    assert np.array_equal(resumed.x, whole.x)
    assert resumed.fun == whole.fun
    assert resumed.nfev == whole.nfev
    assert np.array_equal(resumed.run_values, whole.run_values)
    assert np.array_equal(resumed.population, whole.population)


def test_an_exception_passes_through_and_keeps_what_was_known():
    calls = 0

    def breaks(x):
        nonlocal calls
        calls += 1
        if calls > 100:
            raise RuntimeError("broken sensor")
        return bowl(x)

    with pytest.raises(RuntimeError, match="broken sensor") as caught:
        solve(breaks, vectorized=False)
    partial = caught.value.partial_result
    assert partial.fun == bowl(partial.x) < 20
    resumed = solve(state=partial.state, vectorized=False)
    assert resumed.fun < 1e-9


def test_ctrl_c_keeps_what_was_known():
    calls = 0

    def interrupted(x):
        nonlocal calls
        calls += 1
        if calls == 50:
            raise KeyboardInterrupt
        return bowl(x)

    with pytest.raises(KeyboardInterrupt) as caught:
        solve(interrupted, vectorized=False)
    assert caught.value.partial_result.fun < math.inf


def test_values_that_are_missing_or_infinite():
    def holes(x):
        if x[0] > 2:
            return math.nan
        return math.inf if x[1] > 0 else bowl(x)

    res = solve(holes, vectorized=False)
    assert res.fun < 1e-6
    farkas.verify(res, holes).check()
    for nothing in (math.nan, math.inf):
        res = solve(lambda x, nothing=nothing: nothing, vectorized=False, maxfev=200)
        assert res.status is Status.NUMERICAL
        assert not res.success
        assert not res.certificate.satisfied
    unbounded = solve(lambda x: -math.inf if x[0] > 4 else bowl(x), vectorized=False)
    assert unbounded.fun == -math.inf


def test_discontinuous_and_flat_functions():
    res = solve(lambda x: float(np.floor(np.abs(x)).sum()), polish="cdsm")
    assert res.fun == 0
    assert res.success
    flat = solve(lambda x: 3.0, vectorized=False, maxfev=500)
    assert flat.fun == 3
    assert flat.success


def test_a_slow_objective_respects_the_clock():
    def slow(x):
        time.sleep(0.01)
        return bowl(x)

    begun = time.perf_counter()
    res = solve(slow, vectorized=False, max_time=0.2)
    assert res.status is Status.MAX_TIME
    assert time.perf_counter() - begun < 2.0
    assert res.fun < math.inf


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(16, 2\)"):
        solve(lambda X: X, vectorized=True)
    with pytest.raises(ValueError, match="one point"):
        solve(lambda x: np.zeros(3), vectorized=False)


def test_unbounded_and_half_bounded_variables():
    res = minimize_cbo(bowl, x0=[3.0, 3.0], maxfev=3000, random_state=0)
    assert res.x == pytest.approx([1, -2], abs=1e-4)
    half = minimize_cbo(
        bowl, [(None, 0.0), (None, None)], x0=[-1.0, 0.0], maxfev=3000, random_state=0
    )
    assert half.x == pytest.approx([0, -2], abs=1e-4)
    assert half.certificate.satisfied
    with pytest.raises(ValueError, match="x0"):
        minimize_cbo(bowl)
    with pytest.raises(ValueError, match="x0"):
        minimize_cbo(bowl, [(0, None), (0, 1)])


def test_bounds_objects_and_starts_outside():
    with pytest.warns(RuntimeWarning, match="outside"):
        res = solve(bounds=Bounds([-4, -4], [5, 5]), x0=[9.0, 9.0])
    assert res.fun < 1e-6
    first = solve(x0=[1.0, -2.0], maxiter=1, polish=None)
    assert first.fun == 0
    population = np.random.default_rng(0).uniform(-4, 5, (20, 2))
    res = solve(x0=population, maxiter=1, polish=None)
    assert res.population == pytest.approx(population)


@pytest.mark.parametrize("boundary", ["resample", "reflect", "clip", "penalty"])
def test_minima_on_the_boundary(boundary):
    def corner(x):
        assert (np.abs(x) <= 1).all()
        return float(x[0] - 2 * x[1])

    res = solve(corner, [(-1, 1)] * 2, boundary=boundary, vectorized=False)
    assert res.x == pytest.approx([-1, 1], abs=1e-6)
    assert res.certificate.satisfied


def test_without_a_boundary_the_minimum_may_lie_outside():
    res = solve(bounds=[(2, 5)] * 2, boundary=None, polish=None)
    assert res.x == pytest.approx([1, -2], abs=1e-3)
    farkas.verify(res, bowl).check()


def test_constraints_by_penalty():
    disc = NonlinearConstraint(lambda x: x[0] ** 2 + x[1] ** 2, -math.inf, 1.0)
    res = solve(lambda x: float(x[0] + x[1]), constraints=disc, maxfev=20_000)
    assert res.fun == pytest.approx(-math.sqrt(2), abs=2e-2)
    assert res.maxcv <= 1e-8
    assert disc.fun(res.x) <= 1 + 1e-8
    farkas.verify(res, lambda x: float(x[0] + x[1]), res.violation).check()
    line = LinearConstraint([[1.0, 1.0]], lb=7.0)
    res = solve(constraints=[line, {"type": "ineq", "fun": lambda x: x[0] - x[1]}])
    assert res.x.sum() >= 7 - 1e-8
    nowhere = NonlinearConstraint(lambda x: x[0], 100.0, math.inf)
    res = solve(constraints=nowhere)
    assert not res.success
    assert "feasible" in res.message
    assert res.certificate.value == math.inf


def test_constraints_by_projection():
    def onto_circle(X):
        return X / np.linalg.norm(X, axis=1, keepdims=True)

    res = solve(
        lambda x: float(x[0]),
        [(-2, 2)] * 2,
        project=onto_circle,
        constraint_method="projection",
        maxfev=4000,
    )
    assert res.fun == pytest.approx(-1, abs=1e-4)
    with pytest.raises(ValueError, match="project"):
        solve(constraint_method="projection")


def test_stationarity_bound_holds():
    res = solve()
    gradient = np.array([2 * (res.x[0] - 1), 8 * (res.x[1] + 2)])
    bound = stationarity_bound(res.certificate, 8.0)
    assert np.linalg.norm(gradient) <= bound < 1e-3


def test_scipy_calls_it_as_a_method():
    res = minimize(
        rosen,
        [4.0, -4.0],
        method=cbo_method,
        bounds=BOX,
        options={"random_state": 0, "maxfev": 4000},
    )
    assert res.fun < 1e-8
    stopped = minimize(
        rosen,
        [4.0, -4.0],
        method=cbo_method,
        bounds=BOX,
        options={"random_state": 0},
        callback=stop_at_once,
    )
    assert stopped.status is Status.CALLBACK
    shifted = minimize(
        lambda x, a: float(np.sum((x - a) ** 2)),
        [0.0, 0.0],
        args=(1.5,),
        jac=lambda x, a: 2 * (x - a),
        method=cbo_method,
        bounds=BOX,
        options={"random_state": 0, "maxfev": 1000},
    )
    assert shifted.x == pytest.approx([1.5, 1.5], abs=1e-6)


def stop_at_once(intermediate_result):
    raise StopIteration


@pytest.mark.parametrize("preset", ["theory", "paper", "carrillo"])
@pytest.mark.filterwarnings("ignore:particles diverge")
def test_presets(preset):
    res = solve(preset=preset, polish=None, maxfev=20_000, restarts=0)
    assert res.fun < 5
    assert res.certificate.parameters["lam"] == 1.0


def test_divergence_is_announced():
    with pytest.warns(RuntimeWarning, match="diverge"):
        solve(sigma=20.0, maxfev=100)
    with pytest.warns(RuntimeWarning, match="lower_bound"):
        res = solve(lower_bound=3.0)
    assert res.certificate.lower == -math.inf


def test_progress_is_printed(capsys):
    solve(disp=True, maxfev=3000)
    lines = capsys.readouterr().out.splitlines()
    assert 3 <= len(lines) <= 11
    for word in ("nfev", "best", "radius", "ess", "alpha", "restarts"):
        assert word in lines[0]


def test_a_callable_polish_and_restart_noise():
    def method(fun, x0, bounds):
        assert len(bounds) == 2
        return fun(np.array([1.0, -2.0]))

    assert solve(polish=method, maxfev=400).fun == 0
    assert solve(restart_noise=0.1, polish=None).fun < 1e-3


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"polish": "newton"}, "polish"),
        ({"record": "all"}, "record"),
        ({"constraint_method": "barrier"}, "constraint_method"),
        ({"restarts": -1}, "restarts"),
        ({"maxfev": 0}, "maxfev"),
        ({"maxiter": 1.5}, "maxiter"),
        ({"max_time": 0}, "max_time"),
        ({"poll_size": 0.0}, "poll_size"),
        ({"restart_noise": -1}, "restart_noise"),
        ({"ftarget": math.nan}, "ftarget"),
        ({"device": "tpu"}, "device"),
        ({"ess": 16.0}, "ess"),
        ({"bounds": [(1, 0)] * 2}, "exceeds"),
        ({"x0": [1.0, 2.0, 3.0]}, "fit"),
        ({"random_state": -1}, "random_state"),
    ],
)
def test_bad_arguments_are_named(options, match):
    with pytest.raises((ValueError, TypeError), match=match):
        solve(**options)


def test_one_run_is_the_swarm_itself():
    f = get("sphere", 2)
    res = minimize_cbo(
        f.fun,
        f.bounds,
        vectorized=True,
        polish=None,
        restarts=0,
        n_particles=20,
        random_state=np.random.SeedSequence(7),
        maxfev=20 * 30,
    )
    seed = np.random.SeedSequence(7, spawn_key=(0,))
    swarm = CBO(f.bounds, n_particles=20, random_state=seed)
    while swarm.nit < res.nit:
        X = swarm.ask()
        swarm.tell(X, f.fun(X))
    assert np.array_equal(swarm.population, res.population)
    assert swarm.best_f == res.fun
