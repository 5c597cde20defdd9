"""`harness status`: what is done, what failed and why, and how good the estimates were."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.base.text import duration
from harness.cli.common import (
    DEFAULT_PROFILE,
    Json,
    Plan,
    ProfileName,
    Results,
    Seeds,
    SomeExperiments,
    Variants,
    make_plan,
    own_store,
    print_json,
)
from harness.cli.watch import print_running, running

if TYPE_CHECKING:
    from harness.plan.expand import Planned
    from harness.results.store import Settled, Store

LAST_RUNS = 5


def status(
    experiments: SomeExperiments = None,
    *,
    profile: ProfileName = DEFAULT_PROFILE,
    seeds: Seeds = None,
    variant: Variants = None,
    results: Results = None,
    watch: Annotated[
        float, typer.Option("--watch", min=0, help="Show it again every so many seconds, until Ctrl-C.")
    ] = 0,
    json: Json = False,
) -> None:
    """Say how far every row is, what runs where, why trials failed, and how the estimates of time held up.

    What runs is read from the claims in the records' storage: any machine that sees it may ask.
    """
    while True:
        if watch and sys.stdout.isatty():
            print("\033[2J\033[H", end="")
        _tell(experiments, profile, seeds, variant, results, json)
        if not watch:
            return
        sys.stdout.flush()
        time.sleep(watch)


def _tell(
    experiments: list[str] | None,
    profile: str,
    seeds: int | None,
    variant: list[Path] | None,
    results: str | None,
    json: bool,
) -> None:
    facts = _facts(make_plan(experiments, profile, seeds, variant), own_store(results))
    if json:
        print_json(facts)
        return
    _print_rows(facts)
    print_running(facts["running"])
    _print_problems(facts)
    _print_runs(facts["runs"])


def _facts(plan: Plan, store: Store) -> dict[str, Any]:
    from harness.plan.history import error_percent, past_runs

    known = store.settled()
    rows = [
        {"experiment": label, "row": row.name, **_counts([p for p in part if p.row == row.name], known)}
        for label, e, part in zip(plan.labels(), plan.experiments, plan.parts, strict=True)
        if e.measure == "accuracy"
        for row in e.rows
        if not row.average_of
    ]
    planned = {p.id for p in plan.trials}
    runs = [{**run, "error_percent": error_percent(run)} for run in past_runs(store)]
    return {
        "results": str(store.root),
        "profile": plan.profile.name,
        "seeds": len(plan.seeds),
        "rows": rows,
        "running": running(store),
        "failed": {i: reason for i, reason in known.failed.items() if i in planned},
        "unreadable": known.unreadable,
        "incomplete": known.incomplete,
        "runs": runs,
    }


def _counts(planned: list[Planned], known: Settled) -> dict[str, int]:
    finished = sum(p.id in known.done for p in planned)
    broken = sum(p.id in known.failed for p in planned)
    return {"done": finished, "failed": broken, "missing": len(planned) - finished - broken}


def _print_rows(facts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("experiment", "row"):
        table.add_column(name)
    for name in ("done", "failed", "missing"):
        table.add_column(name, justify="right")
    for row in facts["rows"]:
        counts = [str(row[name]) if row[name] else "·" for name in ("done", "failed", "missing")]
        table.add_row(row["experiment"], row["row"], *counts)
    print(f"profile {facts['profile']}, {facts['seeds']} seeds, records in {facts['results']}")
    Console().print(table)


def _print_problems(facts: dict[str, Any]) -> None:
    for trial_id, reason in facts["failed"].items():
        print(f"failed {trial_id}: {reason}")
    for reason in facts["unreadable"].values():
        print(f"unreadable {reason}")
    for reason in facts["incomplete"].values():
        print(f"incomplete {reason}")


def _print_runs(runs: list[dict[str, Any]]) -> None:
    for run in runs[-LAST_RUNS:]:
        print(f"run {run['started']}: {run['experiments']}, {run['trials']} trials, {_times(run)}")


def _times(run: dict[str, Any]) -> str:
    estimated, actual, error = (run.get(k) for k in ("estimated_seconds", "actual_seconds", "error_percent"))
    expected = f"estimated {duration(estimated)}" if estimated else "no estimate"
    if actual is None:
        return f"{expected}, no end noted (it runs, or was killed)"
    off = (
        "interrupted"
        if run.get("interrupted")
        else f"estimate off by {error:+.0f} %"
        if error is not None
        else ""
    )
    return f"{expected}, took {duration(actual)}{', ' + off if off else ''}"
