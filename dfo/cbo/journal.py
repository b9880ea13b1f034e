"""What a search writes down and prints while it runs."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from dfo.cbo.dynamics.swarm import CBO
from dfo.cbo.local.covariance import CovarianceSearch

if TYPE_CHECKING:
    from dfo.cbo.search import Plan, Search


class Journal:
    """Rows of a search's history, and a line for each tenth of its budget.

    Parameters
    ----------
    plan : Plan
        What the search was asked to do; its ``record`` and ``disp`` decide.
    """

    def __init__(self, plan: "Plan") -> None:
        self.plan = plan
        self.rows: list[dict[str, Any]] = []
        self._printed = 0

    def note(self, search: "Search", swarm: CBO | CovarianceSearch) -> None:
        """Print and record the present state.

        Parameters
        ----------
        search : Search
            The search.
        swarm : CBO or CovarianceSearch
            Its present run.
        """
        tenth = 10 * search.objective.nfev // max(self.plan.maxfev, 1)
        if self.plan.disp and tenth > self._printed:
            self._printed = tenth
            print(
                f"nfev {search.objective.nfev:9d}  best {search.f: .8e}  "
                f"radius {swarm.radius:.2e}  ess {swarm.ess:.2f}  "
                f"alpha {swarm.alpha:.2e}  restarts {search.run}",
                flush=True,
            )
        if self.plan.record is not None:
            self.rows.append(self._row(search, swarm))

    def _row(self, search: "Search", swarm: CBO | CovarianceSearch) -> dict[str, Any]:
        row = {
            "iteration": search.nit,
            "elapsed": search.elapsed,
            "objective": search.f,
            "certificate": math.nan,
            "best": swarm.best_f,
            "alpha": swarm.alpha,
            "ess": swarm.ess,
            "V": swarm.variance,
            "radius": swarm.radius,
            "nfev": search.objective.nfev,
            "run": search.run,
            "consensus": swarm.consensus,
        }
        population = swarm.population
        if self.plan.x_star is not None:
            offsets = population - self.plan.x_star
            row["V_star"] = float(np.sum(offsets**2)) / (2 * len(population))
        if self.plan.record == "full":
            row["population"] = population
        return row

    def columns(self, search: "Search") -> dict[str, Any]:
        """Return the rows as columns; at least the last state is one.

        Parameters
        ----------
        search : Search
            The search.

        Returns
        -------
        dict of str to ndarray
            Arrays of different shapes, such as populations, are held as objects.
        """
        rows = self.rows or [
            {
                "iteration": search.nit,
                "elapsed": search.elapsed,
                "objective": search.f,
                "certificate": math.nan,
            }
        ]
        columns: dict[str, Any] = {}
        for name in rows[0]:
            values = [row[name] for row in rows]
            same = len({np.shape(value) for value in values}) == 1
            columns[name] = np.array(values) if same else np.empty(len(rows), object)
            if not same:
                columns[name][:] = values
        return columns
