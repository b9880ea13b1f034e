"""
Inside the solver: why one small factor is enough
=================================================

With n rows, d columns and P patterns the program has 2dP unknowns, and a splitting
method solves a linear system of that size in every step. For the program below that is
a matrix of 4800 rows; at P = 400 its Cholesky factor would fill 18 GB. But the cone
constraints of all patterns share one matrix, since signs cancel in
``(S X)'(S X) = X'X``, and the patterns couple the blocks only through the n x n matrix
``(D D') o (X X')``, whose eigenvectors serve every penalty parameter. So an iteration
costs a few products of X with the blocks.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from scipy.linalg import cho_factor

import farkas
from convexnn import sample_patterns, solve_relu
from convexnn.admm import factorize

rng = np.random.default_rng(0)
n, d, P = 300, 60, 40
X = np.column_stack([rng.standard_normal((n, d - 1)), np.ones(n)]) / np.sqrt(d)
y = np.sin(3 * X[:, 0]) + X[:, 1] * X[:, 2]
patterns = sample_patterns(X, P, random_state=0)


def seconds(function):
    begun = time.process_time()
    function()
    return time.process_time() - begun


def textbook(blocks):
    """Factor the system of the first ``blocks`` blocks as it is written."""
    F = np.concatenate([X * patterns.D[:, [i]] for i in range(blocks)], axis=1)
    return cho_factor(np.eye(F.shape[1]) + F.T @ F)


textbook(5), factorize(X, patterns.D, "relu")  # warm
sizes = [5, 10, 20, 40]
dense = [seconds(lambda P=P: textbook(P)) for P in sizes]
ours = [seconds(lambda P=P: factorize(X, patterns.D[:, :P], "relu")) for P in sizes]
for size, long, short in zip(sizes, dense, ours, strict=True):
    print(
        f"P = {size:3d}: written out {1e3 * long:7.1f} ms, ours {1e3 * short:5.1f} ms"
    )

# %%
# Every ten iterations the solver looks at both bounds. The objective is that of a
# feasible point, and the lower bound comes from the residuals with the multipliers of
# the cone projections; no other solver is asked.

result = solve_relu(X, y, patterns, alpha=0.05, tol=1e-8)
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.semilogy(sizes, dense, "o-", label="system written out")
left.semilogy(sizes, ours, "s-", label="n x n eigenvectors")
left.set(xlabel="patterns", ylabel="seconds of set-up")
left.legend()
farkas.plot_history(result, ax=right)

print(f"{result.nit} iterations, gap {result.gap:.1e}")
print(farkas.verify(result.certificate, X, y).check().message)
assert result.success
