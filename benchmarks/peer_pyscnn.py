"""Fit one program with pyscnn, in the interpreter of its own environment.

`python peer_pyscnn.py problem.npz answer.npz` reads X, y, gates, alpha and activation,
and writes the convex weights, their gates (in the peer's own order) and the best CPU
time of several runs.
"""

import sys
import time

import numpy as np
import torch
from scnn.metrics import Metrics
from scnn.models import ConvexGatedReLU, ConvexReLU
from scnn.optimize import optimize_model
from scnn.regularizers import NeuronGL1
from scnn.solvers import AL, RFISTA

REPEATS = 2


def main(problem, answer):
    torch.set_num_threads(1)
    data = np.load(problem)
    X, y = data["X"].astype("float32"), data["y"].astype("float32")
    gates, relu = data["gates"].astype("float32"), str(data["activation"]) == "relu"
    times = []
    for _ in range(REPEATS + 1):
        model = ConvexReLU(gates) if relu else ConvexGatedReLU(gates)
        solver = AL(model) if relu else RFISTA(model)
        begun = time.process_time()
        fitted, _ = optimize_model(
            model,
            solver,
            Metrics(),
            X,
            y,
            regularizer=NeuronGL1(float(data["alpha"]) / len(X)),  # its loss is a mean
            return_convex=True,
            unitize_data=False,
        )
        times.append(time.process_time() - begun)
    blocks = [np.asarray(part)[0].T.astype(float) for part in fitted.parameters]
    parts = dict(zip(("V", "W"), blocks, strict=False))
    np.savez(answer, seconds=min(times[1:]), gates=fitted.G, **parts)


if __name__ == "__main__":
    main(*sys.argv[1:])
