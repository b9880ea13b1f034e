"""Dictionaries from batches: one step for every batch, products kept instead of rows.

As in online dictionary learning (Mairal et al., 2010) the past enters through
``S = sum H'VH`` and ``C = sum X'VH``; the head takes an online Newton step with the
accumulated Hessian.
"""

import dataclasses
from typing import Any

import array_api_compat.numpy as xp
import numpy as np
from numpy.typing import NDArray

from farkas.kernels import prepare
from sdl._array import hessian
from sdl._measure_stationarity import label_residual, probabilities
from sdl.block_descent import start
from sdl.formulation import Formulation
from sdl.hals import Sweeps

Array = NDArray[np.float64]

# Sweeps over the codes of a batch, and over the atoms after it.
CODE_SWEEPS, ATOM_SWEEPS = 20, 2


@dataclasses.dataclass
class Online:
    """What is kept between batches."""

    W: Array  # (p, r)
    beta: Array  # (r, K)
    Gamma: Array  # (q, K)
    S: Array  # (r, r)
    C: Array  # (p, r)
    hessian: Array  # ((r + q) K, (r + q) K) of the label losses seen so far
    seen: float = 0.0  # total weight of the rows seen, forgotten ones discounted
    batches: int = 0

    @staticmethod
    def begin(form: Formulation, seed: int) -> "Online":
        """Start from the first batch: NMF or SVD, and the head on it."""
        x = start(form, seed)
        (p, r), (q, K) = x["W"].shape, x["Gamma"].shape
        size = (r + q) * K
        return Online(
            x["W"], x["beta"], x["Gamma"], np.zeros((r, r)), np.zeros((p, r)),
            np.zeros((size, size)),
        )  # fmt: skip

    @staticmethod
    def after(W: Array, H: Array, beta: Array, Gamma: Array) -> "Online":
        """Continue from a fit whose data are gone: its codes stand for them."""
        S = H.T @ H
        size = (len(beta) + len(Gamma)) * beta.shape[1]
        return Online(
            W, beta, Gamma, S, W @ S, np.zeros((size, size)), seen=float(len(H))
        )

    def step(self, form: Formulation, forgetting: float = 1.0) -> dict[str, Array]:
        """Learn from a batch and return its factors.

        Parameters
        ----------
        form : Formulation
            The problem of the batch.
        forgetting : float, default=1.0
            Factor of what earlier batches left; 1 forgets nothing.

        Returns
        -------
        dict
            ``W``, ``H`` (codes of the batch), ``beta``, ``Gamma``.
        """
        task = form.task
        H = self._codes(form)
        weighted = task.v[:, None] * H
        self.S = forgetting * self.S + H.T @ weighted
        self.C = forgetting * self.C + np.asarray(task.X.T @ weighted)
        self.seen = forgetting * self.seen + float(task.v.sum())
        self._atoms(form)
        F = np.asarray(task.X @ self.W) if task.model == "filter" else H
        self._head(form, F, forgetting)
        self.batches += 1
        return {"W": self.W, "H": H, "beta": self.beta, "Gamma": self.Gamma}

    def _codes(self, form: Formulation) -> Array:
        """Code the batch; in the feature model its labels take part."""
        task = form.task
        a = 2.0 * task.xi * task.v
        B = np.asarray(task.X @ self.W)
        T = self.W.T @ self.W
        rules = (form.value("l1_H"), form.value("l2_H"), "H" in form.signs)
        L = a[:, None] * B
        H = prepare(np.zeros_like(B))
        Sweeps(T, a, None, None, *rules)(H, L, CODE_SWEEPS)
        if task.model == "feature":
            curvature = 0.25 if task.Y.shape[1] == 1 else 0.5
            bent = curvature * task.omega
            sweeps = Sweeps(
                T, a, self.beta @ self.beta.T, bent + task.nu * task.v, *rules
            )
            for _ in range(3):  # majorise the label losses anew
                A = H @ self.beta
                R = label_residual(task, A + task.Z @ self.Gamma)
                sweeps(H, L + (bent[:, None] * A - R) @ self.beta.T, 2)
        return H

    def _atoms(self, form: Formulation) -> None:
        """Sweep over the atoms; the filter model adds the labels' proximal step."""
        task = form.task
        quadratic, linear = 2.0 * task.xi * self.S, 2.0 * task.xi * self.C
        if task.model == "filter":
            A = self.W @ self.beta
            R = label_residual(task, np.asarray(task.X @ A) + task.Z @ self.Gamma)
            slope = (np.asarray(task.X.T @ R) + task.nu * A) @ self.beta.T
            # The step of the labels is as long as that of all rows seen allows.
            square = float(np.linalg.norm(self.beta, 2) ** 2)
            bent = (0.5 * task.square * float(np.max(task.omega / task.v))) + task.nu
            proximal = bent * square
            quadratic = quadratic + proximal * np.eye(len(quadratic))
            linear = linear + proximal * self.W - slope
        W = prepare(self.W).copy()
        Sweeps(
            quadratic, np.ones(len(W)), l1=form.value("l1_W"), l2=form.value("l2_W"),
            nonnegative="W" in form.signs,
        )(W, linear, ATOM_SWEEPS)  # fmt: skip
        if limit := form.value("max_atom_norm"):
            W *= np.minimum(1.0, limit / np.maximum(np.linalg.norm(W, axis=0), 1e-300))
        dead = np.linalg.norm(W, axis=0) == 0
        self.W = np.where(dead, self.W, W)

    def _head(self, form: Formulation, F: Array, forgetting: float) -> None:
        task = form.task
        M = np.hstack([F, task.Z])
        theta = np.concatenate([self.beta, self.Gamma])
        P = probabilities(M @ theta)
        K, r = theta.shape[1], F.shape[1]
        curvature = hessian(xp, M, P, task.omega[:, None])
        if not self.hessian.any():  # rows of an earlier fit count like these
            curvature *= self.seen / float(task.v.sum())
        self.hessian = forgetting * self.hessian + curvature
        S = self.W.T @ self.W if task.model == "filter" else self.S
        ridge = np.zeros((len(theta), len(theta)))
        ridge[:r, :r] = task.nu * S
        ridge[r:, r:] = np.diag(np.where(task.penalised, task.nu_c, 0.0))
        share = float(task.v.sum()) / max(self.seen, 1e-300)
        slope = M.T @ (task.omega[:, None] * (P - task.Y)) + share * ridge @ theta
        matrix = self.hessian + np.kron(np.eye(K), ridge)
        matrix[np.diag_indices_from(matrix)] += 1e-10 * max(
            float(np.trace(matrix)), 1.0
        )
        step = np.linalg.solve(matrix, slope.T.ravel()).reshape(K, -1).T
        self.beta, self.Gamma = self.beta - step[:r], self.Gamma - step[r:]


def batch_seed(random_state: Any) -> int:
    """Return the seed of the first batch's singular vectors."""
    from farkas.parallel import seed_sequence

    return int(seed_sequence(random_state).generate_state(1)[0])
