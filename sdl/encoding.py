"""Codes of new data, whose labels are not known.

``"reconstruct"``  h = argmin |x - W h|^2 (+ penalties, constraints)
``"map"``          for every class c: min_h xi |x - W h|^2 + loss(c; h beta + z Gamma)
                   + (nu/2) |h beta|^2, with class probabilities ~ exp(-minimum)
``"alternate"``    from "reconstruct", alternate soft labels and codes
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from farkas.base import check_choice
from farkas.kernels import prepare
from sdl._measure import label_losses
from sdl._measure_stationarity import probabilities, prox
from sdl.hals import Sweeps

Array = NDArray[np.float64]

ENCODINGS = ("reconstruct", "map", "alternate")
# Coordinate descent stops at this change relative to the largest code.
_SWEEP_TOL, _SWEEPS, _ROUNDS = 1e-10, 10, 200
_NEWTON_STEPS, _NEWTON_TOL = 30, 1e-10
_ALTERNATIONS = 10
# Eigenvalues of W'W below this share of the largest count as zero.
_RANK_TOL = 1e-12


class Encoded(NamedTuple):
    """Codes, and class probabilities where the encoding yields them."""

    codes: Array  # (n, r)
    probabilities: Array | None  # (n, K + 1), the baseline first


def encode(
    X: Any,
    W: ArrayLike,
    *,
    method: str = "reconstruct",
    beta: ArrayLike | None = None,
    Gamma: ArrayLike | None = None,
    Z: ArrayLike | None = None,
    xi: float = 1.0,
    alpha: float = 1.0,
    nonnegative: bool = False,
    l1: float = 0.0,
    l2: float = 0.0,
    max_norm: float = 0.0,
) -> Encoded:
    """Find the codes of data in a given dictionary.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n, p)
        Data. NaN counts as a missing entry with ``method="reconstruct"``.
    W : array-like of shape (p, r)
        Dictionary.
    method : {"reconstruct", "map", "alternate"}, default="reconstruct"
        See the module's text; the last two need `beta`.
    beta : array-like of shape (r, K), optional
        Coefficients of the codes.
    Gamma : array-like of shape (q, K), optional
        Coefficients of the columns of `Z`.
    Z : array-like of shape (n, q), optional
        Covariates, with the column of ones if there is an intercept.
    xi : float, default=1.0
        Weight of the reconstruction.
    alpha : float, default=1.0
        Ridge on ``h beta``.
    nonnegative : bool, default=False
        Whether codes are nonnegative ("reconstruct").
    l1, l2, max_norm : float, default=0.0
        Penalties and largest norm of a code ("reconstruct"); 0 means none.

    Returns
    -------
    Encoded
        ``codes`` (n, r), and ``probabilities`` (n, K + 1) for "map" and "alternate".

    Raises
    ------
    ValueError
        If an argument is out of range or does not fit the others.

    Examples
    --------
    >>> import numpy as np
    >>> from sdl import encode
    >>> encode([[3.0, 4.0]], np.array([[1.0], [0.0]])).codes
    array([[3.]])
    """
    check_choice("method", method, ENCODINGS)
    X = X.tocsr() if sparse.issparse(X) else np.asarray(X, dtype=np.float64)
    W = np.asarray(W, dtype=np.float64)
    if X.ndim != 2 or W.ndim != 2 or X.shape[1] != len(W):
        raise ValueError(f"W has shape {W.shape}, X {X.shape}; the features differ.")
    if method == "reconstruct":
        if not sparse.issparse(X) and np.isnan(X).any():
            return Encoded(_impute(X, W, xi, nonnegative, l1, l2, max_norm), None)
        H = reconstruct(np.asarray(X @ W), W.T @ W, xi, nonnegative, l1, l2, max_norm)
        return Encoded(H, None)
    if beta is None:
        raise ValueError(f"method={method!r} needs beta, the coefficients of codes.")
    if nonnegative or l1 or l2 or max_norm:
        raise ValueError(
            f"method={method!r} solves for free codes; use method='reconstruct'."
        )
    beta = np.asarray(beta, dtype=np.float64)
    offset = np.zeros((X.shape[0], beta.shape[1]))
    if Z is not None and Gamma is not None:
        offset = np.asarray(Z, dtype=np.float64) @ np.asarray(Gamma, dtype=np.float64)
    energy = _squares(X)
    problem = _Codes(np.asarray(X @ W), W.T @ W, energy, beta, offset, xi, alpha)
    return problem.by_class() if method == "map" else problem.alternate()


def reconstruct(
    B: Array,
    T: Array,
    xi: float = 1.0,
    nonnegative: bool = False,
    l1: float = 0.0,
    l2: float = 0.0,
    max_norm: float = 0.0,
    start: Array | None = None,
) -> Array:
    """Minimise the reconstruction of each row from ``B = X W`` and ``T = W'W``.

    Parameters
    ----------
    B : ndarray of shape (n, r)
        Products of data and atoms.
    T : ndarray of shape (r, r)
        Gram matrix of the atoms.
    xi, nonnegative, l1, l2, max_norm : float and bool
        As in :func:`encode`.
    start : ndarray of shape (n, r), optional
        Where to start where the solution is not in closed form.

    Returns
    -------
    ndarray of shape (n, r)
        Codes.
    """
    if not (nonnegative or l1 or max_norm):
        values, Q = np.linalg.eigh(2.0 * xi * T + l2 * np.eye(len(T)))
        kept = values > _RANK_TOL * max(values[-1], 1e-300)
        inverse = np.divide(1.0, values, out=np.zeros_like(values), where=kept)
        return 2.0 * xi * (((B @ Q) * inverse) @ Q.T)
    H = np.zeros_like(B) if start is None else start.copy()
    if max_norm:
        return _projected(H, B, T, xi, nonnegative, l1, l2, max_norm)
    sweeps = Sweeps(T, np.full(len(B), 2.0 * xi), l1=l1, l2=l2, nonnegative=nonnegative)
    H, L = prepare(H), prepare(2.0 * xi * B)
    for _ in range(_ROUNDS):
        change = sweeps(H, L, _SWEEPS)
        if change <= _SWEEP_TOL * np.abs(H).max(initial=1e-300):
            break
    return H


def _projected(
    H: Array,
    B: Array,
    T: Array,
    xi: float,
    nonnegative: bool,
    l1: float,
    l2: float,
    max_norm: float,
) -> Array:
    """Accelerated proximal gradient for codes in a ball."""
    step = 1.0 / (2.0 * xi * max(float(np.linalg.eigvalsh(T)[-1]), 1e-300) + l2)
    ahead, momentum = H, 1.0
    for _ in range(_ROUNDS * _SWEEPS):
        slope = 2.0 * xi * (ahead @ T - B) + l2 * ahead
        new = prox(
            ahead - step * slope, l1=step * l1, nonnegative=nonnegative,
            radius=max_norm, axis=1,
        )  # fmt: skip
        change = float(np.abs(new - H).max(initial=0.0))
        following = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * momentum * momentum))
        ahead = new + (momentum - 1.0) / following * (new - H)
        H, momentum = new, following
        if change <= _SWEEP_TOL * max_norm:
            break
    return H


def _impute(
    X: Array,
    W: Array,
    xi: float,
    nonnegative: bool,
    l1: float,
    l2: float,
    max_norm: float,
) -> Array:
    """Codes from the observed entries alone: one small problem for each row."""
    rows = []
    for x in X:
        seen = ~np.isnan(x)
        part = W[seen]
        rows.append(
            reconstruct(
                x[None, seen] @ part, part.T @ part, xi, nonnegative, l1, l2, max_norm
            )
        )
    return np.concatenate(rows)


def _squares(X: Any) -> Array:
    if sparse.issparse(X):
        return np.asarray(X.multiply(X).sum(axis=1)).ravel()
    return np.asarray(np.sum(X * X, axis=1))


class _Codes:
    """The strictly convex problems of "map", all rows at a time."""

    def __init__(
        self,
        B: Array,
        T: Array,
        energy: Array,
        beta: Array,
        offset: Array,
        xi: float,
        alpha: float,
    ) -> None:
        self.B, self.T, self.energy = B, T, energy
        self.beta, self.offset, self.xi, self.alpha = beta, offset, xi, alpha
        curvature = 2.0 * xi * T + alpha * beta @ beta.T
        # An atom that neither reconstructs nor classifies has a code of zero.
        jitter = _RANK_TOL * max(float(np.trace(curvature)), 1e-300)
        self.curvature = curvature + jitter * np.eye(len(T))

    def value(self, H: Array, Y: Array) -> Array:
        """Objective of each row at codes H and (soft) labels Y."""
        A = H @ self.beta
        quadratic = self.energy - 2.0 * np.sum(H * self.B, axis=1)
        quadratic += np.sum((H @ self.T) * H, axis=1)
        ridge = 0.5 * self.alpha * np.sum(A * A, axis=1)
        return self.xi * quadratic + label_losses(A + self.offset, Y) + ridge

    def solve(self, Y: Array, H: Array) -> Array:
        """Damped Newton on every row, with its own step size."""
        value = self.value(H, Y)
        for _ in range(_NEWTON_STEPS):
            P = probabilities(H @ self.beta + self.offset)
            slope = (P - Y) @ self.beta.T + H @ self.curvature - 2.0 * self.xi * self.B
            PB = P[:, :, None] * self.beta.T
            hessian = np.einsum("nkr,ks->nrs", PB, self.beta.T) + self.curvature
            mean = PB.sum(axis=1)
            hessian -= mean[:, :, None] * mean[:, None, :]
            step = np.linalg.solve(hessian, slope[:, :, None])[:, :, 0]
            size = np.ones(len(H))
            for _ in range(30):
                new = self.value(H - size[:, None] * step, Y)
                worse = new > value + 1e-12 * np.abs(value)
                if not worse.any():
                    break
                size = np.where(worse, 0.5 * size, size)
            H, value = H - size[:, None] * step, new
            if np.abs(step).max(initial=0.0) <= _NEWTON_TOL * np.abs(H).max(
                initial=1.0
            ):
                break
        return H

    def by_class(self) -> Encoded:
        """Solve once for each class; probabilities are ``exp(-minimum)``."""
        n, K = self.offset.shape
        start = reconstruct(self.B, self.T)
        codes, values = [], []
        for c in range(K + 1):
            Y = np.zeros((n, K))
            if c:
                Y[:, c - 1] = 1.0
            codes.append(self.solve(Y, start))
            values.append(self.value(codes[-1], Y))
        least = np.stack(values, axis=1)
        weight = np.exp(least.min(axis=1, keepdims=True) - least)
        best = np.argmin(least, axis=1)
        H = np.stack(codes)[best, np.arange(n)]
        return Encoded(H, weight / weight.sum(axis=1, keepdims=True))

    def alternate(self) -> Encoded:
        """Alternate soft labels and codes; kept for comparison."""
        H = reconstruct(self.B, self.T)
        for _ in range(_ALTERNATIONS):
            P = probabilities(H @ self.beta + self.offset)
            new = self.solve(P, H)
            done = np.abs(new - H).max(initial=0.0) <= 1e-8 * np.abs(H).max(initial=1.0)
            H = new
            if done:
                break
        P = probabilities(H @ self.beta + self.offset)
        return Encoded(H, np.column_stack([1.0 - P.sum(axis=1), P]))
