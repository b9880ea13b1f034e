"""Who may claim what: minting, re-checking, and every way a check can fail."""

import dataclasses
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.optimize import OptimizeResult

import farkas
from farkas import Certificate, CertificateError, Guarantee, verification
from farkas.verification import Measurement, Verification, fingerprint, problem

ROOT = Path(__file__).resolve().parent.parent.parent
X = np.array([[1.0, 0], [0, 2], [1, 1]])
Y = np.array([1.0, 2, 3])
INF = math.inf


@pytest.fixture
def certificate():
    return farkas.certify_lasso(X, Y, [1.2, 1.0], alpha=0.5)


@pytest.fixture
def registry():
    """Let a test register toy problems that are forgotten afterwards."""
    yield
    for key in [key for key in verification._PROBLEMS if ".toy" in key]:
        del verification._PROBLEMS[key]


def change(certificate, **changes):
    return dataclasses.replace(certificate, **changes)


# Minting ----------------------------------------------------------------------------


def test_certify_records_what_was_measured_and_how_to_redo_it(certificate):
    assert certificate.problem == "farkas.lasso/1"
    assert certificate.kind == "duality_gap"
    assert certificate.value == certificate.gap
    assert certificate.parameters == {"alpha": 0.5}
    assert certificate.witness.keys() == {"w", "theta"}
    assert certificate.fingerprint == fingerprint([X, Y])
    assert certificate.seal
    assert certificate.created_with == f"farkas {farkas.__version__}"


def test_certify_takes_lists_and_numpy_parameters():
    minted = farkas.certify(
        "farkas.lasso/1",
        (X.tolist(), Y.tolist()),
        {"w": [1, 1]},
        {"alpha": np.float64(0.5)},
        tolerance=1.0,
    )
    farkas.verify(minted, X, Y).check()
    farkas.verify(Certificate.from_json(minted.to_json()), X, Y).check()


def test_a_certificate_above_its_tolerance_is_returned_and_says_so(certificate):
    assert not certificate.satisfied
    assert farkas.verify(certificate, X, Y)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("farkas.ridge/1", (X, Y), {}), "problem='farkas.ridge/1' is not known"),
        (("sdl.ridge/1", (X, Y), {}), "problem='sdl.ridge/1' is not known"),
        (("os.path/1", (X, Y), {}), "problem='os.path/1' is not known"),
        (("", (X, Y), {}), "problem='' is not known"),
        (("farkas.lasso/1", (X,), {}), r"needs the data \(X, y\), got 1"),
        (("farkas.lasso/1", (X, Y), {}), "'w' is missing"),
        (("farkas.lasso/1", (X, Y), {"w": [1, 1]}), "'alpha' is missing"),
        (("farkas.lasso/1", (X + 1j, Y), {}), "X must hold real numbers"),
        (
            ("farkas.linear_system/1", (X.T, [0, 0]), {"y": [1, 1]}),
            "must be negative",
        ),
    ],
)
def test_certify_says_why_it_refuses(arguments, message):
    with pytest.raises(CertificateError, match=message):
        farkas.certify(*arguments, tolerance=1.0)


def test_a_problem_is_found_by_importing_the_measures_of_its_package(certificate):
    code = (
        "import sys, farkas; c = farkas.Certificate.from_json(sys.stdin.read());"
        "print(bool(farkas.verify(c, [[1, 0], [0, 2], [1, 1]], [1, 2, 3])))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        input=certificate.to_json(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "True\n"


# What may be verified ---------------------------------------------------------------


def test_an_estimator_a_result_and_a_certificate_are_checked_alike(certificate):
    expected = farkas.verify(certificate, X, Y)
    assert expected.ok
    assert expected == farkas.verify(SimpleNamespace(certificate_=certificate), X, Y)
    assert expected == farkas.verify(OptimizeResult(certificate=certificate), X, Y)


@pytest.mark.parametrize(
    "obj", [None, 3, OptimizeResult(certificate=None), SimpleNamespace(certificate_=1)]
)
def test_what_holds_no_certificate_cannot_be_verified(obj):
    with pytest.raises(TypeError, match="holds no certificate; pass a Certificate"):
        farkas.verify(obj, X, Y)


def test_the_outcome_shows_both_numbers(certificate):
    outcome = farkas.verify(certificate, X, Y)
    assert isinstance(outcome, Verification)
    assert outcome.claimed == outcome.recomputed == certificate.value
    assert outcome.residuals == certificate.residuals
    assert outcome.message.startswith("verified: duality_gap")
    assert outcome.message.endswith("GLOBAL")
    assert bool(outcome) is outcome.ok is True
    assert outcome.check() is outcome


def test_check_raises_what_was_found(certificate):
    outcome = farkas.verify(certificate, X, Y + 1)
    assert not outcome
    with pytest.raises(CertificateError, match="not those of the certificate"):
        outcome.check()


# Binding ----------------------------------------------------------------------------


def test_other_data_are_noticed(certificate):
    outcome = farkas.verify(certificate, X, Y[::-1])
    assert outcome.message == "the data are not those of the certificate"
    assert math.isnan(outcome.recomputed)
    assert outcome.residuals == {}


def test_a_matching_fingerprint_is_not_sufficient(certificate):
    stronger = change(certificate, lower=certificate.upper, value=0.0)
    assert stronger.fingerprint == fingerprint([X, Y])
    assert not farkas.verify(stronger, X, Y)


def test_without_a_fingerprint_the_arithmetic_decides(certificate):
    blank = change(certificate, fingerprint="")
    assert farkas.verify(blank, X, Y)
    assert not farkas.verify(blank, X, Y[::-1])


def test_a_changed_witness_breaks_the_seal_even_where_the_claim_survives(certificate):
    # So small a change of theta is nothing that the measure would see.
    theta = certificate.witness["theta"] + 1e-15
    edited = change(certificate, witness={**certificate.witness, "theta": theta})
    outcome = farkas.verify(edited, X, Y)
    assert outcome.message == "the witness or the parameters were changed"
    assert farkas.verify(change(edited, seal=""), X, Y)


def test_changed_parameters_break_the_seal_and_the_claim(certificate):
    edited = change(certificate, parameters={"alpha": 0.4})
    assert "parameters were changed" in farkas.verify(edited, X, Y).message
    assert not farkas.verify(change(edited, seal=""), X, Y)


def test_the_claim_without_its_witness_cannot_be_redone(certificate):
    outcome = farkas.verify(certificate.without_witness(), X, Y)
    assert not outcome
    assert outcome.message.startswith("the claim cannot be redone: ")
    assert "'w' is missing" in outcome.message


@pytest.mark.parametrize(
    "changes",
    [
        {"problem": "farkas.ridge/1", "seal": "", "fingerprint": ""},
        {"problem": "sdl.ridge/1", "seal": "", "fingerprint": ""},
        {"problem": "farkas.linear_system/1", "seal": ""},
        {"witness": {"w": np.array(["a", "b"])}, "seal": ""},
        {"parameters": {"alpha": "many"}, "seal": ""},
        {"parameters": {"alpha": 0.0}, "seal": ""},
    ],
    ids=repr,
)
def test_nonsense_is_rejected_not_raised(certificate, changes):
    assert not farkas.verify(change(certificate, **changes), X, Y)


def test_missing_and_unsuitable_data_are_rejected_not_raised(certificate):
    assert not farkas.verify(certificate)
    assert "needs the data" in farkas.verify(certificate, X).message
    for data in [(X, "text"), (X, None), (X, [1, "two", 3]), (X * 1j, Y), (X, Y[:2])]:
        assert not farkas.verify(certificate, *data)


def test_a_y_that_the_method_does_not_use_is_ignored(certificate):
    assert farkas.verify(certificate, X, Y, ["unused"])


# More and less than was proven ------------------------------------------------------


def test_weaker_claims_hold(certificate):
    for changes in (
        {"value": 2 * certificate.value},
        {"value": INF},
        {"lower": certificate.lower - 1},
        {"lower": -INF},
        {"upper": certificate.upper + 1},
        {"upper": INF},
        {"tolerance": 0.0},
        {"tolerance": 1e9},
        {"created_with": "another library"},
    ):
        farkas.verify(change(certificate, **changes), X, Y).check()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value": 0.0}, r"duality_gap is 0\.\d+, not 0"),
        ({"lower": 1.45}, r"lower is 1\.\d+, not 1\.45"),
        ({"lower": INF}, r"lower is 1\.\d+, not inf"),
        ({"upper": 1.43}, r"upper is 1\.\d+, not 1\.43"),
        ({"upper": -INF}, r"upper is 1\.\d+, not -inf"),
        ({"scale": 14.0}, "scale is 7, not 14"),
        ({"scale": 3.5}, "scale is 7, not 3.5"),
        ({"kind": "exact"}, "kind is 'duality_gap', not 'exact'"),
        ({"guarantee": "local"}, "guarantee is <Guarantee.GLOBAL: 'global'>, not"),
        ({"assumptions": ("a",)}, r"assumptions is \(\), not \('a',\)"),
        ({"residuals": {}}, r"residuals are \['dual_slope'\]"),
        ({"residuals": {"dual_slope": 0.0}}, r"residual dual_slope is \d.*, not 0"),
        ({"residuals": {"dual_slope": math.nan}}, "residual dual_slope is"),
        ({"residuals": {"dual_slope": INF}}, "residual dual_slope is"),
        ({"residuals": {"dual": 1.0}}, "residuals are"),
    ],
)
def test_stronger_or_other_claims_fail(certificate, changes, message):
    with pytest.raises(CertificateError, match=message):
        farkas.verify(change(certificate, **changes), X, Y).check()


def test_every_disagreement_is_listed(certificate):
    outcome = farkas.verify(change(certificate, value=0.0, kind="exact"), X, Y)
    assert outcome.message.count("; ") == 1
    assert outcome.recomputed == certificate.value
    assert outcome.claimed == 0.0


def test_rounding_is_forgiven_up_to_rtol(certificate):
    nearly = change(certificate, lower=certificate.lower * (1 + 5e-7))
    assert farkas.verify(nearly, X, Y)
    assert not farkas.verify(nearly, X, Y, rtol=1e-8)


def test_rounding_is_forgiven_relative_to_the_scale():
    at_optimum = farkas.certify_lasso(X, Y, [11 / 9, 19 / 18], alpha=0.5)
    room = verification.ROUNDING * at_optimum.scale
    exact = change(at_optimum, value=max(at_optimum.value - 0.9 * room, 0.0))
    assert farkas.verify(exact, X, Y, rtol=0.0)


def test_a_measure_that_finds_nan_refutes(registry, certificate):
    @problem("farkas.toy_nan/1", data=("X",))
    def measure(X, *, witness, parameters):
        return Measurement(kind="k", value=math.nan, guarantee=Guarantee.LOCAL)

    claim = Certificate(
        kind="k", problem="farkas.toy_nan/1", value=1, tolerance=1, guarantee="local"
    )
    assert not farkas.verify(claim, X)
    with pytest.raises(CertificateError, match="value=nan"):
        farkas.certify("farkas.toy_nan/1", (X,), {}, tolerance=1)


def test_residuals_may_be_nan_or_infinite(registry):
    @problem("farkas.toy_odd/1", data=("X",))
    def measure(X, *, witness, parameters):
        return Measurement(
            kind="k",
            value=0.0,
            guarantee=Guarantee.LOCAL,
            residuals={"nan": math.nan, "inf": INF},
        )

    assert farkas.verify(farkas.certify("farkas.toy_odd/1", (X,), {}, tolerance=1), X)


# Black boxes ------------------------------------------------------------------------


@pytest.fixture
def poll(registry):
    """Register a poll set: no point at the given distance is better."""

    @problem("farkas.toy_poll/1", data=("fun",))
    def measure(fun, *, witness, parameters):
        x, radius = witness["x"], parameters["radius"]
        best = min(fun(x + radius), fun(x - radius))
        if best < fun(x):
            raise CertificateError("a poll point is better")
        return Measurement(
            kind="poll_set",
            value=radius,
            guarantee=Guarantee.LOCAL,
            upper=fun(x),
        )

    return farkas.certify(
        "farkas.toy_poll/1",
        (lambda x: float(x**2),),
        {"x": np.array(0.0)},
        {"radius": 0.1},
        tolerance=0.1,
    )


def test_a_function_has_no_fingerprint_but_is_evaluated_again(poll):
    assert poll.fingerprint == ""
    assert poll.satisfied
    farkas.verify(poll, lambda x: float(x**2)).check()


def test_another_function_refutes(poll):
    outcome = farkas.verify(poll, lambda x: float((x - 1) ** 2))
    assert outcome.message == "the claim cannot be redone: a poll point is better"
    assert not farkas.verify(poll, lambda x: float(x**2 + 1))


def test_a_function_that_fails_refutes(poll):
    def fail(x):
        raise RuntimeError("no licence")

    assert farkas.verify(poll, fail).message.endswith("no licence")


def test_small_data_are_measured_on_one_blas_thread(registry):
    pytest.importorskip("threadpoolctl")
    from threadpoolctl import threadpool_info, threadpool_limits

    seen = []

    @problem("farkas.toy_threads/1", data=("X",))
    def measure(X, *, witness, parameters):
        pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
        seen.append(max(pool["num_threads"] for pool in pools))
        return Measurement(kind="toy", value=0.0, guarantee=Guarantee.DIAGNOSTIC)

    with threadpool_limits(limits=2, user_api="blas"):
        for n in (10, 1000):  # 100 numbers are small, a million are not
            certificate = farkas.certify(
                "farkas.toy_threads/1", (np.ones((n, n)),), {}, {}, tolerance=1.0
            )
            assert farkas.verify(certificate, np.ones((n, n)))
    assert seen == [1, 1, 2, 2]
