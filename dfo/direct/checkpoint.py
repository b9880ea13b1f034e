"""Save a direct search between two iterations, and continue it bit for bit."""

import hashlib
import json
import math
from typing import Any

import numpy as np

from farkas import checkpoint

FORMAT = 2
_NUMBERS = ("delta", "model_radius", "last_step")
_COUNTERS = ("nit", "skipped", "coverings", "searches", "polls", "patience")


def options_hash(described: dict[str, Any]) -> str:
    """Return a hash of what decides the course of a run.

    Parameters
    ----------
    described : dict
        Names and plain values.

    Returns
    -------
    str
    """
    text = json.dumps(described, sort_keys=True, default=repr)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def save(path: Any, run: Any, plan: dict[str, Any]) -> None:
    """Write the state of a run.

    Parameters
    ----------
    path : str or path
        The file; replaced as a whole or not at all.
    run : Run
        Between two iterations.
    plan : dict
        ``hash`` of the options, and restarts that are left.
    """
    oracle, barrier = run.oracle, run.barrier
    state: dict[str, Any] = {
        "format": FORMAT,
        "hash": plan["hash"],
        "restarts_left": plan["restarts_left"],
        "runs_left": plan["runs_left"],
        "starts": np.asarray(plan["starts"], dtype=np.int64),
        "log_X": oracle.X,
        "log_F": oracle.F,
        "log_C": oracle.C,
        "log_label": oracle.labels,
        "log_T": oracle.T,
        "nfev": oracle.nfev,
        "hits": oracle.hits,
        "h_max": barrier.h_max,
        "mu": barrier.mu,
        "feasible": barrier.feasible,
        "infeasible": barrier.infeasible,
        "since": np.asarray(barrier.since, dtype=np.int64),
        "rng": checkpoint.pack_generator(run.rng),
        "counts": json.dumps(run.counts),
        "x_start": run.space.x0,
        "rows_nit": np.asarray(plan["rows"], dtype=np.float64),
    }
    for name in (*_NUMBERS, *_COUNTERS):
        state[name] = getattr(run, name)
    for name in ("last_direction", "hessian"):
        value = getattr(run, name)
        if value is not None:
            state[name] = value
    hook = run.options.search_step
    if hasattr(hook, "get_state"):
        state["hook"] = json.dumps(hook.get_state())
    checkpoint.save(path, state)


def load(path: Any, run: Any, plan: dict[str, Any]) -> None:
    """Bring a fresh run to the state that was saved.

    Parameters
    ----------
    path : str or path
        The file.
    run : Run
        Of the same problem and options.
    plan : dict
        As in :func:`save`; changed.

    Raises
    ------
    ValueError
        If the file belongs to other options.
    """
    saved = checkpoint.load(path)
    if saved.get("format") != FORMAT or saved.get("hash") != plan["hash"]:
        raise ValueError(
            f"resume={str(path)!r} was written for another problem or other options; "
            "call with the arguments of the interrupted run."
        )
    run.oracle.restore(saved)
    run.barrier.h_max, run.barrier.mu = float(saved["h_max"]), float(saved["mu"])
    run.barrier.since = (int(saved["since"][0]), int(saved["since"][1]))
    run.barrier.mark()
    run.barrier.feasible = int(saved["feasible"])
    run.barrier.infeasible = int(saved["infeasible"])
    run.rng = checkpoint.unpack_generator(saved["rng"])
    run.counts = json.loads(saved["counts"])
    for name in _NUMBERS:
        setattr(run, name, float(saved[name]))
    for name in _COUNTERS:
        setattr(run, name, int(saved[name]))
    for name in ("last_direction", "hessian"):
        setattr(run, name, saved.get(name))
    plan["restarts_left"] = int(saved["restarts_left"])
    plan["runs_left"] = int(saved["runs_left"])
    plan["starts"] = [int(i) for i in saved["starts"]]
    plan["rows"] = [tuple(row) for row in saved["rows_nit"]]
    if "hook" in saved:
        run.options.search_step.set_state(json.loads(saved["hook"]))


def finite(number: float | None) -> float:
    """Return a limit as a number, inf for none."""
    return math.inf if number is None else float(number)
