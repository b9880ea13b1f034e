"""A script that fits once, in a fresh process: `python3 tasks.py bench latency`.

What a user waits for: imports, reading compiled kernels from the cache, the fit and its
certificate. The first round fills the caches and is not counted.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
os.environ.update(THREADS)  # before NumPy is loaded

from report import table, write  # noqa: E402

REPEATS = 5
HEAD = """
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler
X, y = load_breast_cancer(return_X_y=True)
X = StandardScaler().fit_transform(X)
"""
BASE = "scikit-learn: LogisticRegression"
SCRIPTS = {
    BASE: """
from sklearn.linear_model import LogisticRegression
LogisticRegression().fit(X, y)
""",
    "scikit-learn: MLPClassifier": """
from sklearn.neural_network import MLPClassifier
MLPClassifier(max_iter=500).fit(X, y)
""",
    "convexnn: ConvexMLPClassifier": """
from convexnn import ConvexMLPClassifier
ConvexMLPClassifier().fit(X, y)
""",
    "convexnn: ConvexMLPClassifier(refine=0)": """
from convexnn import ConvexMLPClassifier
ConvexMLPClassifier(refine=0).fit(X, y)
""",
    "convexnn: SCPClassifier": """
from convexnn import SCPClassifier
SCPClassifier().fit(X, y)
""",
    "sdl: SDLClassifier": """
from sdl import SDLClassifier
SDLClassifier(5).fit(X, y)
""",
    "graphs: FlowDiffusionClustering": """
from graphs import FlowDiffusionClustering
FlowDiffusionClustering().fit(X, y, seeds=[0])
""",
    "quantum: VariationalQuantumClassifier": """
from quantum import VariationalQuantumClassifier
VariationalQuantumClassifier().fit(X[:, :3], y)
""",
    "dfo: minimize_cbo": """
from dfo import minimize_cbo, testfunctions
f = testfunctions.get("rastrigin", 4)
minimize_cbo(f, [(-5, 5)] * 4, maxfev=2000, random_state=0)
""",
}


def main():
    best = dict.fromkeys(SCRIPTS, float("inf"))
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "script.py"
        for round_ in range(REPEATS + 1):
            for name, text in SCRIPTS.items():
                script.write_text(HEAD + text)
                begun = time.perf_counter()
                subprocess.run([sys.executable, "-W", "ignore", script], check=True)
                if round_:  # the first fills the caches
                    best[name] = min(best[name], time.perf_counter() - begun)
    text = "\n\n".join(
        [
            "# First fits",
            "Written by `python3 tasks.py bench latency`; not by hand. A script that "
            "fits breast cancer once (`minimize_cbo`: a test function of four "
            "variables), in a fresh process, one thread, best of "
            f"{REPEATS}, with a warm Numba cache.",
            table(
                ["script", "seconds", "ratio"],
                [
                    [name, f"{t:.2f}", f"{t / best[BASE]:.2f}"]
                    for name, t in best.items()
                ],
            ),
        ]
    )
    write("latency", {"scripts": best}, text)


if __name__ == "__main__":
    main()
