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


def quasi_newton(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: Sequence[Any] = (),
    *,
    method: str = "L-BFGS-B",
    jac: Any = None,
    maxiter: int = 100,
    tol: float = 1e-6,
    maxfev: int | None = None,
    max_time: float | None = None,
    callback: Callable[..., Any] | None = None,
    disp: bool | int = False,
    certify: bool = True,
) -> OptimizeResult:
    """Minimise until the gradient is at most ``tol``.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)``.
    x0 : array-like of shape (P,)
        Start; it is left unchanged.
    args : sequence, default=()
        Further arguments of `fun`.
    method : {"L-BFGS-B", "SLSQP"}, default="L-BFGS-B"
        Limited memory, or sequential least squares.
    jac : callable or bool
        Gradient; True if `fun` returns value and gradient.
    maxiter : int, default=100
        Largest number of iterations.
    tol : float, default=1e-6
        Largest gradient entry at which to stop.
    maxfev : int, optional
        Largest number of evaluations.
    max_time : float, optional
        Seconds.
    callback : callable, optional
        Called in each iteration with the keyword ``intermediate_result``; may raise
        StopIteration.
    disp : bool or int, default=False
        Print the progress.
    certify : bool, default=True
        Mint a certificate of the returned point, which evaluates `fun` once more.

    Returns
    -------
    OptimizeResult
        ``x`` is the best point seen.

    Raises
    ------
    ValueError
        Without `jac`.
    """
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
