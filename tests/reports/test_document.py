"""Every renderer shows every text, whatever characters it has."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from harness.base.errors import UserError
from harness.reports.render_html import html_document as html
from harness.reports.render_markdown import markdown_document as markdown
from harness.reports.render_terminal import print_document
from harness.reports.table import Document, Grid, Section
from harness.reports.write import write_document

words = st.text(st.characters(blacklist_categories=("C", "Z")), min_size=1, max_size=8)
grids = st.integers(1, 4).flatmap(
    lambda n: st.builds(
        Grid, st.tuples(*[words] * n), st.lists(st.tuples(*[words] * n), max_size=3).map(tuple), st.just(1)
    )
)
documents = st.builds(
    Document,
    st.just("name"),
    words,
    st.lists(st.builds(Section, words, st.tuples(words), grids, st.tuples(words)), max_size=3).map(tuple),
)


class Texts(HTMLParser):
    """Texts of a page, and whether every tag that opens also closes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def every_text(document: Document) -> list[str]:
    return [document.title] + [
        text
        for s in document.sections
        for text in (
            s.heading,
            *s.sentences,
            *s.remarks,
            *(s.grid.header),
            *(c for row in s.grid.rows for c in row),
        )
    ]


@settings(max_examples=60, deadline=None)
@given(documents)
def test_html_is_well_formed_and_has_every_text(document: Document) -> None:
    page = Texts()
    page.feed(html(document))
    assert page.open == []
    assert set(every_text(document)) <= set(page.texts)


@settings(max_examples=60, deadline=None)
@given(documents)
def test_markdown_rows_keep_their_cells(document: Document) -> None:
    text = markdown(document)
    plain = re.sub(r"\\(.)", r"\1", text)
    assert all(t in plain for t in every_text(document))
    for section in document.sections:
        assert section.grid is not None
        width = len(section.grid.header) + 1
        rows = [line for line in text.splitlines() if line.startswith("| ")]
        assert all(len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) >= 2 for row in rows)
        header = next(
            r for r in rows if re.sub(r"\\(.)", r"\1", r) == f"| {' | '.join(section.grid.header)} |"
        )
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", header)) == width


def test_the_terminal_shows_rows_and_remarks() -> None:
    grid = Grid(("method", "top-1"), (("[bold]mine[/]", "78.3"),))
    document = Document("n", "Title", (Section("Head", ("A sentence.",), grid, ("A remark.",)),))
    out = io.StringIO()
    print_document(document, Console(file=out, width=80))
    for text in ("Title", "Head", "A sentence.", "[bold]mine[/]", "78.3", "A remark."):
        assert text in out.getvalue()


def test_files_are_written_whole_or_refused(tmp_path: Path) -> None:
    document = Document("a_vs_b", "Title", ())
    paths = write_document(document, tmp_path)
    assert [p.relative_to(tmp_path).as_posix() for p in paths] == [
        "comparisons/a_vs_b.md",
        "comparisons/a_vs_b.html",
    ]
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(UserError, match="cannot be written"):
        write_document(document, tmp_path / "file")
