"""Local graph clustering against peers: `python3 tasks.py bench graphs`.

One thread, CPU time, kernels warm, both sides in turn, best of several runs. Peers
(igraph, scikit-network, networkx) and data sets that are not there leave their rows
out; their folder is named by the environment variable FARKAS_DATA, with peers on
PYTHONPATH.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
os.environ.update(THREADS)  # before NumPy is loaded

import numpy as np  # noqa: E402
from graphs_labels import (  # noqa: E402
    citations,
    planted,
    show_citations,
    show_planted,
)
from report import table  # noqa: E402
from scipy.sparse import csr_array  # noqa: E402
from scipy.sparse.csgraph import connected_components  # noqa: E402

import farkas  # noqa: E402
from farkas.environment import describe  # noqa: E402
from graphs import (  # noqa: E402
    approximate_pagerank,
    check_graph,
    flow_diffusion,
    load_graph,
    ncp_profile,
    save_edges,
)

RESULTS = Path(__file__).resolve().parent / "results"
DATA = Path(os.environ.get("FARKAS_DATA", "data")) / "graphs"
REPEATS = 3
SETS = ("amazon_photo", "coauthor_cs", "coauthor_phy")


def main():
    wanted = sys.argv[1:] or list(PARTS)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "graphs.json"
    record = json.loads(path.read_text()) if path.exists() else {}
    for name in wanted:
        print(f"{name} ...", flush=True)
        record[name] = PARTS[name][0]()
        record["environment"] = describe()
        path.write_text(json.dumps(record, indent=1, default=float))
    parts = [
        "# Local graph clustering against peers",
        "Written by `python3 tasks.py bench graphs`; not by hand.",
    ]
    for name, (_, show) in PARTS.items():
        if record.get(name):
            parts.append(show(record[name]))
    text = "\n\n".join(parts)
    print(text)
    (RESULTS.parent / "graphs.md").write_text(text + "\n")


def load(name):
    """Largest component of a data set, its classes and features; None if absent."""
    path = DATA / f"{name}.npz"
    if not path.exists():
        return None
    z = np.load(path)
    n = int(z["n_nodes"])
    A = csr_array((np.ones(len(z["indices"])), z["indices"], z["indptr"]), shape=(n, n))
    _, part = connected_components(A, directed=False)
    keep = np.flatnonzero(part == np.bincount(part).argmax())
    X = None
    if "feat_indptr" in z:
        shape = tuple(z["feat_shape"])
        ones = np.ones(len(z["feat_indices"]))
        X = csr_array((ones, z["feat_indices"], z["feat_indptr"]), shape=shape)[keep]
    return check_graph(csr_array(A[keep][:, keep])), z["labels"][keep], X


def cpu(work, repeats=REPEATS):
    """Return the result of the last run and the least CPU time in seconds."""
    best = np.inf
    for _ in range(repeats):
        begun = time.process_time()
        result = work()
        best = min(best, time.process_time() - begun)
    return result, best


# Flow diffusion against plain pushes, to one certified gap.


def diffusion():
    rows = []
    for name in SETS:
        loaded = load(name)
        if loaded is None:
            continue
        graph, y, _ = loaded
        degree = np.diff(graph.indptr)
        for c in range(5):
            volume = float(degree[y == c].sum())
            mass = min(3 * volume, 0.5 * graph.volume)
            seed = np.random.default_rng(c).choice(np.flatnonzero(y == c))
            row = {"data": name, "class": c, "volume": volume, "mass": mass}
            for solver in ("auto", "push"):
                result, seconds = cpu(
                    lambda solver=solver, g=graph, s=seed, m=mass: flow_diffusion(
                        g, s, mass=m, solver=solver, tol=1e-6
                    )
                )
                _, check = cpu(lambda r=result, g=graph: farkas.verify(r, g))
                row[solver] = {
                    "seconds": seconds,
                    "work": result.work,
                    "gap": result.certificate.relative,
                    "verify": check,
                }
            rows.append(row)
    return rows


def show_diffusion(rows):
    body = [
        [
            r["data"],
            r["class"],
            f"{r['volume']:.0f}",
            f"{r['auto']['seconds'] * 1e3:.1f}",
            f"{r['push']['seconds'] * 1e3:.1f}",
            f"{r['push']['seconds'] / r['auto']['seconds']:.1f}",
            f"{r['push']['work'] / r['auto']['work']:.1f}",
            f"{r['auto']['gap']:.0e}",
            f"{r['auto']['verify'] / r['auto']['seconds']:.0%}",
        ]
        for r in rows
    ]
    for name in dict.fromkeys(r["data"] for r in rows):
        body.append([name, "all", "", *_totals([r for r in rows if r["data"] == name])])
    names = ["data", "class", "volume", "auto, ms", "plain push, ms", "times faster"]
    names += ["times fewer visits", "gap", "check / fit"]
    return (
        "## Flow diffusion to a certified relative gap of 1e-6\n\n"
        "One seed, mass three times the volume of its class (at most half the graph). "
        'Plain pushes are `solver="push"`; both read the graph, sweep and certify, and '
        "visits count all passes over rows but those of the sweep and the certificate. "
        "On fast mixing targets little is left to gain: reading the rows, sweep and "
        "certificate cost as much as the pushes.\n\n" + table(names, body)
    )


def _totals(rows):
    """Sum times and visits over the classes of one data set."""
    auto, push = (sum(r[s]["seconds"] for r in rows) for s in ("auto", "push"))
    visits = [sum(r[s]["work"] for r in rows) for s in ("auto", "push")]
    check = sum(r["auto"]["verify"] for r in rows)
    return [
        f"{auto * 1e3:.1f}",
        f"{push * 1e3:.1f}",
        f"{push / auto:.1f}",
        f"{visits[1] / visits[0]:.1f}",
        f"{max(r['auto']['gap'] for r in rows):.0e}",
        f"{check / auto:.0%}",
    ]


# One-seed PageRank against global solvers.


def pagerank():
    rows = []
    loaded = load("coauthor_phy")
    if loaded is not None:
        rows.append(_pagerank("coauthor_phy", loaded[0], networkx=True))
    rows.append(_pagerank("random, n = 300 000", _regular(300_000, 10), networkx=False))
    return rows


def _regular(n, degree, size=500):
    """Random graph of clusters of equal size: half of each node's edges leave it."""
    rng = np.random.default_rng(0)
    i = np.repeat(np.arange(n), degree // 4)
    near = i // size * size + rng.integers(size, size=len(i))
    far = rng.integers(n, size=len(i))
    pairs = np.column_stack([np.concatenate([i, i]), np.concatenate([near, far])])
    pairs = pairs[(pairs[:, 0] != pairs[:, 1]) & (pairs.max(axis=1) < n)]
    return check_graph(pairs, affinity="edges")


def _pagerank(name, graph, networkx):
    n, alpha, eps = graph.n_nodes, 0.1, 1e-5
    damping = (1 - alpha) / (1 + alpha)
    degree = np.diff(graph.indptr).astype(float)
    seed = int(np.flatnonzero(degree == np.median(degree))[0])
    A = csr_array((np.ones(len(graph.indices)), graph.indices, graph.indptr), (n, n))
    truth = _exact(A, degree, seed, damping)
    options = {"alpha": alpha, "eps": eps}
    ours, seconds = cpu(lambda: approximate_pagerank(graph, seed, **options), 20)
    _, bare = cpu(
        lambda: approximate_pagerank(graph, seed, certificate=False, **options), 20
    )

    def error(p):
        return float(np.max(np.abs(p - truth)[degree > 0] / degree[degree > 0]))

    row = {"data": name, "n": n, "ours": seconds, "bare": bare}
    row["error"] = error(ours.x.toarray())
    if find_spec("igraph"):
        import igraph

        up = A.tocoo()
        half = up.row < up.col
        G = igraph.Graph(n, np.column_stack([up.row, up.col])[half].tolist())
        p, row["igraph"] = cpu(
            lambda: G.personalized_pagerank(
                damping=damping, reset_vertices=[seed], directed=False
            )
        )
        row["igraph error"] = error(np.array(p))
    if find_spec("sknetwork"):
        from scipy.sparse import csr_matrix
        from sknetwork.ranking import PageRank

        B = csr_matrix(A)
        start = np.zeros(n)
        start[seed] = 1.0
        for solver in ("bicgstab", "piteration", "push"):
            model = PageRank(damping, solver=solver, n_iter=60, tol=1e-7)
            try:
                p, spent = cpu(lambda m=model: m.fit_predict(B, weights={seed: 1}), 2)
            except Exception as problem:  # a peer's own trouble is a dash in the table
                print(solver, problem)
                continue
            row[f"sknetwork {solver}"] = spent
            row[f"sknetwork {solver} error"] = error(np.asarray(p))
    if networkx and find_spec("networkx"):
        import networkx as nx

        N = nx.from_scipy_sparse_array(A)
        p, row["networkx"] = cpu(
            lambda: nx.pagerank(
                N, alpha=damping, personalization={seed: 1}, tol=1e-9, max_iter=500
            ),
            1,
        )
        row["networkx error"] = error(np.array([p[i] for i in range(n)]))
    return row


def _exact(A, degree, seed, damping):
    """Personalised PageRank by many steps of the power method."""
    p = np.zeros(A.shape[0])
    p[seed] = 1.0
    start, inverse = p.copy(), np.divide(1.0, degree, where=degree > 0, out=p * 0)
    for _ in range(200):
        p = damping * (A @ (inverse * p)) + (1 - damping) * start
    return p


def show_pagerank(rows):
    body = []
    for r in rows:
        error = f"{r['error']:.0e}"
        own, bare = f"{r['ours'] * 1e3:.2f}", f"{r['bare'] * 1e3:.2f}"
        body.append(["ours, certified", r["data"], own, error, "", ""])
        body.append(["ours, no certificate", r["data"], bare, error, "", ""])
        for key in r:
            if f"{key} error" not in r:
                continue
            body.append(
                [
                    key,
                    r["data"],
                    f"{r[key] * 1e3:.1f}",
                    f"{r[f'{key} error']:.0e}",
                    f"{r[key] / r['ours']:.0f}",
                    f"{r[key] / r['bare']:.0f}",
                ]
            )
    names = ["method", "data", "ms", "error", "times certified", "times uncertified"]
    return (
        "## Personalised PageRank from one seed, error per degree at most 1e-5\n\n"
        "CPU time of one call on a graph that was read before. Ours stops at the error "
        "asked for, which most peers, who solve for the whole graph and certify "
        "nothing, undercut; ours is given with its certificate and without.\n\n"
        + table(names, body)
    )


# Locality: time per seed while the graph grows.


def locality(sizes=(10_000, 100_000, 1_000_000, 10_000_000), seeds=240):
    """Time seeds on all graphs in turn; memory in a process that sees the largest."""
    with tempfile.TemporaryDirectory() as root:
        folders = [Path(root, str(n)) for n in sizes]
        for folder, n in zip(folders, sizes, strict=True):
            save_edges(folder, _stream(n), n)
        graphs = [load_graph(folder) for folder in folders]
        rng = np.random.default_rng(1)
        times, touched = np.zeros((2, seeds, len(sizes)))
        for k in range(seeds):
            for i, (graph, n) in enumerate(zip(graphs, sizes, strict=True)):
                seed = rng.integers(n)
                begun = time.process_time()
                result = flow_diffusion(graph, seed, mass=8000.0)
                times[k, i] = time.process_time() - begun
                touched[k, i] = result.n_touched
        code = _PROBE.format(folder=str(folders[-1]), n=sizes[-1])
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        mapped = sum(file.stat().st_size for file in folders[-1].iterdir())
        return {
            "rows": [
                {
                    "n": n,
                    "edges": len(graph.indices),
                    "median": float(np.median(times[:, i])),
                    "touched": float(np.median(touched[:, i])),
                }
                for i, (n, graph) in enumerate(zip(sizes, graphs, strict=True))
            ],
            "memory": json.loads(run.stdout),
            "mapped": mapped / 2**20,
        }


def _stream(n, size=500, degree=10, chunk=100_000):
    """Edges of clusters of equal size, node by node."""
    rng = np.random.default_rng(0)
    for a in range(0, n, chunk):
        i = np.repeat(np.arange(a, min(a + chunk, n)), degree // 2)
        near = i // size * size + rng.integers(size, size=len(i))
        far = rng.integers(n, size=len(i))
        j = np.where(rng.random(len(i)) < 0.9, np.minimum(near, n - 1), far)
        pairs = np.column_stack([i, j])
        yield pairs[i != j]


_PROBE = """
import numpy as np
from graphs import flow_diffusion, load_graph, load_karate_club
def peak():
    with open("/proc/self/status") as status:
        return next(int(row.split()[1]) for row in status if row.startswith("VmHWM"))
flow_diffusion(load_karate_club()[0], 0, mass=60)
base = peak()
graph = load_graph({folder!r})
for seed in np.random.default_rng(1).integers({n}, size=60):
    flow_diffusion(graph, seed, mass=8000.0)
print((peak() - base) / 1024)
"""


def show_locality(record):
    rows = record["rows"]
    body = [
        [
            f"{r['n']:,}",
            f"{r['edges']:,}",
            f"{r['median'] * 1e3:.2f}",
            f"{r['median'] / rows[0]['median']:.2f}",
            f"{r['touched']:.0f}",
        ]
        for r in rows
    ]
    return (
        "## Time per seed while the graph grows\n\n"
        "Planted clusters of 500 nodes, memory-mapped; mass 8000; median CPU time of "
        "240 seeds, certificate included, the graphs in turn.\n\n"
        + table(["nodes", "entries", "ms per seed", "ratio", "nodes met"], body)
        + "\n\nA process that opens the largest and runs 60 seeds gains "
        f"{record['memory']:.0f} MiB, pages of the mapped files included, which hold "
        f"{record['mapped']:.0f} MiB."
    )


def profile():
    loaded = load("coauthor_phy")
    if loaded is None:
        return None
    begun, spent = time.perf_counter(), time.process_time()
    found = ncp_profile(loaded[0], n_seeds=1000, n_jobs=2)
    return {
        "seconds": time.perf_counter() - begun,
        "cpu_here": time.process_time() - spent,
        "records": len(found.records),
        "lowest": found.fun,
    }


def show_profile(r):
    return (
        "## Community profile of Coauthor Physics\n\n"
        f"1000 seeds, four settings each, two workers: {r['seconds']:.1f} s; smallest "
        f"conductance {r['lowest']:.4f}."
    )


PARTS = {
    "diffusion": (diffusion, show_diffusion),
    "pagerank": (pagerank, show_pagerank),
    "locality": (locality, show_locality),
    "planted": (lambda: planted(load), show_planted),
    "citations": (lambda: citations(load), show_citations),
    "profile": (profile, show_profile),
}

if __name__ == "__main__":
    main()
