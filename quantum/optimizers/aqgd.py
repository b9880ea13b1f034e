"""Analytic quantum gradient descent with momentum.

The gradient of a circuit's loss is exact, from the chain rule (arXiv:1811.11184). The
mode ``loss_shift`` reproduces what the experiment of arXiv:2102.08949 ran: the shift
rule applied to the loss itself, which is the gradient only of a loss that is linear in
the probabilities. Of a loss with harmonics it drops the even ones and weighs the k-th
odd one by ``sin(k pi / 2) / k``.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult

from farkas.base import check_choice, check_number
from farkas.status import Status
from quantum.optimizers.driver import Run, Stop, check_positive, schedule

Array = NDArray[np.float64]

# Sufficient decrease demanded by eta="armijo", and how often a step is halved at most.
ARMIJO = 1e-4
_HALVINGS = 30

_REASONS = {
    "parameters": "No parameter moved by more than param_tol.",
    "window": "The mean loss of the last iterations changed by less than tol.",
}


def aqgd(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: Sequence[Any] = (),
    *,
    jac: Any = None,
    maxiter: int | Sequence[int] = 1000,
    eta: float | str | Sequence[float] = 1.0,
    momentum: float | Sequence[float] = 0.25,
    tol: float = 1e-6,
    param_tol: float = 1e-6,
    averaging: int = 10,
    gradient: str = "exact",
    workers: Callable[..., Any] | None = None,
    maxfev: int | None = None,
    max_time: float | None = None,
    callback: Callable[..., Any] | None = None,
    disp: bool | int = False,
    certify: bool = True,
) -> OptimizeResult:
    """Minimise a function of angles by gradient descent with momentum.

    Each iteration sets ``v = (1 - momentum) g + momentum v`` and ``x = x - eta v``.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)``, the loss.
    x0 : array-like of shape (P,)
        Start, in radians; it is left unchanged.
    args : sequence, default=()
        Further arguments of `fun`.
    jac : callable or True, optional
        Gradient ``jac(x, *args)``; True if `fun` returns value and gradient. Without
        it the shift rule is applied to `fun`, which is exact when `fun` is an
        expectation value, and takes 2 P evaluations.
    maxiter : int or sequence of int, default=1000
        Iterations, or those of each stage of a schedule.
    eta : float, "armijo" or sequence of float, default=1.0
        Step size; "armijo" halves it until the loss falls enough.
    momentum : float or sequence of float, default=0.25
        Weight of the past, in [0, 1).
    tol : float, default=1e-6
        Stop when the mean of the last `averaging` losses changes by less.
    param_tol : float, default=1e-6
        Stop when no parameter moves by as much in one step.
    averaging : int, default=10
        Length of that window.
    gradient : {"exact", "loss_shift"}, default="exact"
        "loss_shift" applies the shift rule to the loss, as the published experiments
        did; it is not the gradient of a nonlinear loss.
    workers : callable, optional
        Map-like, ``workers(f, points)``: evaluates the shifted points at once.
    maxfev : int, optional
        Largest number of evaluations.
    max_time : float, optional
        Seconds.
    callback : callable, optional
        Called with the keyword ``intermediate_result``; may raise StopIteration.
    disp : bool or int, default=False
        Print the progress.
    certify : bool, default=True
        Mint a certificate of the returned point, which evaluates `fun` once more.

    Returns
    -------
    OptimizeResult
        ``x`` is the best point seen and ``fun`` its value, ``x_last`` the last one.
        ``stopped_by`` is "parameters", "window" or None.

    Raises
    ------
    ValueError
        If schedules differ in length or a number is out of range.

    References
    ----------
    Joshi, Katyayan, Ahmed, arXiv:2102.08949; Schuld et al., arXiv:1811.11184.

    Examples
    --------
    >>> import numpy as np
    >>> from quantum import aqgd
    >>> result = aqgd(lambda x: np.cos(x).sum(), [1.0, 2.0], maxiter=[50, 50],
    ...               eta=[1.0, 0.2], momentum=[0.25, 0.0])
    >>> round(result.fun, 6)
    -2.0
    """
    check_choice("gradient", gradient, ("exact", "loss_shift"))
    check_number("tol", tol, low=0.0)
    check_number("param_tol", param_tol, low=0.0)
    check_positive("averaging", averaging, integer=True)
    stages = _stages(maxiter, eta, momentum)
    armijo = any(step == "armijo" for _, step, _ in stages)
    if armijo and gradient != "exact":
        raise ValueError("eta='armijo' needs gradient='exact'.")
    run = Run(
        fun, x0, args=args, jac=jac, callback=callback, maxfev=maxfev,
        max_time=max_time, disp=disp, name="aqgd", workers=workers,
    )  # fmt: skip
    exact = gradient == "exact" and run.has_gradient
    x, status, reason = run.x0.copy(), Status.MAX_ITER, None
    with run:
        try:
            x, reason = _descend(run, x, stages, exact, tol, param_tol, averaging)
            if reason is not None:
                status = Status.STALLED
        except Stop as stop:
            status = stop.status
    slopes = run.gradient
    if reason and exact and slopes is not None and np.abs(slopes).max() <= tol:
        status = Status.CONVERGED
    return run.result(
        status,
        x_last=x,
        message=_REASONS[reason] if reason else None,
        certify=certify,
        tolerance=tol,
        stopped_by=reason,
    )


def _stages(maxiter: Any, eta: Any, momentum: Any) -> list[tuple[int, Any, float]]:
    lists = [v for v in (maxiter, eta, momentum) if isinstance(v, list | tuple)]
    length = len(lists[0]) if lists else None
    parts = [
        schedule(name, value, length)
        for name, value in (("maxiter", maxiter), ("eta", eta), ("momentum", momentum))
    ]
    for T, step, mu in zip(*parts, strict=True):
        check_positive("maxiter", T, integer=True)
        if step != "armijo":
            check_positive("eta", step)
        check_number("momentum", mu, low=0.0, high=1.0, inclusive="left")
    return list(zip(*parts, strict=True))


def _descend(
    run: Run,
    x: Array,
    stages: list[tuple[int, Any, float]],
    exact: bool,
    tol: float,
    param_tol: float,
    averaging: int,
) -> tuple[Array, str | None]:
    v, window = np.zeros_like(x), deque[float](maxlen=averaging + 1)
    previous: Array | None = None
    k = 0
    for T, eta, mu in stages:
        for _ in range(T):
            if previous is not None and np.abs(x - previous).max() < param_tol:
                return x, "parameters"
            f, g = _slopes(run, x, exact)
            k += 1
            run.report(k, f, float(np.abs(g).max()) if exact else math.nan)
            window.append(f)
            if len(window) > averaging:
                values = np.array(window)
                if abs(values[:-1].mean() - values[1:].mean()) < tol:
                    return x, "window"
            v = (1.0 - mu) * g + mu * v
            previous = x
            x = _armijo(run, x, f, g, v) if eta == "armijo" else x - eta * v
    run.value(x)  # the last step counts too
    return x, None


def _slopes(run: Run, x: Array, exact: bool) -> tuple[float, Array]:
    if exact:
        return run.value_and_gradient(x)
    return run.value(x), run.shift_gradient(x)


def _armijo(run: Run, x: Array, f: float, g: Array, v: Array) -> Array:
    slope = float(g @ v)
    if slope <= 0:  # the momentum points uphill
        v, slope = g, float(g @ g)
    eta = 1.0
    for _ in range(_HALVINGS):
        trial = x - eta * v
        if run.value(trial) <= f - ARMIJO * eta * slope:
            return trial
        eta *= 0.5
    return x
