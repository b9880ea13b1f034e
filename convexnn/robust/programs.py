"""Train a two-layer network against perturbations, and certify the answer."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult

from convexnn._measure_robust import ROBUST_LOSSES
from convexnn.driver import Driver, Solution
from convexnn.patterns import PatternSet
from convexnn.program import Settings, check_start
from convexnn.programs import final_status, stack_outputs
from convexnn.robust.admm import (
    Dual,
    RobustFactor,
    RobustIteration,
    factorize_robust,
)
from convexnn.robust.bounds import RobustBounds
from convexnn.robust.patterns import warn_if_collapsed
from convexnn.robust.program import RobustProgram
from farkas.certificate import Certificate
from farkas.parallel import blas_threads_for
from farkas.result import make_result
from farkas.status import Status
from farkas.verification import certify

Array = NDArray[np.float64]

PROBLEM = "convexnn.robust/1"


def solve_robust(
    X: ArrayLike,
    y: ArrayLike,
    patterns: "ArrayLike | PatternSet",
    *,
    alpha: float,
    eps: ArrayLike,
    loss: str = "hinge",
    tol: float = 1e-4,
    max_iter: int = 5000,
    max_time: float | None = None,
    x0: tuple[ArrayLike, ArrayLike] | None = None,
    rho: float | str = "auto",
    solver: str = "admm",
    callback: Callable[..., Any] | None = None,
    history_every: int = 1,
    verbose: int = 0,
    state: dict[str, Any] | None = None,
) -> OptimizeResult:
    """Train a two-layer ReLU network that is optimal against any perturbation.

    Each row of X may be moved by any delta with ``|delta_j| <= eps_j``. With
    ``|q|_eps = sum_j eps_j |q_j|`` and ``zeta_k = sum_i d_ik (v_i - w_i)`` it solves::

        min  sum_k l(largest over the box of row k) + alpha sum_i (|v_i| + |w_i|)
        s.t. S_i X v_i >= |v_i|_eps,  S_i X w_i >= |w_i|_eps

    Inside the constraints no perturbation changes the pattern of a unit, and the
    smallest margin of row k over its box is ``y_k x_k'zeta_k - |zeta_k|_eps``.

    Parameters
    ----------
    X : array-like of shape (n, d)
        Data. A hidden bias is an extra constant column.
    y : array-like of shape (n,)
        Targets; -1 or +1 for the logistic and the hinge loss.
    patterns : array-like of shape (n, P) or PatternSet
        Activation patterns d_i, 0/1, as from :func:`sample_robust_patterns`. A pattern
        whose cone is only the zero vector does no harm and is of no use.
    alpha : float
        Weight of the penalty, positive.
    eps : float or array-like of shape (d,)
        Radius in the units of X. A number holds for every column that is not constant
        (a constant column is the bias); an array is taken as it is.
    loss : {"hinge", "squared", "logistic"}, default="hinge"
        Summed over samples.
    tol, max_iter, max_time, x0, rho : object
        As in :func:`solve_relu`.
    solver : {"admm", "cvxpy"}, default="admm"
        ``"cvxpy"`` is a slow second opinion.
    callback, history_every, verbose, state : object
        As in :func:`solve_relu`.

    Returns
    -------
    OptimizeResult
        ``x = (V, W)`` of shape (d, P) each, inside the cones; ``fun``,
        ``lower_bound``, ``gap``, ``certificate`` and the usual fields.

    Raises
    ------
    ValueError
        If an argument has a wrong shape or value.

    Warns
    -----
    UserWarning
        If all units vanish although rows move; it names the largest radius for which
        the patterns have units.

    Notes
    -----
    Interrupting with Ctrl-C returns the best point so far, with its certificate.

    References
    ----------
    Bai, Gautam, Sojoudi, "Practical Convex Formulation of Robust One-hidden-layer
    Neural Network Training", arXiv:2105.12237.

    Examples
    --------
    >>> from convexnn import enumerate_patterns, solve_robust
    >>> X = [[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]]
    >>> patterns = enumerate_patterns(X)
    >>> result = solve_robust(X, [-1, 1, 1, -1], patterns, alpha=0.01, eps=0.1)
    >>> round(result.fun, 3), result.certificate.residuals["certified_accuracy"]
    (0.099, 1.0)
    """
    program = RobustProgram.validated(X, y, patterns, alpha, eps, loss)
    settings = Settings.validated(
        tol, max_iter, max_time, rho, callback, history_every, verbose
    )
    if solver not in ("admm", "cvxpy"):
        raise ValueError(f"solver={solver!r} must be 'admm' or 'cvxpy'.")
    start = None if x0 is None else check_start(x0, program)
    run = solve_program if solver == "admm" else solve_by_cvxpy
    given = {"x0": start, "state": state} if solver == "admm" else {}
    solution = run(program, settings, **given)
    certificate = mint_robust(
        [solution.bounds],
        (program.X, program.y),
        program.patterns,
        program.eps,
        program.parameters(),
        settings.tol,
    )
    if program.eps.any() and not solution.bounds.blocks.any():
        warn_if_collapsed(program.X, program.patterns, program.eps)
    message = "Interrupted by the user." if solution.interrupted else None
    return make_result(
        solution.bounds.x(),
        fun=certificate.upper,
        status=final_status(solution.status, certificate),
        nit=solution.nit,
        certificate=certificate,
        history=solution.history,
        elapsed=solution.elapsed,
        state=solution.state,
        message=message,
        lower_bound=certificate.lower,
        gap=certificate.gap,
    )


def solve_program(
    program: RobustProgram,
    settings: Settings,
    *,
    x0: tuple[Array, ...] | None = None,
    state: dict[str, Any] | None = None,
    factor: RobustFactor | None = None,
) -> Solution:
    """Run the driver on a validated robust program.

    Parameters
    ----------
    program : RobustProgram
        What to solve.
    settings : Settings
        When to stop and whom to tell.
    x0 : tuple of two ndarray of shape (d, P), optional
        Start.
    state : dict, optional
        Continue an earlier run.
    factor : RobustFactor, optional
        Shared factorisation of the same data, radius and patterns.

    Returns
    -------
    Solution
        Its ``bounds`` are :class:`RobustBounds`.
    """
    begun = time.perf_counter()
    if factor is None:
        factor = factorize_robust(program.X, program.eps, program.patterns.D)
    blocks = None
    if x0 is not None:
        blocks = np.concatenate([factor.to_internal(part) for part in x0])
    arguments = (factor, program.y, program.alpha, program.loss)
    iteration = RobustIteration(*arguments, rho=settings.rho, x0=blocks, state=state)
    bounds = RobustBounds(*arguments, state=state)
    with blas_threads_for(program.X):
        return Driver(settings, iteration, bounds, begun, state).run()


def solve_by_cvxpy(program: RobustProgram, settings: Settings) -> Solution:
    """Solve by an interior point method, and bound its answer as any other."""
    from convexnn.robust.reference import reference_robust

    begun = time.perf_counter()
    factor = factorize_robust(program.X, program.eps, program.patterns.D)
    found = reference_robust(
        program.X,
        program.y,
        program.patterns,
        alpha=program.alpha,
        eps=program.eps,
        loss=program.loss,
    )
    bounds: Any = RobustBounds(factor, program.y, program.alpha, program.loss)
    if found.status is not Status.NUMERICAL:
        bounds.try_primal(np.concatenate([factor.to_internal(x) for x in found.x]))
        bounds.try_dual(
            into_box(found.Theta, found.theta, found.amplitude, program, factor),
            np.zeros(bounds.patterns.shape),
            project=True,
        )
    elapsed = time.perf_counter() - begun
    return Solution(bounds, found.status, found.nit, elapsed, {}, {}, False)


def into_box(
    Theta: Array,
    theta: Array,
    amplitude: Array,
    program: RobustProgram,
    factor: RobustFactor,
) -> Dual:
    """Return a dual point of the user's program moved into its box, scaled."""
    theta, b = ROBUST_LOSSES[program.loss].project(theta, amplitude, program.y)
    center, width = theta[:, None] * program.X, b[:, None] * program.eps
    clipped = np.clip(Theta, center - width, center + width)
    return Dual(factor.scale * clipped, theta, b)


def mint_robust(
    bounds: list[RobustBounds],
    data: tuple[Any, Any],
    patterns: PatternSet,
    eps: Array,
    parameters: dict[str, Any],
    tol: float,
) -> Certificate:
    """Certify one or several outputs on the data that the user passed.

    Parameters
    ----------
    bounds : list of RobustBounds
        One for each output.
    data : tuple
        (X, y) as passed by the user.
    patterns : PatternSet
        Shared by all outputs.
    eps : ndarray of shape (d0,)
        Radius of each column of the user's X, without an appended intercept.
    parameters : dict
        ``alpha``, ``loss``, ``encoding`` and ``intercept``.
    tol : float
        Relative gap that counts as solved.

    Returns
    -------
    Certificate
    """
    parts = [part.witness() for part in bounds]
    witness: dict[str, Any] = {"patterns": patterns.D, "eps": eps}
    witness |= stack_outputs(parts, patterns.D.size)
    return certify(PROBLEM, data, witness, parameters, tolerance=tol)
