"""Networks trained without gradients: what they learn, and what is refused."""

import math
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_iris, make_moons
from sklearn.exceptions import ConvergenceWarning

import farkas
from dfo import CBOClassifier, CBORegressor

IRIS = load_iris(return_X_y=True)


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def classifier(**options):
    return CBOClassifier(**{"max_iter": 15, "random_state": 0, **options})


def test_iris_is_learned_and_certified():
    X, y = IRIS
    model = classifier().fit(X, y)
    assert model.score(X, y) > 0.93
    proba = model.predict_proba(X)
    assert proba.sum(axis=1) == pytest.approx(np.ones(150))
    assert np.array_equal(proba.argmax(axis=1), model.predict(X))
    assert model.decision_function(X).shape == (150, 3)
    assert model.loss_ == pytest.approx(model.certificate_.upper)
    assert model.best_loss_ <= min(model.loss_curve_)
    assert [W.shape for W in model.coefs_] == [(4, 3)]
    farkas.verify(model, X, y).check()


def test_errors_themselves_can_be_minimised():
    X, y = IRIS
    model = classifier(
        loss="zero_one", activation="step", hidden_layer_sizes=(8,), max_iter=30
    )
    model.fit(X, y)
    assert model.score(X, y) > 0.85
    assert 1 - model.score(X, y) == pytest.approx(model.loss_)
    assert not hasattr(model, "predict_proba")
    farkas.verify(model, X, y).check()


def test_predictions_use_the_statistics_of_the_training_set():
    X, y = IRIS
    model = classifier().fit(X, y)
    one = np.array([model.predict(row[None])[0] for row in X[::10]])
    assert np.array_equal(one, model.predict(X)[::10])


@pytest.mark.parametrize(
    "options",
    [
        {"memory": True, "lam_memory": 0.2},
        {"particle_reduction": True},
        {"cooling": False},
        {"early_stopping": True, "n_iter_no_change": 3},
        {"batch_norm": False, "activation": "tanh"},
        {"hidden_layer_sizes": (4,), "activation": "logistic", "max_iter": 8},
        {"particle_batch": 100, "batch_size": 500},
    ],
)
def test_variants_learn_and_verify(options):
    X, y = make_moons(80, noise=0.1, random_state=0)
    model = classifier(n_particles=40, **options).fit(X, y)
    assert model.score(X, y) > 0.8
    assert model.decision_function(X).shape == (80,)
    assert len(model.population_) <= 40
    farkas.verify(model, X, y).check()


def test_workers_do_not_change_a_bit():
    X, y = IRIS
    one, two = (classifier(max_iter=3, n_jobs=n).fit(X, y) for n in (1, 2))
    assert np.array_equal(one.coefs_[0], two.coefs_[0])


def test_warm_start_and_partial_fit_go_on():
    X, y = IRIS
    model = classifier(max_iter=2, warm_start=True).fit(X, y)
    first = model.consensus_.copy()
    model.fit(X, y)
    assert len(model.loss_curve_) == 4
    assert not np.array_equal(first, model.consensus_)
    stream = classifier()
    for _ in range(8):
        stream.partial_fit(X, y, classes=[0, 1, 2])
    assert stream.score(X, y) > 0.8
    assert len(stream.loss_curve_) == 8
    with pytest.raises(ValueError, match="partial_fit"):
        stream.partial_fit(X[:50], y[:50])


@pytest.mark.parametrize("loss", ["squared", "absolute", "huber"])
def test_regression(loss):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3))
    y = X @ [1.0, -0.5, 0.0] + 0.3
    model = CBORegressor(loss=loss, max_iter=30, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.98
    assert model.intercepts_[0] == pytest.approx([0.3], abs=0.05)
    farkas.verify(model, X, y).check()


def test_several_outputs_and_a_loss_of_the_users():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    Y = np.column_stack([X[:, 0], X[:, 1] - X[:, 0]])
    model = CBORegressor(max_iter=30, random_state=0).fit(X, Y)
    assert model.predict(X).shape == (60, 2)
    assert model.score(X, Y) > 0.98
    model.partial_fit(X, Y)

    def pinball(z, y):
        r = y - z[:, 0]
        return np.maximum(0.9 * r, -0.1 * r)

    noisy = X[:, 0] + rng.normal(size=60)
    model = CBORegressor(loss=pinball, max_iter=30, random_state=0).fit(X, noisy)
    above = np.mean(noisy <= model.predict(X))
    assert above == pytest.approx(0.9, abs=0.07)
    farkas.verify(model, X, noisy, pinball).check()


def test_the_clock_is_respected():
    X, y = IRIS
    model = classifier(max_iter=10_000, max_time=0.2).fit(X, y)
    assert model.status_ is farkas.Status.MAX_TIME
    farkas.verify(model, X, y).check()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"activation": "sine"}, "activation"),
        ({"loss": "hinge"}, "loss"),
        ({"hidden_layer_sizes": (0,)}, "hidden_layer_sizes"),
        ({"n_particles": 1}, "n_particles"),
        ({"particle_batch": 1}, "particle_batch"),
        ({"batch_size": 0}, "batch_size"),
        ({"max_iter": 0}, "max_iter"),
        ({"dt": 0.0}, "dt"),
        ({"lam": -1.0}, "lam"),
        ({"sigma": math.nan}, "sigma"),
        ({"alpha": -1.0}, "alpha"),
        ({"tol": 0.0}, "tol"),
        ({"init_scale": 0.0}, "init_scale"),
        ({"lam_memory": 1.0}, "memory"),
        ({"validation_fraction": 1.0}, "validation_fraction"),
        ({"max_time": 0.0}, "max_time"),
        ({"device": "tpu"}, "device"),
    ],
)
def test_bad_parameters_are_named(options, match):
    with pytest.raises((ValueError, TypeError), match=match):
        classifier(**options).fit(*IRIS)


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="one class"):
        classifier().fit(IRIS[0], np.zeros(150))


def test_columns_far_from_zero_are_learned_as_well():
    X, y = IRIS
    far = np.array([0.0, 50.0, -200.0, 1000.0])
    near, away = (classifier(tol=1e-2).fit(Z, y) for Z in (X, X + far))
    assert away.score(X + far, y) > 0.93
    assert away.loss_ == pytest.approx(near.loss_, rel=0.1)
    farkas.verify(away, X + far, y).check()
