"""
Noise that does not know the dimension
======================================

With isotropic noise the mean square distance of the particles to the minimiser decays
like ``exp(-(2 lam - d sigma^2) t)``: the rate falls with the dimension d. Anisotropic
noise shakes every coordinate by its own distance only, and the rate is
``2 lam - sigma^2`` in any dimension. Both are theorems about infinitely many particles;
here are six thousand.
"""

import matplotlib.pyplot as plt
import numpy as np

import farkas
from dfo import CBO, minimize_cbo, testfunctions
from dfo.cbo.dynamics.rates import decay_rate

LAM, SIGMA, DT, STEPS = 1.0, 0.32, 0.01, 200


def decay(d, noise, n_particles=6000):
    f = testfunctions.get("rastrigin_cbo", d)
    mean = np.zeros(d)
    mean[: d // 2] = 1 / np.sqrt(d // 2)
    rng = np.random.default_rng(0)
    X = 2 * mean + np.sqrt(32) * rng.standard_normal((n_particles, d))
    swarm = CBO(
        d,
        x0=X,
        lam=LAM,
        sigma=SIGMA,
        dt=DT,
        noise=noise,
        alpha=1e15,
        boundary=None,
        cooling=1.0,
        xtol=0.0,
        patience=1000,
        random_state=1,
    )
    V = []
    for _ in range(STEPS):
        X = swarm.ask()
        V.append(np.sum(X**2) / (2 * n_particles))
        swarm.tell(X, f.fun(X))
    return np.array(V)


# %%
# Measured and predicted rates:

fig, axes = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True, layout="constrained")
rates = {}
for ax, noise in zip(axes, ("isotropic", "anisotropic"), strict=True):
    for d in (4, 8, 16):
        V = decay(d, noise)
        factor = d if noise == "isotropic" else 1
        rates[noise, d] = decay_rate(V, DT), 2 * LAM - factor * SIGMA**2
        ax.semilogy(DT * np.arange(STEPS), V / V[0], label=f"d = {d}")
        print(f"{noise:12s} d = {d:2d}: measured %.2f, theory %.2f" % rates[noise, d])
    ax.set(title=noise, xlabel="t")
    ax.legend()
axes[0].set_ylabel("V / V(0)")

# %%
# The figures agree with the theory to about a tenth. A complete run at the end, and its
# certificate:

f = testfunctions.get("rastrigin_cbo", 16)
res = minimize_cbo(f.fun, f.bounds, random_state=0)
print(farkas.verify(res, f.fun).check().message)
for measured, theory in rates.values():
    assert abs(measured - theory) < 0.2
