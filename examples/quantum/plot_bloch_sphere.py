"""
One qubit: the decision is a plane through the sphere
=====================================================

The state of one qubit is a point on a sphere, and the probability of reading 1 is
linear in that point. Whatever the circuit, its decision is therefore a plane that cuts
the sphere, and training only turns its axis. The best axis of all is a convex problem
in two-by-two matrices, and its solution is proven to be the best.
"""

import matplotlib.pyplot as plt
import numpy as np

import farkas
from quantum import (
    OptimalMeasurementClassifier,
    VariationalQuantumClassifier,
    encode,
    plot_bloch,
)
from quantum.plots import bloch_axis

rng = np.random.default_rng(0)
y = np.repeat([0, 1], 40)
X = rng.normal([[0.6, 0.3]], 0.35, (80, 2))
X[y == 1] += [1.0, 1.2]

# %%
# Two features are the two angles of one qubit.

best = OptimalMeasurementClassifier("dense_angle", loss="squared", tol=1e-9).fit(X, y)
circuit = VariationalQuantumClassifier(
    "dense_angle", loss="squared", ansatz_reps=1, max_iter=500, random_state=0
).fit(X, y)
print("axis of the best measurement:", bloch_axis(best.measurement_).round(4))
print("axis of the trained circuit: ", bloch_axis(circuit.observable_matrix()).round(4))
print(best.certificate_)

# %%
# The star is the state that the measurement accepts for certain.

fig, (left, right) = plt.subplots(
    1, 2, figsize=(9, 4.2), subplot_kw={"projection": "3d"}, layout="constrained"
)
states = encode("dense_angle", X)
plot_bloch(states, y, best.measurement_, ax=left)
left.set_title("best measurement")
plot_bloch(states, y, circuit.observable_matrix(), ax=right)
right.set_title("trained circuit")

# %%
# On one qubit the circuit reaches the floor: its gap is zero to rounding.

print(farkas.verify(best, X, y).check().message)
print(farkas.verify(circuit, X, y).check().message)
assert circuit.certificate_.gap < 1e-5
