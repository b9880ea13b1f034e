"""What noisy labels are worth: the parts of `bench_graphs.py` that score clusters."""

import numpy as np
from report import table

from graphs import (
    NodeLabeler,
    check_graph,
    flow_diffusion,
    make_planted_cluster,
    noisy_labels,
)


def planted(load, seeds=10, draws=5):
    rows = []
    loaded = load("wfd_sbm")
    if loaded is None:
        A, target = make_planted_cluster(10_000, 500, 0.03, 0.002, random_state=0)
        graph = check_graph(A)
    else:
        graph, target = loaded[0], np.arange(10_000) < 500
    masses = np.arange(1.1, 6.2, 0.5) * 500
    options = {"sinks": "unit", "rounding": "support", "certificate": False}
    plain = []
    for seed in range(seeds):
        runs = [flow_diffusion(graph, seed, mass=m, **options) for m in masses]
        plain.append(max(f1(r.cluster, target) for r in runs))
    for a1 in (0.7, 0.9):
        for a0 in (0.7, 0.8, 0.9, 0.95, 0.99):
            alone, best, chosen = [], [], []
            for draw in range(1, draws + 1):
                y = noisy_labels(target, a1, a0, random_state=draw)
                alone.append(f1(np.flatnonzero(y), target))
                for seed in range(seeds):
                    runs = [
                        flow_diffusion(graph, seed, mass=m, labels=y, **options)
                        for m in masses
                    ]
                    best.append(max(f1(r.cluster, target) for r in runs))
                    pick = min(runs, key=lambda r: r.conductance)
                    chosen.append(f1(pick.cluster, target))
            per_draw = np.reshape(chosen, (draws, seeds)).mean(axis=1)
            rows.append(
                {
                    "a1": a1,
                    "a0": a0,
                    "labels": float(np.mean(alone)),
                    "plain": float(np.mean(plain)),
                    "both": float(np.mean(best)),
                    "chosen": float(np.mean(chosen)),
                    "lowest": float(per_draw.min()),
                    "highest": float(per_draw.max()),
                }
            )
    return rows


def f1(cluster, target):
    found = np.zeros(len(target), dtype=bool)
    found[cluster] = True
    return float(2 * (found & target).sum() / max(found.sum() + target.sum(), 1))


def show_planted(rows):
    keys = ("labels", "plain", "both", "chosen")
    body = [
        [
            r["a1"],
            r["a0"],
            *(f"{r[k]:.2f}" for k in keys),
            f"{r['lowest']:.2f} to {r['highest']:.2f}",
        ]
        for r in rows
    ]
    names = ["a1", "a0", "labels alone", "no labels", "label-weighted"]
    return (
        "## Noisy labels on a planted cluster\n\n"
        "n = 10 000, k = 500, p = 0.03, q = 0.002, unit sinks, mean F1 of ten seeds "
        "and five draws of the labels, best of eleven masses. The next column chooses "
        "the mass by conductance; the last gives its range over the draws: where two "
        "masses have almost the same conductance, a draw decides between their "
        "clusters.\n\n" + table([*names, "by conductance", "by draw"], body)
    )


# Citation graphs with 25 + 25 labelled papers.


def citations(load, draws=5):
    rows = []
    for name in ("cora", "citeseer"):
        loaded = load(name)
        if loaded is None:
            continue
        graph, y, X = loaded
        degree = np.diff(graph.indptr)
        for n_seeds in (1, 25):
            for mass in (1.0, 1.5, 2.0):
                scores = {key: [] for key in ("classifier", "plain", 0.05, 0.01)}
                for c in np.unique(y[y >= 0]):
                    target = y == c
                    for draw in range(draws):
                        rng = np.random.default_rng([int(c), draw])
                        inside = rng.permutation(np.flatnonzero(target))[:25]
                        outside = rng.permutation(np.flatnonzero(~target))[:25]
                        known = np.full(len(y), -1)
                        known[inside], known[outside] = 1, 0
                        labels = NodeLabeler().fit(X, known).predict(X)
                        seeds = inside[:n_seeds]
                        options = {
                            "mass": mass * float(degree[target].sum()),
                            "rounding": "support",
                            "certificate": False,
                        }
                        scores["classifier"].append(f1(np.flatnonzero(labels), target))
                        run = flow_diffusion(graph, seeds, **options)
                        scores["plain"].append(f1(run.cluster, target))
                        for eps in (0.05, 0.01):
                            run = flow_diffusion(
                                graph, seeds, labels=labels, label_weight=eps, **options
                            )
                            scores[eps].append(f1(run.cluster, target))
                rows.append(
                    {
                        "data": name,
                        "seeds": n_seeds,
                        "mass": mass,
                        **{str(k): float(np.mean(v)) for k, v in scores.items()},
                    }
                )
    return rows


def show_citations(rows):
    body = [
        [
            r["data"],
            r["seeds"],
            r["mass"],
            *(f"{r[k]:.3f}" for k in ("classifier", "plain", "0.05", "0.01")),
            f"{r['0.01'] - r['plain']:+.3f}",
        ]
        for r in rows
    ]
    names = ["data", "seeds", "mass / volume", "classifier", "no labels", "eps .05"]
    return (
        "## Labels from 25 + 25 papers\n\n"
        "Logistic regression labels all papers; F1 of the support, mean over classes "
        "and five draws. Labels help most with one seed and little mass; with many "
        "seeds and much mass they do not help.\n\n"
        + table([*names, "eps .01", "gain"], body)
    )
