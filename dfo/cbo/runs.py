"""What the runs of a search are: wide ones, large ones, and two kinds of local ones.

With automatic restarts they take turns: a population over the whole box, a cloud around
the incumbent, a larger population (N, 2N, N, 4N as in BIPOP), and, where a local method
is wanted, an evolution strategy around the incumbent that learns a covariance.
"""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfo.cbo.dynamics.swarm import CBO
from dfo.cbo.local.covariance import CovarianceSearch

Array = NDArray[np.float64]

WIDE, CLOUD, LARGE, COVARIANCE = "wide", "cloud", "large", "covariance"
TURNS = (WIDE, COVARIANCE, LARGE, CLOUD)
UNREFINED_TURNS = (WIDE, CLOUD, LARGE, CLOUD)
# A restart never takes more than this share of the budget for one generation.
LARGEST_SHARE = 20
# Standard deviations of local runs, in units of the box.
LOCAL_SCALES = (0.1, 0.03)


def kind_of(run: int, *, automatic: bool, bounded: bool, refined: bool) -> str:
    """Return what the run of that number is.

    Parameters
    ----------
    run : int
        Its number, from 0.
    automatic : bool
        Whether the runs may differ.
    bounded : bool
        Whether all variables have both bounds.
    refined : bool
        Whether local methods are welcome.

    Returns
    -------
    {"wide", "cloud", "large", "covariance"}
    """
    if not automatic:
        return WIDE
    kind = (TURNS if refined else UNREFINED_TURNS)[run % len(TURNS)]
    return kind if bounded or kind == LARGE else WIDE


def new_run(
    kind: str,
    run: int,
    plan: Any,
    lower: Array,
    upper: Array,
    incumbent: Array,
    seed: np.random.SeedSequence,
) -> CBO | CovarianceSearch:
    """Draw the population of a run.

    Parameters
    ----------
    kind : {"wide", "cloud", "large", "covariance"}
        Of :func:`kind_of`.
    run : int
        Its number.
    plan : Plan
        What the search was asked to do.
    lower, upper : ndarray of shape (d,)
        The box.
    incumbent : ndarray of shape (d,)
        Best point so far; local runs begin there.
    seed : SeedSequence
        Of this run alone.

    Returns
    -------
    CBO or CovarianceSearch
    """
    scale = LOCAL_SCALES[(run // 4) % len(LOCAL_SCALES)]
    if kind == COVARIANCE:
        return CovarianceSearch(incumbent, scale, lower, upper, seed, plan.ftarget)
    N = plan.n_particles
    if kind == CLOUD:
        spread = scale * (upper - lower)
        swarm = _swarm(plan, N, lower, upper, incumbent, "normal", spread, seed)
        swarm.scale = np.minimum(swarm.scale, 6.0 * spread)
        return swarm
    if kind == LARGE:
        largest = max(N, plan.maxfev // LARGEST_SHARE)
        N = min(N * 2 ** min((run + 2) // 4, 30), largest)
    x0, init = plan.x0, plan.init
    if run > 0 and x0 is not None:
        bounded = bool(np.isfinite([lower, upper]).all())
        x0 = None if bounded else np.atleast_2d(x0)[0]
        init = "uniform" if bounded and init == "normal" else init
    return _swarm(plan, N, lower, upper, x0, init, plan.x0_scale, seed)


def _swarm(
    plan: Any,
    N: int,
    lower: Array,
    upper: Array,
    x0: Any,
    init: str,
    x0_scale: Any,
    seed: np.random.SeedSequence,
) -> CBO:
    swarm = CBO.__new__(CBO)
    swarm.settings = dataclasses.replace(plan.settings, n_particles=N)
    swarm.project, swarm.where = plan.project, plan.where
    swarm._begin(lower, upper, x0, init, x0_scale, seed)
    return swarm
