"""
Barren plateaus
===============

Gradients of a random circuit vanish as qubits are added, and how fast depends on what
is read. The parity of all qubits is a global readout, and its gradient vanishes in
circuits of any depth; the readout of one qubit keeps a gradient as long as the circuit
is shallow. The slope per qubit, on a logarithmic scale, tells one from the other.
"""

import matplotlib.pyplot as plt
import numpy as np

import farkas
from quantum import (
    VariationalQuantumClassifier,
    gradient_variance,
    plot_gradient_variance,
)

shallow = {"reps": 1, "entanglement": "reverse_linear", "random_state": 0}
results = {
    "parity of all qubits": gradient_variance("angle", **shallow),
    "one qubit": gradient_variance("angle", readout="modulo", **shallow),
}
for name, result in results.items():
    print(f"{name:21} {result['slope']:.2f} per qubit")

fig, ax = plt.subplots(figsize=(6, 3.8), layout="constrained")
plot_gradient_variance(results, ax=ax)

# %%
# What to do about it: small circuits, a local readout, weights near zero at the start.
# A fit says how large its gradient is, and that is checked on the data.

rng = np.random.default_rng(0)
X = rng.uniform(0, 1, (60, 4))
y = (X.sum(axis=1) > 2).astype(int)
model = VariationalQuantumClassifier(
    "angle",
    interpret="modulo",
    ansatz_reps=2,
    init="small",
    max_iter=2000,
    random_state=0,
).fit(X, y)
print(model.certificate_)
print(farkas.verify(model, X, y).check().message)
assert results["one qubit"]["slope"] > results["parity of all qubits"]["slope"]
