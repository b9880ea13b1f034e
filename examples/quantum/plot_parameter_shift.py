"""
Why the shift rule on the loss is not the gradient
==================================================

The shift rule ``[f(t + pi/2) - f(t - pi/2)] / 2`` is the derivative of an expectation
value, which is one sine in the angle. A loss is not: the cross-entropy of a probability
has many harmonics, of which the rule drops the even ones and weighs the third by -1/3.
Published experiments used it all the same. This example sets the two side by side.
"""

import matplotlib.pyplot as plt
import numpy as np

import farkas
from quantum import VariationalQuantumClassifier, loss_slice
from quantum.optimizers.driver import Run

X = np.array([[0.1, 0.7], [0.4, 0.2], [0.9, 0.5], [0.3, 0.8]])
y = np.array([0, 1, 1, 0])
model = VariationalQuantumClassifier(
    ansatz_reps=1, initial_point=np.arange(1, 9) / 10, max_iter=2000, random_state=0
).fit(X, y)

# %%
# Along one weight: the loss, its true slope, and what the rule returns.

k = 4
offsets, losses = loss_slice(model, X, y, k, n_points=401)
step = offsets[1] - offsets[0]
slope = np.gradient(losses[:-1], step)
quarter = round(np.pi / 2 / step)
shift = 0.5 * (np.roll(losses[:-1], -quarter) - np.roll(losses[:-1], quarter))

fig, (top, bottom) = plt.subplots(
    2, 1, figsize=(6, 5), sharex=True, layout="constrained"
)
top.plot(offsets, losses, color="#0072B2")
top.set_ylabel("loss")
bottom.plot(offsets[:-1], slope, color="#0072B2", label="gradient")
bottom.plot(
    offsets[:-1], shift, color="#D55E00", ls="--", label="shift rule on the loss"
)
bottom.axhline(0, color="0.6", lw=0.8)
bottom.set(xlabel="offset of the weight", ylabel="slope")
bottom.legend(frameon=False)

# %%
# At the trained weights the gradient is zero, and the rule would still walk on.

X_fit, s = model.weights_, np.full(4, 0.25)
simulator = model.model_.simulator(X)
run = Run(lambda t: float(s @ model.model_.loss.values(simulator.outputs(t), y)), X_fit)
rule = run.shift_gradient(X_fit)
print("largest gradient entry:", f"{model.certificate_.value:.1e}")
print("largest entry of the rule:", f"{np.abs(rule).max():.1e}")
print(farkas.verify(model, X, y).check().message)
assert model.certificate_.satisfied
assert np.abs(rule).max() > 1e3 * model.certificate_.value
