"""How the flow of a certificate differs from that of its heights; NumPy only."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farkas.certificate import CertificateError
from graphs._measure_lookup import padded

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


def levels_of(
    witness: Mapping[str, NDArray[Any]], k: int, p: float
) -> tuple[NDArray[Any], ...] | None:
    """Return level and drain of each node, by position and padded to be looked up."""
    if "drain" not in witness and "level" not in witness:
        return None
    if p != 2:
        raise CertificateError("only for p=2 may the flow differ from the heights.")
    drain, level = np.asarray(witness["drain"]), np.asarray(witness["level"])
    if drain.shape != (k,) or drain.dtype.kind != "f" or not np.isfinite(drain).all():
        raise CertificateError("drain must be one finite number a node.")
    if level.shape != (k,) or level.dtype.kind != "i" or (level < -1).any():
        raise CertificateError("level must be one integer a node, at least -1.")
    drain = drain.astype(np.float64)
    return level, drain, padded(level, -1), padded(drain, 0.0)


def drained(
    counts: Ints,
    place: Ints,
    block: slice,
    level: NDArray[Any],
    drain: Array,
    levels: NDArray[Any],
    drains: Array,
) -> Array:
    """Return what drains add to the height differences: antisymmetric, to the bit."""
    here, there = np.repeat(level[block], counts), levels.take(place)
    given: Array = np.repeat(drain[block], counts) * (there < here)
    given -= drains.take(place) * (here < there)
    return given
