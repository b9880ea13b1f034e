"""Bounds over all networks, of any width: `python3 tasks.py bench global`.

Gaps of the relaxation on real data, with the time they took, one thread; Clarabel on
the same relaxation where it finishes; scikit-learn's MLPs certified on their own
patterns. Every bound is the one that `farkas.verify` redoes.
"""

import os
import time
import warnings

THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
os.environ.update(THREADS)  # before NumPy is loaded

import numpy as np  # noqa: E402
from report import table, write  # noqa: E402
from scipy.optimize import minimize  # noqa: E402
from sklearn.datasets import load_breast_cancer, load_diabetes  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.neural_network import MLPClassifier, MLPRegressor  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

import farkas  # noqa: E402
from convexnn import (  # noqa: E402
    certify_mlp,
    certify_network,
    recover_network,
    solve_relu,
)
from convexnn.relaxation.certificates import own_patterns  # noqa: E402

ALPHA = 1.0
# data, rows, seconds, gap that is wanted
CASES = (
    ("breast cancer", 24, 10.0, 1e-4),
    ("diabetes", 24, 20.0, 5e-3),
    ("breast cancer", 60, 30.0, 3e-2),
    ("breast cancer", 200, 120.0, 0.25),
)
UNITS, STARTS = 60, 3


def main():
    bounds = [bound(*case) for case in CASES]
    peers = [interior_point(name, n) for name, n, *_ in CASES[:2]]
    mlps = [certify(kind, options) for kind in KINDS for options in TRAINING]
    text = "\n\n".join(
        [
            "# Bounds over all networks, of any width",
            "Written by `python3 tasks.py bench global`; not by hand.",
            "First rows of the data, columns standardised, bias column, divided by the "
            "square root of the number of columns; labels -1 and +1, or the target "
            "standardised; squared loss, alpha = 1, one thread. The network is the "
            f"best of {STARTS} L-BFGS runs with {UNITS} units, refitted to optimality "
            "on its own patterns. Where the relaxation stalls, its units are split by "
            "the sign of up to two rows.",
            table(
                [
                    "data",
                    "n",
                    "network",
                    "lower bound",
                    "gap",
                    "wanted",
                    "seconds",
                    "without iterations",
                    "splits",
                    "verify",
                ],
                [
                    [
                        row["data"],
                        row["n"],
                        f"{row['upper']:.5f}",
                        f"{row['lower']:.5f}",
                        f"{row['gap']:.3%}",
                        f"{row['wanted']:.2%}",
                        f"{row['seconds']:.1f}",
                        f"{row['elementary']:.3f}",
                        row["splits"],
                        f"{row['verify'] * 1e3:.0f} ms",
                    ]
                    for row in bounds
                ],
            ),
            "The same relaxation by cvxpy + Clarabel:",
            table(
                ["data", "n", "value", "seconds"],
                [
                    [p["data"], p["n"], f"{p['value']:.5f}", f"{p['seconds']:.1f}"]
                    for p in peers
                ],
            ),
            "MLPs of 100 units on all rows, certified on their own activation patterns "
            "with the default settings:",
            table(
                [
                    "MLP",
                    "solver",
                    "alpha",
                    "objective",
                    "lower",
                    "gap",
                    "fit",
                    "certify",
                ],
                [
                    [
                        row["mlp"],
                        row["solver"],
                        f"{row['alpha']:g}",
                        f"{row['upper']:.3f}",
                        f"{row['lower']:.3f}",
                        f"{row['gap']:.1%}",
                        f"{row['fit']:.2f} s",
                        f"{row['certify']:.2f} s",
                    ]
                    for row in mlps
                ],
            ),
        ]
    )
    record = {"bounds": bounds, "peers": peers, "mlps": mlps}
    write("global", record, text)


def load(name, n):
    """Return data and targets in the form that all cases share."""
    if name == "breast cancer":
        X, y = load_breast_cancer(return_X_y=True)
        y = np.where(y[:n] > 0, 1.0, -1.0)
    else:
        X, y = load_diabetes(return_X_y=True)
        y = (y[:n] - y[:n].mean()) / y[:n].std()
    X = StandardScaler().fit_transform(X)[:n]
    X = np.column_stack([X, np.ones(n)])
    return X / np.sqrt(X.shape[1]), y


def train(X, y):
    """Return a network: L-BFGS, then the convex program on its patterns."""
    d, best = X.shape[1], (np.inf, None)

    def objective(flat):
        U, a = flat[: d * UNITS].reshape(d, UNITS), flat[d * UNITS :]
        products = X @ U
        hidden = np.maximum(products, 0)
        residual = hidden @ a - y
        slope = X.T @ ((products > 0) * residual[:, None] * a) + ALPHA * U
        value = 0.5 * residual @ residual + 0.5 * ALPHA * flat @ flat
        return value, np.concatenate([slope.ravel(), hidden.T @ residual + ALPHA * a])

    for seed in range(STARTS):
        start = 0.5 * np.random.default_rng(seed).standard_normal((d + 1) * UNITS)
        run = minimize(
            objective,
            start,
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 3000, "maxfun": 5000, "ftol": 1e-13},
        )
        if run.fun < best[0]:
            best = (run.fun, run.x)
    U = best[1][: d * UNITS].reshape(d, UNITS)
    strong = np.abs(best[1][d * UNITS :]) > 1e-3
    patterns = own_patterns(X, U[:, strong], None)
    refit = solve_relu(X, y, patterns, alpha=ALPHA, tol=1e-7, max_iter=20_000)
    return recover_network(*refit.x, X)


def bound(name, n, seconds, wanted):
    X, y = load(name, n)
    U, a = train(X, y)
    options = {"scope": "global", "tol": 1e-5, "max_iter": 20_000}
    elementary = certify_network(
        U, a, X, y, ALPHA, **options | {"method": "elementary"}
    )
    begun = time.perf_counter()
    found = certify_network(
        U, a, X, y, ALPHA, **options, method="dnn", max_time=seconds
    )
    took = time.perf_counter() - begun
    begun = time.perf_counter()
    farkas.verify(found, X, y).check()
    verified = time.perf_counter() - begun
    return {
        "data": name,
        "n": n,
        "upper": found.upper,
        "lower": found.lower,
        "gap": found.gap / found.upper,
        "wanted": wanted,
        "seconds": took,
        "elementary": elementary.lower,
        "splits": found.witness["branches"].shape[1],
        "verify": verified,
    }


def interior_point(name, n):
    """Solve the relaxation with cvxpy + Clarabel."""
    import cvxpy

    X, y = load(name, n)
    d = X.shape[1]
    T = np.zeros((1 + 2 * n, 1 + d + n))
    T[0, 0] = 1.0
    T[1 : 1 + n, 1 + d :] = T[1 + n :, 1 + d :] = np.eye(n)
    T[1 + n :, 1 : 1 + d] = -X
    lower = np.tril_indices(1 + 2 * n)
    constraints, matrices = [], []
    for _ in range(2):
        Y = cvxpy.Variable((1 + d + n, 1 + d + n), PSD=True)
        K = T @ Y @ T.T
        flat = cvxpy.vec(K, order="C")
        constraints += [
            flat[lower[0] * (1 + 2 * n) + lower[1]] >= 0,
            cvxpy.diag(K[1 : 1 + n, 1 + n :]) == 0,
            Y[0, 0] >= cvxpy.trace(Y[1 : 1 + d, 1 : 1 + d]),
            cvxpy.SOC(Y[0] @ T[1:].T, Y[1 : 1 + d] @ T[1:].T, axis=0),
        ]
        matrices.append(Y)
    plus, minus = matrices
    z = plus[0, 1 + d :] - minus[0, 1 + d :]
    objective = 0.5 * cvxpy.sum_squares(z - y) + ALPHA * (plus[0, 0] + minus[0, 0])
    program = cvxpy.Problem(cvxpy.Minimize(objective), constraints)
    begun = time.perf_counter()
    program.solve(solver="CLARABEL")
    seconds = time.perf_counter() - begun
    return {"data": name, "n": n, "value": float(program.value), "seconds": seconds}


KINDS = (MLPClassifier, MLPRegressor)
TRAINING = (
    {"solver": "lbfgs", "alpha": 1.0, "max_iter": 1000},
    {"solver": "adam", "alpha": 1.0, "max_iter": 500},
    {"solver": "adam", "alpha": 1e-4},
)


def certify(kind, options):
    if kind is MLPClassifier:
        X, y = load_breast_cancer(return_X_y=True)
    else:
        X, y = load_diabetes(return_X_y=True)
        y = (y - y.mean()) / y.std()
    X = StandardScaler().fit_transform(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        begun = time.perf_counter()
        mlp = kind(hidden_layer_sizes=(100,), random_state=0, **options).fit(X, y)
        fit = time.perf_counter() - begun
    certify_mlp(mlp, X, y, max_iter=1)  # warm
    begun = time.perf_counter()
    found = certify_mlp(mlp, X, y)
    took = time.perf_counter() - begun
    farkas.verify(found, X, y).check()
    return {
        "mlp": kind.__name__,
        "solver": options["solver"],
        "alpha": options["alpha"],
        "upper": found.upper,
        "lower": found.lower,
        "gap": found.gap / found.upper,
        "fit": fit,
        "certify": took,
    }


if __name__ == "__main__":
    main()
