"""Read the arrays of a witness, or say what is wrong with them."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farkas.certificate import CertificateError

Array = NDArray[np.float64]


def members_of(
    witness: Mapping[str, NDArray[Any]], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return which patterns belong to which output (C, P); all, if not told."""
    if "members" not in witness:
        return np.ones(shape, dtype=bool)
    members = np.asarray(witness["members"])
    if members.shape != shape or not np.isin(members, (0, 1)).all():
        raise CertificateError(f"members must be 0 or 1, of shape {shape}.")
    members = members.astype(bool)
    if not members.any(axis=1).all():
        raise CertificateError("every output needs a pattern of its own.")
    return members


def multipliers_of(
    witness: Mapping[str, NDArray[Any]], shape: tuple[int, int, int, int]
) -> Callable[[int], Array]:
    """Return a function that gives the multipliers (2, P, n) of an output."""
    index = np.asarray(witness["multiplier_index"])
    value = np.asarray(witness["multiplier_value"], dtype=np.float64)
    size = math.prod(shape)
    if index.dtype.kind not in "iu" or index.shape != value.shape or index.ndim != 1:
        raise CertificateError("multiplier_index must be integers, one for each value.")
    if len(np.unique(index)) != len(index) or ((index < 0) | (index >= size)).any():
        raise CertificateError(f"multiplier_index must be distinct, within {size}.")
    if not ((value >= 0) & np.isfinite(value)).all():
        raise CertificateError("multipliers must be nonnegative and finite.")
    output, place = np.divmod(index.astype(np.int64), size // shape[0])

    def of_output(c: int) -> Array:
        lam = np.zeros(size // shape[0])
        lam[place[output == c]] = value[output == c]
        return lam.reshape(shape[1:])

    return of_output
