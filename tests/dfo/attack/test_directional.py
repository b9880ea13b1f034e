"""Attacks against their closed forms, and their balls and boxes."""

import numpy as np
import pytest

from dfo import as_network, directional_attack
from dfo.attack.directional import project, unit_step
from tests.dfo.attack.test_network import U0, X0, tiny

BALLS = ["inf", 2, 1]


def lengths(D, norm):
    order = np.inf if norm == "inf" else norm
    return np.linalg.norm(np.atleast_2d(D), ord=order, axis=1)


def test_table():
    net = tiny("tanh")
    start = U0 @ net.forward(X0)
    assert start == pytest.approx(-0.05909848, abs=1e-8)
    for norm, x, value in (
        ("inf", (0.2, -0.3), 0.08952081),
        (2, (0.2000397, -0.39718244), 0.06695821),
        (1, (0.2, -0.4), None),
    ):
        res = directional_attack(net, X0, U0, 0.1, norm=norm, method="fgsm")
        np.testing.assert_allclose(res.x, x, atol=1e-7)
        if value is not None:
            assert U0 @ net.forward(res.x) == pytest.approx(value, abs=1e-8)
        assert res.gain == pytest.approx(U0 @ net.forward(res.x) - start)
        np.testing.assert_array_equal(res.perturbation, res.x - X0)
        assert (res.njev, res.status) == (1, 0)


@pytest.mark.parametrize("norm", BALLS)
def test_steps_maximise_linear_functions(norm):
    rng = np.random.default_rng(0)
    G = rng.standard_normal((20, 4))
    step = unit_step(G, norm)
    np.testing.assert_allclose(lengths(step, norm), 1)
    dual = {"inf": 1, 2: 2, 1: np.inf}[norm]
    best = np.linalg.norm(G, ord=dual, axis=1)
    np.testing.assert_allclose(np.einsum("ij,ij->i", G, step), best)
    assert not unit_step(np.zeros((1, 4)), norm).any()
    tiny_gradients = unit_step(1e-200 * G, norm)
    np.testing.assert_allclose(tiny_gradients, step, rtol=1e-12)


@pytest.mark.parametrize("norm", BALLS)
def test_projections_are_nearest_points(norm):
    rng = np.random.default_rng(0)
    D = 2 * rng.standard_normal((50, 4))
    P = project(D, 1.0, norm)
    assert (lengths(P, norm) <= 1 + 1e-12).all()
    inside = lengths(D, norm) <= 1
    np.testing.assert_array_equal(P[inside], D[inside])
    others = rng.standard_normal((200, 4))
    others /= np.maximum(lengths(others, norm), 1)[:, None]
    # (d - p).(q - p) <= 0 for every q of the ball
    products = np.einsum("ij,ikj->ik", D - P, others[None] - P[:, None])
    assert products.max() <= 1e-12


@pytest.mark.parametrize("norm", BALLS)
@pytest.mark.parametrize("method", ["fgsm", "pgd", "mifgsm"])
@pytest.mark.parametrize("gradient", ["auto", "spsa", "fd", "gaussian"])
def test_every_attack_stays_in_ball_and_box(norm, method, gradient):
    rng = np.random.default_rng(1)
    X = rng.uniform(-1, 1, (6, 2))
    res = directional_attack(
        tiny("tanh"),
        X,
        U0,
        0.3,
        norm=norm,
        method=method,
        gradient=gradient,
        bounds=[(-1, 1)] * 2,
        restarts=1 if method == "pgd" else 0,
        random_state=0,
        n_samples=16,
    )
    assert (lengths(res.perturbation, norm) <= 0.3 * (1 + 1e-12)).all()
    assert (np.abs(res.x) <= 1).all()
    assert res.gain.shape == (6,)
    assert (res.gain > 0).mean() > 0.6
    assert res.nfev > 0


def test_more_steps_are_no_worse():
    net = tiny("tanh")
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20, 2))
    one = directional_attack(net, X, U0, 0.5, method="fgsm").gain
    many = directional_attack(
        net, X, U0, 0.5, steps=20, restarts=2, random_state=0
    ).gain
    assert (many >= one - 1e-3).all()
    assert (many >= 0).all()


def test_a_small_pgd_reaches_its_ball():
    res = directional_attack(tiny("identity"), X0, U0, 1.0, steps=7)
    assert lengths(res.perturbation, "inf")[0] == pytest.approx(1.0)


def test_estimated_gradients_converge():
    net = tiny("tanh")
    exact = directional_attack(net, X0, U0, 0.1, norm=2, method="fgsm").perturbation
    for gradient, room in (("fd", 1e-6), ("spsa", 0.05), ("gaussian", 0.05)):
        found = directional_attack(
            net,
            X0,
            U0,
            0.1,
            norm=2,
            method="fgsm",
            gradient=gradient,
            n_samples=600,
            random_state=0,
        )
        assert np.linalg.norm(found.perturbation - exact) / 0.1 <= room
        assert found.njev == 0
    # Radii far below the floor of the differences do not lose the direction.
    small = directional_attack(net, X0, U0, 1e-8, norm=2, method="fgsm", gradient="fd")
    np.testing.assert_allclose(small.perturbation / 1e-8, exact / 0.1, atol=1e-5)


def test_dead_units():
    dead = as_network(([np.eye(2), np.eye(2)], [np.full(2, -1.0), np.zeros(2)], "relu"))
    res = directional_attack(dead, [0.0, 0.0], [1.0, 0.0], 0.1)
    assert (res.status, res.success, res.gain) == (1, False, 0.0)
    assert "no_direction" in res.message
    # Within half the radius there is a slope, which smoothing finds.
    near = as_network(([np.eye(2), np.eye(2)], [np.full(2, -0.1), np.zeros(2)], "relu"))
    res = directional_attack(near, [0.0, 0.0], [1.0, 0.0], 1.0, random_state=0)
    assert res.gain > 0.5


def test_cross_entropy_pushes_up_its_own_loss():
    net = tiny("tanh")
    u = np.array([1.0, -1.0])  # mean zero: both losses agree in direction
    linear = directional_attack(net, X0, u, 0.2, method="fgsm")
    entropy = directional_attack(net, X0, u, 0.2, method="fgsm", loss="cross_entropy")
    np.testing.assert_allclose(linear.x, entropy.x)
    drifting = directional_attack(net, X0, U0, 0.2, loss="cross_entropy", norm=2)
    assert not np.allclose(drifting.x, directional_attack(net, X0, U0, 0.2, norm=2).x)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"direction": [1.0]}, "direction"),
        ({"direction": [0.0, 0.0]}, "direction"),
        ({"direction": [np.nan, 0.0]}, "direction"),
        ({"radius": 0.0}, "radius"),
        ({"radius": np.nan}, "radius"),
        ({"norm": 3}, "norm"),
        ({"norm": True}, "norm"),
        ({"method": "cw"}, "method"),
        ({"steps": 0}, "steps"),
        ({"step_size": 0.0}, "step_size"),
        ({"restarts": -1}, "restarts"),
        ({"loss": "x"}, "loss"),
        ({"gradient": "x"}, "gradient"),
        ({"n_samples": 0}, "n_samples"),
        ({"bounds": [(0, 1)]}, "bounds"),
        ({"bounds": [(1, 2), (1, 2)]}, "bounds"),
        ({"x": [np.inf, 0.0]}, "x"),
    ],
)
def test_bad_arguments(change, match):
    arguments = {"x": X0, "direction": U0, "radius": 0.1, **change}
    with pytest.raises(ValueError, match=match):
        directional_attack(tiny("tanh"), **arguments)
