"""Global minimisers, each a function of function, box, budget and seed."""

import math

import numpy as np
from scipy.optimize import differential_evolution, dual_annealing

from dfo import minimize_cbo

PEERS = {}
for _name in ("cma", "cbx", "cocoex"):
    try:
        PEERS[_name] = __import__(_name)
    except ImportError:
        print(f"{_name} is not installed: its rows are left out")


class Spent(Exception):
    """The budget is spent. StopIteration would end SciPy's own loops silently."""


class Budget:
    """A function of one point that stops after its budget, and keeps the best value."""

    def __init__(self, fun, budget):
        self.fun, self.left, self.best = fun, budget, math.inf

    def __call__(self, x, *args):
        if self.left <= 0:
            raise Spent
        self.left -= 1
        value = float(self.fun(x))
        self.best = min(self.best, value)
        return value


def ours(fun, bounds, budget, seed, **options):
    return minimize_cbo(
        fun, bounds, vectorized=False, maxfev=budget, random_state=seed, **options
    ).fun


def unpolished(fun, bounds, budget, seed):
    return ours(fun, bounds, budget, seed, polish=None)


def bipop(fun, bounds, budget, seed):
    cma, counted = PEERS["cma"], Budget(fun, budget)
    lower, upper = bounds.T
    rng = np.random.default_rng(seed)
    try:
        cma.fmin2(
            counted,
            lambda: rng.uniform(lower, upper),
            0.3 * float((upper - lower)[0]),
            {
                "bounds": [list(lower), list(upper)],
                "verbose": -9,
                "seed": seed + 1,
                "maxfevals": budget,
            },
            bipop=True,
            restarts=20,
        )
    except Spent:
        pass
    return counted.best


def evolution(fun, bounds, budget, seed, polish=True):
    counted = Budget(fun, budget)
    try:
        while counted.left > 0:
            differential_evolution(
                counted, bounds, rng=seed, maxiter=10**6, polish=polish
            )
            seed += 1000
    except (Spent, RuntimeError):
        pass
    return counted.best


def annealing(fun, bounds, budget, seed):
    counted = Budget(fun, budget)
    try:
        dual_annealing(counted, bounds, rng=seed, maxfun=budget, maxiter=10**6)
    except Spent:
        pass
    return counted.best


def cbx_run(fun, bounds, budget, seed):
    from cbx.dynamics import CBO as Peer

    lower, upper = bounds.T
    N = 100
    np.random.seed(seed)  # noqa: NPY002, cbx draws from the global state
    d = len(lower)
    x = np.random.default_rng(seed).uniform(lower, upper, (1, N, d))
    best = [math.inf]

    def rows(X):
        X = np.clip(X, lower, upper).reshape(-1, d)
        values = np.array([fun(point) for point in X])
        best[0] = min(best[0], values.min())
        return values.reshape(1, -1)

    peer = Peer(
        rows,
        d=d,
        x=x,
        noise="anisotropic",
        sigma=5.1,
        dt=0.01,
        alpha=30.0,
        max_it=budget // N,
        f_dim="3D",
        verbosity=0,
    )
    peer.optimize()
    return best[0]


METHODS = {"CBO": ours, "CBO, no polish": unpolished}
if "cma" in PEERS:
    METHODS["BIPOP-CMA-ES"] = bipop
METHODS |= {"dual annealing": annealing, "differential evolution": evolution}
if "cbx" in PEERS:
    METHODS["cbx"] = cbx_run
