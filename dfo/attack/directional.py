"""Directional attacks: move an input so that the output goes along a direction.

For a small radius r the best move ``d``, ``|d| <= r``, follows ``g = J(x)' u``
(arXiv:2510.01461, section 3; Goodfellow et al. 2015; Madry et al. 2018; Dong et al.
2018). All rows of a batch are attacked together.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult

from dfo.attack.network import as_network
from farkas.base import check_choice, check_number

Array = NDArray[np.float64]

METHODS = ("fgsm", "pgd", "mifgsm")
NORMS = ("inf", 2, 1)
LOSSES = ("linear", "cross_entropy")
GRADIENTS = ("auto", "exact", "spsa", "fd", "gaussian")
# Ten steps of this many radii in total reach every point of the ball.
REACH = 2.5
# Half-width of differences: relative to the radius, with a floor against rounding.
DIFFERENCE, FLOOR = 1e-3, 1e-6
# Where the gradient vanishes: samples, and share of the radius, of a smoothed one.
SMOOTH_SAMPLES, SMOOTH_SHARE = 8, 0.5


def directional_attack(
    network: Any,
    x: ArrayLike,
    direction: ArrayLike,
    radius: float,
    *,
    norm: Any = "inf",
    method: str = "pgd",
    steps: int = 10,
    step_size: float | None = None,
    momentum: float = 1.0,
    restarts: int = 0,
    loss: str = "linear",
    gradient: str = "auto",
    n_samples: int = 32,
    bounds: Any = None,
    random_state: Any = None,
) -> OptimizeResult:
    """Push the output of a network along a direction, by a small move of the input.

    Parameters
    ----------
    network : object
        Anything that :func:`as_network` takes.
    x : array-like of shape (n,) or (m, n)
        Inputs.
    direction : array-like of shape (p,) or (m, p)
        Where the outputs shall go.
    radius : float
        Of the ball that the move stays in.
    norm : {"inf", 2, 1}, default="inf"
        Of the ball.
    method : {"fgsm", "pgd", "mifgsm"}, default="pgd"
        One step, projected steps, or steps with momentum.
    steps : int, default=10
        Number of steps.
    step_size : float, optional
        Default ``2.5 radius / steps``, and ``radius / steps`` with momentum.
    momentum : float, default=1.0
        Decay of the momentum.
    restarts : int, default=0
        Random starts of ``"pgd"`` besides the one at `x`; the best is kept.
    loss : {"linear", "cross_entropy"}, default="linear"
        What is pushed up: ``u.Phi``, or ``u.log_softmax(Phi(x + d) - Phi(x))``.
    gradient : {"auto", "exact", "spsa", "fd", "gaussian"}, default="auto"
        Exact where the network has it, else by differences: random signs, every
        coordinate, or normal directions.
    n_samples : int, default=32
        Directions of ``"spsa"`` and ``"gaussian"``.
    bounds : array-like of shape (n, 2), optional
        Box that ``x`` lies in and does not leave.
    random_state : int, Generator or None
        For random starts and differences.

    Returns
    -------
    OptimizeResult
        With ``x`` (attacked), ``perturbation``, ``gain`` (``u.(Phi(x+d) - Phi(x))``),
        ``nfev``, ``njev`` (rows evaluated), ``status`` (0, or 1 where no direction was
        found) and ``message``.

    Raises
    ------
    ValueError
        If an argument is out of range, or a direction is zero or of wrong length.

    Examples
    --------
    >>> import numpy as np
    >>> from dfo import directional_attack
    >>> net = ([np.eye(2)], [np.zeros(2)], "identity")
    >>> directional_attack(net, [0.0, 0.0], [1.0, -2.0], 0.5, method="fgsm").x
    array([ 0.5, -0.5])
    """
    phi = as_network(network)
    check_choice("method", method, METHODS)
    check_choice("loss", loss, LOSSES)
    check_choice("gradient", gradient, GRADIENTS)
    norm = _read_norm(norm)
    check_number("radius", radius, low=0, inclusive="neither")
    for name, value in (("steps", steps), ("n_samples", n_samples)):
        check_number(name, value, low=1, integer=True)
    check_number("restarts", restarts, low=0, integer=True)
    check_number("momentum", momentum, low=0)
    if step_size is not None:
        check_number("step_size", step_size, low=0, inclusive="neither")
    x = np.asarray(x, dtype=np.float64)
    X = np.atleast_2d(x)
    if X.ndim != 2 or not np.isfinite(X).all():
        raise ValueError(f"x of shape {x.shape} must be finite, (n,) or (m, n).")
    lower, upper = _box(bounds, X)
    rng = np.random.default_rng(random_state)
    attack = _Attack(phi, X, direction, float(radius), norm, lower, upper, rng)
    attack.differences = gradient
    attack.n_samples, attack.loss = n_samples, loss
    if method == "fgsm":
        D = attack.fgsm()
    elif method == "pgd":
        D = attack.pgd(steps, step_size, restarts)
    else:
        D = attack.momentum(steps, step_size, momentum)
    return attack.result(D, x.ndim == 1)


def unit_step(G: Array, norm: Any) -> Array:
    """Return the move of length 1 along which a linear function grows most.

    Parameters
    ----------
    G : ndarray of shape (m, n)
        Gradients.
    norm : {"inf", 2, 1}
        Of the ball.

    Returns
    -------
    ndarray of shape (m, n)
        Zero where the gradient is.
    """
    if norm == "inf":
        return np.sign(G)
    if norm == 2:
        # Divided by the largest entry first: squares of tiny gradients underflow.
        largest = np.abs(G).max(axis=1, keepdims=True)
        G = G / np.where(largest > 0, largest, 1.0)
        lengths = np.linalg.norm(G, axis=1, keepdims=True)
        return G / np.where(lengths > 0, lengths, 1.0)
    step = np.zeros_like(G)
    rows = np.arange(len(G))
    first = np.argmax(np.abs(G), axis=1)
    step[rows, first] = np.sign(G[rows, first])
    return step


def project(D: Array, radius: float, norm: Any) -> Array:
    """Return the nearest points of a ball.

    Parameters
    ----------
    D : ndarray of shape (m, n)
        Moves.
    radius : float
        Of the ball.
    norm : {"inf", 2, 1}
        Of the ball.

    Returns
    -------
    ndarray of shape (m, n)
    """
    if norm == "inf":
        return np.clip(D, -radius, radius)
    if norm == 2:
        lengths = np.linalg.norm(D, axis=1, keepdims=True)
        return D * np.minimum(1.0, radius / np.maximum(lengths, 1e-300))
    # Soft threshold at the level at which the sum of the rest is the radius.
    size = np.abs(D)
    ordered = -np.sort(-size, axis=1)
    levels = (np.cumsum(ordered, axis=1) - radius) / np.arange(1, D.shape[1] + 1)
    last = np.sum(ordered > levels, axis=1) - 1
    level = np.maximum(levels[np.arange(len(D)), np.maximum(last, 0)], 0.0)
    return np.sign(D) * np.maximum(size - level[:, None], 0.0)


class _Attack:
    """What the three methods share: gradients, projections, and the count of calls."""

    def __init__(
        self,
        phi: Any,
        X: Array,
        direction: Any,
        radius: float,
        norm: Any,
        lower: Array,
        upper: Array,
        rng: np.random.Generator,
    ) -> None:
        self.phi, self.X, self.radius, self.norm = phi, X, radius, norm
        self.lower, self.upper, self.rng = lower, upper, rng
        self.nfev = self.njev = 0
        self.Y = self.forward(X)
        U = np.asarray(direction, dtype=np.float64)
        p = self.Y.shape[1]
        if (
            U.ndim not in (1, 2)
            or U.shape[-1] != p
            or (U.ndim == 2 and len(U) != len(X))
        ):
            raise ValueError(
                f"direction of shape {U.shape} must be ({p},), one weight for each "
                f"output, or ({len(X)}, {p})."
            )
        if not np.isfinite(U).all() or not np.abs(np.atleast_2d(U)).sum(axis=1).all():
            raise ValueError("direction must be finite, and not zero.")
        self.U = np.broadcast_to(U, (len(X), p)).astype(np.float64)
        self.loss, self.differences, self.n_samples = "linear", "auto", 32
        self.no_direction = np.zeros(len(X), dtype=bool)

    def forward(self, X: Array) -> Array:
        self.nfev += len(X)
        return np.asarray(self.phi.forward(X), dtype=np.float64)

    def value(self, D: Array) -> Array:
        """Return what is pushed up, a number for every row."""
        return self._loss(self.forward(self.X + D))

    def _loss(self, Y: Array) -> Array:
        if self.loss == "linear":
            return np.einsum("ij,ij->i", self.U, Y)
        return np.einsum("ij,ij->i", self.U, _log_softmax(Y - self.Y))

    def gradient(self, D: Array) -> Array:
        how = self.differences
        if how == "auto":
            how = "exact" if self.phi.white_box else "spsa"
        if how == "exact":
            self.njev += len(D)
            U = self.U
            if self.loss == "cross_entropy":
                Y = self.forward(self.X + D)
                share = np.exp(_log_softmax(Y - self.Y))
                U = U - U.sum(axis=1, keepdims=True) * share
            return np.asarray(self.phi.vjp(self.X + D, U)[1], dtype=np.float64)
        if how == "fd":
            return self._differences(D, np.eye(self.X.shape[1]), 1.0)
        shape = (self.n_samples, self.X.shape[1])
        if how == "spsa":
            V = 2.0 * self.rng.integers(0, 2, shape) - 1.0
        else:
            V = self.rng.standard_normal(shape)
        return self._differences(D, V, 1.0 / self.n_samples)

    def _differences(self, D: Array, V: Array, weight: float) -> Array:
        size = np.abs(self.X).max(axis=1)
        s = np.maximum(DIFFERENCE * self.radius, FLOOR * np.maximum(1.0, size))[:, None]
        total = np.zeros_like(D)
        for v in V:
            rise = self.value(D + s * v) - self.value(D - s * v)
            total += weight * (rise / (2 * s[:, 0]))[:, None] * v
        return total

    def first_gradient(self) -> Array:
        """Gradient at the input; smoothed where it vanishes."""
        G = self.gradient(np.zeros_like(self.X))
        flat = ~np.isfinite(G).all(axis=1) | ~G.any(axis=1)
        if flat.any():
            smooth = np.zeros_like(G)
            for _ in range(SMOOTH_SAMPLES):
                v = SMOOTH_SHARE * self.radius * self.rng.standard_normal(G.shape)
                smooth += np.nan_to_num(self.gradient(v), posinf=0.0, neginf=0.0)
            G[flat] = smooth[flat] / SMOOTH_SAMPLES
            self.no_direction = ~G.any(axis=1)
        return G

    def inside(self, D: Array) -> Array:
        """Project on the ball, then on the box, which only shortens a move."""
        D = project(D, self.radius, self.norm)
        return np.clip(self.X + D, self.lower, self.upper) - self.X

    def fgsm(self) -> Array:
        return self.inside(self.radius * unit_step(self.first_gradient(), self.norm))

    def pgd(self, steps: int, step_size: float | None, restarts: int) -> Array:
        a = REACH * self.radius / steps if step_size is None else step_size
        best = np.zeros_like(self.X)
        top = self._loss(self.Y)
        for start in range(restarts + 1):
            D = np.zeros_like(self.X) if start == 0 else self._random_start()
            for k in range(steps):
                G = self.first_gradient() if start == k == 0 else self.gradient(D)
                D = self.inside(D + a * unit_step(np.nan_to_num(G), self.norm))
                best, top = self._keep(best, top, D)
        return best

    def momentum(self, steps: int, step_size: float | None, decay: float) -> Array:
        a = self.radius / steps if step_size is None else step_size
        best, top = np.zeros_like(self.X), self._loss(self.Y)
        D, M = np.zeros_like(self.X), np.zeros_like(self.X)
        for k in range(steps):
            G = self.first_gradient() if k == 0 else np.nan_to_num(self.gradient(D))
            M = decay * M + G / np.maximum(np.abs(G).sum(axis=1, keepdims=True), 1e-300)
            D = self.inside(D + a * unit_step(M, self.norm))
            best, top = self._keep(best, top, D)
        return best

    def _keep(self, best: Array, top: Array, D: Array) -> tuple[Array, Array]:
        values = self.value(D)
        better = values > top  # NaN is not
        best = np.where(better[:, None], D, best)
        return best, np.where(better, values, top)

    def _random_start(self) -> Array:
        n = self.X.shape[1]
        if self.norm == "inf":
            D = self.radius * (2 * self.rng.random(self.X.shape) - 1)
        else:
            D = self.rng.standard_normal(self.X.shape)
            lengths = np.linalg.norm(D, ord=self.norm, axis=1, keepdims=True)
            D *= self.radius * self.rng.random((len(D), 1)) ** (1 / n) / lengths
        return self.inside(D)

    def result(self, D: Array, single: bool) -> OptimizeResult:
        attacked = np.clip(self.X + D, self.lower, self.upper)
        Y = self.forward(attacked)
        gain = np.einsum("ij,ij->i", self.U, Y - self.Y)
        status = self.no_direction.astype(np.int64)
        D = attacked - self.X
        found = "A direction was found for every row."
        if self.no_direction.any():
            found = "no_direction: the gradient vanishes, also when it is smoothed."
        return OptimizeResult(
            x=attacked[0] if single else attacked,
            perturbation=D[0] if single else D,
            gain=float(gain[0]) if single else gain,
            nfev=self.nfev,
            njev=self.njev,
            status=int(status[0]) if single else status,
            success=bool(not self.no_direction.any()),
            message=found,
        )


def _log_softmax(Z: Array) -> Array:
    Z = Z - Z.max(axis=1, keepdims=True)
    return Z - np.log(np.exp(Z).sum(axis=1, keepdims=True))


def _read_norm(norm: Any) -> Any:
    if norm in ("inf", math.inf):
        return "inf"
    if norm in (1, 2) and not isinstance(norm, bool):
        return int(norm)
    raise ValueError(f"norm={norm!r} must be 'inf', 2 or 1.")


def _box(bounds: Any, X: Array) -> tuple[Array, Array]:
    n = X.shape[1]
    if bounds is None:
        return np.full(n, -np.inf), np.full(n, np.inf)
    pairs = np.asarray(
        [
            [-np.inf if lo is None else lo, np.inf if hi is None else hi]
            for lo, hi in bounds
        ],
        dtype=np.float64,
    )
    if pairs.shape != (n, 2) or not (pairs[:, 0] <= pairs[:, 1]).all():
        raise ValueError(f"bounds must be {n} pairs (lower, upper).")
    if not ((pairs[:, 0] <= X) & (pairs[:, 1] >= X)).all():
        raise ValueError("x lies outside of bounds; move it into the box first.")
    return pairs[:, 0], pairs[:, 1]
