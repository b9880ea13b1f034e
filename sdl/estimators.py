"""Supervised dictionaries as a scikit-learn classifier and transformer."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import check_is_fitted

from farkas.base import certified_fit
from sdl.encoding import encode
from sdl.scoring import ScoredDictionary

Array = NDArray[np.float64]


class SDLClassifier(
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    ClassifierMixin,
    ScoredDictionary,
):
    """Dictionary that reconstructs the data and classifies the labels, with a proof.

    It minimises, over ``W`` (p, r), ``H`` (n, r), ``beta`` (r, K) and ``Gamma`` (q, K),

        sum_i omega_i loss(y_i, D_i) + xi sum_i v_i |x_i - W h_i|^2
            + (alpha/2) |A|^2 + (alpha_covariates/2) |Gamma|^2

    with ``A = W beta``, ``D = X A + Z Gamma`` in the filter model and ``A = H beta``,
    ``D = A + Z Gamma`` in the feature model. Losses are summed, ``alpha`` corresponds
    to ``1/C`` of ``LogisticRegression``. The certificate encloses the global optimum
    over all factorizations of that rank.

    Parameters
    ----------
    n_components : int or "auto", default="auto"
        Number r of atoms; "auto" is 8, but not more than half the columns (at least one
        less than there are classes). More than X has rows or columns are lowered to
        that with a warning.
    model : {"filter", "feature"}, default="filter"
        Whether the classifier sees the scores ``X W`` or the codes H.
    solver : {"auto", "lpgd", "lbfgs", "bcd"}, default="auto"
        "auto" is "bcd" for constrained or penalised factors and missing entries, else
        "lpgd"; "lbfgs" is an independent check.
    xi : float or "mle", default=1.0
        Weight of the reconstruction; it scales with the square of X. "mle" sets it to
        ``1 / (2 sigma^2)`` of the Gaussian model, again and again ("bcd" only).
    alpha : float, default=1.0
        Ridge of the class weights A. With 0 there is no duality gap to close.
    alpha_covariates : float, default=None
        Ridge of the covariates; None means ``alpha``.
    nonnegative : {False, True, "W", "H"}, default=False
        Which factors are nonnegative.
    max_atom_norm, max_code_norm, max_coef_norm : float, default=None
        Largest norms of columns of W, rows of H, and of beta.
    l1_H, l1_W, l2_H, l2_W : float, default=0.0
        Penalties ``l1 |.|_1`` and ``(l2/2) |.|^2`` of single factors.
    covariate_columns : int, str, list, slice or callable, default=None
        Columns of X that are covariates and not part of the dictionary.
    fit_intercept : bool, default=True
        Whether to add an unpenalised intercept.
    class_weight : None, "balanced" or dict, default=None
        Weights of the label losses; the reconstruction is not weighted by them.
    baseline : object, default=None
        Class without a score of its own; None means ``classes_[0]``. For three classes
        or more the ridge makes the solution depend on it.
    init : {"auto", "lr", "svd", "random"}, default="auto"
        Start of the lifted solver.
    n_init : int, default=1
        Number of starts; the first with a proof wins, else the least objective.
    step : "auto", "fixed" or float, default="auto"
        "fixed" and numbers choose textbook steps.
    max_iter : int, default=1000
        Largest number of iterations.
    tol : float, default=1e-6
        Largest proven gap, relative to the objective, at which to stop; in the factored
        solvers the largest relative decrease and first-order residual.
    radius : float, default=None
        Factor c of the diminishing radius of "bcd"; None switches it off.
    batch_size : int, default=None
        Rows whose codes "bcd" updates in an iteration; None means all.
    encode : {"reconstruct", "map", "alternate"}, default="reconstruct"
        How new data are coded in the feature model.
    refit_head : bool, default=True
        Feature model: estimate the coefficients again on codes that did not see labels.
    certificate : {"auto", "refine", "none"}, default="auto"
        "refine" spends time on an open bound; "none" mints none.
    svd : {"auto", "exact", "lanczos"}, default="auto"
        Eigensolver of the filter model; "lanczos" uses products with X only.
    missing : {"error", "impute"}, default="error"
        Feature model: whether NaN in X is a missing entry.
    threshold : {None, "youden"}, default=None
        Binary decision at probability 1/2, or where TPR - FPR on the training data is
        largest; ``TunedThresholdClassifierCV`` of scikit-learn chooses by
        cross-validation.
    rotation : {None, "varimax"}, default=None
        Filter model: presentation of the atoms within their span.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where the heavy products of lifted solvers are done; "auto" stays where the data
        are.
    n_jobs : int, default=None
        Processes for several starts; the result does not depend on it.
    verbose : {0, 1, 2}, default=0
        1 prints a line now and then, 2 in every iteration.
    random_state : int, RandomState or None, default=None
        Seeds random starts and batches.
    warm_start : bool, default=False
        Start from the last fit.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    components_ : ndarray of shape (r, p)
        Atoms, the transpose of W.
    codes_ : ndarray of shape (n, r)
        Codes of the training data; in the feature model they saw the labels.
    beta_ : ndarray of shape (K, r)
        Coefficients of scores or codes, one row for each class but the baseline.
    beta_joint_ : ndarray of shape (K, r)
        Those of the joint solution, which the certificate speaks about.
    coef_ : ndarray of shape (K, p)
        Weights of the features (filter model only).
    intercept_ : ndarray of shape (K,)
        Intercepts.
    covariate_coef_ : ndarray of shape (K, q)
        Coefficients of the covariates.
    n_components_ : int
        Number of atoms.
    xi_ : float
        Weight of the reconstruction.
    objective_ : float
        Value of the objective.
    lower_bound_ : float
        Proven lower bound of the optimum.
    label_loss_ : float
        Its label part.
    reconstruction_err_ : float
        ``|X - H W'|^2 / |X|^2``.
    threshold_ : float
        Probability of ``classes_[1]`` from which it is predicted (two classes).
    certificate_ : Certificate or None
        Re-check it with ``farkas.verify(model, X, y)``; covariates and sample weights
        that were passed to ``fit`` follow in that order.
    history_ : dict of ndarray
        Columns ``iteration``, ``elapsed``, ``objective``, ``certificate``,
        ``lower_bound``, ``step``, ``gradient_mapping``, ``label_loss`` and
        ``reconstruction`` (relative).
    n_iter_ : int
        Number of iterations.
    status_ : Status
        Why the solver stopped.
    message_ : str
        The same as a sentence.
    n_features_in_ : int
        Number of features seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X had any.

    See Also
    --------
    lpgd : The lifted solver as a function.
    bcd : The solver for constrained factors as a function.

    References
    ----------
    Lee, Lyu, Yao, "Supervised Dictionary Learning with Auxiliary Covariates",
    arXiv:2206.06774.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> import farkas
    >>> from sdl import SDLClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = SDLClassifier(5, xi=0.1).fit(scale(X), y)
    >>> print(round(model.objective_, 4), bool(farkas.verify(model, scale(X), y)))
    306.4881 True
    """

    @certified_fit
    def fit(
        self,
        X: Any,
        y: ArrayLike,
        covariates: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> "SDLClassifier":
        """Fit dictionary and classifier.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,)
            Class labels.
        covariates : array-like of shape (n_samples, q), default=None
            Covariates, which enter the classifier only.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of both losses; a weight of 2 is a repeated row.

        Returns
        -------
        self : SDLClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data are out of range.
        """
        self._fit(X, y, covariates, sample_weight)
        return self

    def partial_fit(
        self,
        X: Any,
        y: ArrayLike,
        covariates: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> "SDLClassifier":
        """Learn from a batch of rows: one step, whatever came before is kept.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Batch; the first one needs as many rows as there are atoms.
        y : array-like of shape (n_samples,)
            Class labels.
        covariates : array-like of shape (n_samples, q), default=None
            Covariates.
        classes : array-like of shape (n_classes,), default=None
            All classes; needed in the first call.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of both losses.

        Returns
        -------
        self : SDLClassifier
            The estimator. Its certificate holds the first-order residual on the batch;
            where a class is missing in the batch, it verifies with the one-hot code of
            the labels, the baseline left out.

        Raises
        ------
        ValueError
            If a class is unknown, or a parameter or the data are out of range.
        """
        self._partial_fit(X, y, covariates, classes, sample_weight)
        return self

    def decision_function(
        self, X: Any, covariates: ArrayLike | None = None
    ) -> NDArray[Any]:
        """Return the scores of the classes.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Data.
        covariates : array-like of shape (n_samples, q), default=None
            Covariates, if ``fit`` had any.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            For two classes the log-odds of ``classes_[1]``; for more the scores whose
            softmax are the probabilities, that of the baseline being 0.
        """
        scores = self._log_odds(X, covariates)
        if scores.shape[1] == 2:
            return np.asarray(scores[:, 1] - scores[:, 0])
        return scores

    def predict_proba(self, X: Any, covariates: ArrayLike | None = None) -> Array:
        """Return class probabilities.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Data.
        covariates : array-like of shape (n_samples, q), default=None
            Covariates, if ``fit`` had any.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Rows sum to one.
        """
        scores = self._log_odds(X, covariates)
        e = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True))

    def predict_log_proba(self, X: Any, covariates: ArrayLike | None = None) -> Array:
        """Return logarithms of class probabilities.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Data.
        covariates : array-like of shape (n_samples, q), default=None
            Covariates, if ``fit`` had any.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Finite even where a probability underflows.
        """
        scores = self._log_odds(X, covariates)
        scores = scores - scores.max(axis=1, keepdims=True)
        return np.asarray(scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)))

    def predict(self, X: Any, covariates: ArrayLike | None = None) -> NDArray[Any]:
        """Return class labels.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Data.
        covariates : array-like of shape (n_samples, q), default=None
            Covariates, if ``fit`` had any.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels.
        """
        scores = self._log_odds(X, covariates)
        if scores.shape[1] == 2:
            log_odds = scores[:, 1] - scores[:, 0]
            limit = np.log(self.threshold_) - np.log1p(-self.threshold_)
            return self.classes_[(log_odds > limit).astype(int)]
        return self.classes_[np.argmax(scores, axis=1)]

    def score(
        self,
        X: Any,
        y: ArrayLike,
        covariates: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Return the accuracy.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Data.
        y : array-like of shape (n_samples,)
            True labels.
        covariates : array-like of shape (n_samples, q), default=None
            Covariates, if ``fit`` had any.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights.

        Returns
        -------
        float
            Share of correct labels.
        """
        predicted = self.predict(X, covariates)
        return float(accuracy_score(y, predicted, sample_weight=sample_weight))

    def transform(self, X: Any) -> Array:
        """Code data in the dictionary, without labels.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples, r)
            Codes that reconstruct best, under the constraints and penalties of H.
        """
        X, _ = self._split(X, None, needed=False)
        return encode(X, self.components_.T, **self._code_rules()).codes

    def filter_scores(self, X: Any) -> Array:
        """Return the scores ``X W`` of the atoms used as filters.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples, r)
            Scores.
        """
        X, _ = self._split(X, None, needed=False)
        return np.asarray(X @ self.components_.T)

    def inverse_transform(self, X: ArrayLike) -> Array:
        """Reconstruct data from codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, r)
            Codes.

        Returns
        -------
        ndarray of shape (n_samples, p)
            ``H W'``, the columns of the dictionary.
        """
        check_is_fitted(self)
        H = np.asarray(X, dtype=np.float64)
        if H.ndim != 2 or H.shape[1] != len(self.components_):
            raise ValueError(
                f"X has shape {H.shape}; codes have {len(self.components_)} columns."
            )
        return np.asarray(H @ self.components_)

    @property
    def _n_features_out(self) -> int:
        return len(self.components_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = self.missing == "impute"
        tags.input_tags.positive_only = self.nonnegative is True
        return tags
