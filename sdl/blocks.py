"""State and steps of the block method: codes, atoms, and the head, in turn.

Every step either lowers the objective or is not taken. The objective is evaluated
through Gram identities, never through residuals of the size of X.
"""

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from farkas.checkpoint import pack_generator, unpack_generator
from farkas.kernels import prepare
from sdl._measure import label_losses, zero_objective
from sdl._measure_stationarity import (
    Factors,
    label_residual,
    prox,
    stationarity,
    unit_atoms,
)
from sdl.block_head import solve_head
from sdl.box import minimise_in_box
from sdl.formulation import BOUNDS, PENALTIES, Formulation
from sdl.hals import Sweeps
from sdl.polish import can_polish, polish

Array = NDArray[np.float64]

# Sweeps over the codes, and quasi-Newton steps on the atoms, in an iteration (measured
# on images: more steps lower F no faster).
CODE_SWEEPS = 2
ATOM_STEPS = 3
# Newton steps of the head in an iteration.
HEAD_STEPS = 3
# Proximal gradient steps on atoms with a bound or a nonsmooth penalty.
PROX_STEPS = 5
# An iteration that lowers the objective by less than this share counts as idle.
IDLE, PATIENCE = 1e-12, 3


@dataclasses.dataclass
class Radius:
    """Diminishing radius ``c (t + 1)^-b / log(t + 2)`` of a step; c = inf is none."""

    c: float = math.inf
    b: float = 0.6

    def shorten(self, old: Array, new: Array, t: int) -> Array:
        """Return the point of the segment from old to new that the radius allows."""
        if math.isinf(self.c):
            return new
        length = float(np.linalg.norm(new - old))
        radius = self.c * (t + 1.0) ** -self.b / math.log(t + 2.0)
        return old + min(1.0, radius / max(length, 1e-300)) * (new - old)


class Blocks:
    """Factors and the products that the next steps need."""

    def __init__(
        self,
        form: Formulation,
        factors: dict[str, Array],
        radius: Radius,
        batch_size: int | None,
        rng: np.random.Generator,
        frozen: bool = False,
    ) -> None:
        self.form, self.task, self.radius = form, form.task, radius
        self.batch_size, self.rng, self.frozen = batch_size, rng, frozen
        self.W, self.H = prepare(factors["W"]).copy(), prepare(factors["H"]).copy()
        self.beta, self.Gamma = factors["beta"].copy(), factors["Gamma"].copy()
        self.X = self._filled()
        self.square = self._square()
        self.rescalable = not any(form.value(name) for name in (*BOUNDS, *PENALTIES))
        whole = batch_size is None and math.isinf(radius.c) and not frozen
        self.polished = whole and self.task.mask is None and can_polish(form)
        self.scale = 1.0 + zero_objective(self.task)
        self.nit, self.idle = 0, 0
        self.kkt, self.tau, self.lower = math.nan, math.nan, -math.inf
        self.mapping = math.nan
        self.fall = math.inf
        self.XW = np.asarray(self.X @ self.W)
        self.objective = self.value(self.W, self.H, self.beta, self.Gamma, self.XW)

    # What the driver asks for.

    check_every = 10  # iterations between two first-order residuals
    slow = 1e-4  # relative decrease from which all blocks are stepped at once too

    @property
    def gap(self) -> float:
        """The value of the certificate: the first-order residual."""
        return self.kkt

    def met(self, tol: float) -> bool:
        """Whether decrease and first-order residual are both small enough."""
        if not self.fall <= tol * abs(self.objective):
            return False
        self.bound()
        return self.kkt <= tol * self.scale

    def bound(self) -> None:
        """Evaluate the first-order residual, as the certificate will."""
        factors = Factors(self.W, self.H, self.beta, self.Gamma, self.form.constrained)
        self.kkt = stationarity(self.task, factors, self.form.parameters)
        self.mapping = self.kkt

    def factors(self) -> dict[str, Array]:
        """Return the factors, atoms of norm 1 where F does not mind."""
        W, H, beta = self.W, self.H, self.beta
        if self.rescalable and not self.frozen:
            W, H, beta = unit_atoms(self.task.model, W, H, beta)
        factors = {"W": W, "H": H, "beta": beta, "Gamma": self.Gamma}
        return {name: factor.copy() for name, factor in factors.items()}

    def state(self) -> dict[str, Any]:
        """Return what is needed to continue."""
        return {
            "W": self.W, "H": self.H, "beta": self.beta, "Gamma": self.Gamma,
            "nit": self.nit, "idle": self.idle, "fall": self.fall, "XW": self.XW,
            "generator": pack_generator(self.rng),
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a saved state, bit for bit."""
        self.nit, self.idle = int(state["nit"]), int(state["idle"])
        self.fall, self.XW = float(state["fall"]), state["XW"]
        self.rng = unpack_generator(state["generator"])
        self.objective = self.value(self.W, self.H, self.beta, self.Gamma, self.XW)

    # One iteration.

    def advance(self) -> bool:
        """Update codes, atoms and the head once; False when nothing moves any more."""
        before = self.objective
        if not self.frozen:
            self._revive()
            self._step("H", self._new_codes())
            self._normalise()
            self._update_atoms()
        self._update_head()
        if self._slow:
            self._polish()
        if self.task.mask is not None:
            self.X = self._filled()
            self.square = self._square()
            self.XW = np.asarray(self.X @ self.W)
            self.objective = self.value(self.W, self.H, self.beta, self.Gamma, self.XW)
        self.fall = before - self.objective
        self.idle = self.idle + 1 if self.fall <= IDLE * abs(before) else 0
        self.nit += 1
        return self.idle < PATIENCE

    @property
    def _slow(self) -> bool:
        """Whether it is time for steps on all blocks at once."""
        return self.polished and self.fall <= self.slow * self.objective

    def _polish(self) -> None:
        point = {"W": self.W, "H": self.H, "beta": self.beta, "Gamma": self.Gamma}
        x = polish(self.form, point)
        XW = np.asarray(self.X @ x["W"])
        value = self.value(x["W"], x["H"], x["beta"], x["Gamma"], XW)
        if value <= self.objective:
            self._take(x, XW, value)

    def _take(self, x: dict[str, Array], XW: Array, value: float) -> None:
        """Move to factors whose products and value are known."""
        self.W, self.H, self.XW = prepare(x["W"]), prepare(x["H"]), XW
        self.beta, self.Gamma, self.objective = x["beta"], x["Gamma"], value

    def _step(self, name: str, new: Array) -> bool:
        """Take a new W or H, shortened by the radius, if it lowers the objective."""
        new = self.radius.shorten(getattr(self, name), new, self.nit)
        parts = {"W": self.W, "H": self.H, name: new}
        XW = np.asarray(self.X @ new) if name == "W" else self.XW
        value = self.value(parts["W"], parts["H"], self.beta, self.Gamma, XW)
        if not value <= self.objective:
            return False
        setattr(self, name, prepare(new))
        self.XW, self.objective = XW, value
        return True

    def _new_codes(self) -> Array:
        """Minimise a majoriser of F over the codes by coordinate sweeps."""
        task, form = self.task, self.form
        T = self.W.T @ self.W
        a = 2.0 * task.xi * task.v
        L, C, b = a[:, None] * self.XW, None, None
        if task.model == "feature":
            curvature = 0.25 if task.Y.shape[1] == 1 else 0.5
            A = self.H @ self.beta
            R = label_residual(task, A + task.Z @ self.Gamma)
            bent = curvature * task.omega
            L = L + (bent[:, None] * A - R) @ self.beta.T
            C, b = self.beta @ self.beta.T, bent + task.nu * task.v
        nonnegative, limit = "H" in form.signs, form.value("max_code_norm")
        rows = slice(None)
        if self.batch_size is not None and self.batch_size < len(self.H):
            rows = np.sort(self.rng.choice(len(self.H), self.batch_size, replace=False))
        new = self.H.copy()
        part = prepare(new[rows])
        if limit:
            part = self._codes_in_balls(part, L[rows], T, a[rows], C, b, rows, limit)
        else:
            sweeps = Sweeps(
                T, a[rows], C, None if b is None else b[rows],
                form.value("l1_H"), form.value("l2_H"), nonnegative,
            )  # fmt: skip
            sweeps(part, L[rows], CODE_SWEEPS)
        new[rows] = part
        return new

    def _codes_in_balls(
        self,
        H: Array,
        L: Array,
        T: Array,
        a: Array,
        C: Array | None,
        b: Array | None,
        rows: Any,
        limit: float,
    ) -> Array:
        """Proximal gradient steps with the Lipschitz constant of each row."""
        form = self.form
        curvature = a * float(np.linalg.eigvalsh(T)[-1]) + form.value("l2_H")
        if C is not None and b is not None:
            curvature = curvature + b[rows] * float(np.linalg.eigvalsh(C)[-1])
        step = 1.0 / np.maximum(curvature, 1e-300)[:, None]
        for _ in range(PROX_STEPS):
            slope = a[:, None] * (H @ T) - L + form.value("l2_H") * H
            if C is not None and b is not None:
                slope = slope + b[rows][:, None] * (H @ C)
            moved = H - step * slope
            l1 = step * form.value("l1_H")
            if "H" in form.signs:
                moved = np.maximum(moved - l1, 0.0)
            else:
                moved = np.sign(moved) * np.maximum(np.abs(moved) - l1, 0.0)
            H = prox(moved, l1=0.0, nonnegative=False, radius=limit, axis=1)
        return H

    def _normalise(self) -> None:
        if self.rescalable:
            norms = np.linalg.norm(self.W, axis=0)
            self.W, self.H, self.beta = unit_atoms(
                self.task.model, self.W, self.H, self.beta
            )
            self.XW = self.XW / np.where(norms > 0, norms, 1.0)
            self.W, self.H = prepare(self.W), prepare(self.H)

    def _update_atoms(self) -> None:
        task, form = self.task, self.form
        weighted = task.v[:, None] * self.H
        XtH, S = np.asarray(self.X.T @ weighted), self.H.T @ weighted
        smooth = not form.value("l1_W") or "W" in form.signs
        if form.value("max_atom_norm") or not smooth:
            self._atoms_by_prox(XtH, S)
        elif task.model == "feature":
            new = self.W.copy()
            Sweeps(
                2.0 * task.xi * S, np.ones(len(new)), l1=form.value("l1_W"),
                l2=form.value("l2_W"), nonnegative="W" in form.signs,
            )(new, 2.0 * task.xi * XtH, CODE_SWEEPS)  # fmt: skip
            self._step("W", new)
        else:
            self._atoms_by_lbfgs(XtH, S)

    def _atoms_by_lbfgs(self, XtH: Array, S: Array) -> None:
        """Bound-constrained L-BFGS on atoms and head together, atoms scaled."""
        task, form = self.task, self.form
        curvature = 2.0 * task.xi * np.diag(S) + form.value("l2_W")
        scale = 1.0 / np.sqrt(np.maximum(curvature, 1e-12 * curvature.max(initial=1.0)))
        p, r = self.W.shape
        K = self.beta.shape[1]
        limited = bool(form.value("max_coef_norm"))
        l1, l2 = form.value("l1_W"), form.value("l2_W")

        def unpack(theta: Array) -> tuple[Array, Array, Array]:
            W = theta[: p * r].reshape(p, r) * scale
            if limited:  # the head keeps its own bound
                return W, self.beta, self.Gamma
            beta = theta[p * r : p * r + r * K].reshape(r, K)
            return W, beta, theta[p * r + r * K :].reshape(-1, K)

        def value_and_slope(theta: Array) -> tuple[float, Array]:
            W, beta, Gamma = unpack(theta)
            A, WS = W @ beta, W @ S
            D = np.asarray(task.X @ A) + task.Z @ Gamma
            R = label_residual(task, D)
            slope_A = np.asarray(task.X.T @ R) + task.nu * A
            ridge = np.where(task.penalised[:, None], task.nu_c * Gamma, 0.0)
            f = float(task.omega @ label_losses(D, task.Y))
            f += 0.5 * task.nu * float(np.sum(A * A))
            f += task.xi * float(np.sum(W * (WS - 2.0 * XtH)))
            f += 0.5 * float(np.sum(ridge * Gamma))
            f += l1 * float(np.sum(W)) + 0.5 * l2 * float(np.sum(W * W))
            f += 0.5 * form.value("l2_beta") * float(np.sum(beta * beta))
            slope = 2.0 * task.xi * (WS - XtH) + slope_A @ beta.T + l1 + l2 * W
            parts = [(slope * scale).ravel()]
            if not limited:
                parts.append((W.T @ slope_A + form.value("l2_beta") * beta).ravel())
                parts.append((task.Z.T @ R + ridge).ravel())
            return f, np.concatenate(parts)

        start = [(self.W / scale).ravel()]
        if not limited:
            start += [self.beta.ravel(), self.Gamma.ravel()]
        theta = np.concatenate(start)
        positive = np.zeros(len(theta), dtype=bool)
        positive[: p * r] = "W" in form.signs
        found = minimise_in_box(value_and_slope, theta, positive, steps=ATOM_STEPS)
        W, beta, Gamma = unpack(found)
        W = self.radius.shorten(self.W, np.ascontiguousarray(W), self.nit)
        beta = self.radius.shorten(self.beta, beta, self.nit)
        Gamma = self.radius.shorten(self.Gamma, Gamma, self.nit)
        XW = np.asarray(self.X @ W)
        value = self.value(W, self.H, beta, Gamma, XW)
        if value <= self.objective:
            self.W, self.beta, self.Gamma = prepare(W), beta.copy(), Gamma.copy()
            self.XW, self.objective = XW, value

    def _atoms_by_prox(self, XtH: Array, S: Array) -> None:
        """Proximal gradient steps with backtracking, for balls and soft thresholds."""
        task, form = self.task, self.form
        step = 1.0 / (2.0 * task.xi * float(np.linalg.eigvalsh(S)[-1]) + 1e-300)
        for _ in range(PROX_STEPS):
            slope = 2.0 * task.xi * (self.W @ S - XtH) + form.value("l2_W") * self.W
            if task.model == "filter":
                A = self.W @ self.beta
                D = self.XW @ self.beta + task.Z @ self.Gamma
                pull = np.asarray(task.X.T @ label_residual(task, D))
                slope = slope + (pull + task.nu * A) @ self.beta.T
            for _ in range(30):
                new = prox(
                    self.W - step * slope,
                    l1=step * form.value("l1_W"),
                    nonnegative="W" in form.signs,
                    radius=form.value("max_atom_norm"),
                    axis=0,
                )
                if self._step("W", new):
                    break
                step *= 0.4

    def _update_head(self) -> None:
        task, form = self.task, self.form
        if task.model == "filter":
            F, S = self.XW, self.W.T @ self.W
            if task.mask is None and self.frozen:
                F = np.asarray(task.X @ self.W)
        else:
            F, S = self.H, self.H.T @ (task.v[:, None] * self.H)
        beta, Gamma = solve_head(
            task, F, S, self.beta, self.Gamma, l2=form.value("l2_beta"),
            limit=form.value("max_coef_norm"), steps=HEAD_STEPS,
        )  # fmt: skip
        beta = self.radius.shorten(self.beta, beta, self.nit)
        Gamma = self.radius.shorten(self.Gamma, Gamma, self.nit)
        value = self.value(self.W, self.H, beta, Gamma, self.XW)
        if value <= self.objective:
            self.beta, self.Gamma, self.objective = beta, Gamma, value

    def _revive(self) -> None:
        """Seed a dead atom with the row of the largest residual; F stays the same."""
        dead = np.flatnonzero(
            (np.linalg.norm(self.W, axis=0) == 0)
            | (np.linalg.norm(self.H, axis=0) == 0)
        )
        if not len(dead):
            return
        products = np.sum(self.H * self.XW, axis=1)
        energy = np.sum((self.H @ (self.W.T @ self.W)) * self.H, axis=1)
        X = self.X
        squares = X.multiply(X).sum(axis=1) if sparse.issparse(X) else np.sum(X * X, 1)
        left = np.asarray(squares).ravel() - 2.0 * products + energy
        worst = np.argsort(-left)[: len(dead)]
        for j, i in zip(dead, worst, strict=False):
            row = X[[i]].toarray()[0] if sparse.issparse(X) else X[i]
            row = row - self.W @ self.H[i]
            atom = np.maximum(row, 0.0) if "W" in self.form.signs else row
            size = float(np.linalg.norm(atom))
            if size == 0.0:
                continue
            if limit := self.form.value("max_atom_norm"):
                size = max(size, size / limit)
            self.W[:, j], self.H[:, j], self.beta[j] = atom / size, 0.0, 0.0
        self.XW = np.asarray(X @ self.W)
        self.objective = self.value(self.W, self.H, self.beta, self.Gamma, self.XW)

    # The objective.

    def value(self, W: Array, H: Array, beta: Array, Gamma: Array, XW: Array) -> float:
        """Return F from ``XW``, through Gram identities."""
        task, form = self.task, self.form
        loss, recon = self._losses(W, H, beta, Gamma, XW)
        if task.model == "filter":
            A, weight = W @ beta, np.ones(1)
        else:
            A, weight = H @ beta, task.v[:, None]
        total = loss + task.xi * recon
        total += 0.5 * task.nu * float(np.sum(weight * A * A))
        total += 0.5 * task.nu_c * float(np.sum(Gamma[task.penalised] ** 2))
        return total + Factors(W, H, beta, Gamma).penalty(form.parameters)

    def _losses(
        self, W: Array, H: Array, beta: Array, Gamma: Array, XW: Array
    ) -> tuple[float, float]:
        """Return the label loss and ``sum_i v_i |x_i - W h_i|^2``."""
        task = self.task
        D = (XW if task.model == "filter" else H) @ beta + task.Z @ Gamma
        weighted = task.v[:, None] * H
        recon = self.square - 2.0 * float(np.sum(weighted * XW))
        recon += float(np.sum((weighted.T @ H) * (W.T @ W)))
        return float(task.omega @ label_losses(D, task.Y)), recon

    def parts(self) -> tuple[float, float]:
        """Return the label loss and the relative reconstruction error."""
        square = self.task.square
        loss, recon = self._losses(self.W, self.H, self.beta, self.Gamma, self.XW)
        return loss, max(recon, 0.0) / square if square else 0.0

    def _filled(self) -> Any:
        if self.task.mask is None:
            return self.task.X
        return np.where(self.task.mask, self.H @ self.W.T, self.task.X)

    def _square(self) -> float:
        if self.task.mask is None:
            return self.task.square
        return float(np.sum(self.task.v[:, None] * self.X**2))
