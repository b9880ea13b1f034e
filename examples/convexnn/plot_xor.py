"""
XOR: the provably best network
==============================

Four points, two classes, no line between them: XOR is the smallest problem that needs a
hidden layer. A hidden ReLU unit is on for some points and off for the others, and lines
in the plane realise only 14 such patterns. With all of them in the convex program the
certificate holds for networks of *any* width: no ReLU network of one hidden layer has a
smaller objective.
"""

import matplotlib.pyplot as plt
import numpy as np

import farkas
from convexnn import ConvexMLPClassifier

X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
y = np.array([0, 1, 1, 0])

model = ConvexMLPClassifier(alpha=0.01, patterns="all", tol=1e-6).fit(X, y)
print("activation patterns:", len(model.patterns_))
print("hidden units:       ", model.n_hidden_)
print(model.certificate_)

# %%
# The dotted lines in the left panel are the kinks of the network, where units switch on
# and off. The best network is not unique, the best objective is: on the right, both
# bounds of it close in.

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
ticks = np.linspace(-0.5, 1.5, 121)
grid = np.array(np.meshgrid(ticks, ticks))
output = model.decision_function(grid.reshape(2, -1).T).reshape(grid[0].shape)
limit = np.abs(output).max()
filled = left.contourf(
    *grid, output, levels=np.linspace(-limit, limit, 21), cmap="PuOr", alpha=0.8
)
left.contour(*grid, output, levels=[0.0], colors="black")
for weights, bias in zip(model.coefs_[0].T, model.intercepts_[0], strict=True):
    foot = -bias * weights / (weights @ weights)
    along = foot + np.array([-weights[1], weights[0]])
    left.axline(foot, along, color="0.35", ls=":", lw=1)
left.scatter(*X[y == 0].T, marker="o", s=90, color="black", label="even")
left.scatter(*X[y == 1].T, marker="^", s=90, color="white", ec="black", label="odd")
left.set(xlim=(-0.5, 1.5), ylim=(-0.5, 1.5), aspect="equal", title="Network output")
left.legend(loc="upper left")
fig.colorbar(filled, ax=left, shrink=0.85)
farkas.plot_history(model, ax=right)

# %%
# The claim is checked on the data: the four points, and that no pattern was left out.

print(farkas.verify(model, X, y).check().message)
assert model.certificate_.guarantee is farkas.Guarantee.GLOBAL
assert model.certificate_.parameters["scope"] == "global"
assert len(model.patterns_) == 14
assert (model.predict(X) == y).all()
