"""The block method where every block is a coordinate descent over Gram matrices.

It takes over from :class:`sdl.blocks.Blocks` wherever no ball, radius, batch or missing
entry asks for more: codes and atoms are swept coordinate by coordinate in compiled
loops, the head takes a Newton step, and X is multiplied twice in an iteration. Arrays
hold one row per atom and are updated in place.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from farkas.kernels import prepare
from sdl._kernels import (
    atom_moments,
    atom_sweeps,
    code_moments,
    hals_sweeps,
    newton_head,
)
from sdl.blocks import IDLE, PATIENCE, Blocks
from sdl.formulation import BOUNDS, PENALTIES, Formulation

Array = NDArray[np.float64]

# An iteration sweeps codes and atoms once for every so many features that an atom has,
# and at most so often, to go with what its two products with X cost (measured on digits
# and images: F falls fastest per second).
SHARE, MOST_SWEEPS = 12, 3
# Newton steps of the head in an iteration.
HEAD_STEPS = 1
# Up to this many features the filter model keeps its weighted Gram matrix.
GRAM_FEATURES = 2000
# The curvature of the labels' loss is taken as a share of its bound, which shrinks
# while sweeps lower the objective and grows when one does not.
FIRST_BEND, LEAST_BEND, LESS, MORE = 0.05, 1e-4, 0.9, 4.0
# Entries up to which X is kept in the other order too: BLAS is slow at turning them.
SMALL = 2**18
# An objective that rises by less than this share is rounding.
ROUNDING = 1e-14
# Iterations between two looks at the norms of atoms, and squared norms that may stay.
LOOK, DRIFT = 20, 16.0


def has_coordinates(form: Formulation) -> bool:
    """Tell whether every block of a problem can be swept."""
    if form.task.mask is not None or any(form.value(name) for name in BOUNDS):
        return False
    return form.task.model == "feature" or form.task.X.shape[1] <= GRAM_FEATURES


class CoordinateBlocks(Blocks):
    """Factors as rows of contiguous arrays, and the products of the last iteration."""

    check_every = 50
    slow = 1e-5

    def __init__(
        self, form: Formulation, factors: dict[str, Array], *rest: Any
    ) -> None:
        super().__init__(form, factors, *rest)
        task, (r, K) = self.task, self.beta.shape
        n, p = task.X.shape
        self.filter = task.model == "filter"
        self.sweeps = min(max(p // (SHARE * r), 1), MOST_SWEEPS)
        self.Y, self.v, self.omega = map(prepare, (task.Y.T, task.v, task.omega))
        self.features = np.empty((r + task.Z.shape[1], n))
        self.features[r:] = task.Z.T
        self.theta, self.P = np.concatenate([self.beta, self.Gamma]), np.zeros((K, n))
        self.atoms, self.codes = self.W.T.copy("C"), self.H.T.copy("C")
        self.products = self.XW.T.copy("C")
        # What the head sees is one array: products or codes, then the covariates.
        seen = self.features[:r]
        if self.filter:
            seen[:], self.products = self.products, seen
        else:
            seen[:], self.codes = self.codes, seen
        # The names of the general method are views of these arrays.
        self.W, self.H, self.XW = self.atoms.T, self.codes.T, self.products.T
        self.beta, self.Gamma = self.theta[:r], self.theta[r:]
        self.rows, self.pulled = np.empty((r + K, n)), np.empty((r + K, p))
        self.T, self.S = np.empty((r, r)), np.empty((r, r))
        self.linear, self.a, self.ones = (
            np.empty((r, n)),
            2.0 * task.xi * self.v,
            np.ones(n),
        )
        self.signs = form.signs
        self.penalty = {name: form.value(name) for name in PENALTIES}
        self.penalised = any(self.penalty.values())
        self.ridge = np.zeros((len(self.theta), len(self.theta)))
        self.ridge[r:, r:] = np.diag(np.where(task.penalised, task.nu_c, 0.0))
        self.curvature = 0.25 if K == 1 else 0.5
        self.bend = FIRST_BEND * self.curvature
        self.gram = _gram(task.X, self.omega) if self.filter else np.empty((0, 0))
        self.turned = task.X.T
        if task.X.size <= SMALL and not sparse.issparse(task.X):
            self.turned = prepare(task.X.T)
        self._settle()

    # One iteration.

    def advance(self) -> bool:
        """Sweep over codes and atoms, step the head; False when nothing moves."""
        before = self.objective
        self._sweep_codes()
        self._sweep_atoms()
        self.fall = before - self.objective
        if self._slow:
            self._polish()
            self.fall = before - self.objective
        if self.nit % LOOK == 0:
            self._normalise()
            self._revive()
        self.idle = self.idle + 1 if self.fall <= IDLE * abs(before) else 0
        self.nit += 1
        return self.idle < PATIENCE

    def _sweep_codes(self) -> None:
        """Minimise over the codes, the labels' loss majorised in the scores."""
        C, b, L, a = self.T, self.ones[:0], self.products, self.ones
        if self.penalised or not self.filter:  # the weight of a row matters
            L, a = np.multiply(self.products, self.a, out=self.linear), self.a
        if not self.filter:
            bent = self.curvature * self.omega
            A, R = self.beta.T @ self.codes, self.omega * (self.P - self.Y)
            self.linear += self.beta @ (bent * A - R)
            C, b = self.beta @ self.beta.T, bent + self.task.nu * self.v
        hals_sweeps(  # type: ignore[no-untyped-call]
            self.codes, L, self.T, a, C, b, self.penalty["l1_H"], self.penalty["l2_H"],
            "H" in self.signs, self.sweeps,
        )  # fmt: skip
        self._moments()
        _dot(self.rows, self.task.X, self.pulled)

    def _sweep_atoms(self) -> None:
        """Minimise over the atoms and step the head, or take the atoms back."""
        task, penalty, r = self.task, self.penalty, len(self.atoms)
        limit, kept = math.inf, None
        if self.filter:
            limit, kept = self.head + self._rest(), self.atoms.copy()
            limit += ROUNDING * abs(limit)
        atom_sweeps(  # type: ignore[no-untyped-call]
            self.atoms, self.pulled[:r], self.pulled[r:], self.S, self.gram, self.beta,
            task.xi, task.nu, self.bend, penalty["l1_W"], penalty["l2_W"],
            "W" in self.signs, self.sweeps,
        )  # fmt: skip
        rest = self._rest()
        _dot(self.atoms, self.turned, self.products)
        if self._step_head(limit - rest):
            self.bend = max(LESS * self.bend, LEAST_BEND * self.curvature)
        else:  # the next sweep takes more of the curvature
            self.bend = min(MORE * self.bend, self.curvature)
            self.atoms[:] = kept
            rest = self._rest()
            _dot(self.atoms, self.turned, self.products)
            self._step_head(math.inf)
        self.objective = self.head + rest

    def _step_head(self, limit: float, steps: int = HEAD_STEPS) -> bool:
        """Take Newton steps unless their start lies above a limit."""
        r, l2 = len(self.atoms), self.penalty["l2_beta"]
        np.multiply(
            self.T if self.filter else self.S, self.task.nu, out=self.ridge[:r, :r]
        )
        if l2:
            self.ridge[:r, :r] += l2 * np.eye(r)
        value, loss = newton_head(  # type: ignore[no-untyped-call]
            self.features, self.theta, self.ridge, self.Y, self.omega, self.P, limit,
            steps,
        )  # fmt: skip
        if value == math.inf:
            return False
        self.head, self.label_loss = float(value), float(loss)
        return True

    def _rest(self) -> float:
        """Return what the head does not see of F; the atoms' Gram matrix is renewed."""
        self.error = (
            self.square
            + atom_moments(  # type: ignore[no-untyped-call]
                self.atoms, self.pulled[: len(self.atoms)], self.S, self.T
            )
        )
        total = self.task.xi * self.error
        if self.penalised:
            for name, block in (("W", self.atoms), ("H", self.codes)):
                total += self.penalty[f"l1_{name}"] * np.abs(block).sum()
                total += 0.5 * self.penalty[f"l2_{name}"] * np.vdot(block, block)
        return float(total)

    def parts(self) -> tuple[float, float]:
        """Return the label loss and the relative reconstruction error."""
        return self.label_loss, self.error / self.square if self.square else 0.0

    def _moments(self) -> None:
        code_moments(  # type: ignore[no-untyped-call]
            self.codes, self.v, self.P, self.Y, self.omega, self.S, self.rows
        )

    # Now and then.

    def _settle(self) -> None:
        """Recompute everything that follows from the factors and ``X W``."""
        self._moments()
        _dot(self.rows, self.task.X, self.pulled)
        rest = self._rest()
        self._step_head(math.inf, steps=0)
        self.objective = self.head + rest

    def _take(self, x: dict[str, Array], XW: Array, value: float) -> None:
        self.W[:], self.H[:], self.XW[:] = x["W"], x["H"], XW
        self.beta[:], self.Gamma[:] = x["beta"], x["Gamma"]
        self._settle()

    def _normalise(self) -> None:
        square = self.T.diagonal()
        within = square.max() <= DRIFT and square.min() * DRIFT >= 1.0
        if within or not self.rescalable:
            return
        norms = np.sqrt(np.where(square > 0, square, 1.0))
        self.atoms /= norms[:, None]
        self.products /= norms[:, None]
        self.codes *= norms[:, None]
        self.beta *= norms[:, None] if self.filter else 1.0 / norms[:, None]
        self._settle()

    def _revive(self) -> None:
        if self.T.diagonal().all() and self.S.diagonal().all():
            return
        super()._revive()
        self.products[:] = self.XW.T
        self.XW = self.products.T
        self._settle()

    def state(self) -> dict[str, Any]:
        """Return what is needed to continue."""
        state = {name: np.array(part) for name, part in super().state().items()}
        return {
            **state, "P": self.P.copy(), "bend": self.bend, "head": self.head,
            "objective": self.objective,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a saved state, bit for bit."""
        super().restore(state)
        self.products[:] = self.XW.T
        self.XW, self.bend = self.products.T, float(state["bend"])
        self._settle()
        self.P[:], self.head = state["P"], float(state["head"])
        self.objective = float(state["objective"])


def _dot(A: Array, X: Any, out: Array) -> None:
    """Write ``A X`` for few rows A, the order in which BLAS and CSR are fast."""
    if sparse.issparse(X):
        out[:] = (X.T @ A.T).T
    else:
        np.dot(A, X, out=out)


def _gram(X: Any, omega: Array) -> Array:
    """Return ``X' Omega X``."""
    if sparse.issparse(X):
        return prepare((X.T @ (sparse.diags_array(omega) @ X)).toarray())
    return prepare((X.T * omega) @ X)
