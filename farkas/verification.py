"""Minting and re-checking certificates.

A *problem* is a measure function: arithmetic that grades any candidate on the user's
data. :func:`certify` and :func:`verify` call the same measure, so the claimed number
is the recomputed number by construction, and a solver has no say in it.
"""

import dataclasses
import hashlib
import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

import farkas
from farkas.certificate import (
    Certificate,
    CertificateError,
    Guarantee,
    Parameter,
    seal,
    update_with_array,
)
from farkas.parallel import blas_threads_for

# Packages whose `_measure` module may be imported to find a problem by its key.
PACKAGES = ("farkas", "convexnn", "sdl", "dfo", "graphs", "quantum")

# Sums of many terms carry a rounding error of a few ulps of the problem's scale.
ROUNDING = 64 * float(np.finfo(np.float64).eps)

_PROBLEMS: dict[str, tuple[Callable[..., "Measurement"], tuple[str, ...]]] = {}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What a measure function returns: the fields of a certificate that it decides.

    Parameters
    ----------
    kind : str
        Name of ``value``, such as ``"duality_gap"``.
    value : float
        The measured number, nonnegative.
    guarantee : Guarantee
        What it means.
    scale : float, default=1.0
        Positive scalar that depends on the data only.
    lower : float, default=-inf
        Proven lower bound of the optimum.
    upper : float, default=inf
        Proven upper bound of the optimum.
    residuals : mapping of str to float
        Further measured numbers.
    assumptions : tuple of str
        What the claim takes for granted.

    Examples
    --------
    >>> from farkas import Guarantee, Measurement
    >>> kind, strength = "duality_gap", Guarantee.GLOBAL
    >>> Measurement(kind=kind, value=0.5, guarantee=strength, lower=1.0).scale
    1.0
    """

    kind: str
    value: float
    guarantee: Guarantee
    scale: float = 1.0
    lower: float = -math.inf
    upper: float = math.inf
    residuals: Mapping[str, float] = dataclasses.field(default_factory=dict)
    assumptions: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Verification:
    """Outcome of :func:`verify`; true in a boolean context when the claim holds.

    Parameters
    ----------
    ok : bool
        Whether the claim holds.
    claimed : float
        ``certificate.value``.
    recomputed : float
        The same number, redone from data and witness (NaN if that was impossible).
    residuals : mapping of str to float
        The recomputed residuals.
    message : str
        One sentence that says what was found.
    """

    ok: bool
    claimed: float
    recomputed: float
    residuals: Mapping[str, float]
    message: str

    def __bool__(self) -> bool:
        return self.ok

    def check(self) -> Self:
        """Raise :class:`CertificateError` if the claim fails.

        Returns
        -------
        Verification
            This one, if it holds.
        """
        if not self.ok:
            raise CertificateError(self.message)
        return self


def problem(
    key: str, *, data: tuple[str, ...]
) -> Callable[[Callable[..., Measurement]], Callable[..., Measurement]]:
    """Register a measure function, ``measure(*data, witness, parameters)``.

    Parameters
    ----------
    key : str
        Registry key ``"package.name/version"``; the package is one of ours.
    data : tuple of str
        Names of the data arrays, in the order in which they are passed.
    """

    def register(measure: Callable[..., Measurement]) -> Callable[..., Measurement]:
        _PROBLEMS[key] = (measure, data)
        return measure

    return register


def certify(
    problem: str,
    data: Sequence[Any],
    witness: Mapping[str, Any],
    parameters: Mapping[str, Parameter] | None = None,
    *,
    tolerance: float,
) -> Certificate:
    """Measure a candidate on the original data and return the certificate.

    Parameters
    ----------
    problem : str
        Registry key, such as ``"farkas.lasso/1"``.
    data : sequence of array-like
        What the user passed to the solver.
    witness : mapping of str to array-like
        The candidate and whatever the arithmetic needs besides it.
    parameters : mapping of str to float, int, str or bool, optional
        The numbers that define the problem besides its data.
    tolerance : float
        The certificate is satisfied when ``value <= tolerance * scale``.

    Returns
    -------
    Certificate
        The claim, measured and sealed.

    Raises
    ------
    CertificateError
        If the problem is unknown or the witness proves nothing.

    Examples
    --------
    >>> import farkas
    >>> X, y = [[1, 0], [0, 2], [1, 1]], [1, 2, 3]
    >>> farkas.certify("farkas.lasso/1", (X, y), {"w": [11 / 9, 19 / 18]},
    ...                {"alpha": 0.5}, tolerance=1e-9).satisfied
    True
    """
    parameters = dict(parameters or {})
    arrays = _as_data(problem, data)
    witness = {name: np.asarray(value) for name, value in witness.items()}
    found = _measure(problem, arrays, witness, parameters)
    return Certificate(
        **{f.name: getattr(found, f.name) for f in dataclasses.fields(found)},
        problem=problem,
        tolerance=tolerance,
        witness=witness,
        parameters=parameters,
        fingerprint=fingerprint(arrays),
        seal=seal(problem, witness, parameters),
        created_with=f"farkas {farkas.__version__}",
    )


def verify(obj: Any, *data: Any, rtol: float = 1e-6) -> Verification:
    """Redo the arithmetic of a certificate, without trusting the solver.

    Parameters
    ----------
    obj : Certificate, OptimizeResult or fitted estimator
        The certificate, or what holds one as ``certificate`` or ``certificate_``.
    *data : array-like
        What the fit or the solver received. A ``y`` that the method does not use is
        ignored. For a black box, the objective function.
    rtol : float, default=1e-6
        Relative room for rounding between two machines.

    Returns
    -------
    Verification
        True in a condition if the claim holds; ``message`` says why if not.

    Raises
    ------
    TypeError
        If ``obj`` holds no certificate.

    Examples
    --------
    >>> import farkas
    >>> X, y = [[1, 0], [0, 2], [1, 1]], [1, 2, 3]
    >>> certificate = farkas.certify_lasso(X, y, [1.2, 1.0], alpha=0.5)
    >>> bool(farkas.verify(certificate, X, y))
    True
    >>> bool(farkas.verify(certificate, X, [1, 2, 4]))
    False
    """
    claim = _certificate_of(obj)
    try:
        arrays = _as_data(claim.problem, data)
        if claim.fingerprint and claim.fingerprint != fingerprint(arrays):
            return _rejected(claim, "the data are not those of the certificate")
        if claim.seal and claim.seal != seal(
            claim.problem, claim.witness, claim.parameters
        ):
            return _rejected(claim, "the witness or the parameters were changed")
        found = _measure(claim.problem, arrays, claim.witness, claim.parameters)
    except Exception as error:  # any failure of the arithmetic refutes the claim
        return _rejected(claim, f"the claim cannot be redone: {error}")
    problems = _disagreements(claim, found, rtol)
    return Verification(
        ok=not problems,
        claimed=claim.value,
        recomputed=found.value,
        residuals=found.residuals,
        message="; ".join(problems)
        or f"verified: {claim.kind} {found.value:.3g}, {found.guarantee.name}",
    )


def fingerprint(arrays: Sequence[Any]) -> str:
    """Return the blake2b-128 hash of dtype, shape and bytes of every data array.

    Functions have no fingerprint: with one among the data the result is empty.
    """
    if any(callable(array) for array in arrays):
        return ""
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        if hasattr(array, "indptr"):
            digest.update(f"csr{array.shape}".encode())
            for part in (array.indptr, array.indices):
                update_with_array(digest, part.astype(np.int64))
            update_with_array(digest, array.data)
        else:
            update_with_array(digest, array)
    return digest.hexdigest()


def _certificate_of(obj: Any) -> Certificate:
    for candidate in (
        obj,
        getattr(obj, "certificate_", None),
        getattr(obj, "certificate", None),
    ):
        if isinstance(candidate, Certificate):
            return candidate
    raise TypeError(
        f"obj={type(obj).__name__} holds no certificate; pass a Certificate, a solver "
        "result or a fitted estimator (certificate=None leaves nothing to check)."
    )


def _lookup(key: str) -> tuple[Callable[..., Measurement], tuple[str, ...]]:
    package = key.partition(".")[0]
    module = f"{package}._measure"
    if key not in _PROBLEMS and package in PACKAGES and find_spec(module):
        importlib.import_module(module)
    if key not in _PROBLEMS:
        raise CertificateError(f"problem={key!r} is not known to this version.")
    return _PROBLEMS[key]


def _measure(
    key: str,
    arrays: Sequence[Any],
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    first = arrays[0] if arrays else None
    try:
        with blas_threads_for(first):
            return _lookup(key)[0](*arrays, witness=witness, parameters=parameters)
    except KeyError as error:
        raise CertificateError(
            f"{key}: {error} is missing from the witness or the parameters, or is "
            "not known to this version."
        ) from None


def _as_data(key: str, data: Sequence[Any]) -> list[Any]:
    names = _lookup(key)[1]
    if len(data) < len(names):
        raise CertificateError(
            f"{key} needs the data ({', '.join(names)}), got {len(data)} of them."
        )
    # A y that the method does not use is cut off.
    pairs = zip(names, data, strict=False)
    return [_canonical(name, item) for name, item in pairs]


def _canonical(name: str, item: Any) -> Any:
    """Numbers as float64, text as str arrays, sparse as sorted CSR, functions as is."""
    if callable(item) and not hasattr(item, "__array__"):
        return item
    if hasattr(item, "tocsr"):
        matrix = item.tocsr(copy=True).astype(np.float64, copy=False)
        matrix.sum_duplicates()
        return matrix
    if hasattr(item, "get") and hasattr(item, "device"):  # CuPy never converts silently
        item = item.get()
    array = np.asarray(item)
    if array.dtype.kind == "O":
        text = all(isinstance(entry, str) for entry in array.flat)
        return array.astype(str if text else np.float64, order="C")
    if array.dtype.kind in "US":
        return np.ascontiguousarray(array)
    if array.dtype.kind not in "biuf":
        raise CertificateError(f"{name} must hold real numbers, got {array.dtype}.")
    shared = array.astype(np.float64, order="C", copy=False).view()
    shared.flags.writeable = False
    return shared


def _rejected(claim: Certificate, why: str) -> Verification:
    return Verification(
        ok=False, claimed=claim.value, recomputed=math.nan, residuals={}, message=why
    )


def _disagreements(claim: Certificate, found: Measurement, rtol: float) -> list[str]:
    """Name every point in which the claim says more than was found."""

    def room(number: float) -> float:
        size = abs(number) if math.isfinite(number) else 0.0
        return rtol * size + ROUNDING * found.scale

    problems = []
    if not found.value <= claim.value + room(claim.value):
        problems.append(f"{claim.kind} is {found.value:.6g}, not {claim.value:.6g}")
    if not claim.lower <= found.lower + room(claim.lower):
        problems.append(f"lower is {found.lower:.10g}, not {claim.lower:.10g}")
    if not claim.upper >= found.upper - room(claim.upper):
        problems.append(f"upper is {found.upper:.10g}, not {claim.upper:.10g}")
    if not abs(claim.scale - found.scale) <= rtol * found.scale:
        problems.append(f"scale is {found.scale:.6g}, not {claim.scale:.6g}")
    for name in ("kind", "guarantee", "assumptions"):
        if getattr(claim, name) != getattr(found, name):
            problems.append(
                f"{name} is {getattr(found, name)!r}, not {getattr(claim, name)!r}"
            )
    if set(claim.residuals) != set(found.residuals):
        problems.append(f"residuals are {sorted(found.residuals)}")
    else:
        problems += [
            f"residual {name} is {found.residuals[name]:.6g}, not {number:.6g}"
            for name, number in claim.residuals.items()
            if not _close(number, found.residuals[name], room(number))
        ]
    return problems


def _close(claimed: float, found: float, room: float) -> bool:
    return (
        claimed == found
        or abs(claimed - found) <= room
        or (math.isnan(claimed) and math.isnan(found))
    )
