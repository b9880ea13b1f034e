"""Polarized consensus: every particle listens to its neighbours, and finds its own.

    c_i = sum_j k(X_i, X_j)^p exp(-alpha f_j) X_j / (same without X_j)

Several minimisers are found in one run (Bungert, Roith, Wacker, arXiv:2211.05238).
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult

from dfo import poll
from dfo.bounds import into_box, parse_bounds
from dfo.cbo.dynamics import _kernels as kernels
from dfo.cbo.dynamics.boundary import apply_boundary
from dfo.cbo.dynamics.consensus import adaptive_alpha
from dfo.cbo.dynamics.population import initial_population
from dfo.cbo.dynamics.update import cbo_update
from dfo.objective import Objective
from farkas.base import check_choice, check_number
from farkas.history import Recorder
from farkas.parallel import RandomSource, seed_sequence
from farkas.result import make_result
from farkas.status import Status

Array = NDArray[np.float64]

KERNELS = ("gaussian", "laplace", "inverse_quadratic", "constant")
BLOCK = 256  # rows of the distance matrix at a time
# Default width of the neighbourhood: a tenth of the diagonal of the box.
SHARE_OF_BOX = 0.1


def polarized_consensus(
    X: ArrayLike,
    f: ArrayLike,
    alpha: float,
    *,
    kernel: str = "gaussian",
    kappa: float = math.inf,
    power: str = "const",
) -> Array:
    """Return the consensus point of every particle.

    Parameters
    ----------
    X : array-like of shape (N, d)
        Particles.
    f : array-like of shape (N,)
        Their values; NaN and +inf weigh nothing.
    alpha : float
        Inverse temperature, finite.
    kernel : {"gaussian", "laplace", "inverse_quadratic", "constant"}
        How neighbours count.
    kappa : float, default=inf
        Width of the neighbourhood; inf is the plain consensus point.
    power : {"const", "alpha"}, default="const"
        Whether the kernel is raised to the power of 1 or of alpha.

    Returns
    -------
    ndarray of shape (N, d)
        A particle without any usable neighbour stays its own consensus.

    Examples
    --------
    >>> polarized_consensus([[0.0], [9.0]], [1.0, 0.0], 1.0, kappa=0.1)
    array([[0.],
           [9.]])
    """
    check_choice("kernel", kernel, KERNELS)
    check_choice("power", power, ("const", "alpha"))
    if not kappa > 0:
        raise ValueError(f"kappa={kappa!r} must be > 0.")
    if not 0 <= alpha < math.inf:
        raise ValueError(f"alpha={alpha!r} must be finite and >= 0.")
    X, f = np.asarray(X, dtype=np.float64), np.asarray(f, dtype=np.float64)
    usable = np.isfinite(f)
    if not usable.any():
        return X.copy()
    Y, g = X[usable], f[usable]
    energy = -alpha * (g - g.min())
    exponent = alpha if power == "alpha" else 1.0
    squares = np.sum(Y * Y, axis=1)
    C = np.empty_like(X)
    for begin in range(0, len(X), BLOCK):
        A = X[begin : begin + BLOCK]
        D2 = np.maximum(np.sum(A * A, axis=1)[:, None] + squares - 2 * A @ Y.T, 0.0)
        logs = energy + exponent * _log_kernel(D2, kernel, kappa)
        top = logs.max(axis=1, keepdims=True)
        alone = ~np.isfinite(top[:, 0])
        top[alone] = 0.0
        w = np.exp(logs - top)
        total = w.sum(axis=1, keepdims=True)
        total[alone] = 1.0
        C[begin : begin + BLOCK] = np.where(alone[:, None], A, (w / total) @ Y)
    return C


def _log_kernel(D2: Array, kernel: str, kappa: float) -> Array:
    if kernel == "gaussian":
        return -D2 / (2.0 * kappa**2)
    if kernel == "laplace":
        return -np.sqrt(D2) / kappa
    if kernel == "inverse_quadratic":
        return -np.log1p(D2 / kappa**2)
    with np.errstate(divide="ignore"):
        return np.log((D2 <= kappa**2).astype(np.float64))


def minimize_polarized_cbo(
    fun: Callable[..., Any],
    bounds: Any = None,
    x0: ArrayLike | None = None,
    *,
    kernel: str = "gaussian",
    kappa: float | None = None,
    power: str = "const",
    args: tuple[Any, ...] = (),
    vectorized: bool | str = "auto",
    n_particles: int = 200,
    lam: float = 1.0,
    sigma: float = 0.3,
    dt: float = 0.05,
    noise: str = "isotropic",
    alpha: Any = 20.0,
    ess: float = 5.0,
    maxiter: int = 600,
    init: str = "uniform",
    x0_scale: Any = None,
    boundary: str | None = "resample",
    poll_size: float = poll.POLL_SIZE,
    workers: Any = 1,
    callback: Callable[..., Any] | None = None,
    random_state: RandomSource = None,
) -> OptimizeResult:
    """Find several minimisers in one run.

    Parameters
    ----------
    fun : callable
        Objective, of one point or of rows, as for :func:`minimize_cbo`.
    bounds : array-like of shape (d, 2) or scipy.optimize.Bounds, optional
        The box. A variable without finite bounds needs `x0`.
    x0 : array-like of shape (d,) or (N, d), optional
        First particle, or the whole first population.
    kernel : {"gaussian", "laplace", "inverse_quadratic", "constant"}
        How neighbours count.
    kappa : float, optional
        Width of the neighbourhood; default a tenth of the diagonal of the box.
    power : {"const", "alpha"}, default="const"
        Whether the kernel is raised to the power of 1 or of alpha.
    args : tuple, default=()
        Further arguments of `fun`.
    vectorized : bool or "auto", default="auto"
        Whether `fun` takes rows.
    n_particles : int, default=200
        Number of particles; a step costs their square. Wells that none of them starts
        in may be missed.
    lam : float, default=1.0
        Strength of the drift.
    sigma : float, default=0.3
        Strength of the noise.
    dt : float, default=0.05
        Time step.
    noise : {"isotropic", "anisotropic"}, default="isotropic"
        Kind of noise, as for :func:`cbo_update`.
    alpha : float or "adaptive", default=20.0
        Inverse temperature.
    ess : float, default=5.0
        Effective sample size for ``"adaptive"``.
    maxiter : int, default=600
        Number of steps.
    init : {"uniform", "sobol", "lhs", "normal"}, default="uniform"
        Distribution of the first particles.
    x0_scale : float or array-like of shape (d,), optional
        Standard deviation for ``init="normal"`` and unbounded variables.
    boundary : {"resample", "reflect", "clip", None}, default="resample"
        What happens to particles that leave the box.
    poll_size : float, default=1e-3
        Size of the final poll.
    workers : int, joblib.Parallel or map-like callable, default=1
        Who evaluates a function of one point.
    callback : callable, optional
        ``callback(intermediate_result)`` after each step; may raise StopIteration.
    random_state : int, RandomState, Generator or None, default=None
        The same seed gives the same bits.

    Returns
    -------
    OptimizeResult
        In addition ``minimizers`` (m, d), ``minimizer_values`` (m,), sorted, and
        ``labels`` (N,), the group of each particle.

    Examples
    --------
    >>> from dfo.testfunctions import get
    >>> f = get("himmelblau")
    >>> res = minimize_polarized_cbo(f.fun, f.bounds, kappa=0.5, random_state=2)
    >>> len(res.minimizers)
    4
    """
    from sklearn.cluster import DBSCAN

    check_number("n_particles", n_particles, low=2, integer=True)
    check_number("maxiter", maxiter, low=1, integer=True)
    dimension = None if x0 is None else np.shape(x0)[-1]
    lower, upper = parse_bounds(bounds, dimension)
    start = None if x0 is None else into_box(x0, lower, upper)
    seed = seed_sequence(random_state)
    words, child = seed.generate_state(12, np.uint64).reshape(3, 4), seed.spawn(1)[0]
    X = initial_population(n_particles, lower, upper, start, init, x0_scale, child)
    if kappa is None:
        width = np.where(np.isfinite(upper - lower), upper - lower, 1.0)
        kappa = SHARE_OF_BOX * float(np.linalg.norm(width))
    objective = Objective(
        fun, args, vectorized=vectorized, workers=workers, probe=X[:2].copy()
    )
    xi, u = np.empty_like(X), np.empty_like(X)
    best_x, best_f, status = X[0].copy(), math.inf, Status.MAX_ITER
    recorder = Recorder()
    for k in range(1, maxiter + 1):
        f = objective.rows(X)
        i = int(np.argmin(np.where(np.isnan(f), math.inf, f)))
        if f[i] < best_f:
            best_x, best_f = X[i].copy(), float(f[i])
        recorder.record(k, objective=best_f)
        if _stopped(callback, best_x, best_f, k):
            status = Status.CALLBACK
            break
        inverse = adaptive_alpha(f, ess) if isinstance(alpha, str) else float(alpha)
        C = polarized_consensus(
            X, f, min(inverse, 1e300), kernel=kernel, kappa=kappa, power=power
        )
        kernels.fill_normal(words[0], xi)
        X = cbo_update(X, C, xi, lam=lam, sigma=sigma, dt=dt, noise=noise)
        if boundary == "resample":
            kernels.fill_uniform(words[1], u)
        X = apply_boundary(X, lower, upper, boundary, u)
    f = objective.rows(X)
    reach = kappa / 2 if math.isfinite(kappa) else float(np.ptp(X)) + 1.0
    labels = DBSCAN(eps=reach, min_samples=1).fit_predict(X)
    labels, minimizers, values = _best_of_groups(X, f, labels)
    if len(values) and values[0] < best_f:
        best_x, best_f = minimizers[0].copy(), float(values[0])
    paid = objective.nfev
    low = np.full_like(lower, -math.inf) if boundary is None else lower
    high = np.full_like(upper, math.inf) if boundary is None else upper
    witness = poll.coordinate_poll(best_x, low, high, (poll_size,))
    certificate, _, _ = poll.mint(objective, witness, {}, tolerance=poll_size)
    if status is Status.MAX_ITER and certificate.satisfied:
        status = Status.CONVERGED
    if not math.isfinite(best_f):
        status = Status.NUMERICAL
    return make_result(
        best_x,
        fun=best_f,
        status=status,
        nit=k,
        nfev=paid,
        certificate=certificate,
        history=recorder.to_dict(),
        state={"population": X},
        population=X,
        population_fun=f,
        minimizers=minimizers,
        minimizer_values=values,
        labels=labels,
        nfev_certificate=objective.nfev - paid,
    )


def _best_of_groups(
    X: Array, f: Array, labels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Array, Array]:
    """Return labels in the order of values, and the best particle of each group."""
    clean = np.where(np.isnan(f), math.inf, f)
    names = np.unique(labels)
    best = [
        int(np.flatnonzero(labels == g)[np.argmin(clean[labels == g])]) for g in names
    ]
    order = np.argsort(clean[best], kind="stable")
    rank = np.empty(len(names), dtype=np.int64)
    rank[order] = np.arange(len(names))
    chosen = np.array(best)[order]
    return rank[np.searchsorted(names, labels)], X[chosen], f[chosen]


def _stopped(callback: Any, x: Array, f: float, k: int) -> bool:
    if callback is None:
        return False
    try:
        callback(intermediate_result=OptimizeResult(x=x.copy(), fun=f, nit=k))
    except StopIteration:
        return True
    return False
