"""What convexnn shows in ``farkas demo``: three data sets of scikit-learn."""

import warnings
from collections.abc import Iterator
from typing import Any

from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

from convexnn.estimators import ConvexMLPClassifier, ConvexMLPRegressor
from farkas.sections import (
    Fit,
    Score,
    Section,
    certified,
    confusion_figure,
    history_figure,
    interval_figure,
    parity_figure,
    timed,
)

SEED = 0
# The strength of every model's penalty is chosen from a grid of four by
# cross-validation with three folds on the training rows. Each grid was placed by the
# same cross-validation over wider ones, so that no best value lies beyond its ends.
FOLDS = 3
CONVEX = {"alpha": [1.0, 3.0, 10.0, 30.0]}
MLP = {"alpha": [1e-2, 1e-1, 1.0, 10.0]}
LOGISTIC = {"C": [0.01, 0.1, 1.0, 10.0]}
RIDGE = {"alpha": [1.0, 10.0, 100.0, 1000.0]}

_REFINED = "Where the lower bound falls, refinement added patterns to the program."
_CHOICE = (
    "Columns are standardised on the training rows. Every model, ours and the peers', "
    "had the strength of its penalty chosen from four values by three-fold "
    "cross-validation on the training rows."
)


def sections() -> Iterator[Section]:
    """Fit, certify and compare on three data sets, one section each."""
    yield _breast_cancer()
    yield _digits()
    yield _diabetes()


def _breast_cancer() -> Section:
    bunch = load_breast_cancer()
    A, B, a, b = _split(bunch.data, bunch.target, stratify=bunch.target)
    name = "breast cancer"
    model = ConvexMLPClassifier(loss="logistic", refine=4, random_state=SEED)
    fit, scores = _compare(
        name,
        model,
        [
            (MLPClassifier(max_iter=1000, random_state=SEED), MLP),
            (LogisticRegression(max_iter=1000), LOGISTIC),
        ],
        (A, B, a, b),
    )
    return Section(
        package="convexnn",
        title="Breast cancer: benign or malignant",
        prose=(
            "A network of one hidden layer with ReLU units, trained by a convex "
            "program. Gradient descent on such a network ends somewhere, and does not "
            "say how far from the best. Here the distance is proven: to the best among "
            "all networks, of any width, whose units keep to the activation patterns "
            "that a few rounds of refinement chose.",
            _CHOICE,
        ),
        fits=[fit],
        facts=_facts(A, B, "2 classes"),
        metric="accuracy",
        scores=scores,
        figures=[
            interval_figure([fit]),
            history_figure(fit, _REFINED),
            confusion_figure(b, fit.source.predict(B), list(bunch.target_names)),
        ],
        code=_code(fit.source),
    )


def _digits() -> Section:
    X, y = load_digits(return_X_y=True)
    A, B, a, b = _split(X, y, stratify=y)
    name = "digits"
    model = ConvexMLPClassifier(activation="gated", random_state=SEED)
    fit, scores = _compare(
        name,
        model,
        [
            (MLPClassifier(max_iter=1000, random_state=SEED), MLP),
            (LogisticRegression(max_iter=1000), LOGISTIC),
        ],
        (A, B, a, b),
    )
    return Section(
        package="convexnn",
        title="Digits: ten classes at once",
        prose=(
            "Images of 8 x 8 pixels, one network for each digit against the rest. All "
            "ten are certified together: the interval is that of the sum of their "
            "objectives.",
            "Its units are gated: fixed random hyperplanes switch them on and off. "
            "Choosing a penalty for ten networks of ReLU units would take minutes; "
            "with gated ones it takes seconds.",
            _CHOICE,
        ),
        fits=[fit],
        facts=_facts(A, B, "10 classes"),
        metric="accuracy",
        scores=scores,
        figures=[
            interval_figure([fit]),
            history_figure(fit),
            confusion_figure(b, fit.source.predict(B), [str(k) for k in range(10)]),
        ],
        code=_code(fit.source),
    )


def _diabetes() -> Section:
    X, y = load_diabetes(return_X_y=True)
    A, B, a, b = _split(X, y)
    centre, unit = a.mean(), a.std()
    a, b = (a - centre) / unit, (b - centre) / unit
    name = "diabetes"
    fit, scores = _compare(
        name,
        ConvexMLPRegressor(refine=4, random_state=SEED),
        [
            (MLPRegressor(max_iter=1000, random_state=SEED), MLP),
            (Ridge(), RIDGE),
        ],
        (A, B, a, b),
    )
    predicted = centre + unit * fit.source.predict(B)
    return Section(
        package="convexnn",
        title="Diabetes: progression after one year",
        prose=(
            "Regression on few, noisy rows, where a proven optimum matters less than "
            "restraint: a linear model is hard to beat here.",
            _CHOICE + " The target is standardised too.",
        ),
        fits=[fit],
        facts=_facts(A, B, "real target"),
        metric="R²",
        scores=scores,
        figures=[
            interval_figure([fit]),
            history_figure(fit, _REFINED),
            parity_figure(centre + unit * b, predicted, "disease progression"),
        ],
        code=_code(fit.source),
    )


def _split(X: Any, y: Any, stratify: Any = None) -> tuple[Any, Any, Any, Any]:
    """Hold out a quarter of the rows; scale by the columns of the others."""
    A, B, a, b = train_test_split(X, y, random_state=SEED, stratify=stratify)
    scaler = StandardScaler().fit(A)
    return scaler.transform(A), scaler.transform(B), a, b


def _compare(
    data: str, ours: Any, peers: list[tuple[Any, dict[str, list[float]]]], rows: Any
) -> tuple[Fit, list[Score]]:
    """Tune, fit and score ours and the peers; certify and re-check ours."""
    A, B, a, b = rows
    model, setting = _tuned(data, ours, CONVEX, A, a)
    label = type(ours).__name__
    fit = certified(data, label, lambda: model.fit(A, a), (A, a))
    scores = [
        Score(
            model=label,
            value=float(model.score(B, b)),
            seconds=fit.seconds,
            setting=setting,
            ours=True,
        )
    ]
    for estimator, grid in peers:
        model, setting = _tuned(data, estimator, grid, A, a)
        label = type(estimator).__name__
        # The default argument binds the model of this turn of the loop.
        _, seconds = timed(f"{data}: {label}", lambda model=model: _quiet(model, A, a))
        value = float(model.score(B, b))
        scores.append(Score(model=label, value=value, seconds=seconds, setting=setting))
    return fit, scores


def _tuned(
    data: str, model: Any, grid: dict[str, list[float]], X: Any, y: Any
) -> tuple[Any, str]:
    """Return an unfitted copy with the best penalty of ``grid``, and its setting."""
    search = GridSearchCV(model, grid, cv=FOLDS, refit=False)
    label = f"{data}: {type(model).__name__}, cross-validation"
    timed(label, lambda: _quiet(search, X, y))
    best = search.best_params_
    setting = ", ".join(f"{name}={value:g}" for name, value in best.items())
    return clone(model).set_params(**best), setting


def _quiet(model: Any, X: Any, y: Any) -> Any:
    """Fit; a network that stops at its limit of iterations is still a fair peer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)


def _facts(A: Any, B: Any, target: str) -> list[tuple[str, str]]:
    return [
        ("training rows", str(len(A))),
        ("held-out rows", str(len(B))),
        ("columns", str(A.shape[1])),
        ("target", target),
    ]


def _code(model: Any) -> str:
    return (
        f"import farkas\nfrom convexnn import {type(model).__name__}\n\n"
        f"model = {model!r}.fit(X, y)\n"
        "print(farkas.verify(model, X, y))"
    )
