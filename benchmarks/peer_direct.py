"""Peers of the direct search, run by the interpreter of their own environment.

`python peer_direct.py nomad answer.npz smooth 0` runs a solver over the Moré-Wild set;
`python peer_direct.py torch answer.npz` times autograd on the reactor's network.
"""

import math
import sys
import time

import more_wild
import numpy as np

HUGE = 1e300  # stands for a failed point where a peer takes no infinity
REPEATS, LOOPS = 7, {1: 2000, 100: 400}


class Spent(Exception):
    """The budget is spent."""


class Counted:
    """A function that keeps its values, and the CPU time that it took itself."""

    def __init__(self, problem, budget):
        self.problem, self.budget = problem, budget
        self.values, self.seconds = [], 0.0

    def __call__(self, x):
        if len(self.values) >= self.budget:
            raise Spent
        start = time.process_time()
        value = self.problem(np.asarray(x))
        self.seconds += time.process_time() - start
        self.values.append(value)
        return value if math.isfinite(value) else HUGE


def nomad(problem, budget, seed):
    import PyNomad

    f = Counted(problem, budget + 1)

    def answer(point):
        x = [point.get_coord(i) for i in range(problem.n)]
        point.setBBO(repr(float(f(x))).encode())
        return 1

    PyNomad.optimize(
        answer,
        [float(v) for v in problem.x0],
        [],
        [],
        [
            f"DIMENSION {problem.n}",
            "BB_OUTPUT_TYPE OBJ",
            f"MAX_BB_EVAL {budget}",
            f"SEED {seed}",
            "DISPLAY_DEGREE 0",
        ],
    )
    return f


def bobyqa(problem, budget, seed):
    import pybobyqa

    f = Counted(problem, budget)
    try:
        pybobyqa.solve(f, problem.x0, maxfun=budget, rhoend=1e-10, do_logging=False)
    except Spent:
        pass
    return f


def profile(solver, path, kind, seed):
    found, start = {}, time.process_time()
    own = 0.0
    for i, problem in enumerate(more_wild.load(kind == "smooth")):
        f = solver(problem, 50 * (problem.n + 1), int(seed))
        found[f"v{i}"] = np.array(f.values)
        own += f.seconds
    np.savez(path, seconds=time.process_time() - start - own, **found)


def autograd(path):
    import torch

    torch.set_num_threads(1)
    data = np.load(more_wild.DATA / "bio_pinn_mlp.npz")
    layers = []
    for i in range(4):
        W, b = data[f"W{i}"].astype(float), data[f"b{i}"].astype(float)
        layer = torch.nn.Linear(*W.shape).double()
        layer.weight.data, layer.bias.data = torch.tensor(W.T.copy()), torch.tensor(b)
        layers += [layer.requires_grad_(False), *([torch.nn.Tanh()] if i < 3 else [])]
    net = torch.nn.Sequential(*layers)
    rng, found = np.random.default_rng(0), {}
    for batch, loops in LOOPS.items():
        X, U = rng.random((batch, 2)), rng.random((batch, 6))
        Xt, Ut = torch.tensor(X), torch.tensor(U)
        best = math.inf
        for _ in range(REPEATS):
            start = time.process_time()
            for _ in range(loops):
                x = Xt.clone().requires_grad_(True)
                G = torch.autograd.grad((net(x) * Ut).sum(), x)[0]
            best = min(best, (time.process_time() - start) / loops)
        found |= {f"X{batch}": X, f"U{batch}": U, f"G{batch}": G.numpy()}
        found[f"seconds{batch}"] = best
    np.savez(path, **found)


if __name__ == "__main__":
    task, path, *rest = sys.argv[1:]
    if task == "torch":
        autograd(path)
    else:
        profile({"nomad": nomad, "bobyqa": bobyqa}[task], path, *rest)
