"""Build the `scipy.optimize.OptimizeResult` that every solver function returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray
from scipy.optimize import OptimizeResult

from farkas.status import Status


def make_result(
    x: Any,
    *,
    fun: float,
    status: Status | int,
    nit: int,
    nfev: int = 0,
    njev: int = 0,
    certificate: Any = None,
    history: Mapping[str, NDArray[Any]] | None = None,
    elapsed: float = 0.0,
    state: Mapping[str, Any] | None = None,
    message: str | None = None,
    **extra: Any,
) -> OptimizeResult:
    """Collect what a solver knows at its end under the names of the contract.

    Parameters
    ----------
    x : object
        Solution: an array, or a tuple of arrays where the method has several blocks.
    fun : float
        Objective value at `x`.
    status : Status or int
        Why the loop ended; decides `success`.
    nit : int
        Number of iterations.
    nfev, njev : int, default=0
        Number of function and derivative evaluations.
    certificate : Certificate, optional
        What is known about `x`.
    history : mapping of str to ndarray, optional
        Columns of equal length, see `farkas.history.Recorder`. Default: no columns.
    elapsed : float, default=0.0
        Wall-clock time in seconds.
    state : mapping of str to array or scalar, optional
        What the solver needs to continue. Default: empty.
    message : str, optional
        Replaces the sentence that belongs to `status`.
    **extra : object
        Further fields such as ``lower_bound`` and ``gap``.

    Returns
    -------
    OptimizeResult
        With all fields above and ``success``, which is true exactly when `status` is
        ``CONVERGED`` or ``TARGET_REACHED``.

    Raises
    ------
    ValueError
        If `status` is not a `Status`, or `extra` tries to set ``success``.

    Examples
    --------
    >>> result = make_result([1.0], fun=0.5, status=0, nit=7, lower_bound=0.5)
    >>> result.success, result.status, result.lower_bound
    (True, <Status.CONVERGED: 0>, 0.5)
    """
    if "success" in extra:
        raise ValueError(
            f"success={extra['success']!r} follows from status={status!r}; do not set "
            "it, pass another status instead."
        )
    status = Status(status)
    return _Result(
        x=x,
        fun=float(fun),
        nit=int(nit),
        nfev=int(nfev),
        njev=int(njev),
        status=status,
        success=status.success,
        message=status.message if message is None else message,
        certificate=certificate,
        history=dict(history or {}),
        elapsed=float(elapsed),
        state=dict(state or {}),
        **extra,
    )


class _Result(OptimizeResult):  # type: ignore[misc]
    """A result whose text leaves out empty tables, which SciPy cannot print."""

    def __repr__(self) -> str:
        shown = {k: v for k, v in self.items() if not (isinstance(v, dict) and not v)}
        return repr(OptimizeResult(shown))
