"""`harness plan`: what would run, what it would cost, and what it could detect, before anything runs."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.base.errors import UserError
from harness.base.text import duration
from harness.cli.common import (
    DEFAULT_PROFILE,
    Data,
    Experiments,
    Json,
    ProfileName,
    Results,
    Seeds,
    Variants,
    make_plan,
    own_store,
    print_json,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from harness.cli.common import Plan
    from harness.plan.expand import Planned
    from harness.plan.pending import Pending
    from harness.results.store import Settled, Store


def plan(
    experiments: Experiments,
    *,
    profile: ProfileName = DEFAULT_PROFILE,
    seeds: Seeds = None,
    ids: Annotated[
        bool, typer.Option("--ids", help="Print the ids of what would run, one on each line, and no more.")
    ] = False,
    variant: Variants = None,
    results: Results = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Say what would run and what is done, what it would take, and the smallest difference it could show."""
    from harness.data.registry import data_root, source_of
    from harness.plan.pending import missing_starts, split

    store, planned = own_store(results), make_plan(experiments, profile, seeds, variant, data)
    known = store.settled()
    whole = split(planned.trials, known)
    starts = missing_starts(whole.todo, data or data_root())
    if ids:
        _print_ids([one.id for one in [*starts, *whole.todo]], as_json=json)
        return
    for reason in whole.incomplete.values():
        print(f"warning: {reason}", file=sys.stderr)
    facts = _facts(planned, whole, store, experiments=_counts(planned, known), starts=len(starts))
    if json:
        print_json(facts)
    else:
        _print(facts, source_of(planned.profile.dataset).of_a_copy)


def _print_ids(names: list[str], *, as_json: bool) -> None:
    if as_json:
        print_json(names)
    else:
        print(*names, sep="\n", end="\n" if names else "")


def _facts(
    plan: Plan, whole: Pending, store: Store, *, experiments: list[dict[str, Any]], starts: int
) -> dict[str, Any]:
    from harness.plan.estimate import estimate
    from harness.results import baseline_roots, load

    records = load(store.root, *baseline_roots())
    return {
        "experiments": experiments,
        "profile": plan.profile.name,
        "seeds": len(plan.seeds),
        "trials": len(plan.trials),
        "distinct": len(whole.done) + len(whole.failed) + len(whole.todo),
        "done": len(whole.done),
        "failed": len(whole.failed),
        "to_run": len(whole.todo),
        "starts": starts,
        "estimate": asdict(estimate(whole.todo, plan.profile, records)),
        "smallest_detectable_difference": detectable(plan.trials, records, len(plan.seeds)),
    }


def _counts(plan: Plan, known: Settled) -> list[dict[str, Any]]:
    from harness.plan.pending import split

    lines = []
    for name, experiment, part in zip(plan.labels(), plan.experiments, plan.parts, strict=True):
        found = split(part, known)
        rows = len(experiment.rows) if experiment.measure == "accuracy" else 0
        counts = {"done": len(found.done), "failed": len(found.failed), "to_run": len(found.todo)}
        lines.append({"name": name, "rows": rows, "trials": len(part), **counts})
    return lines


def detectable(trials: list[Planned], records: pd.DataFrame, n_seeds: int) -> dict[str, Any]:
    """Points of top-1 that a comparison of two rows finds with 80 % power at 5 %, from measured variances.

    The median over the rows that have at least two seeds done, and each row's own (None: no gain below 100 % would be
    found that often); `points` is None with a reason where none has.
    """
    import statistics

    from harness.statistics.population import resample_from
    from harness.statistics.power import smallest_detectable_difference

    answers = _measured_answers(trials, records)
    if n_seeds < 2:
        return {"points": None, "why": "one seed says nothing about the method; use at least two"}
    if not answers:
        return {"points": None, "why": "no row has two seeds done yet, so the variance is not known"}
    n_videos = max(right_SV.shape[1] for right_SV in answers.values())
    rows = {
        row: smallest_detectable_difference(resample_from(right_SV), n_seeds, right_SV.shape[1])
        for row, right_SV in answers.items()
    }
    points = [found for found in rows.values() if found is not None]
    if not points:
        return {"points": None, "why": "no gain below 100 % top-1 would be found reliably with so few seeds"}
    return {
        "points": statistics.median(points),
        "seeds": n_seeds,
        "test_videos": n_videos,
        "rows_measured": len(answers),
        "rows": rows,
    }


def _measured_answers(trials: list[Planned], records: pd.DataFrame) -> dict[str, np.ndarray]:
    """(seeds, videos) right or wrong, of every network of the plan with two seeds done or more, by its first row."""
    import numpy as np

    from harness.plan.estimate import kind_of
    from harness.plan.expand import distinct
    from harness.results.answers import answers

    done = records[records["status"] == "done"]
    roots = dict(zip(done["id"], done["root"], strict=True))
    names: dict[str, str] = {}
    kinds: dict[str, list[np.ndarray]] = {}
    for planned in distinct(trials):
        if planned.id in roots:
            with contextlib.suppress(UserError):  # `harness status` names the missing or damaged file
                kind = kind_of(planned.trial)
                names.setdefault(kind, planned.row)
                kinds.setdefault(kind, []).append(answers(roots[planned.id], planned.id).right)
    return {names[kind]: np.stack(rights) for kind, rights in kinds.items() if len(rights) >= 2}


def _print(facts: dict[str, Any], of_a_copy: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("experiment")
    for name in ("rows", "trials", "done", "failed", "to run"):
        table.add_column(name, justify="right")
    for line in facts["experiments"]:
        table.add_row(line["name"], *(str(line[k]) for k in ("rows", "trials", "done", "failed", "to_run")))
    Console().print(table)
    shared = facts["trials"] - facts["distinct"]
    print(f"profile {facts['profile']}, {facts['seeds']} seeds: {facts['distinct']} distinct trials", end="")
    print(f" ({shared} stand in more than one table)" if shared else "", end="")
    print(f", {facts['done']} done, {facts['failed']} failed, {facts['to_run']} to run")
    if facts["starts"]:
        print(f"before them {facts['starts']} starts: trials whose trunk the others begin with")
    _print_estimate(facts["estimate"], of_a_copy)
    _print_detectable(facts["smallest_detectable_difference"])


def _print_estimate(found: dict[str, Any], of_a_copy: bool) -> None:
    if not found["trials"]:
        print("nothing to run")
        return
    basis = ", ".join(f"{n} {kind}" for kind, n in found["basis"].items() if n)
    basis += ", which is not in the sum" if found["basis"]["unknown"] and found["wall_seconds"] else ""
    if found["wall_seconds"] is None:
        print(
            f"time: cannot be said here: no like record, and no step could be timed on this machine ({basis})"
        )
    else:
        print(f"time: {_range(found['wall_seconds'])}, {found['slots']} at a time ({basis})")
        for name in ("cpu", "gpu"):
            if hours := found[f"{name}_hours"]:
                print(
                    f"{name.upper()} hours: {hours['middle']:.2f} ({hours['low']:.2f} to {hours['high']:.2f})"
                )
    memory = found["memory_mb"]
    print(
        f"memory: {'not known before one has run' if memory is None else f'about {memory / 1024:.1f} GiB'}; "
        f"disk: about {found['disk_mb']:,.0f} MB, records and the checkpoints of what runs"
    )
    if of_a_copy and found["basis"]["calibrated"]:
        print("calibrated: steps alone; how long the videos take to read is not in it (docs/real_data.md)")


def _range(seconds: dict[str, float]) -> str:
    low, middle, high = (duration(seconds[end]) for end in ("low", "middle", "high"))
    return f"about {middle} ({low} to {high})"


def _print_detectable(found: dict[str, Any]) -> None:
    if found["points"] is None:
        print(f"smallest detectable difference: not known ({found['why']})")
        return
    print(
        f"smallest detectable difference: {found['points']:.1f} points of top-1 (two rows, {found['seeds']} "
        f"seeds, {found['test_videos']} test videos, 80 % power at 5 %)"
    )
    if len(found["rows"]) > 1:
        by_row = sorted(found["rows"].items(), key=lambda item: item[1] or 100.0)
        words = ", ".join(f"{row} {'none below 100 %' if p is None else f'{p:.1f}'}" for row, p in by_row)
        print(f"  against each row: {words}")
