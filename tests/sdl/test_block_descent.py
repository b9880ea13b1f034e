"""The block method: feasibility, monotony, its start, and the free optimum."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

import farkas
from farkas import Checkpoint, Guarantee, Status
from farkas.checkpoint import load
from sdl import bcd, lpgd
from sdl._measure import objective
from sdl._measure_stationarity import Factors
from sdl.block_descent import noise_weight, start
from sdl.block_head import solve_head
from sdl.blocks import Radius
from sdl.formulation import formulate
from sdl.hals import Sweeps, factor_start


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    kept = np.flatnonzero((y == 2) | (y == 5))[::2]
    return X[kept] / 16, (y[kept] == 5).astype(int)


VARIANTS = [
    {"nonnegative": True},
    {"nonnegative": True, "model": "feature"},
    {"nonnegative": "W"},
    {"nonnegative": "H"},
    {"nonnegative": True, "l1_H": 0.1, "max_atom_norm": 1.0},
    {"nonnegative": True, "l1_H": 0.1, "l2_W": 0.1},
    {"nonnegative": True, "max_atom_norm": 1.0, "max_code_norm": 2.0},
    {"model": "feature", "max_code_norm": 1.0, "l1_H": 0.05, "l1_W": 0.05},
    {"max_coef_norm": 0.5},
    {"l1_W": 0.1, "l2_H": 0.1},
    {"l2_W": 0.1, "l1_H": 0.1, "model": "feature", "l2_beta": 0.1},
    {"nonnegative": True, "radius": 3.0},
    {"nonnegative": True, "batch_size": 40},
]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_variant_descends_within_its_constraints(digits, variant):
    X, y = digits
    result = bcd(X, y, 4, xi=0.5, random_state=0, max_iter=40, **variant)
    history = result.history["objective"]
    assert (np.diff(history) <= 1e-9 * history[0]).all()
    W, H, beta = result.x["W"], result.x["H"], result.x["beta"]
    signs = variant.get("nonnegative", False)
    assert W.min() >= 0 or signs not in (True, "W")
    assert H.min() >= 0 or signs not in (True, "H")
    room = 1 + 1e-12
    assert np.linalg.norm(W, axis=0).max() <= variant.get("max_atom_norm", 1e9) * room
    assert np.linalg.norm(H, axis=1).max() <= variant.get("max_code_norm", 1e9) * room
    assert np.linalg.norm(beta) <= variant.get("max_coef_norm", 1e9) * room
    form = formulate(X, y, 4, xi=0.5, **{
        name: value for name, value in variant.items()
        if name not in ("radius", "batch_size")
    })  # fmt: skip
    first = start(form, 0)
    begun, _, _ = objective(form.task, Factors(**first), form.parameters)
    assert result.fun <= begun * (1 + 1e-9)
    farkas.verify(result, X, y).check()
    assert result.certificate.guarantee is Guarantee.LOCAL
    assert 0 < result.lower_bound <= result.fun


@pytest.mark.parametrize("model", ["filter", "feature"])
def test_without_constraints_it_reaches_the_proven_optimum(digits, model):
    X, y = digits
    free = bcd(X, y, 3, model=model, tol=1e-9)
    assert free.fun == pytest.approx(lpgd(X, y, 3, model=model).fun, rel=1e-6)
    assert free.certificate.gap <= 1e-4 * free.fun


def test_it_never_ends_above_nmf_and_logistic_regression(digits):
    X, y = digits
    for iterations in (20, 500):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = NMF(4, init="nndsvda", max_iter=iterations, random_state=0)
            H = model.fit_transform(X)
        W = model.components_.T
        form = formulate(X, y, 4, nonnegative=True)
        zero = np.zeros((4, 1)), np.zeros((1, 1))
        beta, Gamma = solve_head(form.task, X @ W, W.T @ W, *zero)
        point = Factors(W, H, beta, Gamma, True)
        begun, _, _ = objective(form.task, point, form.parameters)
        x0 = {"W": W, "H": H, "beta": beta, "Gamma": Gamma}
        assert bcd(X, y, 4, nonnegative=True, x0=x0).fun <= begun * (1 + 1e-12)
    assert bcd(X, y, 4, nonnegative=True).fun <= begun * (1 + 1e-6)


@pytest.mark.filterwarnings("ignore:alpha=0 and the scores separate")
@pytest.mark.parametrize(
    ("alpha", "best"), [(0.0, 615.354), (0.1, 620.494), (1.0, 634.958)]
)
def test_nonnegative_digits_reach_the_best_known_values(alpha, best):
    X, y = load_digits(return_X_y=True)
    kept = (y == 2) | (y == 5)
    X, y = X[kept] / 16, (y[kept] == 5).astype(int)
    result = bcd(X, y, 5, nonnegative=True, alpha=alpha, random_state=0)
    assert result.fun == pytest.approx(best, rel=2e-6)
    if alpha == 0:  # the published reference, 615, is without a ridge
        assert result.fun <= 1.02 * 615
    else:
        assert result.status is Status.CONVERGED


def test_without_labels_it_is_nmf(digits):
    # a huge ridge silences the labels
    X, y = digits
    result = bcd(X, y, 4, nonnegative=True, alpha=1e8, tol=1e-7)
    peer = NMF(4, init="nndsvda", max_iter=2000, tol=1e-6, random_state=0).fit(X)
    error = result.reconstruction * np.sum(X**2)
    assert error <= 1.005 * peer.reconstruction_err_**2


def test_stationary_points_satisfy_the_first_order_conditions(digits):
    X, y = digits
    result = bcd(X, y, 4, nonnegative=True, tol=1e-7)
    assert result.status is Status.CONVERGED
    assert result.certificate.value <= 1e-7 * result.certificate.scale


def test_the_full_dictionary_is_logistic_regression(digits):
    X, y = digits
    result = bcd(X, y, 1, full_dim=True, alpha=2.0, tol=1e-10)
    peer = LogisticRegression(C=0.5, tol=1e-10, max_iter=1000).fit(X, y)
    assert result.x["beta"].ravel() == pytest.approx(peer.coef_.ravel(), abs=1e-5)
    assert result.reconstruction <= 1e-15
    wide = bcd(X[:30], y[:30], 1, full_dim=True)
    assert wide.x["W"].shape == (64, 64)


@pytest.mark.parametrize("model", ["filter", "feature"])
def test_sparse_is_dense(digits, model):
    X, y = digits
    common = {"nonnegative": True, "model": model, "random_state": 0, "max_iter": 10}
    dense = bcd(X, y, 3, **common)
    thin = bcd(sparse.csr_matrix(X), y, 3, **common)
    assert thin.fun == pytest.approx(dense.fun, rel=1e-6)
    farkas.verify(thin, sparse.csr_matrix(X), y).check()


def test_weights_are_repeated_rows(digits):
    X, y = digits
    X, y = X[:60], y[:60]
    twice = np.r_[np.arange(60), np.arange(20)]
    weights = np.bincount(twice).astype(float)
    for model in ("filter", "feature"):
        common = {"nonnegative": "W", "model": model, "tol": 1e-9}
        one = bcd(X, y, 2, sample_weight=weights, **common)
        many = bcd(X[twice], y[twice], 2, **common)
        assert one.fun == pytest.approx(many.fun, rel=1e-5)


def test_missing_entries_descend_and_are_filled_in(digits):
    X, y = digits
    holes = np.where(np.random.default_rng(0).random(X.shape) < 0.2, np.nan, X)
    result = bcd(holes, y, 4, model="feature", missing="impute", tol=1e-5)
    assert (np.diff(result.history["objective"]) <= 1e-9).all()
    filled = result.x["H"] @ result.x["W"].T
    gaps = np.isnan(holes)
    error = np.abs(filled - X)[gaps].mean()
    assert error < 0.75 * np.abs(X - np.nanmean(holes, axis=0))[gaps].mean()
    assert result.lower_bound == 0.0
    farkas.verify(result, holes, y).check()
    complete = bcd(X, y, 4, model="feature", tol=1e-5)
    assert result.fun < complete.fun  # fewer entries to explain


def test_the_weight_of_maximum_likelihood():
    rng = np.random.default_rng(0)
    W, H = rng.random((30, 3)), rng.random((400, 3))
    X = H @ W.T + 0.05 * rng.standard_normal((400, 30))
    y = (H[:, 0] > 0.5).astype(int)
    result = bcd(X, y, 3, xi="mle", alpha=0.1, tol=1e-5)
    assert result.xi == pytest.approx(1 / (2 * 0.05**2), rel=0.15)
    form = formulate(X, y, 3, alpha=0.1, xi=result.xi)
    assert noise_weight(form, result.x) == pytest.approx(result.xi, rel=1e-3)
    farkas.verify(result, X, y).check()


def test_exact_data_have_no_noise():
    rng = np.random.default_rng(0)
    X = rng.random((20, 1)) @ rng.random((1, 5))
    form = formulate(X, np.arange(20) % 2, 1)
    x = start(form, 0)
    with pytest.warns(UserWarning, match="no noise"):
        assert np.isfinite(noise_weight(form, x))


def test_dead_atoms_come_back(digits):
    X, y = digits
    x = start(formulate(X, y, 4, nonnegative=True), 0)
    x["W"][:, 0], x["H"][:, 0], x["beta"][0] = 0.0, 0.0, 0.0
    result = bcd(X, y, 4, nonnegative=True, x0=x)
    assert (np.linalg.norm(result.x["W"], axis=0) > 0).all()
    assert result.fun == pytest.approx(bcd(X, y, 4, nonnegative=True).fun, rel=0.02)


@pytest.mark.parametrize("batch_size", [None, 40])
def test_resuming_continues_bit_for_bit(digits, tmp_path, batch_size):
    X, y = digits
    common = {"nonnegative": True, "tol": 0.0, "batch_size": batch_size}
    common["random_state"] = 0
    whole = bcd(X, y, 3, max_iter=8, **common)
    path = tmp_path / "run.npz"
    bcd(X, y, 3, max_iter=4, callback=Checkpoint(path, every=4), **common)
    rest = bcd(X, y, 3, max_iter=8, state=load(path), **common)
    assert np.array_equal(rest.x["W"], whole.x["W"])
    assert rest.history["iteration"].tolist() == whole.history["iteration"].tolist()


def test_the_radius_diminishes():
    radius = Radius(c=2.0, b=1.0)
    old, new = np.zeros(2), np.array([3.0, 4.0])
    for t in (0, 5, 50):
        moved = radius.shorten(old, new, t)
        expected = 2.0 / (t + 1) / np.log(t + 2)
        assert np.linalg.norm(moved) == pytest.approx(min(expected, 5.0))
    assert Radius().shorten(old, new, 9) is new


@pytest.mark.parametrize("signs", ["", "W", "H", "WH"])
def test_the_start_obeys_the_signs(digits, signs):
    X, _ = digits
    W, H = factor_start(X, 4, signs, 0)
    assert W.min() >= 0 or "W" not in signs
    assert H.min() >= 0 or "H" not in signs
    best = np.sum(np.linalg.svd(X, compute_uv=False)[4:] ** 2)
    assert np.sum((X - H @ W.T) ** 2) <= 1.3 * best


@pytest.mark.parametrize("nonnegative", [False, True])
def test_sweeps_solve_their_quadratic_problems(nonnegative):
    from scipy.optimize import nnls

    rng = np.random.default_rng(0)
    W, X = rng.standard_normal((9, 3)), rng.standard_normal((5, 9))
    a = rng.uniform(0.5, 2.0, 5)
    H = np.zeros((5, 3))
    sweeps = Sweeps(W.T @ W, a, nonnegative=nonnegative)
    sweeps(H, a[:, None] * (X @ W), 500)
    for row, x in zip(H, X, strict=True):
        exact = nnls(W, x)[0] if nonnegative else np.linalg.lstsq(W, x, rcond=None)[0]
        assert row == pytest.approx(exact, abs=1e-8)


def test_sweeps_with_penalties_and_two_matrices():
    rng = np.random.default_rng(1)
    T, C = np.eye(2) * 2.0, np.eye(2)
    L = rng.standard_normal((6, 2)) * 3
    H = np.zeros((6, 2))
    b = np.arange(6.0)
    Sweeps(T, np.ones(6), C, b, l1=0.5, l2=1.0)(H, L, 5)
    exact = np.sign(L) * np.maximum(np.abs(L) - 0.5, 0) / (3.0 + b[:, None])
    assert pytest.approx(exact) == H


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"xi": "best"}, "xi='best'"),
        ({"nonnegative": "both"}, "nonnegative='both'"),
        ({"nonnegative": True, "negative": True}, "Negative values"),
        ({"l1_H": -1.0}, "l1_H=-1.0"),
        ({"l1_H": 0.1}, "l1_H alone"),
        ({"l2_W": 0.1}, "l2_W alone"),
        ({"max_atom_norm": -1.0}, "max_atom_norm=-1.0"),
        ({"radius": 0.0}, "radius=0.0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"certificate": "yes"}, "certificate='yes'"),
        ({"r": 65, "nonnegative": True}, "n_components=65"),
        ({"x0": {"W": np.ones((3, 3))}}, "x0 must hold W"),
        ({"missing": "drop"}, "missing='drop'"),
        ({"missing": "impute", "holes": True}, "feature model"),
    ],
    ids=str,
)
def test_bad_input_is_named(digits, change, message):
    X, y = digits
    arguments = {"r": 2} | change
    if arguments.pop("negative", False):
        X = -X
    if arguments.pop("holes", False):
        X = np.where(X == 0, np.nan, X)
    with pytest.raises(ValueError, match=message):
        bcd(X, y, **arguments)


def test_a_negative_start_is_refused(digits):
    X, y = digits
    x = start(formulate(X, y, 2), 0)
    with pytest.raises(ValueError, match="negative entries"):
        bcd(X, y, 2, nonnegative=True, x0=x)
    with pytest.raises(TypeError, match="not a penalty"):
        formulate(X, y, 2, l3_W=1.0)


def test_one_nonnegative_factor_may_have_no_minimiser():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 4)), np.arange(60) % 2
    quiet = {"max_iter": 200, "random_state": 0}
    with pytest.warns(ConvergenceWarning, match="no minimiser"):
        bcd(X, y, 2, nonnegative="H", **quiet)
    held = bcd(X, y, 2, nonnegative="H", l2_H=0.1, l2_W=0.1, **quiet)  # no warning
    assert held.success
    assert bcd(np.abs(X), y, 2, nonnegative="H", **quiet).success
