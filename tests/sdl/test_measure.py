"""The trust base: closed forms, an independent convex program, random dual points."""

import dataclasses
import math
import sys

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize

import farkas
from farkas import CertificateError, Guarantee
from sdl._measure import (
    dual_bound_of,
    label_losses,
    measure_dictionary,
    objective,
    zero_objective,
)
from sdl._measure_data import problem_of
from sdl._measure_spectrum import tail_of_spectrum
from sdl._measure_stationarity import Factors, gradient, prox, stationarity
from sdl.formulation import formulate

X = np.array(
    [[1, 0, 2], [0, 1, 1], [2, 1, 0], [1, 1, 1],
     [0, 2, 1], [2, 0, 1], [1, 2, 2], [0, 0, 1]],
    dtype=float,
)  # fmt: skip
Y = np.array([0, 0, 1, 1, 0, 1, 1, 0])
C = np.array([0.5, -1, 1, 0, -0.5, 1, 0.5, -1.5])
PARAMETERS = {
    "model": "filter",
    "n_components": 2,
    "xi": 0.5,
    "alpha": 1.0,
    "alpha_covariates": 1.0,
    "fit_intercept": True,
    "baseline": 0,
    "class_weight": "none",
    "missing": "error",
    "claim": "global",
}


def random_case(seed, model=None, n=None):
    """A random problem with a random point and a random feasible-ish dual point."""
    rng = np.random.default_rng(seed)
    K = 1 + seed % 3
    n = n or int(rng.integers(6, 16))
    p, r, q = int(rng.integers(2, 7)), int(rng.integers(1, 4)), int(rng.integers(0, 3))
    model = model or ("filter", "feature")[seed // 3 % 2]
    data = rng.standard_normal((n, p)) * 10 ** rng.uniform(-1, 1)
    labels = np.r_[np.arange(K + 1), rng.integers(0, K + 1, n - K - 1)]
    covariates = rng.standard_normal((n, q)) if q else None
    weights = rng.uniform(0.2, 2.0, n) if seed % 4 == 0 else None
    parameters = PARAMETERS | {
        "model": model,
        "n_components": r,
        "xi": 10 ** rng.uniform(-2, 1),
        "alpha": 10 ** rng.uniform(-2, 1),
        "alpha_covariates": 10 ** rng.uniform(-2, 1),
        "fit_intercept": bool(seed % 2),
        "class_weight": ("none", "balanced")[seed % 5 == 0],
    }
    intercept = int(parameters["fit_intercept"])
    witness = {
        "W": rng.standard_normal((p, r)),
        "H": rng.standard_normal((n, r)),
        "beta": rng.standard_normal((r, K)),
        "Gamma": rng.standard_normal((q + intercept, K)),
    }
    task = problem_of(data, labels, covariates, weights, witness, parameters)
    simplex = rng.exponential(size=(n, K + 1))
    Q = (simplex / simplex.sum(axis=1, keepdims=True))[:, 1:]
    witness["dual"] = task.omega[:, None] * (task.Y - Q)
    return task, witness, parameters, (data, labels, covariates, weights)


def flat(factors):
    return np.concatenate([factors[name].ravel() for name in "W H beta Gamma".split()])


def unflat(task, theta):
    (n, p), K, r, q = task.X.shape, task.Y.shape[1], task.rank, task.Z.shape[1]
    shapes = {"W": (p, r), "H": (n, r), "beta": (r, K), "Gamma": (q, K)}
    parts, at = {}, 0
    for name, shape in shapes.items():
        size = math.prod(shape)
        parts[name] = theta[at : at + size].reshape(shape)
        at += size
    return parts


def naive(task, W, H, beta, Gamma):
    """The objective straight from its definition."""
    A = (W if task.model == "filter" else H) @ beta
    D = (task.X @ A if task.model == "filter" else A) + task.Z @ Gamma
    losses = np.logaddexp.reduce(np.column_stack([0 * D[:, 0], D]), axis=1)
    loss = np.sum(task.omega * (losses - (task.Y * D).sum(axis=1)))
    recon = np.sum(task.v[:, None] * (task.X - H @ W.T) ** 2)
    row = np.ones(len(A)) if task.model == "filter" else task.v
    ridge = task.nu / 2 * np.sum(row[:, None] * A**2)
    ridge += task.nu_c / 2 * np.sum(Gamma[task.penalised] ** 2)
    return loss + task.xi * recon + ridge


@pytest.mark.parametrize("seed", range(12))
def test_the_objective_is_its_definition(seed):
    task, witness, parameters, _ = random_case(seed)
    factors = Factors.of(task, witness, parameters)
    expected = naive(task, factors.W, factors.H, factors.beta, factors.Gamma)
    value, _, reconstruction = objective(task, factors, parameters)
    assert expected <= value * (1 + 1e-14)
    assert value == pytest.approx(expected, rel=1e-12)
    error = np.sum(task.v[:, None] * (task.X - factors.H @ factors.W.T) ** 2)
    assert reconstruction * task.square == pytest.approx(error, rel=1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_gradients_match_finite_differences(seed):
    task, witness, parameters, _ = random_case(seed)
    parts = gradient(task, *(witness[name] for name in ("W", "H", "beta", "Gamma")))
    theta, step = flat(witness), 1e-6
    slope = np.array(
        [
            (
                naive(task, **unflat(task, theta + step * e))
                - naive(task, **unflat(task, theta - step * e))
            )
            / (2 * step)
            for e in np.eye(len(theta))
        ]
    )
    assert np.allclose(flat(parts), slope, rtol=1e-6, atol=1e-6 * np.abs(slope).max())


@pytest.mark.parametrize("model", ["filter", "feature"])
def test_random_dual_points_never_beat_the_objective(model):
    # 1000 trials over both models, K = 1, 2, 3, covariates and weights
    for seed in range(500):
        task, witness, parameters, data = random_case(seed, model)
        found = measure_dictionary(*data, witness=witness, parameters=parameters)
        assert found.lower <= found.upper
        lower, _ = dual_bound_of(task, witness["dual"])
        assert lower == found.lower


@pytest.mark.parametrize("seed", range(24))
def test_dual_points_never_beat_a_minimised_factorization(seed):
    task, witness, parameters, _ = random_case(seed, n=8)
    best = math.inf
    rng = np.random.default_rng(seed)
    for _ in range(2):
        start = rng.standard_normal(len(flat(witness)))
        best = min(
            best,
            minimize(
                lambda t: naive(task, **unflat(task, t)),
                start,
                jac=lambda t: flat(gradient(task, **unflat(task, t))),
            ).fun,
        )
    D = rng.standard_normal(task.Y.shape)
    for scale in (0.0, 0.1, 1.0, 10.0):
        P = np.exp(scale * D)
        P = P / (1 + P.sum(axis=1, keepdims=True))
        lower, _ = dual_bound_of(task, task.omega[:, None] * (task.Y - P))
        assert lower <= best * (1 + 1e-9)


@pytest.mark.parametrize(
    ("rank", "expected"), [(1, 8.990355880), (2, 5.635906259), (3, 3.497247464)]
)
def test_the_fantope_program_of_cvxpy_agrees(rank, expected):
    from sdl import dual_bound, lpgd

    result = lpgd(X, Y, rank, Z=C, xi=0.5, tol=1e-11)
    value = fantope_program(rank)
    assert result.fun == pytest.approx(expected, abs=2e-9)
    assert value == pytest.approx(expected, rel=1e-6)
    alpha = result.certificate.witness["dual"]
    bound = dual_bound(X, Y, rank, alpha, Z=C, xi=0.5)
    assert bound <= value * (1 + 1e-7)
    assert bound == pytest.approx(expected, rel=1e-8)


def fantope_program(rank, xi=0.5, nu=1.0):
    import cvxpy as cp

    p = X.shape[1]
    P = cp.Variable((p, p), symmetric=True)
    A, t = cp.Variable((p, 1)), cp.Variable((1, 1))
    b, g = cp.Variable(), cp.Variable()
    D = X @ A[:, 0] + b + g * C
    loss = cp.sum(cp.logistic(D)) - cp.sum(cp.multiply(Y, D))
    value = loss + xi * (np.sum(X * X) - cp.trace(P @ (X.T @ X)))
    value += nu / 2 * (t[0, 0] + g**2)
    constraints = [
        cp.bmat([[P, A], [A.T, t]]) >> 0,
        np.eye(p) - P >> 0,
        cp.trace(P) == rank,
    ]
    problem = cp.Problem(cp.Minimize(value), constraints)
    problem.solve(solver=cp.CLARABEL)
    return problem.value


def test_full_rank_is_the_dual_of_logistic_regression():
    # alpha = Y - 1/2 is feasible without intercept: n log 2 - |X'alpha|^2 / 2 by hand
    parameters = PARAMETERS | {"fit_intercept": False, "n_components": 3}
    task = problem_of(X, Y, None, None, {}, parameters)
    alpha = (Y - 0.5)[:, None]
    lower, _ = dual_bound_of(task, alpha)
    expected = 8 * math.log(2) - 0.5 * np.sum((X.T @ alpha) ** 2)
    assert lower == pytest.approx(expected, abs=1e-11)
    assert lower < expected


def test_the_zero_dual_point_leaves_the_tail_of_the_spectrum():
    task = problem_of(X, Y, C, None, {}, PARAMETERS)
    squares = np.linalg.svd(X, compute_uv=False) ** 2
    lower, eigengap = dual_bound_of(task, np.zeros((8, 1)))
    assert lower == pytest.approx(0.5 * squares[2], rel=1e-12)
    assert lower < 0.5 * squares[2]
    assert eigengap == pytest.approx(0.5 * (squares[1] - squares[2]))


def test_an_infeasible_dual_point_is_moved_into_the_constraints():
    task = problem_of(X, Y, C, None, {}, PARAMETERS)
    alpha = np.where(Y == 1, 0.9, -0.2)[:, None]
    lower, _ = dual_bound_of(task, alpha)
    shrunk = np.where(Y == 1, 0.2, -0.2)[:, None]
    expected, _ = dual_bound_of(task, shrunk)
    assert lower == pytest.approx(expected, rel=1e-12)


def test_dual_constraints_of_unpenalised_covariates_are_met():
    rng = np.random.default_rng(0)
    n = 400
    data = rng.standard_normal((n, 4))
    labels = np.r_[0, 1, 2, rng.integers(0, 3, n - 3)]
    covariates = rng.standard_normal((n, 2)) / 5
    parameters = PARAMETERS | {"alpha_covariates": 0.0}
    task = problem_of(data, labels, covariates, None, {}, parameters)
    P = np.full((n, 2), 1 / 3)
    lower, _ = dual_bound_of(task, task.Y - P)
    # the projection of alpha on the constraints, by hand
    Z = np.column_stack([np.ones(n), covariates])
    alpha = (task.Y - P) - Z @ np.linalg.lstsq(Z, task.Y - P, rcond=None)[0]
    Q = np.column_stack([1 - (task.Y - alpha).sum(axis=1), task.Y - alpha])
    assert Q.min() > 0
    S = task.xi * data.T @ data
    E = data.T @ alpha / math.sqrt(2)
    expected = -np.sum(Q * np.log(Q)) + task.xi * np.sum(data**2)
    expected -= np.linalg.eigvalsh(S + E @ E.T)[-2:].sum()
    assert lower == pytest.approx(expected, rel=1e-11)
    assert lower < expected


def test_collinear_unpenalised_covariates_fall_back_to_the_zero_point():
    parameters = PARAMETERS | {"alpha_covariates": 0.0}
    both = np.column_stack([C, C])
    task = problem_of(X, Y, both, None, {}, parameters)
    alpha = (Y - 0.5)[:, None]
    zero, _ = dual_bound_of(task, np.zeros((8, 1)))
    assert dual_bound_of(task, alpha)[0] == zero


@pytest.mark.parametrize("model", ["filter", "feature"])
def test_weights_are_repeated_rows(model):
    twice = np.r_[np.arange(8), 3, 5, 5]
    weights = np.bincount(twice).astype(float)
    alpha = np.where(Y == 1, 0.3, -0.4)[:, None]
    parameters = PARAMETERS | {"model": model, "fit_intercept": False}
    one = problem_of(X, Y, C, weights, {}, parameters)
    many = problem_of(X[twice], Y[twice], C[twice], None, {}, parameters)
    bound = dual_bound_of(one, weights[:, None] * alpha)[0]
    assert bound == pytest.approx(dual_bound_of(many, alpha[twice])[0], rel=1e-12)
    assert zero_objective(one) == pytest.approx(zero_objective(many))


def test_losses_survive_large_scores():
    D = np.array([[800.0, -900.0], [-800.0, -900.0], [3.0, 800.0]])
    labels = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    assert np.array_equal(label_losses(D, labels), [0.0, 0.0, 0.0])
    assert label_losses(D, labels[::-1]) == pytest.approx([1700.0, 0.0, 797.0])


def test_stationarity_ignores_the_scale_of_atoms():
    task, witness, parameters, _ = random_case(1, "feature")
    kkt = stationarity(task, Factors.of(task, witness, parameters), parameters)
    scaled = witness | {
        "W": 1e3 * witness["W"],
        "H": witness["H"] / 1e3,
        "beta": 1e3 * witness["beta"],
    }
    again = stationarity(task, Factors.of(task, scaled, parameters), parameters)
    assert again == pytest.approx(kkt, rel=1e-9)


@pytest.mark.parametrize("nonnegative", [False, True])
def test_the_prox_minimises(nonnegative):
    import cvxpy as cp

    theta = np.array([1.5, -2.0, 0.3])
    x = cp.Variable(3)
    constraints = [cp.norm(x) <= 0.8] + ([x >= 0] if nonnegative else [])
    cp.Problem(
        cp.Minimize(0.5 * cp.sum_squares(x - theta) + 0.4 * cp.norm1(x)), constraints
    ).solve(solver=cp.CLARABEL)
    mine = prox(theta, l1=0.4, nonnegative=nonnegative, radius=0.8, axis=0)
    assert mine == pytest.approx(x.value, abs=1e-6)


def witness_at(rank=2, **changes):
    from sdl import lpgd

    result = lpgd(X, Y, rank, Z=C, xi=0.5, tol=1e-9, **changes)
    return dict(result.certificate.witness)


def test_levels_and_scale():
    certificate = farkas.certify(
        "sdl.dictionary_covariates/1",
        (X, Y, C),
        witness_at(),
        PARAMETERS,
        tolerance=1e-6,
    )
    assert certificate.guarantee is Guarantee.GLOBAL
    assert certificate.kind == "duality_gap"
    assert certificate.scale == pytest.approx(8 * math.log(2) + 0.5 * np.sum(X * X))
    assert certificate.lower <= 5.635906259 <= certificate.upper + 1e-8
    local = farkas.certify(
        "sdl.dictionary_covariates/1",
        (X, Y, C),
        witness_at(),
        PARAMETERS | {"claim": "stationary"},
        tolerance=1e-6,
    )
    assert local.guarantee is Guarantee.LOCAL
    assert local.kind == "kkt_residual"
    assert local.lower == certificate.lower


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"claim": "proven"}, "claim"),
        ({"alpha": 0.0}, "global claim"),
        ({"l1_H": 0.1}, "global claim"),
        ({"nonnegative": "W"}, "nonnegative"),
        ({"nonnegative": "X"}, "nonnegative"),
        ({"xi": 0.0}, "xi"),
        ({"xi": math.nan}, "xi"),
        ({"alpha": -1.0}, "alpha"),
        ({"alpha_covariates": math.inf}, "alpha"),
        ({"n_components": 3}, "W must have shape"),
        ({"n_components": 0}, "unknown"),
        ({"model": "both"}, "unknown"),
        ({"baseline": 2}, "baseline"),
        ({"class_weight": "heavy"}, "class_weight"),
        ({"l2_W": -1.0}, "penalties"),
        ({"max_atom_norm": 1e-3}, "exceeded"),
        ({"max_code_norm": -1.0}, "max_code_norm"),
    ],
)
def test_parameters_that_prove_nothing_are_refused(change, message):
    with pytest.raises(CertificateError, match=message):
        farkas.certify(
            "sdl.dictionary_covariates/1",
            (X, Y, C),
            witness_at(),
            PARAMETERS | change,
            tolerance=1e-6,
        )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("W", np.ones((1, 2))),
        ("W", np.full((3, 2), np.nan)),
        ("H", np.ones((8, 1))),
        ("H", np.ones((8, 2), dtype=complex)),
        ("beta", np.ones(2)),
        ("Gamma", np.ones((1, 1))),
        ("dual", np.ones(8)),
        ("dual", np.ones((1, 1))),
        ("dual", np.full((8, 1), np.inf)),
        ("W", np.full((3, 2), 1e200)),
        ("covariate_columns", np.array([0])),
    ],
)
def test_arrays_that_broadcast_or_overflow_are_refused(name, value):
    with np.errstate(all="ignore"), pytest.raises(CertificateError):
        farkas.certify(
            "sdl.dictionary_covariates/1",
            (X, Y, C),
            witness_at() | {name: value},
            PARAMETERS,
            tolerance=1e-6,
        )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((X[0], Y), "2-dimensional"),
        ((X, Y[:-1]), "rows"),
        ((X, np.zeros(8)), "2 classes"),
        ((X, np.full((8, 2), 0.5)), "one-hot"),
        ((X, np.zeros((8, 1, 1))), "one or two dimensions"),
        ((np.where(X == 2, np.nan, X), Y), "finite"),
    ],
)
def test_malformed_data_are_refused(data, message):
    with pytest.raises(CertificateError, match=message):
        farkas.certify(
            "sdl.dictionary/1", data, witness_at(), PARAMETERS, tolerance=1e-6
        )


@pytest.mark.parametrize(
    "weights", [np.ones(7), -np.ones(8), np.zeros(8), np.full(8, np.nan)]
)
def test_malformed_weights_are_refused(weights):
    with pytest.raises(CertificateError, match="sample_weight"):
        farkas.certify(
            "sdl.dictionary_weighted/1",
            (X, Y, weights),
            witness_at(),
            PARAMETERS,
            tolerance=1e-6,
        )


def test_class_weights_must_be_positive_and_complete():
    for weights in (np.array([1.0]), np.array([1.0, 0.0]), np.array([1.0, np.inf])):
        with pytest.raises(CertificateError, match="class_weight"):
            farkas.certify(
                "sdl.dictionary/1",
                (X, Y),
                witness_at() | {"class_weight": weights},
                PARAMETERS | {"class_weight": "given"},
                tolerance=1e-6,
            )


def test_missing_entries_count_nothing_and_claim_no_bound():
    holes = np.where(X == 2, np.nan, X)
    rng = np.random.default_rng(0)
    witness = {
        "W": rng.random((3, 2)), "H": rng.random((8, 2)), "beta": rng.random((2, 1)),
        "Gamma": rng.random((1, 1)), "dual": np.zeros((8, 1)),
    }  # fmt: skip
    parameters = PARAMETERS | {
        "model": "feature", "missing": "impute", "claim": "stationary",
    }  # fmt: skip
    certificate = farkas.certify(
        "sdl.dictionary/1", (holes, Y), witness, parameters, tolerance=1e-6
    )
    assert certificate.lower == 0.0
    filled = np.where(X == 2, witness["H"] @ witness["W"].T, X)
    whole = farkas.certify(
        "sdl.dictionary/1",
        (filled, Y),
        witness,
        parameters | {"missing": "error"},
        tolerance=1e-6,
    )
    assert certificate.upper == pytest.approx(whole.upper, rel=1e-12)
    for change in ({"claim": "global"}, {"model": "filter"}, {"missing": "error"}):
        with pytest.raises(CertificateError):
            farkas.certify(
                "sdl.dictionary/1", (holes, Y), witness, parameters | change,
                tolerance=1e-6,
            )  # fmt: skip


def test_sparse_data_are_measured_like_dense_ones():
    witness = witness_at()
    dense = farkas.certify(
        "sdl.dictionary_covariates/1", (X, Y, C), witness, PARAMETERS, tolerance=1e-6
    )
    thin = farkas.certify(
        "sdl.dictionary_covariates/1",
        (sparse.csr_matrix(X), Y, C),
        witness,
        PARAMETERS,
        tolerance=1e-6,
    )
    assert thin.upper == pytest.approx(dense.upper, rel=1e-11)
    assert thin.lower == pytest.approx(dense.lower, rel=1e-11)


@pytest.mark.skipif(sys.platform == "win32", reason="long double has 64 bits there")
@pytest.mark.parametrize("seed", range(20))
def test_cancelling_factors_never_understate_the_objective(seed):
    # Huge columns that cancel in Wβ and in HW': 80-bit numbers see what float64 loses.
    rng = np.random.default_rng(seed)
    model = ("filter", "feature")[seed % 2]
    task, witness, parameters, _ = random_case(seed, model)
    size = 10.0 ** rng.uniform(0, 9)
    W, H, beta = witness["W"], witness["H"], witness["beta"]
    witness["W"] = np.hstack([W, size * W[:, :1], size * W[:, :1]])
    witness["H"] = np.hstack([H, H[:, :1], -H[:, :1] * (1 + 1e-12)])
    tiny = size if model == "filter" else 1.0
    witness["beta"] = np.vstack([beta, beta[:1] * tiny, -beta[:1] * tiny])
    parameters = parameters | {"n_components": task.rank + 2}
    wider = dataclasses.replace(task, rank=task.rank + 2)
    factors = Factors.of(wider, witness, parameters)
    value, _, _ = objective(wider, factors, parameters)
    long = [
        np.asarray(part, dtype=np.longdouble)
        for part in (factors.W, factors.H, factors.beta, factors.Gamma)
    ]
    assert naive(wider, *long) <= value


def test_without_a_ridge_the_bound_is_that_of_the_reconstruction_or_better():
    rng = np.random.default_rng(0)
    data = rng.standard_normal((40, 3))
    labels = rng.integers(0, 2, 40)
    squares = np.linalg.svd(data, compute_uv=False) ** 2
    for model, given in (
        ("feature", data),
        ("filter", sparse.csr_matrix(data)),
        ("filter", data[:4]),
    ):
        parameters = PARAMETERS | {"alpha": 0.0, "model": model, "n_components": 1}
        y = np.array([0, 1, 0, 1]) if given.shape[0] == 4 else labels
        task = problem_of(given, y, None, None, {}, parameters)
        lower, _ = dual_bound_of(task, task.Y - 0.5)
        if given.shape[0] == 40:
            assert lower == pytest.approx(0.5 * squares[1:].sum(), rel=1e-11)
    # with more rows than columns the labels of the filter model count too
    parameters["model"] = "filter"
    task = problem_of(data, labels, None, None, {}, parameters)
    span = np.column_stack([data, np.ones(40)])
    alpha = (labels - 0.5)[:, None]
    alpha = 0.3 * (alpha - span @ np.linalg.lstsq(span, alpha, rcond=None)[0])
    lower, _ = dual_bound_of(task, alpha)
    Q = labels - alpha.ravel()
    assert Q.min() > 0
    entropy = -np.sum(Q * np.log(Q) + (1 - Q) * np.log(1 - Q))
    expected = entropy + 0.5 * squares[1:].sum()
    assert lower == pytest.approx(expected, rel=1e-10)
    assert lower < expected


def test_constraints_that_no_probability_meets_fall_back_to_zero():
    # a covariate that separates the classes leaves no feasible point but zero
    task = problem_of(
        X,
        Y,
        np.where(Y == 1, 5.0, -3.0),
        None,
        {},
        PARAMETERS | {"alpha_covariates": 0.0},
    )
    zero, _ = dual_bound_of(task, np.zeros((8, 1)))
    for alpha in ((Y - 0.5)[:, None], (Y - 1e-12)[:, None]):
        assert dual_bound_of(task, alpha)[0] == zero


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([0, 0], "distinct"),
        ([5], "distinct"),
        ([0.5], "distinct"),
        ([0, 1, 2], "leaves"),
    ],
)
def test_covariate_columns_must_make_sense(columns, message):
    witness = witness_at() | {"covariate_columns": np.array(columns)}
    with pytest.raises(CertificateError, match=message):
        farkas.certify("sdl.dictionary/1", (X, Y), witness, PARAMETERS, tolerance=1e-6)


def test_more_malformed_data_are_refused():
    with pytest.raises(CertificateError, match="covariates must have 8 rows"):
        farkas.certify(
            "sdl.dictionary_covariates/1", (X, Y, C[:5]), witness_at(), PARAMETERS,
            tolerance=1e-6,
        )  # fmt: skip
    weights = np.where(Y == 1, 0.0, 1.0)
    witness = witness_at()
    with pytest.raises(CertificateError, match="rows of each class"):
        farkas.certify(
            "sdl.dictionary_weighted/1", (X, Y, weights), witness,
            PARAMETERS | {"class_weight": "balanced"}, tolerance=1e-6,
        )  # fmt: skip


def test_overflowing_data_prove_nothing():
    with np.errstate(all="ignore"):
        tail, _ = tail_of_spectrum(np.full((5, 4), 1e200), np.zeros((1, 4)), 1.0, 1)
    assert math.isnan(tail)
    holes = problem_of(
        X, Y, None, None, {}, PARAMETERS | {"missing": "impute", "model": "feature"}
    )
    assert holes.mask is None  # nothing is missing


def test_a_negative_gap_is_an_error(monkeypatch):
    import sdl._measure as measure

    monkeypatch.setattr(measure, "dual_bound_of", lambda *_: (1e9, 0.0))
    with pytest.raises(CertificateError, match="negative duality gap"):
        farkas.certify(
            "sdl.dictionary_covariates/1", (X, Y, C), witness_at(), PARAMETERS,
            tolerance=1e-6,
        )  # fmt: skip


@pytest.mark.parametrize("scale", [1.0, 1e-9])
def test_large_residuals_come_from_products_if_these_are_accurate(monkeypatch, scale):
    rng = np.random.default_rng(0)
    W, H = rng.standard_normal((6, 2)), rng.standard_normal((40, 2))
    X = H @ W.T + scale * rng.standard_normal((40, 6))
    form = formulate(X, np.arange(40) % 2, 2, sample_weight=rng.random(40) + 0.5)
    factors = Factors(W, H, rng.standard_normal((2, 1)), np.zeros((1, 1)))
    value, _, relative = objective(form.task, factors, form.parameters)
    monkeypatch.setattr("sdl._measure.LARGE", 0)
    for XW in (None, X @ W):
        again, _, other = objective(form.task, factors, form.parameters, XW)
        assert again == pytest.approx(value, rel=1e-8)
        # a residual near rounding is formed as before
        assert other == pytest.approx(relative, rel=1e-8)
        assert (again == value) == (scale < 1e-6)
