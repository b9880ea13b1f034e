"""Each kernel against a plain NumPy loop; also quick with NUMBA_DISABLE_JIT=1."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from convexnn import _kernels

seeds = st.integers(0, 2**32 - 1)


def workspace(D, r):
    """The arrays that a projection leaves for the next one, all empty."""
    m = len(D)
    return {
        "lam": np.zeros(D.shape),
        "passive": np.zeros((m, r), dtype=np.int64),
        "counts": np.zeros(m, dtype=np.int64),
        "factors": np.zeros((m, r, r)),
        "margins": np.full(D.shape, -np.inf),
        "centers": np.zeros((m, r)),
    }


def project(A, D, x, work, *, gram=None, threshold=-1.0, max_changes=60):
    out = np.empty_like(x)
    unfinished = _kernels.project_cones(
        A,
        np.zeros((0, 0)) if gram is None else gram,
        np.linalg.norm(A, axis=1),
        D,
        x,
        *work.values(),
        out,
        threshold,
        1e-13,
        max_changes,
    )
    return out, unfinished


@settings(max_examples=20)
@given(seeds, st.booleans())
def test_gated_sum_is_a_loop_over_patterns(seed, signed):
    rng = np.random.default_rng(seed)
    P, n = rng.integers(1, 5, 2)
    D = rng.integers(0, 2, (P, n)).astype(float)
    products = rng.standard_normal((2 * P if signed else P, n))
    expected = sum(D[i] * products[i] for i in range(P))
    if signed:
        expected = expected - sum(D[i] * products[P + i] for i in range(P))
    out = np.full(n, np.nan)
    _kernels.gated_sum(D, products, out)
    assert out == pytest.approx(expected, abs=1e-14)


@settings(max_examples=20)
@given(seeds, st.floats(0, 3))
def test_shrink_blocks_is_a_loop_over_blocks(seed, threshold):
    x = np.random.default_rng(seed).standard_normal((4, 3))
    x[0] = 0.0
    out = np.full_like(x, np.nan)
    _kernels.shrink_blocks(x, threshold, out)
    for block, shrunk in zip(x, out, strict=True):
        norm = np.linalg.norm(block)
        expected = max(1 - threshold / norm, 0) * block if norm else block
        assert shrunk == pytest.approx(expected, abs=1e-15)


@settings(max_examples=40)
@given(st.floats(-1e4, 1e4), st.sampled_from([-1.0, 1.0]), st.floats(-6, 6))
def test_logistic_prox_brackets_the_root_within_an_ulp(a, y, exponent):
    rho = 10.0**exponent
    out = np.empty(1)
    _kernels.prox_logistic(np.array([a]), np.array([y]), rho, out)
    m, c = y * out[0], y * a

    def excess(m):
        return m - c - 1.0 / (1.0 + np.exp(min(m, 700.0))) / rho

    width = 1e-14 * max(abs(m), abs(c), 1.0, 1.0 / rho)
    assert excess(m - width) <= 0 <= excess(m + width)


@settings(max_examples=30)
@given(seeds, st.booleans())
def test_projection_kernel_agrees_with_nonnegative_least_squares(seed, with_gram):
    rng = np.random.default_rng(seed)
    n, r, m = rng.integers(1, 9), rng.integers(1, 5), 3
    A = rng.standard_normal((n, r))
    if seed % 3 == 0:
        A[0] = 0.0
    if seed % 4 == 0:
        A[-1] = -A[0]
    D = rng.integers(0, 2, (m, n)).astype(float)
    x = rng.standard_normal((m, r))
    work = workspace(D, r)
    gram = A @ A.T if with_gram else None
    p, unfinished = project(A, D, x, work, gram=gram)
    assert unfinished == 0
    for i in range(m):
        signed = (2 * D[i] - 1)[:, None] * A
        lam, _ = nnls(signed.T, -x[i], maxiter=1000)
        assert p[i] == pytest.approx(x[i] + signed.T @ lam, abs=1e-9)
        assert p[i] == pytest.approx(x[i] + signed.T @ work["lam"][i], abs=1e-12)
        positive = set(np.flatnonzero(work["lam"][i]))
        assert positive <= set(work["passive"][i, : work["counts"][i]])
    again, _ = project(A, D, x, work, gram=gram)
    assert again == pytest.approx(p, abs=1e-12)


def test_factor_is_the_cholesky_factor_of_the_passive_rows():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((6, 4))
    A[3] = 2 * A[1]
    D = np.array([[1.0, 0, 1, 1, 0, 1]])
    lam = np.ones((1, 6))
    passive, counts = np.array([[4, 1, 3, 5]]), np.array([4])
    factors = np.zeros((1, 4, 4))
    _kernels.factor_passive(A, A @ A.T, D, lam, passive, counts, factors)
    assert counts[0] == 3  # row 3 depends on row 1
    assert passive[0, :3].tolist() == [4, 1, 5]
    assert lam[0].tolist() == [1, 1, 1, 0, 1, 1]
    Q = ((2 * D[0] - 1)[:, None] * A)[[4, 1, 5]]
    L = np.tril(factors[0, :3, :3])
    assert L @ L.T == pytest.approx(Q @ Q.T, abs=1e-13)


def test_a_projection_cut_short_still_has_valid_multipliers():
    rng = np.random.default_rng(1)
    A, x = rng.standard_normal((30, 6)), rng.standard_normal((4, 6))
    D = np.ascontiguousarray((A @ rng.standard_normal((6, 4)) >= 0).T, dtype=float)
    exact, _ = project(A, D, x, workspace(D, 6))
    work = workspace(D, 6)
    p, unfinished = project(A, D, x, work, max_changes=1)
    assert unfinished > 0
    assert (work["lam"] >= 0).all()
    assert p == pytest.approx(x + ((2 * D - 1) * work["lam"]) @ A, abs=1e-12)
    longer = np.linalg.norm(p, axis=1) - np.linalg.norm(exact, axis=1)
    assert longer.min() >= -1e-12
    finished, left = project(A, D, x, work)
    assert left == 0
    assert finished == pytest.approx(exact, abs=1e-10)


def test_many_small_moves_end_where_one_cold_start_does():
    # Rows are passed over by margins from earlier calls; none may be missed.
    rng = np.random.default_rng(2)
    A = rng.standard_normal((60, 5))
    D = np.ascontiguousarray((A @ rng.standard_normal((5, 3)) >= 0).T, dtype=float)
    work, x = workspace(D, 5), rng.standard_normal((3, 5))
    for step in range(60):
        x = x + (1.0 if step % 20 == 0 else 0.05) * rng.standard_normal((3, 5))
        warm, _ = project(A, D, x, work, gram=A @ A.T)
        cold, _ = project(A, D, x, workspace(D, 5))
        assert warm == pytest.approx(cold, abs=1e-9)


def test_the_warm_up_compiles_what_the_solver_calls():
    _kernels.compile_all()
    names = "gated_sum shrink_blocks prox_logistic factor_passive project_cones"
    for name in names.split():
        kernel = getattr(_kernels, name)
        signatures = getattr(kernel, "signatures", [None])  # plain with JIT disabled
        assert len(signatures) == 1, name
