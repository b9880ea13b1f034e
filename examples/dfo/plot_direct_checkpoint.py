"""
Tuning that fails, stops and goes on
====================================

The cross-validated error of a support vector machine is a black box: it takes time, it
is a step function of its parameters, and for some of them training does not converge.
The state of the search is saved after every iteration; a run that is interrupted and
resumed evaluates exactly the points of one that is not.
"""

import tempfile
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import farkas
from dfo import minimize_cdsm
from dfo.direct.plotting import plot_search

X, y = load_wine(return_X_y=True)


def error(x):
    """Error of three folds, for log10 of C and gamma."""
    model = make_pipeline(StandardScaler(), SVC(C=10 ** x[0], gamma=10 ** x[1]))
    model[-1].set_params(max_iter=100)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)  # a failed point
        return 1 - cross_val_score(model, X, y, cv=3).mean()


options = {
    "bounds": [(-3, 4), (-5, 2)],
    "initial_radius": 1.0,
    "maxfev": 50,
    "certify": False,
    "random_state": 0,
}
start = [-1.0, -1.0]
whole = minimize_cdsm(error, start, **options)


def power_cut(intermediate_result):
    if intermediate_result.nfev > 25:
        raise StopIteration


with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "search.npz"
    cut = minimize_cdsm(error, start, checkpoint=path, callback=power_cut, **options)
    resumed = minimize_cdsm(error, start, resume=path, **options)

failed = np.isinf(whole.evaluations["F"]).sum()
print(f"cut after {cut.nfev}, resumed to {resumed.nfev} evaluations")
print(f"error {whole.fun:.4f} at {whole.x.round(2)}; {failed} points failed")
assert np.array_equal(whole.evaluations["X"], resumed.evaluations["X"])

# %%

plot_search(resumed)
plt.tight_layout()

# %%
# A budget that ends in the middle leaves no complete poll, and the certificate says
# so: its value is infinite. With ``certify=True`` up to four more evaluations would
# complete one.

print(resumed.certificate)
print(farkas.verify(resumed, error).check().message)
assert resumed.fun < error(start)
