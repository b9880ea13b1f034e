"""Particles that live on another device, such as a GPU.

Values come to the host, weights and random numbers go from it: these are the kernels'.
A population of which a particle has left its box is brought home for the treatment of
that.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dfo.cbo.dynamics import _kernels as k
from dfo.cbo.dynamics._array import moved, spread, weighted_mean
from farkas.backend import asnumpy, get_namespace, to_device

if TYPE_CHECKING:
    from dfo.cbo.dynamics.settings import Settings
    from dfo.cbo.dynamics.swarm import CBO
    from dfo.objective import Objective

Array = NDArray[np.float64]


def place(x0: Any, device: str) -> tuple[tuple[Any, Any] | None, Any]:
    """Return where the particles shall live, and the start on the host.

    Parameters
    ----------
    x0 : array-like or None
        Start; an array on a device asks for that device.
    device : {"auto", "cpu", "cuda"}
        ``"auto"`` stays where `x0` is.

    Returns
    -------
    where : tuple of module and device, or None
        None is NumPy.
    x0 : ndarray or what was given
        The start.
    """
    elsewhere = hasattr(x0, "device") and not isinstance(x0, np.ndarray | np.generic)
    xp, home = get_namespace(x0 if elsewhere else None, device=device)
    return (
        None if isinstance(home, str) and home == "cpu" else (xp, home),
        asnumpy(x0) if elsewhere else x0,
    )


def check_settings(settings: "Settings", others: dict[str, Any]) -> None:
    """Refuse what has no form for a device.

    Parameters
    ----------
    settings : Settings
        Of the dynamics.
    others : dict
        Further arguments by name; those that are on are refused.

    Raises
    ------
    ValueError
        If any of these is asked for.
    """
    s = settings
    refused = {
        "memory": s.memory,
        "lam_grad": s.lam_grad > 0,
        "correction": s.correction is not None,
        "batch_size": s.batch_size is not None,
        "stagnation_tol": s.stagnation_tol is not None,
        "boundary='penalty'": s.boundary == "penalty",
        "a ball in truncation": s.truncated_at[1] is not None,
        **others,
    }
    if found := [name for name, on in refused.items() if on]:
        raise ValueError(
            f"{found[0]} has no form for another device; use device='cpu' for it."
        )


class DeviceStep:
    """The state of a swarm on a device, and its step in array-API code.

    Parameters
    ----------
    swarm : CBO
        Whose particles move there.
    where : tuple of module and device
        Namespace and device.
    """

    needs_function = False

    def __init__(self, swarm: "CBO", where: tuple[Any, Any]) -> None:
        self.xp, self.device = where
        self.best_v = 0.0
        self.send(swarm)

    def send(self, swarm: "CBO") -> None:
        """Take the particles from the host."""
        there = [swarm.X, swarm.Z, swarm.lower, swarm.upper, swarm.scale]
        self.X, self.Z, self.lower, self.upper, self.scale = map(self._there, there)
        self.best_x, self.best_f = swarm.best.copy(), float(swarm.S[k.BEST])

    def fetch(self, swarm: "CBO") -> None:
        """Bring the particles to the host."""
        swarm.X, swarm.Z = asnumpy(self.X).copy(), asnumpy(self.Z).copy()

    def _there(self, x: Any) -> Any:
        return to_device(x, self.xp, self.device)

    def ask(self, swarm: "CBO") -> Any:
        """Return the points to evaluate, an array of the device."""
        return self.xp.asarray(self.X, copy=True)

    def tell(
        self,
        swarm: "CBO",
        X: Any,
        f: Array,
        violations: Any,
        objective: "Objective | None",
    ) -> int:
        """Take in values, move the particles, and return why the run should end."""
        N = swarm.n_particles
        if len(f) > N:
            raise ValueError(f"f of shape {f.shape} has more than {N} values.")
        xp, S, K = self.xp, swarm.S, swarm.K
        X = self._there(X)
        self.X = X if len(f) == N else xp.concat([X, self.X[len(f) :, :]])
        swarm.f[: len(f)] = f
        K[k.NIT] += 1
        i = int(np.argmin(np.where(np.isnan(f), math.inf, f)))
        if f[i] < S[k.BEST]:
            S[k.BEST] = f[i]
            swarm.best[:] = asnumpy(self.X[i, :])
            self.best_x, self.best_f = swarm.best.copy(), float(f[i])
        usable = k.weigh(swarm.f, swarm.gaps, swarm.w, swarm.P, swarm.Q, S, K)
        w = self._there(swarm.w if usable else np.full(N, 1.0 / N))
        c = weighted_mean(xp, self.X, w)
        reach, square = spread(xp, self.X, c)
        swarm.c[:] = asnumpy(c)
        S[k.RADIUS] = float(xp.max(reach / self.scale))
        S[k.VARIANCE] = float(square) / (2 * N)
        reason = int(k.judge(swarm.f, swarm.trace, swarm.P, swarm.Q, S, K))
        self._move(swarm, c)
        return reason

    def _move(self, swarm: "CBO", c: Any) -> None:
        s, P = swarm.settings, swarm.P
        noise = float(swarm.S[k.NOISE])
        xi = np.empty((swarm.n_particles, swarm.dimension))
        k.fill_normal(swarm.rng[0], xi)
        more = np.empty_like(xi if s.delta > 0 else xi[:0])
        k.fill_normal(swarm.rng[2], more)
        X = moved(
            self.xp, self.X, c, self._there(xi),
            drift=float(P[k.DRIFT]), noise=noise, isotropic=s.noise == "isotropic",
            truncation=float(P[k.TRUNCATION]), exact=s.exact,
            after_drift=s.noise_after_drift,
        )  # fmt: skip
        if s.delta > 0:
            X = X + float(P[k.DELTA]) * self._there(more)
        if swarm.Q[k.BOUNDARY] != k.FREE and bool(
            self.xp.any((self.lower > X) | (self.upper < X))
        ):
            home = np.ascontiguousarray(asnumpy(X))
            home = home.copy() if home is X else home
            k.keep_inside(
                home, swarm.lower, swarm.upper, swarm.Q[k.BOUNDARY], swarm.rng[1]
            )
            X = self._there(home)
        self.X, self.Z = X, self.X
        swarm.S[k.NOISE] = max(
            P[k.COOLING] * noise, P[k.COOLING_FLOOR] * P[k.NOISE_START]
        )

    def state(self) -> dict[str, Any]:
        """Return nothing: all of the state lies in the arrays of the swarm."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Do nothing; the swarm sends its arrays."""
