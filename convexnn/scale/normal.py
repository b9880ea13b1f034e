"""The u-step of ADMM without the eigenvectors of an n x n matrix.

With ``F = [D_1 A, ..., D_P A]`` and c = 2 blocks of weights for each pattern (gated: 1)
the u-step of admm.py solves

    (w I + c F F') q = b,        then  u += F'q  and the prediction is  target - w q.

:class:`Cholesky` factors the other side, ``w I + c F'F`` of size rP (push-through
identity ``F'(w I + c F F')^-1 = (w I + c F'F)^-1 F'``). :class:`ConjugateGradients`
factors nothing: a product with F F' costs 4 n r P operations, and a randomised Nystrom
approximation of ``c F F'`` preconditions it (Frangella, Tropp and Udell,
arXiv:2110.02820). It starts from the step before, with a falling tolerance, so that
the errors have a finite sum, as the convergence proof of inexact ADMM asks (Eckstein
and Bertsekas, 1992).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse.linalg import LinearOperator, lsqr

from convexnn import _kernels

Array = NDArray[np.float64]

U_UPDATES = ("auto", "eigh", "cholesky", "cg", "rbcd")

# Largest n whose eigenvectors, and largest r P whose Cholesky factor "auto" computes:
# 128 and 512 MB. At n = 20 000, d = 50 and P = 100, where r P = 5000, 100 iterations
# with the factor took 0.6 of the processor time of 100 with conjugate gradients.
LARGEST_EIGH = 4000
LARGEST_CHOLESKY = 8000

# Rows that are multiplied at once where a dense copy of F would not fit.
CHUNK = 1024

# Columns of the Nystrom approximation; its memory is n times this.
RANK = 200

# Relative residual of the k-th solve: at most LOOSE, and (k + 1)^-DECAY, DECAY > 1.
LOOSE, DECAY = 1e-3, 1.2
# Residual that cannot be told from rounding.
TIGHT = 1e-13
MAX_PRODUCTS = 500


class UStep(Protocol):
    """What solves ``(w I + c F F') q = b`` for one run of the iteration."""

    def solve(self, weight: float, b: Array) -> tuple[Array, Array]:
        """Return the push ``F'q`` (P, r) and the residual ``b - c F F'q`` (n,)."""

    def state(self) -> dict[str, Any]:
        """Return what continues bit for bit."""

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what :meth:`state` returned."""


def choose(n: int, size: int) -> str:
    """Return what ``u_update="auto"`` means for n rows and ``size`` = r P."""
    if n <= LARGEST_EIGH:
        return "eigh"
    return "cholesky" if size <= min(n, LARGEST_CHOLESKY) else "cg"


def prepare_u_step(
    A: Array, D: Array, copies: int, u_update: str
) -> Callable[[], UStep]:
    """Compute what all runs on the same data and patterns share.

    Parameters
    ----------
    A : ndarray of shape (n, r)
        Data.
    D : ndarray of shape (P, n)
        Patterns, 0.0 or 1.0.
    copies : int
        Blocks of weights for each pattern, 2 or 1.
    u_update : {"cholesky", "cg"}
        The method.

    Returns
    -------
    callable
        Returns a new :class:`UStep` for one run.
    """
    coupling = Coupling(A, D, copies)
    if u_update == "cholesky":
        return partial(Cholesky, coupling, coupling.inner())
    return partial(ConjugateGradients, coupling, Nystrom(coupling))


class Coupling:
    """Products with ``F``, which is never formed.

    Parameters
    ----------
    A : ndarray of shape (n, r)
        Data.
    D : ndarray of shape (P, n)
        Patterns, 0.0 or 1.0.
    copies : int
        Blocks of weights for each pattern, 2 or 1.
    """

    def __init__(self, A: Array, D: Array, copies: int) -> None:
        self.A, self.D, self.copies = A, D, copies
        self._transposed = np.ascontiguousarray(A.T)

    def push(self, q: Array) -> Array:
        """Return ``F'q``, (P, r)."""
        return (self.D * q) @ self.A

    def predict(self, push: Array) -> Array:
        """Return ``c F push``, (n,)."""
        out = np.empty(len(self.A))
        _kernels.gated_sum(self.D, push @ self._transposed, out)
        out *= self.copies
        return out

    def columns(self, index: NDArray[np.intp]) -> Array:
        """Return columns of ``c F F' = c (D'D) o (A A')``, (n, k)."""
        shared = self.D.T @ self.D[:, index]
        shared *= self.A @ self.A[index].T
        shared *= self.copies
        return shared

    def inner(self) -> Array:
        """Return ``c F'F``, (P r, P r), from chunks of rows."""
        (n, r), P = self.A.shape, len(self.D)
        inner = np.zeros((P * r, P * r))
        for start in range(0, n, CHUNK):
            rows = slice(start, start + CHUNK)
            gated = self.D[:, rows].T[:, :, None] * self.A[rows, None, :]
            flat = gated.reshape(-1, P * r)
            inner += flat.T @ flat
        inner *= self.copies
        return inner


class Cholesky:
    """Solve on the side of the weights, by a factor for each new ``w``.

    Parameters
    ----------
    coupling : Coupling
        The matrix F.
    inner : ndarray of shape (P r, P r)
        ``c F'F``.
    """

    def __init__(self, coupling: Coupling, inner: Array) -> None:
        self.coupling, self.inner = coupling, inner
        self._weight = np.nan
        self._factor: Any = None

    def solve(self, weight: float, b: Array) -> tuple[Array, Array]:
        """Return the push and the residual, see :class:`UStep`."""
        if weight != self._weight:
            matrix = self.inner.copy(order="F")
            matrix[np.diag_indices_from(matrix)] += weight
            self._factor = cho_factor(
                matrix, lower=True, overwrite_a=True, check_finite=False
            )
            self._weight = weight
        right = self.coupling.push(b)
        solved = cho_solve(self._factor, right.ravel(), check_finite=False)
        push = solved.reshape(right.shape)
        return push, b - self.coupling.predict(push)

    def state(self) -> dict[str, Any]:
        """Return nothing: no step depends on the one before."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Do nothing."""


class Nystrom:
    """Approximation ``U diag(e) U'`` of ``c F F'`` from some of its columns.

    Parameters
    ----------
    coupling : Coupling
        The matrix F.
    rank : int
        Number of columns, at random: by a generator with a fixed seed, since the
        solution does not depend on them.
    """

    def __init__(self, coupling: Coupling, rank: int = RANK) -> None:
        n = len(coupling.A)
        rng = np.random.default_rng(0)
        index = np.sort(rng.choice(n, size=min(rank, n), replace=False))
        columns = coupling.columns(index)
        core = columns[index]
        e, Q = np.linalg.eigh(0.5 * (core + core.T))
        kept = e > len(e) * np.finfo(np.float64).eps * max(e[-1], 0.0)
        half = columns @ (Q[:, kept] / np.sqrt(e[kept]))
        inner_values, inner_vectors = np.linalg.eigh(half.T @ half)
        kept = inner_values > 1e-12 * max(inner_values.max(initial=0.0), 0.0)
        self.values = inner_values[kept]
        self.vectors = half @ (inner_vectors[:, kept] / np.sqrt(self.values))

    def precondition(self, weight: float, b: Array) -> Array:
        """Return the inverse of ``w I + U diag(e) U'``, up to a factor, times b."""
        if not len(self.values):
            return b
        level = weight + self.values[0]
        shrink = level / (weight + self.values) - 1.0
        return b + self.vectors @ (shrink * (self.vectors.T @ b))


class ConjugateGradients:
    """Solve by preconditioned conjugate gradients from the solution before.

    Parameters
    ----------
    coupling : Coupling
        The matrix F.
    nystrom : Nystrom
        Preconditioner.
    """

    def __init__(self, coupling: Coupling, nystrom: Nystrom) -> None:
        self.coupling, self.nystrom = coupling, nystrom
        self.solution = np.zeros(len(coupling.A))
        self.solves = 0
        self.products = 0

    def solve(self, weight: float, b: Array) -> tuple[Array, Array]:
        """Return the push and the residual, see :class:`UStep`."""
        self.solves += 1
        q, residual = self._start(weight, b)
        tolerance = min(LOOSE, (self.solves + 1.0) ** -DECAY)
        target = max(tolerance * float(np.linalg.norm(residual)), TIGHT * _norm(b))
        direction = z = self.nystrom.precondition(weight, residual)
        product = float(residual @ z)
        for _ in range(MAX_PRODUCTS):
            if _norm(residual) <= target or not product > 0:
                break
            image = self._times(weight, direction)
            step = product / float(direction @ image)
            q = q + step * direction
            residual = residual - step * image
            z = self.nystrom.precondition(weight, residual)
            before, product = product, float(residual @ z)
            direction = z + (product / before) * direction
        self.solution = q
        push = self.coupling.push(q)
        return push, b - self.coupling.predict(push)

    def state(self) -> dict[str, Any]:
        """Return the last solution and how many there were."""
        return {"cg_solution": self.solution.copy(), "cg_solves": self.solves}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what :meth:`state` returned."""
        self.solution = np.array(state["cg_solution"])
        self.solves = int(state["cg_solves"])

    def _start(self, weight: float, b: Array) -> tuple[Array, Array]:
        q = self.solution
        if not q.any():
            return q, b
        return q, b - self._times(weight, q)

    def _times(self, weight: float, q: Array) -> Array:
        self.products += 1
        coupling = self.coupling
        return weight * q + coupling.predict(coupling.push(q))


def least_squares(A: Array, D: Array, y: Array) -> Array:
    """Return the least-norm weights (P, r) that minimise ``|F u - y|``, by LSQR."""
    coupling = Coupling(A, D, 1)
    shape = len(D), A.shape[1]
    operator = LinearOperator(
        (len(A), shape[0] * shape[1]),
        matvec=lambda u: coupling.predict(np.reshape(u, shape)),
        rmatvec=lambda q: coupling.push(np.ravel(q)).ravel(),
        dtype=np.float64,
    )
    blocks: Array = lsqr(operator, y, atol=1e-14, btol=1e-14, conlim=0.0)[0]
    return blocks.reshape(shape)


def _norm(x: Array) -> float:
    return float(np.sqrt(x @ x))
