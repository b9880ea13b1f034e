"""What the conformance tests need of every estimator, and the ways to forge a proof."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from farkas.certificate import Certificate, Guarantee

PACKAGES = ("convexnn", "sdl", "dfo", "graphs", "quantum")

# Parameters that make conformance checks quick, by class name.
_FAST: dict[str, list[dict[str, Any]]] = {
    "ConvexMLPClassifier": [
        {"n_patterns": 20},
        {"n_patterns": 20, "activation": "gated"},
        {"n_patterns": 20, "loss": "logistic", "alpha": 1.0},
    ],
    "ConvexMLPRegressor": [{"n_patterns": 20}, {"n_patterns": 20, "loss": "huber"}],
}

# Checks of scikit-learn that an estimator cannot pass, with the reason.
_EXPECTED_FAILURES: dict[str, dict[str, str]] = {}


def public_estimators() -> list[type]:
    """Return every public estimator class of the method packages.

    Returns
    -------
    list of type
        In the order of packages and names.
    """
    from sklearn.base import BaseEstimator

    found = []
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            value = getattr(module, name)
            if isinstance(value, type) and issubclass(value, BaseEstimator):
                found.append(value)
    return found


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


def tampered(
    certificate: Certificate, data: Sequence[Any]
) -> Iterator[tuple[str, Certificate, tuple[Any, ...]]]:
    """Yield forgeries of a certificate, all of which ``verify`` must reject.

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
    """
    data = tuple(data)
    for name, forged in _claims(certificate):
        yield name, forged, data
    for name, forged in _edited_json(certificate):
        yield name, forged, data
    for name, witness in _witnesses(certificate):
        yield name, dataclasses.replace(certificate, witness=witness), data
    blank = dataclasses.replace(certificate, fingerprint="")
    for name, changed in _datasets(data):
        yield name, certificate, changed
        yield f"{name}, fingerprint blanked", blank, changed
        unsealed = dataclasses.replace(blank, seal="")
        yield f"{name}, fingerprint and seal blanked", unsealed, changed


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


def _claims(certificate: Certificate) -> Iterator[tuple[str, Certificate]]:
    """Yield stronger claims than were proven; the seal does not cover claims."""
    unit = 1e-3 * certificate.scale
    if certificate.value > 1e-9 * certificate.scale:
        yield "value / 10", dataclasses.replace(
            certificate, value=certificate.value / 10
        )
    if np.isfinite(certificate.lower):
        raised = certificate.lower + unit
        yield "lower raised", dataclasses.replace(certificate, lower=raised)
    if np.isfinite(certificate.upper):
        lowered = certificate.upper - unit
        yield "upper lowered", dataclasses.replace(certificate, upper=lowered)
    yield "scale flattered", dataclasses.replace(certificate, scale=certificate.scale * 2)
    levels = [level for level in Guarantee if level is not certificate.guarantee]
    yield "guarantee", dataclasses.replace(certificate, guarantee=levels[0])
    yield "assumption added", dataclasses.replace(
        certificate, assumptions=(*certificate.assumptions, "the moon is full")
    )


def _edited_json(certificate: Certificate) -> Iterator[tuple[str, Certificate]]:
    fields = json.loads(certificate.to_json())

    def edited(**changes: Any) -> Certificate:
        return Certificate.from_json(json.dumps({**fields, **changes}))

    lower = certificate.lower if np.isfinite(certificate.lower) else 0.0
    yield "JSON: lower", edited(lower=lower + 0.01 * certificate.scale)
    for name, number in certificate.residuals.items():
        changed = {**fields["residuals"], name: number + certificate.scale}
        yield f"JSON: residual {name}", edited(residuals=changed)
    for name, parameter in certificate.parameters.items():
        if isinstance(parameter, float):
            changed = {**fields["parameters"], name: 2 * parameter + 1}
            yield f"JSON: parameter {name}", edited(parameters=changed)
    yield "JSON: seal and value", edited(seal="", value=0.0, lower=lower + 1.0)


def _witnesses(certificate: Certificate) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a changed entry and a changed sign for every array of the witness."""
    for name, array in certificate.witness.items():
        if not array.size:
            continue
        position = int(np.argmax(np.abs(array.astype(float))))
        for change, number in (("entry", 1), ("sign", -1)):
            forged = array.copy()
            entry = forged.flat[position]
            if array.dtype.kind == "b":
                forged.flat[position] = not entry
            elif number > 0:
                forged.flat[position] = entry + (1 if entry >= 0 else -1)
            else:
                forged.flat[position] = -entry if entry else 1
            yield f"witness {name}: {change}", {**certificate.witness, name: forged}


def _datasets(data: tuple[Any, ...]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield data with rows reversed in one array, and in all arrays together."""
    arrays = [np.asarray(item) for item in data]
    reverse = [array[::-1].copy() for array in arrays]
    for position, array in enumerate(arrays):
        if not np.array_equal(array, reverse[position]):
            changed = list(arrays)
            changed[position] = reverse[position]
            yield f"rows of array {position} reversed", tuple(changed)
    yield "all rows reversed", tuple(reverse)
    scaled = list(arrays)
    if arrays[0].dtype.kind in "iuf":
        scaled[0] = arrays[0] * 1.5 + 0.25
        yield "array 0 scaled and shifted", tuple(scaled)
