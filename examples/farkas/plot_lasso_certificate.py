"""
How good is a Lasso solution, whoever computed it?
==================================================

A solver that stops after a fixed number of steps returns *some* weights. How far are
they from the best ones? The duality gap answers without solving anything: the weights
prove an upper bound of the optimum, their residual, scaled into the dual feasible set,
proves a lower bound. Here three answers of scikit-learn's solver are graded that way.
"""

import warnings

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso
from sklearn.preprocessing import StandardScaler

import farkas

X, y = load_diabetes(return_X_y=True)
X = StandardScaler().fit_transform(X)
y = y - y.mean()
alpha = 1000.0

# %%
# scikit-learn divides the squared error by the number of rows; so its penalty is
# ``alpha / len(y)``. With few passes over the coordinates it warns that it has not
# converged. The certificate says what the answer is worth all the same.

certificates = {}
for passes in (1, 3, 1000):
    model = Lasso(alpha / len(y), max_iter=passes, tol=1e-12, fit_intercept=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    name = f"{passes} pass" if passes == 1 else f"{passes} passes"
    certificates[name] = farkas.certify_lasso(X, y, model.coef_, alpha=alpha)
    print(f"{name}: {certificates[name]}")

# %%
# Each interval contains the optimum. Those of the first answers are wide, and the last
# one is narrower than its line.

ax = farkas.plot_certificate(certificates)
ax.set_title("The optimum lies in every interval")

# %%
# A certificate is data. Anyone who has ``X`` and ``y`` can redo its arithmetic, and a
# certificate does not fit data that were changed.

best = certificates["1000 passes"]
print(farkas.verify(best, X, y).check().message)

forged = y.copy()
forged[0] += 1.0
assert not farkas.verify(best, X, forged)
assert best.satisfied
assert np.isclose(best.lower, best.upper)
