"""
Is my circuit or my optimizer the problem?
==========================================

A trained circuit stops at some loss, and the loss alone does not say why. The
certificate splits it: below the floor no circuit whatsoever can go on these encoded
data, so the floor is the fault of the encoding. What a deeper circuit gains is the
fault of the ansatz, what other starts gain that of the optimizer.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning

import farkas
from quantum import VariationalQuantumClassifier, plot_loss

rng = np.random.default_rng(0)
X = rng.uniform(0, 1, (200, 3))
y = (X[:, 0] + X[:, 1] ** 2 + 0.3 * rng.standard_normal(200) > 0.9).astype(int)

# %%
# Three depths, five starts each. The floor is the same for all of them: it knows the
# encoding and the data, and nothing of the circuit.

warnings.simplefilter("ignore", ConvergenceWarning)
models, starts = {}, {}
for reps in (1, 3, 6):
    model = VariationalQuantumClassifier(
        ansatz_reps=reps, n_restarts=5, random_state=0
    ).fit(X, y)
    models[reps], starts[reps] = model, model.optimizer_result_.restart_losses
floor = max(model.certificate_.lower for model in models.values())
coin = np.log(2)
print(f"loss of a coin    {coin:.4f}")
for reps, model in models.items():
    print(
        f"reps {reps}: best start {model.loss_:.4f}, worst {starts[reps].max():.4f}, "
        f"above the floor by {model.loss_ - floor:.4f}"
    )
print(f"floor             {floor:.4f}")

# %%
# On the left one fit above its floor. On the right the loss of every start, by depth.

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
plot_loss(models[3], ax=left)
for reps, losses in starts.items():
    right.plot([reps] * len(losses), losses, "o", color="#0072B2", alpha=0.7)
right.axhline(floor, color="#D55E00", ls="--", label="floor of all circuits")
right.axhline(coin, color="0.5", ls=":", label="a coin")
right.set(xlabel="reps of the ansatz", ylabel="training loss", xticks=list(models))
right.legend(frameon=False)

# %%
# The claim is redone from the data: states, loss, gradient and floor.

print(farkas.verify(models[3], X, y).check().message)
assert all(floor <= losses.min() for losses in starts.values())
assert models[6].loss_ < models[1].loss_
