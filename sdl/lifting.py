"""The two lifted problems in coordinates in which their eigenproblems are cheap.

filter:  rows of ``M = [A'; B]`` lie in the span of Q (k, r); the dense space uses the
         eigenbasis of ``G = X'VX``, where G is a vector.
feature: columns of ``M = [A, B]`` lie in the span of Q (n, r); the dense space uses
         the left singular vectors of ``sqrt(v) X``, in which ``X X'`` is a vector.

``A = Q beta`` and ``B = X Q Q'`` (``Q Q'X``) are never formed. A sparse X is touched
by products only.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import svd as thin_svd
from scipy.sparse.linalg import LinearOperator, eigsh

from farkas.backend import asnumpy, to_device
from sdl._measure_data import Problem
from sdl.secular import leading_pairs, leading_sum

Array = NDArray[np.float64]

# Singular values below this share of the largest are dropped (exact to rounding).
NEGLIGIBLE = 1e-12
# Up to this many columns a sparse X is worth a dense Gram matrix.
DENSE_GRAM = 400
# Lanczos vectors beyond twice the rank, and their tolerance relative to the spectrum.
_EXTRA, _TOLERANCE = 20, 1e-12


class Subspace(NamedTuple):
    """An orthonormal basis and the sum of the eigenvalues that it belongs to."""

    Q: Array  # (k, r)
    total: float
    gap: float  # lambda_r - lambda_{r+1}; NaN if not known


class DenseFilter:
    """Filter model: Q spans part of the feature space, in the eigenbasis of G."""

    check_every = 1  # iterations between two dual bounds
    rotate: bool  # whether columns of X are rotated into the eigenbasis on the fly

    def __init__(self, task: Problem, rank: int, xp: Any, device: Any) -> None:
        X = task.X.toarray() if sparse.issparse(task.X) else task.X
        self.xi, self.rank = task.xi, rank
        self.square = task.square
        n, p = X.shape
        self.rotate = p <= n
        if p > n:
            U, s, Vt = thin_svd(
                _weighted(X, task.v), full_matrices=False, check_finite=False
            )
            kept = s > NEGLIGIBLE * s[0] if s[0] > 0 else s >= 0
            self.V, self.g = Vt[kept].T, s[kept] ** 2
            rotated = (U[:, kept] * s[kept]) / np.sqrt(task.v)[:, None]
            self.X = to_device(rotated, xp, device)
        else:
            self.X = to_device(X, xp, device)
            root = to_device(np.sqrt(task.v)[:, None], xp, device)
            weighted = self.X if np.all(task.v == 1.0) else root * self.X
            g, V = xp.linalg.eigh(xp.matrix_transpose(weighted) @ weighted)
            g, V = np.maximum(asnumpy(g)[::-1], 0.0), asnumpy(V)[:, ::-1]
            kept = g > NEGLIGIBLE**2 * g[0] if g[0] > 0 else g >= 0
            self.V, self.g = np.ascontiguousarray(V[:, kept]), g[kept]
        self.xp, self.device = xp, device
        ratio = float(np.max(task.omega / task.v))
        self.curvature = ratio * float(self.g[0])  # at least lambda_max(X'Omega X)

    @property
    def size(self) -> int:
        """Order of the eigenproblem."""
        return len(self.g)

    def start(self) -> Array:
        """Return the leading principal directions."""
        return np.eye(self.size)[:, : self.rank]

    def features(self, Q: Array) -> Any:
        """Return the features (n, r) that the head sees."""
        Q = to_device(self.V @ Q if self.rotate else Q, self.xp, self.device)
        flip = self.xp.matrix_transpose
        # BLAS multiplies a few rows by a long matrix faster than the transpose of it.
        return flip(flip(Q) @ flip(self.X))

    def pull(self, alpha: Any) -> Array:
        """Return the label part of ``-dF/dA``, here ``X'alpha``."""
        pull = np.asarray(asnumpy(self.xp.matrix_transpose(self.X) @ alpha))
        return self.V.T @ pull if self.rotate else pull

    def all_features(self) -> Any:
        """Return X in the coordinates of the space (n, k)."""
        if not self.rotate:
            return self.X
        return self.X @ to_device(self.V, self.xp, self.device)

    def leading(self, U: Array, warm: Array | None = None) -> Subspace:
        """Return the top r eigenvectors of ``xi G + U U'``."""
        r = min(self.rank + 1, self.size)
        values, Q = leading_pairs(self.xi * self.g, U, r)
        kept = min(self.rank, self.size)
        gap = values[kept - 1] - values[kept] if r > kept else np.nan
        return Subspace(Q[:, :kept], float(values[:kept].sum()), float(gap))

    def total(self, U: Array) -> float:
        """Return the sum of the top r eigenvalues of ``xi G + U U'``."""
        return leading_sum(self.xi * self.g, U, min(self.rank, self.size))

    def captured(self, Q: Array) -> float:
        """Return ``tr Q'GQ``, the reconstruction that the span explains."""
        return float(np.sum(self.g[:, None] * Q * Q))

    def moved(self, Q: Array, new: Array) -> float:
        """Return ``|X (QQ' - Q+Q+')|_F``."""
        cross = (Q.T @ (self.g[:, None] * new)) * (Q.T @ new)
        square = self.captured(Q) + self.captured(new) - 2.0 * float(np.sum(cross))
        return float(np.sqrt(max(square, 0.0)))

    def basis_of(self, A: Array) -> Array:
        """Return columns of length p in the coordinates of the space."""
        return self.V.T @ A

    def ambient(self, Q: Array) -> Array:
        """Return columns of the space as columns of length p."""
        return self.V @ Q


class ProductFilter(DenseFilter):
    """Filter model by Lanczos on products with X, for large sparse X."""

    check_every, rotate = 5, False

    def __init__(self, task: Problem, rank: int, seed: np.random.SeedSequence) -> None:
        import array_api_compat.numpy as xp

        self.xp, self.device = xp, "cpu"
        self.xi, self.rank, self.square = task.xi, rank, task.square
        self.X = task.X
        self.weighted = task.weighted_X
        self.p = self.X.shape[1]
        self._start = np.random.default_rng(seed).standard_normal(self.p)
        largest = self._eigsh(np.zeros((self.p, 1)), 1, None)[0][0] / self.xi
        self.curvature = 1.01 * float(largest) * float(np.max(task.omega / task.v))

    @property
    def size(self) -> int:
        """Order of the eigenproblem."""
        return int(self.p)

    def start(self) -> Array:
        """Return the leading principal directions."""
        return self.leading(np.zeros((self.p, 1))).Q

    def features(self, Q: Array) -> Array:
        """Return the features (n, r) that the head sees."""
        return np.asarray(self.X @ Q)

    def pull(self, alpha: Array) -> Array:
        """Return ``X'alpha``."""
        return np.asarray(self.X.T @ alpha)

    def _eigsh(self, U: Array, r: int, warm: Array | None) -> tuple[Array, Array]:
        X = self.weighted

        def product(x: Array) -> Array:
            x = np.ravel(x)
            return self.xi * (X.T @ (X @ x)) + U @ (U.T @ x)

        operator = LinearOperator((self.p, self.p), matvec=product, dtype=np.float64)
        v0 = self._start if warm is None else warm.sum(axis=1)
        ncv = min(self.p, 2 * r + _EXTRA)
        values, Q = eigsh(operator, r, which="LA", v0=v0, ncv=ncv, tol=_TOLERANCE)
        order = np.argsort(-values)
        return values[order], Q[:, order]

    def leading(self, U: Array, warm: Array | None = None) -> Subspace:
        """Return the top r eigenvectors of ``xi G + U U'``."""
        r = min(self.rank + 1, self.p - 1)
        values, Q = self._eigsh(U, r, warm)
        kept = min(self.rank, r)
        gap = values[kept - 1] - values[kept] if r > kept else np.nan
        Q = np.linalg.qr(Q[:, :kept])[0]
        return Subspace(Q, float(values[:kept].sum()), float(gap))

    def total(self, U: Array) -> float:
        """Return the sum of the top r eigenvalues of ``xi G + U U'``."""
        return self.leading(U).total

    def captured(self, Q: Array) -> float:
        """Return ``|X Q|_F^2``."""
        product = self.weighted @ Q
        return float(np.sum(product * product))

    def moved(self, Q: Array, new: Array) -> float:
        """Return ``|X (QQ' - Q+Q+')|_F``."""
        cross = ((self.weighted @ Q).T @ (self.weighted @ new)) * (Q.T @ new)
        square = self.captured(Q) + self.captured(new) - 2.0 * float(np.sum(cross))
        return float(np.sqrt(max(square, 0.0)))

    def basis_of(self, A: Array) -> Array:
        """Return columns as they are."""
        return A

    def ambient(self, Q: Array) -> Array:
        """Return columns as they are."""
        return Q


class Feature:
    """Feature model: Q spans part of the sample space, dense or sparse.

    The block ``[sqrt(xi) X, U]`` has its left singular vectors in the span of the left
    singular vectors of X, where ``X X'`` is diagonal, and of what U adds to them. For
    sparse X only as many of them as the leading subspace needs are computed.
    """

    rotate = False

    def __init__(self, task: Problem, rank: int, xp: Any, device: Any) -> None:
        self.xp, self.device = xp, device
        self.xi, self.rank, self.square = task.xi, rank, task.square
        self.root = np.sqrt(task.v)[:, None]
        self.X = task.weighted_X
        self.sparse = sparse.issparse(self.X)
        self.check_every = 5 if self.sparse else 1
        n, p = self.X.shape
        self.n = n
        if not self.sparse:
            U, s, _ = thin_svd(self.X, full_matrices=False, check_finite=False)
            kept = s > NEGLIGIBLE * s[0] if s[0] > 0 else s > -1.0
            self.U, self.g = U[:, kept], s[kept] ** 2
        self.curvature = float(np.max(task.omega / task.v))

    @property
    def size(self) -> int:
        """Order of the eigenproblem."""
        return self.n

    def start(self) -> Array:
        """Return the leading left singular vectors."""
        return self.leading(np.zeros((self.n, 1))).Q

    def features(self, Q: Array) -> Any:
        """Return the features (n, r) that the head sees, ``Q / sqrt(v)``."""
        return to_device(Q / self.root, self.xp, self.device)

    def pull(self, alpha: Any) -> Array:
        """Return the label part of ``-dF/dA``, here ``alpha / sqrt(v)``."""
        return np.asarray(asnumpy(alpha)) / self.root

    def leading(self, U: Array, warm: Array | None = None) -> Subspace:
        """Return the top r left singular vectors of ``[sqrt(xi) X, U]``."""
        if self.sparse:
            return self._leading_sparse(U, warm)
        inside = self.U.T @ U
        rest = U - self.U @ inside
        rest -= self.U @ (self.U.T @ rest)
        N, R = np.linalg.qr(rest)
        # Singular vectors of X without energy are not in self.U; N stands for them.
        diagonal = np.concatenate([self.xi * self.g, np.zeros(N.shape[1])])
        block = np.vstack([inside, R])
        r = min(self.rank + 1, len(diagonal))
        values, Q = leading_pairs(diagonal, block, r)
        kept = min(self.rank, len(diagonal))
        gap = values[kept - 1] - values[kept] if r > kept else np.nan
        k = len(self.g)
        basis = self.U @ Q[:k, :kept] + N @ Q[k:, :kept]
        return Subspace(basis, float(values[:kept].sum()), float(gap))

    def total(self, U: Array) -> float:
        """Return the sum of the top r squared singular values."""
        return self.leading(U).total

    def _leading_sparse(self, U: Array, warm: Array | None) -> Subspace:
        X = self.X

        def product(x: Array) -> Array:
            x = np.ravel(x)
            return self.xi * (X @ (X.T @ x)) + U @ (U.T @ x)

        operator = LinearOperator((self.n, self.n), matvec=product, dtype=np.float64)
        r = min(self.rank + 1, self.n - 1)
        v0 = np.ones(self.n) if warm is None else warm.sum(axis=1)
        ncv = min(self.n, 2 * r + _EXTRA)
        values, Q = eigsh(operator, r, which="LA", v0=v0, ncv=ncv, tol=_TOLERANCE)
        order = np.argsort(-values)
        values, Q = values[order], Q[:, order]
        kept = min(self.rank, r)
        gap = values[kept - 1] - values[kept] if r > kept else np.nan
        Q = np.linalg.qr(Q[:, :kept])[0]
        return Subspace(Q, float(values[:kept].sum()), float(gap))

    def captured(self, Q: Array) -> float:
        """Return ``|Q'X|_F^2``."""
        if self.sparse:
            product = self.X.T @ Q
        else:
            product = np.sqrt(self.g)[:, None] * (self.U.T @ Q)
        return float(np.sum(product * product))

    def moved(self, Q: Array, new: Array) -> float:
        """Return ``|(QQ' - Q+Q+') X|_F``."""
        if self.sparse:
            old, now = self.X.T @ Q, self.X.T @ new
        else:
            root = np.sqrt(self.g)[:, None]
            old, now = root * (self.U.T @ Q), root * (self.U.T @ new)
        square = float(np.sum(old * old)) + float(np.sum(now * now))
        square -= 2.0 * float(np.sum((old.T @ now) * (Q.T @ new)))
        return float(np.sqrt(max(square, 0.0)))

    def basis_of(self, A: Array) -> Array:
        """Return columns of length n in the coordinates of the space."""
        return self.root * A

    def ambient(self, Q: Array) -> Array:
        """Return columns as they are."""
        return Q


Space = DenseFilter | ProductFilter | Feature


def lifted_space(
    task: Problem,
    rank: int,
    xp: Any,
    device: Any,
    seed: np.random.SeedSequence,
    svd: str = "auto",
) -> Space:
    """Choose the space of a problem.

    Parameters
    ----------
    task : Problem
        Data and numbers.
    rank : int
        Rank of the factors.
    xp, device : module and device
        Where dense arrays of length n live.
    seed : SeedSequence
        Seed of the first Lanczos vector.
    svd : {"auto", "exact", "lanczos"}, default="auto"
        Eigensolver of the filter model.

    Returns
    -------
    Space
    """
    if task.model == "feature":
        return Feature(task, rank, xp, device)
    wide = sparse.issparse(task.X) and task.X.shape[1] > DENSE_GRAM
    possible = rank + 1 < task.X.shape[1]
    if possible and (svd == "lanczos" or (svd == "auto" and wide)):
        return ProductFilter(task, rank, seed)
    return DenseFilter(task, rank, xp, device)


def _weighted(X: Array, v: Array) -> Array:
    return X if np.all(v == 1.0) else np.sqrt(v)[:, None] * X
