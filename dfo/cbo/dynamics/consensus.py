"""The consensus point, the one quantity through which particles interact.

    c = sum_i w_i X_i,   w_i = exp(-alpha f_i) / sum_j exp(-alpha f_j)

By the Laplace principle c approaches the best particle as alpha grows (Pinnau, Totzeck,
Tse, Martin, arXiv:1604.05648, section 2).
"""

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dfo._measure_consensus import gibbs_weights

Array = NDArray[np.float64]

# alpha = exp(m) / mean(f - min f) is sought for m between these: beyond them the
# weights are those of alpha = 0 or of the best particle, to double precision.
LOG_BRACKET = (-10.0, 60.0)
HALVINGS = 40
ESS_ACCURACY = 1e-3


@dataclasses.dataclass(frozen=True, slots=True)
class ConsensusInfo:
    """What is known beside the consensus point.

    Parameters
    ----------
    weights : ndarray of shape (N,)
        Weights of the particles, summing to one.
    ess : float
        Effective sample size ``1 / sum w_i^2``.
    free_energy : float
        ``-log(sum exp(-alpha f_i)) / alpha``.
    weighted_value : float
        ``sum w_i f_i``.
    entropy : float
        ``-sum w_i log w_i``.
    index_best : int
        Particle of smallest value, -1 if there is none.
    finite : bool
        False if no particle has a usable value; c is then the plain mean.
    """

    weights: Array
    ess: float
    free_energy: float
    weighted_value: float
    entropy: float
    index_best: int
    finite: bool


def consensus_point(
    X: ArrayLike, f: ArrayLike, alpha: float
) -> tuple[Array, ConsensusInfo]:
    """Return the weighted mean of the particles.

    Parameters
    ----------
    X : array-like of shape (N, d)
        Particles.
    f : array-like of shape (N,)
        Their values. NaN and +inf weigh nothing, -inf outweighs all others.
    alpha : float
        Inverse temperature, from 0 (plain mean) to inf (mean of the best).

    Returns
    -------
    c : ndarray of shape (d,)
        Consensus point.
    info : ConsensusInfo
        Weights and what follows from them.

    Raises
    ------
    ValueError
        If alpha is negative or NaN, or the shapes do not fit.

    Examples
    --------
    >>> c, info = consensus_point([[0.0], [1.0], [4.0]], [1.0, 1.0, 9.0], np.inf)
    >>> c.tolist(), info.ess
    ([0.5], 2.0)
    """
    X, f = _population(X, f)
    if not alpha >= 0:
        raise ValueError(f"alpha={alpha!r} must be a number >= 0, or inf.")
    weights = gibbs_weights(f, float(alpha))
    return _describe(X, f, weights, float(alpha))


def weighted_consensus(
    X: ArrayLike, f: ArrayLike, weights: Array
) -> tuple[Array, ConsensusInfo]:
    """Return the mean of the particles for given weights.

    Parameters
    ----------
    X : array-like of shape (N, d)
        Particles.
    f : array-like of shape (N,)
        Their values.
    weights : ndarray of shape (N,)
        Nonnegative weights, summing to one, or all zero.

    Returns
    -------
    c : ndarray of shape (d,)
    info : ConsensusInfo
        With a free energy of NaN.
    """
    X, f = _population(X, f)
    return _describe(X, f, weights, math.nan)


def rank_weights(f: ArrayLike, mu: float) -> Array:
    """Return weights ``max(0, log(mu + 1/2) - log rank_i)`` that see only the order.

    Parameters
    ----------
    f : array-like of shape (N,)
        Values; NaN ranks last with +inf, and weighs nothing.
    mu : float
        Number of particles with a weight, as in evolution strategies.

    Returns
    -------
    ndarray of shape (N,)
        They sum to one; all zero when no value is below +inf.

    Examples
    --------
    >>> rank_weights([3.0, 1.0, 2.0], 2.0).round(3).tolist()
    [0.0, 0.804, 0.196]
    """
    f = np.asarray(f, dtype=np.float64)
    key = np.where(f < math.inf, f, math.inf)
    ranks = np.empty(len(f))
    ranks[np.argsort(key, kind="stable")] = np.arange(1, len(f) + 1)
    weights = np.maximum(0.0, math.log(mu + 0.5) - np.log(ranks))
    weights[key == math.inf] = 0.0
    total = weights.sum()
    return weights / total if total > 0 else weights


def adaptive_alpha(f: ArrayLike, ess: float) -> float:
    """Return the alpha whose weights have a given effective sample size.

    Parameters
    ----------
    f : array-like of shape (N,)
        Values; those that are not finite are left out.
    ess : float
        Wanted ``(sum w)^2 / sum w^2``, above 1.

    Returns
    -------
    float
        0 if all finite values agree; the end of the bracket if values repeat at the
        minimum at least `ess` times or spread over hundreds of decades; inf where
        alpha itself would overflow.

    Raises
    ------
    ValueError
        If `ess` is not above 1.

    Examples
    --------
    >>> f = np.arange(20.0)
    >>> _, info = consensus_point(f[:, None], f, adaptive_alpha(f, 5.0))
    >>> abs(info.ess - 5.0) < 1e-3
    True
    """
    if not ess > 1:
        raise ValueError(f"ess={ess!r} must be > 1.")
    f = np.asarray(f, dtype=np.float64)
    finite = f[np.isfinite(f)]
    if not len(finite):
        return 0.0
    with np.errstate(over="ignore"):
        gaps = finite - finite.min()
        mean = float(np.mean(gaps[np.isfinite(gaps)]))
        relative = gaps / mean if mean > 0 else gaps
    if mean == 0:
        return 0.0
    low, high = LOG_BRACKET
    for _ in range(HALVINGS):
        m = 0.5 * (low + high)
        w = np.exp(-math.exp(m) * relative)
        size = float(w.sum() ** 2 / (w @ w))
        if abs(size - ess) < ESS_ACCURACY:
            break
        low, high = (m, high) if size > ess else (low, m)
    with np.errstate(over="ignore"):
        return float(np.exp(m) / np.float64(mean))


@dataclasses.dataclass(frozen=True, slots=True)
class AlphaSchedule:
    """Inverse temperature that grows geometrically from step to step.

    Parameters
    ----------
    start : float
        Value at the first step.
    factor : float, default=1.05
        Growth a step, at least 1.
    maximum : float, default=1e15
        Value that is not exceeded.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> AlphaSchedule(10.0, factor=2.0, maximum=35.0).at(2)
    35.0
    """

    start: float
    factor: float = 1.05
    maximum: float = 1e15

    def __post_init__(self) -> None:
        if not (self.start > 0 and self.factor >= 1 and self.maximum >= self.start):
            raise ValueError(
                f"alpha={self!r} needs start > 0, factor >= 1 and maximum >= start."
            )

    def at(self, step: int) -> float:
        """Return alpha at a step, counted from 0."""
        grown = math.log(self.start) + step * math.log(self.factor)
        return self.maximum if grown >= math.log(self.maximum) else math.exp(grown)


def _population(X: Any, f: Any) -> tuple[Array, Array]:
    X = np.asarray(X, dtype=np.float64)
    f = np.asarray(f, dtype=np.float64)
    if X.ndim != 2 or f.shape != (len(X),):
        raise ValueError(
            f"X of shape {X.shape} does not fit f of shape {f.shape}; pass X (N, d) "
            "and f (N,)."
        )
    return X, f


def _describe(
    X: Array, f: Array, weights: Array, alpha: float
) -> tuple[Array, ConsensusInfo]:
    heavy = weights > 0
    finite = bool(heavy.any())
    if not finite:
        nothing = ConsensusInfo(weights, 0.0, math.nan, math.nan, 0.0, -1, False)
        return X.mean(axis=0), nothing
    w, values = weights[heavy], f[heavy]
    low = float(values.min())
    if alpha > 0 and math.isfinite(low):
        free_energy = low + math.log(float(w.max())) / alpha  # log Z = -log max w
    else:
        free_energy = -math.inf if alpha == 0 else low
    info = ConsensusInfo(
        weights=weights,
        ess=float(1.0 / np.sum(w**2)),
        free_energy=free_energy,
        weighted_value=float(np.sum(w * values)),
        entropy=float(-np.sum(w * np.log(w))),
        index_best=int(np.argmin(np.where(f < math.inf, f, math.inf))),
        finite=True,
    )
    return w @ X[heavy], info
