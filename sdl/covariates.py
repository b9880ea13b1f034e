"""The two doors through which covariates reach an estimator.

First door: ``covariate_columns`` names columns of X. Second door: the keyword
``covariates=`` of the methods, which scikit-learn routes on request.
"""

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def resolve_columns(
    columns: Any, X: Any, n_features: int, names: NDArray[Any] | None
) -> NDArray[np.int64] | None:
    """Return the positions of covariate columns.

    Parameters
    ----------
    columns : None, int, str, list of int or str, slice, or callable
        The parameter ``covariate_columns``; a callable gets X as it was passed.
    X : object
        Data as passed to fit.
    n_features : int
        Number of its columns.
    names : ndarray of str or None
        Their names, if X has any.

    Returns
    -------
    ndarray of int or None
        Distinct positions in the order given.

    Raises
    ------
    ValueError
        If a column does not exist, comes twice, or none is left to the dictionary.
    """
    if columns is None:
        return None
    if callable(columns):
        columns = columns(X)
    if isinstance(columns, slice):
        columns = list(range(n_features)[columns])
    if isinstance(columns, int | np.integer | str):
        columns = [columns]
    entries = list(np.asarray(columns).tolist())
    if entries and all(isinstance(entry, bool) for entry in entries):
        if len(entries) != n_features:
            raise ValueError(
                f"covariate_columns is a mask of {len(entries)} entries, X has "
                f"{n_features} columns."
            )
        entries = np.flatnonzero(entries).tolist()
    found = [_position(entry, n_features, names) for entry in entries]
    if len(set(found)) < len(found):
        raise ValueError(f"covariate_columns={columns!r} names a column twice.")
    if len(found) == n_features:
        raise ValueError("covariate_columns leaves no column to the dictionary.")
    return np.asarray(found, dtype=np.int64) if found else None


def _position(entry: Any, n_features: int, names: NDArray[Any] | None) -> int:
    if isinstance(entry, str):
        if names is None:
            raise ValueError(
                f"covariate_columns names {entry!r}, but X has no column names; pass a "
                "DataFrame or positions."
            )
        places = np.flatnonzero(np.asarray(names) == entry)
        if not len(places):
            raise ValueError(f"covariate_columns: there is no column {entry!r} in X.")
        return int(places[0])
    if isinstance(entry, bool) or not isinstance(entry, int):
        raise ValueError(
            f"covariate_columns: {entry!r} is neither a position nor a name."
        )
    if not -n_features <= entry < n_features:
        raise ValueError(
            f"covariate_columns: position {entry} does not exist, X has {n_features} "
            "columns."
        )
    return entry % n_features


def checked_covariates(covariates: ArrayLike, n: int) -> Array:
    """Return covariates as (n, q) numbers, with a warning for a constant column.

    Parameters
    ----------
    covariates : array-like of shape (n,) or (n, q)
        What the user passed.
    n : int
        Number of rows of X.

    Returns
    -------
    ndarray of shape (n,) or (n, q)
        float64, of the dimensions given.

    Raises
    ------
    ValueError
        If the shape is wrong or a number is not finite.
    """
    C = np.asarray(covariates, dtype=np.float64)
    if C.ndim not in (1, 2) or len(C) != n:
        raise ValueError(
            f"covariates has shape {C.shape}; X has {n} rows, give one row for each."
        )
    if not np.isfinite(C).all():
        raise ValueError("covariates holds NaN or infinity; impute it first.")
    return C


def warn_if_constant(C: Array) -> None:
    """Warn about covariates that do not vary."""
    wide = C.reshape(len(C), -1)
    if len(wide) > 1 and (constant := np.flatnonzero(np.ptp(wide, axis=0) == 0)).size:
        warnings.warn(
            f"covariates {constant.tolist()} are constant and tell nothing that the "
            "intercept does not.",
            UserWarning,
            stacklevel=4,
        )


def covariates_of(
    X: Any, columns: NDArray[np.int64] | None, covariates: Any, width: int
) -> tuple[Any, Array | None]:
    """Split new data as in fit: the dictionary's columns, and covariates (n, q).

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, d)
        New data.
    columns : ndarray of int or None
        Covariate columns of X.
    covariates : array-like or None
        The keyword of the method.
    width : int
        Number of covariates seen in fit by the second door, 0 for none.

    Returns
    -------
    X : ndarray or CSR matrix of shape (n, p)
        Columns of the dictionary.
    C : ndarray of shape (n, q) or None
        Covariates.

    Raises
    ------
    ValueError
        If covariates are missing, unexpected or of another width.
    """
    if columns is not None:
        if covariates is not None:
            raise ValueError(
                "covariates come by one door only: this model takes them from the "
                "columns named by covariate_columns."
            )
        kept = np.setdiff1d(np.arange(X.shape[1]), columns)
        C = X[:, columns]
        return X[:, kept], C.toarray() if hasattr(C, "toarray") else C
    if covariates is None:
        if width:
            raise ValueError(
                f"this model was fitted with {width} covariates: pass covariates= of "
                f"shape (n, {width}). In cross-validation, request their routing with "
                "set_predict_request(covariates=True) and set_score_request("
                "covariates=True), or use covariate_columns."
            )
        return X, None
    if not width:
        raise ValueError(
            "covariates were given, but the model was fitted without; fit it with "
            "covariates=."
        )
    C = checked_covariates(covariates, X.shape[0]).reshape(X.shape[0], -1)
    if C.shape[1] != width:
        raise ValueError(
            f"covariates has {C.shape[1]} columns, the model was fitted with {width}."
        )
    return X, C
