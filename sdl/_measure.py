"""The arithmetic behind the certificates of supervised dictionaries, NumPy/SciPy only.

With rows ``x_i`` of X, labels coded as ``Y`` (one-hot without the baseline), covariates
``Z`` and label weights ``omega``, reconstruction weights ``v``:

    F = sum_i omega_i [log(1 + sum_k exp D_ik) - Y_i . D_i]
        + xi sum_i v_i |x_i - W h_i|^2 + (nu/2) |A|^2 + (nu_c/2) |Gamma_pen|^2

filter model: ``A = W beta``, ``D = X A + Z Gamma``; feature model: ``A = H beta`` (row
i of its ridge times v_i), ``D = A + Z Gamma``. Any factorization of rank r has

    F >= sum_i omega_i Ent(Q_i) + sum_{j>r} lambda_j(S) - tr E'E
         - sum_pen |Z_j' alpha|^2 / (2 nu_c)

for probabilities Q with ``alpha = omega (Y - Q)``, ``Z_j' alpha = 0`` for every
unpenalised column, ``E = alpha'X / sqrt(2 nu)`` (filter) or the transpose of
``alpha / sqrt(2 nu v)`` (feature), and ``S = xi M'M + E'E`` with ``M = sqrt(v) X`` or
its transpose. It is the Fenchel dual after the projection onto the factor space has
been relaxed to the Fantope (Overton and Womersley, 1992).
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import xlogy

from farkas.certificate import CertificateError, Guarantee, Parameter
from farkas.verification import ROUNDING, Measurement, problem
from sdl._measure_data import (
    BLOCK_SUM,
    EPS,
    Array,
    Problem,
    frobenius,
    problem_of,
)
from sdl._measure_dual import MARGIN, repaired_dual
from sdl._measure_spectrum import tail_of_spectrum
from sdl._measure_stationarity import (
    Factors,
    check_constraints,
    codes_and_scores,
    products,
    stationarity,
)

# Rows of a residual at a time, few enough for a processor's cache.
ROWS = 128
# Entries of a dense X from which its residual is not formed, if products give its norm
# to this relative accuracy.
LARGE, ACCURATE = 2**20, 1e-9


def _register(key: str, data: tuple[str, ...]) -> None:
    @problem(key, data=data)
    def measure(
        *arrays: Any,
        witness: Mapping[str, NDArray[Any]],
        parameters: Mapping[str, Parameter],
    ) -> Measurement:
        named = dict(zip(data, arrays, strict=True))
        return measure_dictionary(**named, witness=witness, parameters=parameters)


for _key, _data in {
    "sdl.dictionary/1": ("X", "y"),
    "sdl.dictionary_covariates/1": ("X", "y", "covariates"),
    "sdl.dictionary_weighted/1": ("X", "y", "sample_weight"),
    "sdl.dictionary_covariates_weighted/1": (
        "X", "y", "covariates", "sample_weight",
    ),
}.items():  # fmt: skip
    _register(_key, _data)


def measure_dictionary(
    X: Any,
    y: NDArray[Any],
    covariates: Array | None = None,
    sample_weight: Array | None = None,
    *,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    """Duality gap, or stationarity, of a supervised dictionary.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, d)
        Data as passed to the fit.
    y : ndarray of shape (n,) or (n, K)
        Labels as passed to the fit, or their one-hot code without the baseline.
    covariates : ndarray of shape (n, q), optional
        Covariates as passed to the fit.
    sample_weight : ndarray of shape (n,), optional
        Nonnegative weights; rows of weight zero are dropped first, and the arrays of
        the witness have no row for them.
    witness : mapping
        ``W`` (p, r), ``H`` (n, r), ``beta`` (r, K), ``Gamma`` (q, K) with the intercept
        in row 0, ``dual`` (n, K); ``covariate_columns`` where columns of X are
        covariates; ``class_weight`` (K + 1,) with ``class_weight="given"``; optionally
        ``leading`` (p, r + 1), approximate eigenvectors of S in the filter model.
    parameters : mapping
        ``model`` ("filter", "feature"), ``n_components``, ``xi``, ``alpha`` (nu),
        ``alpha_covariates`` (nu_c), ``fit_intercept``, ``baseline`` (index of the
        class), ``class_weight`` ("none", "balanced", "given"), ``missing`` ("error",
        "impute"), ``claim`` ("global", "stationary"), and the constraints of
        :func:`sdl.bcd` where there are any.

    Returns
    -------
    Measurement
        ``residuals``: ``label_loss``, ``reconstruction`` (relative), ``stationarity``
        and ``eigengap``.

    Raises
    ------
    CertificateError
        If the witness is malformed or proves nothing.
    """
    task = problem_of(X, y, covariates, sample_weight, witness, parameters)
    factors = Factors.of(task, witness, parameters)
    check_constraints(factors, parameters)
    XW, D = codes_and_scores(task, factors)
    upper, label_loss, reconstruction = objective(task, factors, parameters, XW, D)
    lower, eigengap = 0.0, 0.0
    if task.mask is None:
        dual = _shaped("dual", witness["dual"], task.Y.shape)
        leading = witness.get("leading")
        if leading is not None:
            shape = (factors.W.shape[0], task.rank + 1)
            leading = _shaped("leading", leading, shape)
        lower, eigengap = dual_bound_of(task, dual, leading)
    if not (math.isfinite(upper) and math.isfinite(lower)):
        raise CertificateError("the objective or its bound is not finite.")
    scale = zero_objective(task)
    gap = upper - lower
    if not gap >= -ROUNDING * scale:
        raise CertificateError(f"negative duality gap {gap:.3g}.")
    claim = str(parameters["claim"])
    if claim not in ("global", "stationary"):
        raise CertificateError(f"claim={claim!r} must be 'global' or 'stationary'.")
    kkt = stationarity(task, factors, parameters, XW, D)
    proven = claim == "global"
    if proven and (task.nu == 0 or factors.constrained or task.mask is not None):
        raise CertificateError(
            "a global claim needs alpha > 0, free factors and no missing entries."
        )
    return Measurement(
        kind="duality_gap" if proven else "kkt_residual",
        value=max(gap, 0.0) if proven else kkt,
        guarantee=Guarantee.GLOBAL if proven else Guarantee.LOCAL,
        scale=scale if proven else 1.0 + scale,
        lower=min(lower, upper),
        upper=upper,
        residuals={
            "label_loss": label_loss,
            "reconstruction": reconstruction,
            "stationarity": kkt,
            "eigengap": eigengap,
        },
        assumptions=_scope(task, factors),
    )


def _scope(task: Problem, factors: Factors) -> tuple[str, ...]:
    bounded = "all factorizations of rank at most"
    if factors.constrained:
        bounded = "constrained and free factorizations of rank at most"
    return (f"{bounded} {task.rank}, {task.model} model",)


def zero_objective(task: Problem) -> float:
    """Return the objective of the zero model, which depends on the data only."""
    total = math.fsum(task.omega) * math.log1p(task.Y.shape[1])
    return total + task.xi * task.square


def objective(
    task: Problem,
    factors: Factors,
    parameters: Mapping[str, Parameter],
    XW: Array | None = None,
    D: Array | None = None,
) -> tuple[float, float, float]:
    """Return F, its label loss and the relative reconstruction error.

    F carries a bound of its rounding errors (Higham, 2002, ch. 3), so that it is never
    less than the objective of these factors in exact arithmetic. XW and D save the
    products of :func:`codes_and_scores` where they are known already.
    """
    if D is None:
        XW, D = codes_and_scores(task, factors)
    W, H, beta, Gamma = factors.W, factors.H, factors.beta, factors.Gamma
    n, p, r = H.shape[0], *W.shape
    if task.model == "filter":
        A = W @ beta
        size = np.abs(W) @ np.abs(beta)
        # |x_i . a_k| is at most |x_i| |a_k|, and so is what its rounding is bounded by
        radius = task.norms[:, None] * np.linalg.norm(size, axis=0)
        ridge = float(np.sum(size * size))
        exact = float(np.sum(A * A))
    else:
        A = H @ beta
        radius = np.abs(H) @ np.abs(beta)
        ridge = math.fsum(task.v * np.sum(radius * radius, axis=1))
        exact = math.fsum(task.v * np.sum(A * A, axis=1))
    unit = (p + r + 4) * EPS
    radius = unit * radius
    radius = radius + (len(Gamma) + 2) * EPS * (np.abs(task.Z) @ np.abs(Gamma))
    loss = math.fsum(task.omega * label_losses(D, task.Y))
    # The loss of a sample moves by at most the largest change of its scores.
    size = np.abs(D) + 1.0
    slack = math.fsum(task.omega * np.sum(2.0 * radius + 8 * EPS * size, axis=1))
    recon, error = _reconstruction(task, W, H, XW)
    total = loss + task.xi * recon + 0.5 * task.nu * exact
    slack += task.xi * error + task.nu * (unit * 2 + n * EPS) * ridge
    penalised = Gamma[task.penalised]
    total += 0.5 * task.nu_c * float(np.sum(penalised * penalised))
    total += factors.penalty(parameters)
    upper = (total + slack) * (1.0 + ROUNDING)
    return upper, loss, recon / task.square if task.square else 0.0


def label_losses(D: Array, Y: Array) -> Array:
    """Return ``log(1 + sum_k exp D_ik) - Y_i . D_i`` of every row.

    Parameters
    ----------
    D : ndarray of shape (n, K)
        Scores; that of the baseline is 0.
    Y : ndarray of shape (n, K)
        One-hot labels without the baseline.

    Returns
    -------
    ndarray of shape (n,)
    """
    peak = np.maximum(D.max(axis=1), 0.0)
    total = np.exp(-peak) + np.sum(np.exp(D - peak[:, None]), axis=1)
    # Subtract the largest score before the logarithm is added: no digits are lost.
    return np.log(total) + (peak - np.sum(Y * D, axis=1))


def _reconstruction(
    task: Problem, W: Array, H: Array, XW: Array | None
) -> tuple[float, float]:
    """Return ``sum_i v_i |x_i - W h_i|^2`` over observed entries, and its error."""
    r = W.shape[1]
    root = np.sqrt(task.v)[:, None]
    weighted = np.abs(root * H)
    size = math.sqrt(float(np.sum((weighted.T @ weighted) * (np.abs(W).T @ np.abs(W)))))
    size += math.sqrt(task.square)
    if sparse.issparse(task.X) or (task.X.size > LARGE and task.mask is None):
        XW = products(task, W) if XW is None else XW
        cross = math.fsum(task.v * np.sum(H * XW, axis=1))
        inner = math.fsum(task.v * np.sum((H @ (W.T @ W)) * H, axis=1))
        value = max(task.square - 2.0 * cross + inner, 0.0)
        error = (W.shape[0] + 3 * r + 2 * BLOCK_SUM) * EPS * size * size
        if sparse.issparse(task.X) or error <= ACCURATE * value:
            return value, error
    rows = []
    for start in range(0, len(H), ROWS):
        part = slice(start, start + ROWS)
        residual = H[part] @ W.T
        residual -= task.X[part]
        if task.mask is not None:
            residual[task.mask[part]] = 0.0
        residual *= residual
        rows.append(np.sum(residual, axis=1))
    value = math.fsum(task.v * np.concatenate(rows))
    error = (r + 4) * EPS * size
    return value, 2.0 * math.sqrt(value) * error + error * error


def dual_bound_of(
    task: Problem, dual: Array, leading: Array | None = None
) -> tuple[float, float]:
    """Return a proven lower bound of F, and the eigengap of the matrix S.

    The dual point is first moved into its constraints; where that is impossible it is
    replaced by zero, which is always feasible. The bound is never negative. Approximate
    eigenvectors of S (p, r + 1) may save time; the bound does not trust them.
    """
    repaired = None
    if task.nu > 0 or task.model == "filter":
        repaired = repaired_dual(task, dual)
    if repaired is None:
        repaired = np.zeros_like(dual), 0.0
    alpha, remainder = repaired
    E, error = _score_block(task, alpha, remainder)
    entropy = _entropy(task, alpha, remainder)
    M = task.weighted_X if task.model == "filter" else task.weighted_X.T
    tail, eigengap = tail_of_spectrum(M, E, task.xi, task.rank, task.square, leading)
    norm = frobenius(E)
    used = norm * norm + error * (2.0 * norm + error)
    free = task.Z[:, task.penalised]
    if free.shape[1]:
        g = np.abs(free.T @ alpha) + (len(free) + 2) * EPS * (
            np.abs(free).T @ np.abs(alpha)
        )
        g = g + frobenius(free) * remainder
        used += float(np.sum(g * g)) / (2.0 * task.nu_c)
    bound = entropy + tail - used * (1.0 + ROUNDING)
    # No term of F is negative.
    return float(np.maximum(bound - ROUNDING * abs(bound), 0.0)), eigengap


def _score_block(task: Problem, alpha: Array, remainder: float) -> tuple[Array, float]:
    """Return E (K rows) and a bound of its error, rounding and repair included."""
    if task.model == "filter":
        if task.nu == 0:  # X'alpha = 0 is one of the constraints
            return np.zeros((alpha.shape[1], task.X.shape[1])), 0.0
        root = math.sqrt(2.0 * task.nu)
        E = np.asarray((task.X.T @ alpha).T) / root
        # |alpha|'|X| has a norm of at most sum_i |alpha_i| |x_i|
        error = float(np.linalg.norm(alpha, axis=1) @ task.norms)
        unit = (len(alpha) + 8) * EPS
        moved = remainder * frobenius(task.norms) / root
        return E, unit * error / root + moved
    if task.nu == 0:  # only alpha = 0 is feasible
        return np.zeros(alpha.T.shape), 0.0
    size = np.sqrt(2.0 * task.nu * task.v)[:, None]
    E = alpha / size
    return E.T, 8 * EPS * frobenius(E) + remainder / float(size.min())


def _entropy(task: Problem, alpha: Array, remainder: float) -> float:
    """Return ``sum_i omega_i Ent(Q_i)``, or slightly less."""
    Q = task.Y - alpha / task.omega[:, None]
    Q = np.clip(Q, 0.0, 1.0)
    rest = np.clip(1.0 - np.sum(Q, axis=1), 0.0, 1.0)
    rows = -np.sum(xlogy(Q, Q), axis=1) - xlogy(rest, rest)
    # A probability that is off by d changes the entropy by at most d (1 + |log d|).
    slack = 128 * EPS * (1 + Q.shape[1]) * math.fsum(task.omega)
    slope = (2.0 - math.log(MARGIN)) * math.sqrt(alpha.size) * remainder
    return math.fsum(task.omega * rows) - slack - slope


def _shaped(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> Array:
    if array.shape != shape or array.dtype.kind not in "fiu":
        raise CertificateError(f"{name} must have shape {shape}, got {array.shape}.")
    result = np.asarray(array, dtype=np.float64)
    if not np.isfinite(result).all():
        raise CertificateError(f"{name} must be finite.")
    return result
