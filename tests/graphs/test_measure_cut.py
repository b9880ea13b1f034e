"""The measure of MQI and its kin: a flow proves, and only a true flow."""

import dataclasses
import math

import numpy as np
import pytest
from scipy.sparse import csr_array

import farkas
from farkas import CertificateError
from graphs import flow_diffusion, flow_improve, load_karate_club, mqi, simple_local

A, _ = load_karate_club()
REFERENCE = flow_diffusion(A, 0, mass=100).x.coords[0]
RESULTS = [mqi(A, REFERENCE), flow_improve(A, REFERENCE[:9]), simple_local(A, [0, 1])]


@pytest.mark.parametrize("result", RESULTS, ids=["mqi", "improve", "local"])
def test_certificates_verify_and_forgeries_do_not(result):
    proof = result.certificate
    assert proof.satisfied
    farkas.verify(result, A).check()
    bare = dataclasses.replace(proof, seal="")
    flow = proof.witness["flow"]
    for change in ({"flow": 1.01 * flow}, {"flow": 0.9 * flow}, {"flow": 0 * flow}):
        forged = dataclasses.replace(bare, witness={**proof.witness, **change})
        assert not farkas.verify(forged, A), change
    for changes in (
        {"lower": proof.lower * 1.001, "value": 0.0},
        {"upper": proof.upper * 0.999},
        {"value": proof.value / 10} if proof.value > 1e-12 else {"scale": 9.0},
    ):
        assert not farkas.verify(dataclasses.replace(bare, **changes), A), changes
    order = np.random.default_rng(1).permutation(34)
    assert not farkas.verify(bare, csr_array(A[order][:, order]))


def mint(**changes):
    proof = RESULTS[1].certificate
    parameters = {**proof.parameters, **changes.pop("parameters", {})}
    return farkas.certify(
        proof.problem, (A,), {**proof.witness, **changes}, parameters, tolerance=1e-6
    )


def test_a_smaller_flow_proves_less():
    full, part = mint(), mint(flow=0.5 * RESULTS[1].certificate.witness["flow"])
    assert part.lower == pytest.approx(0.5 * full.lower, rel=1e-9)
    assert part.upper == full.upper
    none = mint(tail=np.zeros(0, int), head=np.zeros(0, int), flow=np.zeros(0))
    assert none.lower == 0


def test_nodes_outside_may_take_in_only_their_share():
    # The flow needs theta itself: half of it is too little.
    theta = RESULTS[1].certificate.parameters["theta"]
    assert mint(parameters={"theta": theta / 2}).lower == 0
    assert mint(parameters={"theta": theta * (1 + 1e-10)}).lower > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"tail": np.array([0]), "head": np.array([1]), "flow": np.array([1.5])},
            "weight",
        ),
        (
            {"tail": np.array([0]), "head": np.array([9]), "flow": np.array([0.5])},
            "no edge",
        ),
        (
            {"tail": np.array([0, 1]), "head": np.array([1, 0]), "flow": np.ones(2)},
            "twice",
        ),
        (
            {"tail": np.array([0]), "head": np.array([1]), "flow": np.array([-1.0])},
            "flow",
        ),
        ({"tail": np.array([0.0]), "head": np.array([1]), "flow": np.ones(1)}, "tail"),
        ({"tail": np.array([40]), "head": np.array([1]), "flow": np.ones(1)}, "0..33"),
        ({"cluster": np.zeros(0, dtype=int)}, "empty"),
        ({"cluster": np.array([33])}, "denominator"),
        ({"reference": np.array([5, 3])}, "increase"),
        ({"parameters": {"theta": 0.0}}, "theta"),
        ({"parameters": {"theta": math.nan}}, "theta"),
    ],
)
def test_malformed_claims_are_refused(changes, message):
    with pytest.raises(CertificateError, match=message):
        mint(**changes)
