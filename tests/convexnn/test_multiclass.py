import cvxpy as cp
import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.datasets import load_iris
from sklearn.preprocessing import StandardScaler

import farkas
from convexnn import ConvexMLPClassifier, ConvexMLPRegressor, _kernels, sample_patterns
from convexnn.multiclass import solve_multiclass
from farkas.certificate import CertificateError
from farkas.testing import tampered
from farkas.verification import certify

IRIS = load_iris()
X = np.column_stack([StandardScaler().fit_transform(IRIS.data)[::3], np.ones(50)])
Y = IRIS.target[::3]
PATTERNS = sample_patterns(X, 8, random_state=0)


def optimum(loss, alpha):
    blocks = [cp.Variable((5, 3)) for _ in range(len(PATTERNS))]
    masks = [np.tile(d[:, None].astype(float), 3) for d in PATTERNS.D.T]
    Z = sum(cp.multiply(D, X @ U) for D, U in zip(masks, blocks, strict=True))
    own = np.eye(3)[Y]
    value = 0.5 * cp.sum_squares(Z - 2 * own + 1)
    if loss == "softmax":
        value = cp.sum(cp.log_sum_exp(Z, axis=1)) - cp.sum(cp.multiply(Z, own))
    penalty = sum(cp.norm(U, "fro") for U in blocks)
    return cp.Problem(cp.Minimize(value + alpha * penalty)).solve(cp.CLARABEL)


@pytest.mark.parametrize("alpha", [0.1, 1.0])
@pytest.mark.parametrize("loss", ["squared", "softmax"])
def test_optimum_agrees_with_cvxpy(loss, alpha):
    result = solve_multiclass(X, Y, PATTERNS, alpha=alpha, loss=loss, tol=1e-7)
    assert result.success
    assert result.fun == pytest.approx(optimum(loss, alpha), rel=1e-6)
    farkas.verify(result.certificate, X, Y).check()


@pytest.mark.parametrize("loss", ["squared", "softmax"])
def test_no_forgery_verifies(loss):
    result = solve_multiclass(X, Y, PATTERNS, alpha=1.0, loss=loss)
    accepted = [
        name
        for name, forged, data in tampered(result.certificate, (X, Y))
        if farkas.verify(forged, *data)
    ]
    assert accepted == []


@pytest.mark.parametrize("loss", ["squared", "softmax"])
def test_any_dual_point_bounds_from_below(loss):
    rng = np.random.default_rng(0)
    best = optimum(loss, 1.0)
    for _ in range(50):
        theta = rng.standard_normal((50, 3)) * 10 ** rng.uniform(-3, 3)
        if loss == "softmax":
            theta = np.eye(3)[Y] - rng.dirichlet(np.ones(3), 50)
        witness = {"patterns": PATTERNS.D, "V": np.zeros((3, 5, 8)), "theta": theta}
        parameters = {
            "alpha": 1.0,
            "loss": loss,
            "encoding": "labels",
            "intercept": 0.0,
        }
        made = certify(
            "convexnn.multiclass/1", (X, Y), witness, parameters, tolerance=1.0
        )
        assert made.lower <= best * (1 + 1e-7)


@pytest.mark.parametrize("scale", [1e-170, 1e-12, 1e100])
def test_units_of_the_data_do_not_matter(scale):
    plain = solve_multiclass(X, Y, PATTERNS, alpha=0.5)
    other = solve_multiclass(X * scale, Y, PATTERNS, alpha=0.5 * scale)
    assert other.fun == pytest.approx(plain.fun, rel=1e-3)
    assert other.lower_bound <= plain.fun


def test_malformed_witnesses_are_refused():
    result = solve_multiclass(X, Y, PATTERNS, alpha=1.0)
    made = result.certificate
    for changes in (
        {"V": np.zeros((3, 5, 7))},
        {"theta": np.full((50, 3), np.nan)},
        {"theta": np.zeros(50)},
        {"theta": np.ones((50, 3))},
        {"patterns": np.full((50, 8), 2)},
    ):
        with pytest.raises(CertificateError):
            certify(
                made.problem,
                (X, Y),
                {**made.witness, **changes},
                made.parameters,
                tolerance=1.0,
            )
    for changes in ({"alpha": 0.0}, {"loss": "hinge"}, {"encoding": "none"}):
        with pytest.raises(CertificateError):
            certify(
                made.problem,
                (X, Y),
                made.witness,
                {**made.parameters, **changes},
                tolerance=1.0,
            )


@pytest.mark.parametrize("rho", [1e-3, 1.0, 50.0])
def test_prox_of_the_softmax_loss(rho):
    rng = np.random.default_rng(1)
    a, own = 3 * rng.standard_normal((20, 4)), rng.integers(0, 4, 20)
    z = np.zeros_like(a)
    _kernels.prox_softmax(a, own, rho, z)
    for k in range(20):

        def value(u, k=k):
            near = 0.5 * rho * np.sum((u - a[k]) ** 2)
            return np.logaddexp.reduce(u) - u[own[k]] + near

        assert value(z[k]) <= minimize(value, a[k]).fun + 1e-9


def test_bad_arguments_are_named():
    for changes, message in (
        ({"loss": "hinge"}, "loss='hinge'"),
        ({"alpha": -1.0}, "alpha=-1.0"),
        ({"alpha": 0.0}, "alpha=0"),
    ):
        with pytest.raises(ValueError, match=message):
            solve_multiclass(X, Y, PATTERNS, **{"alpha": 1.0, **changes})
    with pytest.raises(ValueError, match="softmax"):
        solve_multiclass(X, np.zeros((50, 2)), PATTERNS, alpha=1.0)
    with pytest.raises(ValueError, match="y must have 50 rows"):
        solve_multiclass(X, Y[:3], PATTERNS, alpha=1.0)


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_estimator(loss, n_classes):
    kept = n_classes > Y
    labels = IRIS.target_names[Y[kept]]
    settings = {"activation": "gated", "multi_class": "joint", "loss": loss}
    model = ConvexMLPClassifier(0.1, random_state=0, **settings).fit(X[kept], labels)
    farkas.verify(model, X[kept], labels).check()
    assert model.score(X[kept], labels) > 0.9
    assert model.weights_.shape[0] == n_classes
    if loss == "logistic":
        probabilities = model.predict_proba(X[kept])
        assert probabilities.sum(axis=1) == pytest.approx(1)
        best = model.classes_[probabilities.argmax(axis=1)]
        assert np.array_equal(best, model.predict(X[kept]))


def test_several_targets():
    targets = np.column_stack([X[:, 0], X[:, 1] ** 2])
    settings = {"activation": "gated", "multi_class": "joint"}
    model = ConvexMLPRegressor(0.01, random_state=0, **settings).fit(X, targets)
    farkas.verify(model, X, targets).check()
    assert model.score(X, targets) > 0.9


@pytest.mark.parametrize(
    "parameters",
    [{"activation": "relu"}, {"loss": "hinge"}, {"solver": "cvxpy"}, {"alpha": 0}],
)
def test_what_does_not_go_with_joint_training(parameters):
    settings = {"activation": "gated", "multi_class": "joint"} | parameters
    with pytest.raises(ValueError, match="multi_class='joint'"):
        ConvexMLPClassifier(**settings).fit(X, Y)
