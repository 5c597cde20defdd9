"""Every renderer shows the same cells; special characters survive; files are whole."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from harness.base.errors import UserError
from harness.experiment import Profile, load_experiment
from harness.reports import Cell, Column, Line, Table, build_table, print_table, write_tables
from harness.reports.render_csv import csv_text
from harness.reports.render_html import html
from harness.reports.render_latex import escape, latex
from harness.reports.render_markdown import markdown
from harness.reports.render_terminal import fitting
from harness.reports.table import empty, header_groups, significant, word


@pytest.fixture(scope="module", params=["ablation_a", "ablation_e", "ablation_i"])
def table(request: pytest.FixtureRequest, profile: Profile, frame: pd.DataFrame) -> Table:
    return build_table(load_experiment(request.param), profile, frame)


def tiny(text: str) -> Table:
    """One row, one cell of words, one empty cell, one number of the paper."""
    columns = (
        Column("model", "Model", source="config", keep=9),
        Column("top1", "top-1", "ours", keep=5),
        Column("paper_top1", "top-1", "paper", "paper", keep=7),
    )
    cells = {
        "model": word(text),
        "top1": empty("not run", text="not run"),
        "paper_top1": Cell(77.3, "77.3", "paper"),
    }
    return Table("tiny", text, text, columns, (Line(text, cells),), (text,), text, text)


def terminal(table: Table, width: int, *, whole: bool = False) -> str:
    console = Console(width=width, file=io.StringIO(), record=True, force_terminal=True)
    print_table(table, console, whole=whole)
    return console.export_text()


class _Html(HTMLParser):
    """Collects links, and refuses tags that are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[dict[str, str | None]] = []
        self.links: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        if tag == "td":
            self.cells.append(dict(attrs))
        if tag == "a":
            self.links.append(dict(attrs)["href"] or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(text: str) -> _Html:
    parser = _Html()
    parser.feed(text)
    assert not parser.open
    return parser


def test_html_carries_values_intervals_and_links(profile: Profile, frame: pd.DataFrame) -> None:
    table = build_table(load_experiment("ablation_a"), profile, frame)
    page = parsed(html(table))
    cell = table.cell("DSA+I3D 4x4", "top1")
    found = next(c for c in page.cells if c.get("data-value") == str(cell.value))
    assert found["class"] == "ours" and found["data-low"] == str(cell.interval[0] if cell.interval else None)
    assert found["data-trials"] == " ".join(cell.trial_ids)
    assert {f"#trial-{i}" for i in cell.trial_ids} <= set(page.links)
    assert any(c.get("class") == "paper" and c.get("data-value") == "77.3" for c in page.cells)


def test_every_text_of_the_table_is_in_every_rendering(table: Table) -> None:
    page = "".join(parsed(html(table)).text)
    texts = {cell.text for line in table.rows for cell in line.cells.values()}
    plain = markdown(table).replace("\\", "")
    for text in texts:
        assert text in page and text in plain and escape(text) in latex(table)


def test_markdown_lines_of_a_grid_have_one_length(table: Table) -> None:
    grids = [block for block in markdown(table).split("\n\n") if block.startswith("|")]
    assert len(grids) == len(table.panels())
    for grid, columns in zip(grids, table.panels(), strict=True):
        lines = grid.splitlines()
        assert len(lines) == len(table.rows) + 2
        assert {len(re.split(r"(?<!\\)\|", line)) - 2 for line in lines} == {len(columns)}


def test_markdown_and_latex_set_the_papers_numbers_in_italics(profile: Profile, frame: pd.DataFrame) -> None:
    table = build_table(load_experiment("ablation_a"), profile, frame)
    assert "*77.3*" in markdown(table) and "*paper: top-1*" in markdown(table)
    assert "\\textit{77.3}" in latex(table) and "{paper}" in latex(table)


def test_latex_rows_fit_their_tabular(table: Table) -> None:
    text = latex(table)
    for columns, tabular in zip(table.panels(), text.split("\\begin{tabular}")[1:], strict=True):
        layout, body = re.match(r"\{([lr]+)\}(.*?)\\end\{tabular\}", tabular, re.S).groups()  # type: ignore[union-attr]
        assert len(layout) == len(columns)
        rows = [line for line in body.splitlines() if line.endswith("\\\\")]
        for row in rows:
            spans = sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", row))
            assert len(re.findall(r"(?<!\\)&", row)) + 1 + spans == len(columns)


def test_latex_needs_no_character_that_the_default_font_lacks(table: Table) -> None:
    assert latex(table).isascii()
    assert latex(table).count("{") - latex(table).count("\\{") == latex(table).count("}") - latex(
        table
    ).count("\\}")


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126)))
def test_latex_escape_leaves_no_bare_special_character(text: str) -> None:
    bare = re.sub(r"\\text\w+\{\}|\\[{}&%$#_]|\$[<>|]\$", "", escape(text))
    assert not re.search(r"[{}&%$#_~^\\]", bare)


NASTY = st.text(alphabet=st.sampled_from("a|*_<>&\"'`{}\\%$ "), min_size=1, max_size=12).filter(str.strip)


@given(NASTY)
def test_nasty_names_survive_html_and_csv(text: str) -> None:
    table = tiny(text)
    assert text in "".join(parsed(html(table)).text)
    rows = list(csv.DictReader(io.StringIO(csv_text(table))))
    assert rows[0]["model"] == text and rows[0]["empty"] == "top1: not run"


@given(NASTY)
def test_nasty_names_do_not_break_markdown_grids(text: str) -> None:
    grid = next(block for block in markdown(tiny(text)).split("\n\n") if block.startswith("| Model"))
    unescaped = [re.sub(r"\\.", "", line).count("|") for line in grid.splitlines()]
    assert unescaped == [4, 4, 4]


def test_csv_has_unrounded_values_and_interval_columns(profile: Profile, frame: pd.DataFrame) -> None:
    table = build_table(load_experiment("ablation_e"), profile, frame)
    rows = {r["model"]: r for r in csv.DictReader(io.StringIO(csv_text(table)))}
    cell = table.cell("beta 1", "top1")
    assert float(rows["beta 1"]["top1"]) == cell.value
    assert cell.interval is not None and float(rows["beta 1"]["top1_high"]) == cell.interval[1]
    assert rows["beta 1/2"]["top1"] == "" and "top1: not run" in rows["beta 1/2"]["empty"]


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_terminal_never_cuts_a_cell_and_names_what_it_left_out(table: Table, width: int) -> None:
    text = terminal(table, width, whole=True)
    assert "…" not in text
    assert max(len(line) for line in text.splitlines()) <= width
    dropped = [c for columns in table.panels() for c in columns if c not in fitting(table, columns, width)]
    assert ("Left out for want of room" in text) == bool(dropped)
    for line in table.rows:
        assert line.name in text


@pytest.mark.parametrize("width", [60, 120, 200])
def test_the_terminal_folds_all_but_three_lines_of_notes(table: Table, width: int) -> None:
    short, whole = (terminal(table, width, whole=w) for w in (False, True))
    under = short[short.rindex("Reading.") :] if table.reading else short[-1200:]
    lines = [line for line in under.splitlines() if line.strip()]
    assert f"more: harness show {table.name} (" in lines[-1]
    first = next((i for i, line in enumerate(lines) if line.startswith(" · ")), len(lines) - 1)
    if table.reading:
        assert len(lines) - 1 - first <= 3  # notes stand between the reading and the last line
    assert whole.count(" · ") == len(table.notes) > short.count(" · ")
    assert "Signature" not in short and ("Signature" in whole) == bool(table.signature)
    for kind in (markdown(table), latex(table)):
        assert all(re.sub(r"\W", "", note)[:40] in re.sub(r"\\text\w+|\W", "", kind) for note in table.notes[:2])


def test_a_long_first_note_does_not_hide_a_short_one() -> None:
    notes = ("a long one " * 40, "short", "also short")
    shown = terminal(replace(tiny("x"), notes=notes), 60)
    assert "a long one" not in shown and "· short" in shown and "· also short" in shown
    assert "more: harness show tiny (1 note)" in shown


def test_the_page_folds_notes_and_keeps_them_all(profile: Profile, frame: pd.DataFrame) -> None:
    table = build_table(load_experiment("ablation_a"), profile, frame)
    text = html(table)
    before, folded = text.split("<details")
    assert before.index('class="reading"') < before.index('<ul class="notes">')
    assert before.count("<li>") == 3 and folded.count("<li>") == len(table.notes) - 3
    assert 'class="signature"' in folded and "</details>" in folded


def test_terminal_keeps_the_model_longest_and_the_papers_mark(profile: Profile, frame: pd.DataFrame) -> None:
    table = build_table(load_experiment("ablation_a"), profile, frame)
    kept = fitting(table, table.panels()[0], 60)
    assert {"model", "top1", "paper_top1"} <= {c.key for c in kept}
    assert "paper" in terminal(table, 60)


def test_files_of_all_formats_are_written(profile: Profile, frame: pd.DataFrame, tmp_path: Path) -> None:
    tables = write_tables([load_experiment("ablation_i")], profile, frame, tmp_path)
    files = sorted(path.name for path in (tmp_path / "tables").iterdir())
    assert files == ["ablation_i.csv", "ablation_i.html", "ablation_i.md", "ablation_i.tex"]
    assert (tmp_path / "tables" / "ablation_i.md").read_text() == markdown(tables[0])


def test_a_folder_that_cannot_be_made_is_named(profile: Profile, frame: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "tables").write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"tables/ablation_i\.md: cannot be written"):
        write_tables([load_experiment("ablation_i")], profile, frame, tmp_path)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.4971, "0.497"), (83.837, "83.8"), (2515.1, "2515"), (0.00012345, "0.000123"), (5, "5.00")],
)
def test_significant_digits(value: float, text: str) -> None:
    assert significant(value) == text


@given(st.floats(min_value=1e-6, max_value=1e9))
def test_significant_keeps_three_digits_and_no_exponent(value: float) -> None:
    text = significant(value)
    assert "e" not in text
    assert float(text) == pytest.approx(value, rel=6e-3)


def test_header_groups_count_their_columns(table: Table) -> None:
    for columns in table.panels():
        assert sum(count for _, count in header_groups(columns)) == len(columns)
