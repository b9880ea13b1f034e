"""What an edge contributes to flow and values, for every norm; NumPy only.

For ``p >= 2``, ``1/p + 1/q = 1`` and ``mu >= 0`` the dual program charges an edge with
height difference t ``w h(t) / q``, where ``h(t) = (t^2 + mu^2)^(q/2) - mu^q``, which is
``|t|^q`` without smoothing. Its flow is ``f = w h'(t) / q``, and the convex conjugate
at that flow is ``t f - w h(t) / q``. With smoothing h is smaller and so the conjugate
is larger than ``w |f / w|^p / p``.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_FEW = 16  # roundings of plain arithmetic; a generous count of them
_NOTHING = 1e-30  # next to one


class EdgeTerms(NamedTuple):
    """Terms of edges of weight one, from the sizes of their height differences.

    ``energy`` is h(t) and ``cost`` p times the conjugate; None where both are the
    product of size and flow. ``flow_rounding`` and ``value_rounding`` bound the
    relative errors, in units of the spacing of floats.
    """

    flow: Array
    energy: Array | None
    cost: Array | None
    flow_rounding: float
    value_rounding: float


def edge_terms(size: Array, p: float, mu: float) -> EdgeTerms:
    """Return flow and values of edges with height differences of these sizes."""
    if p == 2:
        return EdgeTerms(size, None, None, _FEW, _FEW)
    q = p / (p - 1.0)
    if mu == 0:
        flow = size ** (q - 1.0)
        # An exponent that is off by one unit changes a power by its logarithm.
        positive = size[size > 0]
        log = float(np.abs(np.log(positive)).max(initial=0.0))
        return EdgeTerms(flow, None, None, _FEW + 2 * log, _FEW + 2 * log)
    square = (size / mu) ** 2
    growth = np.log1p(square)
    flow = size * np.exp((0.5 * q - 1.0) * growth) * mu ** (q - 2.0)
    product = size * flow
    # The limit of small differences, whose squares may be too small for floats.
    quadratic = square < _NOTHING
    energy = np.expm1(0.5 * q * growth) * mu**q
    energy = np.where(quadratic, 0.5 * q * product, energy)
    cost = p * product - (p - 1.0) * energy  # at least the product, which is >= energy
    cost = np.where(quadratic, 0.5 * p * product, cost)
    rounding = _FEW + 8 * float(growth.max(initial=0.0)) + 4 * abs(math.log(mu))
    return EdgeTerms(flow, energy, cost, rounding, 2 * p * rounding)
