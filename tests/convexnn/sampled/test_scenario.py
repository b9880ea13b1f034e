"""Scenario bounds: known numbers, and the definition in exact arithmetic."""

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convexnn import pattern_bound, scenario_violation


@pytest.mark.parametrize(
    ("P", "n", "xi", "psi"),
    [
        (500, 50, 0.05, "0.12267929"),
        (2000, 150, 0.01, "0.08927087"),
        (100_000, 1000, 1e-6, "0.01156658"),
    ],
)
def test_known_numbers_to_all_digits(P, n, xi, psi):
    assert f"{scenario_violation(n, P, xi):.8f}" == psi
    assert pattern_bound(n, scenario_violation(n, P, xi), xi) <= P
    assert pattern_bound(n, 0.999 * scenario_violation(n, P, xi), xi) > P


def tail(n, draws, psi):
    """The sum of the definition, exactly."""
    p = Fraction(psi)
    return sum(
        math.comb(draws, k) * p**k * (1 - p) ** (draws - k)
        for k in range(min(n, draws + 1))
    )


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 12), st.floats(0.05, 0.95), st.floats(0.001, 0.9))
def test_the_bound_is_the_smallest_number_of_draws(n, psi, xi):
    draws = pattern_bound(n, psi, xi)
    assert tail(n, draws, psi) <= Fraction(xi) * (1 + Fraction(1, 10**9))
    assert tail(n, draws - 1, psi) > Fraction(xi) * (1 - Fraction(1, 10**9))
    assert pattern_bound(n, psi, xi, form="paper") >= draws


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 10), st.integers(0, 30), st.floats(0.001, 0.9))
def test_violation_solves_the_equation(n, more, xi):
    psi = scenario_violation(n, n + more, xi)
    assert float(tail(n, n + more, psi)) == pytest.approx(xi, rel=1e-7)


def test_one_sample_in_closed_form():
    # (1 - psi)^P = xi
    assert scenario_violation(1, 10, 0.25) == pytest.approx(1 - 0.25**0.1, rel=1e-13)
    assert pattern_bound(1, 0.5, 0.25) == 2
    assert pattern_bound(1, 0.5, 0.24) == 3


def test_paper_form_is_the_smaller_of_its_two_terms():
    assert pattern_bound(50, 0.1, 0.9, form="paper") == math.ceil(51 / 0.09 - 1)
    by_logarithm = math.ceil(20 * (51 - math.log(1e-6)))
    assert pattern_bound(50, 0.1, 1e-6, form="paper") == by_logarithm


def test_extremes_stay_in_range():
    assert scenario_violation(5, 4, 0.1) == 1.0
    assert scenario_violation(500, 500, 1e-300) == 1.0
    assert 0 < scenario_violation(1, 10**9, 1 - 1e-12) < 1e-18
    assert pattern_bound(1, 1e-9, 1e-9) == pytest.approx(math.log(1e9) / 1e-9, rel=1e-6)
    assert pattern_bound(3, 1 - 1e-12, 0.5) == 3


@pytest.mark.parametrize("function", [pattern_bound, scenario_violation])
@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ((0, 0.1, 0.1), ValueError, "n=0"),
        ((1.5, 0.1, 0.1), TypeError, "n=1.5"),
        ((5, 0, 0.1), ValueError, "=0"),
        ((5, 0.1, 0.0), (ValueError, TypeError), "xi=0|P=0.1"),
        ((5, 10, 1.0), ValueError, "xi=1.0|psi=10"),
    ],
)
def test_bad_arguments_are_named(function, arguments, error, name):
    with pytest.raises(error, match=name):
        function(*arguments)


def test_a_bad_form_and_too_many_draws_are_named():
    with pytest.raises(ValueError, match="form='exact'"):
        pattern_bound(5, 0.1, 0.1, form="exact")
    for form in ("binomial", "paper"):
        with pytest.raises(ValueError, match="2\\^52"):
            pattern_bound(5, 1e-16, 0.1, form=form)
