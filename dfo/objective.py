"""The user's function behind one door: rows in, values out, every call counted."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farkas.backend import asnumpy, to_device

Array = NDArray[np.float64]


class Objective:
    """A black box to be minimised.

    Parameters
    ----------
    fun : callable
        Of one point (d,), or of rows (m, d) if `vectorized`. A function compiled by
        ``numba.njit`` that maps one row to a float is recognised.
    args : tuple, default=()
        Further arguments.
    vectorized : bool or "auto", default=False
        Whether `fun` takes rows; ``"auto"`` asks it on two points.
    workers : int, joblib.Parallel or map-like callable, default=1
        Who evaluates the points of a function of one point.
    probe : ndarray of shape (2, d), optional
        The two distinct feasible points for ``"auto"``.
    where : tuple of module and device, optional
        Namespace and device of the rows that `fun` takes; None is NumPy. Others need a
        function of rows, and ``"auto"`` takes it for one.

    Attributes
    ----------
    nfev : int
        Points evaluated so far.
    vectorized : bool
        What is assumed of `fun`.
    compiled : bool
        Whether `fun` is a Numba function that a kernel can call.

    Raises
    ------
    TypeError
        If `fun` is not callable.
    """

    def __init__(
        self,
        fun: Callable[..., Any],
        args: tuple[Any, ...] = (),
        *,
        vectorized: Any = False,
        workers: Any = 1,
        probe: Array | None = None,
        where: tuple[Any, Any] | None = None,
    ) -> None:
        if not callable(fun):
            raise TypeError(f"fun={fun!r} must be callable.")
        if not (isinstance(vectorized, bool) or vectorized == "auto"):
            raise ValueError(
                f"vectorized={vectorized!r} must be True, False or 'auto'."
            )
        if where is not None and vectorized is False:
            raise ValueError(
                "another device needs a function of rows: vectorized=True."
            )
        vectorized = vectorized if where is None else True
        self.fun, self.where = fun, where
        self.args = args if isinstance(args, tuple) else (args,)
        self.workers = workers
        self.nfev = 0
        self.compiled = vectorized is not True and not self.args and _compiled(fun)
        if vectorized == "auto":
            vectorized = not self.compiled and self._takes_rows(probe)
        self.vectorized = bool(vectorized)
        if not isinstance(workers, int | np.integer) and not callable(workers):
            raise TypeError(
                f"workers={workers!r} must be an int, a joblib.Parallel or a map-like "
                "callable."
            )

    def point(self, x: Array) -> float:
        """Evaluate one point.

        Parameters
        ----------
        x : ndarray of shape (d,)
            The point.

        Returns
        -------
        float
        """
        if self.vectorized:
            return float(self.rows(x[None])[0])
        self.nfev += 1
        return _as_float(self.fun(x.copy(), *self.args))

    def rows(self, X: Any) -> Array:
        """Evaluate all rows.

        Parameters
        ----------
        X : array of shape (m, d)
            Points; `fun` gets a copy, on its device.

        Returns
        -------
        ndarray of shape (m,)

        Raises
        ------
        ValueError
            If `fun` returns another shape.
        """
        m = X.shape[0]  # len does not exist on every device
        self.nfev += m
        if self.vectorized:
            values = np.asarray(asnumpy(self._rows_at_once(X)), dtype=np.float64)
            if values.shape != (m,):
                raise ValueError(
                    f"fun returned shape {values.shape} for X of shape {X.shape}, "
                    f"expected ({m},); pass vectorized=False for a function of "
                    "one point."
                )
            return values
        if isinstance(self.workers, int | np.integer) and self.workers == 1:
            return np.array([_as_float(self.fun(x.copy(), *self.args)) for x in X])
        return np.array([_as_float(v) for v in self._spread(list(X.copy()))])

    def _rows_at_once(self, X: Any) -> Any:
        if self.where is None:
            return self.fun(X.copy(), *self.args)
        xp, device = self.where
        return self.fun(xp.asarray(to_device(X, xp, device), copy=True), *self.args)

    def _spread(self, points: list[Array]) -> list[Any]:
        if isinstance(self.workers, int | np.integer):
            from farkas.parallel import pmap

            return pmap(_Call(self.fun, self.args), points, n_jobs=int(self.workers))
        if hasattr(self.workers, "n_jobs"):  # a joblib.Parallel
            from joblib import delayed

            return list(self.workers(delayed(self.fun)(x, *self.args) for x in points))
        return list(self.workers(_Call(self.fun, self.args), points))

    def _takes_rows(self, probe: Array | None) -> bool:
        """Ask on two points; the shape alone would be ambiguous for d = 2."""
        if probe is None:
            return False
        self.nfev += len(probe)
        try:
            answer = np.asarray(self.fun(probe.copy(), *self.args), dtype=np.float64)
        except Exception:  # a function of one point may do anything with two rows
            return False
        if answer.shape != (len(probe),):
            return False
        self.nfev += len(probe)
        try:
            single = [_as_float(self.fun(x.copy(), *self.args)) for x in probe]
        except Exception:  # a function of rows may do anything with one point
            return True
        return bool(np.allclose(answer, single, rtol=1e-9, atol=0.0, equal_nan=True))


class _Call:
    """Picklable ``fun(x, *args)``."""

    def __init__(self, fun: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.fun, self.args = fun, args

    def __call__(self, x: Array) -> Any:
        return self.fun(x, *self.args)


def _as_float(value: Any) -> float:
    number = np.asarray(value, dtype=np.float64)
    if number.size != 1:
        raise ValueError(
            f"fun returned shape {number.shape} for one point, expected a number; pass "
            "vectorized=True for a function of rows."
        )
    return float(number.reshape(()))


def _compiled(fun: Any) -> bool:
    """Tell whether Numba compiles ``fun`` as ``float64(float64[::1])``."""
    if not hasattr(fun, "py_func") or not hasattr(fun, "overloads"):
        return False
    from numba import types
    from numba.core.errors import NumbaError

    row = (types.float64[::1],)
    try:
        fun.compile(row)
        return bool(fun.overloads[row].signature.return_type == types.float64)
    except (NumbaError, KeyError, RuntimeError):  # of rows, or not to be compiled
        return False
