"""Tables and documents for the terminal (rich).

Columns that do not fit are left out, least wanted first; of the notes under a table only the first three lines are
shown. `harness show TABLE` prints all of both.
"""

from __future__ import annotations

from typing import Literal

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from harness.reports.table import SHOWN_NOTES, Cell, Column, Document, Grid, Table

GAP = 2  # between two columns: one of padding, one that the box draws
PLAIN_WIDTH = 120
STYLES = {"ours": "", "config": "", "paper": "dim italic"}


class TerminalTable:
    """`console.print(TerminalTable(table))`: results, then cost, then what there is to say about them.

    `whole`: every note, and which columns were left out.
    """

    def __init__(self, table: Table, *, whole: bool = False) -> None:
        self.table, self.whole = table, whole

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table, width = self.table, options.max_width
        yield Text(table.title, style="bold")
        yield Text(table.caption, style="dim")
        left_out: list[str] = []
        for columns in table.panels():
            kept = fitting(table, columns, width)
            left_out += [_name(c) for c in columns if c not in kept]
            yield _grid(table, kept)
        if table.reading:
            yield Text.assemble(("Reading. ", "bold"), table.reading)
        if self.whole:
            yield from (Padding(Text(f"· {note}", style="dim"), (0, 0, 0, 1)) for note in table.notes)
            if table.signature:
                yield Text(f"Signature: {table.signature}", style="dim")
            if left_out:
                yield Text(f"Left out for want of room: {', '.join(dict.fromkeys(left_out))}.", style="dim")
        else:
            yield from _first_lines(table, len(dict.fromkeys(left_out)), console, width)


def print_table(table: Table, console: Console | None = None, *, whole: bool = False) -> None:
    """Print to the console; by default stdout, at least 120 columns wide where it is no terminal."""
    if console is None:
        console = Console()
        if not console.is_terminal:
            console = Console(width=max(console.width, PLAIN_WIDTH))
    console.print(TerminalTable(table, whole=whole))


def _first_lines(table: Table, left_out: int, console: Console, width: int) -> RenderResult:
    """The first notes that three lines hold, whole ones only, then where the others are."""
    shown, room = 0, SHOWN_NOTES
    for note in table.notes:
        text = Text(f"· {note}", style="dim")
        lines = len(text.wrap(console, width - 1))
        if lines <= room:
            yield Padding(text, (0, 0, 0, 1))
            shown, room = shown + 1, room - lines
    hidden = {"note": len(table.notes) - shown, "column": left_out}
    if told := " and ".join(f"{n} {what}{'s' * (n > 1)}" for what, n in hidden.items() if n):
        yield Text(f"more: harness show {table.name} ({told})", style="dim")


def print_document(document: Document, console: Console | None = None) -> None:
    """To the console, by default stdout, 110 columns wide where it is no terminal."""
    own = console or Console(width=None if Console().is_terminal else 110, highlight=False)
    own.print(Text(document.title, style="bold"))
    for section in document.sections:
        own.print()
        own.print(Text(section.heading, style="bold" if section.level == 2 else "italic"))
        for sentence in section.sentences:
            own.print(Text(sentence))
        if section.grid is not None:
            own.print(_rich_grid(section.grid))
        for remark in section.remarks:
            own.print(Text(f"· {remark}", style="dim"))


def _rich_grid(grid: Grid) -> RichTable:
    table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, name in enumerate(grid.header):
        table.add_column(name, justify="left" if index < grid.words else "right")
    for cells in grid.rows:
        table.add_row(*map(Text, cells))
    return table


def fitting(table: Table, columns: tuple[Column, ...], width: int) -> tuple[Column, ...]:
    """The columns that fit in `width` characters; the smallest `keep` leaves first, from the right."""
    kept = list(columns)
    while len(kept) > 1 and _width(table, tuple(kept)) > width:
        kept.remove(min(reversed(kept), key=lambda c: c.keep))
    return tuple(kept)


def _width(table: Table, columns: tuple[Column, ...]) -> int:
    widths = [
        max(
            len(text)
            for text in (*header.plain.split("\n"), *(line.cells[c.key].text for line in table.rows))
        )
        for header, c in zip(_headers(columns), columns, strict=True)
    ]
    return sum(width + GAP for width in widths)


def _headers(columns: tuple[Column, ...]) -> list[Text]:
    """Two lines each: whose number (named once a group, the paper always), and which."""
    whose = ["paper" if c.source == "paper" else c.group.split(",")[0] for c in columns]
    first = [name if name == "paper" or name not in whose[:i] else "" for i, name in enumerate(whose)]
    return [
        Text(f"{name}\n{c.short or c.header}", style=STYLES[c.source] or "bold")
        for name, c in zip(first, columns, strict=True)
    ]


def _name(column: Column) -> str:
    return f"{column.group}: {column.header}" if column.group else column.header


def _grid(table: Table, columns: tuple[Column, ...]) -> RichTable:
    grid = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, GAP - 1, 0, 0), show_edge=False)
    for header, column in zip(_headers(columns), columns, strict=True):
        justify: Literal["left", "right"] = "left" if column.source == "config" else "right"
        grid.add_column(header, justify=justify, no_wrap=True, style=STYLES[column.source])
    for line in table.rows:
        grid.add_row(*(_text(line.cells[c.key]) for c in columns))
    return grid


def _text(cell: Cell) -> Text:
    style = "dim" if cell.why_empty is not None else STYLES[cell.source]
    if cell.text.startswith("failed"):
        style = "red"
    return Text(cell.text, style=style)
