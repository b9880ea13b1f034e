"""What an edge contributes, against arithmetic of many digits."""

from decimal import Decimal, getcontext

import numpy as np
import pytest

from graphs._measure_graph import EPS
from graphs._measure_power import edge_terms

SIZES = np.array([1e-200, 3e-30, 1e-8, 0.02, 0.7, 1.0, 1.3, 55.0, 1e6, 7e19, 1e140])


def exact(t, p, mu):
    """Return flow, h and p times the conjugate in decimals."""
    getcontext().prec = 500  # the squares of the smallest sizes must not drown
    t, p, mu = Decimal(float(t)), Decimal(float(p)), Decimal(float(mu))
    q = p / (p - 1)
    base = t * t + mu * mu
    h = base ** (q / 2) - (mu**q if mu else 0)
    flow = t * base ** (q / 2 - 1)
    return flow, h, p * (t * flow - h / q)


@pytest.mark.parametrize("p", [2.0, 2.5, 3.0, 4.0, 9.7])
@pytest.mark.parametrize("mu", [0.0, 1e-9, 0.1, 1.0, 3e4])
def test_errors_stay_within_the_claimed_rounding(p, mu):
    sizes = SIZES[(SIZES < 1e140) | (mu == 0)]
    terms = edge_terms(sizes, p, mu)
    energy = sizes * terms.flow if terms.energy is None else terms.energy
    cost = sizes * terms.flow if terms.cost is None else terms.cost
    smooth = mu if p > 2 else 0.0  # for p = 2 smoothing changes nothing
    for k, t in enumerate(sizes):
        flow, h, conjugate = exact(t, p, smooth)
        for found, true, rounding in (
            (terms.flow[k], flow, terms.flow_rounding),
            (energy[k], h, terms.value_rounding),
            (cost[k], conjugate, terms.value_rounding),
        ):
            if float(true) > 1e-290:
                error = abs(Decimal(float(found)) - true) / true
                assert error <= Decimal(rounding * EPS), (t, found, true)


def test_the_cost_is_the_conjugate_and_smoothing_raises_it():
    p, mu, q = 3.0, 0.4, 1.5
    t = np.linspace(0.0, 5.0, 40001)
    h = (t**2 + mu**2) ** (q / 2) - mu**q
    for size in (0.01, 0.3, 2.0):
        terms = edge_terms(np.array([size]), p, mu)
        conjugate = np.max(terms.flow[0] * t - h / q)
        assert terms.cost[0] / p == pytest.approx(conjugate, rel=1e-6)
        assert terms.cost[0] / p > terms.flow[0] ** p / p


def test_edges_between_equal_heights_carry_nothing():
    for mu in (0.0, 0.5):
        terms = edge_terms(np.zeros(3), 4.0, mu)
        assert not terms.flow.any()
        assert terms.energy is None or not terms.energy.any()
        assert np.isfinite(terms.value_rounding)
