"""Settings of the documentation site; ``python3 tasks.py docs`` builds it.

What is generated goes to ``_build``, ``api``, ``benchmarks`` and ``gallery`` beside
this file, which git ignores. No page loads anything from another host, and no other
site is asked while building: formulas are text, as in the docstrings.
"""

import importlib
import inspect
import os
import re
import sys
from pathlib import Path

for _name in ("OMP", "OPENBLAS", "MKL", "NUMBA"):  # the examples are small
    os.environ.setdefault(f"{_name}_NUM_THREADS", "1")

from sklearn.base import BaseEstimator  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
PACKAGES = ("farkas", "convexnn", "sdl", "dfo", "graphs", "quantum")
# Public modules whose names are used with the module's name in front of them.
MODULES = (
    "convexnn.plots",
    "dfo.plotting",
    "dfo.testfunctions",
    "farkas.backend",
    "farkas.base",
    "farkas.checkpoint",
    "farkas.environment",
    "farkas.history",
    "farkas.kernels",
    "farkas.parallel",
    "farkas.testing",
    "farkas.verification",
    "sdl.plotting",
)

project = "Farkas"
author = "The Farkas developers"
copyright = author
version = release = importlib.import_module("farkas").__version__

suppress_warnings = ["sphinx_gallery.duplicate_filename"]  # in folders of their own
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]
default_role = "literal"  # single backticks name parameters
highlight_language = "none"  # formulas are text blocks; code says what it is
myst_heading_anchors = 3

toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"  # the docstrings give types, with shapes
autosummary_generate = True
autosummary_ignore_module_all = False
numpydoc_show_class_members = False  # the templates list the methods

html_theme = "pydata_sphinx_theme"
html_title = "Farkas"
html_context = {"default_mode": "auto"}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {"index": [], "first_steps": [], "how_to_choose": [], "faq": []}
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "show_prev_next": False,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "subsection_order": [f"../examples/{name}" for name in PACKAGES],
    "filename_pattern": "plot_",
    "backreferences_dir": "api/examples",
    "doc_module": PACKAGES,
    "capture_repr": ("_repr_html_",),
    "write_computation_times": False,  # their page asks another host for scripts
    "matplotlib_animations": False,
    "download_all_examples": False,
    "show_signature": False,
}


def shelves(module):
    """Sort public names as a reader looks for them: title, then names."""
    found = {"Estimators": [], "Functions": [], "Classes": [], "Plots": []}
    for name in public_names(module):
        member = getattr(module, name)
        if inspect.ismodule(member):
            continue
        if inspect.isclass(member):
            estimator = issubclass(member, BaseEstimator)
            found["Estimators" if estimator else "Classes"].append(name)
        else:
            found["Plots" if name.startswith("plot_") else "Functions"].append(name)
    return {title: members for title, members in found.items() if members}


def public_names(module):
    """Names that a module defines for its users."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    members = [getattr(module, name) for name in dir(module) if name[0] != "_"]
    return [
        member.__name__
        for member in members
        if getattr(member, "__module__", None) == module.__name__
        and (inspect.isclass(member) or inspect.isfunction(member))
    ]


autosummary_context = {
    "shelves": {
        name: shelves(importlib.import_module(name)) for name in (*PACKAGES, *MODULES)
    }
}


def write_benchmark_pages(app):
    """Give each table of benchmarks/ a page of its own on the site."""
    folder = ROOT / "docs" / "benchmarks"
    folder.mkdir(exist_ok=True)
    tables = {path.stem for path in (ROOT / "benchmarks").glob("*.md")}
    parser = "myst_parser.sphinx_"
    for old in folder.glob("*.rst"):
        if old.stem not in tables:
            old.unlink()
    for name in tables:
        page = folder / f"{name}.rst"
        text = f".. include:: ../../benchmarks/{name}.md\n   :parser: {parser}\n"
        if not page.exists() or page.read_text() != text:
            page.write_text(text)


# Links that lead somewhere in the repository, and where they lead on the site.
LINKS = {
    r"\.\./benchmarks/(\w+)\.md": r"benchmarks/\1.rst",
    r"\.\./examples/GALLERY_HEADER\.rst": "gallery/index.rst",
    r"\.\./examples/(\w+)/(\w+)\.py": r"gallery/\1/\2.rst",
}


def link_within_the_site(app, name, source):
    """Let links to tables and examples lead to their pages."""
    for target, page in LINKS.items():
        source[0] = re.sub(rf"\]\({target}\)", f"]({page})", source[0])


def show_formulas(app, what, name, obj, options, lines):
    """Make docstrings reST: an indented formula is a literal block, a bar is a bar.

    Docstrings are written to be read in a terminal. A paragraph that is indented
    against the one before it is a formula; elsewhere `|x|` is a norm and
    `n_features_in_` an attribute, not a reference.
    """
    text, previous, literal = [], "", False
    for line in lines:
        indent = len(line) - len(line.lstrip())
        blank = not line.strip()
        if not blank:
            if literal and not indent:
                literal = False
            formula = indent >= 4 and text and not text[-1].strip()
            if formula and not literal and previous[:1].strip():
                literal = True
                if not previous.endswith("::"):
                    text += ["::", ""]
            previous = line
        if not literal and "``" not in line and ">>>" not in line:
            line = line.replace("|", "\\|")
            line = re.sub(r"\((\w+_)(?=,?\))", r"(`\1`", line)
        text.append(line)
    lines[:] = text


def skip_foreign_members(app, what, name, obj, skip, options):
    """Leave out what our classes inherit from other libraries."""
    member = getattr(obj, "fget", obj)
    home = getattr(member, "__module__", None) or ""
    foreign = callable(member) and home.split(".")[0] not in PACKAGES
    return True if foreign else None


def setup(app):
    """Register the steps above."""
    app.connect("builder-inited", write_benchmark_pages, priority=100)
    app.connect("source-read", link_within_the_site)
    app.connect("autodoc-process-docstring", show_formulas, priority=100)
    app.connect("autodoc-skip-member", skip_foreign_members)
