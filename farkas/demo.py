"""`python -m farkas demo`: certified fits on real data, in the terminal and as a page.

Every package that has a module ``demo`` takes part with what its ``sections`` yields.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path

from farkas.report import FIT_COLUMNS, Fit, Score, Section, fit_cells, render

PACKAGES = ("farkas", "convexnn", "sdl", "dfo", "graphs", "quantum")


def main(argv: list[str]) -> int:
    """Run the demo.

    Parameters
    ----------
    argv : list of str
        Options ``--output FILE`` and ``--plot DIR``.

    Returns
    -------
    int
        0 if every certificate held, else 1.
    """
    parser = argparse.ArgumentParser(prog="farkas demo", description=__doc__)
    parser.add_argument(
        "--output", default="farkas-demo.html", help="page to write (%(default)s)"
    )
    parser.add_argument("--plot", metavar="DIR", help="write the figures there as PNG")
    options = parser.parse_args(argv)
    begun = time.perf_counter()
    sections = []
    for section in all_sections():
        sections.append(section)
        _print_section(section)
    page = Path(options.output)
    page.write_text(render(sections), encoding="utf-8")
    if options.plot:
        save_figures(sections, Path(options.plot))
    verdicts = [fit.verification.ok for section in sections for fit in section.fits]
    print(f"\n{sum(verdicts)} of {len(verdicts)} certificates hold when re-checked.")
    print(f"Page: {page.resolve()}   ({time.perf_counter() - begun:.0f} s)")
    return 0 if all(verdicts) else 1


def all_sections() -> Iterator[Section]:
    """Yield the sections of every package that takes part.

    Yields
    ------
    Section
    """
    yield from reference_sections()
    for package in PACKAGES[1:]:
        if importlib.util.find_spec(f"{package}.demo") is not None:
            yield from importlib.import_module(f"{package}.demo").sections()


def reference_sections() -> Iterator[Section]:
    """Yield the idea of a certificate in two small examples.

    Yields
    ------
    Section
    """
    import farkas
    from farkas.plotting import plot_certificate

    X, y = [[1, 0], [0, 2], [1, 1]], [1, 2, 3]
    guesses = {
        "Lasso, all weights zero": [0, 0],
        "Lasso, a good guess": [1.2, 1.0],
        "Lasso, the optimum": [11 / 9, 19 / 18],
    }
    fits = []
    for name, w in guesses.items():
        begun = time.perf_counter()
        certificate = farkas.certify_lasso(X, y, w, alpha=0.5)
        elapsed = time.perf_counter() - begun
        fits.append(Fit(name, certificate, farkas.verify(certificate, X, y), elapsed))
    A, b = [[1, 1], [1, 1]], [1, 2]
    begun = time.perf_counter()
    proof = farkas.certify_infeasible(A, b)
    elapsed = time.perf_counter() - begun
    fits.append(Fit("x1 + x2 = 1 and = 2", proof, farkas.verify(proof, A, b), elapsed))
    intervals = {fit.name: fit.certificate for fit in fits[:3]}
    yield Section(
        title="The idea in two examples",
        prose=(
            "Any guess at a Lasso problem, from any source, can be graded: its residual, "
            "scaled into the feasible set of the dual, proves how low the optimum can "
            "be. And by Farkas' lemma a system without solution has a short proof of "
            "that: weights y for its equations whose combination contradicts itself."
        ),
        fits=fits,
        figures=[
            (
                "Blue is proven to be necessary; orange could still be gained.",
                lambda ax: plot_certificate(intervals, ax=ax),
            )
        ],
    )


def save_figures(sections: list[Section], folder: Path) -> list[Path]:
    """Write every figure as a PNG file.

    Parameters
    ----------
    sections : list of Section
        Where the figures are.
    folder : Path
        Created if need be.

    Returns
    -------
    list of Path
        The files.
    """
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    draws = [draw for section in sections for _, draw in section.figures]
    for number, draw in enumerate(draws, start=1):
        figure = Figure(figsize=(5.6, 3.4), layout="constrained")
        draw(figure.subplots())
        paths.append(folder / f"figure-{number}.png")
        figure.savefig(paths[-1], dpi=120)
    return paths


def _print_section(section: Section) -> None:
    print(f"\n{section.title}\n")
    _print_table([list(FIT_COLUMNS), *map(fit_cells, section.fits)])
    if section.scores:
        print()
        rows = [[f"held-out {section.metric}", "score", "seconds"]]
        rows += [_score_cells(score) for score in section.scores]
        _print_table(rows)


def _score_cells(score: Score) -> list[str]:
    name = ("* " if score.ours else "  ") + score.model
    return [name, f"{score.value:.4f}", f"{score.seconds:.2f}"]


def _print_table(rows: list[list[str]]) -> None:
    widths = [max(len(row[j]) for row in rows) for j in range(len(rows[0]))]
    for first, *rest in rows:
        cells = [cell.rjust(w) for cell, w in zip(rest, widths[1:], strict=True)]
        print("  ".join([first.ljust(widths[0]), *cells]), flush=True)
