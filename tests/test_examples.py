"""Every example runs, without a warning, and ends by verifying its certificate."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*/plot_*.py"))


@pytest.fixture
def agg(monkeypatch):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def test_there_are_examples():
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path, agg, capsys):
    runpy.run_path(str(path))
    assert "verified" in capsys.readouterr().out


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_has_a_title_and_verifies(path):
    text = path.read_text(encoding="utf-8")
    title, rule, blank, why = text.removeprefix('"""\n').split("\n", 3)
    assert rule == "=" * len(title)
    assert blank == ""
    assert len(why.split("\n\n")[0]) > 150
    assert "farkas.verify(" in text
