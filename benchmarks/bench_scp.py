"""Sampled convex programs against scikit-learn and HiGHS: `python3 tasks.py bench scp`.

Both sides run in one process on the same features, one thread, kernels warm, in turn;
both answers are graded by the same measure. Ratios of the best of several runs.
"""

import os
import time
import warnings

THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
os.environ.update(THREADS)  # before NumPy is loaded

import numpy as np  # noqa: E402
from report import table, write  # noqa: E402
from scipy.optimize import linprog  # noqa: E402
from sklearn.datasets import load_breast_cancer, load_diabetes  # noqa: E402
from sklearn.linear_model import Lasso, LogisticRegression  # noqa: E402
from sklearn.preprocessing import StandardScaler, scale  # noqa: E402

from convexnn import convexnn_path, sample_patterns, solve_gated, solve_relu  # noqa: E402
from convexnn._measure_losses import LOSSES  # noqa: E402
from convexnn.program import Settings  # noqa: E402
from convexnn.sampled.scp import mint, solve  # noqa: E402
from convexnn.sampled.units import make_features, sample_units  # noqa: E402
from farkas.certificate import CertificateError  # noqa: E402

TOLERANCE = 1e-4
REPEATS = 3
N_UNITS = 1000
# From loose to tight: the first that reaches the gap is timed. A peer that none of
# them brings there is timed with the last, and its gap is shown.
TOLERANCES = (1e-2, 1e-4, 1e-6)
MAX_PEER_ITER = {"Lasso": 10_000, "liblinear": 2000, "saga": 50}


def main():
    rows = [
        compare(data, loss, alpha, peer)
        for data, loss, alpha, peer in (
            ("breast cancer", "squared", 10.0, "Lasso"),
            ("breast cancer", "squared", 1.0, "Lasso"),
            ("diabetes", "squared", 10.0, "Lasso"),
            ("diabetes", "squared", 1.0, "Lasso"),
            ("breast cancer", "logistic", 10.0, "liblinear"),
            ("breast cancer", "logistic", 1.0, "liblinear"),
            ("breast cancer", "logistic", 0.1, "liblinear"),
            ("breast cancer", "logistic", 10.0, "saga"),
            ("breast cancer", "hinge", 10.0, "HiGHS"),
            ("breast cancer", "hinge", 1.0, "HiGHS"),
        )
    ]
    paths = [
        time_path("relu", solve_relu, n=200, P=40),
        time_path("gated", solve_gated, n=200, P=100),
        time_path("gated", solve_gated, n=400, P=200),
    ]
    text = "\n\n".join(
        [
            "# Sampled convex programs and the path",
            "Written by `python3 tasks.py bench scp`; not by hand.",
            f"{N_UNITS} units, standardised data, one thread, both sides in one "
            f"process and in turn, best of {REPEATS}; features are given to both. "
            "Peers run with the loosest tolerance whose answer, graded by the same "
            f"measure, reaches the gap of {TOLERANCE:g} relative to the objective. "
            "Their dual point is that of their own prediction (HiGHS: its dual "
            f"solution). saga gets {MAX_PEER_ITER['saga']} passes, being far from "
            "the gap. "
            "`LinearSVC` with the l1 penalty squares the hinge, another problem; the "
            "whole linear program takes its place.",
            table(
                ["data", "loss", "alpha", "ours", "gap", "peer", "its time", "its gap"]
                + ["ratio"],
                [
                    [
                        row["data"],
                        row["loss"],
                        f"{row['alpha']:g}",
                        f"{row['ours'] * 1e3:.1f} ms",
                        f"{row['gap_ours']:.0e}",
                        row["peer"],
                        f"{row['theirs'] * 1e3:.0f} ms",
                        f"{row['gap_theirs']:.0e}",
                        f"{row['theirs'] / row['ours']:.1f}",
                    ]
                    for row in rows
                ],
            ),
            "A path of 50 alphas over three decades, with a certificate for each, "
            "against one fit at the middle and one at the last alpha, and against 50 "
            "fits one by one:",
            table(
                ["program", "n", "P", "path", "middle", "last", "50 fits"],
                [
                    [
                        row["activation"],
                        row["n"],
                        row["P"],
                        f"{row['path'] * 1e3:.0f} ms",
                        f"{row['path'] / row['middle']:.1f} x",
                        f"{row['path'] / row['last']:.1f} x",
                        f"{row['path'] / row['all']:.2f} x",
                    ]
                    for row in paths
                ],
            ),
        ]
    )
    record = {"programs": rows, "paths": paths}
    write("scp", record, text)


def problem(name):
    load = {"breast cancer": load_breast_cancer, "diabetes": load_diabetes}[name]
    X, y = load(return_X_y=True)
    X = np.column_stack([StandardScaler().fit_transform(X), np.ones(len(X))])
    y = scale(y) if name == "diabetes" else np.where(y > 0, 1.0, -1.0)
    return X, y, sample_units(X.shape[1], N_UNITS, random_state=0)


def compare(data, loss, alpha, peer):
    """Time both sides alternately to the same certified gap."""
    X, y, units = problem(data)
    shared = make_features(X, units)
    F = np.asfortranarray(shared[0].T * shared[1])
    settings = Settings(tol=TOLERANCE, max_iter=1000)

    def ours():
        return solve(X, y, units, alpha, loss, settings, features=shared)

    def gap(coef, theta):
        return grade(X, y, units, alpha, loss, coef, theta)

    mine = ours()
    run = PEERS[peer]
    for accuracy in TOLERANCES:
        gap_theirs = gap(*run(F, y, alpha, loss, accuracy))
        if gap_theirs <= TOLERANCE:
            break
    times = {"ours": [], "theirs": []}
    for _ in range(REPEATS):
        for name, call in (
            ("ours", ours),
            ("theirs", lambda: run(F, y, alpha, loss, accuracy)),
        ):
            begun = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - begun)
    return {
        "data": data,
        "loss": loss,
        "alpha": alpha,
        "peer": peer,
        "ours": min(times["ours"]),
        "theirs": min(times["theirs"]),
        "gap_ours": gap(mine.coef, mine.theta),
        "gap_theirs": gap_theirs,
        "tolerance_theirs": accuracy,
        "rounds": mine.nit,
    }


def lasso(F, y, alpha, loss, accuracy):
    model = Lasso(
        alpha / len(y),
        fit_intercept=False,
        tol=accuracy,
        max_iter=MAX_PEER_ITER["Lasso"],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        coef = model.fit(F, y).coef_
    return coef, LOSSES[loss].theta(F @ coef, y)


def logistic(solver):
    def run(F, y, alpha, loss, accuracy):
        model = LogisticRegression(
            l1_ratio=1,
            C=1 / alpha,
            fit_intercept=False,
            solver=solver,
            tol=accuracy,
            max_iter=MAX_PEER_ITER[solver],
            random_state=0,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            coef = model.fit(F, y).coef_[0]
        return coef, LOSSES[loss].theta(F @ coef, y)

    return run


def highs(F, y, alpha, loss, accuracy):
    n, N = F.shape
    margins = y[:, None] * F
    answer = linprog(
        np.concatenate([np.full(2 * N, alpha), np.ones(n)]),
        A_ub=np.hstack([-margins, margins, -np.eye(n)]),
        b_ub=-np.ones(n),
        method="highs",
    )
    coef = answer.x[:N] - answer.x[N : 2 * N]
    return coef, np.clip(-answer.ineqlin.marginals, 0, 1) * y


PEERS = {
    "Lasso": lasso,
    "liblinear": logistic("liblinear"),
    "saga": logistic("saga"),
    "HiGHS": highs,
}


def grade(X, y, units, alpha, loss, coef, theta):
    """Return the relative gap that an answer proves."""

    class Answer:
        pass

    answer = Answer()
    answer.coef, answer.theta = coef, LOSSES[loss].project(theta, y)
    parameters = {"alpha": alpha, "loss": loss, "encoding": "none", "intercept": 0.0}
    try:
        made = mint([answer], (X, y), units, parameters, TOLERANCE)
    except CertificateError:
        return float("inf")
    return made.gap / made.upper


def time_path(activation, solver, *, n, P):
    X, y, _ = problem("breast cancer")
    X, y = X[:n], y[:n]
    patterns = sample_patterns(X, P, random_state=0)
    best = dict.fromkeys(("path", "middle", "last", "all"), float("inf"))
    alphas = convexnn_path(X, y, patterns, activation=activation).alphas
    runs = {
        "path": lambda: convexnn_path(X, y, patterns, activation=activation),
        "middle": lambda: solver(X, y, patterns, alpha=alphas[25]),
        "last": lambda: solver(X, y, patterns, alpha=alphas[-1]),
        "all": lambda: [solver(X, y, patterns, alpha=alpha) for alpha in alphas],
    }
    for k in range(REPEATS):
        for name, run in runs.items():
            if name == "all" and k:
                continue
            begun = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - begun)
    return {"activation": activation, "n": n, "P": P, **best}


if __name__ == "__main__":
    main()
