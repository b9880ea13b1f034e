"""What one shard of rows does in consensus ADMM (consensus.py): both its steps.

The functions run in worker processes. What the next step starts from travels with the
answer; a worker keeps only the data, so that they need not travel in each iteration. It
may lose them, or never have had them: then it asks.
"""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexnn import _kernels
from convexnn.admm import Factor, couple
from convexnn.scale.cones import LargeConeProjector
from convexnn.scale.normal import LARGEST_EIGH
from farkas.kernels import prepare

Array = NDArray[np.float64]
Arrays = dict[str, Any]

# The shards of one run that this process has been sent, by (run, number).
_kept: dict[tuple[str, int], "Shard"] = {}


@dataclasses.dataclass(frozen=True, eq=False)
class Shard:
    """The rows of one shard and what their u-step needs."""

    factor: Factor
    patterns: Array  # (m, n_j) of all blocks, for the cones


def make_shard(factor: Factor) -> Shard:
    """Factor the u-step of some rows."""
    D = factor.D
    factor = couple(factor, "eigh" if D.shape[1] <= LARGEST_EIGH else "cg")
    # The projection works without Gram matrix, and reads the patterns of all blocks.
    factor = dataclasses.replace(factor, gram=np.zeros((0, 0)))
    return Shard(factor, np.concatenate([D, D]) if factor.relu else D[:0])


def visit_shard(
    key: tuple[str, int], shard: Shard | None, *message: Any
) -> tuple[Array, Array, Array | None, Arrays] | None:
    """Call :func:`step_shard` for a shard sent now or earlier; None asks for it."""
    if shard is None:
        shard = _kept.get(key)
    else:
        if any(run != key[0] for run, _ in list(_kept)):
            _kept.clear()
        _kept[key] = shard
    return None if shard is None else step_shard(shard, *message)


def forget_shards() -> None:
    """Free the shards that this process keeps."""
    _kept.clear()


def step_shard(
    shard: Shard,
    weight: float,
    target: Array,
    center: Array,
    cone_center: Array | None,
    memory: Arrays,
) -> tuple[Array, Array, Array | None, Arrays]:
    """Return ``u_j``, its prediction, ``p_j``, and what the next step starts from."""
    factor = shard.factor
    A, D = prepare(factor.A), prepare(factor.D)
    prediction = np.empty(len(A))
    _kernels.gated_sum(D, center @ A.T, prediction)
    residual = target - prediction
    after: Arrays = {}
    if factor.u_step is None:
        Q, e = factor.eigenvectors, factor.eigenvalues
        q = Q @ ((residual @ Q) / (weight + e))
        push, residual = (D * q) @ A, weight * q
    else:
        u_step = factor.u_step()
        if memory:
            u_step.restore(memory)
        push, residual = u_step.solve(weight, residual)
        after |= u_step.state()
    u, P = center.copy(), len(D)
    u[:P] += push
    u[P:] -= push[: len(u) - P]
    if cone_center is None:
        return u, target - residual, None, after
    projector = LargeConeProjector(A, shard.patterns)
    if memory:
        projector.restore(memory)
    projection = projector(cone_center)
    return u, target - residual, projection, after | projector.state()
