"""Training as a user sees it: `python3 tasks.py bench training`.

Refinement against restarts of L-BFGS on the network itself; test accuracy against
`MLPClassifier`, both tuned by the same cross-validation; and pyscnn, in the environment
whose interpreter the variable FARKAS_PYSCNN names. CPU times, one thread.
"""

import os
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
os.environ.update(THREADS)  # before NumPy is loaded

import numpy as np  # noqa: E402
from bench_convexnn import SOLVERS, problem  # noqa: E402
from report import table, write  # noqa: E402
from sklearn.datasets import (  # noqa: E402
    load_breast_cancer,
    load_digits,
    load_wine,
)
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.model_selection import GridSearchCV, train_test_split  # noqa: E402
from sklearn.neural_network import MLPClassifier  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from convexnn import ConvexMLPClassifier  # noqa: E402
from convexnn.admm import factorize  # noqa: E402
from convexnn.bounds import Bounds  # noqa: E402
from convexnn.descent import descend, network_objective  # noqa: E402

PEER = Path(__file__).resolve().parent / "peer_pyscnn.py"
RESTARTS, WIDTH = 10, 100
SPLITS, FOLDS = 10, 3

# Grids of one size for both sides. Digits have ten classes, one against the rest:
# refining ten networks for every point of a grid would take hours, so there ours keeps
# to gated units and the peer to one width.
ALPHAS = [1.0, 3.0, 10.0, 30.0]
PEER_ALPHAS = [1e-3, 1e-1, 1.0, 10.0]
VARIANTS = [
    {"activation": ["relu"], "loss": ["logistic"]},
    {"activation": ["relu"], "loss": ["squared"]},
    {"activation": ["gated"], "loss": ["squared"]},
]
WIDTHS = [(50,), (100,), (200,)]


def main():
    warnings.simplefilter("ignore", ConvergenceWarning)
    refined, restarts = refinement()
    accuracies = [accuracy(name) for name in DATA]
    peers = [
        row
        for row in (
            pyscnn("gated", 400, 100, wanted=30),
            pyscnn("gated", 400, 500, wanted=30),
            pyscnn("relu", 200, 40, wanted=50),
        )
        if row is not None
    ]
    text = "\n\n".join(
        [
            "# Training networks",
            "Written by `python3 tasks.py bench training`; not by hand. CPU seconds, "
            "one thread.",
            f"Refinement on breast cancer (200 rows, alpha = 1, squared loss, data "
            f"divided by the root of 31) against {RESTARTS} restarts of L-BFGS on the "
            f"network of {WIDTH} units:",
            table(
                ["method", "objective", "seconds", "search ratio", "lower bound"],
                [
                    [
                        "refinement",
                        f"{refined['objective']:.5f}",
                        f"{refined['seconds']:.2f}",
                        f"{refined['ratio']:.4f}",
                        f"{refined['lower']:.5f}",
                    ],
                    [
                        "L-BFGS, best of all",
                        f"{min(restarts['objectives']):.5f}",
                        f"{restarts['seconds']:.2f}",
                        "",
                        "",
                    ],
                ],
            ),
            f"Test accuracy, mean of {SPLITS} random splits 70/30; on both sides the "
            f"parameters are chosen by {FOLDS}-fold cross-validation on the training "
            "rows, over grids of equal size:",
            table(
                ["data", "ours", "MLPClassifier", "difference", "ours s", "MLP s"],
                [
                    [
                        row["data"],
                        f"{row['ours']:.4f}",
                        f"{row['peer']:.4f}",
                        f"{row['ours'] - row['peer']:+.4f}",
                        f"{row['ours_seconds']:.1f}",
                        f"{row['peer_seconds']:.1f}",
                    ]
                    for row in accuracies
                ],
            ),
            "To the final objective of pyscnn (torch, its own environment), graded by "
            "our measure:",
            table(
                [
                    "units",
                    "n",
                    "P",
                    "objective",
                    "pyscnn s",
                    "ours s",
                    "ratio",
                    "asked",
                ],
                [
                    [
                        row["activation"],
                        row["n"],
                        row["P"],
                        f"{row['objective']:.4f}",
                        f"{row['peer']:.2f}",
                        f"{row['ours']:.3f}",
                        f"{row['peer'] / row['ours']:.0f}",
                        row["wanted"],
                    ]
                    for row in peers
                ],
            )
            if peers
            else "pyscnn is not at hand.",
        ]
    )
    record = {
        "refinement": refined,
        "restarts": restarts,
        "accuracy": accuracies,
        "pyscnn": peers,
    }
    write("training", record, text)


def refinement():
    """Fit by refinement, and descend from random weights; same objective."""
    X, y, _ = problem(200, 1)
    X = X / np.sqrt(X.shape[1])
    settings = {"alpha": 1.0, "fit_intercept": False, "random_state": 0}
    ConvexMLPClassifier(**settings).fit(X, y)  # compiles
    begun = time.process_time()
    model = ConvexMLPClassifier(**settings).fit(X, y)
    seconds = time.process_time() - begun
    U, a = model.coefs_[0], model.coefs_[1].ravel()
    refined = {
        "objective": network_objective(X, y, U, a, 1.0, "squared"),
        "seconds": seconds,
        "ratio": model.search_ratio_,
        "lower": model.lower_bound_,
    }
    objectives = []
    begun = time.process_time()
    for seed in range(RESTARTS):
        rng = np.random.default_rng(seed)
        U = rng.standard_normal((X.shape[1], WIDTH)) / np.sqrt(X.shape[1])
        a = rng.standard_normal(WIDTH) / np.sqrt(WIDTH)
        U, a = descend(X, y, U, a, alpha=1.0, loss="squared", max_iter=20_000)
        objectives.append(network_objective(X, y, U, a, 1.0, "squared"))
    seconds = time.process_time() - begun
    return refined, {"objectives": objectives, "seconds": seconds}


def _digits(*classes):
    X, y = load_digits(return_X_y=True)
    kept = np.isin(y, classes) if classes else np.ones(len(y), dtype=bool)
    return X[kept], y[kept]


DATA = {
    "breast cancer": lambda: load_breast_cancer(return_X_y=True),
    "wine": lambda: load_wine(return_X_y=True),
    "digits 3, 8": lambda: _digits(3, 8),
    "digits 4, 9": lambda: _digits(4, 9),
    "digits": _digits,
}


def accuracy(name):
    """Tune and test both sides on random splits."""
    X, y = DATA[name]()
    many = len(np.unique(y)) > 3
    variants = VARIANTS[2:] if many else VARIANTS
    widths = WIDTHS[1:2] if many else WIDTHS
    ours = [
        {
            f"convexmlpclassifier__{key}": value
            for key, value in {"alpha": ALPHAS, **variant}.items()
        }
        for variant in variants
    ]
    theirs = {
        "mlpclassifier__alpha": PEER_ALPHAS,
        "mlpclassifier__hidden_layer_sizes": widths,
    }
    scores = {"ours": [], "peer": []}
    seconds = {"ours": 0.0, "peer": 0.0}
    for seed in range(SPLITS):
        split = train_test_split(X, y, test_size=0.3, random_state=seed, stratify=y)
        A, B, a, b = split
        for side, model, grid in (
            ("ours", ConvexMLPClassifier(refine=4, tol=1e-3, random_state=seed), ours),
            ("peer", MLPClassifier(max_iter=1000, random_state=seed), theirs),
        ):
            pipeline = make_pipeline(StandardScaler(), model)
            begun = time.process_time()
            search = GridSearchCV(pipeline, grid, cv=FOLDS).fit(A, a)
            seconds[side] += (time.process_time() - begun) / SPLITS
            scores[side].append(search.score(B, b))
    return {
        "data": name,
        "ours": float(np.mean(scores["ours"])),
        "peer": float(np.mean(scores["peer"])),
        "ours_seconds": seconds["ours"],
        "peer_seconds": seconds["peer"],
        "scores": scores,
    }


def pyscnn(activation, n, n_patterns, *, wanted):
    """Time ours to the peer's final objective; None if the peer is not at hand."""
    if "FARKAS_PYSCNN" not in os.environ:
        return None
    X, y, patterns = problem(n, n_patterns)
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / name) for name in ("problem.npz", "answer.npz")]
        given = {"X": X, "y": y, "gates": patterns.gates}
        np.savez(paths[0], **given, alpha=1.0, activation=activation)
        subprocess.run([os.environ["FARKAS_PYSCNN"], str(PEER), *paths], check=True)
        with np.load(paths[1]) as answer:
            found = dict(answer)
    D = X @ found["gates"] > 0
    factor = factorize(X, D, activation)
    bounds = Bounds(factor, y, 1.0, "squared")
    parts = [found[name] for name in ("V", "W")[: 1 + (activation == "relu")]]
    blocks = np.concatenate([factor.to_internal(part) for part in parts])
    objective, _ = bounds.objective(blocks)  # its own, outside the cones for ReLU

    def reached(intermediate_result):
        if intermediate_result.fun <= objective:
            raise StopIteration

    times = []
    for _ in range(6):
        begun = time.process_time()
        result = SOLVERS[activation](
            X, y, D, alpha=1.0, tol=1e-9, max_iter=100_000, callback=reached
        )
        times.append(time.process_time() - begun)
    return {
        "activation": activation,
        "n": n,
        "P": n_patterns,
        "objective": float(objective),
        "ours_objective": result.fun,
        "peer": float(found["seconds"]),
        "ours": min(times[1:]),
        "wanted": wanted,
    }


if __name__ == "__main__":
    main()
