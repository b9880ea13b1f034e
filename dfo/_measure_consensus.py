"""What a population of particles and a list of runs say, computed from their values.

Three statements of different strength: the Laplace gap holds for every sample; the
chance that one more run would win holds for runs that are alike; the rates hold for a
consensus point that does not move.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from dfo._measure_rates import decay_rate, expected_log_factor, mean_square_factor
from farkas.certificate import CertificateError, Parameter

Array = NDArray[np.float64]

CONFIDENCE = 0.95  # of the interval of the hit rate


def consensus_residuals(
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
    best: float,
    consensus_value: float,
) -> dict[str, float]:
    """Return the numbers that the arrays of a witness allow, by name.

    Parameters
    ----------
    witness : mapping
        Any of ``population`` (N, n) and ``population_values`` (N,) with ``consensus``
        (n,); ``run_values`` (R,), the best value of each run; ``variance`` (T,) and
        ``variance_star`` (T,), recorded at every step.
    parameters : mapping
        ``alpha`` with a population; ``hit_tolerance`` and ``runs_comparable`` with run
        values; ``lam``, ``sigma``, ``dt`` and ``noise`` for the rates.
    best : float
        Value at the returned point.
    consensus_value : float
        Value at ``consensus``.

    Returns
    -------
    dict of str to float

    Raises
    ------
    CertificateError
        If an array has the wrong shape.
    """
    found: dict[str, float] = {}
    if "population_values" in witness:
        found |= _population(witness, float(parameters["alpha"]), consensus_value)
    if "run_values" in witness:
        found |= _runs(witness["run_values"], parameters, best)
    if "lam" in parameters:
        found |= _rates(witness, parameters)
    return found


def gibbs_weights(values: Array, alpha: float) -> Array:
    """Return ``w_i`` proportional to ``exp(-alpha (f_i - min f))``, summing to one.

    Parameters
    ----------
    values : ndarray of shape (N,)
        Objective values. NaN and +inf get no weight, -inf all of it.
    alpha : float
        Inverse temperature, >= 0 or inf.

    Returns
    -------
    ndarray of shape (N,)
        All zero when no value is a number below +inf.

    Examples
    --------
    >>> gibbs_weights(np.array([2.0, 1.0, np.nan]), np.inf)
    array([0., 1., 0.])
    """
    usable = values < math.inf  # false for NaN
    weights = np.zeros(len(values))
    if not usable.any():
        return weights
    low = np.min(values[usable])
    if low == -math.inf or alpha == math.inf:
        weights[values == low] = 1.0
    elif alpha == 0:
        weights[usable] = 1.0
    else:
        # The difference comes first: alpha * f overflows. An infinite one weighs zero.
        with np.errstate(over="ignore"):
            weights[usable] = np.exp(-alpha * (values[usable] - low))
    return weights / np.sum(weights)


def laplace_gap(values: Array, weights: Array, alpha: float) -> tuple[float, float]:
    """Return ``sum_i w_i f_i - min f`` and its bound ``entropy(w) / alpha``.

    With Gibbs weights, ``entropy = alpha gap + log Z`` and ``Z >= 1``, so the bound
    holds for every sample.

    Parameters
    ----------
    values, weights : ndarray of shape (N,)
        Objective values and their Gibbs weights.
    alpha : float
        Inverse temperature.

    Returns
    -------
    gap, bound : float
    """
    heavy = weights > 0
    w, f = weights[heavy], values[heavy]
    low = np.min(f, initial=math.inf)
    if not math.isfinite(low):
        return math.nan, math.nan
    # Written without the difference of two entropies, so that the bound never rounds
    # below the gap.
    gap = float(np.sum(w * (f - low)))
    if alpha == math.inf:
        return gap, 0.0
    if alpha == 0:
        return gap, math.inf
    log_z = -math.log(float(np.max(w)))
    return gap, gap + max(log_z, 0.0) / alpha


def clopper_pearson(hits: int, runs: int) -> tuple[float, float]:
    """Return the exact two-sided 95 % interval of a success rate.

    Parameters
    ----------
    hits, runs : int
        Successes and trials.

    Returns
    -------
    low, high : float

    Examples
    --------
    >>> [round(end, 4) for end in clopper_pearson(0, 10)]
    [0.0, 0.3085]
    """
    tail = 0.5 * (1.0 - CONFIDENCE)
    low = 0.0 if hits == 0 else float(betaincinv(hits, runs - hits + 1, tail))
    high = 1.0 if hits == runs else float(betaincinv(hits + 1, runs - hits, 1 - tail))
    return low, high


def _population(
    witness: Mapping[str, NDArray[Any]], alpha: float, consensus_value: float
) -> dict[str, float]:
    values = np.asarray(witness["population_values"], dtype=np.float64)
    X = np.asarray(witness["population"], dtype=np.float64)
    c = np.asarray(witness["consensus"], dtype=np.float64)
    if values.ndim != 1 or X.shape != (len(values), len(c)) or not len(values):
        raise CertificateError("population, population_values and consensus disagree.")
    if not alpha >= 0:
        raise CertificateError(f"alpha={alpha!r} must be >= 0.")
    weights = gibbs_weights(values, alpha)
    gap, bound = laplace_gap(values, weights, alpha)
    offsets = X - c
    low = float(np.min(values[values < math.inf], initial=math.inf))
    square = float(np.sum(weights**2))
    return {
        "radius": float(np.max(np.abs(offsets))),
        "V": float(np.sum(offsets**2)) / (2 * len(values)),
        "ess": 1.0 / square if square > 0 else 0.0,
        "alpha": alpha,
        "laplace_gap": gap,
        "laplace_bound": bound,
        "consensus_gap": consensus_value - low,
        "population_mean_value": float(np.mean(values[np.isfinite(values)]))
        if np.isfinite(values).any()
        else math.nan,
    }


def _runs(
    run_values: NDArray[Any], parameters: Mapping[str, Parameter], best: float
) -> dict[str, float]:
    values = np.asarray(run_values, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise CertificateError("run_values must be a nonempty vector.")
    if (values < best - 1e-6 * abs(best)).any():
        raise CertificateError("a run was better than the certified point.")
    runs = len(values)
    comparable = bool(parameters["runs_comparable"])
    low = float(np.min(values[values < math.inf], initial=math.inf))
    hits = int(np.sum(values <= low + float(parameters["hit_tolerance"])))
    ends = clopper_pearson(hits, runs) if comparable else (math.nan, math.nan)
    return {
        "runs": float(runs),
        "run_best": low,
        "run_mean": float(np.mean(values)),
        "hits": float(hits),
        "hit_rate_low": ends[0],
        "hit_rate_high": ends[1],
        "improvement_probability": 1.0 / (runs + 1) if comparable else math.nan,
    }


def _rates(
    witness: Mapping[str, NDArray[Any]], parameters: Mapping[str, Parameter]
) -> dict[str, float]:
    lam, sigma, dt = (float(parameters[name]) for name in ("lam", "sigma", "dt"))
    k = 1 if parameters["noise"] == "anisotropic" else np.shape(witness["center"])[0]
    drift, noise = lam * dt, sigma * math.sqrt(dt)
    factor = mean_square_factor(drift, noise, k)
    found = {
        "mean_square_factor": factor,
        "ms_rate": -math.log(factor) / dt if factor > 0 else math.inf,
        "as_rate": -expected_log_factor(drift, noise, k) / dt,
    }
    for column in ("variance", "variance_star"):
        if column in witness:
            recorded = np.asarray(witness[column], dtype=np.float64)
            found[column.replace("variance", "decay_rate")] = decay_rate(recorded, dt)
            found[f"mean_{column}"] = float(np.mean(recorded))
    return found
