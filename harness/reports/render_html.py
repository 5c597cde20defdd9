"""A table as an HTML fragment, with hooks for whoever puts it on a page.

section.harness-table#table-NAME > h2, p.caption, table.sortable (one a panel), p.reading, ul.notes,
p.signature
th[data-key] and td[data-value] sort; td[data-low], td[data-high], td[data-n] are the interval; td.ours,
td.paper, td.config say whose number it is; td.empty[title] says why it is empty; every measured cell carries
data-trials (ids, separated by spaces), and the row's runs link to #trial-ID.
"""

from __future__ import annotations

from html import escape

from harness.reports.table import Cell, Column, Line, Table, header_groups


def html(table: Table) -> str:
    """The fragment; self-contained, without styles or scripts."""
    grids = "\n".join(_grid(table, columns) for columns in table.panels())
    return (
        f'<section class="harness-table" id="table-{escape(table.name)}">\n<h2>{escape(table.title)}</h2>\n'
        f'<p class="caption">{escape(table.caption)}</p>\n{grids}\n{_below(table)}</section>\n'
    )


def _below(table: Table) -> str:
    reading = f'<p class="reading"><strong>Reading.</strong> {escape(table.reading)}</p>\n'
    notes = "".join(f"<li>{escape(note)}</li>\n" for note in table.notes)
    signature = f'<p class="signature">Signature: {escape(table.signature)}</p>\n'
    return (
        (reading if table.reading else "")
        + (f'<ul class="notes">\n{notes}</ul>\n' if notes else "")
        + (signature if table.signature else "")
    )


def _grid(table: Table, columns: tuple[Column, ...]) -> str:
    heads = "".join(
        f'<th class="{c.source}" scope="col" data-key="{c.key}"{_attribute("data-direction", c.direction)}>'
        f"{escape(c.header)}</th>"
        for c in columns
    )
    rows = "\n".join(_row(line, columns) for line in table.rows)
    return (
        f'<div class="scroll"><table class="sortable">\n<thead>\n{_group_row(columns)}<tr>{heads}</tr>\n'
        "</thead>\n"
        f"<tbody>\n{rows}\n</tbody>\n</table></div>"
    )


def _group_row(columns: tuple[Column, ...]) -> str:
    groups = header_groups(columns)
    if not any(name for name, _ in groups):
        return ""
    cells = "".join(
        f'<th colspan="{count}" scope="colgroup">{escape(name)}</th>'
        if name
        else f'<td colspan="{count}"></td>'
        for name, count in groups
    )
    return f'<tr class="groups">{cells}</tr>\n'


def _row(line: Line, columns: tuple[Column, ...]) -> str:
    origin = _attribute("data-origin", line.origin)
    first = f'<th scope="row">{escape(line.cells[columns[0].key].text)}</th>'
    cells = "".join(_cell(c, line.cells[c.key]) for c in columns[1:])
    return f'<tr data-row="{escape(line.name)}"{origin}>{first}{cells}</tr>'


def _cell(column: Column, cell: Cell) -> str:
    ends = cell.interval or (None, None)
    attributes = "".join(
        _attribute(name, value)
        for name, value in (
            ("title", cell.why_empty or _hover(column, cell)),
            ("data-value", cell.value),
            ("data-low", ends[0]),
            ("data-high", ends[1]),
            ("data-n", cell.n or None),
            ("data-trials", " ".join(cell.trial_ids) or None),
        )
    )
    kind = f"{cell.source} empty" if cell.why_empty else cell.source
    links = _run_links(cell) if column.key == "n" else ""
    return f'<td class="{kind}"{attributes}>{escape(cell.text)}{links}</td>'


def _hover(column: Column, cell: Cell) -> str | None:
    if cell.interval is None:
        return None
    low, high = cell.interval
    found = f"{cell.value:.2f}, 95 % interval {low:.2f} to {high:.2f}, {cell.n} seeds"
    return f"{column.group} {column.header}: {found}"


def _run_links(cell: Cell) -> str:
    links = " ".join(
        f'<a href="#trial-{i}" title="trial {i}">{k}</a>' for k, i in enumerate(cell.trial_ids, start=1)
    )
    return f' <span class="runs">{links}</span>' if links else ""


def _attribute(name: str, value: str | float | None) -> str:
    return "" if value is None else f' {name}="{escape(str(value))}"'
