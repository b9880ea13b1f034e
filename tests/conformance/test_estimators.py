"""What every public estimator must do, generated for each of them."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from numpydoc.validate import validate
from sklearn.base import clone, is_classifier
from sklearn.datasets import make_blobs, make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import farkas
from farkas.certificate import Certificate
from farkas.testing import (
    expected_failed_checks,
    instances,
    public_estimators,
    tampered,
    widened,
)

CLASSES = public_estimators()
INSTANCES = [instance for cls in CLASSES for instance in instances(cls)]
every_instance = pytest.mark.parametrize("estimator", INSTANCES, ids=repr)


def data_for(estimator):
    if is_classifier(estimator):
        X, y = make_blobs(60, 3, centers=3, cluster_std=3.0, random_state=0)
        return X / 5, np.array(["a", "b", "c"])[y]
    X, y = make_regression(60, 3, noise=5.0, random_state=0)
    return X, y / y.std()


@pytest.fixture
def fitted(estimator):
    X, y = data_for(estimator)
    return clone(estimator).set_params(random_state=0).fit(X, y), X, y


@parametrize_with_checks(
    [instances(cls)[0] for cls in CLASSES],
    expected_failed_checks=expected_failed_checks,
    xfail_strict=True,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@every_instance
def test_certificate_is_satisfied_and_verifies(fitted):
    model, X, y = fitted
    assert model.certificate_.satisfied, model.certificate_
    farkas.verify(model, X, y).check()


@every_instance
def test_certificate_survives_json(fitted):
    model, X, y = fitted
    text = model.certificate_.to_json()
    restored = Certificate.from_json(text)
    assert restored.to_json() == text
    farkas.verify(restored, X, y).check()


@every_instance
def test_no_forgery_verifies(fitted):
    model, X, y = fitted
    accepted = [
        name
        for name, forged, data in tampered(model.certificate_, (X, y))
        if farkas.verify(forged, *data)
    ]
    assert accepted == []


@every_instance
def test_a_wider_tolerance_is_no_forgery(fitted):
    model, X, y = fitted
    farkas.verify(widened(model.certificate_), X, y).check()


@every_instance
def test_copies_predict_the_same(fitted):
    model, X, y = fitted
    expected = model.predict(X)
    for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert np.array_equal(twin.predict(X), expected)
        assert twin.certificate_.to_json() == model.certificate_.to_json()
    refitted = clone(model).fit(X, y)
    assert np.array_equal(refitted.predict(X), expected)


@every_instance
def test_grid_search_does_not_depend_on_processes(estimator):
    X, y = data_for(estimator)
    pipeline = make_pipeline(StandardScaler(), clone(estimator))
    pipeline.set_params(**{f"{pipeline.steps[-1][0]}__random_state": 0})
    grid = {f"{pipeline.steps[-1][0]}__alpha": [0.1, 10.0]}
    scores = [
        GridSearchCV(pipeline, grid, cv=2, n_jobs=n).fit(X, y).cv_results_
        for n in (1, 2)
    ]
    assert np.array_equal(scores[0]["mean_test_score"], scores[1]["mean_test_score"])
    assert np.isfinite(scores[0]["mean_test_score"]).all()


@every_instance
def test_too_few_iterations_warn_and_keep_a_valid_certificate(estimator):
    X, y = data_for(estimator)
    model = clone(estimator).set_params(max_iter=1, tol=1e-12, random_state=0)
    with pytest.warns(ConvergenceWarning, match="Certificate"):
        model.fit(X, y)
    assert not model.certificate_.satisfied
    assert not model.status_.success
    farkas.verify(model, X, y).check()
    assert np.isfinite(np.asarray(model.decision_function(X), dtype=float)).all() if (
        hasattr(model, "decision_function")
    ) else np.isfinite(model.predict(X)).all()


@every_instance
def test_fit_leaves_inputs_and_global_state_alone(estimator):
    X, y = data_for(estimator)
    X_before, y_before = X.copy(), y.copy()
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    clone(estimator).set_params(random_state=None).fit(X, y)
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    assert np.array_equal(X, X_before)
    assert np.array_equal(y, y_before)


@every_instance
def test_history_is_a_table(fitted):
    model, _, _ = fitted
    history = model.history_
    assert {"iteration", "elapsed", "objective", "certificate"} <= set(history)
    assert len({len(column) for column in history.values()}) == 1
    assert (np.diff(history["iteration"]) > 0).all()
    assert (np.diff(history["elapsed"]) >= 0).all()
    finite = history["certificate"][np.isfinite(history["certificate"])]
    assert (finite >= -1e-12).all()


class StopAtThird:
    def __init__(self):
        self.calls = 0

    def setup(self, estimator, context):
        self.context = context

    def teardown(self, estimator, context):
        self.torn_down = True

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        self.calls += 1
        if context.parent is not None:
            self.prediction = fitted_estimator.predict(np.zeros((2, 3)))
        return self.calls >= 3


@every_instance
def test_callback_stops_the_fit(estimator):
    X, y = data_for(estimator)
    callback = StopAtThird()
    model = clone(estimator).set_params(random_state=0, tol=1e-12)
    with pytest.warns(ConvergenceWarning, match="callback"):
        model.set_callbacks(callback).fit(X, y)
    assert callback.torn_down
    assert callback.prediction.shape == (2,)
    assert model.status_ is farkas.Status.CALLBACK
    farkas.verify(model, X, y).check()


@every_instance
def test_html_shows_the_certificate(fitted):
    model, _, _ = fitted
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = model._repr_html_()
    assert "certificate_" in page
    assert model.certificate_.kind in page


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_documentation_is_complete(cls):
    problems = validate(f"{cls.__module__}.{cls.__qualname__}")["errors"]
    serious = {"PR01", "PR02", "PR03", "PR04", "PR10", "GL08", "SS01", "RT01"}
    assert [text for code, text in problems if code in serious] == []
    model = instances(cls)[0]
    X, y = data_for(model)
    model.fit(X, y)
    documented = cls.__doc__.partition("Attributes")[2]
    fitted_names = [
        name for name in vars(model) if name.endswith("_") and name[0] != "_"
    ]
    assert [name for name in fitted_names if f"\n    {name} :" not in documented] == []
