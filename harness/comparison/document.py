"""A text with tables, written once and rendered three times: Markdown, HTML, terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from harness.reports.write import write_bytes


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
    name: str
    title: str
    sections: tuple[Section, ...]


def markdown(document: Document) -> str:
    """GitHub's Markdown."""
    return "\n".join(
        [f"# {_md(document.title)}", "", *(line for s in document.sections for line in _md_section(s))]
    )


def _md_section(section: Section) -> Iterator[str]:
    yield from (f"{'#' * section.level} {_md(section.heading)}", "")
    for sentence in section.sentences:
        yield from (_md(sentence), "")
    if section.grid is not None:
        grid = section.grid
        rules = [":---" if i < grid.words else "---:" for i in range(len(grid.header))]
        yield from (_md_row(grid.header), _md_row(rules, raw=True), *map(_md_row, grid.rows), "")
    yield from (f"- {_md(remark)}" for remark in section.remarks)
    if section.remarks:
        yield ""


def _md_row(cells: Sequence[str], raw: bool = False) -> str:
    return f"| {' | '.join(c if raw else _md(c) for c in cells)} |"


def _md(text: str) -> str:
    return "".join(f"\\{c}" if c in "|*_<>`\\" else c for c in text)


STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "h1{font-size:1.6rem}h2{font-size:1.25rem;margin-top:2.2rem}h3{font-size:1rem}"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    "th,td{padding:.2rem .7rem;text-align:right;white-space:nowrap;border-bottom:1px solid #8884}"
    ".w{text-align:left}ul{color:#888;font-size:.9rem}"
)


def html(document: Document) -> str:
    """One self-contained page."""
    body = "\n".join(_html_section(s) for s in document.sections)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(document.title)}</title><style>{STYLE}</style></head>\n"
        f"<body><main><h1>{escape(document.title)}</h1>\n{body}\n</main></body></html>\n"
    )


def _html_section(section: Section) -> str:
    sentences = "".join(f"<p>{escape(sentence)}</p>\n" for sentence in section.sentences)
    remarks = "".join(f"<li>{escape(remark)}</li>" for remark in section.remarks)
    return (
        f"<h{section.level}>{escape(section.heading)}</h{section.level}>\n{sentences}"
        + (_html_grid(section.grid) if section.grid is not None else "")
        + (f"<ul>{remarks}</ul>" if remarks else "")
    )


def _html_grid(grid: Grid) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        kinds = [' class="w"' if i < grid.words else "" for i in range(len(cells))]
        return "".join(f"<{tag}{k}>{escape(c)}</{tag}>" for c, k in zip(cells, kinds, strict=True))

    body = "\n".join(f"<tr>{row(cells, 'td')}</tr>" for cells in grid.rows)
    head = f"<thead><tr>{row(grid.header, 'th')}</tr></thead>"
    return f'<div class="scroll"><table>{head}<tbody>\n{body}\n</tbody></table></div>\n'


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


def write_document(document: Document, reports: Path) -> list[Path]:
    """`reports`/comparisons/NAME.md and .html, each whole or not at all. UserError where it cannot be written."""
    folder = reports / "comparisons"
    paths = [folder / f"{document.name}.{kind}" for kind in ("md", "html")]
    for path, render in zip(paths, (markdown, html), strict=True):
        write_bytes(path, render(document).encode())
    return paths
