"""One door to the array libraries: NumPy, CuPy, and array_api_strict as a stand-in.

Code in array-API style asks `get_namespace` for the namespace and device, moves its
operands there with `to_device`, and uses the functions below where the standard has a
gap. Nothing moves between libraries unless the caller says so. The stand-in behaves
like a GPU that every machine has: arrays on its ``Device("device1")`` refuse any
implicit conversion to NumPy.

With ``device="cpu"`` the answer is NumPy. With ``device="cuda"`` the computation is
CuPy's, and the caller gives NumPy back (`asnumpy`) when the user passed NumPy.
"""

from __future__ import annotations

from numbers import Number
from typing import Any

import array_api_compat
import numpy as np
from scipy.sparse import issparse

DEVICES = ("auto", "cpu", "cuda")


def check_device(device: str) -> None:
    """Check that a `device` parameter is known and usable on this machine.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"}
        What the user asked for.

    Raises
    ------
    ValueError
        If `device` is none of the three.
    RuntimeError
        If it is "cuda" and CuPy or a CUDA device is missing.
    """
    if device not in DEVICES:
        raise ValueError(f"device={device!r} must be one of {DEVICES}.")
    if device == "cuda":
        _check_cuda()


def _check_cuda() -> None:
    try:
        import cupy
    except ImportError as error:
        raise RuntimeError(
            "device='cuda' needs CuPy; install the extra gpu-cuda12 or gpu-cuda13 "
            "that fits the driver, or use device='cpu'."
        ) from error
    if not cupy.cuda.is_available():
        raise RuntimeError(
            "device='cuda' found CuPy but no usable CUDA device; check the driver and "
            "that the installed extra (gpu-cuda12 or gpu-cuda13) fits it, or use "
            "device='cpu'."
        )


def get_namespace(*arrays: Any, device: str = "auto") -> tuple[Any, Any]:
    """Find the namespace and the device on which a computation shall run.

    Parameters
    ----------
    *arrays : array, sparse matrix, scalar or None
        The operands. None and scalars have no say.
    device : {"auto", "cpu", "cuda"}, default="auto"
        "auto" stays where the arrays are, "cpu" means NumPy, "cuda" means CuPy.

    Returns
    -------
    xp : module
        Namespace that follows the array API standard.
    device : object
        Device to pass to `to_device` and to creation functions of `xp`: "cpu" for
        NumPy, a device object for the others.

    Raises
    ------
    TypeError
        If the arrays belong to two libraries, or to one that is not supported.
    ValueError
        If the arrays lie on two devices, or `device` is unknown.
    RuntimeError
        If `device` is "cuda" and CuPy or a CUDA device is missing.

    Examples
    --------
    >>> xp, device = get_namespace(np.eye(2), None, 1.0)
    >>> xp.sum(xp.ones(3)), device
    (np.float64(3.0), 'cpu')
    """
    check_device(device)
    members = [x for x in arrays if not _is_scalar(x)]
    library = _common_library(*members)
    if device == "cpu" or (device == "auto" and library == "numpy"):
        import array_api_compat.numpy as xp

        return xp, "cpu"
    if device == "cuda" and library != "cupy":
        import array_api_compat.cupy as xp

        return xp, xp.cuda.Device()
    homes = [_device_of(x) for x in members]
    # CuPy's devices can be compared but not hashed.
    if any(home != homes[0] for home in homes):
        raise ValueError(
            f"arrays lie on the devices {homes}; move them to one of these first."
        )
    return _namespace_of(members[0]), homes[0]


def _is_scalar(x: Any) -> bool:
    return x is None or isinstance(x, Number)


def _library(x: Any) -> str:
    """Name the library of an array or sparse matrix."""
    if isinstance(x, np.ndarray) or issparse(x):
        return "numpy"
    if array_api_compat.is_cupy_array(x) or _is_cupy_sparse(x):
        return "cupy"
    if _is_strict(x):
        return "array_api_strict"
    raise TypeError(
        f"an array of type {type(x).__module__}.{type(x).__qualname__} is not "
        "supported; convert it to a NumPy or CuPy array."
    )


def _is_cupy_sparse(x: Any) -> bool:
    return type(x).__module__.startswith("cupyx.")


def _is_strict(x: Any) -> bool:
    return type(x).__module__.startswith("array_api_strict.")


def _common_library(*arrays: Any) -> str:
    libraries = sorted({_library(x) for x in arrays})
    if len(libraries) > 1:
        raise TypeError(
            f"arrays of {' and '.join(libraries)} are mixed; convert them to one "
            "library first, nothing is transferred silently."
        )
    return libraries[0] if libraries else "numpy"


def _namespace_of(x: Any) -> Any:
    return array_api_compat.array_namespace(x.data if _is_cupy_sparse(x) else x)


def _device_of(x: Any) -> Any:
    return array_api_compat.device(x.data if _is_cupy_sparse(x) else x)


def to_device(x: Any, xp: Any, device: Any) -> Any:
    """Move an array to where `get_namespace` said the computation runs.

    Parameters
    ----------
    x : array or sparse matrix
        Any shape, any of the supported libraries.
    xp : module
        Target namespace.
    device : object
        Target device.

    Returns
    -------
    array or sparse matrix
        Same values; no copy if `x` is there already. A SciPy sparse matrix becomes CSR
        in CuPy and dense in the stand-in, which has no sparse type.
    """
    if array_api_compat.is_numpy_namespace(xp):
        return asnumpy(x)
    if array_api_compat.is_cupy_namespace(xp):
        return _to_cupy(x, xp, device)
    if _is_strict(x):
        return x.to_device(device)
    host = asnumpy(x)
    return xp.asarray(host.toarray() if issparse(host) else host, device=device)


def _to_cupy(x: Any, xp: Any, device: Any) -> Any:
    with device:
        if _is_cupy_sparse(x) or issparse(x):
            from cupyx.scipy import sparse

            return sparse.csr_matrix(x)
        return xp.asarray(x if array_api_compat.is_cupy_array(x) else asnumpy(x))


def asnumpy(x: Any) -> Any:
    """Copy an array to the host, explicitly.

    Parameters
    ----------
    x : array, sparse matrix or array-like
        Any shape.

    Returns
    -------
    ndarray or SciPy sparse matrix
        `x` itself if it is one of these already.
    """
    if issparse(x):
        return x
    if array_api_compat.is_cupy_array(x) or _is_cupy_sparse(x):
        return x.get()
    if _is_strict(x):
        host = array_api_compat.array_namespace(x).Device("CPU_DEVICE")
        return np.asarray(x.to_device(host))
    return np.asarray(x)


def synchronize(device: Any) -> None:
    """Wait until a device has done all work queued so far.

    Parameters
    ----------
    device : object
        As returned by `get_namespace`. Only CuPy's devices work in the background; for
        any other there is nothing to wait for.
    """
    if hasattr(device, "synchronize"):
        device.synchronize()


def solve_triangular(a: Any, b: Any, *, lower: bool, trans: bool = False) -> Any:
    """Solve a x = b, or its transpose, for a triangular matrix.

    Parameters
    ----------
    a : array of shape (n, n)
        Only the triangle chosen by `lower` is read.
    b : array of shape (n,) or (n, k)
        Right-hand sides.
    lower : bool
        Which triangle of `a` is read.
    trans : bool, default=False
        Solve with the transpose of that triangle instead.

    Returns
    -------
    array of the shape of `b`
        In the library and on the device of the operands. On CuPy a zero on the
        diagonal gives non-finite entries.

    Raises
    ------
    TypeError
        If `a` and `b` belong to two libraries.
    numpy.linalg.LinAlgError
        If the diagonal has a zero (not on CuPy).

    Examples
    --------
    >>> L = np.array([[2.0, 0.0], [1.0, 1.0]])
    >>> solve_triangular(L, np.array([2.0, 3.0]), lower=True)
    array([1., 2.])
    """
    library = _common_library(a, b)
    if library == "array_api_strict":
        xp = _namespace_of(a)
        triangle = xp.tril(a) if lower else xp.triu(a)
        return xp.linalg.solve(xp.matrix_transpose(triangle) if trans else triangle, b)
    if library == "cupy":
        from cupyx.scipy import linalg
    else:
        from scipy import linalg
    return linalg.solve_triangular(
        a, b, trans=int(trans), lower=lower, check_finite=False
    )


def cho_factor(a: Any) -> Any:
    """Factor a symmetric positive definite matrix as L L^T.

    Parameters
    ----------
    a : array of shape (n, n)
        Symmetric.

    Returns
    -------
    array of shape (n, n)
        The lower triangular factor L, zeros above the diagonal; to be passed to
        `cho_solve`.

    Raises
    ------
    numpy.linalg.LinAlgError
        If `a` is not numerically positive definite, or not finite.

    Examples
    --------
    >>> cho_factor(np.array([[4.0, 2.0], [2.0, 2.0]]))
    array([[2., 0.],
           [1., 1.]])
    """
    if _library(a) == "numpy":
        from scipy import linalg

        # SciPy returns Fortran order, which LAPACK then takes without a copy at each
        # cho_solve.
        factor = linalg.cholesky(a, lower=True, check_finite=False)
    else:
        factor = _namespace_of(a).linalg.cholesky(a)
    # CuPy does not raise, and LAPACK may let NaN pass: the diagonal shows both.
    xp = _namespace_of(a)
    if not bool(xp.all(xp.isfinite(xp.linalg.diagonal(factor)))):
        raise np.linalg.LinAlgError(
            "the matrix is not finite or not positive definite; add a ridge to its "
            "diagonal or rescale the data."
        )
    return factor


def cho_solve(factor: Any, b: Any) -> Any:
    """Solve L L^T x = b with the factor from `cho_factor`.

    Parameters
    ----------
    factor : array of shape (n, n)
        Lower triangular factor L.
    b : array of shape (n,) or (n, k)
        Right-hand sides.

    Returns
    -------
    array of the shape of `b`
        The solution.

    Raises
    ------
    TypeError
        If `factor` and `b` belong to two libraries.

    Examples
    --------
    >>> cho_solve(cho_factor(np.array([[4.0, 2.0], [2.0, 2.0]])), np.array([6.0, 4.0]))
    array([1., 1.])
    """
    half = solve_triangular(factor, b, lower=True)
    return solve_triangular(factor, half, lower=True, trans=True)


def spmm(a: Any, b: Any) -> Any:
    """Multiply a sparse matrix with a dense vector or matrix.

    Parameters
    ----------
    a : sparse matrix or array of shape (m, n)
        Sparse in NumPy and CuPy; dense arrays are accepted too, since the stand-in has
        no sparse type.
    b : array of shape (n,) or (n, k)
        Dense.

    Returns
    -------
    array of shape (m,) or (m, k)
        Dense, in the library of the operands.

    Raises
    ------
    TypeError
        If `a` and `b` belong to two libraries.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> spmm(csr_array(np.diag([1.0, 2.0])), np.array([3.0, 4.0]))
    array([3., 8.])
    """
    _common_library(a, b)
    return a @ b
