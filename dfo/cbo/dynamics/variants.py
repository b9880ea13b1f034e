"""Steps beyond the plain one: memory, gradients, batches, corrections, constraints.

With every option off, a step here is the step of the fused kernel.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dfo.cbo.dynamics import _kernels as k
from dfo.cbo.dynamics.update import (
    cbo_update,
    heaviside,
    memory_update,
    noise_scale,
    project_onto_ball,
)

if TYPE_CHECKING:
    from dfo.cbo.dynamics.swarm import CBO
    from dfo.objective import Objective

Array = NDArray[np.float64]

# Width of the smooth step, as a share of the spread of the values.
SMOOTH = 1e-3
# Growth of the penalty when the consensus violates the constraints.
PENALTY_GROWTH = 2.0
# Relative step of central differences: the cube root of the machine precision.
DIFFERENCE = float(np.finfo(np.float64).eps) ** (1 / 3)


class Variant:
    """What a swarm needs beyond its plain state.

    Parameters
    ----------
    swarm : CBO
        Whose particles are moved.
    seed : SeedSequence
        Of the order of batches.
    """

    def __init__(self, swarm: "CBO", seed: np.random.SeedSequence) -> None:
        s, N, d = swarm.settings, swarm.n_particles, swarm.dimension
        self.needs_function = (
            s.correction is not None
            or (s.memory and s.beta < math.inf)
            or (s.lam_grad > 0 and s.jac is None)
        )
        self.Y, self.g = swarm.X.copy(), np.full(N, math.inf)
        self.velocity = np.zeros((N, d))
        self.energy = np.full(N, math.inf)
        self.violation = np.zeros(N)
        self.best_x, self.best_f, self.best_v = swarm.X[0].copy(), math.inf, math.inf
        self.penalty = -1.0  # not chosen yet
        self.feasibility = 1e-8
        self.ids = np.arange(N)
        self.queue = np.empty(0, dtype=np.int64)
        self.order = np.random.default_rng(seed)
        self.before = np.full(d, math.inf)

    # What is evaluated ---------------------------------------------------------------

    def ask(self, swarm: "CBO") -> Array:
        """Return the points to evaluate, and remember whose they are."""
        size = swarm.settings.batch_size
        if size is not None:
            if len(self.queue) < size:
                self.queue = self.order.permutation(swarm.n_particles)
            self.ids, self.queue = self.queue[:size], self.queue[size:]
        X: Array = swarm.X[self.ids]  # a copy
        if swarm.settings.boundary == "penalty":
            return np.clip(X, swarm.lower, swarm.upper)
        return X

    # What is learned -----------------------------------------------------------------

    def tell(
        self,
        swarm: "CBO",
        X: Array,
        f: Array,
        violations: Any,
        objective: "Objective | None",
    ) -> int:
        """Take in values, move the particles, and return why the run should end."""
        v = np.zeros(len(f)) if violations is None else np.asarray(violations, float)
        v = np.where(v <= self.feasibility, 0.0, v)
        self._keep_best(X, f, v)
        m = min(len(f), len(self.ids))
        ids = self.ids[:m]
        extra = np.zeros(m)
        if swarm.settings.boundary == "penalty":
            extra = np.sum((swarm.X[ids] - X[:m]) ** 2, axis=1)
        else:
            swarm.X[ids] = X[:m]
        swarm.Z[ids], swarm.f[ids], self.violation[ids] = swarm.X[ids], f[:m], v[:m]
        self.energy[ids] = f[:m] + extra + self._penalty(f[:m], v[:m])
        if swarm.settings.memory:
            self._remember(swarm, objective)
            points, energies = self.Y, self.g
        else:
            points, energies = swarm.X[self.ids], self.energy[self.ids]
        reason = self._weigh(swarm, points, energies, v)
        if self.best_f <= swarm.P[k.FTARGET] and self.best_v <= self.feasibility:
            reason = k.TARGET
        self._move(swarm, objective)
        return reason

    def _keep_best(self, X: Array, f: Array, v: Array) -> None:
        """Feasibility first, then the value."""
        clean = np.where(np.isnan(f), math.inf, f)
        excess = np.where(v <= self.feasibility, 0.0, v)
        i = int(np.lexsort((clean, excess))[0])
        now = max(self.best_v, 0.0) if self.best_v > self.feasibility else 0.0
        if (excess[i], clean[i]) < (now, self.best_f):
            self.best_x, self.best_f = X[i].copy(), float(clean[i])
            self.best_v = float(v[i])

    def _penalty(self, f: Array, v: Array) -> Array:
        if not v.any():
            return np.zeros(len(v))
        if self.penalty < 0:
            finite = f[np.isfinite(f)]
            spread = float(np.ptp(finite)) if len(finite) else 1.0
            self.penalty = (spread or 1.0) / (float(np.ptp(v)) or 1.0)
        return self.penalty * v

    def _remember(self, swarm: "CBO", objective: "Objective | None") -> None:
        self.Y, self.g, stale = memory_update(
            swarm.X, self.energy, self.Y, self.g, beta=swarm.settings.beta
        )
        if stale.any() and objective is not None:
            self.g[stale] = objective.rows(self.Y[stale])
            self._keep_best(self.Y[stale], self.g[stale], np.zeros(int(stale.sum())))

    def _weigh(self, swarm: "CBO", points: Array, energies: Array, v: Array) -> int:
        n = len(points)
        gaps, w = np.zeros(n), np.zeros(n)
        reason = k.tell(
            np.ascontiguousarray(points),
            np.ascontiguousarray(energies),
            gaps,
            w,
            swarm.c,
            swarm.best,
            swarm.scale,
            swarm.trace,
            _untargeted(swarm.P),
            swarm.Q,
            swarm.S,
            swarm.K,
        )
        if n == len(swarm.w):
            swarm.w = w
        if self.penalty > 0 and len(v) == n and w @ v > 1.0 / math.sqrt(self.penalty):
            self.penalty *= PENALTY_GROWTH
            # Values under the old penalty are no standard for those under the new.
            swarm.S[k.BEST] = swarm.S[k.REFERENCE] = math.inf
        return int(reason)

    # The step ------------------------------------------------------------------------

    def _move(self, swarm: "CBO", objective: "Objective | None") -> None:
        s, N = swarm.settings, swarm.n_particles
        xi = np.empty((N, swarm.dimension))
        k.fill_normal(swarm.rng[0], xi)
        noise = float(swarm.S[k.NOISE])
        X = (
            self._swarmed(swarm, xi, noise)
            if s.inertia > 0
            else (self._updated(swarm, xi, noise, objective))
        )
        if s.lam_grad > 0:
            X = X - s.lam_grad * s.dt * self._gradient(swarm, X, objective)
        if s.batch_size is not None and s.batch_update == "partial":
            moved = swarm.X.copy()
            moved[self.ids] = X[self.ids]
            X = moved
        X = self._shaken(swarm, X, noise)
        X = np.ascontiguousarray(X)
        k.keep_inside(X, swarm.lower, swarm.upper, swarm.Q[k.BOUNDARY], swarm.rng[1])
        if swarm.project is not None:
            X = np.asarray(swarm.project(X), dtype=np.float64)
        swarm.X = np.ascontiguousarray(X)
        P = swarm.P
        swarm.S[k.NOISE] = max(
            P[k.COOLING] * noise, P[k.COOLING_FLOOR] * P[k.NOISE_START]
        )

    def _updated(
        self, swarm: "CBO", xi: Array, noise: float, objective: "Objective | None"
    ) -> Array:
        """Consensus-based step, with the drift towards the memory."""
        s, c = swarm.settings, swarm.c
        largest, center, radius = s.truncated_at
        delta_xi = None
        if s.delta > 0:
            delta_xi = np.empty_like(xi)
            k.fill_normal(swarm.rng[2], delta_xi)
        X = cbo_update(
            swarm.X,
            c,
            xi,
            lam=s.lam,
            sigma=noise / math.sqrt(s.dt),
            dt=s.dt,
            noise=s.noise,
            truncation=None if largest == math.inf else largest,
            drift_mask=self._mask(swarm, objective),
            aim=None if center is None else project_onto_ball(c, center, radius),
            delta=s.delta,
            delta_xi=delta_xi,
            exact=s.exact,
            noise_after_drift=s.noise_after_drift,
        )
        if s.memory and (s.lam_memory > 0 or s.sigma_memory):
            X = X + self._towards_memory(swarm, noise)
        return X

    def _towards_memory(self, swarm: "CBO", noise: float) -> Array:
        s = swarm.settings
        away = swarm.X - self.Y
        xi = np.empty_like(away)
        k.fill_normal(swarm.rng[2], xi)
        cooled = noise / float(swarm.P[k.NOISE_START] or 1.0)
        strength = s.memory_sigma(swarm.sigma) * cooled * math.sqrt(s.dt)
        scale: Array = noise_scale(away, s.noise)
        return -s.lam_memory * s.dt * away + strength * scale * xi

    def _swarmed(self, swarm: "CBO", xi: Array, noise: float) -> Array:
        """Particle swarm optimization: velocities with inertia m and friction 1 - m.

        Grassi and Pareschi (2021), as in arXiv:2201.12460, equation (1.2).
        """
        s, X, m = swarm.settings, swarm.X, swarm.settings.inertia
        force = -s.lam * s.dt * (X - swarm.c)
        force = force + noise * noise_scale(X - swarm.c, s.noise) * xi
        force = force + self._towards_memory(swarm, noise)
        self.velocity = (m * self.velocity + force) / (m + (1.0 - m) * s.dt)
        moved: Array = X + s.dt * self.velocity
        return moved

    def _mask(self, swarm: "CBO", objective: "Objective | None") -> Array | None:
        s = swarm.settings
        if s.correction is None or objective is None:
            return None
        value = objective.rows(swarm.c[None])
        self._keep_best(swarm.c[None], value, np.zeros(1))
        f = self.g if s.memory else swarm.f
        finite = f[np.isfinite(f)]
        spread = float(np.ptp(finite)) if len(finite) else 0.0
        epsilon = None if s.correction == "heaviside" else SMOOTH * spread or None
        return heaviside(f, float(value[0]), epsilon)

    def _gradient(self, swarm: "CBO", X: Array, objective: "Objective | None") -> Array:
        jac = swarm.settings.jac
        if jac is not None:
            args = () if objective is None else objective.args
            return gradient_rows(jac, X, args)
        if objective is None:
            raise ValueError("lam_grad > 0 without jac needs step(fun).")
        return central_differences(objective, X, swarm.lower, swarm.upper)

    def _shaken(self, swarm: "CBO", X: Array, noise: float) -> Array:
        """Add independent noise when the consensus point stands still."""
        tolerance = swarm.settings.stagnation_tol
        still = tolerance is not None and bool(
            np.max(np.abs(swarm.c - self.before)) < tolerance
        )
        self.before = swarm.c.copy()
        if not still:
            return X
        xi = np.empty_like(X)
        k.fill_normal(swarm.rng[2], xi)
        return X + noise * xi

    # Resuming ------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return copies of everything that determines what follows."""
        from farkas.checkpoint import pack_generator

        held: dict[str, Any] = {name: getattr(self, name).copy() for name in _HELD}
        held |= {name: float(getattr(self, name)) for name in _NUMBERS}
        held["order"] = pack_generator(self.order)
        return held

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`."""
        from farkas.checkpoint import unpack_generator

        for name in _HELD:
            setattr(self, name, np.array(state[name]))
        for name in _NUMBERS:
            setattr(self, name, float(state[name]))
        self.order = unpack_generator(state["order"])


_HELD = (
    "Y",
    "g",
    "velocity",
    "energy",
    "violation",
    "best_x",
    "ids",
    "queue",
    "before",
)
_NUMBERS = ("best_f", "best_v", "penalty", "feasibility")


def gradient_rows(jac: Any, X: Array, args: tuple[Any, ...] = ()) -> Array:
    """Return the gradient at every row, by one call if `jac` takes rows.

    Parameters
    ----------
    jac : callable
        Maps rows (N, d) to rows, or a point (d,) to a vector.
    X : ndarray of shape (N, d)
        Points.
    args : tuple, default=()
        Further arguments.

    Returns
    -------
    ndarray of shape (N, d)

    Raises
    ------
    ValueError
        If `jac` returns another shape.
    """
    if getattr(jac, "vectorized", False):
        G = np.asarray(jac(X.copy(), *args), dtype=np.float64)
    else:
        G = np.array([jac(x.copy(), *args) for x in X], dtype=np.float64)
    if G.shape != X.shape:
        raise ValueError(f"jac returned shape {G.shape}, expected {X.shape}.")
    return G


def central_differences(
    objective: "Objective", X: Array, lower: Array, upper: Array
) -> Array:
    """Return gradients by central differences inside the box, 2 d evaluations a row.

    Parameters
    ----------
    objective : Objective
        The black box.
    X : ndarray of shape (N, d)
        Points, moved into the box first.
    lower, upper : ndarray of shape (d,)
        The box.

    Returns
    -------
    ndarray of shape (N, d)
        Zero where a difference is not finite.
    """
    X = np.clip(X, lower, upper)
    N, d = X.shape
    h = DIFFERENCE * np.maximum(1.0, np.abs(X))
    axes = np.eye(d)
    ahead = np.minimum(X[:, None] + h[:, :, None] * axes, upper)
    behind = np.maximum(X[:, None] - h[:, :, None] * axes, lower)
    values = objective.rows(np.concatenate([ahead, behind]).reshape(-1, d))
    plus, minus = values.reshape(2, N, d)
    width = np.sum(ahead - behind, axis=2)
    with np.errstate(invalid="ignore", over="ignore"):
        G = (plus - minus) / width
    return np.where(np.isfinite(G), G, 0.0)


def _untargeted(P: Array) -> Array:
    """Return the kernel's parameters without its target: energies are no values."""
    P = P.copy()
    P[k.FTARGET] = -math.inf
    return P
