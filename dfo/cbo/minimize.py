"""Global minimisation of a black box by consensus-based optimization with restarts."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult

from dfo import poll
from dfo.bounds import into_box, parse_bounds
from dfo.cbo.dynamics.device import check_settings, place
from dfo.cbo.dynamics.settings import settings_from
from dfo.cbo.local.polish import POLISHES
from dfo.cbo.outcome import outcome, partial_outcome
from dfo.cbo.search import Plan, Search
from dfo.constraints import Projection, Violation
from dfo.objective import Objective
from farkas.base import check_choice, check_number
from farkas.parallel import RandomSource, seed_sequence

Array = NDArray[np.float64]

BUDGET_PER_DIMENSION = 2000
# With a polish each run only scouts a basin; without one it has to converge.
SCOUTING = {"xtol": 1e-2, "patience": 20, "ftol": 1e-2}
CONVERGING = {"xtol": 1e-9, "patience": 200, "ftol": 1e-12}


def minimize_cbo(
    fun: Callable[..., Any],
    bounds: Any = None,
    x0: ArrayLike | None = None,
    *,
    args: tuple[Any, ...] = (),
    vectorized: bool | str = "auto",
    n_particles: int | None = None,
    lam: float = 9.0,
    sigma: float | None = None,
    dt: float = 0.1,
    noise: str = "anisotropic",
    alpha: Any = "adaptive",
    ess: float | None = None,
    weights: str = "gibbs",
    memory: bool = False,
    lam_memory: float = 0.0,
    sigma_memory: float | None = None,
    beta: float = math.inf,
    lam_grad: float = 0.0,
    jac: Callable[..., Any] | None = None,
    truncation: Any = None,
    correction: str | None = None,
    delta: float = 0.0,
    exact: bool = False,
    inertia: float = 0.0,
    noise_after_drift: bool = False,
    batch_size: int | None = None,
    batch_update: str = "full",
    stagnation_tol: float | None = None,
    init: str = "uniform",
    x0_scale: Any = None,
    cooling: float = 0.995,
    cooling_floor: float = 0.3,
    boundary: str | None = "resample",
    constraints: Any = (),
    constraint_method: str = "penalty",
    project: Callable[[Array], Array] | None = None,
    restarts: Any = "auto",
    restart_noise: float = 0.0,
    maxiter: int | None = None,
    maxfev: int | None = None,
    max_time: float | None = None,
    ftarget: float | None = None,
    xtol: float | None = None,
    ftol: float | None = None,
    patience: int | None = None,
    polish: Any = "BFGS",
    poll_size: float | None = None,
    lower_bound: float | None = None,
    x_star: ArrayLike | None = None,
    preset: str | None = None,
    workers: Any = 1,
    device: str = "auto",
    callback: Callable[..., Any] | None = None,
    disp: bool = False,
    random_state: RandomSource = None,
    record: str | None = None,
    state: dict[str, Any] | None = None,
) -> OptimizeResult:
    """Minimise a function of a few to some hundred variables from values alone.

    Particles are drawn to their weighted mean and shaken in proportion to their
    distance from it. A run scouts a basin, a local method finishes it, and the rest of
    the budget goes to further runs.

    Parameters
    ----------
    fun : callable
        Objective ``fun(x, *args)``: of one point (d,), of rows (m, d), or compiled by
        ``numba.njit`` for one row.
    bounds : array-like of shape (d, 2) or scipy.optimize.Bounds, optional
        The box. A variable without finite bounds needs `x0`.
    x0 : array-like of shape (d,) or (N, d), optional
        First particle, or the whole first population.
    args : tuple, default=()
        Further arguments of `fun`.
    vectorized : bool or "auto", default="auto"
        Whether `fun` takes rows; ``"auto"`` asks it on two points.
    n_particles : int, optional
        Default ``8 d`` within 16 to 400, without `polish` ``20 d`` within 40 to 500.
    lam : float, default=9.0
        Strength of the drift; only ``lam dt`` matters.
    sigma : float, optional
        Strength of the noise; default 4.4 (anisotropic), ``sqrt(0.64 / (d dt))``
        (isotropic).
    dt : float, default=0.1
        Time step.
    noise : {"anisotropic", "isotropic"}, default="anisotropic"
        Noise of each coordinate in proportion to its own distance from the consensus,
        or to the Euclidean distance.
    alpha : float, "adaptive" or AlphaSchedule, default="adaptive"
        Inverse temperature; ``"adaptive"`` chooses it in each step so that the
        effective sample size is `ess`.
    ess : float, optional
        Effective number of particles in the consensus, above 1; default 15 % of them,
        between 2 and 12.
    weights : {"gibbs", "rank", "best"}, default="gibbs"
        ``"rank"`` sees only the order of the values; ``"best"`` is the best particle.
    memory : bool, default=False
        Each particle remembers its best position; the consensus is of those.
    lam_memory, sigma_memory : float, default=0.0, None
        Drift and noise towards the own memory; None is ``lam_memory * sigma``.
    beta : float, default=inf
        Sharpness of the memory's update; a finite one costs N evaluations a step.
    lam_grad : float, default=0.0
        Strength of a gradient drift.
    jac : callable, optional
        Gradient of one point, or with an attribute ``vectorized = True`` of rows. None
        takes differences.
    truncation : float or tuple of (float, array, float), optional
        Largest distance that the noise sees; with center and radius of a ball, the
        drift aims at the consensus projected onto it.
    correction : {"heaviside", "smooth", None}, default=None
        Spare particles better than the consensus from the drift; one more evaluation
        a step.
    delta : float, default=0.0
        Strength of noise that does not vanish.
    exact : bool, default=False
        Solve each step exactly for a frozen consensus; anisotropic only.
    inertia : float, default=0.0
        Mass of the particles in [0, 1): particle swarm optimization. Needs `memory`.
    noise_after_drift : bool, default=False
        Evaluate the noise after the drift, as published code does.
    batch_size : int, optional
        Evaluate that many particles a step.
    batch_update : {"full", "partial"}, default="full"
        Whether a batch moves all particles or only itself.
    stagnation_tol : float, optional
        Add noise when the consensus moves less than this.
    init : {"uniform", "sobol", "lhs", "normal"}, default="uniform"
        Distribution of the first particles.
    x0_scale : float or array-like of shape (d,), optional
        Standard deviation for ``init="normal"`` and unbounded variables.
    cooling, cooling_floor : float, default=0.995, 0.3
        Factor of the noise a step, and the share of it that is kept.
    boundary : {"resample", "reflect", "clip", "penalty", None}, default="resample"
        What happens to particles that leave the box. With None they stay outside.
    constraints : LinearConstraint, NonlinearConstraint, dict or list, default=()
        General constraints as in :func:`scipy.optimize.minimize`.
    constraint_method : {"penalty", "projection"}, default="penalty"
        ``"projection"`` relies on `project`.
    project : callable, optional
        Maps rows (N, d) to feasible rows.
    restarts : "auto" or int, default="auto"
        Number of runs after the first, all of one size; ``"auto"`` spends the budget
        on sizes N, 2N, N, 4N and so on, with local runs between them.
    restart_noise : float, default=0.0
        Instead of restarts, noise in units of the box for a run that has ended.
    maxiter, maxfev : int, optional
        Limits over all runs; default no limit, and ``2000 d`` evaluations.
    max_time : float, optional
        Limit in seconds.
    ftarget : float, optional
        Value that is good enough.
    xtol, ftol, patience : float, float, int, optional
        A run ends when all particles are within `xtol` (in units of the box) of the
        consensus, or after `patience` steps without a relative improvement of `ftol`.
        Default 1e-2, 1e-2 and 20 with `polish`, 1e-9, 1e-12 and 200 without.
    polish : {"BFGS", "L-BFGS-B", "cdsm", None} or callable, default="BFGS"
        Local method for the best point of every run. ``"L-BFGS-B"`` suits many
        variables, direct search ``"cdsm"`` noisy and discontinuous functions; with a
        `jac` ``"BFGS"`` becomes ``"L-BFGS-B"``. Unless None, every fourth run of
        automatic restarts is an evolution strategy around the best point that adapts
        a covariance. With `constraints` the default is None.
    poll_size : float, optional
        Size of the final poll in units of the box; default 1e-3.
    lower_bound : float, optional
        A bound that you know; the certificate then has a gap.
    x_star : array-like of shape (d,), optional
        The minimiser, if known: `record` then measures the distance to it.
    preset : {"theory", "paper", "carrillo"}, optional
        Parameters of publications; they replace those given.
    workers : int, joblib.Parallel or map-like callable, default=1
        Who evaluates a function of one point. The result does not depend on it.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where the particles live; ``"auto"`` is where `x0` does. On a GPU `fun` takes
        and gives arrays of it, always rows; random numbers and the certificate are
        the CPU's, and so are the arrays of the result.
    callback : callable, optional
        ``callback(intermediate_result)`` after each step; may raise StopIteration.
    disp : bool, default=False
        Print a line for each tenth of the budget.
    random_state : int, RandomState, Generator or None, default=None
        The same seed gives the same bits.
    record : {"summary", "full", None}, default=None
        What to keep of every step in ``history``; ``"full"`` adds the populations.
    state : dict, optional
        ``intermediate_result.state()`` of an earlier call with the same arguments:
        continue there.

    Returns
    -------
    OptimizeResult
        With ``x, fun, nit, nfev, success, status, message, consensus, consensus_fun,
        population, population_fun, n_restarts, run_values, maxcv, history, elapsed,
        nfev_certificate`` and ``certificate``, a poll set at ``x``. With restarts,
        ending at `maxfev` is the normal end, and ``success`` says that the final poll
        found nothing better.

    Raises
    ------
    ValueError
        If an argument is out of range, or `fun` returns the wrong shape.

    Warns
    -----
    RuntimeWarning
        If the particles diverge, `x0` lies outside of the box, or `lower_bound` is
        above the value that was found.

    Notes
    -----
    An exception of `fun` and Ctrl-C pass through; they carry the result so far as the
    attribute ``partial_result``.

    References
    ----------
    Pinnau et al., arXiv:1604.05648; Carrillo et al., arXiv:1909.09249; Riedl et al.,
    arXiv:2306.09778.

    Examples
    --------
    >>> import farkas
    >>> def rastrigin(x):
    ...     return (x**2 + 10 - 10 * np.cos(2 * np.pi * x)).sum()
    >>> res = minimize_cbo(rastrigin, [(-5.12, 5.12)] * 2, random_state=0)
    >>> bool(res.fun < 1e-9), res.success, bool(farkas.verify(res, rastrigin))
    (True, True, True)
    """
    given = dict(locals())
    plan, objective, lower, upper, violation, root = _prepare(given)
    _warn_if_divergent(plan, len(lower))
    search = Search(plan, objective, lower, upper, violation, root)
    if state is not None:
        search.restore(state)
    size = poll.POLL_SIZE if poll_size is None else float(poll_size)
    try:
        search.go()
    except BaseException as error:
        error.partial_result = partial_outcome(search)  # type: ignore[attr-defined]
        raise
    bound = -math.inf if lower_bound is None else float(lower_bound)
    return outcome(search, size, bound)


_DYNAMICS = (
    "n_particles lam sigma dt noise alpha ess weights memory lam_memory sigma_memory "
    "beta lam_grad jac truncation correction delta exact inertia noise_after_drift "
    "batch_size batch_update stagnation_tol cooling cooling_floor boundary preset"
).split()


def _prepare(given: dict[str, Any]) -> tuple[Any, ...]:
    """Check every argument."""
    check_choice(
        "constraint_method", given["constraint_method"], ("penalty", "projection")
    )
    check_choice("record", given["record"], (None, "summary", "full"))
    for name in ("maxiter", "maxfev"):
        if given[name] is not None:
            check_number(name, given[name], low=1, integer=True)
    for name in ("max_time", "poll_size"):
        if given[name] is not None:
            check_number(name, given[name], low=0, inclusive="neither")
    check_number("restart_noise", given["restart_noise"], low=0)
    for name in ("ftarget", "lower_bound"):
        if given[name] is not None and math.isnan(given[name]):
            raise ValueError(f"{name} must not be NaN.")
    if given["restarts"] != "auto":
        check_number("restarts", given["restarts"], low=0, integer=True)
    where, x0 = place(given["x0"], given["device"])
    dimension = None if x0 is None else (np.shape(x0)[-1] if np.ndim(x0) else 1)
    lower, upper = parse_bounds(given["bounds"], dimension)
    if x0 is not None:
        x0 = into_box(np.atleast_1d(np.asarray(x0, dtype=np.float64)), lower, upper)
    d = len(lower)

    violation = Violation(given["constraints"])
    if given["constraint_method"] == "projection" and given["project"] is None:
        raise ValueError("constraint_method='projection' needs project.")
    polish = given["polish"]
    if not callable(polish):
        check_choice("polish", polish, POLISHES)
    if (len(violation) or given["project"] is not None) and polish == "BFGS":
        polish = None
    dynamics = {name: given[name] for name in _DYNAMICS}
    for name, value in (SCOUTING if polish is not None else CONVERGING).items():
        dynamics[name] = value if given[name] is None else given[name]
    settings = settings_from(dynamics)
    N = settings.n_particles or default_size(d, polish is not None)
    if x0 is not None and x0.ndim == 2:
        N = len(x0)
    if not settings.ess_for(N) < N:
        raise ValueError(
            f"ess={settings.ess!r} must lie between 1 and n_particles={N}."
        )
    if settings.preset == "carrillo" and settings.batch_size is None:
        import dataclasses

        settings = dataclasses.replace(settings, preset=None, batch_size=max(2, N // 2))
    if where is not None:
        others = ("project", "restart_noise", "jac")
        on = {name: bool(given[name]) for name in others}
        check_settings(settings, {"constraints": len(violation) > 0, **on})
    root = seed_sequence(given["random_state"])
    objective = Objective(
        given["fun"],
        given["args"],
        vectorized=given["vectorized"],
        workers=given["workers"],
        probe=_probe(lower, upper, x0, root),
        where=where,
    )
    plan = Plan(
        settings=settings,
        n_particles=N,
        restarts=given["restarts"],
        maxiter=given["maxiter"] or math.inf,
        maxfev=given["maxfev"] or BUDGET_PER_DIMENSION * d,
        max_time=given["max_time"] or math.inf,
        ftarget=-math.inf if given["ftarget"] is None else float(given["ftarget"]),
        polish=polish,
        restart_noise=float(given["restart_noise"]),
        init=given["init"],
        x0=x0,
        x0_scale=given["x0_scale"],
        x_star=None if given["x_star"] is None else np.asarray(given["x_star"], float),
        project=given["project"],
        where=where,
        callback=given["callback"],
        disp=bool(given["disp"]),
        record=given["record"],
    )
    limits: Any = violation if len(violation) else None
    if limits is None and given["project"] is not None:
        limits = Projection(given["project"])
    return plan, objective, lower, upper, limits, root


def default_size(dimension: int, polished: bool) -> int:
    """Return the default number of particles.

    Parameters
    ----------
    dimension : int
        Number of variables.
    polished : bool
        Whether a local method finishes each run.

    Returns
    -------
    int
    """
    if polished:
        return int(np.clip(8 * dimension, 16, 400))
    return int(np.clip(20 * dimension, 40, 500))


def _probe(lower: Array, upper: Array, x0: Any, root: np.random.SeedSequence) -> Array:
    """Two distinct feasible points, on which the form of `fun` is found out."""
    rng = np.random.default_rng(
        np.random.SeedSequence(root.entropy, spawn_key=(*root.spawn_key, 2**31))
    )
    center = np.zeros(len(lower)) if x0 is None else np.atleast_2d(x0)[0]
    low = np.where(np.isfinite(lower), lower, center - 1.0)
    high = np.where(np.isfinite(upper), upper, np.maximum(center, low) + 1.0)
    low = np.where(np.isfinite(lower), lower, np.minimum(low, high - 1.0))
    shares = 0.25 + 0.5 * rng.random((2, len(lower)))
    return np.clip(low * (1 - shares) + high * shares, lower, upper)


def _warn_if_divergent(plan: Plan, d: int) -> None:
    from dfo._measure_rates import expected_log_factor

    s = plan.settings
    if s.exact or s.truncation is not None or s.memory:
        return
    noise = s.sigma_for(d) * math.sqrt(s.dt)
    rate = expected_log_factor(
        s.lam * s.dt, noise, 1 if s.noise == "anisotropic" else d
    )
    if rate > 0:
        warnings.warn(
            f"particles diverge: the expected log factor of a step is {rate:.3g} > 0 "
            f"at lam*dt={s.lam * s.dt:.3g}, sigma*sqrt(dt)={noise:.3g}; lower sigma.",
            RuntimeWarning,
            stacklevel=3,
        )
