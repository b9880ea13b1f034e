"""Convex networks against cvxpy + Clarabel: `python3 tasks.py bench convexnn`.

Both sides run in one process on the same arrays, one thread, kernels warm, interleaved;
both answers are graded by the same measure. Ratios of the best of several runs.
"""

import os
import time

THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
os.environ.update(THREADS)  # before NumPy is loaded

import numpy as np  # noqa: E402
from report import table, write  # noqa: E402
from sklearn.datasets import load_breast_cancer  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from convexnn import (  # noqa: E402
    reference_cvxpy,
    sample_patterns,
    solve_gated,
    solve_relu,
)
from convexnn._measure_losses import LOSSES  # noqa: E402
from convexnn.admm import factorize  # noqa: E402
from convexnn.bounds import Bounds  # noqa: E402

TOLERANCE = 1e-4
REPEATS = 5
# From loose to the default: the first that reaches the same gap is timed.
CLARABEL_TOLERANCES = (1e-3, 1e-4, 1e-5, 1e-6, 1e-8)
SOLVERS = {"relu": solve_relu, "gated": solve_gated}


def main():
    rows = [
        compare("relu", n=200, n_patterns=40, loss="squared", wanted=15),
        compare("relu", n=200, n_patterns=40, loss="logistic"),
        compare("relu", n=200, n_patterns=40, loss="hinge"),
        compare("gated", n=400, n_patterns=100, loss="squared", wanted=30),
        compare("relu", n=200, n_patterns=40, loss="squared", tol=1e-7),
        # Hardly any penalty on few rows and many patterns: where our lead is least.
        compare("relu", n=20, n_patterns=100, loss="squared", tol=1e-6, alpha=1e-3),
    ]
    scaling = [time_per_iteration(P) for P in (50, 100, 200, 400)]
    text = "\n\n".join(
        [
            "# Convex networks against cvxpy + Clarabel",
            "Written by `python3 tasks.py bench convexnn`; not by hand.",
            "Breast cancer, standardised, one thread, both sides in one process and in "
            "turn, best of "
            f"{REPEATS}. Clarabel runs with the loosest tolerance whose answer, graded "
            "by the same measure, reaches the gap; its time includes cvxpy's.",
            table(
                [
                    "program",
                    "n",
                    "P",
                    "alpha",
                    "loss",
                    "gap",
                    "ours",
                    "Clarabel",
                    "ratio",
                    "wanted",
                ],
                [
                    [
                        row["activation"],
                        row["n"],
                        row["P"],
                        f"{row['alpha']:g}",
                        row["loss"],
                        f"{row['tol']:g}",
                        f"{row['ours'] * 1e3:.1f} ms",
                        f"{row['clarabel'] * 1e3:.0f} ms",
                        f"{row['clarabel'] / row['ours']:.1f}",
                        row["wanted"] or "",
                    ]
                    for row in rows
                ],
            ),
            "Time per iteration, n = 200, ReLU, squared loss:",
            table(
                ["P", "microseconds", "per pattern"],
                [[P, f"{t * 1e6:.0f}", f"{t * 1e6 / P:.2f}"] for P, t in scaling],
            ),
        ]
    )
    record = {
        "gap": rows,
        "iteration": scaling,
    }
    write("convexnn", record, text)


def problem(n, n_patterns):
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X[:n])
    X = np.column_stack([X, np.ones(n)])
    y = np.where(y[:n] > 0, 1.0, -1.0)
    return X, y, sample_patterns(X, n_patterns, random_state=0)


def compare(activation, *, n, n_patterns, loss, tol=TOLERANCE, alpha=1.0, wanted=None):
    """Time both sides alternately to the same certified gap."""
    X, y, patterns = problem(n, n_patterns)
    solve = SOLVERS[activation]
    program = {"alpha": alpha, "loss": loss}

    def ours():
        return solve(X, y, patterns, tol=tol, max_iter=100_000, **program)

    def clarabel(accuracy):
        return reference_cvxpy(
            X,
            y,
            patterns,
            activation=activation,
            tol_gap_abs=accuracy,
            tol_gap_rel=accuracy,
            tol_feas=accuracy,
            **program,
        )

    ours()
    for accuracy in CLARABEL_TOLERANCES:
        peer_gap = grade(clarabel(accuracy), X, y, patterns, activation, program)
        if peer_gap <= tol:
            break
    times = {"ours": [], "clarabel": []}
    for _ in range(REPEATS):
        begun = time.perf_counter()
        mine = ours()
        times["ours"].append(time.perf_counter() - begun)
        begun = time.perf_counter()
        theirs = clarabel(accuracy)
        times["clarabel"].append(time.perf_counter() - begun)
    return {
        "activation": activation,
        "n": n,
        "P": n_patterns,
        "alpha": alpha,
        "loss": loss,
        "tol": tol,
        "ours": min(times["ours"]),
        "clarabel": min(times["clarabel"]),
        "gap_ours": mine.gap / mine.fun,
        "gap_clarabel": float(peer_gap),
        "objective_ours": mine.fun,
        "objective_clarabel": theirs.fun,
        "clarabel_tolerance": accuracy,
        "iterations": mine.nit,
        "wanted": wanted,
    }


def grade(result, X, y, patterns, activation, program):
    """Return the relative gap that the peer's answer proves, after projection."""
    if result.theta is None:
        return np.inf
    factor = factorize(X, patterns.D, activation)
    loss = program["loss"]
    bounds = Bounds(factor, y, program["alpha"], loss)
    parts = result.x if activation == "relu" else (result.x,)
    bounds.try_primal(np.concatenate([factor.to_internal(part) for part in parts]))
    prediction = np.zeros(len(y))
    signs = (1, -1)
    for part, sign in zip(parts, signs, strict=False):
        prediction += sign * np.sum(patterns.D * (X @ part), axis=1)
    none = np.zeros(bounds.patterns.shape)
    for theta in (result.theta, -result.theta, LOSSES[loss].theta(prediction, y)):
        bounds.try_dual(LOSSES[loss].project(theta, y), none, project=True)
    return bounds.gap / bounds.upper


def time_per_iteration(n_patterns, iterations=200):
    X, y, patterns = problem(200, n_patterns)
    times = []
    for _ in range(REPEATS):
        result = solve_relu(X, y, patterns, alpha=1.0, tol=0.0, max_iter=iterations)
        base = solve_relu(X, y, patterns, alpha=1.0, tol=0.0, max_iter=25)
        times.append((result.elapsed - base.elapsed) / (iterations - 25))
    return n_patterns, min(times)


if __name__ == "__main__":
    main()
