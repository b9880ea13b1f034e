"""
Minimising the number of errors
===============================

The share of wrong answers is what one cares about, and no gradient method can minimise
it: it is constant almost everywhere, and so are networks with step activations. A
population of networks needs values only. Logistic regression, which minimises a smooth
stand-in, is a fair yardstick: outliers far on the wrong side pull it away, the number
of errors does not mind how far away they are.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

import farkas
from dfo import CBOClassifier

rng = np.random.default_rng(0)
X = rng.normal(size=(200, 2))
y = (X[:, 0] + 0.5 * X[:, 1] > 0).astype(int)
far = np.column_stack([rng.normal(6, 0.5, 20), rng.normal(-9, 0.5, 20)])
X, y = np.vstack([X, far]), np.concatenate([y, np.ones(20, dtype=int)])

model = CBOClassifier(
    hidden_layer_sizes=(),
    loss="zero_one",
    activation="identity",
    batch_norm=False,
    max_iter=60,
    batch_size=220,
    random_state=0,
)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    model.fit(X, y)
smooth = LogisticRegression().fit(X, y)
step = CBOClassifier((10,), loss="zero_one", activation="step", random_state=0)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    step.fit(X, y)
print(f"errors, a line by consensus:       {(model.predict(X) != y).sum()}")
print(f"errors, logistic regression:       {(smooth.predict(X) != y).sum()}")
print(f"errors, network of ten step units: {(step.predict(X) != y).sum()}")

# %%
# The boundaries:

ticks = np.linspace(-10, 8, 200)
grid = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
fig, axes = plt.subplots(1, 3, figsize=(12, 3.8), sharey=True, layout="constrained")
for ax, fitted, title in zip(
    axes,
    (model, smooth, step),
    ("line, errors minimised", "logistic regression", "step units, errors minimised"),
    strict=True,
):
    ax.contourf(
        ticks, ticks, fitted.predict(grid).reshape(200, 200), cmap="PuOr", alpha=0.4
    )
    ax.scatter(*X.T, c=y, cmap="PuOr", s=10, edgecolor="0.3", linewidth=0.3)
    ax.set(title=title)

# %%
# The certificate says that no step along the polled directions makes fewer errors.

print(farkas.verify(model, X, y).check().message)
assert (model.predict(X) != y).mean() <= (smooth.predict(X) != y).mean()
assert (step.predict(X) != y).mean() < 0.1
