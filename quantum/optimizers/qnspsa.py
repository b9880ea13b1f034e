"""Quantum natural SPSA: steps in the metric of the states, estimated at random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import sqrtm
from scipy.optimize import OptimizeResult

from farkas.base import check_number
from farkas.parallel import RandomSource, seed_sequence
from farkas.status import Status
from quantum.optimizers.driver import Run, Stop, check_positive
from quantum.optimizers.spsa import ALPHA, GAMMA, calibrated, perturbed_slope

Array = NDArray[np.float64]


def qnspsa(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: Sequence[Any] = (),
    *,
    fidelity: Callable[[Array, Array], float],
    maxiter: int = 100,
    c: float = 0.2,
    a: float | None = None,
    regularization: float = 1e-3,
    blocking: bool = True,
    tol: float = 0.0,
    random_state: RandomSource = None,
    maxfev: int | None = None,
    max_time: float | None = None,
    callback: Callable[..., Any] | None = None,
    disp: bool | int = False,
    certify: bool = False,
) -> OptimizeResult:
    """Minimise by SPSA, preconditioned with an estimate of the Fubini-Study metric.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)``; may be noisy.
    x0 : array-like of shape (P,)
        Start; it is left unchanged.
    args : sequence, default=()
        Further arguments of `fun`.
    fidelity : callable
        ``fidelity(x, y) = |<psi(x)|psi(y)>|^2``, averaged over samples. Four
        evaluations an iteration, which count in ``nfev``.
    maxiter : int, default=100
        Iterations.
    c : float, default=0.2
        Size of the perturbation.
    a : float, optional
        Gain; default: as in :func:`quantum.spsa`.
    regularization : float, default=1e-3
        Added to the diagonal of the metric.
    blocking : bool, default=True
        Refuse steps that raise the function.
    tol : float, default=0.0
        Stop when a step is shorter.
    random_state : int, RandomState, Generator, SeedSequence or None
        Source of randomness.
    maxfev, max_time, callback, disp, certify : object
        As in :func:`quantum.spsa`.

    Returns
    -------
    OptimizeResult
        ``x`` is the best point seen; ``metric`` (P, P) the last estimate.

    References
    ----------
    Gacon, Zoufal, Carleo, Woerner, "Simultaneous perturbation stochastic approximation
    of the quantum Fisher information", arXiv:2103.09232.

    Examples
    --------
    >>> import numpy as np
    >>> from quantum import qnspsa
    >>> overlap = lambda x, y: float(np.prod(np.cos((x - y) / 2) ** 2))
    >>> result = qnspsa(lambda x: np.cos(x).sum(), [1.0, 2.0], fidelity=overlap,
    ...                 random_state=0)
    >>> bool(result.fun < -1.8)
    True
    """
    check_positive("maxiter", maxiter, integer=True)
    check_positive("c", c)
    check_positive("regularization", regularization)
    check_number("tol", tol, low=0.0)
    if not callable(fidelity):
        raise TypeError(f"fidelity={fidelity!r} must be callable.")
    rng = np.random.default_rng(seed_sequence(random_state))
    run = Run(
        fun, x0, args=args, callback=callback, maxfev=maxfev, max_time=max_time,
        disp=disp, name="qnspsa",
    )  # fmt: skip
    x, status = run.x0.copy(), Status.MAX_ITER
    P, offset = len(x), maxiter / 10
    H, factor = np.eye(P), np.eye(P)
    with run:
        try:
            f = run.value(x)
            gain = calibrated(run, x, c, offset, rng) if a is None else a
            for k in range(1, maxiter + 1):
                width = c / k**GAMMA
                g = perturbed_slope(run, x, width, 1, rng)
                sample = _metric_sample(fidelity, x, width, rng)
                run.nfev += 4
                H = (k * H + sample) / (k + 1)
                # The square root of the square makes the symmetric mean positive.
                factor = np.real(sqrtm(H @ H)) + regularization * np.eye(P)
                step = gain / (offset + k) ** ALPHA * np.linalg.solve(factor, g)
                f_trial = run.value(x - step)
                if not blocking or f_trial <= f:
                    x, f = x - step, f_trial
                run.report(k, f)
                if np.abs(step).max() < tol:
                    status = Status.STALLED
                    break
        except Stop as stop:
            status = stop.status
    return run.result(status, x_last=x, certify=certify, tolerance=tol, metric=H)


def _metric_sample(
    fidelity: Callable[[Array, Array], float],
    x: Array,
    width: float,
    rng: np.random.Generator,
) -> Array:
    D1, D2 = rng.choice((-1.0, 1.0), size=(2, len(x)))
    change = (
        fidelity(x, x + width * (D1 + D2))
        - fidelity(x, x + width * D1)
        - fidelity(x, x + width * (D2 - D1))
        + fidelity(x, x - width * D1)
    )
    return -change / (8 * width**2) * (np.outer(D1, D2) + np.outer(D2, D1))
