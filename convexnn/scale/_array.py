"""The iteration of admm.py in array-API code, for GPUs by CuPy.

The projection onto the cones does not map to a GPU, so here the constraints are split,
``s_i = sqrt(w) S_i A u_i >= 0``, as in Bai, Gautam and Sojoudi (arXiv:2201.01965), and
every step is a matrix product or acts on single entries. The iteration is again

    (v, s, z) = prox of the point (x_v, x_s, x_z):  shrinkage, max(., 0), prox of loss
    u = argmin |u - (2 v - x_v)|^2 + |G u - (2 s - x_s)|^2 + |F u - (2 z - x_z)|^2
    point += 1.8 ((u, G u, F u) - (v, s, z))

Because ``S_i'S_i`` is the identity, all blocks of ``I + G'G`` are one r x r matrix
``B = I + w A'A``, and what couples them is the n x n matrix

    F B^-1 F' = 2 (D D') o (A B^-1 A')         (gated: without the 2, and B = I)
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import is_array_api_obj
from numpy.typing import NDArray

from convexnn._measure_losses import HUBER_DELTA
from convexnn.admm import ADAPT_AT, RELAXATION, Factor, balance, first_rho
from convexnn.anderson import INTERVAL, MEMORY, REGULARIZATION, SAFEGUARD
from convexnn.scale.rbcd import CONE_WEIGHT
from farkas.backend import asnumpy, get_namespace, to_device
from farkas.base import check_choice

HostArray = NDArray[np.float64]

# Precision of the iteration. Patterns, both bounds and certificates are always double.
DTYPES = ("float64", "float32")

# Largest n whose eigenvectors "auto" computes on a device; beyond, conjugate gradients.
LARGEST_EIGH = 16_000
# Relative residual of these, and their largest number of products.
CG_TOLERANCE, CG_ROUNDING = 1e-10, 20.0  # the latter in units of rounding
CG_PRODUCTS = 200
# Steps of the prox of the logistic loss; fewer than 20 are needed for rho from 1e-6.
PROX_STEPS = 40


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a computation runs, and in which library the user passed the data."""

    xp: Any
    device: Any
    user_xp: Any
    user_device: Any
    dtype: str = "float64"

    @property
    def has_kernels(self) -> bool:
        """Whether the host's kernels compute, which know double precision only."""
        return isinstance(self.device, str) and self.dtype == "float64"

    def to_user(self, x: Any) -> Any:
        """Return an array in the library of the data."""
        return to_device(x, self.user_xp, self.user_device)


def place(device: str, *arrays: Any, dtype: str = "float64") -> Place:
    """Find where a computation on these data runs; lists count as NumPy."""
    check_choice("dtype", dtype, DTYPES)
    known = [array for array in arrays if is_array_api_obj(array)]
    user_xp, user_device = get_namespace(*known)
    xp, home = get_namespace(*known, device=device)
    return Place(xp, home, user_xp, user_device, dtype)


def to_host(x: Any) -> Any:
    """Copy an array of a device to the host; anything else is returned as it is."""
    return asnumpy(x) if is_array_api_obj(x) else x


class ArrayIteration:
    """The splitting iteration of one program on a device; `advance` is one step of it.

    Parameters
    ----------
    factor : Factor
        Data and patterns; only ``A``, ``D`` and ``scale`` are used.
    y : ndarray of shape (n,)
        Targets.
    alpha : float
        Weight of the penalty in the user's program.
    loss : {"squared", "logistic", "hinge", "huber"}
        Loss.
    where : Place
        The device.
    u_update : {"auto", "eigh", "cg"}, default="auto"
        How the u-step is solved.
    rho : float, optional
        First penalty parameter.
    x0 : ndarray of shape (m, r), optional
        Blocks to start from.
    state : dict, optional
        What :meth:`state` returned.
    """

    check_every = 25

    def __init__(
        self,
        factor: Factor,
        y: HostArray,
        alpha: float,
        loss: str,
        *,
        where: Place,
        u_update: str = "auto",
        rho: float | None = None,
        x0: HostArray | None = None,
        state: dict[str, Any] | None = None,
    ) -> None:
        self.xp, self.device = where.xp, where.device
        xp = self.xp
        self.dtype, self._host_dtype = getattr(xp, where.dtype), np.dtype(where.dtype)
        self._eps = float(xp.finfo(self.dtype).eps)
        self.loss, self.relu = loss, factor.relu
        self.alpha = float(alpha * factor.scale)
        n, r = factor.A.shape
        m = factor.n_blocks
        self._copies = 2 if factor.relu else 1
        self._shape, self._slack_shape = (m, r), (m, n) if factor.relu else (0, n)
        self._ends = m * r, m * r + math.prod(self._slack_shape)
        size = self._ends[1] + (0 if loss == "squared" else n)
        self.A, self.D, self.y = (self._put(a) for a in (factor.A, factor.D, y))
        self._signs = xp.concat([2.0 * self.D - 1.0] * self._copies)
        self._weight = math.sqrt(CONE_WEIGHT) if factor.relu else 0.0
        metric = np.eye(r) + self._weight**2 * (factor.A.T @ factor.A)
        self._inverse = self._put(np.linalg.inv(metric))
        self._prox = _PROX.get(loss)
        if u_update == "auto":
            u_update = "eigh" if n <= LARGEST_EIGH else "cg"
        self._solve = self._eigh() if u_update == "eigh" else self._conjugate_gradients
        self.rho = first_rho(rho, self.alpha, m, y)
        self.nit = 0
        self._x = xp.zeros(size, dtype=self.dtype, device=self.device)
        if x0 is not None:
            self._x = self._images(self._put(x0))
        if state is not None:
            self.rho, self.nit = float(state["rho"]), int(state["nit"])
            self._x = self._put(state["point"])
        self._v, self._step = self._x, self._x + math.inf
        self._before = self._x
        self._image = self._x
        self._prediction = self.y * 0.0
        self._anderson = _Anderson(xp, self._put, state)

    @property
    def point(self) -> HostArray:
        """The point, copied to the host."""
        host: HostArray = asnumpy(self._x)
        return host

    def state(self) -> dict[str, Any]:
        """Return what continues this iteration, as NumPy arrays."""
        return {
            "point": self.point,
            "rho": self.rho,
            "nit": self.nit,
            **self._anderson.state(),
        }

    def advance(self) -> None:
        """Move the point by one relaxed splitting step, accelerated now and then."""
        self.nit += 1
        self._apply_prox()
        self._minimize_loss()
        self._step = RELAXATION * (self._image - self._v)
        image = self._x + self._step
        if self.nit in ADAPT_AT:
            self._x = image
            self._adapt_rho()
        elif self.nit % INTERVAL == 0:
            self._x = self._anderson.propose(image, self._step)
        else:
            self._x = image

    def blocks(self) -> HostArray:
        """Return the weights v of the last step, (m, r), copied to the host."""
        return _double(self._split(self._v)[0])

    def theta(self) -> HostArray:
        """Return the dual point -L'(F u) of the last step, (n,), copied to the host."""
        if self.loss == "squared":
            theta = self.y - self._prediction
        else:
            theta = self.rho * (self._split(self._v)[2] - self._split(self._before)[2])
        return _double(theta)

    def multipliers(self) -> HostArray:
        """Return the multipliers of the constraints, (m, n); gated: (0, 0)."""
        if not self.relu:
            return np.zeros((0, 0))
        slack = self._split(self._before)[1]
        return _double(self.rho * self._weight * _positive(self.xp, -slack))

    def is_stationary(self) -> bool:
        """Whether the last step was rounding: nothing more will be gained."""
        return self._norm(self._step) <= 4.0 * self._eps * self._norm(self._x)

    def _put(self, x: Any) -> Any:
        precise = np.ascontiguousarray(x, dtype=self._host_dtype)
        return to_device(precise, self.xp, self.device)

    def _norm(self, x: Any) -> float:
        return float(self.xp.linalg.vector_norm(x))

    def _split(self, vector: Any) -> tuple[Any, Any, Any]:
        """Return the parts of a vector: weights (m, r), slacks (m, n), samples."""
        first, second = self._ends
        return (
            self.xp.reshape(vector[:first], self._shape),
            self.xp.reshape(vector[first:second], self._slack_shape),
            vector[second:],
        )

    def _join(self, weights: Any, slacks: Any, samples: Any) -> Any:
        parts = [self.xp.reshape(weights, (-1,))]
        if self.relu:
            parts.append(self.xp.reshape(slacks, (-1,)))
        if self.loss != "squared":
            parts.append(samples)
        return self.xp.concat(parts)

    def _apply_prox(self) -> None:
        """Set (v, s, z) = prox of the point."""
        xp = self.xp
        self._before = self._x
        x, slack, samples = self._split(self._x)
        norms = xp.linalg.vector_norm(x, axis=1, keepdims=True)
        threshold = self.alpha / self.rho
        safe = xp.where(norms > threshold, norms, xp.ones_like(norms))
        shrink = xp.where(norms > threshold, 1.0 - threshold / safe, 0.0 * norms)
        if self._prox is not None:
            samples = self._prox(xp, samples, self.y, self.rho)
        self._v = self._join(shrink * x, _positive(xp, slack), samples)

    def _minimize_loss(self) -> None:
        """Set the image (u, G u, F u) of the reflected point."""
        center, slack, samples = self._split(2.0 * self._v - self._x)
        if self.loss == "squared":
            weight, target = self.rho, self.y
        else:
            weight, target = 1.0, samples
        if self.relu:
            center = center + self._weight * ((self._signs * slack) @ self.A)
        start = center @ self._inverse
        q = self._solve(weight, target - self._predict(start))
        push = ((self.D * q) @ self.A) @ self._inverse
        if self.relu:
            push = self.xp.concat([push, -push])
        self._prediction = target - weight * q
        self._image = self._images(start + push, self._prediction)

    def _images(self, u: Any, prediction: Any = None) -> Any:
        """Return ``(u, G u, F u)``."""
        if prediction is None:
            prediction = self._predict(u)
        slack = u
        if self.relu:
            products = u @ self.xp.matrix_transpose(self.A)
            slack = self._weight * (self._signs * products)
        return self._join(u, slack, prediction)

    def _predict(self, u: Any) -> Any:
        P = self.D.shape[0]
        u = u[:P, :] - u[P:, :] if self.relu else u
        products = u @ self.xp.matrix_transpose(self.A)
        return self.xp.sum(self.D * products, axis=0)

    def _eigh(self) -> Callable[[float, Any], Any]:
        """Diagonalise ``F B^-1 F'``, and return the solver by its eigenvectors."""
        xp = self.xp
        transposed = xp.matrix_transpose(self.A)
        coupling = self._copies * (xp.matrix_transpose(self.D) @ self.D)
        coupling = coupling * (self.A @ self._inverse @ transposed)
        e, Q = xp.linalg.eigh(coupling)
        e = _positive(xp, e)

        def solve(weight: float, b: Any) -> Any:
            return Q @ ((b @ Q) / (weight + e))

        return solve

    def _conjugate_gradients(self, weight: float, b: Any) -> Any:
        """Solve ``(w I + F B^-1 F') q = b`` with the diagonal as preconditioner."""
        xp = self.xp
        heights = xp.sum((self.A @ self._inverse) * self.A, axis=1)
        diagonal = weight + self._copies * heights * xp.sum(self.D, axis=0)
        q, residual = 0.0 * b, b
        direction = z = residual / diagonal
        product, target = (
            float(xp.sum(residual * z)),
            self._norm(b) * max(CG_TOLERANCE, CG_ROUNDING * self._eps),
        )
        for _ in range(CG_PRODUCTS):
            if not product > 0 or self._norm(residual) <= target:
                break
            push = ((self.D * direction) @ self.A) @ self._inverse
            if self.relu:
                push = xp.concat([push, -push])
            image = weight * direction + self._predict(push)
            step = product / float(xp.sum(direction * image))
            q = q + step * direction
            residual = residual - step * image
            z = residual / diagonal
            before, product = product, float(xp.sum(residual * z))
            direction = z + (product / before) * direction
        return q

    def _adapt_rho(self) -> None:
        """Balance the relative primal and dual residuals."""
        before = self._v
        self._apply_prox()
        dual = self._x - self._v
        size = self._norm(dual)
        largest = max(self._norm(self._image), self._norm(before), size)
        primal_residual = self._norm(self._image - before) / (largest or 1.0)
        dual_residual = self._norm(self._v - before) / (size or 1.0)
        rho = balance(self.rho, primal_residual, dual_residual)
        if rho == self.rho:
            return
        self._x = self._v + dual * (self.rho / rho)
        self._before = self._x
        self.rho = rho
        self._anderson.reset()


class _Anderson:
    """As convexnn.anderson.Anderson, with the long vectors on the device."""

    def __init__(
        self, xp: Any, put: Callable[[Any], Any], state: dict[str, Any] | None
    ) -> None:
        self.xp = xp
        self.residuals: list[Any] = []
        self.images: list[Any] = []
        self.gram = np.zeros((0, 0))
        self.last = math.inf
        if state is not None:
            self.residuals = [put(x) for x in state["anderson_residuals"]]
            self.images = [put(x) for x in state["anderson_images"]]
            self.gram = np.array(state["anderson_gram"])
            self.last = float(state["anderson_residual"])

    def state(self) -> dict[str, Any]:
        stacked = {
            "anderson_residuals": self.residuals,
            "anderson_images": self.images,
        }
        return {
            "anderson_gram": self.gram.copy(),
            "anderson_residual": self.last,
            **{
                name: np.array([asnumpy(x) for x in vectors])
                for name, vectors in stacked.items()
            },
        }

    def reset(self) -> None:
        self.residuals, self.images = [], []
        self.gram, self.last = np.zeros((0, 0)), math.inf

    def propose(self, image: Any, residual: Any) -> Any:
        """Return the next iterate after ``image = x + residual``."""
        xp = self.xp
        norm = float(xp.linalg.vector_norm(residual))
        if len(self.images) > 1 and norm > SAFEGUARD * self.last:
            good = self.images[-1]
            self.reset()
            return good
        self.residuals = [*self.residuals, residual][-MEMORY:]
        self.images = [*self.images, image][-MEMORY:]
        self.last = norm
        used = len(self.images)
        kept = self.gram[-(used - 1) :, -(used - 1) :] if used > 1 else self.gram
        products = [float(xp.sum(other * residual)) for other in self.residuals]
        self.gram = np.zeros((used, used))
        self.gram[: used - 1, : used - 1] = kept
        self.gram[-1, :] = self.gram[:, -1] = products
        square = float(np.trace(self.gram)) / used
        if used < 2 or square == 0.0:
            return image
        matrix = self.gram / square + REGULARIZATION * np.eye(used)
        weights = np.linalg.solve(matrix, np.ones(used))
        total = float(weights.sum())
        if not np.isfinite(total) or total <= 0:
            return image
        combined = 0.0 * image
        for weight, other in zip(weights / total, self.images, strict=True):
            combined = combined + float(weight) * other
        return combined


def _double(x: Any) -> HostArray:
    """Copy to the host, in double precision."""
    host: HostArray = np.asarray(asnumpy(x), dtype=np.float64)
    return host


def _positive(xp: Any, x: Any) -> Any:
    return xp.where(x > 0, x, xp.zeros_like(x))


def _clip(xp: Any, x: Any, low: float, high: float) -> Any:
    return low + _positive(xp, x - low) - _positive(xp, x - high)


def _prox_hinge(xp: Any, a: Any, y: Any, rho: float) -> Any:
    margin = y * a
    return y * (margin + _clip(xp, 1.0 - margin, 0.0, 1.0 / rho))


def _prox_huber(xp: Any, a: Any, y: Any, rho: float) -> Any:
    e, limit = a - y, HUBER_DELTA / rho
    return y + e - _clip(xp, e / (1.0 + rho), -limit, limit)


def _prox_logistic(xp: Any, a: Any, y: Any, rho: float) -> Any:
    """Find the root m of ``m - c - sigma(-m) / rho`` in ``[c, c + 1/rho]``, c = y a.

    Newton; a step that leaves the bracket, or is not half as long as the one before, is
    replaced by bisection. All entries take the same number of steps, as asking each
    whether it is done would stop the device.
    """
    c = y * a
    eps = float(xp.finfo(a.dtype).eps)
    low, high = c, c + 1.0 / rho
    m, before = 0.5 * (low + high), high - low
    for _ in range(PROX_STEPS):
        e = xp.exp(-xp.abs(m))
        sigma = xp.where(m >= 0, e, xp.ones_like(e)) / (1.0 + e)
        value = m - c - sigma / rho
        low, high = xp.where(value < 0, m, low), xp.where(value < 0, high, m)
        new = m - value / (1.0 + sigma * (1.0 - sigma) / rho)
        length, rounding = xp.abs(new - m), 2.0 * eps * (1.0 + xp.abs(m))
        short = (2.0 * length <= before) & (new > low) & (new < high)
        new = xp.where(short, new, 0.5 * (low + high))
        new = xp.where(length <= rounding, m, new)
        m, before = new, xp.abs(new - m)
    return y * m


_PROX: dict[str, Callable[[Any, Any, Any, float], Any]] = {
    "hinge": _prox_hinge,
    "huber": _prox_huber,
    "logistic": _prox_logistic,
}
