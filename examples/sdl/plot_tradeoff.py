"""
Between PCA and logistic regression
===================================

A dictionary that only reconstructs may miss what tells the classes apart; a classifier
explains nothing about the data. One number, ``xi``, moves a supervised dictionary
between the two: small, it approaches logistic regression on all features, large, it
becomes principal components with logistic regression on their scores. On tables of
breast cancer every model on the way comes with a proof that no other two atoms do
better.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import farkas
from sdl import SDLClassifier
from sdl.plotting import plot_scores, plot_tradeoff

bunch = load_breast_cancer()
A, B, a, b = train_test_split(
    bunch.data, bunch.target, test_size=0.5, stratify=bunch.target, random_state=0
)
scaler = StandardScaler().fit(A)
A, B = scaler.transform(A), scaler.transform(B)
size = np.sum(B**2)

weights = [0.001, 0.003, 0.01, 0.05, 1.0, 10.0]
models = [SDLClassifier(2, xi=xi, alpha=10.0, tol=1e-5).fit(A, a) for xi in weights]
errors = [np.sum((B - m.inverse_transform(m.transform(B))) ** 2) / size for m in models]
scores = [m.score(B, b) for m in models]
for xi, model, error, score in zip(weights, models, errors, scores, strict=True):
    gap = model.certificate_.gap / model.objective_
    print(f"xi {xi:5g}  accuracy {score:.3f}  error {error:.3f}  proven gap {gap:.0e}")

pca = make_pipeline(PCA(2), LogisticRegression(C=0.1)).fit(A, a)
plain = LogisticRegression(C=0.1).fit(A, a)
print("PCA + LR", round(pca.score(B, b), 3), " LR", round(plain.score(B, b), 3))

# %%
# Left: reconstruction against accuracy on held-out patients, each point labelled by its
# xi. Right: their two filter scores at xi = .01.

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
plot_tradeoff(errors, scores, weights, ax=left)
left.axhline(plain.score(B, b), color="0.5", ls="--", lw=1, label="LR")
rows = pca[0].inverse_transform(pca[0].transform(B))
left.plot(np.sum((B - rows) ** 2) / size, pca.score(B, b), "s", color="tab:orange",
          label="PCA + LR")  # fmt: skip
left.set_ylabel("accuracy")
left.legend(frameon=False, loc="lower right")
plot_scores(models[2], B, b, ax=right)

for model in models:
    print(farkas.verify(model, A, a).check().message)
