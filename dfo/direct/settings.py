"""Checking the arguments of a direct search that do not describe its problem."""

import math
from typing import Any

import numpy as np

from dfo.direct import checkpoint as checkpoints
from dfo.direct.barrier import HANDLINGS
from dfo.direct.covering import COVERINGS
from dfo.direct.directions import POLLS, ROTATIONS
from dfo.direct.problem import Problem
from dfo.direct.run import LARGEST_DELTA, Options
from farkas.base import check_choice, check_number

BUDGET_PER_DIMENSION = 1000


def read_options(
    given: dict[str, Any], problem: Problem, only_search: bool
) -> tuple[Options, dict[str, Any]]:
    """Check every argument that does not describe the problem.

    Parameters
    ----------
    given : dict
        Arguments of :func:`dfo.minimize_cdsm`.
    problem : Problem
        What is minimised.
    only_search : bool
        Whether iterations consist of the search hook alone.

    Returns
    -------
    options : Options
        How one iteration works.
    limits : dict
        Budgets, restarts, and the hash of what decides the course.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range.
    """
    check_choice("poll", given["poll"], POLLS)
    check_choice("rotation", given["rotation"], ROTATIONS)
    check_choice("covering", given["covering"], COVERINGS)
    check_choice("constraint_handling", given["constraint_handling"], HANDLINGS)
    check_choice("on_error", given["on_error"], ("inf", "raise"))
    for name in ("maxfev", "maxiter", "block_size"):
        if given[name] is not None:
            check_number(name, given[name], low=1, integer=True)
    for name in ("covering_every", "checkpoint_every"):
        check_number(name, given[name], low=1, integer=True)
    for name in ("radius_restarts", "n_restarts"):
        check_number(name, given[name], low=0, integer=True)
    for name in ("covering_radius", "max_time"):
        if given[name] is not None:
            check_number(name, given[name], low=0, inclusive="neither")
    for name in ("xtol", "restart_xtol"):
        check_number(name, given[name], low=0, inclusive="neither")
    check_number("forcing", given["forcing"], low=0)
    if given["lipschitz_gradient"] is not None:
        check_number("lipschitz_gradient", given["lipschitz_gradient"], low=0)
    for name in ("ftarget", "lower_bound"):
        if given[name] is not None and math.isnan(given[name]):
            raise ValueError(f"{name} must not be NaN.")
    if not isinstance(given["workers"], int | np.integer) and not callable(
        given["workers"]
    ):
        raise TypeError(
            f"workers={given['workers']!r} must be an int, a joblib.Parallel or a "
            "map-like callable."
        )
    delta0 = float(given.get("delta0", 1.0))
    scale = problem.space.scale
    lipschitz = given["lipschitz_gradient"]
    options = Options(
        **{
            name: given[name]
            for name in (
                "poll rotation opportunistic covering covering_every model_search "
                "simplex_search random_search certify search_step"
            ).split()
        },
        covering_radius=float(given["covering_radius"] or max(1.0, delta0)),
        forcing=float(given["forcing"]),
        xtol=float(given["xtol"]),
        delta0=delta0,
        block_size=int(given["block_size"] or 1),
        only_search=only_search,
        # In scaled variables the constant is at most that of x times max(s)^2.
        lipschitz=math.nan
        if lipschitz is None
        else float(lipschitz * scale.max() ** 2),
        lower_bound=-math.inf
        if given["lower_bound"] is None
        else float(given["lower_bound"]),
    )
    n = problem.space.n
    limits = {
        "maxfev": int(given["maxfev"] or BUDGET_PER_DIMENSION * (n + 1)),
        "maxiter": checkpoints.finite(given["maxiter"]),
        "max_time": checkpoints.finite(given["max_time"]),
        "ftarget": -math.inf if given["ftarget"] is None else float(given["ftarget"]),
        "radius_restarts": int(given["radius_restarts"]),
        "restart_xtol": float(given["restart_xtol"]),
        "n_restarts": int(given["n_restarts"]),
    }
    described = {
        name: value
        for name, value in vars(options).items()
        if name not in ("search_step",)
    }
    described |= {name: limits[name] for name in ("radius_restarts", "n_restarts")}
    described["x0"] = problem.space.x0.tolist()
    described["box"] = [problem.space.lower.tolist(), problem.space.upper.tolist()]
    described["handling"] = given["constraint_handling"]
    described["seed"] = repr(given["random_state"])
    described["largest"] = LARGEST_DELTA
    limits["hash"] = checkpoints.options_hash(described)
    return options, limits
