"""The solver on the stand-in for a GPU, whose arrays refuse to become NumPy's."""

import array_api_strict
import numpy as np
import pytest

from sdl import lpgd
from sdl.driver import Settings
from sdl.formulation import formulate
from sdl.lifted import solve_lifted

DEVICE = array_api_strict.Device("device1")


@pytest.mark.parametrize("model", ["filter", "feature"])
@pytest.mark.parametrize("K", [1, 2])
@pytest.mark.parametrize("shape", [(40, 6), (12, 30)])
def test_the_stand_in_gives_the_same_answer(model, K, shape):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal(shape), np.arange(shape[0]) % (K + 1)
    C, weights = rng.standard_normal((shape[0], 2)), rng.uniform(0.5, 2, shape[0])
    form = formulate(X, y, 2, Z=C, sample_weight=weights, model=model)
    there = solve_lifted(form, Settings(), where=(array_api_strict, DEVICE))
    here = solve_lifted(form, Settings())
    assert there.fun == pytest.approx(here.fun, rel=1e-9)
    assert there.nit == here.nit
    assert isinstance(there.x["W"], np.ndarray)


def test_arrays_stay_in_their_library():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((30, 5)), np.arange(30) % 2
    there = lpgd(array_api_strict.asarray(X, device=DEVICE), y, 2)
    here = lpgd(X, y, 2)
    assert there.fun == pytest.approx(here.fun, rel=1e-9)
    W = there.x["W"]
    assert type(W).__module__.startswith("array_api_strict")
    assert W.device == DEVICE


def test_a_gpu_is_asked_for_in_vain():
    from farkas.backend import check_device

    try:
        check_device("cuda")
    except RuntimeError:
        with pytest.raises(RuntimeError, match="CuPy"):
            lpgd(np.eye(4), [0, 1, 0, 1], 1, device="cuda")


@pytest.mark.gpu
def test_cupy_gives_the_same_answer():
    cupy = pytest.importorskip("cupy")
    if not cupy.cuda.is_available():
        pytest.skip("no CUDA device")
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((300, 40)), np.arange(300) % 2
    there = lpgd(cupy.asarray(X), y, 4)
    assert there.fun == pytest.approx(lpgd(X, y, 4).fun, rel=1e-9)
    assert isinstance(there.x["W"], cupy.ndarray)
