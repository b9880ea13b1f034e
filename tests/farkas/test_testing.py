"""The tamper suite forges everything, and exposes a measure that trusts its witness."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator

import farkas
from farkas import Guarantee, verification
from farkas.testing import (
    expected_failed_checks,
    instances,
    public_estimators,
    tampered,
    widened,
)
from farkas.verification import Measurement, problem

RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 2))
Y = X @ [2.0, -1.0] + 0.1 * RNG.standard_normal(6)
LABELS = np.array(["no", "yes", "no", "maybe", "yes", "no"])


@pytest.fixture
def registry():
    """Let a test register toy problems that are forgotten afterwards."""
    yield
    for key in [key for key in verification._PROBLEMS if ".toy" in key]:
        del verification._PROBLEMS[key]


def mint(measure, data, witness=None, parameters=None):
    names = tuple("abc"[: len(data)])
    problem("farkas.toy/1", data=names)(measure)
    return farkas.certify(
        "farkas.toy/1", data, witness or {}, parameters, tolerance=1.0
    )


def accepted(certificate, data):
    return {
        name
        for name, forged, changed in tampered(certificate, data)
        if farkas.verify(forged, *changed)
    }


def least_squares(X, y, *, witness, parameters):
    residual = y - X @ witness["w"]
    return Measurement(
        kind="kkt_residual",
        value=float(np.linalg.norm(X.T @ residual)),
        guarantee=Guarantee.LOCAL,
        upper=float(residual @ residual),
    )


def test_an_honest_measure_passes(registry):
    w = np.linalg.lstsq(X, Y)[0] + 0.1
    certificate = mint(least_squares, (X, Y), {"w": w})
    assert accepted(certificate, (X, Y)) == set()


def test_a_measure_that_ignores_the_data_is_exposed(registry):
    def gullible(X, y, *, witness, parameters):
        return Measurement(
            kind="kkt_residual",
            value=float(witness["residual"]),
            guarantee=Guarantee.LOCAL,
        )

    found = accepted(mint(gullible, (X, Y), {"residual": np.array(0.5)}), (X, Y))
    assert "rows of array 0 reversed, by arithmetic alone" in found
    assert "one target replaced, by arithmetic alone" in found
    assert "array 0 in other units, fingerprint blanked" in found


def test_a_measure_that_does_not_tie_the_dual_to_the_primal_is_exposed(registry):
    def loose(X, y, *, witness, parameters):
        gradient = X.T @ witness["theta"]  # should be y - Xw
        return Measurement(
            kind="kkt_residual",
            value=float(np.linalg.norm(gradient)),
            guarantee=Guarantee.LOCAL,
        )

    w = np.linalg.lstsq(X, Y)[0]
    certificate = mint(loose, (X, Y), {"w": w, "theta": Y - X @ w + 0.1})
    found = accepted(certificate, (X, Y))
    assert "witness w: multiple, by arithmetic alone" in found
    assert "witness theta: sign, by arithmetic alone" in found


def test_what_may_hold_all_the_same_is_left_out(registry):
    w = np.linalg.lstsq(X, Y)[0]
    proof = farkas.certify_infeasible(np.ones((2, 2)), [1.0, 2.0])
    names = [name for name, _, _ in tampered(proof, (np.ones((2, 2)), [1.0, 2.0]))]
    assert "JSON: value / 10" not in names  # it is 0
    assert "rows of array 1 reversed" in names
    assert "rows of array 1 reversed, fingerprint blanked" not in names
    assert "rows of array 0 reversed" not in names  # they are equal
    assert "all rows reversed" in names
    assert "all rows reversed, fingerprint blanked" not in names
    gates = mint(least_squares, (X, Y), {"w": w, "gates": w})
    names = [name for name, _, _ in tampered(gates, (X, Y))]
    assert "witness w: multiple" in names
    assert "witness gates: sign" in names
    assert "witness gates: multiple" not in names


def anything(*data, witness, parameters):
    return Measurement(kind="count", value=1.0, guarantee=Guarantee.DIAGNOSTIC)


def test_every_kind_of_witness_and_parameter_is_changed(registry):
    witness = {
        "flags": np.array([True, False]),
        "index": np.array([0, 3], dtype=np.uint8),
        "names": np.array(["a", "bc"]),
        "state": np.array([1.0 + 1j, 0.0]),
        "nothing": np.empty(0),
        "zero": np.zeros(2),
    }
    parameters = {"on": True, "off": False, "n": 2, "alpha": 0.5, "loss": "hinge"}
    certificate = mint(anything, (X, Y), witness, parameters)
    names = {name for name, _, _ in tampered(certificate, (X, Y))}
    assert {f"JSON: parameter {name}" for name in parameters} <= names
    for name in ("flags", "index", "names", "state", "zero"):
        assert f"witness {name}: one entry" in names
    assert "witness nothing: one entry" not in names
    assert {"witness state: sign", "witness state: multiple"} <= names
    assert not {"witness zero: sign", "witness index: sign"} & names
    # With the seal in place none of these edits goes through.
    assert not [
        name
        for name in accepted(certificate, (X, Y))
        if name.startswith(("witness", "JSON: parameter")) and "alone" not in name
    ]


def changes(data):
    """Return the forged data by name."""
    certificate = mint(anything, data)
    return {
        name: changed
        for name, _, changed in tampered(certificate, data)
        if any(a is not b for a, b in zip(changed, data, strict=True))
        and not name.startswith(("JSON", "witness"))
    }


def test_data_are_forged_whatever_their_form(registry):
    found = changes((X.tolist(), LABELS))
    assert found["one target replaced"][1].tolist() == ["yes", *LABELS[1:]]
    np.testing.assert_array_equal(found["all rows reversed"][0], X[::-1])
    np.testing.assert_array_equal(found["all rows reversed"][1], LABELS[::-1])
    np.testing.assert_array_equal(found["array 0 in other units"][0], 1.5 * X)
    numbers = np.array([0, 5, -9, 1])
    found = changes((X[:4], numbers))
    assert found["one target replaced"][1].tolist() == [-9, 5, -9, 1]
    matrix = sparse.csr_array(X)
    found = changes((matrix,))
    np.testing.assert_array_equal(
        found["rows of array 0 reversed"][0].toarray(), X[::-1]
    )
    assert "one target replaced" not in found
    assert "array 0 in other units" not in changes((LABELS,))
    assert changes((np.ones(3, dtype=bool),)) == {}


def test_data_are_not_changed_in_place(registry):
    before = X.copy(), Y.copy()
    list(tampered(mint(anything, (X, Y)), (X, Y)))
    assert np.array_equal(X, before[0])
    assert np.array_equal(Y, before[1])


def test_a_black_box_has_no_other_data(registry):
    certificate = mint(anything, (np.sin,))
    assert {data for _, _, data in tampered(certificate, (np.sin,))} == {(np.sin,)}


def test_a_wider_tolerance_is_no_forgery():
    certificate = farkas.certify_lasso(X, Y, [0, 0], alpha=0.1)
    assert not certificate.satisfied
    assert widened(certificate).satisfied
    assert farkas.verify(widened(certificate), X, Y)


def test_public_estimators_are_found():
    found = public_estimators()
    assert {cls.__name__ for cls in found} >= {
        "ConvexMLPClassifier",
        "ConvexMLPRegressor",
    }
    assert all(issubclass(cls, BaseEstimator) for cls in found)
    assert len(set(found)) == len(found)


def test_every_estimator_has_instances():
    class Plain(BaseEstimator):
        pass

    for cls in (*public_estimators(), Plain):
        assert instances(cls)
        assert {type(instance) for instance in instances(cls)} == {cls}


def test_an_expected_failure_names_its_reason():
    for cls in public_estimators():
        for check, reason in expected_failed_checks(instances(cls)[0]).items():
            assert check.startswith("check_")
            assert reason.endswith(".")
