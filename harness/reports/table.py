"""A table as data, before any renderer: a cell knows its value, the trials behind it, and why it is empty.

A document is a text with grids of words between (a comparison). The renderers beside this file take either.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal

Source = Literal["ours", "paper", "config"]
Direction = Literal["higher", "lower"]
Origin = Literal["runs", "baselines", "both"]

Panel = Literal["main", "cost", "both"]

EMPTY = "–"
SHOWN_NOTES = 3  # under a table in the terminal and on the page; the others are folded away


@dataclass(frozen=True)
class Cell:
    """One number (or word) of a table.

    value      the number behind `text` in the column's unit; None for words and for empty cells
    text       what is printed
    source     ours (measured by trials), paper (printed there), config (follows from the declaration)
    direction  which way is better; None where neither is
    trial_ids  the trials that the number comes from
    why_empty  a sentence, where `value` is missing
    interval   low and high end, in the value's unit; None where n does not allow one
    n          seeds behind the number
    """

    value: float | None
    text: str
    source: Source = "ours"
    direction: Direction | None = None
    trial_ids: tuple[str, ...] = ()
    why_empty: str | None = None
    interval: tuple[float, float] | None = None
    n: int = 0


def word(text: str, source: Source = "config") -> Cell:
    """A cell of words."""
    return Cell(None, text, source)


def empty(why: str, source: Source = "ours", text: str = EMPTY, trial_ids: tuple[str, ...] = ()) -> Cell:
    """An empty cell; `why` says why."""
    return Cell(None, text, source, why_empty=why, trial_ids=trial_ids)


@dataclass(frozen=True)
class Column:
    """A column: `key` is stable for machines, `group` is the header above it.

    panel  a table with two panels prints results first and cost below; `both` stands in each
    short  the header where room is scarce (default: `header`)
    keep   a terminal that is too narrow leaves out the columns with the smallest `keep`
    """

    key: str
    header: str
    group: str = ""
    source: Source = "ours"
    unit: str = ""
    keep: int = 5
    direction: Direction | None = None
    panel: Panel = "main"
    short: str = ""


@dataclass(frozen=True)
class Line:
    """One row: `cells` by column key. `origin` says whose records it is made of; None: no records (yet)."""

    name: str
    cells: dict[str, Cell]
    origin: Origin | None = None

    @property
    def trial_ids(self) -> tuple[str, ...]:
        """Every trial behind any cell, once, in order of appearance."""
        return tuple(dict.fromkeys(i for cell in self.cells.values() for i in cell.trial_ids))


@dataclass(frozen=True)
class Table:
    """All that a renderer needs.

    caption    what was run: dataset, scale, recipe, seeds, interval, commit, date
    notes      what is not the paper's, what is missing and why
    reading    made from statistics, never by hand: does our order tell the paper's story?
    signature  what all numbers of a column have in common
    """

    name: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Line, ...]
    notes: tuple[str, ...] = ()
    reading: str = ""
    signature: str = ""
    profile: str = ""
    paper_source: str = ""

    def panels(self) -> list[tuple[Column, ...]]:
        """The columns of each panel; one panel where no column is of the panel `cost`."""
        main = tuple(c for c in self.columns if c.panel != "cost")
        cost = tuple(c for c in self.columns if c.panel != "main")
        return [main, cost] if any(c.panel == "cost" for c in self.columns) else [main]

    def cell(self, row: str, column: str) -> Cell:
        """The cell of a row and a column; KeyError where there is none."""
        return next(line for line in self.rows if line.name == row).cells[column]


@dataclass(frozen=True)
class Grid:
    """A table of texts; the first `words` columns are words (left), the others numbers (right)."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1


@dataclass(frozen=True)
class Section:
    """Under a heading: sentences, then a table, then remarks in small print."""

    heading: str
    sentences: tuple[str, ...] = ()
    grid: Grid | None = None
    remarks: tuple[str, ...] = ()
    level: int = 2


@dataclass(frozen=True)
class Document:
    """`name` is its file's."""

    name: str
    title: str
    sections: tuple[Section, ...]


def header_groups(columns: tuple[Column, ...]) -> list[tuple[str, int]]:
    """Header groups from left to right: (name, number of columns)."""
    return [(name, len(list(members))) for name, members in itertools.groupby(columns, key=lambda c: c.group)]


def significant(value: float, digits: int = 3) -> str:
    """`value` with so many significant digits at least and no exponent: 0.497, 83.8, 2515."""
    if value == 0:
        return "0"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{value:.{max(0, decimals)}f}"
