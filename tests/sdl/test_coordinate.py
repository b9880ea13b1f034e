"""Coordinate descent over all blocks: its bookkeeping, descent and fallbacks."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits

from sdl import bcd
from sdl._measure import objective
from sdl._measure_stationarity import Factors
from sdl.block_descent import start
from sdl.blocks import Blocks, Radius
from sdl.coordinate import CoordinateBlocks, has_coordinates
from sdl.formulation import formulate

VARIANTS = [
    {"nonnegative": True},
    {"nonnegative": True, "model": "feature"},
    {"nonnegative": "W", "alpha": 0.0},
    {"nonnegative": "H", "l2_beta": 0.3},
    {"nonnegative": True, "l1_H": 0.1, "l2_W": 0.1},
    {"l1_W": 0.1, "l2_H": 0.1, "model": "feature"},
    {"class_weight": "balanced", "nonnegative": True},
]


@pytest.fixture(scope="module")
def data():
    X, y = load_digits(return_X_y=True)
    kept = np.flatnonzero(y < 3)[::3]
    rng = np.random.default_rng(0)
    weights, Z = rng.integers(1, 4, len(kept)), rng.standard_normal((len(kept), 2))
    return X[kept] / 16, y[kept], Z, weights.astype(float)


def blocks(X, y, Z, weights, **variant):
    form = formulate(X, y, 4, Z=Z, sample_weight=weights, xi=0.5, **variant)
    return form, CoordinateBlocks(
        form, start(form, 0), Radius(), None, np.random.default_rng(0)
    )


@pytest.mark.parametrize("thin", [False, True])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_objective_is_that_of_the_measure(data, variant, thin):
    X, *rest = data
    form, iteration = blocks(sparse.csr_matrix(X) if thin else X, *rest, **variant)
    assert has_coordinates(form)
    last = iteration.objective
    for _ in range(25):
        iteration.advance()
        assert iteration.objective <= last * (1 + 1e-12)
        last = iteration.objective
    exact = objective(form.task, Factors(**iteration.factors()), form.parameters)[0]
    assert last == pytest.approx(exact, rel=1e-9)
    general = iteration.value(
        iteration.W, iteration.H, iteration.beta, iteration.Gamma, iteration.XW
    )
    assert last == pytest.approx(general, rel=1e-12)
    assert iteration.objective < 0.999 * blocks(X, *rest, **variant)[1].objective


def test_atoms_go_back_where_the_curvature_was_too_small(data):
    _, iteration = blocks(*data, nonnegative=True, alpha=1e-6)
    values, raised = [iteration.objective], []
    for _ in range(30):
        iteration.bend = 1e-9
        iteration.advance()
        values.append(iteration.objective)
        raised.append(1e-9 < iteration.bend < 1e-8)
    assert (np.diff(values) <= 1e-12 * values[0]).all()
    assert any(raised)


def test_a_run_starts_where_the_general_method_does(data):
    X, y, Z, weights = data
    form, iteration = blocks(X, y, Z, weights, nonnegative=True)
    x0 = start(form, 0)
    general = Blocks(form, x0, Radius(), None, np.random.default_rng(0))
    assert iteration.objective == pytest.approx(general.objective, rel=1e-12)
    for _ in range(20):
        general.advance()
        iteration.advance()
    assert iteration.objective <= general.objective * 1.02


@pytest.mark.parametrize(
    "variant",
    [{"max_atom_norm": 1.0, "nonnegative": True}, {"missing": "impute"}],
    ids=str,
)
def test_balls_and_missing_entries_are_left_to_the_general_method(data, variant):
    X, y, _, _ = data
    if "missing" in variant:
        X = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
        variant = {**variant, "model": "feature"}
    assert not has_coordinates(formulate(X, y, 3, **variant))


def test_scales_of_atoms_do_not_drift(data):
    form, iteration = blocks(*data, nonnegative=True)
    iteration.atoms *= 1e4
    iteration.codes *= 1e-4
    iteration.products *= 1e4
    iteration.beta /= 1e4
    iteration._settle()
    before = iteration.objective
    iteration._normalise()
    assert np.linalg.norm(iteration.W, axis=0) == pytest.approx(1.0)
    assert iteration.objective == pytest.approx(before, rel=1e-12)
    assert iteration.XW == pytest.approx(form.task.X @ iteration.W, rel=1e-10)


@pytest.mark.parametrize("model", ["filter", "feature"])
def test_a_dead_atom_is_revived(data, model):
    X, y, Z, weights = data
    form, iteration = blocks(X, y, Z, weights, nonnegative=True, model=model)
    for part in (iteration.atoms, iteration.codes, iteration.products):
        part[1] = 0.0
    iteration.beta[1] = 0.0
    iteration._settle()
    before = iteration.objective
    iteration.advance()
    assert np.linalg.norm(iteration.atoms[1]) > 0
    iteration.advance()
    iteration.advance()
    assert iteration.objective < before
    exact = objective(form.task, Factors(**iteration.factors()), form.parameters)[0]
    assert iteration.objective == pytest.approx(exact, rel=1e-9)


def test_one_score_a_class_is_two_classes(data):
    X, y, *_ = data
    X, y = X[y < 2], y[y < 2]
    one = bcd(X, y, 3, nonnegative=True, tol=1e-8)
    two = bcd(X, y[:, None] == 1, 3, nonnegative=True, tol=1e-8)
    assert one.fun == pytest.approx(two.fun, rel=1e-9)
