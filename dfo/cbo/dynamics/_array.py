"""The step in array-API code: NumPy, CuPy or any other namespace, for given noise."""

import math
from typing import Any

import numpy as np

from farkas.backend import get_namespace, to_device


def weighted_mean(xp: Any, X: Any, w: Any) -> Any:
    """Return the consensus point (d,) of rows (N, d) with weights (N,)."""
    return xp.sum(w[:, None] * X, axis=0)


def spread(xp: Any, X: Any, c: Any) -> tuple[Any, Any]:
    """Return the largest offset of each coordinate, and the sum of all squares."""
    D = X - c
    return xp.max(xp.abs(D), axis=0), xp.sum(D * D)


def moved(
    xp: Any,
    X: Any,
    c: Any,
    xi: Any,
    *,
    drift: float,
    noise: float,
    isotropic: bool,
    truncation: float = math.inf,
    exact: bool = False,
    after_drift: bool = False,
) -> Any:
    """Return the particles after a step, as the kernel does.

    Parameters
    ----------
    xp : module
        Namespace of the arrays.
    X, c, xi : array
        Particles (N, d), consensus point (d,) and normal numbers (N, d).
    drift, noise : float
        ``lam dt`` and ``sigma sqrt(dt)``.
    isotropic, exact, after_drift : bool
        As in :func:`dfo.cbo_update`.
    truncation : float, default=inf
        Largest distance that the noise sees.

    Returns
    -------
    array of shape (N, d)
    """
    D = X - c
    if exact:
        return c + D * xp.exp(noise * xi - (drift + 0.5 * noise * noise))
    if isotropic:
        size = xp.sqrt(xp.sum(D * D, axis=1, keepdims=True))
    else:
        size = xp.abs(D)
    if after_drift:
        size = abs(1.0 - drift) * size
    if truncation < math.inf:
        size = xp.minimum(size, xp.full_like(size, truncation))
    return X - drift * D + noise * size * xi


def cbo_step(
    X: Any,
    f: Any,
    xi: Any,
    *,
    alpha: float,
    lam: float,
    sigma: float,
    dt: float,
    noise: str = "anisotropic",
    truncation: float | None = None,
    device: str = "auto",
) -> tuple[Any, Any]:
    """Return the moved particles and the consensus point, on the particles' device.

    Parameters
    ----------
    X : array of shape (N, d)
        Particles, of any supported library.
    f : array of shape (N,)
        Their values, of the same library. Values that are not below +inf weigh
        nothing.
    xi : ndarray of shape (N, d)
        Standard normal numbers, drawn on the host and moved here.
    alpha : float
        Inverse temperature, finite.
    lam, sigma, dt : float
        As in :func:`dfo.cbo_update`.
    noise : {"anisotropic", "isotropic"}, default="anisotropic"
        Kind of noise.
    truncation : float, optional
        Largest distance that the noise sees.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where to compute.

    Returns
    -------
    X : array of shape (N, d)
    c : array of shape (d,)

    Raises
    ------
    ValueError
        If `noise` is unknown or alpha is not a finite number >= 0.

    Examples
    --------
    >>> X = np.array([[2.0, 1.0], [1.0, 1.0]])
    >>> moved, c = cbo_step(X, np.array([9.0, 0.0]), np.ones((2, 2)), alpha=1e9,
    ...                     lam=1.0, sigma=1.0, dt=0.25)
    >>> moved
    array([[2.25, 1.  ],
           [1.  , 1.  ]])
    """
    if noise not in ("anisotropic", "isotropic"):
        raise ValueError(f"noise={noise!r} must be 'anisotropic' or 'isotropic'.")
    if not 0 <= alpha < math.inf:
        raise ValueError(f"alpha={alpha!r} must be finite and >= 0.")
    xp, where = get_namespace(X, f, device=device)
    X, f = to_device(X, xp, where), to_device(f, xp, where)
    xi = to_device(np.ascontiguousarray(xi), xp, where)
    usable = f < math.inf  # false for NaN
    high = xp.full_like(f, math.inf)
    low = xp.min(xp.where(usable, f, high))
    gap = xp.where(usable, f - low, high)
    w = xp.exp(-alpha * gap) if alpha > 0 else xp.astype(usable, f.dtype)
    # Without any usable value all weights are zero, and the plain mean is taken.
    w = w + xp.astype(xp.sum(w) == 0, f.dtype)
    c = weighted_mean(xp, X, w / xp.sum(w))
    X = moved(
        xp, X, c, xi, drift=lam * dt, noise=sigma * math.sqrt(dt),
        isotropic=noise == "isotropic",
        truncation=math.inf if truncation is None else truncation,
    )  # fmt: skip
    return X, c
