"""All blocks at once by bound-constrained L-BFGS: the end game of the block method.

Alternating blocks zigzag where atoms and codes trade off slowly. Once their progress is
small, a few quasi-Newton steps on ``(W, H, beta, Gamma)`` together, atoms and codes
scaled by their curvature, cut the first-order residual by orders of magnitude.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdl._measure import label_losses
from sdl._measure_data import Problem
from sdl._measure_stationarity import Factors, codes_and_scores, gradient
from sdl.box import minimise_in_box
from sdl.formulation import BOUNDS, Formulation

Array = NDArray[np.float64]

# Quasi-Newton steps in an iteration, and pairs that they remember.
STEPS, MEMORY = 40, 20


def can_polish(form: Formulation) -> bool:
    """Tell whether F is smooth on its feasible set, and that set a box."""
    smooth = all(
        not form.value(f"l1_{name}") or name in form.signs for name in ("W", "H")
    )
    return smooth and not any(form.value(name) for name in BOUNDS)


def polish(form: Formulation, x: dict[str, Array]) -> dict[str, Array]:
    """Take quasi-Newton steps from a feasible point.

    Parameters
    ----------
    form : Formulation
        The problem, with :func:`can_polish`.
    x : dict
        ``W``, ``H``, ``beta``, ``Gamma``.

    Returns
    -------
    dict
        Feasible factors whose objective is not larger but for rounding.
    """
    task = form.task
    names = ("W", "H", "beta", "Gamma")
    shapes = [x[name].shape for name in names]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    scales = _scales(task, form, x)

    def unpack(theta: Array) -> dict[str, Array]:
        parts = np.split(theta, ends[:-1])
        return {
            name: part.reshape(shape) * scales[name]
            for name, part, shape in zip(names, parts, shapes, strict=True)
        }

    def value_and_slope(theta: Array) -> tuple[float, Array]:
        point = unpack(theta)
        f, slopes = _value_and_slope(task, form, point)
        return f, np.concatenate([(slopes[n] * scales[n]).ravel() for n in names])

    theta = np.concatenate([(x[name] / scales[name]).ravel() for name in names])
    positive = np.zeros(len(theta), dtype=bool)
    positive[: ends[0]] = "W" in form.signs
    positive[ends[0] : ends[1]] = "H" in form.signs
    found = minimise_in_box(
        value_and_slope, theta, positive, steps=STEPS, memory=MEMORY
    )
    return unpack(found)


def _scales(task: Problem, form: Formulation, x: dict[str, Array]) -> dict[str, Any]:
    """Inverse square roots of the diagonal curvature of each block."""
    weighted = task.v[:, None] * x["H"]
    atoms = 2.0 * task.xi * np.sum(weighted * x["H"], axis=0) + form.value("l2_W")
    codes = 2.0 * task.xi * np.sum(x["W"] ** 2, axis=0) + form.value("l2_H")
    floor = 1e-12
    return {
        "W": 1.0 / np.sqrt(np.maximum(atoms, floor * max(atoms.max(), 1e-300))),
        "H": 1.0 / np.sqrt(np.maximum(codes, floor * max(codes.max(), 1e-300))),
        "beta": 1.0,
        "Gamma": 1.0,
    }


def _value_and_slope(
    task: Problem, form: Formulation, x: dict[str, Array]
) -> tuple[float, dict[str, Array]]:
    W, H, beta, Gamma = x["W"], x["H"], x["beta"], x["Gamma"]
    XW, D = codes_and_scores(task, Factors(W, H, beta, Gamma))
    slopes = gradient(task, W, H, beta, Gamma, XW, D)
    A, weight = (
        (W @ beta, 1.0) if task.model == "filter" else (H @ beta, task.v[:, None])
    )
    weighted = task.v[:, None] * H
    # <V(HW'-X), HW'> from the gradient of the codes, and the rest of |X - HW'|^2
    inner = float(np.sum((weighted.T @ H) * (W.T @ W)))
    cross = float(np.sum(weighted * XW))
    f = task.xi * (task.square - 2.0 * cross + inner)
    f += float(task.omega @ label_losses(D, task.Y))
    f += 0.5 * task.nu * float(np.sum(weight * A * A))
    f += 0.5 * task.nu_c * float(np.sum(Gamma[task.penalised] ** 2))
    for name, block in (("W", W), ("H", H), ("beta", beta)):
        l1, l2 = form.value(f"l1_{name}"), form.value(f"l2_{name}")
        if l1:
            f += l1 * float(np.sum(block))
            slopes[name] = slopes[name] + l1
        if l2:
            f += 0.5 * l2 * float(np.sum(block * block))
            slopes[name] = slopes[name] + l2 * block
    return f, slopes
