"""Polls of coordinates, and the bound that follows."""

import math

import numpy as np
import pytest

import farkas
from dfo.objective import Objective
from dfo.poll import coordinate_poll, mint, stationarity_bound

FREE = np.full(2, math.inf)
# The worked case: f = (x1^2 + 4 x2^2) / 2 at (0.01, -0.005), gradient (0.01, -0.02).
CENTER = np.array([0.01, -0.005])


def paraboloid(x):
    return float((x[0] ** 2 + 4 * x[1] ** 2) / 2)


def certified(fun=paraboloid, center=CENTER, lower=-FREE, upper=FREE, sizes=(0.1,)):
    witness = coordinate_poll(center, lower, upper, sizes)
    return mint(Objective(fun), witness, {}, tolerance=1.0)[0]


def test_the_bound_holds_and_is_the_formula():
    certificate = certified()
    bound = stationarity_bound(certificate, 4.0)
    assert bound == pytest.approx(math.sqrt(2) * 4 * 0.1 / 2, rel=1e-9)
    assert np.hypot(0.01, 0.02) <= bound


def test_a_decrease_enters_the_bound():
    certificate = certified(center=np.array([0.2, 0.0]), sizes=(0.1,))
    decrease = certificate.residuals["poll_decrease"]
    assert decrease == pytest.approx((0.04 - 0.01) / 2)
    assert stationarity_bound(certificate, 4.0) >= 0.2
    assert stationarity_bound(certificate, 4.0) == pytest.approx(
        math.hypot(0.2 + decrease / 0.1, 0.2)
    )


def test_the_best_of_several_polls_counts():
    certificate = certified(center=np.zeros(2), sizes=(0.1, 1e-3))
    assert stationarity_bound(certificate, 4.0) == pytest.approx(math.sqrt(2) * 2e-3)
    noisy = stationarity_bound(certificate, 4.0, noise=1e-3)
    assert noisy == pytest.approx(math.sqrt(2) * min(0.2 + 0.01, 2e-3 + 1.0))


def test_at_the_boundary_only_the_feasible_side_is_bounded():
    def slope(x):
        return float(x[0] + x[1] ** 2)

    lower, upper = np.array([0.0, -1.0]), np.ones(2)
    certificate = certified(slope, np.zeros(2), lower, upper, sizes=(1e-3,))
    # The gradient (1, 0) has no component along a feasible descent direction.
    assert stationarity_bound(certificate, 2.0) < 1e-2


def test_unpolled_sides_leave_no_bound():
    def hole(x):
        return math.nan if x[0] < 0 else float(x @ x)

    assert stationarity_bound(certified(hole, np.zeros(2)), 2.0) == math.inf


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="lipschitz"):
        stationarity_bound(certified(), -1.0)
    s = math.sqrt(0.5)
    witness = coordinate_poll(CENTER, -FREE, FREE, (0.1,))
    witness["directions"] = np.array([[s, s], [s, -s], [-s, s], [-s, -s]])
    turned = mint(Objective(paraboloid), witness, {}, tolerance=1.0)[0]
    assert turned.value == pytest.approx(0.1)
    with pytest.raises(ValueError, match="coordinates"):
        stationarity_bound(turned, 4.0)


def test_minting_pays_for_every_point_once():
    objective = Objective(paraboloid)
    witness = coordinate_poll(CENTER, -FREE, FREE, (0.1, 0.01))
    certificate, points, values = mint(objective, witness, {}, tolerance=1.0)
    assert objective.nfev == 9 == len(points) == len(values)
    farkas.verify(certificate, paraboloid).check()
