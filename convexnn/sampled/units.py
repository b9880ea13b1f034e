"""Hidden units drawn from the sphere, and the l1 program on them as validated data."""

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexnn._measure_losses import LOSSES
from convexnn.patterns import as_matrix
from farkas.base import check_choice, check_number
from farkas.kernels import prepare
from farkas.parallel import seed_sequence

Array = NDArray[np.float64]

SCP_LOSSES = ("squared", "logistic", "hinge")


def sample_units(d: int, n_units: int, *, random_state: Any = None) -> Array:
    """Draw unit vectors uniformly from the sphere; a seed gives nested sets.

    Parameters
    ----------
    d : int
        Dimension, with the intercept column if there is one.
    n_units : int
        Number N of units. The first k do not depend on N.
    random_state : int, RandomState, Generator or None, default=None
        Source of randomness.

    Returns
    -------
    ndarray of shape (d, n_units)

    Raises
    ------
    TypeError
        If a number is not an integer.
    ValueError
        If a number is below 1.

    Examples
    --------
    >>> from convexnn.sampled.units import sample_units
    >>> sample_units(3, 5, random_state=0).shape
    (3, 5)
    """
    check_number("d", d, low=1, integer=True)
    check_number("n_units", n_units, low=1, integer=True)
    rng = np.random.default_rng(seed_sequence(random_state))
    directions = rng.standard_normal((n_units, d))
    units: Array = (directions / np.linalg.norm(directions, axis=1)[:, None]).T
    return units


def unit_network(units: Array, coef: Array) -> tuple[Array, Array]:
    """Return hidden weights and output weights of least squared norm.

    A unit u of length one with coefficient c becomes ``sqrt|c| u`` with the output
    weight ``sign(c) sqrt|c|``, so that the network's objective is that of the program.

    Parameters
    ----------
    units : ndarray of shape (d, N)
        Units of length one.
    coef : ndarray of shape (N,)
        Coefficients.

    Returns
    -------
    hidden : ndarray of shape (d, m)
        For the m nonzero coefficients.
    output : ndarray of shape (m,)
        Their output weights.
    """
    active = np.flatnonzero(coef)
    roots = np.sqrt(np.abs(coef[active]))
    return units[:, active] * roots, np.sign(coef[active]) * roots


@dataclasses.dataclass(frozen=True, eq=False)
class SampledProgram:
    """``min_a L(sum_j a_j f_j, y) + alpha |a|_1`` with features of moderate size."""

    features: Array  # (N, n) rows (X u_j)_+ / scale
    y: Array  # (n,)
    alpha: float  # of the user's program, over scale
    loss: str
    scale: float  # coefficients of the user's program are a / scale


def make_features(X: Array, units: Array) -> tuple[Array, float]:
    """Return the features (N, n) divided by a scale, and the scale.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Data, with the intercept column.
    units : ndarray of shape (d, N)
        Units of length one.

    Returns
    -------
    features : ndarray of shape (N, n)
        At most about one in size.
    scale : float
        A power of two, so that scaling is exact.
    """
    _, exponent = math.frexp(float(np.abs(X).max()))
    features = prepare(units.T @ np.ldexp(X.T, -exponent))
    np.maximum(features, 0.0, out=features)
    return features, math.ldexp(1.0, exponent)


def check_program(
    X: ArrayLike, y: ArrayLike, units: Any, alpha: Any, loss: str, random_state: Any
) -> tuple[Array, Array, Array]:
    """Return X, y and units of length one, or raise ValueError."""
    X = as_matrix(X)
    check_choice("loss", loss, SCP_LOSSES)
    check_number("alpha", alpha, low=0, inclusive="neither")
    y = np.asarray(y, dtype=np.float64)
    if y.shape != (len(X),):
        raise ValueError(f"y must have shape ({len(X)},), got {y.shape}.")
    check_targets(y, loss)
    if isinstance(units, int | np.integer) and not isinstance(units, bool):
        check_number("units", units, low=1, integer=True)
        return X, y, sample_units(X.shape[1], int(units), random_state=random_state)
    return X, y, as_units(units, X.shape[1])


def check_targets(y: Array, loss: str) -> None:
    """Raise ValueError if the targets do not fit the loss, or are too large."""
    if not np.isfinite(y).all():
        raise ValueError("y must not contain NaN or infinity.")
    if LOSSES[loss].labels and not np.isin(y, (-1.0, 1.0)).all():
        raise ValueError(f"y must be -1 or +1 for loss={loss!r}.")
    with np.errstate(over="ignore"):
        at_zero = LOSSES[loss].value(np.zeros_like(y), y).sum()
    if not np.isfinite(at_zero):
        raise ValueError(f"y is too large: its loss {loss!r} overflows; rescale y.")


def as_units(units: ArrayLike, d: int) -> Array:
    """Return units of length one that fit the data, or raise ValueError."""
    array = np.asarray(units, dtype=np.float64)
    if array.ndim != 2 or len(array) != d or not array.shape[1]:
        raise ValueError(
            f"units must be their number or an array of shape ({d}, N), got "
            f"{array.shape}."
        )
    if not np.isfinite(array).all() or not array.any(axis=0).all():
        raise ValueError("units must be finite and nonzero.")
    _, exponents = np.frexp(np.abs(array).max(axis=0))
    array = np.ldexp(array, -exponents)
    unit: Array = array / np.linalg.norm(array, axis=0)
    return unit
