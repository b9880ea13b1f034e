"""Consensus-based sampling of ``exp(-f)``, or a minimiser of f, by Gaussian moves.

    X_i <- c + e^{-dt} (X_i - c) + sqrt((1 - e^{-2 dt}) / L) C^{1/2} xi_i

with the weighted mean c and covariance C (Carrillo, Hoffmann, Stuart, Vaes,
arXiv:2106.02519, equations 1.4 and 1.5). For a Gaussian target the fixed point is the
target; for others it is a Gaussian approximation near the mode, no more.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult

from dfo import poll
from dfo.cbo.dynamics.consensus import adaptive_alpha, consensus_point
from dfo.objective import Objective
from farkas.base import check_choice, check_number
from farkas.history import Recorder
from farkas.parallel import RandomSource, seed_sequence
from farkas.result import make_result
from farkas.status import Status

Array = NDArray[np.float64]

JITTER = 1e-12  # of the trace, added to the covariance
ESS_SHARE = 0.5  # of the particles, for an adaptive alpha


def cbs_update(
    X: ArrayLike, weights: ArrayLike, xi: ArrayLike, *, dt: float, lam: float
) -> Array:
    """Move the samples one step.

    Parameters
    ----------
    X : array-like of shape (N, d)
        Samples.
    weights : array-like of shape (N,)
        Their weights, summing to one.
    xi : array-like of shape (N, d)
        Standard normal numbers.
    dt : float
        Time step, > 0.
    lam : float
        ``1 / (1 + alpha)`` samples, 1 collapses on the minimiser.

    Returns
    -------
    ndarray of shape (N, d)

    Examples
    --------
    >>> X = np.array([[0.0], [2.0]])
    >>> cbs_update(X, [0.5, 0.5], np.zeros((2, 1)), dt=np.log(2.0), lam=1.0)
    array([[0.5],
           [1.5]])
    """
    X, w = np.asarray(X, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    d = X.shape[1]
    c = w @ X
    D = X - c
    C = (D * w[:, None]).T @ D
    C = C + (JITTER * np.trace(C) / d + np.finfo(np.float64).tiny) * np.eye(d)
    root = np.linalg.cholesky(C)
    shrink = math.exp(-dt)
    noise = math.sqrt((1.0 - shrink**2) / lam)
    moved: Array = c + shrink * D + noise * (np.asarray(xi) @ root.T)
    return moved


def sample_cbs(
    fun: Callable[..., Any],
    x0: ArrayLike,
    *,
    alpha: Any = 1.0,
    dt: float = 0.1,
    n_steps: int = 100,
    mode: str = "sampling",
    n_particles: int = 200,
    x0_scale: Any = 1.0,
    args: tuple[Any, ...] = (),
    vectorized: bool | str = "auto",
    workers: Any = 1,
    poll_size: float = poll.POLL_SIZE,
    random_state: RandomSource = None,
) -> OptimizeResult:
    """Draw samples of the density ``exp(-f)``, or find a minimiser.

    Parameters
    ----------
    fun : callable
        Potential f.
    x0 : array-like of shape (d,) or (N, d)
        Mean of the first samples, or the samples.
    alpha : float or "adaptive", default=1.0
        Inverse temperature; ``"adaptive"`` keeps half of the samples effective.
    dt : float, default=0.1
        Time step; any is stable.
    n_steps : int, default=100
        Number of steps.
    mode : {"sampling", "optimize"}, default="sampling"
        Whether the samples keep the width of the density or collapse.
    n_particles : int, default=200
        Number of samples.
    x0_scale : float or array-like of shape (d,), default=1.0
        Standard deviation of the first samples.
    args : tuple, default=()
        Further arguments of `fun`.
    vectorized : bool or "auto", default="auto"
        Whether `fun` takes rows.
    workers : int, joblib.Parallel or map-like callable, default=1
        Who evaluates a function of one point.
    poll_size : float, default=1e-3
        Size of the final poll.
    random_state : int, RandomState, Generator or None, default=None
        Determines the samples.

    Returns
    -------
    OptimizeResult
        ``population`` (N, d) are the samples, ``mean`` and ``covariance`` theirs; ``x``
        is the best evaluated point.

    Examples
    --------
    >>> res = sample_cbs(lambda x: 0.5 * ((x[0] - 1) / 2) ** 2, [0.0],
    ...                  n_particles=2000, n_steps=60, random_state=0)
    >>> bool(abs(res.mean[0] - 1) < 0.3), bool(abs(res.covariance[0, 0] - 4) < 0.8)
    (True, True)
    """
    check_choice("mode", mode, ("sampling", "optimize"))
    check_number("dt", dt, low=0, inclusive="neither")
    check_number("n_steps", n_steps, low=1, integer=True)
    check_number("n_particles", n_particles, low=2, integer=True)
    if alpha != "adaptive":
        check_number("alpha", alpha, low=0)
    start = np.array(x0, dtype=np.float64)
    rng = np.random.default_rng(seed_sequence(random_state))
    if start.ndim == 1:
        shape = (n_particles, len(start))
        start = start + np.asarray(x0_scale) * rng.standard_normal(shape)
    if start.ndim != 2 or not np.isfinite(start).all():
        raise ValueError(f"x0 of shape {start.shape} must be finite, (d,) or (N, d).")
    X = start
    objective = Objective(
        fun, args, vectorized=vectorized, workers=workers, probe=X[:2].copy()
    )
    best_x, best_f = X[0].copy(), math.inf
    recorder = Recorder()
    for k in range(1, n_steps + 1):
        f = objective.rows(X)
        inverse = (
            adaptive_alpha(f, ESS_SHARE * len(X))
            if alpha == "adaptive"
            else float(alpha)
        )
        _, info = consensus_point(X, f, inverse)
        i = info.index_best
        if i >= 0 and f[i] < best_f:
            best_x, best_f = X[i].copy(), float(f[i])
        recorder.record(k, objective=best_f)
        if not info.finite:
            break
        lam = 1.0 if mode == "optimize" else 1.0 / (1.0 + inverse)
        xi = rng.standard_normal(X.shape)
        X = cbs_update(X, info.weights, xi, dt=dt, lam=lam)
    paid = objective.nfev
    free = np.full(X.shape[1], math.inf)
    witness = poll.coordinate_poll(best_x, -free, free, (poll_size,))
    certificate, _, _ = poll.mint(objective, witness, {}, tolerance=poll_size)
    status = Status.CONVERGED if certificate.satisfied else Status.MAX_ITER
    if not math.isfinite(best_f):
        status = Status.NUMERICAL
    return make_result(
        best_x,
        fun=best_f,
        status=status,
        nit=n_steps,
        nfev=paid,
        certificate=certificate,
        history=recorder.to_dict(),
        state={"population": X},
        population=X,
        mean=X.mean(axis=0),
        covariance=np.atleast_2d(np.cov(X.T)),
        nfev_certificate=objective.nfev - paid,
    )
