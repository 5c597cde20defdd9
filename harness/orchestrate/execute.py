"""Run a list of trials into a store, each once however many drivers share it, and say what came of each."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from harness.base.signals import StopWish
from harness.experiment.identity import trial_id
from harness.experiment.spec import Profile
from harness.experiment.start import start_trial, trunk_path
from harness.orchestrate.claims import Claims
from harness.orchestrate.cluster import HERE, Cluster
from harness.orchestrate.progress import Progress, label
from harness.orchestrate.worker import Answer, RunTrial, Task, hung_note, patiently, run_inline
from harness.plan.expand import Planned
from harness.plan.pending import missing_starts
from harness.results.lock import make_room
from harness.results.record import Record
from harness.results.store import Store

STOPPING = "stopping ({signal}): finished trials are kept, running ones keep their last checkpoint"
WAIT_SECONDS = 2.0  # between two looks at what other drivers run
Launch = Callable[[Sequence[Task]], None]


@dataclass(frozen=True)
class Outcome:
    """What became of `todo` and of the starts that it needed; wall time in seconds.

    done     ids of `todo`
    failed   id -> reason, failed starts included
    not_run  ids of `todo`: interrupted before, or waiting for a start that failed
    """

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    not_run: list[str] = field(default_factory=list)
    interrupted: bool = False
    seconds: float = 0.0


class Collector:
    """The driver's side: keeps count and tells the screen. Records are written by whoever ran the trial."""

    def __init__(self, planned: Sequence[Planned], store: Store, progress: Progress) -> None:
        self.planned = {p.id: p for p in planned}
        self.store = store
        self.progress = progress
        self.done: list[str] = []
        self.failed: dict[str, str] = {}
        self.elsewhere: set[str] = set()
        self.warned: set[str] = set()

    def started(self, trial_id: str) -> None:
        self.progress.started(self.planned[trial_id])

    def reported(self, trial_id: str, report: dict[str, Any]) -> None:
        if (warning := report.get("warning")) is not None and warning not in self.warned:
            self.warned.add(warning)
            self.progress.say(f"warning: {warning}")
        self.progress.reported(self.planned[trial_id], report)

    def retried(self, trial_id: str, times: int) -> None:
        self.progress.retried(self.planned[trial_id], times)

    def finished(self, answer: Answer) -> None:
        planned = self.planned[answer.id]
        if answer.status == "elsewhere":
            self.elsewhere.add(answer.id)
            self.progress.say(f"{label(planned)}: {answer.reason} runs it")
        elif answer.status == "done":
            self.done.append(answer.id)
            self.progress.done(planned, answer.metrics)
        else:
            self.failed[answer.id] = answer.reason or "no reason given"
            self.progress.failed(planned, self.failed[answer.id])

    def lost(self, trial_id: str, times: int, traceback: str) -> None:
        """A trial whose process went away too often: nobody else can write its record.

        Its checkpoint stays for `--retry-failed`. Raises StorageError where it cannot be written.
        """
        planned = self.planned[trial_id]
        reason = f"its process was lost {times} times ({self._why_lost(trial_id)})"
        self.store.write(Record(planned.trial, "failed", reason=reason, traceback=traceback), planned)
        self.finished(Answer(trial_id, "failed", reason, {}))

    def _why_lost(self, trial_id: str) -> str:
        try:
            note = self.store.storage.read(hung_note(trial_id)).decode()
        except FileNotFoundError:
            return "killed, or out of memory"
        self.store.storage.delete(hung_note(trial_id))
        return note


def execute(
    todo: Sequence[Planned],
    store: Store,
    profile: Profile,
    *,
    data_root: Path,
    progress: Progress,
    settled: int = 0,
    inline: bool = False,
    cluster: Cluster = HERE,
    tensorboard: Path | None = None,
    run: RunTrial | None = None,
) -> Outcome:
    """Run `todo` in its order (seed-major), the starts that are missing first; each record goes to `store`.

    `settled` trials of the same plan need no run (for the display). `inline` runs in this process, without Ray.
    `tensorboard`: a folder that gets event files. `run` stands for `harness.trial.run_trial` in a test. Any number of
    drivers may share a store: each trial is claimed by whoever runs it, and what another driver runs is waited for.
    Raises UserError when the store cannot be written, a trial needs resources that are not there, or the surroundings
    failed. With nothing to run, Ray is not imported.
    """
    if not todo:
        return Outcome()
    begun = time.monotonic()
    starts = missing_starts(todo, data_root)
    shared = Task(
        todo[0],
        str(store.root),
        data_root.resolve(),
        None,
        profile.resources.loaders,
        secrets.token_hex(8),
        cluster.hung_after,
        tensorboard,
    )
    tasks = [replace(shared, planned=p, trunk=trunk_path(p.trial, data_root)) for p in starts]
    wanted = [replace(shared, planned=p) for p in todo]
    collector = Collector([*starts, *todo], store, progress)
    interrupted = False

    def on_first(signal_name: str) -> None:
        progress.say(STOPPING.format(signal=signal_name))
        if inline:
            raise KeyboardInterrupt

    make_room(store)
    progress.begin([*starts, *todo], settled)
    try:
        with StopWish(on_first) as stop, _launcher(profile, collector, stop, inline, cluster, run) as launch:
            for batch in _rounds(tasks, collector, stop):
                launch(batch)
            if stop.asked is None:
                for batch in _rounds(_startable(wanted, starts, collector), collector, stop):
                    launch(batch)
        interrupted = stop.asked is not None
    except KeyboardInterrupt:
        interrupted = True
    finally:
        progress.end()
    ids = {p.id for p in todo}
    done = [i for i in collector.done if i in ids]
    not_run = [p.id for p in todo if p.id not in {*done, *collector.failed}]
    return Outcome(done, collector.failed, not_run, interrupted, time.monotonic() - begun)


def _rounds(tasks: Sequence[Task], collector: Collector, stop: StopWish) -> Iterator[Sequence[Task]]:
    """What to run until each task is settled, here or by another driver; one whose other runner dies is run here."""
    waiting = list(tasks)
    claims = Claims(collector.store.storage)
    while waiting and stop.asked is None:
        before = patiently(lambda: collector.store.storage.listing("failed"))
        yield waiting
        others = [t for t in waiting if t.planned.id in collector.elsewhere]
        collector.elsewhere.clear()
        waiting = []
        while others and not waiting and stop.asked is None:
            time.sleep(WAIT_SECONDS)
            free = [t for t in others if patiently(partial(claims.holder, t.planned.id)) is None]
            failed = patiently(lambda: collector.store.storage.listing("failed")) if free else {}
            for task in free:
                others.remove(task)
                name = f"{task.planned.id}.parquet"
                if name in failed and failed[name] != before.get(name):
                    reason = collector.store.failed().get(task.planned.id, "see its record")
                    collector.finished(Answer(task.planned.id, "failed", reason, {}))
                else:
                    waiting.append(task)
        waiting += others


def _launcher(
    profile: Profile,
    collector: Collector,
    stop: StopWish,
    inline: bool,
    cluster: Cluster,
    run: RunTrial | None,
) -> AbstractContextManager[Launch]:
    if inline:
        return nullcontext(lambda tasks: run_inline(tasks, collector, run))
    from harness.orchestrate.ray_tune import ray_launcher

    return ray_launcher(profile, collector, stop, run, cluster)


def _startable(wanted: Sequence[Task], starts: Sequence[Planned], collector: Collector) -> list[Task]:
    """Those whose start did not fail; the others are told and left for another run."""
    failed = {p.id for p in starts} & collector.failed.keys()
    ready, blocked = [], 0
    for task in wanted:
        start = start_trial(task.planned.trial) if failed else None
        if start is not None and trial_id(start) in failed:
            blocked += 1
        else:
            ready.append(task)
    if blocked:
        collector.progress.say(
            f"{blocked} trials are not run: the start that they need failed ({', '.join(sorted(failed))}); "
            "`harness show ID` says why, and the same command tries it again"
        )
    return ready
