"""Surrogates and counterfactuals: what they find, what they refuse, what they claim."""

import dataclasses

import numpy as np
import pytest
from sklearn.datasets import load_iris, load_wine
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import farkas
from dfo import CounterfactualExplainer, NetworkOptimizer
from dfo.attack.counterfactual import _smooth


@pytest.fixture(scope="module")
def bowl():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (200, 2))
    return X, 1 - (X[:, 0] - 0.3) ** 2 - (X[:, 1] + 0.4) ** 2


def test_the_best_input_of_a_surrogate(bowl):
    X, y = bowl
    model = NetworkOptimizer(random_state=0).fit(X, y)
    np.testing.assert_allclose(model.x_best_, [0.3, -0.4], atol=0.05)
    assert model.value_ == pytest.approx(1, abs=0.02)
    assert model.value_ == pytest.approx(model.predict(model.x_best_[None])[0])
    assert model.score(X, y) > 0.99
    claim = model.certificate_
    assert claim.satisfied
    farkas.verify(model, X, y).check()
    bare = dataclasses.replace(claim, seal="", fingerprint="")
    assert not farkas.verify(bare, X, y + 0.1)
    weights = {**claim.witness, "W0": 1.01 * claim.witness["W0"]}
    assert not farkas.verify(dataclasses.replace(bare, witness=weights), X, y)


def test_several_outputs_and_weights(bowl):
    X, y = bowl
    Y = np.column_stack([y, X[:, 0]])
    model = NetworkOptimizer(objective=[0.0, -1.0], random_state=0).fit(X, Y)
    assert model.x_best_[0] == pytest.approx(X[:, 0].min(), abs=0.05)
    farkas.verify(model, X, Y).check()
    lower = NetworkOptimizer(maximize=False, random_state=0).fit(X, Y)
    assert lower.value_ < model.predict(X).sum(axis=1).min() + 0.1


def test_callables_boxes_and_constraints(bowl):
    X, y = bowl
    surrogate = make_pipeline(
        StandardScaler(),
        MLPRegressor(
            hidden_layer_sizes=(8,), solver="lbfgs", max_iter=2000, random_state=0
        ),
    )
    model = NetworkOptimizer(
        surrogate,
        lambda out: float(out[0]),
        bounds=[(-0.5, 0.0), (-0.5, 0.5)],
        constraints=lambda x, out: x[0] + x[1] + 0.3,
        strategy="cdsm",
        tol=1e-4,
        random_state=0,
    ).fit(X, y)
    assert -0.5 <= model.x_best_[0] <= 0
    assert model.x_best_.sum() <= -0.3
    assert model.certificate_.problem == "dfo.direct_constrained_poll/1"


@pytest.mark.parametrize("norm", [1, 2, "inf"])
def test_counterfactuals_reach_their_class(norm):
    X, y = load_iris(return_X_y=True)
    model = CounterfactualExplainer(
        target=1, immutable=[0], norm=norm, tol=0.05, random_state=0
    ).fit(X, y)
    rows = X[::12]
    found = model.explain(rows)
    moved = found.inputs
    np.testing.assert_array_equal(model.transform(rows), moved)
    assert found.success.all()
    assert (model.predict_proba(moved)[:, 1] >= 0.9).all()
    np.testing.assert_array_equal(moved[:, 0], rows[:, 0])
    unit = X.std(axis=0)
    order = np.inf if norm == "inf" else norm
    lengths = np.linalg.norm((moved - rows) / unit, ord=order, axis=1)
    np.testing.assert_allclose(lengths, found.distances, rtol=1e-9)
    already = model.predict_proba(rows)[:, 1] >= 0.9
    np.testing.assert_array_equal(found.distances == 0, already)
    for claim in found.certificates:
        farkas.verify(claim, X, y).check()
        bare = dataclasses.replace(claim, seal="", fingerprint="")
        assert not farkas.verify(bare, X, np.roll(y, 1))
        near = {**claim.parameters, "threshold": 0.99}
        changed = dataclasses.replace(bare, parameters=near)
        assert not farkas.verify(changed, X, y) or claim.upper == 0


def test_no_other_move_is_shorter():
    X, y = load_wine(return_X_y=True)
    model = CounterfactualExplainer(target=0, random_state=0).fit(X, y)
    row = X[y == 1][:1]
    found = model.explain(row)
    moved = found.inputs
    unit = X.std(axis=0)
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((4000, X.shape[1]))
    directions += 3 * (moved[0] - row[0]) / unit  # most of them that way
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    shorter = row + 0.97 * found.distances[0] * unit * directions
    inside = np.clip(shorter, X.min(axis=0), X.max(axis=0))
    assert (model.predict_proba(inside)[:, 0] < 0.9).all()


def test_an_impossible_change_is_admitted():
    X, y = load_iris(return_X_y=True)
    model = CounterfactualExplainer(target=2, immutable=[0, 1, 2, 3], random_state=0)
    with pytest.warns(Warning, match="Certificate"):
        model.fit(X, y)
    row = X[:1]
    found = model.explain(row)
    np.testing.assert_array_equal(found.inputs, row)
    assert not found.success[0]
    assert np.isinf(found.distances[0])
    assert not model.success_[0]


@pytest.mark.parametrize("norm", ["1", "2", "inf"])
def test_smooth_lengths_have_their_gradients(norm):
    z = np.array([0.3, -0.7, 0.2])
    gradient = _smooth(z, norm)[1]
    for j, step in enumerate(1e-6 * np.eye(3)):
        rise = _smooth(z + step, norm)[0] - _smooth(z - step, norm)[0]
        assert rise / 2e-6 == pytest.approx(gradient[j], rel=1e-5, abs=1e-9)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"target": "no"}, "target"),
        ({"threshold": 1.0}, "threshold"),
        ({"norm": 3}, "norm"),
        ({"immutable": [9]}, "immutable"),
        ({"bounds": "box"}, "bounds"),
        ({"tol": 0}, "tol"),
        ({"max_evaluations": 0}, "max_evaluations"),
    ],
)
def test_bad_parameters_of_the_explainer(change, match):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=match):
        CounterfactualExplainer(**change).fit(X, y)


def test_a_tree_has_no_derivatives():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(TypeError, match="derivatives"):
        CounterfactualExplainer(DecisionTreeClassifier()).fit(X, y)
    with pytest.raises(ValueError, match="one class"):
        CounterfactualExplainer().fit(X, np.zeros(len(X)))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"strategy": "x"}, "strategy"),
        ({"objective": [1.0, 2.0]}, "objective"),
        ({"bounds": "box"}, "bounds"),
        ({"tol": -1.0}, "tol"),
        ({"max_iter": 0}, "max_iter"),
    ],
)
def test_bad_parameters_of_the_optimizer(bowl, change, match):
    with pytest.raises(ValueError, match=match):
        NetworkOptimizer(**change).fit(*bowl)
