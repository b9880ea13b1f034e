"""Particles on another device: the numbers of NumPy, and what is refused."""

import numpy as np
import pytest

import farkas
from dfo import CBO, minimize_cbo
from dfo.objective import Objective

xp = pytest.importorskip("array_api_strict")
DEVICE, HOST = xp.Device("device1"), xp.Device("CPU_DEVICE")
BOX = [(-5.0, 4.0)] * 3
START = np.random.default_rng(0).uniform(-4, 4, (30, 3))


def bowl(X):
    """Of rows of any library; NumPy cannot read those of the device by accident."""
    space = X.__array_namespace__()
    return space.sum((X - 1.0) ** 2, axis=1) + space.sum(space.abs(X), axis=1)


def there(x):
    return xp.asarray(x, device=DEVICE)


def here(x):
    return np.asarray(x.to_device(HOST))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"noise": "isotropic", "truncation": 0.5},
        {"exact": True, "boundary": "clip"},
        {"noise_after_drift": True, "delta": 0.1, "boundary": "reflect"},
        {"weights": "rank", "boundary": None},
        {"weights": "best"},
        {"alpha": 3.0},
    ],
)
def test_the_numbers_are_those_of_numpy(options):
    home = CBO(BOX, START, random_state=1, **options)
    away = CBO(BOX, there(START), random_state=1, **options)
    for _ in range(25):
        X = away.ask()
        assert X.device == DEVICE
        assert here(X) == pytest.approx(home.ask(), rel=1e-9, abs=1e-9)
        away.tell(X, bowl(X))
        home.tell(home.ask(), bowl(home.ask()))
        assert away.stop().keys() == home.stop().keys()
        assert away.consensus == pytest.approx(home.consensus, abs=1e-9)
    assert away.population == pytest.approx(home.population, abs=1e-9)
    assert away.best_f == pytest.approx(home.best_f)
    assert away.best_x == pytest.approx(home.best_x, abs=1e-9)
    assert away.radius == pytest.approx(home.radius)
    assert away.variance == pytest.approx(home.variance)


def test_a_swarm_on_a_device_is_resumed_to_the_same_bits():
    objective = Objective(bowl, vectorized=True, where=(xp, DEVICE))
    one, two = (CBO(BOX, there(START), random_state=2) for _ in range(2))
    one.advance(objective, 5, 10**6)
    two.restore(one.state())
    for swarm in (one, two):
        swarm.advance(objective, 10, 10**6)
    assert np.array_equal(here(one.ask()), here(two.ask()))
    assert one.best_f == two.best_f


def test_a_search_on_a_device_ends_where_numpy_does():
    options = {"maxfev": 3000, "random_state": 0}
    home = minimize_cbo(bowl, BOX, START, vectorized=True, **options)
    away = minimize_cbo(bowl, BOX, there(START), **options)
    assert away.fun == pytest.approx(home.fun, abs=1e-6) == 2.25
    assert away.success
    assert isinstance(away.x, np.ndarray)
    farkas.verify(away, bowl).check()
    options["maxfev"] = 20  # fewer than particles
    home = minimize_cbo(bowl, BOX, START, vectorized=True, **options)
    away = minimize_cbo(bowl, BOX, there(START), **options)
    assert away.fun == pytest.approx(home.fun)
    assert away.nfev == home.nfev == 20


def test_the_cpu_takes_what_lies_on_a_device():
    def on_numpy(X):
        assert isinstance(X, np.ndarray)
        return bowl(X)

    res = minimize_cbo(
        on_numpy, BOX, there(START), vectorized=True, device="cpu", maxfev=300
    )
    assert res.nfev <= 300


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"memory": True}, "memory"),
        ({"lam_grad": 1.0}, "lam_grad"),
        ({"correction": "smooth"}, "correction"),
        ({"batch_size": 5}, "batch_size"),
        ({"stagnation_tol": 1e-5}, "stagnation_tol"),
        ({"boundary": "penalty"}, "penalty"),
        ({"truncation": (1.0, np.zeros(3), 2.0)}, "ball"),
        ({"project": np.abs}, "project"),
        ({"restart_noise": 0.1}, "restart_noise"),
        ({"constraints": {"type": "ineq", "fun": np.sum}}, "constraints"),
        ({"vectorized": False}, "vectorized"),
    ],
)
def test_what_has_no_form_for_a_device_is_named(options, match):
    with pytest.raises(ValueError, match=match):
        minimize_cbo(bowl, BOX, there(START), **options)


def test_more_values_than_particles_are_refused():
    swarm = CBO(BOX, there(START), random_state=0)
    X = there(np.zeros((31, 3)))
    with pytest.raises(ValueError, match="30"):
        swarm.tell(X, bowl(X))


@pytest.mark.gpu
def test_a_gpu_gives_the_numbers_of_numpy():
    cupy = pytest.importorskip("cupy")

    def fun(X):
        space = cupy.get_array_module(X)
        return space.sum((X - 1.0) ** 2, axis=1) + space.sum(space.abs(X), axis=1)

    home = CBO(BOX, START, random_state=1)
    away = CBO(BOX, START, random_state=1, device="cuda")
    for _ in range(25):
        X = away.ask()
        away.tell(X, fun(X))
        home.tell(home.ask(), fun(home.ask()))
    assert away.population == pytest.approx(home.population, abs=1e-9)
    res = minimize_cbo(fun, BOX, device="cuda", maxfev=3000, random_state=0)
    assert res.fun == pytest.approx(2.25, abs=1e-6)
    farkas.verify(res, fun).check()
