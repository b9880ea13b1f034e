"""
A kink that polls cannot leave
==============================

The larger of two paraboloids has its minimum at the origin, on a kink. Along the
coordinates every step from a point of the kink goes uphill, so a compass search stops
there. One covering point in each iteration, far from all evaluated points in a ball of
fixed radius, finds the way down (Dennis and Woods; arXiv:2401.07097).
"""

import matplotlib.pyplot as plt
import numpy as np

import farkas
from dfo import covering_radius, minimize_cdsm
from dfo.direct.plotting import plot_radii, plot_search, plot_trajectory_2d

c = np.array([1.0, -1.0])


def two_paraboloids(x):
    return max(np.sum((x - c) ** 2), np.sum((x + c) ** 2)) / 2


plain = {
    "poll": "coordinate",
    "initial_radius": 0.5,
    "model_search": False,
    "simplex_search": False,
    "maxfev": 1500,
    "random_state": 0,
}
results = {
    "polls alone": minimize_cdsm(two_paraboloids, [2.1, 2.1], covering=None, **plain),
    "with covering": minimize_cdsm(two_paraboloids, [2.1, 2.1], **plain),
    "all searches": minimize_cdsm(
        two_paraboloids, [2.1, 2.1], maxfev=1500, random_state=0
    ),
}
for name, res in results.items():
    print(f"{name:14s} f = {res.fun:.6f} after {res.nfev} evaluations")

# %%
# The certificate of the stuck run holds, and says no more than it should: its poll of
# four points failed. How much of the ball around the result has been seen is another
# number.

stuck, free = results["polls alone"], results["with covering"]
print(farkas.verify(stuck, two_paraboloids).check().message)
for name, res in results.items():
    seen = covering_radius(res)
    print(f"{name:14s} largest hole {seen.radius:.3f} of radius {seen.ball:g}")

# %%

fig, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
plot_trajectory_2d(two_paraboloids, free, ax=axes[0])
plot_search(free, optimum=1.0, ax=axes[1])
plot_radii(free, ax=axes[2])

print(farkas.verify(free, two_paraboloids).check().message)
assert abs(stuck.fun - 1.01) < 1e-9
assert free.fun < 1.005
assert results["all searches"].fun < 1.005
