"""The demo collects sections, prints what it found and writes a page of its own."""

import dataclasses
import html
import html.parser
import importlib.util
import math
import re
import sys
import types

import pytest

import farkas
from farkas import demo, report
from farkas.sections import (
    Figure,
    Score,
    Section,
    certified,
    confusion_figure,
    history_figure,
    interval_figure,
    interval_text,
    number_text,
    parity_figure,
)

X, y = [[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]], [1.0, 2.0, 3.0]
EVIL = "<script>alert('&\"')</script>"


def fake_section(*, value=0.9, data=EVIL):
    fit = certified(
        data, "Lasso", lambda: farkas.certify_lasso(X, y, [1, 1], alpha=0.5), (X, y)
    )
    return Section(
        package="fake",
        title=EVIL,
        prose=[EVIL, "A second paragraph."],
        fits=[fit],
        facts=[(EVIL, EVIL)],
        metric=EVIL,
        scores=[
            Score(model=EVIL, value=value, seconds=0.1, setting=EVIL, ours=True),
            Score(model="Peer", value=0.8, seconds=0.2),
        ],
        figures=[
            interval_figure([fit]),
            confusion_figure([0, 1, 1], [0, 1, 0], ["<no>", "yes"]),
            parity_figure([0.0, 1.0], [0.1, 0.9], "<height>"),
        ],
        code=EVIL,
    )


VOID = {"meta", "br", "path", "use", "rect", "image", "circle", "line"}


class Outline(html.parser.HTMLParser):
    """Checks that tags are nested and collects what a reader or a browser looks for."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.references, self.text = [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("aria-labelledby", "href"):
                self.references.append(value.removeprefix("#"))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def page():
    pytest.importorskip("matplotlib")
    return report.render([fake_section(), fake_section(value=0.7)])


def test_page_is_well_formed(page):
    outline = Outline(page)
    names = [tag for tag, _ in outline.tags]
    assert page.startswith("<!DOCTYPE html>")
    assert names.count("h1") == names.count("main") == names.count("title") == 1
    assert names.count("svg") == 6
    assert len(set(outline.ids)) == len(outline.ids)
    assert set(outline.references) <= set(outline.ids)


def test_page_is_self_contained(page):
    outline = Outline(page)
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", page)
    assert not {"script", "link", "iframe", "img"} & {tag for tag, _ in outline.tags}
    assert not [k for _, attrs in outline.tags for k in attrs if k in ("src", "onload")]


def test_page_escapes_what_it_is_given(page):
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert EVIL in "".join(Outline(page).text)


def test_page_is_readable_by_everyone(page):
    tags = Outline(page).tags
    assert all("aria-label" in attrs for tag, attrs in tags if tag == "svg")
    assert all("scope" in attrs for tag, attrs in tags if tag == "th")
    assert ("html", {"lang": "en"}) in tags
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page


def luminance(color):
    parts = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts
    ]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("text", ["ink", "muted", "blue", "orange", "green"])
@pytest.mark.parametrize("background", ["page", "card", "tint"])
def test_text_has_contrast(scheme, text, background):
    block = report.STYLE.split(":root {")[1 + scheme]
    colors = dict(re.findall(r"--(\w+): (#\w{6})", block))
    dark, light = sorted(luminance(colors[name]) for name in (text, background))
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_figures_take_the_colours_of_the_page(page):
    figures = "".join(re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL))
    assert "var(--ink)" in figures
    assert "var(--blue)" in figures
    assert not re.search(r"#0072b2|#d55e00|#010203", figures, flags=re.IGNORECASE)


def test_wins_and_losses_are_both_said(page):
    text = "".join(Outline(page).text)
    assert "did best here" in text
    assert "Here Peer did better" in text


def test_a_draw_is_called_a_draw():
    text = "".join(
        Outline(report.render([fake_section(value=0.8)], figures=False)).text
    )
    assert f"{EVIL} and Peer are level" in text


def test_a_proof_without_bounds_shows_its_own_numbers():
    page = report.render(list(demo.sections()), figures=False)
    text = "".join(Outline(page).text)
    assert "infeasibility" in text
    assert "inf" not in re.findall(r"[a-z]+", text)
    assert "Beside its peers" not in text


def test_the_headline_names_its_assumption():
    fit = fake_section().fits[0]
    certificate = dataclasses.replace(fit.certificate, assumptions=("<b> is small",))
    section = dataclasses.replace(
        fake_section(), fits=[dataclasses.replace(fit, certificate=certificate)]
    )
    page = report.render([section], figures=False)
    head, main = page.split("<main>")
    for part in (head, main):
        assert "Assumption: &lt;b&gt; is small." in part
    (text,) = demo._tables([section])[1:2]
    assert text == f"{EVIL}: global, assuming <b> is small"


@pytest.mark.parametrize("tolerance", [1e-9, 10.0])
def test_the_caption_says_whether_the_tolerance_was_reached(tolerance):
    fit = fake_section().fits[0]
    certificate = dataclasses.replace(fit.certificate, tolerance=tolerance)
    caption = history_figure(dataclasses.replace(fit, certificate=certificate)).caption
    assert ("ends below" in caption) == certificate.satisfied
    assert ("does not reach" in caption) != certificate.satisfied


def test_a_rejected_certificate_is_shown_as_such():
    fit = certified(
        "data", "model", lambda: farkas.certify_lasso(X, y, [1, 1], alpha=1), (X, X[0])
    )
    page = report.render([Section(package="p", title="t", prose=[], fits=[fit])])
    assert "0 of 1 certificates verified" in page
    assert html.escape(fit.message) in page


def test_page_without_figures_needs_no_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page = report.render([fake_section()], figures=False)
    assert "<svg" not in page
    Outline(page)


def test_page_without_sections_says_so():
    assert "No package contributed" in report.render([])


def install(monkeypatch, name, sections):
    """Make packages ``name`` and ``name.demo`` that the demo can import."""
    package, module = types.ModuleType(name), types.ModuleType(f"{name}.demo")
    package.__path__ = []
    module.sections = sections
    for one in (package, module):
        one.__spec__ = importlib.util.spec_from_loader(one.__name__, loader=None)
        monkeypatch.setitem(sys.modules, one.__name__, one)


def test_packages_without_a_demo_are_left_out(monkeypatch, capsys):
    install(monkeypatch, "fake", lambda: iter([fake_section(data="fake data")]))
    found = list(demo._collect(["no_such_package", "json", "fake"]))
    assert [section.package for section in found] == ["fake"]
    out = capsys.readouterr().out
    assert re.search(r"fake data: Lasso +\d+\.\d\d s", out)
    assert "verified: duality_gap" in out


def test_main_writes_page_table_and_figures(monkeypatch, capsys, tmp_path):
    pytest.importorskip("matplotlib")
    install(monkeypatch, "fake", lambda: iter([fake_section(data="fake data")]))
    monkeypatch.setattr(demo, "PACKAGES", ("fake", "missing"))
    page, figures = tmp_path / "page.html", tmp_path / "new" / "figures"
    assert demo.main(["--output", str(page), "--plot", str(figures)]) == 0
    Outline(page.read_text(encoding="utf-8"))
    assert [path.name for path in sorted(figures.iterdir())] == [
        "01-fake-interval.png",
        "02-fake-confusion.png",
        "03-fake-parity.png",
    ]
    out = capsys.readouterr().out
    for text in ("objective", "global", "verified", "0.900", "0.800", "held-out"):
        assert text in out


def test_main_looks_at_the_path_before_it_fits(monkeypatch, tmp_path):
    def sections():
        pytest.fail("fitted before looking at the path")

    install(monkeypatch, "fake", sections)
    monkeypatch.setattr(demo, "PACKAGES", ("fake",))
    with pytest.raises(IsADirectoryError, match="name a file in it"):
        demo.main(["--output", str(tmp_path)])


def test_main_makes_the_folder_of_the_page(monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "PACKAGES", ())
    page = tmp_path / "new" / "page.html"
    assert demo.main(["--output", str(page)]) == 0
    assert page.read_text("utf-8").startswith("<!DOCTYPE html>")


def test_main_fails_when_a_certificate_is_rejected(monkeypatch, capsys, tmp_path):
    def sections():
        wrong = [*y[:2], 7.0]
        work = lambda: farkas.certify_lasso(X, y, [1, 1], alpha=0.5)  # noqa: E731
        fit = certified("data", "model", work, (X, wrong))
        yield Section(package="fake", title="Forged", prose=[], fits=[fit])

    install(monkeypatch, "fake", sections)
    monkeypatch.setattr(demo, "PACKAGES", ("fake",))
    assert demo.main(["--output", str(tmp_path / "page.html")]) == 1
    assert "REJECTED" in capsys.readouterr().out
    assert "0 of 1 certificates verified" in (tmp_path / "page.html").read_text("utf-8")


def test_main_without_matplotlib(monkeypatch, capsys, tmp_path):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        demo.importlib.util,
        "find_spec",
        lambda name: None if name == "matplotlib" else find(name),
    )
    monkeypatch.setattr(demo, "PACKAGES", ())
    assert demo.main(["--output", str(tmp_path / "page.html")]) == 0
    assert "farkas[plot]" in capsys.readouterr().out
    with pytest.raises(ModuleNotFoundError, match="--plot figures needs matplotlib"):
        demo.main(["--plot", "figures"])


def test_the_idea_in_two_examples(capsys):
    lasso, system = demo.sections()
    assert all(fit.verified for fit in [*lasso.fits, *system.fits])
    gaps = [fit.certificate.gap for fit in lasso.fits]
    assert gaps == sorted(gaps)
    y = system.fits[0].certificate.witness["y"]
    assert f"{y[0]:.4g}" in system.prose[1]
    assert isinstance(system.figures[0], Figure)


def test_figures_of_the_package_draw():
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure as Canvas

    for section in demo.sections():
        for figure in section.figures:
            canvas = Canvas(figsize=figure.size, layout="constrained")
            figure.draw(canvas.subplots())
            canvas.draw_without_rendering()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("inf"), "–"),
        (0.0, "0"),
        (49.0770981234, "49.0771"),
        (1234567.5, "1234568"),
        (1.5e-9, "1.5e-09"),
        (-0.25, "-0.25"),
    ],
)
def test_numbers_are_written_shortly(value, text):
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("lower", "upper", "texts"),
    [
        (227.202602, 227.202642, ("227.2026", "227.20264")),
        (31.882778, 31.884931, ("31.88278", "31.88493")),
        (5.0, 5.0, ("5", "5")),
        (-math.inf, 3.2, ("–", "3.2")),
    ],
)
def test_the_ends_of_an_interval_are_told_apart(lower, upper, texts):
    assert interval_text(lower, upper) == texts
