"""COBYLA and COBYQA of SciPy, with the budget counted in evaluations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult, minimize

from farkas.base import check_choice
from farkas.status import Status
from quantum.optimizers.driver import Run, Stop, check_positive

Array = NDArray[np.float64]

# The final trust-region radius if no tolerance is asked for, as in SciPy.
_RHOEND = 1e-4


def cobyla(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: Sequence[Any] = (),
    *,
    maxiter: int = 100,
    rhobeg: float = 1.0,
    tol: float | None = None,
    method: str = "COBYLA",
    bounds: Any = None,
    constraints: Any = (),
    max_time: float | None = None,
    callback: Callable[..., Any] | None = None,
    disp: bool | int = False,
    certify: bool = True,
) -> OptimizeResult:
    """Minimise without derivatives, by linear (or quadratic) models.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)``.
    x0 : array-like of shape (P,)
        Start; it is left unchanged.
    args : sequence, default=()
        Further arguments of `fun`.
    maxiter : int, default=100
        Largest number of function evaluations, at least P + 2; the first P + 1 build
        the simplex.
    rhobeg : float, default=1.0
        First step, in radians.
    tol : float, optional
        Last step.
    method : {"COBYLA", "COBYQA"}, default="COBYLA"
        COBYQA has quadratic models.
    bounds, constraints : object, optional
        As in ``scipy.optimize.minimize``.
    max_time : float, optional
        Seconds.
    callback : callable, optional
        Called after each evaluation with the keyword ``intermediate_result``; may
        raise StopIteration.
    disp : bool or int, default=False
        Print the progress.
    certify : bool, default=True
        Mint a certificate of the returned point, which evaluates `fun` once more.

    Returns
    -------
    OptimizeResult
        ``x`` is the best point seen, ``nit`` equals ``nfev``.

    Raises
    ------
    ValueError
        If `maxiter` is too small for the number of parameters.

    References
    ----------
    Powell, "A direct search optimization method that models the objective and
    constraint functions by linear interpolation", 1994.

    Examples
    --------
    >>> import numpy as np
    >>> from quantum import cobyla
    >>> result = cobyla(lambda x: np.cos(x).sum(), [1.0, 2.0], maxiter=80, tol=1e-6)
    >>> round(result.fun, 6)
    -2.0
    """
    check_choice("method", method, ("COBYLA", "COBYQA"))
    check_positive("maxiter", maxiter, integer=True)
    check_positive("rhobeg", rhobeg)
    run = Run(
        fun, x0, args=args, callback=callback, maxfev=maxiter, max_time=max_time,
        disp=disp, name=method.lower(),
    )  # fmt: skip
    P = len(run.x0)
    if maxiter < P + 2:
        raise ValueError(
            f"maxiter={maxiter!r} must be at least P + 2 = {P + 2}: building the "
            f"simplex of P={P} parameters takes P + 1 evaluations."
        )

    def evaluate(x: Array) -> float:
        f = run.value(np.asarray(x, dtype=float))
        run.report(run.nfev, f)
        return f

    radius = _RHOEND if tol is None else tol
    options = (
        {"rhobeg": rhobeg, "tol": radius, "maxiter": maxiter}
        if method == "COBYLA"
        else {
            "initial_tr_radius": rhobeg,
            "final_tr_radius": radius,
            "maxfev": maxiter,
        }
    )
    status, message, x_last = Status.STALLED, None, None
    with run:
        try:
            found = minimize(
                evaluate, run.x0, method=method, options=options, bounds=bounds,
                constraints=constraints,
            )  # fmt: skip
            message, x_last = str(found.message), np.asarray(found.x)
            if run.nfev >= maxiter:
                status, message = Status.MAX_EVAL, None
        except Stop as stop:
            status = stop.status
    return run.result(
        status, x_last=x_last, message=message, certify=certify, tolerance=radius
    )
