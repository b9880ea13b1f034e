"""Bounds on ``max_{|u| <= 1} |theta'(X u)_+|``: how far theta is from feasible."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult

from convexnn._measure_cells import lengths
from convexnn._measure_global import leaf_bound
from convexnn._measure_losses import EPS
from convexnn.cones import project_blocks
from convexnn.patterns import as_matrix, enumerate_patterns
from convexnn.relaxation.dnn import DouglasRachford, Level, Lift, check_rows, scaled
from convexnn.relaxation.elementary import elementary_dual
from convexnn.relaxation.joint import FIRST_CHECK, GROWTH
from convexnn.relaxation.level import Fitted, packed
from farkas.base import check_choice, check_number
from farkas.history import Recorder
from farkas.parallel import holds_blas_threads
from farkas.result import make_result
from farkas.status import Status

Array = NDArray[np.float64]

METHODS = ("dnn", "shor", "elementary", "enumerate")

# Weight of p and q, and first penalty parameter in units of the elementary bound:
# measured on random data of 8 rows and breast cancer data of 60.
WEIGHT = 4.0
RHO = 0.3


@holds_blas_threads
def global_bound(
    X: ArrayLike,
    theta: ArrayLike,
    *,
    method: str = "dnn",
    tol: float = 1e-4,
    max_iter: int = 2000,
    max_time: float | None = None,
    target: float = 0.0,
    verbose: int = 0,
) -> OptimizeResult:
    """Bound ``C(theta) = max_{|u| <= 1} |theta'(X u)_+|``, rigorously.

    The maximum is over the whole unit ball: 2^n pieces, on each of which the function
    is linear. Where ``C(theta) <= alpha``, no two-layer ReLU network of any width has
    an objective below ``-L*(-theta)``.

    Parameters
    ----------
    X : array-like of shape (n, d)
        Data, with the intercept column if there is one.
    theta : array-like of shape (n,)
        Dual point, such as the residuals ``y - prediction`` for the squared loss.
    method : {"dnn", "shor", "elementary", "enumerate"}, default="dnn"
        ``"dnn"``: doubly nonnegative relaxation with second-order cones. ``"shor"``:
        the same without products of different samples. ``"elementary"``: no
        iterations. ``"enumerate"``: all activation patterns, exact, for small data.
    tol : float, default=1e-4
        Stops when the bound falls by less than this part of itself in a sixth of the
        iterations.
    max_iter : int, default=2000
        Largest number of iterations for each sign of theta.
    max_time : float, optional
        Seconds for both signs together.
    target : float, default=0
        Stops when the bound is at most this.
    verbose : int, default=0
        0, 1 or 2.

    Returns
    -------
    OptimizeResult
        ``x = theta``; ``fun``, the bound, rounding included; ``bounds``, for theta and
        -theta each; ``lower_certificate``, a list with the arrays of each sign's proof;
        ``history``, whose objective is the bound.

    Raises
    ------
    ValueError
        If an argument has a wrong shape or value, or X has more than 2000 rows.

    Examples
    --------
    >>> import numpy as np
    >>> from convexnn import global_bound
    >>> X = np.array([[1.0, 1.0], [-1.0, 1.0], [0.0, 1.0]])
    >>> result = global_bound(X, [1.0, 1.0, -1.0])
    >>> bool(1.0 <= result.fun < 1.01)
    True
    """
    X = as_matrix(X)
    vector = np.asarray(theta, dtype=np.float64)
    if vector.shape != (len(X),):
        raise ValueError(f"theta must have shape ({len(X)},), got {vector.shape}.")
    if not np.isfinite(vector).all():
        raise ValueError("theta must not contain NaN or infinity.")
    check_choice("method", method, METHODS)
    check_number("tol", tol, low=0)
    check_number("max_iter", max_iter, low=0, integer=True)
    if max_time is not None:
        check_number("max_time", max_time, low=0)
    check_number("target", target, low=0)
    recorder = Recorder(1, ("sign",), verbose, "global_bound")
    if method == "enumerate":
        bounds, proofs = _by_enumeration(X, vector)
        recorder.record(0, objective=max(bounds), force=True)
        status, nit = Status.CONVERGED, 0
    else:
        check_rows(len(X))
        limits = (tol, max_iter, math.inf if max_time is None else max_time, target)
        bounds, proofs, status, nit = _by_relaxation(
            X, vector, method, limits, recorder
        )
    return make_result(
        vector,
        fun=max(bounds),
        status=status,
        nit=nit,
        history=recorder.to_dict(),
        elapsed=recorder.elapsed,
        bounds=np.array(bounds),
        lower_certificate=proofs,
        method=method,
    )


def _by_relaxation(
    X: Array,
    theta: Array,
    method: str,
    limits: tuple[float, int, float, float],
    recorder: Recorder,
) -> tuple[list[float], list[dict[str, Any]], Status, int]:
    tol, max_iter, max_time, target = limits
    data, unit = scaled(X)
    bounds, proofs, ends, nit = [], [], [], 0
    for half, sign in enumerate((1.0, -1.0)):
        g = sign * theta
        best = Fitted(data, g, elementary_dual(data, g))
        end = Status.CONVERGED
        if method != "elementary" and g.any() and unit * best.bound > target:
            best, end, steps = _one_sign(
                data,
                theta,
                best,
                sign=sign,
                products=method == "dnn",
                stop=(tol, max_iter, 0.5 * (1 + half) * max_time, target / unit),
                recorder=recorder,
                done=nit,
                unit=unit,
            )
            nit += steps
        proof = {
            "products": packed(best.products),
            "cone": best.cone,
            "level": best.level,
            "trace": best.trace,
        }
        proofs.append(proof)
        bounds.append(leaf_bound(X, g, proof))
        ends.append(end)
        recorder.record(nit, objective=max(bounds), sign=sign, force=True)
    return bounds, proofs, max(ends, key=abs), nit


def _one_sign(
    data: Array,
    theta: Array,
    best: Fitted,
    *,
    sign: float,
    products: bool,
    stop: tuple[float, int, float, float],
    recorder: Recorder,
    done: int,
    unit: float,
) -> tuple[Fitted, Status, int]:
    tol, max_iter, max_time, target = stop
    weight = WEIGHT / (float(np.linalg.norm(data, 2)) or 1.0)
    lift = Lift(data, sign, products=products, weight=weight)
    splitting = DouglasRachford(
        [lift], lambda *_: theta, Level(fixed=True), rho=RHO * best.bound
    )
    check, last = FIRST_CHECK, math.inf
    try:
        while splitting.nit < max_iter:
            splitting.step()
            late = recorder.elapsed > max_time
            if not math.isfinite(splitting.primal):
                return best, Status.NUMERICAL, splitting.nit
            if splitting.nit < check and not late:
                continue
            check = max(check + FIRST_CHECK, int(GROWTH * splitting.nit))
            found = Fitted(data, sign * theta, splitting.duals()[0])
            if found.bound < best.bound:
                best = found
            recorder.record(
                done + splitting.nit, objective=unit * best.bound, sign=sign
            )
            if best.bound <= target:
                return best, Status.TARGET_REACHED, splitting.nit
            if late:
                return best, Status.MAX_TIME, splitting.nit
            settled = splitting.primal + splitting.dual < max(10 * tol, 1e-9)
            if settled and last - best.bound <= tol * best.bound:
                return best, Status.CONVERGED, splitting.nit
            last = best.bound
    except KeyboardInterrupt:
        return best, Status.CALLBACK, splitting.nit
    return best, Status.MAX_ITER, splitting.nit


def _by_enumeration(X: Array, theta: Array) -> tuple[list[float], list[dict[str, Any]]]:
    """Largest projection over all cones; any multipliers give a bound."""
    patterns = enumerate_patterns(X)
    if not patterns.complete:
        raise ValueError(
            "method='enumerate' found hyperplanes too close to tell apart; "
            "use method='dnn'."
        )
    D = patterns.D.T.astype(np.float64)
    bounds: list[float] = []
    proofs: list[dict[str, Any]] = []
    for sign in (1.0, -1.0):
        gradients = (D * (sign * theta)) @ X
        projections, multipliers = project_blocks(X, D, gradients)
        slack = (len(X) + 2) * EPS * ((D * np.abs(theta) + multipliers) @ np.abs(X))
        redone = gradients + ((2.0 * D - 1.0) * multipliers) @ X
        norms = lengths(np.abs(redone) + slack, axis=1)
        bounds.append(float(norms.max()) * (1.0 + (X.shape[1] + 2) * EPS))
        proofs.append(
            {
                "patterns": patterns.D,
                "gates": patterns.gates,
                "multipliers": multipliers,
            }
        )
    return bounds, proofs
