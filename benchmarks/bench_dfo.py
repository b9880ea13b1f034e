"""Consensus-based optimization against its peers: `python3 tasks.py bench dfo`.

Peers are cma (BIPOP), SciPy's differential evolution and dual annealing, and cbx; the
rows of those that are not installed are left out, and so is COCO without cocoex. Parts
can be named: `python3 tasks.py bench dfo suite speed`. Times are CPU times of one
thread, both sides in one process and in turn.
"""

import json
import math
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
from report import table  # noqa: E402
from scipy.optimize import differential_evolution, dual_annealing  # noqa: E402

from dfo import CBO, CBOClassifier, consensus_hopping, minimize_cbo  # noqa: E402
from dfo.objective import Objective  # noqa: E402
from dfo.testfunctions import SUITE, get, shifted  # noqa: E402
from farkas.environment import describe  # noqa: E402

RESULTS = Path(__file__).resolve().parent / "results"
RECORD = RESULTS / "dfo.json"
PEERS = {}
for _name in ("cma", "cbx", "cocoex"):
    try:
        PEERS[_name] = __import__(_name)
    except ImportError:
        print(f"{_name} is not installed: its rows are left out")

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


class Spent(Exception):
    """The budget is spent. StopIteration would end SciPy's own loops silently."""


class Budget:
    """A function of one point that stops after its budget, and keeps the best value."""

    def __init__(self, fun, budget):
        self.fun, self.left, self.best = fun, budget, math.inf

    def __call__(self, x, *args):
        if self.left <= 0:
            raise Spent
        self.left -= 1
        value = float(self.fun(x))
        self.best = min(self.best, value)
        return value


def ours(fun, bounds, budget, seed, **options):
    return minimize_cbo(
        fun, bounds, vectorized=False, maxfev=budget, random_state=seed, **options
    ).fun


def unpolished(fun, bounds, budget, seed):
    return ours(fun, bounds, budget, seed, polish=None)


def bipop(fun, bounds, budget, seed):
    cma, counted = PEERS["cma"], Budget(fun, budget)
    lower, upper = bounds.T
    rng = np.random.default_rng(seed)
    try:
        cma.fmin2(
            counted,
            lambda: rng.uniform(lower, upper),
            0.3 * float((upper - lower)[0]),
            {
                "bounds": [list(lower), list(upper)],
                "verbose": -9,
                "seed": seed + 1,
                "maxfevals": budget,
            },
            bipop=True,
            restarts=20,
        )
    except Spent:
        pass
    return counted.best


def evolution(fun, bounds, budget, seed, polish=True):
    counted = Budget(fun, budget)
    try:
        while counted.left > 0:
            differential_evolution(
                counted, bounds, rng=seed, maxiter=10**6, polish=polish
            )
            seed += 1000
    except (Spent, RuntimeError):
        pass
    return counted.best


def annealing(fun, bounds, budget, seed):
    counted = Budget(fun, budget)
    try:
        dual_annealing(counted, bounds, rng=seed, maxfun=budget, maxiter=10**6)
    except Spent:
        pass
    return counted.best


def cbx_run(fun, bounds, budget, seed):
    from cbx.dynamics import CBO as Peer

    lower, upper = bounds.T
    N = 100
    np.random.seed(seed)  # noqa: NPY002, cbx draws from the global state
    d = len(lower)
    x = np.random.default_rng(seed).uniform(lower, upper, (1, N, d))
    best = [math.inf]

    def rows(X):
        X = np.clip(X, lower, upper).reshape(-1, d)
        values = np.array([fun(point) for point in X])
        best[0] = min(best[0], values.min())
        return values.reshape(1, -1)

    peer = Peer(
        rows,
        d=d,
        x=x,
        noise="anisotropic",
        sigma=5.1,
        dt=0.01,
        alpha=30.0,
        max_it=budget // N,
        f_dim="3D",
        verbosity=0,
    )
    peer.optimize()
    return best[0]


METHODS = {"CBO": ours, "CBO, no polish": unpolished}
if "cma" in PEERS:
    METHODS["BIPOP-CMA-ES"] = bipop
METHODS |= {"dual annealing": annealing, "differential evolution": evolution}
if "cbx" in PEERS:
    METHODS["cbx"] = cbx_run


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


def canyon(runs=200):
    """Share of runs from (8, 8) that end within 1/2 of the minimum."""
    f, start = get("canyon"), np.array([8.0, 8.0])
    hits = {"consensus-based": 0, "consensus hopping": 0}
    for seed in range(runs):
        hop = consensus_hopping(
            f.fun, start, sigma=0.7, alpha=100.0, vectorized=True, random_state=seed
        )
        hits["consensus hopping"] += bool(np.linalg.norm(hop.consensus) < 0.5)
        rng = np.random.default_rng(seed)
        swarm = CBO(
            2,
            x0=start + 0.5 * rng.standard_normal((200, 2)),
            noise="isotropic",
            lam=1.0,
            sigma=1.6,
            dt=0.01,
            alpha=100.0,
            boundary=None,
            cooling=1.0,
            xtol=0.0,
            patience=10**9,
            random_state=seed,
        )
        for _ in range(250):
            X = swarm.ask()
            swarm.tell(X, f.fun(X))
        hits["consensus-based"] += bool(np.linalg.norm(swarm.consensus) < 0.5)
    x, h = start.copy(), 1e-5 * np.eye(2)
    for _ in range(10_000):
        x = x - 1e-3 * (f.fun(x + h) - f.fun(x - h)) / 2e-5
    # Gradient descent is not random: all runs end at this one point.
    found = {name: count / runs for name, count in hits.items()}
    found["gradient descent"] = float(np.linalg.norm(x) < 0.5)
    found["gradient descent ends at"] = [float(v) for v in x]
    print(found, flush=True)
    return found


def sensing(runs=20):
    """Relative errors of compressed sensing, d = 200 from M = 80 measurements."""
    errors = []
    for seed in range(runs):
        A, x_true, y = sensing_problem(seed)
        errors.append(recovered(A, x_true, y, seed))
    found = {
        "runs": runs,
        "largest": max(errors),
        "below": float(np.mean(np.array(errors) < 1e-12)),
    }
    print(found, flush=True)
    return found


def sensing_problem(seed, d=200, s=8, M=80):
    rng = np.random.default_rng([7, seed])
    x = np.zeros(d)
    support = rng.choice(d, s, replace=False)
    x[support] = rng.uniform(0.5, 1.5, s) * rng.choice([-1, 1], s)
    A = rng.standard_normal((M, d)) / math.sqrt(M)
    return A, x, A @ x


def recovered(A, x_true, y, seed, particles=10):
    d = len(x_true)

    def fun(X):
        return np.sum((X @ A.T - y) ** 2, axis=1) + 0.25 * np.abs(X).sum(axis=1)

    def jac(X):
        return 2 * (X @ A.T - y) @ A + 0.25 * np.sign(X)

    jac.vectorized = True
    rng = np.random.default_rng(seed)
    swarm = CBO(
        d,
        x0=rng.standard_normal((particles, d)),
        memory=True,
        lam=1.0,
        lam_grad=1.0,
        jac=jac,
        sigma=math.sqrt(1.6),
        dt=0.02,
        alpha=100.0,
        boundary=None,
        cooling=1.0,
        xtol=0.0,
        patience=10**9,
        random_state=seed,
    )
    for _ in range(1000):
        X = swarm.ask()
        swarm.tell(X, fun(X))
    c = swarm.consensus
    support = np.abs(c) > 0.01
    x = np.zeros(d)
    x[support] = np.linalg.lstsq(A[:, support], y, rcond=None)[0]
    return float(np.linalg.norm(x - x_true) / np.linalg.norm(x_true))


def digits():
    """Test accuracy on a quarter of scikit-learn's digits."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    X, y = load_digits(return_X_y=True)
    A, B, a, b = train_test_split(X / 16, y, random_state=0, stratify=y)
    rows = []
    for name, model in (
        ("CBOClassifier", CBOClassifier(max_iter=60, random_state=0)),
        ("logistic regression", LogisticRegression(max_iter=1000)),
        ("MLP, 10 units", MLPClassifier((10,), max_iter=2000, random_state=0)),
    ):
        begun = time.process_time()
        model.fit(A, a)
        seconds = time.process_time() - begun
        rows.append(
            {
                "model": name,
                "test": float(model.score(B, b)),
                "train": float(model.score(A, a)),
                "seconds": seconds,
            }
        )
        print(rows[-1], flush=True)
    return rows


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
    "sensing": sensing,
    "digits": digits,
    "compilation": compilation,
}


def main(names):
    unknown = set(names) - set(PARTS)
    if unknown:
        sys.exit(f"unknown parts {sorted(unknown)}; choose among {sorted(PARTS)}.")
    warnings.simplefilter("ignore")
    RESULTS.mkdir(exist_ok=True)
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    for name in names or PARTS:
        record[name] = PARTS[name]()
        record["environment"] = describe()
        RECORD.write_text(json.dumps(record, indent=1))
    (RESULTS.parent / "dfo.md").write_text(page(record) + "\n")


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


def canyon_text(found):
    return [
        "## The canyon from (8, 8), 200 runs",
        table(
            ["method", "share within 1/2 of the minimum"],
            [[k, f"{v:.3f}"] for k, v in found.items() if not isinstance(v, list)],
        ),
    ]


def sensing_text(found):
    return [
        "## Compressed sensing, d = 200, M = 80",
        f"Share of {found['runs']} runs with a relative error below 1e-12: "
        f"{found['below']:.2f}; the largest error is {found['largest']:.1e}.",
    ]


def digits_text(rows):
    return [
        "## Digits",
        table(
            ["model", "test", "train", "CPU s"],
            [
                [
                    r["model"],
                    f"{r['test']:.3f}",
                    f"{r['train']:.3f}",
                    f"{r['seconds']:.1f}",
                ]
                for r in rows
            ],
        ),
    ]


def compilation_text(found):
    return [
        "## A new Numba objective in a fresh process",
        f"{found['best']:.2f} to {found['worst']:.2f} s of CPU time, run included.",
    ]


if __name__ == "__main__":
    main(sys.argv[1:])
