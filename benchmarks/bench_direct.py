"""Covering direct search and attacks against their peers: `tasks.py bench direct`.

Peers are SciPy's COBYQA and, in the environment whose interpreter the variable
FARKAS_CDSM names, NOMAD (PyNomad), Py-BOBYQA and torch; without it their rows are left
out, and so are those whose data are absent. NOMAD takes minutes: it runs with one seed,
or with as many as FARKAS_NOMAD_SEEDS says. Parts can be named:
`python3 tasks.py bench direct profiles reactor`. Times are CPU times of one thread.
"""

import math
import os
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
os.environ.update(THREADS)  # before NumPy is loaded

import more_wild  # noqa: E402
import numpy as np  # noqa: E402
from report import run_parts, table  # noqa: E402
from sklearn.datasets import load_breast_cancer, load_digits, load_wine  # noqa: E402
from sklearn.model_selection import train_test_split  # noqa: E402
from sklearn.neural_network import MLPClassifier, MLPRegressor  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from dfo import (  # noqa: E402
    CounterfactualExplainer,
    as_network,
    directional_attack,
    minimize_cdsm,
    optimize_through_network,
)
from dfo.attack.layers import Chain, Network  # noqa: E402

REACTOR = more_wild.DATA / "bio_pinn_mlp.npz"
PEERS = os.environ.get("FARKAS_CDSM")
PEER = Path(__file__).resolve().parent / "peer_direct.py"
PEER_NAMES = {"nomad": "NOMAD", "bobyqa": "Py-BOBYQA"}

TAUS, BUDGETS = (1e-1, 1e-3, 1e-5, 1e-7), (10, 25, 50)
SEEDS = (0, 1, 2)
NOMAD_SEEDS = SEEDS[: int(os.environ.get("FARKAS_NOMAD_SEEDS", "1"))]
HUGE = 1e300  # stands for a failed point where a peer takes no infinity
STRATEGIES = ("hybrid", "attack", "cdsm", "line_search")


class Spent(Exception):
    """The budget is spent."""


class Counted:
    """A function that keeps its values, and the CPU time that it took itself."""

    def __init__(self, problem, budget, failed=math.inf):
        self.problem, self.budget, self.failed = problem, budget, failed
        self.values, self.seconds = [], 0.0

    def __call__(self, x):
        if len(self.values) >= self.budget:
            raise Spent
        start = time.process_time()
        value = self.problem(np.asarray(x))
        self.seconds += time.process_time() - start
        self.values.append(value)
        return value if math.isfinite(value) else self.failed


def ours(problem, budget, seed):
    f = Counted(problem, budget)
    minimize_cdsm(
        f, problem.x0, maxfev=budget, certify=False, xtol=1e-10, random_state=seed
    )
    return f


def cobyqa(problem, budget, seed):
    from scipy.optimize import minimize

    f = Counted(problem, budget, HUGE)
    options = {"maxfev": budget, "final_tr_radius": 1e-10}
    try:
        minimize(f, problem.x0, method="COBYQA", options=options)
    except Spent:
        pass
    return f


def own_runs(problems, solver, seed):
    """Return values and CPU seconds of a solver in this process."""
    start = time.process_time()
    found = [solver(p, 50 * (p.n + 1), seed) for p in problems]
    total = time.process_time() - start
    return [np.array(f.values) for f in found], total - sum(f.seconds for f in found)


def peer_runs():
    """Return values and CPU seconds of the peers, each in a process, two at a time."""
    jobs = [
        (name, kind, seed)
        for name in PEER_NAMES
        for kind in ("smooth", "nonsmooth")
        for seed in (NOMAD_SEEDS if name == "nomad" else SEEDS[:1])
    ]

    def run(job):
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "answer.npz")
            name, kind, seed = job
            command = [PEERS, str(PEER), name, path, kind, str(seed)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            data = np.load(path)
            values = [data[f"v{i}"] for i in range(len(data.files) - 1)]
            return values, float(data["seconds"])

    if not PEERS:
        print("FARKAS_CDSM names no interpreter: rows of peers are left out")
        return {}
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(jobs, pool.map(run, jobs), strict=True))


def all_runs(smooth, peers):
    """Return values and CPU seconds of every solver, seed and problem."""
    problems = more_wild.load(smooth)
    found = {("cDSM", seed): own_runs(problems, ours, seed) for seed in SEEDS}
    found["COBYQA", 0] = own_runs(problems, cobyqa, 0)
    wanted = "smooth" if smooth else "nonsmooth"
    for (name, kind, seed), run in peers.items():
        if kind == wanted:
            found[PEER_NAMES[name], seed] = run
    runs, seconds = ({key: run[i] for key, run in found.items()} for i in (0, 1))
    return problems, runs, seconds


def profiles():
    """Shares of the 53 problems solved to tau within k (n + 1) evaluations."""
    if not more_wild.MW.exists():
        return {}
    out, peers = {}, peer_runs()
    for smooth in (True, False):
        problems, runs, own = all_runs(smooth, peers)
        cells = {}
        for seed in SEEDS:
            there = {
                name: runs.get((name, seed), runs.get((name, SEEDS[0])))
                for name in dict.fromkeys(name for name, _ in runs)
            }
            for name, shares in profile_cells(problems, there).items():
                cells.setdefault(name, []).append(shares)
        out["smooth" if smooth else "nonsmooth"] = {
            name: {
                "cells": np.mean(shares, axis=0).tolist(),
                "mean": float(np.mean(shares)),
                "seconds": own[name, SEEDS[0]],
            }
            for name, shares in cells.items()
        }
    print(out, flush=True)
    return out


def profile_cells(problems, runs):
    """Return a table of shares, taus by budgets, for every solver."""
    out = {name: np.zeros((len(TAUS), len(BUDGETS))) for name in runs}
    for i, problem in enumerate(problems):
        best = min(values[i].min() for values in runs.values())
        first = problem(problem.x0)
        for name, values in runs.items():
            lowest = np.minimum.accumulate(values[i])
            for a, tau in enumerate(TAUS):
                for b, k in enumerate(BUDGETS):
                    last = min(k * (problem.n + 1), len(lowest)) - 1
                    out[name][a, b] += lowest[last] <= best + tau * (first - best)
    return {name: table / len(problems) for name, table in out.items()}


@cache
def reactor_network():
    """The reactor at 100 times of a plan (duration, power), with its products."""
    data = np.load(REACTOR)
    weights = [data[f"W{i}"].astype(float) for i in range(4)]
    biases = [data[f"b{i}"].astype(float) for i in range(4)]
    net = as_network((weights, biases, "tanh"))
    shares = np.arange(1, 101) / 100

    def rows(x):
        return np.column_stack([120 * x[0] * shares, np.full(100, 20 * x[1])])

    def vjp(X, U):
        outputs, slopes = [], []
        for x, u in zip(X, U, strict=True):
            Y, G = net.vjp(rows(x), u.reshape(100, 6))
            outputs.append(Y.ravel())
            slopes.append([120 * (G[:, 0] @ shares), 20 * G[:, 1].sum()])
        return np.array(outputs), np.array(slopes)

    return as_network(
        lambda X: np.array([net.forward(rows(x)).ravel() for x in X]), vjp=vjp
    )


def yield_of(y):
    y = y.reshape(100, 6)
    return float(np.mean(y[:, 4] / (y[:, 0] + y[:, 1] + y[:, 2])))


def yield_slope(y):
    y = y.reshape(100, 6)
    rest = y[:, :3].sum(axis=1)
    g = np.zeros((100, 6))
    g[:, 4] = 1 / rest / 100
    g[:, :3] = (-y[:, 4] / rest**2 / 100)[:, None]
    return g.ravel()


def reactor_limits(x, y):
    y = y.reshape(100, 6)
    energy = 120 * x[0] * 20 * x[1] - 500
    return np.r_[energy, -y[:, :5].ravel(), 20 - y[:, 5], y[:, 5] - 65]


def reactor(runs=20):
    """Runs that reach the local and the global optimum of the bio-diesel plan."""
    if not REACTOR.exists():
        return []
    rows = []
    for strategy in STRATEGIES:
        best = []
        for seed in range(runs):
            log = optimize_through_network(
                reactor_network(),
                yield_of,
                [1 / 3, 0.3],
                gradient=yield_slope,
                constraints=reactor_limits,
                bounds=[(0, 1)] * 2,
                strategy=strategy,
                maxfev=400,
                certify=False,
                random_state=seed,
            ).evaluations
            values = np.where(log["h"] == 0, -log["F"], -np.inf)
            values = np.maximum.accumulate(values)
            best.append([values[min(k, len(values)) - 1] for k in (259, 400)])
        best = np.array(best)
        rows.append(
            {
                "strategy": strategy,
                "runs": runs,
                "local at 259": int((best[:, 0] >= 1.5460).sum()),
                "global at 259": int((best[:, 0] >= 1.878).sum()),
                "global at 400": int((best[:, 1] >= 1.878).sum()),
                "worst at 400": float(best[:, 1].min()),
            }
        )
        print(rows[-1], flush=True)
    return rows


def surrogates():
    """Three inverse problems through networks: name, network, goal, start, box."""
    warnings.simplefilter("ignore")
    images, labels = load_digits().data / 16, load_digits().target
    digits = MLPClassifier((64, 32), random_state=0, max_iter=300)
    digits.fit(images[:1400], labels[:1400])
    mixture = Network(
        [
            (np.eye(100), np.zeros(100), "softmax"),
            (images[:100].copy(), np.zeros(64), "identity"),
        ]
    )
    goal = digits.predict_proba(images[1500:1501])[0]
    net = Chain([mixture, as_network(digits)])
    yield "barycentric digits", net, goal, np.zeros(100), (-10.0, 10.0)
    answer = digits.predict_proba(images[1510:1530]).mean(axis=0)
    yield (
        "pixels for mixed answers",
        as_network(digits),
        answer,
        np.full(64, 0.5),
        (0, 1),
    )
    X = StandardScaler().fit_transform(load_wine().data)
    wine = MLPRegressor(
        hidden_layer_sizes=(32, 32), activation="tanh", max_iter=400, random_state=0
    ).fit(X[1:, :6], X[1:, 6:])
    yield "wine backwards", as_network(wine), X[0, 6:], np.zeros(6), (-3.0, 3.0)


def hybrid(budget=1000, runs=5):
    """Squared distances at equal cost, forward passes plus twice the products."""
    rows = []
    for name, net, goal, start, (low, high) in surrogates():
        for strategy in STRATEGIES:
            values = [
                at_equal_cost(net, goal, start, low, high, strategy, budget, seed)
                for seed in range(runs)
            ]
            row = {"problem": name, "strategy": strategy}
            row |= {"worst": max(values), "mean": float(np.mean(values))}
            rows.append(row | {"best": min(values)})
            print(rows[-1], flush=True)
    return rows


def at_equal_cost(net, goal, start, low, high, strategy, budget, seed):
    best = math.inf

    def callback(intermediate_result):
        nonlocal best
        if intermediate_result.nfev + 2 * intermediate_result.njev > budget:
            raise StopIteration
        best = intermediate_result.fun

    optimize_through_network(
        net,
        lambda y: float(np.sum((y - goal) ** 2)),
        start,
        gradient=lambda y: 2 * (y - goal),
        bounds=[(low, high)] * len(start),
        maximize=False,
        strategy=strategy,
        maxfev=budget,
        certify=False,
        callback=callback,
        random_state=seed,
    )
    return best


def counterfactuals():
    """Breast cancer, texture immutable: every held-out row, against line searches."""
    data = load_breast_cancer()
    X, rows, y, _ = train_test_split(
        data.data, data.target, random_state=0, stratify=data.target
    )
    texture = [i for i, name in enumerate(data.feature_names) if "texture" in name]
    model = make_pipeline(
        StandardScaler(),
        MLPClassifier((32,), random_state=0, max_iter=1000),
    )
    model = CounterfactualExplainer(
        model, target=1, immutable=texture, tol=0.01, max_evaluations=200
    )
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answer = model.fit(X, y).explain(rows)
        moved, lengths = answer.inputs, answer.distances
    seconds = (time.process_time() - start) / len(rows)
    valid = model.predict_proba(moved)[:, 1] >= 0.9
    lines = np.array([shortest_line(model, X, row, texture) for row in rows])
    found = {
        "rows": len(rows),
        "valid": int(valid.sum()),
        "immutable kept": bool((moved[:, texture] == rows[:, texture]).all()),
        "no longer": float(np.mean(lengths <= lines + 1e-9)),
        "moved rows": int((lengths > 0).sum()),
        "median ratio": float(np.median(lengths[lines > 0] / lines[lines > 0])),
        "seconds per row": seconds,
    }
    print(found, flush=True)
    return found


def shortest_line(model, X, row, fixed):
    """Shortest valid move of FGSM or PGD over a fine range of radii."""
    if model.predict_proba(row[None])[0, 1] >= 0.9:
        return 0.0
    unit = X.std(axis=0)
    low, high = np.minimum(X.min(axis=0), row), np.maximum(X.max(axis=0), row)
    low[fixed] = high[fixed] = row[fixed]
    first = Network([(np.diag(unit), np.zeros(len(unit)), "identity")])
    net = Chain([first, as_network(model.classifier_, output="logits")])
    sides = np.column_stack([low, high]) / unit[:, None]
    z = np.clip(row / unit, *sides.T)
    best = math.inf
    for method in ("fgsm", "pgd"):
        for radius in np.geomspace(0.02, 30, 60):
            if radius >= best:
                break
            d = directional_attack(
                net, z, [1.0], radius, norm=2, method=method, bounds=sides
            ).perturbation
            x = np.clip(row + unit * d, low, high)
            if model.predict_proba(x[None])[0, 1] >= 0.9:
                best = min(best, float(np.linalg.norm((x - row) / unit)))
    return best


def kink(runs=20):
    """Dennis and Woods: largest value after 1500 evaluations, coordinate polls."""
    c = np.array([1.0, -1.0])
    rows = []
    for covering in (None, "farthest", "random", "halton"):
        values = [
            minimize_cdsm(
                lambda x: max(np.sum((x - c) ** 2), np.sum((x + c) ** 2)) / 2,
                [2.1, 2.1],
                poll="coordinate",
                covering=covering,
                initial_radius=0.5,
                model_search=False,
                simplex_search=False,
                maxfev=1500,
                random_state=seed,
            ).fun
            for seed in range(runs)
        ]
        below = float(np.mean(np.array(values) <= 1.005))
        rows.append({"covering": str(covering), "worst": max(values), "share": below})
    print(rows, flush=True)
    return rows


def overhead(repeats=3):
    """Own CPU time of an evaluation at n = 10, in microseconds."""
    found = {}
    for name, models in (("without models", False), ("with models", True)):
        times = []
        for seed in range(repeats):
            f = Counted(lambda x: float(x @ x + np.abs(x).sum()), 2000)
            start = time.process_time()
            minimize_cdsm(
                f,
                np.full(10, 3.0),
                maxfev=2000,
                model_search=models,
                simplex_search=models,
                xtol=1e-14,
                certify=False,
                random_state=seed,
            )
            own = time.process_time() - start - f.seconds
            times.append(own / len(f.values))
        found[name] = min(times) * 1e6
    print(found, flush=True)
    return found


def gradients(repeats=7):
    """CPU time of one product, against torch autograd, in microseconds."""
    if not PEERS or not REACTOR.exists():
        return []
    data = np.load(REACTOR)
    W = [data[f"W{i}"].astype(float) for i in range(4)]
    b = [data[f"b{i}"].astype(float) for i in range(4)]
    net = as_network((W, b, "tanh"))
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "answer.npz")
        subprocess.run([PEERS, str(PEER), "torch", path], check=True)
        peer = dict(np.load(path))
    rows = []
    for batch, loops in ((1, 2000), (100, 400)):
        X, U = peer[f"X{batch}"], peer[f"U{batch}"]
        np.testing.assert_allclose(net.vjp(X, U)[1], peer[f"G{batch}"], rtol=1e-9)
        best = math.inf
        for _ in range(repeats):
            start = time.process_time()
            for _ in range(loops):
                net.vjp(X, U)
            best = min(best, (time.process_time() - start) / loops)
        theirs = float(peer[f"seconds{batch}"]) * 1e6
        rows.append({"batch": batch, "ours": best * 1e6, "torch": theirs})
    print(rows, flush=True)
    return rows


PARTS = {
    "profiles": profiles,
    "reactor": reactor,
    "hybrid": hybrid,
    "counterfactuals": counterfactuals,
    "kink": kink,
    "overhead": overhead,
    "gradients": gradients,
}


def page(record):
    """Return the Markdown page of what was measured."""
    parts = [
        "# Direct search and attacks against their peers",
        "Written by `python3 tasks.py bench direct`; not by hand. One thread, CPU.",
    ]
    for name in PARTS:
        if record.get(name):
            parts += TEXTS[name](record[name])
    return "\n\n".join(parts)


def profiles_text(found):
    parts = [
        "## Moré-Wild, 53 problems",
        "Shares solved to `f <= f_L + tau (f(x0) - f_L)` within 10, 25 and 50 (n + 1) "
        "evaluations; f_L is the best of all solvers. Mean of seeds, three for cDSM, "
        f"{len(NOMAD_SEEDS)} for NOMAD. Seconds are those of one seed over the set, "
        "functions excluded.",
    ]
    for kind, rows in found.items():
        parts.append(
            table(
                [kind, *[f"{tau:g}" for tau in TAUS], "mean", "s"],
                [
                    [
                        name,
                        *["/".join(f"{v:.2f}" for v in cell) for cell in row["cells"]],
                        f"{row['mean']:.3f}",
                        f"{row['seconds']:.1f}",
                    ]
                    for name, row in rows.items()
                ],
            )
        )
    return parts


def rows_text(title, text):
    """Return a writer of a list of rows that all have the same keys."""

    def write(rows):
        rows = rows if isinstance(rows, list) else [rows]
        names = list(rows[0])
        return [
            title,
            *([text] if text else []),
            table(names, [[shown(row[k]) for k in names] for row in rows]),
        ]

    return write


def shown(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)


TEXTS = {
    "profiles": profiles_text,
    "reactor": rows_text(
        "## Bio-diesel plan",
        "Runs that reach 1.5460 (local) and 1.878 (global) within 259 and 400 "
        "evaluations. The best published value is 1.5248.",
    ),
    "hybrid": rows_text(
        "## Inverse problems through networks",
        "Squared distance of the outputs from a goal within 1000 evaluations, a "
        "product counted twice; worst, mean and best of five seeds.",
    ),
    "counterfactuals": rows_text(
        "## Counterfactuals, breast cancer",
        "`no longer`: share of rows whose distance is at most that of the best FGSM or "
        "PGD move over 60 radii.",
    ),
    "kink": rows_text(
        "## The kink of Dennis and Woods, 1500 evaluations, 20 seeds",
        "Without covering a search stops at 1.01; `share` ends at 1.005 or below.",
    ),
    "overhead": rows_text(
        "## Own time of an evaluation at n = 10, in microseconds", ""
    ),
    "gradients": rows_text(
        "## One vector-Jacobian product, in microseconds",
        "Network 2-64-64-64-6 with tanh, float64.",
    ),
}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    run_parts("direct", PARTS, sys.argv[1:], page)
