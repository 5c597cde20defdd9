"""Tables as files: reports/tables/<experiment>.{md,tex,html,csv}."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from harness.base.files import folder_from, write_atomically
from harness.experiment.load import ROOT
from harness.experiment.spec import Experiment, Profile
from harness.reports.build import build_table
from harness.reports.render_csv import csv_text
from harness.reports.render_html import html
from harness.reports.render_latex import latex
from harness.reports.render_markdown import markdown
from harness.reports.table import Table

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
    variant: Path | None = None,
) -> list[Table]:
    """Build every experiment's table, write it in all formats under `out`/tables, and return the tables.

    `frame` is `harness.results.load()`. Raises UserError where `out` cannot be written.
    """
    tables = [build_table(e, profile, frame, seeds=seeds, variant=variant) for e in experiments]
    for table in tables:
        write_table(table, out / "tables")
    return tables


def write_table(table: Table, folder: Path) -> list[Path]:
    """One table in all formats; each file appears whole or not at all."""
    paths = [folder / f"{table.name}.{suffix}" for suffix in RENDERERS]
    for path, render in zip(paths, RENDERERS.values(), strict=True):
        write_bytes(path, render(table).encode())
    return paths


def write_bytes(path: Path, content: bytes) -> None:
    """A file of a report, whole or not at all. Raises StorageError naming the path."""
    write_atomically(path, content, remedy="choose another folder with --reports")
