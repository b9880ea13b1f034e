"""
How good is this MLP? A bound that no network beats
===================================================

Gradient descent returns *a* network. Whether a better one exists, of the same width or
of any other, it does not say. Here scikit-learn's ``MLPClassifier`` is trained at six
widths, and one certificate answers for all of them: a lower bound on the objective of
every two-layer ReLU network, however wide. It comes from a semidefinite relaxation, and
checking it takes one eigenvalue computation for each sign of the output weights.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

import farkas
from convexnn import certify_mlp

X, y = load_breast_cancer(return_X_y=True)
X, y = StandardScaler().fit_transform(X)[:40], y[:40]

widths = (1, 2, 4, 8, 16, 32)
trained = [
    MLPClassifier(
        (width,), solver="lbfgs", alpha=1.0, max_iter=2000, random_state=0
    ).fit(X, y)
    for width in widths
]

# %%
# The objective is the summed log loss plus the penalty on the weights, which
# scikit-learn reports divided by the number of rows. Biases are free in the MLP; in the
# certificate they are the weights of a constant column. With a column of 10 they cost
# little.

own = [certify_mlp(mlp, X, y, tol=1e-3, max_time=None) for mlp in trained]
best = int(np.argmin([certificate.upper for certificate in own]))
bound = certify_mlp(trained[best], X, y, scope="global", tol=0.01, max_time=4.0)
for width, certificate in zip(widths, own, strict=True):
    print(
        f"{width:3d} units: objective {certificate.upper:.4f}, best on its own "
        f"activation patterns at least {certificate.lower:.4f}"
    )
print(
    f"any width: at least {bound.lower:.4f}, by method={bound.parameters['method']!r}"
)

# %%
# A dot is a trained network, the bar below it what a network with the same activation
# patterns might still gain. Nothing lies below the line: not even a network of a
# million units.

fig, ax = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
upper = np.array([certificate.upper for certificate in own])
lower = np.array([certificate.lower for certificate in own])
ax.axhspan(0.97 * bound.lower, bound.lower, color="#D55E00", alpha=0.15)
ax.axhline(bound.lower, color="#D55E00", label="no network of any width is below")
ax.vlines(widths, lower, upper, color="0.45", lw=2, label="its activation patterns")
ax.plot(widths, upper, "o", color="#0072B2", label="MLPClassifier")
ax.set_xscale("log", base=2)
ax.set_xticks(widths, [str(width) for width in widths])
ax.set(
    xlabel="hidden units",
    ylabel="objective",
    title="Trained networks and what is possible",
    ylim=(0.97 * bound.lower, None),
)
ax.legend()

# %%
# The claims are redone on the data, by arithmetic that knows nothing of the solver.

for certificate in (*own, bound):
    print(farkas.verify(certificate, X, y).check().message)
assert bound.guarantee is farkas.Guarantee.GLOBAL
assert all(bound.lower <= certificate.upper for certificate in own)
assert bound.gap <= 0.1 * bound.upper
