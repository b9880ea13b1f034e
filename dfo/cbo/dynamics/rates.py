"""What theory says about the speed of the particles and the place of the consensus."""

import math

from dfo._measure_rates import decay_rate, expected_log_factor, mean_square_factor

__all__ = [
    "decay_rate",
    "expected_log_factor",
    "laplace_principle",
    "mean_square_factor",
]


def laplace_principle(
    *,
    alpha: float,
    eta: float,
    nu: float,
    q: float,
    variation: float,
    mass: float,
    mean_distance: float,
) -> float:
    """Bound the distance of the consensus point from the minimiser, given its growth.

    If ``|x - x*| <= (f(x) - f*)^nu / eta`` near the minimiser, then for every ``q > 0``

        |c - x*| <= (q + variation)^nu / eta + exp(-alpha q) / mass * mean_distance

    (Fornasier, Klock, Riedl, arXiv:2103.15130, proposition 21).

    Parameters
    ----------
    alpha : float
        Inverse temperature.
    eta, nu : float
        Constants of the growth, positive.
    q : float
        Free to choose; small enough that the growth holds up to ``q + variation``.
    variation : float
        Largest ``f - f*`` on the ball around the minimiser.
    mass : float
        Share of the particles in that ball, positive.
    mean_distance : float
        Mean distance of the particles from the minimiser.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> bound = laplace_principle(alpha=1e3, eta=1.0, nu=0.5, q=0.02,
    ...                           variation=0.01, mass=0.05, mean_distance=3.0)
    >>> round(bound, 4)
    0.1732
    """
    for name, value in (("eta", eta), ("nu", nu), ("q", q), ("mass", mass)):
        if not value > 0:
            raise ValueError(f"{name}={value!r} must be > 0.")
    for name, value in (
        ("alpha", alpha),
        ("variation", variation),
        ("mean_distance", mean_distance),
    ):
        if not value >= 0:
            raise ValueError(f"{name}={value!r} must be >= 0.")
    tail = math.exp(-alpha * q) / mass * mean_distance
    return (q + variation) ** nu / eta + tail
