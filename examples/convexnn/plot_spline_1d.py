"""
A regularised network on the line is a sparse spline
====================================================

A hidden ReLU unit on the line has one kink. The penalty on all weights asks for few and
gentle ones, so that training a network of any width amounts to choosing the knots of a
linear spline. Two programs do it: the convex program on all 2n activation patterns,
whose optimum is that of the network problem, and the sampled program, which draws units
from the sphere and lets an l1 penalty choose among them. How many draws are enough?
"""

import matplotlib.pyplot as plt
import numpy as np

import farkas
from convexnn import ConvexMLPRegressor, SCPRegressor, scenario_violation
from convexnn.sampled.fresh import fresh_gate_test

# %%
# The absolute value first. With 2 arms and one kink it is a network of two units; both
# programs find about that, and the rounded corner is the price of the penalty.

x = np.linspace(-1.0, 1.0, 9)
X, y = x[:, None], np.abs(x)
exact = ConvexMLPRegressor(0.01, patterns="all", tol=1e-6).fit(X, y)
sampled = SCPRegressor(0.01, random_state=0, tol=1e-6).fit(X, y)
print(f"all patterns: objective {exact.objective_:.5f}, {exact.n_hidden_} units")
print(f"1000 draws:   objective {sampled.objective_:.5f}, {sampled.n_hidden_} units")

# %%
# Now a wave with noise. Each kink of the fitted curve is a hidden unit; the others that
# were drawn have a coefficient of exactly zero.

rng = np.random.default_rng(3)
x = np.sort(rng.uniform(-2, 2, 30))
X = x[:, None]
y = np.sin(2.5 * x) + 0.15 * rng.standard_normal(len(x))
dense = np.linspace(-2.2, 2.2, 600)[:, None]

exact = ConvexMLPRegressor(0.3, patterns="all").fit(X, y)
draws = [20, 100, 1000, 5000]
models = {
    N: SCPRegressor(0.3, n_units=N, random_state=0, tol=1e-6).fit(X, y) for N in draws
}

fig, left = plt.subplots(layout="constrained")
left.plot(x, y, "o", color="0.55", label="data")
left.plot(dense, exact.predict(dense), color="#0072B2", lw=2.5, label="all patterns")
for N, color in ((20, "#D55E00"), (1000, "#009E73")):
    label = f"{N} draws, {models[N].n_hidden_} in use"
    left.plot(dense, models[N].predict(dense), "--", color=color, lw=1.8, label=label)
left.set(xlabel="x", ylabel="output", title="Kinks are hidden units")
left.legend(frameon=False, loc="lower left", fontsize="small")

# %%
# More draws lower the optimum, towards that over networks of any width, which the
# program with all patterns proves. The gap that is left is what random units cost.

objectives = [models[N].objective_ for N in draws]
fig, right = plt.subplots(layout="constrained")
right.semilogx(draws, objectives, "o-", color="#009E73", label="sampled units")
right.axhline(exact.lower_bound_, color="#0072B2", label="bound for any width")
right.set(xlabel="units drawn", ylabel="objective", title="What sampling costs")
right.legend(frameon=False)
for N in draws:
    excess = models[N].objective_ / exact.lower_bound_ - 1
    print(f"{N:5d} draws: objective {models[N].objective_:.4f}, {excess:.1%} above")

# %%
# Before any fit, the scenario bound says how often one more draw would still help; it
# holds for every data set of this size. After the fit, a test on fresh gates says more.

promised = scenario_violation(len(x), 5000, 0.05)
tested = fresh_gate_test(models[5000], X, y, n_gates=2000, tolerance=0.02)
print(f"one more unit helps with a probability of at most {promised:.3%} (in advance)")
print(f"and of at most {tested.value:.3%} (tested); both with 95 % confidence")

# %%
# Every claim is redone on the data.

for model in models.values():
    farkas.verify(model, X, y).check()
farkas.verify(tested, X, y).check()
print(farkas.verify(exact, X, y).check().message)
assert objectives == sorted(objectives, reverse=True)
assert exact.lower_bound_ <= objectives[-1] < 1.05 * exact.lower_bound_
