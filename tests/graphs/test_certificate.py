"""Grading heights of any origin, and bounds on rivals."""

import numpy as np
import pytest

import farkas
from graphs import (
    check_certificate,
    conductance_lower,
    cut_lower,
    flow_diffusion,
    load_karate_club,
)

A, _ = load_karate_club()


@pytest.mark.parametrize("p", [2.0, 3.0])
def test_heights_of_a_result_are_graded_as_the_result_was(p):
    result = flow_diffusion(A, 0, mass=100, p=p)
    proof = check_certificate(A, 0, 100, result.x, p=p, cluster=result.cluster)
    same = {} if p == 3 else {"rel": 1e-13, "abs": 0.0}  # nodes come in another order
    expected = result.certificate
    assert (proof.lower, proof.upper) == pytest.approx(
        (expected.lower, expected.upper), **{"rel": 0.0, "abs": 0.0} | same
    )
    assert dict(proof.residuals) == pytest.approx(
        dict(expected.residuals), **{"rel": 0.0, "abs": 0.0} | same
    )
    residuals = proof.residuals
    stuck = 100 - A.sum(axis=0)[result.cluster].sum()
    assert cut_lower(proof, stuck) == pytest.approx(residuals["cut_lower"])
    volume = 100 - stuck
    assert conductance_lower(proof, volume) == pytest.approx(
        residuals["conductance_lower"]
    )
    farkas.verify(proof, A).check()


def test_bad_heights_prove_little_and_nothing_false():
    best = flow_diffusion(A, 0, mass=100, tol=1e-9)
    for x in (np.zeros(34), 2 * best.x.toarray(), -best.x.toarray()):
        proof = check_certificate(A, 0, 100, x)
        assert proof.lower <= best.certificate.upper
        assert proof.upper >= best.certificate.lower


def test_bounds_need_degrees_and_a_volume():
    proof = flow_diffusion(A, 0, mass=20, sinks="unit").certificate
    weighted, _ = load_karate_club(weighted=True)
    for other in (proof, flow_diffusion(weighted, 0, mass=60).certificate):
        with pytest.raises(ValueError, match="degree"):
            conductance_lower(other, 10)
    with pytest.raises(ValueError, match="volume=0"):
        conductance_lower(flow_diffusion(A, 0, mass=60).certificate, 0)
    assert cut_lower(proof, -1.0) == 0
    with pytest.raises(ValueError, match="mass=-1"):
        check_certificate(A, 0, -1, np.zeros(34))
