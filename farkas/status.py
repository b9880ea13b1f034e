"""Why an optimization loop ended, and the sentence that tells the user so.

The status answers "why did the loop stop?". What is known about the answer is said by
the certificate; the two are kept apart on purpose.
"""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """Reason for which a solver stopped.

    Zero and above: the returned point is a legitimate iterate. Below zero: the problem
    or the arithmetic failed.

    Examples
    --------
    >>> Status.MAX_ITER.success, int(Status.MAX_ITER)
    (False, 3)
    >>> Status(0).message
    'The certificate met the tolerance.'
    """

    CONVERGED = 0
    TARGET_REACHED = 1
    CALLBACK = 2
    MAX_ITER = 3
    MAX_EVAL = 4
    MAX_TIME = 5
    STALLED = 6
    INFEASIBLE = -1
    UNBOUNDED = -2
    NUMERICAL = -3

    @property
    def success(self) -> bool:
        """Whether the solver did what it was asked to do."""
        return self in (Status.CONVERGED, Status.TARGET_REACHED)

    @property
    def message(self) -> str:
        """One sentence for the user, from `MESSAGES`."""
        return MESSAGES[self]


MESSAGES: dict[Status, str] = {
    Status.CONVERGED: "The certificate met the tolerance.",
    Status.TARGET_REACHED: "The objective reached the requested target value.",
    Status.CALLBACK: "The callback asked to stop.",
    Status.MAX_ITER: (
        "The iteration limit was reached before the certificate met the tolerance; "
        "raise the limit or loosen the tolerance."
    ),
    Status.MAX_EVAL: (
        "The limit on function evaluations was reached before the certificate met the "
        "tolerance; raise the limit or loosen the tolerance."
    ),
    Status.MAX_TIME: (
        "The time limit was reached before the certificate met the tolerance; "
        "raise the limit or loosen the tolerance."
    ),
    Status.STALLED: (
        "No further progress was possible and the certificate did not meet the "
        "tolerance; loosen the tolerance or rescale the problem."
    ),
    Status.INFEASIBLE: (
        "The constraints contradict one another; the certificate holds the proof."
    ),
    Status.UNBOUNDED: (
        "The objective decreases without bound; the certificate holds the direction."
    ),
    Status.NUMERICAL: (
        "A non-finite value or a failed factorization stopped the solver; the last "
        "finite iterate is returned. Rescale the data or strengthen the penalty."
    ),
}
