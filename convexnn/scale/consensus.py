"""Consensus ADMM: the convex programs of two-layer networks with the rows in shards.

With the rows in J shards the program is, for copies ``u_j`` and ``p_j`` of the weights,

    min  sum_j L_j(F_j u_j, y_j) + sum_j indicator(p_j in K^j) + alpha |v|_{2,1}
    s.t. u_j = v,  p_j = v                                       j = 1, ..., J

where ``K^j`` are the cones of the rows of shard j alone (gated: there are no ``p_j``).
One iteration, with a point ``x_c`` for each of the C copies,

    v   = groupshrink(mean_c x_c, alpha / (rho C))               one all-reduce
    u_j = argmin L_j(F_j u, y_j) + rho/2 |u - (2 v - x_j)|^2      in shard j
    p_j = projection of 2 v - x'_j onto K^j                       in shard j
    x_c = x_c + 1.8 (copy_c - v)

is the one of admm.py in the product space (Boyd, Parikh, Chu, Peleato and Eckstein,
2011, section 7.1). A shard keeps its rows, its patterns and an n_j x n_j factor; what
travels in an iteration are weights and, for each block, the few constraints that bind.
Workers keep nothing but data, so the answer does not depend on their number.
"""

import dataclasses
import secrets
import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult

from convexnn import _kernels
from convexnn.admm import (
    ADAPT_AT,
    RELAXATION,
    Factor,
    balance,
    first_rho,
    reduce,
)
from convexnn.anderson import INTERVAL, Anderson
from convexnn.bounds import Bounds
from convexnn.driver import Driver
from convexnn.patterns import PatternSet
from convexnn.program import Program, Settings
from convexnn.programs import certified
from convexnn.prox import PROX
from convexnn.scale.shards import forget_shards, make_shard, visit_shard

Array = NDArray[np.float64]
Arrays = dict[str, Any]


class WorkerLostError(RuntimeError):
    """A worker process died during a fit.

    Parameters
    ----------
    message : str
        What happened.
    state : dict
        What ``solve_consensus(..., state=)`` continues from, the last iteration that
        all shards have finished.
    """

    def __init__(self, message: str, state: dict[str, Any]) -> None:
        super().__init__(message)
        self.state = state


def solve_consensus(
    X: ArrayLike,
    y: ArrayLike,
    patterns: "ArrayLike | PatternSet",
    *,
    alpha: float,
    n_shards: int | None = None,
    loss: str = "squared",
    activation: str = "relu",
    tol: float = 1e-4,
    max_iter: int = 5000,
    max_time: float | None = None,
    rho: float | str = "auto",
    callback: Callable[..., Any] | None = None,
    history_every: int = 1,
    verbose: int = 0,
    n_jobs: int | None = None,
    state: dict[str, Any] | None = None,
) -> OptimizeResult:
    """Train a two-layer network with the rows of the data in shards.

    Solves the program of :func:`~convexnn.solve_relu` or
    :func:`~convexnn.solve_gated`. Shard j holds the rows j, j + n_shards, ..., or the
    j-th row block of a ``dask.array``, and works on them alone; the certificate is that
    of the whole data.

    Parameters
    ----------
    X : array-like or dask.array of shape (n, d)
        Data. A hidden bias is an extra constant column.
    y : array-like of shape (n,)
        Targets; -1 or +1 for the logistic and the hinge loss.
    patterns : array-like of shape (n, P) or PatternSet
        Activation patterns d_i, 0/1.
    alpha : float
        Weight of the penalty, positive.
    n_shards : int, optional
        Number of shards, from 1 to n; not needed where X has row blocks. One of at most
        4000 rows factors its part of the u-step, a larger one solves it by conjugate
        gradients.
    loss : {"squared", "logistic", "hinge", "huber"}, default="squared"
        Summed over samples.
    activation : {"relu", "gated"}, default="relu"
        The program.
    tol : float, default=1e-4
        Stops when the proven gap is at most ``tol`` times the objective.
    max_iter : int, default=5000
        Largest number of iterations; more are needed than on one machine.
    max_time : float, optional
        Seconds after which the best point so far is returned.
    rho : float or "auto", default="auto"
        First penalty parameter; it is adapted.
    callback : callable, optional
        As in :func:`~convexnn.solve_relu`, every 25 iterations; with
        ``farkas.Checkpoint`` the run can be continued after a crash.
    history_every : int, default=1
        As in :func:`~convexnn.solve_relu`.
    verbose : int, default=0
        1 prints a line now and then, 2 at every check.
    n_jobs : int, optional
        Workers that share the shards. None means 1, unless a
        ``joblib.parallel_config`` context says otherwise; with its ``backend="dask"``
        the workers are on other machines.
    state : dict, optional
        ``result.state`` of an earlier run on the same data and shards.

    Returns
    -------
    OptimizeResult
        As of :func:`~convexnn.solve_relu` or :func:`~convexnn.solve_gated`.

    Raises
    ------
    ValueError
        If an argument has a wrong shape or value.
    WorkerLostError
        If a worker process dies. It has the state to continue from.

    References
    ----------
    Boyd, Parikh, Chu, Peleato, Eckstein, "Distributed Optimization and Statistical
    Learning via the Alternating Direction Method of Multipliers", 2011.

    Examples
    --------
    >>> from convexnn import enumerate_patterns, solve_consensus
    >>> X = [[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]]
    >>> patterns = enumerate_patterns(X)
    >>> result = solve_consensus(X, [-1, 1, 1, -1], patterns, alpha=0.1, n_shards=2)
    >>> round(result.fun, 3), result.certificate.guarantee.name
    (0.579, 'GLOBAL')
    """
    if activation not in ("relu", "gated"):
        raise ValueError(f"activation={activation!r} must be 'relu' or 'gated'.")
    blocks = _row_blocks(X)
    X, y = np.asarray(X), np.asarray(y)  # of a dask.array, computed here
    program = Program.validated(X, y, patterns, alpha, loss, activation)
    settings = Settings.validated(
        tol, max_iter, max_time, rho, callback, history_every, verbose
    )
    rows = _shard_rows(len(program.X), n_shards, blocks)
    if program.alpha == 0:
        raise ValueError("alpha=0 must be positive here; solve_gated accepts it.")
    from sklearn.utils.parallel import Parallel, delayed

    begun = time.perf_counter()
    factor = reduce(program.X, program.patterns.D, program.activation)
    # Copy-on-write maps, since a kernel is compiled for writable arrays.
    with Parallel(n_jobs=n_jobs, mmap_mode="c") as pool:

        def parallel_map(function: Callable[..., Any], tasks: list[Any]) -> list[Any]:
            answers: list[Any] = pool(delayed(function)(*task) for task in tasks)
            return answers

        iteration = ConsensusIteration(
            factor,
            program.y,
            program.alpha,
            program.loss,
            rows=rows,
            parallel_map=parallel_map,
            rho=settings.rho,
            state=state,
        )
        bounds = Bounds(factor, program.y, program.alpha, program.loss, state=state)
        driver = Driver(settings, iteration, bounds, begun, state)
        try:
            solution = driver.run()
        except BrokenProcessPool as error:
            raise WorkerLostError(
                f"a worker process died after iteration {iteration.nit}, perhaps for "
                "want of memory; continue with state= from this error's `state` or "
                "from a Checkpoint, with fewer n_jobs or more n_shards.",
                driver.state(),
            ) from error
        finally:
            forget_shards()
    return certified(program, settings, solution)


def _row_blocks(X: Any) -> tuple[int, ...] | None:
    """Return the lengths of the row blocks of a ``dask.array``; None if X is none."""
    chunks = getattr(X, "chunks", None)
    if not (isinstance(chunks, tuple) and chunks and isinstance(chunks[0], tuple)):
        return None
    if not np.isfinite(chunks[0]).all():
        raise ValueError(
            "X has row blocks of unknown length; call X.compute_chunk_sizes() first."
        )
    return tuple(length for length in chunks[0] if length)


def _shard_rows(n: int, n_shards: Any, blocks: tuple[int, ...] | None) -> list[slice]:
    """Return the rows of each shard."""
    if blocks is not None:
        if n_shards not in (None, len(blocks)):
            raise ValueError(
                f"n_shards={n_shards!r} but X has {len(blocks)} row blocks; leave it "
                "out, or rechunk X."
            )
        ends = np.cumsum(blocks)
        return [slice(end - k, end) for end, k in zip(ends, blocks, strict=True)]
    if not (isinstance(n_shards, int | np.integer) and 1 <= n_shards <= n):
        raise ValueError(f"n_shards={n_shards!r} must be an integer from 1 to {n}.")
    return [slice(j, None, int(n_shards)) for j in range(n_shards)]


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
