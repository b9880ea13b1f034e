"""The nearest input that a network assigns to a class: attack, descend, poll.

An attack of growing radius finds some valid input, sequential quadratic programming
brings it near, and a direct search with progressive barrier finishes and certifies.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, minimize

from dfo._measure_surrogate import distance
from dfo.attack.directional import directional_attack
from dfo.attack.layers import Network
from dfo.direct.minimize import checked, search
from dfo.direct.poll import Claim
from dfo.direct.problem import Problem, read_space

Array = NDArray[np.float64]

# Radii of the first attack, in units of distance: doubled from the first.
FIRST_RADIUS, DOUBLINGS = 0.1, 12
BISECTIONS = 20
# The threshold is aimed at with this much room, so that rounding cannot undo it.
ROOM = 1e-9
# Kinks of the 1-norm and the maximum are smoothed by this much, or to this power.
SMOOTHING, POWER = 1e-4, 12
SLSQP_STEPS = 200


def nearest_counterfactual(
    probabilities: Network,
    logits: Network,
    original: Array,
    target: int,
    threshold: float,
    norm: str,
    lower: Array,
    upper: Array,
    unit: Array,
    *,
    maxfev: int,
    xtol: float,
    claim: Claim | None = None,
    candidates: Array | None = None,
    random_state: Any = None,
    maxiter: int | None = None,
    callback: Any = None,
) -> OptimizeResult:
    """Find the nearest input whose probability of a class reaches a threshold.

    Parameters
    ----------
    probabilities, logits : network
        The classifier with and without its last activation.
    original : ndarray of shape (n,)
        The row that is explained.
    target : int
        Number of the class.
    threshold : float
        Probability to be reached.
    norm : {"1", "2", "inf"}
        Of the distance.
    lower, upper : ndarray of shape (n,)
        The box; equal where a column is immutable.
    unit : ndarray of shape (n,)
        Units of the distance.
    maxfev, xtol
        Of the direct search.
    claim : Claim, optional
        For the certificate.
    candidates : ndarray of shape (m, n), optional
        Inputs of which some may be valid, if no attack is.
    random_state : int, optional
        Of the search.
    maxiter, callback
        Of the search.

    Returns
    -------
    OptimizeResult
        As of :func:`minimize_cdsm`.
    """

    def margin(x: Array) -> float:
        return threshold - float(probabilities.forward(x)[target])

    starts = _valid_starts(
        logits, margin, original, target, lower, upper, unit, candidates
    )
    best = original
    if margin(original) > 0:
        found = [
            _descend(logits, margin, x, original, target, threshold, norm, box, unit)
            for x in starts
            for box in [(lower, upper)]
        ]
        valid = [x for x in [*found, *starts] if margin(x) <= 0]
        valid.sort(key=lambda x: distance((x - original) / unit, norm))
        best = valid[0] if valid else original

    given = checked(
        {
            "x0": best,
            "bounds": np.column_stack([lower, upper]),
            "initial_radius": unit,
            "maxfev": maxfev,
            "xtol": xtol,
            "covering_every": 4,
            "random_state": random_state,
            "maxiter": maxiter,
            "callback": callback,
        }
    )
    space = read_space(given, [])
    # A direct search near a known answer starts with small steps.
    given["delta0"] = 0.01 if best is not original else 1.0
    given["covering_radius"] = 1.0

    def answer(x: Array) -> tuple[float, Array]:
        return distance((x - original) / unit, norm), np.array([margin(x)])

    problem = Problem(space, answer, None, True, lambda x: max(0.0, margin(x)), claim)
    return search(problem, given)


def _valid_starts(
    logits: Network,
    margin: Any,
    original: Array,
    target: int,
    lower: Array,
    upper: Array,
    unit: Array,
    candidates: Array | None,
) -> list[Array]:
    """Find inputs of the class: by attacks, or among the candidates."""
    u = class_direction(logits.n_outputs, target)
    scaled = _Units(logits, unit)
    sides = np.column_stack([lower, upper]) / unit[:, None]
    z = np.clip(original / unit, sides[:, 0], sides[:, 1])
    starts = []
    for method in ("fgsm", "pgd"):
        radius = FIRST_RADIUS
        for _ in range(DOUBLINGS):
            d = directional_attack(
                scaled, z, u, radius, norm=2, method=method, bounds=sides
            ).perturbation
            if margin(_at(original, unit * d, 1.0, lower, upper)) <= 0:
                starts.append(_shortest(margin, original, unit * d, lower, upper))
                break
            radius *= 2.0
    if not starts and candidates is not None:
        rows = np.clip(candidates, lower, upper)
        order = np.argsort(np.linalg.norm((rows - original) / unit, axis=1))
        for row in rows[order]:
            if margin(row) <= 0:
                starts.append(_shortest(margin, original, row - original, lower, upper))
                break
    return starts


def class_direction(p: int, target: int) -> Array:
    """Return the direction of the outputs that favours a class.

    Parameters
    ----------
    p : int
        Number of outputs; 1 is the logit of class 1.
    target : int
        Number of the class.

    Returns
    -------
    ndarray of shape (p,)
    """
    if p == 1:
        return np.array([1.0 if target == 1 else -1.0])
    u = np.full(p, -1.0 / (p - 1))
    u[target] = 1.0
    return u


def _at(x: Array, d: Array, share: float, lower: Array, upper: Array) -> Array:
    return np.clip(x + share * d, lower, upper)


def _shortest(margin: Any, x: Array, d: Array, lower: Array, upper: Array) -> Array:
    """Bisect for the smallest valid share of a move."""
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        if margin(_at(x, d, middle, lower, upper)) <= 0:
            high = middle
        else:
            low = middle
    return _at(x, d, high, lower, upper)


def _descend(
    logits: Network,
    margin: Any,
    start: Array,
    original: Array,
    target: int,
    threshold: float,
    norm: str,
    box: tuple[Array, Array],
    unit: Array,
) -> Array:
    """Shorten the move by sequential quadratic programming on the log odds."""
    lower, upper = box
    free = lower < upper
    goal = np.log(threshold) - np.log1p(-threshold) + ROOM

    def full(z: Array) -> Array:
        x = original.copy()
        x[free] = original[free] + unit[free] * z
        return np.clip(x, lower, upper)

    def odds(z: Array) -> float:
        return _log_odds(logits.forward(full(z)), target)[0] - goal

    def slope(z: Array) -> Array:
        x = full(z)
        u = _log_odds(logits.forward(x), target)[1]
        return (logits.vjp(x, u)[1] * unit)[free]

    low = ((lower - original) / unit)[free]
    high = ((upper - original) / unit)[free]
    with np.errstate(all="ignore"):
        found = minimize(
            lambda z: _smooth(z, norm),
            np.clip(((start - original) / unit)[free], low, high),
            jac=True,
            bounds=np.column_stack([low, high]),
            constraints={"type": "ineq", "fun": odds, "jac": slope},
            method="SLSQP",
            options={"maxiter": SLSQP_STEPS, "ftol": 1e-10},
        )
    if not np.isfinite(found.x).all():
        return start
    x = full(found.x)
    # A point just outside of the class is moved on along its own direction.
    for share in (1.0, 1 + 1e-9, 1 + 1e-7, 1 + 1e-5, 1 + 1e-3):
        moved = np.clip(original + share * (x - original), lower, upper)
        if margin(moved) <= 0:
            return moved
    return start


def _log_odds(z: Array, target: int) -> tuple[float, Array]:
    """Log odds of a class from the logits, and their gradient."""
    if len(z) == 1:
        sign = 1.0 if target == 1 else -1.0
        return sign * float(z[0]), np.array([sign])
    others = np.delete(z, target)
    top = others.max()
    share = np.exp(others - top)
    total = share.sum()
    gradient = np.insert(-share / total, target, 1.0)
    return float(z[target] - top - np.log(total)), gradient


def _smooth(z: Array, norm: str) -> tuple[float, Array]:
    """Return a smooth stand-in for the length, and its gradient."""
    if norm == "2":
        return float(z @ z), 2 * z
    if norm == "1":
        lengths = np.sqrt(z * z + SMOOTHING**2)
        return float(lengths.sum()), z / lengths
    top = max(float(np.abs(z).max()), 1e-12)
    shares = np.abs(z) / top
    total = float(np.sum(shares**POWER))
    length = top * total ** (1 / POWER)
    return length, np.sign(z) * shares ** (POWER - 1) * total ** (1 / POWER - 1)


class _Units:
    """A network of inputs in units of the distance."""

    def __init__(self, phi: Network, unit: Array) -> None:
        self.phi, self.unit, self.white_box = phi, unit, True
        self.n_outputs = phi.n_outputs

    def forward(self, Z: Array) -> Array:
        return self.phi.forward(Z * self.unit)

    def vjp(self, Z: Array, U: Array) -> tuple[Array, Array]:
        Y, G = self.phi.vjp(Z * self.unit, U)
        return Y, G * self.unit

    def jvp(self, Z: Array, V: Array) -> tuple[Array, Array]:
        return self.phi.jvp(Z * self.unit, V * self.unit)

    def jacobian(self, z: Array) -> Array:
        return self.phi.jacobian(z * self.unit) * self.unit
