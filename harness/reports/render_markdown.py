"""Tables and documents as GitHub Markdown; the paper's columns in italics and named as the paper's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from harness.reports.table import Cell, Column, Document, Section, Table


def markdown(table: Table) -> str:
    """The whole table as a Markdown section: results, cost, reading, all notes, signature."""
    grids = [_table_grid(table, columns) for columns in table.panels()]
    parts = [f"### {_escape(table.title)}", _escape(table.caption), *grids, *_below(table)]
    return "\n\n".join(parts) + "\n"


def markdown_document(document: Document) -> str:
    """The whole text."""
    parts = [f"# {_escape(document.title)}", *(part for s in document.sections for part in _section(s))]
    return "\n\n".join(parts) + "\n"


def _below(table: Table) -> list[str]:
    """What stands under the grids."""
    parts = [f"**Reading.** {_escape(table.reading)}"] if table.reading else []
    if table.notes:
        parts.append(_bullets(table.notes))
    return [*parts, f"<sub>Signature: {_escape(table.signature)}</sub>"] if table.signature else parts


def _section(section: Section) -> Iterator[str]:
    yield f"{'#' * section.level} {_escape(section.heading)}"
    yield from map(_escape, section.sentences)
    if section.grid is not None:
        rows = [map(_escape, cells) for cells in section.grid.rows]
        yield grid([*map(_escape, section.grid.header)], rows, section.grid.words)
    if section.remarks:
        yield _bullets(section.remarks)


def _bullets(texts: Sequence[str]) -> str:
    return "\n".join(f"- {_escape(text)}" for text in texts)


def _table_grid(table: Table, columns: tuple[Column, ...]) -> str:
    header = [_header(c) for c in columns]
    rule = [":--" if c.source == "config" else "--:" for c in columns]
    rows = [[_text(line.cells[c.key]) for c in columns] for line in table.rows]
    return _grid([header, rule, *rows])


def grid(header: Sequence[str], rows: Iterable[Iterable[str]], words: int = 1) -> str:
    """A table of Markdown texts; the first `words` columns are words (left), the others numbers (right)."""
    rule = [":--" if i < words else "--:" for i in range(len(header))]
    return _grid([header, rule, *rows])


def _grid(rows: Iterable[Iterable[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _header(column: Column) -> str:
    text = _escape(f"{column.group}: {column.header}" if column.group else column.header)
    return f"*{text}*" if column.source == "paper" else text


def _text(cell: Cell) -> str:
    text = _escape(cell.text)
    return f"*{text}*" if cell.source == "paper" and cell.why_empty is None else text


def _escape(text: str) -> str:
    """Keep marks from being read as Markdown."""
    return "".join(f"\\{c}" if c in "\\|*_<`" else c for c in text)
