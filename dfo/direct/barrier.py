"""Which point is better: progressive barrier, extreme barrier, and penalty.

The progressive barrier keeps a feasible and an infeasible incumbent, and lowers the
violation that it tolerates (Audet, Dennis, SIAM J. Optim. 20 (2009) 445-472).
"""

import math

import numpy as np
from numpy.typing import NDArray

from dfo.direct.oracle import Oracle

Array = NDArray[np.float64]

HANDLINGS = ("pb", "eb", "penalty")
UNSUCCESSFUL, IMPROVING, DOMINATING = 0, 1, 2
# The infeasible incumbent becomes the center when it is better by this share.
PREFER_INFEASIBLE = 0.1
LARGEST_PENALTY = 1e12


class Barrier:
    """Incumbents and what counts as progress.

    Parameters
    ----------
    oracle : Oracle
        Whose log is ranked.
    handling : {"pb", "eb", "penalty"}
        Of constraints.
    constrained : bool
        Whether there are any.
    """

    def __init__(self, oracle: Oracle, handling: str, constrained: bool) -> None:
        self.oracle, self.constrained = oracle, constrained
        self.handling = handling if constrained else "eb"
        self.h_max, self.mu = math.inf, 1.0
        self.feasible = self.infeasible = -1
        self.since = (-1, 0)  # after a restart: its start, and the points after it
        self._ranked = 0

    @property
    def progressive(self) -> bool:
        """Whether two incumbents are kept."""
        return self.handling == "pb"

    @property
    def primary(self) -> int:
        """Number of the point around which the search goes on."""
        F = self.oracle.F
        i, j = self.feasible, self.infeasible
        if i < 0 or j < 0 or not self.progressive:
            return max(i, j, 0) if i < 0 else i
        return j if F[i] - PREFER_INFEASIBLE * abs(F[i]) > F[j] else i

    @property
    def secondary(self) -> int:
        """Number of the other incumbent, -1 without one."""
        if not self.progressive or self.feasible < 0 or self.infeasible < 0:
            return -1
        both = self.feasible + self.infeasible
        return both - self.primary

    def merits(self) -> Array:
        """Return what models and simplices minimise, shape (size,)."""
        o = self.oracle
        if not self.constrained or self.progressive:
            return o.F
        if self.handling == "penalty":
            total = np.maximum(o.C, 0.0).sum(axis=1)
            with np.errstate(invalid="ignore", over="ignore"):
                merit = o.F + self.mu * total
            return np.where(np.isfinite(o.H) & ~np.isnan(merit), merit, np.inf)
        if self.feasible < 0:
            return o.H
        return np.where(o.H == 0, o.F, np.inf)

    def merit(self, i: int) -> float:
        """Return the merit of one point.

        Parameters
        ----------
        i : int
            Its number.

        Returns
        -------
        float
        """
        o = self.oracle
        if not self.constrained or self.progressive:
            return float(o.F[i])
        if self.handling == "penalty":
            if not math.isfinite(o.H[i]):
                return math.inf
            return float(o.F[i] + self.mu * np.maximum(o.C[i], 0.0).sum())
        if self.feasible < 0:
            return float(o.H[i])
        return float(o.F[i]) if o.H[i] == 0 else math.inf

    def classify(self, i: int) -> int:
        """Compare a point with the incumbents at the start of the iteration.

        Parameters
        ----------
        i : int
            Its number.

        Returns
        -------
        int
            ``DOMINATING``, ``IMPROVING`` or ``UNSUCCESSFUL``.
        """
        o = self.oracle
        if not self.progressive:
            if self.handling == "eb" and self.feasible < 0 and self.constrained:
                better = o.H[i] < o.H[self.primary]
            else:
                better = self.merit(i) < self.merit(self.primary)
            return DOMINATING if better else UNSUCCESSFUL
        f, h = o.F[i], o.H[i]
        if h == 0:
            first = self.feasible < 0 or f < o.F[self.feasible]
            return DOMINATING if first else UNSUCCESSFUL
        if not h <= self.h_max or not math.isfinite(h):
            return UNSUCCESSFUL
        if self.infeasible < 0:
            return IMPROVING
        f_i, h_i = o.F[self.infeasible], o.H[self.infeasible]
        if h <= h_i and f <= f_i and (h < h_i or f < f_i):
            return DOMINATING
        return IMPROVING if h < h_i else UNSUCCESSFUL

    def gains(self, i: int, j: int) -> bool:
        """Tell whether point i is a step forward from a moving center j.

        Parameters
        ----------
        i, j : int
            Numbers of two points.

        Returns
        -------
        bool
        """
        o = self.oracle
        if not self.progressive:
            return self.merit(i) < self.merit(j)
        if o.H[i] == 0:
            return o.H[j] > 0 or o.F[i] < o.F[j]
        if o.H[j] == 0 or not o.H[i] <= self.h_max:
            return False
        better = o.H[i] < o.H[j] or o.F[i] < o.F[j]
        return bool(o.H[i] <= o.H[j] and o.F[i] <= o.F[j] and better)

    def update(self, outcome: int) -> None:
        """End an iteration: lower the barrier, and look for the incumbents again.

        Parameters
        ----------
        outcome : int
            The best class that the iteration met.
        """
        if self.handling == "penalty" and outcome == UNSUCCESSFUL:
            if self.oracle.H[self.primary] > 0:
                self.mu = min(2.0 * self.mu, LARGEST_PENALTY)
        if self.progressive and self.infeasible >= 0:
            H = self.oracle.H
            h = float(H[self.infeasible])
            if outcome == IMPROVING:
                below = H[(H > 0) & (h > H)]
                self.h_max = float(below.max()) if len(below) else h
            else:
                self.h_max = h
        self.rank()

    def rank(self) -> None:
        """Find the incumbents among all evaluated points."""
        o = self.oracle
        if not self.constrained:
            new = o.F[self._ranked :]
            if len(new):
                i = self._ranked + int(np.argmin(new))
                if self.feasible < 0 or o.F[i] < o.F[self.feasible]:
                    self.feasible = i
                self._ranked = o.size
            return
        F, H = o.F, o.H
        start, first = self.since
        if start >= 0:
            eligible = np.zeros(o.size, dtype=bool)
            eligible[start], eligible[first:] = True, True
            H = np.where(eligible, H, np.inf)
        if self.handling == "penalty":
            merits = np.where(np.isfinite(H), self.merits(), np.inf)
            self.feasible = int(np.argmin(merits))
            return
        zero = np.flatnonzero(H == 0)
        self.feasible = int(zero[np.argmin(F[zero])]) if len(zero) else -1
        if not self.progressive:
            self.infeasible = int(np.argmin(H)) if self.feasible < 0 else -1
            return
        others = np.flatnonzero((H > 0) & (self.h_max >= H) & np.isfinite(H))
        self.infeasible = -1
        if len(others):
            f = F[others]
            ties = others[f == f.min()]
            self.infeasible = int(ties[np.argmin(H[ties])])

    def result(self) -> int:
        """Return the number of the point to hand out: feasible, or least violated."""
        o = self.oracle
        zero = np.flatnonzero(o.H == 0)
        if len(zero):
            return int(zero[np.argmin(o.F[zero])])
        return int(np.argmin(o.H))

    def move_to(self, i: int) -> None:
        """Start over from another evaluated point; only later points rank from here.

        Parameters
        ----------
        i : int
            Its number.
        """
        self.since = (i, self.oracle.size)
        self.feasible, self._ranked = i, self.oracle.size
        self.h_max = math.inf
        self.rank()

    def mark(self) -> None:
        """Take all points so far as ranked."""
        self._ranked = self.oracle.size
