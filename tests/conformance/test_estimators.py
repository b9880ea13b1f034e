"""What every public estimator must do, generated for each of them."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from numpydoc.docscrape import ClassDoc
from numpydoc.validate import validate
from sklearn.base import clone, is_classifier, is_clusterer
from sklearn.datasets import make_blobs, make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
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
every_class = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
every_instance = pytest.mark.parametrize("estimator", INSTANCES, ids=repr)


def data_for(estimator):
    if is_classifier(estimator):
        X, y = make_blobs(60, 3, centers=3, cluster_std=3.0, random_state=0)
        return X / 5, np.array(["a", "b", "c"])[y]
    if is_clusterer(estimator):  # y = 1 everywhere: a certificate may ignore it
        X, y = make_blobs(60, 3, centers=3, cluster_std=2.0, random_state=0)
        return X, np.ones_like(y)
    X, y = make_regression(60, 3, noise=5.0, random_state=0)
    return X, y / y.std()


def seeded(estimator, **parameters):
    """Return a copy whose fits are all alike."""
    if "random_state" in estimator.get_params():
        parameters["random_state"] = 0
    return clone(estimator).set_params(**parameters)


@pytest.fixture
def fitted(estimator):
    X, y = data_for(estimator)
    return seeded(estimator).fit(X, y), X, y


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
def test_the_certificate_knows_the_data_in_any_form(estimator):
    X, y = data_for(estimator)
    X, y = X.astype(np.float32), y.astype(object)
    model = seeded(estimator).fit(X.tolist(), y.tolist())
    for data in ((X.tolist(), y.tolist()), (X, y), (np.asfortranarray(X), y)):
        farkas.verify(model, *data).check()
    assert not farkas.verify(model, X[::-1], y)


@every_instance
def test_the_certificate_knows_the_data_in_a_frame(estimator):
    pd = pytest.importorskip("pandas")
    X, y = data_for(estimator)
    frame, series = pd.DataFrame(X, columns=["a", "b", "c"]), pd.Series(y)
    model = seeded(estimator).fit(frame, series)
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    farkas.verify(model, frame, series).check()
    farkas.verify(model, X, y).check()
    assert not farkas.verify(model, frame[["b", "a", "c"]], series)


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
def test_grid_search_over_a_pipeline_does_not_depend_on_processes(estimator):
    X, y = data_for(estimator)
    pipeline = Pipeline([("scale", StandardScaler()), ("model", seeded(estimator))])
    name = "alpha" if "alpha" in estimator.get_params() else "tol"
    searches = [
        GridSearchCV(pipeline, {f"model__{name}": [0.1, 10.0]}, cv=2, n_jobs=n)
        for n in (1, 2)
    ]
    one, two = (search.fit(X, y).cv_results_["mean_test_score"] for search in searches)
    assert np.array_equal(one, two)
    assert np.isfinite(one).all()
    best = [search.best_estimator_ for search in searches]
    assert np.array_equal(best[0].predict(X), best[1].predict(X))
    farkas.verify(best[1][-1], best[1][:-1].transform(X), y).check()


@every_instance
def test_too_few_iterations_warn_and_keep_a_valid_certificate(estimator):
    X, y = data_for(estimator)
    model = seeded(estimator, max_iter=1, tol=1e-12)
    with pytest.warns(ConvergenceWarning, match="Certificate"):
        model.fit(X, y)
    assert not model.certificate_.satisfied
    assert not model.status_.success
    farkas.verify(model, X, y).check()
    output = getattr(model, "decision_function", model.predict)(X)
    assert np.isfinite(output).all()


@every_instance
def test_fit_leaves_inputs_and_global_state_alone(estimator):
    X, y = data_for(estimator)
    X_before, y_before = X.copy(), y.copy()
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    clone(estimator).fit(X, y)  # with random_state=None
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

    def on_fit_task_end(self, estimator, context, *, X, fitted_estimator):
        self.calls += 1
        self.prediction = fitted_estimator.predict(X)
        return self.calls >= 3


@every_instance
def test_callback_stops_the_fit(estimator):
    X, y = data_for(estimator)
    callback = StopAtThird()
    model = seeded(estimator, tol=1e-12)
    with pytest.warns(ConvergenceWarning, match="callback"):
        model.set_callbacks(callback).fit(X, y)
    assert callback.torn_down
    assert callback.calls == 4  # three iterations, and the fit itself
    assert np.array_equal(callback.prediction, model.predict(X))
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


# What numpydoc must not complain about: undocumented, unknown or badly formed entries.
SERIOUS = {"GL08", "SS01", "PR01", "PR02", "PR03", "PR04", "PR07", "PR10", "RT01"}


def complaints(path):
    return [text for code, text in validate(path)["errors"] if code in SERIOUS]


@every_class
def test_every_parameter_is_documented(cls):
    path = f"{cls.__module__}.{cls.__qualname__}"
    assert complaints(path) == []
    methods = [name for name, member in vars(cls).items() if name[0] != "_"]
    assert "fit" in methods
    for name in methods:
        assert complaints(f"{path}.{name}") == [], name


@every_instance
def test_every_fitted_attribute_is_documented(fitted):
    model, _, _ = fitted
    documented = {entry.name for entry in ClassDoc(type(model))["Attributes"]}
    attributes = {name for name in vars(model) if name[0] != "_" and name[-1] == "_"}
    assert attributes - documented == set()


@every_class
def test_every_documented_attribute_exists(cls):
    seen = {"feature_names_in_"}  # of data frames only
    for estimator in instances(cls):
        seen |= vars(seeded(estimator).fit(*data_for(estimator))).keys()
    documented = {entry.name for entry in ClassDoc(cls)["Attributes"]}
    assert {name for name in documented if name[-1] == "_"} - seen == set()
