"""The doubly nonnegative relaxation of two-layer networks, by Douglas-Rachford steps.

The units of one sign, balanced so that ``a_j = |u_j|``, enter a network through
``Y = sum_j z_j z_j'`` with ``z = (a, u, p)``, ``p = (X u)_+``. Relaxed, Y is positive
semidefinite, ``Y_aa >= tr Y_uu``, the products of ``a, p, q`` with ``q = p - X u`` are
nonnegative, ``Y_{p_k q_k} = 0``, and ``|Y_{u r}| <= Y_{a r}`` for each of the rows r.
With ``K = T Y T'`` for the rows T of ``(a, p, q, u)`` all these are simple sets of K:
ADMM alternates between them and ``{Q S Q' : S >= 0}``, where ``T = Q R``. Both
projections are exact; the second is one partial eigendecomposition.

The dual variables are nonnegative by Moreau's decomposition, at every iteration, so
that any of them is a certificate after the numbers mu and tau are fitted.
"""

import copy
import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, eigh, solve_triangular

from convexnn._measure_global import scale_exponent
from convexnn._measure_losses import LOSSES
from convexnn.anderson import MEMORY, Anderson

Array = NDArray[np.float64]

# Weight of p and q against a and u in T, relative to the largest singular value of X;
# measured on the breast cancer data of 24, 60 and 200 rows.
WEIGHT = 8.0
RELAXATION = 1.7
# Residuals that differ by more than this factor change rho, every so many iterations.
IMBALANCE = 2.0
BALANCE_EVERY = 20
# Anderson acceleration begins after so many iterations, combines every so many, and is
# left out where its memory would exceed so many numbers.
WARM_UP = 50
ACCELERATE_EVERY = 10
LARGEST_MEMORY = 50_000_000
# Later changes of rho are smaller.
SETTLED = 400
# Halvings of the bracket of theta, where the loss is not squared.
BISECTIONS = 50
# Matrices of twice this order take half a gigabyte together.
LARGEST_ROWS = 2000


class Lift:
    """Geometry of one matrix K: the units of one sign, in one leaf of a branching.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Data, scaled to a Frobenius norm in [1, 2).
    sign : float
        +1 or -1, the sign of the output weights.
    zero : ndarray of int
        Which of the 2n rows p, q are zero.
    cone : bool
        Whether ``|Y_{u r}| <= Y_{a r}`` is asked for.
    products : bool
        Whether products of different samples are.
    """

    def __init__(
        self,
        X: Array,
        sign: float,
        zero: NDArray[np.int_] | None = None,
        *,
        cone: bool = True,
        products: bool = True,
        weight: float = WEIGHT,
    ) -> None:
        n, d = X.shape
        self.sign, self.cone, self.products = sign, cone, products
        self.n, self.d = n, d
        self.weight = weight
        self.zero = np.zeros(0, dtype=int) if zero is None else zero
        self.rows, self.p = slice(1, 1 + 2 * n), slice(1, 1 + n)
        self.u = slice(1 + 2 * n, 1 + 2 * n + d)
        T = np.zeros((1 + 2 * n + d, 1 + d + n))
        T[0, 0] = 1.0
        T[self.p, 1 + d :] = weight * np.eye(n)
        T[1 + n : 1 + 2 * n, 1 + d :] = weight * np.eye(n)
        T[1 + n : 1 + 2 * n, 1 : 1 + d] = -weight * X
        T[self.u, 1 : 1 + d] = np.eye(d)
        self.T, self.X = T, X
        self.Q, R = np.linalg.qr(T)
        self._inverse = solve_triangular(R, np.eye(len(R)))

    def with_zero(self, row: int) -> "Lift":
        """Return the same lift with one more zero among the rows p, q."""
        other = copy.copy(self)
        other.zero = np.append(self.zero, row)
        return other

    @property
    def size(self) -> int:
        """Order of K."""
        return len(self.T)

    def of_network(self, U: Array, X: Array) -> Array:
        """Return K of balanced units, the columns of U."""
        p = np.maximum(X @ U, 0.0)
        F = self.T @ np.vstack([np.linalg.norm(U, axis=0), U, p])
        K: Array = F @ F.T
        return K

    def project(self, V: Array, shift: Array, level: "Level", rho: float) -> Array:
        """Return the proximal point of V: nearest in the sets, given theta.

        ``shift`` (n,) is added to the entries (a, p_k), the pull of the loss.
        """
        K = V.copy()
        rows, u, n = self.rows, self.u, self.n
        block = K[rows, rows]
        sample = np.arange(n)
        if self.products:
            np.maximum(block, 0.0, out=block)
        else:
            diagonal = np.maximum(block.diagonal(), 0.0)
            block[np.diag_indices(2 * n)] = diagonal
        block[sample, n + sample] = block[n + sample, sample] = 0.0
        first = V[0, rows].copy()
        first[:n] += shift
        if self.cone:
            vectors = V[rows, u]
            norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
            K[0, rows] = cone_height(first, norms)
            heights = K[0, rows]
            ratio = np.ones_like(norms)
            np.divide(heights, norms, out=ratio, where=norms > heights)
            K[rows, u] = vectors * ratio[:, None]
        else:
            K[0, rows] = np.maximum(first, 0.0)
        if self.zero.size:
            K[1 + self.zero, :] = 0.0
            K[:, 1 + self.zero] = 0.0
        K[rows, 0] = K[0, rows]
        K[u, rows] = K[rows, u].T
        diagonal = np.arange(u.start, u.stop)
        K[0, 0], K[diagonal, diagonal] = level.project(
            float(V[0, 0]), V[diagonal, diagonal], rho
        )
        return K

    def onto_psd(self, V: Array) -> tuple[Array, int]:
        """Project onto ``{Q S Q' : S >= 0}``; also returns the rank of S."""
        S = self._inverse.T @ (self._compressed(V) @ self._inverse)
        if not np.isfinite(S).all():
            return np.full_like(V, np.nan), 0
        values, vectors = eigh(
            S, subset_by_value=(0.0, np.inf), driver="evr", check_finite=False
        )
        F = self.Q @ (vectors * np.sqrt(values))
        return F @ F.T, len(values)

    def _compressed(self, V: Array) -> Array:
        """Return ``T' V T`` by its blocks, a third of the work."""
        n, d, w, X = self.n, self.d, self.weight, self.X
        q = slice(1 + n, 1 + 2 * n)
        B = np.empty((1 + d + n, 1 + d + n))
        u, p = slice(1, 1 + d), slice(1 + d, None)
        both = V[self.p] + V[q]  # the rows p and q both hold p
        B[0, 0] = V[0, 0]
        B[0, u] = V[0, self.u] - w * (V[0, q] @ X)
        B[0, p] = w * both[:, 0]
        B[p, p] = w**2 * (both[:, self.p] + both[:, q])
        B[p, u] = w * both[:, self.u] - w**2 * (both[:, q] @ X)
        cross = w * (X.T @ V[q, self.u])
        B[u, u] = V[self.u, self.u] - cross - cross.T + w**2 * (X.T @ (V[q, q] @ X))
        B[1:, 0] = B[0, 1:]
        B[u, p] = B[p, u].T
        return B


def cone_height(first: Array, norms: Array) -> Array:
    """Return the first entries of the projections onto the second-order cone."""
    middle = np.clip(0.5 * (first + norms), 0.0, None)
    return np.where(first >= norms, first, np.where(first <= -norms, 0.0, middle))


@dataclasses.dataclass(frozen=True)
class Level:
    """What is known about ``Y_aa``: its price, or that it is one.

    Parameters
    ----------
    price : float
        Weight of ``Y_aa`` in the objective.
    fixed : bool
        Whether ``Y_aa = 1`` instead.
    """

    price: float = 0.0
    fixed: bool = False

    def project(self, aa: float, uu: Array, rho: float) -> tuple[float, Array]:
        """Return the proximal point of (Y_aa, diag Y_uu) with Y_aa >= tr Y_uu."""
        if self.fixed:
            return 1.0, uu - max(float(uu.sum()) - 1.0, 0.0) / len(uu)
        aa -= self.price / rho
        excess = max(float(uu.sum()) - aa, 0.0) / (1 + len(uu))
        return aa + excess, uu - excess


class Pull:
    """Theta of the loss: the multiplier of ``z = sum_i sign_i Y_i[a, p]``.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Targets.
    loss : str
        Key of ``LOSSES``.
    """

    def __init__(self, y: Array, loss: str) -> None:
        self.y, self.loss, self.name = y, LOSSES[loss], loss

    def __call__(self, lifts: list[Lift], V: list[Array], rho: float) -> Array:
        """Solve ``theta = -l'(z(theta))``, where z is piecewise linear in theta.

        Raising theta_k raises the entries (a, p_k) of the lifts of positive sign before
        they are projected, by ``theta_k / (2 rho w)``.
        """
        n, weight = lifts[0].n, lifts[0].weight
        pace = 1.0 / (2.0 * rho * weight)
        signs = np.array([lift.sign for lift in lifts])[:, None]
        first = np.stack([v[0, lift.p] for lift, v in zip(lifts, V, strict=True)])
        first = first.astype(np.float64)
        norms = np.zeros_like(first)
        alive = np.ones_like(first)
        for i, (lift, v) in enumerate(zip(lifts, V, strict=True)):
            if lift.cone:
                part = v[lift.p, lift.u].astype(np.float64)
                norms[i] = np.sqrt(np.einsum("ij,ij->i", part, part))
            alive[i, lift.zero[lift.zero < n]] = 0.0
        alive *= signs / weight

        def output(theta: Array) -> Array:
            heights = cone_height(first + signs * pace * theta, norms)
            z: Array = np.sum(alive * heights, axis=0)
            return z

        low, high = np.zeros(n), self.loss.theta(output(np.zeros(n)), self.y)
        low, high = np.minimum(low, high), np.maximum(low, high)
        kinks = np.concatenate([norms - first, -norms - first]) / pace
        kinks *= np.concatenate([signs, signs])
        for kink in kinks:  # shrink the bracket to a piece on which z is linear
            inside = (kink > low) & (kink < high)
            theta = np.where(inside, kink, low)
            rises = self.loss.theta(output(theta), self.y) > theta
            low = np.where(inside & rises, theta, low)
            high = np.where(inside & ~rises, theta, high)
        z_low, z_high = output(low), output(high)
        if self.name == "squared":
            slope = (z_high - z_low) / np.maximum(high - low, np.finfo(float).tiny)
            theta = (self.y - z_low + slope * low) / (1.0 + slope)
            clipped: Array = np.clip(theta, low, high)
            return clipped
        width, rise = high - low, z_high - z_low
        below, above = np.zeros(n), np.ones(n)
        for _ in range(BISECTIONS):
            middle = 0.5 * (below + above)
            theta = low + middle * width
            rises = self.loss.theta(z_low + middle * rise, self.y) > theta
            below = np.where(rises, middle, below)
            above = np.where(rises, above, middle)
        return low + 0.5 * (below + above) * width


@dataclasses.dataclass
class Dual:
    """Dual variables of one lift, in the terms of the certificate.

    Parameters
    ----------
    products : ndarray of shape (2 + 2n, 2 + 2n)
        Symmetric coefficients of the products of a, t, p, q.
    cone : ndarray of shape (1 + 2n, d)
        Vectors w of the rows t, p, q.
    trace : float
        The number tau.
    """

    products: Array
    cone: Array
    trace: float


class DouglasRachford:
    """ADMM over several lifts that share one theta.

    Parameters
    ----------
    lifts : list of Lift
        One for each sign and leaf.
    pull : callable
        Maps (lifts, V, rho) to theta (n,).
    level : Level
        Price of ``Y_aa``.
    start : list of ndarray, optional
        First K of each lift.
    rho : float
        First penalty parameter; it is adapted.
    """

    def __init__(
        self,
        lifts: list[Lift],
        pull: Callable[[list[Lift], list[Array], float], Array],
        level: Level,
        *,
        rho: float,
        start: list[Array] | None = None,
    ) -> None:
        self.lifts, self.pull, self.level, self.rho = lifts, pull, level, rho
        shapes = [(lift.size, lift.size) for lift in lifts]
        self.K = [np.zeros(s) for s in shapes] if start is None else list(start)
        self.U = [np.zeros(s) for s in shapes]
        self.nit = 0
        self.ranks = [0] * len(lifts)
        self._slopes: list[Array] = []
        self.primal = self.dual = np.inf
        self.theta: Array = np.zeros(lifts[0].n)
        size = sum(lift.size**2 for lift in lifts)
        fits = 2 * MEMORY * size <= LARGEST_MEMORY
        self._anderson = Anderson(size) if fits else None

    def step(self) -> None:
        """One iteration, and an accelerated point now and then.

        ``primal`` is NaN afterwards if the arithmetic failed.
        """
        try:
            self._step()
        except LinAlgError:  # no eigenvectors found
            self.primal = np.nan

    def _step(self) -> None:
        due = self.nit >= WARM_UP and self.nit % ACCELERATE_EVERY == 0
        before = self._state() if due and self._anderson is not None else None
        self._plain_step()
        if self.nit % BALANCE_EVERY == 0 and self._balance():
            if self._anderson is not None:
                self._anderson.reset()
        elif before is not None and np.isfinite(self.primal):
            self._accelerate(before)

    def _plain_step(self) -> None:
        """Proximal step of the simple sets, then the eigenvalues."""
        V = [K - U for K, U in zip(self.K, self.U, strict=True)]
        self.theta = self.pull(self.lifts, V, self.rho)
        self._slopes = []
        primal = dual = size = size_of_dual = 0.0
        for i, lift in enumerate(self.lifts):
            shift = lift.sign * self.theta / (2.0 * self.rho * lift.weight)
            simple = lift.project(V[i], shift, self.level, self.rho)
            self._slopes.append(self.rho * (V[i] - simple))
            ahead = RELAXATION * simple + (1.0 - RELAXATION) * self.K[i] + self.U[i]
            psd, self.ranks[i] = lift.onto_psd(ahead)
            self.U[i] = ahead - psd
            primal += _square(simple - psd)
            dual += _square(psd - self.K[i])
            size += max(_square(simple), _square(psd))
            size_of_dual += _square(self.U[i])
            self.K[i] = psd
        self.nit += 1
        tiny = np.finfo(np.float64).tiny
        self.primal = float(np.sqrt(primal / max(size, tiny)))
        self.dual = float(np.sqrt(dual / max(size_of_dual, tiny)))

    def _state(self) -> Array:
        """Return the point before its projection, which determines the rest."""
        pairs = zip(self.K, self.U, strict=True)
        return np.concatenate([(K + U).ravel() for K, U in pairs])

    def _accelerate(self, before: Array) -> None:
        assert self._anderson is not None
        after = self._state()
        point, end = self._anderson.propose(after, after - before), 0
        for i, lift in enumerate(self.lifts):
            begin, end = end, end + lift.size**2
            ahead = point[begin:end].reshape(lift.size, lift.size)
            self.K[i], self.ranks[i] = lift.onto_psd(ahead)
            self.U[i] = ahead - self.K[i]

    def duals(self) -> list[Dual]:
        """Return the dual variables that belong to the present theta."""
        return [
            _dual_of(lift, slope, self.theta)
            for lift, slope in zip(self.lifts, self._slopes, strict=True)
        ]

    def _balance(self) -> bool:
        """Change rho where the residuals differ much; tells whether it did."""
        limit = 2.0 if self.nit < SETTLED else 1.25
        factor = float(np.sqrt(self.primal / max(self.dual, 1e-300)))
        if 1.0 / IMBALANCE <= factor <= IMBALANCE:
            return False
        factor = min(max(factor, 1.0 / limit), limit)
        self.rho *= factor
        self.U = [U / factor for U in self.U]
        return True


def _square(M: Array) -> float:
    return float(np.vdot(M, M))


def _dual_of(lift: Lift, slope: Array, theta: Array) -> Dual:
    """Read the coefficients off the subgradient of the simple sets.

    As a quadratic form in T z it is the objective minus the combination of products.
    """
    n, w = lift.n, lift.weight
    products = np.zeros((2 + 2 * n, 2 + 2 * n))
    products[2:, 2:] = -(w**2) * slope[lift.rows, lift.rows]
    first = -slope[0, lift.rows].astype(np.float64)
    first[:n] -= lift.sign * theta / (2.0 * w)
    cone = np.zeros((1 + 2 * n, lift.d))
    if lift.cone:
        cone[1:] = -2.0 * w * slope[lift.rows, lift.u]
    products[0, 2:] = w * first - 0.5 * np.linalg.norm(cone[1:], axis=1)
    products[2:, 0] = products[0, 2:]
    free = np.zeros(products.shape, dtype=bool)
    sample = np.arange(n)
    free[2 + sample, 2 + n + sample] = free[2 + n + sample, 2 + sample] = True
    free[2 + lift.zero] = True
    free[:, 2 + lift.zero] = True
    if not lift.products:
        products[2:, 2:] *= np.eye(2 * n) + free[2:, 2:]
    np.maximum(products, 0.0, out=products, where=~free)
    return Dual(products, cone, float(slope[-1, -1]))


def check_rows(n: int) -> None:
    """Raise an error where matrices of order 2n do not fit into memory."""
    if n > LARGEST_ROWS:
        raise ValueError(
            f"X has {n} rows; the bound over all networks works with matrices of twice "
            f"that order, at most {2 * LARGEST_ROWS}: use scope='patterns' or "
            "certificate='patterns', or fewer rows."
        )


def scaled(X: Array) -> tuple[Array, float]:
    """Return X with a Frobenius norm in [1, 2), and the power of two left out."""
    exponent = scale_exponent(X)
    return np.ldexp(X, -exponent), float(np.ldexp(1.0, exponent))
