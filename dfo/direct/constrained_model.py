"""Model search with constraints: one quadratic for each of them."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from dfo.direct.barrier import UNSUCCESSFUL
from dfo.direct.model_search import GOOD, LARGEST, MOST_POINTS, POOR
from dfo.direct.quadratic import Quadratic, fit, minimize_in_ball

Array = NDArray[np.float64]

FAILURES = 2
SMALLEST = 0.1
# Rows of models that can be violated in the ball, at most.
MOST_ROWS = 40
# Price of a model's violation when two solutions are compared.
PRICE = 10.0
SLSQP_STEPS = 50
# Distance kept from a limit, in violations of the last point.
SAFETY = 2.0


def constrained_model_search(run: Any) -> int:
    """Follow models of objective and constraints from the primary incumbent.

    Parameters
    ----------
    run : Run
        The state of the search.

    Returns
    -------
    int
        The best class of its points.
    """
    oracle, barrier, space = run.oracle, run.barrier, run.space
    radius = float(np.clip(run.model_radius, SMALLEST * run.delta, LARGEST * run.delta))
    center, outcome, failures = barrier.primary, UNSUCCESSFUL, 0
    margin = np.zeros(oracle.C.shape[1])
    if not math.isfinite(oracle.H[center]):
        return outcome
    for _ in range(space.k + 1):
        with np.errstate(all="ignore"):
            models = _models(run, center, radius, margin)
        if models is None:
            break
        p, predicted = _best_step(run, models, center, radius)
        if p is None:
            break
        x = space.step(oracle.X[center], p)
        p = space.coordinates(x) - oracle.W[center]
        length = float(np.linalg.norm(p))
        gained = False
        if oracle.known(x) < 0 and length > 0:
            i = oracle(x, "model")
            outcome = max(outcome, barrier.classify(i))
            gained = barrier.gains(i, center)
            # A feasible center is left for feasible points only: the next one keeps
            # twice the distance by which this one has missed.
            strict = oracle.H[center] == 0 and barrier.handling != "penalty"
            margin = np.maximum(oracle.C[i], 0.0) if strict else np.zeros_like(margin)
            if gained:
                actual = float(oracle.F[center] - oracle.F[i])
                feasible = oracle.H[center] == 0
                ratio = actual / predicted if feasible and predicted > 0 else 1.0
                run.last_step, run.last_direction = length, p / length
                center = i
                if ratio > GOOD and length > 0.9 * radius:
                    radius *= 2.0
                elif ratio < POOR:
                    radius *= 0.5
        if not gained:
            failures += 1
            # A first miss by the constraints alone is no fault of the radius.
            radius *= 1.0 if failures == 1 and margin.any() else 0.5
        if failures >= FAILURES or not SMALLEST * run.delta <= radius <= (
            LARGEST * run.delta
        ):
            break
    run.model_radius = radius
    return outcome


def _models(
    run: Any, center: int, radius: float, margin: Array
) -> tuple[Any, ...] | None:
    """Return a, g, H of objective (first) and constraints, scaled by their spreads."""
    oracle = run.oracle
    W, k = oracle.W, run.space.k
    P = W - W[center]
    squares = np.einsum("ij,ij->i", P, P)
    squares[~(np.isfinite(oracle.F) & np.isfinite(oracle.H))] = np.inf
    full = (k + 1) * (k + 2) // 2
    near = int(np.sum(squares <= 4 * radius * radius))
    q = int(np.clip(near, 2 * k + 1, full)) if full <= MOST_POINTS else 2 * k + 1
    q = min(q, int(np.sum(np.isfinite(squares))))
    if q < k + 2:
        return None
    chosen = np.argpartition(squares, q - 1)[:q]
    values = np.column_stack([oracle.F[chosen] - oracle.F[center], oracle.C[chosen]])
    spread = np.ptp(values, axis=0)
    if not (spread[0] > 0 and np.isfinite(spread).all()):
        return None
    spread[spread == 0] = 1.0
    fitted = fit(P[chosen], values / spread)
    if fitted is None:
        return None
    a, g, H = fitted
    with np.errstate(invalid="ignore"):
        a[1:] += SAFETY * np.where(np.isfinite(margin), margin, 0.0) / spread[1:]
    run.model = Quadratic(W[center].copy(), float(a[0]), g[0], H[0])
    reach = (
        a[1:]
        + np.linalg.norm(g[1:], axis=1) * radius
        + 0.5 * np.abs(H[1:]).sum(axis=(1, 2)) * radius**2
    )
    rows = np.flatnonzero(reach >= 0)
    if len(rows) > MOST_ROWS:
        rows = rows[np.argsort(-reach[rows], kind="stable")[:MOST_ROWS]]
    keep = np.r_[0, rows + 1]
    return a[keep], g[keep], H[keep], float(spread[0])


def _best_step(
    run: Any, models: tuple[Any, ...], center: int, radius: float
) -> tuple[Array | None, float]:
    """Minimise the first model under the others, by SLSQP from two points."""
    a, g, H, unit = models
    k = len(g[0])
    start = [np.zeros(k), radius / math.sqrt(k) * (2 * run.rng.random(k) - 1)]
    if len(a) == 1 and run.space.plain:
        start.append(minimize_in_ball(g[0], H[0], radius))
    box = _box(run, center, radius)
    best, lowest, change = None, math.inf, 0.0

    def rows(p: Array) -> Array:
        values = a[1:] + g[1:] @ p + 0.5 * np.einsum("rij,i,j->r", H[1:], p, p)
        return -np.append(values, (p @ p - radius**2) / radius**2)

    def slopes(p: Array) -> Array:
        return -np.vstack([g[1:] + H[1:] @ p, 2 * p / radius**2])

    for p0 in start:
        with np.errstate(all="ignore"):
            found = minimize(
                lambda p: float(g[0] @ p + 0.5 * p @ H[0] @ p),
                np.clip(p0, *box),
                jac=lambda p: g[0] + H[0] @ p,
                bounds=np.column_stack(box),
                constraints={"type": "ineq", "fun": rows, "jac": slopes},
                method="SLSQP",
                options={"maxiter": SLSQP_STEPS},
            )
        p = np.clip(found.x, *box)
        length = float(np.linalg.norm(p))
        if not math.isfinite(length):
            continue
        if length > radius:
            p *= radius / length
        value = float(g[0] @ p + 0.5 * p @ H[0] @ p)
        price = value + PRICE * float(np.maximum(-rows(p), 0.0).sum())
        if price < lowest:
            best, lowest, change = p, price, -value * unit
    return best, change


def _box(run: Any, center: int, radius: float) -> tuple[Array, Array]:
    k = run.space.k
    if not run.space.plain:
        return np.full(k, -radius), np.full(k, radius)
    below, above = run.space.rooms(run.oracle.X[center])
    free = run.space.free
    return np.maximum(-below[free], -radius), np.minimum(above[free], radius)
