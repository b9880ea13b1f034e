"""
What would have to change
=========================

A network has learned to tell benign from malignant tumours. For some that it calls
malignant we ask for the nearest measurements that it would call benign with a
probability of 0.9, while the columns of texture stay as they are. Each answer carries
the poll around it: no point tried there is nearer and still valid.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

import farkas
from dfo import CounterfactualExplainer

data = load_breast_cancer()
X, X_test, y, y_test = train_test_split(
    data.data, data.target, random_state=0, stratify=data.target
)
texture = [i for i, name in enumerate(data.feature_names) if "texture" in name]

explainer = CounterfactualExplainer(
    target=1, threshold=0.9, immutable=texture, random_state=0
)
explainer.fit(X, y)
rows = X_test[explainer.predict(X_test) == 0][:6]
found = explainer.explain(rows)
moved = found.inputs
print("accuracy", round(explainer.score(X_test, y_test), 3))
print("probabilities", explainer.predict_proba(moved)[:, 1].round(4))
print("distances", found.distances.round(3))

# %%
# The columns that changed most, in standard deviations.

change = (moved - rows) / X.std(axis=0)
largest = np.argsort(-np.abs(change).max(axis=0))[:10]
fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
image = ax.imshow(change[:, largest], cmap="RdBu", vmin=-2, vmax=2)
ax.set(yticks=range(len(rows)), ylabel="tumour")
ax.set_xticks(range(10), data.feature_names[largest], rotation=45, ha="right")
fig.colorbar(image, label="change / standard deviation")

# %%

for certificate in found.certificates:
    print(farkas.verify(certificate, X, y).check().message)
assert found.success.all()
assert not change[:, texture].any()
