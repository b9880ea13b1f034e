"""What certified scikit-learn estimators share.

This is the only file that touches ``sklearn.callback``, an interface that scikit-learn
marks as experimental.
"""

from __future__ import annotations

import functools
import math
import numbers
import warnings
from collections.abc import Callable, Collection, Mapping
from typing import Any

from numpy.typing import NDArray
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import ConvergenceWarning

from farkas.certificate import Certificate
from farkas.parallel import blas_threads_for
from farkas.status import Status


def certified_fit(fit: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate ``fit``: callbacks are torn down, however it ends.

    Small data are fitted with one BLAS thread, see :func:`blas_threads_for`.

    Every ``fit`` of a :class:`CertifiedMixin` carries it.

    Parameters
    ----------
    fit : callable
        The method.

    Returns
    -------
    callable
        The decorated method.
    """

    @functools.wraps(fit)
    def clean_fit(self: Any, *args: Any, **kwargs: Any) -> Any:
        X = args[0] if args else kwargs.get("X")
        try:
            with blas_threads_for(X):
                return fit(self, *args, **kwargs)
        finally:
            self.__dict__.pop("_fit_task", None)

    decorated: Callable[..., Any] = with_callbacks(clean_fit)
    return decorated


class CertifiedMixin(CallbackSupportMixin):  # type: ignore[misc]
    """Callbacks, the outcome of a fit and its warning, for certified estimators.

    ``fit`` is decorated with :func:`certified_fit`, hands the result of
    ``_solver_callback`` to its solver, and ends with ``_record_fit``. In a notebook the
    certificate appears below scikit-learn's diagram of the estimator.
    """

    def _solver_callback(
        self,
        X: Any,
        y: Any,
        *,
        max_subtasks: int | None = None,
        reconstruction_attributes: Callable[[Any], dict[str, Any]] | None = None,
    ) -> Callable[..., None] | None:
        """Open the fit's task for scikit-learn callbacks.

        Parameters
        ----------
        X, y : array-like
            Training data, shown to the callbacks.
        max_subtasks : int, optional
            Number of times that the solver will call at most, if known.
        reconstruction_attributes : callable, optional
            Maps an intermediate result to the fitted attributes that make the
            estimator predict; called only when a callback asks for it.

        Returns
        -------
        callable or None
            A callback in SciPy's protocol that opens one sub-task a call and raises
            StopIteration when a callback asks to stop. None when there is no callback,
            so that the solver's loop pays nothing.
        """
        # scikit-learn 1.9 has no public way to ask whether there are callbacks.
        if not getattr(self, "_skl_callbacks", None):
            return None
        root = self._init_callback_context(max_subtasks=max_subtasks)
        task = {"estimator": self, "X": X, "y": y}
        root.call_on_fit_task_begin(**task)
        self._fit_task = (root, task)

        def callback(intermediate_result: Any) -> None:
            attributes = None
            if reconstruction_attributes is not None:
                attributes = functools.partial(
                    reconstruction_attributes, intermediate_result
                )
            context = root.subcontext(task_name="iteration")
            context.call_on_fit_task_begin(**task)
            if context.call_on_fit_task_end(
                **task, reconstruction_attributes=attributes
            ):
                raise StopIteration

        return callback

    def _record_fit(
        self,
        *,
        certificate: Certificate | None,
        history: Mapping[str, NDArray[Any]],
        n_iter: int,
        status: Status | int,
        message: str | None = None,
    ) -> None:
        """Store the outcome of a fit, and warn if the solver did not do its job.

        Parameters
        ----------
        certificate : Certificate or None
            Stored as ``certificate_``.
        history : mapping of str to ndarray
            Stored as ``history_``.
        n_iter : int
            Stored as ``n_iter_``, at least 1.
        status : Status
            Stored as ``status_``.
        message : str, optional
            Stored as ``message_``; default: the sentence of the status.
        """
        self.certificate_ = certificate
        self.history_ = dict(history)
        self.n_iter_ = max(int(n_iter), 1)
        self.status_ = Status(status)
        self.message_ = self.status_.message if message is None else message
        if hasattr(self, "_fit_task"):
            root, task = self._fit_task
            # The estimator itself is fitted by now: nothing needs reconstruction.
            root.call_on_fit_task_end(**task, reconstruction_attributes=dict)
        if not self.status_.success:
            warnings.warn(
                f"{type(self).__name__}: {self.message_} {certificate!r}",
                ConvergenceWarning,
                stacklevel=3,
            )

    @property
    def _repr_html_(self) -> Callable[[], str]:
        diagram: Callable[[], str] = super()._repr_html_
        return lambda: diagram() + self._certificate_html()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        bundle: dict[str, str] = super()._repr_mimebundle_(**kwargs)
        if "text/html" in bundle:
            bundle["text/html"] += self._certificate_html()
        return bundle

    def _certificate_html(self) -> str:
        certificate = getattr(self, "certificate_", None)
        return "" if certificate is None else certificate._repr_html_()


def check_choice(name: str, value: Any, options: Collection[Any]) -> None:
    """Raise ValueError unless ``value`` is one of ``options``.

    Parameters
    ----------
    name : str
        Parameter to name in the message.
    value : object
        Its value.
    options : collection
        What is allowed.

    Raises
    ------
    ValueError
        If it is not.

    Examples
    --------
    >>> check_choice("loss", "hinge", ("squared", "hinge"))
    """
    if not any(type(value) is type(option) and value == option for option in options):
        allowed = ", ".join(repr(option) for option in options)
        raise ValueError(f"{name}={value!r} must be one of {allowed}.")


def check_number(
    name: str,
    value: Any,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    inclusive: str = "both",
    integer: bool = False,
) -> None:
    """Raise an error unless ``value`` is a finite number in range.

    Unlike ``sklearn.utils.check_scalar``, it takes neither NaN nor a bool for a number.

    Parameters
    ----------
    name : str
        Parameter to name in the message.
    value : object
        Its value.
    low : float, default=-inf
        Least allowed value.
    high : float, default=inf
        Largest allowed value.
    inclusive : {"both", "left", "right", "neither"}, default="both"
        Which of the two bounds are allowed themselves.
    integer : bool, default=False
        Whether only integers are allowed.

    Raises
    ------
    TypeError
        If `value` is not a number of that type.
    ValueError
        If it is out of range, infinite or NaN.

    Examples
    --------
    >>> check_number("tol", 1e-4, low=0.0)
    >>> check_number("alpha", -1, low=0.0, inclusive="neither")
    Traceback (most recent call last):
        ...
    ValueError: alpha=-1 must be a finite number > 0.
    """
    kind: Any = numbers.Integral if integer else numbers.Real
    noun = "an integer" if integer else "a finite number"
    limits = []
    if low > -math.inf:
        limits.append(f"{'>=' if inclusive in ('both', 'left') else '>'} {low:g}")
    if high < math.inf:
        limits.append(f"{'<=' if inclusive in ('both', 'right') else '<'} {high:g}")
    allowed = " ".join([noun, " and ".join(limits)]).rstrip()
    if isinstance(value, bool) or not isinstance(value, kind):
        raise TypeError(
            f"{name}={value!r} must be {allowed}, got {type(value).__name__}."
        )
    above = value >= low if inclusive in ("both", "left") else value > low
    below = value <= high if inclusive in ("both", "right") else value < high
    if not (above and below and math.isfinite(value)):
        raise ValueError(f"{name}={value!r} must be {allowed}.")
