"""The attack as a search step of the direct search, and its radius.

From one vector-Jacobian product at the incumbent come an l-infinity and an l2 step.
The barrier judges the points; the radius grows when one is accepted and shrinks when
none is (arXiv:2510.01461, section 4). Without constraints a burst of L-BFGS-B on the
same products comes first, twice as long after each success. Where a burst has gained
nothing, the next ones start elsewhere in the box.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, nnls

from dfo.attack.directional import directional_attack, unit_step
from dfo.direct.covering import ball

Array = NDArray[np.float64]

RULES = ("library", "seed")
GROW, SHRINK = 1.3, 1.3
# Of the published rules: relative gains from which a step counts in full, or not.
FULL_GAIN, SMALL_GROW = 1e-3, 1.1
# After so many failures in a row the attack pauses, twice as long each time.
PATIENCE = 5
# Products of the first burst, and of the longest one.
BURST, LONGEST_BURST = 32, 1024
MEMORY = 20
# A burst from elsewhere ends when its gains are this small.
FLAT = 1e-7


class AttackStep:
    """Search hook of :func:`dfo.minimize_cdsm`.

    Parameters
    ----------
    phi : network
        The network.
    ascent : callable
        Maps outputs (p,) to the direction u in which the merit improves.
    merit : callable
        Maps outputs to the minimised value.
    unit : ndarray of shape (n,)
        Length of radius 1 in each variable.
    lower, upper : ndarray of shape (n,)
        The box.
    method : {"fgsm", "pgd", "mifgsm"}
        Of the attack.
    radius : float
        First radius.
    limits : tuple of float
        Smallest and largest radius.
    rules : {"library", "seed"}
        How the radius follows the outcome.
    bursts : bool
        Whether bursts of L-BFGS-B are tried.
    seed : int
        Of methods that draw.
    """

    def __init__(
        self,
        phi: Any,
        ascent: Any,
        merit: Any,
        unit: Array,
        lower: Array,
        upper: Array,
        *,
        method: str,
        radius: float,
        limits: tuple[float, float],
        rules: str = "library",
        bursts: bool = True,
        seed: int = 0,
    ) -> None:
        self.phi, self.ascent, self.merit, self.unit = phi, ascent, merit, unit
        self.lower, self.upper, self.method = lower, upper, method
        self.radius, self.limits, self.rules = radius, limits, rules
        self.bursts, self.seed = bursts, seed
        self.njev = self.nfev = 0
        self.failures = self.wait = self.pause = 0
        self._at: bytes = b""
        self._g = np.empty(0)
        self.burst = BURST
        self._asked, self._tried = False, ""
        self._spent = b""  # where a burst has gained nothing

    def gradient(self, x: Array, run: Any) -> Array:
        """Return the ascent direction of the merit in radius units, projected on T.

        Parameters
        ----------
        x : ndarray of shape (n,)
            The incumbent.
        run : Run
            The state of the search.

        Returns
        -------
        ndarray of shape (n,)
        """
        if x.tobytes() != self._at:
            self._at = x.tobytes()
            y = np.asarray(self.phi.forward(x), dtype=np.float64)
            u = self.ascent(y)
            self.njev += 1
            g = np.asarray(self.phi.vjp(x, u)[1], dtype=np.float64) * self.unit
            g = np.where(np.isfinite(g), g, 0.0)
            self._g = g
        g = self._g.copy()
        g[(x <= self.lower) & (g < 0)] = 0.0
        g[(x >= self.upper) & (g > 0)] = 0.0
        rows = run.space.rows
        if len(rows):
            scaled = rows * self.unit
            norms = np.linalg.norm(scaled, axis=1)
            near = run.space.limits - rows @ x <= 1e-9 * norms
            if near.any():
                A = scaled[near] / norms[near, None]
                g = g - A.T @ nnls(A.T, g)[0]
        return g

    def _burst(self, x: Array, run: Any, flat: float = 0.0) -> Array:
        """Return where L-BFGS-B has come to after a number of products."""
        last = {"x": x, "f": math.inf}

        def fall(z: Array) -> tuple[float, Array]:
            point = np.clip(z * self.unit, self.lower, self.upper)
            self.njev += 1
            y = np.asarray(self.phi.forward(point), dtype=np.float64)
            g = np.asarray(self.phi.vjp(point, self.ascent(y))[1], dtype=np.float64)
            f = self.merit(y)
            if f < last["f"]:
                last["x"], last["f"] = point, f
            return f, -g * self.unit

        sides = np.column_stack([self.lower, self.upper]) / self.unit[:, None]
        left = run.oracle.maxfev - run.oracle.nfev
        with np.errstate(all="ignore"):
            minimize(
                fall,
                x / self.unit,
                jac=True,
                method="L-BFGS-B",
                bounds=sides,
                options={
                    "maxfun": int(min(self.burst, max(1, left))),
                    "maxcor": MEMORY,
                    "ftol": flat,
                    "gtol": 0.0,
                },
            )
        return last["x"]

    def __call__(self, x: Array, delta: float, run: Any) -> Iterator[Array]:
        """Yield the points of the attack, unless it pauses.

        Parameters
        ----------
        x : ndarray of shape (n,)
            The incumbent.
        delta : float
            Poll radius.
        run : Run
            The state.

        Yields
        ------
        ndarray of shape (n,)
        """
        if x.tobytes() == self._spent and self._affordable(run):
            self._asked, self._tried = True, "hop"
            yield self._burst(self._elsewhere(x, run), run, FLAT)
            return
        self._asked = self.wait <= 0
        if not self._asked:
            self.wait -= 1
            return
        yield from self.points(x, run, (1.0,))

    def points(
        self, x: Array, run: Any, multipliers: tuple[float, ...]
    ) -> Iterator[Array]:
        """Yield the attacked points at multiples of the radius.

        Parameters
        ----------
        x : ndarray of shape (n,)
            The incumbent.
        run : Run
            The state.
        multipliers : tuple of float
            Of the radius.

        Yields
        ------
        ndarray of shape (n,)
        """
        if self.method != "fgsm":
            yield from self._iterated(x, multipliers)
            return
        g = self.gradient(x, run)
        if not g.any():
            return
        # Away from the box L-BFGS-B does not know the rows of X, nor other constraints.
        if self._bursting(run) and x.tobytes() != self._spent:
            self._tried = "burst"
            yield self._burst(x, run)
            self._spent = x.tobytes()
        norms = ("inf", 2) if self.rules == "library" else ("inf",)
        for norm in norms:
            for factor in multipliers:
                self._tried = "step"
                d = factor * self.radius * unit_step(g[None], norm)[0]
                yield np.clip(x + self.unit * d, self.lower, self.upper)

    def _bursting(self, run: Any) -> bool:
        return self.bursts and run.space.plain and not run.barrier.constrained

    def _affordable(self, run: Any) -> bool:
        """Tell whether there were no more products than forward passes so far."""
        return self._bursting(run) and self.njev <= run.oracle.nfev

    def _elsewhere(self, x: Array, run: Any) -> Array:
        """Return a random point of the box, or of the covering ball without one."""
        if np.isfinite(self.upper - self.lower).all():
            return run.space.place(run.rng.uniform(self.lower, self.upper))
        move = ball(run.space.k, run.options.covering_radius, 1, run.rng)[0]
        return run.space.step(x, move)

    def _iterated(self, x: Array, multipliers: tuple[float, ...]) -> Iterator[Array]:
        u = self.ascent(np.asarray(self.phi.forward(x), dtype=np.float64))
        self.njev += 1
        if not np.abs(u).sum() > 0:
            return
        scaled = _Scaled(self.phi, self.unit)
        sides = np.column_stack([self.lower, self.upper]) / self.unit[:, None]
        z = np.clip(x / self.unit, sides[:, 0], sides[:, 1])
        for factor in multipliers:
            for norm in ("inf", 2):
                found = directional_attack(
                    scaled,
                    z,
                    u,
                    factor * self.radius,
                    norm=norm,
                    method=self.method,
                    bounds=sides,
                    random_state=self.seed,
                )
                self.nfev += found.nfev
                self.njev += found.njev
                yield np.clip(found.x * self.unit, self.lower, self.upper)

    def tell(self, success: bool, run: Any) -> None:
        """Adapt the radius to what became of the points.

        Parameters
        ----------
        success : bool
            Whether one dominated.
        run : Run
            The state.
        """
        if not self._asked:
            return
        low, high = self.limits
        if self.rules == "seed":
            self._seed_rules(success, run)
            return
        if self._tried == "hop":
            if success:
                self.failures = self.pause = 0
            return
        if success and self._tried == "burst":
            self.burst = min(LONGEST_BURST, 2 * self.burst)
        else:
            self.burst = BURST
        if success:
            if self._tried == "step":
                self.radius = min(high, GROW * self.radius)
            self.failures = self.pause = 0
            return
        self.radius = max(low, self.radius / SHRINK)
        self.failures += 1
        if self.failures >= PATIENCE:
            self.pause = 2 * self.pause + 1
            self.wait = self.pause

    def _seed_rules(self, success: bool, run: Any) -> None:
        """Rules of the paper: by the relative gain."""
        low, high = self.limits
        before = float(run.oracle.F[run.barrier.primary])
        after = float(run.oracle.F[-1])
        gain = (before - after) / (abs(before) + 1e-10) if success else 0.0
        if gain >= FULL_GAIN:
            self.radius = min(high, GROW * self.radius)
            if run.delta <= run.options.xtol:
                run.delta *= 2.0
        elif gain > 0:
            self.radius = min(high, SMALL_GROW * self.radius)
        else:
            self.radius = max(low, self.radius / SHRINK)

    def get_state(self) -> dict[str, Any]:
        """Return what a checkpoint needs, in plain values."""
        return {
            "numbers": [self.radius, self.njev, self.nfev, self.burst],
            "counters": [self.failures, self.wait, self.pause],
            "at": self._at.hex(),
            "spent": self._spent.hex(),
            "g": self._g.tolist(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint.

        Parameters
        ----------
        state : dict
            Of :meth:`get_state`.
        """
        self.radius, self.njev, self.nfev, self.burst = state["numbers"]
        self.failures, self.wait, self.pause = state["counters"]
        self._spent = bytes.fromhex(state["spent"])
        self._at, self._g = bytes.fromhex(state["at"]), np.array(state["g"])


class _Scaled:
    """A network of ``z = x / unit``."""

    def __init__(self, phi: Any, unit: Array) -> None:
        self.phi, self.unit, self.white_box = phi, unit, phi.white_box
        self.n_inputs, self.n_outputs = phi.n_inputs, phi.n_outputs

    def forward(self, Z: Array) -> Array:
        return self.phi.forward(Z * self.unit)

    def vjp(self, Z: Array, U: Array) -> tuple[Array, Array]:
        Y, G = self.phi.vjp(Z * self.unit, U)
        return Y, G * self.unit

    def jvp(self, Z: Array, V: Array) -> tuple[Array, Array]:
        return self.phi.jvp(Z * self.unit, V * self.unit)

    def jacobian(self, z: Array) -> Array:
        return self.phi.jacobian(z * self.unit) * self.unit
