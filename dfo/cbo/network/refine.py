"""Refine a network along random directions of its parameters, by polls.

Polls are gradients by central differences, and more: where the loss has kinks, the best
poll point is taken.
"""

import math
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dfo._measure_training import FORCING

Array = NDArray[np.float64]

DIRECTIONS = 50  # along which the training loss is polled
COARSE = 1.0  # the first poll step: weights are of this size
FIRST_STEP, SHRINK = 1e-2, 0.25  # of a refinement's polls


def random_directions(D: int, rng: np.random.Generator) -> Array:
    """Return at most 50 orthonormal rows of length D, all axes if there are fewer.

    Parameters
    ----------
    D : int
        Number of parameters.
    rng : Generator
        Source of randomness.

    Returns
    -------
    ndarray of shape (k, D)
    """
    if D <= DIRECTIONS:
        return np.eye(D)
    return np.ascontiguousarray(np.linalg.qr(rng.standard_normal((D, DIRECTIONS)))[0].T)


def refine(
    fun: Callable[[Array], Array],
    theta: Array,
    value: float,
    Q: Array,
    *,
    tol: float,
    polls: int,
    max_time: float = math.inf,
) -> tuple[Array, float, Array, Array]:
    """Move along directions until no step of length `tol` gains more than ``tol^2``.

    Every poll of both signs is also a gradient by central differences and the diagonal
    of the Hessian; L-BFGS with those converges where the loss is smooth, and the best
    poll point is taken where it is not.

    Parameters
    ----------
    fun : callable
        Losses of rows of parameters.
    theta : ndarray of shape (D,)
        Start.
    value : float
        Its loss.
    Q : ndarray of shape (k, D)
        Orthonormal directions.
    tol : float
        Length of the last step.
    polls : int
        Largest number of polls before the last two.
    max_time : float, default=inf
        Seconds.

    Returns
    -------
    theta : ndarray of shape (D,)
    value : float
    steps : ndarray of shape (2,)
        Steps of the last polls.
    values : ndarray of shape (2, 2 k)
        Their losses.
    """
    begun, n = time.perf_counter(), len(Q)
    pairs: list[tuple[Array, Array]] = []
    last: tuple[Array, Array] | None = None

    def polled(h: float) -> Array:
        return np.concatenate([fun(theta + h * Q), fun(theta - h * Q)])

    h = max(tol, FIRST_STEP)
    for _ in range(polls):
        if not math.isfinite(value) or time.perf_counter() - begun >= max_time:
            break
        values = _clean(polled(h))
        plus, minus = values[:n], values[n:]
        lowest = int(np.argmin(values))
        if value - values[lowest] <= FORCING * h**2:
            if h <= tol:
                break
            h, last = max(tol, SHRINK * h), None
            continue
        g = (plus - minus) / (2 * h)
        curvature = (plus + minus - 2 * value) / h**2
        if last is not None and last[0] @ (g - last[1]) > 0:
            pairs = [*pairs[-19:], (last[0], g - last[1])]
        moves = _moves(g, curvature, pairs, h, lowest, plus, minus, value)
        found = _clean(fun(theta + moves @ Q))
        best = int(np.argmin(found))
        theta = theta + moves[best] @ Q
        value, last = float(found[best]), (moves[best], g)
        h = max(tol, min(4 * h, float(np.abs(moves[best]).max())))
    value = float(fun(theta[None])[0])
    steps = np.array([COARSE, tol])
    return theta, value, steps, np.stack([polled(float(h)) for h in steps])


def _moves(
    g: Array,
    curvature: Array,
    pairs: list[tuple[Array, Array]],
    h: float,
    lowest: int,
    plus: Array,
    minus: Array,
    value: float,
) -> Array:
    """Return what is tried after a poll that found something better, one move a row."""
    n = len(g)
    single = np.zeros(n)
    single[lowest % n] = h if lowest < n else -h
    newton = _two_loop(g, pairs, curvature)
    # Every coordinate that improves, at the vertex of its parabola or at the poll step.
    with np.errstate(divide="ignore", invalid="ignore"):
        vertex = np.where(curvature > 0, -g / curvature, -np.sign(g) * 4 * h)
    vertex = np.clip(np.nan_to_num(vertex), -4 * h, 4 * h)
    vertex[np.minimum(plus, minus) >= value] = 0.0
    return np.vstack(
        [
            np.outer([1.0, 2.0, 4.0, 16.0, 64.0], single),
            np.outer([1.0, 0.25, 4.0, 0.05], newton),
            np.outer([1.0, 0.3, 0.1, 3.0], vertex),
        ]
    )


def _clean(values: Array) -> Array:
    return np.where(np.isfinite(values), values, np.finfo(np.float64).max)


def _two_loop(g: Array, pairs: list[tuple[Array, Array]], curvature: Array) -> Array:
    """Return the L-BFGS direction; the first metric is the polled curvature."""
    q, coefficients = g.copy(), []
    for s, y in reversed(pairs):
        a = (s @ q) / (s @ y)
        coefficients.append(a)
        q -= a * y
    floor = 1e-3 * max(float(curvature.max(initial=0.0)), 1e-12)
    q /= np.maximum(curvature, floor)
    for (s, y), a in zip(pairs, reversed(coefficients), strict=True):
        q += (a - (y @ q) / (s @ y)) * s
    return -q if q @ g > 0 else -g
