"""`harness tables`, `harness cost`, `harness report`: from records and declarations to something to read."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from harness.cli.common import (
    DEFAULT_PROFILE,
    Data,
    Json,
    ProfileName,
    Reports,
    Results,
    Seeds,
    SomeExperiments,
    Variants,
    chosen_experiments,
    print_json,
    profile_of,
)


def tables(
    experiments: SomeExperiments = None,
    *,
    profile: ProfileName = DEFAULT_PROFILE,
    seeds: Seeds = None,
    variant: Variants = None,
    figures: Annotated[bool, typer.Option("--figures", help="Draw the figures, too.")] = False,
    results: Results = None,
    reports: Reports = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Render tables from the records that are there, and print them; nothing is run.

    Your own records come first, the shipped baselines where you have none. Files in the reports folder:
    tables/<experiment>.md, .tex, .html and .csv.
    """

    own = profile_of(profile, data)
    chosen = chosen_experiments(experiments, own, variant, one_a_name=True)

    from harness.reports import print_table, reports_root, write_tables
    from harness.results import baseline_roots, load, runs_root

    frame, out = load(results or runs_root(), *baseline_roots()), reports or reports_root()
    numbers = None if seeds is None else list(range(seeds))
    written = write_tables(chosen, own, frame, out, seeds=numbers)
    if figures:
        from harness.reports.figures import write_figures

        write_figures(chosen, own, frame, out)
    if json:
        print_json({"tables": [asdict(table) for table in written], "written": out / "tables"})
        return
    for table in written:
        print_table(table)
        print()
    print(f"written to {out / 'tables'}")


def cost(
    experiments: SomeExperiments = None,
    *,
    profile: ProfileName = DEFAULT_PROFILE,
    variant: Variants = None,
    json: Json = False,
) -> None:
    """Count params and multiply-adds of every row at the paper's input, beside the paper's numbers."""
    from harness.experiment.paper import load_paper

    own = profile_of(profile)
    chosen = chosen_experiments(experiments, own, variant)

    from harness.reports import cost_table, print_table

    table = cost_table(chosen, own, load_paper())
    if json:
        print_json(asdict(table))
    else:
        print_table(table)


def report(
    experiments: SomeExperiments = None,
    *,
    profile: ProfileName = DEFAULT_PROFILE,
    variant: Variants = None,
    results: Results = None,
    reports: Reports = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Write reports/index.html: every table, the figures, any two rows compared; one file that opens from disk."""

    own = profile_of(profile, data)
    chosen = chosen_experiments(experiments, own, variant, one_a_name=True)

    from harness.reports import reports_root
    from harness.reports.page import build_page
    from harness.results import baseline_roots, load, runs_root

    frame = load(results or runs_root(), *baseline_roots())
    page = build_page(chosen, [own], frame, (reports or reports_root()) / "index.html", data=data)
    if json:
        print_json({"written": page})
    else:
        print(f"written: {page}")
