"""
Several minima in one run
=========================

Himmelblau's function has four minima of equal height. A common consensus point must
choose one of them, or get stuck between. In polarized consensus-based optimization
every particle listens to its neighbours only, within a distance kappa, and the
population splits by itself.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import minimize

import farkas
from dfo import minimize_polarized_cbo, testfunctions

f = testfunctions.get("himmelblau")
res = minimize_polarized_cbo(
    f.fun, f.bounds, n_particles=400, kappa=0.5, random_state=0
)
for point, value in zip(res.minimizers, res.minimizer_values, strict=True):
    print(point.round(3), f"{value:.5f}")

# %%
# Each colour is a group of particles; crosses mark the minima.

ticks = np.linspace(-6, 6, 200)
grid = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
heights = np.log1p(f.fun(grid)).reshape(200, 200)
fig, ax = plt.subplots(figsize=(5, 4.5), layout="constrained")
ax.contourf(ticks, ticks, heights, levels=25, cmap="Greys", alpha=0.6)
ax.scatter(*res.population.T, c=res.labels, cmap="tab10", s=14)
minima = np.array(
    [[3.0, 2.0], [-2.805118, 3.131313], [-3.77931, -3.283186], [3.584428, -1.848127]]
)
ax.plot(*minima.T, "k+", ms=14)
ax.set(title=f"{len(res.minimizers)} groups", aspect="equal")

# %%
# Groups are found to within a fraction of kappa; a local method finishes each of them.

assert len(res.minimizers) == 4
found = np.array([minimize(f.fun, point).x for point in res.minimizers])
for point in minima:
    assert np.linalg.norm(res.minimizers - point, axis=1).min() < 0.3
    assert np.linalg.norm(found - point, axis=1).min() < 1e-4

# %%
# The best point of all has been polled:

print(farkas.verify(res, f.fun).check().message)
