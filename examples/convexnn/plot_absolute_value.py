"""
One dimension: a network is a spline
====================================

On the line a ReLU network of one hidden layer is a piecewise linear function, and the
penalty on its weights asks for few and gentle kinks. There are only 2n activation
patterns of n points, so the convex program can hold every one of them, and the network
it returns is proven best over all widths. Here it fits the absolute value, with and
without noise.
"""

import matplotlib.pyplot as plt
import numpy as np

import farkas
from convexnn import ConvexMLPRegressor

rng = np.random.default_rng(0)
x = np.linspace(-1.0, 1.0, 25)
X = x[:, None]
noisy = np.abs(x) + 0.08 * rng.standard_normal(len(x))

fig, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
ax.plot(x, noisy, "o", color="0.45", label="data")
dense = np.linspace(-1.3, 1.3, 400)[:, None]
styles = {0.003: ("#D55E00", ":"), 0.1: ("#0072B2", "-"), 1.0: ("#009E73", "--")}
models = {}
for alpha, (color, line) in styles.items():
    model = ConvexMLPRegressor(alpha, patterns="all", tol=1e-6).fit(X, noisy)
    models[f"alpha={alpha:g}"] = model
    label = f"alpha={alpha:g}: {model.n_hidden_} units"
    ax.plot(dense, model.predict(dense), color=color, ls=line, lw=2, label=label)
ax.set(xlabel="x", ylabel="output", title="Less penalty, more kinks")
ax.legend()

# %%
# Each of the three networks comes with its own interval. They solve different problems,
# so the intervals are printed rather than compared.

for name, model in models.items():
    print(name, model.certificate_)

# %%
# Without noise the network finds the two arms. The penalty rounds their corner
# a little: a kink costs more the sharper it is.

exact = ConvexMLPRegressor(0.01, patterns="all", tol=1e-6).fit(X, np.abs(x))
print(f"without noise: {exact.n_hidden_} units, R² = {exact.score(X, np.abs(x)):.5f}")

# %%
# Every claim is redone on the data, and the guarantee is that of the full network
# problem.

for model in models.values():
    farkas.verify(model, X, noisy).check()
print(farkas.verify(exact, X, np.abs(x)).check().message)
assert exact.score(X, np.abs(x)) > 0.999
assert exact.certificate_.parameters["scope"] == "global"
