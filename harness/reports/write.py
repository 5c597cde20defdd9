"""Files of tables and documents: reports/tables/<experiment>.{md,tex,html,csv}, reports/comparisons/<name>.{md,html}."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from harness.base.files import folder_from, write_atomically
from harness.experiment.load import ROOT
from harness.experiment.spec import Experiment, Profile
from harness.reports.render_csv import csv_text
from harness.reports.render_html import html, html_document
from harness.reports.render_latex import latex
from harness.reports.render_markdown import markdown, markdown_document
from harness.reports.table import Document, Table
from harness.reports.tables import build_table

RENDERERS: dict[str, Callable[[Table], str]] = {"md": markdown, "tex": latex, "html": html, "csv": csv_text}


def reports_root() -> Path:
    """`$HARNESS_REPORTS`, else `reports` beside the package."""
    return folder_from("HARNESS_REPORTS", ROOT / "reports")


def write_tables(
    experiments: Sequence[Experiment],
    profile: Profile,
    frame: pd.DataFrame,
    out: Path,
    *,
    seeds: Sequence[int] | None = None,
) -> list[Table]:
    """Build every experiment's table, write it in all formats under `out`/tables, and return the tables.

    `frame` is `harness.results.load()`. Raises UserError where `out` cannot be written.
    """
    tables = [build_table(e, profile, frame, seeds=seeds) for e in experiments]
    for table in tables:
        write_table(table, out / "tables")
    return tables


def write_table(table: Table, folder: Path) -> list[Path]:
    """One table in all formats; each file appears whole or not at all."""
    paths = [folder / f"{table.name}.{suffix}" for suffix in RENDERERS]
    for path, render in zip(paths, RENDERERS.values(), strict=True):
        write_bytes(path, render(table).encode())
    return paths


def write_document(document: Document, reports: Path) -> list[Path]:
    """`reports`/comparisons/NAME.md and .html, each whole or not at all. UserError where it cannot be written."""
    paths = [reports / "comparisons" / f"{document.name}.{kind}" for kind in ("md", "html")]
    for path, render in zip(paths, (markdown_document, html_document), strict=True):
        write_bytes(path, render(document).encode())
    return paths


def write_bytes(path: Path, content: bytes) -> None:
    """A file of a report, whole or not at all. Raises StorageError naming the path."""
    write_atomically(path, content, remedy="choose another folder with --reports")
