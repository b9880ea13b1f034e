"""Eigenproblems, spaces and recovery against dense linear algebra."""

import array_api_compat.numpy as xp
import numpy as np
import pytest
from scipy import sparse

from sdl._measure_data import problem_of
from sdl.lifting import DenseFilter, Feature, ProductFilter, lifted_space
from sdl.recovery import recover
from sdl.secular import leading_pairs, leading_sum

SEED = np.random.SeedSequence(0)


@pytest.mark.parametrize(
    ("k", "K", "r"), [(20, 1, 3), (200, 1, 7), (600, 3, 5), (300, 2, 4), (120, 1, 119)]
)
def test_leading_pairs_are_those_of_lapack(k, K, r):
    rng = np.random.default_rng(k)
    d = np.sort(10 ** rng.uniform(-6, 3, k))[::-1]
    U = rng.standard_normal((k, K)) * np.sqrt(d)[:, None]
    values, Q = leading_pairs(d, U, r)
    S = np.diag(d) + U @ U.T
    exact = np.linalg.eigvalsh(S)[::-1][:r]
    assert values == pytest.approx(exact, rel=1e-10)
    assert np.abs(S @ Q - Q * values).max() <= 1e-9 * exact[0]
    assert Q.T @ Q == pytest.approx(np.eye(r), abs=1e-12)
    assert leading_sum(d, U, r) == pytest.approx(exact.sum(), rel=1e-10)


def test_entries_without_weight_and_equal_poles():
    d = np.arange(200.0, 0.0, -1.0)
    u = np.ones((200, 1))
    u[:5] = 0.0
    values, Q = leading_pairs(d, u, 4)
    exact = np.linalg.eigvalsh(np.diag(d) + u @ u.T)[::-1][:4]
    assert values == pytest.approx(exact)
    assert np.abs((np.diag(d) + u @ u.T) @ Q - Q * values).max() <= 1e-9
    d[50] = d[51]
    values, _ = leading_pairs(d, u, 4)
    assert values == pytest.approx(np.linalg.eigvalsh(np.diag(d) + u @ u.T)[::-1][:4])
    values, Q = leading_pairs(d, 0.0 * u, 2)
    assert values == pytest.approx(d[:2])
    assert leading_sum(d, 0.0 * u, 2) == pytest.approx(d[:2].sum())


def task_of(X, model="filter", rank=3, weights=None):
    n = X.shape[0]
    parameters = {
        "model": model, "n_components": rank, "xi": 0.7, "alpha": 1.0,
        "alpha_covariates": 1.0, "fit_intercept": True, "baseline": 0,
        "class_weight": "none", "missing": "error",
    }  # fmt: skip
    return problem_of(X, np.arange(n) % 2, None, weights, {}, parameters)


def test_the_space_fits_the_data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 10))
    wide = sparse.random(30, 900, 0.1, format="csr", random_state=rng)
    kinds = [
        (X, "filter", "auto", DenseFilter),
        (sparse.csr_matrix(X), "filter", "auto", DenseFilter),
        (X, "filter", "lanczos", ProductFilter),
        (wide, "filter", "auto", ProductFilter),
        (wide, "filter", "exact", DenseFilter),
        (wide, "feature", "auto", Feature),
    ]  # fmt: skip
    for data, model, svd, kind in kinds:
        space = lifted_space(task_of(data, model), 3, xp, "cpu", SEED, svd)
        assert type(space) is kind


@pytest.mark.parametrize("shape", [(30, 8), (8, 30)])
@pytest.mark.parametrize("model", ["filter", "feature"])
@pytest.mark.parametrize("svd", ["exact", "lanczos"])
@pytest.mark.parametrize("thin", [False, True])
def test_spaces_solve_the_lifted_eigenproblem(shape, model, svd, thin):
    rng = np.random.default_rng(1)
    X = rng.standard_normal(shape)
    v = rng.uniform(0.5, 2.0, shape[0])
    data = sparse.csr_matrix(X) if thin else X
    task = task_of(data, model, weights=v)
    space = lifted_space(task, 3, xp, "cpu", SEED, svd)
    root = np.sqrt(v)[:, None] * X
    alpha = rng.standard_normal((shape[0], 1))
    pull = X.T @ alpha if model == "filter" else alpha / np.sqrt(v)[:, None]
    S = 0.7 * (root.T @ root if model == "filter" else root @ root.T) + pull @ pull.T
    values, V = np.linalg.eigh(S)
    found = space.leading(space.pull(alpha))
    assert found.total == pytest.approx(values[-3:].sum(), rel=1e-9)
    assert space.total(space.pull(alpha)) == pytest.approx(found.total, rel=1e-10)
    assert found.gap == pytest.approx(values[-3] - values[-4], rel=1e-6)
    Q = space.ambient(found.Q)
    assert Q @ Q.T == pytest.approx(V[:, -3:] @ V[:, -3:].T, abs=1e-6)
    product = root @ Q if model == "filter" else root.T @ Q
    assert space.captured(found.Q) == pytest.approx(np.sum(product**2), rel=1e-9)
    first = space.start()
    P, N = (space.ambient(q) @ space.ambient(q).T for q in (first, found.Q))
    moved = root @ (P - N) if model == "filter" else (P - N) @ root
    assert space.moved(first, found.Q) == pytest.approx(np.linalg.norm(moved), rel=1e-6)
    features = X @ Q if model == "filter" else Q / np.sqrt(v)[:, None]
    assert space.features(found.Q) == pytest.approx(features, abs=1e-9)


def test_recovery_with_more_atoms_than_features():
    rng = np.random.default_rng(2)
    X = rng.standard_normal((12, 2))
    task = task_of(X, "feature", rank=4)
    Q = np.linalg.qr(rng.standard_normal((12, 4)))[0]
    beta = rng.standard_normal((4, 1))
    x = recover(task, Q, beta, np.zeros((1, 1)))
    assert x["H"] @ x["beta"] == pytest.approx(Q @ beta)
    assert x["H"] @ x["W"].T == pytest.approx(Q @ Q.T @ X)
