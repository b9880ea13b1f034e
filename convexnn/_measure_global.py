"""The arithmetic behind bounds over all two-layer networks, of any width, NumPy only.

A unit of a network contributes ``a (X u)_+``, and may be balanced so that ``a = |u|``.
Write ``p = (X u)_+``, ``q = (-X u)_+``, ``t = sigma theta'p`` with a sign sigma, and
``z = (a, u, p)``. Whenever ``t >= 0``, these are nonnegative, for any ``w_k``::

    products of two of a, t, p_k, q_k          (and p_k q_k = 0)
    r_k (|w_k| a + w_k'u)                      with r_k one of t, p_k, q_k

If a combination of them with nonnegative coefficients (free for ``p_k q_k``) is at most
``mu a^2 + tau |u|^2 - a t`` up to ``eps |z|^2``, which one eigenvalue decides, then
``|theta'(X u)_+| <= mu + tau + eps (2 + |X|^2)`` for all unit vectors u of this sign.
Where both signs have a bound C, every network has an objective of at least
``-L*(-s theta)`` with ``s <= alpha / C`` (Pilanci and Ergen, arXiv:2002.10553, for the
dual; Sahiner et al., arXiv:2012.13329, for the completely positive form).
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexnn._measure_cells import lengths
from convexnn._measure_losses import (
    EPS,
    LOSSES,
    TINY,
    Loss,
    dual_value,
    encode_targets,
    largest_loss,
    reshaped,
    total,
    with_intercept,
)
from farkas.certificate import CertificateError, Guarantee, Parameter
from farkas.verification import ROUNDING, Measurement, problem

Array = NDArray[np.float64]

ASSUMPTIONS = (
    "any width",
    "any activation pattern",
    "penalty includes the bias column",
)
SEPARATE = "every output has units of its own"
METHODS = ("dnn", "shor", "elementary")

MAX_BRANCHES = 8

# Times that the shift of the matrix is doubled until its Cholesky factor exists.
DOUBLINGS = 60


@problem("convexnn.global/1", data=("X", "y"))
def measure_global(
    X: Array,
    y: NDArray[Any],
    *,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    """Gap between a network and a lower bound over networks of any width.

    Parameters
    ----------
    X : ndarray of shape (n, d0)
        Data as passed by the user.
    y : ndarray of shape (n,) or (n, C)
        Targets or class labels as passed by the user.
    witness : mapping
        ``U`` (d, m) and ``a`` (m,) or (m, C): the network, where d = d0 + 1 if an
        intercept column is appended; ``theta`` (n,) or (n, C); ``branches`` (C, b),
        the rows k by whose sign of ``x_k'u`` the unit vectors are split into B = 2^b
        leaves: in leaf l it is nonnegative if bit j of l is 0, for ``branches[c, j]``.
        For each output, the signs +1, -1 of theta and each leaf: ``level`` and
        ``trace`` (C, 2, B), the numbers mu and tau; the nonzero ``product_value`` at
        the flat ``product_index`` into (C, 2, B, L), each a lower triangle over the
        2 + 2n rows a, t, p, q; optionally ``cone`` (C, 2, B, 1 + 2n, d), the vectors
        w_k for t, p, q. All are for ``X / 2^e`` with a Frobenius norm in [1, 2).
    parameters : mapping
        ``alpha``, ``loss``, ``encoding``, ``intercept`` as in the problem
        "convexnn.two_layer/1", and ``method``, the name of what found the witness.

    Returns
    -------
    Measurement
        ``residuals``: ``dual_norm``, the bound on ``|theta'(X u)_+|`` over all unit
        vectors before theta is rescaled.

    Raises
    ------
    CertificateError
        If the witness is malformed or proves nothing.
    """
    alpha = float(parameters["alpha"])
    if not 0 < alpha < math.inf:
        raise CertificateError(f"alpha={alpha!r} must be positive and finite.")
    if parameters["method"] not in METHODS:
        raise CertificateError(f"method must be one of {METHODS}.")
    if X.ndim != 2 or not X.size or not np.isfinite(X).all():
        raise CertificateError("X must be a nonempty finite matrix.")
    X = with_intercept(X, float(parameters["intercept"]))
    Y = encode_targets(y, str(parameters["encoding"]))
    if len(Y) != len(X) or not np.isfinite(Y).all():
        raise CertificateError(f"y must have {len(X)} finite rows.")
    loss = LOSSES[str(parameters["loss"])]
    if loss.labels and not np.isin(Y, (-1.0, 1.0)).all():
        raise CertificateError("the targets of this loss must be -1 or +1.")
    zero_loss = total(loss.value(np.zeros_like(Y), Y))
    if not math.isfinite(zero_loss):
        raise CertificateError("the loss at zero exceeds all floats; rescale y.")
    theta = loss.project(reshaped("theta", witness["theta"], Y.shape), Y)

    upper = _network_objective(X, Y, witness, alpha, loss)
    lower = dual_norm = 0.0
    for c, proof in enumerate(_proofs(witness, Y.shape[1], *X.shape)):
        norms = [
            leaf_bound(X, sign * theta[:, c], leaf)
            for sign, leaves in zip((1.0, -1.0), proof, strict=True)
            for leaf in leaves
        ]
        norm = float(np.max(norms))  # NaN if any is
        if not math.isfinite(norm):
            raise CertificateError("the dual point overflows.")
        dual_norm = max(dual_norm, norm)
        lower += _rounded_dual_value(theta[:, c], Y[:, c], norm / alpha, loss)
    scale = zero_loss or 1.0
    gap = upper - lower
    if not gap >= -ROUNDING * max(scale, TINY):
        raise CertificateError(f"negative duality gap {gap:.3g}.")
    return Measurement(
        kind="duality_gap",
        value=max(gap, 0.0),
        guarantee=Guarantee.GLOBAL,
        scale=scale,
        lower=min(lower, upper),
        upper=upper,
        residuals={"dual_norm": dual_norm},
        assumptions=ASSUMPTIONS + ((SEPARATE,) if Y.shape[1] > 1 else ()),
    )


def _rounded_dual_value(theta: Array, y: Array, norm: float, loss: Loss) -> float:
    """Return the dual value of the best feasible multiple, or slightly less."""
    value, s = dual_value(theta, y, norm, loss)
    if not (math.isfinite(value) and math.isfinite(s)):
        raise CertificateError("the dual value overflows.")
    size = np.abs(s * theta)
    terms = 1.0 if loss.labels else size * (np.abs(y) + size)
    rounding = 8 * EPS * total(terms + np.zeros_like(size))
    return max(value - rounding - TINY, 0.0)  # no loss is negative


def leaf_bound(X: Array, g: Array, proof: Mapping[str, Any]) -> float:
    """Bound ``g'(X u)_+`` over the unit vectors u of one leaf, rounding included.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Data.
    g : ndarray of shape (n,)
        Weights, ``sigma theta``.
    proof : mapping
        ``products``, the lower triangle of a (2 + 2n, 2 + 2n) matrix, ``cone``
        (1 + 2n, d), and the floats ``level`` and ``trace``.

    Returns
    -------
    float
        Nonnegative.
    """
    if not X.any():
        return 0.0
    exponent = scale_exponent(X)
    M, error = certificate_matrix(np.ldexp(X, -exponent), g, **proof)
    bound = proof["level"] + proof["trace"] + 6.0 * (smallest_shift(M) + error)
    # |z|^2 = a^2 + |u|^2 + |p|^2 <= 2 + |X|^2 <= 6 after scaling.
    bound = max(bound, 0.0) + 8 * EPS * (abs(proof["level"]) + abs(proof["trace"]))
    bound += len(g) * float(np.abs(g).max(initial=0.0)) * TINY  # entries that underflow
    return _ldexp(bound * (1.0 + 8 * EPS), exponent)


def scale_exponent(X: Array) -> int:
    """Return e such that ``X / 2^e`` has a Frobenius norm in [1, 2), 0 for X = 0."""
    norm = float(lengths(lengths(X, axis=0)[None, :], axis=1)[0])
    return math.frexp(norm * (1.0 + 1e-9))[1] - 1 if norm > 0 else 0


def certificate_matrix(
    X: Array, g: Array, products: Array, cone: Array, level: float, trace: float
) -> tuple[Array, float]:
    """Return the matrix that must be positive semidefinite, and its rounding error.

    ``mu a^2 + tau |u|^2 - a t`` minus the combination of products, as a symmetric
    matrix in the variables (a, u, p); the error bounds its spectral norm.
    """
    n, d = X.shape
    T, m = rows_of(X, g), 2 + 2 * n
    L = np.zeros((m, m))
    L[np.tril_indices(m)] = products
    L = np.tril(L) + np.tril(L, -1).T
    W = np.zeros((m, 1 + d + n))
    W[1:, 1 : 1 + d] = cone
    W[1:, 0] = lengths(cone, axis=1) * (1.0 + (d + 4) * EPS)
    W[0, 1 + d :] = g  # the objective a t
    diagonal = np.repeat([level, trace, 0.0], [1, d, n])
    M = np.diag(diagonal) - T.T @ (L @ T)
    size = np.diag(np.abs(diagonal)) + np.abs(T).T @ (np.abs(L) @ np.abs(T))
    B, b = T.T @ W, np.abs(T).T @ np.abs(W)
    M -= 0.5 * (B + B.T)
    size += 0.5 * (b + b.T)
    largest = float(np.abs(size).max())
    frobenius = largest * float(np.linalg.norm(size / largest)) if largest > 0 else 0.0
    # Two inner products of length m and a few sums (Higham, 2002, section 3.5).
    return 0.5 * (M + M.T), (2 * m + 16) * EPS * 1.01 * frobenius + TINY


def rows_of(X: Array, g: Array) -> Array:
    """Return the (2 + 2n, 1 + d + n) matrix that maps (a, u, p) to (a, t, p, q)."""
    n, d = X.shape
    T = np.zeros((2 + 2 * n, 1 + d + n))
    T[0, 0] = 1.0
    T[1, 1 + d :] = g
    T[2 : 2 + n, 1 + d :] = np.eye(n)
    T[2 + n :, 1 + d :] = np.eye(n)
    T[2 + n :, 1 : 1 + d] = -X
    return T


def smallest_shift(M: Array) -> float:
    """Return eps >= 0 such that ``M + eps I`` is positive semidefinite for certain.

    The eigenvalue is confirmed by a Cholesky factorization: where it runs to its end,
    the smallest eigenvalue is at least ``-gamma_{N+1} / (1 - gamma_{N+1})`` times the
    trace (Rump, BIT 46, 2006), however the eigenvalue was computed.
    """
    if not np.isfinite(M).all():
        raise CertificateError("the matrix of the bound overflows.")
    N = len(M)
    largest = float(np.abs(M).max())
    if largest == 0:
        return 0.0
    exponent = math.frexp(largest)[1]
    M = np.ldexp(M, -exponent)  # so that no square overflows
    smallest = float(np.linalg.eigvalsh(M)[0])
    shift = max(-smallest, 0.0) + N * EPS
    for _ in range(DOUBLINGS):
        shifted = M + shift * np.eye(N)
        try:
            np.linalg.cholesky(shifted)
        except np.linalg.LinAlgError:
            shift *= 2.0
            continue
        rounding = 1.1 * (N + 2) * EPS * float(np.trace(shifted)) + 2 * EPS
        return _ldexp((shift + rounding) * (1.0 + 4 * EPS), exponent)
    raise CertificateError("the matrix of the bound has no Cholesky factor.")


def _ldexp(number: float, exponent: int) -> float:
    try:
        return math.nextafter(math.ldexp(number, exponent), math.inf)
    except OverflowError:
        return math.inf


def _network_objective(
    X: Array,
    Y: Array,
    witness: Mapping[str, NDArray[Any]],
    alpha: float,
    loss: Loss,
) -> float:
    """Return the objective of the network, or slightly more.

    A unit that feeds several outputs counts as one unit for each.
    """
    U = np.asarray(witness["U"], dtype=np.float64)
    if U.ndim != 2 or len(U) != X.shape[1] or not np.isfinite(U).all():
        raise CertificateError(f"U must be finite, of shape ({X.shape[1]}, m).")
    a = reshaped("a", witness["a"], (U.shape[1], Y.shape[1]))
    z = np.maximum(X @ U, 0.0) @ a
    unit = (sum(U.shape) + 4) * EPS
    radius = unit * ((np.abs(X) @ np.abs(U)) @ np.abs(a) + TINY)
    fit = largest_loss(z, radius, Y, loss)
    penalty = alpha * total(lengths(U, axis=0)[:, None] * np.abs(a))
    upper = fit + penalty * (1.0 + (len(U) + 8) * EPS)
    return math.inf if math.isnan(upper) else upper * (1.0 + 4 * EPS)


def _proofs(
    witness: Mapping[str, NDArray[Any]], n_outputs: int, n: int, d: int
) -> list[list[list[dict[str, Any]]]]:
    """Return the proof of each output, sign and leaf, after checking it is admissible.

    Coefficients of products are nonnegative, except of those that vanish: p_k q_k, and
    all with the p_k or q_k that is zero in the leaf.
    """
    branches = np.asarray(witness["branches"])
    if branches.ndim != 2 or len(branches) != n_outputs:
        raise CertificateError(f"branches must have shape ({n_outputs}, b).")
    if branches.dtype.kind not in "iu" or branches.shape[1] > MAX_BRANCHES:
        raise CertificateError(f"branches must be at most {MAX_BRANCHES} row numbers.")
    if ((branches < 0) | (branches >= n)).any():
        raise CertificateError(f"branches must be rows of X, in 0..{n - 1}.")
    shape = (n_outputs, 2, 2 ** branches.shape[1])
    level = _exactly("level", witness["level"], shape)
    trace = _exactly("trace", witness["trace"], shape)
    size = (2 + 2 * n) * (3 + 2 * n) // 2
    products = _scattered(witness, (*shape, size))
    cone = np.zeros((*shape, 1 + 2 * n, d))
    if "cone" in witness:
        cone = _exactly("cone", witness["cone"], cone.shape)
    rows, columns = np.tril_indices(2 + 2 * n)
    complementary = (columns >= 2) & (rows == columns + n)
    for c, leaf in np.ndindex(n_outputs, shape[2]):
        zero = zero_rows(branches[c].astype(int), leaf, n)
        free = complementary | np.isin(rows, zero) | np.isin(columns, zero)
        if not (products[c, :, leaf, ~free] >= 0).all():
            raise CertificateError("coefficients of products must be nonnegative.")
    return [
        [
            [
                {
                    "products": products[c, k, leaf],
                    "cone": cone[c, k, leaf],
                    "level": float(level[c, k, leaf]),
                    "trace": float(trace[c, k, leaf]),
                }
                for leaf in range(shape[2])
            ]
            for k in range(2)
        ]
        for c in range(n_outputs)
    ]


def zero_rows(branches: NDArray[np.int_], leaf: int, n: int) -> NDArray[np.int_]:
    """Return which of the rows a, t, p, q vanish in a leaf."""
    negative = (leaf >> np.arange(len(branches))) & 1
    return 2 + branches + n * (1 - negative)


def _scattered(witness: Mapping[str, NDArray[Any]], shape: tuple[int, ...]) -> Array:
    index = np.asarray(witness["product_index"])
    value = np.asarray(witness["product_value"], dtype=np.float64)
    size = math.prod(shape)
    if index.dtype.kind not in "iu" or index.shape != value.shape or index.ndim != 1:
        raise CertificateError("product_index must be integers, one for each value.")
    if len(np.unique(index)) != len(index) or ((index < 0) | (index >= size)).any():
        raise CertificateError(f"product_index must be distinct, within {size}.")
    if not np.isfinite(value).all():
        raise CertificateError("product_value must be finite.")
    flat = np.zeros(size)
    flat[index] = value
    return flat.reshape(shape)


def _exactly(name: str, value: NDArray[Any], shape: tuple[int, ...]) -> Array:
    array = np.asarray(value, dtype=np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise CertificateError(
            f"{name} must be finite, of shape {shape}, got {array.shape}."
        )
    return array
