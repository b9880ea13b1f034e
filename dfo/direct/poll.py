"""The poll: trial points around the incumbents, and the certificate at the end.

Only a complete poll without success shrinks the radius; it is also what is certified.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dfo._measure_poll_set import displaced
from dfo.direct.barrier import DOMINATING, UNSUCCESSFUL
from dfo.direct.directions import poll_directions, unit_vector
from farkas.certificate import Certificate
from farkas.verification import certify

Array = NDArray[np.float64]

NOTHING = 1e-300


class Poll(NamedTuple):
    """Trial points of a poll: ``center + steps scale directions``, moved into X."""

    center: int
    directions: Array
    steps: Array
    points: Array
    active: NDArray[np.int64]


class Claim(NamedTuple):
    """A problem of the measure whose objective is redone from arrays."""

    problem: str
    data: tuple[Any, ...]
    witness: dict[str, Any]
    parameters: dict[str, Any]


def trial_points(run: Any, center: int, directions: Array, active: Any) -> Poll:
    """Return the points of directions at the radius of the poll.

    Parameters
    ----------
    run : Run
        The state.
    center : int
        Number of the center.
    directions : ndarray of shape (q, k)
        Unit rows in the coordinates of the basis.
    active : ndarray of int
        Linear rows that they respect.

    Returns
    -------
    Poll
        Without the points that rounding leaves at the center.
    """
    space, x = run.space, run.oracle.X[center].copy()
    full = space.lift(directions)
    steps = np.full(len(full), run.delta)
    if space.gridded:
        full, steps, points = _grid_points(run, x, full)
    else:
        if not space.plain:
            moves = run.delta * (space.scale * full)
            steps *= np.array([space.longest(x, move) for move in moves])
        moves = steps[:, None] * (space.scale * full)
        points = displaced(x, moves, space.lower, space.upper)
    moved = (points != x).any(axis=1)
    return Poll(center, full[moved], steps[moved], points[moved], active)


def _grid_points(run: Any, x: Array, full: Array) -> tuple[Array, Array, Array]:
    """Round the steps: away from zero once half a spacing is reached."""
    space, delta = run.space, run.delta
    g = np.where(space.grid > 0, space.grid, 1.0)
    on = space.grid > 0
    moves = delta * (space.scale * full)
    counts = np.abs(moves) / g
    far = delta * space.scale >= 0.5 * g
    neighbour = np.count_nonzero(full, axis=1)[:, None] == 1
    rounded = np.where(
        (counts > 1e-9) & (far | neighbour), np.maximum(np.rint(counts), 1.0), 0.0
    )
    moves = np.where(on, np.sign(moves) * g * rounded, moves)
    points = space.place(x + moves)
    _, first = np.unique(points, axis=0, return_index=True)
    keep = np.sort(first)
    keep = keep[[space.inside(p) for p in points[keep]]]
    points, full = points[keep], full[keep]
    scaled = (points - x) / space.scale
    steps = np.linalg.norm(scaled, axis=1)
    rounded = (points != x)[:, on].any(axis=1)
    steps = np.where(rounded, steps, delta)
    scaled /= np.maximum(steps, NOTHING)[:, None]
    return np.where(rounded[:, None], scaled, full), steps, points


def poll_step(run: Any) -> int:
    """Poll around the incumbents, in order of promise, until a point dominates.

    Parameters
    ----------
    run : Run
        The state of the search.

    Returns
    -------
    int
        The best class of the trial points.
    """
    barrier, oracle = run.barrier, run.oracle
    primary, secondary = barrier.primary, barrier.secondary
    options = run.options
    directions, active, _ = poll_directions(
        run.space, oracle.X[primary], run.delta, options.poll, run.rotation()
    )
    polls = [trial_points(run, primary, directions, active)]
    if secondary >= 0:
        u = run.last_direction
        if u is None:
            u = unit_vector(run.space.k, run.rng)
        pair = np.vstack([u, -u])
        polls.append(trial_points(run, secondary, pair, polls[0].active))
    outcome = UNSUCCESSFUL
    for poll in polls:
        outcome = max(outcome, _evaluate(run, poll))
        if outcome == DOMINATING and options.opportunistic:
            break
    run.failed_poll = polls[0] if outcome == UNSUCCESSFUL else None
    if outcome == DOMINATING:
        _speculate(run)
    return outcome


def _evaluate(run: Any, poll: Poll) -> int:
    oracle, barrier, size = run.oracle, run.barrier, run.options.block_size
    order = _order(run, poll)
    outcome = UNSUCCESSFUL
    for begin in range(0, len(order), size):
        rows = order[begin : begin + size]
        numbers = oracle.block(poll.points[rows], "poll")
        for i in numbers:
            found = barrier.classify(i)
            if found > outcome:
                outcome = found
                if found == DOMINATING:
                    run.reached = (poll.center, i)
        if outcome == DOMINATING and run.options.opportunistic:
            break
        if len(numbers) < len(rows):
            oracle.block(poll.points[rows], "poll")  # the budget is spent: this stops
    if not run.options.opportunistic and outcome == DOMINATING:
        best = min(
            (i for i in map(oracle.known, poll.points) if i >= 0),
            key=lambda i: (-barrier.classify(i), barrier.merit(i)),
        )
        run.reached = (poll.center, best)
    return outcome


def _order(run: Any, poll: Poll) -> NDArray[np.intp]:
    """By the model if there is one, else by the angle to the last success."""
    W = run.space.coordinates(poll.points)
    P = W - run.oracle.W[poll.center]
    if run.model is not None:
        return np.argsort(run.model.at(W - run.model.center), kind="stable")
    if run.last_direction is not None:
        lengths = np.maximum(np.linalg.norm(P, axis=1), NOTHING)
        return np.argsort(-(P @ run.last_direction) / lengths, kind="stable")
    return np.arange(len(P))


def _speculate(run: Any) -> None:
    """After a success, look once as far again in the same direction."""
    center, i = run.reached
    oracle, space = run.oracle, run.space
    p = oracle.W[i] - oracle.W[center]
    length = float(np.linalg.norm(p))
    run.reached_length = length
    if length > 0:
        run.last_direction = p / length
    x = space.step(oracle.X[center], 2.0 * p)
    if oracle.known(x) < 0:
        j = oracle(x, "speculative")
        if run.barrier.classify(j) == DOMINATING and run.barrier.gains(j, i):
            run.counts["speculative"] += 1


def certify_poll(
    run: Any,
    poll: Poll | None,
    violation: Callable[[Array], float] | None,
    claim: Claim | None = None,
) -> Certificate:
    """Have the measure redo a poll that has failed.

    Parameters
    ----------
    run : Run
        The state at the end.
    poll : Poll or None
        The poll, around the point that is handed out; None without one.
    violation : callable, optional
        Sum of the violations of nonlinear constraints.
    claim : Claim, optional
        Problem and data that the claim is about, if it is not the function alone.

    Returns
    -------
    Certificate
    """
    space, oracle, options = run.space, run.oracle, run.options
    center = run.barrier.result() if poll is None else poll.center
    n = space.n
    witness: dict[str, Any] = {
        "center": oracle.X[center].copy(),
        "directions": np.empty((0, n)) if poll is None else poll.directions,
        "steps": np.empty(0) if poll is None else poll.steps,
        "scale": space.scale,
    }
    for name, side in (("lower", space.lower), ("upper", space.upper)):
        if np.isfinite(side).any():
            witness[name] = side
    if len(space.rows):
        witness["rows"], witness["limits"] = space.rows, space.limits
        witness["active"] = np.empty(0, dtype=np.int64) if poll is None else poll.active
    if len(space.equalities):
        witness["equalities"] = space.equalities
    if space.gridded:
        witness["grid"], witness["origin"] = space.grid, space.origin
    numbers = [center]
    if poll is not None:
        numbers += [oracle.known(x) for x in poll.points]
    witness["values"] = oracle.F[numbers]
    table = {oracle.X[i].tobytes(): i for i in numbers}
    data: list[Any] = [lambda x: oracle.F[table[x.tobytes()]]]
    key = "dfo.direct_poll/1"
    if violation is not None:
        seen = [violation(oracle.X[i]) for i in numbers]
        witness["violations"] = np.array(seen)
        key = "dfo.direct_constrained_poll/1"
        recorded = {
            oracle.X[i].tobytes(): v for i, v in zip(numbers, seen, strict=True)
        }
        data.append(lambda x: recorded[x.tobytes()])
    parameters: dict[str, Any] = {"forcing": options.forcing}
    if math.isfinite(options.lower_bound):
        parameters["lower_bound"] = options.lower_bound
    if not math.isnan(options.lipschitz):
        parameters["lipschitz_gradient"] = options.lipschitz
    if claim is not None:
        for name in ("lower", "upper"):  # these come from the data
            witness.pop(name, None)
        return certify(
            claim.problem,
            claim.data,
            {**witness, **claim.witness},
            {**parameters, **claim.parameters},
            tolerance=options.xtol,
        )
    return certify(key, data, witness, parameters, tolerance=options.xtol)


def final_poll(run: Any) -> Poll | None:
    """Return a failed poll around the point that is handed out, with 2n evaluations.

    A better point found by it becomes the result, and polling goes on around that with
    half the radius while evaluations are left.

    Parameters
    ----------
    run : Run
        The state at the end.

    Returns
    -------
    Poll or None
        None when no poll has failed.
    """
    oracle, barrier, space = run.oracle, run.barrier, run.space
    last = run.failed_poll
    best = barrier.result()
    bounded = bool(np.isfinite(space.lower).any() or np.isfinite(space.upper).any())
    # Beyond one unit a move that a bound clips is bent: such a poll only explores.
    bent = bounded and run.polled > 1.0
    if last is not None and not bent and oracle.H[best] == 0:
        if _same(oracle, last.center, best):
            return last
    if not run.options.certify or oracle.H[best] > 0 or space.k == 0:
        return None
    oracle.outside = True
    left = 2 * space.k if run.options.poll in ("2n", "coordinate") else space.k + 1
    # At a corner of X, or next to rows, a poll needs further directions.
    run.delta = max(run.delta, run.options.xtol)
    if bounded or not space.plain:
        run.delta = min(run.delta, 1.0)
    if space.gridded:  # then the axes lead to the neighbours, and nowhere else
        on = (space.grid > 0) & space.free
        spacing = np.min((space.grid / space.scale)[on], initial=math.inf)
        run.delta = min(run.delta, 0.99 * float(spacing))
    limit: int | None = None
    while True:
        center = barrier.result()
        directions, active, _ = poll_directions(
            space, oracle.X[center], run.delta, run.options.poll, run.rotation()
        )
        poll = trial_points(run, center, directions, active)
        limit = max(left, len(poll.points)) if limit is None else limit
        if not len(poll.points):
            return None
        failed = True
        for x in poll.points:
            known = oracle.known(x)
            if known < 0 and oracle.nfev_certificate >= limit:
                return None
            i = oracle(x, "certificate")
            if oracle.H[i] == 0 and oracle.F[i] < oracle.F[center]:
                failed = False
                break
        if failed:
            return poll
        run.delta = max(0.5 * run.delta, run.options.xtol)


def _same(oracle: Any, i: int, j: int) -> bool:
    return i == j or bool(np.array_equal(oracle.X[i], oracle.X[j]))


def smallest_size(run: Any) -> float:
    """Return the size below which floating point leaves no poll.

    Parameters
    ----------
    run : Run
        The state.

    Returns
    -------
    float
    """
    x = run.oracle.X[run.barrier.primary]
    sizes = np.spacing(np.abs(x)) / run.space.scale
    return float(math.sqrt(run.space.n) * sizes[run.space.free].max(initial=0.0))
