"""`harness run`: what is missing of an experiment, through Ray Tune into the store."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.base.errors import UserError, near_match
from harness.cli.common import (
    DEFAULT_PROFILE,
    Data,
    Experiments,
    Json,
    Plan,
    ProfileName,
    Results,
    Seeds,
    Variants,
    folder_option,
    make_plan,
    own_store,
    print_json,
)
from harness.orchestrate.cluster import HERE, HUNG_SECONDS, QUEUED_AT_MOST, Cluster

if TYPE_CHECKING:
    from harness.experiment.spec import Profile
    from harness.orchestrate import Outcome
    from harness.plan.expand import Planned
    from harness.plan.pending import Pending
    from harness.results import Store


def run(
    experiments: Experiments,
    *,
    profile: ProfileName = DEFAULT_PROFILE,
    seeds: Seeds = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed trials again.")] = False,
    inline: Annotated[
        bool, typer.Option("--inline", help="One trial after the other in this process, without Ray.")
    ] = False,
    trial: Annotated[
        str | None,
        typer.Option(
            "--trial",
            help="Run this one in this process (an id of `harness plan --ids`): for a job array.",
            show_default=False,
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster",
            help="A Ray cluster (host:6379, auto). Default: $RAY_ADDRESS, else here.",
            show_default=False,
        ),
    ] = None,
    ship: Annotated[
        bool, typer.Option("--ship/--no-ship", help="Send this checkout's code to a cluster's workers.")
    ] = True,
    queued: Annotated[
        int, typer.Option("--queued", min=1, help="Trials that ask the cluster for resources at once.")
    ] = QUEUED_AT_MOST,
    live_on: Annotated[
        bool,
        typer.Option(
            "--workers-live-on", help="A worker runs trial after trial: for many short ones on CPU."
        ),
    ] = False,
    hung_after: Annotated[
        float,
        typer.Option(
            "--hung-after", min=0, help="Minutes without progress until a trial is tried again; 0: never."
        ),
    ] = HUNG_SECONDS / 60,
    tensorboard: Annotated[
        Path | None,
        folder_option(
            "--tensorboard",
            "Write TensorBoard's event files there, too: a run for each trial, while it runs.",
        ),
    ] = None,
    variant: Variants = None,
    results: Results = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Run what is missing of one or more experiments.

    A trial is a row, a seed and a profile; one that is done is never run again, and one that stands in two
    tables runs once. Stop with Ctrl-C whenever you like: finished trials are kept; the same command goes on.
    """
    from harness.orchestrate.execute import Outcome
    from harness.plan.pending import pending

    check_users_copy(profile, data)
    plan, store = make_plan(experiments, profile, seeds, variant, data), own_store(results)
    events = tensorboard.resolve() if tensorboard else None
    if trial is not None:
        raise typer.Exit(_run_one(plan, trial, store, data, events, as_json=json))
    split = pending(plan.trials, store, retry_failed=retry_failed)
    _say_plan(plan, split)
    outcome = Outcome()
    if split.todo:
        where = Cluster(cluster, ship, queued, live_on, 60 * hung_after)
        outcome = run_missing(split, plan.profile, plan.labels(), store, data, inline, where, events)
    if json:
        print_json(_summary(split, outcome))
    else:
        _say_outcome(split, outcome)
    raise typer.Exit(exit_code(split, outcome))


def check_users_copy(profile: str, data: Path | None) -> None:
    """A user's copy of a published dataset is looked at before anything is planned: its hash is part of each trial."""
    from harness.data.registry import check_copy, data_root
    from harness.experiment.load import load_profile
    from harness.orchestrate.screen import Preparing

    with Preparing() as progress:
        check_copy(
            load_profile(profile).dataset,
            data or data_root(),
            lambda stage, done, total: progress.tell(f"dataset: {stage}", done, total),
        )


def run_missing(
    split: Pending,
    profile: Profile,
    names: Sequence[str],
    store: Store,
    data: Path | None,
    inline: bool,
    cluster: Cluster = HERE,
    tensorboard: Path | None = None,
) -> Outcome:
    """Prepare the datasets and run `split.todo` into the store; the estimate is noted beside what it took."""
    from harness.data.registry import data_root
    from harness.orchestrate.execute import execute
    from harness.orchestrate.screen import Preparing, make_progress
    from harness.plan.estimate import estimate
    from harness.plan.history import note_run
    from harness.plan.pending import missing_starts
    from harness.plan.prepare import datasets_of, prepare_datasets
    from harness.results import baseline_roots, load
    from harness.results.lock import check_writable

    check_writable(store)
    root = data or data_root()
    with Preparing() as progress:
        needed = [*missing_starts(split.todo, root), *split.todo]
        prepare_datasets(datasets_of(needed), root, progress.tell)
        expected = estimate(split.todo, profile, load(store.root, *baseline_roots()), progress.tell)
    note = note_run(store, names, profile.name, expected)
    outcome = execute(
        split.todo,
        store,
        profile,
        data_root=root,
        progress=make_progress(),
        settled=len(split.done) + len(split.failed),
        inline=inline,
        cluster=cluster,
        tensorboard=tensorboard,
    )
    note.finish(outcome)
    return outcome


def _run_one(
    plan: Plan, asked: str, store: Store, data: Path | None, tensorboard: Path | None, *, as_json: bool
) -> int:
    """Run one trial of the plan, or one of its starts; its exit code."""
    from dataclasses import asdict
    from functools import partial

    from harness.data.registry import data_root
    from harness.orchestrate.screen import PlainProgress, Preparing
    from harness.orchestrate.single import run_single
    from harness.orchestrate.worker import finished, patiently
    from harness.plan.prepare import datasets_of, prepare_datasets

    starts, planned = _find_trial(plan, asked)
    answer = patiently(partial(finished, store, asked)) if planned is not None else None
    if answer is None:
        root = data or data_root()
        with Preparing() as progress:
            prepare_datasets(datasets_of([*starts, *([planned] if planned else [])]), root, progress.tell)
        answer = run_single(
            starts,
            planned,
            store,
            data_root=root,
            progress=PlainProgress(),
            loaders=plan.profile.resources.loaders,
            tensorboard=tensorboard,
        )
    if as_json:
        print_json(asdict(answer))
    else:
        print(f"{answer.id} {answer.status}{'' if answer.reason is None else f': {answer.reason}'}")
    return 1 if answer.status == "failed" else 0  # elsewhere: in good hands


def _find_trial(plan: Plan, asked: str) -> tuple[list[Planned], Planned | None]:
    """The starts that a trial of the plan begins with, and the trial; of a start itself what is run for it, and None.

    Raises UserError for an id of neither.
    """
    from harness.plan.expand import with_starts

    known = {p.id: p for p in with_starts(plan.trials)}
    if asked not in known:
        raise UserError(
            f"--trial {asked!r}: no trial of this plan{near_match(asked, known)}; `harness plan --ids` lists them"
        )
    steps = with_starts([known[asked]])
    return (steps[:-1], known[asked]) if asked in {p.id for p in plan.trials} else (steps, None)


def exit_code(split: Pending, outcome: Outcome) -> int:
    """130 interrupted, 1 some trials failed or could not start, 0 done."""
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
    for reason in (*split.unreadable.values(), *split.incomplete.values()):
        print(f"warning: {reason}", file=sys.stderr)
    total = len(split.done) + len(split.failed) + len(split.todo)
    planned = len(plan.trials)
    shared = planned - total
    text = f"{total} trials"
    text += f" ({planned} over the tables, {shared} of them shared)" if shared else ""
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
