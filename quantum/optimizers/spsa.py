"""Simultaneous perturbation stochastic approximation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult

from farkas.base import check_number
from farkas.parallel import RandomSource, seed_sequence
from farkas.status import Status
from quantum.optimizers.driver import Run, Stop, check_positive

Array = NDArray[np.float64]

# Exponents of the gains, from Spall, IEEE Trans. Aerospace Electronic Systems 34, 1998.
ALPHA, GAMMA = 0.602, 0.101
# The first step shall have this size, found from so many pairs of evaluations.
FIRST_STEP, PAIRS = 2 * math.pi / 10, 25


def spsa(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: Sequence[Any] = (),
    *,
    maxiter: int = 100,
    c: float | None = 0.2,
    a: float | None = None,
    resamplings: int = 1,
    blocking: bool = False,
    tol: float = 0.0,
    random_state: RandomSource = None,
    maxfev: int | None = None,
    max_time: float | None = None,
    callback: Callable[..., Any] | None = None,
    disp: bool | int = False,
    certify: bool = False,
) -> OptimizeResult:
    """Minimise a noisy function with two evaluations an iteration.

    The k-th step is ``a_k (f(x + c_k D) - f(x - c_k D)) / (2 c_k) D`` with random signs
    D, ``c_k = c / k^0.101`` and ``a_k = a / (A + k)^0.602``, A a tenth of `maxiter`.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)``; may be noisy.
    x0 : array-like of shape (P,)
        Start; it is left unchanged.
    args : sequence, default=()
        Further arguments of `fun`.
    maxiter : int, default=100
        Iterations.
    c : float or None, default=0.2
        Size of the perturbation; None takes twice the standard deviation of `fun` at
        the start.
    a : float, optional
        Gain; default: such that the first step is ``2 pi / 10``, by 50 evaluations.
    resamplings : int, default=1
        Directions averaged in each step.
    blocking : bool, default=False
        Refuse steps that raise the function by more than twice its noise.
    tol : float, default=0.0
        Stop when a step is shorter.
    random_state : int, RandomState, Generator, SeedSequence or None
        Source of randomness.
    maxfev, max_time, callback, disp, certify : object
        As in :func:`quantum.aqgd`. A certificate re-evaluates `fun`, which must not be
        noisy then.

    Returns
    -------
    OptimizeResult
        ``x`` is the best point seen, ``x_last`` the last iterate.

    References
    ----------
    Spall, "Multivariate stochastic approximation using a simultaneous perturbation
    gradient approximation", IEEE Trans. Autom. Control 37, 1992.

    Examples
    --------
    >>> import numpy as np
    >>> from quantum import spsa
    >>> result = spsa(lambda x: np.cos(x).sum(), [1.0, 2.0], random_state=0)
    >>> bool(result.fun < -1.9)
    True
    """
    check_positive("maxiter", maxiter, integer=True)
    check_positive("resamplings", resamplings, integer=True)
    check_number("tol", tol, low=0.0)
    for name, value in (("c", c), ("a", a)):
        if value is not None:
            check_positive(name, value)
    rng = np.random.default_rng(seed_sequence(random_state))
    run = Run(
        fun, x0, args=args, callback=callback, maxfev=maxfev, max_time=max_time,
        disp=disp, name="spsa",
    )  # fmt: skip
    x, status = run.x0.copy(), Status.MAX_ITER
    with run:
        try:
            f = run.value(x)
            noise = _noise(run, x) if blocking or c is None else 0.0
            width = max(2 * noise, 1e-3) if c is None else c
            offset = maxiter / 10
            gain = calibrated(run, x, width, offset, rng) if a is None else a
            for k in range(1, maxiter + 1):
                g = perturbed_slope(run, x, width / k**GAMMA, resamplings, rng)
                step = gain / (offset + k) ** ALPHA * g
                trial = x - step
                f_trial = run.value(trial)
                if not blocking or f_trial <= f + 2 * noise:
                    x, f = trial, f_trial
                run.report(k, f)
                if np.abs(step).max() < tol:
                    status = Status.STALLED
                    break
        except Stop as stop:
            status = stop.status
    return run.result(status, x_last=x, certify=certify, tolerance=tol)


def perturbed_slope(
    run: Run, x: Array, width: float, resamplings: int, rng: np.random.Generator
) -> Array:
    """Average of ``(f(x + c D) - f(x - c D)) / (2 c) D`` over random signs D."""
    total = np.zeros_like(x)
    for _ in range(resamplings):
        D = rng.choice((-1.0, 1.0), size=len(x))
        difference = run.value(x + width * D) - run.value(x - width * D)
        total += difference / (2 * width) * D
    return total / resamplings


def calibrated(
    run: Run, x: Array, width: float, offset: float, rng: np.random.Generator
) -> float:
    """Gain with which the first step is ``FIRST_STEP`` in each parameter."""
    sizes = []
    for _ in range(PAIRS):
        D = rng.choice((-1.0, 1.0), size=len(x))
        difference = run.value(x + width * D) - run.value(x - width * D)
        sizes.append(abs(difference / (2 * width)))
    mean = float(np.mean(sizes))
    # Where the function is flat any gain will do.
    return FIRST_STEP * (offset + 1) ** ALPHA / mean if mean > 1e-10 else FIRST_STEP


def _noise(run: Run, x: Array) -> float:
    return float(np.std([run.value(x) for _ in range(PAIRS)]))
