"""What the conformance tests need of every estimator, and the ways to forge a proof."""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farkas.certificate import Certificate, Guarantee
from farkas.verification import PACKAGES

Forgery = tuple[str, Certificate, tuple[Any, ...]]

# Parameters that make conformance checks quick, by class name.
_FAST: dict[str, list[dict[str, Any]]] = {
    "FlowDiffusionClustering": [{}, {"p": 3, "rounding": "support"}],
    "PageRankClustering": [{}, {"method": "l1"}],
    "CBOClassifier": [
        {"max_iter": 20, "n_particles": 40},
        {"max_iter": 10, "n_particles": 40, "loss": "zero_one", "activation": "step"},
        {"max_iter": 20, "n_particles": 40, "hidden_layer_sizes": (2,)},
    ],
    "CBORegressor": [
        {"max_iter": 30, "n_particles": 40},
        {"max_iter": 20, "n_particles": 40, "loss": "huber", "alpha": 0.1},
    ],
    "CounterfactualExplainer": [{}, {"norm": "inf", "tol": 0.1}],
    "NetworkOptimizer": [{}],
    "ConvexMLPClassifier": [
        {"n_patterns": 20},
        {"n_patterns": 20, "activation": "gated"},
        {"n_patterns": 20, "loss": "logistic", "alpha": 1.0},
        {
            "n_patterns": 20,
            "activation": "gated",
            "multi_class": "joint",
            "loss": "logistic",
        },
        {"n_patterns": 20, "eps": 0.05},
    ],
    "ConvexMLPRegressor": [
        {"n_patterns": 20},
        {"n_patterns": 20, "activation": "gated"},
        {"n_patterns": 20, "loss": "huber"},
    ],
    "SDLClassifier": [{"xi": 3.0}, {"model": "feature"}, {"nonnegative": "W"}],
    "SCPClassifier": [
        {"n_units": 200},
        {"n_units": 200, "loss": "logistic"},
        {"n_units": 200, "loss": "hinge", "alpha": 1.0},
    ],
    "SCPRegressor": [{"n_units": 200}],
    "OptimalMeasurementClassifier": [{}, {"feature_map": "angle", "loss": "squared"}],
    "VariationalQuantumClassifier": [
        {"max_iter": 1000},
        {"max_iter": 1000, "feature_map": "angle", "loss": "squared"},
    ],
}

# Checks of scikit-learn that an estimator cannot pass, with the reason.
_EXPECTED_FAILURES: dict[str, dict[str, str]] = {}

# Arrays of a witness of which only the direction counts: a multiple proves the same.
_DIRECTIONS = ("gates",)

# Arrays that a measure moves into their domain before it uses them: a large change of
# an entry may end where the entry was, and then proves the same.
_REPAIRED = ("Theta",)

_REORDERED = "all rows reversed"


def public_estimators() -> list[type]:
    """Return every public estimator class of the packages.

    Returns
    -------
    list of type
        In the order of packages and names.
    """
    from sklearn.base import BaseEstimator

    modules = [importlib.import_module(package) for package in PACKAGES]
    public = [getattr(module, name) for module in modules for name in module.__all__]
    return [
        item
        for item in public
        if isinstance(item, type) and issubclass(item, BaseEstimator)
    ]


def instances(cls: type) -> list[Any]:
    """Return quick instances of an estimator class, one for each main variant.

    Parameters
    ----------
    cls : type
        A public estimator class.

    Returns
    -------
    list of estimator
    """
    return [cls(**parameters) for parameters in _FAST.get(cls.__name__, [{}])]


def expected_failed_checks(estimator: Any) -> dict[str, str]:
    """Return the scikit-learn checks that an estimator cannot pass, with reasons.

    Parameters
    ----------
    estimator : estimator
        An instance.

    Returns
    -------
    dict of str to str
    """
    return _EXPECTED_FAILURES.get(type(estimator).__name__, {})


def tampered(certificate: Certificate, data: Sequence[Any]) -> Iterator[Forgery]:
    """Yield forgeries of a certificate, all of which ``verify`` must reject.

    Many come twice: as they are, and with fingerprint and seal blanked, so that only
    the arithmetic can reject them. What may hold all the same is left out: a tenth of
    the value 0, another length of a direction, and, once the fingerprint is gone, all
    samples in another order or a proof of infeasibility on other data.

    Parameters
    ----------
    certificate : Certificate
        One that holds.
    data : sequence of array-like
        Its data.

    Yields
    ------
    name : str
        What was changed.
    certificate : Certificate
        The forgery.
    data : tuple
        The data to verify it with.

    Examples
    --------
    >>> import farkas
    >>> X, y = [[1, 0], [0, 2], [1, 1]], [1, 2, 3]
    >>> certificate = farkas.certify_lasso(X, y, [1.2, 1.0], alpha=0.5)
    >>> any(farkas.verify(c, *data) for _, c, data in tampered(certificate, (X, y)))
    False
    """
    data = tuple(data)
    for name, forged in _edits(certificate):
        yield name, forged, data
    for name, witness in _witnesses(certificate):
        yield name, dataclasses.replace(certificate, witness=witness), data
    for name, changes in (*_claims(certificate), *_substitutes(certificate)):
        forged = dataclasses.replace(certificate, **changes)
        yield name, forged, data
        yield f"{name}, by arithmetic alone", _bare(forged), data
    for name, changed in _datasets(data):
        yield name, certificate, changed
        if certificate.kind != "infeasibility" and name != _REORDERED:
            blank = dataclasses.replace(certificate, fingerprint="")
            yield f"{name}, fingerprint blanked", blank, changed
            yield f"{name}, by arithmetic alone", _bare(certificate), changed


def widened(certificate: Certificate) -> Certificate:
    """Return the certificate with a wider tolerance, which must still verify.

    Parameters
    ----------
    certificate : Certificate
        One that holds.

    Returns
    -------
    Certificate
    """
    return dataclasses.replace(certificate, tolerance=10 * certificate.tolerance + 1)


def _bare(certificate: Certificate) -> Certificate:
    return dataclasses.replace(certificate, fingerprint="", seal="")


def _claims(certificate: Certificate) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield stronger claims than were proven."""
    step = 1e-3 * certificate.scale
    lower, upper = certificate.lower, certificate.upper
    if certificate.value > 1e-9 * certificate.scale:
        yield "value / 10", {"value": certificate.value / 10}
    yield "lower raised", {"lower": lower + step if math.isfinite(lower) else 0.0}
    yield "upper lowered", {"upper": upper - step if math.isfinite(upper) else 0.0}
    yield "scale flattered", {"scale": 2 * certificate.scale}
    yield "kind renamed", {"kind": f"exact_{certificate.kind}"}
    level = next(g for g in Guarantee if g is not certificate.guarantee)
    yield "guarantee changed", {"guarantee": level}
    stronger = (*certificate.assumptions, "every real number is an integer")
    yield "assumption added", {"assumptions": stronger}


def _edits(certificate: Certificate) -> Iterator[tuple[str, Certificate]]:
    """Yield what an editor could write into the JSON text."""
    fields = json.loads(certificate.to_json())

    def edited(**changes: Any) -> Certificate:
        return Certificate.from_json(json.dumps({**fields, **changes}))

    for name, changes in _claims(certificate):
        yield f"JSON: {name}", edited(**changes)
    for name, number in certificate.residuals.items():
        moved = {**fields["residuals"], name: number + abs(number) + certificate.scale}
        yield f"JSON: residual {name}", edited(residuals=moved)
    for name, parameter in certificate.parameters.items():
        moved = {**fields["parameters"], name: _other(parameter)}
        yield f"JSON: parameter {name}", edited(parameters=moved)
    other = "farkas.linear_system/1"
    other = "farkas.lasso/1" if certificate.problem == other else other
    yield "JSON: problem", edited(problem=other, seal="", fingerprint="")
    yield "JSON: fingerprint", edited(fingerprint="0" * 32)
    yield "JSON: seal", edited(seal="0" * 32)
    yield "JSON: witness removed", edited(witness={}, seal="")


def _other(parameter: float | int | str | bool) -> float | int | str | bool:
    if isinstance(parameter, bool):
        return not parameter
    return f"{parameter}?" if isinstance(parameter, str) else 2 * parameter + 1


def _witnesses(certificate: Certificate) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a changed entry of every array of the witness; the seal notices it."""
    for name, array in certificate.witness.items():
        if not array.size:
            continue
        forged = array.copy()
        if array.dtype.kind in "US":
            forged = np.char.add(array, "?")
        elif array.dtype.kind == "b":
            forged.flat[0] = not array.flat[0]
        else:
            forged.flat[0] += 1
        yield f"witness {name}: one entry", {**certificate.witness, name: forged}


def _substitutes(certificate: Certificate) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield other numbers for a primal or dual array; the arithmetic notices them."""
    for name, array in certificate.witness.items():
        if array.dtype.kind not in "fc" or not array.any():
            continue
        substitutes = {"sign": -array}
        if name not in _DIRECTIONS:
            position = int(np.argmax(np.abs(array)))
            largest = float(np.abs(array).flat[position])
            moved = array.copy()
            moved.flat[position] += 1 + 10 * largest
            if name not in _REPAIRED:
                substitutes["large change of an entry"] = moved
            substitutes["multiple"] = array * (10 + 10 / largest)
        for change, forged in substitutes.items():
            witness = {**certificate.witness, name: forged}
            yield f"witness {name}: {change}", {"witness": witness}


def _datasets(data: tuple[Any, ...]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield other data: rows in another order, one target replaced, other units."""
    if any(callable(item) for item in data):
        return
    arrays = [item if hasattr(item, "tocsr") else np.asarray(item) for item in data]
    reverse = [array[::-1] for array in arrays]
    for position, array in enumerate(arrays):
        if _differ(array, reverse[position]):
            changed = [*arrays[:position], reverse[position], *arrays[position + 1 :]]
            yield f"rows of array {position} reversed", tuple(changed)
    if any(map(_differ, arrays, reverse)):
        yield _REORDERED, tuple(reverse)
    if len(arrays) > 1 and _differ(arrays[-1], arrays[-1][:1]):
        yield "one target replaced", (*arrays[:-1], _one_replaced(arrays[-1]))
    if arrays[0].dtype.kind in "iuf":
        yield "array 0 in other units", (1.5 * arrays[0], *arrays[1:])


def _differ(a: Any, b: Any) -> bool:
    return bool((a != b).sum() if hasattr(a, "tocsr") else (a != b).any())


def _one_replaced(targets: NDArray[Any]) -> NDArray[Any]:
    """Replace the first entry by the entry that differs most from it."""
    changed = targets.copy()
    if targets.dtype.kind in "iuf":
        distance = np.abs(targets - targets.flat[0].astype(float))
    else:
        distance = targets != targets.flat[0]
    changed.flat[0] = targets.flat[int(np.argmax(distance))]
    return changed
