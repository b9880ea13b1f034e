"""What fitted networks with one output or several have in common."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import block_diag
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

Array = NDArray[np.float64]


def stack_networks(
    networks: list[tuple[Array, Array]], intercept: float
) -> dict[str, Any]:
    """Return one network from those of the outputs, as fitted attributes.

    Parameters
    ----------
    networks : list of (ndarray of shape (d, m), ndarray of shape (m,))
        Hidden weights in columns, and output weights.
    intercept : float
        Value of the constant last column of the data; 0 if there is none.

    Returns
    -------
    dict
        ``coefs_`` and ``intercepts_`` in the layout of ``MLPClassifier``, and
        ``n_hidden_``.
    """
    hidden = np.concatenate([U for U, _ in networks], axis=1)
    output = block_diag(*[a[:, None] for _, a in networks])
    biases = np.zeros(hidden.shape[1])
    if intercept:
        hidden, biases = hidden[:-1], intercept * hidden[-1]
    return {
        "coefs_": [hidden, output],
        "intercepts_": [biases, np.zeros(len(networks))],
        "n_hidden_": hidden.shape[1],
    }


def join_histories(histories: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Add up the histories of all outputs; one that has finished keeps its last row."""
    if len(histories) == 1:
        return histories[0]
    histories = [history for history in histories if history]
    if not histories:
        return {}
    iterations = np.unique(np.concatenate([h["iteration"] for h in histories]))
    joined = {"iteration": iterations}
    for name in ("elapsed", "objective", "certificate", "lower_bound"):
        columns = []
        for history in histories:
            row = np.searchsorted(history["iteration"], iterations, side="right") - 1
            columns.append(history[name][np.maximum(row, 0)])
        joined[name] = np.sum(columns, axis=0)
    return joined


def stop(intermediate_result: Any) -> None:
    """End a run at its first callback: an earlier output was interrupted."""
    raise StopIteration


class ClassOutputs(ClassifierMixin):
    """Decisions of a classifier whose ``_output(X)`` has one column, or one a class."""

    multi_class = "ovr"

    def _validated(self: Any, X: ArrayLike, y: ArrayLike) -> Array:
        """Return X as an array, and keep the classes of y; refuse a single one."""
        data, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        classes = np.unique(labels)
        if len(classes) < 2:
            raise ValueError(
                f"y holds one class, {classes[0]!r}; a classifier needs at least 2 "
                "classes."
            )
        self.classes_ = classes
        return data

    def decision_function(self: Any, X: ArrayLike) -> Array:
        """Return the output of the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            Positive values favour the second of two classes; else one column a class.
        """
        output: Array = self._output(X)
        if self.multi_class == "joint" and len(self.classes_) == 2:
            output = output[:, 1:] - output[:, :1]
        return output.ravel() if output.shape[1] == 1 else output

    def predict(self: Any, X: ArrayLike) -> NDArray[Any]:
        """Return the most likely class of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples,)
            Class labels.
        """
        output = self.decision_function(X)
        index = (output > 0).astype(int) if output.ndim == 1 else output.argmax(axis=1)
        labels: NDArray[Any] = self.classes_[index]
        return labels

    @available_if(lambda self: self.loss == "logistic")
    def predict_proba(self: Any, X: ArrayLike) -> Array:
        """Return class probabilities; only with ``loss="logistic"``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Rows sum to one; several classes are normalised one-vs-rest scores.
        """
        output = self._output(X)
        if self.multi_class == "joint":
            return softmax(output, axis=1)
        positive = expit(output)
        if positive.shape[1] == 1:
            return np.column_stack([1.0 - positive[:, 0], positive[:, 0]])
        total = positive.sum(axis=1, keepdims=True)
        uniform = np.full_like(positive, 1.0 / positive.shape[1])
        return np.divide(positive, total, out=uniform, where=total > 0)


class TargetOutputs(RegressorMixin):
    """Predictions of a regressor whose ``_output(X)`` has one column a target."""

    def _validated(self: Any, X: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        """Return X and y as arrays, and keep whether y is flat."""
        X, targets = validate_data(
            self, X, y, dtype=np.float64, multi_output=True, y_numeric=True
        )
        self._flat = targets.ndim == 1
        return X, targets

    def predict(self: Any, X: ArrayLike) -> Array:
        """Return the output of the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            As the targets of ``fit``.
        """
        output: Array = self._output(X)
        return output.ravel() if self._flat else output

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
