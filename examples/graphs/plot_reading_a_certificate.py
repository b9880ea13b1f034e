"""
Reading a certificate, by hand
==============================

A certificate of flow diffusion holds the heights x of the nodes that passed mass on,
and nothing of the solver. This example redoes what it claims in a few lines of NumPy:
where the mass ends, what the flow costs, what the heights prove, and how good a rival
cluster can be at best. Then it breaks the proof, and sees it rejected.

The solver "sor" keeps every node below its sink. The default one stops around the sinks
and leads the surplus out; its certificates hold that second flow too (``level`` and
``drain``), and it would have to be added below.
"""

import dataclasses

import matplotlib.pyplot as plt
import numpy as np

import farkas
from graphs import flow_diffusion, load_karate_club

A, _ = load_karate_club()
result = flow_diffusion(A, 0, mass=100, solver="sor")
proof = result.certificate
print(proof)

# %%
# Heights make the flow, ``f_ij = x_i - x_j``; where does the mass end?

x = np.zeros(34)
x[proof.witness["nodes"]] = proof.witness["x"]
sink = A.sum(axis=0)
source = np.where(np.arange(34) == 0, 100.0, 0.0)
mass = source - (sink * x - A @ x)
assert (mass <= sink).all()  # no node holds too much

# %%
# The flow is feasible, so its cost bounds the optimum from above. Any nonnegative
# heights bound it from below. Their distance is what the unfilled sinks are worth.

i, j = A.nonzero()
upper = 0.25 * ((x[i] - x[j]) ** 2).sum()
lower = x @ (source - sink) - upper
print(f"by hand    {lower:.6f} <= optimum <= {upper:.6f}")
print(f"certified  {proof.lower:.6f} <= optimum <= {proof.upper:.6f}")
assert np.isclose(upper - lower, x @ (sink - mass))
assert proof.lower <= lower + 1e-9
assert proof.upper >= upper - 1e-9

# %%
# Mass that does not fit into a set must leave it through its cut. So a cheap flow
# means that every set around the seed has a large cut: a bound on all rivals.

volume = np.arange(17, 100)
bound = (100 - volume) ** 2 / (2 * proof.upper * volume)
fig, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
profile = result.profile
ax.plot(profile["volume"], profile["conductance"], "o-", color="#0072B2", ms=4,
        label="prefixes of the sweep")  # fmt: skip
ax.fill_between(volume, bound, color="#D55E00", alpha=0.3, label="no cluster lies here")
ax.set(xlabel="volume", ylabel="conductance", ylim=(0, 1))
ax.legend(frameon=False)

# %%
# A proof that was tampered with does not pass, even with its seals removed.

forged = dataclasses.replace(proof, value=proof.value / 10, seal="", fingerprint="")
print("forged:", farkas.verify(forged, A).message)
assert not farkas.verify(forged, A)
print(farkas.verify(result, A).check().message)
