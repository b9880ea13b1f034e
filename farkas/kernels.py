"""The one decorator for Numba kernels, the arrays they accept, and their warm-up.

A kernel is a free function on contiguous arrays and scalars. Everything a cached kernel
calls lives in the kernel's own file, because Numba's cache watches only that file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any, Literal, TypeVar, overload

import numba
import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

_Function = TypeVar("_Function", bound=Callable[..., Any])

_warmups: list[Callable[[], object]] = []


@overload
def kernel(function: _Function, /) -> _Function: ...
@overload
def kernel(
    *, fastmath: Collection[str] = ..., parallel: bool = ...
) -> Callable[[_Function], _Function]: ...
def kernel(
    function: Callable[..., Any] | None = None,
    /,
    *,
    fastmath: Collection[str] = (),
    parallel: bool = False,
) -> Callable[..., Any]:
    """Compile a function lazily with the options every kernel shares.

    The options are ``cache=True, nogil=True, error_model="numpy"``. Where Numba finds
    no writable place for its cache, the kernel is compiled anew in each process
    instead.

    Parameters
    ----------
    function : callable
        The function to compile; left out in the form ``@kernel(fastmath=...)``.
    fastmath : collection of str, default=()
        LLVM flags such as ``{"reassoc", "contract"}``, which let sums vectorize.
    parallel : bool, default=False
        Turn ``prange`` loops into threads. Such a kernel must not be entered by two
        threads at once.

    Returns
    -------
    callable
        The compiled function, or a decorator when `function` is left out.

    Raises
    ------
    TypeError
        If `fastmath` is a bool: True would make ``isnan`` return False.

    Examples
    --------
    >>> @kernel(fastmath={"reassoc", "contract"})
    ... def dot(x, y):
    ...     total = 0.0
    ...     for i in range(x.shape[0]):
    ...         total += x[i] * y[i]
    ...     return total
    >>> dot(prepare([1, 2]), prepare([3, 4]))
    11.0
    """
    if isinstance(fastmath, bool):
        raise TypeError(
            f"fastmath={fastmath!r} must be a set of LLVM flags; full fast math breaks "
            'isnan, choose {"reassoc", "contract"}.'
        )
    options: dict[str, Any] = {
        "nogil": True,
        "error_model": "numpy",
        "fastmath": set(fastmath),
        "parallel": parallel,
    }

    def compile_lazily(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            compiled: Callable[..., Any] = numba.njit(cache=True, **options)(function)
        except RuntimeError as error:
            # Raised for a read-only installation without a usable home folder; a bare
            # njit would make the import of the package fail there.
            if "no locator available" not in str(error):
                raise
            compiled = numba.njit(**options)(function)
        return compiled

    return compile_lazily if function is None else compile_lazily(function)


def prepare(
    a: ArrayLike, order: Literal["C", "F"] = "C", dtype: DTypeLike = np.float64
) -> NDArray[Any]:
    """Bring an array into the one form a kernel is compiled for.

    A read-only, strided, unaligned or differently typed array would make Numba compile
    the kernel once more.

    Parameters
    ----------
    a : array-like
        Array of any shape.
    order : {"C", "F"}, default="C"
        Memory order of the result.
    dtype : dtype, default=float64
        Type of the entries.

    Returns
    -------
    ndarray
        Contiguous, aligned and writable; `a` itself if it already is all of that, else
        a copy.

    Raises
    ------
    ValueError
        If `order` is neither "C" nor "F".

    Examples
    --------
    >>> prepare([[1, 2], [3, 4]], order="F").flags.f_contiguous
    True
    """
    if order not in ("C", "F"):
        raise ValueError(f'order={order!r} must be "C" or "F".')
    return np.require(a, dtype, [order, "ALIGNED", "WRITEABLE", "ENSUREARRAY"])


def on_warmup(function: Callable[[], object]) -> Callable[[], object]:
    """Register a function that calls a package's kernels once on tiny inputs.

    Parameters
    ----------
    function : callable
        Takes no argument; run by `warmup`.

    Returns
    -------
    callable
        `function` itself, so that this works as a decorator.
    """
    _warmups.append(function)
    return function


def warmup() -> dict[str, float]:
    """Run all registered functions, so that every kernel is compiled and cached.

    Returns
    -------
    dict of str to float
        Seconds by the full name of the registered function.
    """
    seconds = {}
    for function in _warmups:
        start = time.perf_counter()
        function()
        name = f"{function.__module__}.{function.__qualname__}"
        seconds[name] = time.perf_counter() - start
    return seconds
