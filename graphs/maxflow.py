"""Maximum flow on a small network, in integers or floats."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from graphs import _kernels_flow

Ints = NDArray[np.int64]
Amounts = NDArray[np.float64] | NDArray[np.int64]

# Residual capacity that counts as rounding, relative to the largest capacity.
_ROUNDING = 1e-15


class Flow(NamedTuple):
    """Value of a maximum flow, the source side of a minimum cut, and the flow.

    ``along`` is the net flow on each edge of the input, from its first end to its
    second.
    """

    value: float
    source_side: NDArray[np.bool_]
    along: Amounts


def maximum_flow(
    n: int, u: Ints, v: Ints, forth: Amounts, back: Amounts, s: int, t: int
) -> Flow:
    """Maximum flow from s to t by Dinic's algorithm.

    Parameters
    ----------
    n : int
        Number of nodes.
    u, v : ndarray of int, shape (m,)
        Ends of the edges.
    forth, back : ndarray of shape (m,)
        Capacities from u to v and from v to u, integers or floats.
    s, t : int
        Source and sink.

    Returns
    -------
    Flow
        Exact for integers. The source side is the smallest there is.
    """
    m = len(u)
    tail, head = np.concatenate([u, v]), np.concatenate([v, u])
    order = np.argsort(tail, kind="stable")
    place = np.empty(2 * m, dtype=np.int64)
    place[order] = np.arange(2 * m)
    twin = np.concatenate([place[m:], place[:m]])[order]
    first = np.concatenate([[0], np.cumsum(np.bincount(tail, minlength=n))])
    capacity = np.concatenate([forth, back])
    room = capacity[order].copy()
    exact = room.dtype.kind == "i"
    least = 0 if exact else _ROUNDING * float(room.max(initial=0.0))
    level = np.empty(n, dtype=np.int64)
    value = _kernels_flow.max_flow(
        first, head[order].astype(np.int64), room, twin, s, t, least, level
    )
    along = (capacity[order] - room)[place[:m]]
    return Flow(float(value), level >= 0, along)
