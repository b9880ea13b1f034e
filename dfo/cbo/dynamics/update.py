"""One step of the particles towards the consensus point, for given noise.

    dX_i = -lam (X_i - c) dt + sigma D(X_i - c) dB_i

by the Euler-Maruyama scheme: drift and noise both see the old position. ``D(v)`` is
``|v|`` times the identity for isotropic noise (arXiv:2103.15130) and ``diag |v|`` for
anisotropic noise (arXiv:1909.09249).
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

NOISES = ("anisotropic", "isotropic")


def cbo_update(
    X: ArrayLike,
    c: ArrayLike,
    xi: ArrayLike,
    *,
    lam: float,
    sigma: float,
    dt: float,
    noise: str = "anisotropic",
    truncation: float | None = None,
    drift_mask: ArrayLike | None = None,
    aim: ArrayLike | None = None,
    delta: float = 0.0,
    delta_xi: ArrayLike | None = None,
    exact: bool = False,
    noise_after_drift: bool = False,
) -> Array:
    """Move every particle one step.

    Parameters
    ----------
    X : array-like of shape (N, d)
        Particles.
    c : array-like of shape (d,) or (N, d)
        Consensus point, or one for each particle.
    xi : array-like of shape (N, d)
        Standard normal numbers.
    lam : float
        Strength of the drift, >= 0.
    sigma : float
        Strength of the noise, >= 0.
    dt : float
        Time step, > 0.
    noise : {"anisotropic", "isotropic"}, default="anisotropic"
        Noise of each coordinate proportional to its own distance from c, or to the
        Euclidean distance.
    truncation : float, optional
        Largest distance that the noise sees (arXiv:2310.16610).
    drift_mask : array-like of shape (N,), optional
        Factor of each particle's drift, see :func:`heaviside`.
    aim : array-like of shape (d,) or (N, d), optional
        Point that the drift aims at, if not c.
    delta : float, default=0.0
        Strength of additional noise that does not vanish at the consensus.
    delta_xi : array-like of shape (N, d), optional
        Its standard normal numbers; needed with ``delta > 0``.
    exact : bool, default=False
        Solve the equation with frozen c exactly, stable for every `dt`; anisotropic
        only. Particles then never jump across the consensus.
    noise_after_drift : bool, default=False
        Let the noise see the position after the drift, as published code does.

    Returns
    -------
    ndarray of shape (N, d)
        The moved particles.

    Raises
    ------
    ValueError
        If a number is out of range or options contradict one another.

    Examples
    --------
    >>> cbo_update([[2.0, 1.0]], [1.0, 1.0], [[1.0, 5.0]], lam=1, sigma=1, dt=0.25)
    array([[2.25, 1.  ]])
    """
    X, xi = np.asarray(X, dtype=np.float64), np.asarray(xi, dtype=np.float64)
    if xi.shape != X.shape:
        raise ValueError(f"xi of shape {xi.shape} must have the shape {X.shape} of X.")
    for name, value, low in (("lam", lam, 0.0), ("sigma", sigma, 0.0)):
        if not value >= low:
            raise ValueError(f"{name}={value!r} must be >= 0.")
    if not dt > 0:
        raise ValueError(f"dt={dt!r} must be > 0.")
    if noise not in NOISES:
        raise ValueError(f"noise={noise!r} must be one of {NOISES}.")
    if exact and (noise != "anisotropic" or truncation is not None):
        raise ValueError(
            "exact=True needs noise='anisotropic' without truncation; other noise has "
            "no solution in closed form."
        )
    D = X - c
    if exact:
        growth = -(lam + 0.5 * sigma**2) * dt + sigma * math.sqrt(dt) * xi
        moved = c + D * np.exp(growth)
    else:
        towards = D if aim is None else X - aim
        drift = lam * dt * towards
        if drift_mask is not None:
            drift = drift * np.asarray(drift_mask, dtype=np.float64)[:, None]
        seen = D - drift if noise_after_drift else D
        moved = (
            X
            - drift
            + sigma * math.sqrt(dt) * noise_scale(seen, noise, truncation) * xi
        )
    if delta > 0:
        if delta_xi is None:
            raise ValueError(f"delta={delta!r} > 0 needs delta_xi of shape {X.shape}.")
        moved = moved + delta * math.sqrt(dt) * np.asarray(delta_xi, dtype=np.float64)
    return moved


def noise_scale(D: Array, noise: str, truncation: float | None = None) -> Array:
    """Return the distance that multiplies the noise.

    Parameters
    ----------
    D : ndarray of shape (N, d)
        Offsets from the consensus point.
    noise : {"anisotropic", "isotropic"}
        Kind of noise.
    truncation : float, optional
        Largest distance.

    Returns
    -------
    ndarray of shape (N, d) or (N, 1)
    """
    if noise == "isotropic":
        size = np.sqrt(np.sum(D * D, axis=1, keepdims=True))
    else:
        size = np.abs(D)
    return size if truncation is None else np.minimum(size, truncation)


def project_onto_ball(c: ArrayLike, center: ArrayLike, radius: float) -> Array:
    """Return the point of a ball that is nearest to c.

    Parameters
    ----------
    c, center : array-like of shape (d,)
        Point, and center of the ball.
    radius : float
        Radius of the ball.

    Returns
    -------
    ndarray of shape (d,)

    Examples
    --------
    >>> project_onto_ball([3.0, 4.0], [0.0, 0.0], 1.0)
    array([0.6, 0.8])
    """
    center = np.asarray(center, dtype=np.float64)
    offset = np.asarray(c, dtype=np.float64) - center
    length = float(np.sqrt(offset @ offset))
    return center + offset * (min(1.0, radius / length) if length > 0 else 1.0)


def heaviside(
    f: ArrayLike, consensus_value: float, epsilon: float | None = None
) -> Array:
    """Return the factor of the drift that spares particles better than the consensus.

    Parameters
    ----------
    f : array-like of shape (N,)
        Values of the particles.
    consensus_value : float
        Value at the consensus point.
    epsilon : float, optional
        Width of the smooth step ``(1 + tanh((f - f(c)) / epsilon)) / 2``; None is the
        sharp step, which is 1 at equality.

    Returns
    -------
    ndarray of shape (N,)

    Examples
    --------
    >>> heaviside([0.0, 2.0, np.nan], 1.0)
    array([0., 1., 1.])
    """
    f = np.asarray(f, dtype=np.float64)
    # A particle without a value, or a consensus without one, keeps the full drift.
    with np.errstate(over="ignore", invalid="ignore"):
        difference = f - consensus_value
        if epsilon is None:
            mask = np.where(difference < 0, 0.0, 1.0)
        else:
            mask = 0.5 * (1.0 + np.tanh(difference / epsilon))
    return np.where(np.isnan(difference), 1.0, mask)


def memory_update(
    X: ArrayLike,
    f: ArrayLike,
    Y: ArrayLike,
    g: ArrayLike,
    *,
    beta: float = math.inf,
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Let every particle remember its best position.

    Parameters
    ----------
    X, Y : array-like of shape (N, d)
        Positions, and remembered positions.
    f, g : array-like of shape (N,)
        Values at `X` and at `Y`.
    beta : float, default=inf
        Sharpness of ``Y + (X - Y) (1 + tanh(beta (g - f))) / 2``; inf replaces Y
        exactly where X is better.

    Returns
    -------
    Y : ndarray of shape (N, d)
        New remembered positions.
    g : ndarray of shape (N,)
        Their values, those of before where `stale`.
    stale : ndarray of shape (N,), bool
        Where Y lies between the two and has to be evaluated.

    Examples
    --------
    >>> memory_update([[1.0], [2.0]], [0.0, 9.0], [[5.0], [6.0]], [1.0, 1.0])[0]
    array([[1.],
           [6.]])
    """
    X, Y = np.asarray(X, dtype=np.float64), np.asarray(Y, dtype=np.float64)
    f, g = np.asarray(f, dtype=np.float64), np.asarray(g, dtype=np.float64)
    if beta == math.inf:
        better = (f < g) | (np.isnan(g) & ~np.isnan(f))
        share = better.astype(np.float64)
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            share = 0.5 * (1.0 + np.tanh(beta * (g - f)))
        share = np.where(np.isnan(share), np.where(np.isnan(g), 1.0, 0.0), share)
    moved = np.where(share[:, None] == 1.0, X, Y + (X - Y) * share[:, None])
    values = np.where(share == 1.0, f, g)
    return moved, values, (share > 0) & (share < 1)
