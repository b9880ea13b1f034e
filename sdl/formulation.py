"""One problem instance: the user's data, validated once, and the numbers of F.

Solvers work on its ``task``; certificates are minted from its ``data``.
"""

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

import farkas
from farkas.base import check_choice, check_number
from farkas.certificate import Certificate, Parameter
from sdl._measure_data import MODELS, Problem, encode_labels, problem_of

Array = NDArray[np.float64]

PENALTIES = ("l1_H", "l1_W", "l2_H", "l2_W", "l2_beta")
BOUNDS = ("max_atom_norm", "max_code_norm", "max_coef_norm")
_SIGNS = {False: "", True: "WH", "W": "W", "H": "H"}


@dataclasses.dataclass(frozen=True)
class Formulation:
    """Data as the user passed them, parameters of F, and the problem built of both."""

    data: tuple[Any, ...]
    key: str
    parameters: dict[str, Parameter]
    arrays: dict[str, Array]  # witness arrays that belong to the problem
    task: Problem
    classes: NDArray[Any]  # sorted; classes[baseline] has no score of its own

    @property
    def constrained(self) -> bool:
        """Whether single factors are constrained or penalised."""
        return any(name in self.parameters for name in (*PENALTIES, *BOUNDS)) or (
            "nonnegative" in self.parameters
        )

    @property
    def signs(self) -> str:
        """Which factors are nonnegative: "", "W", "H" or "WH"."""
        return str(self.parameters.get("nonnegative", ""))

    def value(self, name: str) -> float:
        """Return a penalty or a bound, 0 where there is none."""
        return float(self.parameters.get(name, 0.0))

    def with_xi(self, xi: float) -> "Formulation":
        """Return the same problem with another weight of the reconstruction."""
        parameters = {**self.parameters, "xi": float(xi)}
        task = dataclasses.replace(self.task, xi=float(xi))
        return dataclasses.replace(self, parameters=parameters, task=task)

    def mint(
        self,
        factors: Mapping[str, Array],
        dual: Array | None,
        tolerance: float,
        *,
        local: bool = False,
        leading: Array | None = None,
    ) -> Certificate:
        """Certify factors, globally where the problem allows it.

        Parameters
        ----------
        factors : mapping
            ``W``, ``H``, ``beta`` and ``Gamma``.
        dual : ndarray of shape (n, K) or None
            Dual point.
        tolerance : float
            Of the certificate.
        local : bool, default=False
            Claim first-order stationarity only.
        leading : ndarray of shape (p, r + 1), optional
            Leading eigenvectors of the matrix of the dual bound, to save time.

        Returns
        -------
        Certificate
        """
        task = self.task
        open_ended = task.nu == 0 or self.constrained or task.mask is not None
        witness = {**self.arrays, **{name: factors[name] for name in _FACTORS}}
        witness["dual"] = np.zeros_like(task.Y) if dual is None else dual
        if leading is not None:
            witness["leading"] = leading
        claim = "stationary" if open_ended or local else "global"
        return farkas.certify(
            self.key,
            self.data,
            witness,
            {**self.parameters, "claim": claim},
            tolerance=tolerance,
        )


_FACTORS = ("W", "H", "beta", "Gamma")


def formulate(
    X: Any,
    Y: ArrayLike,
    r: int,
    *,
    Z: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    model: str = "filter",
    xi: float = 1.0,
    alpha: float = 1.0,
    alpha_covariates: float | None = None,
    fit_intercept: bool = True,
    class_weight: Any = None,
    baseline: int = 0,
    nonnegative: Any = False,
    missing: str = "error",
    covariate_columns: ArrayLike | None = None,
    cap: bool = True,
    **limits: float | None,
) -> Formulation:
    """Check data and numbers, and build the problem.

    Parameters
    ----------
    X, Y, r, Z, sample_weight, model, xi, alpha, alpha_covariates : object
        As in :func:`sdl.bcd`, and so are `fit_intercept`, `class_weight`, `baseline`,
        `nonnegative` and `missing`. A rank beyond ``min(n, p)`` is capped, with a
        warning.
    covariate_columns : array-like of int, optional
        Columns of X that are covariates.
    cap : bool, default=True
        Whether the rank is limited to ``min(n, p)``.
    **limits : float
        Penalties and norm bounds of single factors; None and 0 mean none.

    Returns
    -------
    Formulation

    Raises
    ------
    ValueError
        If something is out of range.
    """
    check_choice("model", model, MODELS)
    check_choice("missing", missing, ("error", "impute"))
    check_choice("nonnegative", nonnegative, tuple(_SIGNS))
    check_number("r", r, low=1, integer=True)
    check_number("xi", xi, low=0.0, inclusive="neither")
    check_number("alpha", alpha, low=0.0)
    if alpha_covariates is not None:
        check_number("alpha_covariates", alpha_covariates, low=0.0)
    X = as_data("X", X, allow_nan=missing == "impute")
    labels = np.asarray(Y)
    if labels.dtype.kind == "O":
        text = all(isinstance(entry, str) for entry in labels.flat)
        labels = labels.astype(str if text else np.float64)
    n = X.shape[0]
    if len(labels) != n:
        raise ValueError(f"Y has {len(labels)} rows and X has {n}; they must agree.")
    data, key = [X, labels], "sdl.dictionary"
    if Z is not None:
        if sparse.issparse(Z):
            raise ValueError("Z is sparse; covariates are few, pass Z.toarray().")
        Z = np.asarray(Z, dtype=np.float64)
        as_data("Z", Z)
        if len(Z) != n:
            raise ValueError(f"Z has {len(Z)} rows and X has {n}; they must agree.")
        if covariate_columns is not None:
            raise ValueError(
                "covariates come by one door only: give covariate_columns or Z."
            )
        data.append(Z)
        key += "_covariates"
    if sample_weight is not None:
        data.append(_weights(sample_weight, n))
        key += "_weighted"
    arrays = {}
    if covariate_columns is not None:
        arrays["covariate_columns"] = np.asarray(covariate_columns, dtype=np.int64)
    if labels.ndim == 2:
        encode_labels(labels, 0)  # refuses what is not one-hot
        classes = np.arange(labels.shape[1] + 1)
    else:
        classes = np.unique(labels)
    if len(classes) < 2:
        raise ValueError(f"Y holds one class only ({classes}); two are needed.")
    rule = "none"
    if class_weight is not None:
        rule = "balanced" if isinstance(class_weight, str) else "given"
    if rule == "balanced":
        check_choice("class_weight", class_weight, ("balanced",))
    elif rule == "given":
        arrays["class_weight"] = _class_weights(class_weight, classes, baseline)
    parameters: dict[str, Parameter] = {
        "model": model,
        "n_components": int(r),
        "xi": float(xi),
        "alpha": float(alpha),
        "alpha_covariates": float(
            alpha if alpha_covariates is None else alpha_covariates
        ),
        "fit_intercept": bool(fit_intercept),
        "baseline": int(baseline),
        "class_weight": rule,
        "missing": missing,
    }
    for name, limit in limits.items():
        if name not in (*PENALTIES, *BOUNDS):
            raise TypeError(f"{name!r} is not a penalty or a bound of a factor.")
        if limit is None or limit == 0:
            continue
        check_number(name, limit, low=0.0, inclusive="neither")
        parameters[name] = float(limit)
    _refuse_lonely_penalties(parameters)
    if _SIGNS[nonnegative]:
        parameters["nonnegative"] = _SIGNS[nonnegative]
    named = dict(zip(("X", "y"), data, strict=False))
    rest = data[2:]
    task = problem_of(
        named["X"],
        named["y"],
        rest.pop(0) if Z is not None else None,
        rest.pop(0) if sample_weight is not None else None,
        arrays,
        parameters,
    )
    made = Formulation(tuple(data), f"{key}/1", parameters, arrays, task, classes)
    if made.signs == "WH" and _least(task.X) < 0:
        raise ValueError(
            "Negative values in data: with nonnegative=True both factors are, so X "
            "must be too; choose nonnegative='W' or 'H', or shift X."
        )
    return _capped(made) if cap else made


def as_data(name: str, array: Any, *, allow_nan: bool = False) -> Any:
    """Return a float64 array or CSR matrix of two dimensions, checked for NaN."""
    if sparse.issparse(array):
        result = array.tocsr()
        result = result if result.dtype == np.float64 else result.astype(np.float64)
        values = result.data
    else:
        result = np.asarray(array, dtype=np.float64)
        result = result[:, None] if result.ndim == 1 and name == "Z" else result
        if result.ndim != 2:
            raise ValueError(f"{name} must be 2-dimensional, got shape {result.shape}.")
        values = result
    if 0 in result.shape and name == "X":
        raise ValueError(f"{name} is empty, its shape is {result.shape}.")
    finite = np.isfinite(values) | (np.isnan(values) if allow_nan else False)
    if not np.all(finite):
        raise ValueError(
            f"{name} holds NaN or infinity; remove or impute them"
            + ("." if name != "X" else " (feature model: missing='impute' takes NaN).")
        )
    return result


def _weights(sample_weight: ArrayLike, n: int) -> Array:
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.shape != (n,):
        raise ValueError(
            f"sample_weight has shape {weights.shape}, X has {n} rows; give one each."
        )
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise ValueError("sample_weight must hold nonnegative numbers, not all zero.")
    return weights


def _class_weights(
    rule: Mapping[Any, float], classes: NDArray[Any], baseline: int
) -> Array:
    """Return the weights of a dict in the order of the codes, the baseline first."""
    if not isinstance(rule, Mapping):
        raise ValueError(
            f"class_weight={rule!r} must be None, 'balanced' or a dict from classes to "
            "positive numbers."
        )
    known = list(classes.tolist())
    if unknown := [label for label in rule if label not in known]:
        raise ValueError(f"class_weight names {unknown}, which are not among {known}.")
    weights = np.array([float(rule.get(label, 1.0)) for label in known])
    if not (np.isfinite(weights).all() and (weights > 0).all()):
        raise ValueError(f"class_weight={dict(rule)!r} must hold positive numbers.")
    order = [baseline, *(c for c in range(len(known)) if c != baseline)]
    return weights[order]


def _refuse_lonely_penalties(parameters: Mapping[str, Parameter]) -> None:
    """Refuse a penalty on one factor that the other can scale away."""
    for one, other, bound in (
        ("H", "W", "max_atom_norm"), ("W", "H", "max_code_norm"),
    ):  # fmt: skip
        penalised = [n for n in (f"l1_{one}", f"l2_{one}") if n in parameters]
        held = {f"l1_{other}", f"l2_{other}", bound} & parameters.keys()
        if penalised and not held:
            raise ValueError(
                f"{penalised[0]} alone penalises nothing: {one} shrinks while {other} "
                f"grows. Hold {other} by {bound} or by a penalty of its own."
            )


def _least(X: Any) -> float:
    values = X.data if sparse.issparse(X) else X
    return float(np.min(values, initial=0.0))


def _capped(made: Formulation) -> Formulation:
    """Cap the rank at min(n, p), or refuse it where factors are constrained."""
    rank, limit = made.task.rank, min(made.task.X.shape)
    if rank <= limit:
        return made
    if made.constrained:
        raise ValueError(
            f"n_components={rank} exceeds min(n, p)={limit}; constrained factors need "
            "at most that."
        )
    warnings.warn(
        f"n_components={rank} exceeds min(n, p)={limit} and is lowered to it.",
        UserWarning,
        stacklevel=3,
    )
    return dataclasses.replace(
        made,
        parameters={**made.parameters, "n_components": limit},
        task=dataclasses.replace(made.task, rank=limit),
    )
