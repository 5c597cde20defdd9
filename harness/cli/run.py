"""`harness run`: what is missing of an experiment, through Ray Tune into the store."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import (
    DEFAULT_PROFILE,
    Data,
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
from harness.cli.data import prepare_with_progress
from harness.orchestrate import Outcome, execute
from harness.orchestrate.progress import make_progress
from harness.plan.expand import distinct
from harness.plan.pending import Pending, pending
from harness.results import Store, runs_root


def run(
    experiments: Experiments,
    *,
    profile: ProfileName = DEFAULT_PROFILE,
    seeds: Seeds = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed trials again.")] = False,
    inline: Annotated[
        bool, typer.Option("--inline", help="One trial after the other in this process, without Ray.")
    ] = False,
    variant: VariantFile = None,
    results: Results = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Run what is missing of one or more experiments.

    A trial is a row, a seed and a profile; one that is done is never run again, and one that stands in two
    tables runs once. Stop with Ctrl-C whenever you like: finished trials are kept; the same command goes on.
    """
    plan = make_plan(experiments, profile, seeds, variant)
    store = Store(results or runs_root())
    split = pending(plan.trials, store, retry_failed=retry_failed)
    for reason in split.unreadable.values():
        print(f"warning: {reason}", file=sys.stderr)
    _say_plan(plan, split)
    outcome = run_missing(plan, split, store, data, inline) if split.todo else Outcome([], {}, [], False, 0.0)
    if json:
        print_json(_summary(split, outcome))
    else:
        _say_outcome(split, outcome)
    raise typer.Exit(_code(split, outcome))


def run_missing(plan: Plan, split: Pending, store: Store, data: Path | None, inline: bool) -> Outcome:
    """Prepare the dataset and run `split.todo` into the store; the estimate is noted beside what it took."""
    from harness.data import data_root
    from harness.plan.estimate import estimate
    from harness.plan.history import note_run
    from harness.results import baseline_roots, load
    from harness.results.lock import check_writable

    check_writable(store)
    root = data or data_root()
    prepare_with_progress(plan.profile, root, [p.trial for p in split.todo])
    note = note_run(
        store,
        [e.name for e in plan.experiments],
        plan.profile.name,
        estimate(split.todo, plan.profile, load(store.root, *baseline_roots())),
    )
    settled = len(split.done) + len(split.failed)
    outcome = execute(
        split.todo,
        store,
        plan.profile,
        data_root=root,
        progress=make_progress(),
        settled=settled,
        inline=inline,
    )
    note.finish(outcome)
    return outcome


def _code(split: Pending, outcome: Outcome) -> int:
    if outcome.interrupted:
        return 130
    return 1 if outcome.failed or split.failed or outcome.not_run else 0


def _summary(split: Pending, outcome: Outcome) -> dict[str, object]:
    return {
        "done_before": [p.id for p in split.done],
        "failed_before": [p.id for p in split.failed],
        "done": outcome.done,
        "failed": outcome.failed,
        "not_run": outcome.not_run,
        "interrupted": outcome.interrupted,
        "seconds": round(outcome.seconds, 3),
    }


def _say_plan(plan: Plan, split: Pending) -> None:
    total = len(distinct(plan.trials))
    shared = len(plan.trials) - total
    text = f"{total} trials"
    text += f" ({len(plan.trials)} over the tables, {shared} of them shared)" if shared else ""
    text += f": {len(split.done)} done, {len(split.failed)} failed before, {len(split.todo)} to run"
    print(text, file=sys.stderr)


def _say_outcome(split: Pending, outcome: Outcome) -> None:
    done, failed = len(split.done) + len(outcome.done), len(split.failed) + len(outcome.failed)
    print(f"{done} done, {failed} failed, {len(outcome.not_run)} not run")
    for trial_id, reason in outcome.failed.items():
        print(f"  failed {trial_id}: {reason}")
    if failed:
        print("  `harness show ID` has the traceback; `harness run … --retry-failed` tries them again")
    if outcome.interrupted:
        print("stopped. Finished trials are kept, running ones keep their last checkpoint; to go on,")
        print("give the same command again")
