"""Leaps of a fixed-point iteration that moves by the same step again and again.

Where two units are worth almost the same, a splitting iteration carries weight from one
to the other at a constant speed, for 10^5 steps and more. All residuals are equal then,
so no combination of them is smaller, and Anderson acceleration stands still. But the
way is known: the step is taken many times at once, four times as many after each leap
that the iteration goes on from in the same way. A leap too far, after which the
residual has grown, is undone.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Iterations between two looks, and the change of the step over that many up to which it
# counts as the same. Measured on 400 small programs, of which 4 drifted for more than
# 5000 iterations before: 260 to 1030 with leaps, the others as before.
LOOK_EVERY = 10
SAME_STEP = 1e-2

FIRST_LEAP = 10.0  # steps at once
GROWTH = 4.0

# Growth of the residual after which a leap is undone.
SAFEGUARD = 2.0


class Drift:
    """What is known about the drift of a fixed-point iteration.

    Parameters
    ----------
    size : int
        Length of the iterate.
    state : dict, optional
        What :meth:`state` returned, to continue bit for bit.
    """

    def __init__(self, size: int, state: dict[str, Any] | None = None) -> None:
        self.step = np.full(size, np.nan)  # at the last look; NaN: none is known
        self.fallback = np.zeros(size)  # where the last leap started
        self.residual = np.nan  # there; NaN: no leap is to be judged
        self.length = FIRST_LEAP
        if state is not None:
            self.step[:] = state["drift_step"]
            self.fallback[:] = state["drift_fallback"]
            self.residual = float(state["drift_residual"])
            self.length = float(state["drift_length"])

    def state(self) -> dict[str, Any]:
        """Return what is needed to continue."""
        return {
            "drift_step": self.step.copy(),
            "drift_fallback": self.fallback.copy(),
            "drift_residual": self.residual,
            "drift_length": self.length,
        }

    def reset(self) -> None:
        """Forget the last step, as the iteration has changed."""
        self.step[:] = np.nan
        self.residual = np.nan

    def propose(self, image: Array, step: Array) -> Array | None:
        """Return where to go on from instead of ``image``, or None.

        Parameters
        ----------
        image, step : ndarray of shape (size,)
            The next iterate, and the step that led there.

        Returns
        -------
        ndarray of shape (size,) or None
            A leap along the step if it is the one of the last look; the point before
            the last leap if that went too far.
        """
        norm = float(np.linalg.norm(step))
        if norm > SAFEGUARD * self.residual:  # False if no leap is to be judged
            self.length = max(self.length / GROWTH, FIRST_LEAP)
            self.reset()
            return self.fallback.copy()
        if self.residual == self.residual:
            self.length *= GROWTH
            self.residual = np.nan
        change = float(np.linalg.norm(step - self.step))
        if not change <= SAME_STEP * norm:  # NaN if no step is known
            self.step[:] = step
            return None
        self.reset()
        self.fallback[:], self.residual = image, norm
        return image + self.length * step
