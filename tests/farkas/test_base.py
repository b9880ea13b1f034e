"""What `CertifiedMixin` gives an estimator, shown on a toy that runs ISTA."""

import copy
import math
import pickle
import warnings

import numpy as np
import pytest
from scipy.optimize import OptimizeResult
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

import farkas
from farkas.base import CertifiedMixin, certified_fit, check_choice, check_number
from farkas.history import Recorder
from farkas.status import Status

rng = np.random.default_rng(0)
X = rng.standard_normal((30, 4))
y = X @ [1.0, -2.0, 0.0, 0.5] + 0.1 * rng.standard_normal(30)


class ToyLasso(CertifiedMixin, RegressorMixin, BaseEstimator):
    """Lasso by proximal gradient steps."""

    def __init__(self, alpha=1.0, max_iter=200, tol=1e-6, fail_at=None):
        self.alpha = alpha
        self.max_iter = max_iter
        self.tol = tol
        self.fail_at = fail_at

    @certified_fit
    def fit(self, X, y):
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        callback = self._solver_callback(
            X,
            y,
            max_subtasks=self.max_iter,
            reconstruction_attributes=lambda progress: {"coef_": progress.x.copy()},
        )
        history = Recorder()
        step = 1.0 / np.linalg.norm(X, 2) ** 2
        w, status = np.zeros(X.shape[1]), Status.MAX_ITER
        for k in range(1, self.max_iter + 1):
            if k == self.fail_at:
                raise RuntimeError("the solver broke")
            w = w - step * X.T @ (X @ w - y)
            w = np.sign(w) * np.maximum(np.abs(w) - step * self.alpha, 0.0)
            certificate = farkas.certify_lasso(
                X, y, w, alpha=self.alpha, tolerance=self.tol
            )
            history.record(k, objective=certificate.upper)
            try:
                if callback is not None:
                    callback(intermediate_result=OptimizeResult(x=w, nit=k))
            except StopIteration:
                status = Status.CALLBACK
                break
            if certificate.satisfied:
                status = Status.CONVERGED
                break
        self.coef_ = w
        self._record_fit(
            certificate=certificate,
            history=history.to_dict(),
            n_iter=k,
            status=status,
        )
        return self

    def predict(self, X):
        check_is_fitted(self)
        return validate_data(self, X, reset=False) @ self.coef_


class Spy:
    """Writes down every call; asks to stop after a number of iterations."""

    def __init__(self, stop_after=math.inf):
        self.stop_after = stop_after
        self.events = []
        self.scores = []

    def count(self, event):
        return self.events.count(event)

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.events.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
        self.events.append(f"end {context.task_name}")
        self.scores.append(fitted_estimator.score(X, y))
        return self.count("end iteration") >= self.stop_after


class Lazy(Spy):
    """Asks for no fitted estimator."""

    def on_fit_task_end(self, estimator, context):
        self.events.append("end")


def test_outcome_of_a_fit():
    model = ToyLasso().fit(X, y)
    assert model.status_ is Status.CONVERGED
    assert model.message_ == Status.CONVERGED.message
    assert model.certificate_.satisfied, model.certificate_
    assert model.n_iter_ == model.history_["iteration"][-1]
    assert farkas.verify(model, X, y)


def test_nothing_is_opened_without_callbacks(monkeypatch):
    def forbidden(self, **kwargs):
        raise AssertionError("a context was opened")

    monkeypatch.setattr(ToyLasso, "_init_callback_context", forbidden)
    model = ToyLasso()
    assert model._solver_callback(X, y) is None
    model.fit(X, y)
    model.set_callbacks(Spy()).set_callbacks()  # removed again
    assert model.fit(X, y).status_ is Status.CONVERGED
    with pytest.raises(AssertionError, match="a context was opened"):
        model.set_callbacks(Spy()).fit(X, y)


def test_one_task_an_iteration_in_order():
    spy = Spy()
    model = ToyLasso().set_callbacks(spy).fit(X, y)
    n = model.n_iter_
    pairs = ["begin iteration", "end iteration"]
    expected = ["setup", "begin fit", *n * pairs, "end fit", "teardown"]
    assert spy.events == expected
    assert len(spy.scores) == n + 1
    assert spy.scores[-1] == model.score(X, y)
    assert np.array_equal(model.coef_, ToyLasso().fit(X, y).coef_)


def test_a_callback_stops_the_fit_and_the_certificate_holds():
    spy = Spy(stop_after=2)
    model = ToyLasso().set_callbacks(spy, Lazy())
    with pytest.warns(ConvergenceWarning, match="callback asked to stop.*Certificate"):
        model.fit(X, y)
    assert model.n_iter_ == 2
    assert model.status_ is Status.CALLBACK
    assert spy.events[-2:] == ["end fit", "teardown"]
    assert not model.certificate_.satisfied
    assert farkas.verify(model, X, y)
    assert model.predict(X).shape == y.shape


def test_attributes_are_reconstructed_only_when_asked():
    def attributes(progress):
        raise AssertionError("a callback asked")

    def solver_callback(spy):
        model = ToyLasso().set_callbacks(spy)
        return model._solver_callback(X, y, reconstruction_attributes=attributes)

    callback = solver_callback(Lazy())
    for _ in range(3):
        callback(intermediate_result=OptimizeResult())
    with pytest.raises(AssertionError, match="a callback asked"):
        solver_callback(Spy())(intermediate_result=OptimizeResult())


def test_without_reconstruction_attributes_there_is_no_estimator_to_hand_out():
    class Curious(Spy):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            self.scores.append(fitted_estimator)

    spy = Curious()
    callback = ToyLasso().set_callbacks(spy)._solver_callback(X, y)
    callback(intermediate_result=OptimizeResult())
    assert spy.scores == [None]


def test_callbacks_are_torn_down_when_the_solver_fails():
    spy = Spy()
    model = ToyLasso(fail_at=3).set_callbacks(spy)
    with pytest.raises(RuntimeError, match="the solver broke"):
        model.fit(X, y)
    assert spy.count("end iteration") == 2
    assert spy.events[-1] == "teardown"
    assert spy.count("end fit") == 0
    assert not hasattr(model, "_fit_task")
    model.set_params(fail_at=None).fit(X, y)  # and it can be fitted again
    assert spy.events[-2:] == ["end fit", "teardown"]


def test_callbacks_are_torn_down_when_a_warning_is_an_error():
    spy = Spy()
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        with pytest.raises(ConvergenceWarning):
            ToyLasso(max_iter=1).set_callbacks(spy).fit(X, y)
    assert spy.events[-2:] == ["end fit", "teardown"]


def test_nothing_of_the_callbacks_stays_in_the_model():
    before = set(vars(ToyLasso().fit(X, y)))
    model = ToyLasso().set_callbacks(Spy()).fit(X, y)
    assert set(vars(model)) - before == {"_skl_callbacks"}
    twin = pickle.loads(pickle.dumps(model.set_callbacks()))
    assert np.array_equal(twin.predict(X), model.predict(X))
    assert copy.deepcopy(model).certificate_.to_json() == model.certificate_.to_json()


@pytest.mark.parametrize("wrap", [lambda toy: toy, make_pipeline], ids=["", "nested"])
def test_scoring_monitor_logs_every_iteration(wrap):
    monitor = ScoringMonitor(scoring="r2")
    toy = ToyLasso().set_callbacks(monitor)
    model = wrap(toy).fit(X, y)
    rows = monitor.get_logs().data
    scores = [row["r2"] for row in rows if row["task_name"] == "iteration"]
    assert len(scores) == toy.n_iter_
    assert scores[0] < scores[-1] == model.score(X, y)
    assert len(rows) == toy.n_iter_ + 1


def search(toy, n_jobs):
    return GridSearchCV(
        make_pipeline(StandardScaler(), toy),
        {"toylasso__alpha": [0.1, 1.0]},
        cv=2,
        n_jobs=n_jobs,
    )


def test_scoring_monitor_within_a_grid_search_over_processes():
    monitor = ScoringMonitor(scoring="r2")
    model = search(ToyLasso().set_callbacks(monitor), n_jobs=2).fit(X, y)
    plain = search(ToyLasso(), n_jobs=1).fit(X, y)
    for name in ("mean_test_score", "std_test_score"):
        assert np.array_equal(model.cv_results_[name], plain.cv_results_[name])
    parents = {row["parent_task_id_path"] for row in monitor.get_logs().data}
    assert len(parents) >= 5  # four fits of the search and the last one


def test_progress_bar(capsys):
    pytest.importorskip("rich")
    model = ToyLasso().set_callbacks(ProgressBar()).fit(X, y)
    assert "ToyLasso" in capsys.readouterr().out
    assert farkas.verify(model, X, y)


def test_progress_bar_of_a_search_reaches_the_toy(capsys):
    pytest.importorskip("rich")
    bar = ProgressBar(max_propagation_depth=None)
    search(ToyLasso(), n_jobs=2).set_callbacks(bar).fit(X, y)
    output = capsys.readouterr().out
    assert "GridSearchCV" in output
    assert "ToyLasso" in output


def test_failure_is_a_convergence_warning_with_the_certificate():
    model = ToyLasso(max_iter=1)
    with pytest.warns(ConvergenceWarning) as caught:
        model.fit(X, y)
    (warning,) = caught
    text = str(warning.message)
    assert text.startswith("ToyLasso: The iteration limit was reached")
    assert text.endswith(repr(model.certificate_))


def test_record_fit_keeps_the_contract():
    model = ToyLasso()
    model._record_fit(
        certificate=None, history={}, n_iter=0, status=0, message="Solved."
    )
    assert model.n_iter_ == 1
    assert model.status_ is Status.CONVERGED
    assert model.message_ == "Solved."
    assert model.certificate_ is None


def test_html_shows_the_certificate_once_there_is_one():
    model = ToyLasso()
    assert "farkas-certificate" not in model._repr_html_()
    assert "farkas-certificate" not in model._repr_mimebundle_()["text/html"]
    model.fit(X, y)
    for page in (model._repr_html_(), model._repr_mimebundle_()["text/html"]):
        assert page.count("farkas-certificate") == 1
        assert "duality_gap" in page
        assert "GLOBAL" in page
    assert "ToyLasso" in model._repr_mimebundle_()["text/plain"]
    assert "farkas-certificate" not in clone(model)._repr_html_()


def test_text_display_stays_text():
    from sklearn import config_context

    model = ToyLasso().fit(X, y)
    with config_context(display="text"):
        assert set(model._repr_mimebundle_()) == {"text/plain"}
        assert not hasattr(model, "_repr_html_")


@pytest.mark.parametrize("value", ["hinge", None, 2])
def test_check_choice_accepts_what_is_listed(value):
    check_choice("loss", value, ("hinge", None, 2))


@pytest.mark.parametrize("value", ["Hinge", 2.0, True, np.ones(2)], ids=repr)
def test_check_choice_names_parameter_value_and_options(value):
    with pytest.raises(ValueError, match="must be one of 'hinge', None, 2, 1") as error:
        check_choice("loss", value, ("hinge", None, 2, 1))
    assert str(error.value).startswith(f"loss={value!r}")


@pytest.mark.parametrize(
    ("value", "limits"),
    [
        (1, {}),
        (1.5, {"low": 1.5}),
        (np.float32(0.5), {"low": 0.0, "high": 1.0, "inclusive": "neither"}),
        (np.int64(3), {"low": 1, "high": 3, "integer": True}),
        (2, {"low": 2, "high": 3, "inclusive": "left"}),
        (3, {"low": 2, "high": 3, "inclusive": "right"}),
    ],
)
def test_check_number_accepts_the_range(value, limits):
    check_number("x", value, **limits)


@pytest.mark.parametrize(
    ("value", "limits", "error", "words"),
    [
        (True, {}, TypeError, "x=True must be a finite number, got bool"),
        ("1", {}, TypeError, "x='1' must be a finite number, got str"),
        (None, {"low": 0}, TypeError, "x=None must be a finite number >= 0, got None"),
        (1.0, {"integer": True}, TypeError, "x=1.0 must be an integer, got float"),
        (math.nan, {}, ValueError, "x=nan must be a finite number"),
        (math.inf, {"low": 0}, ValueError, "x=inf must be a finite number >= 0"),
        (0, {"low": 1, "integer": True}, ValueError, "x=0 must be an integer >= 1"),
        (2, {"low": 0, "high": 1}, ValueError, "a finite number >= 0 and <= 1"),
        (1, {"low": 0, "high": 1, "inclusive": "left"}, ValueError, ">= 0 and < 1"),
        (0, {"low": 0, "high": 1, "inclusive": "right"}, ValueError, "> 0 and <= 1"),
        (0, {"low": 0, "inclusive": "neither"}, ValueError, "a finite number > 0"),
    ],
)
def test_check_number_names_parameter_value_and_range(value, limits, error, words):
    with pytest.raises(error, match=words):
        check_number("x", value, **limits)
