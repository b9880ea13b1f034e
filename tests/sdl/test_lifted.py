"""The lifted solver against published numbers, limits, symmetries and peers."""

import dataclasses
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import scale

import farkas
from farkas import Checkpoint, Guarantee, Status
from farkas.checkpoint import load
from sdl import bcd, lpgd
from sdl.driver import Settings
from sdl.formulation import formulate
from sdl.lifted import solve_lifted

TINY = np.array(
    [[1, 0, 2], [0, 1, 1], [2, 1, 0], [1, 1, 1],
     [0, 2, 1], [2, 0, 1], [1, 2, 2], [0, 0, 1]],
    dtype=float,
)  # fmt: skip
LABELS = [0, 0, 1, 1, 0, 1, 1, 0]
COVARIATE = [0.5, -1, 1, 0, -0.5, 1, 0.5, -1.5]


def breast_cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return scale(X), y


def digits():
    X, y = load_digits(return_X_y=True)
    kept = (y == 2) | (y == 5)
    return X[kept] / 16, (y[kept] == 5).astype(int)


def wine():
    X, y = load_wine(return_X_y=True)
    return scale(X), y


# Objective of the published reference and, where it is proven, that it is global.
REFERENCE = [
    (breast_cancer, "filter", 2, 1, 1, 6345.188953),
    (breast_cancer, "filter", 2, 0.1, 10, 711.431672),
    (breast_cancer, "filter", 5, 0.1, 1, 306.488080),
    (breast_cancer, "filter", 5, 1, 1, 2652.799183),
    (breast_cancer, "feature", 2, 1, 1, 6614.928725),
    (breast_cancer, "feature", 5, 0.1, 0.1, 470.617407),
    (digits, "filter", 2, 0.1, 1, 118.302404),
    (digits, "filter", 5, 0.1, 0.1, 61.091331),
    (digits, "filter", 5, 1, 1, 582.437552),
    (digits, "feature", 5, 1, 0.1, 681.859920),
    (wine, "filter", 2, 0.1, 1, 123.773896),
    (wine, "filter", 2, 1, 1, 1057.412264),
    (wine, "feature", 2, 0.1, 1, 271.347518),
    (wine, "feature", 4, 1, 0.1, 710.749566),
]


@pytest.mark.parametrize(
    ("data", "model", "r", "xi", "alpha", "expected"),
    REFERENCE,
    ids=lambda v: getattr(v, "__name__", str(v)),
)
def test_reference_values_are_proven(data, model, r, xi, alpha, expected):
    X, y = data()
    result = lpgd(X, y, r, model=model, xi=xi, alpha=alpha, tol=1e-9)
    assert result.fun == pytest.approx(expected, rel=3e-9, abs=1e-6)
    assert result.relative_gap <= 2e-9
    assert result.is_global
    assert result.success
    assert result.certificate.guarantee is Guarantee.GLOBAL
    farkas.verify(result, X, y).check()
    assert result.nit < 200


@pytest.mark.parametrize(
    ("data", "model", "r", "xi", "alpha", "expected"),
    [
        (breast_cancer, "filter", 2, 0.1, 0.1, 688.994042),
        (breast_cancer, "feature", 5, 0.01, 0.01, 82.847629),
        (wine, "filter", 4, 1, 1, 632.598403),
    ],
)
def test_reference_values_with_an_open_gap(data, model, r, xi, alpha, expected):
    X, y = data()
    result = lpgd(X, y, r, model=model, xi=xi, alpha=alpha)
    assert result.fun == pytest.approx(expected, rel=1e-8)
    assert result.status is Status.STALLED
    assert not result.certificate.satisfied
    farkas.verify(result, X, y).check()


@pytest.mark.parametrize(
    ("model", "r", "expected", "weights", "head"),
    [
        (
            "filter",
            1,
            8.990355880,
            (0.257875, 0.262536, 0.302417),
            (-0.848355, 0.974938),
        ),
        (
            "filter",
            2,
            5.635906259,
            (0.851132, 0.053647, 0.147504),
            (-0.987540, 0.716909),
        ),
        (
            "filter",
            3,
            3.497247464,
            (0.917181, 0.389104, -0.252269),
            (-0.871374, 0.730721),
        ),
        ("feature", 1, 9.131024873, None, None),
        ("feature", 2, 6.015265883, None, None),
        ("feature", 3, 4.030271121, None, None),
    ],
)
def test_tiny_with_a_covariate(model, r, expected, weights, head):
    result = lpgd(TINY, LABELS, r, Z=COVARIATE, model=model, xi=0.5, tol=1e-12)
    assert result.fun == pytest.approx(expected, abs=2e-9)
    assert result.lower_bound == pytest.approx(expected, abs=2e-9)
    if weights:
        A = result.x["W"] @ result.x["beta"]
        assert A.ravel() == pytest.approx(weights, abs=5e-6)
        assert result.x["Gamma"].ravel() == pytest.approx(head, abs=5e-6)
    farkas.verify(result, TINY, LABELS, COVARIATE).check()


@pytest.mark.parametrize("model", ["filter", "feature"])
def test_factors_give_back_the_objective_and_are_in_order(model):
    X, y = digits()
    result = lpgd(X, y, 3, model=model, xi=0.5)
    W, H, beta, Gamma = (result.x[name] for name in ("W", "H", "beta", "Gamma"))
    D = (X @ W if model == "filter" else H) @ beta + Gamma
    A = (W if model == "filter" else H) @ beta
    value = np.sum(np.logaddexp(0, D[:, 0]) - y * D[:, 0]) + 0.5 * np.sum(A**2)
    value += 0.5 * np.sum((X - H @ W.T) ** 2)
    assert result.fun == pytest.approx(value, rel=1e-10)
    assert np.linalg.norm(W, axis=0) == pytest.approx(np.ones(3))
    explained = np.linalg.norm(H, axis=0)
    assert (np.diff(explained) <= 1e-9).all()
    assert (np.take_along_axis(W, np.abs(W).argmax(axis=0)[None], 0) > 0).all()
    if model == "filter":
        assert W.T @ W == pytest.approx(np.eye(3), abs=1e-12)
        assert X @ W == pytest.approx(H)


def test_the_history_never_rises_and_the_bound_closes_in():
    X, y = wine()
    history = lpgd(X, y, 2, xi=0.1, tol=1e-9).history
    assert (np.diff(history["objective"]) <= 1e-12 * history["objective"][0]).all()
    assert (history["lower_bound"] <= history["objective"] * (1 + 1e-12)).all()
    assert history["certificate"][-1] <= 1e-9 * history["objective"][-1]


@pytest.mark.parametrize("K", [1, 2])
def test_full_rank_is_logistic_regression(K):
    X, y = wine()
    y = np.minimum(y, K)
    result = lpgd(X, y, X.shape[1], alpha=2.0, tol=1e-12)
    assert result.reconstruction <= 1e-13
    if K == 1:
        peer = LogisticRegression(C=0.5, tol=1e-10, max_iter=1000).fit(X, y)
        A = result.x["W"] @ result.x["beta"]
        assert A.ravel() == pytest.approx(peer.coef_.ravel(), abs=1e-5)
        assert result.x["Gamma"].ravel() == pytest.approx(peer.intercept_, abs=1e-5)


def test_heavy_reconstruction_is_pca_and_light_is_logistic_regression():
    X, y = breast_cancer()
    heavy = lpgd(X, y, 2, xi=1e4)
    scores = PCA(2).fit_transform(X)
    peer = LogisticRegression(C=1.0, tol=1e-10).fit(scores, y)
    loss = -np.log(peer.predict_proba(scores)[np.arange(len(y)), y]).sum()
    assert heavy.label_loss == pytest.approx(loss, rel=1e-4)
    light = lpgd(X, y, 2, xi=1e-8, alpha=10.0, tol=1e-9)
    whole = LogisticRegression(C=0.1, tol=1e-10, max_iter=1000).fit(X, y)
    A = light.x["W"] @ light.x["beta"]
    assert A.ravel() == pytest.approx(whole.coef_.ravel(), abs=1e-3)


def test_rotations_and_permutations_leave_the_optimum():
    X, y = wine()
    expected = lpgd(X, y, 2, xi=0.1, tol=1e-9).fun
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((13, 13)))[0]
    order = rng.permutation(len(X))
    assert lpgd(X @ turn, y, 2, xi=0.1, tol=1e-9).fun == pytest.approx(
        expected, rel=2e-9
    )
    assert lpgd(X[order], y[order], 2, xi=0.1, tol=1e-9).fun == pytest.approx(
        expected, rel=2e-9
    )


@pytest.mark.parametrize("model", ["filter", "feature"])
def test_weights_are_repeated_rows(model):
    twice = np.r_[np.arange(8), 1, 4, 4, 6]
    weights = np.bincount(twice).astype(float)
    common = {"model": model, "xi": 0.5, "tol": 1e-10}
    many = lpgd(TINY[twice], np.array(LABELS)[twice], 2, **common)
    one = lpgd(TINY, LABELS, 2, sample_weight=weights, **common)
    assert one.fun == pytest.approx(many.fun, rel=1e-9)
    farkas.verify(one, TINY, LABELS, weights).check()
    assert not farkas.verify(one, TINY, LABELS, np.ones(8))
    none = lpgd(
        np.vstack([TINY, 9 * TINY[:2]]), [*LABELS, 0, 1], 2,
        sample_weight=np.r_[weights, 0, 0], **common,
    )  # fmt: skip
    assert none.fun == pytest.approx(one.fun, rel=1e-9)


@pytest.mark.parametrize("model", ["filter", "feature"])
def test_balanced_classes_are_weights_of_the_label_loss(model):
    balanced = lpgd(
        TINY[:5], LABELS[:5], 1, model=model, class_weight="balanced", tol=1e-10
    )
    counts = np.bincount(LABELS[:5])
    given = lpgd(
        TINY[:5], LABELS[:5], 1, model=model, tol=1e-10,
        class_weight={c: 5 / (2 * counts[c]) for c in (0, 1)},
    )  # fmt: skip
    assert balanced.fun == pytest.approx(given.fun, rel=1e-9)
    for result in (balanced, given):
        farkas.verify(result, TINY[:5], LABELS[:5]).check()
    assert not farkas.verify(
        dataclasses.replace(
            balanced.certificate,
            parameters={**balanced.certificate.parameters, "class_weight": "none"},
            seal="",
        ),
        TINY[:5],
        LABELS[:5],
    )


def test_one_hot_labels_and_the_baseline():
    X, y = wine()
    common = {"xi": 0.1, "tol": 1e-9}
    labels = lpgd(X, y, 2, **common)
    coded = lpgd(X, np.eye(3)[y][:, 1:], 2, **common)
    assert coded.fun == pytest.approx(labels.fun, rel=1e-9)
    other = lpgd(X, y, 2, baseline=1, **common)
    moved = lpgd(X, np.array([1, 0, 2])[y], 2, **common)
    assert other.fun == pytest.approx(moved.fun, rel=1e-9)


@pytest.mark.parametrize("model", ["filter", "feature"])
def test_sparse_is_dense(model):
    rng = np.random.default_rng(0)
    X = rng.random((60, 30)) * (rng.random((60, 30)) < 0.2)
    y = (X[:, 0] + 0.1 * rng.standard_normal(60) > 0.1).astype(int)
    dense = lpgd(X, y, 3, model=model, tol=1e-9)
    for svd in ("auto", "lanczos"):
        thin = lpgd(
            sparse.csr_matrix(X), y, 3, model=model, svd=svd, tol=1e-9, random_state=0
        )
        assert thin.fun == pytest.approx(dense.fun, rel=2e-9)
        farkas.verify(thin, sparse.csr_matrix(X), y).check()


def test_a_large_sparse_matrix_is_never_made_dense(monkeypatch):
    rng = np.random.default_rng(0)
    X = sparse.random(3000, 500, 0.01, format="csr", random_state=rng)
    y = (X[:, :20].sum(axis=1) > 0.3).astype(int)

    def refuse(self, *args, **kwargs):
        if min(self.shape) > 600 or self.shape == X.shape:
            raise AssertionError("a sparse matrix was made dense")
        return original(self, *args, **kwargs)

    original = sparse.csr_matrix.toarray
    for kind in (sparse.csr_matrix, sparse.csc_matrix, sparse.coo_matrix):
        monkeypatch.setattr(kind, "toarray", refuse)
        monkeypatch.setattr(kind, "todense", refuse)
    for kind in (sparse.csr_array, sparse.csc_array, sparse.coo_array):
        monkeypatch.setattr(kind, "toarray", refuse)
    weights = rng.uniform(0.5, 2.0, 3000)
    result = lpgd(X, y, 3, sample_weight=weights, class_weight="balanced")
    assert result.is_global, result.certificate


@pytest.mark.parametrize("model", ["filter", "feature"])
def test_more_features_than_samples(model):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20, 90))
    y = (X[:, :5].sum(axis=1) > 0).astype(int)
    wide = lpgd(X, y, 3, model=model, tol=1e-10)
    U, s, Vt = np.linalg.svd(X, full_matrices=False)
    narrow = lpgd(U * s, y, 3, model=model, tol=1e-10)
    assert wide.fun == pytest.approx(narrow.fun, rel=1e-9)
    assert wide.x["W"].shape == (90, 3)
    farkas.verify(wide, X, y).check()


def test_many_features_cost_at_most_three_svds():
    import time

    rng = np.random.default_rng(0)
    X = rng.standard_normal((51, 54_675))
    y = np.r_[np.zeros(25), np.ones(26)].astype(int)
    times = {}
    for _ in range(3):
        for name, work in (
            ("svd", lambda: np.linalg.svd(X, full_matrices=False)),
            ("fit", lambda: lpgd(X, y, 4, alpha=1e4)),
        ):
            start = time.process_time()
            work()
            times[name] = min(times.get(name, 1e9), time.process_time() - start)
    assert times["fit"] <= 3.0 * times["svd"]


def test_a_rank_above_that_of_the_data_is_filled_up():
    X = np.outer(np.arange(1.0, 9.0), [1.0, 2.0, -1.0])
    result = lpgd(X, LABELS, 2, tol=1e-9)
    W = result.x["W"]
    assert W.T @ W == pytest.approx(np.eye(2), abs=1e-12)
    assert result.is_global


def test_more_classes_than_atoms_and_the_other_starts():
    X, y = wine()
    expected = lpgd(X, y, 2, xi=0.1, tol=1e-8)
    for init in ("lr", "svd", "random"):
        result = lpgd(X, y, 2, xi=0.1, init=init, tol=1e-8, random_state=0)
        assert result.fun == pytest.approx(expected.fun, rel=1e-7)
    with pytest.warns(UserWarning, match="init='lr' needs n_components >= 2"):
        lpgd(X, y, 1, init="lr", alpha=10.0)


def test_restarts_do_not_depend_on_processes_and_never_hurt():
    X, y = breast_cancer()
    common = {"xi": 0.1, "alpha": 0.1, "init": "random", "random_state": 3}
    one = lpgd(X, y, 2, n_init=3, **common)
    two = lpgd(X, y, 2, n_init=3, n_jobs=2, **common)
    assert np.array_equal(one.x["W"], two.x["W"])
    assert one.fun <= lpgd(X, y, 2, **common).fun * (1 + 1e-12)


@pytest.mark.parametrize("model", ["filter", "feature"])
def test_resuming_continues_bit_for_bit(model, tmp_path):
    X, y = breast_cancer()
    common = {"model": model, "xi": 0.01, "alpha": 0.01, "tol": 0.0, "init": "svd"}
    whole = lpgd(X, y, 5, max_iter=8, **common)
    path = tmp_path / "run.npz"
    lpgd(X, y, 5, max_iter=4, callback=Checkpoint(path, every=4), **common)
    state = load(path)
    rest = lpgd(X, y, 5, max_iter=8, state=state, **common)
    assert np.array_equal(rest.x["W"], whole.x["W"])
    assert np.array_equal(rest.history["objective"], whole.history["objective"])


def test_a_warm_start_begins_where_it_is_told():
    X, y = wine()
    cold = lpgd(X, y, 2, xi=0.1, tol=1e-9)
    warm = lpgd(X, y, 2, xi=0.1, tol=1e-9, x0=cold.x)
    assert warm.nit <= 1
    assert warm.fun == pytest.approx(cold.fun, rel=1e-9)


def test_without_a_ridge_the_claim_is_local_and_the_sandwich_bounds():
    X, y = digits()
    with pytest.warns(UserWarning, match="alpha=0"):
        result = lpgd(X, y, 3, alpha=0.0)
    assert result.certificate.guarantee is Guarantee.LOCAL
    squares = np.linalg.svd(X, compute_uv=False) ** 2
    assert result.lower_bound >= squares[3:].sum() * (1 - 1e-9)
    assert result.lower_bound <= result.fun
    farkas.verify(result, X, y).check()


@pytest.mark.filterwarnings("ignore:alpha=0 leaves no duality gap")
@pytest.mark.parametrize("model", ["filter", "feature"])
def test_separable_labels_without_a_ridge_are_named(model):
    X = np.random.default_rng(0).standard_normal((40, 6))
    y = (X[:, 0] > 0).astype(int) + (X[:, 0] > 1)
    with pytest.warns(ConvergenceWarning, match="separate the classes"):
        result = lpgd(X, y, 3, model=model, alpha=0.0, baseline=1)
    assert result.status is not Status.CONVERGED
    assert all(np.isfinite(block).all() for block in result.x.values())
    farkas.verify(result, X, y).check()


def test_labels_that_overlap_or_are_held_are_not_called_separable():
    X, y = digits()
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        warnings.simplefilter("ignore", UserWarning)  # alpha=0
        overlapping = np.random.default_rng(0).permutation(y)
        lpgd(X, overlapping, 3, alpha=0.0, max_iter=20)
        lpgd(X, y, 3, alpha=1e-3, max_iter=20)
        bcd(X, y, 3, alpha=0.0, max_coef_norm=1.0, max_iter=20)


def test_a_callback_and_ctrl_c_lose_nothing():
    X, y = digits()
    calls = []

    def stop(intermediate_result):
        calls.append(intermediate_result.fun)
        if len(calls) == 2:
            raise StopIteration

    result = lpgd(X, y, 3, xi=0.1, tol=0.0, callback=stop)
    assert result.status is Status.CALLBACK
    assert result.nit == 2
    assert result.fun <= calls[-1] * (1 + 1e-10)

    def interrupt(intermediate_result):
        raise KeyboardInterrupt

    result = lpgd(X, y, 3, xi=0.1, tol=0.0, callback=interrupt)
    assert result.interrupted
    assert "Interrupted" in result.message
    farkas.verify(result, X, y).check()


def test_limits_of_time_and_iterations():
    X, y = digits()
    assert lpgd(X, y, 3, tol=0.0, max_time=0.0).status is Status.MAX_TIME
    assert lpgd(X, y, 3, tol=0.0, max_iter=1).status is Status.MAX_ITER


def test_no_certificate_on_request():
    X, y = digits()
    result = lpgd(X, y, 3, certificate="none")
    assert result.certificate is None
    assert result.lower_bound == -np.inf


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"r": 0}, "r=0"),
        ({"xi": 0.0}, "xi=0.0"),
        ({"xi": np.nan}, "xi=nan"),
        ({"alpha": -1.0}, "alpha=-1.0"),
        ({"alpha_covariates": -1.0}, "alpha_covariates=-1.0"),
        ({"model": "both"}, "model='both'"),
        ({"step": "long"}, "step='long'"),
        ({"step": -1.0}, "step=-1.0"),
        ({"init": "nmf"}, "init='nmf'"),
        ({"certificate": "yes"}, "certificate='yes'"),
        ({"n_init": 0}, "n_init=0"),
        ({"tol": -1.0}, "tol=-1.0"),
        ({"max_iter": 0}, "max_iter=0"),
        ({"X": TINY[:4]}, "8 rows and X has 4"),
        ({"X": TINY[0]}, "2-dimensional"),
        ({"X": np.where(TINY == 2, np.nan, TINY)}, "NaN or infinity"),
        ({"X": np.where(TINY == 2, np.inf, TINY)}, "NaN or infinity"),
        ({"X": np.empty((0, 3)), "Y": []}, "empty"),
        ({"Y": np.zeros(8)}, "one class only"),
        ({"Z": np.ones(7)}, "Z has 7 rows"),
        ({"Z": np.full(8, np.nan)}, "Z holds NaN"),
        ({"Z": sparse.eye(8)}, "Z is sparse"),
        ({"sample_weight": np.ones(3)}, "sample_weight has shape"),
        ({"sample_weight": -np.ones(8)}, "nonnegative"),
        ({"class_weight": "heavy"}, "class_weight='heavy'"),
        ({"class_weight": {0: -1.0}}, "positive"),
        ({"class_weight": {7: 1.0}}, "names"),
        ({"class_weight": 3.0}, "class_weight=3.0"),
        ({"x0": {"W": np.ones((2, 2)), "H": np.ones((8, 1))}}, "x0 must hold"),
        ({"state": {"M": 1}}, "state does not belong"),
    ],
    ids=str,
)
def test_bad_input_is_named(change, message):
    arguments = {"X": TINY, "Y": LABELS, "r": 1} | change
    with pytest.raises(ValueError, match=message):
        lpgd(**arguments)


def test_the_rank_is_capped_with_a_warning():
    with pytest.warns(UserWarning, match="n_components=7 exceeds"):
        result = lpgd(TINY, LABELS, 7)
    assert result.x["W"].shape == (3, 3)


def test_constraints_are_for_the_other_solver():
    form = formulate(TINY, LABELS, 1, nonnegative=True)
    with pytest.raises(ValueError, match="solver='bcd'"):
        solve_lifted(form, Settings())


@pytest.mark.parametrize(
    ("solve", "rules"),
    [
        (lpgd, {}),
        (lpgd, {"model": "feature"}),
        (lpgd, {"model": "feature", "step": "fixed", "max_iter": 20}),
        (bcd, {"nonnegative": True}),
        (bcd, {"nonnegative": True, "model": "feature", "max_iter": 20}),
        (bcd, {"max_code_norm": 3.0, "max_iter": 20}),
        (bcd, {"nonnegative": True, "l1_H": 0.1, "l2_W": 0.1, "max_iter": 20}),
    ],
)
def test_the_history_splits_the_objective(solve, rules):
    X, y = digits()
    weights = np.linspace(0.5, 1.5, len(y))
    result = solve(X[:, 1:], y, 3, sample_weight=weights, alpha=0.1, **rules)
    last = {name: column[-1] for name, column in result.history.items()}
    assert last["label_loss"] == pytest.approx(result.label_loss, rel=1e-6)
    assert last["reconstruction"] == pytest.approx(result.reconstruction, rel=1e-6)
    assert (result.history["reconstruction"] > 0).all()
