"""
Atoms of images
===============

Atoms of images are images, so one can look at what a classifier looks at. Digits of
eight by eight pixels stand in for larger pictures such as X-rays of the chest; three
and eight share most of their strokes. Principal components show what all digits have in
common. Supervised atoms give up a little reconstruction for the stroke that decides,
and are proven to be the best of all.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

import farkas
from sdl import SDLClassifier
from sdl.plotting import plot_atoms

X, y = load_digits(return_X_y=True)
kept = np.isin(y, (3, 8))
X, y = X[kept] / 16, y[kept]
A, B, a, b = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)

model = SDLClassifier(4, xi=0.2, alpha=1.0).fit(A, a)
pca = PCA(4).fit(A)
head = LogisticRegression().fit(pca.transform(A), a)
print("accuracy, PCA + LR:", round(head.score(pca.transform(B), b), 3))
print("accuracy, SDL     :", round(model.score(B, b), 3))
for name, rows in (
    ("PCA", pca.inverse_transform(pca.transform(B))),
    ("SDL", model.inverse_transform(model.transform(B))),
):
    print(
        name, "reconstruction error", round(np.sum((B - rows) ** 2) / np.sum(B**2), 3)
    )

# %%
# Above: supervised atoms, with the coefficient of the class "8". Below: principal
# components.

fig, axes = plt.subplots(2, 4, figsize=(9, 4.6), layout="constrained")
plot_atoms(model, (8, 8), axes=axes[0])
for j, (ax, atom) in enumerate(zip(axes[1], pca.components_, strict=True)):
    limit = np.abs(atom).max()
    ax.imshow(atom.reshape(8, 8), cmap="RdBu_r", vmin=-limit, vmax=limit)
    ax.set(xticks=[], yticks=[], title=f"component {j}")

print(farkas.verify(model, A, a).check().message)
assert model.certificate_.satisfied
