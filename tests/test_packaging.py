"""The packaging files agree with one another and with what is installed."""

import ast
import configparser
import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("convexnn", "dfo", "farkas", "graphs", "quantum", "sdl")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg", encoding="utf-8")


def lines(section, key):
    return SETUP[section][key].split("\n")[1:]


EXTRAS = {
    name: lines("options.extras_require", name)
    for name in SETUP["options.extras_require"]
}


def pins():
    """Return the pinned version by canonical name."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    entries = [Requirement(line) for line in text.splitlines() if line[0] != "#"]
    for entry in entries:
        assert re.fullmatch(r"==[\w.]+", str(entry.specifier)), f"not exact: {entry}"
    return {canonicalize_name(e.name): str(e.specifier)[2:] for e in entries}


def test_no_field_stands_in_both_files():
    # setuptools ignores what pyproject.toml does not list as dynamic.
    assert set(SETUP["metadata"]) == {"version"}
    assert set(PROJECT["dynamic"]) == {"version", "optional-dependencies"}
    assert not set(PROJECT) & set(PROJECT["dynamic"])
    assert set(SETUP["options"]) == {"packages"}


def test_the_version_can_be_read_without_importing_anything():
    tree = ast.parse((ROOT / "farkas/__init__.py").read_text(encoding="utf-8"))
    (version,) = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "__version__"
    ]
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{version}]" in changes


def test_exactly_the_six_packages_are_installed():
    found = {path.parent.relative_to(ROOT) for path in ROOT.glob("*/**/__init__.py")}
    ours = {".".join(p.parts) for p in found if p.parts[0] in PACKAGES}
    include = lines("options.packages.find", "include")
    assert include == [name for p in PACKAGES for name in (p, f"{p}.*")]
    assert {name for name in ours if "." not in name} == set(PACKAGES)
    # A folder with code but without __init__.py would be left out of the wheel.
    for path in (file for name in PACKAGES for file in ROOT.glob(f"{name}/**/*.py")):
        assert (path.parent / "__init__.py").exists(), path


@pytest.mark.parametrize("package", ["sdl", "dfo", "graphs", "quantum"])
def test_a_package_without_a_method_says_so(package):
    files = [path for path in (ROOT / package).glob("*.py")]
    text = (ROOT / package / "__init__.py").read_text(encoding="utf-8")
    assert (files == [ROOT / package / "__init__.py"]) == ("Not built yet" in text)


def test_the_licence_is_there():
    assert PROJECT["license"] == "BSD-3-Clause"
    for name in (*PROJECT["license-files"], PROJECT["readme"]):
        assert (ROOT / name).read_text(encoding="utf-8").strip()


def test_the_script_exists():
    module, _, function = PROJECT["scripts"]["farkas"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_each_extra_of_tasks_contains_the_one_before():
    assert set(EXTRAS["plot"]) < set(EXTRAS["test"]) < set(EXTRAS["dev"])


@pytest.mark.parametrize(
    "extra", [None, *(e for e in EXTRAS if not e.startswith("gpu"))]
)
def test_constraints_cover_every_dependency_and_what_it_needs(extra):
    pinned, seen = pins(), {}
    todo = [Requirement(line) for line in EXTRAS.get(extra, PROJECT["dependencies"])]
    while todo:
        need = todo.pop()
        name = canonicalize_name(need.name)
        assert name in pinned, f"{need} is not in constraints.txt"
        assert need.specifier.contains(pinned[name], prereleases=True), need
        if (name, *sorted(need.extras)) in seen:
            continue
        seen[name, *sorted(need.extras)] = True
        try:
            nested = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # an extra that is not installed here
        todo += [
            inner
            for inner in map(Requirement, nested)
            if not inner.marker
            or any(inner.marker.evaluate({"extra": e}) for e in ("", *need.extras))
        ]


def test_no_file_names_a_registry_or_a_machine():
    words = ("pypi.org", "pythonhosted", "index-url", "find-links", "/root/", "/home/")
    for path in ROOT.glob("*.*"):
        if path.is_file() and path.suffix in (".py", ".toml", ".cfg", ".txt", ".md"):
            text = path.read_text(encoding="utf-8")
            assert not [word for word in words if word in text], path
