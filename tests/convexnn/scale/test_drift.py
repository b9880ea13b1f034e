"""Leaps shorten a constant drift, are undone where they go too far, and resume."""

import numpy as np

from convexnn.scale.drift import FIRST_LEAP, GROWTH, LOOK_EVERY, Drift


def iterate(step_of, x, *, leaps, limit):
    """Count iterations of ``x <- x + step_of(x)`` until the step is tiny."""
    drift = Drift(len(x))
    for k in range(1, limit):
        step = step_of(x)
        if np.linalg.norm(step) < 1e-12:
            return k, x
        image = x + step
        found = drift.propose(image, step) if leaps and k % LOOK_EVERY == 0 else None
        x = image if found is None else found
    return limit, x


def towards_a_wall(x):
    """Constant speed up to a wall at 1, from which linear convergence."""
    return np.where(x < 1.0, np.minimum(1e-4, 0.5 * (1.0 - x)), 0.5 * (1.0 - x))


def test_a_constant_drift_takes_leaps():
    slow, _ = iterate(towards_a_wall, np.zeros(2), leaps=False, limit=20_000)
    fast, end = iterate(towards_a_wall, np.zeros(2), leaps=True, limit=20_000)
    assert slow > 9_000
    assert fast < 400
    np.testing.assert_allclose(end, 1.0, atol=1e-11)


def test_a_contraction_is_left_alone():
    def step_of(x):
        return -0.1 * x

    plain = iterate(step_of, np.ones(3), leaps=False, limit=2_000)
    leaping = iterate(step_of, np.ones(3), leaps=True, limit=2_000)
    assert plain[0] == leaping[0]


def test_a_leap_too_far_is_undone():
    drift = Drift(1)
    one, five = np.array([1.0]), np.array([5.0])
    assert drift.propose(five, one) is None
    np.testing.assert_array_equal(drift.propose(five, one), five + FIRST_LEAP * one)
    np.testing.assert_array_equal(drift.propose(100 * one, 3 * one), five)
    assert drift.length == FIRST_LEAP
    assert drift.propose(five, one) is None  # the step must be seen twice again


def test_leaps_grow():
    drift = Drift(1)
    one = np.array([1.0])
    for k in range(3):
        assert drift.propose(one, one) is None
        leap = drift.propose(one, one)
        np.testing.assert_array_equal(leap, one + FIRST_LEAP * GROWTH**k)


def test_state_restores_everything():
    drift = Drift(2)
    step = np.array([1.0, 2.0])
    for _ in range(3):
        drift.propose(step, step)
        other = Drift(2, drift.state())
        for name, value in drift.state().items():
            np.testing.assert_array_equal(value, other.state()[name])
