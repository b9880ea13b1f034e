"""Consensus-based optimization behind :func:`scipy.optimize.minimize`."""

from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike
from scipy.optimize import OptimizeResult

from dfo.cbo.minimize import minimize_cbo


def cbo_method(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: tuple[Any, ...] = (),
    jac: Any = None,
    hess: Any = None,
    hessp: Any = None,
    bounds: Any = None,
    constraints: Any = (),
    callback: Callable[..., Any] | None = None,
    **options: Any,
) -> OptimizeResult:
    """Consensus-based optimization as ``method=`` of :func:`scipy.optimize.minimize`.

    Parameters
    ----------
    fun : callable
        Of one point.
    x0 : array-like of shape (d,)
        First particle.
    args : tuple, default=()
        Further arguments of `fun`.
    jac, hess, hessp : object
        `jac` is used by the polish if it is callable; the others are not used.
    bounds : bounds, optional
        The box.
    constraints : constraints, default=()
        As in :func:`minimize_cbo`.
    callback : callable, optional
        As in :func:`minimize_cbo`.
    **options
        Further arguments of :func:`minimize_cbo`.

    Returns
    -------
    OptimizeResult
        That of :func:`minimize_cbo`.

    Examples
    --------
    >>> from scipy.optimize import minimize, rosen
    >>> res = minimize(rosen, [4.0, -4.0], method=cbo_method, bounds=[(-5, 5)] * 2,
    ...                options={"random_state": 0})
    >>> bool(res.fun < 1e-8)
    True
    """
    options.setdefault("vectorized", False)
    if callable(jac):
        options["jac"] = (lambda x: jac(x, *args)) if args else jac
    return minimize_cbo(
        fun,
        bounds,
        x0,
        args=args,
        constraints=constraints,
        callback=callback,
        **options,
    )
