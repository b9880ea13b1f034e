"""How a fitted dictionary scores new data: validated, split, coded, and summed up."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted, validate_data

from sdl.covariates import covariates_of
from sdl.encoding import encode
from sdl.training import SupervisedDictionary

Array = NDArray[np.float64]


class ScoredDictionary(SupervisedDictionary):
    """Scores of a trained dictionary; not for users."""

    def _split(
        self, X: Any, covariates: Any, *, needed: bool = True
    ) -> tuple[Any, Array | None]:
        """Validate new data and take the covariates out of them."""
        check_is_fitted(self)
        X = validate_data(
            self,
            X,
            reset=False,
            accept_sparse="csr",
            dtype=np.float64,
            ensure_all_finite="allow-nan" if self._masked else True,
        )
        width = self._width if needed else 0
        if not needed and self._columns is None:
            return X, None
        return covariates_of(X, self._columns, covariates, width)

    def _log_odds(self, X: Any, covariates: Any) -> Array:
        """Return one score for each class, in the order of ``classes_``."""
        X, C = self._split(X, covariates)
        offset = np.tile(self.intercept_, (X.shape[0], 1))
        if C is not None:
            offset = offset + C @ self.covariate_coef_.T
        if self.model == "filter":
            D = np.asarray(X @ self.coef_.T) + offset
        elif self.encode == "reconstruct":
            codes = encode(X, self.components_.T, **self._code_rules()).codes
            D = codes @ self.beta_.T + offset
        else:
            P = encode(
                X, self.components_.T, method=self.encode, beta=self.beta_joint_.T,
                Gamma=np.eye(offset.shape[1]), Z=self._joint_offset(offset, C),
                xi=self.xi_, alpha=self.alpha,
            ).probabilities  # fmt: skip
            log = np.log(np.maximum(P, np.finfo(np.float64).tiny))
            D = log[:, 1:] - log[:, :1]
        order = self._class_order
        scores = np.zeros((len(D), len(order)))
        scores[:, order[1:]] = D
        return scores

    def _joint_offset(self, offset: Array, C: Array | None) -> Array:
        """Offsets with the coefficients of the joint solution."""
        Z = np.ones((len(offset), 1)) if self.fit_intercept else offset[:, :0]
        Z = Z if C is None else np.hstack([Z, C])
        return Z @ self._gamma_joint
