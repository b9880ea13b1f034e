"""Many rows and many weights in convex networks: `python3 tasks.py bench scale`.

Every row of the tables runs in a process of its own, one thread, kernels warm; memory
is what the process held at its peak beyond what it held before the step in question.
"""

import json
import os
import resource
import subprocess
import sys
import time

THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
os.environ.update(THREADS)  # before NumPy is loaded

import numpy as np  # noqa: E402
from report import table, write  # noqa: E402
from scipy.linalg import cholesky  # noqa: E402

import farkas  # noqa: E402
from convexnn import (  # noqa: E402
    sample_patterns,
    solve_consensus,
    solve_gated,
    solve_relu,
)
from convexnn.admm import factorize  # noqa: E402

SOLVERS = {"relu": solve_relu, "gated": solve_gated}
SETUP = {"n": 600, "d": 147, "P": 60}
LARGE = {"n": 20_000, "d": 50, "P": 100}
# The same data from a network of ten units with noise; standardised targets.
UNITS, NOISE = 10, 0.3


def main():
    setup = [measured("setup", method) for method in ("eigh", "dense")]
    fits = [
        measured("fit", activation, u_update, iterations)
        for activation, u_update, iterations in (
            ("relu", "cholesky", 100),
            ("relu", "cg", 100),
            ("relu", "cholesky", 600),
            ("gated", "cholesky", 300),
        )
    ]
    shards = [measured("consensus", n_shards) for n_shards in (0, 1, 2, 4)]
    best = shards[0]["objective"]
    text = "\n\n".join(
        [
            "# Convex networks: many rows, many weights",
            "Written by `python3 tasks.py bench scale`; not by hand. One thread, a "
            "process for each row.",
            "Setting up the u-step, n = {n}, d = {d}, P = {P}:".format(**SETUP),
            table(
                ["method", "seconds", "memory", "times faster"],
                [
                    [
                        row["name"],
                        f"{row['seconds']:.3f}",
                        f"{row['megabytes']:.0f} MB",
                        f"{setup[-1]['seconds'] / row['seconds']:.0f}",
                    ]
                    for row in setup
                ],
            ),
            "Fits of n = {n}, d = {d}, P = {P}, squared loss, with certificate and "
            "its verification:".format(**LARGE),
            table(
                [
                    "program",
                    "u-step",
                    "iterations",
                    "seconds",
                    "verified in",
                    "gap",
                    "memory",
                    "whole process",
                ],
                [
                    [
                        row["activation"],
                        row["u_update"],
                        row["iterations"],
                        f"{row['seconds']:.1f}",
                        f"{row['verified']:.2f} s",
                        f"{row['gap']:.2g}",
                        f"{row['megabytes']:.0f} MB",
                        f"{row['peak']:.0f} MB",
                    ]
                    for row in fits
                ],
            ),
            "Consensus over shards of rows, n = 400, d = 20, P = 30, ReLU, squared "
            "loss, to a gap of 1e-6; against `solve_relu` to the same gap:",
            table(
                ["shards", "iterations", "seconds", "gap", "objective differs by"],
                [
                    [
                        row["n_shards"] or "solve_relu",
                        row["iterations"],
                        f"{row['seconds']:.2f}",
                        f"{row['gap']:.1e}",
                        f"{abs(row['objective'] - best) / best:.1e}",
                    ]
                    for row in shards
                ],
            ),
        ]
    )
    record = {
        "setup": setup,
        "fits": fits,
        "consensus": shards,
    }
    write("scale", record, text)


def measured(name, *arguments):
    """Run one of the functions below in a process of its own."""
    command = [sys.executable, __file__, name, *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def setup(method):
    """Set the u-step up: ours, or the matrix of size 2dP of the paper."""
    X, _, patterns = problem(**SETUP)
    factorize(X[:20], patterns.D[:20], "relu")
    before = peak()
    begun, used = time.perf_counter(), time.process_time()
    if method == "eigh":
        name = "eigenvectors of an n x n matrix"
        factorize(X, patterns.D, "relu")
    else:
        name = "Cholesky factor of the 2dP x 2dP matrix"
        dense_factor(X, patterns.D)
    return {
        "name": name,
        "seconds": time.perf_counter() - begun,
        "processor": time.process_time() - used,
        "megabytes": peak() - before,
    }


def dense_factor(X, D):
    """Factor ``I + G'G + F'F``, as the ADMM of the paper does for rho = 1."""
    P, d = D.shape[1], X.shape[1]
    F = (D[:, :, None] * X[:, None, :]).reshape(len(X), P * d)
    F = np.hstack([F, -F])
    matrix = F.T @ F
    block = np.eye(d) + X.T @ X
    for i in range(0, len(matrix), d):
        matrix[i : i + d, i : i + d] += block
    return cholesky(matrix, lower=True, overwrite_a=True, check_finite=False)


def fit(activation, u_update, iterations):
    X, y, patterns = problem(**LARGE)
    solve = SOLVERS[activation]
    few = slice(0, 50)
    options = {"alpha": 10.0, "u_update": u_update}
    solve(X[few], y[few], patterns.D[few], max_iter=10, **options)
    before = peak()
    begun, used = time.perf_counter(), time.process_time()
    result = solve(X, y, patterns, max_iter=int(iterations), **options)
    seconds, processor = time.perf_counter() - begun, time.process_time() - used
    begun = time.perf_counter()
    assert farkas.verify(result.certificate, X, y)
    return {
        "activation": activation,
        "u_update": u_update,
        "iterations": result.nit,
        "seconds": seconds,
        "processor": processor,
        "verified": time.perf_counter() - begun,
        "objective": result.fun,
        "gap": result.gap / result.fun,
        "megabytes": peak() - before,
        "peak": peak(),
    }


def consensus(n_shards):
    X, y, patterns = problem(n=400, d=20, P=30)
    n_shards = int(n_shards)

    def solve(max_iter):
        options = {"alpha": 2.0, "tol": 1e-6, "max_iter": max_iter}
        if n_shards == 0:
            return solve_relu(X, y, patterns, **options)
        return solve_consensus(X, y, patterns, n_shards=n_shards, **options)

    solve(2)
    begun = time.perf_counter()
    result = solve(20_000)
    return {
        "n_shards": n_shards,
        "iterations": result.nit,
        "seconds": time.perf_counter() - begun,
        "objective": result.fun,
        "gap": result.gap / result.fun,
    }


def problem(n, d, P):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    X[:, -1] = 1.0
    hidden = np.maximum(X @ rng.standard_normal((d, UNITS)), 0.0)
    z = hidden @ rng.standard_normal(UNITS)
    y = (z - z.mean()) / z.std() + NOISE * rng.standard_normal(n)
    return X, y, sample_patterns(X, P, random_state=0)


def peak():
    """Return the largest resident size of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    rows = {"setup": setup, "fit": fit, "consensus": consensus}
    if sys.argv[1:]:
        print(json.dumps(rows[sys.argv[1]](*sys.argv[2:])))
    else:
        main()
