"""
The regularisation path: from no unit to many
=============================================

The penalty decides how many units a network uses. For a large alpha the zero network is
optimal, and the smallest such alpha is known exactly; as alpha falls, units enter one
by one. A path solves the program for a whole grid of penalties, starting each from the
one before, and certifies every point. It is the tool for choosing alpha, and for
pruning a network to as few units as the accuracy allows.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import farkas
from convexnn import convexnn_path, recover_network, sample_patterns, solve_relu
from convexnn.plots import plot_path

X, y = load_breast_cancer(return_X_y=True)
X, X_test, y, y_test = train_test_split(
    X, 2.0 * y - 1.0, train_size=150, random_state=0
)
scaler = StandardScaler().fit(X)
X, X_test = (
    np.column_stack([scaler.transform(Z), np.ones(len(Z))]) for Z in (X, X_test)
)
patterns = sample_patterns(X, 30, random_state=0)

# %%
# Thirty points, three decades. All share one factorisation, and each starts where the
# two before point to, so that it takes fewer iterations than a fit from nothing.

begun = time.perf_counter()
path = convexnn_path(X, y, patterns, n_alphas=30)
elapsed = time.perf_counter() - begun
print(f"{len(path.alphas)} alphas: {path.nit.sum()} iterations, {elapsed:.2f} s")
cold = solve_relu(X, y, patterns, alpha=path.alphas[-1])
print(f"the last one alone: {cold.nit} iterations, {cold.elapsed:.2f} s")
print(f"so on average {path.nit.mean() / cold.nit:.0%} of its iterations for a point")

# %%
# The optimal value is a concave function of alpha. Each point comes with its own
# interval, and a line through two certified points bounds everything between them.

fig, left = plt.subplots(layout="constrained")
plot_path(path, ax=left)
left.set_title("Blocks of weights enter as alpha falls")

# %%
# Test accuracy against the number of units. The networks are pruned: blocks that are
# exactly zero are gone, and units of one pattern and sign are merged.

units, accuracy = [], []
for V, W in zip(*path.x, strict=True):
    U, a = recover_network(V, W, X)
    units.append(len(a))
    output = np.maximum(X_test @ U, 0) @ a
    accuracy.append(np.mean(np.sign(output) == y_test))
fig, right = plt.subplots(layout="constrained")
right.semilogx(
    path.alphas[1:], accuracy[1:], "o-", color="#0072B2", label="test accuracy"
)
right.set(xlabel="alpha", ylabel="test accuracy", xlim=right.get_xlim()[::-1])
twin = right.twinx()
twin.semilogx(path.alphas, units, "s--", color="#D55E00", ms=4, label="units")
twin.set_ylabel("units")
right.set_title("Accuracy and size")
handles = [right.lines[0], twin.lines[0]]
right.legend(handles, [line.get_label() for line in handles], frameon=False, loc=4)

best = int(np.argmax(accuracy))
small = int(np.argmax(np.array(accuracy) >= accuracy[best] - 0.01))
print(f"best accuracy {accuracy[best]:.3f} with {units[best]} units")
print(f"within one point of it: {accuracy[small]:.3f} with {units[small]} units")

# %%
# Every certificate of the path is redone on the data.

for certificate in path.certificates:
    farkas.verify(certificate, X, y).check()
print(farkas.verify(path.certificates[-1], X, y).check().message)
assert path.success
assert units[0] == 0
assert units[small] <= units[best]
assert path.nit.sum() < 0.5 * len(path.alphas) * cold.nit
