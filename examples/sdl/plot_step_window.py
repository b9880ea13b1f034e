"""
The window of the step size
===========================

Textbook projected gradient descent on low-rank matrices contracts linearly if its step
lies in a window that the curvature of the loss determines, and if that curvature varies
by less than a factor of three. Both can be computed beforehand. Inside the window the
method needs a dozen iterations; a shorter step creeps, one that is slightly too long
cycles for ever, and a longer one diverges. The default of this library needs no step
size.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import scale

import farkas
from sdl import lpgd

X, y = load_breast_cancer(return_X_y=True)
X = scale(X)
problem = {"model": "feature", "xi": 0.5, "alpha": 1.0, "fit_intercept": False}

steps = {"best, 2 / (L + mu)": "fixed", "0.2": 0.2, "1.4": 1.4, "2.2": 2.2}
runs = {
    name: lpgd(X, y, 3, step=step, tol=0.0, max_iter=40, **problem)
    for name, step in steps.items()
}
best = runs["best, 2 / (L + mu)"]
low, high = best.step_window
print(f"L / mu = {best.condition_ratio:g}, window ({low:g}, {high:g})")

# %%
# Distance of the objective to the proven optimum, iteration by iteration.

auto = lpgd(X, y, 3, tol=1e-10, **problem)
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for name, run in runs.items():
    excess = np.maximum(run.history["objective"] - auto.lower_bound, 1e-10)
    ax.semilogy(run.history["iteration"], excess, label=f"step {name}")
ax.plot(auto.history["iteration"],
        np.maximum(auto.history["objective"] - auto.lower_bound, 1e-10), "ko-", ms=4,
        label="long steps, no step size")  # fmt: skip
ax.set(xlabel="iteration", ylabel="objective - lower bound", ylim=(1e-10, 1e8))
ax.legend(frameon=False, fontsize=8)

for name, run in runs.items():
    print(f"step {name:20} objective {run.history['objective'][-1]:.6g}")
assert abs(best.fun - auto.fun) <= 1e-8 * auto.fun
print(farkas.verify(auto, X, y).check().message)
print(farkas.verify(best, X, y).check().message)
