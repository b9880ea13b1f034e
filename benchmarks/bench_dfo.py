"""Consensus-based optimization against its peers: `python3 tasks.py bench dfo`.

Peers are cma (BIPOP), SciPy's differential evolution and dual annealing, and cbx; the
rows of those that are not installed are left out, and so is COCO without cocoex. Parts
can be named: `python3 tasks.py bench dfo suite speed`. Times are CPU times of one
thread, both sides in one process and in turn.
"""

import os
import subprocess
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
os.environ.update(THREADS)  # before NumPy is loaded

import numpy as np  # noqa: E402
from dfo_peers import METHODS, PEERS, bipop, evolution, ours, unpolished  # noqa: E402
from dfo_published import (  # noqa: E402
    canyon,
    canyon_text,
    digits,
    digits_text,
    sensing,
    sensing_text,
    truncated,
    truncated_text,
)
from report import run_parts, table  # noqa: E402

from dfo import CBO, minimize_cbo  # noqa: E402
from dfo.objective import Objective  # noqa: E402
from dfo.testfunctions import SUITE, get, shifted  # noqa: E402

DIMENSION, BUDGET, INSTANCES = 10, 20_000, 10
TARGETS = 10.0 ** np.linspace(2, -8, 51)
GROUPS = {
    "separable": range(1, 6),
    "moderate": range(6, 10),
    "ill-conditioned": range(10, 15),
    "multimodal": range(15, 20),
    "weak structure": range(20, 25),
}
# dimension, particles, steps, ratio wanted with a Numba and with a NumPy objective
SPEED = [(4, 100, 2000, 40, 6), (20, 100, 2000, 25, 4), (20, 1000, 300, 12, 1.8)]
REPEATS = 5


def suite():
    """Mean over functions of the shares of runs within 1e-1 and 1e-4 of the minimum."""
    return [suite_row(name) for name in METHODS]


def suite_row(name, instances=INSTANCES):
    """Score one method."""
    scores, begun = [], time.process_time()
    for function in SUITE:
        gaps = []
        for instance in range(instances):
            f = shifted(function, DIMENSION, instance)
            gaps.append(METHODS[name](f.fun, f.bounds, BUDGET, instance) - f.f_star)
        gaps = np.array(gaps)
        scores.append(float(((gaps < 1e-1).mean() + (gaps < 1e-4).mean()) / 2))
    seconds = (time.process_time() - begun) / instances
    print(name, f"{np.mean(scores):.3f}", flush=True)
    return {
        "method": name,
        "instances": instances,
        "scores": scores,
        "seconds": seconds,
    }


def best_time(work, repeats=REPEATS):
    times = []
    for _ in range(repeats):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return min(times)


def speed():
    """CPU time of the same number of steps, ours and cbx."""
    rows = []
    if "cbx" not in PEERS:
        return rows
    from cbx.dynamics import CBO as Peer

    for d, N, steps, wanted_row, wanted_rows in SPEED:
        f = get("rastrigin", d)
        x = np.random.default_rng(0).uniform(-3, 3, (N, d))
        options = {
            "lam": 1.0,
            "sigma": 1.0,
            "dt": 0.01,
            "alpha": 30.0,
            "xtol": 0.0,
            "ftol": 0.0,
            "patience": 10**9,
            "cooling": 1.0,
        }

        def mine(objective, x=x, f=f, steps=steps, options=options):
            swarm = CBO(f.bounds, x0=x, random_state=0, **options)
            swarm.advance(objective, steps, 10**12)
            assert swarm.nit == steps

        def theirs(x=x, f=f, steps=steps, N=N, d=d):
            peer = Peer(
                lambda X: f.fun(X.reshape(-1, d)).reshape(X.shape[:-1]),
                d=d,
                x=x[None].copy(),
                f_dim="3D",
                sigma=1.0,
                lamda=1.0,
                dt=0.01,
                alpha=30.0,
                noise="anisotropic",
                max_it=steps,
                verbosity=0,
            )
            peer.optimize()

        compiled, plain = Objective(f.fun_row), Objective(f.fun, vectorized=True)
        mine(compiled)
        mine(plain)
        times = {"numba": [], "numpy": [], "cbx": []}
        for _ in range(REPEATS):
            times["numba"].append(best_time(partial(mine, compiled), 1))
            times["numpy"].append(best_time(partial(mine, plain), 1))
            times["cbx"].append(best_time(theirs, 1))
        best = {name: min(values) / steps * 1e6 for name, values in times.items()}
        rows.append(
            {
                "d": d,
                "N": N,
                **best,
                "ratio_numba": best["cbx"] / best["numba"],
                "ratio_numpy": best["cbx"] / best["numpy"],
                "wanted_numba": wanted_row,
                "wanted_numpy": wanted_rows,
            }
        )
        print(rows[-1], flush=True)
    return rows


def per_evaluation():
    """CPU time of an evaluation at d = 10, the function's own included."""
    f, rows = get("rastrigin", 10), []
    minimize_cbo(f.fun_row, f.bounds, maxfev=2000, random_state=0)
    budget = 200_000
    for name, options in (("CBO", {}), ("CBO, no polish", {"polish": None})):
        seconds = best_time(
            lambda o=options: minimize_cbo(
                f.fun_row, f.bounds, maxfev=budget, random_state=0, **o
            ),
            3,
        )
        rows.append({"method": name, "microseconds": seconds / budget * 1e6})
    if "cma" in PEERS:
        row = f.fun_row
        seconds = best_time(lambda: bipop(row, f.bounds, 20_000, 0), 3)
        rows.append({"method": "BIPOP-CMA-ES", "microseconds": seconds / 20_000 * 1e6})
    print(rows, flush=True)
    return rows


def coco(instances="1-5"):
    """Shares of the targets 1e2 ... 1e-8 that are reached within 2000 d evaluations."""
    rows = []
    if "cocoex" not in PEERS:
        return rows
    chosen = {"CBO": ours, "CBO, no polish": unpolished}
    if "cma" in PEERS:
        chosen["BIPOP-CMA-ES"] = bipop
    chosen["differential evolution"] = evolution
    home = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # cocoex writes the best parameters into a file here
        try:
            for d in (2, 5):
                for name, method in chosen.items():
                    found = coco_shares(method, d, instances)
                    rows.append({"method": name, "d": d, **found})
                    print(rows[-1], flush=True)
        finally:
            os.chdir(home)
    return rows


def coco_shares(method, d, instances):
    cocoex = PEERS["cocoex"]
    options = f"dimensions:{d} instance_indices:{instances}"
    shares = {}
    for problem in cocoex.Suite("bbob", "", options):
        problem._best_parameter("print")
        lowest = problem(np.loadtxt("._bbob_problem_best_parameter.txt"))
        bounds = np.tile([-5.0, 5.0], (d, 1))
        gap = method(problem, bounds, 2000 * d, problem.id_instance) - lowest
        shares.setdefault(problem.id_function, []).append(
            float((max(gap, 0.0) <= TARGETS).mean())
        )
    means = {number: float(np.mean(values)) for number, values in shares.items()}
    groups = {
        group: float(np.mean([means[number] for number in numbers]))
        for group, numbers in GROUPS.items()
    }
    return {"all": float(np.mean(list(means.values()))), **groups}


SCRIPT = """
import time
from dfo import minimize_cbo
from dfo.testfunctions import get
f = get("sphere", 3)
minimize_cbo(f.fun_row, f.bounds, maxfev=200, random_state=0)
from numba import njit
@njit
def new(x):
    total = {number}.0
    for j in range(x.shape[0]):
        total += (x[j] - {number}.0) ** 2 + abs(x[j])
    return total
begun = time.process_time()
minimize_cbo(new, [(-5, 5)] * 3, maxfev=200, random_state=0)
print(time.process_time() - begun)
"""


def compilation():
    """CPU seconds that a new Numba objective costs in a fresh process, warm cache."""
    times = []
    for number in range(1, REPEATS + 2):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "script.py"
            path.write_text(SCRIPT.format(number=number))
            run = subprocess.run(
                [sys.executable, str(path)], check=True, capture_output=True, text=True
            )
        times.append(float(run.stdout))
    print(times, flush=True)
    return {"best": min(times[1:]), "worst": max(times[1:])}


PARTS = {
    "suite": suite,
    "speed": speed,
    "per_evaluation": per_evaluation,
    "coco": coco,
    "canyon": canyon,
    "truncated": truncated,
    "sensing": sensing,
    "digits": digits,
    "compilation": compilation,
}


def page(record):
    """Return the Markdown page of what was measured."""
    parts = [
        "# Derivative-free optimization against its peers",
        "Written by `python3 tasks.py bench dfo`; not by hand. One thread, CPU time.",
    ]
    for name, write in (
        ("suite", suite_text),
        ("speed", speed_text),
        ("per_evaluation", evaluation_text),
        ("coco", coco_text),
        ("canyon", canyon_text),
        ("truncated", truncated_text),
        ("sensing", sensing_text),
        ("digits", digits_text),
        ("compilation", compilation_text),
    ):
        if record.get(name):
            parts += write(record[name])
    return "\n\n".join(parts)


def suite_text(rows):
    return [
        f"## Twelve shifted functions, d = {DIMENSION}",
        f"{BUDGET} evaluations. A score is the mean of the shares of runs within 1e-1 "
        "and within 1e-4 of the minimum; CPU seconds are those of one instance of all "
        "functions.",
        table(
            ["method", "instances", "mean", "CPU s", *SUITE],
            [
                [
                    row["method"],
                    row["instances"],
                    f"{np.mean(row['scores']):.3f}",
                    f"{row['seconds']:.1f}",
                    *[f"{score:.2f}" for score in row["scores"]],
                ]
                for row in rows
            ],
        ),
    ]


def speed_text(rows):
    names = [
        "d",
        "N",
        "Numba",
        "NumPy",
        "cbx",
        "ratio Numba",
        "wanted",
        "ratio NumPy",
        "wanted",
    ]
    return [
        "## A step, in microseconds",
        "Same particles, steps, alpha and function (Rastrigin, evaluation included). "
        "Our step also decides whether to stop; that of cbx was told not to.",
        table(
            names,
            [
                [
                    row["d"],
                    row["N"],
                    *[f"{row[k]:.1f}" for k in ("numba", "numpy", "cbx")],
                    f"{row['ratio_numba']:.1f}",
                    row["wanted_numba"],
                    f"{row['ratio_numpy']:.1f}",
                    row["wanted_numpy"],
                ]
                for row in rows
            ],
        ),
    ]


def evaluation_text(rows):
    slowest = rows[-1]["microseconds"]
    return [
        "## An evaluation at d = 10, in microseconds",
        "Rastrigin compiled by Numba on every row.",
        table(
            ["method", "microseconds", "ratio"],
            [
                [
                    r["method"],
                    f"{r['microseconds']:.3f}",
                    f"{slowest / r['microseconds']:.0f}",
                ]
                for r in rows
            ],
        ),
    ]


def coco_text(rows):
    names = ["all", *GROUPS]
    return [
        "## COCO bbob, 2000 d evaluations",
        "Shares of the 51 targets from 1e2 to 1e-8, 24 functions, 5 instances.",
        table(
            ["method", "d", *names],
            [
                [row["method"], row["d"], *[f"{row[name]:.3f}" for name in names]]
                for row in rows
            ],
        ),
    ]


def compilation_text(found):
    return [
        "## A new Numba objective in a fresh process",
        f"{found['best']:.2f} to {found['worst']:.2f} s of CPU time, run included.",
    ]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    run_parts("dfo", PARTS, sys.argv[1:], page)
