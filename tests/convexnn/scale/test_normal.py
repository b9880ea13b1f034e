"""Every u-step solves the same system, and remembers what it needs to go on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import farkas
from convexnn import sample_patterns, solve_gated, solve_relu
from convexnn.admm import factorize
from convexnn.scale import normal as large
from convexnn.scale.normal import (
    ConjugateGradients,
    Coupling,
    Nystrom,
    choose,
    least_squares,
    prepare_u_step,
)
from farkas.checkpoint import load, save

SOLVE = {"relu": solve_relu, "gated": solve_gated}
u_updates = pytest.mark.parametrize("u_update", ["cholesky", "cg"])


def coupling(seed, copies=2, *, n=15, r=3, P=4):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, r))
    D = (rng.standard_normal((P, r)) @ A.T >= 0).astype(np.float64)
    F = np.concatenate([d[:, None] * A for d in D], axis=1)
    return Coupling(A, D, copies), F, rng


def data(n=40, P=8):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal((n, 3)), np.ones(n)])
    y = np.where(np.abs(X[:, 0]) + 0.3 * X[:, 1] > 0.7, 1.0, -1.0)
    return X, y, sample_patterns(X, P, random_state=0)


@pytest.mark.parametrize("copies", [1, 2])
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_products_are_those_of_the_matrix(copies, seed):
    products, F, rng = coupling(seed, copies)
    q, push = rng.standard_normal(15), rng.standard_normal((4, 3))
    assert products.push(q).ravel() == pytest.approx(F.T @ q)
    assert products.predict(push) == pytest.approx(copies * F @ push.ravel())
    assert products.inner() == pytest.approx(copies * F.T @ F, abs=1e-12)
    index = np.array([2, 7])
    assert products.columns(index) == pytest.approx(
        (copies * F @ F.T)[:, index], abs=1e-12
    )


def test_chunks_of_rows_add_up(monkeypatch):
    monkeypatch.setattr(large, "CHUNK", 4)
    products, F, _ = coupling(0)
    assert products.inner() == pytest.approx(2 * F.T @ F, abs=1e-12)


@u_updates
@pytest.mark.parametrize("copies", [1, 2])
@given(seed=st.integers(0, 2**32 - 1), weight=st.sampled_from([1e-4, 1.0, 1e3]))
@settings(max_examples=20)
def test_u_step_solves_the_system(u_update, copies, seed, weight):
    products, F, rng = coupling(seed, copies)
    b = rng.standard_normal(15)
    step = prepare_u_step(products.A, products.D, copies, u_update)()
    exact = np.linalg.solve(weight * np.eye(15) + copies * F @ F.T, b)
    for _ in range(30):  # conjugate gradients come closer at every call
        push, residual = step.solve(weight, b)
    scale = 1e-9 * np.abs(exact).max() * max(weight, 1.0)
    assert push.ravel() == pytest.approx(F.T @ exact, abs=100 * scale)
    assert residual == pytest.approx(weight * exact, abs=100 * scale)
    # The residual belongs to the push, however accurate the solve.
    assert residual == pytest.approx(b - copies * F @ push.ravel(), abs=1e-10)


def test_the_tolerance_falls_and_starts_where_the_last_solve_ended():
    products, _, rng = coupling(0, n=60, P=20)
    step = ConjugateGradients(products, Nystrom(products, rank=3))
    b = rng.standard_normal(60)
    step.solve(1.0, b)
    first = step.products
    for _ in range(200):
        step.solve(1.0, b)
    assert first > 3
    assert step.products < 200 * first / 4
    step.solve(1.0, b + 1e-13)
    assert step.products < 200 * first / 4 + first


def test_nystrom_of_all_columns_leaves_nothing_to_do():
    products, F, rng = coupling(0)
    full, none = Nystrom(products, rank=15), Nystrom(products, rank=1)
    b = F @ rng.standard_normal(12)
    inverse = np.linalg.solve(0.1 * np.eye(15) + 2 * F @ F.T, b)
    level = 0.1 + full.values[0]
    assert full.precondition(0.1, b) == pytest.approx(level * inverse, rel=1e-5)
    counts = []
    for nystrom in (full, none):
        step = ConjugateGradients(products, nystrom)
        step.solves = 10**6
        step.solve(0.1, b)
        counts.append(step.products)
    assert counts[0] <= 3 < counts[1]


def test_patterns_that_are_off_everywhere():
    A, D = np.ones((5, 2)), np.zeros((3, 5))
    for u_update in ("cholesky", "cg"):
        push, residual = prepare_u_step(A, D, 2, u_update)().solve(2.0, np.ones(5))
        assert not push.any()
        assert residual == pytest.approx(np.ones(5))


@pytest.mark.parametrize(
    ("n", "size", "method"),
    [
        (4000, 10, "eigh"),
        (4001, 4001, "cholesky"),
        (4001, 4002, "cg"),
        (10**6, 8000, "cholesky"),
        (10**6, 8001, "cg"),
    ],
)
def test_auto(n, size, method):
    assert choose(n, size) == method


@pytest.mark.parametrize("loss", ["squared", "hinge"])
@pytest.mark.parametrize("activation", ["relu", "gated"])
@u_updates
def test_the_answer_does_not_depend_on_the_u_step(u_update, activation, loss):
    X, y, patterns = data()
    solve = SOLVE[activation]
    options = {"alpha": 0.3, "loss": loss, "tol": 1e-6}
    reference = solve(X, y, patterns, u_update="eigh", **options)
    result = solve(X, y, patterns, u_update=u_update, **options)
    assert result.fun == pytest.approx(reference.fun, rel=2e-6)
    assert result.nit <= reference.nit + 50
    assert farkas.verify(result.certificate, X, y)


@u_updates
def test_two_halves_equal_the_whole(u_update, tmp_path, monkeypatch):
    monkeypatch.setattr(large, "RANK", 5)
    X, y, patterns = data()
    options = {"alpha": 0.3, "u_update": u_update, "tol": 0.0}
    whole = solve_relu(X, y, patterns, max_iter=100, **options)
    half = solve_relu(X, y, patterns, max_iter=50, **options)
    save(tmp_path / "half.npz", half.state)
    state = load(tmp_path / "half.npz")
    other = solve_relu(X, y, patterns, max_iter=100, state=state, **options)
    assert other.nit == whole.nit == 100
    # The factors of the passive rows are computed anew, which may round otherwise.
    assert other.x[0] == pytest.approx(whole.x[0], rel=1e-7, abs=1e-9)


def test_no_square_matrix_of_all_rows_is_formed(monkeypatch):
    monkeypatch.setattr("convexnn.scale.normal.LARGEST_EIGH", 10)
    X, y, patterns = data()
    factor = factorize(X, patterns.D, "relu")
    assert factor.gram.size == factor.eigenvectors.size == 0
    result = solve_relu(X, y, patterns, alpha=0.3)
    assert result.success


@pytest.mark.parametrize("P", [3, 40])  # fewer and more weights than rows
def test_least_squares_of_least_norm(P):
    products, F, rng = coupling(1, 1, P=P)
    y = rng.standard_normal(15)
    blocks = least_squares(products.A, products.D, y)
    assert blocks.ravel() == pytest.approx(np.linalg.pinv(F) @ y, abs=1e-8)


@u_updates
def test_alpha_zero_without_eigenvectors(u_update):
    X, y, patterns = data()
    reference = solve_gated(X, y, patterns, alpha=0.0)
    result = solve_gated(X, y, patterns, alpha=0.0, u_update=u_update)
    assert result.fun == pytest.approx(reference.fun, abs=1e-9)
    assert result.x == pytest.approx(reference.x, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("u_update", ["cg", "rbcd"])
def test_a_state_of_another_u_step_is_refused(u_update):
    X, y, patterns = data()
    state = solve_relu(X, y, patterns, alpha=0.3, max_iter=10).state
    with pytest.raises(ValueError, match="state of a run with the same u_update"):
        solve_relu(X, y, patterns, alpha=0.3, u_update=u_update, state=state)


def test_unknown_u_update():
    X, y, patterns = data()
    with pytest.raises(ValueError, match="u_update='newton' must be one of"):
        solve_relu(X, y, patterns, alpha=0.3, u_update="newton")
