"""What the README and CONTRIBUTING promise is true."""

import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def blocks(text):
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def first_fit():
    """Run the first block; return its names and what it printed."""
    scope, out = {}, io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(blocks(README)[0], "README.md", "exec"), scope)
    return scope, out.getvalue()


def test_the_first_python_block_is_a_verified_fit_in_ten_lines(first_fit):
    assert len(blocks(README)[0].splitlines()) <= 10
    assert "verified" in first_fit[1]
    assert first_fit[0]["model"].certificate_.satisfied


@pytest.mark.parametrize("code", blocks(README)[1:])
def test_the_other_python_blocks_run(first_fit, code):
    exec(compile(code, "README.md", "exec"), dict(first_fit[0]))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_commands_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), target
    tasks = (ROOT / "tasks.py").read_text(encoding="utf-8")
    for task in set(re.findall(r"python3 tasks\.py (\w+)", text)) - {"help"}:
        assert f'"{task}": [' in tasks, task
