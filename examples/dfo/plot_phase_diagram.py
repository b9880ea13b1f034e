"""
How much noise, and how many particles?
=======================================

Too little noise and the particles agree on the wrong place; too much and they never
agree. Between the two lies a region of success that grows with the number of particles.
The dashed line is where a particle near a fixed consensus point stops to contract, by a
formula that knows nothing of the objective.
"""

import matplotlib.pyplot as plt
import numpy as np

import farkas
from dfo import CBO, minimize_cbo, testfunctions
from dfo.cbo.dynamics.rates import expected_log_factor
from dfo.plotting import plot_phase_diagram

f = testfunctions.get("rastrigin", 4)
drift = 0.6
noises = np.linspace(0.2, 2.2, 9)
sizes = [10, 20, 40, 80, 160]


def success(noise, N, runs=10):
    hits = 0
    for seed in range(runs):
        swarm = CBO(
            f.bounds,
            n_particles=N,
            lam=drift,
            sigma=noise,
            dt=1.0,
            ess=2.0,
            cooling=1.0,
            xtol=1e-4,
            random_state=seed,
        )
        while not swarm.stop() and swarm.nit < 300:
            X = swarm.ask()
            swarm.tell(X, f.fun(X))
        hits += swarm.best_f < 0.1
    return hits / runs


grid = np.array([[success(noise, N) for noise in noises] for N in sizes])
print(grid)

# %%
# One row for each number of particles. The noise at which the logarithm of the distance
# no longer shrinks on average:

critical = next(s for s in np.linspace(1, 4, 3001) if expected_log_factor(drift, s) > 0)
ax = plot_phase_diagram(grid, noises, sizes)
ax.axvline(critical, color="white", ls="--")
print(f"particles diverge beyond {critical:.2f}")

# %%
# The default parameters sit inside of the region.

res = minimize_cbo(f.fun, f.bounds, random_state=0)
print(farkas.verify(res, f.fun).check().message)
assert grid[-1].max() >= 0.8
assert grid[:, 0].max() <= 0.5
plt.show()
