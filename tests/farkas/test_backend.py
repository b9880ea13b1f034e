import importlib.util
import subprocess
import sys
import types
import warnings

import array_api_compat.numpy
import array_api_strict
import numpy as np
import pytest
from scipy.sparse import csr_array, csr_matrix

from farkas.backend import (
    asnumpy,
    cho_factor,
    cho_solve,
    get_namespace,
    solve_triangular,
    spmm,
    synchronize,
    to_device,
)

HOST = array_api_strict.Device("CPU_DEVICE")
FAR = array_api_strict.Device("device1")
RNG = np.random.default_rng(0)
A = RNG.standard_normal((5, 5)) + 5.0 * np.eye(5)
SPD = A @ A.T
B = RNG.standard_normal((5, 2))
SPARSE = csr_array(np.where(np.abs(A) > 1.0, A, 0.0))


def numpy_target():
    return array_api_compat.numpy, "cpu"


def strict_target():
    return array_api_strict, HOST


def far_target():
    return array_api_strict, FAR


def cupy_target():
    if importlib.util.find_spec("cupy") is None:
        pytest.skip("CuPy is not installed")
    try:
        return get_namespace(device="cuda")
    except RuntimeError as error:
        pytest.skip(str(error))


@pytest.fixture(
    params=[
        numpy_target,
        strict_target,
        far_target,
        pytest.param(cupy_target, marks=pytest.mark.gpu),
    ]
)
def target(request):
    return request.param()


def far(a):
    return array_api_strict.asarray(a, device=FAR)


def assert_on_target(x, target):
    xp, device = get_namespace(x)
    assert (xp, device) == target


def test_automatic_choice_stays_where_the_arrays_are(target):
    x, y = (to_device(a, *target) for a in (A, B))
    assert get_namespace(x, None, 2.0, np.float64(1.0), y) == target


def test_without_arrays_the_choice_is_numpy():
    assert get_namespace() == numpy_target()
    assert get_namespace(None, 1) == numpy_target()


def test_sparse_matrices_belong_to_numpy():
    assert get_namespace(SPARSE, A) == numpy_target()
    assert get_namespace(csr_matrix(SPARSE)) == numpy_target()


def test_cpu_means_numpy_wherever_the_arrays_are(target):
    x = to_device(A, *target)
    xp, device = get_namespace(x, device="cpu")
    assert (xp, device) == numpy_target()
    moved = to_device(x, xp, device)
    assert type(moved) is np.ndarray
    np.testing.assert_array_equal(moved, A)


def test_two_libraries_are_refused():
    with pytest.raises(TypeError, match="array_api_strict and numpy are mixed"):
        get_namespace(far(A), B)
    with pytest.raises(TypeError, match="mixed"):
        get_namespace(far(A), SPARSE)
    with pytest.raises(TypeError, match="mixed"):
        get_namespace(far(A), B, device="cpu")


@pytest.mark.parametrize("x", [[1.0, 2.0], "text", object()])
def test_what_is_no_array_is_refused(x):
    with pytest.raises(TypeError, match="is not supported"):
        get_namespace(x)


def test_other_array_libraries_are_refused():
    dask_array = pytest.importorskip("dask.array")
    with pytest.raises(TypeError, match=r"dask\.array.*Array is not supported"):
        get_namespace(dask_array.ones(3))


def test_two_devices_of_one_library_are_refused():
    with pytest.raises(ValueError, match="device1.*move them"):
        get_namespace(array_api_strict.asarray(A), far(B))


def test_an_unknown_device_is_refused():
    with pytest.raises(ValueError, match="device='tpu'.*'auto', 'cpu', 'cuda'"):
        get_namespace(A, device="tpu")


def test_cuda_without_cupy_names_the_extras(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(RuntimeError, match="gpu-cuda12 or gpu-cuda13"):
        get_namespace(A, device="cuda")


def test_cuda_without_a_device_names_the_extras(monkeypatch):
    cupy = types.ModuleType("cupy")
    cupy.cuda = types.SimpleNamespace(is_available=lambda: False)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    with pytest.raises(RuntimeError, match=r"no usable CUDA device.*gpu-cuda12"):
        get_namespace(A, device="cuda")


def test_numpy_users_do_not_load_cupy_or_the_stand_in():
    code = (
        "import sys, numpy as np, farkas.backend as b; b.get_namespace(np.eye(2));"
        "b.cho_factor(np.eye(2)); b.asnumpy([1]); b.synchronize('cpu');"
        "print({'cupy', 'cupyx', 'array_api_strict', 'torch', 'jax'} & {*sys.modules})"
    )
    output = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert output.strip() == "set()"


def test_arrays_move_there_and_back(target):
    there = to_device(A, *target)
    assert_on_target(there, target)
    again = to_device(there, *target)
    assert_on_target(again, target)
    back = asnumpy(again)
    assert type(back) is np.ndarray
    np.testing.assert_array_equal(back, A)


def test_numpy_arrays_are_not_copied():
    assert to_device(A, *numpy_target()) is A
    assert asnumpy(A) is A
    assert asnumpy(SPARSE) is SPARSE


def test_the_stand_in_refuses_a_silent_transfer():
    # The premise of all tests on this device.
    with pytest.raises(RuntimeError, match="Can't convert"):
        np.asarray(far(A))


def test_synchronize_waits_for_devices_that_can_lag():
    class Lagging:
        waited = False

        def synchronize(self):
            self.waited = True

    device = Lagging()
    synchronize(device)
    assert device.waited


def test_synchronize_accepts_every_device(target):
    synchronize(target[1])


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("trans", [True, False])
@pytest.mark.parametrize("b", [B, B[:, 0]], ids=["matrix", "vector"])
def test_solve_triangular_reads_one_triangle(target, lower, trans, b):
    triangle = np.tril(A) if lower else np.triu(A)
    expected = np.linalg.solve(triangle.T if trans else triangle, b)
    x = solve_triangular(
        to_device(A, *target), to_device(b, *target), lower=lower, trans=trans
    )
    assert_on_target(x, target)
    assert x.shape == b.shape
    np.testing.assert_allclose(asnumpy(x), expected, rtol=1e-12)


@pytest.mark.parametrize("b", [B, B[:, 0]], ids=["matrix", "vector"])
def test_cholesky_solves(target, b):
    factor = cho_factor(to_device(SPD, *target))
    assert_on_target(factor, target)
    np.testing.assert_allclose(
        asnumpy(factor), np.linalg.cholesky(SPD), rtol=1e-12, atol=1e-14
    )
    x = cho_solve(factor, to_device(b, *target))
    assert_on_target(x, target)
    np.testing.assert_allclose(asnumpy(x), np.linalg.solve(SPD, b), rtol=1e-10)


@pytest.mark.parametrize(
    "a",
    [-np.eye(3), np.diag([1.0, np.nan, 1.0]), np.diag([1.0, np.inf, 1.0])],
    ids=["indefinite", "nan", "inf"],
)
def test_a_failed_factorization_is_always_reported(target, a):
    with pytest.raises(np.linalg.LinAlgError):
        cho_factor(to_device(a, *target))


def test_a_badly_scaled_triangle_is_solved_without_a_warning():
    with warnings.catch_warnings(action="error"):
        x = solve_triangular(np.diag([1.0, 1e-20]), np.array([1.0, 1.0]), lower=True)
    np.testing.assert_allclose(x, [1.0, 1e20])


def test_operands_are_left_unchanged(target):
    a, b = to_device(SPD.copy(), *target), to_device(B.copy(), *target)
    cho_solve(cho_factor(a), b)
    solve_triangular(a, b, lower=True)
    np.testing.assert_array_equal(asnumpy(a), SPD)
    np.testing.assert_array_equal(asnumpy(b), B)


@pytest.mark.parametrize("b", [B, B[:, 0]], ids=["matrix", "vector"])
@pytest.mark.parametrize("kind", [csr_array, csr_matrix])
def test_sparse_products_are_dense(target, kind, b):
    x = spmm(to_device(kind(SPARSE), *target), to_device(b, *target))
    assert_on_target(x, target)
    assert x.shape == b.shape
    np.testing.assert_allclose(asnumpy(x), SPARSE.toarray() @ b, rtol=1e-13)


@pytest.mark.gpu
def test_a_sparse_matrix_returns_from_the_device():
    there = to_device(SPARSE, *cupy_target())
    assert get_namespace(there) == cupy_target()
    np.testing.assert_array_equal(asnumpy(there).toarray(), SPARSE.toarray())


@pytest.mark.parametrize(
    "operation",
    [
        lambda: solve_triangular(far(A), B, lower=True),
        lambda: cho_solve(far(A), B),
        lambda: spmm(SPARSE, far(B)),
    ],
    ids=["solve_triangular", "cho_solve", "spmm"],
)
def test_operations_refuse_two_libraries(operation):
    with pytest.raises(TypeError, match="mixed"):
        operation()
