"""
Proving that a system has no solution
=====================================

"No solution found" may mean that there is none, or that the solver gave up. Farkas'
lemma tells the two apart: the system ``Ax = b, x >= 0`` has no solution exactly if some
``y`` has ``A'y >= 0`` and ``b'y < 0``. Such a ``y`` is a proof that fits on a slip of
paper. Two blends of raw materials are asked for here; one of them cannot be mixed.
"""

import matplotlib.pyplot as plt
import numpy as np

import farkas

# Sugar and fat in each of four raw materials, in grams per kilogram.
A = np.array([[90.0, 60.0, 30.0, 45.0], [20.0, 50.0, 40.0, 30.0]])
possible = np.array([60.0, 40.0])
impossible = np.array([30.0, 70.0])

# %%
# For the impossible blend there is a proof. Weigh sugar and fat by ``y`` and add: every
# raw material has a score of at least zero, the blend has a negative one.

certificate = farkas.certify_infeasible(A, impossible)
y = certificate.witness["y"]
print("weights of the two equations:", y)
print("scores of the raw materials: ", y @ A)
print("score of the blend:          ", y @ impossible)

# %%
# For the possible blend there is none, and the attempt to find one says why.

try:
    farkas.certify_infeasible(A, possible)
except ValueError as error:
    print(error)

# %%
# In a drawing the raw materials span a cone of all blends. The line at a right angle to
# ``y`` has the cone on one side and the impossible blend on the other.

fig, ax = plt.subplots()
edges = A[:, np.argsort(A[1] / A[0])]
ax.fill(*np.c_[[0, 0], 3 * edges[:, 0], 3 * edges[:, -1]], color="#0072B2", alpha=0.2)
ax.plot(*A, "o", color="#0072B2", label="raw materials")
ax.plot(*possible, "^", color="#009E73", ms=9, label="possible blend")
ax.plot(*impossible, "s", color="#D55E00", ms=9, label="impossible blend")
ax.axline((0, 0), (y[1], -y[0]), color="0.4", ls="--", label="line of the proof")
ax.set(xlim=(0, 100), ylim=(0, 90), xlabel="sugar", ylabel="fat")
ax.legend(loc="upper right")

# %%
# The proof outlives the solver: it is checked with two products.

print(farkas.verify(certificate, A, impossible).check().message)
assert (y @ A >= 0).all()
assert y @ impossible < 0
assert not farkas.verify(certificate, A, possible)
