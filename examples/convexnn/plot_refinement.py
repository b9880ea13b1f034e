"""
How many patterns? Random against refined
=========================================

The convex program is exact for the activation patterns in its list. Random patterns are
a weak list once there are more than a few features: each time their number doubles, the
optimum falls a little. The dual point of a solved program knows better. It tells which
unit, of any pattern, would improve the network, and a few rounds of asking it end far
below what hundreds of random patterns reach.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler

import farkas
from convexnn import ConvexMLPClassifier

X, y = load_breast_cancer(return_X_y=True)
X, y = StandardScaler().fit_transform(X[:200]) / np.sqrt(31), y[:200]

settings = {"alpha": 1.0, "random_state": 0}
counts = [20, 40, 80, 160]
random = [
    ConvexMLPClassifier(refine=0, n_patterns=count, **settings).fit(X, y).objective_
    for count in counts
]
rounds = [1, 2, 4, 6, 8, 10]
refined = [
    ConvexMLPClassifier(refine=number, **settings).fit(X, y) for number in rounds
]
for count, value in zip(counts, random, strict=True):
    print(f"{count:4d} random patterns:  objective {value:.3f}")
for number, model in zip(rounds, refined, strict=True):
    print(
        f"{number:4d} rounds:           objective {model.objective_:.3f} with "
        f"{len(model.patterns_)} patterns, search ratio {model.search_ratio_:.3f}"
    )

# %%
# The search ratio is the largest gain that a single new unit would bring, over its
# price. At 1 no unit improves: were the search exhaustive, the network would be optimal
# among all networks. It is an estimate; the certificate claims less, and proves it.

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.plot(counts, random, "o-", label="random patterns")
left.plot(
    [len(model.patterns_) for model in refined],
    [model.objective_ for model in refined],
    "s-",
    label="refined patterns",
)
left.set(xlabel="patterns in the program", ylabel="objective")
left.legend()
right.plot(rounds, [model.search_ratio_ for model in refined], "s-")
right.axhline(1.0, color="0.5", ls=":")
right.set(xlabel="rounds", ylabel="search ratio")

# %%
# Refined patterns are certified like any others.

best = refined[-1]
print(farkas.verify(best, X, y).check().message)
assert best.objective_ < min(random) - 3
assert best.search_ratio_ < 1.02
