"""Losses of class probabilities and expectation values: values, slopes, extremes.

A model predicts a matrix P of shape (C, N). Two classes have one row, ``p_1``; K > 2
classes have K rows; an observable has one row, its expectation value f. K observables
have K rows, of which row c is drawn to +1 by class c and to -1 by every other one, and
the loss of a sample is the sum over the rows.

Cross-entropy is that of ``eps + (1 - K eps) p``, the floored probability, in value and
slope alike, so that it stays smooth and convex.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from farkas.certificate import CertificateError

Array = NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)


class Loss(NamedTuple):
    """A loss with its constants, for the number of classes it was made for.

    ``kind`` is "cross_entropy" or "squared" for probabilities; "squared", "hinge" or
    "logistic" for expectation values. ``classes`` is 0 for expectation values.
    """

    kind: str
    classes: int
    floor: float = 0.0
    slope: float = 1.0

    def values(self, P: Array, y: NDArray[np.int64]) -> Array:
        """Loss of each sample, shape (N,)."""
        if self.classes == 0:
            return np.sum(self._expectation_losses(P, y), axis=0)
        if self.kind == "cross_entropy":
            return -np.log(self._floored(P, y))
        if self.classes == 2:
            return (P[0] - y) ** 2
        wrong = P.copy()
        wrong[y, np.arange(len(y))] -= 1.0
        return np.sum(wrong**2, axis=0)

    def slopes(self, P: Array, y: NDArray[np.int64]) -> Array:
        """Differentiate each sample's loss by each row of P; shape of P."""
        if self.classes == 0:
            sign = _signs(P, y)
            if self.kind == "squared":
                return 2.0 * (P - sign)
            if self.kind == "hinge":
                return np.where(sign * P < 1.0, -sign, 0.0)
            a = self.slope
            # exp(-|z|) cannot overflow
            z = a * sign * P
            e = np.exp(-np.abs(z))
            return -a * sign * np.where(z >= 0, e, 1.0) / (1.0 + e)
        if self.kind == "cross_entropy":
            steep = -(1.0 - self.classes * self.floor) / self._floored(P, y)
            if self.classes == 2:
                return np.where(y == 1, steep, -steep)[None]
            G = np.zeros_like(P)
            G[y, np.arange(len(y))] = steep
            return G
        if self.classes == 2:
            return 2.0 * (P[0] - y)[None]
        G = 2.0 * P
        G[y, np.arange(len(y))] -= 2.0
        return G

    def largest(self, P: Array, y: NDArray[np.int64], radius: Array) -> Array:
        """Upper bound of the loss when each prediction may be off by ``radius``."""
        if self.classes > 2 and self.kind == "squared":
            slopes = np.abs(self.slopes(P, y)).sum(axis=0)
            return self.values(P, y) + slopes * radius + self.classes * radius**2
        # A convex function of one number is largest at an end of an interval.
        if self.classes == 0:
            ends = [self._expectation_losses(P + r, y) for r in (-radius, radius)]
            return np.sum(np.maximum(*ends), axis=0)
        low, high = np.maximum(P - radius, 0.0), np.minimum(P + radius, 1.0)
        return np.maximum(self.values(low, y), self.values(high, y))

    def slope_errors(self, P: Array, y: NDArray[np.int64], radius: Array) -> Array:
        """How far slopes may be off when predictions are off by ``radius``, (N,).

        Of expectation values the sum over the rows, of probabilities the largest.
        """
        here = self.slopes(P, y)
        if self.kind == "hinge":  # a kink: any slope between the two is a subgradient
            return np.sum(np.abs(1 - np.abs(P)) <= radius, axis=0, dtype=np.float64)
        if self.kind == "squared":
            return (2.0 if self.classes else 2.0 * len(P)) * radius
        # Slopes of a convex function are monotone: the ends are the extremes.
        low, high = P - radius, P + radius
        if self.classes:
            low, high = np.maximum(low, 0.0), np.minimum(high, 1.0)
        moved = np.maximum(
            np.abs(self.slopes(low, y) - here), np.abs(self.slopes(high, y) - here)
        )
        largest: Array = moved.max(axis=0) if self.classes else moved.sum(axis=0)
        return largest

    def _expectation_losses(self, P: Array, y: NDArray[np.int64]) -> Array:
        """Loss of each expectation value, shape of P."""
        sign = _signs(P, y)
        if self.kind == "squared":
            return (P - sign) ** 2
        if self.kind == "hinge":
            return np.maximum(0.0, 1.0 - sign * P)
        return np.logaddexp(0.0, -self.slope * sign * P)

    def _floored(self, P: Array, y: NDArray[np.int64]) -> Array:
        if self.classes == 2:
            p = np.where(y == 1, P[0], 1.0 - P[0])
        else:
            p = P[y, np.arange(len(y))]
        return self.floor + (1.0 - self.classes * self.floor) * p


def _signs(P: Array, y: NDArray[np.int64]) -> Array:
    """Where expectation values should be: -1 or 1, shape of P."""
    if len(P) == 1:
        return (2.0 * y - 1.0)[None]
    return np.where(np.arange(len(P))[:, None] == y, 1.0, -1.0)


def make_loss(kind: str, classes: int, floor: float, slope: float) -> Loss:
    """Return the loss after checking that its constants make it convex.

    Raises
    ------
    CertificateError
        If a constant is out of range or the combination does not exist.
    """
    known = ("squared", "hinge", "logistic") if classes == 0 else LOSSES
    if kind not in known:
        raise CertificateError(f"loss={kind!r} must be one of {known}.")
    if kind == "cross_entropy" and not 0.0 < floor * classes < 0.5:
        raise CertificateError(
            f"prob_floor={floor!r} must lie in (0, {0.5 / classes})."
        )
    if kind == "logistic" and not 0.0 < slope < math.inf:
        raise CertificateError(f"slope={slope!r} must be positive and finite.")
    return Loss(kind, classes, floor, slope)


LOSSES = ("cross_entropy", "squared")
