"""Adam and AMSGrad, with minibatches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult

from farkas.base import check_number
from farkas.status import Status
from quantum.optimizers.driver import Run, Stop, check_positive

Array = NDArray[np.float64]

_TINY = 1e-8  # keeps the step finite where no gradient was seen (Kingma and Ba, 2015)


def adam(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: Sequence[Any] = (),
    *,
    jac: Any = None,
    maxiter: int = 100,
    lr: float = 0.05,
    b1: float = 0.9,
    b2: float = 0.999,
    amsgrad: bool = False,
    tol: float = 1e-6,
    epoch: Callable[[], Iterable[Callable[[Array], tuple[float, Array]]]] | None = None,
    maxfev: int | None = None,
    max_time: float | None = None,
    callback: Callable[..., Any] | None = None,
    disp: bool | int = False,
    certify: bool = True,
) -> OptimizeResult:
    """Minimise by gradients scaled with their running moments.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)``.
    x0 : array-like of shape (P,)
        Start; it is left unchanged.
    args : sequence, default=()
        Further arguments of `fun`.
    jac : callable or True
        Gradient; True if `fun` returns value and gradient.
    maxiter : int, default=100
        Steps, or passes over the batches.
    lr, b1, b2 : float, default=0.05, 0.9, 0.999
        Step size and the decay of the two moments.
    amsgrad : bool, default=False
        Divide by the largest second moment so far.
    tol : float, default=1e-6
        Largest gradient entry of `fun` at which to stop.
    epoch : callable, optional
        Returns the batches of one pass: functions that give value and gradient at x.
    maxfev, max_time, callback, disp, certify : object
        As in :func:`quantum.aqgd`.

    Returns
    -------
    OptimizeResult
        ``x`` is the best point seen.

    References
    ----------
    Kingma and Ba, arXiv:1412.6980; Reddi, Kale, Kumar, arXiv:1904.09237.
    """
    check_positive("maxiter", maxiter, integer=True)
    check_positive("lr", lr)
    for name, value in (("b1", b1), ("b2", b2)):
        check_number(name, value, low=0.0, high=1.0, inclusive="left")
    run = Run(
        fun, x0, args=args, jac=jac, callback=callback, maxfev=maxfev,
        max_time=max_time, disp=disp, name="adam",
    )  # fmt: skip
    if not run.has_gradient:
        raise ValueError("adam needs jac; choose spsa for a function without gradient.")
    x = run.x0.copy()
    m, v, top = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    status, t = Status.MAX_ITER, 0
    with run:
        try:
            for k in range(1, maxiter + 1):
                f, g = run.value_and_gradient(x)
                norm = float(np.abs(g).max())
                run.report(k, f, norm)
                if norm <= tol:
                    status = Status.CONVERGED
                    break
                for step in [None] if epoch is None else epoch():
                    if step is not None:
                        _, g = step(x)
                    t += 1
                    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
                    top = np.maximum(top, v) if amsgrad else v
                    scale = math.sqrt(1 - b2**t) / (1 - b1**t)
                    x = x - lr * scale * m / (np.sqrt(top) + _TINY)
            else:
                run.value_and_gradient(x)
        except Stop as stop:
            status = stop.status
    return run.result(status, x_last=x, certify=certify, tolerance=tol)
