"""One self-contained HTML page about certified fits: what was proven, and how well.

The page needs no network: styles are inline and figures are SVG inside the page.
"""

from __future__ import annotations

import dataclasses
import html
import io
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from farkas.certificate import Certificate
from farkas.verification import Verification


@dataclasses.dataclass(frozen=True)
class Fit:
    """One certified answer.

    Parameters
    ----------
    name : str
        What was solved, in a few words.
    certificate : Certificate
        Its certificate.
    verification : Verification
        Outcome of checking it again.
    seconds : float
        Time of the fit.
    """

    name: str
    certificate: Certificate
    verification: Verification
    seconds: float


@dataclasses.dataclass(frozen=True)
class Score:
    """A model's score on rows that it has not seen.

    Parameters
    ----------
    model : str
        Name of the model.
    value : float
        The score.
    seconds : float
        Time of the fit, without the choice of hyper-parameters.
    ours : bool, default=False
        Whether the model is one of ours.
    """

    model: str
    value: float
    seconds: float
    ours: bool = False


@dataclasses.dataclass(frozen=True)
class Section:
    """One part of the page.

    Parameters
    ----------
    title : str
        Heading.
    prose : str
        One paragraph.
    fits : sequence of Fit
        Certified answers.
    metric : str, default=""
        Name of the scores.
    scores : sequence of Score, default=()
        Ours beside the peers'.
    figures : sequence of (caption, draw)
        ``draw(ax)`` draws one figure on matplotlib axes.
    """

    title: str
    prose: str
    fits: Sequence[Fit]
    metric: str = ""
    scores: Sequence[Score] = ()
    figures: Sequence[tuple[str, Callable[[Any], Any]]] = ()


FIT_COLUMNS = (
    "problem",
    "objective",
    "proven lower bound",
    "gap",
    "guarantee",
    "seconds",
    "re-checked",
)


def fit_cells(fit: Fit) -> list[str]:
    """Return the cells of a fit under ``FIT_COLUMNS``, as text."""
    certificate = fit.certificate
    return [
        fit.name,
        _number(certificate.upper, "{:.6g}"),
        _number(certificate.lower, "{:.6g}"),
        _number(certificate.value, "{:.1e}"),
        certificate.guarantee.name,
        f"{fit.seconds:.2f}",
        "holds" if fit.verification.ok else "REJECTED",
    ]


def render(sections: Sequence[Section]) -> str:
    """Return the page.

    Parameters
    ----------
    sections : sequence of Section
        Its parts, in order.

    Returns
    -------
    str
        A complete HTML document.
    """
    fits = [fit for section in sections for fit in section.fits]
    held = sum(fit.verification.ok for fit in fits)
    body = "\n".join(_section(section) for section in sections)
    return _PAGE.format(
        style=_STYLE, held=held, total=len(fits), body=body, recheck=_RECHECK
    )


def figure_svg(draw: Callable[[Any], Any]) -> str:
    """Return a figure as SVG text.

    Parameters
    ----------
    draw : callable
        ``draw(ax)`` draws on matplotlib axes.

    Returns
    -------
    str
        One ``svg`` element; text in it takes the colour of the page.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.4), layout="constrained")
    axes = figure.subplots()
    draw(axes)
    for spine in ("top", "right"):
        axes.spines[spine].set_visible(False)
    buffer = io.StringIO()
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    # Identifiers must differ between the figures of one page.
    prefix = f"f{abs(hash(svg)) % 10**8}"
    svg = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{prefix}", svg)
    return re.sub(r'\s(xmlns(:\w+)?|version)="[^"]*"', "", svg).replace(
        "xlink:href", "href"
    )


def _section(section: Section) -> str:
    parts = [
        f"<section><h2>{_text(section.title)}</h2><p>{_text(section.prose)}</p>",
        _table(FIT_COLUMNS, [fit_cells(fit) for fit in section.fits]),
    ]
    if section.scores:
        best = max(score.value for score in section.scores)
        rows = [
            [
                score.model,
                f"{score.value:.4f}" + (" (best)" if score.value == best else ""),
                f"{score.seconds:.2f}",
            ]
            for score in section.scores
        ]
        ours = [score.ours for score in section.scores]
        columns = ("model", f"{section.metric} on held-out rows", "seconds")
        parts.append(_table(columns, rows, marked=ours))
    if section.figures:
        figures = "".join(
            f'<figure role="img" aria-label="{_text(caption)}">{figure_svg(draw)}'
            f"<figcaption>{_text(caption)}</figcaption></figure>"
            for caption, draw in section.figures
        )
        parts.append(f'<div class="figures">{figures}</div>')
    return "\n".join(parts) + "</section>"


def _table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], marked: Sequence[bool] = ()
) -> str:
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in columns)
    body = []
    for position, row in enumerate(rows):
        ours = ' class="ours"' if position < len(marked) and marked[position] else ""
        first, *rest = [_text(cell) for cell in row]
        cells = "".join(f"<td>{cell}</td>" for cell in rest)
        body.append(f'<tr{ours}><th scope="row">{first}</th>{cells}</tr>')
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _text(text: str) -> str:
    return html.escape(text, quote=True)


def _number(value: float, form: str) -> str:
    return form.format(value) if math.isfinite(value) else "none"


_RECHECK = """\
import farkas
verification = farkas.verify(model, X, y)  # arithmetic only, no solver
print(verification.message)
model.certificate_.save("certificate.json")  # for someone who has the data"""

_STYLE = """\
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --paper: #fbfaf7;
  --card: #ffffff; --line: #d9d6cf; --accent: #0a5f9e; --mark: #eaf3fa; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e6e1; --soft: #a9b1ba;
  --paper: #15181c; --card: #1d2126; --line: #3a4048; --accent: #7cc0f4;
  --mark: #22303c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 17px/1.55 Georgia, "Times New Roman", serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2.5rem 1.1rem 4rem; }
h1 { font-size: 2.4rem; line-height: 1.15; margin: 0 0 .6rem; }
h2 { font-size: 1.4rem; margin: 0 0 .4rem; }
.lead { font-size: 1.15rem; max-width: 44rem; }
.verdict { color: var(--accent); font-weight: bold; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 1.3rem 1.4rem; margin: 1.6rem 0; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; width: 100%; font: .9rem/1.4 system-ui, sans-serif;
  font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .7rem .4rem 0; text-align: right; white-space: nowrap; }
th[scope=row], th:first-child { text-align: left; font-weight: 600; }
thead th { color: var(--soft); font-weight: 500; border-bottom: 1px solid var(--line); }
tbody tr + tr > * { border-top: 1px solid var(--line); }
.ours > * { background: var(--mark); }
.figures { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit,
  minmax(min(100%, 22rem), 1fr)); }
figure { margin: 0; background: #ffffff; border-radius: 8px; padding: .5rem; }
figure svg { width: 100%; height: auto; display: block; }
figcaption { color: #4a535d; font: .85rem/1.4 system-ui, sans-serif;
  padding: .2rem .4rem; }
pre { background: var(--mark); padding: 1rem; border-radius: 8px; overflow-x: auto;
  font-size: .85rem; line-height: 1.5; }"""

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Farkas: fits that prove themselves</title>
<style>
{style}
</style>
</head>
<body>
<main>
<h1>Fits that prove themselves</h1>
<p class="lead">A solver that says &ldquo;optimal&rdquo; asks to be believed. Each fit on
this page comes with a certificate instead: a point whose objective is an upper bound of
the optimum, and a dual point that proves a lower bound. Anyone can redo both by
arithmetic on the data, without the solver, and see how much could still be gained at
most.</p>
<p class="verdict">{held} of {total} certificates hold after an independent check.</p>
{body}
<section><h2>Check one yourself</h2>
<p>The check recomputes every bound from the data and rejects a certificate of which a
number, a witness or the data were changed.</p>
<pre><code>{recheck}</code></pre></section>
</main>
</body>
</html>
"""
