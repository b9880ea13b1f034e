"""The step on other devices gives NumPy's numbers."""

import math

import numpy as np
import pytest

from dfo import cbo_update, consensus_point
from dfo.cbo.dynamics._array import cbo_step

RNG = np.random.default_rng(0)
X, XI = RNG.normal(size=(20, 3)), RNG.normal(size=(20, 3))
F = np.sum(X**2, axis=1)
STEP = {"lam": 1.0, "sigma": 0.8, "dt": 0.1}


@pytest.mark.parametrize("noise", ["anisotropic", "isotropic"])
@pytest.mark.parametrize("truncation", [None, 0.5])
@pytest.mark.parametrize("alpha", [0.0, 3.0, 1e9])
def test_numpy_agrees_with_the_plain_functions(noise, truncation, alpha):
    options = {"noise": noise, "truncation": truncation, **STEP}
    moved, c = cbo_step(X, F, XI, alpha=alpha, **options)
    expected, _ = consensus_point(X, F, alpha)
    assert c == pytest.approx(expected)
    assert moved == pytest.approx(cbo_update(X, expected, XI, **options))


def test_missing_values():
    f = F.copy()
    f[[0, 5]] = math.nan, math.inf
    _, c = cbo_step(X, f, XI, alpha=2.0, **STEP)
    assert c == pytest.approx(consensus_point(X, f, 2.0)[0])
    _, c = cbo_step(X, np.full(20, math.nan), XI, alpha=2.0, **STEP)
    assert c == pytest.approx(X.mean(axis=0))


@pytest.mark.parametrize("noise", ["anisotropic", "isotropic"])
def test_a_device_that_refuses_numpy(noise):
    xp = pytest.importorskip("array_api_strict")
    device = xp.Device("device1")
    moved, c = cbo_step(
        xp.asarray(X, device=device),
        xp.asarray(F, device=device),
        XI,
        alpha=3.0,
        noise=noise,
        truncation=0.5,
        **STEP,
    )
    assert moved.device == device
    plain, center = cbo_step(X, F, XI, alpha=3.0, noise=noise, truncation=0.5, **STEP)
    host = xp.Device("CPU_DEVICE")
    assert np.asarray(moved.to_device(host)) == pytest.approx(plain)
    assert np.asarray(c.to_device(host)) == pytest.approx(center)


@pytest.mark.gpu
def test_cupy_agrees():
    cupy = pytest.importorskip("cupy")
    moved, _ = cbo_step(cupy.asarray(X), cupy.asarray(F), XI, alpha=3.0, **STEP)
    plain, _ = cbo_step(X, F, XI, alpha=3.0, **STEP)
    assert cupy.asnumpy(moved) == pytest.approx(plain)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="noise"):
        cbo_step(X, F, XI, alpha=1.0, noise="blue", **STEP)
    with pytest.raises(ValueError, match="alpha"):
        cbo_step(X, F, XI, alpha=math.inf, **STEP)
