"""
Flow diffusion is spilling water
================================

Pour mass onto one node of a grid. Every node keeps as much as it has neighbours, its
*sink*, and passes the rest on along its edges, at the least total cost of flow. The
height of the water at each node is the dual variable of that program: where it is
positive, the sink is full. Step by step the water spreads, and stops when everything
fits. Nothing beyond the puddle is ever looked at.
"""

import matplotlib.pyplot as plt
import numpy as np

import farkas
from graphs import check_graph, flow_diffusion, plot_graph

side = 15
number = np.arange(side * side).reshape(side, side)
right = np.stack([number[:, :-1].ravel(), number[:, 1:].ravel()], axis=1)
down = np.stack([number[:-1].ravel(), number[1:].ravel()], axis=1)
grid = check_graph(np.concatenate([right, down]), affinity="edges")
place = np.stack(np.divmod(np.arange(side * side), side), axis=1).astype(float)
centre = side * side // 2

# %%
# A callback sees the heights after every round of pushes. Plain pushes only ever raise
# them. Full nodes are outlined, and the colour is the root of the height.

rounds = []


def watch(intermediate_result):
    x = np.zeros(side * side)
    x[intermediate_result.nodes] = intermediate_result.x
    rounds.append(x)


result = flow_diffusion(grid, centre, mass=250, solver="push", callback=watch)
fig, axes = plt.subplots(1, 4, figsize=(12, 3.5), layout="constrained")
for ax, k in zip(axes, np.linspace(0, len(rounds) - 1, 4).astype(int), strict=True):
    full = np.flatnonzero(rounds[k])
    plot_graph(grid, place, x=np.sqrt(rounds[k]), cluster=full, ax=ax)
    ax.set_title(f"round {k + 1}: {len(full)} nodes full")

# %%
# The puddle holds at most the mass that was poured, however large the grid is.

residuals = result.certificate.residuals
print(f"capacity of the puddle {residuals['support_volume']:g} of mass 250")
print(f"{result.n_touched} of {side * side} nodes met, {result.nit} pushes")

# %%
# The flow and the heights bound the optimum from both sides.

print(farkas.verify(result, grid).check().message)
