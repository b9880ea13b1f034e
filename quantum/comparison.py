"""Race optimizers on one problem, with the work of each in plain sight."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, precision_recall_fscore_support


def optimizer_comparison(
    X: ArrayLike,
    y: ArrayLike,
    optimizers: Sequence[str] = ("aqgd", "cobyla", "lbfgs"),
    budgets: Sequence[int] = (100, 150),
    *,
    model: Any = None,
    X_test: ArrayLike | None = None,
    y_test: ArrayLike | None = None,
) -> dict[str, NDArray[Any]]:
    """Fit the same circuit by several optimizers with several budgets.

    Parameters
    ----------
    X, y : array-like
        Training data.
    optimizers : sequence of str
        Names, as in :class:`VariationalQuantumClassifier`.
    budgets : sequence of int
        Values of ``max_iter``: iterations, of COBYLA evaluations.
    model : VariationalQuantumClassifier, optional
        What to fit; default with ``random_state=0``, so that all start alike.
    X_test, y_test : array-like, optional
        Data for the scores; default the training data.

    Returns
    -------
    dict of str to ndarray
        Columns ``optimizer``, ``budget``, ``accuracy``, ``precision``, ``recall``,
        ``f_score`` (macro averages), ``loss``, ``lower_bound``, ``gap``, ``nfev``,
        ``seconds``.

    Examples
    --------
    >>> from quantum import optimizer_comparison
    >>> X, y = [[0.0, 0.1], [0.2, 1.0], [1.0, 0.0], [1.2, 1.1]], [0, 1, 1, 0]
    >>> table = optimizer_comparison(X, y, ["lbfgs", "cobyla"], [50])
    >>> table["nfev"][1].item()
    50
    """
    from quantum.estimators import VariationalQuantumClassifier

    base = VariationalQuantumClassifier(random_state=0) if model is None else model
    test = X if X_test is None else X_test
    truth = np.asarray(y if y_test is None else y_test)
    rows = []
    for name in optimizers:
        for budget in budgets:
            one = clone(base).set_params(optimizer=name, max_iter=budget)
            start = time.perf_counter()
            with warnings.catch_warnings():  # a budget is there to be used up
                warnings.simplefilter("ignore", ConvergenceWarning)
                one.fit(X, y)
            seconds = time.perf_counter() - start
            predicted = one.predict(test)
            scores = precision_recall_fscore_support(
                truth, predicted, average="macro", zero_division=0
            )
            c = one.certificate_
            rows.append((
                name, budget, accuracy_score(truth, predicted), *scores[:3], one.loss_,
                np.nan if c is None else c.lower, np.nan if c is None else c.gap,
                one.nfev_, seconds,
            ))  # fmt: skip
    columns = (
        "optimizer", "budget", "accuracy", "precision", "recall", "f_score", "loss",
        "lower_bound", "gap", "nfev", "seconds",
    )  # fmt: skip
    return {
        column: np.array(values)
        for column, values in zip(columns, zip(*rows, strict=True), strict=True)
    }
