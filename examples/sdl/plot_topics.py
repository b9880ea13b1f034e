"""
Topics that know what they are for
==================================

Few advertisements are fraudulent, and a topic model of all of them spends its topics on
what is common. Here the documents are simulated: words of five trades, and a few words
of fraud in one document of twelve. Nonnegative topics are fitted without labels (NMF),
and with labels and balanced classes; whether the company shows a logo enters as a
covariate. Constrained topics come with first-order stationarity, and with a lower bound
that says what the constraints cost at most.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy import sparse
from sklearn.decomposition import NMF
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.preprocessing import normalize

import farkas
from sdl import SDLClassifier

rng = np.random.default_rng(0)
n, n_trades, per_trade = 500, 5, 30
vocabulary = [f"trade{t} word{w}" for t in range(n_trades) for w in range(per_trade)]
fraud_words = ["fee", "cash", "home", "urgent", "passport", "wire"]
vocabulary += fraud_words
fraud = rng.random(n) < 1 / 12
counts = np.zeros((n, len(vocabulary)))
for i in range(n):
    trade = rng.integers(n_trades)
    words = trade * per_trade + (per_trade * rng.random(60) ** 2).astype(int)
    np.add.at(counts[i], words, 1)
    shady = rng.poisson(2.0 if fraud[i] else 0.15, len(fraud_words))
    counts[i, -len(fraud_words) :] = shady
logo = (rng.random(n) < np.where(fraud, 0.3, 0.8)).astype(float)
X, y = sparse.csr_matrix(normalize(counts)), fraud.astype(int)
train, test = np.arange(n) % 2 == 0, np.arange(n) % 2 == 1

model = SDLClassifier(
    n_trades + 1,
    nonnegative=True,
    class_weight="balanced",
    xi=0.3,
    alpha=0.03,
    tol=1e-3,
).fit(X[train], y[train], covariates=logo[train])
print(model.certificate_)

nmf = NMF(n_trades + 1, init="nndsvda", max_iter=1000).fit(X[train])
head = LogisticRegression(class_weight="balanced", C=10.0)
head.fit(np.c_[nmf.transform(X[train]), logo[train]], y[train])
unsupervised = head.predict(np.c_[nmf.transform(X[test]), logo[test]])
supervised = model.predict(X[test], logo[test])
print("F1, NMF + LR:", round(f1_score(y[test], unsupervised), 3))
print("F1, SDL     :", round(f1_score(y[test], supervised), 3))

# %%
# How much of each topic lies on the words of fraud, and what the classifier makes of
# it.

share = {
    "NMF": nmf.components_[:, -6:].sum(axis=1) / nmf.components_.sum(axis=1),
    "SDL": model.components_[:, -6:].sum(axis=1) / model.components_.sum(axis=1),
}
fig, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained", sharey=True)
for ax, (name, values) in zip(axes, share.items(), strict=True):
    ax.bar(range(len(values)), np.sort(values)[::-1], color="tab:blue")
    ax.set(xlabel="topic, by that share", ylabel="share of fraud words", title=name)
topic = int(np.argmax(share["SDL"]))
top = np.argsort(-model.components_[topic])[:6]
print("its topic of fraud:", ", ".join(vocabulary[i] for i in top))

print(farkas.verify(model, X[train], y[train], logo[train]).check().message)
