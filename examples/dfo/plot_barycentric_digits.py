"""
A mixture of digits that looks like another one
===============================================

A hundred images are mixed with weights ``softmax(x)``. Which mixture makes a network
answer as it does for an image that is not among them? The problem has a hundred
variables and long flat valleys: attacks alone stop early, direct search alone is slow,
and the two in turn arrive.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

import farkas
from dfo import as_network, optimize_through_network
from dfo.attack.layers import Chain, Network
from dfo.direct.plotting import plot_attack_success

digits = load_digits()
images = digits.data / 16
classifier = MLPClassifier((64, 32), random_state=0, max_iter=60)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    classifier.fit(images[:1400], digits.target[:1400])

M = images[:100]
mixture = Network(
    [(np.eye(100), np.zeros(100), "softmax"), (M, np.zeros(64), "identity")]
)
net = Chain([mixture, as_network(classifier)])
goal = classifier.predict_proba(images[1500:1501])[0]


def likeness(y):
    return -float(np.sum((y - goal) ** 2))


def slope(y):
    return -2 * (y - goal)


def best_within(strategy, budget=1000):
    """Best value while nfev + 2 njev stays within the budget."""
    course = []

    def callback(intermediate_result):
        cost = intermediate_result.nfev + 2 * intermediate_result.njev
        if cost > budget:
            raise StopIteration
        course.append((cost, intermediate_result.fun))

    res = optimize_through_network(
        net,
        likeness,
        np.zeros(100),
        gradient=slope,
        bounds=[(-10, 10)] * 100,
        strategy=strategy,
        maxfev=budget,
        callback=callback,
        random_state=0,
    )
    return res, np.array(course)


runs = {s: best_within(s) for s in ("hybrid", "attack", "cdsm", "line_search")}

# %%

fig, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
for name, (_, course) in runs.items():
    axes[0].loglog(*course.T, ".-", label=name)
    print(f"{name:12s} {course[-1, 1]:.2e} within {course[-1, 0]:.0f} evaluations")
axes[0].set(xlabel="evaluations + 2 products", ylabel="squared distance of answers")
axes[0].legend(frameon=False)
result = runs["hybrid"][0]
axes[1].imshow(mixture.forward(result.x).reshape(8, 8), cmap="Greys")
axes[1].set(title="the mixture", xticks=[], yticks=[])
points = np.random.default_rng(0).uniform(-1, 1, (40, 100))
plot_attack_success(net, points, likeness, slope, ax=axes[2])

# %%

print(farkas.verify(result, result.objective).check().message)
values = {name: course[-1, 1] for name, (_, course) in runs.items()}
assert values["hybrid"] == min(values.values())
