"""Low-rank projected gradient descent with long steps and an exact head.

Rank does not change when the A block of the lifted matrix is rescaled, so A and B may
have different steps: B takes the exact one, which lands on X, and A a step tau by the
rule of Barzilai and Borwein (1988), shortened until the objective falls by a share of
what its model promises. A step of 1/nu is fixed exactly where the duality gap is zero,
so that the loop stops by proof.
"""

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from farkas.backend import asnumpy, to_device
from sdl._measure_data import Problem
from sdl._measure_spectrum import LARGE
from sdl.head import Head, HeadPoint
from sdl.lifting import Space
from sdl.recovery import recover
from sdl.secular import leading_pairs

Array = NDArray[np.float64]

# Share of the model's decrease that a step must reach (Armijo's usual constant).
SUFFICIENT = 1e-4
# First step of A, times 1/nu; how a step grows where there is no curvature, and shrinks
# once it is refused (measured on tables and images: fewest trial points).
FIRST_STEP, LONGER, SHORTER = 1.0, 4.0, 8.0
# Newton steps of the head at a trial point.
HEAD_STEPS = 6
# The head is left alone once it would gain this share of what the step promises.
HEAD_SHARE = 1e-3
# Relative decrease that counts as none, and how often in a row.
STAGNATION, PATIENCE = 1e-13, 5
# Without a ridge: the longest step over the shortest, the share of the label loss at
# zero from which labels count as separated, and a decrease that is none from there on.
FREE, SEPARATED, ENOUGH = 1e8, 1e-6, 1e-6


@dataclasses.dataclass
class LongSteps:
    """State of the iteration.

    The space and the head stay the same; the others change once an iteration.
    """

    space: Space
    head: Head
    task: Problem
    Q: Array  # basis of the factor space
    point: HeadPoint  # beta, Gamma and the label residual at Q
    features: Any  # (n, r)
    objective: float
    tau: float
    lower: float = -math.inf  # best dual bound so far
    dual: Array | None = None  # and its alpha
    mapping: float = math.nan  # norm of the gradient mapping at the last step
    eigengap: float = math.nan
    nit: int = 0
    idle: int = 0  # iterations in a row without progress
    _pulled: tuple[HeadPoint, Array] | None = None

    @classmethod
    def begin(
        cls,
        space: Space,
        head: Head,
        task: Problem,
        Q: Array,
        beta: Array | None = None,
        Gamma: Array | None = None,
    ) -> "LongSteps":
        """Start at an orthonormal basis, with the best head for it."""
        K = task.Y.shape[1]
        beta = np.zeros((Q.shape[1], K)) if beta is None else beta
        Gamma = np.zeros((task.Z.shape[1], K)) if Gamma is None else Gamma
        features = space.features(Q)
        point = head.minimise(features, beta, Gamma)
        shortest = 1.0 / cls.lipschitz(space, task)
        first = max(shortest, FIRST_STEP / task.nu) if task.nu > 0 else shortest
        self = cls(space, head, task, Q, point, features, 0.0, first)
        self.objective = self._objective(point, Q)
        return self

    @staticmethod
    def lipschitz(space: Space, task: Problem) -> float:
        """Return ``L_A``: steps up to its inverse never raise the objective."""
        bound = 0.25 if task.Y.shape[1] == 1 else 0.5
        return task.nu + bound * space.curvature

    @property
    def check_every(self) -> int:
        """Iterations between two dual bounds; in a dense space they are cheap."""
        return self.space.check_every

    @property
    def gap(self) -> float:
        """Objective minus the best dual bound."""
        return self.objective - self.lower

    def met(self, tol: float) -> bool:
        """Whether the proven gap is at most `tol` times the objective."""
        return self.gap <= tol * abs(self.objective)

    def advance(self) -> bool:
        """Take one step; return False at a point that is stationary to rounding."""
        space, task = self.space, self.task
        shortest = 1.0 / self.lipschitz(space, task)
        longest = 1.0 / task.nu if task.nu > 0 else FREE * shortest
        A = self.Q @ self.point.beta
        pull = self._pull()
        while True:
            tau = min(self.tau, longest)
            target = A + tau * (pull - task.nu * A)
            new = space.leading(target / math.sqrt(2.0 * tau), self.Q)
            if tau == longest:  # the matrix is that of the dual bound
                self._offer(new.total, pull)
            seen = new.Q.T @ target
            promised = self._promised(A, target, seen, new.Q, tau)
            features = space.features(new.Q)
            point = self._best_head(features, seen, new.Q.T @ A, promised)
            if not self._falls(point, new.Q, promised):
                point = self.head.minimise(
                    features, point.beta, point.Gamma, start=point
                )
            if self._falls(point, new.Q, promised):
                # The dual bound needs the head of an accepted point to be exact.
                point = self.head.minimise(
                    features, point.beta, point.Gamma, start=point
                )
                break
            if self.tau <= shortest:
                return False
            self.tau = max(tau / SHORTER, shortest)
        self._accept(new.Q, point, features, seen, A, tau)
        self.eigengap = new.gap
        bend = self.Q @ self.point.beta - A
        change = task.nu * bend - (self._pull() - pull)
        curved = float(np.sum(bend * change))
        if curved > 0.0:  # Barzilai and Borwein's second rule
            self.tau = max(curved / float(np.sum(change * change)), shortest)
        else:
            self.tau = min(LONGER * tau, longest)
        return self.idle < PATIENCE

    def _falls(self, point: HeadPoint, Q: Array, promised: float) -> bool:
        objective = self._objective(point, Q)
        enough = objective <= self.objective - SUFFICIENT * promised
        return enough and objective < self.objective

    def _promised(
        self, A: Array, target: Array, seen: Array, Q: Array, tau: float
    ) -> float:
        """Decrease of the model that the projection minimises, never negative."""
        step = float(np.sum((A - target) ** 2))
        missed = max(float(np.sum(target**2)) - float(np.sum(seen**2)), 0.0)
        gained = self.space.captured(Q) - self.space.captured(self.Q)
        return max((step - missed) / (2.0 * tau) + self.task.xi * gained, 0.0)

    def _best_head(
        self, features: Any, seen: Array, kept: Array, promised: float
    ) -> HeadPoint:
        """Minimise the head from the better of two starts."""
        Gamma, r = self.point.Gamma, len(seen)
        M = features
        if Gamma.shape[0]:
            M = self.head.xp.concat([features, self.head.Z], axis=1)
        one, two = (
            self.head.at(M, np.concatenate([beta, Gamma]), r) for beta in (seen, kept)
        )
        start = two if two.value < one.value else one
        return self.head.minimise(
            features, start.beta, Gamma, steps=HEAD_STEPS, start=start,
            enough=HEAD_SHARE * promised,
        )  # fmt: skip

    def _accept(
        self,
        Q: Array,
        point: HeadPoint,
        features: Any,
        seen: Array,
        A: Array,
        tau: float,
    ) -> None:
        objective = self._objective(point, Q)
        step = np.linalg.norm(A - Q @ seen) / tau
        self.mapping = float(
            np.hypot(step, 2.0 * self.task.xi * self.space.moved(self.Q, Q))
        )
        least = ENOUGH if self._runs_away(point) else STAGNATION
        small = self.objective - objective <= least * abs(self.objective)
        self.idle = self.idle + 1 if small else 0
        # A checkpoint restores C order, on which the last bits of products depend.
        self.Q, self.features = np.ascontiguousarray(Q), features
        self.point = point
        self.objective = objective
        self.nit += 1

    def _runs_away(self, point: HeadPoint) -> bool:
        """Whether nothing holds the weights of labels that are separated already."""
        if self.task.nu > 0:
            return False
        zero = math.log1p(self.task.Y.shape[1]) * float(self.task.omega.sum())
        return point.label_loss <= SEPARATED * zero

    def _pull(self) -> Array:
        """Return the label part of ``-dF/dA`` at the present point, computed once."""
        if self._pulled is None or self._pulled[0] is not self.point:
            self._pulled = self.point, self.space.pull(self.point.alpha)
        return self._pulled[1]

    def bound(self) -> None:
        """Evaluate the dual bound at the present point."""
        if self.task.nu <= 0:
            return
        pull = self._pull()
        U = pull / math.sqrt(2.0 * self.task.nu)
        self._offer(self.space.total(U), pull)

    def _offer(self, total: float, pull: Array) -> None:
        """Keep the bound of the present dual point if it is the best."""
        point, task = self.point, self.task
        P = np.asarray(asnumpy(point.P))
        rest = np.maximum(1.0 - P.sum(axis=1), 0.0)
        entropy = -(xlogy(P, P).sum(axis=1) + xlogy(rest, rest))
        alpha = np.asarray(asnumpy(point.alpha))
        used = 0.0
        if task.penalised.any():
            g = task.Z[:, task.penalised].T @ alpha
            used = float(np.sum(g * g)) / (2.0 * task.nu_c)
        lower = float(task.omega @ entropy) + task.xi * task.square - total - used
        if lower > self.lower:
            self.lower, self.dual = lower, alpha

    def _objective(self, point: HeadPoint, Q: Array) -> float:
        space = self.space
        left = space.square - space.captured(Q)
        return point.value + self.task.xi * max(left, 0.0)

    def parts(self) -> tuple[float, float]:
        """Return the label loss and the relative reconstruction error."""
        space = self.space
        left = max(space.square - space.captured(self.Q), 0.0)
        return self.point.label_loss, left / space.square if space.square else 0.0

    def finish(self) -> None:
        """Minimise the head to the end and evaluate the bound there."""
        point = self.head.minimise(self.features, self.point.beta, self.point.Gamma)
        if point.value <= self.point.value:
            self.point = point
            self.objective = self._objective(point, self.Q)
        self.bound()

    def factors(self) -> dict[str, Array]:
        """Return W, H, beta and Gamma, padded to the rank asked for."""
        Q = self.space.ambient(self.Q)
        return recover(self.task, Q, self.point.beta, self.point.Gamma)

    def leading(self) -> Array | None:
        """Return the leading eigenvectors at the best dual point, if they are cheap."""
        task, space = self.task, self.space
        if not space.rotate or self.dual is None or task.X.shape[1] < LARGE:
            return None
        if task.rank >= space.size:
            return None
        U = space.pull(to_device(self.dual, space.xp, space.device))
        values, Q = leading_pairs(
            space.xi * space.g, U / math.sqrt(2.0 * task.nu), task.rank + 1
        )
        return space.ambient(Q)

    def state(self) -> dict[str, Any]:
        """Return what is needed to continue bit for bit."""
        dual = np.zeros_like(self.task.Y) if self.dual is None else self.dual
        return {
            "Q": self.Q, "beta": self.point.beta, "Gamma": self.point.Gamma,
            "tau": self.tau, "lower": self.lower, "dual": dual, "nit": self.nit,
            "idle": self.idle, "mapping": self.mapping,
        }  # fmt: skip

    @classmethod
    def resume(
        cls, space: Space, head: Head, task: Problem, state: dict[str, Any]
    ) -> "LongSteps":
        """Continue from a saved state."""
        Q, theta = state["Q"], np.concatenate([state["beta"], state["Gamma"]])
        features = space.features(Q)
        M = features
        if head.Z.shape[1]:
            M = head.xp.concat([features, head.Z], axis=1)
        point = head.at(M, theta, Q.shape[1])
        self = cls(space, head, task, Q, point, features, 0.0, float(state["tau"]))
        self.objective = self._objective(point, Q)
        self.nit, self.idle = int(state["nit"]), int(state["idle"])
        self.mapping = float(state["mapping"])
        if math.isfinite(state["lower"]):
            self.lower, self.dual = float(state["lower"]), state["dual"]
        return self
