"""Small data are solved with one BLAS thread, by functions as by the estimator."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from sdl import bcd, fantope_bound, lpgd


def blas_threads():
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return max(pool["num_threads"] for pool in pools)


@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize("solve", [lpgd, bcd])
def test_products_of_small_data_take_one_thread(monkeypatch, solve, small):
    if not small:
        monkeypatch.setattr("farkas.parallel.SMALL", 0)
    rng = np.random.default_rng(0)
    X, y = rng.random((40, 8)), np.arange(40) % 2
    seen = []
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        solve(
            X,
            y,
            2,
            max_iter=1,
            tol=0.0,
            callback=lambda **_: seen.append(blas_threads()),
        )
        assert blas_threads() == before
    assert set(seen) == {1 if small else before}


def test_the_fantope_program_takes_one_thread(monkeypatch):
    rng = np.random.default_rng(0)
    seen, start = [], fantope_bound.__globals__["_leading_projection"]

    def watched(program):
        seen.append(blas_threads())
        return start(program)

    monkeypatch.setitem(fantope_bound.__globals__, "_leading_projection", watched)
    with threadpool_limits(2, user_api="blas"):
        fantope_bound(rng.random((20, 4)), np.arange(20) % 2, 2, max_iter=2)
    assert seen == [1]
