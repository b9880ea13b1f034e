"""Gated units that all classes share: one group lasso for several outputs.

Minimises ``sum_k l(z_k, y_k) + alpha sum_i |U_i|_F`` with ``Z = sum_i D_i X U_i`` by
the splitting of admm.py: the matrix that couples the blocks is the same for every
output, so the outputs are columns of one right-hand side.
"""

import time
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult

from convexnn import _kernels
from convexnn._measure_multiclass import class_columns, is_one_of_each
from convexnn.admm import (
    CHECK_EVERY,
    RELAXATION,
    Factor,
    balance,
    factorize,
    first_rho,
)
from convexnn.anderson import INTERVAL, Anderson
from convexnn.driver import Driver, Solution
from convexnn.patterns import PatternSet, as_matrix
from convexnn.program import Settings, as_patterns, check_alpha
from convexnn.programs import final_status
from farkas.certificate import Certificate
from farkas.result import make_result
from farkas.verification import certify

Array = NDArray[np.float64]

PROBLEM = "convexnn.multiclass/1"
LOSSES = ("squared", "softmax")

ADAPT_AT = (20, 60, 180, 540)  # then rho is fixed, as the convergence proof needs


def solve_multiclass(
    X: ArrayLike,
    y: ArrayLike,
    patterns: "ArrayLike | PatternSet",
    *,
    alpha: float,
    loss: str = "softmax",
    tol: float = 1e-4,
    max_iter: int = 5000,
    max_time: float | None = None,
    rho: float | str = "auto",
    callback: Any = None,
    history_every: int = 1,
    verbose: int = 0,
) -> OptimizeResult:
    """Train gated units that all classes share, to proven optimality.

    Parameters
    ----------
    X : array-like of shape (n, d)
        Data. A hidden bias is an extra constant column.
    y : array-like of shape (n,) or (n, C)
        Class labels; with the squared loss also C columns of targets.
    patterns : array-like of shape (n, P) or PatternSet
        Activation patterns of the gates, 0/1.
    alpha : float
        Weight of the penalty ``sum_i |U_i|_F``, positive.
    loss : {"softmax", "squared"}, default="softmax"
        Cross-entropy of the softmax of the outputs, or half the squared distance to
        targets: +1 for the class and -1 for the others, if y are labels.
    tol, max_iter, max_time, rho, callback, history_every, verbose
        As in :func:`solve_relu`.

    Returns
    -------
    OptimizeResult
        ``x`` of shape (C, d, P), ``fun``, ``lower_bound``, ``gap``, ``certificate`` and
        the usual fields.

    Raises
    ------
    ValueError
        If an argument has a wrong shape or value.

    References
    ----------
    Mishkin, Sahiner, Pilanci, "Fast Convex Optimization for Two-Layer ReLU Networks",
    arXiv:2202.01331.

    Examples
    --------
    >>> import numpy as np
    >>> from convexnn import sample_patterns
    >>> from convexnn.multiclass import solve_multiclass
    >>> X = np.array([[0.0, 1], [1, 1], [2, 1], [3, 1]])
    >>> patterns = sample_patterns(X, 4, random_state=0)
    >>> result = solve_multiclass(X, ["a", "b", "b", "c"], patterns, alpha=0.1)
    >>> result.x.shape, result.success
    ((3, 2, 4), True)
    """
    X, labels = as_matrix(X), np.asarray(y)
    if loss not in LOSSES:
        raise ValueError(f"loss={loss!r} must be one of {LOSSES}.")
    if labels.shape[:1] != (len(X),) or labels.ndim > 2:
        raise ValueError(f"y must have {len(X)} rows, got shape {labels.shape}.")
    encoding = "none" if labels.ndim == 2 else "labels"
    Y = class_columns(labels, encoding)
    if loss == "softmax" and not is_one_of_each(Y):
        raise ValueError("loss='softmax' needs class labels y of shape (n,).")
    if not np.isfinite(Y).all():
        raise ValueError("y must not contain NaN or infinity.")
    check_alpha(alpha, "relu", loss)
    patterns = as_patterns(patterns, X)
    settings = Settings.validated(
        tol, max_iter, max_time, rho, callback, history_every, verbose
    )
    solution = solve_shared(X, Y, patterns, float(alpha), loss, settings)
    parameters = {"alpha": float(alpha), "loss": loss, "encoding": encoding}
    certificate = mint_multiclass(
        solution, (X, y), patterns, parameters | {"intercept": 0.0}, settings.tol
    )
    return make_result(
        solution.bounds.x(),
        fun=certificate.upper,
        status=final_status(solution.status, certificate),
        nit=solution.nit,
        certificate=certificate,
        history=solution.history,
        elapsed=solution.elapsed,
        state=solution.state,
        message="Interrupted by the user." if solution.interrupted else None,
        lower_bound=certificate.lower,
        gap=certificate.gap,
    )


def solve_shared(
    X: Array,
    Y: Array,
    patterns: PatternSet,
    alpha: float,
    loss: str,
    settings: Settings,
) -> Solution:
    """Run the driver on validated data.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Data with the intercept column.
    Y : ndarray of shape (n, C)
        Targets; +1 and -1 for the softmax loss.
    patterns : PatternSet
        Gates.
    alpha : float
        Weight of the penalty.
    loss : {"squared", "softmax"}
        Loss.
    settings : Settings
        When to stop and whom to tell.

    Returns
    -------
    Solution
        Its ``bounds`` are :class:`SharedBounds`.
    """
    begun = time.perf_counter()
    factor = factorize(X, patterns.D, "gated", "eigh")
    iteration = SharedIteration(factor, Y, alpha, loss, rho=settings.rho)
    bounds = SharedBounds(factor, Y, alpha, loss)
    return Driver(settings, iteration, bounds, begun).run()


def mint_multiclass(
    solution: Solution,
    data: tuple[Any, Any],
    patterns: PatternSet,
    parameters: dict[str, Any],
    tol: float,
) -> Certificate:
    """Certify a solution on the data that the user passed.

    Parameters
    ----------
    solution : Solution
        What the driver found.
    data : tuple
        (X, y) as passed by the user.
    patterns : PatternSet
        Gates.
    parameters : dict
        ``alpha``, ``loss``, ``encoding`` and ``intercept``.
    tol : float
        Relative gap that counts as solved.

    Returns
    -------
    Certificate
    """
    bounds = cast("SharedBounds", solution.bounds)
    witness = {"patterns": patterns.D, "V": bounds.x(), "theta": bounds.theta}
    return certify(PROBLEM, data, witness, parameters, tolerance=tol)


class SharedIteration:
    """Douglas-Rachford splitting as in admm.py, for C outputs at once."""

    check_every = CHECK_EVERY

    def __init__(
        self, factor: Factor, Y: Array, alpha: float, loss: str, *, rho: float | None
    ) -> None:
        self.factor, self.Y, self.loss = factor, Y, loss
        self.alpha = alpha * factor.scale
        (n, r), P, C = factor.A.shape, len(factor.D), Y.shape[1]
        self._shape = P, r, C
        self._weights = slice(0, P * r * C)
        size = P * r * C + (0 if loss == "squared" else n * C)
        self.rho = first_rho(rho, self.alpha, P, Y.ravel())
        self.nit = 0
        self.point, self.prox = np.zeros(size), np.zeros(size)
        self._image, self._step = np.zeros(size), np.full(size, np.inf)
        self.prediction = np.zeros_like(Y)
        self._before = self.point
        self._own = np.argmax(Y, axis=1)
        self.anderson = Anderson(size)

    def state(self) -> dict[str, Any]:
        """Return the point, for a look at it."""
        return {"point": self.point.copy(), "rho": self.rho, "nit": self.nit}

    def advance(self) -> None:
        """Move the point by one relaxed splitting step, accelerated now and then."""
        self.nit += 1
        self._apply_prox()
        self._minimize_loss()
        np.subtract(self._image, self.prox, out=self._step)
        self._step *= RELAXATION
        image = self.point + self._step
        if self.nit in ADAPT_AT:
            self.point = image
            self._adapt_rho()
        elif self.nit % INTERVAL == 0:
            self.point = self.anderson.propose(image, self._step)
        else:
            self.point = image

    def blocks(self) -> Array:
        """Return the weights of the last step, (P, r, C)."""
        return self.prox[self._weights].reshape(self._shape).copy()

    def theta(self) -> Array:
        """Return the dual point -L'(Z) of the last step, (n, C)."""
        if self.loss == "squared":
            return self.Y - self.prediction
        part = slice(self._weights.stop, None)
        return (self.rho * (self.prox[part] - self._before[part])).reshape(self.Y.shape)

    def multipliers(self) -> Array:
        """Return nothing: there are no cones."""
        return np.zeros((0, 0))

    def is_stationary(self) -> bool:
        """Whether the last step was rounding."""
        size = float(np.linalg.norm(self.point))
        return float(np.linalg.norm(self._step)) <= 1e-15 * size

    def _apply_prox(self) -> None:
        self._before = self.point
        P = self._shape[0]
        flat = self.point[self._weights].reshape(P, -1)
        out = self.prox[self._weights].reshape(P, -1)
        _kernels.shrink_blocks(flat, self.alpha / self.rho, out)
        if self.loss == "softmax":
            part = slice(self._weights.stop, None)
            a = self.point[part].reshape(self.Y.shape)
            z = self.prox[part].reshape(self.Y.shape)  # from the last one
            _kernels.prox_softmax(a, self._own, self.rho, z)

    def _minimize_loss(self) -> None:
        """Set (u, F u), the minimiser of the loss plus ``rho/2 |u - (2 v - x)|^2``."""
        factor = self.factor
        P, r, C = self._shape
        part = slice(self._weights.stop, None)
        weight, target = self.rho, self.Y
        if self.loss == "softmax":
            weight = 1.0
            target = (2.0 * self.prox[part] - self.point[part]).reshape(self.Y.shape)
        u = 2.0 * self.prox[self._weights] - self.point[self._weights]
        u = u.reshape(self._shape)
        Z = predict(factor, u)
        Q, e = factor.eigenvectors, factor.eigenvalues
        q = Q @ ((Q.T @ (target - Z)) / (weight + e)[:, None])
        masked = (factor.D[:, :, None] * q).transpose(1, 0, 2).reshape(len(q), P * C)
        push = (factor.A.T @ masked).reshape(r, P, C).transpose(1, 0, 2)
        self._image[self._weights] = (u + push).ravel()
        self.prediction = target - weight * q
        if self.loss == "softmax":
            self._image[part] = self.prediction.ravel()

    def _adapt_rho(self) -> None:
        """Balance the relative primal and dual residuals (Boyd et al., 2011)."""
        before = self.prox.copy()
        self._apply_prox()
        dual = self.point - self.prox
        size = float(np.linalg.norm(dual))
        largest = max(np.linalg.norm(self._image), np.linalg.norm(before), size)
        primal_residual = float(np.linalg.norm(self._image - before)) / (largest or 1.0)
        dual_residual = float(np.linalg.norm(self.prox - before)) / (size or 1.0)
        rho = balance(self.rho, primal_residual, dual_residual)
        if rho == self.rho:
            return
        self.point = self.prox + dual * (self.rho / rho)
        self._before = self.point
        self.rho = rho
        self.anderson.reset()


class SharedBounds:
    """Best upper and lower bound so far, each with its witness."""

    def __init__(self, factor: Factor, Y: Array, alpha: float, loss: str) -> None:
        self.factor, self.Y, self.loss = factor, Y, loss
        self.alpha = alpha * factor.scale
        self.blocks = np.zeros((len(factor.D), factor.A.shape[1], Y.shape[1]))
        self.upper = self._loss(np.zeros_like(Y))
        self.lower, self.theta = -np.inf, np.zeros_like(Y)

    @property
    def gap(self) -> float:
        """Difference of the two bounds."""
        return self.upper - self.lower

    def state(self) -> dict[str, Any]:
        """Return the bounds."""
        names = ("upper", "lower", "blocks", "theta")
        return {name: getattr(self, name) for name in names}

    def try_primal(self, blocks: Array) -> None:
        """Keep ``blocks`` if they are the best point."""
        norms = np.sqrt(np.sum(blocks**2, axis=(1, 2)))
        value = self._loss(predict(self.factor, blocks)) + self.alpha * norms.sum()
        if value < self.upper:
            self.upper, self.blocks = float(value), blocks

    def try_dual(
        self, theta: Array, multipliers: Array, *, project: bool = False
    ) -> None:
        """Keep ``theta``, scaled into the feasible set, if it is the best bound."""
        own = self.Y > 0
        if self.loss == "softmax":
            t = np.where(own, 0.0, np.clip(-theta, 0.0, 1.0))
            t /= np.maximum(t.sum(axis=1, keepdims=True), 1.0)
            theta = np.where(own, t.sum(axis=1, keepdims=True), -t)
        norm = self._largest_gradient(theta)
        s = self.alpha / norm if norm > 0 else np.inf
        if self.loss == "squared":
            power = float(np.sum(theta**2))
            s = min(max(float(np.sum(theta * self.Y)) / power, 0.0), s) if power else 0
            lower = float(np.sum(s * theta * self.Y - 0.5 * (s * theta) ** 2))
        else:
            p = np.where(own, 1.0, 0.0) - min(s, 1.0) * theta
            p = np.maximum(p, 1e-300)
            lower = -float(np.sum(p * np.log(p)))
        if lower > self.lower:
            self.lower, self.theta = lower, theta

    def zero_is_optimal(self) -> bool:
        """Whether the zero network is optimal: alpha is at least alpha_max."""
        theta = self.Y.copy()
        if self.loss == "softmax":
            theta = (self.Y > 0) - 1.0 / self.Y.shape[1]
        if self._largest_gradient(theta) > self.alpha * (1 + 1e-12):
            return False
        self.try_dual(theta, np.zeros((0, 0)))
        return True

    def x(self) -> Array:
        """Return the weights (C, d, P) of the user's program."""
        columns = range(self.Y.shape[1])
        return np.stack([self.factor.to_user(self.blocks[:, :, c]) for c in columns])

    def _loss(self, Z: Array) -> float:
        if self.loss == "squared":
            return 0.5 * float(np.sum((Z - self.Y) ** 2))
        largest = Z.max(axis=1)
        sums = np.log(np.exp(Z - largest[:, None]).sum(axis=1))
        return float(np.sum(largest + sums - Z[self.Y > 0]))

    def _largest_gradient(self, theta: Array) -> float:
        D, A = self.factor.D, self.factor.A
        square = sum(
            np.sum(((D * theta[:, c]) @ A) ** 2, axis=1) for c in range(theta.shape[1])
        )
        return float(np.sqrt(np.max(square)))


def predict(factor: Factor, blocks: Array) -> Array:
    """Return ``Z = sum_i D_i A U_i`` (n, C) for blocks (P, r, C)."""
    P, r, C = blocks.shape
    products = factor.A @ blocks.transpose(1, 0, 2).reshape(r, P * C)
    return np.sum(factor.D.T[:, :, None] * products.reshape(-1, P, C), axis=1)
