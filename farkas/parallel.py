"""Map a function over items in parallel, and give each item its own random seed.

Where the work runs is the user's choice, through ``joblib.parallel_config``; the answer
does not depend on it, because randomness travels with the item.
"""

from __future__ import annotations

import functools
import inspect
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar, cast

import numpy as np

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")
_Function = TypeVar("_Function", bound=Callable[..., Any])

RandomSource = (
    int | np.random.RandomState | np.random.Generator | np.random.SeedSequence | None
)


def pmap(
    fn: Callable[[_Item], _Answer],
    items: Iterable[_Item],
    *,
    n_jobs: int | None = None,
) -> list[_Answer]:
    """Apply a function to every item, in order, on as many workers as allowed.

    Parameters
    ----------
    fn : callable
        Called as ``fn(item)``; picklable when the backend uses processes.
    items : iterable
        Arguments. An item that needs randomness carries its own seed, see
        `spawn_seeds`.
    n_jobs : int, optional
        Number of workers, -1 for all cores. None means 1, unless a
        ``joblib.parallel_config`` context says otherwise.

    Returns
    -------
    list
        ``[fn(item) for item in items]``, the same for every backend and `n_jobs`.

    Examples
    --------
    >>> pmap(abs, [-1, 2, -3])
    [1, 2, 3]
    """
    from joblib import effective_n_jobs
    from sklearn.utils.parallel import Parallel, delayed

    with _hold_inner_threads(effective_n_jobs(n_jobs)):
        answers: list[_Answer] = Parallel(n_jobs=n_jobs)(
            delayed(fn)(item) for item in items
        )
    return answers


def _hold_inner_threads(n_workers: int) -> AbstractContextManager[Any]:
    """Hold BLAS and OpenMP to cores / n_workers threads, never above today's number.

    Process backends do this in their workers; it is the threading backend, whose
    workers share this process, that needs it.
    """
    if n_workers == 1:
        return nullcontext()
    from joblib import cpu_count
    from threadpoolctl import ThreadpoolController

    controller = ThreadpoolController()
    share = max(1, cpu_count() // n_workers)
    pools = controller.info()
    above = {pool["prefix"]: share for pool in pools if pool["num_threads"] > share}
    limit: AbstractContextManager[Any] = controller.limit(limits=above)
    return limit


class _SingleThread:
    """Hold BLAS to one thread while any caller is inside; for many small products.

    A product of a few hundred rows is faster on one thread: on few cores, waking the
    others can cost ten times the product. Callers in several threads share one limit,
    which the first sets and the last lifts.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._controller: Any = None  # a search of all loaded libraries
        self._with_scipy = False
        self._limit: Any = None

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside > 1:
                return
            # SciPy brings a BLAS of its own, perhaps after the last look.
            loaded = "scipy.linalg" in sys.modules
            if self._controller is None or loaded > self._with_scipy:
                from threadpoolctl import ThreadpoolController

                self._controller, self._with_scipy = ThreadpoolController(), loaded
            self._limit = self._controller.limit(limits=1, user_api="blas")

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._limit.restore_original_limits()


_single_thread = _SingleThread()

# Data up to this many numbers are small.
SMALL = 200_000


def blas_threads_for(X: Any) -> AbstractContextManager[None]:
    """Return a context in which BLAS has as many threads as products with X are worth.

    Parameters
    ----------
    X : array-like
        Data. What has no ``size`` counts as small.

    Returns
    -------
    context manager
        One thread for small data, else as many as before. May be nested.

    Examples
    --------
    >>> import numpy as np
    >>> from farkas.parallel import blas_threads_for
    >>> with blas_threads_for(np.ones((3, 2))):
    ...     np.ones((3, 2)).T @ np.ones(3)
    array([3., 3.])
    """
    size = getattr(X, "size", 0)
    large = isinstance(size, int) and size > SMALL
    return nullcontext() if large else _single_thread


def holds_blas_threads(function: _Function) -> _Function:
    """Decorate a function of data ``X``: it runs within ``blas_threads_for(X)``.

    Parameters
    ----------
    function : callable
        Has a parameter ``X``.

    Returns
    -------
    callable
        The same, otherwise.

    Examples
    --------
    >>> @holds_blas_threads
    ... def total(X):
    ...     return X.sum()
    >>> float(total(np.ones(3)))
    3.0
    """
    position = list(inspect.signature(function).parameters).index("X")

    @functools.wraps(function)
    def held(*args: Any, **kwargs: Any) -> Any:
        X = args[position] if len(args) > position else kwargs.get("X")
        with blas_threads_for(X):
            return function(*args, **kwargs)

    return cast(_Function, held)


def spawn_seeds(random_state: RandomSource, n: int) -> list[np.random.SeedSequence]:
    """Derive independent seeds, one for each item of a parallel map.

    Parameters
    ----------
    random_state : int, RandomState, Generator, SeedSequence or None
        See `seed_sequence`.
    n : int
        Number of seeds.

    Returns
    -------
    list of SeedSequence
        Pass each to ``np.random.default_rng`` inside the mapped function.

    Examples
    --------
    >>> def draw(seed):
    ...     return np.random.default_rng(seed).random()
    >>> pmap(draw, spawn_seeds(0, 3)) == pmap(draw, spawn_seeds(0, 3), n_jobs=1)
    True
    """
    return seed_sequence(random_state).spawn(n)


def seed_sequence(random_state: RandomSource) -> np.random.SeedSequence:
    """Turn any accepted `random_state` into the root of all inner generators.

    Parameters
    ----------
    random_state : int, RandomState, Generator, SeedSequence or None
        An int gives the same sequence as ``RandomState(int)``. A RandomState or a
        Generator is advanced by one draw of four integers, so that two calls with the
        same object differ. A SeedSequence is returned as it is. None takes fresh
        entropy from the operating system and leaves NumPy's global state alone.

    Returns
    -------
    SeedSequence
        Ready to ``spawn``.

    Raises
    ------
    ValueError
        If an integer lies outside [0, 2**32).
    TypeError
        If `random_state` is of any other type.

    Examples
    --------
    >>> a, b = seed_sequence(3), seed_sequence(np.random.RandomState(3))
    >>> bool((a.entropy == b.entropy).all())
    True
    """
    if random_state is None:
        return np.random.SeedSequence()
    if isinstance(random_state, np.random.SeedSequence):
        return random_state
    if isinstance(random_state, np.random.Generator):
        return np.random.SeedSequence(random_state.integers(2**31, size=4))
    if isinstance(random_state, int | np.integer):
        if not 0 <= random_state < 2**32:
            raise ValueError(
                f"random_state={random_state!r} must lie in [0, 2**32); choose a "
                "non-negative seed."
            )
        random_state = np.random.RandomState(int(random_state))
    if not isinstance(random_state, np.random.RandomState):
        raise TypeError(
            f"random_state={random_state!r} must be an int, a RandomState, a "
            "Generator, a SeedSequence or None."
        )
    # The type is given so that the draw is the same on every platform.
    return np.random.SeedSequence(random_state.randint(2**31, size=4, dtype=np.int64))
