"""Quantum natural gradient: exact gradients in the metric of the states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult

from farkas.base import check_number
from farkas.status import Status
from quantum.optimizers.driver import Run, Stop, check_positive

Array = NDArray[np.float64]


def qng(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: Sequence[Any] = (),
    *,
    jac: Any = None,
    metric: Callable[[Array], Array],
    maxiter: int = 100,
    eta: float = 0.1,
    regularization: float = 1e-3,
    blocks: Sequence[Sequence[int]] | None = None,
    tol: float = 1e-6,
    maxfev: int | None = None,
    max_time: float | None = None,
    callback: Callable[..., Any] | None = None,
    disp: bool | int = False,
    certify: bool = True,
) -> OptimizeResult:
    """Minimise by steps ``(G + regularization I)^-1 g`` with the Fubini-Study metric G.

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
    metric : callable
        ``metric(x)`` returns G (P, P).
    maxiter : int, default=100
        Iterations.
    eta : float, default=0.1
        Step size.
    regularization : float, default=1e-3
        Added to the diagonal.
    blocks : sequence of sequence of int, optional
        Keep only these diagonal blocks of G.
    tol : float, default=1e-6
        Largest gradient entry at which to stop.
    maxfev, max_time, callback, disp, certify : object
        As in :func:`quantum.aqgd`.

    Returns
    -------
    OptimizeResult
        ``x`` is the best point seen.

    References
    ----------
    Stokes, Izaac, Killoran, Carleo, "Quantum natural gradient", arXiv:1909.02108.

    Examples
    --------
    >>> import numpy as np
    >>> from quantum import qng
    >>> result = qng(lambda x: np.cos(x).sum(), [1.0, 2.0], jac=lambda x: -np.sin(x),
    ...              metric=lambda x: np.eye(2) / 4)
    >>> round(result.fun, 6)
    -2.0
    """
    check_positive("maxiter", maxiter, integer=True)
    check_positive("eta", eta)
    check_positive("regularization", regularization)
    check_number("tol", tol, low=0.0)
    run = Run(
        fun, x0, args=args, jac=jac, callback=callback, maxfev=maxfev,
        max_time=max_time, disp=disp, name="qng",
    )  # fmt: skip
    if not run.has_gradient:
        raise ValueError("qng needs jac; choose qnspsa for a fun without gradient.")
    x, status = run.x0.copy(), Status.MAX_ITER
    mask = None
    if blocks is not None:
        mask = np.zeros((len(x), len(x)))
        for block in blocks:
            mask[np.ix_(list(block), list(block))] = 1.0
    with run:
        try:
            for k in range(1, maxiter + 1):
                f, g = run.value_and_gradient(x)
                norm = float(np.abs(g).max())
                run.report(k, f, norm)
                if norm <= tol:
                    status = Status.CONVERGED
                    break
                G = metric(x) if mask is None else metric(x) * mask
                x = x - eta * np.linalg.solve(G + regularization * np.eye(len(x)), g)
            else:
                run.value_and_gradient(x)
        except Stop as stop:
            status = stop.status
    return run.result(status, x_last=x, certify=certify, tolerance=tol)
