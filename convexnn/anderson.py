"""Anderson acceleration of a fixed-point iteration ``x <- F(x)``, with a safeguard.

The accelerated point is the affine combination ``sum_j w_j F(x_j)`` of the last images
whose combined residual ``|sum_j w_j (F(x_j) - x_j)|`` is least (Walker and Ni, 2011);
a point after which the residual grows is undone (as in Zhang, O'Donoghue and Boyd,
arXiv:1808.03971).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Images that are combined, and iterations between two combinations: the plain steps in
# between damp what the combination cannot see. Measured on breast cancer and diabetes.
MEMORY = 15
INTERVAL = 5

# Growth of the residual after which an accelerated point is undone.
SAFEGUARD = 2.0

# Tikhonov weight relative to the mean squared residual.
REGULARIZATION = 1e-8


class Anderson:
    """Memory of the last residuals and images of a fixed-point iteration.

    Parameters
    ----------
    size : int
        Length of the iterate.
    state : dict, optional
        What :meth:`state` returned, to continue bit for bit.
    """

    def __init__(self, size: int, state: dict[str, Any] | None = None) -> None:
        self.residuals = np.zeros((MEMORY, size))
        self.images = np.zeros((MEMORY, size))
        self.gram = np.zeros((MEMORY, MEMORY))
        self.count = 0
        self.fallback_residual = np.inf  # residual norm at the last combination
        if state is not None:
            self.count = int(state["anderson_count"])
            self.fallback_residual = float(state["anderson_residual"])
            self.residuals[:] = state["anderson_residuals"]
            self.images[:] = state["anderson_images"]
            self.gram[:] = state["anderson_gram"]

    def state(self) -> dict[str, Any]:
        """Return what is needed to continue."""
        return {
            "anderson_count": self.count,
            "anderson_residual": self.fallback_residual,
            "anderson_residuals": self.residuals.copy(),
            "anderson_images": self.images.copy(),
            "anderson_gram": self.gram.copy(),
        }

    def reset(self) -> None:
        """Forget everything, as the map F has changed."""
        self.count = 0
        self.fallback_residual = np.inf

    def propose(self, image: Array, residual: Array) -> Array:
        """Return the next iterate after ``image = x + residual``.

        Parameters
        ----------
        image, residual : ndarray of shape (size,)
            F(x) and F(x) - x.

        Returns
        -------
        ndarray of shape (size,)
            The combination; the last good image if the safeguard fires.
        """
        norm = float(np.sqrt(residual @ residual))
        if self.count > 1 and norm > SAFEGUARD * self.fallback_residual:
            good = self.images[(self.count - 1) % MEMORY].copy()
            self.reset()
            return good
        slot = self.count % MEMORY
        self.residuals[slot] = residual
        self.images[slot] = image
        self.count += 1
        self.fallback_residual = norm
        used = min(self.count, MEMORY)
        row = self.residuals[:used] @ residual
        self.gram[slot, :used] = row
        self.gram[:used, slot] = row
        if used < 2:
            return image
        gram = self.gram[:used, :used]
        square = float(np.trace(gram)) / used
        if square == 0.0:  # exact fixed points, or smaller than can be squared
            return image
        matrix = gram / square + REGULARIZATION * np.eye(used)
        weights = np.linalg.solve(matrix, np.ones(used))
        total = float(weights.sum())
        if not np.isfinite(total) or total <= 0:
            return image
        combined: Array = (weights / total) @ self.images[:used]
        return combined
