"""Flow diffusion for p > 2 with smoothed programs."""

import dataclasses

import numpy as np
import pytest
from scipy.optimize import minimize

import farkas
from graphs import check_certificate, flow_diffusion, load_karate_club

A, _ = load_karate_club(weighted=True)
DENSE = A.toarray()
HEAD, TAIL = np.nonzero(np.triu(DENSE))
W, SINK = DENSE[HEAD, TAIL], (DENSE > 0).sum(axis=0).astype(float)


def optimum(p, mu, mass=90.0):
    """Maximise the smoothed dual by a quasi-Newton method."""
    q = p / (p - 1)
    source = np.zeros(34)
    source[0] = mass

    def objective(x):
        base = (x[HEAD] - x[TAIL]) ** 2 + mu**2
        flow = W * (x[HEAD] - x[TAIL]) * base ** (q / 2 - 1)
        gradient = SINK - source + np.bincount(HEAD, flow, 34)
        gradient -= np.bincount(TAIL, flow, 34)
        return x @ (SINK - source) + W @ (base ** (q / 2) - mu**q) / q, gradient

    options = {"maxiter": 20000, "ftol": 1e-15, "gtol": 1e-10}
    start, bounds = np.full(34, 1.0), [(0, None)] * 34
    found = minimize(objective, start, jac=True, bounds=bounds, options=options)
    return -found.fun


@pytest.mark.parametrize("mu", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("p", [2.5, 4.0])
def test_a_general_solver_agrees(p, mu):
    result = flow_diffusion(A, 0, mass=90, p=p, mu=mu, tol=1e-7)
    assert result.success
    expected = optimum(p, mu)
    assert result.fun == pytest.approx(expected, rel=1e-6)
    assert result.certificate.upper >= expected * (1 - 1e-9)
    farkas.verify(result, A).check()


@pytest.mark.parametrize("solver", ["push", "active_set"])
def test_every_solver_smooths(solver):
    auto = flow_diffusion(A, 0, mass=90, p=3, mu=0.5, tol=1e-5)
    other = flow_diffusion(A, 0, mass=90, p=3, mu=0.5, tol=1e-5, solver=solver)
    assert other.success
    assert other.fun == pytest.approx(auto.fun, rel=2e-5)


def test_smoothing_raises_the_optimum_and_fades():
    plain = flow_diffusion(A, 0, mass=90, p=3, tol=1e-8).fun
    values = [
        flow_diffusion(A, 0, mass=90, p=3, mu=mu, tol=1e-8).fun for mu in (1e-6, 0.1, 1)
    ]
    assert plain * (1 - 1e-8) <= values[0] < values[1] < values[2]
    assert values[0] == pytest.approx(plain, rel=1e-7)


def test_floats_reach_further_with_it():
    plain = flow_diffusion(A, 0, mass=90, p=8, tol=1e-8)
    smooth = flow_diffusion(A, 0, mass=90, p=8, mu=1.0, tol=1e-8)
    assert not plain.success
    assert smooth.success


def test_the_euclidean_norm_needs_none():
    plain = flow_diffusion(A, 0, mass=90)
    smooth = flow_diffusion(A, 0, mass=90, mu=3.0)
    assert (plain.x != smooth.x).nnz == 0
    assert "mu" not in smooth.certificate.parameters


def test_the_certificate_is_that_of_the_smoothed_programs():
    result = flow_diffusion(A, 0, mass=90, p=3, mu=1.0, tol=1e-6)
    again = check_certificate(A, 0, 90.0, result.x, p=3, mu=1.0, cluster=result.cluster)
    assert again.value == pytest.approx(result.gap, rel=1e-9)
    # Heights of the smoothed programs leave other masses in those without.
    other = check_certificate(A, 0, 90.0, result.x, p=3)
    assert not other.value <= result.gap
    rival = result.certificate.residuals
    assert rival["cut_lower"] <= rival["cut"]


@pytest.mark.parametrize("mu", [-1.0, np.nan, 1e-200, 1e200])
def test_bad_smoothing_is_named(mu):
    with pytest.raises(ValueError, match="mu"):
        flow_diffusion(A, 0, mass=90, p=3, mu=mu)


def test_a_forged_smoothing_is_rejected_by_arithmetic_alone():
    proof = flow_diffusion(A, 0, mass=90, p=3, mu=1.0, tol=1e-6).certificate
    for mu in (0.0, 0.9, 1.1, -1.0, np.nan, 1e300):
        forged = dataclasses.replace(
            proof, parameters={**proof.parameters, "mu": mu}, seal="", fingerprint=""
        )
        assert not farkas.verify(forged, A), mu
