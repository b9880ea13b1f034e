"""Proximal maps: optimality, finite values and contraction, in any units."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from convexnn._measure_losses import LOSSES
from convexnn.prox import PROX

RHOS = [1e-6, 1e-3, 0.5, 1.0, 10.0, 1e6]
everything = pytest.mark.parametrize("loss", LOSSES)


def test_there_is_a_prox_for_every_loss():
    assert set(PROX) == set(LOSSES)


@everything
@pytest.mark.parametrize("rho", RHOS)
def test_prox_is_a_stationary_point(loss, rho):
    rng = np.random.default_rng(0)
    special = [0.0, 1.0, -1.0, 1 - 1 / rho, 1 + 1 / rho, 800.0, -800.0, 1e9, -1e9]
    a = np.concatenate([20 * rng.standard_normal(200), special])
    for sign in (1.0, -1.0):
        y = np.full_like(a, sign)
        z = PROX[loss](a, y, rho)
        slope = rho * (z - a)  # the negative slope of the loss at z
        room = 4 * np.finfo(float).eps * rho * (np.abs(a) + np.abs(z) + 1 / rho)
        if loss == "hinge":
            t, margin = y * slope, y * z
            assert (t >= -room).all()
            assert (t <= 1 + room).all()
            tie = np.abs(margin - 1) <= room / rho + 1e-14
            assert (np.abs(t - (margin < 1)) <= room)[~tie].all()
        else:
            # A rounding error of z changes the slope of the loss by at most as much.
            inside = np.abs(slope - LOSSES[loss].theta(z, y))
            assert (inside <= room * (1 + 1 / rho) + 1e-15).all()


@everything
@given(
    a=st.floats(-30, 30),
    sign=st.sampled_from([-1.0, 1.0]),
    exponent=st.floats(-3, 3),
)
def test_prox_minimises(loss, a, sign, exponent):
    rho, y = 10.0**exponent, np.array([sign])

    def objective(z):
        return LOSSES[loss].value(np.array([z]), y)[0] + rho / 2 * (z - a) ** 2

    z = PROX[loss](np.array([a]), y, rho)[0]
    reach = (2 + abs(a)) * (1 + 1 / rho)
    found = minimize_scalar(
        objective,
        bounds=(a - reach, a + reach),
        method="bounded",
        options={"xatol": 1e-9 * reach},
    )
    assert objective(z) <= found.fun + 1e-12 * (1 + abs(found.fun))


@everything
@given(a=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=2), e=st.floats(-6, 6))
def test_prox_is_monotone_and_firmly_nonexpansive(loss, a, e):
    a, y, rho = np.array(a), np.ones(2), 10.0**e
    z = PROX[loss](a, y, rho)
    moved, asked = z[1] - z[0], a[1] - a[0]
    room = 1e-14 * (1.0 + np.abs(a).max() + np.abs(z).max() + 1.0 / rho)
    assert moved * np.sign(asked) >= -room
    assert abs(moved) <= abs(asked) + room


@pytest.mark.parametrize("loss", ["squared", "huber"])
def test_prox_is_finite_for_huge_and_tiny_numbers(loss):
    a = np.array([1e300, -1e300, 1e-300, 0.0, 5e-324])
    for y in (np.zeros(5), np.ones(5), -1e300 * np.ones(5)):
        for rho in RHOS:
            assert np.isfinite(PROX[loss](a, y, rho)).all()


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
def test_prox_of_a_margin_loss_is_finite_and_odd_in_the_label(loss):
    a = np.array([1e300, -1e300, 1e-300, 0.0, 710.0, -710.0, 1.0])
    for rho in RHOS:
        plus, minus = (PROX[loss](s * a, s * np.ones(7), rho) for s in (1.0, -1.0))
        assert np.isfinite(plus).all()
        assert np.array_equal(plus, -minus)
