"""Files of tables and documents: reports/tables/<experiment>.{md,tex,html,csv}, reports/comparisons/<name>.{md,html}."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from harness.base.errors import UserError
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
    return Path(os.environ.get("HARNESS_REPORTS") or ROOT / "reports")


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


def write_document(document: Document, reports: Path) -> list[Path]:
    """`reports`/comparisons/NAME.md and .html, each whole or not at all. UserError where it cannot be written."""
    paths = [reports / "comparisons" / f"{document.name}.{kind}" for kind in ("md", "html")]
    for path, render in zip(paths, (markdown_document, html_document), strict=True):
        write_bytes(path, render(document).encode())
    return paths


def write_bytes(path: Path, content: bytes) -> None:
    """Write under a temporary name, then rename. Raises UserError naming the path."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        problem = error.strerror or error
        raise UserError(
            f"{path}: cannot be written: {problem}; choose another folder with --reports"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
