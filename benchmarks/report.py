"""What every benchmark writes: a page of tables, and the numbers behind it as JSON."""

import json
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
