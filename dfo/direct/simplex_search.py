"""Nelder-Mead search on evaluated points: it follows kinks that models smooth over.

Audet, Tribes, Comput. Optim. Appl. 69 (2018) 331-359.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfo.direct.barrier import UNSUCCESSFUL

Array = NDArray[np.float64]

# Vertices lie within 4 delta; each adds a component above 0.1 of its length.
REACH, INDEPENDENT, SHORT = 4.0, 0.1, 0.1
MOST_EVALUATIONS = 30
EXPAND, CONTRACT = 2.0, 0.5


def simplex_search(run: Any) -> int:
    """Reflect, expand and contract a simplex of known points, until it would shrink.

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
    vertices = _vertices(run)
    if vertices is None:
        return UNSUCCESSFUL
    merits = barrier.merits()
    points = [(float(merits[i]), i) for i in vertices]
    points.sort(key=lambda pair: pair[0])
    outcome, used, start = UNSUCCESSFUL, oracle.nfev, points[0][0]

    def ask(w: Array) -> tuple[float, int]:
        nonlocal outcome
        center = oracle.X[points[0][1]]
        i = oracle(space.step(center, w - oracle.W[points[0][1]]), "simplex")
        outcome = max(outcome, barrier.classify(i))
        return barrier.merit(i), i

    while oracle.nfev - used < MOST_EVALUATIONS * (k + 1):
        worst_value, worst = points[-1]
        W = oracle.W
        middle = np.mean([W[i] for _, i in points[:-1]], axis=0)
        away = middle - W[worst]
        before = oracle.nfev
        new = ask(middle + away)
        if new[0] < points[0][0]:
            further = ask(middle + EXPAND * away)
            new = min(new, further, key=lambda pair: pair[0])
        elif new[0] >= points[-2][0]:
            outer = new[0] < worst_value
            closer = ask(middle + (CONTRACT if outer else -CONTRACT) * away)
            if closer[0] >= min(new[0], worst_value):
                break  # a shrink would cost k evaluations
            new = closer
        points[-1] = new
        points.sort(key=lambda pair: pair[0])
        size = max(
            float(np.linalg.norm(oracle.W[i] - oracle.W[points[0][1]]))
            for _, i in points
        )
        if size < SHORT * run.delta and points[0][0] >= start:
            break
        if size < np.finfo(float).eps or oracle.nfev == before:
            break
    return outcome


def _vertices(run: Any) -> list[int] | None:
    """Return the incumbent and k good, affinely independent points around it."""
    W, merits = run.oracle.W, run.barrier.merits()
    k = run.space.k
    first = run.barrier.primary
    P = W - W[first]
    lengths = np.sqrt(np.einsum("ij,ij->i", P, P))
    usable = (lengths <= REACH * run.delta) & (lengths > SHORT * run.delta)
    usable &= np.isfinite(merits)
    candidates = np.flatnonzero(usable)
    if len(candidates) < k or not math.isfinite(merits[first]):
        return None
    candidates = candidates[np.argsort(merits[candidates], kind="stable")]
    Q = np.zeros((k, k))
    chosen = [first]
    for i in candidates:
        found = len(chosen) - 1
        rest = P[i] - Q[:found].T @ (Q[:found] @ P[i])
        size = float(np.sqrt(rest @ rest))
        if size > INDEPENDENT * lengths[i]:
            Q[found] = rest / size
            chosen.append(int(i))
            if len(chosen) == k + 1:
                return chosen
    return None
