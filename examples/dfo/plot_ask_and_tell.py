"""
Ask and tell, with workers and a break
======================================

When an evaluation is an experiment or a simulation on another machine, the loop belongs
to you: ask for points, evaluate them wherever you like, tell the values. A swarm can be
stored in between and continued bit for bit, it takes points that you propose yourself,
and it does not mind when some values never arrive.
"""

import pickle

import joblib
import matplotlib.pyplot as plt
import numpy as np

import farkas
from dfo import CBO, minimize_cbo


def experiment(x):
    return float((x[0] ** 2 - 2) ** 2 + (x[1] - 1) ** 2 + 0.3 * np.cos(9 * x[0]))


bounds = [(-3, 3), (-3, 3)]
swarm = CBO(bounds, n_particles=24, random_state=0)
course = []
with joblib.Parallel(n_jobs=2, backend="threading") as parallel:
    while not swarm.stop() and swarm.nit < 60:
        X = swarm.ask()
        values = np.array(parallel(joblib.delayed(experiment)(x) for x in X))
        if swarm.nit == 3:
            values[::5] = np.nan  # some experiments failed
        if swarm.nit == 5:
            X[0] = [1.4, 1.0]  # a guess of ours replaces a particle
            values[0] = experiment(X[0])
        swarm.tell(X, values)
        course.append(swarm.best_f)
        if swarm.nit == 10:
            stored = pickle.dumps(swarm)
print(
    f"best value {swarm.best_f:.6f} after {swarm.nit} steps, stopped by", swarm.stop()
)

# %%
# The stored copy goes the same way:

twin = pickle.loads(stored)
while twin.nit < swarm.nit:
    twin.step(experiment)
assert np.array_equal(twin.population, swarm.population)

fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.semilogy(np.array(course) - min(course) + 1e-16)
ax.set(xlabel="step", ylabel="best - final best")

# %%
# ``minimize_cbo`` runs the same loop with ``workers``, and certifies the end.

res = minimize_cbo(
    experiment, bounds, vectorized=False, workers=map, maxfev=2000, random_state=0
)
print(farkas.verify(res, experiment).check().message)
assert res.fun <= swarm.best_f + 1e-6
