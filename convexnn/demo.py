"""Convex networks on three data sets that scikit-learn ships, beside its own models."""

import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from farkas.report import Fit, Score, Section

SEED = 0


def sections() -> Iterator[Section]:
    """Yield one section for each data set.

    Yields
    ------
    Section
    """
    yield _breast_cancer()
    yield _digits()
    yield _diabetes()


def _breast_cancer() -> Section:
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    from convexnn import ConvexMLPClassifier
    from farkas.plotting import plot_bounds

    data = _split(load_breast_cancer, stratify=True)
    tune = {"alpha": [1.0, 3.0, 10.0, 30.0]}
    ours, fit, score = _run(
        "breast cancer, ReLU",
        ConvexMLPClassifier(n_patterns=50, random_state=SEED),
        tune,
        data,
    )
    gated, gated_fit, gated_score = _run(
        "breast cancer, gated",
        ConvexMLPClassifier(n_patterns=50, activation="gated", random_state=SEED),
        tune,
        data,
    )
    peers = [
        _peer(
            MLPClassifier(max_iter=500, random_state=SEED),
            {"alpha": [1e-4, 1e-2, 1.0]},
            data,
        ),
        _peer(LogisticRegression(max_iter=1000), {"C": [0.01, 0.1, 1.0, 10.0]}, data),
    ]
    return Section(
        title="Breast cancer: benign or malignant",
        prose=(
            "569 tumours, 30 measurements. A two-layer network is trained to the proven "
            "optimum of its convex program. All hyper-parameters, ours and the peers', "
            "were chosen by 3-fold cross-validation on the training rows."
        ),
        fits=[fit, gated_fit],
        metric="accuracy",
        scores=[score, gated_score, *peers],
        figures=[
            (
                "Objective and proven lower bound close in on the optimum.",
                lambda ax: plot_bounds(ours, ax=ax),
            ),
            (
                "Held-out tumours: output of the network by true class.",
                lambda ax: _draw_outputs(ax, ours, data),
            ),
        ],
    )


def _digits() -> Section:
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    from convexnn import ConvexMLPClassifier
    from farkas.plotting import plot_history

    data = _split(load_digits, stratify=True)
    ours, fit, score = _run(
        "digits, ReLU",
        ConvexMLPClassifier(3.0, n_patterns=30, n_jobs=2, random_state=SEED),
        None,
        data,
    )
    gated, gated_fit, gated_score = _run(
        "digits, gated",
        ConvexMLPClassifier(3.0, activation="gated", random_state=SEED),
        None,
        data,
    )
    peers = [
        _peer(MLPClassifier(max_iter=500, random_state=SEED), None, data),
        _peer(LogisticRegression(max_iter=1000), None, data),
    ]
    return Section(
        title="Digits: ten classes",
        prose=(
            "1797 handwritten digits of 8 x 8 pixels. Ten programs, one class against "
            "the rest, share one factorisation; one certificate covers them all. "
            "Hyper-parameters are fixed: alpha = 3 here, the defaults for the peers."
        ),
        fits=[fit, gated_fit],
        metric="accuracy",
        scores=[score, gated_score, *peers],
        figures=[
            (
                "The proven gap against time.",
                lambda ax: plot_history(ours, x="elapsed", ax=ax),
            ),
            (
                "Confusion on held-out digits: rows are true, columns predicted.",
                lambda ax: _draw_confusion(ax, ours, data),
            ),
        ],
    )


def _diabetes() -> Section:
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import Ridge
    from sklearn.neural_network import MLPRegressor

    from convexnn import ConvexMLPRegressor
    from farkas.plotting import plot_bounds

    data = _split(load_diabetes, standardize_targets=True)
    ours, fit, score = _run(
        "diabetes, ReLU",
        ConvexMLPRegressor(n_patterns=50, random_state=SEED),
        {"alpha": [10.0, 20.0, 40.0, 80.0]},
        data,
    )
    peers = [
        _peer(
            MLPRegressor(max_iter=2000, random_state=SEED),
            {"alpha": [1e-2, 1.0, 10.0]},
            data,
        ),
        _peer(Ridge(), {"alpha": [1.0, 10.0, 100.0]}, data),
    ]
    return Section(
        title="Diabetes: progression after a year",
        prose=(
            "442 patients, 10 measurements, a target that is hard to predict. Targets "
            "are standardised; hyper-parameters of both sides were chosen by 3-fold "
            "cross-validation on the training rows."
        ),
        fits=[fit],
        metric="R2",
        scores=[score, *peers],
        figures=[
            (
                "Objective and proven lower bound close in on the optimum.",
                lambda ax: plot_bounds(ours, ax=ax),
            ),
            (
                "Held-out patients: predicted against true progression.",
                lambda ax: _draw_parity(ax, ours, data),
            ),
        ],
    )


def _split(
    load: Callable[..., Any], *, stratify: bool = False, standardize_targets=False
) -> list[Any]:
    """Return train X, test X, train y, test y, standardised on the training rows."""
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    X, y = load(return_X_y=True)
    train, test, y_train, y_test = train_test_split(
        X, y, test_size=0.3, random_state=SEED, stratify=y if stratify else None
    )
    scaler = StandardScaler().fit(train)
    if standardize_targets:
        mean, deviation = y_train.mean(), y_train.std()
        y_train, y_test = (y_train - mean) / deviation, (y_test - mean) / deviation
    return [scaler.transform(train), scaler.transform(test), y_train, y_test]


def _run(
    name: str, model: Any, grid: dict[str, Any] | None, data: list[Any]
) -> tuple[Any, Fit, Score]:
    import farkas

    train, test, y_train, y_test = data
    fitted, seconds = _fit(model, grid, train, y_train)
    verification = farkas.verify(fitted, train, y_train)
    score = fitted.score(test, y_test)
    print(f"  {name}: {seconds:.2f} s, {fitted.certificate_!r}", flush=True)
    label = f"{type(model).__name__}, {model.activation}, alpha={fitted.alpha:g}"
    return (
        fitted,
        Fit(name, fitted.certificate_, verification, seconds),
        Score(label, score, seconds, ours=True),
    )


def _peer(model: Any, grid: dict[str, Any] | None, data: list[Any]) -> Score:
    train, test, y_train, y_test = data
    fitted, seconds = _fit(model, grid, train, y_train)
    name = type(model).__name__
    print(f"  {name}: {seconds:.2f} s", flush=True)
    return Score(name, fitted.score(test, y_test), seconds)


def _fit(
    model: Any, grid: dict[str, Any] | None, X: np.ndarray, y: np.ndarray
) -> tuple[Any, float]:
    """Choose by cross-validation if there is a grid, then fit; return model and time."""
    from sklearn.base import clone
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import GridSearchCV

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if grid is not None:
            search = GridSearchCV(model, grid, cv=3, n_jobs=2, refit=False).fit(X, y)
            model = clone(model).set_params(**search.best_params_)
        begun = time.perf_counter()
        model.fit(X, y)
        return model, time.perf_counter() - begun


def _draw_outputs(ax: Any, model: Any, data: list[Any]) -> None:
    from farkas.plotting import LOWER, UPPER

    _, test, _, y_test = data
    output = model.decision_function(test)
    bins = np.linspace(output.min(), output.max(), 40)
    for label, name, color in ((0, "malignant", UPPER), (1, "benign", LOWER)):
        ax.hist(output[y_test == label], bins, color=color, alpha=0.7, label=name)
    ax.axvline(0.0, color="#555555", linestyle="--")
    ax.set_xlabel("output of the network")
    ax.set_ylabel("tumours")
    ax.legend(frameon=False)


def _draw_confusion(ax: Any, model: Any, data: list[Any]) -> None:
    from sklearn.metrics import confusion_matrix

    _, test, _, y_test = data
    counts = confusion_matrix(y_test, model.predict(test))
    ax.imshow(counts, cmap="Blues", aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        if count:
            color = "white" if count > counts.max() / 2 else "black"
            ax.text(
                column,
                row,
                count,
                ha="center",
                va="center",
                color=color,
                fontsize="small",
            )
    ax.set_xticks(range(10))
    ax.set_yticks(range(10))


def _draw_parity(ax: Any, model: Any, data: list[Any]) -> None:
    from farkas.plotting import LOWER

    _, test, _, y_test = data
    ax.scatter(y_test, model.predict(test), s=14, color=LOWER, alpha=0.7)
    ends = [float(y_test.min()), float(y_test.max())]
    ax.plot(ends, ends, color="#555555", linestyle="--")
    ax.set_xlabel("true (standard deviations)")
    ax.set_ylabel("predicted")
