"""What all optimizers share: counting, the best point, history, and how a run ends."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult

import farkas
from farkas.history import Recorder
from farkas.result import make_result
from farkas.status import Status

Array = NDArray[np.float64]


class Stop(Exception):  # noqa: N818
    """Leaves an optimizer from inside the user's function; carries the status."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.message)
        self.status = status


class Run:
    """One run of an optimizer: evaluates, remembers the best point, records.

    Use it as a context manager: an exception from the user's function leaves with the
    attribute ``partial_result``, the best point and the history so far.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)``; returns the value, or value and gradient with ``jac=True``.
    x0 : array-like of shape (P,)
        Start; it is copied.
    args : tuple
        Further arguments.
    jac : callable, bool or None
        Gradient, if known.
    callback : callable or None
        SciPy's protocol.
    maxfev : int or None
        Largest number of function evaluations.
    max_time : float or None
        Seconds.
    disp : bool or int
        Print the history.
    name : str
        Of the optimizer, for the history.
    workers : callable or None
        Map-like, ``workers(f, points)``; evaluates independent points at once.
    """

    def __init__(
        self,
        fun: Callable[..., Any],
        x0: ArrayLike,
        *,
        args: Sequence[Any] = (),
        jac: Any = None,
        callback: Callable[..., Any] | None = None,
        maxfev: int | None = None,
        max_time: float | None = None,
        disp: bool | int = False,
        name: str = "",
        workers: Callable[..., Any] | None = None,
    ) -> None:
        self.workers = workers
        if not callable(fun):
            raise TypeError(f"fun={fun!r} must be callable.")
        if not (jac is None or isinstance(jac, bool) or callable(jac)):
            raise TypeError(f"jac={jac!r} must be callable, True or None.")
        self.x0 = np.array(x0, dtype=np.float64)
        if self.x0.ndim != 1 or not np.isfinite(self.x0).all():
            raise ValueError("x0 must be a finite vector.")
        self.fun, self.args = fun, tuple(args)
        self.jac = jac if jac else None
        self.callback, self.maxfev, self.max_time = callback, maxfev, max_time
        self.nfev = self.njev = self.nit = 0
        self.x, self.f = self.x0.copy(), math.inf
        self.gradient: Array | None = None
        self.recorder = Recorder(columns=("nfev",), verbose=int(disp), name=name)

    @property
    def has_gradient(self) -> bool:
        """Whether the gradient is known."""
        return self.jac is not None

    def value(self, x: Array) -> float:
        """Evaluate the function and remember the point if it is the best.

        Raises
        ------
        Stop
            If the limit on evaluations is reached.
        """
        self._spend()
        answer = self.fun(x.copy(), *self.args)
        if self.jac is True:
            f, gradient = answer
            return self._remember(x, float(f), np.asarray(gradient, dtype=float))
        return self._remember(x, float(answer), None)

    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        """Evaluate function and gradient."""
        if self.jac is True:
            self._spend()
            f, gradient = self.fun(x.copy(), *self.args)
            gradient = np.asarray(gradient, dtype=float)
        else:
            if self.jac is None:
                raise TypeError("this method needs jac.")
            self._spend()
            f = self.fun(x.copy(), *self.args)
            gradient = np.asarray(self.jac(x.copy(), *self.args), dtype=float)
        self.njev += 1
        if gradient.shape != self.x0.shape:
            raise ValueError(
                f"jac returned the shape {gradient.shape}, expected {self.x0.shape}."
            )
        return self._remember(x, float(f), gradient), gradient

    def shift_gradient(self, x: Array) -> Array:
        """``[f(x + pi/2 e_k) - f(x - pi/2 e_k)] / 2`` for every k."""
        shifts = math.pi / 2 * np.eye(len(x))
        points = np.concatenate([x + shifts, x - shifts])
        if self.workers is None:
            values = np.array([self.value(point) for point in points])
        else:
            for _ in points:
                self._spend()
            found = self.workers(self.plain, list(points))
            values = np.array([float(f) for f in found])
            best = int(np.nanargmin(values))
            self._remember(points[best], float(values[best]), None)
        return 0.5 * (values[: len(x)] - values[len(x) :])

    def plain(self, x: Array) -> float:
        """Evaluate the function alone, without counting."""
        answer = self.fun(x, *self.args)
        return float(answer[0] if self.jac is True else answer)

    def _spend(self) -> None:
        if self.maxfev is not None and self.nfev >= self.maxfev:
            raise Stop(Status.MAX_EVAL)
        self.nfev += 1

    def _remember(self, x: Array, f: float, gradient: Array | None) -> float:
        if f < self.f:
            self.x, self.f, self.gradient = x.copy(), f, gradient
        return f

    def report(self, nit: int, f: float, gradient_norm: float = math.nan) -> None:
        """End an iteration: record it and call back.

        Raises
        ------
        Stop
            If the callback, the clock or a non-finite value asks for it.
        """
        self.nit = nit
        self.recorder.record(
            nit, objective=f, certificate=gradient_norm, nfev=float(self.nfev)
        )
        if not math.isfinite(f):
            raise Stop(Status.NUMERICAL)
        if self.callback is not None:
            intermediate = OptimizeResult(
                x=self.x.copy(), fun=self.f, nit=nit, nfev=self.nfev,
                certificate=gradient_norm, state={"x": self.x.copy(), "nit": nit},
            )  # fmt: skip
            try:
                self.callback(intermediate_result=intermediate)
            except StopIteration:
                raise Stop(Status.CALLBACK) from None
        if self.max_time is not None and self.recorder.elapsed >= self.max_time:
            raise Stop(Status.MAX_TIME)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None and not isinstance(error, Stop):
            error.partial_result = self.result(  # type: ignore[attr-defined]
                Status.NUMERICAL, message=f"Stopped by {type(error).__name__}: {error}"
            )

    def result(
        self,
        status: Status,
        *,
        x_last: Array | None = None,
        message: str | None = None,
        certify: bool = False,
        tolerance: float = 0.0,
        **extra: Any,
    ) -> OptimizeResult:
        """Collect the best point and the history.

        Parameters
        ----------
        status : Status
            Why the run ended.
        x_last : ndarray, optional
            Last iterate; default the best point.
        message : str, optional
            Replaces the sentence of the status.
        certify : bool, default=False
            Whether to mint a certificate of the best point.
        tolerance : float, default=0.0
            Largest gradient entry at which it is satisfied.
        **extra : object
            Further fields.

        Returns
        -------
        OptimizeResult
        """
        certificate = None
        if certify and math.isfinite(self.f):
            certificate = self.certificate(tolerance)
        return make_result(
            self.x.copy(), fun=self.f, status=status, nit=self.nit, nfev=self.nfev,
            njev=self.njev, certificate=certificate, history=self.recorder.to_dict(),
            elapsed=self.recorder.elapsed, message=message, jac=self.gradient,
            x_last=self.x.copy() if x_last is None else x_last.copy(),
            state={"x": self.x.copy(), "nit": self.nit}, **extra,
        )  # fmt: skip

    def certificate(self, tolerance: float) -> Any:
        """Mint what is known about the best point: value, and gradient if known."""
        fun, args = self.fun, self.args
        if self.jac is True:
            data = (
                lambda x: float(fun(x, *args)[0]),
                lambda x: np.asarray(fun(x, *args)[1], dtype=float),
            )
            key = "quantum.stationary/1"
        elif self.jac is not None:
            jac = self.jac
            data = (lambda x: float(fun(x, *args)), lambda x: jac(x, *args))
            key = "quantum.stationary/1"
        else:
            return farkas.certify(
                "quantum.value/1", (lambda x: float(fun(x, *args)),), {"x": self.x},
                tolerance=tolerance,
            )  # fmt: skip
        return farkas.certify(key, data, {"x": self.x}, tolerance=tolerance)


def schedule(name: str, value: Any, stages: int | None) -> list[Any]:
    """Return one value for each stage; a scalar is repeated.

    Raises
    ------
    ValueError
        If a list has another length than the schedule.
    """
    if isinstance(value, list | tuple):
        if stages is not None and len(value) != stages:
            raise ValueError(
                f"{name}={value!r} has {len(value)} stages, expected {stages}; all "
                "schedules must be equally long."
            )
        if not value:
            raise ValueError(f"{name}={value!r} must not be empty.")
        return list(value)
    return [value] * (stages or 1)


def check_positive(name: str, value: Any, *, integer: bool = False) -> None:
    """Raise ValueError unless ``value`` is a positive number."""
    kind: Any = numbers.Integral if integer else numbers.Real
    if isinstance(value, bool) or not isinstance(value, kind) or not value > 0:
        noun = "integer" if integer else "number"
        raise ValueError(f"{name}={value!r} must be a positive {noun}.")
