"""Ask and tell: the same trajectory by every road, resumed bit for bit."""

import math
import pickle

import numpy as np
import pytest

from dfo import CBO, consensus_point
from dfo.cbo.dynamics.consensus import AlphaSchedule
from dfo.cbo.dynamics.population import INITS
from dfo.objective import Objective
from dfo.testfunctions import get

BOX = [(-3.0, 5.0)] * 3
VARIANTS = {
    "plain": {},
    "isotropic": {"noise": "isotropic"},
    "rank": {"weights": "rank"},
    "fixed": {"alpha": 30.0},
    "memory": {"memory": True, "lam_memory": 0.4, "sigma_memory": 0.1},
    "sharp memory": {"memory": True, "beta": 5.0},
    "heaviside": {"correction": "heaviside"},
    "smooth": {"correction": "smooth"},
    "differences": {"lam_grad": 0.05},
    "gradient": {"lam_grad": 0.05, "jac": lambda x: 2 * x},
    "batches": {"batch_size": 10},
    "partial": {"batch_size": 10, "batch_update": "partial"},
    "delta": {"delta": 0.01, "xtol": 0.0},
    "exact": {"exact": True, "sigma": 1.0, "lam": 1.0},
    "truncated": {"truncation": 1.0},
    "ball": {"truncation": (1.0, np.zeros(3), 2.0)},
    "penalty": {"boundary": "penalty"},
    "reflect": {"boundary": "reflect"},
    "particle swarm": {"memory": True, "inertia": 0.3},
    "shaken": {"stagnation_tol": 1e-3, "xtol": 0.0},
}
by_variant = pytest.mark.parametrize("name", VARIANTS)


def sphere_rows(X):
    return np.sum((X - 0.5) ** 2, axis=1)


def sphere(x):
    return float(np.sum((x - 0.5) ** 2))


def swarm(**options):
    return CBO(BOX, n_particles=30, random_state=3, **options)


@by_variant
def test_every_variant_finds_the_minimum_and_stays_in_the_box(name):
    seen = []

    def fun(X):
        seen.append(X)
        return sphere_rows(X)

    s, objective = swarm(**VARIANTS[name]), Objective(fun, vectorized=True)
    s.advance(objective, 300, 10**6)
    assert s.best_f < 1e-2
    assert sphere(s.best_x) == s.best_f
    points = np.concatenate(seen)
    assert points.min() >= -3
    assert points.max() <= 5
    assert len(points) == objective.nfev


@by_variant
def test_resume_is_exact(name):
    fun = Objective(sphere_rows, vectorized=True)
    whole, half = swarm(**VARIANTS[name]), swarm(**VARIANTS[name])
    whole.advance(fun, 12, 10**6)
    half.advance(fun, 5, 10**6)
    copies = [pickle.loads(pickle.dumps(half))] if name != "gradient" else []
    restored = swarm(**VARIANTS[name])
    restored.restore(half.state())
    for copy in [*copies, restored]:
        copy.advance(fun, 7, 10**6)
        assert np.array_equal(copy.X, whole.X)
        assert copy.best_f == whole.best_f


OFF = {
    "memory never used": {"lam_grad": 0.0, "batch_size": 30},
    "no stagnation": {"stagnation_tol": 0.0},
    "a ball that holds all": {"truncation": (math.inf, np.zeros(3), 1e9)},
}


@pytest.mark.parametrize("name", OFF)
def test_variants_that_are_off_follow_the_plain_trajectory(name):
    plain, variant = swarm(), swarm(**OFF[name])
    objective = Objective(sphere_rows, vectorized=True)
    for _ in range(20):
        plain.step(objective)
        variant.step(objective)
    assert plain.variant is None
    assert variant.variant is not None
    # The order of sums differs, and with it the last digits.
    assert variant.consensus == pytest.approx(plain.consensus, rel=1e-6, abs=1e-8)
    assert np.sort(variant.population_fun) == pytest.approx(
        np.sort(plain.population_fun), rel=1e-6, abs=1e-12
    )


def test_compiled_and_vectorised_objectives_give_the_same_bits():
    f = get("sphere", 3)
    one, two = swarm(), swarm()
    one.advance(Objective(f.fun_row), 25, 10**6)
    for _ in range(25):
        X = two.ask()
        two.tell(X, np.array([f.fun_row(x) for x in X]))
    assert np.array_equal(one.X, two.X)
    assert one.best_f == two.best_f


@pytest.mark.parametrize("alpha", [0.0, 0.3, 30.0, math.inf, 1e15])
def test_a_fixed_alpha_is_that_alpha(alpha):
    for options in ({}, {"memory": True}):
        s = swarm(alpha=alpha, **options)
        X = s.ask()
        s.tell(X, sphere_rows(X))
        expected, info = consensus_point(X, sphere_rows(X), alpha)
        assert s.consensus == pytest.approx(expected)
        assert s.alpha == alpha


def test_a_schedule_is_followed():
    s = swarm(alpha=AlphaSchedule(2.0, factor=3.0, maximum=50.0))
    seen = []
    for _ in range(5):
        s.step(sphere)
        seen.append(s.alpha)
    assert seen == pytest.approx([2.0, 6.0, 18.0, 50.0, 50.0])


def test_ask_returns_copies_and_tell_counts():
    s = swarm()
    X = s.ask()
    X[:] = 99.0
    assert np.abs(s.ask()).max() <= 5
    s.tell(s.ask(), sphere_rows(s.ask()))
    assert s.nit == 1
    assert s.result().nfev == 30
    assert s.population.shape == (30, 3)
    assert s.population_fun == pytest.approx(sphere_rows(s.population))


def test_injected_points_and_missing_values():
    s = swarm()
    X = s.ask()
    s.tell(X[:10], sphere_rows(X[:10]))
    assert np.isinf(s.population_fun[10:]).all()
    X = s.ask()
    X[0] = 0.5
    s.tell(X, sphere_rows(X))
    assert s.best_f == 0
    assert s.best_x.tolist() == [0.5] * 3
    s = swarm()
    X = np.vstack([s.ask(), [[0.5, 0.5, 0.6]]])
    s.tell(X, sphere_rows(X))
    assert s.best_f == pytest.approx(0.01)


def test_stop_names_the_reason():
    s = swarm(xtol=1e-3)
    while not s.stop():
        s.step(sphere)
    assert s.stop()["xtol"] <= 1e-3
    flat = swarm()
    flat.step(lambda x: 1.0)
    assert list(flat.stop()) == ["flat"]
    idle = swarm(patience=3, xtol=0.0, ftol=0.9)
    while not idle.stop():
        idle.step(sphere)
    assert idle.stop()["patience"] == 3


def test_nothing_but_missing_values():
    s = swarm(patience=4)
    while not s.stop():
        s.step(lambda x: math.nan)
    assert s.result().status == -3
    assert s.best_f == math.inf
    assert np.isfinite(s.X).all()


def test_invariances_of_a_whole_run():
    f = get("rastrigin_cbo", 3)

    def run(fun, **options):
        s = CBO(BOX, n_particles=30, random_state=1, boundary=None, **options)
        for _ in range(15):
            X = s.ask()
            s.tell(X, fun(X))
        return s.consensus

    base = run(f.fun)
    assert run(lambda X: 3 * f.fun(X) + 7) == pytest.approx(base, rel=1e-6)
    ranks = run(f.fun, weights="rank")
    assert run(lambda X: np.log1p(f.fun(X)), weights="rank") == pytest.approx(ranks)


@pytest.mark.parametrize("init", INITS)
def test_first_particles_lie_in_the_box(init):
    s = CBO(
        BOX,
        x0=[1.0, 2.0, 3.0] if init == "normal" else None,
        init=init,
        n_particles=20,
        random_state=0,
    )
    assert s.X.shape == (20, 3)
    assert s.X.min() >= -3
    assert s.X.max() <= 5
    assert len(np.unique(s.X[:, 0])) == 20


def test_unbounded_variables_start_around_x0():
    s = CBO(2, x0=[100.0, 0.0], n_particles=400, random_state=0)
    assert s.X[0].tolist() == [100.0, 0.0]
    assert s.X.std(axis=0) == pytest.approx([100.0, 1.0], rel=0.15)
    with pytest.raises(ValueError, match="x0"):
        CBO(2)


def test_projection_keeps_particles_on_the_sphere():
    def onto_sphere(X):
        return X / np.linalg.norm(X, axis=1, keepdims=True)

    s = CBO(BOX, n_particles=40, random_state=0, project=onto_sphere)
    while not s.stop() and s.nit < 300:
        X = s.ask()
        assert np.linalg.norm(X, axis=1) == pytest.approx(np.ones(40))
        s.tell(X, X[:, 0])
    assert s.best_f == pytest.approx(-1, abs=1e-3)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"n_particles": 1}, "n_particles"),
        ({"dt": 0.0}, "dt"),
        ({"lam": -1.0}, "lam"),
        ({"sigma": -0.1}, "sigma"),
        ({"ess": 1.0}, "ess"),
        ({"ess": 40.0}, "ess"),
        ({"alpha": -1.0}, "alpha"),
        ({"alpha": "high"}, "alpha"),
        ({"noise": "pink"}, "noise"),
        ({"weights": "equal"}, "weights"),
        ({"boundary": "torus"}, "boundary"),
        ({"batch_size": 99}, "batch_size"),
        ({"batch_size": 5, "memory": True}, "batch_size"),
        ({"inertia": 0.5}, "inertia"),
        ({"lam_memory": 1.0}, "memory"),
        ({"beta": 0.0}, "beta"),
        ({"exact": True, "noise": "isotropic"}, "exact"),
        ({"exact": True, "memory": True, "inertia": 0.1}, "inertia"),
        ({"preset": "mine"}, "preset"),
        ({"correction": "hard"}, "correction"),
        ({"temperature": 3}, "temperature"),
        ({"init": "grid"}, "init"),
    ],
)
def test_bad_parameters_are_named(options, match):
    with pytest.raises((ValueError, TypeError), match=match):
        CBO(BOX, **{"n_particles": 30, **options})


def test_tell_refuses_wrong_shapes_and_what_needs_the_function():
    s = swarm()
    with pytest.raises(ValueError, match="shape"):
        s.tell(s.ask(), np.zeros(3))
    s = swarm(correction="heaviside")
    with pytest.raises(ValueError, match="step"):
        s.tell(s.ask(), np.zeros(30))
