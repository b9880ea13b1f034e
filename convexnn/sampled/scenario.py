"""How many random patterns or units are enough: bounds of the scenario approach.

The dual of the convex program has one variable for each of n samples, and one
constraint for each random gate (for the sampled convex program: each random unit). If N
gates are drawn independently, one more would lower the optimum with a probability of
more than psi only with a probability of at most

    sum_{k<n} C(N, k) psi^k (1 - psi)^(N - k)

over the draw (Campi and Garatti, 2008, theorem 1: the bound is sharp).
"""

import math

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom

from farkas.base import check_choice, check_number

# Largest number of draws that is considered: beyond it, counts are no longer exact.
MAX_DRAWS = 2**52


def pattern_bound(n: int, psi: float, xi: float, *, form: str = "binomial") -> int:
    """Return how many gates to draw, so that one more hardly ever helps.

    With confidence ``1 - xi``, the probability that one more random gate lowers the
    optimum is then at most `psi`.

    Parameters
    ----------
    n : int
        Number of samples, the variables of the dual; times the outputs if several
        share their gates.
    psi : float
        Probability in (0, 1).
    xi : float
        One minus the confidence, in (0, 1).
    form : {"binomial", "paper"}, default="binomial"
        ``"binomial"`` is exact. ``"paper"`` is the closed form ``min((n + 1) / (psi xi)
        - 1, 2 (n + 1 - log xi) / psi)``, sufficient and larger.

    Returns
    -------
    int
        Number of independent draws, fixed in advance. Patterns that coincide count as
        often as they are drawn.

    Raises
    ------
    TypeError
        If a number has the wrong type.
    ValueError
        If an argument is out of range, or more than 2^52 draws would be needed.

    Notes
    -----
    Nothing is promised for patterns that are chosen with the data in view, such as
    refined ones or those of a trained network; for these use
    :func:`fresh_gate_test`.

    References
    ----------
    Campi, Garatti, "The exact feasibility of randomized solutions of uncertain convex
    programs", SIAM J. Optim. 19 (2008). Bai, Gautam, Sojoudi, arXiv:2201.01965,
    theorem 2.

    Examples
    --------
    >>> from convexnn import pattern_bound
    >>> pattern_bound(50, 0.1, 0.05), pattern_bound(50, 0.1, 0.05, form="paper")
    (615, 1080)
    """
    check_number("n", n, low=1, integer=True)
    check_number("psi", psi, low=0, high=1, inclusive="neither")
    check_number("xi", xi, low=0, high=1, inclusive="neither")
    check_choice("form", form, ("binomial", "paper"))
    if form == "paper":
        draws = min((n + 1) / (psi * xi) - 1, 2 / psi * (n + 1 - math.log(xi)))
        if draws > MAX_DRAWS:
            raise ValueError(f"psi={psi!r} needs more than 2^52 draws; raise it.")
        return math.ceil(draws)

    def enough(draws: int) -> bool:
        return bool(binom.cdf(n - 1, draws, psi) <= xi)

    low, high = n - 1, n  # with fewer than n draws the sum is one
    while not enough(high):
        low, high = high, 2 * high
        if high > MAX_DRAWS:
            raise ValueError(f"psi={psi!r} needs more than 2^52 draws; raise it.")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def scenario_violation(n: int, P: int, xi: float) -> float:
    """Return the probability psi that :func:`pattern_bound` allows after P draws.

    Parameters
    ----------
    n : int
        Number of samples; times the outputs if several share their gates.
    P : int
        Number of independent draws of gates, fixed in advance.
    xi : float
        One minus the confidence, in (0, 1).

    Returns
    -------
    float
        With confidence ``1 - xi``, one more gate lowers the optimum with at most this
        probability. 1 if there are fewer draws than samples: then nothing is known.

    Raises
    ------
    TypeError
        If a number has the wrong type.
    ValueError
        If an argument is out of range.

    References
    ----------
    Campi, Garatti, "The exact feasibility of randomized solutions of uncertain convex
    programs", SIAM J. Optim. 19 (2008).

    Examples
    --------
    >>> from convexnn import scenario_violation
    >>> round(scenario_violation(50, 500, 0.05), 8)
    0.12267929
    """
    check_number("n", n, low=1, integer=True)
    check_number("P", P, low=1, integer=True)
    check_number("xi", xi, low=0, high=1, inclusive="neither")
    if P < n:
        return 1.0
    # The logarithm is nearly linear where the sum itself is flat.
    tail = math.log(xi)

    def excess(psi: float) -> float:
        return max(float(binom.logcdf(n - 1, P, psi)), 2.0 * tail - 1.0) - tail

    almost_one = 1.0 - float(np.finfo(np.float64).epsneg)
    if excess(almost_one) > 0:
        return 1.0
    tiny = float(np.finfo(np.float64).tiny)
    psi = float(brentq(excess, tiny, almost_one, xtol=1e-300, rtol=1e-14))
    while psi < 1.0 and binom.cdf(n - 1, P, psi) > xi:
        psi *= 1.0 + 1e-13  # the root is rounded up
    return min(psi, 1.0)
