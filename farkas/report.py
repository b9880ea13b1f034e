"""Render the sections of the demo as one HTML file that needs nothing else.

Styles are inline, figures are inline SVG whose colours follow the light or dark scheme
of the reader, and all text that comes from data is escaped.
"""

import io
import math
import re
from collections.abc import Sequence
from html import escape

import farkas
from farkas.plotting import BLUE, GREEN, GREY, ORANGE
from farkas.report_style import STYLE
from farkas.sections import Figure, Fit, Score, Section, number_text

# matplotlib writes these; the page replaces them by the colours of the scheme.
_INK, _AXIS, _GRID = "#010203", "#040506", "#070809"
_VARIABLES = {
    _INK: "var(--ink)",
    _AXIS: "var(--muted)",
    _GRID: "var(--line)",
    BLUE: "var(--blue)",
    ORANGE: "var(--orange)",
    GREEN: "var(--green)",
    GREY: "var(--muted)",
}
_DRAWING = {
    "svg.fonttype": "none",  # text stays text: small, sharp, selectable
    "svg.hashsalt": "farkas",
    "font.family": "sans-serif",
    "font.size": 10.5,  # still legible when a phone shrinks the figure
    "text.color": _INK,
    "axes.edgecolor": _AXIS,
    "axes.labelcolor": _INK,
    "xtick.color": _AXIS,
    "ytick.color": _AXIS,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "grid.color": _GRID,
}

_IDEA = (
    "A solver says: here is the answer. A certificate adds: and here is why no answer "
    "can be much better.",
    "It carries a number below which the optimum provably cannot lie, and the arrays "
    "from which that number follows by a few lines of arithmetic.",
    "Whoever doubts the solver redoes the arithmetic on their own data and need not "
    "trust a single iteration.",
)


def render(sections: Sequence[Section], *, figures: bool = True) -> str:
    """Return the page.

    Parameters
    ----------
    sections : sequence of Section
        What the packages contribute.
    figures : bool, default=True
        Whether to draw the figures, which needs matplotlib.

    Returns
    -------
    str
        A complete HTML document.
    """
    cards = "\n".join(
        _card(section, number, figures) for number, section in enumerate(sections, 1)
    )
    fits = [fit for section in sections for fit in section.fits[:1]]
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Farkas: every fit with its proof</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<p class="eyebrow">Farkas {escape(farkas.__version__)}</p>
<h1>Every fit with its proof</h1>
{"".join(f'<p class="lead">{escape(text)}</p>' for text in _IDEA)}
{_hero(sections)}
</header>
<main>
{_overview(fits)}
{cards}
{_RECHECK}
</main>
<footer><p>Made by <code>python -m farkas demo</code>. Times are those of the machine
that ran it; all other numbers are reproducible.</p></footer>
</body>
</html>
"""


_RECHECK = """<section class="card" aria-labelledby="recheck">
<h2 id="recheck">Check it yourself</h2>
<p>A certificate is a file of JSON. Given that file and the data, three lines redo the
arithmetic; no solver runs.</p>
<pre tabindex="0"><code>import farkas
certificate = farkas.Certificate.load("certificate.json")
print(farkas.verify(certificate, X, y))</code></pre>
<p><code>certificate.save("certificate.json")</code> writes the file, and
<code>python -m farkas verify certificate.json data.npz</code> does the same from the
command line.</p>
<h3>What a certificate does not say</h3>
<ul>
<li>It speaks about the training objective. How well a model does on new rows is
measured on held-out rows, and peers without a proof may do better there.</li>
<li>It names its assumptions. Where only sampled activation patterns are considered, the
optimum is the one over those patterns.</li>
<li>It does not rank models. The held-out rows are few, so that a row or two make the
difference between neighbours in a table, and another split may reverse them.</li>
<li>It is arithmetic in double precision, not a formal proof with exact numbers.</li>
</ul>
</section>"""


def _hero(sections: Sequence[Section]) -> str:
    """Return the interval of the first fit on real data, in large type."""
    for section in sections:
        if section.scores and section.fits:
            fit = section.fits[0]
            certificate = fit.certificate
            return (
                '<p class="hero">'
                f"<span>{number_text(certificate.lower, 8)}</span> ≤ "
                "<strong>optimum</strong> ≤ "
                f"<span>{number_text(certificate.upper, 8)}</span></p>"
                f'<p class="note">{escape(fit.model)} on {escape(fit.data)}: proven, '
                f"not estimated. {_assumed(fit)}</p>"
            )
    return ""


def _overview(fits: Sequence[Fit]) -> str:
    if not fits:
        return '<p class="card">No package contributed a section.</p>'
    rows = "".join(
        f'<tr><th scope="row">{escape(fit.data)}</th><td>{escape(fit.model)}</td>'
        f"<td>{_verdict(fit)}</td>"
        f'<td class="number">{number_text(fit.certificate.lower, 8)}</td>'
        f'<td class="number">{number_text(fit.objective, 8)}</td>'
        f'<td class="number">{escape(_within(fit))}</td>'
        f"<td>{escape(fit.certificate.guarantee.value)}</td>"
        f'<td class="number">{fit.seconds:.2f}&nbsp;s</td></tr>'
        for fit in fits
    )
    passed = sum(fit.verified for fit in fits)
    return f"""<section class="card" aria-labelledby="overview">
<h2 id="overview">{passed} of {len(fits)} certificates verified</h2>
<div class="scroll" tabindex="0" role="region" aria-labelledby="overview">
<table><thead><tr><th scope="col">Data</th><th scope="col">Model</th>
<th scope="col">Re-check</th><th scope="col" class="number">Proven bound</th>
<th scope="col" class="number">Objective</th>
<th scope="col" class="number">Within</th><th scope="col">Guarantee</th>
<th scope="col" class="number">Fit</th>
</tr></thead><tbody>{rows}</tbody></table></div>
<p class="note">Within: the objective is at most this far from the optimum, as a share
of itself. Global: no candidate can fall below the proven bound, under the assumption
that the card of the fit names.</p>
</section>"""


def _card(section: Section, number: int, figures: bool) -> str:
    prose = "".join(f"<p>{escape(text)}</p>" for text in section.prose)
    facts = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in section.facts
    )
    facts = f'<dl class="facts">{facts}</dl>' if facts else ""
    # The first figure stands beside the prose.
    shown = section.figures if figures else ()
    drawn = [_figure(f, f"s{number}f{k}-") for k, f in enumerate(shown)] or [""]
    parts = [
        f'<p class="eyebrow">{escape(section.package)}</p>',
        f'<h2 id="s{number}">{escape(section.title)}</h2>',
        f'<div class="pair"><div>{prose}{facts}</div>{drawn[0]}</div>',
        _proof(section.fits[0]) if section.fits else "",
        f'<div class="pair">{"".join(drawn[1:])}</div>' if drawn[1:] else "",
        _scores(section, number),
        f'<pre tabindex="0"><code>{escape(section.code)}</code></pre>'
        if section.code
        else "",
    ]
    body = "\n".join(part for part in parts if part)
    return f'<section class="card" aria-labelledby="s{number}">\n{body}\n</section>'


def _proof(fit: Fit) -> str:
    certificate = fit.certificate
    if math.isfinite(certificate.lower) and math.isfinite(certificate.upper):
        numbers = [
            ("proven lower bound", number_text(certificate.lower, 8)),
            ("objective reached", number_text(certificate.upper, 8)),
            ("gap", f"{certificate.gap:.2g}"),
        ]
    else:
        kind = certificate.kind.replace("_", " ")
        numbers = [
            (kind, f"{certificate.value:.3g}"),
            ("tolerance", f"{certificate.tolerance * certificate.scale:.2g}"),
        ]
    numbers += [("guarantee", certificate.guarantee.value), ("re-check", "")]
    tiles = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(text) or _verdict(fit)}</dd></div>"
        for name, text in numbers
    )
    note = f'<p class="note">{_assumed(fit)}</p>' if certificate.assumptions else ""
    return f'<dl class="proof">{tiles}</dl>{note}'


def _assumed(fit: Fit) -> str:
    """Say what the certificate takes for granted; nothing if nothing."""
    assumed = "; ".join(fit.certificate.assumptions)
    return f"Assumption: {escape(assumed)}." if assumed else ""


def _scores(section: Section, number: int) -> str:
    if not section.scores:
        return ""
    ranked = sorted(section.scores, key=lambda score: -score.value)
    best = ranked[0].value
    rows = "".join(_score_row(score, score.value == best) for score in ranked)
    label = f"t{number}"
    where = " on held-out rows" if "held-out rows" in dict(section.facts) else ""
    return f"""<h3 id="{label}">Beside its peers: {escape(section.metric)}{where}</h3>
<div class="scroll" tabindex="0" role="region" aria-labelledby="{label}">
<table aria-labelledby="{label}"><thead><tr><th scope="col">Model</th>
<th scope="col" class="number">{escape(section.metric)}</th>
<th scope="col">Proof</th><th scope="col" class="number">Fit</th>
<th scope="col">Chosen</th></tr></thead><tbody>{rows}</tbody></table></div>
<p>{escape(_ranking(section))}</p>"""


def _score_row(score: Score, best: bool) -> str:
    mark = ' <span class="best">best</span>' if best else ""
    return (
        f"<tr{' class=ours' if score.ours else ''}>"
        f'<th scope="row">{escape(score.model)}</th>'
        f'<td class="number">{score.value:.3f}{mark}</td>'
        f"<td>{'certified' if score.ours else 'none'}</td>"
        f'<td class="number">{score.seconds:.2f}&nbsp;s</td>'
        f"<td><code>{escape(score.setting)}</code></td></tr>"
    )


def _ranking(section: Section) -> str:
    """Say in words how ours did, wins and losses alike."""
    ours = [score for score in section.scores if score.ours]
    peers = [score for score in section.scores if not score.ours]
    if not ours or not peers:
        return ""
    mine = max(ours, key=lambda score: score.value)
    ahead = [score.model for score in peers if score.value > mine.value]
    level = [score.model for score in peers if score.value == mine.value]
    if ahead:
        return f"Here {' and '.join(ahead)} did better."
    if level:
        return f"{mine.model} and {' and '.join(level)} are level here."
    return f"{mine.model} did best here; the certificate does not promise that."


def _figure(figure: Figure, prefix: str) -> str:
    caption = f"<figcaption>{escape(figure.caption)}</figcaption>"
    return f"<figure>{_svg(figure, prefix)}{caption}</figure>"


def _svg(figure: Figure, prefix: str) -> str:
    """Draw a figure as SVG for the middle of a page, with ids of its own."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as Canvas

    with mpl.rc_context(_DRAWING):
        canvas = Canvas(figsize=figure.size, layout="constrained")
        figure.draw(canvas.subplots())
        buffer = io.StringIO()
        canvas.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\1{prefix}", svg)
    for color, variable in _VARIABLES.items():
        svg = re.sub(re.escape(color), variable, svg, flags=re.IGNORECASE)
    label = f'<svg role="img" aria-label="{escape(figure.caption)}"'
    return svg.replace("<svg", label, 1)


def _within(fit: Fit) -> str:
    """Say how near the proven optimum is, relative to the objective."""
    gap, upper = fit.certificate.gap, abs(fit.objective)
    if not (math.isfinite(gap) and upper > 0):
        return "–"
    return f"{max(gap, 0.0) / upper:.1e}"


def _verdict(fit: Fit) -> str:
    if fit.verified:
        return '<span class="good">✓ verified</span>'
    return f'<span class="bad">✗ {escape(fit.message)}</span>'
