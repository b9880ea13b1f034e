"""
Ten particles recover two hundred unknowns
==========================================

Compressed sensing: a vector with 200 entries, eight of them nonzero, is to be found
from 80 linear measurements. Ten particles with a memory follow the consensus and, in
addition, a gradient. They find the support; least squares on it does the rest. Without
the gradient ten particles in 200 dimensions find nothing.
"""

import matplotlib.pyplot as plt
import numpy as np

import farkas
from dfo import CBO
from dfo.objective import Objective
from dfo.poll import coordinate_poll, mint

d, nonzeros, measurements = 200, 8, 80
rng = np.random.default_rng(3)
x_true = np.zeros(d)
support = rng.choice(d, nonzeros, replace=False)
x_true[support] = rng.uniform(0.5, 1.5, nonzeros) * rng.choice([-1, 1], nonzeros)
A = rng.standard_normal((measurements, d)) / np.sqrt(measurements)
y = A @ x_true


def fun(X):
    return np.sum((X @ A.T - y) ** 2, axis=1) + 0.25 * np.abs(X).sum(axis=1)


def jac(X):
    return 2 * (X @ A.T - y) @ A + 0.25 * np.sign(X)


jac.vectorized = True


def run(lam_grad):
    swarm = CBO(
        d,
        x0=np.random.default_rng(0).standard_normal((10, d)),
        memory=True,
        lam=1.0,
        lam_grad=lam_grad,
        jac=jac,
        sigma=np.sqrt(1.6),
        dt=0.02,
        alpha=100.0,
        boundary=None,
        cooling=1.0,
        xtol=0.0,
        patience=10**6,
        random_state=0,
    )
    for _ in range(1000):
        X = swarm.ask()
        swarm.tell(X, fun(X))
    return swarm.consensus


def recover(c):
    found = np.flatnonzero(np.abs(c) > 0.01)
    x = np.zeros(d)
    x[found] = np.linalg.lstsq(A[:, found], y, rcond=None)[0]
    return x, np.linalg.norm(x - x_true) / np.linalg.norm(x_true)


with_gradient, without = run(1.0), run(0.0)
x, error = recover(with_gradient)
print(f"relative error with the gradient:    {error:.1e}")
print(f"relative error without the gradient: {recover(without)[1]:.1e}")

# %%
# The consensus point before least squares:

fig, ax = plt.subplots(figsize=(8, 3), layout="constrained")
ax.stem(np.arange(d), x_true, basefmt=" ", linefmt="0.7", markerfmt="k_", label="true")
ax.plot(with_gradient, ".", color="tab:blue", label="consensus")
ax.set(xlabel="entry")
ax.legend()

# %%
# A poll around the recovered vector certifies the residual as a local minimum.


def residual(z):
    return float(np.sum((A @ z - y) ** 2))


free = np.full(d, np.inf)
witness = coordinate_poll(x, -free, free, (1e-3,))
certificate, _, _ = mint(Objective(residual), witness, {}, tolerance=1e-3)
print(farkas.verify(certificate, residual).check().message)
assert error < 1e-12
assert certificate.satisfied
