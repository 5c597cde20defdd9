"""A table as GitHub Markdown: results, then cost; the paper's columns in italics and named as the paper's."""

from __future__ import annotations

from harness.reports.table import Cell, Column, Table


def markdown(table: Table) -> str:
    """The whole table as a Markdown section, with caption, reading, notes and signature."""
    grids = [_grid(table, columns) for columns in table.panels()]
    parts = [f"### {table.title}", table.caption, *grids, *_below(table)]
    return "\n\n".join(parts) + "\n"


def _below(table: Table) -> list[str]:
    """What stands under the grids."""
    parts = [f"**Reading.** {_escape(table.reading)}"] if table.reading else []
    if table.notes:
        parts.append("\n".join(f"- {_escape(note)}" for note in table.notes))
    return [*parts, f"<sub>Signature: {_escape(table.signature)}</sub>"] if table.signature else parts


def _grid(table: Table, columns: tuple[Column, ...]) -> str:
    header = [_header(c) for c in columns]
    rule = [":--" if c.source == "config" else "--:" for c in columns]
    rows = [[_text(line.cells[c.key]) for c in columns] for line in table.rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *rows])


def _header(column: Column) -> str:
    text = _escape(f"{column.group}: {column.header}" if column.group else column.header)
    return f"*{text}*" if column.source == "paper" else text


def _text(cell: Cell) -> str:
    text = _escape(cell.text)
    return f"*{text}*" if cell.source == "paper" and cell.why_empty is None else text


def _escape(text: str) -> str:
    """Keep `|`, `*`, `_` and `<` from being read as Markdown."""
    for mark in ("\\", "|", "*", "_", "<", "`"):
        text = text.replace(mark, f"\\{mark}")
    return text
