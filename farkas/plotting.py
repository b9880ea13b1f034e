"""Draw what a certificate proves, and how a solver came to prove it.

Colours are those of Okabe and Ito, told apart with every common colour vision; what
matters also differs in line style. matplotlib is the extra ``farkas[plot]``.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farkas.certificate import Certificate

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#767676"

# Share of the x axis left free on either side of the outermost bound.
_MARGIN = 0.12
# A band of tolerance thinner than this share of the axis is left out.
_VISIBLE = 0.005
# The upper panel reaches this share of the optimum beyond the last bounds; the first
# bounds, often far away, would flatten the rest.
_FUNNEL = 0.6

_LABELS = {"iteration": "iteration", "elapsed": "seconds"}


def plot_history(model_or_result: Any, *, x: str = "iteration", ax: Any = None) -> Any:
    """Draw how the proven bounds closed in on the optimum.

    Parameters
    ----------
    model_or_result : estimator or OptimizeResult
        Has ``history_`` or ``history``; its certificate gives the tolerance line.
    x : {"iteration", "elapsed"}, default="iteration"
        Horizontal axis: iterations, or seconds.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes of the certificate, on a log scale. If the history has the column
        ``lower_bound``, a panel with both bounds is put above it.

    Raises
    ------
    ValueError
        If `x` is another column, or the history has no row with a finite number.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import farkas
    >>> from convexnn import ConvexMLPRegressor
    >>> model = ConvexMLPRegressor(patterns="all").fit([[0], [1], [2]], [1, 0, 1])
    >>> farkas.plot_history(model).get_yscale()
    'log'
    """
    if x not in _LABELS:
        raise ValueError(f"x={x!r} must be one of {', '.join(_LABELS)}.")
    history = _history(model_or_result)
    certificate = _find(model_or_result, "certificate")
    ax = _axes(ax, (6.0, 4.2))
    position = np.asarray(history[x], dtype=float)
    value = np.asarray(history["certificate"], dtype=float)
    measured = np.isfinite(value)

    if certificate is None:
        kind, limit = "certificate", math.nan
    else:
        kind = certificate.kind.replace("_", " ")
        limit = certificate.tolerance * certificate.scale
    # A log scale has no zero: a value that is exactly zero sits on the floor.
    positive = value[measured & (value > 0)]
    lowest = min(positive.min(initial=math.inf), limit if limit > 0 else math.inf)
    floor = 0.1 * lowest if math.isfinite(lowest) else 1e-16
    shown = np.maximum(value[measured], floor)
    ax.set_yscale("log")
    _line(ax, position[measured], shown, color=BLUE, label=kind)
    if limit > 0:
        ax.axhline(limit, color=ORANGE, ls="--", lw=1.4, label="tolerance")
    ax.set_xlabel(_LABELS[x])
    ax.set_ylabel(kind)
    _tidy(ax)
    ax.legend(frameon=False, loc="best")
    if "lower_bound" in history:
        _draw_bounds(ax, position, history)
    return ax


def plot_certificate(obj: Any, *, ax: Any = None) -> Any:
    """Draw the proven interval ``lower <= optimum <= upper``, one row an object.

    Parameters
    ----------
    obj : Certificate, estimator, OptimizeResult, or a dict or list of them
        What to draw. The keys of a dict name the rows. Compare intervals of one
        problem: those that do not overlap prove which answer is better.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes. A shaded band reaches as far below ``upper`` as the tolerance allows,
        where the certificate's value is the width of the interval.

    Raises
    ------
    ValueError
        If `obj` is empty, or has no certificate.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import farkas
    >>> X, y = [[1, 0], [0, 2], [1, 1]], [1, 2, 3]
    >>> guesses = {"zero": [0, 0], "better": [1, 1]}
    >>> for name, w in guesses.items():
    ...     guesses[name] = farkas.certify_lasso(X, y, w, alpha=1)
    >>> axes = farkas.plot_certificate(guesses)
    >>> [label.get_text() for label in axes.get_yticklabels()]
    ['zero', 'better']
    """
    rows = _certificates(obj)
    ax = _axes(ax, (6.0, 0.9 + 0.8 * len(rows)))
    bounds = [b for c in rows.values() for b in (c.lower, c.upper)]
    finite = [bound for bound in bounds if math.isfinite(bound)]
    left, right = _window(finite, rows.values())
    for height, certificate in enumerate(rows.values()):
        _draw_interval(ax, height, certificate, left, right)
    ax.set_xlim(left, right)
    ax.set_ylim(len(rows) - 0.4, -0.75)
    ax.set_yticks(range(len(rows)), list(rows))
    if finite:
        ax.set_xlabel("objective")
        ax.ticklabel_format(axis="x", useOffset=False)
        ax.locator_params(axis="x", nbins=5)
    else:
        ax.set_xticks([])
    _tidy(ax, grid="x")
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax


def _draw_bounds(ax: Any, position: Any, history: Mapping[str, NDArray[Any]]) -> None:
    """Put a panel with both bounds above ``ax``, sharing its x axis."""
    upper = np.asarray(history["objective"], dtype=float)
    lower = np.asarray(history["lower_bound"], dtype=float)
    known = np.isfinite(upper) & np.isfinite(lower)
    if not known.any():
        return
    top = _panel_above(ax)
    x, upper, lower = position[known], upper[known], lower[known]
    top.fill_between(x, lower, upper, color=BLUE, alpha=0.16, lw=0)
    _line(top, x, upper, color=ORANGE, label="objective")
    _line(top, x, lower, color=BLUE, ls="--", label="proven lower bound")
    half = _FUNNEL * max(abs(upper[-1]), float(np.median(upper - lower)), 1e-300)
    low = max(float(lower.min()), float(lower[-1]) - half)
    high = min(float(upper.max()), float(upper[-1]) + half)
    margin = 0.06 * (high - low) or 1e-9 * max(abs(high), 1.0)
    top.set_ylim(low - margin, high + margin)
    top.ticklabel_format(axis="y", useOffset=False)
    top.tick_params(labelbottom=False)
    top.set_ylabel("bounds")
    _tidy(top)
    top.legend(frameon=False, loc="best")
    ax.figure.align_ylabels([top, ax])


def _panel_above(ax: Any) -> Any:
    """Halve the place of ``ax`` and return new axes in the upper half.

    Axes in a grid stay in it, so that layout engines leave room for all labels.
    """
    spec = ax.get_subplotspec()
    if spec is None:
        left, bottom, width, height = ax.get_position().bounds
        half = 0.47 * height
        ax.set_position((left, bottom, width, half))
        upper = (left, bottom + height - half, width, half)
        return ax.figure.add_axes(upper, sharex=ax)
    halves = spec.subgridspec(2, 1)
    ax.set_subplotspec(halves[1])
    return ax.figure.add_subplot(halves[0], sharex=ax)


def _draw_interval(
    ax: Any, height: int, certificate: Certificate, left: float, right: float
) -> None:
    lower, upper = certificate.lower, certificate.upper
    limit = certificate.tolerance * certificate.scale
    sign = "≤" if certificate.satisfied else ">"
    banded = _measures_width(certificate) and limit > _VISIBLE * (right - left)
    text = (
        f"{certificate.guarantee.name} · {certificate.kind.replace('_', ' ')} "
        f"{certificate.value:.3g} {sign} {limit:.3g}{' (shaded)' if banded else ''}"
    )
    ax.annotate(
        text, (0, height - 0.3), xycoords=("axes fraction", "data"), va="bottom"
    )
    if banded:
        ax.barh(height, limit, left=upper - limit, height=0.34, color=GREEN, alpha=0.25)
    color = BLUE if certificate.satisfied else ORANGE
    if math.isinf(lower) and math.isinf(upper):
        ax.annotate(
            "no bounds", (0.5, height), xycoords=("axes fraction", "data"), ha="center",
            va="center", color=GREY,
        )  # fmt: skip
        return
    ends = max(lower, left), min(upper, right)
    ax.plot(ends, (height, height), color=color, lw=5, solid_capstyle="butt")
    markers = (
        "|" if math.isfinite(lower) else "<",
        "|" if math.isfinite(upper) else ">",
    )
    for end, marker in zip(ends, markers, strict=True):
        ax.plot(end, height, marker, color=color, ms=16, mew=2.5, clip_on=False)


def _window(finite: list[float], certificates: Any) -> tuple[float, float]:
    """Return x limits that hold all bounds and tolerance bands, with a margin."""
    if not finite:
        return 0.0, 1.0
    reach = [
        c.upper - c.tolerance * c.scale for c in certificates if _measures_width(c)
    ]
    low, high = min(finite + reach), max(finite)
    size = high - low or max(abs(high), 1.0) * 1e-9
    return low - _MARGIN * size, high + _MARGIN * size


def _measures_width(certificate: Certificate) -> bool:
    """Whether the certificate's value is the width of its interval."""
    return math.isfinite(certificate.gap) and math.isclose(
        certificate.value, certificate.gap, rel_tol=1e-6, abs_tol=1e-12
    )


def _history(obj: Any) -> Mapping[str, NDArray[Any]]:
    history = _find(obj, "history")
    if not history:
        raise ValueError(
            f"{type(obj).__name__} has no history; pass a fitted estimator or a result "
            "of a solver called with history_every > 0."
        )
    if not np.isfinite(np.asarray(history["certificate"], dtype=float)).any():
        raise ValueError(
            "history['certificate'] holds no finite number, so there is nothing to "
            "draw; allow more iterations."
        )
    return dict(history)


def _certificates(obj: Any) -> dict[str, Certificate]:
    """Return the certificates in ``obj`` under the names of their rows."""
    if isinstance(obj, Mapping) and not hasattr(obj, "certificate"):
        items = {str(name): value for name, value in obj.items()}
    elif isinstance(obj, Sequence) and not isinstance(obj, str):
        items = {_row_name(item, k): item for k, item in enumerate(obj, start=1)}
    else:
        items = {"": obj}
    if not items:
        raise ValueError("obj is empty; pass at least one certificate.")
    rows = {}
    for name, item in items.items():
        certificate = (
            item if isinstance(item, Certificate) else _find(item, "certificate")
        )
        if certificate is None:
            raise ValueError(
                f"{type(item).__name__}{f' under {name!r}' if name else ''} has no "
                "certificate; pass a Certificate, a fitted estimator or a result."
            )
        rows[name] = certificate
    return rows


def _row_name(item: Any, number: int) -> str:
    named = not isinstance(item, Certificate) and hasattr(item, "certificate_")
    return f"{number}: {type(item).__name__}" if named else str(number)


def _find(obj: Any, name: str) -> Any:
    """Return ``obj.name_`` or ``obj.name``, else None."""
    return getattr(obj, f"{name}_", getattr(obj, name, None))


def _axes(ax: Any, size: tuple[float, float]) -> Any:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def _line(ax: Any, x: Any, y: Any, **style: Any) -> None:
    """Draw a line, with markers where the points are few."""
    ax.plot(x, y, lw=2, marker="o" if len(x) <= 12 else "", ms=4, **style)


def _tidy(ax: Any, grid: str = "both") -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis=grid, alpha=0.25, lw=0.6)
    ax.set_axisbelow(True)
