"""What a finished search says about the neighbourhood of its result."""

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist, squareform

from dfo.direct.covering import ball

Array = NDArray[np.float64]

# Cells of the grid, and samples where a grid is too large.
CELLS, SAMPLES = 40_000, 10_000
GRID_DIMENSIONS = 3
# Slopes between more points than these are estimated on the nearest of them.
MOST_PAIRS = 1500


@dataclasses.dataclass(frozen=True, kw_only=True)
class Covering:
    """How densely the ball around a result has been evaluated, in scaled units.

    Parameters
    ----------
    radius : float
        Bound of the distance from any point of the ball to an evaluated one.
    ball : float
        Radius of the ball.
    method : str
        ``"grid"`` (rigorous) or ``"samples"``, with its statement.
    local_gap : float
        Largest slope among the points, times `radius`: an estimate of how far below
        the result the ball may go.
    n_points_in_ball : int
        Number of evaluated points in the ball.
    best_in_ball : float
        Smallest feasible value among them.
    """

    radius: float
    ball: float
    method: str
    local_gap: float
    n_points_in_ball: int
    best_in_ball: float


def covering_radius(result: Any, *, random_state: Any = None) -> Covering:
    """Measure the largest hole around the result of :func:`dfo.minimize_cdsm`.

    Parameters
    ----------
    result : OptimizeResult
        What the function returned.
    random_state : int, Generator or None
        For more than three variables, where the ball is sampled.

    Returns
    -------
    Covering

    Examples
    --------
    >>> from dfo import covering_radius, minimize_cdsm
    >>> res = minimize_cdsm(lambda x: x @ x, [1.0, 1.0], maxfev=300, random_state=0)
    >>> covering_radius(res).method
    'grid'
    """
    log, scale, R = result.evaluations, result.scale, float(result.covering_ball)
    Z = (log["X"] - result.x) / scale
    n = Z.shape[1]
    lengths = np.linalg.norm(Z, axis=1)
    inside = lengths <= R
    lower, upper = (side / scale for side in _box(result))
    low, high = lower - result.x / scale, upper - result.x / scale
    tree = cKDTree(Z[lengths <= 2 * R])
    if n <= GRID_DIMENSIONS:
        h = 2 * R / max(2, int(CELLS ** (1 / n)))
        ticks = np.arange(-R + h / 2, R, h)
        cells = np.stack(np.meshgrid(*[ticks] * n, indexing="ij"), axis=-1)
        cells = cells.reshape(-1, n)
        blur = h * math.sqrt(n) / 2
        cells = cells[np.linalg.norm(cells, axis=1) <= R + blur]
        # A cell that meets the box has a point of the box within half its diagonal.
        near = (np.clip(cells, low, high) - cells) ** 2
        cells = cells[np.sqrt(near.sum(axis=1)) <= blur]
        radius = float(tree.query(cells)[0].max()) + blur
        method = "grid"
    else:
        rng = np.random.default_rng(random_state)
        cells = np.clip(ball(n, R, SAMPLES, rng), low, high)
        radius = float(tree.query(cells)[0].max())
        share = 1 - 0.05 ** (1 / SAMPLES)
        method = (
            f"samples: with confidence 0.95 at most a fraction {share:.1e} of the ball "
            "is farther"
        )
    feasible = inside & (log["h"] == 0)
    values = np.where(feasible, log["F"], np.inf)
    return Covering(
        radius=radius,
        ball=R,
        method=method,
        local_gap=_largest_slope(Z[inside], log["F"][inside], lengths[inside]) * radius,
        n_points_in_ball=int(inside.sum()),
        best_in_ball=float(values.min()),
    )


def _box(result: Any) -> tuple[Array, Array]:
    witness = result.certificate.witness
    n = len(result.x)
    return (
        witness.get("lower", np.full(n, -np.inf)),
        witness.get("upper", np.full(n, np.inf)),
    )


def _largest_slope(Z: Array, F: Array, lengths: Array) -> float:
    finite = np.isfinite(F)
    Z, F, lengths = Z[finite], F[finite], lengths[finite]
    nearest = np.argsort(lengths, kind="stable")[:MOST_PAIRS]
    if len(nearest) < 2:
        return 0.0
    gaps = pdist(Z[nearest])
    rises = np.abs(F[nearest][:, None] - F[nearest])
    rises = squareform(rises, checks=False)
    usable = gaps > 1e-12
    return float(np.max(rises[usable] / gaps[usable], initial=0.0))
