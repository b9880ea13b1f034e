"""
A canyon that gradient descent cannot leave
===========================================

A winding valley with ripples leads from the corner (8, 8) to the minimum at the origin.
Gradient descent stops in the first ripple. Consensus hopping replaces its step by the
weighted mean of random samples, which for many samples is an implicit gradient step on
a smoothed landscape, and consensus-based optimization lets the samples live on as
particles. Langevin dynamics adds noise to the gradient instead.
"""

import matplotlib.pyplot as plt
import numpy as np

import farkas
from dfo import CBO, consensus_hopping, testfunctions

canyon = testfunctions.get("canyon")
start = np.array([8.0, 8.0])


def gradient(x, h=1e-5):
    steps = h * np.eye(2)
    return (canyon.fun(x + steps) - canyon.fun(x - steps)) / (2 * h)


def langevin(rng, noise):
    x, path = start.copy(), [start]
    for k in range(1, 10_001):
        x = x - 1e-3 * gradient(x)
        x = x + noise / np.log(k + 1) * np.sqrt(1e-3) * rng.standard_normal(2)
        path.append(x)
    return np.array(path)


def particles(seed):
    rng = np.random.default_rng(seed)
    swarm = CBO(
        2,
        x0=start + 0.5 * rng.standard_normal((200, 2)),
        noise="isotropic",
        lam=1.0,
        sigma=1.6,
        dt=0.01,
        alpha=100.0,
        boundary=None,
        cooling=1.0,
        xtol=0.0,
        patience=1000,
        random_state=seed,
    )
    path = [start]
    for _ in range(250):
        X = swarm.ask()
        swarm.tell(X, canyon.fun(X))
        path.append(swarm.consensus)
    return np.array(path)


hop = consensus_hopping(
    canyon.fun, start, sigma=0.7, alpha=100.0, vectorized=True, random_state=0
)
paths = {
    "gradient descent": langevin(np.random.default_rng(0), 0.0),
    "annealed Langevin": langevin(np.random.default_rng(0), 10.0),
    "consensus hopping": hop.path,
    "consensus-based": particles(0),
}
for name, path in paths.items():
    print(f"{name:20s} ends at {path[-1].round(3)}, f = {canyon.fun(path[-1]):.3f}")

# %%
# Gradient descent ends near (2.34, 2.47), where f is 3.86.

ticks = np.linspace(-2.5, 9, 200)
grid = np.stack(np.meshgrid(ticks, ticks), axis=-1)
heights = canyon.fun(grid.reshape(-1, 2)).reshape(200, 200)
fig, axes = plt.subplots(1, 4, figsize=(14, 4.0), sharey=True, layout="constrained")
for ax, (name, path) in zip(axes, paths.items(), strict=True):
    ax.contourf(ticks, ticks, heights, levels=30, cmap="Greys", alpha=0.7)
    ax.plot(*path.T, lw=1, color="tab:blue")
    ax.plot(*path[-1], "o", color="tab:red")
    ax.plot(0, 0, "+", color="black", ms=12)
    ax.set(title=name, xlim=(-2.5, 9), ylim=(-2.5, 9), aspect="equal")

# %%
# The best point that consensus hopping has seen carries a certificate, a poll.

print(farkas.verify(hop, canyon.fun).check().message)
assert np.linalg.norm(paths["consensus hopping"][-1]) < 0.5
assert np.linalg.norm(paths["consensus-based"][-1]) < 0.5
assert np.allclose(paths["gradient descent"][-1], [2.336, 2.466], atol=1e-3)
