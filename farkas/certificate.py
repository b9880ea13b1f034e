"""The certificate: data with which a sceptic redoes a solver's claim by arithmetic.

A certificate is minted by :func:`farkas.certify` and re-checked by
:func:`farkas.verify`; it holds no code and no reference to the solver.
"""

import base64
import dataclasses
import hashlib
import html
import json
import math
from collections.abc import Mapping
from enum import StrEnum
from os import PathLike
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Parameter = float | int | str | bool


class CertificateError(ValueError):
    """A certificate is malformed, or what it claims does not hold."""


class Guarantee(StrEnum):
    """What a certificate proves about the answer.

    GLOBAL
        ``lower <= optimum <= upper`` is proven.
    LOCAL
        First-order stationarity, or a poll set without a better point.
    PROBABILISTIC
        Holds with the confidence stated in ``parameters["confidence"]``.
    DIAGNOSTIC
        Measures agreement and bounds nothing.
    """

    GLOBAL = "global"
    LOCAL = "local"
    PROBABILISTIC = "probabilistic"
    DIAGNOSTIC = "diagnostic"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Certificate:
    """Everything that is needed to redo a claim about a fit, and the claim itself.

    Parameters
    ----------
    kind : str
        The field's name for ``value``, such as ``"duality_gap"``.
    problem : str
        Key of the problem whose measure redoes the claim, ``"package.name/version"``.
    value : float
        The claimed number, nonnegative; ``inf`` says that nothing is claimed.
    tolerance : float
        The certificate is satisfied when ``value <= tolerance * scale``.
    scale : float, default=1.0
        Positive scalar that depends on the data only.
    guarantee : Guarantee
        What the claim means.
    lower : float, default=-inf
        Proven lower bound of the optimum.
    upper : float, default=inf
        Proven upper bound of the optimum.
    residuals : mapping of str to float
        Further measured numbers, absolute and unscaled.
    witness : mapping of str to ndarray
        The arrays that the arithmetic needs; kept as read-only copies.
    parameters : mapping of str to float, int, str or bool
        The numbers that define the problem besides its data.
    assumptions : tuple of str
        What the claim takes for granted.
    fingerprint : str, default=""
        Hash of the data; empty for black boxes.
    seal : str, default=""
        Hash of problem, parameters and witness, so that an edit is noticed even where
        the claim would survive it. Empty skips the comparison.
    created_with : str, default=""
        Name and version of the library.

    Raises
    ------
    CertificateError
        If a field has the wrong type or range.

    Examples
    --------
    >>> import farkas
    >>> X, y = [[1, 0], [0, 2], [1, 1]], [1, 2, 3]
    >>> c = farkas.certify_lasso(X, y, [1.2, 1.0], alpha=0.5, tolerance=0.1)
    >>> c.satisfied, round(c.lower, 3), round(c.upper, 3), c.guarantee.name
    (True, 1.242, 1.44, 'GLOBAL')
    >>> farkas.Certificate.from_json(c.to_json()).value == c.value
    True
    """

    kind: str
    problem: str
    value: float
    tolerance: float
    scale: float = 1.0
    guarantee: Guarantee
    lower: float = -math.inf
    upper: float = math.inf
    residuals: Mapping[str, float] = dataclasses.field(default_factory=dict)
    witness: Mapping[str, NDArray[Any]] = dataclasses.field(default_factory=dict)
    parameters: Mapping[str, Parameter] = dataclasses.field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    fingerprint: str = ""
    seal: str = ""
    created_with: str = ""

    def __post_init__(self) -> None:
        put = object.__setattr__
        for name in ("kind", "problem", "fingerprint", "seal", "created_with"):
            if not isinstance(getattr(self, name), str):
                raise CertificateError(f"{name} must be a str.")
        for name in ("value", "tolerance", "scale", "lower", "upper"):
            put(self, name, _real(name, getattr(self, name)))
        for name, low in (("value", 0.0), ("tolerance", 0.0)):
            if not getattr(self, name) >= low:
                raise CertificateError(
                    f"{name}={getattr(self, name)!r} must be a number >= {low:g}."
                )
        if not 0.0 < self.scale < math.inf:
            raise CertificateError(f"scale={self.scale!r} must be positive and finite.")
        if math.isnan(self.lower) or math.isnan(self.upper):
            raise CertificateError("lower and upper must not be NaN.")
        try:
            put(self, "guarantee", Guarantee(self.guarantee))
        except ValueError:
            allowed = ", ".join(level.value for level in Guarantee)
            raise CertificateError(
                f"guarantee={self.guarantee!r} must be one of {allowed}."
            ) from None
        put(self, "residuals", _frozen(self.residuals, "residuals", _real))
        put(self, "witness", _frozen(self.witness, "witness", _array))
        put(self, "parameters", _frozen(self.parameters, "parameters", _parameter))
        if isinstance(self.assumptions, str) or not all(
            isinstance(text, str) for text in self.assumptions
        ):
            raise CertificateError("assumptions must be a tuple of str.")
        put(self, "assumptions", tuple(self.assumptions))

    @property
    def satisfied(self) -> bool:
        """Whether ``value <= tolerance * scale``."""
        return self.value <= self.tolerance * self.scale

    @property
    def relative(self) -> float:
        """``value / scale``."""
        return self.value / self.scale

    @property
    def gap(self) -> float:
        """Width ``upper - lower`` of the proven interval, ``inf`` if unbounded."""
        if math.isinf(self.lower) and self.lower == self.upper:
            return math.inf
        return self.upper - self.lower

    def without_witness(self) -> Self:
        """Drop what is needed to redo the claim.

        Returns
        -------
        Certificate
            The claim alone; it cannot be verified.
        """
        return dataclasses.replace(self, witness={}, seal="")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the certificate.

        Returns
        -------
        dict
            Plain values and arrays.
        """
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        for name in ("residuals", "witness", "parameters"):
            fields[name] = dict(fields[name])
        fields["guarantee"] = self.guarantee.value
        return fields

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Rebuild a certificate from :meth:`to_dict`.

        Parameters
        ----------
        fields : mapping
            What :meth:`to_dict` returned.

        Returns
        -------
        Certificate
            Equal to the first in every bit.

        Raises
        ------
        CertificateError
            If a field is missing, unknown or malformed.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        if unknown := sorted(set(fields) - known):
            raise CertificateError(f"unknown certificate fields: {unknown}.")
        try:
            return cls(**fields)
        except TypeError as error:
            raise CertificateError(f"not a certificate: {error}") from None

    def to_json(self) -> str:
        """Write the certificate as text.

        Returns
        -------
        str
            UTF-8 JSON with sorted keys, which restores every bit.
        """
        return json.dumps(
            _encode(self.to_dict()), sort_keys=True, indent=1, allow_nan=False
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Rebuild a certificate from :meth:`to_json`.

        Parameters
        ----------
        text : str or bytes
            What :meth:`to_json` returned.

        Returns
        -------
        Certificate
            Equal to the first in every bit.

        Raises
        ------
        CertificateError
            If the text is not the JSON form of a certificate.
        """
        try:
            fields = _decode(json.loads(text, parse_constant=_refuse))
        except (
            ValueError,
            TypeError,
            KeyError,
            OverflowError,
            RecursionError,
        ) as error:
            raise CertificateError(f"not a certificate in JSON: {error}") from None
        if not isinstance(fields, dict):
            raise CertificateError("not a certificate in JSON: expected an object.")
        return cls.from_dict(fields)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the JSON form to a file.

        Parameters
        ----------
        path : str or path-like
            The file; it is replaced if it exists.
        """
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.to_json())

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read a certificate that :meth:`save` wrote.

        Parameters
        ----------
        path : str or path-like
            The file.

        Returns
        -------
        Certificate
            Equal to the saved one in every bit.

        Raises
        ------
        CertificateError
            If the file holds anything else.
        """
        with open(path, encoding="utf-8") as file:
            return cls.from_json(file.read())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_dict, (self.to_dict(),)

    def __repr__(self) -> str:
        sign = "<=" if self.satisfied else ">"
        text = f"{self.kind} {self.value:.3g} {sign} {self.tolerance * self.scale:.3g}"
        if math.isfinite(self.lower) or math.isfinite(self.upper):
            text += f", {self.lower:.7g} <= optimum <= {self.upper:.7g}"
        return f"Certificate({text}, {self.guarantee.name}, {self.problem})"

    def _repr_html_(self) -> str:
        rows = [
            (html.escape(self.kind), f"{self.value:.4g}"),
            ("tolerance &times; scale", f"{self.tolerance * self.scale:.4g}"),
            ("satisfied", "yes" if self.satisfied else "no"),
            ("proven lower bound", f"{self.lower:.8g}"),
            ("upper bound", f"{self.upper:.8g}"),
            ("guarantee", self.guarantee.name),
            ("assumptions", html.escape("; ".join(self.assumptions)) or "none"),
            ("problem", html.escape(self.problem)),
        ]
        body = "".join(
            f'<tr><th style="text-align: left">{name}</th>'
            f'<td style="text-align: left">{text}</td></tr>'
            for name, text in rows
        )
        return f'<table class="farkas-certificate"><tbody>{body}</tbody></table>'


def seal(
    problem: str,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> str:
    """Return the hash that binds a witness and parameters to their problem."""
    digest = hashlib.blake2b(problem.encode(), digest_size=16)
    for name in sorted(parameters):
        digest.update(f"{name}={_parameter(name, parameters[name])!r};".encode())
    for name in sorted(witness):
        digest.update(name.encode())
        update_with_array(digest, np.asarray(witness[name]))
    return digest.hexdigest()


def update_with_array(digest: Any, array: NDArray[Any]) -> None:
    """Feed dtype, shape and C-order bytes of ``array`` to a hash."""
    digest.update(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))


def _real(name: str, value: Any) -> float:
    kinds = int | float | np.integer | np.floating
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise CertificateError(f"{name}={value!r} must be a real number.")
    try:
        return float(value)
    except OverflowError:
        raise CertificateError(f"{name} is too large for a float.") from None


def _parameter(name: str, value: Any) -> Parameter:
    plain = value.item() if isinstance(value, np.generic) else value
    if not isinstance(plain, bool | int | float | str):
        raise CertificateError(
            f"{name} must be a float, int, str or bool, got {type(value).__name__}."
        )
    return plain


def _array(name: str, value: Any) -> NDArray[Any]:
    try:
        array = np.array(value, order="C")
    except (ValueError, TypeError) as error:
        raise CertificateError(f"{name} must be an array: {error}") from None
    if array.dtype.kind not in "biufcUS":
        raise CertificateError(f"{name} must be a numeric array, got {array.dtype}.")
    array.flags.writeable = False
    return array


def _frozen(mapping: Any, field: str, convert: Any) -> Mapping[str, Any]:
    if not isinstance(mapping, Mapping):
        raise CertificateError(f"{field} must be a mapping from names to values.")
    items = {}
    for name, value in mapping.items():
        if not isinstance(name, str):
            raise CertificateError(f"{field} must have str keys, got {name!r}.")
        items[name] = convert(f"{field}[{name!r}]", value)
    return MappingProxyType(items)


def _encode(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _encode(item) for name, item in value.items()}
    if isinstance(value, np.ndarray):
        return {
            "__array__": base64.b64encode(value.tobytes()).decode("ascii"),
            "dtype": value.dtype.str,
            "shape": list(value.shape),
        }
    if isinstance(value, float) and not math.isfinite(value):
        return {"__float__": repr(value)}
    if isinstance(value, tuple):
        return list(value)
    return value


def _refuse(literal: str) -> Any:
    raise ValueError(f"{literal} is not a JSON number")


def _decode(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if "__float__" in value:
        return float(value["__float__"])
    if "__array__" in value:
        dtype = np.dtype(str(value["dtype"]))
        if dtype.hasobject:
            raise ValueError("arrays of Python objects are not allowed")
        raw = base64.b64decode(value["__array__"], validate=True)
        return np.frombuffer(raw, dtype=dtype).reshape(value["shape"])
    return {name: _decode(item) for name, item in value.items()}
