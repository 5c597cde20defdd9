"""`harness check-variant`: does a module in a file of its own keep the contract?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.common import Json, print_json

if TYPE_CHECKING:
    from harness.variants import CheckReport

Options = Annotated[
    list[str] | None,
    typer.Option("--option", help="An option of the module, key=value; repeatable.", show_default=False),
]


def check_variant(
    file: Annotated[Path, typer.Argument(help="A Python file that registers modules or models.")],
    *,
    option: Options = None,
    json: Json = False,
) -> None:
    """Check a new module or model: shapes, gradients, batch and eval behaviour, U, cost, same seed same numbers.

    Nothing is trained; a few seconds. Exit code 0: the contract is kept; 1: it is broken, and the output says where
    and what to do; 2: the file cannot be read or run.
    """
    from harness.variants import check_all, option_grid

    reports = [report for options in option_grid(option or []) for report in check_all(file, options)]
    if json:
        print_json([asdict(report) | {"ok": report.ok} for report in reports])
    else:
        for report in reports:
            print_findings(report)
    raise typer.Exit(0 if all(report.ok for report in reports) else 1)


def print_findings(report: CheckReport) -> None:
    """A line a check; under a broken one, what to do."""
    for finding in report.findings:
        print(f"{'ok    ' if finding.ok else 'BROKEN'} {finding.check:<20} {finding.seen}")
        if not finding.ok:
            print(f"       {'what to do:':<20} {finding.remedy}")
    broken = sum(not finding.ok for finding in report.findings)
    if broken:
        print(
            f"{report.file}: {report.name!r} breaks the contract in {broken} of {len(report.findings)} points"
        )
    else:
        print(f"{report.file}: {report.name!r} keeps the contract ({len(report.findings)} checks)")
