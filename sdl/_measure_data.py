"""The problem that a certificate speaks about, built from the user's data."""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from farkas.certificate import CertificateError, Parameter

Array = NDArray[np.float64]
EPS = float(np.finfo(np.float64).eps)
# Roundings in a sum of 256 squares and what follows it.
BLOCK_SUM = 264
MODELS = ("filter", "feature")


@dataclasses.dataclass(frozen=True)
class Problem:
    """Arrays and numbers that define F, rows of weight zero already dropped."""

    X: Any  # (n, p), ndarray or CSR; zeros where entries are missing
    Y: Array  # (n, K)
    Z: Array  # (n, q), a leading column of ones with an intercept
    penalised: NDArray[np.bool_]  # (q,)
    omega: Array  # (n,) weights of the label losses
    v: Array  # (n,) weights of the reconstruction
    mask: NDArray[np.bool_] | None  # (n, p), true where an entry is missing
    model: str
    rank: int
    xi: float
    nu: float
    nu_c: float

    @functools.cached_property
    def weighted_X(self) -> Any:
        """``sqrt(v) X``."""
        if np.all(self.v == 1.0):
            return self.X
        root = np.sqrt(self.v)
        if sparse.issparse(self.X):
            return sparse.diags_array(root).tocsr() @ self.X
        return root[:, None] * self.X

    @functools.cached_property
    def square(self) -> float:
        """``sum_i v_i |x_i|^2``."""
        norm = frobenius(self.weighted_X)
        return norm * norm

    @functools.cached_property
    def norms(self) -> Array:
        """Norms of the rows of X, rounded up."""
        return row_norms(self.X)

    @property
    def only_intercept(self) -> bool:
        """Whether the only unpenalised column is a constant one."""
        free = self.Z[:, ~self.penalised]
        return self.nu > 0 and free.shape[1] == 1 and bool((free == 1.0).all())

    def free_columns(self) -> Array | None:
        """Columns orthogonal to every feasible dual point; None if too many."""
        free = self.Z[:, ~self.penalised]
        if self.nu > 0:
            return free
        n, p = self.X.shape
        if p + free.shape[1] >= n or sparse.issparse(self.X):
            return None  # a sparse X is never made dense
        return np.column_stack([self.X, free])


def problem_of(
    X: Any,
    y: NDArray[Any],
    covariates: Array | None,
    sample_weight: Array | None,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Problem:
    """Build the problem from data, refusing whatever is malformed."""
    if X.ndim != 2:
        raise CertificateError(f"X must be 2-dimensional, got {X.ndim} dimension(s).")
    n = X.shape[0]
    codes, Y = encode_labels(y, int(parameters["baseline"]))
    if len(Y) != n:
        raise CertificateError(f"y must have {n} rows, got {len(Y)}.")
    X, C = split_columns(X, witness.get("covariate_columns"))
    if covariates is not None:
        if C is not None:
            raise CertificateError("covariates come by one door only.")
        C = covariates if covariates.ndim == 2 else covariates.reshape(-1, 1)
        if len(C) != n:
            raise CertificateError(f"covariates must have {n} rows, got {len(C)}.")
    v = np.ones(n) if sample_weight is None else sample_weight
    if v.shape != (n,) or not (np.isfinite(v).all() and (v >= 0).all() and v.any()):
        raise CertificateError("sample_weight must be n nonnegative numbers.")
    if not v.all():
        kept = v > 0
        X, Y, codes, v = X[kept], Y[kept], codes[kept], v[kept]
        C = None if C is None else C[kept]
    Z, penalised = design(C, len(v), bool(parameters["fit_intercept"]))
    numbers = {
        name: float(parameters[name]) for name in ("xi", "alpha", "alpha_covariates")
    }
    if not (0 < numbers["xi"] < math.inf):
        raise CertificateError(f"xi={numbers['xi']!r} must be positive and finite.")
    if not all(0 <= number < math.inf for number in numbers.values()):
        raise CertificateError("alpha and alpha_covariates must be >= 0 and finite.")
    if numbers["alpha_covariates"] == 0:
        penalised = np.zeros_like(penalised)
    model, rank = str(parameters["model"]), int(parameters["n_components"])
    if model not in MODELS or rank < 1:
        raise CertificateError(f"model={model!r} or n_components={rank!r} is unknown.")
    mask = None
    if parameters["missing"] == "impute" and not sparse.issparse(X):
        missing = np.isnan(X)
        if missing.any():
            if model != "feature":
                raise CertificateError("missing entries need the feature model.")
            mask, X = missing, np.where(missing, 0.0, X)
    values = X.data if sparse.issparse(X) else X
    if not (np.isfinite(values).all() and np.isfinite(Z).all()):
        raise CertificateError("X and covariates must be finite.")
    weights = class_weights(
        str(parameters["class_weight"]), codes, v, Y.shape[1], witness
    )
    return Problem(
        X=X, Y=Y, Z=Z, penalised=penalised, omega=v * weights[codes], v=v, mask=mask,
        model=model, rank=rank, xi=numbers["xi"], nu=numbers["alpha"],
        nu_c=numbers["alpha_covariates"],
    )  # fmt: skip


def encode_labels(y: NDArray[Any], baseline: int) -> tuple[NDArray[np.intp], Array]:
    """Return the class of each row, 0 for the baseline, and its one-hot code.

    Parameters
    ----------
    y : ndarray of shape (n,) or (n, K)
        Labels in any form; with two dimensions the one-hot code itself.
    baseline : int
        Position of the baseline among the sorted classes; not read in two dimensions.

    Returns
    -------
    codes : ndarray of shape (n,)
        0 for the baseline, then the other classes in their order.
    Y : ndarray of shape (n, K)
        One-hot code without the baseline.
    """
    if y.ndim == 2 and y.dtype.kind in "biuf":
        Y = np.asarray(y, dtype=np.float64)
        if not (np.isin(Y, (0.0, 1.0)).all() and (Y.sum(axis=1) <= 1).all()):
            raise CertificateError("a two-dimensional y must hold one-hot rows.")
        codes = np.where(Y.any(axis=1), 1 + Y.argmax(axis=1), 0) if Y.size else Y[:, 0]
        return codes, Y
    if y.ndim != 1:
        raise CertificateError(f"y must have one or two dimensions, got {y.ndim}.")
    classes, found = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise CertificateError(f"y must hold at least 2 classes, got {len(classes)}.")
    if not 0 <= baseline < len(classes):
        raise CertificateError(f"baseline={baseline} must name one of the classes.")
    order = [baseline, *(c for c in range(len(classes)) if c != baseline)]
    codes = np.argsort(order)[found]
    return codes, np.eye(len(classes))[codes][:, 1:]


def split_columns(X: Any, columns: NDArray[Any] | None) -> tuple[Any, Array | None]:
    """Return the columns of the dictionary and, dense, those of the covariates."""
    if columns is None:
        return X, None
    columns = np.asarray(columns)
    if (
        columns.dtype.kind not in "iu"
        or columns.ndim != 1
        or len(np.unique(columns)) != len(columns)
        or (len(columns) and not 0 <= columns.min() <= columns.max() < X.shape[1])
    ):
        raise CertificateError("covariate_columns must be distinct columns of X.")
    kept = np.setdiff1d(np.arange(X.shape[1]), columns)
    if not len(kept):
        raise CertificateError("covariate_columns leaves no column to the dictionary.")
    C = X[:, columns]
    return X[:, kept], C.toarray() if sparse.issparse(C) else np.array(C)


def design(
    covariates: Array | None, n: int, intercept: bool
) -> tuple[Array, NDArray[np.bool_]]:
    """Return Z, with a leading column of ones for an intercept, and what is ridged."""
    ones = [np.ones((n, 1))] if intercept else []
    given = [] if covariates is None else [covariates]
    Z = np.hstack([np.empty((n, 0)), *ones, *given])
    penalised = np.ones(Z.shape[1], dtype=bool)
    penalised[: len(ones)] = False
    return Z, penalised


def class_weights(
    rule: str,
    codes: NDArray[np.intp],
    v: Array,
    n_scores: int,
    witness: Mapping[str, NDArray[Any]],
) -> Array:
    """Return the weight of each class, the baseline first."""
    if rule == "none":
        return np.ones(n_scores + 1)
    if rule == "balanced":
        counts = np.bincount(codes, weights=v, minlength=n_scores + 1)
        if not counts.all():
            raise CertificateError("class_weight='balanced' needs rows of each class.")
        return counts.sum() / (len(counts) * counts)
    if rule != "given":
        raise CertificateError(f"class_weight={rule!r} is unknown.")
    weights = np.asarray(witness["class_weight"], dtype=np.float64)
    if weights.shape != (n_scores + 1,) or not (
        np.isfinite(weights).all() and (weights > 0).all()
    ):
        raise CertificateError("class_weight must hold a positive number a class.")
    return weights


def frobenius(array: Any) -> float:
    """Return the Frobenius norm of a dense or sparse array.

    The relative error is below ``BLOCK_SUM EPS``: exact sums of sums of 256 squares.
    """
    values = np.ravel(array.data if sparse.issparse(array) else array, order="K")
    with np.errstate(over="ignore"):
        square = sum_of_squares(values)
    if 1e-200 < square < math.inf:
        return math.sqrt(square)
    largest = float(np.max(np.abs(values), initial=0.0))
    if largest == 0.0 or not math.isfinite(largest):
        return largest
    return largest * math.sqrt(sum_of_squares(values / largest))


def sum_of_squares(values: Array) -> float:
    """Return the sum of squares of a flat array, within ``BLOCK_SUM EPS`` of it."""
    whole = len(values) - len(values) % 256
    table = values[:whole].reshape(-1, 256)
    parts = np.einsum("ij,ij->i", table, table)
    rest = values[whole:]
    # inf and NaN pass through fsum as they are
    if not np.isfinite(parts).all():
        return float(np.max(parts))
    return math.fsum([*parts.tolist(), float(np.dot(rest, rest))])


def row_norms(X: Any) -> Array:
    """Return the norms of the rows, each rounded up."""
    if sparse.issparse(X):
        squares = np.asarray(X.multiply(X).sum(axis=1)).ravel()
    else:
        squares = np.einsum("ij,ij->i", X, X)
    unit: Array = np.sqrt(squares) * (1.0 + (X.shape[1] + 4) * EPS)
    return unit
