"""One angle at a time, each to its exact minimum (Rotosolve, Nakanishi-Fujii-Todo).

As a function of one angle the outputs of a circuit are a short trigonometric series.
A few evaluations give its coefficients for all samples at once, and the true loss, of
any kind, is minimised along the angle. Exact evaluations make the loss monotone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult, minimize_scalar

from farkas.base import check_number
from farkas.parallel import RandomSource, seed_sequence
from farkas.status import Status
from quantum.optimizers.driver import Run, Stop, check_positive

Array = NDArray[np.float64]

_GRID = 32  # points a period of the lowest frequency, before the minimum is refined
_REFINED = 1e-9


def sequential(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: Sequence[Any] = (),
    *,
    inner: Callable[[Array], Array] | None = None,
    frequencies: Sequence[Sequence[float]] | None = None,
    maxiter: int = 100,
    tol: float = 1e-6,
    random_state: RandomSource = None,
    maxfev: int | None = None,
    max_time: float | None = None,
    callback: Callable[..., Any] | None = None,
    disp: bool | int = False,
    certify: bool = True,
) -> OptimizeResult:
    """Minimise over one angle after another, in random order.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)``, a trigonometric series in each angle. With `inner` the loss
        is ``fun(inner(x), *args)`` and only ``inner`` need be such a series.
    x0 : array-like of shape (P,)
        Start; it is left unchanged.
    args : sequence, default=()
        Further arguments of `fun`.
    inner : callable, optional
        ``inner(x)`` returns an array of any shape, for example the outputs of a circuit
        for all samples.
    frequencies : sequence of sequence of float, optional
        Positive frequencies in each angle; default ``(1,)``, that of a rotation. R of
        them take 2 R evaluations a step, and one to confirm it.
    maxiter : int, default=100
        Sweeps over all angles.
    tol : float, default=1e-6
        Stop when a sweep lowers the loss by less.
    random_state : int, RandomState, Generator, SeedSequence or None
        Order of the angles.
    maxfev, max_time, callback, disp, certify : object
        As in :func:`quantum.aqgd`.

    Returns
    -------
    OptimizeResult
        ``x`` is the best point seen, here the last.

    Raises
    ------
    ValueError
        If the frequencies do not fit.

    References
    ----------
    Nakanishi, Fujii, Todo, arXiv:1903.12166; Ostaszewski, Grant, Benedetti,
    arXiv:1905.09692.

    Examples
    --------
    >>> import numpy as np
    >>> from quantum import sequential
    >>> result = sequential(lambda x: np.cos(x[0]) * np.cos(x[1]), [1.0, 2.0])
    >>> round(result.fun, 6)
    -1.0
    """
    check_positive("maxiter", maxiter, integer=True)
    check_number("tol", tol, low=0.0)

    def whole(x: Array) -> float:
        return float(fun(x if inner is None else inner(x), *args))

    run = Run(
        whole, x0, callback=callback, maxfev=maxfev, max_time=max_time, disp=disp,
        name="sequential",
    )  # fmt: skip
    series = _series(frequencies, len(run.x0))
    rng = np.random.default_rng(seed_sequence(random_state))
    state = _State(run, fun, tuple(args), inner)
    status = Status.MAX_ITER
    with run:
        try:
            state.start(run.x0)
            for k in range(1, maxiter + 1):
                before = state.f
                for j in rng.permutation(len(state.x)):
                    state.improve(int(j), series[int(j)])
                run.report(k, state.f)
                if before - state.f < tol:
                    status = Status.STALLED
                    break
        except Stop as stop:
            status = stop.status
    return run.result(
        status,
        x_last=state.x,
        message="A sweep over all angles lowered the loss by less than tol."
        if status is Status.STALLED
        else None,
        certify=certify,
        tolerance=tol,
    )


def _series(frequencies: Any, P: int) -> list[Array]:
    if frequencies is None:
        return [np.ones(1)] * P
    if len(frequencies) != P:
        raise ValueError(
            f"frequencies holds {len(frequencies)} lists, expected one for each of "
            f"{P} angles."
        )
    series = [np.unique(np.asarray(f, dtype=float)) for f in frequencies]
    if any(f.ndim != 1 or not len(f) or not (f > 0).all() for f in series):
        raise ValueError("frequencies must be positive and not empty.")
    return series


class _State:
    """Current point with its inner outputs."""

    def __init__(self, run: Run, fun: Any, args: Any, inner: Any) -> None:
        self.run, self.fun, self.args, self.inner = run, fun, args, inner
        self.x, self.f = run.x0.copy(), math.inf
        self.P: Array = np.zeros(0)

    def loss(self, P: Array) -> float:
        return float(self.fun(P, *self.args)) if self.inner is not None else float(P)

    def outputs(self, x: Array) -> Array:
        run = self.run
        run._spend()
        value = self.fun(x, *self.args) if self.inner is None else self.inner(x)
        P = np.asarray(value, dtype=float)
        run._remember(x, self.loss(P), None)
        return P

    def start(self, x: Array) -> None:
        self.P = self.outputs(x)
        self.f = self.loss(self.P)

    def improve(self, j: int, frequencies: Array) -> None:
        """Move angle j to the minimum of the loss along it, if that is lower."""
        basis, period = _design(frequencies)
        R = len(frequencies)
        shifts = period * np.arange(2 * R + 1) / (2 * R + 1)
        values = [self.P]
        for shift in shifts[1:]:
            moved = self.x.copy()
            moved[j] += shift
            values.append(self.outputs(moved))
        matrix = np.array([basis(t) for t in shifts])
        flat = np.array(values).reshape(2 * R + 1, -1)
        coefficients = np.linalg.solve(matrix, flat)

        def along(t: float) -> float:
            return self.loss((basis(t) @ coefficients).reshape(self.P.shape))

        if self.inner is None and R == 1:  # A + B cos t + C sin t, in closed form
            _, B, C = coefficients[:, 0]
            best = math.atan2(-C, -B) / float(frequencies[0])
        else:
            best = _minimum(along, period)
        trial = self.x.copy()
        trial[j] += best
        P = self.outputs(trial)
        f = self.loss(P)
        if f < self.f:
            self.x, self.P, self.f = trial, P, f


def _design(frequencies: Array) -> tuple[Callable[[float], Array], float]:
    period = 2 * math.pi / float(frequencies.min())

    def basis(t: float) -> Array:
        angles = frequencies * t
        return np.concatenate([[1.0], np.cos(angles), np.sin(angles)])

    return basis, period


def _minimum(along: Callable[[float], float], period: float) -> float:
    grid = period * np.arange(_GRID) / _GRID
    values = [along(float(t)) for t in grid]
    centre, width = float(grid[int(np.argmin(values))]), period / _GRID
    found = minimize_scalar(
        along, bounds=(centre - width, centre + width), method="bounded",
        options={"xatol": _REFINED},
    )  # fmt: skip
    return float(found.x) if found.fun < min(values) else centre


def circuit_frequencies(table: Any, limit: int = 8) -> list[list[float]]:
    """Return the frequencies of the outputs in each weight of a gate table.

    A rotation with coefficient a has the frequency a; a controlled one a/2 and a; a
    weight that occurs several times has all sums and differences.

    Parameters
    ----------
    table : GateTable
        The circuit.
    limit : int, default=8
        Largest number of frequencies of a weight.

    Returns
    -------
    list of list of float

    Raises
    ------
    ValueError
        If a weight has more frequencies than the limit.
    """
    from quantum._measure_circuit import KINDS

    series: list[set[float]] = [{0.0} for _ in range(table.n_parameters)]
    for g in table.occurrences():
        kind, a = KINDS[table.gates[g, 0]], abs(float(table.angles[g, 0]))
        own = {0.0, a / 2, a} if kind in ("crx", "cry", "crz") else {0.0, a}
        k = int(table.gates[g, 4])
        series[k] = {
            round(abs(f + sign * e), 12)
            for f in series[k] for e in own for sign in (1, -1)
        }  # fmt: skip
        if len(series[k]) - 1 > limit:
            raise ValueError(
                f"weight {k} has more than {limit} frequencies; the sequential "
                "optimizer needs one weight a gate, choose another."
            )
    # A weight of an absent gate changes nothing; any frequency will do.
    return [sorted(f - {0.0}) or [1.0] for f in series]
