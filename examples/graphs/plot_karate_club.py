"""
Four local methods and their certificates
=========================================

A karate club split after a quarrel between its instructor, node 0, and its officer.
Whom would the instructor's friends follow? Four diffusions start at him and give a
cluster each. They solve different problems, and each says, in numbers that can be
redone, how well it solved its own: flow diffusion and l1-PageRank by a duality gap,
PageRank by push and the heat kernel by a bound on the error of every entry.
"""

import matplotlib.pyplot as plt

import farkas
from graphs import (
    approximate_pagerank,
    flow_diffusion,
    heat_kernel,
    l1_pagerank,
    load_karate_club,
    mqi,
    plot_sweep,
)

A, faction = load_karate_club()
results = {
    "flow diffusion": flow_diffusion(A, 0, mass=100),
    "PageRank, push": approximate_pagerank(A, 0, eps=1e-4),
    "PageRank, l1": l1_pagerank(A, 0, rho=1e-3),
    "heat kernel": heat_kernel(A, 0, eps=1e-4),
}
fig, axes = plt.subplots(1, 4, figsize=(12, 3), sharey=True, layout="constrained")
for ax, (name, result) in zip(axes, results.items(), strict=True):
    plot_sweep(result, ax=ax)
    ax.set_title(name)
    ax.label_outer()

# %%
# One table for all four.

print(f"{'method':16} nodes  conductance  right  certificate")
for name, result in results.items():
    right = faction[result.cluster].mean()
    proof = result.certificate
    print(
        f"{name:16} {len(result.cluster):5}  {result.conductance:11.4f}  {right:5.0%}"
        f"  {proof.kind} {proof.value:.1e}"
    )

# %%
# A maximum flow improves a cluster as far as possible inside it, and proves that no
# subset is better.

support = results["flow diffusion"].x.coords[0]
best = mqi(A, support)
print(f"MQI: {len(support)} nodes become {len(best.cluster)}, quotient {best.fun:.4f}")
print(best.certificate)

# %%
# All of it is redone from the graph alone.

for result in (*results.values(), best):
    print(farkas.verify(result, A).check().message)
