"""Draw the picture of the README: `python docs/picture.py`, half a minute.

Left, a fit whose proven bounds close in. Right, networks that L-BFGS found from random
starts, above the proven floor under the networks of all widths.
"""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import minimize
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.preprocessing import StandardScaler

import farkas
from convexnn import ConvexMLPClassifier, certify_network

WIDTHS, STARTS, ROWS, ALPHA = (1, 2, 4, 8, 16), 40, 24, 1.0
OURS, THEIRS = "#1f5fa8", "#b8860b"
TARGET = Path(__file__).resolve().parent / "_static" / "certificate.svg"


def main():
    """Draw both halves and write the file."""
    mpl.rcParams |= {"svg.hashsalt": "farkas", "svg.fonttype": "none", "font.size": 9,
                     "axes.titlesize": 10}  # fmt: skip
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.6), layout="constrained")
    closing(left)
    floor(right)
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(TARGET, metadata={"Date": None, "Creator": None})


def closing(ax):
    """Draw the objective and the proven bound of one fit against time."""
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    ConvexMLPClassifier(alpha=1.0, refine=0, random_state=0).fit(X, y)  # compiles
    model = ConvexMLPClassifier(alpha=1.0, refine=0, random_state=0, tol=1e-5)
    model.fit(X, y)
    farkas.verify(model, X, y).check()
    c, history = model.certificate_, model.history_
    t = history["elapsed"]
    ax.fill_between(t, history["lower_bound"], history["objective"], color=OURS,
                    alpha=0.15, lw=0)  # fmt: skip
    ax.plot(t, history["objective"], color=OURS, label="objective of the network")
    ax.plot(t, history["lower_bound"], color=OURS, ls="--",
            label="proven lower bound")  # fmt: skip
    ax.set(xlabel="seconds", ylabel="training objective",
           title="A fit closes its own gap, and anyone can re-check it")  # fmt: skip
    ax.set_ylim(0.97 * c.lower, 1.08 * c.upper)
    ax.set_xlim(t[np.isfinite(history["lower_bound"])][0], t[-1])
    ax.legend(frameon=False, loc="upper right")
    ax.text(0.98, 0.4, f"{c.lower:.4f} \u2264 optimum \u2264 {c.upper:.4f}: verified",
            transform=ax.transAxes, ha="right")  # fmt: skip


def floor(ax):
    """Draw where random starts end, and the floor under all networks."""
    X, y = load_diabetes(return_X_y=True)
    X = StandardScaler().fit_transform(X[:ROWS])
    X = np.column_stack([X, np.ones(ROWS)]) / np.sqrt(X.shape[1] + 1)
    y = (y[:ROWS] - y[:ROWS].mean()) / y[:ROWS].std()
    rng = np.random.default_rng(0)
    best = None
    for place, width in enumerate(WIDTHS):
        runs = [descend(X, y, width, rng) for _ in range(STARTS)]
        values = [value for value, _, _ in runs]
        best = min([*runs, *([best] if best else [])], key=lambda run: run[0])
        jitter = rng.uniform(-0.22, 0.22, STARTS)
        ax.plot(place + jitter, values, ".", color=THEIRS, alpha=0.6, ms=5,
                label="L-BFGS from a random start" if not place else None)  # fmt: skip
    _, U, a = best
    certificate = certify_network(U, a, X, y, ALPHA, scope="global", max_time=20.0)
    farkas.verify(certificate, X, y).check()
    bottom, top = ax.get_ylim()
    bottom = min(bottom, certificate.lower - 0.25 * (top - certificate.lower))
    ax.axhspan(bottom, certificate.lower, color=OURS, alpha=0.15, lw=0)
    ax.axhline(certificate.lower, color=OURS, ls="--")
    ax.text(0.5, 0.04, f"proven: no network of any width below "
            f"{certificate.lower:.3f}", transform=ax.transAxes, ha="center",
            color=OURS)  # fmt: skip
    ax.set(xlabel="hidden units", ylabel="training objective", ylim=(bottom, top),
           title="A floor under every network there is")  # fmt: skip
    ax.set_xticks(range(len(WIDTHS)), map(str, WIDTHS))
    ax.legend(frameon=False, loc="upper right")


def descend(X, y, width, rng):
    """Return objective and weights of a network after L-BFGS."""
    n, d = X.shape

    def value_and_gradient(weights):
        U, a = weights[: d * width].reshape(d, width), weights[d * width :]
        z = X @ U
        h = np.maximum(z, 0.0)
        r = h @ a - y
        value = 0.5 * r @ r + 0.5 * ALPHA * (weights @ weights)
        slope = X.T @ (np.outer(r, a) * (z > 0))
        return value, np.concatenate([slope.ravel(), h.T @ r]) + ALPHA * weights

    start = rng.standard_normal((d + 1) * width)
    result = minimize(value_and_gradient, start, jac=True, method="L-BFGS-B")
    U, a = result.x[: d * width].reshape(d, width), result.x[d * width :]
    return result.fun, U, a


if __name__ == "__main__":
    main()
