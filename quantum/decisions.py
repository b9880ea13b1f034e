"""From class probabilities to decisions, alike for both classifiers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

# scikit-learn wants an accuracy of .83 on three standardised blobs in the plane. With
# two features the ZZ and Z maps wrap their angles: the certified floor under the mean
# loss there is 0.999, out of ln 3 = 1.099 of a guess, for every circuit and measurement
# of these states. Maps with one angle a feature reach .92.
_WRAPPING = ("auto", "zz", "z")


class Decisions:
    """Decision values and labels; mixed into estimators with ``_decide``.

    ``_decide(X)`` returns probabilities (N, K), or an expectation value (N,).
    """

    def decision_function(self: Any, X: ArrayLike) -> Array:
        """Return ``p_1 - 1/2``, all class probabilities, or the expectation value.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            Positive values favour the second of two classes.
        """
        D: Array = self._decide(X)
        return D[:, 1] - 0.5 if D.ndim == 2 and D.shape[1] == 2 else D

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
        D = self.decision_function(X)
        index = (D > 0).astype(int) if D.ndim == 1 else D.argmax(axis=1)
        labels: NDArray[Any] = self.classes_[index]
        return labels

    def __sklearn_tags__(self: Any) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        named = isinstance(self.feature_map, str)
        tags.classifier_tags.poor_score = named and self.feature_map in _WRAPPING
        return tags
