"""`harness plan`: what would run, what it would cost, and what it could detect, before anything runs."""

from __future__ import annotations

import statistics
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from harness.base.text import duration
from harness.cli.common import (
    DEFAULT_PROFILE,
    Experiments,
    Json,
    Plan,
    ProfileName,
    Results,
    Seeds,
    VariantFile,
    make_plan,
    print_json,
)
from harness.experiment.spec import Experiment
from harness.plan.estimate import Range, estimate
from harness.plan.expand import Planned, distinct
from harness.plan.pending import Pending, split
from harness.results import Store, baseline_roots, load, runs_root
from harness.results.store import Settled


def plan(
    experiments: Experiments,
    *,
    profile: ProfileName = DEFAULT_PROFILE,
    seeds: Seeds = None,
    variant: VariantFile = None,
    results: Results = None,
    json: Json = False,
) -> None:
    """Say what would run and what is done, what it would take, and the smallest difference it could show."""
    store = Store(results or runs_root())
    planned = make_plan(experiments, profile, seeds, variant)
    known = store.settled()
    whole = split(planned.trials, known)
    records = load(store.root, *baseline_roots())
    facts = {
        "experiments": [_counts(planned, name, known) for name in planned.experiments],
        "profile": planned.profile.name,
        "seeds": len(planned.seeds),
        **_totals(planned, whole),
        "estimate": asdict(estimate(whole.todo, planned.profile, records)),
        "smallest_detectable_difference": detectable(planned.trials, records, len(planned.seeds)),
    }
    if json:
        print_json(facts)
    else:
        _print(facts)


def _counts(plan: Plan, experiment: Experiment, known: Settled) -> dict[str, Any]:
    found = split(plan.of(experiment), known)
    rows = len(experiment.rows) if experiment.measure == "accuracy" else 0
    counts = {"done": len(found.done), "failed": len(found.failed), "to_run": len(found.todo)}
    return {"name": experiment.name, "rows": rows, "trials": len(plan.of(experiment)), **counts}


def _totals(plan: Plan, whole: Pending) -> dict[str, int]:
    return {
        "trials": len(plan.trials),
        "distinct": len(distinct(plan.trials)),
        "done": len(whole.done),
        "failed": len(whole.failed),
        "to_run": len(whole.todo),
    }


def detectable(trials: list[Planned], records: pd.DataFrame, n_seeds: int) -> dict[str, Any]:
    """Points of top-1 that a comparison of two rows finds with 80 % power at 5 %, from measured variances.

    The median over the rows that have at least two seeds done; `points` is None with a reason where none has.
    """
    from harness.statistics.population import resample_from
    from harness.statistics.power import smallest_detectable_difference

    answers = _measured_answers(trials, records)
    if n_seeds < 2:
        return {"points": None, "why": "one seed says nothing about the method; use at least two"}
    if not answers:
        return {"points": None, "why": "no row has two seeds done yet, so the variance is not known"}
    n_videos = answers[0].shape[1]
    found = [smallest_detectable_difference(resample_from(a), n_seeds, n_videos) for a in answers]
    points = [f for f in found if f is not None]
    if not points:
        return {"points": None, "why": "no gain below 100 % top-1 would be found reliably with so few seeds"}
    return {
        "points": statistics.median(points),
        "seeds": n_seeds,
        "test_videos": n_videos,
        "rows_measured": len(answers),
    }


def _measured_answers(trials: list[Planned], records: pd.DataFrame) -> list[np.ndarray]:
    """(seeds, videos) right or wrong, of every network of the plan with two seeds done or more."""
    from harness.plan.estimate import kind_of
    from harness.results.answers import answers

    done = records[records["status"] == "done"]
    roots = dict(zip(done["id"], done["root"], strict=True))
    kinds: dict[str, list[np.ndarray]] = {}
    for planned in distinct(trials):
        if planned.id in roots:
            kinds.setdefault(kind_of(planned.trial), []).append(answers(roots[planned.id], planned.id).right)
    return [np.stack(rights) for rights in kinds.values() if len(rights) >= 2]


def _print(facts: dict[str, Any]) -> None:
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
    _print_estimate(facts["estimate"])
    _print_detectable(facts["smallest_detectable_difference"])


def _print_estimate(found: dict[str, Any]) -> None:
    if not found["trials"]:
        print("nothing to run")
        return
    basis = ", ".join(f"{n} {kind}" for kind, n in found["basis"].items() if n)
    if found["wall_seconds"] is None:
        print(f"time: cannot be said here ({basis})")
    else:
        print(f"time: {_range(found['wall_seconds'])}, {found['slots']} at a time ({basis})")
        for name in ("cpu", "gpu"):
            if hours := found[f"{name}_hours"]:
                print(
                    f"{name.upper()} hours: {hours['middle']:.2f} ({hours['low']:.2f} to {hours['high']:.2f})"
                )
    print(
        f"memory: about {found['memory_mb'] / 1024:.1f} GiB; disk: about {found['disk_mb']:.0f} MB of records"
    )


def _range(seconds: dict[str, float]) -> str:
    whole = Range(**seconds)
    return f"about {duration(whole.middle)} ({duration(whole.low)} to {duration(whole.high)})"


def _print_detectable(found: dict[str, Any]) -> None:
    if found["points"] is None:
        print(f"smallest detectable difference: not known ({found['why']})")
        return
    print(
        f"smallest detectable difference: {found['points']:.1f} points of top-1 (two rows, {found['seeds']} "
        f"seeds, {found['test_videos']} test videos, 80 % power at 5 %)"
    )
