"""From bit strings to classes: interpretations, observables, readout noise."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantum._measure_circuit import popcounts
from quantum._measure_model import Readout as MeasuredReadout
from quantum._measure_model import readout_from

Array = NDArray[np.float64]

INTERPRETATIONS = ("parity", "majority", "modulo")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Readout:
    """What is read from the final states, as diagonal weights in some basis.

    Parameters
    ----------
    n : int
        Number of qubits.
    n_classes : int
        Number of classes.
    classes : ndarray of shape (d,) or None
        Class of each bit string.
    readout_error : ndarray of shape (n, 2, 2) or None
        Column-stochastic; entry ``[q, i, j]`` is the probability of reading i from j.
    depolarizing : float
        Weight of the uniform mixture.
    paulis : ndarray of shape (T, n) or None
        Pauli words of an observable, 0 to 3 for I, X, Y, Z.
    coefficients : ndarray of shape (T,) or None
        Their coefficients.
    members : ndarray of shape (T,) or None
        Class whose observable a word belongs to; None with one observable for all.
    """

    n: int
    n_classes: int
    classes: NDArray[np.int64] | None = None
    readout_error: Array | None = None
    depolarizing: float = 0.0
    paulis: NDArray[np.int64] | None = None
    coefficients: Array | None = None
    members: NDArray[np.int64] | None = None

    @property
    def is_observable(self) -> bool:
        """Whether outputs are an expectation value."""
        return self.paulis is not None

    def witness(self) -> dict[str, Any]:
        """Return the arrays that a certificate stores."""
        names = ("classes", "readout_error", "paulis", "coefficients", "members")
        return {k: getattr(self, k) for k in names if getattr(self, k) is not None}

    @functools.cached_property
    def measured(self) -> MeasuredReadout:
        """The same readout in the certificate's own arithmetic."""
        parameters = {"depolarizing": float(self.depolarizing)}
        return readout_from(self.witness(), parameters, self.n, self.n_classes)

    @functools.cached_property
    def diagonal(self) -> tuple[Array, NDArray[np.complex128] | None]:
        """Weights (C, r) and the basis (d, r) whose columns they belong to.

        The basis is None for the computational one. Each of several observables has d
        columns of its own.
        """
        if self.paulis is None:
            return self.measured.effects, None
        d = 2**self.n
        identity = np.eye(d, dtype=complex)
        C = 1 if self.members is None else self.n_classes
        operators = [
            self.measured.apply(identity, np.repeat(row[:, None], d, axis=1), self.n)
            for row in np.eye(C)
        ]
        if not (self.paulis % 3).any():  # only I and Z: diagonal as it is
            return np.array([np.diagonal(A).real for A in operators]), None
        pairs = [np.linalg.eigh(0.5 * (A + A.conj().T)) for A in operators]
        weights = np.kron(np.eye(C), np.ones(d)) * np.concatenate([v for v, _ in pairs])
        return weights, np.concatenate([W for _, W in pairs], axis=1)

    @property
    def rank(self) -> float | None:
        """Trace of the effect of class 1, for two classes."""
        if self.n_classes != 2 or self.is_observable:
            return None
        return float(self.measured.effects[0].sum())


def class_table(
    interpret: str | Callable[[int], int] | None, n: int, n_classes: int
) -> NDArray[np.int64]:
    """Return the class of every bit string of n qubits.

    Parameters
    ----------
    interpret : {"parity", "majority", "modulo"}, callable or None
        None is parity for two classes, modulo for more. A callable maps the integer
        to its class.
    n : int
        Number of qubits.
    n_classes : int
        K.

    Returns
    -------
    ndarray of shape (2**n,)

    Raises
    ------
    ValueError
        If a class has no bit string.
    """
    d, K = 2**n, n_classes
    if K > d:
        raise ValueError(
            f"{K} classes need at least {K} bit strings, but {n} qubits have {d}; use "
            "more qubits."
        )
    if interpret is None:
        interpret = "parity" if K == 2 else "modulo"
    if callable(interpret):
        table = np.array([interpret(b) for b in range(d)])
        if table.dtype.kind not in "iu" or table.min() < 0 or table.max() >= K:
            raise ValueError(
                f"interpret must map every integer below {d} to a class from 0 to "
                f"{K - 1}."
            )
        missing = sorted(set(range(K)) - set(table.tolist()))
        if missing:
            raise ValueError(
                f"interpret reaches no bit string of class {missing[0]} (K={K}, n={n})."
            )
        return table.astype(np.int64)
    if interpret == "modulo":
        return np.arange(d) % K
    if interpret not in INTERPRETATIONS:
        allowed = ", ".join(map(repr, INTERPRETATIONS))
        raise ValueError(
            f"interpret={interpret!r} must be one of {allowed}, or a callable."
        )
    if K != 2:
        raise ValueError(
            f"interpret={interpret!r} is for 2 classes, but there are K={K} (n={n}); "
            "use 'modulo'."
        )
    if interpret == "majority":
        if n % 2 == 0:
            raise ValueError(
                f"interpret='majority' needs an odd number of qubits, but n={n} "
                f"(K={K}); use 'parity'."
            )
        return (popcounts(n) > n / 2).astype(np.int64)
    return popcounts(n) % 2


def observable_readout(observable: Any, n: int, n_classes: int) -> Readout:
    """Return the readout of one observable for two classes, or of one a class.

    Parameters
    ----------
    observable : str, Pauli, SparsePauliOp, or list or tuple of them
        See :func:`observable_words`.
    n : int
        Number of qubits.
    n_classes : int
        K.

    Returns
    -------
    Readout

    Raises
    ------
    ValueError
        If the number of observables does not fit that of the classes.
    """
    several = isinstance(observable, list | tuple) and len(observable) != 1
    if not several:
        if n_classes != 2:
            raise ValueError(
                f"one observable is for 2 classes, but y holds {n_classes}; pass a "
                f"list of {n_classes}, or use interpret."
            )
        if isinstance(observable, list | tuple):
            (observable,) = observable
        words, c = observable_words(observable, n)
        return Readout(n=n, n_classes=2, paulis=words, coefficients=c)
    if len(observable) != n_classes:
        raise ValueError(
            f"observable holds {len(observable)} operators, but y holds {n_classes} "
            "classes; pass one for each class."
        )
    pairs = [observable_words(one, n) for one in observable]
    return Readout(
        n=n, n_classes=n_classes, paulis=np.concatenate([w for w, _ in pairs]),
        coefficients=np.concatenate([c for _, c in pairs]),
        members=np.repeat(np.arange(n_classes), [len(c) for _, c in pairs]),
    )  # fmt: skip


def observable_words(observable: Any, n: int) -> tuple[NDArray[np.int64], Array]:
    """Return the Pauli words (T, n) and coefficients (T,) of an observable.

    Parameters
    ----------
    observable : str, Pauli or SparsePauliOp
        A word such as ``"ZZI"`` (qubit 0 rightmost, as in Qiskit), or a sum of words.
    n : int
        Number of qubits.

    Returns
    -------
    paulis, coefficients : ndarray

    Raises
    ------
    ValueError
        If it has another number of qubits or is not Hermitian.
    """
    if isinstance(observable, str):
        labels, coefficients = [observable], np.ones(1)
    elif hasattr(observable, "to_list") or hasattr(observable, "to_label"):
        from qiskit.quantum_info import SparsePauliOp

        pairs = SparsePauliOp(observable).simplify().to_list()  # a Pauli has one term
        labels = [label for label, _ in pairs]
        complex_ = np.array([c for _, c in pairs])
        if np.abs(complex_.imag).max() > 0:
            raise ValueError("observable must be Hermitian: its coefficients are real.")
        coefficients = complex_.real.copy()
    else:
        raise TypeError(
            f"observable must be a str, a Pauli or a SparsePauliOp, or a list of them, "
            f"got {type(observable).__name__}; a sum of words is one SparsePauliOp."
        )
    for label in labels:
        if len(label) != n or set(label) - set("IXYZ"):
            raise ValueError(
                f"observable {label!r} must have {n} letters out of I, X, Y, Z."
            )
    words = np.array([["IXYZ".index(c) for c in reversed(w)] for w in labels])
    return words.astype(np.int64), coefficients
