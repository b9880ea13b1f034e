"""The splitting iteration of consensus ADMM in the product space; see consensus.py."""

import dataclasses
import secrets
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexnn import _kernels
from convexnn.admm import ADAPT_AT, RELAXATION, Factor, balance, first_rho
from convexnn.anderson import INTERVAL, Anderson
from convexnn.prox import PROX
from convexnn.scale.shards import make_shard, visit_shard

Array = NDArray[np.float64]
Arrays = dict[str, Any]


class ConsensusIteration:
    """The splitting iteration in the product space; `advance` is one step of it.

    Parameters
    ----------
    factor : Factor
        The whole data and patterns.
    y : ndarray of shape (n,)
        Targets.
    alpha : float
        Weight of the penalty in the user's program.
    loss : str
        Loss.
    rows : sequence of slice
        Rows of each of the J shards.
    parallel_map : callable
        ``parallel_map(function, tasks)`` returns ``[function(*task) ...]``.
    rho : float, optional
        First penalty parameter.
    state : dict, optional
        What :meth:`state` returned.
    """

    check_every = 25

    def __init__(
        self,
        factor: Factor,
        y: Array,
        alpha: float,
        loss: str,
        *,
        rows: list[slice],
        parallel_map: Callable[[Callable[..., Any], list[Any]], list[Any]],
        rho: float | None = None,
        state: dict[str, Any] | None = None,
    ) -> None:
        owners = np.empty(len(y), dtype=np.int64)
        for j, part in enumerate(rows):
            owners[part] = j
        if state is not None and not np.array_equal(state["owners"], owners):
            raise ValueError(
                f"state= is of a run with {int(max(state['owners'])) + 1} other "
                f"shards than these {len(rows)}; pass the same n_shards or row blocks."
            )
        n_shards, self._owners = len(rows), owners
        self.factor, self.y, self.loss = factor, y, loss
        self.alpha = alpha * factor.scale
        n, r = factor.A.shape
        m = factor.n_blocks
        self.n_shards = n_shards
        self._copies = (2 if factor.relu else 1) * n_shards
        self._shape = self._copies, m, r
        self._samples = slice(self._copies * m * r, None)
        size = self._copies * m * r + (0 if loss == "squared" else n)
        self.rho = first_rho(rho, self.alpha, m, y)
        self.nit = 0
        self.point = np.zeros(size)  # (x_c, w)
        self.prox = np.zeros(size)  # (v, ..., v, z)
        self._image = np.zeros(size)  # (u_j, p_j, F u)
        self._step = np.full(size, np.inf)
        self._before = self.point
        self.prediction = np.zeros(n)
        self._memory: list[Arrays] = [{} for _ in range(n_shards)]
        self.anderson = Anderson(size, state)
        self._map = parallel_map
        self._rows = rows
        self._shards = parallel_map(
            make_shard,
            [
                (
                    dataclasses.replace(
                        factor, A=factor.A[rows].copy(), D=factor.D[:, rows].copy()
                    ),
                )
                for rows in self._rows
            ],
        )
        self._run, self._sent = secrets.token_hex(8), False
        if state is not None:
            self.rho, self.nit = float(state["rho"]), int(state["nit"])
            self._restore(state)

    def state(self) -> dict[str, Any]:
        """Return what continues this iteration bit for bit."""
        memory = {
            f"shard{j}_{name}": value
            for j, part in enumerate(self._memory)
            for name, value in part.items()
        }
        return {
            "point": self.point.copy(),
            "owners": self._owners,
            "rho": self.rho,
            "nit": self.nit,
            **memory,
            **self.anderson.state(),
        }

    def advance(self) -> None:
        """Move the point by one relaxed splitting step, accelerated now and then."""
        self._apply_prox()
        self._visit_shards()
        self.nit += 1
        np.subtract(self._image, self.prox, out=self._step)
        self._step *= RELAXATION
        image = self.point + self._step
        if self.nit in ADAPT_AT:
            self.point = image
            self._adapt_rho()
        elif self.nit % INTERVAL == 0:
            self.point = self.anderson.propose(image, self._step)
        else:
            self.point = image

    def blocks(self) -> Array:
        """Return the weights v of the last step, (m, r)."""
        return self._weights(self.prox)[0].copy()

    def theta(self) -> Array:
        """Return the dual point -L'(F u) of the last step, (n,)."""
        if self.loss == "squared":
            return self.y - self.prediction
        return self.rho * (self.prox[self._samples] - self._before[self._samples])

    def multipliers(self) -> Array:
        """Return the multipliers of the cone constraints, (m, n); gated: (0, 0)."""
        if not self.factor.relu:
            return np.zeros((0, 0))
        dense = np.zeros((self._shape[1], len(self.y)))
        for rows, memory in zip(self._rows, self._memory, strict=True):
            used = np.arange(self._shape[2]) < memory["cone_counts"][:, None]
            block, _ = np.nonzero(used)
            dense[:, rows][block, memory["cone_passive"][used]] = memory["cone_values"][
                used
            ]
        return self.rho * dense

    def is_stationary(self) -> bool:
        """Whether the last step was rounding: nothing more will be gained."""
        size = float(np.linalg.norm(self.point))
        return float(np.linalg.norm(self._step)) <= 1e-15 * size

    def _weights(self, vector: Array) -> Array:
        return vector[: self._samples.start].reshape(self._shape)

    def _apply_prox(self) -> None:
        """Set v, the shrunk mean of all copies, and z, the prox of the losses."""
        self._before = self.point
        mean = self._weights(self.point).mean(axis=0)
        v = np.empty_like(mean)
        _kernels.shrink_blocks(mean, self.alpha / (self.rho * self._copies), v)
        self._weights(self.prox)[:] = v
        if self.loss != "squared":
            w = self.point[self._samples]
            self.prox[self._samples] = PROX[self.loss](w, self.y, self.rho)

    def _visit_shards(self) -> None:
        """Set (u_j, p_j, F u): each shard minimises its loss and projects."""
        weight, target = self.rho, self.y
        if self.loss != "squared":
            weight = 1.0
            target = 2.0 * self.prox[self._samples] - self.point[self._samples]
        centers = 2.0 * self._weights(self.prox) - self._weights(self.point)
        J = self.n_shards
        answers = self._ask(
            [
                (
                    weight,
                    target[rows],
                    centers[j],
                    centers[J + j] if self.factor.relu else None,
                    self._memory[j],
                )
                for j, rows in enumerate(self._rows)
            ]
        )
        copies = self._weights(self._image)
        for j, (u, prediction, projection, memory) in enumerate(answers):
            copies[j] = u
            self.prediction[self._rows[j]] = prediction
            if projection is not None:
                copies[J + j] = projection
            self._memory[j] = memory
        if self.loss != "squared":
            self._image[self._samples] = self.prediction

    def _ask(self, messages: list[tuple[Any, ...]]) -> list[Any]:
        """Return each shard's answer, sending its data where a worker lacks them."""
        keys = [(self._run, j) for j in range(self.n_shards)]
        sent = [None] * self.n_shards if self._sent else self._shards
        answers = self._map(
            visit_shard,
            [
                (key, shard, *message)
                for key, shard, message in zip(keys, sent, messages, strict=True)
            ],
        )
        lacking = [j for j, answer in enumerate(answers) if answer is None]
        if lacking:
            tasks = [(keys[j], self._shards[j], *messages[j]) for j in lacking]
            for j, answer in zip(lacking, self._map(visit_shard, tasks), strict=True):
                answers[j] = answer
        self._sent = True
        return answers

    def _adapt_rho(self) -> None:
        """Balance the relative primal and dual residuals, as on one machine."""
        before = self.prox.copy()
        self._apply_prox()
        dual = self.point - self.prox
        size = float(np.linalg.norm(dual))
        largest = max(np.linalg.norm(self._image), np.linalg.norm(before), size)
        primal_residual = float(np.linalg.norm(self._image - before) / (largest or 1.0))
        dual_residual = float(np.linalg.norm(self.prox - before) / (size or 1.0))
        rho = balance(self.rho, primal_residual, dual_residual)
        if rho == self.rho:
            return
        self.point = self.prox + dual * (self.rho / rho)
        self._before = self.point
        for memory in self._memory:
            if "cone_values" in memory:
                memory["cone_values"] = memory["cone_values"] * (self.rho / rho)
        self.rho = rho
        self.anderson.reset()

    def _restore(self, state: dict[str, Any]) -> None:
        self.point = np.array(state["point"])
        for j in range(self.n_shards):
            prefix = f"shard{j}_"
            self._memory[j] = {
                name.removeprefix(prefix): value
                for name, value in state.items()
                if name.startswith(prefix)
            }
