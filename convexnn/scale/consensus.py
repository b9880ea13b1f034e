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

import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import OptimizeResult

from convexnn.admm import reduce
from convexnn.bounds import Bounds
from convexnn.driver import Driver
from convexnn.patterns import PatternSet
from convexnn.program import Program, Settings
from convexnn.programs import certified
from convexnn.scale.product_space import ConsensusIteration
from convexnn.scale.shards import forget_shards
from farkas.parallel import holds_blas_threads


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


@holds_blas_threads
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
