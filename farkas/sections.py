"""What a package shows in the demo: sections of plain data, and helpers to make them.

A package joins the demo with one function ``sections()`` in its module ``demo``; it
yields :class:`Section` objects, and the report knows how to draw them.
"""

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

import farkas
from farkas.certificate import Certificate
from farkas.plotting import BLUE, GREY, plot_certificate, plot_history


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit:
    """A fit with a certificate, and the outcome of re-checking it.

    Parameters
    ----------
    data : str
        Name of the data set.
    model : str
        Name of the model.
    source : object
        The estimator, result or certificate itself.
    certificate : Certificate
        Its certificate.
    seconds : float
        Time of the fit.
    verified : bool
        Whether ``farkas.verify`` accepted it on the data.
    message : str
        What ``farkas.verify`` said.
    """

    data: str
    model: str
    source: Any
    certificate: Certificate
    seconds: float
    verified: bool
    message: str

    @property
    def objective(self) -> float:
        """Objective that was reached, the upper bound of the optimum."""
        return self.certificate.upper


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
    """How one model did on the rows that were held out.

    Parameters
    ----------
    model : str
        Name of the model.
    value : float
        Its score; more is better.
    seconds : float
        Time of its final fit.
    setting : str
        What was chosen for it on the training rows.
    ours : bool
        Whether it comes with a certificate.
    """

    model: str
    value: float
    seconds: float
    setting: str = ""
    ours: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """A drawing that is made when the report needs it.

    Parameters
    ----------
    name : str
        Short name, also of the file that ``--plot`` writes.
    caption : str
        What one sees; also read to those who do not see it.
    draw : callable
        Draws on the matplotlib axes that it gets.
    size : tuple of float
        Width and height in inches.
    """

    name: str
    caption: str
    draw: Callable[[Any], Any]
    size: tuple[float, float] = (5.2, 3.4)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """One card of the report.

    Parameters
    ----------
    package : str
        Who contributes it.
    title : str
        Heading.
    prose : sequence of str
        Paragraphs.
    fits : sequence of Fit
        Certified fits; the first is the one whose numbers stand out.
    facts : sequence of tuple of str
        Pairs of a name and a value about the data.
    metric : str
        Name of the scores.
    scores : sequence of Score
        Ours and those of the peers.
    figures : sequence of Figure
        Drawings.
    code : str
        Lines that repeat the fit and its check.
    """

    package: str
    title: str
    prose: Sequence[str]
    fits: Sequence[Fit] = ()
    facts: Sequence[tuple[str, str]] = ()
    metric: str = ""
    scores: Sequence[Score] = ()
    figures: Sequence[Figure] = ()
    code: str = ""


def timed(label: str, work: Callable[[], Any]) -> tuple[Any, float]:
    """Run ``work`` under a line of progress.

    Parameters
    ----------
    label : str
        Printed before the work starts.
    work : callable
        Called without arguments.

    Returns
    -------
    result : object
        What ``work`` returned.
    seconds : float
        How long it took.
    """
    print(f"  {label:<56} ", end="", flush=True)
    start = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - start
    print(f"{seconds:8.2f} s", flush=True)
    return result, seconds


def certified(
    data: str, model: str, work: Callable[[], Any], arrays: Iterable[ArrayLike]
) -> Fit:
    """Fit under a line of progress, then re-check the certificate on the data.

    Parameters
    ----------
    data, model : str
        Names for the report.
    work : callable
        Returns the fitted estimator, result or certificate.
    arrays : iterable of array-like
        What the fit received, in order.

    Returns
    -------
    Fit
        With the outcome of ``farkas.verify``, good or bad.
    """
    source, seconds = timed(f"{data}: {model}", work)
    outcome = farkas.verify(source, *arrays)
    certificate = (
        source
        if isinstance(source, Certificate)
        else getattr(source, "certificate_", None) or source.certificate
    )
    print(f"    {outcome.message}", flush=True)
    return Fit(
        data=data,
        model=model,
        source=source,
        certificate=certificate,
        seconds=seconds,
        verified=bool(outcome),
        message=outcome.message,
    )


def number_text(value: float, digits: int = 7) -> str:
    """Write a number, with a dash where there is none and no needless exponent."""
    if not np.isfinite(value):
        return "–"
    if value != 0 and not 1e-4 <= abs(value) < 1e7:
        return f"{value:.{min(digits, 3)}g}"
    return np.format_float_positional(value, digits, fractional=False, trim="-")


def interval_text(lower: float, upper: float) -> tuple[str, str]:
    """Write two bounds with enough digits to tell them apart."""
    for digits in range(7, 18):
        texts = number_text(lower, digits), number_text(upper, digits)
        if texts[0] != texts[1]:
            break
    return texts


def interval_figure(fits: Sequence[Fit]) -> Figure:
    """Return the figure of the proven intervals of ``fits``."""
    rows = {fit.model if len(fits) > 1 else "": fit.certificate for fit in fits}
    certificate = fits[0].certificate
    lower, upper = interval_text(certificate.lower, certificate.upper)
    caption = (
        f"The proven interval: the optimum lies between {lower} and {upper}. The "
        "shaded band is what the tolerance allows."
        if len(fits) == 1
        else "Proven intervals of several candidates of one problem."
    )
    return Figure(
        name="interval",
        caption=caption,
        draw=lambda ax: plot_certificate(rows, ax=ax),
        size=(5.2, 1.2 + 0.75 * len(fits)),
    )


def history_figure(fit: Fit, note: str = "") -> Figure:
    """Return the figure of how the bounds of ``fit`` closed in; the caption ends so."""
    ending = "ends below" if fit.certificate.satisfied else "does not reach"
    caption = (
        "Both bounds close in on the optimum (above). Their distance, on a log scale, "
        f"{ending} the tolerance of the certificate (below). {note}"
    )
    return Figure(
        name="convergence",
        caption=caption.rstrip(),
        draw=lambda ax: plot_history(fit.source, ax=ax),
        size=(5.2, 3.9),
    )


def confusion_figure(
    truth: ArrayLike, prediction: ArrayLike, names: Sequence[str]
) -> Figure:
    """Return the figure that counts held-out rows by true and predicted class.

    Parameters
    ----------
    truth, prediction : array-like of shape (n,)
        Class indices.
    names : sequence of str
        Name of each class.

    Returns
    -------
    Figure
    """
    count = np.zeros((len(names), len(names)), dtype=int)
    np.add.at(count, (np.asarray(truth), np.asarray(prediction)), 1)
    wrong = int(count.sum() - np.trace(count))

    def draw(ax: Any) -> None:
        from matplotlib.patches import Rectangle

        for (row, column), number in np.ndenumerate(count):
            # At most half covered, so that the number stays readable.
            share = 0.5 * number / max(1, count[row].sum())
            corner = column - 0.5, row - 0.5
            ax.add_patch(
                Rectangle(corner, 0.97, 0.97, facecolor=BLUE, alpha=share, lw=0)
            )
            if number:
                ax.text(column, row, str(number), ha="center", va="center")
        size = len(names)
        ax.set(
            xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5), aspect="equal",
            xlabel="predicted", ylabel="true",
        )  # fmt: skip
        ax.set_xticks(range(size), names)
        ax.set_yticks(range(size), names)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)

    return Figure(
        name="confusion",
        caption=f"Held-out rows by true and predicted class: {wrong} of "
        f"{count.sum()} are wrong.",
        draw=draw,
        size=(5.2, 3.9),
    )


def parity_figure(truth: ArrayLike, prediction: ArrayLike, quantity: str) -> Figure:
    """Return the figure that sets predictions against the truth.

    Parameters
    ----------
    truth, prediction : array-like of shape (n,)
        Values on held-out rows.
    quantity : str
        What they are, with their unit.

    Returns
    -------
    Figure
    """
    truth, prediction = np.asarray(truth, float), np.asarray(prediction, float)

    def draw(ax: Any) -> None:
        ends = [min(truth.min(), prediction.min()), max(truth.max(), prediction.max())]
        ax.plot(ends, ends, color=GREY, lw=1.2, ls="--", label="perfect")
        ax.plot(truth, prediction, "o", color=BLUE, ms=4.5, alpha=0.6, mew=0)
        ax.set(xlabel=f"true {quantity}", ylabel="predicted", aspect="equal")
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.25, lw=0.6)
        ax.legend(frameon=False, loc="upper left")

    error = float(np.abs(truth - prediction).mean())
    return Figure(
        name="parity",
        caption=f"Held-out rows, predicted against true; mean error {error:.3g}.",
        draw=draw,
        size=(5.2, 3.9),
    )
