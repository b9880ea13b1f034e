"""Figures of publications on consensus-based optimization, and what we get."""

import math
import time

import numpy as np
from report import table

from dfo import CBO, CBOClassifier, consensus_hopping
from dfo.objective import Objective
from dfo.testfunctions import get

SEEDS = 6
# Rates of arXiv:2310.16610, table 1: function, truncation, sigma, success.
TRUNCATED = [
    *[
        ("rastrigin_cbo", None, sigma, rate)
        for sigma, rate in (
            (0.3, 0.50),
            (0.5, 0.70),
            (0.7, 0.81),
            (0.8, 0.84),
            (1.0, 0.89),
            (1.2, 0.02),
        )
    ],
    *[
        ("rastrigin_cbo", 1.0, sigma, rate)
        for sigma, rate in (
            (0.3, 0.53),
            (0.5, 0.71),
            (0.7, 0.90),
            (0.8, 0.95),
            (1.0, 1.00),
            (1.2, 1.00),
            (2.0, 0.98),
            (3.0, 0.42),
        )
    ],
    ("rastrigin_cbo", 5.0, 3.0, 0.00),
    *[
        ("ackley", None, sigma, rate)
        for sigma, rate in ((0.3, 0.97), (0.5, 1.00), (1.0, 1.00), (1.2, 0.13))
    ],
]
# Measurements, strength of the gradient, runs, and success in arXiv:2211.12184.
SENSING = [
    (40, 1.0, 160, 0.73),
    (60, 1.0, 40, 0.98),
    (80, 1.0, 20, 1.0),
    (80, 0.0, 20, 0.0),
]
EXACT = 1e-12  # relative error of a recovery


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


def truncated(runs=100):
    """Success of isotropic CBO, noise truncated or not, beside the published rates."""
    rows = []
    for name, truncation, sigma, published in TRUNCATED:
        hits = sum(truncated_run(name, truncation, sigma, seed) for seed in range(runs))
        error = math.sqrt(max(published * (1 - published), 0.01) / runs)
        rows.append(
            {
                "function": name,
                "truncation": truncation,
                "sigma": sigma,
                "published": published,
                "share": hits / runs,
                "errors": (hits / runs - published) / error,
            }
        )
        print(rows[-1], flush=True)
    return rows


def truncated_run(name, truncation, sigma, seed):
    f = get(name, 4)
    rng = np.random.default_rng([7, seed])
    swarm = CBO(
        4,
        x0=1 + math.sqrt(2000) * rng.standard_normal((100, 4)),
        noise="isotropic",
        lam=1.0,
        sigma=sigma,
        dt=0.01,
        alpha=1e5,
        truncation=truncation,
        boundary=None,
        cooling=1.0,
        xtol=0.0,
        ftol=0.0,
        patience=10**9,
        random_state=seed,
    )
    with np.errstate(over="ignore", invalid="ignore"):
        swarm.advance(Objective(f.fun_row), 5000, 10**9)
        return bool(f.fun(swarm.consensus) < 0.1)


def sensing():
    """Share of exact recoveries, d = 200, and that of the Lasso's exact minimiser."""
    rows = []
    for M, lam_grad, runs, published in SENSING:
        errors, lasso = [], 0
        for seed in range(runs):
            A, x_true, y = sensing_problem(seed, M=M)
            errors.append(recovered(A, x_true, y, seed, lam_grad=lam_grad))
            lasso += lasso_error(A, x_true, y) < EXACT
        rows.append(
            {
                "M": M,
                "gradient": lam_grad,
                "runs": runs,
                "share": float(np.mean(np.array(errors) < EXACT)),
                "published": published,
                "lasso": lasso / runs,
                "largest": max(errors),
            }
        )
        print(rows[-1], flush=True)
    return rows


def sensing_problem(seed, d=200, s=8, M=80):
    rng = np.random.default_rng([7, seed])
    x = np.zeros(d)
    support = rng.choice(d, s, replace=False)
    x[support] = rng.uniform(0.5, 1.5, s) * rng.choice([-1, 1], s)
    A = rng.standard_normal((M, d)) / math.sqrt(M)
    return A, x, A @ x


def recovered(A, x_true, y, seed, particles=10, lam_grad=1.0):
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
        lam_grad=lam_grad,
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
    return refitted_error(swarm.consensus, A, x_true, y)


def lasso_error(A, x_true, y):
    """The same for the exact minimiser of the objective, which is convex."""
    from sklearn.linear_model import Lasso

    model = Lasso(0.125 / len(y), fit_intercept=False, max_iter=20_000, tol=1e-8)
    return refitted_error(model.fit(A, y).coef_, A, x_true, y)


def refitted_error(c, A, x_true, y):
    """Relative error of least squares on the support of c."""
    support = np.abs(c) > 0.01
    x = np.zeros(len(c))
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
    makers = {
        "CBOClassifier": lambda s: CBOClassifier(max_iter=60, random_state=s),
        "MLP, 10 units": lambda s: MLPClassifier((10,), max_iter=2000, random_state=s),
        "logistic regression": lambda s: LogisticRegression(max_iter=1000),
    }
    rows = []
    for name, maker in makers.items():
        begun, models = time.process_time(), []
        for seed in range(SEEDS):
            models.append(maker(seed).fit(A, a))
        seconds = (time.process_time() - begun) / SEEDS
        rows.append(
            {
                "model": name,
                "test": float(np.mean([model.score(B, b) for model in models])),
                "seeds": [float(model.score(B, b)) for model in models],
                "train": float(np.mean([model.score(A, a) for model in models])),
                "seconds": seconds,
            }
        )
        print(rows[-1], flush=True)
    return rows


def canyon_text(found):
    return [
        "## The canyon from (8, 8), 200 runs",
        table(
            ["method", "share within 1/2 of the minimum"],
            [[k, f"{v:.3f}"] for k, v in found.items() if not isinstance(v, list)],
        ),
    ]


def truncated_text(rows):
    return [
        "## Truncated noise, d = 4",
        "Isotropic, N = 100, lam 1, dt .01, T = 50, alpha 1e5, start N(1, 2000 I), 100 "
        "runs; success is f(consensus) < .1. Published: arXiv:2310.16610, table 1. "
        "The last column is the difference in binomial standard errors.",
        table(
            ["function", "truncation", "sigma", "published", "share", "errors"],
            [
                [
                    r["function"],
                    "none" if r["truncation"] is None else r["truncation"],
                    r["sigma"],
                    f"{r['published']:.2f}",
                    f"{r['share']:.2f}",
                    f"{r['errors']:+.1f}",
                ]
                for r in rows
            ],
        ),
    ]


def sensing_text(rows):
    return [
        "## Compressed sensing, d = 200, 8 nonzeros",
        "Memory and gradient drift, N = 10, T = 20; share of runs with a relative "
        "error below 1e-12 after least squares on the support. The objective is "
        "convex: the Lasso column is what its exact minimiser gives. Published: "
        "arXiv:2211.12184, 100 runs.",
        table(
            ["M", "gradient", "runs", "share", "Lasso", "published", "largest error"],
            [
                [
                    r["M"],
                    f"{r['gradient']:g}",
                    r["runs"],
                    f"{r['share']:.2f}",
                    f"{r['lasso']:.2f}",
                    f"{r['published']:.2f}",
                    f"{r['largest']:.1e}",
                ]
                for r in rows
            ],
        ),
    ]


def digits_text(rows):
    return [
        "## Digits",
        f"60 epochs, seeds 0 to {SEEDS - 1}; accuracy on 450 test rows.",
        table(
            ["model", "test, mean", *map(str, range(SEEDS)), "train, mean", "CPU s"],
            [
                [
                    r["model"],
                    f"{r['test']:.3f}",
                    *[f"{score:.3f}" for score in r["seeds"]],
                    f"{r['train']:.3f}",
                    f"{r['seconds']:.1f}",
                ]
                for r in rows
            ],
        ),
    ]
