"""
A race of optimizers
====================

Published comparisons count epochs, and an epoch of COBYLA is one loss evaluation while
one of gradient descent by the shift rule is eighty-one. Here all optimizers start from
the same weights, and the work is what is on the axis: evaluations on the left, seconds
on the right. The grey line is the floor that none of them can pass.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning

import farkas
from quantum import VariationalQuantumClassifier, plot_race

warnings.simplefilter("ignore", ConvergenceWarning)
rng = np.random.default_rng(0)
X = rng.uniform(0, 1, (120, 3))
y = (X[:, 0] + X[:, 1] ** 2 + 0.3 * rng.standard_normal(120) > 0.9).astype(int)

settings = {
    "L-BFGS": {"optimizer": "lbfgs"},
    "AQGD": {"optimizer": "aqgd"},
    "AQGD, loss shift": {
        "optimizer": "aqgd",
        "optimizer_options": {"gradient": "loss_shift"},
    },
    "COBYLA": {"optimizer": "cobyla", "max_iter": 300},
    "SPSA": {"optimizer": "spsa", "max_iter": 300},
    "sequential": {"optimizer": "sequential", "max_iter": 10},
}
models = {
    name: VariationalQuantumClassifier(random_state=0, **parameters).fit(X, y)
    for name, parameters in settings.items()
}
for name, model in models.items():
    print(f"{name:17} loss {model.loss_:.4f}  evaluations {model.nfev_:6d}")

# %%
# An evaluation with the exact gradient costs about three without.

fig, axes = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained", sharey=True)
for ax, x in zip(axes, ("nfev", "elapsed"), strict=True):
    plot_race(models, x=x, ax=ax).get_legend().remove()
lines = axes[0].get_legend_handles_labels()
fig.legend(*lines, loc="outside right center", frameon=False)

# %%
# Every fit carries its own certificate; here is the winner's.

winner = min(models.values(), key=lambda model: model.loss_)
print(farkas.verify(winner, X, y).check().message)
assert all(m.certificate_.lower <= m.loss_ for m in models.values())
