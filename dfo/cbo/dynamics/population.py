"""The first particles: uniform, quasi-random, or around a point."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from farkas.base import check_choice

Array = NDArray[np.float64]

INITS = ("uniform", "sobol", "lhs", "normal")


def initial_population(
    N: int,
    lower: Array,
    upper: Array,
    x0: Array | None,
    init: str,
    x0_scale: Any,
    seed: np.random.SeedSequence,
) -> Array:
    """Draw the first particles.

    Parameters
    ----------
    N : int
        Number of particles.
    lower, upper : ndarray of shape (d,)
        The box.
    x0 : ndarray of shape (d,) or (N, d), optional
        First particle or all of them.
    init : {"uniform", "sobol", "lhs", "normal"}
        Distribution.
    x0_scale : float or array-like of shape (d,), optional
        Standard deviation of ``"normal"``.
    seed : SeedSequence
        Source of randomness.

    Returns
    -------
    ndarray of shape (N, d)

    Raises
    ------
    ValueError
        If a bound is missing and there is no `x0`, or `init` is unknown.
    """
    check_choice("init", init, INITS)
    if x0 is not None and x0.ndim == 2:
        return x0.copy()
    d, rng = len(lower), np.random.default_rng(seed)
    free = ~(np.isfinite(lower) & np.isfinite(upper))
    if (free.any() or init == "normal") and x0 is None:
        raise ValueError(
            "a variable without finite bounds, or init='normal', needs a starting "
            "point x0."
        )
    U = _unit_cube(N, d, init, rng)
    with np.errstate(over="ignore", invalid="ignore"):
        X = lower + (upper - lower) * U
    if x0 is None:
        return X
    width = np.where(free, np.maximum(1.0, np.abs(x0)), 0.2 * (upper - lower))
    spread = width if x0_scale is None else np.broadcast_to(x0_scale, (d,))
    normal = np.clip(x0 + spread * rng.standard_normal((N, d)), lower, upper)
    X = np.where(free | (init == "normal"), normal, X)
    if init != "normal":
        X[0] = x0
    return X


def _unit_cube(N: int, d: int, init: str, rng: np.random.Generator) -> Array:
    if init == "sobol":
        from scipy.stats import qmc

        power = int(np.ceil(np.log2(N)))
        return qmc.Sobol(d, rng=rng).random_base2(power)[:N]
    if init == "lhs":
        from scipy.stats import qmc

        return qmc.LatinHypercube(d, rng=rng).random(N)
    return rng.random((N, d))
