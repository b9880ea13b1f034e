"""
Two plans for a reactor
=======================

A network has learned the yield and the temperature of a reactor from its heating time
and power. The best plan within the limits of energy and temperature is sought through
the network. Two feasible regions each have a best plan; the way from one to the other
leads through plans that violate the temperature a little, which the progressive barrier
tolerates and an extreme barrier does not.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

import farkas
from dfo import as_network, optimize_through_network
from dfo.direct.plotting import plot_search


def reactor(time, power):
    """Yield and temperature, hours and kilowatts scaled to [0, 1]."""
    heat = time * power
    first = 0.9 * np.exp(-30 * ((time - 0.35) ** 2 + (power - 0.65) ** 2))
    second = 1.1 * np.exp(-30 * ((time - 0.8) ** 2 + (power - 0.3) ** 2))
    temperature = 20 + 120 * heat * (1 - 0.4 * time)
    return np.column_stack([first + second, temperature / 50])


rng = np.random.default_rng(0)
X = rng.random((600, 2))
Y = reactor(*X.T)
surrogate = MLPRegressor(
    hidden_layer_sizes=(24, 24),
    activation="tanh",
    solver="lbfgs",
    max_iter=600,
    random_state=0,
)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    surrogate.fit(X, Y)
net = as_network(surrogate)


def limits(x, y):
    """Temperature below 44 degrees, energy below 0.24."""
    return np.array([50 * y[1] - 44.0, x[0] * x[1] - 0.24])


start = [0.3, 0.5]
results = {
    strategy: optimize_through_network(
        net,
        lambda y: float(y[0]),
        start,
        gradient=lambda y: np.array([1.0, 0.0]),
        constraints=limits,
        bounds=[(0, 1)] * 2,
        strategy=strategy,
        maxfev=400,
        random_state=0,
    )
    for strategy in ("hybrid", "attack", "cdsm", "line_search")
}
for name, res in results.items():
    print(f"{name:12s} yield {res.fun:.4f} at {res.x.round(3)}, njev {res.njev}")

# %%
# Attacks alone end at the plan that is near. The hybrid finds the other one.

ticks = np.linspace(0, 1, 120)
grid = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
outputs = net.forward(grid)
allowed = np.array(
    [(limits(x, y) <= 0).all() for x, y in zip(grid, outputs, strict=True)]
)
fig, axes = plt.subplots(1, 2, figsize=(10.5, 4), layout="constrained")
shape = (120, 120)
axes[0].contourf(ticks, ticks, outputs[:, 0].reshape(shape), levels=20, cmap="Greys")
axes[0].contour(ticks, ticks, allowed.reshape(shape), levels=[0.5], colors="tab:blue")
for name, res in results.items():
    axes[0].plot(*res.x, "o", label=name)
axes[0].plot(*start, "+", color="black", ms=12)
axes[0].set(xlabel="time", ylabel="power")
axes[0].legend(frameon=False)
plot_search(results["hybrid"], ax=axes[1])

# %%

best = results["hybrid"]
print(farkas.verify(best, best.objective, best.violation).check().message)
assert best.maxcv == 0
assert best.fun >= max(res.fun for res in results.values()) - 1e-6
