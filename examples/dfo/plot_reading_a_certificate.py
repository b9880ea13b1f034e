"""
Reading a certificate, also one that says no
============================================

No black box gives up its global minimum to a finite number of values, and nothing here
claims that. What a run does prove is written into its certificate: which points around
the result are not better, what that says about the gradient if the function is smooth,
how the particles' values relate to their minimum, and how likely one more run would
have been to win. A run that was stopped too early gets a certificate that says so.
"""

import matplotlib.pyplot as plt

import farkas
from dfo import minimize_cbo, stationarity_bound, testfunctions
from dfo.plotting import plot_convergence

f = testfunctions.get("ackley", 5)
res = minimize_cbo(f.fun, f.bounds, restarts=4, record="summary", random_state=0)
print(res.message)
print(res.certificate)
for name, value in res.certificate.residuals.items():
    print(f"  {name:26s} {value: .3g}")
for text in res.certificate.assumptions:
    print("  assumes:", text)

# %%
# - ``poll_decrease`` 0 and the value: no point at distance h along any axis is better.
# - ``laplace_gap`` <= ``laplace_bound``: holds for any particles whatsoever.
# - ``improvement_probability`` = 1/(R + 1) for R runs that are alike.
# - ``as_rate`` > 0 while ``ms_rate`` < 0: particles contract almost surely, though not
#   in mean square.
#
# For a function whose gradient has a Lipschitz constant, the poll bounds the gradient:

smooth = testfunctions.get("rastrigin", 5)
polished = minimize_cbo(smooth.fun, smooth.bounds, random_state=0)
lipschitz = 2 + 40 * 3.141592653589793**2
bound = stationarity_bound(polished.certificate, lipschitz)
print(f"|grad f| <= {bound:.2e} is proven")

# %%
# Now a run that is stopped after three steps. It says that it has not converged, and
# its certificate is not satisfied; yet it verifies, since it claims nothing false.

failed = minimize_cbo(f.fun, f.bounds, maxiter=3, polish=None, random_state=0)
print(failed.success, failed.message)
print(failed.certificate)

ax = plot_convergence(res)
ax.set_title("Ackley, five variables")

# %%
# Both re-check on the function itself; another function is refused.

print(farkas.verify(res, f.fun).check().message)
assert farkas.verify(failed, f.fun)
assert not farkas.verify(res, smooth.fun)
assert not failed.certificate.satisfied
assert res.certificate.satisfied
plt.show()
