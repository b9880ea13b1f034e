"""The parameters of a consensus-based method, checked once."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dfo.cbo.dynamics.boundary import BOUNDARIES
from dfo.cbo.dynamics.consensus import AlphaSchedule
from dfo.cbo.dynamics.update import NOISES
from farkas.base import check_choice, check_number

WEIGHTS = ("gibbs", "rank", "best")
CORRECTIONS = (None, "heaviside", "smooth")

# Measured on shifted functions at d = 4, 10, 20 with 2000 d evaluations: lam dt = 0.9,
# sigma sqrt(dt) = 1.4 and twelve effective particles for anisotropic noise. Isotropic
# noise would diverge there; it gets the mean square factor (1 - 0.9)^2 + 0.64 = 0.65.
ANISOTROPIC_SIGMA = 4.4
ISOTROPIC_NOISE = 0.64
LARGEST_ESS, ESS_SHARE = 12.0, 0.15

# Settings of papers: arXiv:2103.15130 (theory), arXiv:2111.08136 (paper) and
# arXiv:1909.09249 (carrillo).
PRESETS: dict[str, dict[str, Any]] = {
    "theory": {
        "dt": 0.01,
        "lam": 1.0,
        "sigma": 0.32,
        "alpha": 1e15,
        "noise": "isotropic",
        "cooling": 1.0,
    },
    "paper": {
        "dt": 0.01,
        "lam": 1.0,
        "sigma": math.sqrt(1.6),
        "alpha": 100.0,
        "noise": "anisotropic",
        "cooling": 1.0,
    },
    "carrillo": {
        "dt": 0.01,
        "lam": 1.0,
        "sigma": 5.1,
        "alpha": 30.0,
        "noise": "anisotropic",
        "batch_update": "partial",
        "cooling": 1.0,
    },
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Parameters of a swarm; :func:`dfo.minimize_cbo` documents each of them."""

    n_particles: int | None = None
    lam: float = 9.0
    sigma: float | None = None
    dt: float = 0.1
    noise: str = "anisotropic"
    alpha: Any = "adaptive"
    ess: float | None = None
    weights: str = "gibbs"
    memory: bool = False
    lam_memory: float = 0.0
    sigma_memory: float | None = None
    beta: float = math.inf
    lam_grad: float = 0.0
    jac: Callable[..., Any] | None = None
    truncation: Any = None
    correction: str | None = None
    delta: float = 0.0
    exact: bool = False
    inertia: float = 0.0
    noise_after_drift: bool = False
    batch_size: int | None = None
    batch_update: str = "full"
    stagnation_tol: float | None = None
    cooling: float = 0.995
    cooling_floor: float = 0.3
    boundary: str | None = "resample"
    xtol: float = 1e-9
    ftol: float = 1e-12
    patience: int = 200
    preset: str | None = None

    def __post_init__(self) -> None:
        if self.preset is not None:
            check_choice("preset", self.preset, tuple(PRESETS))
            for name, value in PRESETS[self.preset].items():
                object.__setattr__(self, name, value)
        check_choice("noise", self.noise, NOISES)
        check_choice("weights", self.weights, WEIGHTS)
        check_choice("batch_update", self.batch_update, ("full", "partial"))
        check_choice("correction", self.correction, CORRECTIONS)
        check_choice("boundary", self.boundary, BOUNDARIES)
        if self.n_particles is not None:
            check_number("n_particles", self.n_particles, low=2, integer=True)
        if self.batch_size is not None:
            check_number("batch_size", self.batch_size, low=2, integer=True)
        check_number("patience", self.patience, low=1, integer=True)
        check_number("dt", self.dt, low=0, inclusive="neither")
        check_number("inertia", self.inertia, low=0, high=1, inclusive="left")
        check_number("cooling", self.cooling, low=0, high=1, inclusive="right")
        check_number("cooling_floor", self.cooling_floor, low=0, high=1)
        for name in ("lam", "lam_memory", "lam_grad", "delta", "xtol", "ftol"):
            check_number(name, getattr(self, name), low=0)
        for name in ("sigma", "sigma_memory", "stagnation_tol"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), low=0)
        if not (isinstance(self.beta, int | float) and self.beta > 0):
            raise ValueError(f"beta={self.beta!r} must be > 0, or inf.")
        if self.ess is not None and not self.ess > 1:
            raise ValueError(
                f"ess={self.ess!r} must lie between 1 and the number of particles."
            )
        self._check_alpha()
        self._check_combinations()

    def _check_alpha(self) -> None:
        if isinstance(self.alpha, AlphaSchedule) or self.alpha == "adaptive":
            return
        if isinstance(self.alpha, str | bool) or not isinstance(
            self.alpha, int | float | np.number
        ):
            raise ValueError(
                f"alpha={self.alpha!r} must be a number >= 0, 'adaptive' or an "
                "AlphaSchedule."
            )
        if not self.alpha >= 0:
            raise ValueError(f"alpha={self.alpha!r} must be >= 0, or inf.")

    def _check_combinations(self) -> None:
        if self.exact and (self.noise != "anisotropic" or self.truncation is not None):
            raise ValueError(
                "exact=True needs noise='anisotropic' and truncation=None."
            )
        if (self.lam_memory > 0 or self.sigma_memory) and not self.memory:
            raise ValueError("lam_memory and sigma_memory need memory=True.")
        if self.inertia > 0 and not self.memory:
            raise ValueError("inertia > 0 (particle swarm) needs memory=True.")
        if self.inertia > 0 and self.exact:
            raise ValueError("inertia > 0 has no exact step; use exact=False.")
        if self.batch_size is not None and (self.memory or self.inertia > 0):
            raise ValueError("batch_size needs memory=False.")

    def sigma_for(self, dimension: int) -> float:
        """Return sigma, or its default for the noise and the dimension."""
        if self.sigma is not None:
            return float(self.sigma)
        if self.noise == "anisotropic":
            return ANISOTROPIC_SIGMA * math.sqrt(0.1 / self.dt)
        return math.sqrt(ISOTROPIC_NOISE / (dimension * self.dt))

    def ess_for(self, n_particles: int) -> float:
        """Return the effective sample size, or its default for a population."""
        if self.ess is not None:
            return float(self.ess)
        share = max(2.0, ESS_SHARE * n_particles)
        return min(LARGEST_ESS, share, 0.5 * (1 + n_particles))

    def memory_sigma(self, sigma: float) -> float:
        """Return the noise strength of the memory's drift."""
        if self.sigma_memory is not None:
            return float(self.sigma_memory)
        return self.lam_memory * sigma

    @property
    def truncated_at(self) -> tuple[float, Any, float]:
        """Largest distance, and center and radius of the ball of the drift's aim."""
        if self.truncation is None:
            return math.inf, None, math.inf
        if isinstance(self.truncation, int | float | np.number):
            return float(self.truncation), None, math.inf
        largest, center, radius = self.truncation
        return float(largest), center, float(radius)


def settings_from(options: dict[str, Any]) -> Settings:
    """Return the settings of keyword options; an unknown name is an error.

    Parameters
    ----------
    options : dict
        Names and values.

    Returns
    -------
    Settings

    Raises
    ------
    ValueError
        If a name is unknown or a value is out of range.
    """
    known = {field.name for field in dataclasses.fields(Settings)}
    if unknown := sorted(set(options) - known):
        raise ValueError(
            f"unknown parameter {unknown[0]!r}; choose among "
            f"{', '.join(sorted(known))}."
        )
    return Settings(**options)
