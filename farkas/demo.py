"""The demo: certified fits on real data, a table in the terminal and a page to keep.

Every package contributes the sections of its module ``demo``; nothing here changes
when a package is added.
"""

import argparse
import importlib.util
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import farkas
from farkas.plotting import BLUE, GREY, ORANGE
from farkas.report import render
from farkas.sections import (
    Figure,
    Fit,
    Section,
    certified,
    interval_figure,
    number_text,
)

PACKAGES = ("farkas", "convexnn", "sdl", "dfo", "graphs", "quantum")

# The candidates of the first example: passes of coordinate descent, and their names.
_PASSES = {1: "Lasso, 1 pass", 2: "Lasso, 2 passes", 20: "Lasso, 20 passes"}


def main(argv: Sequence[str]) -> int:
    """Run the demo.

    Parameters
    ----------
    argv : sequence of str
        ``--output FILE`` names the page, ``--plot DIR`` also writes its figures as PNG.

    Returns
    -------
    int
        0 if every certificate was verified, else 1.

    Raises
    ------
    ModuleNotFoundError
        With ``--plot``, if matplotlib is not installed.
    IsADirectoryError
        If the page cannot be written because a folder has its name.
    """
    options = _parser().parse_args(list(argv))
    drawable = importlib.util.find_spec("matplotlib") is not None
    if options.plot and not drawable:
        raise ModuleNotFoundError(
            f"--plot {options.plot} needs matplotlib; install the extra farkas[plot]."
        )
    _prepare(options.output)
    start = time.perf_counter()
    _warm_up()
    sections = list(_collect(PACKAGES))
    print("\n" + "\n\n".join(_tables(sections)) + "\n")
    print(f"Fits, comparisons and checks took {time.perf_counter() - start:.0f} s.")
    options.output.write_text(render(sections, figures=drawable), encoding="utf-8")
    print(f"Wrote {options.output}.")
    if not drawable:
        print("It has no figures: they need matplotlib, the extra farkas[plot].")
    if options.plot:
        number = _write_figures(sections, options.plot)
        print(f"Wrote {number} figures to {options.plot}.")
    return 0 if all(f.verified for s in sections for f in s.fits) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="farkas demo",
        description="Fit, certify and re-check on real data; write a page about it.",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("farkas-demo.html"),
        metavar="FILE",
        help="the page to write (default: farkas-demo.html)",
    )
    parser.add_argument(
        "--plot", type=Path, metavar="DIR", help="also write the figures as PNG"
    )
    return parser


def _prepare(page: Path) -> None:
    """Make the folder of ``page`` now: no minute of fitting is lost to a bad path."""
    if page.is_dir():
        raise IsADirectoryError(
            f"--output {page} is a folder; name a file in it, for example "
            f"{page / 'farkas-demo.html'}."
        )
    page.parent.mkdir(parents=True, exist_ok=True)


def _warm_up() -> None:
    """Compile the kernels of all packages, so that no fit is timed with it."""
    from farkas.kernels import warmup

    for package in PACKAGES:  # importing a module of kernels registers its warm-up
        _submodule(package, "_kernels")
    print("Compiling kernels; quick after the first time.", flush=True)
    warmup()


def _collect(packages: Sequence[str]) -> Iterator[Section]:
    """Yield the sections of every package that has a module ``demo``."""
    from threadpoolctl import threadpool_limits

    # The matrices are small: more threads would only wait for one another.
    with threadpool_limits(limits=1):
        for package in packages:
            module = _submodule(package, "demo")
            if module is not None:
                print(package, flush=True)
                yield from module.sections()


def _submodule(package: str, name: str) -> Any:
    """Import a module of a package; None if the package or the module is missing."""
    known = importlib.util.find_spec(package) is not None
    if not known or importlib.util.find_spec(f"{package}.{name}") is None:
        return None
    return importlib.import_module(f"{package}.{name}")


def _tables(sections: Sequence[Section]) -> list[str]:
    """Return the certificates, what they assume, and the scores as text."""
    fits = [fit for section in sections for fit in section.fits]
    proofs = [
        (
            fit.data,
            fit.model,
            number_text(fit.objective),
            number_text(fit.certificate.lower),
            number_text(fit.certificate.gap, 2),
            fit.certificate.guarantee.value,
            f"{fit.seconds:.2f}",
            "verified" if fit.verified else "REJECTED",
        )
        for fit in fits
    ]
    head = "data model objective bound gap guarantee s re-check".split()
    tables = [_table(head, proofs, "ll"), *_assumptions(fits)]
    scores = [
        (section.fits[0].data, score.model, section.metric, f"{score.value:.3f}")
        + (score.setting, f"{score.seconds:.2f}", "certified" if score.ours else "")
        for section in sections
        for score in section.scores
    ]
    head = "data model score held-out chosen s proof".split()
    return [*tables, _table(head, scores, "lll")] if scores else tables


def _assumptions(fits: Sequence[Fit]) -> list[str]:
    """Return, as one text or none, what each guarantee takes for granted."""
    lines = [
        f"{fit.data}: {fit.certificate.guarantee.value}, assuming {text}"
        for fit in fits
        for text in fit.certificate.assumptions
    ]
    return ["\n".join(lines)] if lines else []


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], left: str) -> str:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = []
    for row in (head, ["-" * width for width in widths], *rows):
        cells = [
            text.ljust(width) if k < len(left) else text.rjust(width)
            for k, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _write_figures(sections: Sequence[Section], folder: Path) -> int:
    from matplotlib.figure import Figure as Canvas

    folder.mkdir(parents=True, exist_ok=True)
    number = 0
    for section in sections:
        for figure in section.figures:
            number += 1
            canvas = Canvas(figsize=figure.size, layout="constrained")
            figure.draw(canvas.subplots())
            path = folder / f"{number:02d}-{section.package}-{figure.name}.png"
            canvas.savefig(path, dpi=150)
    return number


def sections() -> Iterator[Section]:
    """Show the idea in two examples: an optimum from below, and a proof of "none"."""
    yield _lasso()
    yield _infeasible()


def _lasso() -> Section:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 12))
    y = X[:, 0] - 2.0 * X[:, 1] + 0.5 * rng.standard_normal(60)
    alpha = 10.0

    def candidate(passes: int) -> Any:
        """Return the weights after some passes of coordinate descent."""
        w, residual = np.zeros(12), y.copy()
        for _ in range(passes):
            for j, column in enumerate(X.T):
                size = column @ column
                target = column @ residual + size * w[j]
                new = np.sign(target) * max(abs(target) - alpha, 0.0) / size
                residual += column * (w[j] - new)
                w[j] = new
        return w

    fits = [
        certified(
            "generated rows",
            _PASSES[passes],
            lambda passes=passes: farkas.certify_lasso(  # type: ignore[misc]
                X, y, candidate(passes), alpha=alpha
            ),
            (X, y),
        )
        for passes in _PASSES
    ]
    return Section(
        package="farkas",
        title="The idea, first example: how far from the best?",
        prose=(
            "Any weights w give the Lasso an upper bound of its optimum: their own "
            "objective. The residual, scaled into the dual feasible set, gives a lower "
            "bound. The optimum lies between the two, whoever proposed w.",
            "The figure shows coordinate descent after one, two and twenty passes. The "
            "interval shrinks around the optimum, until nothing is left to argue.",
        ),
        fits=fits[::-1],
        facts=[("training rows", "60"), ("columns", "12"), ("penalty", f"{alpha:g}")],
        figures=[interval_figure(fits)],
        code="import farkas\n\ncertificate = farkas.certify_lasso(X, y, w, alpha=10)\n"
        "print(certificate.lower, certificate.upper)\n"
        "print(farkas.verify(certificate, X, y))",
    )


def _infeasible() -> Section:
    A = np.array([[2.0, 1.0, 3.0], [1.0, 2.0, 2.0]])
    b = np.array([1.0, 4.0])
    fit = certified(
        "linear system",
        "Farkas' lemma",
        lambda: farkas.certify_infeasible(A, b),
        (A, b),
    )
    y = fit.certificate.witness["y"]
    weights = ", ".join(f"{value:.4g}" for value in y)
    combined = ", ".join(f"{value:.4g}" for value in y @ A)
    return Section(
        package="farkas",
        title="The idea, second example: how to prove that nothing exists",
        prose=(
            "Two equations in three unknowns, Ax = b, and no x may be negative. A "
            "solver that reports no solution asks for trust. Farkas' lemma gives a "
            "reason.",
            f"Multiply the equations by y = ({weights}) and add them up. The left side "
            f"becomes ({combined}) times x, which is never negative; the right side "
            f"becomes {float(b @ y):.4g}. So there is no such x, and anyone with a "
            "pencil can confirm it.",
        ),
        fits=[fit],
        facts=[("equations", "2"), ("unknowns", "3")],
        figures=[
            Figure(
                name="separation",
                caption="All that Ax can reach with x >= 0 is the shaded cone. At a "
                "right angle to y stands a line that parts the cone from b.",
                draw=lambda ax: _draw_separation(ax, A, b, y),
            )
        ],
        code="import farkas\n\ncertificate = farkas.certify_infeasible(A, b)\n"
        'print(certificate.witness["y"])\n'
        "print(farkas.verify(certificate, A, b))",
    )


def _draw_separation(ax: Any, A: Any, b: Any, y: Any) -> None:
    steepest = A[:, np.argsort(A[1] / A[0])]
    reach = 10.0 * np.array([[0.0, 0.0], steepest[:, 0], steepest[:, -1]])
    ax.fill(*reach.T, color=BLUE, alpha=0.16, lw=0)
    for j, column in enumerate(A.T, start=1):
        ax.annotate(
            "", column, (0, 0), arrowprops={"arrowstyle": "-|>", "color": BLUE, "lw": 2}
        )
        ax.annotate(f"column {j}", column, (4, 4), textcoords="offset points")
    ax.plot(*b, "s", color=ORANGE, ms=8)
    ax.annotate("b", b, (9, -3), textcoords="offset points")
    along = np.array([y[1], -y[0]]) * np.sign(y[1]) * 10.0 / np.abs(y).max()
    ax.plot(*zip(-along, along, strict=True), color=GREY, ls="--", lw=1.5)
    ax.set(xlim=(-0.6, 4.4), ylim=(-0.6, 4.6), aspect="equal")
    ax.set(xlabel="first equation", ylabel="second equation")
    ax.spines[["top", "right"]].set_visible(False)
