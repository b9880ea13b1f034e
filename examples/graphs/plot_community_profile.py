"""
The community profile of a network
==================================

How good is the best cluster of ten nodes, of a hundred, of a thousand? Local
diffusions from many seeds, at several scales, answer by the smallest conductance they
find at every size: the network community profile. A network with clusters of one size
has a dip there; one that is small clusters around a dense core rises after it. Each
point remembers the seed that found it, so that the cluster can be had again, and its
diffusion certified.
"""

import numpy as np
from scipy.sparse import csr_array

import farkas
from graphs import approximate_pagerank, conductance, ncp_profile, plot_ncp

rng = np.random.default_rng(0)
n = 3000
# Communities of 30, well separated; of 300, less so; and edges anywhere.
i = np.repeat(np.arange(n), 8)
kind = rng.random(len(i))
j = np.where(kind < 0.7, i // 30 * 30 + rng.integers(30, size=len(i)),
             i // 300 * 300 + rng.integers(300, size=len(i)))  # fmt: skip
j = np.where(kind > 0.95, rng.integers(n, size=len(i)), j)
pairs = np.column_stack([i, j])[i != j]
A = csr_array((np.ones(len(pairs)), pairs.T), shape=(n, n))
A = csr_array(((A + A.T) > 0).astype(float))

profile = ncp_profile(A, "pagerank", n_seeds=60)
ax = plot_ncp(profile)
ax.set_title("Two dips: communities of 30 and of 300")

# %%
# The best cluster of at least a hundred nodes, found again from its seed.

large = profile.envelope[profile.envelope["size"] >= 100]
best = large[np.argmin(large["conductance"])]
setting = profile.settings[best["setting"]]
result = approximate_pagerank(A, int(best["seed"]), **setting)
prefix = result.order[: best["size"]]
print(f"{best['size']} nodes, conductance {best['conductance']:.3f}")
assert np.isclose(conductance(A, prefix), best["conductance"])

# %%
# The vector behind it comes with a bound on its error, node by node.

print(farkas.verify(result, A).check().message)
