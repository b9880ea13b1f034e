"""The iteration on a device: the stand-in refuses every silent copy to the host."""

import array_api_strict
import numpy as np
import pytest

import farkas
from convexnn import (
    ConvexMLPClassifier,
    sample_patterns,
    solve_gated,
    solve_relu,
)
from convexnn._measure_losses import LOSSES
from convexnn.admm import reduce
from convexnn.prox import PROX
from convexnn.scale._array import _PROX, ArrayIteration, place
from farkas.backend import asnumpy
from farkas.checkpoint import load, save

SOLVE = {"relu": solve_relu, "gated": solve_gated}
DEVICE = array_api_strict.Device("device1")


def on_device(x):
    return array_api_strict.asarray(x, device=DEVICE)


def data(n=30, P=6):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal((n, 2)), np.ones(n)])
    y = np.where(np.abs(X[:, 0]) + 0.3 * X[:, 1] > 0.7, 1.0, -1.0)
    return X, y, sample_patterns(X, P, random_state=0)


@pytest.mark.parametrize(
    ("activation", "loss", "u_update"),
    [
        *[("relu", loss, "eigh") for loss in ("squared", "huber", "hinge")],
        *[("gated", loss, "eigh") for loss in ("squared", "logistic")],
        ("gated", "huber", "cg"),
        ("gated", "squared", "cg"),
    ],
)
def test_the_optimum_is_that_of_the_host(activation, loss, u_update):
    X, y, patterns = data()
    options = {"alpha": 0.3, "loss": loss}
    reference = SOLVE[activation](X, y, patterns, tol=1e-7, **options)
    # The hinge loss needs thousands of iterations, and the stand-in is slow.
    tol = 1e-2 if loss == "hinge" else 1e-4
    arrays = on_device(X), on_device(y)
    result = SOLVE[activation](*arrays, patterns, u_update=u_update, tol=tol, **options)
    assert result.success
    assert result.fun == pytest.approx(reference.fun, rel=tol)
    parts = result.x if activation == "relu" else (result.x,)
    for part in parts:
        assert part.device == DEVICE
        assert part.shape == (3, 6)
    assert farkas.verify(result.certificate, X, y)


def test_device_cpu_gives_the_answer_of_numpy():
    X, y, patterns = data()
    expected = solve_relu(X, y, patterns, alpha=0.3)
    result = solve_relu(on_device(X), on_device(y), patterns, alpha=0.3, device="cpu")
    for part, other in zip(result.x, expected.x, strict=True):
        assert np.array_equal(asnumpy(part), other)


def test_conjugate_gradients_take_the_steps_of_the_eigenvectors():
    X, y, patterns = data(n=12, P=3)
    factor, where = reduce(X, patterns.D, "relu"), place("auto", on_device(X))
    runs = [
        ArrayIteration(factor, y, 0.3, "squared", where=where, u_update=u_update)
        for u_update in ("eigh", "cg")
    ]
    for _ in range(7):
        for run in runs:
            run.advance()
    assert runs[0].blocks() == pytest.approx(runs[1].blocks(), abs=1e-7)
    assert runs[0].theta() == pytest.approx(runs[1].theta(), abs=1e-7)


def test_the_first_point_of_a_warm_start_is_a_fixed_point():
    X, y, patterns = data()
    found = solve_gated(X, y, patterns, alpha=0.3, tol=1e-9)
    options = {"alpha": 0.3, "x0": found.x, "max_iter": 50}
    result = solve_gated(on_device(X), on_device(y), patterns, **options)
    assert result.fun == pytest.approx(found.fun, rel=1e-6)


@pytest.mark.parametrize("loss", _PROX)
@pytest.mark.parametrize("rho", [1e-3, 1.0, 1e3])
def test_prox_is_that_of_the_host(loss, rho):
    rng = np.random.default_rng(0)
    a = rng.standard_normal(200) * 10.0 ** rng.uniform(-3, 4, 200)
    y = rng.choice([-1.0, 1.0], 200)
    expected = PROX[loss](a, y, rho)
    found = asnumpy(_PROX[loss](array_api_strict, on_device(a), on_device(y), rho))
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_two_halves_equal_the_whole(tmp_path):
    X, y, patterns = data()
    arrays = on_device(X), on_device(y)
    options = {"alpha": 0.3, "tol": 0.0}
    whole = solve_relu(*arrays, patterns, max_iter=100, **options)
    half = solve_relu(*arrays, patterns, max_iter=50, **options)
    save(tmp_path / "half.npz", half.state)
    state = load(tmp_path / "half.npz")
    other = solve_relu(*arrays, patterns, max_iter=100, state=state, **options)
    assert np.array_equal(other.state["point"], whole.state["point"])


def test_steps_that_need_the_host_say_so():
    X, y, patterns = data()
    for u_update in ("cholesky", "rbcd"):
        with pytest.raises(ValueError, match="runs on the CPU"):
            solve_relu(on_device(X), y.tolist(), patterns, alpha=1.0, u_update=u_update)


def test_unknown_or_absent_device():
    X, y, patterns = data()
    with pytest.raises(ValueError, match="device='tpu' must be one of"):
        solve_relu(X, y, patterns, alpha=0.3, device="tpu")


def test_arrays_of_two_libraries_are_refused():
    X, y, patterns = data()
    with pytest.raises(TypeError, match="mixed"):
        solve_relu(on_device(X), y, patterns, alpha=0.3)


@pytest.mark.gpu
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ["relu", "gated"])
def test_cupy(activation, loss):
    cupy = pytest.importorskip("cupy")
    if not cupy.cuda.is_available():
        pytest.skip("no CUDA device")
    X, y, patterns = data()
    options = {"alpha": 0.3, "loss": loss}
    reference = SOLVE[activation](X, y, patterns, tol=1e-7, **options)
    result = SOLVE[activation](X, y, patterns, device="cuda", **options)
    assert result.fun == pytest.approx(reference.fun, rel=1e-4)
    assert isinstance(result.certificate.upper, float)
    again = SOLVE[activation](cupy.asarray(X), cupy.asarray(y), patterns, **options)
    parts = again.x if activation == "relu" else (again.x,)
    assert all(isinstance(part, cupy.ndarray) for part in parts)


@pytest.mark.parametrize("loss", LOSSES)
def test_single_precision_on_the_host(loss):
    X, y, patterns = data()
    options = {"alpha": 0.3, "loss": loss}
    reference = solve_gated(X, y, patterns, tol=1e-7, **options)
    result = solve_gated(X, y, patterns, dtype="float32", tol=1e-4, **options)
    assert result.success
    assert result.fun == pytest.approx(reference.fun, rel=1e-4)
    assert result.state["point"].dtype == np.float32
    assert result.x.dtype == np.float64
    farkas.verify(result.certificate, X, y).check()


@pytest.mark.parametrize("u_update", ["eigh", "cg"])
def test_single_precision_on_a_device_never_mixes_types(u_update):
    X, y, patterns = data()  # the stand-in refuses to promote an array by itself
    expected = solve_relu(X, y, patterns, alpha=0.3, tol=1e-6)
    result = solve_relu(
        on_device(X), on_device(y), patterns, alpha=0.3, dtype="float32", tol=1e-3,
        u_update=u_update,
    )  # fmt: skip
    assert result.success
    assert result.fun == pytest.approx(expected.fun, rel=1e-3)
    assert result.state["point"].dtype == np.float32
    farkas.verify(result.certificate, X, y).check()


def test_single_precision_continues_bit_for_bit():
    X, y, patterns = data()
    options = {"alpha": 0.3, "tol": 0.0, "dtype": "float32"}
    whole = solve_relu(X, y, patterns, max_iter=100, **options)
    half = solve_relu(X, y, patterns, max_iter=50, **options)
    other = solve_relu(X, y, patterns, max_iter=100, state=half.state, **options)
    assert np.array_equal(other.state["point"], whole.state["point"])


def test_single_precision_in_an_estimator():
    X, y, _ = data()
    options = {"refine": 3, "n_patterns": 20, "random_state": 0, "tol": 1e-3}
    double = ConvexMLPClassifier(0.3, **options).fit(X[:, :2], y)
    single = ConvexMLPClassifier(0.3, dtype="float32", **options).fit(X[:, :2], y)
    assert single.objective_ == pytest.approx(double.objective_, rel=2e-3)
    farkas.verify(single, X[:, :2], y).check()
    for wrong, message in (
        ({"dtype": "float16"}, "dtype='float16' must be one of"),
        ({"dtype": "float32", "eps": 0.1}, "dtype='float32' does not go with eps"),
        (
            {"dtype": "float32", "multi_class": "joint", "activation": "gated"},
            "dtype='float32' does not go with multi_class='joint'",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            ConvexMLPClassifier(0.3, **{**options, **wrong}).fit(X[:, :2], y)
    with pytest.raises(ValueError, match=r"float64.*dtype='float32'"):
        solve_relu(X, y, data()[2], alpha=1.0, dtype="float32", u_update="rbcd")
