"""The bound over all networks: true where it is known, and not to be forged."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import farkas
from convexnn import (
    certify_network,
    enumerate_patterns,
    recover_network,
    solve_relu,
)
from convexnn._measure_global import (
    certificate_matrix,
    leaf_bound,
    scale_exponent,
    smallest_shift,
    zero_rows,
)
from farkas import CertificateError, Guarantee

PROBLEM = "convexnn.global/1"
XOR = np.array([[0.0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
LABELS = np.array([-1.0, 1, 1, -1])
# min 1/2 (5t - 2)^2 + t has its minimum 0.38 at t = 0.36, and theta is 0.2
ONE, TARGET = np.array([[3.0, 4.0]]), np.array([2.0])
UNIT, OUTPUT = np.array([[0.6], [0.8]]) * 0.6, np.array([0.6])


def single():
    return certify_network(
        UNIT, OUTPUT, ONE, TARGET, 1.0, scope="global", method="dnn", tol=1e-6
    )


def bare(certificate, parameters=None, **changes):
    """The certificate without the hashes that notice an edit, and an edited witness."""
    return dataclasses.replace(
        certificate,
        witness={**certificate.witness, **changes},
        parameters={**certificate.parameters, **(parameters or {})},
        seal="",
        fingerprint="",
    )


def random_proof(rng, n, d, zero=(), size=1.0):
    m = 2 + 2 * n
    products = np.abs(rng.standard_normal((m, m))) * size
    sample = np.arange(n)
    free = np.zeros((m, m), dtype=bool)
    free[2 + n + sample, 2 + sample] = True
    free[list(zero)] = free[:, list(zero)] = True
    products[free] *= rng.choice([-1.0, 1.0], free.sum())
    return {
        "products": products[np.tril_indices(m)],
        "cone": rng.standard_normal((1 + 2 * n, d)) * size,
        "level": float(rng.standard_normal()),
        "trace": float(rng.standard_normal()),
    }


def largest_output(X, g, rng, draws=2000):
    u = rng.standard_normal((X.shape[1], draws))
    u /= np.linalg.norm(u, axis=0)
    return u, g @ np.maximum(X @ u, 0.0)


def test_one_sample_is_proven_to_rounding():
    certificate = single()
    assert certificate.upper == pytest.approx(0.38, rel=1e-9)
    assert certificate.lower == pytest.approx(0.38, rel=1e-5)
    assert certificate.lower <= 0.38
    assert certificate.guarantee is Guarantee.GLOBAL
    assert "any width" in certificate.assumptions
    assert farkas.verify(certificate, ONE, TARGET)


@pytest.mark.parametrize("seed", range(40))
def test_any_admissible_witness_gives_a_true_bound(seed):
    """Whatever the multipliers, no unit vector exceeds the bound."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(1, 7)), int(rng.integers(1, 4))
    scale = float(10.0 ** rng.integers(-150, 150))
    X = rng.standard_normal((n, d)) * scale
    g = rng.standard_normal(n) * float(10.0 ** rng.integers(-100, 100))
    g[rng.random(n) < 0.2] = 0.0
    size = float(np.abs(g).max()) * float(10.0 ** rng.integers(-3, 2))
    proof = random_proof(rng, n, d, size=size)
    # level and trace around the elementary bound, so that it is not all shift
    proof["level"] *= size
    proof["trace"] *= size
    bound = leaf_bound(X, g, proof)
    _, values = largest_output(X, g, rng)
    assert bound >= values.max() * (1 - 1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_a_leaf_bounds_its_own_half_only(seed):
    rng = np.random.default_rng(seed)
    n, d = 5, 3
    X, g = rng.standard_normal((n, d)), rng.standard_normal(n)
    branches = np.array([3, 1])
    u, values = largest_output(X, g, rng)
    signs = X[branches] @ u < 0
    for leaf in range(4):
        zero = zero_rows(branches, leaf, n)
        proof = random_proof(rng, n, d, zero, size=0.1)
        inside = (signs[0] == (leaf & 1)) & (signs[1] == (leaf >> 1 & 1))
        assert leaf_bound(X, g, proof) >= values[inside].max() * (1 - 1e-12)


def test_zero_rows_name_q_where_the_sign_is_positive():
    # rows: a, t, then p_0..p_3, then q_0..q_3
    assert zero_rows(np.array([3]), 0, 4).tolist() == [2 + 4 + 3]
    assert zero_rows(np.array([3]), 1, 4).tolist() == [2 + 3]
    assert zero_rows(np.array([3, 1]), 2, 4).tolist() == [2 + 4 + 3, 2 + 1]


@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(-200, 200))
@settings(max_examples=60)
def test_the_shift_makes_a_matrix_semidefinite_in_exact_terms(seed, order, exponent):
    """Against eigenvalues in long double by Jacobi-free means: x'(M + eps I)x."""
    rng = np.random.default_rng(seed)
    F = rng.standard_normal((order, max(1, order - 2)))
    M = F @ F.T - 10.0 ** rng.integers(-17, 1) * np.eye(order)
    M = np.ldexp(0.5 * (M + M.T), exponent)
    shift = smallest_shift(M)
    assert shift >= 0
    values, vectors = np.linalg.eigh(np.ldexp(M, -exponent))
    x = vectors[:, 0].astype(np.longdouble)
    form = x @ np.ldexp(M, -exponent).astype(np.longdouble) @ x
    assert form + np.ldexp(shift, -exponent) * (x @ x) >= 0
    # and is not much larger than it must be
    room = 1e-12 * np.abs(values).max()
    assert np.ldexp(shift, -exponent) <= max(-values[0], 0.0) * 1.01 + room


def test_the_matrix_carries_its_rounding_error():
    """Entries in exact rational arithmetic differ by at most the error."""
    from fractions import Fraction

    rng = np.random.default_rng(3)
    n, d = 3, 2
    X, g = rng.standard_normal((n, d)), rng.standard_normal(n)
    proof = random_proof(rng, n, d)
    proof["cone"][:] = 0.0  # lengths are irrational
    M, error = certificate_matrix(X, g, **proof)
    m, N = 2 + 2 * n, 1 + d + n
    exact = [[Fraction(0)] * N for _ in range(m)]
    exact[0][0] = Fraction(1)
    for k in range(n):
        exact[1][1 + d + k] = Fraction(g[k])
        exact[2 + k][1 + d + k] = exact[2 + n + k][1 + d + k] = Fraction(1)
        for j in range(d):
            exact[2 + n + k][1 + j] = -Fraction(X[k, j])
    L = np.zeros((m, m))
    L[np.tril_indices(m)] = proof["products"]
    L = np.tril(L) + np.tril(L, -1).T
    squares = Fraction(0)
    for i in range(N):
        for j in range(N):
            entry = Fraction(0)
            if i == j:
                entry = Fraction([proof["level"], *[proof["trace"]] * d, *[0] * n][i])
            if i == 0 and j > d:
                entry -= Fraction(g[j - 1 - d]) / 2
            if j == 0 and i > d:
                entry -= Fraction(g[i - 1 - d]) / 2
            entry -= sum(
                exact[r][i] * Fraction(L[r, s]) * exact[s][j]
                for r in range(m)
                for s in range(m)
            )
            squares += (entry - Fraction(M[i, j])) ** 2
    assert math.sqrt(squares) <= error


def test_scale_exponent_brings_the_norm_into_one_to_two():
    for scale in (1e-300, 1e-5, 1.0, 3.0, 1e200):
        X = np.array([[1.0, 2.0], [0.5, 0.0]]) * scale
        norm = np.linalg.norm(np.ldexp(X, -scale_exponent(X)))
        assert 1 <= norm < 2
    assert scale_exponent(np.zeros((2, 2))) == 0


FORGERIES = {
    "products made negative": lambda w: {"product_value": -w["product_value"]},
    "level lowered": lambda w: {"level": w["level"] * 0.5},
    "trace lowered": lambda w: {"trace": w["trace"] - 0.2 * w["level"]},
    "everything shrunk": lambda w: {
        "level": w["level"] * 0.1,
        "trace": w["trace"] * 0.1,
        "product_value": w["product_value"] * 0.1,
        "cone": w["cone"] * 0.1,
    },
    "theta enlarged": lambda w: {"theta": 1.5 * w["theta"]},
    "theta of another network": lambda w: {"theta": -w["theta"]},
    "better network than given": lambda w: {"a": 0.9 * w["a"]},
    "no network": lambda w: {"U": w["U"][:, :0], "a": w["a"][:0]},
    "signs swapped": lambda w: {"level": w["level"][:, ::-1]},
}


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge"])
def test_a_forged_claim_is_rejected_or_still_true(loss):
    optimum = solve_relu(
        XOR, LABELS, enumerate_patterns(XOR), alpha=0.1, loss=loss, tol=1e-9
    )
    U, a = recover_network(*optimum.x, XOR)
    claim = certify_network(
        U, a, XOR, LABELS, 0.1, loss=loss, scope="global", method="dnn", tol=1e-5
    )
    assert claim.lower <= optimum.fun * (1 + 1e-9)
    assert claim.lower >= optimum.lower_bound * (1 - 1e-3)
    rejected = 0
    for name, forge in FORGERIES.items():
        forged = bare(claim, **forge(claim.witness))
        verified = farkas.verify(forged, XOR, LABELS)
        rejected += not verified
        # An accepted claim is the unchanged one, which is true.
        assert not verified or math.isfinite(verified.recomputed), name
    assert rejected >= len(FORGERIES) - 3


def test_a_claim_above_the_optimum_is_rejected():
    claim = single()
    forged = dataclasses.replace(claim, lower=0.381, value=0.0, upper=0.381)
    assert not farkas.verify(forged, ONE, TARGET)
    for changes in ({"lower": 0.3801}, {"upper": 0.37}, {"value": 0.0}):
        assert not farkas.verify(dataclasses.replace(claim, **changes), ONE, TARGET)


BROKEN = {
    "nan": lambda w: {"level": np.full_like(w["level"], np.nan)},
    "infinite cone": lambda w: {"cone": np.full_like(w["cone"], np.inf)},
    "level broadcasts": lambda w: {"level": w["level"].ravel()[:1]},
    "trace broadcasts": lambda w: {"trace": np.zeros(())},
    "cone of one row": lambda w: {"cone": w["cone"][:, :, :, :1]},
    "theta broadcasts": lambda w: {"theta": np.zeros((1,))},
    "products out of range": lambda w: {"product_index": w["product_index"] + 10**6},
    "products twice": lambda w: {
        "product_index": np.repeat(w["product_index"][:1], 2),
        "product_value": np.ones(2),
    },
    "floats as index": lambda w: {"product_index": w["product_index"] * 1.0},
    "row outside": lambda w: {"branches": np.array([[9]])},
    "rows of no output": lambda w: {"branches": np.zeros(1, int)},
    "leaves missing": lambda w: {"branches": np.array([[1]])},
    "too many leaves": lambda w: {"branches": np.zeros((1, 9), int)},
    "network of another width": lambda w: {"U": np.ones((2, 2))},
    "infinite network": lambda w: {"a": np.full_like(w["a"], np.inf)},
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_malformed_witness_is_rejected(name):
    claim = certify_network(
        np.ones((3, 1)), [0.1], XOR, LABELS, 0.5, scope="global", method="elementary"
    )
    assert farkas.verify(claim, XOR, LABELS)
    witness = {**claim.witness, **BROKEN[name](claim.witness)}
    with pytest.raises(CertificateError):
        farkas.certify(
            PROBLEM, (XOR, LABELS), witness, dict(claim.parameters), tolerance=1.0
        )


@pytest.mark.parametrize(
    ("changes", "data"),
    [
        ({"alpha": 0.0}, (XOR, LABELS)),
        ({"alpha": math.nan}, (XOR, LABELS)),
        ({"method": "faith"}, (XOR, LABELS)),
        ({"loss": "hinge"}, (XOR, 2 * LABELS)),
        ({}, (XOR, LABELS[:3])),
        ({}, (XOR, np.array([np.nan, 1, 1, 1]))),
        ({}, (np.full((4, 3), np.inf), LABELS)),
        ({"encoding": "magic"}, (XOR, LABELS)),
    ],
)
def test_a_wrong_problem_is_rejected(changes, data):
    claim = certify_network(
        np.ones((3, 1)), [0.1], XOR, LABELS, 0.5, scope="global", method="elementary"
    )
    with (
        pytest.raises(CertificateError),
        np.errstate(invalid="ignore"),
    ):
        farkas.certify(
            PROBLEM,
            data,
            dict(claim.witness),
            {**claim.parameters, **changes},
            tolerance=1.0,
        )


def test_another_penalty_or_scale_of_the_data_is_not_accepted():
    claim = single()
    assert not farkas.verify(bare(claim, {"alpha": 2.0}), ONE, TARGET)
    assert not farkas.verify(bare(claim), 3 * ONE, TARGET)


@pytest.mark.parametrize("scale", [1e-120, 1e-6, 1e6, 1e120])
def test_scaling_the_data_scales_the_bound(scale):
    """X -> cX with alpha -> c alpha leaves the value; powers of two leave the bits."""
    reference = certify_network(
        UNIT, OUTPUT, ONE, TARGET, 1.0, scope="global", method="elementary"
    )
    scaled = certify_network(
        UNIT / scale**0.5,
        OUTPUT / scale**0.5,
        scale * ONE,
        TARGET,
        scale,
        scope="global",
        method="elementary",
    )
    assert scaled.lower == pytest.approx(reference.lower, rel=1e-6)
    assert scaled.upper == pytest.approx(reference.upper, rel=1e-9)
