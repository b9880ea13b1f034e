"""Attempts to fool the arithmetic of a certificate, with the hashes taken off."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import farkas
from farkas.testing import tampered, widened
from sdl import bcd, lpgd

X = np.array(
    [[1, 0, 2], [0, 1, 1], [2, 1, 0], [1, 1, 1],
     [0, 2, 1], [2, 0, 1], [1, 2, 2], [0, 0, 1]],
    dtype=float,
)  # fmt: skip
Y = np.array([0, 0, 1, 1, 0, 1, 1, 0])
C = np.array([0.5, -1, 1, 0, -0.5, 1, 0.5, -1.5])
WEIGHTS = np.array([1.0, 2, 1, 1, 3, 1, 1, 2])


def bare(certificate, **fields):
    return dataclasses.replace(certificate, seal="", fingerprint="", **fields)


CASES = {
    "filter": (lpgd(X, Y, 2, xi=0.5), (X, Y)),
    "feature": (lpgd(X, Y, 2, model="feature"), (X, Y)),
    "covariates": (lpgd(X, Y, 1, Z=C, xi=0.5), (X, Y, C)),
    "weighted": (lpgd(X, Y, 1, sample_weight=WEIGHTS), (X, Y, WEIGHTS)),
    "both": (lpgd(X, Y, 1, Z=C, sample_weight=WEIGHTS), (X, Y, C, WEIGHTS)),
    "stationary": (bcd(X, Y, 1, nonnegative=True), (X, Y)),
}


@pytest.mark.parametrize("name", CASES)
def test_no_forgery_verifies(name):
    result, data = CASES[name]
    farkas.verify(result, *data).check()
    farkas.verify(widened(result.certificate), *data).check()
    if len(data) == 2:  # the suite of the library replaces the last array, a label
        accepted = [
            what
            for what, forged, other in tampered(result.certificate, data)
            if farkas.verify(forged, *other)
        ]
        assert accepted == []


@pytest.mark.parametrize("name", CASES)
def test_claims_cannot_be_strengthened_without_hashes(name):
    result, data = CASES[name]
    true = result.certificate
    step = 1e-3 * true.scale
    for fields in (
        {"lower": true.lower + step},
        {"upper": true.upper - step},
        {"value": true.value / 10}
        if true.value > 1e-8 * true.scale
        else {"lower": 1e9},
        {"scale": 2 * true.scale},
        {"assumptions": ("all factorizations of rank at most 99, filter model",)},
    ):
        assert not farkas.verify(bare(true, **fields), *data), fields


@pytest.mark.parametrize("name", ["covariates", "weighted", "both"])
def test_the_other_data_are_part_of_the_problem(name):
    result, data = CASES[name]
    other = (*data[:-1], data[-1][::-1] * 1.5)
    assert not farkas.verify(result, *other)
    assert not farkas.verify(bare(result.certificate), *other)


def test_a_larger_penalty_makes_no_smaller_claim():
    # alpha is part of the claim: raising it with the old bound must fail one way
    true = CASES["filter"][0].certificate
    for alpha in (0.1, 10.0):
        forged = bare(true, parameters={**true.parameters, "alpha": alpha})
        assert not farkas.verify(forged, X, Y)


def test_swapped_keys_and_claims_fail():
    true = CASES["stationary"][0].certificate
    forged = bare(true, parameters={**true.parameters, "claim": "global"})
    assert not farkas.verify(forged, X, Y)
    true = CASES["filter"][0].certificate
    assert not farkas.verify(
        bare(true, problem="sdl.dictionary_weighted/1"), X, Y, Y + 1
    )
    assert not farkas.verify(bare(true, problem="sdl.dictionary/2"), X, Y)


def test_negative_atoms_are_noticed():
    result, data = CASES["stationary"]
    W = result.certificate.witness["W"].copy()
    W[0] = -1e-15
    witness = {**result.certificate.witness, "W": W}
    assert not farkas.verify(bare(result.certificate, witness=witness), *data)


def best_objective(X, y, r, model, xi, nu, seed):
    """Minimise the objective over the factors from several starts."""
    n, p = X.shape
    rng = np.random.default_rng(seed)

    def value(theta):
        W = theta[: p * r].reshape(p, r)
        H = theta[p * r : (p + n) * r].reshape(n, r)
        beta, b = theta[(p + n) * r : -1], theta[-1]
        A = W @ beta if model == "filter" else H @ beta
        D = (X @ A if model == "filter" else A) + b
        loss = np.sum(np.logaddexp(0.0, D) - y * D)
        return loss + xi * np.sum((X - H @ W.T) ** 2) + nu / 2 * np.sum(A**2)

    return min(
        minimize(value, rng.standard_normal((p + n + 1) * r + 1)).fun for _ in range(3)
    )


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    model=st.sampled_from(["filter", "feature"]),
    size=st.floats(-6, 6),
    push=st.floats(-3, 3),
)
def test_whatever_the_dual_point_the_bound_is_below_every_minimum(
    seed, model, size, push
):
    rng = np.random.default_rng(seed)
    n, p, r = 6, 3, 1
    data = rng.standard_normal((n, p))
    y = np.r_[0, 1, rng.integers(0, 2, n - 2)]
    xi, nu = 10.0 ** rng.uniform(-2, 1), 10.0 ** rng.uniform(-2, 1)
    true = lpgd(data, y, r, model=model, xi=xi, alpha=nu, init="svd")
    dual = true.certificate.witness["dual"] + 10.0**size * rng.standard_normal((n, 1))
    forged = farkas.certify(
        "sdl.dictionary/1",
        (data, y),
        {**true.certificate.witness, "dual": dual * 10.0**push},
        true.certificate.parameters,
        tolerance=1e-6,
    )
    best = best_objective(data, y, r, model, xi, nu, seed)
    assert forged.lower <= best * (1 + 1e-9)
    assert true.certificate.lower <= best * (1 + 1e-9)
    assert forged.upper >= best * (1 - 1e-6)


@pytest.mark.parametrize("size", [1e-150, 1e-30, 1e-8, 1e8, 1e30, 1e150])
@pytest.mark.parametrize("model", ["filter", "feature"])
def test_data_of_any_size_prove_nothing_false(size, model):
    # F is equivariant: X -> cX, xi -> xi / c^2, and in the filter model nu -> c^2 nu
    xi, nu = 0.5 / size**2, (size**2 if model == "filter" else 1.0)
    witness = dict(lpgd(X, Y, 2, xi=0.5, model=model, tol=1e-9).certificate.witness)
    reference = lpgd(X, Y, 2, xi=0.5, model=model, tol=1e-9)
    parameters = {**reference.certificate.parameters, "xi": xi, "alpha": nu}
    witness["H"] = witness["H"] * size
    witness["beta"] = witness["beta"] / size
    if not (0 < xi < math.inf and 0 < nu < math.inf):
        pytest.skip("the weights themselves overflow")
    with np.errstate(all="ignore"):
        try:
            scaled = farkas.certify(
                "sdl.dictionary/1", (size * X, Y), witness, parameters, tolerance=1e-6
            )
        except farkas.CertificateError:
            return
    assert scaled.lower <= reference.fun * (1 + 1e-9)
    assert scaled.upper >= reference.lower_bound * (1 - 1e-9)


def test_saturated_probabilities_leave_a_valid_bound():
    far = np.array([[-1e3], [-999.0], [999.0], [1e3]])
    result = lpgd(far, [0, 0, 1, 1], 1, alpha=1e-8)
    assert 0.0 <= result.lower_bound <= result.fun
    farkas.verify(result, far, [0, 0, 1, 1]).check()
