"""The coordinate sweeps against a textbook loop."""

import numpy as np
import pytest

from farkas.kernels import prepare
from sdl._kernels import hals_sweeps


def textbook(H, L, T, a, C, b, l1, l2, nonnegative, sweeps):
    for i in range(len(H)):
        matrix = a[i] * T + b[i] * C + l2 * np.eye(len(T))
        for _ in range(sweeps):
            before = H[i].copy()
            for j in range(len(T)):
                if matrix[j, j] <= 0:
                    continue
                rest = matrix[j] @ H[i] - matrix[j, j] * H[i, j]
                z = (L[i, j] - rest) / matrix[j, j]
                t = l1 / matrix[j, j]
                H[i, j] = (
                    max(z - t, 0) if nonnegative else np.sign(z) * max(abs(z) - t, 0)
                )
    return np.abs(H[i] - before).max()


@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("l1", [0.0, 0.3])
def test_sweeps_are_those_of_the_textbook(nonnegative, l1):
    rng = np.random.default_rng(0)
    T, C = (B.T @ B for B in rng.standard_normal((2, 5, 3)))
    T[2] = T[:, 2] = C[2] = C[:, 2] = 0.0  # a dead atom is left alone
    L, a, b = rng.standard_normal((4, 3)), rng.random(4), rng.random(4)
    L[:, 2] = 0.0
    mine, other = prepare(np.ones((4, 3))), np.ones((4, 3))
    arguments = (L, T, a, C, b, l1, 0.0, nonnegative, 2)
    hals_sweeps(mine, *arguments)
    textbook(other, *arguments)
    assert mine == pytest.approx(other, abs=1e-13)


def test_the_largest_change_is_that_of_the_last_sweep():
    H = np.zeros((1, 1))
    one = np.ones((1, 1))
    a = np.ones(1)
    assert hals_sweeps(H, 5.0 * one, one, a, 0 * one, 0 * a, 0.0, 0.0, True, 1) == 5.0
    assert hals_sweeps(H, 5.0 * one, one, a, 0 * one, 0 * a, 0.0, 0.0, True, 2) == 0.0
