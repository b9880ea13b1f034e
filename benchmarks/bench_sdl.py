"""Supervised dictionaries against their peers: `python3 tasks.py bench sdl`.

Both sides run in one process on the same arrays, one thread, kernels warm, interleaved.
Rows on data that are not bundled are skipped where the data are absent; the environment
variable FARKAS_DATA names the folder that holds them.
"""

import json
import os
import time
import tracemalloc
import warnings
from pathlib import Path

THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
os.environ.update(THREADS)  # before NumPy is loaded

import numpy as np  # noqa: E402
from report import table  # noqa: E402
from scipy import sparse  # noqa: E402
from sdl_documents import RIDGES, SPLITS, WEIGHTS, documents  # noqa: E402
from sklearn.cross_decomposition import PLSRegression  # noqa: E402
from sklearn.datasets import load_breast_cancer, load_digits  # noqa: E402
from sklearn.decomposition import NMF, PCA  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.metrics import roc_auc_score  # noqa: E402
from sklearn.neural_network import MLPClassifier  # noqa: E402
from sklearn.preprocessing import scale  # noqa: E402

from farkas.environment import describe  # noqa: E402
from sdl import SDLClassifier, bcd, lpgd, make_sdl_classification  # noqa: E402
from sdl._measure import objective  # noqa: E402
from sdl._measure_stationarity import Factors  # noqa: E402
from sdl.block_descent import start  # noqa: E402
from sdl.formulation import formulate  # noqa: E402

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
DATA = Path(os.environ.get("FARKAS_DATA", "data")) / "sdl"
REPEATS = 3
PROVED = 1e-6


def main():
    warnings.simplefilter("ignore", ConvergenceWarning)
    record = {
        "environment": describe(),
        "gaps": proved_gaps(),
        "images": images(),
        "blocks": blocks(),
        "reference": reference(),
        "documents": documents(DATA / "fakejobs_small.npz"),
        "sparse": sparse_memory(),
        "genes": wide(),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "sdl.json").write_text(json.dumps(record, indent=1))
    text = page(record)
    print(text)
    (HERE / "sdl.md").write_text(text + "\n")


def tables():
    X, y = load_breast_cancer(return_X_y=True)
    yield "breast cancer", scale(X), y
    X, y = load_digits(return_X_y=True)
    kept = np.isin(y, (2, 5))
    yield "digits 2 vs 5", X[kept] / 16, (y[kept] == 5).astype(int)


def proved_gaps():
    """Prove what can be proven over the grid of the two tables, refine the rest."""
    rows = []
    for model, ridges in (("filter", (1, 10)), ("feature", (0.01, 0.1, 1))):
        for name, X, y in tables():
            for r in (2, 5):
                for xi in (0.01, 0.1, 1):
                    for alpha in ridges:
                        problem = {"model": model, "xi": xi, "alpha": alpha}
                        begun = time.perf_counter()
                        found = lpgd(X, y, r, tol=PROVED / 2, **problem)
                        seconds = time.perf_counter() - begun
                        gap = refined = found.relative_gap
                        if gap > PROVED:
                            better = lpgd(X, y, r, certificate="refine", **problem)
                            refined = better.relative_gap
                        rows.append(
                            {
                                "data": name, "model": model, "r": r, "xi": xi,
                                "alpha": alpha, "gap": gap, "refined": refined,
                                "seconds": seconds, "iterations": found.nit,
                            }
                        )  # fmt: skip
    return rows


def images():
    """Chest X-rays: time, quality, and the peers in one table."""
    path = DATA / "pneumoniamnist_28.npz"
    if not path.exists():
        return None
    z = np.load(path)
    X, Xt = (z[f"{part}_images"].reshape(-1, 784) / 255.0 for part in ("train", "test"))
    y, yt = (z[f"{part}_labels"].ravel() for part in ("train", "test"))
    SDLClassifier(20, xi=0.1).fit(X[::20], y[::20])
    times = {"SDL": [], "SDL without certificate": [], "NMF": []}
    for turn in range(4 * REPEATS):
        for name, model in (
            ("SDL", SDLClassifier(20, xi=0.1)),
            ("SDL without certificate", SDLClassifier(20, xi=0.1, certificate="none")),
            ("NMF", NMF(20)),
        ):
            if name == "NMF" and turn % 4:
                continue
            begun = time.perf_counter(), time.process_time()
            model.fit(X, y)
            times[name].append(
                (time.perf_counter() - begun[0], time.process_time() - begun[1])
            )
            if name == "SDL":
                sdl = model
            if name == "NMF":
                nmf = model
    wall = {name: min(pair[0] for pair in runs) for name, runs in times.items()}
    cpu = {name: min(pair[1] for pair in runs) for name, runs in times.items()}
    pairs = zip(times["SDL"], times["SDL without certificate"], strict=True)
    return {
        "share": float(np.median([1 - bare[1] / full[1] for full, bare in pairs])),
        "objective": sdl.objective_,
        "gap": sdl.certificate_.gap / sdl.objective_,
        "iterations": sdl.n_iter_,
        "wall": wall,
        "cpu": cpu,
        "quality": quality(X, y, Xt, yt, sdl, nmf),
    }


def quality(X, y, Xt, yt, sdl, nmf):
    """AUC and relative reconstruction on the test rows."""
    size = np.sum(Xt**2)

    def error(rows):
        return float(np.sum((Xt - rows) ** 2) / size)

    pca = PCA(20).fit(X)
    heads = {}
    for name, coder in (("PCA(20) + LR", pca), ("NMF(20) + LR", nmf)):
        head = LogisticRegression(max_iter=2000).fit(coder.transform(X), y)
        score = head.decision_function(coder.transform(Xt))
        rows = coder.inverse_transform(coder.transform(Xt))
        heads[name] = (roc_auc_score(yt, score), error(rows))
    plain = LogisticRegression(max_iter=2000).fit(X, y)
    pls = PLSRegression(20, scale=False).fit(X, y)
    rows = pls.inverse_transform(pls.transform(Xt))
    mlp = MLPClassifier(max_iter=300, random_state=0).fit(X, y)
    coded = sdl.inverse_transform(sdl.transform(Xt))
    found = {
        "SDL(20)": (roc_auc_score(yt, sdl.decision_function(Xt)), error(coded)),
        **heads,
        "LR": (roc_auc_score(yt, plain.decision_function(Xt)), None),
        "PLS(20)": (roc_auc_score(yt, pls.predict(Xt).ravel()), error(rows)),
        "MLP(100)": (roc_auc_score(yt, mlp.predict_proba(Xt)[:, 1]), None),
    }
    return {name: [float(auc), err] for name, (auc, err) in found.items()}


def blocks():
    """Nonnegative factors: time of an iteration against NMF on the same X and r."""
    cases = [("digits 2 vs 5", *next(iter(list(tables())[1:]))[1:], 5, 100)]
    path = DATA / "pneumoniamnist_28.npz"
    if path.exists():
        z = np.load(path)
        X = z["train_images"].reshape(-1, 784) / 255.0
        cases.append(("chest X-rays", X, z["train_labels"].ravel(), 20, REPEATS))
    rows = []
    for name, X, y, r, repeats in cases:
        common = {"nonnegative": True, "certificate": "none", "random_state": 0}
        spent = {}
        for _ in range(repeats):
            for iterations in (5, 45):
                begun = time.process_time()
                long = bcd(X, y, r, max_iter=iterations, tol=0.0, **common)
                spent.setdefault(("ours", iterations), []).append(
                    time.process_time() - begun
                )
            for iterations in (20, 60):
                model = NMF(r, init="nndsvda", tol=0.0, max_iter=iterations)
                begun = time.process_time()
                model.fit(X)
                spent.setdefault(("nmf", iterations), []).append(
                    time.process_time() - begun
                )
        best = {key: min(times) for key, times in spent.items()}
        history = long.history["objective"]
        rows.append(
            {
                "data": name, "r": r,
                "ours": (best["ours", 45] - best["ours", 5]) / 40,
                "nmf": (best["nmf", 60] - best["nmf", 20]) / 40,
                "start": nmf_and_regression(X, y, r), "first": float(history[0]),
                "objective": float(long.fun), "iterations": int(long.nit),
            }
        )  # fmt: skip
    return rows


def nmf_and_regression(X, y, r):
    """Return the objective of NMF with logistic regression on its scores."""
    form = formulate(X, y, r, nonnegative=True)
    factors = Factors(**start(form, seed=0))
    return objective(form.task, factors, form.parameters)[0]


def reference():
    """Nonnegative digits 2 vs 5, r = 5, xi = 1, from NMF and from random factors."""
    _, X, y = list(tables())[1]
    rows = []
    for alpha in (0.0, 0.1, 1.0):
        values, seconds = [], []
        for seed in range(5):
            rng = np.random.default_rng(seed)
            x0 = None
            if seed:
                x0 = {
                    "W": rng.random((64, 5)), "H": rng.random((len(X), 5)),
                    "beta": np.zeros((5, 1)), "Gamma": np.zeros((1, 1)),
                }  # fmt: skip
            begun = time.process_time()
            found = bcd(X, y, 5, nonnegative=True, alpha=alpha, x0=x0, random_state=0)
            seconds.append(time.process_time() - begun)
            values.append(float(found.fun))
        rows.append(
            {"alpha": alpha, "values": values, "seconds": float(np.median(seconds))}
        )
    return rows


def sparse_memory():
    """Peak memory of a fit on a generated sparse matrix of 18 000 x 2500."""
    rng = np.random.default_rng(0)
    truth = make_sdl_classification(
        18_000, 2500, 20, nonnegative=True, n_covariates=72, positive_rate=0.05,
        strength=1.0, random_state=0,
    )  # fmt: skip
    words = sparse.random(18_000, 2500, 0.005, format="csr", random_state=rng)
    y, C = truth.y, truth.covariates
    del truth
    size = words.data.nbytes + words.indices.nbytes + words.indptr.nbytes
    tracemalloc.start()
    begun = time.perf_counter()
    model = SDLClassifier(20, alpha=1.0, class_weight="balanced", random_state=0)
    model.fit(words, y, covariates=C)
    seconds = time.perf_counter() - begun
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {
        "bytes": int(size), "peak": int(peak), "seconds": seconds,
        "gap": model.certificate_.gap / model.objective_, "status": int(model.status_),
    }  # fmt: skip


def wide():
    """Genes: 51 x 54 675 against thin SVDs of the same matrix."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((51, 54_675))
    y = np.r_[np.zeros(25), np.ones(26)].astype(int)
    X[y == 1, :50] += 1.0
    times = {"svd": [], "fit": []}
    for _ in range(REPEATS):
        begun = time.perf_counter()
        np.linalg.svd(X, full_matrices=False)
        times["svd"].append(time.perf_counter() - begun)
        begun = time.perf_counter()
        found = lpgd(X, y, 4, alpha=1e4)
        times["fit"].append(time.perf_counter() - begun)
    return {
        "svd": min(times["svd"]), "fit": min(times["fit"]), "gap": found.relative_gap,
    }  # fmt: skip


def page(record):
    parts = [
        "# Supervised dictionaries against their peers",
        "Written by `python3 tasks.py bench sdl`; not by hand. One thread, both sides "
        f"in one process and in turn, best of {REPEATS} or more.",
        "## Proven gaps",
        "Breast cancer (standardised) and digits 2 vs 5, r in {2, 5}, xi in {.01, .1, "
        "1}; alpha in {1, 10} for the filter model, {.01, .1, 1} for the other.",
        gap_table(record["gaps"]),
    ]
    if record["images"]:
        parts += image_parts(record["images"])
    parts += [
        "## Nonnegative factors",
        "CPU time of an iteration, from the difference of a short and a long run; "
        "objectives of NMF with logistic regression, and after 45 iterations.",
        table(
            ["data", "r", "ours", "NMF(cd)", "ratio", "NMF + LR", "objective"],
            [
                [
                    row["data"], row["r"], f"{row['ours'] * 1e3:.3f} ms",
                    f"{row['nmf'] * 1e3:.3f} ms", f"{row['ours'] / row['nmf']:.2f}",
                    f"{row['start']:.3f}", f"{row['objective']:.3f}",
                ]
                for row in record["blocks"]
            ],
        ),
        "Digits 2 vs 5, r = 5, xi = 1, to the default tolerance: objectives from NMF "
        "and from four random starts. The reference value 615 is that of alpha = 0.",
        table(
            ["alpha", "from NMF", "random starts", "over 615", "median CPU time"],
            [
                [
                    f"{row['alpha']:g}", f"{row['values'][0]:.4f}",
                    f"{min(row['values'][1:]):.4f} - {max(row['values'][1:]):.4f}",
                    f"{row['values'][0] / 615:.4f}", f"{row['seconds'] * 1e3:.0f} ms",
                ]
                for row in record["reference"]
            ],
        ),
    ]  # fmt: skip
    if record["documents"]:
        rows = record["documents"]
        parts += [
            "## Imbalanced documents with covariates, F1 on held-out rows",
            f"{SPLITS} random splits, 30 % held out. Both tuned by three folds of the "
            "training rows, over decades fixed beforehand: alpha in "
            f"{_listed(RIDGES)}, xi in {_listed(WEIGHTS)}.",
            table(
                ["split", "SDL(20)", "LR", "alpha, xi", "1 / C", "proven gap"],
                [
                    [
                        r["seed"], f"{r['f1']:.3f}", f"{r['peer']:.3f}",
                        f"{r['alpha']:g}, {r['xi']:g}", f"{r['peer_alpha']:g}",
                        f"{r['gap']:.0e}",
                    ]
                    for r in rows
                ]
                + [
                    [
                        "mean",
                        f"{np.mean([r['f1'] for r in rows]):.3f}",
                        f"{np.mean([r['peer'] for r in rows]):.3f}",
                        "", "", "",
                    ]
                ],
            ),
        ]  # fmt: skip
    thin, genes = record["sparse"], record["genes"]
    parts += [
        "## Size",
        table(
            ["data", "measured", "against"],
            [
                [
                    "sparse 18 000 x 2500, 0.5 %, 72 covariates",
                    f"peak {thin['peak'] / 2**20:.0f} MB, {thin['seconds']:.1f} s, "
                    f"gap {thin['gap']:.0e}",
                    f"3 X + 300 MB = {3 * thin['bytes'] / 2**20 + 300:.0f} MB",
                ],
                [
                    "dense 51 x 54 675",
                    f"{genes['fit']:.2f} s, gap {genes['gap']:.0e}",
                    f"thin SVD {genes['svd']:.2f} s, ratio "
                    f"{genes['fit'] / genes['svd']:.1f}",
                ],
            ],
        ),
    ]
    return "\n\n".join(parts)


def _listed(numbers):
    return "{" + ", ".join(f"{number:g}" for number in numbers) + "}"


def gap_table(rows):
    lines = []
    for model in ("filter", "feature"):
        part = [row for row in rows if row["model"] == model]
        proved = [row for row in part if row["gap"] <= PROVED]
        rest = [row["refined"] for row in part if row["gap"] > PROVED]
        lines.append(
            [
                model,
                len(part),
                f"{len(proved)} ({100 * len(proved) / len(part):.0f} %)",
                f"{100 * max(rest, default=0.0):.2f} %",
                f"{np.median([row['seconds'] for row in part]) * 1e3:.0f} ms",
            ]
        )
    names = ["model", "fits", "proved to 1e-6", "largest refined gap", "median time"]
    return table(names, lines)


def image_parts(images):
    wall, cpu = images["wall"], images["cpu"]
    return [
        "## Chest X-rays, 4708 x 784, r = 20, xi = .1, alpha = 1",
        f"Objective {images['objective']:.4f}, proven gap {images['gap']:.1e}, "
        f"{images['iterations']} iterations. The certificate takes "
        f"{100 * images['share']:.1f} % of the CPU time of the fit (median of "
        f"{4 * REPEATS} pairs with and without it).",
        table(
            ["fit", "seconds", "over NMF", "CPU seconds", "over NMF"],
            [
                [
                    name, f"{wall[name]:.2f}", f"{wall[name] / wall['NMF']:.2f}",
                    f"{cpu[name]:.2f}", f"{cpu[name] / cpu['NMF']:.2f}",
                ]
                for name in wall
            ],
        ),
        table(
            ["model", "test AUC", "test reconstruction error"],
            [
                [name, f"{auc:.3f}", "" if error is None else f"{error:.4f}"]
                for name, (auc, error) in images["quality"].items()
            ],
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    main()
