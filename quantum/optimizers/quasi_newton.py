"""L-BFGS-B and SLSQP of SciPy, for exact gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult, minimize

from farkas.status import Status
from quantum.optimizers.driver import Run, Stop, check_positive

Array = NDArray[np.float64]


def lbfgs(fun: Callable[..., Any], x0: ArrayLike, **options: Any) -> OptimizeResult:
    """Minimise by L-BFGS-B until the gradient is at most ``tol``.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)``.
    x0 : array-like of shape (P,)
        Start; it is left unchanged.
    **options : object
        ``args``, ``jac`` (needed), ``maxiter=100``, ``tol=1e-6``, ``maxfev``,
        ``max_time``, ``callback``, ``disp``, ``certify=True``.

    Returns
    -------
    OptimizeResult
        ``x`` is the best point seen.
    """
    return _scipy("L-BFGS-B", fun, x0, **options)


def slsqp(fun: Callable[..., Any], x0: ArrayLike, **options: Any) -> OptimizeResult:
    """Minimise by sequential least squares; options as in :func:`lbfgs`.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)``.
    x0 : array-like of shape (P,)
        Start; it is left unchanged.
    **options : object
        See :func:`lbfgs`.

    Returns
    -------
    OptimizeResult
        ``x`` is the best point seen.
    """
    return _scipy("SLSQP", fun, x0, **options)


def _scipy(
    method: str,
    fun: Callable[..., Any],
    x0: ArrayLike,
    *,
    args: Sequence[Any] = (),
    jac: Any = None,
    maxiter: int = 100,
    tol: float = 1e-6,
    maxfev: int | None = None,
    max_time: float | None = None,
    callback: Callable[..., Any] | None = None,
    disp: bool | int = False,
    certify: bool = True,
) -> OptimizeResult:
    check_positive("maxiter", maxiter, integer=True)
    run = Run(
        fun, x0, args=args, jac=jac, callback=callback, maxfev=maxfev,
        max_time=max_time, disp=disp, name=method.lower(),
    )  # fmt: skip
    if not run.has_gradient:
        raise ValueError(f"{method} needs jac; choose a method without derivatives.")
    count = 0

    def iteration(intermediate_result: OptimizeResult) -> None:
        nonlocal count
        count += 1
        norm = np.nan if run.gradient is None else float(np.abs(run.gradient).max())
        run.report(count, float(intermediate_result.fun), norm)

    # Only the gradient ends the run: a tiny decrease is no sign of a stationary point.
    options: dict[str, Any] = {"maxiter": maxiter}
    if method == "L-BFGS-B":
        options |= {"gtol": tol, "ftol": 0.0, "maxfun": 20 * maxiter + 100}
    else:
        options |= {"ftol": tol**2}
    status, message = Status.MAX_ITER, None
    with run:
        try:
            found = minimize(
                run.value_and_gradient, run.x0, jac=True, method=method,
                callback=iteration, options=options,
            )  # fmt: skip
            if found.nit < maxiter:
                status, message = Status.STALLED, str(found.message)
            if not run.nit:
                run.report(0, run.f, float(np.abs(run.gradient).max()))
        except Stop as stop:
            status = stop.status
    slopes = run.gradient
    if status not in (Status.CALLBACK, Status.NUMERICAL) and (
        slopes is not None and np.abs(slopes).max() <= tol
    ):
        status, message = Status.CONVERGED, None
    return run.result(status, message=message, certify=certify, tolerance=tol)
