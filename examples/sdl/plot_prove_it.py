"""
Prove it, then break it
=======================

The factorization problem is not convex, so a solver that has stopped may sit anywhere.
Here it stops because it can prove where it is: a lower bound, valid for every
dictionary of that size, has met the objective. The proof is a table of numbers, and
whoever has the data can redo it without the solver, or spoil the solution by hand and
watch the proof object.
"""

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import scale

import farkas
from sdl import lpgd

X, y = load_breast_cancer(return_X_y=True)
X = scale(X)
result = lpgd(X, y, 5, xi=0.1, tol=1e-12, init="random", random_state=0)
print(result.message)
print(f"objective   {result.fun:.9f}\nlower bound {result.lower_bound:.9f}")
print(farkas.verify(result, X, y).check().message)

# %%
# From a random start the bound closes in on the objective from below, and their
# distance falls to rounding.

history = result.history
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.plot(history["iteration"], history["objective"], "o-", label="objective")
left.plot(history["iteration"], history["lower_bound"], "s-", label="lower bound")
left.set(xlabel="iteration", ylabel="objective", title="Two curves meet")
left.legend(frameon=False)
relative = np.maximum(history["certificate"], 1e-14) / history["objective"]
right.semilogy(history["iteration"], relative, "o-")
right.set(xlabel="iteration", ylabel="gap / objective", title="Proven relative gap")
for ax in (left, right):
    ax.xaxis.get_major_locator().set_params(integer=True)

# %%
# Now an atom is bent a little. The claim of the old certificate no longer holds for it;
# a new one says honestly how much worse the point is, and its bound still holds.

certificate = result.certificate
W = certificate.witness["W"].copy()
W[:, 0] += 0.05 * np.random.default_rng(0).standard_normal(len(W))
witness = {**certificate.witness, "W": W}
forged = dataclasses.replace(certificate, witness=witness, seal="")
print("the bent atom:", farkas.verify(forged, X, y).message)
assert not farkas.verify(forged, X, y)

honest = farkas.certify(
    certificate.problem, (X, y), witness, certificate.parameters, tolerance=1e-6
)
print(f"its honest gap: {honest.gap:.3f}, bound unchanged: {honest.lower:.9f}")
assert honest.upper > certificate.upper
assert not honest.satisfied
print(farkas.verify(honest, X, y).check().message)
