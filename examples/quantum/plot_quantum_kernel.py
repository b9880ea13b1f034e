"""
A kernel, a measurement, a circuit
==================================

One encoding, three classifiers. The support vector machine sees only the fidelities
between encoded samples; the best measurement minimises the loss over everything that
can be read from them; a circuit is one of those measurements. The kernel matrix shows
what all three have to work with, and its effective rank how much of it there is.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC

import farkas
from quantum import (
    OptimalMeasurementClassifier,
    VariationalQuantumClassifier,
    effective_rank,
    fidelity_kernel_matrix,
    plot_kernel,
    quantum_kernel,
)

X, y = make_moons(120, noise=0.15, random_state=0)
X = MinMaxScaler((0, np.pi)).fit_transform(X)
A, B, a, b = X[:80], X[80:], y[:80], y[80:]

K = fidelity_kernel_matrix("angle", A)
print(f"effective rank of the kernel: {effective_rank(K):.2f}, of 80 samples")
models = {
    "kernel SVC": SVC(kernel=quantum_kernel("angle"), C=10.0),
    "best measurement": OptimalMeasurementClassifier("angle"),
    "circuit": VariationalQuantumClassifier("angle", max_iter=1000, random_state=0),
}
for name, model in models.items():
    print(f"{name:17} accuracy on new rows {model.fit(A, a).score(B, b):.3f}")

# %%
# The kernel sorted by class, and the decision of the best measurement.

fig, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
plot_kernel(K, a, ax=left)
left.set_title("fidelities, sorted by class")
ticks = np.linspace(0, np.pi, 81)
grid = np.array(np.meshgrid(ticks, ticks))
best = models["best measurement"]
p = best.predict_proba(grid.reshape(2, -1).T)[:, 1].reshape(grid[0].shape)
right.contourf(*grid, p, levels=np.linspace(0, 1, 21), cmap="PuOr", alpha=0.8)
right.contour(*grid, p, levels=[0.5], colors="black")
for label, marker in ((0, "o"), (1, "^")):
    right.scatter(*A[a == label].T, marker=marker, s=22, color="black")
right.set(title="best measurement", aspect="equal")

# %%
# No measurement of this encoding has a smaller training loss, and no circuit either.

print(farkas.verify(best, A, a).check().message)
print(farkas.verify(models["circuit"], A, a).check().message)
assert best.lower_bound_ <= models["circuit"].loss_
