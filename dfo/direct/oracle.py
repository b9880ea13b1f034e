"""The black box behind one door: values, failures, cache, budget and the log.

A point has failed when the objective or a constraint raises or is not a number. Its
value is then infinite. No point is paid for twice, and never more than `maxfev` are.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfo.direct.space import Space
from farkas.status import Status

Array = NDArray[np.float64]

LABELS = (
    "start",
    "search",
    "covering",
    "model",
    "simplex",
    "random",
    "poll",
    "speculative",
    "certificate",
    "restart",
)


class Stop(Exception):
    """The run ends here, for a reason of :class:`farkas.status.Status`."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.message)
        self.status = status


class Oracle:
    """Evaluates points and remembers all of them.

    Parameters
    ----------
    answer : callable
        Maps a point (n,) to ``(f, c)``: the value and the vector of constraints.
    space : Space
        For scaled coordinates.
    maxfev : int
        Budget.
    deadline : float
        Of ``time.monotonic``.
    ftarget : float
        A feasible value at which to stop.
    on_error : {"inf", "raise"}
        What an exception of `answer` does.
    workers : int, joblib.Parallel or map-like callable
        Who evaluates a block.
    rows : callable, optional
        Maps points (m, n) to a list of answers, instead of `answer` and `workers`.
    cache : bool
        Whether known points are looked up.
    """

    def __init__(
        self,
        answer: Callable[[Array], tuple[float, Array]],
        space: Space,
        *,
        maxfev: float,
        deadline: float = math.inf,
        ftarget: float = -math.inf,
        on_error: str = "inf",
        workers: Any = 1,
        rows: Callable[[Array], list[Any]] | None = None,
        cache: bool = True,
    ) -> None:
        self.answer, self.space, self.rows = answer, space, rows
        self.maxfev, self.deadline, self.ftarget = maxfev, deadline, ftarget
        self.on_error, self.workers, self.caching = on_error, workers, cache
        self.outside = False  # whether points are charged to the certificate
        self.nfev = self.nfev_certificate = self.hits = 0
        self.size = 0
        self._born = time.perf_counter()
        self._table: dict[bytes, int] = {}
        self._X = np.empty((64, space.n))
        self._W = np.empty((64, space.k))
        self._F, self._H, self._T = np.empty(64), np.empty(64), np.empty(64)
        self._label = np.empty(64, dtype=np.int8)
        self._C: Array | None = None

    X = property(lambda self: self._X[: self.size])
    W = property(lambda self: self._W[: self.size])
    F = property(lambda self: self._F[: self.size])
    H = property(lambda self: self._H[: self.size])
    T = property(lambda self: self._T[: self.size])
    labels = property(lambda self: self._label[: self.size])

    @property
    def C(self) -> Array:
        """Constraint values, shape (size, p)."""
        return np.empty((self.size, 0)) if self._C is None else self._C[: self.size]

    def known(self, x: Array) -> int:
        """Return the number of an evaluated point, -1 for a new one.

        Parameters
        ----------
        x : ndarray of shape (n,)
            The point.

        Returns
        -------
        int
        """
        return self._table.get(x.tobytes(), -1)

    def __call__(self, x: Array, label: str) -> int:
        """Evaluate a point of X.

        Parameters
        ----------
        x : ndarray of shape (n,)
            The point.
        label : str
            The step that asks, one of ``LABELS``.

        Returns
        -------
        int
            Its number in the log.

        Raises
        ------
        Stop
            If the budget or the time is spent, or the target is reached.
        """
        i = self.known(x) if self.caching else -1
        if i >= 0:
            self.hits += 1
            return i
        self._check_budget()
        i = self.record(x, *self._ask(x), label)
        self._check_target(i)
        return i

    def block(self, points: Array, label: str) -> list[int]:
        """Evaluate several points at once, as many of them as the budget allows.

        Parameters
        ----------
        points : ndarray of shape (m, n)
            Points of X.
        label : str
            As in the call.

        Returns
        -------
        list of int
            Their numbers.
        """
        if len(points) == 1 and self.rows is None:
            return [self(points[0], label)]
        known = [self.known(x) if self.caching else -1 for x in points]
        new = [k for k, i in enumerate(known) if i < 0]
        if new:
            self._check_budget()
            left = math.inf if self.outside else self.maxfev - self.nfev
            new = new[: int(min(left, len(new)))]
            answers = self._ask_all(points[new])
            for k, (f, c) in zip(new, answers, strict=True):
                known[k] = self.record(points[k], f, c, label)
        self.hits += len(points) - len(new)
        numbers = [i for i in known if i >= 0]
        for i in numbers:
            self._check_target(i)
        return numbers

    def record(self, x: Array, f: float, c: Array, label: str) -> int:
        """Add an evaluated point to the log.

        Parameters
        ----------
        x : ndarray of shape (n,)
            The point.
        f : float
            Its value.
        c : ndarray of shape (p,)
            Its constraints, violated where positive.
        label : str
            The step.

        Returns
        -------
        int
        """
        f, h = _merit(f, c)
        i = self.size
        if i == len(self._F):
            self._grow()
        if self._C is None and len(c):
            self._C = np.full((len(self._F), len(c)), np.inf)
        self._X[i], self._W[i] = x, self.space.coordinates(x)
        self._F[i], self._H[i] = f, h
        if self._C is not None:
            self._C[i] = c if len(c) else np.inf
        self._T[i] = time.perf_counter() - self._born
        self._label[i] = LABELS.index(label)
        self.size += 1
        self._table[x.tobytes()] = i
        if self.outside:
            self.nfev_certificate += 1
        else:
            self.nfev += 1
        return i

    def restore(self, saved: dict[str, Any]) -> None:
        """Take over the log of an interrupted run.

        Parameters
        ----------
        saved : dict
            ``log_X``, ``log_F``, ``log_C``, ``log_label`` and ``log_T``.
        """
        for x, f, c, label in zip(
            saved["log_X"],
            saved["log_F"],
            saved["log_C"],
            saved["log_label"],
            strict=True,
        ):
            self.record(x, float(f), c, LABELS[int(label)])
        self._T[: self.size] = saved["log_T"]
        self._born = time.perf_counter() - float(np.max(saved["log_T"], initial=0.0))
        self.nfev, self.hits = int(saved["nfev"]), int(saved["hits"])

    def history(self) -> dict[str, Array]:
        """Return the log: X, F, C, h, label and elapsed."""
        return {
            "X": self.X.copy(),
            "F": self.F.copy(),
            "C": self.C.copy(),
            "h": self.H.copy(),
            "label": np.array(LABELS)[self.labels],
            "elapsed": self.T.copy(),
        }

    def _check_budget(self) -> None:
        if self.outside:
            return
        if self.nfev >= self.maxfev:
            raise Stop(Status.MAX_EVAL)
        if self.deadline < math.inf and time.monotonic() >= self.deadline:
            raise Stop(Status.MAX_TIME)

    def _check_target(self, i: int) -> None:
        if self._F[i] <= self.ftarget and self._H[i] == 0 and not self.outside:
            raise Stop(Status.TARGET_REACHED)

    def _ask(self, x: Array) -> tuple[float, Array]:
        if self.rows is not None:
            return self._ask_all(x[None])[0]
        return _Guarded(self.answer, self.on_error)(x)

    def _ask_all(self, points: Array) -> list[tuple[float, Array]]:
        if self.rows is not None:
            return self.rows(points)
        ask = _Guarded(self.answer, self.on_error)
        if callable(self.workers) and not hasattr(self.workers, "n_jobs"):
            return list(self.workers(ask, list(points)))
        if hasattr(self.workers, "n_jobs"):  # a joblib.Parallel
            from joblib import delayed

            return list(self.workers(delayed(ask)(x) for x in points))
        if self.workers == 1 or len(points) == 1:
            return [ask(x) for x in points]
        from farkas.parallel import pmap

        return pmap(ask, list(points), n_jobs=int(self.workers))

    def _grow(self) -> None:
        for name in ("_X", "_W", "_F", "_H", "_T", "_label", "_C"):
            old = getattr(self, name)
            if old is not None:
                setattr(self, name, np.concatenate([old, np.empty_like(old)]))


class _Guarded:
    """Picklable: an answer whose exceptions are failed points."""

    def __init__(self, answer: Callable[[Array], Any], on_error: str) -> None:
        self.answer, self.on_error = answer, on_error

    def __call__(self, x: Array) -> tuple[float, Array]:
        if self.on_error == "raise":
            return self.answer(x.copy())
        try:
            return self.answer(x.copy())
        except WrongShape:
            raise
        except Exception:  # whatever a black box raises: the point has failed
            return math.inf, np.empty(0)


class WrongShape(TypeError):
    """The user's function does not return a number."""


def _merit(f: float, c: Array) -> tuple[float, float]:
    """Return value and violation; both are inf where one is not a number."""
    if math.isnan(f) or f == math.inf:
        return math.inf, math.inf
    if not len(c):
        return f, 0.0
    positive = np.maximum(c, 0.0)
    with np.errstate(over="ignore"):
        h = float(positive @ positive)
    if math.isnan(h) or np.isnan(c).any():
        return math.inf, math.inf
    if h == 0 and positive.any():
        h = float(np.finfo(float).tiny)
    return f, h
