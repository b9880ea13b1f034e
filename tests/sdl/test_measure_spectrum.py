"""Tails of spectra and leading sums: bounds whatever the witness says."""

import math

import numpy as np
import pytest
from scipy import sparse

import farkas
from sdl import lpgd
from sdl._measure_spectrum import gram, proven_top, tail_of_spectrum


@pytest.mark.parametrize("shape", [(9, 4), (4, 9), (300, 5), (5, 300)])
@pytest.mark.parametrize("as_sparse", [False, True])
def test_the_tail_is_a_bound_on_either_side(shape, as_sparse):
    rng = np.random.default_rng(1)
    M = rng.standard_normal(shape) * (rng.random(shape) < 0.5)
    E = rng.standard_normal((2, shape[1]))
    values = np.linalg.svd(np.vstack([math.sqrt(0.3) * M, E]), compute_uv=False) ** 2
    given = sparse.csr_matrix(M) if as_sparse else M
    tail, gap = tail_of_spectrum(given, E, 0.3, 2)
    assert tail <= values[2:].sum()
    assert tail == pytest.approx(values[2:].sum(), rel=1e-11)
    assert gap == pytest.approx(values[1] - values[2], rel=1e-9)
    S, _ = gram(given, E, 0.3)
    assert len(S) == min(shape[0] + 2, shape[1])


def test_a_rank_that_covers_the_data_has_no_tail():
    assert tail_of_spectrum(np.ones((8, 3)), np.zeros((1, 3)), 1.0, 3) == (0.0, 0.0)


def spectrum_with_gap(m, gap, seed):
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((m, m)))[0]
    values = np.sort(rng.random(m) ** 8)[::-1] * 1e4
    values[:5] += values[4] * gap
    S = (Q * values) @ Q.T
    return 0.5 * (S + S.T), Q, rng


@pytest.mark.parametrize("noise", [0.0, 1e-9, 1e-6, 1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("gap", [1e-6, 1e-3, 0.5])
def test_no_basis_understates_the_leading_sum(noise, gap):
    for seed in range(3):
        S, Q, rng = spectrum_with_gap(40, gap, seed)
        exact = np.linalg.eigvalsh(S)[-5:].sum()
        V = Q[:, :6] + noise * rng.standard_normal((40, 6))
        found = proven_top(S, V, 5)
        assert noise > 0.0 or found is not None
        if found is not None:
            assert found[0] >= exact * (1 - 1e-14)
            if noise == 0.0:
                assert found[0] == pytest.approx(exact, rel=1e-11)


@pytest.mark.parametrize("basis", ["exact", "random", "zero", "huge"])
def test_a_basis_saves_the_eigensolver_and_no_more(monkeypatch, basis):
    rng = np.random.default_rng(0)
    M, E = rng.standard_normal((60, 30)), rng.standard_normal((1, 30))
    plain, gap = tail_of_spectrum(M, E, 0.3, 4)
    S, _ = gram(M, E, 0.3)
    V = {
        "exact": np.linalg.eigh(S)[1][:, -5:],
        "random": rng.standard_normal((30, 5)),
        "zero": np.zeros((30, 5)),
        "huge": np.full((30, 5), 1e300),
    }[basis]
    monkeypatch.setattr("sdl._measure_spectrum.LARGE", 0)
    if basis == "exact":  # nothing else is called
        monkeypatch.setattr("sdl._measure_spectrum.eigvalsh", None)
    with np.errstate(all="ignore"):
        tail, found = tail_of_spectrum(M, E, 0.3, 4, leading=V)
    assert tail <= plain * (1 + 1e-12)
    assert tail == pytest.approx(plain, rel=1e-11)
    assert found == pytest.approx(gap, rel=1e-9)


def test_eigenvectors_in_the_witness_change_no_claim():
    rng = np.random.default_rng(0)
    data = rng.standard_normal((300, 256)) * np.linspace(3.0, 0.3, 256)
    labels = (data[:, 0] + rng.standard_normal(300) > 0).astype(int)
    result = lpgd(data, labels, 3, alpha=10.0)
    claim = result.certificate
    assert claim.witness["leading"].shape == (256, 4)
    assert farkas.verify(claim, data, labels)
    mint = result.formulation.mint
    plain = mint(result.x, claim.witness["dual"], 1e-6)
    assert claim.lower == pytest.approx(plain.lower, rel=1e-10)
    poor = rng.standard_normal((256, 4))
    again = mint(result.x, claim.witness["dual"], 1e-6, leading=poor)
    assert again.lower == plain.lower
    with pytest.raises(farkas.CertificateError, match="leading"):
        mint(result.x, claim.witness["dual"], 1e-6, leading=poor[:, :3])
