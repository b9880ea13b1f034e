"""
Two moons under attack: training for the worst point of every box
=================================================================

Whoever wants a point misclassified may move it a little. The robust convex program
trains for the worst that can happen when each coordinate moves by at most ``eps``: its
units keep their activation pattern on the whole box around every training point. So the
largest loss of a box is known exactly, and the certificate proves that no other network
with these patterns does better.
"""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle
from sklearn.datasets import make_moons
from sklearn.neural_network import MLPClassifier

import farkas
from convexnn import (
    certified_score,
    recover_network,
    robust_score,
    sample_patterns,
    sample_robust_patterns,
    solve_relu,
    solve_robust,
)

EPS = 0.1
X, y = make_moons(40, noise=0.15, random_state=0)
X_test, y_test = make_moons(1000, noise=0.15, random_state=1)
data = np.column_stack([X, np.ones(len(X))])  # the last column is the bias
signs = 2.0 * y - 1.0

patterns = sample_robust_patterns(data, 200, eps=EPS, random_state=0)
robust = solve_robust(data, signs, patterns, alpha=0.1, eps=EPS, loss="hinge")
print("hyperplanes that touch no box give", len(patterns), "patterns")
print(robust.certificate)
certified = robust.certificate.residuals["certified_accuracy"]
print(f"training points that no perturbation misclassifies: {certified:.1%}, proven")

# %%
# For comparison, the same program without perturbations, and a network trained by Adam.


def network(V, W):
    """Weights of a convex program, laid out as in MLPClassifier."""
    U, a = recover_network(V, W, data)
    return SimpleNamespace(
        coefs_=[U[:-1], a[:, None]],
        intercepts_=[U[-1], np.zeros(1)],
        classes_=np.array([0, 1]),
    )


def output(net, points):
    """Output of a network with one hidden layer."""
    hidden = np.maximum(points @ net.coefs_[0] + net.intercepts_[0], 0.0)
    return (hidden @ net.coefs_[1] + net.intercepts_[1])[:, 0]


usual = sample_patterns(data, 100, random_state=0)
standard = solve_relu(data, signs, usual, alpha=0.1, loss="hinge")
networks = {
    "robust": network(*robust.x),
    "standard": network(*standard.x),
    "MLP(50)": MLPClassifier((50,), max_iter=3000, random_state=0).fit(X, y),
}

fig, axes = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained", sharey=True)
ticks = np.meshgrid(np.linspace(-1.6, 2.7, 200), np.linspace(-1.2, 1.7, 160))
grid = np.column_stack([axis.ravel() for axis in ticks])
for ax, name in zip(axes, ("robust", "standard"), strict=True):
    z = output(networks[name], grid).reshape(ticks[0].shape)
    ax.contourf(*ticks, np.clip(z, -2, 2), levels=21, cmap="PuOr", alpha=0.8)
    ax.contour(*ticks, z, levels=[0.0], colors="black")
    for point, label in zip(X, y, strict=True):
        color = "white" if label else "black"
        corner = point - EPS
        ax.add_patch(Rectangle(corner, 2 * EPS, 2 * EPS, fc="none", ec=color, lw=1))
    ax.scatter(*X[y == 0].T, color="black", marker="o", s=14)
    ax.scatter(*X[y == 1].T, color="white", marker="^", ec="black", s=24)
    ax.set(title=f"{name} convex net", aspect="equal", xlabel="$x_1$")
axes[0].set_ylabel("$x_2$")

# %%
# Accuracy on new points against the radius of the attack. No attack finds more than
# the truth and no bound promises more, so the truth lies between the last two lines.

radii = np.linspace(0.0, 0.3, 7)
fig, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained", sharey=True)
for ax, (name, net) in zip(axes, networks.items(), strict=True):
    curves = {
        "clean": [robust_score(net, X_test, y_test, e, attack="none") for e in radii],
        "FGSM": [robust_score(net, X_test, y_test, e, attack="fgsm") for e in radii],
        "PGD": [robust_score(net, X_test, y_test, e, random_state=0) for e in radii],
        "certified": [certified_score(net, X_test, y_test, e) for e in radii],
    }
    for (label, curve), style in zip(
        curves.items(), (":", "-.", "-", "--"), strict=True
    ):
        ax.plot(radii, curve, style, label=label, lw=2)
    ax.axvline(EPS, color="0.7", lw=1)
    ax.set(title=name, xlabel="radius of the attack", ylim=(0.4, 1.02))
    for weaker, stronger in (("clean", "FGSM"), ("FGSM", "PGD"), ("PGD", "certified")):
        assert (np.array(curves[weaker]) >= curves[stronger]).all()
    print(f"{name:>8}: PGD accuracy at {radii[2]:.1f} is {curves['PGD'][2]:.3f}")
axes[0].set_ylabel("accuracy on new points")
axes[0].legend()

# %%
# The claim is about the training data, their boxes and these patterns; anyone can redo
# it. There is a price: the wider the boxes, the fewer hyperplanes pass between them. In
# the end only a linear classifier is left.

for eps in (0.05, 0.1, 0.15, 0.3):
    left = sample_robust_patterns(data, 200, eps=eps, random_state=0)
    print(f"eps={eps:.2f}: {len(left)} patterns")
print(farkas.verify(robust, data, signs).check().message)
assert robust.certificate.satisfied
assert robust.certificate.guarantee is farkas.Guarantee.GLOBAL
