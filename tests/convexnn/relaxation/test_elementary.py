"""The bound without iterations is at least as good as the closed forms."""

import numpy as np
import pytest

from convexnn import global_bound


@pytest.mark.parametrize("seed", range(8))
def test_it_is_below_the_closed_forms(seed):
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(2, 20)), int(rng.integers(1, 5))
    X, theta = rng.standard_normal((n, d)), rng.standard_normal(n)
    result = global_bound(X, theta, method="elementary")
    for bound, g in zip(result.bounds, (theta, -theta), strict=True):
        plus, minus = np.maximum(g, 0), np.maximum(-g, 0)
        weighted = np.linalg.norm(np.sqrt(plus)[:, None] * X, 2)
        half = np.linalg.norm(X.T @ (0.5 * plus - 0.5 * minus))
        forms = [
            np.sqrt(plus.sum()) * weighted,
            np.linalg.norm(plus) * np.linalg.norm(X[plus > 0], 2) if plus.any() else 0,
            half + 0.5 * np.sqrt(plus.sum()) * weighted,
        ]
        assert bound <= 1.001 * min(forms[0], forms[2]) + 1e-12


def test_a_single_row_is_exact():
    result = global_bound([[3.0, 4.0]], [0.2], method="elementary")
    assert result.bounds[0] == pytest.approx(1.0, rel=1e-6)
    assert result.bounds[1] < 1e-3
