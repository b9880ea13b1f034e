"""A population of particles with its state: the ask-and-tell interface."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dfo.bounds import into_box, parse_bounds
from dfo.cbo.dynamics import _kernels as k
from dfo.cbo.dynamics.device import DeviceStep, check_settings, place
from dfo.cbo.dynamics.parameters import first_state, kernel_parameters
from dfo.cbo.dynamics.population import initial_population
from dfo.cbo.dynamics.settings import settings_from
from dfo.cbo.dynamics.variants import Variant
from dfo.objective import Objective
from farkas.backend import asnumpy
from farkas.parallel import RandomSource, seed_sequence

Array = NDArray[np.float64]

REASONS = {
    k.TARGET: "target",
    k.COLLAPSED: "xtol",
    k.STALLED: "patience",
    k.FLAT: "flat",
    k.BUDGET: "maxfev",
}
# A state is these arrays; those of a variant come on top.
_ARRAYS = "X Z f gaps w c best lower upper scale trace rng P Q S K".split()


class CBO:
    """One population of particles, moved step by step.

    Parameters
    ----------
    bounds : int or bounds, optional
        The box as for :func:`minimize_cbo`, or the number of variables, which leaves
        the space unbounded.
    x0 : array-like of shape (d,) or (N, d), optional
        First particle, or all of them. Needed where a bound is missing.
    init : {"uniform", "sobol", "lhs", "normal"}, default="uniform"
        Distribution of the first particles in the box; ``"normal"`` is N(x0, s^2).
    x0_scale : float or array-like of shape (d,), optional
        The s of ``"normal"``; default a fifth of the box, or ``max(1, |x0|)``.
    random_state : int, RandomState, Generator, SeedSequence or None, default=None
        Determines every later number.
    project : callable, optional
        Maps rows (N, d) to feasible rows, after every step.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where the particles live; ``"auto"`` is where `x0` does. On another device
        :meth:`ask` returns its arrays.
    **options
        Parameters of the dynamics of :func:`minimize_cbo`: ``n_particles``, ``lam``,
        ``sigma``, ``dt``, ``noise``, ``alpha`` and so on.

    Attributes
    ----------
    settings : Settings
        The checked parameters.
    dimension, n_particles : int
        Sizes.

    Raises
    ------
    ValueError
        If a parameter is unknown or out of range.

    Examples
    --------
    >>> swarm = CBO([(-5, 5)] * 3, random_state=0)
    >>> while not swarm.stop():
    ...     X = swarm.ask()
    ...     swarm.tell(X, (X**2).sum(axis=1))
    >>> bool(swarm.best_f < 1e-12)
    True
    """

    def __init__(
        self,
        bounds: Any = None,
        x0: ArrayLike | None = None,
        *,
        init: str = "uniform",
        x0_scale: Any = None,
        random_state: RandomSource = None,
        project: Any = None,
        device: str = "auto",
        **options: Any,
    ) -> None:
        self.settings = settings_from(options)
        self.where, x0 = place(x0, device)
        dimension = int(bounds) if isinstance(bounds, int | np.integer) else None
        if dimension is None and x0 is not None:
            dimension = np.shape(x0)[-1] if np.ndim(x0) else 1
        box = None if isinstance(bounds, int | np.integer) else bounds
        lower, upper = parse_bounds(box, dimension)
        self.project = project
        self._begin(lower, upper, x0, init, x0_scale, seed_sequence(random_state))

    def _begin(
        self,
        lower: Array,
        upper: Array,
        x0: Any,
        init: str,
        x0_scale: Any,
        seed: np.random.SeedSequence,
    ) -> None:
        settings, d = self.settings, len(lower)
        self.dimension = d
        if x0 is not None:
            x0 = into_box(x0, lower, upper)
        N = settings.n_particles or int(np.clip(20 * d, 40, 500))
        if x0 is not None and x0.ndim == 2:
            N = len(x0)
        if N < 2:
            raise ValueError(f"n_particles={N} must be at least 2.")
        if not settings.ess_for(N) < N:
            raise ValueError(
                f"ess={settings.ess!r} must lie between 1 and n_particles={N}."
            )
        if settings.batch_size is not None and settings.batch_size > N:
            raise ValueError(
                f"batch_size={settings.batch_size} must not exceed n_particles={N}."
            )
        self.n_particles = N
        words, children = seed.generate_state(12, np.uint64), seed.spawn(2)
        self.rng = words.reshape(3, 4)
        X = initial_population(N, lower, upper, x0, init, x0_scale, children[0])
        self.X = np.ascontiguousarray(X if self.project is None else self.project(X))
        self.Z, self.f = self.X.copy(), np.full(N, math.inf)
        self.gaps, self.w = np.zeros(N), np.full(N, 1.0 / N)
        self.c, self.best = self.X.mean(axis=0), self.X[0].copy()
        self.lower, self.upper = lower.copy(), upper.copy()
        self.scale = _unit(lower, upper, self.X)
        self.trace = np.zeros(_TRACE)
        self.sigma = settings.sigma_for(d)
        self.P, self.Q = kernel_parameters(settings, d, N)
        self.S, self.K = first_state(self.P)
        self.variant: Variant | DeviceStep | None = None
        if self.where is not None:
            check_settings(settings, {"project": self.project is not None})
            self.variant = DeviceStep(self, self.where)
        elif self._needs_variant():
            self.variant = Variant(self, children[1])
        self._reason = k.GO_ON

    def _needs_variant(self) -> bool:
        s = self.settings
        return (
            s.memory
            or s.lam_grad > 0
            or s.correction is not None
            or s.batch_size is not None
            or s.stagnation_tol is not None
            or s.boundary == "penalty"
            or s.truncated_at[1] is not None
            or self.project is not None
        )

    @property
    def consensus(self) -> Array:
        """Consensus point of the values told last, shape (d,)."""
        return self.c.copy()

    @property
    def population(self) -> Array:
        """Particles at the positions that were evaluated last, shape (N, d)."""
        if isinstance(self.variant, DeviceStep):
            self.variant.fetch(self)
        return self.Z.copy()

    @property
    def population_fun(self) -> Array:
        """Their values, shape (N,); inf where there is none yet."""
        return self.f.copy()

    @property
    def best_x(self) -> Array:
        """Best evaluated point, shape (d,)."""
        return (self.best if self.variant is None else self.variant.best_x).copy()

    @property
    def best_f(self) -> float:
        """Its value; inf before the first."""
        return float(self.S[k.BEST] if self.variant is None else self.variant.best_f)

    @property
    def nit(self) -> int:
        """Steps so far."""
        return int(self.K[k.NIT])

    @property
    def alpha(self) -> float:
        """Inverse temperature of the last step."""
        return float(self.S[k.ALPHA])

    @property
    def radius(self) -> float:
        """Largest distance of a coordinate from the consensus, in units of the box."""
        return float(self.S[k.RADIUS])

    @property
    def ess(self) -> float:
        """Effective number of particles in the consensus."""
        return float(self.S[k.SIZE])

    @property
    def variance(self) -> float:
        """Half the mean squared distance from the consensus."""
        return float(self.S[k.VARIANCE])

    @property
    def variances(self) -> Array:
        """The last variances ``sum |X_i - c|^2 / (2 N)``, oldest first."""
        n = self.nit
        if n <= len(self.trace):
            return self.trace[:n].copy()
        return np.roll(self.trace, -(n % len(self.trace)))

    def ask(self) -> Any:
        """Return the points to evaluate.

        Returns
        -------
        array of shape (m, d)
            All particles, or those of the next batch; an array of the device.
        """
        return self.X.copy() if self.variant is None else self.variant.ask(self)

    def tell(self, X: ArrayLike, f: ArrayLike, violations: Any = None) -> None:
        """Take in values and move the particles.

        Parameters
        ----------
        X : array-like of shape (m, d)
            Points, usually those asked for. Other points replace the particles in
            their rows; rows beyond the particles only compete for the best point.
        f : array-like of shape (m,)
            Their values. Particles without a row keep their last value.
        violations : array-like of shape (m,), optional
            Violation of general constraints at the points.

        Raises
        ------
        ValueError
            If the shapes do not fit, or the dynamics need :meth:`step`.
        """
        if self.variant is not None and self.variant.needs_function:
            raise ValueError(
                "correction, a finite beta and lam_grad without jac evaluate further "
                "points in each step; call step(fun) instead of tell."
            )
        self._tell(X, f, violations, None)

    def step(self, fun: Any) -> None:
        """Evaluate the particles and move them.

        Parameters
        ----------
        fun : callable or Objective
            Of one point (d,); wrap a function of rows in ``Objective(fun,
            vectorized=True)``.
        """
        objective = fun if isinstance(fun, Objective) else Objective(fun)
        X = self.ask()
        self._tell(X, objective.rows(X), None, objective)

    def _tell(
        self, X: Any, f: Any, violations: Any, objective: Objective | None
    ) -> None:
        if self.where is None:
            X = np.asarray(X, dtype=np.float64)
        f = np.asarray(asnumpy(f), dtype=np.float64)
        d = self.dimension
        if X.ndim != 2 or X.shape[1] != d or f.shape != (X.shape[0],):
            raise ValueError(
                f"X of shape {X.shape} and f of shape {f.shape} must be (m, {d}) and "
                "(m,)."
            )
        self.K[k.NFEV] += len(f)
        if self.variant is not None:
            self._reason = self.variant.tell(self, X, f, violations, objective)
            return
        m = min(len(f), self.n_particles)
        self.X[:m], self.f[:m] = X[:m], f[:m]
        if m < len(f):
            extra = m + int(np.argmin(np.where(np.isnan(f[m:]), math.inf, f[m:])))
            if f[extra] < self.S[k.BEST]:
                self.S[k.BEST], self.best[:] = f[extra], X[extra]
        self._reason = int(k.step(*self._arrays()))

    def _arrays(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in _STEP_ARRAYS)

    def advance(self, objective: Objective, steps: int, budget: int) -> None:
        """Take several steps at once where the objective allows it.

        Parameters
        ----------
        objective : Objective
            The black box.
        steps : int
            Largest number of steps.
        budget : int
            Largest number of evaluations.
        """
        if self.variant is None and objective.compiled and _jit():
            k.compile_for_objectives()
            before = int(self.K[k.NFEV])
            self._reason = int(
                k.advance(objective.fun, self._arrays(), steps, before + budget)
            )
            objective.nfev += int(self.K[k.NFEV]) - before
            return
        for _ in range(steps):
            X = self.ask()
            if X.shape[0] > budget:
                self._reason = k.BUDGET
                return
            before = objective.nfev
            self._tell(X, objective.rows(X), None, objective)
            budget -= objective.nfev - before
            if self._reason != k.GO_ON:
                return

    def stop(self) -> dict[str, float]:
        """Return why the run has come to its end; empty while it goes on.

        Returns
        -------
        dict of str to float
            ``"xtol"`` with the radius, ``"patience"`` with the idle steps, ``"flat"``,
            ``"target"`` or ``"maxfev"``.
        """
        if self._reason == k.GO_ON:
            return {}
        numbers = {"xtol": self.S[k.RADIUS], "patience": self.K[k.STALL]}
        name = REASONS[self._reason]
        return {name: float(numbers.get(name, self.best_f))}

    def result(self) -> Any:
        """Return what is known so far.

        Returns
        -------
        OptimizeResult
            Without a certificate; with ``x, fun, nit, nfev, consensus, population,
            population_fun`` and ``state``.
        """
        from farkas.result import make_result
        from farkas.status import Status

        status = Status.STALLED if self.stop() else Status.MAX_ITER
        if not math.isfinite(self.best_f):
            status = Status.NUMERICAL
        return make_result(
            self.best_x,
            fun=self.best_f,
            status=status,
            nit=self.nit,
            nfev=int(self.K[k.NFEV]),
            history={
                "iteration": np.array([self.nit]),
                "objective": np.array([self.best_f]),
            },
            state=self.state(),
            consensus=self.consensus,
            population=self.population,
            population_fun=self.population_fun,
        )

    def state(self) -> dict[str, Any]:
        """Return everything that determines what follows.

        Returns
        -------
        dict
            Copies of arrays, by name, for :meth:`restore`.
        """
        if isinstance(self.variant, DeviceStep):
            self.variant.fetch(self)
        held: dict[str, Any] = {name: getattr(self, name).copy() for name in _ARRAYS}
        held["reason"] = self._reason
        if self.variant is not None:
            held |= {f"variant_{n}": v for n, v in self.variant.state().items()}
        return held

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state of a swarm with the same settings.

        Parameters
        ----------
        state : dict
            Of :meth:`state`.
        """
        for name in _ARRAYS:
            value = np.array(state[name])
            setattr(self, name, np.ascontiguousarray(value))
        self.n_particles = len(self.X)
        self._reason = int(state["reason"])
        if self.variant is not None:
            prefix = "variant_"
            self.variant.restore(
                {n[len(prefix) :]: v for n, v in state.items() if n.startswith(prefix)}
            )
        if isinstance(self.variant, DeviceStep):
            self.variant.send(self)


_TRACE = 4096  # variances that are kept for the empirical rate of decay
_STEP_ARRAYS = "X Z f gaps w c best lower upper scale trace rng P Q S K".split()


def _jit() -> bool:
    return hasattr(k.advance, "compile")


def _unit(lower: Array, upper: Array, X: Array) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        width = upper - lower
    return np.where(np.isfinite(width), width, np.maximum(1.0, np.abs(X).max(axis=0)))
