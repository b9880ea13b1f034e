"""The best global lower bound of the relaxation: theta inside the program.

With K of the units of each sign as variables (see dnn.py), the relaxation of the
network problem itself is convex,

    min  L(sum_sigma sigma Y_sigma[a, p], y) + alpha sum_sigma Y_sigma[a, a],

and its multiplier theta is the dual point that proves the most. Splitting the units by
the sign of ``x_k'u`` for a few rows k, each leaf with its own Y, tightens it.
"""

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexnn._measure_losses import LOSSES, dual_value
from convexnn.relaxation.dnn import WEIGHT, DouglasRachford, Level, Lift, Pull, scaled
from convexnn.relaxation.elementary import elementary_dual
from convexnn.relaxation.level import Fitted
from farkas.history import Recorder
from farkas.parallel import blas_threads_for
from farkas.status import Status

Array = NDArray[np.float64]

# First penalty parameter, in units of alpha over the size of K: what the adapted value
# came to on the breast cancer data of 24 to 200 rows.
RHO = 40.0
# The bound is fitted first after so many iterations, then each time their number has
# grown by a fifth.
FIRST_CHECK = 25
GROWTH = 1.2
# A run ends when the second half of its iterations raised the bound by no more than
# this part, but not before so many. A run that is followed by a split ends sooner.
STALL = 1e-5
STALL_BEFORE_SPLIT = 3e-4
SHORTEST = 300


@dataclasses.dataclass
class Proof:
    """A dual point of one output, with the proof of its bound.

    Parameters
    ----------
    theta : ndarray of shape (n,)
        Dual point.
    leaves : list of Fitted
        Sign +1, then -1; for each the leaves of the branching.
    norm : float
        The bound on ``|theta'(X u)_+|`` over all unit vectors.
    lower : float
        Lower bound of the objective, up to rounding.
    rows : tuple of int
        Rows by whose sign the units are split; bit j of the number of a leaf tells
        the sign of the j-th of them.
    nit : int
        Iteration at which it was found; 0 is the bound without iterations.
    """

    theta: Array
    leaves: list[Fitted]
    norm: float
    lower: float
    rows: tuple[int, ...]
    nit: int


@dataclasses.dataclass
class Outcome:
    """What a run returns: its best proof, and how it ended."""

    proof: Proof
    status: Status
    nit: int
    history: dict[str, NDArray[Any]]
    interrupted: bool = False


def best_bound(
    X: Array,
    y: Array,
    U: Array,
    *,
    signs: Array,
    alpha: float,
    loss: str,
    target: float,
    max_iter: int,
    max_time: float,
    products: bool = True,
    branches: int = 0,
    verbose: int = 0,
) -> Outcome:
    """Maximise the lower bound over theta, starting from a network.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Data with the intercept column.
    y : ndarray of shape (n,)
        Targets, -1 or +1 where the loss asks for it.
    U : ndarray of shape (d, m)
        Balanced hidden weights, ``|u_j| = |a_j|``.
    signs : ndarray of shape (m,)
        Signs of the output weights.
    alpha, loss
        The problem.
    target : float
        Lower bound at which to stop.
    max_iter, max_time
        Limits; seconds.
    products : bool
        Whether to use products of different samples.
    branches : int
        Largest number of rows by whose sign the units are split: the next one each
        time that progress stalls.
    verbose : int
        As everywhere.

    Returns
    -------
    Outcome
    """
    climb = Climb(X, y, alpha, loss, target, verbose)
    splitting = climb.start(U, signs, products)
    status, interrupted = Status.MAX_ITER, False
    try:
        with np.errstate(all="ignore"), blas_threads_for(X):
            for left in range(branches, -1, -1):
                stall = STALL_BEFORE_SPLIT if left else STALL
                status = climb.run(splitting, max_iter, max_time, stall)
                if (
                    status is not Status.STALLED
                    or not left
                    or len(climb.rows) == len(X)
                ):
                    break
                splitting = climb.split(splitting)
    except KeyboardInterrupt:
        interrupted, status = True, Status.CALLBACK
    history = climb.recorder.to_dict()
    return Outcome(climb.best, status, climb.nit, history, interrupted)


class Climb:
    """A run towards a better lower bound; keeps the best proof.

    Parameters
    ----------
    X, y, alpha, loss, target, verbose
        As in :func:`best_bound`.

    Attributes
    ----------
    best : Proof
        Best so far.
    rows : list of int
        Rows by whose sign the units are split.
    nit : int
        Iterations so far.
    """

    def __init__(
        self, X: Array, y: Array, alpha: float, loss: str, target: float, verbose: int
    ) -> None:
        self.data, self.unit = scaled(X)
        self.y, self.loss, self.target, self.alpha = y, loss, target, alpha
        self.recorder = Recorder(1, ("lower_bound", "rho"), verbose, "global bound")
        self.rows: list[int] = []
        self.nit = 0

    def start(self, U: Array, signs: Array, products: bool) -> DouglasRachford:
        """Set up the program without branches, with the elementary bound as best."""
        data, price = self.data, self.alpha / self.unit
        weight = WEIGHT / (float(np.linalg.norm(data, 2)) or 1.0)
        units = U * math.sqrt(self.unit)
        lifts, start = [], []
        for sign in (1.0, -1.0):
            lift = Lift(data, sign, products=products, weight=weight)
            lifts.append(lift)
            start.append(lift.of_network(units[:, np.sign(signs) == sign], data))
        loss = LOSSES[self.loss]
        zero_loss = float(loss.value(np.zeros_like(self.y), self.y).sum())
        size = math.sqrt(math.fsum(float(np.vdot(K, K)) for K in start))
        size = max(size, zero_loss / price, np.finfo(float).tiny)
        z = np.maximum(data @ units, 0.0) @ (signs * np.linalg.norm(units, axis=0))
        theta = loss.project(loss.theta(z, self.y), self.y)
        duals = [elementary_dual(data, lift.sign * theta) for lift in lifts]
        leaves = [
            Fitted(data, lift.sign * theta, dual)
            for lift, dual in zip(lifts, duals, strict=True)
        ]
        self.best = self.graded(theta, leaves)
        return DouglasRachford(
            lifts,
            Pull(self.y, self.loss),
            Level(price),
            rho=RHO * price / size,
            start=start,
        )

    def run(
        self,
        splitting: DouglasRachford,
        last: int,
        deadline: float,
        stall: float = STALL,
    ) -> Status:
        """Iterate until the target, a limit, or no more progress."""
        first = self.nit
        check, seen = first + FIRST_CHECK, [(0, -math.inf)]
        while self.nit < last:
            splitting.step()
            self.nit += 1
            late = self.recorder.elapsed > deadline
            if not math.isfinite(splitting.primal):
                return Status.NUMERICAL
            if self.nit < check and not late and self.nit < last:
                continue
            steps = self.nit - first
            check = first + max(steps + FIRST_CHECK, int(GROWTH * steps))
            seen.append((steps, max(self.prove(splitting), seen[-1][1])))
            self.recorder.record(
                self.nit,
                objective=self.target,
                certificate=max(self.target - self.best.lower, 0.0),
                lower_bound=self.best.lower,
                rho=splitting.rho,
            )
            if self.best.lower >= self.target:
                return Status.CONVERGED
            if late:
                return Status.MAX_TIME
            if _stalled(seen, stall):
                return Status.STALLED
        return Status.MAX_ITER

    def prove(self, splitting: DouglasRachford) -> float:
        """Fit the bound of the present multipliers, and keep it if it is the best."""
        theta = LOSSES[self.loss].project(splitting.theta, self.y)
        leaves = [
            Fitted(self.data, lift.sign * theta, dual)
            for lift, dual in zip(splitting.lifts, splitting.duals(), strict=True)
        ]
        proof = self.graded(theta, leaves)
        if proof.lower > self.best.lower:
            self.best = proof
        return proof.lower

    def graded(self, theta: Array, leaves: list[Fitted]) -> Proof:
        """Return the proof with its bound."""
        norm, lower = self.unit * max(leaf.bound for leaf in leaves), -math.inf
        if math.isfinite(norm):
            loss = LOSSES[self.loss]
            lower, _ = dual_value(theta, self.y, norm / self.alpha, loss)
        return Proof(theta, leaves, norm, lower, tuple(self.rows), self.nit)

    def split(self, splitting: DouglasRachford) -> DouglasRachford:
        """Split all lifts by the sign of one more row.

        Both halves start with all multipliers and one half of K, so that the new
        program starts at the bound of the old one.
        """
        row = undecided_row(splitting, self.rows)
        self.rows.append(row)
        lifts, K, U = [], [], []
        for sign in (1.0, -1.0):
            for zero in (row + len(self.data), row):
                for i, lift in enumerate(splitting.lifts):
                    if lift.sign == sign:
                        lifts.append(lift.with_zero(zero))
                        K.append(0.5 * splitting.K[i])
                        U.append(splitting.U[i].copy())
        halves = DouglasRachford(
            lifts, splitting.pull, splitting.level, rho=splitting.rho, start=K
        )
        halves.U = U
        return halves


def undecided_row(splitting: DouglasRachford, taken: list[int]) -> int:
    """Choose the row that is active and inactive in equal and large measure.

    The score is ``|theta_k|`` times the geometric mean of the entries (a, p_k) and
    (a, q_k), summed over the lifts; of five scores that were tried on random and
    diabetes data, it led to the largest bounds.
    """
    n = len(splitting.theta)
    scores = np.zeros(n)
    for lift, K in zip(splitting.lifts, splitting.K, strict=True):
        heights = np.maximum(K[0, lift.rows], 0.0)
        scores += np.abs(splitting.theta) * np.sqrt(heights[:n] * heights[n:])
    scores[taken] = -1.0
    return int(np.argmax(scores))


def _stalled(seen: list[tuple[int, float]], stall: float) -> bool:
    """Whether the last half of the iterations has hardly raised the bound."""
    nit, lower = seen[-1]
    if nit < SHORTEST:
        return False
    earlier = max(bound for k, bound in seen if k <= nit // 2)
    return bool(lower - earlier <= stall * abs(lower))
