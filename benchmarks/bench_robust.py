"""Robust training against cvxpy + Clarabel, and its nets against others under attack.

`python3 tasks.py bench robust`. Both sides run in one process on the same arrays, one
thread, kernels warm, in turn; both answers are graded by the same measure.
"""

import os
import time

THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
os.environ.update(THREADS)  # before NumPy is loaded

import numpy as np  # noqa: E402
from report import table, write  # noqa: E402
from sklearn.datasets import load_breast_cancer  # noqa: E402
from sklearn.decomposition import PCA  # noqa: E402
from sklearn.neural_network import MLPClassifier  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from convexnn import (  # noqa: E402
    certified_score,
    recover_network,
    reference_robust,
    robust_score,
    sample_patterns,
    sample_robust_patterns,
    solve_relu,
    solve_robust,
)
from convexnn.robust.admm import factorize_robust  # noqa: E402
from convexnn.robust.bounds import RobustBounds  # noqa: E402
from convexnn.robust.program import RobustProgram  # noqa: E402
from convexnn.robust.programs import into_box  # noqa: E402

TOLERANCE = 1e-4
REPEATS = 2
TRAIN, COMPONENTS, ALPHA = 120, 8, 0.1
# From loose to the default: the first that reaches the same gap is timed.
CLARABEL_TOLERANCES = (1e-4, 1e-5, 1e-6, 1e-8)
SPLITS = range(10)


class Network:
    """Weights in the layout of MLPClassifier, for the attacks."""

    classes_ = np.array([-1.0, 1.0])

    def __init__(self, V, W, X):
        U, a = recover_network(V, W, X)
        self.coefs_ = [U[:-1], a[:, None]]
        self.intercepts_ = [U[-1], np.zeros(1)]


def main():
    speed = [
        compare(loss, eps, wanted=10)
        for eps in (0.08, 0.15)
        for loss in ("hinge", "squared", "logistic")
    ]
    attacked = [row for eps in (0.08, 0.15) for row in accuracies(eps, splits=SPLITS)]
    report(speed, attacked)


def report(speed, attacked):
    """Write the tables and what they were made of."""
    text = "\n\n".join(
        [
            "# Robust training",
            "Written by `python3 tasks.py bench robust`; not by hand.",
            f"Breast cancer, {COMPONENTS} principal components scaled to [-1, 1], "
            f"{TRAIN} training rows, P patterns with robust cones, alpha = {ALPHA}, "
            f"relative gap {TOLERANCE:g}, one thread, both sides in one process and in "
            f"turn, best of {REPEATS}. Clarabel runs with the loosest tolerance whose "
            "answer, graded by the same measure, reaches the gap; its own solve time, "
            "without cvxpy's.",
            table(
                ["loss", "eps", "P", "ours", "Clarabel", "ratio", "wanted"],
                [
                    [
                        row["loss"],
                        row["eps"],
                        row["P"],
                        f"{row['ours'] * 1e3:.0f} ms",
                        f"{row['clarabel'] * 1e3:.0f} ms",
                        f"{row['clarabel'] / row['ours']:.1f}",
                        row["wanted"],
                    ]
                    for row in speed
                ],
            ),
            f"Accuracy on the {569 - TRAIN} other rows, mean of {len(SPLITS)} random "
            "splits, in per cent. `robust` and `standard` are convex nets with the "
            "hinge loss; `MLP(50)` is scikit-learn's, Adam. `certified` is proven.",
            table(
                ["eps", "net", "clean", "FGSM", "PGD-40", "certified"],
                [
                    [
                        row["eps"],
                        row["net"],
                        *(
                            f"{100 * np.mean(row[name]):.1f}"
                            for name in ("none", "fgsm", "pgd", "certified")
                        ),
                    ]
                    for row in attacked
                ],
            ),
            "Least lead of the robust net in PGD-40 accuracy over all splits, points:",
            table(["eps", "over MLP(50)", "over standard"], leads(attacked)),
        ]
    )
    record = {"speed": speed, "attacked": attacked}
    write("robust", record, text)


def split(seed):
    """Return train and test rows, with a column of ones, and targets."""
    X, y = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(X))
    X, y = X[order], np.where(y[order] > 0, 1.0, -1.0)
    scaler = StandardScaler().fit(X[:TRAIN])
    pca = PCA(COMPONENTS, random_state=0).fit(scaler.transform(X[:TRAIN]))
    Z = pca.transform(scaler.transform(X))
    Z = np.clip(Z / np.abs(Z[:TRAIN]).max(axis=0), -1.0, 1.0)
    Z = np.column_stack([Z, np.ones(len(Z))])
    return Z[:TRAIN], y[:TRAIN], Z[TRAIN:], y[TRAIN:]


def compare(loss, eps, *, wanted):
    """Time both sides alternately to the same certified gap."""
    X, y, _, _ = split(0)
    # The first patterns do not depend on how many are asked for.
    D = sample_robust_patterns(X, 200, eps=eps, random_state=0).D[:, :40]
    program = {"alpha": ALPHA, "eps": eps, "loss": loss}

    def ours():
        return solve_robust(X, y, D, tol=TOLERANCE, max_iter=100_000, **program)

    def clarabel(accuracy):
        options = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), accuracy)
        return reference_robust(X, y, D, **options, **program)

    ours()
    for accuracy in CLARABEL_TOLERANCES:
        peer_gap = grade(clarabel(accuracy), X, y, D, program)
        if peer_gap <= TOLERANCE:
            break
    times = {"ours": [], "clarabel": []}
    for _ in range(REPEATS):
        begun = time.perf_counter()
        mine = ours()
        times["ours"].append(time.perf_counter() - begun)
        theirs = clarabel(accuracy)
        times["clarabel"].append(theirs.elapsed)
    return {
        "loss": loss,
        "eps": eps,
        "P": D.shape[1],
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


def grade(result, X, y, D, program):
    """Return the relative gap that the peer's answer proves, after projection."""
    if result.theta is None:
        return np.inf
    whole = RobustProgram.validated(
        X, y, D, program["alpha"], program["eps"], program["loss"]
    )
    factor = factorize_robust(X, whole.eps, D)
    bounds = RobustBounds(factor, y, program["alpha"], program["loss"])
    bounds.try_primal(np.concatenate([factor.to_internal(part) for part in result.x]))
    dual = into_box(result.Theta, result.theta, result.amplitude, whole, factor)
    bounds.try_dual(dual, np.zeros(bounds.patterns.shape), project=True)
    return bounds.gap / bounds.upper


def accuracies(eps, *, splits):
    """Return one row for each net, with its accuracies on every split."""
    rows = {
        name: {"eps": eps, "net": name, "none": [], "fgsm": [], "pgd": []}
        | {"certified": []}
        for name in ("robust", "standard", "MLP(50)")
    }
    for seed in splits:
        X, y, X_test, y_test = split(seed)
        patterns = sample_robust_patterns(X, 40, eps=eps, random_state=seed)
        robust = solve_robust(X, y, patterns, alpha=ALPHA, eps=eps, max_iter=20_000)
        gaussian = sample_patterns(X, 40, random_state=seed)
        standard = solve_relu(X, y, gaussian, alpha=ALPHA, loss="hinge")
        mlp = MLPClassifier((50,), max_iter=2000, random_state=seed)
        models = {
            "robust": Network(*robust.x, X),
            "standard": Network(*standard.x, X),
            "MLP(50)": mlp.fit(X[:, :-1], y),
        }
        for name, model in models.items():
            data = (model, X_test[:, :-1], y_test, eps)
            for attack in ("none", "fgsm", "pgd"):
                options = {"random_state": seed} if attack == "pgd" else {}
                score = robust_score(*data, attack=attack, **options)
                rows[name][attack].append(score)
            rows[name]["certified"].append(certified_score(*data))
            order = [rows[name][k][-1] for k in ("certified", "pgd", "fgsm", "none")]
            assert order == sorted(order), (name, seed, order)
    return list(rows.values())


def leads(rows):
    """Return, for each eps, the least lead of the robust net over the two others."""
    table_rows = []
    for eps in sorted({row["eps"] for row in rows}):
        pgd = {row["net"]: np.array(row["pgd"]) for row in rows if row["eps"] == eps}
        lead = [(pgd["robust"] - pgd[k]).min() for k in ("MLP(50)", "standard")]
        table_rows.append([eps, *(f"{100 * value:.1f}" for value in lead)])
    return table_rows


if __name__ == "__main__":
    main()
