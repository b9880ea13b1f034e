"""Consensus hopping, and why it is a stochastic relaxation of gradient descent.

    X_i = x_{k-1} + sigma xi_i,   x_k = consensus point of (X, f(X))

For many samples ``x_k`` minimises ``f(x) + |x - x_{k-1}|^2 / (2 tau)`` with
``tau = alpha sigma^2`` up to Laplace's principle: an implicit step of gradient descent
(Riedl, Klock, Geldhauser, Fornasier, arXiv:2306.09778).
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult

from dfo import poll
from dfo.cbo.dynamics.consensus import consensus_point
from dfo.objective import Objective
from farkas.base import check_number
from farkas.history import Recorder
from farkas.parallel import RandomSource, seed_sequence
from farkas.result import make_result
from farkas.status import Status

Array = NDArray[np.float64]


def consensus_hopping(
    fun: Callable[..., Any],
    x0: ArrayLike,
    *,
    sigma: float,
    alpha: float,
    n_particles: int = 200,
    maxiter: int = 250,
    sigma_decay: float = 1.0,
    decay_every: int = 100,
    args: tuple[Any, ...] = (),
    vectorized: bool | str = "auto",
    poll_size: float = poll.POLL_SIZE,
    callback: Callable[..., Any] | None = None,
    workers: Any = 1,
    random_state: RandomSource = None,
) -> OptimizeResult:
    """Hop from sample mean to sample mean, weighted by the objective.

    Parameters
    ----------
    fun : callable
        Objective, as for :func:`minimize_cbo`.
    x0 : array-like of shape (d,)
        Start.
    sigma : float
        Standard deviation of the samples.
    alpha : float
        Inverse temperature.
    n_particles : int, default=200
        Samples of each step.
    maxiter : int, default=250
        Number of steps.
    sigma_decay : float, default=1.0
        Factor of sigma after every `decay_every` steps.
    decay_every : int, default=100
        See `sigma_decay`.
    args : tuple, default=()
        Further arguments of `fun`.
    vectorized : bool or "auto", default="auto"
        Whether `fun` takes rows.
    poll_size : float, default=1e-3
        Size of the final poll, in units of ``max(1, |x|)``.
    callback : callable, optional
        ``callback(intermediate_result)`` after each step.
    workers : int, joblib.Parallel or map-like callable, default=1
        Who evaluates a function of one point.
    random_state : int, RandomState, Generator or None, default=None
        Determines the samples.

    Returns
    -------
    OptimizeResult
        ``x`` and ``fun`` are the best evaluated point, ``consensus`` the last hop and
        ``path`` (nit + 1, d) all of them, the start included. Pass ``state["x"]`` as
        `x0` to go on.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> res = consensus_hopping(lambda x: float(x @ x), [3.0, 1.0], sigma=0.5,
    ...                         alpha=20.0, maxiter=60, random_state=0)
    >>> bool(np.linalg.norm(res.consensus) < 0.2)
    True
    """
    check_number("sigma", sigma, low=0, inclusive="neither")
    check_number("n_particles", n_particles, low=2, integer=True)
    check_number("maxiter", maxiter, low=1, integer=True)
    check_number("decay_every", decay_every, low=1, integer=True)
    check_number("sigma_decay", sigma_decay, low=0, high=1, inclusive="right")
    x = np.array(x0, dtype=np.float64)
    if x.ndim != 1 or not len(x) or not np.isfinite(x).all():
        raise ValueError(f"x0 of shape {x.shape} must be a finite vector.")
    rng = np.random.default_rng(seed_sequence(random_state))
    probe = x + 0.1 * rng.standard_normal((2, len(x)))
    objective = Objective(
        fun, args, vectorized=vectorized, workers=workers, probe=probe
    )
    best_x, best_f, path = x.copy(), math.inf, [x]
    status, width = Status.MAX_ITER, float(sigma)
    recorder = Recorder()
    for k in range(1, maxiter + 1):
        X = x + width * rng.standard_normal((n_particles, len(x)))
        f = objective.rows(X)
        x, info = consensus_point(X, f, alpha)
        path.append(x)
        i = info.index_best
        if i >= 0 and f[i] < best_f:
            best_x, best_f = X[i].copy(), float(f[i])
        recorder.record(k, objective=best_f)
        if k % decay_every == 0:
            width *= sigma_decay
        if callback is not None:
            try:
                callback(
                    intermediate_result=OptimizeResult(x=best_x, fun=best_f, nit=k)
                )
            except StopIteration:
                status = Status.CALLBACK
                break
    paid = objective.nfev
    free = np.full(len(x), math.inf)
    witness = poll.coordinate_poll(best_x, -free, free, (poll_size,))
    certificate, _, _ = poll.mint(objective, witness, {}, tolerance=poll_size)
    if status is Status.MAX_ITER and certificate.satisfied:
        status = Status.CONVERGED
    if not math.isfinite(best_f):
        status = Status.NUMERICAL
    return make_result(
        best_x,
        fun=best_f,
        status=status,
        nit=len(path) - 1,
        nfev=paid,
        certificate=certificate,
        history=recorder.to_dict(),
        state={"x": x},
        consensus=x,
        path=np.array(path),
        nfev_certificate=objective.nfev - paid,
    )


def gd_relation(
    fun: Callable[[Array], float],
    jac: Callable[[Array], Array],
    x0: ArrayLike,
    *,
    sigma: float = 0.1,
    alpha: float = 10.0,
    n_particles: int = 1000,
    maxiter: int = 50,
    random_state: RandomSource = None,
) -> OptimizeResult:
    """Follow consensus hopping, the proximal steps and gradient descent side by side.

    All three take steps of ``tau = alpha sigma^2`` from `x0`; the proximal problem is
    solved by L-BFGS from the last position.

    Parameters
    ----------
    fun : callable
        Objective of one point.
    jac : callable
        Its gradient.
    x0 : array-like of shape (d,)
        Start.
    sigma : float, default=0.1
        Standard deviation of the samples.
    alpha : float, default=10.0
        Inverse temperature.
    n_particles : int, default=1000
        Samples of each step.
    maxiter : int, default=50
        Number of steps.
    random_state : int, RandomState, Generator or None, default=None
        Determines the samples.

    Returns
    -------
    OptimizeResult
        ``tau``; ``hopping``, ``proximal`` and ``descent``, arrays (maxiter + 1, d);
        ``deviation`` (maxiter,), the length of
        ``g_k = x_k - x_{k-1} + tau grad f(x_{k-1})`` along the hops.

    Examples
    --------
    >>> found = gd_relation(lambda x: 0.5 * x @ x, lambda x: x, [1.0],
    ...                     sigma=0.1, alpha=10.0, random_state=0)
    >>> round(found.tau, 6), bool(abs(found.proximal[1, 0] - 1 / 1.1) < 1e-6)
    (0.1, True)
    """
    from scipy.optimize import minimize

    tau = float(alpha) * float(sigma) ** 2
    start = np.array(x0, dtype=np.float64)
    rng = np.random.default_rng(seed_sequence(random_state))
    hopping, proximal, descent = [start], [start], [start]
    deviation = []
    for _ in range(maxiter):
        x = hopping[-1]
        X = x + sigma * rng.standard_normal((n_particles, len(x)))
        c, _ = consensus_point(X, np.array([fun(point) for point in X]), alpha)
        deviation.append(float(np.linalg.norm(c - x + tau * jac(x))))
        hopping.append(c)
        y = proximal[-1]
        step = minimize(
            lambda z, y=y: (
                fun(z) + (z - y) @ (z - y) / (2 * tau),
                jac(z) + (z - y) / tau,
            ),
            y,
            jac=True,
            method="L-BFGS-B",
            options={"ftol": 1e-15, "gtol": 1e-10},
        )
        proximal.append(step.x)
        descent.append(descent[-1] - tau * jac(descent[-1]))
    return OptimizeResult(
        tau=tau,
        hopping=np.array(hopping),
        proximal=np.array(proximal),
        descent=np.array(descent),
        deviation=np.array(deviation),
    )
