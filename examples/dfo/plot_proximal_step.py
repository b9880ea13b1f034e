"""
A hop is a proximal step
========================

One hop of consensus hopping samples around the last position and takes the weighted
mean. For many samples that mean minimises ``f(x) + (x - y)^2 / (2 tau)`` with
``tau = alpha sigma^2``: no derivative is evaluated, yet it is an implicit step of
gradient descent. For ``f = |x|`` the proximal step is soft thresholding: constant
speed, then rest at the kink.
"""

import matplotlib.pyplot as plt
import numpy as np

import farkas
from dfo import consensus_hopping, gd_relation
from dfo.plotting import plot_gd_relation

sigma, alpha = 0.1, 10.0
tau = alpha * sigma**2


def absolute(x):
    return float(np.abs(x).sum())


hops = consensus_hopping(
    lambda X: np.abs(X[:, 0]),
    [1.0],
    sigma=sigma,
    alpha=alpha,
    n_particles=20_000,
    maxiter=20,
    vectorized=True,
    random_state=0,
)
soft = np.maximum(1.0 - tau * np.arange(21), 0.0)
print("largest deviation from soft thresholding:", np.abs(hops.path[:, 0] - soft).max())

# %%
# On a smooth function the three ways can be laid side by side. The deviation is the
# length of ``x_k - x_{k-1} + tau grad f(x_{k-1})``.


def f(x):
    return 0.5 * x[0] ** 2 + 2 * x[1] ** 2 + np.cos(2 * x[0])


def df(x):
    return np.array([x[0] - 2 * np.sin(2 * x[0]), 4 * x[1]])


found = gd_relation(f, df, [3.0, 1.0], sigma=sigma, alpha=alpha, random_state=0)
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.plot(hops.path[:, 0], "o-", label="consensus hopping")
left.plot(soft, "k--", label="soft thresholding")
left.set(xlabel="step", ylabel="x", title="f = |x|")
left.legend()
plot_gd_relation(found, ax=right)

# %%
# The best sample of the run, and the poll around it:

res = consensus_hopping(absolute, [1.0], sigma=sigma, alpha=alpha, random_state=0)
print(farkas.verify(res, absolute).check().message)
assert np.abs(hops.path[:, 0] - soft).max() < 0.1
assert found.deviation.max() < 0.3
