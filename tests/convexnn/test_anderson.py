"""Acceleration: faster on linear maps, harmless on all others, and resumable."""

import numpy as np
import pytest

from convexnn.anderson import INTERVAL, MEMORY, SAFEGUARD, Anderson


def contraction(seed, size=6):
    """A linear map x -> M x + c of spectral radius .95, and its fixed point."""
    rng = np.random.default_rng(seed)
    M = rng.standard_normal((size, size))
    M = 0.95 * (M + M.T) / np.abs(np.linalg.eigvalsh(M + M.T)).max()
    c = rng.standard_normal(size)
    return M, c, np.linalg.solve(np.eye(size) - M, c)


@pytest.mark.parametrize("seed", range(5))
def test_a_linear_fixed_point_is_found_in_few_steps(seed):
    M, c, exact = contraction(seed)
    plain, fast, anderson = np.zeros(6), np.zeros(6), Anderson(6)
    for _ in range(12):
        plain = M @ plain + c
        image = M @ fast + c
        fast = anderson.propose(image, image - fast)
    assert np.linalg.norm(fast - exact) < 1e-3 * np.linalg.norm(plain - exact)


def test_more_calls_than_memory_overwrite_the_oldest():
    M, c, exact = contraction(0, size=40)
    x, anderson = np.zeros(40), Anderson(40)
    for _ in range(5 * MEMORY):
        image = M @ x + c
        x = anderson.propose(image, image - x)
    assert anderson.count > MEMORY
    assert np.linalg.norm(x - exact) < 1e-6 * np.linalg.norm(exact)


def test_the_combination_is_affine_in_the_images():
    rng = np.random.default_rng(0)
    shift = rng.standard_normal(4)
    one, two = Anderson(4), Anderson(4)
    for scale in (1.0, 0.5, 0.3):
        image, residual = rng.standard_normal(4), scale * rng.standard_normal(4)
        a, b = one.propose(image, residual), two.propose(image + shift, residual)
    assert b == pytest.approx(a + shift)


def test_a_step_after_which_the_residual_grew_is_undone():
    anderson = Anderson(2)
    first = anderson.propose(np.array([1.0, 0.0]), np.array([1.0, 0.0]))
    anderson.propose(np.array([1.5, 0.0]), np.array([0.5, 0.0]))
    grown = 1.01 * SAFEGUARD * 0.5
    undone = anderson.propose(np.array([9.0, 9.0]), np.array([grown, 0.0]))
    assert first.tolist() == [1.0, 0.0]
    assert undone.tolist() == [1.5, 0.0]
    assert anderson.count == 0
    assert 1 < INTERVAL < MEMORY
    # The returned copy does not change with the memory.
    anderson.propose(np.array([7.0, 7.0]), np.array([0.1, 0.0]))
    anderson.propose(np.array([8.0, 8.0]), np.array([0.1, 0.1]))
    assert undone.tolist() == [1.5, 0.0]


@pytest.mark.parametrize("size", [0.0, 1e-170, 1e-161, 1e-155])
def test_residuals_too_small_to_be_squared_leave_the_image(size):
    anderson, x = Anderson(3), np.zeros(3)
    for k in range(2 * MEMORY):
        image = np.arange(3.0) + k
        x = anderson.propose(image, size * np.array([1.0, -1.0, k % 3]))
        assert np.isfinite(x).all()
    if size in (0.0, 1e-170):
        assert np.array_equal(x, image)


def test_equal_residuals_do_not_break_the_system():
    anderson = Anderson(3)
    for k in range(MEMORY):
        x = anderson.propose(np.full(3, float(k)), np.ones(3))
    assert x == pytest.approx(np.full(3, (MEMORY - 1) / 2))  # all weigh the same


def test_a_residual_that_is_not_finite_is_not_combined():
    anderson = Anderson(2)
    anderson.propose(np.ones(2), np.ones(2))
    image = np.array([2.0, 3.0])
    assert np.array_equal(anderson.propose(image, np.array([np.nan, 1.0])), image)


def test_a_reset_forgets_everything():
    anderson = Anderson(2)
    for _ in range(3):
        anderson.propose(np.ones(2), np.ones(2))
    anderson.reset()
    image = np.array([5.0, 6.0])
    huge = anderson.propose(image, np.array([1e9, 0.0]))  # no safeguard fires
    assert np.array_equal(huge, image)


def test_a_restored_memory_continues_bit_for_bit():
    M, c, _ = contraction(1)
    x, anderson = np.zeros(6), Anderson(6)
    for _ in range(2 * MEMORY):
        resumed = Anderson(6, anderson.state())
        image = M @ x + c
        residual = image - x
        x = anderson.propose(image, residual)
        assert np.array_equal(resumed.propose(image, residual), x)
