"""Model search: a trust-region loop on the points that are known already.

Quadratic models of the nearest evaluated points are minimised in a ball around the
moving incumbent. The loop goes on while its predictions come true, so that it finishes
smooth functions and soon leaves the others to the poll.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfo.direct.barrier import DOMINATING, UNSUCCESSFUL
from dfo.direct.quadratic import Quadratic, fit, minimize_in_ball

Array = NDArray[np.float64]

# Evaluations of one visit, times n + 1; failures after which it leaves, one fewer after
# each visit in vain: models of functions with kinks are not worth more.
VISIT, FAILURES = 10, 4
# The radius may shrink to this share of the poll's, and grow to that multiple.
SMALLEST, LARGEST = 1e-3, 10.0
GOOD, POOR = 0.7, 0.1
# A point this close to a known one, relative to max(1, |x|), says nothing new.
NEAR = 1e-13
MOST_POINTS = 200
GRADIENT_STEPS = 100


def model_search(run: Any) -> int:
    """Follow the models from the incumbent.

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
    k = space.k
    smallest = SMALLEST * run.delta
    radius = float(np.clip(run.model_radius, smallest, LARGEST * run.delta))
    center, outcome, failures = barrier.primary, UNSUCCESSFUL, 0
    if not math.isfinite(barrier.merit(center)):
        return outcome
    for _ in range(VISIT * (k + 1)):
        with np.errstate(all="ignore"):  # values may be huge; models are checked
            model = local_model(run, center, radius)
            if model is None:
                break
            p = best_step(run, model, oracle.X[center], radius)
        x = space.step(oracle.X[center], p)
        w = space.coordinates(x)
        p = w - oracle.W[center]
        with np.errstate(all="ignore"):
            predicted = -float(p @ model.g + 0.5 * p @ model.H @ p)
        if not predicted > 0 or _known(run, x, w):
            radius *= 0.5
            failures += 1
        else:
            i = oracle(x, "model")
            outcome = max(outcome, barrier.classify(i))
            gained = barrier.gains(i, center)
            ratio = (barrier.merit(center) - barrier.merit(i)) / predicted
            length = float(np.linalg.norm(p))
            if gained:
                run.last_step = length
                run.last_direction = p / length
                center = i
            if gained and ratio > GOOD and length > 0.9 * radius:
                radius *= 2.0
            elif not gained or ratio < POOR:
                radius *= 0.5
                failures += not gained
        if failures >= run.patience or radius < smallest:
            break
        if radius > LARGEST * run.delta:
            break
    run.model_radius = radius
    change = 1 if outcome == DOMINATING else -1
    run.patience = min(max(1, run.patience + change), FAILURES)
    return outcome


def local_model(run: Any, center: int, radius: float) -> Quadratic | None:
    """Return the model of the nearest points with finite merits.

    Parameters
    ----------
    run : Run
        The state.
    center : int
        Number of the point around which it is built.
    radius : float
        Of the trust region.

    Returns
    -------
    Quadratic or None
        None with too few points.
    """
    W, merits = run.oracle.W, run.barrier.merits()
    k = W.shape[1]
    P = W - W[center]
    squares = np.einsum("ij,ij->i", P, P)
    squares[~np.isfinite(merits)] = np.inf
    near = int(np.sum(squares <= 4 * radius * radius))
    full = (k + 1) * (k + 2) // 2
    q = int(np.clip(near, 2 * k + 1, full))
    if full > MOST_POINTS:
        q = 2 * k + 1
    q = min(q, int(np.sum(np.isfinite(squares))))
    if q < k + 2:
        return None
    chosen = np.argpartition(squares, q - 1)[:q]
    F = merits[chosen] - merits[center]
    spread = float(np.abs(F).max())
    if not (spread > 0 and math.isfinite(spread)):
        return None
    prior = run.hessian
    fitted = fit(
        P[chosen], F[:, None] / spread, None if prior is None else prior / spread
    )
    if fitted is None:
        return None
    a, g, H = (part[0] * spread for part in fitted)
    run.hessian = H if q > k + 1 else None
    run.model = Quadratic(W[center].copy(), float(a), g, H)
    return run.model


def best_step(run: Any, model: Quadratic, x: Array, radius: float) -> Array:
    """Minimise the model in the ball and X.

    Parameters
    ----------
    run : Run
        The state.
    model : Quadratic
        The model.
    x : ndarray of shape (n,)
        Its center in the user's variables.
    radius : float
        Of the ball.

    Returns
    -------
    ndarray of shape (k,)
    """
    space = run.space
    p = minimize_in_ball(model.g, model.H, radius)
    if not space.plain:
        return p
    below, above = (room[space.free] for room in space.rooms(x))
    if ((p >= -below) & (p <= above)).all():
        return p
    step = 1.0 / max(float(np.abs(np.linalg.eigvalsh(model.H)).max()), 1e-300)
    p = np.clip(p, -below, above)
    for _ in range(GRADIENT_STEPS):
        q = np.clip(p - step * (model.g + model.H @ p), -below, above)
        length = float(np.linalg.norm(q))
        if length > radius:
            q *= radius / length
        if np.abs(q - p).max() <= 1e-12 * radius:
            break
        p = q
    return p


def _known(run: Any, x: Array, w: Array) -> bool:
    if run.oracle.known(x) >= 0:
        return True
    W = run.oracle.W
    gaps = np.abs(W - w).max(axis=1)
    return bool(gaps.min() <= NEAR * max(1.0, float(np.abs(w).max())))
