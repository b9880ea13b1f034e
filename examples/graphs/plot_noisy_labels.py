"""
Noisy labels and a graph, better than either
============================================

A cluster is hidden among many nodes, so well linked to the rest that no method finds it
from the graph alone. Somebody labelled the nodes, carelessly: of the members most are
labelled right, but among the many others even a small share of false alarms is as many
as there are members. Edges whose ends disagree get a small weight, and from a single
seed the diffusion finds what neither the labels nor the graph give away.
"""

import matplotlib.pyplot as plt
import numpy as np

import farkas
from graphs import check_graph, flow_diffusion, make_planted_cluster, noisy_labels

A, target = make_planted_cluster(4000, 200, 0.06, 0.004, random_state=0)
graph = check_graph(A)


def f1(cluster):
    found = np.zeros(len(target), dtype=bool)
    found[cluster] = True
    return 2 * (found & target).sum() / (found.sum() + target.sum())


masses = 200 * np.array([1.1, 1.6, 2.1, 3.1, 4.1])


def best(seed, labels=None):
    runs = (
        flow_diffusion(
            graph, seed, mass=mass, sinks="unit", labels=labels, rounding="support",
            certificate=False,
        )
        for mass in masses
    )  # fmt: skip
    return max(f1(run.cluster) for run in runs)


# %%
# The accuracy of the labels outside of the cluster, a0, decides how many false alarms
# there are. Inside, a share a1 is right.

plain = np.mean([best(seed) for seed in range(4)])
fig, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
accuracies = [0.7, 0.8, 0.9, 0.95, 0.99]
for a1, color in ((0.7, "#D55E00"), (0.9, "#0072B2")):
    alone, both = [], []
    for a0 in accuracies:
        labels = noisy_labels(target, a1, a0, random_state=1)
        alone.append(f1(np.flatnonzero(labels)))
        both.append(np.mean([best(seed, labels) for seed in range(4)]))
    label = f"diffusion with labels, a1={a1}"
    ax.plot(accuracies, both, "o-", color=color, label=label)
    ax.plot(accuracies, alone, "o--", color=color, label=f"labels alone, a1={a1}")
ax.axhline(plain, color="0.5", ls=":", label="diffusion without labels")
ax.set(xlabel="a0, share of right labels outside", ylabel="F1", ylim=(0, 1))
ax.legend(frameon=False)

# %%
# The certificate holds on the graph and the labels together.

labels = noisy_labels(target, 0.9, 0.95, random_state=1)
result = flow_diffusion(graph, 0, mass=420, sinks="unit", labels=labels)
print(farkas.verify(result, A, labels).check().message)
