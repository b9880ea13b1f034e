"""Optimise a function of a network's outputs over the network's inputs.

``max f(Phi(x))`` subject to ``c(x, Phi(x)) <= 0``, by directional attacks and covering
direct search in turn (arXiv:2510.01461, algorithm 3), or by one of three baselines.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import LinearConstraint, NonlinearConstraint, OptimizeResult

from dfo.attack.hook import RULES, AttackStep
from dfo.attack.network import as_network
from dfo.direct.minimize import checked, search
from dfo.direct.problem import Limits, Problem, read_space, split_constraints
from farkas.base import check_choice

Array = NDArray[np.float64]

STRATEGIES = ("hybrid", "attack", "cdsm", "line_search")
ATTACKS = ("fgsm", "pgd", "mifgsm")
# Half of the range, in units of a tenth of it: the radius matters more than anything.
WIDE = 5.0
RESTARTS = 5
SMALLEST_RADIUS, LARGEST_RADIUS = 1e-10, 1.0
# Baselines: multiples of the radius that are tried, and the factors after failures.
ATTACK_MULTIPLES, ATTACK_SHRINK = (1.1, 1.0), 1.5
LINE_MULTIPLES, LINE_SHRINK, LINES = (1.1, 1.0, 1 / 1.1), 1.3, 2
OUTPUT_DIFFERENCE = 6e-6


def optimize_through_network(
    network: Any,
    objective: Callable[[Array], float],
    x0: ArrayLike,
    *,
    gradient: Callable[[Array], Any] | None = None,
    constraints: Any = (),
    bounds: Any = None,
    maximize: bool = True,
    strategy: str = "hybrid",
    attack: str = "fgsm",
    attack_radius: float | None = None,
    attack_radius_bounds: tuple[float, float] | None = None,
    attack_rules: str = "library",
    claim: Any = None,
    **cdsm_options: Any,
) -> OptimizeResult:
    """Find the input of a network whose output is best.

    Parameters
    ----------
    network : object
        Anything that :func:`as_network` takes.
    objective : callable
        Of the outputs (p,), returns a number.
    x0 : array-like of shape (n,)
        Start.
    gradient : callable, optional
        Gradient (p,) of `objective`; default: central differences in the outputs,
        which cost no call of the network.
    constraints : callable, LinearConstraint, NonlinearConstraint, dict or sequence
        A callable ``c(x, y)`` of input and output gives numbers that must not be
        positive; the others are as for :func:`scipy.optimize.minimize`.
    bounds : array-like of shape (n, 2) or Bounds, optional
        Never violated.
    maximize : bool, default=True
        Whether more is better.
    strategy : {"hybrid", "attack", "cdsm", "line_search"}, default="hybrid"
        Attacks and direct search in turn, one of them alone, or lines in random
        directions.
    attack : {"fgsm", "pgd", "mifgsm"}, default="fgsm"
        Method of the attack.
    attack_radius : float, optional
        First radius, as a share of the range of each variable (ten times its scale
        where there is no range). Default 0.5, and 0.1 without a range.
    attack_radius_bounds : tuple of float, optional
        Smallest and largest radius, default ``(1e-10, 1.0)``.
    attack_rules : {"library", "seed"}, default="library"
        How the radius follows the gains; ``"seed"`` are those of the paper.
    claim : Claim, optional
        What the certificate is about, if it is not the function alone.
    **cdsm_options
        Arguments of :func:`minimize_cdsm`. With finite bounds and without
        ``initial_radius`` the first radius is half of the range;
        ``radius_restarts`` is 5.

    Returns
    -------
    OptimizeResult
        As of :func:`minimize_cdsm`; ``fun`` is the value of `objective`, ``nfev``
        counts forward passes, ``njev`` vector-Jacobian products, ``objective`` and
        ``violation`` are what ``farkas.verify`` needs.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range.

    Examples
    --------
    >>> import farkas
    >>> import numpy as np
    >>> from dfo import optimize_through_network
    >>> net = ([np.eye(2)], [np.zeros(2)], "tanh")
    >>> res = optimize_through_network(
    ...     net, lambda y: -((y[0] - 0.5) ** 2) - y[1] ** 2, [0.0, 0.5],
    ...     bounds=[(-1, 1)] * 2, maxfev=300, random_state=0)
    >>> bool(res.fun > -1e-8), bool(farkas.verify(res, res.objective))
    (True, True)
    """
    check_choice("strategy", strategy, STRATEGIES)
    check_choice("attack", attack, ATTACKS)
    check_choice("attack_rules", attack_rules, RULES)
    if not callable(objective):
        raise TypeError(f"objective={objective!r} must be callable.")
    phi = as_network(network)
    sign = -1.0 if maximize else 1.0
    own, others = _split(constraints)
    linear, nonlinear = split_constraints(others)
    given: dict[str, Any] = {"bounds": bounds, "x0": x0, **cdsm_options}
    given = checked(given)
    wide = given["initial_radius"] is None
    space = read_space(given, linear)
    bounded = bool(np.isfinite(space.upper - space.lower).all())
    if wide and bounded:
        given["delta0"] = WIDE
    given.setdefault("delta0", 1.0)
    if "radius_restarts" not in cdsm_options:
        given["radius_restarts"] = RESTARTS
    evaluate = _Through(phi, objective, sign, own, Limits(nonlinear))
    constrained = bool(own or nonlinear)
    problem = Problem(
        space,
        evaluate,
        None,
        constrained,
        evaluate.violation if constrained else None,
        claim,
    )
    low, high = attack_radius_bounds or (SMALLEST_RADIUS, LARGEST_RADIUS)
    radius = 0.1 * given["delta0"] if attack_radius is None else float(attack_radius)
    if not 0 < low <= high < math.inf or not radius > 0:
        raise ValueError(
            f"attack_radius={attack_radius!r} and attack_radius_bounds="
            f"{attack_radius_bounds!r} must be positive, the smaller bound first."
        )
    hook = AttackStep(
        phi,
        evaluate.ascent(gradient),
        evaluate.merit,
        10.0 * space.scale,
        space.lower,
        space.upper,
        method=attack,
        radius=min(max(radius, low), high),
        limits=(low, high),
        rules=attack_rules,
        bursts=attack_rules == "library" and strategy == "hybrid" and phi.white_box,
    )
    if strategy == "hybrid":
        given["search_step"] = hook
        result = search(problem, given)
    elif strategy == "cdsm":
        result = search(problem, given)
    else:
        lines = _Attacks(hook) if strategy == "attack" else _Lines(hook)
        given["search_step"] = lines
        result = search(problem, given, only_search=True)
    result["objective"] = evaluate.value
    result["violation"] = problem.violation
    result["fun"] = sign * result["fun"]
    result["nfev"] += hook.nfev
    result["njev"] = hook.njev
    result["attack_radius"] = hook.radius
    return result


class _Through:
    """Picklable: value and constraints of an input, from one forward pass."""

    def __init__(
        self, phi: Any, objective: Any, sign: float, own: list[Any], limits: Limits
    ) -> None:
        self.phi, self.objective, self.sign = phi, objective, sign
        self.own, self.limits = own, limits

    def __call__(self, x: Array) -> tuple[float, Array]:
        y = self.phi.forward(x)
        f = self.sign * _number(self.objective(y))
        parts = [np.atleast_1d(np.asarray(c(x, y), dtype=np.float64)) for c in self.own]
        if self.limits.constraints:
            parts.append(self.limits(x))
        return f, np.concatenate(parts) if parts else np.empty(0)

    def merit(self, y: Array) -> float:
        """Return the minimised value of an output, inf for NaN."""
        f = self.sign * _number(self.objective(y))
        return math.inf if math.isnan(f) else f

    def value(self, x: Array) -> float:
        """Return the minimised value at one input."""
        return self.sign * _number(self.objective(self.phi.forward(np.asarray(x))))

    def violation(self, x: Array) -> float:
        """Sum of the violations at one input."""
        x = np.asarray(x, dtype=np.float64)
        c = self(x)[1]
        total = float(np.maximum(c, 0.0).sum())
        return math.inf if math.isnan(total) or np.isnan(c).any() else total

    def ascent(
        self, gradient: Callable[[Array], Any] | None
    ) -> Callable[[Array], Array]:
        """Direction of the outputs in which the merit improves."""

        def direction(y: Array) -> Array:
            if gradient is not None:
                u = np.asarray(gradient(y), dtype=np.float64)
                if u.shape != y.shape:
                    raise ValueError(
                        f"gradient returned shape {u.shape} for outputs {y.shape}."
                    )
            else:
                u = np.empty(len(y))
                t = OUTPUT_DIFFERENCE * np.maximum(1.0, np.abs(y))
                for j in range(len(y)):
                    up, down = y.copy(), y.copy()
                    up[j] += t[j]
                    down[j] -= t[j]
                    rise = _number(self.objective(up)) - _number(self.objective(down))
                    u[j] = rise / (2 * t[j])
            return -self.sign * np.where(np.isfinite(u), u, 0.0)

        return direction


class _Attacks:
    """Baseline: attacks at two radii, smaller ones after a failure."""

    def __init__(self, hook: AttackStep) -> None:
        self.hook = hook

    radius = property(lambda self: self.hook.radius)

    def __call__(self, x: Array, delta: float, run: Any) -> Iterator[Array]:
        yield from self.hook.points(x, run, ATTACK_MULTIPLES)

    def tell(self, success: bool, run: Any) -> None:
        low, high = self.hook.limits
        factor = ATTACK_MULTIPLES[0] if success else 1 / ATTACK_SHRINK
        self.hook.radius = min(high, max(low, factor * self.hook.radius))

    @property
    def finished(self) -> bool:
        return bool(self.hook.radius <= self.hook.limits[0])


class _Lines:
    """Baseline: random directions of l-infinity length 1 at three radii."""

    def __init__(self, hook: AttackStep) -> None:
        self.hook, self.stalls = hook, 0

    radius = property(lambda self: self.hook.radius)

    def __call__(self, x: Array, delta: float, run: Any) -> Iterator[Array]:
        for _ in range(LINES):
            v = run.rng.standard_normal(len(x))
            v /= np.abs(v).max()
            for factor in LINE_MULTIPLES:
                step = factor * self.hook.radius * self.hook.unit * v
                yield np.clip(x + step, self.hook.lower, self.hook.upper)

    def tell(self, success: bool, run: Any) -> None:
        low, high = self.hook.limits
        self.stalls = 0 if success else self.stalls + 1
        if success:
            self.hook.radius = min(high, LINE_MULTIPLES[0] * self.hook.radius)
        elif self.stalls > len(self.hook.lower):
            self.hook.radius = max(low, self.hook.radius / LINE_SHRINK)
            self.stalls = 0

    @property
    def finished(self) -> bool:
        return bool(self.hook.radius <= self.hook.limits[0])


def _split(constraints: Any) -> tuple[list[Any], list[Any]]:
    """Return callables of input and output apart from SciPy's forms."""
    scipy_forms = LinearConstraint | NonlinearConstraint | dict
    if isinstance(constraints, scipy_forms) or callable(constraints):
        constraints = [constraints]
    items = list(constraints)
    own = [c for c in items if callable(c) and not isinstance(c, scipy_forms)]
    return own, [c for c in items if not any(c is o for o in own)]


def _number(value: Any) -> float:
    number = np.asarray(value, dtype=np.float64)
    if number.size != 1:
        raise TypeError(
            f"objective returned shape {number.shape} for an output, expected a number."
        )
    return float(number.reshape(()))
