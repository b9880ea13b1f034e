"""Attacks and bounds in the right order, on networks of every shape."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_iris, make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor

from convexnn import (
    ConvexMLPClassifier,
    ConvexMLPRegressor,
    certified_margin,
    certified_score,
    fgsm,
    pgd,
    robust_score,
)

pytestmark = pytest.mark.filterwarnings(
    f"ignore::{ConvergenceWarning.__module__}.{ConvergenceWarning.__name__}"
)

IRIS, SPECIES = load_iris(return_X_y=True)
MOONS, HALVES = make_moons(80, noise=0.15, random_state=0)


class Net:
    """A network that was never trained."""

    def __init__(self, sizes, n_classes, seed, bias=1.0):
        rng = np.random.default_rng(seed)
        pairs = list(itertools.pairwise(sizes))
        self.coefs_ = [rng.standard_normal(pair) for pair in pairs]
        self.intercepts_ = [bias * rng.standard_normal(pair[1]) for pair in pairs]
        self.classes_ = np.arange(n_classes)

    def predict(self, X):
        for k, (W, b) in enumerate(zip(self.coefs_, self.intercepts_, strict=True)):
            X = (np.maximum(X, 0.0) if k else X) @ W + b
        index = (X[:, 0] > 0).astype(int) if X.shape[1] == 1 else X.argmax(axis=1)
        return self.classes_[index]

    def margins(self, X, y):
        for k, (W, b) in enumerate(zip(self.coefs_, self.intercepts_, strict=True)):
            X = (np.maximum(X, 0.0) if k else X) @ W + b
        if X.shape[1] == 1:
            return np.where(y == 1, 1.0, -1.0) * X[:, 0]
        rows = np.arange(len(X))
        own = X[rows, y].copy()
        X[rows, y] = -np.inf
        return own - X.max(axis=1)


def fitted():
    """Estimators with a network inside, and data."""
    strings = np.array(["setosa", "versicolor", "virginica"])[SPECIES]
    return {
        "convex": (ConvexMLPClassifier(n_patterns=20, random_state=0), MOONS, HALVES),
        "convex, three": (
            ConvexMLPClassifier(n_patterns=20, random_state=0),
            IRIS,
            strings,
        ),
        "mlp": (MLPClassifier((20,), max_iter=200, random_state=0), MOONS, HALVES),
        "mlp, three": (
            MLPClassifier((20,), max_iter=200, random_state=0),
            IRIS,
            strings,
        ),
        "mlp, deep": (
            MLPClassifier((16, 8), max_iter=200, random_state=0),
            IRIS,
            SPECIES,
        ),
    }


@pytest.mark.parametrize("name", fitted())
def test_the_order_of_all_scores(name):
    model, X, y = fitted()[name]
    model.fit(X[::2], y[::2])
    for rows, eps in itertools.product((slice(0, None, 2), slice(1, None, 2)), EPS):
        scores = [
            certified_score(model, X[rows], y[rows], eps),
            robust_score(model, X[rows], y[rows], eps, random_state=0),
            robust_score(model, X[rows], y[rows], eps, attack="fgsm"),
            robust_score(model, X[rows], y[rows], eps, attack="none"),
            model.score(X[rows], y[rows]),
        ]
        assert scores == sorted(scores), (eps, scores)
        assert scores[3] == scores[4]
    assert scores[1] < scores[4]  # the last radius does harm


EPS = (0.0, 0.05, 0.3, 1.0)


@pytest.mark.parametrize("name", fitted())
def test_points_stay_in_the_box_and_the_clip(name):
    model, X, y = fitted()[name]
    model.fit(X, y)
    eps = np.linspace(0.0, 0.4, X.shape[1])
    for attack in (fgsm, pgd):
        moved = attack(model, X, y, eps)
        assert moved.shape == X.shape
        assert (np.abs(moved - X) <= eps + 1e-12).all()
        assert (moved[:, 0] == X[:, 0]).all()  # radius 0
        clipped = attack(model, X, y, 0.4, clip=(0.0, 2.0))
        attacked = (clipped != X).any(axis=1)
        assert (clipped[attacked] >= 0).all()
        assert (clipped[attacked] <= 2).all()


def test_the_same_seed_gives_the_same_attack():
    model = MLPClassifier((20,), max_iter=100, random_state=0).fit(MOONS, HALVES)
    first = pgd(model, MOONS, HALVES, 0.2, random_state=1)
    np.testing.assert_array_equal(first, pgd(model, MOONS, HALVES, 0.2, random_state=1))
    quiet = [pgd(model, MOONS, HALVES, 0.2, random_start=False) for _ in range(2)]
    np.testing.assert_array_equal(*quiet)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    hidden=st.sampled_from([(5,), (1,), (12,), (5, 4), (4, 3, 5)]),
    classes=st.sampled_from([2, 3, 5]),
    exponent=st.floats(-3, 1),
)
def test_no_point_of_the_box_passes_the_bound(seed, hidden, classes, exponent):
    rng = np.random.default_rng(seed)
    outputs = 1 if classes == 2 else classes
    model = Net((3, *hidden, outputs), classes, seed)
    X, eps = rng.standard_normal((6, 3)), 10.0**exponent * rng.random(3)
    y = rng.integers(0, classes, 6)
    bound = certified_margin(model, X, y, eps)
    corners = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))
    shifts = np.concatenate([corners, rng.uniform(-1, 1, (200, 3)), np.zeros((1, 3))])
    least = np.min([model.margins(X + eps * s, y) for s in shifts], axis=0)
    assert (bound <= least).all()
    attacked = model.margins(pgd(model, X, y, eps, random_state=0), y)
    assert (bound <= attacked).all()
    assert (attacked <= model.margins(X, y)).all()


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_where_no_unit_changes_state_the_bound_is_exact(seed):
    rng = np.random.default_rng(seed)
    model = Net((4, 6, 1), 2, seed)
    X, y = rng.standard_normal((8, 4)), rng.integers(0, 2, 8)
    inputs = np.abs(X @ model.coefs_[0] + model.intercepts_[0])
    reach = np.abs(model.coefs_[0]).sum(axis=0)
    eps = 0.999 * float((inputs / reach).min())
    bound = certified_margin(model, X, y, eps)
    # One signed step is then the best attack.
    attacked = model.margins(fgsm(model, X, y, eps), y)
    np.testing.assert_allclose(bound, attacked, atol=1e-9)


def test_backward_lines_are_tighter_than_intervals():
    wins = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        model = Net((5, 30, 1), 2, seed)
        X, y = rng.standard_normal((30, 5)), rng.integers(0, 2, 30)
        eps = 0.1
        bound = certified_margin(model, X, y, eps)
        # Each unit's own interval, stable units jointly as one linear form.
        center = X @ model.coefs_[0] + model.intercepts_[0]
        reach = eps * np.abs(model.coefs_[0]).sum(axis=0)
        fixed = np.abs(center) > reach
        sign = np.where(y == 1, 1.0, -1.0)[:, None]
        a = sign * model.coefs_[1].T
        on = fixed & (center > 0)
        value = np.sum(a * on * center, axis=1)
        value -= eps * np.abs((a * on) @ model.coefs_[0].T).sum(axis=1)
        value += np.sum(np.where(fixed, 0, np.minimum(a, 0) * (center + reach)), axis=1)
        value += sign[:, 0] * model.intercepts_[1][0]
        assert (bound >= value - 1e-9).all()
        wins += (bound > value + 1e-6).sum()
    assert wins > 300


def test_ties_are_broken_as_predictions_are():
    zero = Net((2, 3, 1), 2, 0, bias=0.0)
    zero.coefs_[1][:] = 0.0  # outputs 0 everywhere, which is the first class
    X, y = np.ones((4, 2)), np.array([0, 0, 0, 1])
    for attack in ("none", "fgsm", "pgd"):
        assert robust_score(zero, X, y, 0.1, attack=attack) == 0.75
    assert np.mean(zero.predict(X) == y) == 0.75
    assert certified_score(zero, X, y, 0.1) == 0.0
    several = Net((2, 3, 3), 3, 0, bias=0.0)
    several.coefs_[1][:] = 0.0
    y = np.array([0, 1, 2, 0])
    assert robust_score(several, X, y, 0.1) == np.mean(several.predict(X) == y) == 0.5


def test_an_empty_network_can_be_attacked():
    model = Net((2, 0, 1), 2, 0)
    X, y = np.ones((3, 2)), np.array([0, 1, 1])
    np.testing.assert_array_equal(fgsm(model, X, y, 0.1), X)
    expected = np.mean(model.predict(X) == y)
    assert robust_score(model, X, y, 0.1) == expected
    assert certified_score(model, X, y, 0.1) == expected


@pytest.mark.parametrize("estimator", [MLPRegressor, ConvexMLPRegressor])
def test_regressors_are_attacked_by_their_squared_error(estimator):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 3))
    Y = np.column_stack([X[:, 0], np.abs(X[:, 1])])
    model = estimator(random_state=0).fit(X, Y)

    def error(points):
        return np.sum((model.predict(points) - Y) ** 2, axis=1)

    one, many = fgsm(model, X, Y, 0.2), pgd(model, X, Y, 0.2, random_state=0)
    assert (error(X) <= error(one)).all()
    assert (error(one) <= error(many)).all()
    assert error(many).sum() > 1.5 * error(X).sum()
    with pytest.raises(ValueError, match="needs a classifier"):
        robust_score(model, X, Y, 0.2)
    with pytest.raises(ValueError, match="need a classifier"):
        certified_margin(model, X, Y, 0.2)


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(),
        MLPClassifier((4,), activation="tanh", max_iter=20),
        ConvexMLPClassifier(activation="gated", random_state=0),
    ],
)
def test_other_models_are_refused(model):
    with pytest.raises(ValueError, match="must be a fitted network"):
        fgsm(model, MOONS, HALVES, 0.1)
    model.fit(MOONS, HALVES)
    with pytest.raises(ValueError, match="must be a fitted network"):
        fgsm(model, MOONS, HALVES, 0.1)


@pytest.mark.parametrize(
    ("attack", "changes", "message"),
    [
        (fgsm, {"eps": -0.1}, "eps=-0.1 must be finite and >= 0"),
        (fgsm, {"eps": np.inf}, "eps=inf"),
        (fgsm, {"eps": [0.1, 0.1, 0.1]}, r"eps must be a number or have shape \(2,\)"),
        (fgsm, {"eps": "wide"}, "eps"),
        (fgsm, {"clip": (1.0, 0.0)}, "clip="),
        (fgsm, {"clip": (1.0,)}, "clip="),
        (fgsm, {"y": HALVES + 5}, "y must hold classes"),
        (fgsm, {"y": HALVES[1:]}, "y must have 80 rows"),
        (fgsm, {"X": IRIS[:80]}, "X has 4 columns, the model was fitted on 2"),
        (fgsm, {"X": np.full((80, 2), np.nan)}, "NaN"),
        (pgd, {"steps": 0}, "steps=0"),
        (pgd, {"steps": 2.5}, "steps=2.5"),
        (pgd, {"restarts": 0}, "restarts=0"),
        (pgd, {"step": -1.0}, "step=-1.0"),
        (robust_score, {"attack": "bim"}, "attack='bim' must be one of"),
    ],
)
def test_bad_arguments_are_named(attack, changes, message):
    model = Net((2, 3, 1), 2, 0)
    arguments = {"X": MOONS, "y": HALVES, "eps": 0.1} | changes
    with pytest.raises(ValueError, match=message):
        attack(model, **arguments)
