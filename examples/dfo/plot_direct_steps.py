"""
A function made of steps
========================

A staircase has no slope anywhere: every derivative is zero or does not exist. Direct
search needs values only, and the covering step keeps looking where a poll of small
radius sees nothing but the same step. Points where the function fails count as walls.
"""

import matplotlib.pyplot as plt
import numpy as np

import farkas
from dfo import minimize_cdsm
from dfo.direct.plotting import plot_search, plot_trajectory_2d


def staircase(x):
    if np.sum((x - [1.2, 0.8]) ** 2) < 0.05:
        raise ValueError("the simulation does not converge here")
    return float(np.sum(np.floor(4 * np.abs(x - [0.5, -0.3]))))


res = minimize_cdsm(
    staircase,
    [1.7, 1.3],
    initial_radius=0.3,
    maxfev=800,
    ftarget=0.0,
    random_state=0,
)
print(f"f = {res.fun:g} at {res.x.round(3)}, {res.status.name}")

failed = np.isinf(res.evaluations["F"])
print(f"{failed.sum()} of {res.nfev} points failed")

# %%


def drawn(x):
    try:
        return staircase(x)
    except ValueError:
        return np.nan


fig, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
plot_trajectory_2d(drawn, res, frames=False, ax=axes[0])
plot_search(res, ax=axes[1])

print(farkas.verify(res, staircase).check().message)
assert res.fun == 0
