"""The convex program of a two-layer network as validated data, and its controls."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexnn._measure_cells import lengths
from convexnn._measure_losses import LOSSES
from convexnn.patterns import PatternSet, as_matrix
from convexnn.scale.normal import U_UPDATES

Array = NDArray[np.float64]

# Lengths of rows: below, numbers lose digits; above, sums of products overflow.
SHORTEST, LONGEST = 1e-290, 1e300


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """A validated program: data, patterns and penalty."""

    X: Array  # (n, d)
    y: Array  # (n,)
    patterns: PatternSet
    alpha: float
    loss: str
    activation: str

    def __post_init__(self) -> None:
        check_rows(self.X)
        with np.errstate(over="ignore"):
            at_zero = LOSSES[self.loss].value(np.zeros_like(self.y), self.y).sum()
        if not np.isfinite(at_zero):
            raise ValueError(f"y is too large: its loss {self.loss!r} overflows.")

    @classmethod
    def validated(
        cls,
        X: ArrayLike,
        y: ArrayLike,
        patterns: "ArrayLike | PatternSet",
        alpha: float,
        loss: str,
        activation: str,
    ) -> "Program":
        """Check the arguments that the solver functions share."""
        X = as_matrix(X)
        if loss not in LOSSES:
            raise ValueError(f"loss={loss!r} must be one of {sorted(LOSSES)}.")
        y = np.asarray(y, dtype=np.float64)
        if y.shape != (len(X),):
            raise ValueError(f"y must have shape ({len(X)},), got {y.shape}.")
        if not np.isfinite(y).all():
            raise ValueError("y must not contain NaN or infinity.")
        if LOSSES[loss].labels and not np.isin(y, (-1.0, 1.0)).all():
            raise ValueError(f"y must be -1 or +1 for loss={loss!r}.")
        check_alpha(alpha, activation, loss)
        return cls(X, y, as_patterns(patterns, X), float(alpha), loss, activation)

    @property
    def scope(self) -> str:
        """What the lower bound covers."""
        complete = self.patterns.complete and self.activation == "relu"
        return "global" if complete else "patterns"

    def parameters(self) -> dict[str, Any]:
        """Return what defines this program in a certificate."""
        return {
            "alpha": self.alpha,
            "loss": self.loss,
            "activation": self.activation,
            "scope": self.scope,
            "encoding": "none",
            "intercept": 0.0,
        }


@dataclasses.dataclass(frozen=True)
class Settings:
    """Validated controls of the driver."""

    tol: float = 1e-4
    max_iter: int = 5000
    max_time: float = math.inf
    rho: float | None = None
    callback: Callable[..., Any] | None = None
    history_every: int = 1
    verbose: int = 0
    name: str = "convexnn"
    solver: str = "admm"
    u_update: str = "auto"

    @classmethod
    def validated(
        cls,
        tol: float,
        max_iter: int,
        max_time: float | None,
        rho: float | str,
        callback: Callable[..., Any] | None,
        history_every: int,
        verbose: int,
        u_update: str = "auto",
    ) -> "Settings":
        """Check the controls that the solver functions share."""
        if not (_is_real(tol) and 0 <= tol < math.inf):
            raise ValueError(f"tol={tol!r} must be a number >= 0.")
        if not (isinstance(max_iter, int | np.integer) and max_iter >= 1):
            raise ValueError(f"max_iter={max_iter!r} must be an integer >= 1.")
        if max_time is not None and not (_is_real(max_time) and max_time > 0):
            raise ValueError(f"max_time={max_time!r} must be None or seconds > 0.")
        if rho != "auto" and not (_is_real(rho) and 0 < rho < math.inf):
            raise ValueError(f"rho={rho!r} must be 'auto' or a positive number.")
        if callback is not None and not callable(callback):
            raise ValueError(f"callback={callback!r} must be callable or None.")
        if u_update not in U_UPDATES:
            raise ValueError(f"u_update={u_update!r} must be one of {U_UPDATES}.")
        return cls(
            float(tol),
            int(max_iter),
            math.inf if max_time is None else float(max_time),
            None if rho == "auto" else float(rho),
            callback,
            history_every,
            verbose,
            u_update=u_update,
        )


def check_rows(X: Array) -> None:
    """Raise ValueError unless all rows have lengths whose digits survive a product."""
    with np.errstate(over="ignore"):
        sizes = lengths(X, axis=1)
    odd = np.flatnonzero((sizes > 0) & ~((sizes >= SHORTEST) & (sizes <= LONGEST)))
    if len(odd):
        raise ValueError(
            f"row {odd[0]} of X has length {sizes[odd[0]]:.3g}; it must be 0 or lie "
            f"between {SHORTEST:g} and {LONGEST:g}, so rescale X."
        )


def check_alpha(alpha: float, activation: str, loss: str) -> None:
    """Raise ValueError unless alpha is in range."""
    if not (_is_real(alpha) and 0 <= alpha < math.inf):
        raise ValueError(f"alpha={alpha!r} must be a finite number >= 0.")
    if alpha == 0 and (activation != "gated" or loss != "squared"):
        raise ValueError(
            "alpha=0 is allowed for the gated program with the squared loss only; "
            "use alpha > 0."
        )


def as_patterns(patterns: "ArrayLike | PatternSet", X: Array) -> PatternSet:
    """Return the patterns as a PatternSet that fits X, or raise ValueError."""
    if isinstance(patterns, PatternSet):
        if patterns.D.shape[:1] != (len(X),):
            raise ValueError(
                f"patterns have {len(patterns.D)} rows but X has {len(X)}; "
                "sample or enumerate them on the same X."
            )
        return patterns
    D = np.asarray(patterns)
    if D.ndim != 2 or D.shape[0] != len(X) or D.shape[1] < 1:
        raise ValueError(f"patterns must have shape ({len(X)}, P), got {D.shape}.")
    if D.dtype.kind not in "biuf" or not np.isin(D, (0, 1)).all():
        raise ValueError("patterns must hold 0 and 1 only.")
    return PatternSet(D.astype(bool), np.zeros((X.shape[1], D.shape[1])))


def check_start(x0: tuple[ArrayLike, ...], program: Program) -> tuple[Array, ...]:
    """Return the start as arrays that fit the program, or raise ValueError."""
    shape = (program.X.shape[1], len(program.patterns))
    parts = tuple(np.asarray(part, dtype=np.float64) for part in x0)
    expected = 2 if program.activation == "relu" else 1
    if len(parts) != expected or any(part.shape != shape for part in parts):
        raise ValueError(f"x0 must hold {expected} array(s) of shape {shape}.")
    if not all(np.isfinite(part).all() for part in parts):
        raise ValueError("x0 must not contain NaN or infinity.")
    return parts


def _is_real(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)
