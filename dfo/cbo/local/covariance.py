"""Local search by an evolution strategy that adapts a covariance matrix (CMA-ES).

Consensus-based optimization scouts; a valley that is narrow, curved or rugged on a
small scale is followed better by normal samples whose covariance learns its shape. One
step is a generation: sample, evaluate, recombine, adapt. References: Hansen, The CMA
Evolution Strategy, arXiv:1604.00772; on the kinship of both methods Fornasier et al.,
arXiv:2602.11677.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfo.cbo.dynamics import _kernels as k
from dfo.cbo.local import _kernels_covariance as kc
from dfo.objective import Objective

Array = NDArray[np.float64]

# Twice the usual population: measured on shifted and rotated functions at d = 2 to 10.
SIZE_FACTOR = 2
# Generations without progress before a run ends: PATIENCE + GENERATIONS d / lambda.
PATIENCE, GENERATIONS = 60, 30
# Generations whose normal numbers are drawn ahead of a kernel call.
AHEAD = 32
# A state is these arrays.
_ARRAYS = "X f mean C A path walk best words P S K".split()
_STEP = "mean C A path walk weights scale lower upper best P S K".split()


class CovarianceSearch:
    """One population around a mean, with the face that a swarm shows to a search.

    Parameters
    ----------
    x0 : ndarray of shape (d,)
        First mean.
    sigma : float
        First standard deviation, in units of the box.
    lower, upper : ndarray of shape (d,)
        A finite box.
    seed : SeedSequence
        Source of randomness.
    ftarget : float, default=-inf
        Value at which to stop.

    Attributes
    ----------
    n_particles : int
        Size of a generation.
    consensus : ndarray of shape (d,)
        The mean.

    Examples
    --------
    >>> seed, ones = np.random.SeedSequence(0), np.ones(3)
    >>> search = CovarianceSearch(2 * ones, 0.1, -5 * ones, 5 * ones, seed)
    >>> objective = Objective(lambda x: ((x - 1) ** 2).sum())
    >>> while not search.stop():
    ...     search.advance(objective, 1, 10**6)
    >>> bool(search.best_f < 1e-12)
    True
    """

    variant = None
    alpha = math.nan

    def __init__(
        self,
        x0: Array,
        sigma: float,
        lower: Array,
        upper: Array,
        seed: np.random.SeedSequence,
        ftarget: float = -math.inf,
    ) -> None:
        d = len(x0)
        self.n_particles = n = SIZE_FACTOR * (4 + int(3 * math.log(d)))
        self.lower, self.upper = lower.copy(), upper.copy()
        self.scale = upper - lower
        self.words = seed.generate_state(4, np.uint64)
        self.weights, self.P = strategy(d, n)
        self.P[kc.FTARGET] = ftarget
        self.X, self.f = np.repeat(x0[None], n, axis=0), np.full(n, math.inf)
        self.mean, self.best = x0.copy(), x0.copy()
        self.C, self.A = np.eye(d), np.eye(d)
        self.path, self.walk = np.zeros(d), np.zeros(d)
        self.S, self.K = np.zeros(5), np.zeros(4, dtype=np.int64)
        self.S[kc.SIGMA], self.S[kc.DECAY] = sigma, 1.0
        self.S[kc.BEST] = self.S[kc.REFERENCE] = math.inf
        self.K[kc.PATIENCE] = PATIENCE + GENERATIONS * d // n
        self._reason = kc.GO_ON

    @property
    def best_x(self) -> Array:
        """Best evaluated point, shape (d,)."""
        return self.best.copy()

    @property
    def best_f(self) -> float:
        """Its value; inf before the first."""
        return float(self.S[kc.BEST])

    @property
    def nit(self) -> int:
        """Generations so far."""
        return int(self.K[kc.NIT])

    @property
    def consensus(self) -> Array:
        """The mean, shape (d,)."""
        return self.mean.copy()

    @property
    def population(self) -> Array:
        """The last generation, shape (n_particles, d)."""
        return self.X.copy()

    @property
    def radius(self) -> float:
        """Largest standard deviation of a coordinate, in units of the box."""
        return float(self.S[kc.SPREAD])

    @property
    def ess(self) -> float:
        """Effective number of particles in the mean."""
        return float(self.P[kc.MU_EFF])

    @property
    def variance(self) -> float:
        """Half the mean squared distance of the last generation from its mean."""
        return float(np.sum((self.X - self.mean) ** 2)) / (2 * self.n_particles)

    def advance(self, objective: Objective, steps: int, budget: int) -> None:
        """Take several generations.

        Parameters
        ----------
        objective : Objective
            The black box.
        steps : int
            Largest number of generations.
        budget : int
            Largest number of evaluations.
        """
        n, d = self.X.shape
        arrays = [getattr(self, name) for name in _STEP]
        if objective.compiled and hasattr(kc.advance, "compile"):
            kc.compile_for_objectives()
            steps = min(steps, AHEAD)
            Z, before = np.empty((n * steps, d)), int(self.K[kc.NFEV])
            for g in range(steps):  # one by one, as below: blocks are filled up
                k.fill_normal(self.words, Z[g * n : (g + 1) * n])
            self._reason = int(
                kc.advance(objective.fun, self.X, self.f, Z, *arrays, before + budget)
            )
            objective.nfev += int(self.K[kc.NFEV]) - before
            return
        Z = np.empty((n, d))
        for _ in range(steps):
            if n > budget:
                self._reason = kc.BUDGET
                return
            k.fill_normal(self.words, Z)
            kc.sample(
                self.mean,
                self.A,
                self.S[kc.SIGMA],
                self.scale,
                Z,
                self.lower,
                self.upper,
                self.X,
            )
            self.f[:] = objective.rows(self.X)
            self.K[kc.NFEV] += n
            budget -= n
            self._reason = int(kc.adapt(self.X, self.f, *arrays))
            if self._reason != kc.GO_ON:
                return

    def stop(self) -> dict[str, float]:
        """Return why the run has come to its end; empty while it goes on."""
        if self._reason == kc.GO_ON:
            return {}
        return {_REASONS[self._reason]: self.best_f}

    def state(self) -> dict[str, Any]:
        """Return copies of all arrays that determine what follows."""
        held = {name: getattr(self, name).copy() for name in _ARRAYS}
        return held | {"reason": self._reason}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state` of a search with the same arguments.

        Parameters
        ----------
        state : dict
            Of :meth:`state`.
        """
        for name in _ARRAYS:
            setattr(self, name, np.ascontiguousarray(np.array(state[name])))
        self._reason = int(state["reason"])


_REASONS = {
    kc.TARGET: "target",
    kc.COLLAPSED: "xtol",
    kc.STALLED: "patience",
    kc.FLAT: "flat",
    kc.BUDGET: "maxfev",
}


def strategy(d: int, n: int) -> tuple[Array, Array]:
    """Return the weights of recombination and the parameters of the strategy.

    Parameters
    ----------
    d : int
        Number of variables.
    n : int
        Size of a generation.

    Returns
    -------
    weights : ndarray of shape (n // 2,)
        Decreasing, summing to one.
    P : ndarray of shape (8,)
        Table 1 of arXiv:1604.00772, in the order of the names in the kernel's file.
    """
    mu = n // 2
    weights = math.log(mu + 0.5) - np.log(np.arange(1, mu + 1))
    weights /= weights.sum()
    mass = 1.0 / float(weights @ weights)
    P = np.zeros(8)
    P[kc.MU_EFF] = mass
    P[kc.C_SIGMA] = (mass + 2) / (d + mass + 5)
    longer = max(0.0, math.sqrt((mass - 1) / (d + 1)) - 1)
    P[kc.D_SIGMA] = 1 + 2 * longer + P[kc.C_SIGMA]
    P[kc.C_C] = (4 + mass / d) / (d + 4 + 2 * mass / d)
    P[kc.C_1] = 2 / ((d + 1.3) ** 2 + mass)
    rank_mu = 2 * (mass - 2 + 1 / mass) / ((d + 2) ** 2 + mass)
    P[kc.C_MU] = min(1 - P[kc.C_1], rank_mu)
    P[kc.CHI] = math.sqrt(d) * (1 - 1 / (4 * d) + 1 / (21 * d * d))
    P[kc.FTARGET] = -math.inf
    return weights, P
