"""Labels for all nodes from a few labelled ones and their attributes."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, issparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from farkas.base import check_number
from graphs.weights import check_labels


class NodeLabeler:
    """Classifier on node attributes that makes noisy labels for a diffusion.

    Parameters
    ----------
    classifier : estimator, optional
        Any scikit-learn classifier; probabilities are used if it has them. Default:
        ``LogisticRegression(max_iter=500)``.
    threshold : float, default=0.5
        Probability from which a node is labelled 1.

    Attributes
    ----------
    classifier_ : estimator
        The fitted classifier.
    known_ : ndarray of int8, shape (n,)
        Labels of the fit, -1 where there was none.

    See Also
    --------
    LabelFlowClustering : Uses one.

    Examples
    --------
    >>> import numpy as np
    >>> from graphs import NodeLabeler
    >>> attributes = np.array([[0.0], [0.1], [0.9], [1.0], [0.8]])
    >>> labeler = NodeLabeler().fit(attributes, [0, -1, -1, 1, -1])
    >>> labeler.predict(attributes).tolist()
    [0, 0, 1, 1, 1]
    """

    def __init__(self, classifier: Any = None, threshold: float = 0.5) -> None:
        self.classifier = classifier
        self.threshold = threshold

    def __repr__(self) -> str:
        return f"NodeLabeler({self.classifier!r}, threshold={self.threshold!r})"

    def fit(self, attributes: Any, y: ArrayLike) -> "NodeLabeler":
        """Fit the classifier on the labelled nodes.

        Parameters
        ----------
        attributes : array-like or sparse matrix of shape (n, d)
            Node attributes.
        y : array-like of shape (n,)
            0 and 1, -1 for unknown; both must occur.

        Returns
        -------
        self : NodeLabeler
            The fitted labeler.

        Raises
        ------
        ValueError
            If only one of the two labels occurs, or shapes differ.
        """
        check_number("threshold", self.threshold, low=0.0, high=1.0)
        X = _rows(attributes)
        known = check_labels(y, X.shape[0])
        if known.dtype != np.int8:
            raise ValueError("y must hold 0, 1 or -1 for unknown, not probabilities.")
        chosen = np.flatnonzero(known >= 0)
        if len(np.unique(known[chosen])) < 2:
            raise ValueError(
                "y must hold nodes labelled 0 and nodes labelled 1; a good number is "
                "25 of each."
            )
        model = self.classifier
        model = LogisticRegression(max_iter=500) if model is None else clone(model)
        self.classifier_ = model.fit(X[chosen], known[chosen])
        self.known_ = known
        return self

    def predict(self, attributes: Any, nodes: ArrayLike | None = None) -> NDArray[Any]:
        """Label nodes; those that were labelled in the fit keep their label.

        Parameters
        ----------
        attributes : array-like or sparse matrix of shape (n, d)
            Attributes of the nodes of the fit.
        nodes : array-like of int, optional
            Nodes to label; default: all.

        Returns
        -------
        ndarray of int8
            One label for each of `nodes`.

        Raises
        ------
        ValueError
            If the number of rows is not that of the fit.
        """
        X = _rows(attributes)
        if X.shape[0] != len(self.known_):
            raise ValueError(
                f"attributes must have {len(self.known_)} rows, those of the fit, got "
                f"{X.shape[0]}."
            )
        which = np.arange(X.shape[0]) if nodes is None else np.asarray(nodes)
        if hasattr(self.classifier_, "predict_proba"):
            position = int(np.flatnonzero(self.classifier_.classes_ == 1)[0])
            chance = self.classifier_.predict_proba(X[which])[:, position]
            labels = (chance >= self.threshold).astype(np.int8)
        else:
            labels = np.asarray(self.classifier_.predict(X[which]), dtype=np.int8)
        known = self.known_[which]
        return np.where(known >= 0, known, labels).astype(np.int8)


def _rows(attributes: Any) -> Any:
    if issparse(attributes):
        return csr_array(attributes)
    X = np.asarray(attributes, dtype=np.float64)
    if X.ndim != 2 or not np.isfinite(X).all():
        raise ValueError(
            f"attributes must be a finite matrix, one row a node, got shape {X.shape}."
        )
    return X
