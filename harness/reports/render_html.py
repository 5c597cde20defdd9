"""A table as an HTML fragment, with hooks for whoever puts it on a page, and a document as a page of its own.

section.harness-table#table-NAME > h2, p.caption, table.sortable (one a panel), p.reading, ul.notes (the first three),
details.more-notes (the others and p.signature)
th[data-key] and td[data-value] sort; td[data-low], td[data-high], td[data-n] are the interval; td.ours,
td.paper, td.config say whose number it is; td.empty[title] says why it is empty; every measured cell carries
data-trials (ids, separated by spaces), and the row's runs link to #trial-ID.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

from jinja2 import Environment, StrictUndefined, Template

from harness.results.metrics import list_metrics
from harness.reports.table import SHOWN_NOTES, Cell, Column, Document, Table, header_groups


def html(table: Table) -> str:
    """The fragment; self-contained, without styles or scripts."""
    first, rest = table.notes[:SHOWN_NOTES], table.notes[SHOWN_NOTES:]
    return _template("table").render(table=table, first=first, rest=rest, groups=header_groups, hover=_hover)


def html_document(document: Document) -> str:
    """One self-contained page."""
    return _template("document").render(document=document)


@cache
def _template(name: str) -> Template:
    text = (resources.files("harness.reports") / "templates" / f"{name}.html.j2").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.from_string(text)


def _hover(column: Column, cell: Cell) -> str | None:
    if cell.interval is None:
        same = cell.n > 1 and column.key in list_metrics()
        return f"all {cell.n} seeds agree to the last digit: no spread to judge by" if same else None
    low, high = cell.interval
    found = f"{cell.value:.2f}, 95 % interval {low:.2f} to {high:.2f}, {cell.n} seeds"
    return f"{column.group} {column.header}: {found}"
