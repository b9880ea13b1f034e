"""
A graph on disk: time does not depend on its size
=================================================

A stream of edges is written to a folder in bounded memory and mapped from there. A
diffusion reads the rows that it needs, and no others: while the graph grows tenfold and
tenfold again, the time for one seed stays what it is. Here the graphs are small, to
keep the example quick; a hundred million edges work the same way.
"""

import tempfile
import time

import matplotlib.pyplot as plt
import numpy as np

import farkas
from graphs import flow_diffusion, load_graph, save_edges


def stream(n, size=200, chunk=20_000):
    """Edges of clusters of equal size, some of which lead anywhere."""
    rng = np.random.default_rng(0)
    for start in range(0, n, chunk):
        i = np.repeat(np.arange(start, min(start + chunk, n)), 5)
        near = np.minimum(i // size * size + rng.integers(size, size=len(i)), n - 1)
        j = np.where(rng.random(len(i)) < 0.9, near, rng.integers(n, size=len(i)))
        yield np.column_stack([i, j])[i != j]


sizes, times, folders = [2_000, 20_000, 200_000], [], []
for n in sizes:
    folder = tempfile.TemporaryDirectory()
    folders.append(folder)
    save_edges(folder.name, stream(n), n)
    graph = load_graph(folder.name)
    spent = []
    for seed in np.random.default_rng(1).integers(n, size=25):
        begun = time.process_time()
        result = flow_diffusion(graph, seed, mass=3000)
        spent.append(time.process_time() - begun)
    times.append(1e3 * np.median(spent))
    print(f"{n:7} nodes: {times[-1]:.1f} ms a seed, {result.n_touched} nodes met")

fig, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
ax.loglog(sizes, times, "o-", color="#0072B2", label="one seed")
ax.loglog(sizes, times[0] * np.array(sizes) / sizes[0], ":", color="0.5",
          label="in proportion to the graph")  # fmt: skip
ax.set(xlabel="nodes", ylabel="milliseconds")
ax.legend(frameon=False)

# %%
# Verification, too, reads only the rows of the answer.

print(farkas.verify(result, graph).check().message)
for folder in folders:
    folder.cleanup()
