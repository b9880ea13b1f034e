"""Record the course of a solver as a table of equal-length columns.

Every history has the columns ``iteration``, ``elapsed`` (seconds on a monotonic clock),
``objective`` and ``certificate`` (NaN on rows where it was not evaluated), followed by
the columns a method adds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

MANDATORY = ("iteration", "elapsed", "objective", "certificate")

# At verbose=1 a line appears for every 25th record: a fit of 1000 iterations then fills
# one screen.
_RECORDS_PER_LINE = 25
_FIRST_CAPACITY = 64


class Recorder:
    """Table of a solver's progress that grows geometrically.

    Parameters
    ----------
    every : int, default=1
        Record the iterations divisible by `every`. 0 switches recording, and with it
        all output, off.
    columns : sequence of str, default=()
        Names of the columns that the method adds to the mandatory ones.
    verbose : {0, 1, 2}, default=0
        1 prints a line for every 25th record and for forced ones, 2 for every record.
    name : str, default=""
        Printed at the start of each line.
    start : mapping of str to array-like, optional
        History of an earlier run, with the same columns. Its rows are kept and
        ``elapsed`` continues from its last row.

    Attributes
    ----------
    elapsed : float
        Seconds since construction, plus those of `start`.

    Raises
    ------
    ValueError
        If a parameter is outside its range or `start` has other columns.

    Examples
    --------
    >>> recorder = Recorder(every=10, columns=("step",))
    >>> for k in range(26):
    ...     recorder.record(k, objective=1.0 / (k + 1), step=0.5, force=k == 25)
    >>> recorder.to_dict()["iteration"]
    array([ 0, 10, 20, 25])
    """

    def __init__(
        self,
        every: int = 1,
        columns: Sequence[str] = (),
        verbose: int = 0,
        name: str = "",
        start: Mapping[str, ArrayLike] | None = None,
    ) -> None:
        if every < 0:
            raise ValueError(
                f"every={every!r} must be an integer >= 0; use 0 to record nothing."
            )
        if verbose not in (0, 1, 2):
            raise ValueError(f"verbose={verbose!r} must be 0, 1 or 2.")
        self._every = every
        self._verbose = verbose
        self._name = name
        self._columns = (*MANDATORY, *columns)
        if len(set(self._columns)) < len(self._columns):
            raise ValueError(
                f"columns={tuple(columns)!r} must be distinct and differ from the "
                f"mandatory columns {MANDATORY}; rename the repeated one."
            )
        # One float table holds all columns: an iteration number is exact below 2**53.
        self._rows = self._earlier_rows(start)
        self._size = len(self._rows)
        offset = self._rows[-1, 1] if self._size else 0.0
        self._origin = time.perf_counter() - float(offset)

    def _earlier_rows(
        self, start: Mapping[str, ArrayLike] | None
    ) -> NDArray[np.float64]:
        if not start:
            return np.empty((0, len(self._columns)))
        if set(start) != set(self._columns):
            raise ValueError(
                f"start has the columns {sorted(start)}, this method records "
                f"{sorted(self._columns)}; pass the history of the same method."
            )
        return np.column_stack([np.asarray(start[c], float) for c in self._columns])

    @property
    def elapsed(self) -> float:
        """Seconds since construction, plus those of an earlier run."""
        return time.perf_counter() - self._origin

    def due(self, iteration: int) -> bool:
        """Tell whether `record` would keep this iteration without ``force``.

        Parameters
        ----------
        iteration : int
            Number of the iteration.

        Returns
        -------
        bool
            Lets a solver skip the work for a row that would be dropped.
        """
        return self._every > 0 and iteration % self._every == 0

    def record(
        self,
        iteration: int,
        *,
        objective: float,
        certificate: float = math.nan,
        force: bool = False,
        **values: float,
    ) -> None:
        """Add the row of one iteration, or replace the row it already has.

        Parameters
        ----------
        iteration : int
            Number of the iteration; never less than the one recorded last.
        objective : float
            Objective value.
        certificate : float, default=nan
            Value of the certificate, NaN where it was not evaluated.
        force : bool, default=False
            Keep the row although the iteration is not divisible by ``every``; for the
            first and the final row.
        **values : float
            Values of the method's columns; a column left out is NaN in this row.

        Raises
        ------
        ValueError
            If `iteration` decreases, or `values` names an unknown column.
        """
        if not (self.due(iteration) or (force and self._every)):
            return
        if not values.keys() <= set(self._columns[len(MANDATORY) :]):
            raise ValueError(
                f"record() got the columns {sorted(values)}, but this history has "
                f"{self._columns}; name them in Recorder(columns=...)."
            )
        self._place(iteration)
        self._rows[self._size - 1] = (
            iteration,
            self.elapsed,
            float(objective),
            float(certificate),
            *(float(values.get(c, math.nan)) for c in self._columns[len(MANDATORY) :]),
        )
        if self._verbose == 2 or (
            self._verbose == 1 and (force or self._size % _RECORDS_PER_LINE == 1)
        ):
            self._print_last()

    def _place(self, iteration: int) -> None:
        """Make the last row the one of `iteration`."""
        last = self._rows[self._size - 1, 0] if self._size else -math.inf
        if iteration < last:
            raise ValueError(
                f"iteration={iteration!r} is less than the last recorded one, "
                f"{int(last)}; record iterations in increasing order."
            )
        if iteration == last:
            return
        if self._size == len(self._rows):
            capacity = max(_FIRST_CAPACITY, 2 * self._size)
            grown = np.empty((capacity, len(self._columns)))
            grown[: self._size] = self._rows[: self._size]
            self._rows = grown
        self._size += 1

    def _print_last(self) -> None:
        iteration, elapsed, *others = self._rows[self._size - 1].tolist()
        cells = [f"iteration {int(iteration):7d}", f"elapsed {elapsed:9.3f} s"]
        for column, value in zip(self._columns[2:], others, strict=True):
            digits = 8 if column == "objective" else 3
            # 8 places hold sign, first digit, point and exponent (e+123).
            cells.append(f"{column} {value:{digits + 8}.{digits}e}")
        print("  ".join([self._name, *cells] if self._name else cells), flush=True)

    def to_dict(self) -> dict[str, NDArray[Any]]:
        """Copy the table into a dictionary of columns.

        Returns
        -------
        dict of str to ndarray
            Arrays of shape (n_records,): ``iteration`` int64, all others float64.
        """
        table = {
            column: self._rows[: self._size, j].copy()
            for j, column in enumerate(self._columns)
        }
        return table | {"iteration": table["iteration"].astype(np.int64)}
