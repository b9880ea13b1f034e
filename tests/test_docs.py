"""The documentation is complete, and every block of Python in it runs."""

import importlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
BLOCK = re.compile(r"^```python\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
SCRIPTS = {page.stem: BLOCK.findall(page.read_text("utf-8")) for page in PAGES}
GUIDE = ["convexnn", "convexnn_global", "dfo", "dfo_direct", "graphs", "quantum", "sdl"]
# Loaded as docs/conf.py is: without Sphinx.
SPEC = importlib.util.spec_from_file_location("docs_conf", DOCS / "conf.py")
CONF = importlib.util.module_from_spec(SPEC)
PATH = list(sys.path)
SPEC.loader.exec_module(CONF)
sys.path[:] = PATH
SHELVES = CONF.autosummary_context["shelves"]
PUBLIC = [
    (package, name)
    for package in CONF.PACKAGES
    for name in importlib.import_module(package).__all__
]


def run_as_script(code, folder):
    """Run a block that starts processes, which import the script that they serve."""
    script = folder / "script.py"
    script.write_text(code, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, script], cwd=folder, env=environment, capture_output=True
    )
    assert run.returncode == 0, run.stderr.decode()


@pytest.mark.slow
@pytest.mark.parametrize("page", [stem for stem, blocks in SCRIPTS.items() if blocks])
def test_the_blocks_of_a_page_run_in_order(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scope = {}
    for code in SCRIPTS[page]:
        if "dask" in code:
            pytest.importorskip("distributed")
            run_as_script(code, tmp_path)
        else:
            exec(compile(code, f"docs/{page}.md", "exec"), scope)


def test_the_first_ten_lines_are_those_of_the_readme():
    readme = BLOCK.findall((ROOT / "README.md").read_text("utf-8"))
    assert SCRIPTS["index"] == readme[:1]


@pytest.mark.parametrize("page", GUIDE)
def test_a_guide_page_answers_the_five_questions(page):
    text = (DOCS / f"{page}.md").read_text("utf-8")
    titles = " ".join(re.findall(r"^#+ (.*)", text, flags=re.MULTILINE)).lower()
    assert re.search(r"problem|bound", titles)
    assert re.search(r"^    \S", text, flags=re.MULTILINE), "no formula"
    assert re.search(r"algorithm|solver|solved", titles)
    assert re.search(r"certifi|checked", titles)
    assert re.search(r"when not to use it|something else|limits", titles)


@pytest.mark.parametrize("package", CONF.PACKAGES)
def test_every_public_name_has_a_page_of_its_own(package):
    module = importlib.import_module(package)
    shown = {name for names in SHELVES[package].values() for name in names}
    modules = {name.rpartition(".")[2] for name in CONF.MODULES if package in name}
    assert set(module.__all__) - shown - modules == set()


def test_the_reference_lists_what_the_settings_do():
    text = (DOCS / "api.rst").read_text("utf-8")
    listed = re.findall(r"^   ([a-z]+(?:\.[a-z]+)?)$", text, flags=re.MULTILINE)
    assert listed == [*CONF.PACKAGES, *CONF.MODULES]


# What a measure returns: every _measure.py of the project is an example.
NO_EXAMPLE = [("farkas", "Measurement")]


@pytest.mark.parametrize(
    ("package", "name"), [p for p in PUBLIC if p not in NO_EXAMPLE]
)
def test_every_public_name_has_an_example(package, name):
    docstring = getattr(importlib.import_module(package), name).__doc__ or ""
    scripts = [p.read_text("utf-8") for p in ROOT.glob("examples/*/plot_*.py")]
    scripts += [code for blocks in SCRIPTS.values() for code in blocks]
    used = any(re.search(rf"\b{name}\b", code) for code in scripts)
    assert used or ">>>" in docstring


def test_every_folder_of_examples_has_a_header():
    for folder in {path.parent for path in ROOT.glob("examples/*/plot_*.py")}:
        title, rule = (folder / "GALLERY_HEADER.rst").read_text("utf-8").split("\n")[:2]
        assert rule == "-" * len(title)


def test_an_indented_formula_becomes_a_literal_block():
    lines = [
        "It minimises", "", "    |x|^2 + y_", "      + z", "", "over |y| <= 1.", "",
        "x : ndarray of shape (n_features_in_,)", "    Values.",
    ]  # fmt: skip
    CONF.show_formulas(None, "class", "name", None, None, lines)
    assert lines == [
        "It minimises", "", "::", "", "    |x|^2 + y_", "      + z", "",
        r"over \|y\| <= 1.", "", "x : ndarray of shape (`n_features_in_`,)",
        "    Values.",
    ]  # fmt: skip
