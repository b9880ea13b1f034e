"""One table of all benchmarks, from the records that they wrote.

`python3 tasks.py bench` runs every benchmark and then this; run alone, it writes the
table anew from the records at hand.
"""

import json
import math
from statistics import geometric_mean, mean

from report import HERE, RESULTS, table

NAMES = ("workload", "quantity", "ours", "peer", "its", "better by", "quality", "proof")
LEAD = NAMES.index("better by")
SHOWN = LEAD + 1  # columns of the table in the README
BEGIN, END = "<!-- table of benchmarks -->", "<!-- end of table -->"


def main():
    parts, missing = [], []
    for name, condense in PARTS.items():
        path = RESULTS / f"{name}.json"
        if path.exists():
            parts.append(list(condense(json.loads(path.read_text()))))
        else:
            missing.append(name)
    rows = [row for part in parts for row in part]
    text = "\n\n".join(
        [
            "# All benchmarks in one table",
            "Written by `python3 tasks.py bench`; not by hand. Each line condenses a "
            "table on the page of its part, where data and settings stand. `better by` "
            "is a factor for times and errors, and a difference for scores; we lose "
            "where it is below 1 or negative. `quality` is ours against the peer's "
            "where the quantity is a time; `proof` is what the certificate of our "
            "answer says. Lines of different parts may come from different runs; the "
            "versions of each are in its record.",
            table(NAMES, rows),
            *([f"No record of: {', '.join(missing)}."] if missing else []),
        ]
    )
    print(text)
    (HERE / "README.md").write_text(text + "\n")
    extremes = [row[:SHOWN] for part in parts for row in best_and_worst(part)]
    insert(table(NAMES[:SHOWN], extremes), HERE.parent / "README.md")


def best_and_worst(rows):
    """Return, of a part's times and of its scores, where we lead most and least."""
    found = []
    for times in (True, False):
        kind = [row for row in rows if (row[1] == "time") == times and row[LEAD]]
        kind.sort(key=lambda row: float(row[LEAD].removesuffix(" x")))
        found += [kind[-1], *([kind[0]] if len(kind) > 1 else [])] if kind else []
    return found


def insert(text, page):
    """Replace what stands between the two marks of a page."""
    head, rest = page.read_text().split(BEGIN)
    _, tail = rest.split(END)
    page.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}")


def faster(workload, ours, peer, its, quality="", proof=""):
    """Return the line of two times in seconds."""
    cells = duration(ours), peer, duration(its), f"{its / ours:.3g} x"
    return [workload, "time", *cells, quality, proof]


def higher(workload, quantity, ours, peer, its, proof=""):
    """Return the line of two scores, larger is better."""
    cells = f"{ours:.3f}", peer, f"{its:.3f}", f"{ours - its:+.3f}"
    return [workload, quantity, *cells, "", proof]


def duration(seconds):
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def convexnn(record):
    for row in record["gap"]:
        yield faster(
            f"{row['activation']} network, {row['loss']}, n={row['n']}, P={row['P']}, "
            f"gap {row['tol']:g}",
            row["ours"], "cvxpy + Clarabel", row["clarabel"],
            "same gap", f"gap {row['gap_ours']:.0e}",
        )  # fmt: skip


def latency(record):
    (_, base), *scripts = record["scripts"].items()
    for name, seconds in scripts:
        if not name.startswith("scikit-learn"):
            yield faster(f"first fit, {name}", seconds, "LogisticRegression", base)


def training(record):
    refined, restarts = record["refinement"], record["restarts"]
    yield faster(
        "ReLU network, breast cancer, 200 rows", refined["seconds"],
        f"L-BFGS, {len(restarts['objectives'])} starts", restarts["seconds"],
        f"{refined['objective']:.4f} vs {min(restarts['objectives']):.4f}",
        f"search ratio {refined['ratio']:.4f}",
    )  # fmt: skip
    for row in record["accuracy"]:
        peer = "MLPClassifier"
        yield higher(
            row["data"], "test accuracy", row["ours"], peer, row["peer"], "gap"
        )
    for row in record["pyscnn"]:
        yield faster(
            f"{row['activation']} network, n={row['n']}, P={row['P']}", row["ours"],
            "pyscnn", row["peer"], "same objective", "gap",
        )  # fmt: skip


def over_all_widths(record):
    for row in record["bounds"]:
        name = f"bound over all networks, {row['data']}, n={row['n']}"
        proof = f"{100 * row['gap']:.3g} % below the network"
        rivals = [r for r in record["peers"] if (r["data"], r["n"]) == key(row)]
        if rivals:
            (rival,) = rivals
            yield faster(
                name, row["seconds"], "cvxpy + Clarabel", rival["seconds"],
                f"{row['lower']:.4f} vs {rival['value']:.4f}", proof,
            )  # fmt: skip
        else:
            yield [name, "time", duration(row["seconds"]), "none", "", "", "", proof]
    for row in record["mlps"]:
        yield faster(
            f"certify an {row['mlp']}, {row['solver']}, alpha={row['alpha']:g}",
            row["certify"], "the fit of the MLP", row["fit"],
            proof=f"gap {100 * row['gap']:.1f} %",
        )  # fmt: skip


def key(row):
    return row["data"], row["n"]


def robust(record):
    for row in record["speed"]:
        yield faster(
            f"robust network, {row['loss']}, eps={row['eps']}", row["ours"], "Clarabel",
            row["clarabel"], "same gap", f"gap {row['gap_ours']:.0e}",
        )  # fmt: skip
    nets = {(r["eps"], r["net"]): r for r in record["attacked"]}
    for eps in sorted({eps for eps, _ in nets}):
        ours = nets[eps, "robust"]
        for net in ("MLP(50)", "standard"):
            yield higher(
                f"attacked by PGD-40, eps={eps}", "accuracy", mean(ours["pgd"]),
                net, mean(nets[eps, net]["pgd"]),
                f"certified {mean(ours['certified']):.3f}",
            )  # fmt: skip


def scp(record):
    for row in record["programs"]:
        yield faster(
            f"sampled units, {row['data']}, {row['loss']}, alpha={row['alpha']:g}",
            row["ours"], row["peer"], row["theirs"],
            f"gap {row['gap_ours']:.0e} vs {row['gap_theirs']:.0e}",
            f"gap {row['gap_ours']:.0e}",
        )  # fmt: skip
    for row in record["paths"]:
        yield faster(
            f"path of 50 alphas, {row['activation']}, n={row['n']}, P={row['P']}",
            row["path"], "50 of our fits", row["all"], "same gap", "50 gaps",
        )  # fmt: skip


def scale(record):
    ours, dense = record["setup"]
    yield faster("set-up of the u-step", ours["seconds"], dense["name"],
                 dense["seconds"])  # fmt: skip
    for row in record["fits"]:
        yield [
            f"{row['activation']} network, n=20000, {row['iterations']} iterations",
            "time", duration(row["seconds"]), "none", "", "",
            f"{row['peak']:.0f} MB", f"gap {row['gap']:.1e}",
        ]  # fmt: skip


def sdl(record):
    images = record["images"]
    if images:
        yield faster(
            "X-rays, 4708 x 784, r=20", images["cpu"]["SDL"], "NMF(20) alone",
            images["cpu"]["NMF"], "", f"gap {images['gap']:.0e}",
        )  # fmt: skip
        scores = images["quality"]
        ours, *others = scores
        for name in others:
            yield higher(
                "X-rays", "test AUC", scores[ours][0], name, scores[name][0],
                f"gap {images['gap']:.0e}",
            )  # fmt: skip
    for row in record["blocks"]:
        yield faster(
            f"nonnegative, one iteration, {row['data']}", row["ours"], "NMF",
            row["nmf"], proof="stationarity",
        )  # fmt: skip
    if record["documents"]:
        yield higher(
            "documents", "F1", mean(r["f1"] for r in record["documents"]),
            "balanced logistic regression",
            mean(r["peer"] for r in record["documents"]),
            f"gap {max(r['gap'] for r in record['documents']):.0e}",
        )  # fmt: skip
    for model in ("filter", "feature"):
        gaps = [row["gap"] for row in record["gaps"] if row["model"] == model]
        share = mean(gap <= 1e-6 for gap in gaps)
        yield [
            f"{model} model, {len(gaps)} problems", "proved global", f"{share:.0%}",
            "none", "", "", "", "gap 1e-6",
        ]  # fmt: skip


def graphs(record):
    for data in dict.fromkeys(row["data"] for row in record.get("diffusion", ())):
        rows = [row for row in record["diffusion"] if row["data"] == data]
        ours, push = (
            geometric_mean(row[mode]["seconds"] for row in rows)
            for mode in ("auto", "push")
        )
        gap = max(row["auto"]["gap"] for row in rows)
        yield faster(f"flow diffusion, {data}", ours, "coordinate push", push,
                     "same gap", f"gap {gap:.0e}")  # fmt: skip
    for row in record.get("pagerank", ()):
        for peer in [name for name in row if f"{name} error" in row]:
            if not math.isfinite(row[peer]):
                continue
            yield faster(
                f"PageRank of a seed, {row['data']}", row["ours"], peer, row[peer],
                f"error {row['error']:.0e} vs {row[f'{peer} error']:.0e}",
                "error bound",
            )  # fmt: skip
    for row in record.get("citations", ()):
        if (row["seeds"], row["mass"]) == (1, 1.0):
            yield higher(
                f"cluster of one seed, {row['data']}", "F1", row["0.01"],
                "the same without labels", row["plain"], "gap",
            )  # fmt: skip


def quantum(record):
    for row in record["speed"]:
        if row.get("inverse") or not math.isfinite(row["theirs"]):
            continue  # against a bound of our own, or no peer
        yield faster(row["what"], row["ours"], row["peer"], row["theirs"])
    for features in dict.fromkeys(row["features"] for row in record["reviews"]):
        rows = [row for row in record["reviews"] if row["features"] == features]
        scores = {
            model: mean(r["accuracy"] for r in rows if r["model"] == model)
            for model in dict.fromkeys(row["model"] for row in rows)
        }
        mine = [model for model in scores if is_quantum(model)]
        best = max(mine, key=scores.get)
        for model in scores:
            if model not in mine:
                yield higher(
                    f"reviews, {features} features: {best}", "test accuracy",
                    scores[best], model, scores[model], "floor of the loss",
                )  # fmt: skip


def is_quantum(model):
    words = ("AQGD", "COBYLA", "L-BFGS", "measurement", "quantum", "variational")
    return any(word in model for word in words)


def dfo(record):
    for row in record["speed"]:
        for kind in ("numba", "numpy"):
            yield faster(
                f"CBO, d={row['d']}, {row['N']} particles, {kind} objective",
                row[kind] * 1e-6, "cbx", row["cbx"] * 1e-6, "same step", "poll set",
            )  # fmt: skip
    costs = {row["method"]: row["microseconds"] * 1e-6
             for row in record["per_evaluation"]}  # fmt: skip
    peer = "BIPOP-CMA-ES"
    yield faster("CBO, one evaluation, d=10", costs["CBO"], peer, costs[peer])
    suite = {row["method"]: mean(row["scores"]) for row in record["suite"]}
    for name in suite:
        if not name.startswith("CBO"):
            yield higher("12 test functions, d=10", "score", suite["CBO"], name,
                         suite[name], "poll set")  # fmt: skip
    for rows, quantity in ((record.get("coco", ()), "share of targets"),):
        for d in dict.fromkeys(row["d"] for row in rows):
            share = {row["method"]: row["all"] for row in rows if row["d"] == d}
            if peer in share:
                yield higher(f"COCO bbob, d={d}", quantity, share["CBO"], peer,
                             share[peer], "poll set")  # fmt: skip
    digits = {row["model"]: row["test"] for row in record["digits"]}
    for peer in list(digits)[1:]:
        yield higher("digits", "test accuracy", digits["CBOClassifier"], peer,
                     digits[peer])  # fmt: skip


def direct(record):
    for kind, rows in record["profiles"].items():
        for peer in rows:
            if peer != "cDSM":
                yield higher(
                    f"More-Wild, {kind}", "mean of profiles", rows["cDSM"]["mean"],
                    peer, rows[peer]["mean"], "poll set",
                )  # fmt: skip
    for row in record["gradients"]:
        yield faster(
            f"attack gradient, batch {row['batch']}", row["ours"] * 1e-6, "torch",
            row["torch"] * 1e-6,
        )  # fmt: skip


PARTS = {
    "latency": latency,
    "convexnn": convexnn,
    "training": training,
    "global": over_all_widths,
    "robust": robust,
    "scp": scp,
    "scale": scale,
    "sdl": sdl,
    "graphs": graphs,
    "quantum": quantum,
    "dfo": dfo,
    "direct": direct,
}

if __name__ == "__main__":
    main()
