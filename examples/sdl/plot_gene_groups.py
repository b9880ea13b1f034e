"""
Groups of genes, fifty times more genes than patients
=====================================================

Gene expression has thousands of columns and a few dozen rows. A dictionary of two atoms
turns them into two composite variables that are drawn on a page, and the classifier
reads those. The data are simulated, so that the groups of genes behind the classes are
known: a small one follows the disease, the others vary without any relation to it. The
factorization is reduced exactly to the size of the rows, and its proof is about all
two-atom dictionaries of the full width.
"""

import matplotlib.pyplot as plt
import numpy as np

import farkas
from sdl import SDLClassifier
from sdl.plotting import plot_scores

rng = np.random.default_rng(0)
n, p = 60, 3000
tumour = np.arange(n) % 2
X = 0.7 * rng.standard_normal((n, p))
signal, batch = np.arange(40), np.arange(40, 400)
X[:, signal] += np.outer(
    1.2 * (tumour - 0.5) + 0.3 * rng.standard_normal(n), np.ones(40)
)
X[:, batch] += rng.standard_normal((n, 2)) @ np.repeat(np.eye(2), 180, axis=1)
X -= X.mean(axis=0)

model = SDLClassifier(2, xi=0.001, alpha=300.0).fit(X, tumour)
print(model.certificate_)
unsupervised = np.linalg.svd(X, full_matrices=False)[2][:2]
for name, atoms in (("PCA", unsupervised), ("SDL", model.components_)):
    share = np.sum(atoms[:, signal] ** 2, axis=1)
    print(name, "share of each atom on the 40 disease genes:", share.round(2))

# %%
# Left: the weights of the genes. Right: the two composite variables of each patient.

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for j, atom in enumerate(model.components_):
    left.plot(atom[:600], lw=0.8, label=f"atom {j}")
left.axvspan(0, 40, color="tab:red", alpha=0.15, label="disease genes")
left.axvspan(40, 400, color="0.5", alpha=0.15, label="batch genes")
left.set(xlabel="gene (first 600)", ylabel="weight", title="Atoms")
left.legend(frameon=False, fontsize=8)
plot_scores(model, X, tumour, ax=right)

print(farkas.verify(model, X, tumour).check().message)
assert model.certificate_.satisfied
