"""A table as CSV for machines: one line a row, unrounded, intervals and trials in columns of their own."""

from __future__ import annotations

import csv
import io

from harness.reports.table import Cell, Column, Table


def csv_text(table: Table) -> str:
    """Header: column keys (`paper_*` are the paper's); an interval adds `KEY_low` and `KEY_high`.

    Numbers are not rounded. `empty` says why a cell is. `trials` lists the ids behind the row, space between.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    ranged = {c.key for c in table.columns if any(line.cells[c.key].interval for line in table.rows)}
    writer.writerow([*(name for c in table.columns for name in _names(c, ranged)), "trials", "empty"])
    for line in table.rows:
        cells = [value for c in table.columns for value in _values(line.cells[c.key], c.key in ranged)]
        why = "; ".join(
            f"{c.key}: {cell.why_empty}" for c in table.columns if (cell := line.cells[c.key]).why_empty
        )
        writer.writerow([*cells, " ".join(line.trial_ids), why])
    return out.getvalue()


def _names(column: Column, ranged: set[str]) -> list[str]:
    return [column.key, f"{column.key}_low", f"{column.key}_high"] if column.key in ranged else [column.key]


def _values(cell: Cell, ranged: bool) -> list[str | float | None]:
    if cell.why_empty is not None:
        own: str | float | None = None
    else:
        own = cell.text if cell.value is None else cell.value
    ends = cell.interval or (None, None)
    return [own, *ends] if ranged else [own]
