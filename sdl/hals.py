"""Hierarchical alternating least squares, and the start of constrained factors."""

import dataclasses
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import svds

from farkas.kernels import prepare
from sdl._kernels import hals_sweeps

Array = NDArray[np.float64]

# Sweeps of the start (20 suffice for a start; measured on images and bags of words).
START_SWEEPS = 20


@dataclasses.dataclass(frozen=True)
class Sweeps:
    """Row-wise quadratic problems that share their matrices; call to sweep in place.

    Parameters
    ----------
    T : ndarray of shape (r, r)
        Matrix of every row, times ``a``.
    a : ndarray of shape (n,)
        Its factors.
    C : ndarray of shape (r, r), optional
        Second matrix, times ``b``.
    b : ndarray of shape (n,), optional
        Its factors.
    l1, l2 : float
        Penalties.
    nonnegative : bool
        Whether to clip at zero.
    """

    T: Array
    a: Array
    C: Array | None = None
    b: Array | None = None
    l1: float = 0.0
    l2: float = 0.0
    nonnegative: bool = False

    def __call__(self, H: Array, L: Array, sweeps: int) -> float:
        """Sweep over H (n, r) in place with linear terms L; return the last change."""
        C = self.T if self.C is None or self.b is None else self.C
        b = np.empty(0) if self.C is None or self.b is None else self.b
        rows = prepare(H.T)
        L, T, a, C, b = (prepare(part) for part in (L.T, self.T, self.a, C, b))
        change = hals_sweeps(  # type: ignore[no-untyped-call]
            rows, L, T, a, C, b, float(self.l1), float(self.l2),
            bool(self.nonnegative), int(sweeps),
        )  # fmt: skip
        H[:] = rows.T
        return float(change)


def factor_start(X: Any, rank: int, signs: str, seed: int) -> tuple[Array, Array]:
    """Factor X without labels: the start of the block method.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (n, p)
        Weighted data, no missing entries.
    rank : int
        Number of atoms.
    signs : {"", "W", "H", "WH"}
        Which factors are nonnegative. "WH" takes scikit-learn's NMF.
    seed : int
        Of its randomised singular value decomposition.

    Returns
    -------
    W : ndarray of shape (p, r)
        Atoms.
    H : ndarray of shape (n, r)
        Codes.
    """
    if signs == "WH":
        return _nmf(X, rank, seed)
    U, s, Vt = _leading(X, rank, seed)
    W, H = Vt.T * np.sqrt(s), U * np.sqrt(s)
    # An SVD fixes signs arbitrarily: turn each pair so that the clipped part is small.
    for name, factor in (("W", W), ("H", H)):
        if name in signs:
            flip = np.where(
                (np.minimum(factor, 0) ** 2).sum(axis=0)
                > (np.maximum(factor, 0) ** 2).sum(axis=0),
                -1.0,
                1.0,
            )
            W, H = W * flip, H * flip
    if "W" in signs:
        W = np.maximum(W, 0.0)
    if "H" in signs:
        H = np.maximum(H, 0.0)
    W, H = prepare(W), prepare(H)
    if not signs:
        return W, H
    n, p = X.shape
    for _ in range(START_SWEEPS):
        Sweeps(W.T @ W, np.ones(n), nonnegative="H" in signs)(H, np.asarray(X @ W), 2)
        Sweeps(H.T @ H, np.ones(p), nonnegative="W" in signs)(W, np.asarray(X.T @ H), 2)
    return W, H


def _nmf(X: Any, rank: int, seed: int) -> tuple[Array, Array]:
    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    model = NMF(rank, init="nndsvda", max_iter=START_SWEEPS, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        H = model.fit_transform(X)
    return prepare(model.components_.T), prepare(H)


def _leading(X: Any, rank: int, seed: int) -> tuple[Array, Array, Array]:
    if sparse.issparse(X) or rank < min(X.shape) // 4:
        start = np.random.default_rng(seed).standard_normal(min(X.shape))
        if rank < min(X.shape):
            U, s, Vt = svds(X, rank, v0=start)
            return U[:, ::-1], s[::-1], Vt[::-1]
        X = X.toarray() if sparse.issparse(X) else X
    U, s, Vt = np.linalg.svd(X, full_matrices=False)
    return U[:, :rank], s[:rank], Vt[:rank]
