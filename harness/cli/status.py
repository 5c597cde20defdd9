"""`harness status`: what is done, what failed and why, and how good the estimates were."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.base.errors import UserError
from harness.base.text import duration
from harness.cli.common import (
    DEFAULT_PROFILE,
    Data,
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
from harness.cli.watch import print_running, running, written_at

if TYPE_CHECKING:
    from harness.plan.expand import Planned
    from harness.results.store import Settled, Store

LAST_RUNS = 5
WATCH_SECONDS = 5.0


def status(
    experiments: SomeExperiments = None,
    *,
    profile: ProfileName = DEFAULT_PROFILE,
    seeds: Seeds = None,
    variant: Variants = None,
    results: Results = None,
    watch: Annotated[
        bool, typer.Option("--watch", help=f"Show it again every {WATCH_SECONDS:.0f} seconds, until Ctrl-C.")
    ] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Say how far every row is, what runs where, why trials failed, and how the estimates of time held up.

    What runs is read from the claims in the records' storage: any machine that sees it may ask.
    """
    if watch and json:
        raise UserError("status: --watch is for a terminal and --json is one document; ask for one of them")
    plan, store = make_plan(experiments, profile, seeds, variant, data), own_store(results)
    try:
        while True:
            facts = _facts(plan, store)
            if json:
                print_json(facts)
            else:
                if watch and sys.stdout.isatty():
                    print("\033[2J\033[H", end="")
                _print(facts, plan)
            if not watch:
                return
            print(f"seen at {time.strftime('%H:%M:%S')}; Ctrl-C ends this, not the run", flush=True)
            time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        if not watch:
            raise


def _print(facts: dict[str, Any], plan: Plan) -> None:
    from harness.orchestrate.progress import label

    _print_rows(facts)
    print_running(facts["running"])
    names = {p.id: label(p) for p in plan.trials}
    for trial_id, reason in facts["failed"].items():
        print(f"failed {trial_id} {names[trial_id]}: {reason}")
    for kind in ("unreadable", "incomplete"):
        for reason in facts[kind].values():
            print(f"{kind} {reason}")
    for run in facts["runs"][-LAST_RUNS:]:
        print(f"run {run['started']}: {run['experiments']}, {run['trials']} trials, {_times(run)}")


def _facts(plan: Plan, store: Store) -> dict[str, Any]:
    from harness.orchestrate.claims import DEAD_SECONDS
    from harness.plan.history import error_percent, goes_on, past_runs

    known = store.settled()
    rows = [
        {"experiment": label, "row": row.name, **_counts([p for p in part if p.row == row.name], known)}
        for label, e, part in zip(plan.labels(), plan.experiments, plan.parts, strict=True)
        if e.measure == "accuracy"
        for row in e.rows
        if not row.average_of
    ]
    planned = {p.id for p in plan.trials}
    now = running(store)
    runs = [
        {**run, "error_percent": error_percent(run), "goes_on": goes_on(run), "seconds_left": None}
        for run in past_runs(store)
    ]
    heard = any(not line["dead"] and line["heartbeat_seconds"] <= DEAD_SECONDS for line in now)
    going = [  # another machine's run may have been killed long ago: somebody has to be heard of
        run for run in runs if (run["goes_on"] or (run["goes_on"] is None and heard)) and _is_part(run, plan)
    ]
    ended = _ended(store, planned) if going else []
    for run in going:
        run["seconds_left"] = _seconds_left(run, planned, ended, now)
    return {
        "results": str(store.root),
        "profile": plan.profile.name,
        "seeds": len(plan.seeds),
        "rows": rows,
        "running": now,
        "failed": {i: reason for i, reason in known.failed.items() if i in planned},
        "unreadable": known.unreadable,
        "incomplete": known.incomplete,
        "runs": runs,
    }


def _is_part(run: dict[str, Any], plan: Plan) -> bool:
    return run["profile"] == plan.profile.name and set(run["experiments"].split()) <= set(plan.labels())


def _ended(store: Store, planned: set[str]) -> list[float]:
    """When each of these trials ended, in seconds since 1970 by the storage's clock."""
    index = store.index(["id"])
    stamps = {**index.files("index_stamp", "failed"), **index.files("index_stamp", "trials")}
    return [written_at(stamp) for trial, stamp in stamps.items() if trial in planned]


def _seconds_left(
    run: dict[str, Any], planned: set[str], ended: list[float], now: list[dict[str, Any]]
) -> float | None:
    """By the share of its trials that ended since it began, running ones by their epochs; None until there is one.

    Clocks of two machines meet here (the run's, the storage's and this one's): for reading only.
    """
    began = datetime.fromisoformat(run["started"]).timestamp()
    parts = (line["report"] for line in now if line["trial"] in planned and not line["dead"])
    done = sum(when >= began for when in ended) + sum(
        part.get("epoch", 0) / max(1, part.get("epochs", 1)) for part in parts
    )
    share = min(1.0, done / run["trials"])
    return (time.time() - began) * (1 - share) / share if share > 0 else None


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
    seeds = "1 seed" if facts["seeds"] == 1 else f"{facts['seeds']} seeds"
    print(f"profile {facts['profile']}, {seeds}, records in {facts['results']}")
    Console().print(table)


def _times(run: dict[str, Any]) -> str:
    estimated, actual, error = (run.get(k) for k in ("estimated_seconds", "actual_seconds", "error_percent"))
    expected = f"estimated {duration(estimated)}" if estimated else "no estimate"
    if actual is None and run["goes_on"] is not False:
        left, who = run["seconds_left"], f"process {run['pid']} on {run['host']}"
        ahead = f", about {duration(left)} left" if left is not None else ""
        return f"{expected}, {'goes on' if run['goes_on'] else 'no end told yet'}{ahead} ({who})"
    if actual is None:
        return f"{expected}, did not come to its end (killed): the same command goes on"
    off = (
        "interrupted"
        if run.get("interrupted")
        else f"estimate off by {error:+.0f} %"
        if error is not None
        else ""
    )
    return f"{expected}, took {duration(actual)}{', ' + off if off else ''}"
