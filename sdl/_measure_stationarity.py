"""Factors of a dictionary: their constraints, penalties and first-order residual."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farkas.certificate import CertificateError, Parameter
from sdl._measure_data import Array, Problem

# Excess of a norm over its bound that counts as rounding.
ROOM = 1e-12

_PENALTIES = ("l1_H", "l1_W", "l2_H", "l2_W", "l2_beta")
_BOUNDS = ("max_atom_norm", "max_code_norm", "max_coef_norm")


@dataclasses.dataclass(frozen=True)
class Factors:
    """The point: ``W`` (p, r), ``H`` (n, r), ``beta`` (r, K), ``Gamma`` (q, K)."""

    W: Array
    H: Array
    beta: Array
    Gamma: Array
    constrained: bool = False

    @staticmethod
    def of(
        task: Problem,
        witness: Mapping[str, NDArray[Any]],
        parameters: Mapping[str, Parameter],
    ) -> "Factors":
        """Read the factors from a witness, refusing wrong shapes."""
        (n, p), (_, K), r = task.X.shape, task.Y.shape, task.rank
        shapes = {"W": (p, r), "H": (n, r), "beta": (r, K)}
        shapes["Gamma"] = (task.Z.shape[1], K)
        arrays = {}
        for name, shape in shapes.items():
            array = witness[name]
            if array.shape != shape or array.dtype.kind not in "fiu":
                raise CertificateError(
                    f"{name} must have shape {shape}, got {array.shape}."
                )
            arrays[name] = np.asarray(array, dtype=np.float64)
            if not np.isfinite(arrays[name]).all():
                raise CertificateError(f"{name} must be finite.")
        constrained = _signs(parameters) != "" or any(
            float(parameters.get(name, 0.0)) > 0 for name in (*_PENALTIES, *_BOUNDS)
        )
        return Factors(**arrays, constrained=constrained)

    def penalty(self, parameters: Mapping[str, Parameter]) -> float:
        """Return the penalties of single factors."""
        weight = {name: float(parameters.get(name, 0.0)) for name in _PENALTIES}
        if not all(0 <= number < math.inf for number in weight.values()):
            raise CertificateError("penalties must be >= 0 and finite.")
        return (
            weight["l1_H"] * float(np.sum(np.abs(self.H)))
            + weight["l1_W"] * float(np.sum(np.abs(self.W)))
            + 0.5 * weight["l2_H"] * float(np.sum(self.H**2))
            + 0.5 * weight["l2_W"] * float(np.sum(self.W**2))
            + 0.5 * weight["l2_beta"] * float(np.sum(self.beta**2))
        )


def _signs(parameters: Mapping[str, Parameter]) -> str:
    """Return which factors must be nonnegative: "", "W", "H" or "WH"."""
    signs = str(parameters.get("nonnegative", ""))
    if signs not in ("", "W", "H", "WH"):
        raise CertificateError(f"nonnegative={signs!r} must be '', 'W', 'H' or 'WH'.")
    return signs


def check_constraints(factors: Factors, parameters: Mapping[str, Parameter]) -> None:
    """Raise unless every factor obeys the constraints that the parameters name."""
    signs = _signs(parameters)
    for name in signs:
        if getattr(factors, name).min(initial=0.0) < 0:
            raise CertificateError(f"{name} must be nonnegative.")
    sizes = {
        "max_atom_norm": np.linalg.norm(factors.W, axis=0),
        "max_code_norm": np.linalg.norm(factors.H, axis=1),
        "max_coef_norm": np.atleast_1d(np.linalg.norm(factors.beta)),
    }
    for name, size in sizes.items():
        limit = float(parameters.get(name, 0.0))
        if not 0 <= limit < math.inf:
            raise CertificateError(f"{name} must be >= 0 and finite; 0 means none.")
        if limit and size.max(initial=0.0) > limit * (1.0 + ROOM):
            raise CertificateError(f"{name}={limit:g} is exceeded.")


def products(task: Problem, W: Array) -> Array:
    """Return ``X W``; BLAS multiplies a few rows by a long matrix fastest."""
    return np.asarray((W.T @ task.X.T).T)


def codes_and_scores(task: Problem, factors: Factors) -> tuple[Array | None, Array]:
    """Return ``X W``, None where entries are missing, and D, in one product with X."""
    W, beta, shift = factors.W, factors.beta, task.Z @ factors.Gamma
    if task.model == "filter":
        both = products(task, np.hstack([W, W @ beta]))
        return both[:, : W.shape[1]], both[:, W.shape[1] :] + shift
    XW = None if task.mask is not None else products(task, W)
    return XW, factors.H @ beta + shift


def stationarity(
    task: Problem,
    factors: Factors,
    parameters: Mapping[str, Parameter],
    XW: Array | None = None,
    D: Array | None = None,
) -> float:
    """Return ``max |theta - prox(theta - grad)|_inf`` over the four blocks.

    Without penalties or bounds of single factors, F does not change when an atom is
    scaled and its codes and coefficients inversely; the residual is then taken at
    atoms of norm 1. XW and D save products with X where they are known already.
    """
    value = {name: float(parameters.get(name, 0.0)) for name in (*_PENALTIES, *_BOUNDS)}
    W, H, beta, Gamma = factors.W, factors.H, factors.beta, factors.Gamma
    if not any(value.values()):
        norms = np.linalg.norm(W, axis=0)
        W, H, beta = unit_atoms(task.model, W, H, beta)
        XW = None if XW is None else XW / np.where(norms > 0, norms, 1.0)
    gradients = gradient(task, W, H, beta, Gamma, XW, D)
    gradients["W"] += value["l2_W"] * W
    gradients["H"] += value["l2_H"] * H
    gradients["beta"] += value["l2_beta"] * beta
    signs = _signs(parameters)
    worst = [float(np.max(np.abs(gradients["Gamma"]), initial=0.0))]
    for name, block, bound, axis in (
        ("W", W, "max_atom_norm", 0),
        ("H", H, "max_code_norm", 1),
        ("beta", beta, "max_coef_norm", None),
    ):
        moved = prox(
            block - gradients[name],
            l1=value.get(f"l1_{name}", 0.0),
            nonnegative=name in signs and name != "beta",
            radius=value[bound],
            axis=axis,
        )
        worst.append(float(np.max(np.abs(block - moved), initial=0.0)))
    return float(np.max(worst))


def unit_atoms(
    model: str, W: Array, H: Array, beta: Array
) -> tuple[Array, Array, Array]:
    """Scale every atom to norm 1, and codes and coefficients so that F is the same."""
    norms = np.linalg.norm(W, axis=0)
    norms = np.where(norms > 0, norms, 1.0)
    scaled = beta * norms[:, None] if model == "filter" else beta / norms[:, None]
    return W / norms, H * norms, scaled


def gradient(
    task: Problem,
    W: Array,
    H: Array,
    beta: Array,
    Gamma: Array,
    XW: Array | None = None,
    D: Array | None = None,
) -> dict[str, Array]:
    """Return the gradient of the smooth part of F, block by block."""
    v, r = task.v[:, None], W.shape[1]
    weighted = v * H
    if XW is None or D is None:
        XW, D = codes_and_scores(task, Factors(W, H, beta, Gamma))
    R = label_residual(task, D)
    if XW is None:
        residual = np.where(task.mask, 0.0, H @ W.T - task.X)
        grad_W = 2.0 * task.xi * (residual.T @ weighted)
        grad_H = 2.0 * task.xi * v * (residual @ W)
    else:
        pulled = np.asarray(np.hstack([weighted, R]).T @ task.X)
        grad_W = 2.0 * task.xi * (W @ (H.T @ weighted) - pulled[:r].T)
        grad_H = 2.0 * task.xi * v * (H @ (W.T @ W) - XW)
    if task.model == "filter":
        score = pulled[r:].T + task.nu * (W @ beta)
        grad_W, grad_beta = grad_W + score @ beta.T, W.T @ score
    else:
        score = R + task.nu * v * (H @ beta)
        grad_H, grad_beta = grad_H + score @ beta.T, H.T @ score
    ridge = task.nu_c * np.where(task.penalised[:, None], Gamma, 0.0)
    return {"W": grad_W, "H": grad_H, "beta": grad_beta, "Gamma": task.Z.T @ R + ridge}


def label_residual(task: Problem, D: Array) -> Array:
    """Return ``omega (P - Y)`` at the scores D."""
    return task.omega[:, None] * (probabilities(D) - task.Y)


def probabilities(D: Array) -> Array:
    """Return the softmax of the scores, the baseline (score 0) left out."""
    peak = np.maximum(D.max(axis=1, keepdims=True), 0.0)
    e = np.exp(D - peak)
    result: Array = e / (np.exp(-peak) + np.sum(e, axis=1, keepdims=True))
    return result


def prox(
    theta: Array, *, l1: float, nonnegative: bool, radius: float, axis: int | None
) -> Array:
    """Soft-threshold, clip and project onto balls: the exact proximal map."""
    if nonnegative:
        theta = np.maximum(theta - l1, 0.0)
    elif l1:
        theta = np.sign(theta) * np.maximum(np.abs(theta) - l1, 0.0)
    if radius:
        norms = np.linalg.norm(theta, axis=axis, keepdims=True)
        theta = theta * np.minimum(1.0, radius / np.maximum(norms, 1e-300))
    return theta
