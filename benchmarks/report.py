"""What every benchmark writes: a page of tables, and the numbers behind it as JSON."""

import json
import sys
from pathlib import Path

from farkas.environment import describe

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"


def write(name, record, text):
    """Write ``results/NAME.json``, with the facts of the machine, and ``NAME.md``."""
    RESULTS.mkdir(exist_ok=True)
    record = {"environment": describe(), **record}
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1, default=float))
    (HERE / f"{name}.md").write_text(text + "\n")
    print(text)


def run_parts(name, parts, chosen, page):
    """Run the chosen parts, or all; record each as it ends, then write the page.

    The others keep what an earlier run recorded.
    """
    if unknown := set(chosen) - set(parts):
        sys.exit(f"unknown parts {sorted(unknown)}; choose among {sorted(parts)}.")
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    record = json.loads(path.read_text()) if path.exists() else {}
    for part in chosen or parts:
        record |= {part: parts[part](), "environment": describe()}
        path.write_text(json.dumps(record, indent=1))
    (HERE / f"{name}.md").write_text(page(record) + "\n")


def table(names, rows):
    """Return a Markdown table whose columns line up."""
    cells = [list(names), *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[j]) for row in cells) for j in range(len(names))]
    cells.insert(1, ["-" * (width - 1) + ":" for width in widths])
    padded = (
        [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        for row in cells
    )
    return "\n".join("| " + " | ".join(row) + " |" for row in padded)
