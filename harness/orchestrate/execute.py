"""Run a list of trials into a store, once, under a lock, and say what came of each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.experiment.spec import Profile
from harness.orchestrate.collect import Collector
from harness.orchestrate.entry import RUN_TRIAL, Job
from harness.orchestrate.inline import run_inline
from harness.orchestrate.progress import Progress
from harness.orchestrate.signals import StopWish
from harness.plan.expand import Planned
from harness.results import Store
from harness.results.lock import driver_lock

STOPPING = "stopping ({signal}): finished trials are kept, running ones keep their last checkpoint"


@dataclass(frozen=True)
class Outcome:
    """What became of `todo`: ids done, id -> reason of the failed, ids not run; wall time in seconds."""

    done: list[str]
    failed: dict[str, str]
    not_run: list[str]
    interrupted: bool
    seconds: float


def execute(
    todo: Sequence[Planned],
    store: Store,
    profile: Profile,
    *,
    data_root: Path,
    progress: Progress,
    settled: int = 0,
    inline: bool = False,
    run: str = RUN_TRIAL,
) -> Outcome:
    """Run `todo` in its order (seed-major) and keep every record in `store`.

    `settled` trials of the same plan need no run (for the display). `inline` runs in this process, without
    Ray. `run` is the import path of the function that runs a trial. Raises UserError when the store cannot be
    written, another driver holds it, or a trial needs resources that are not there. With nothing to run, Ray
    is not imported.
    """
    started = time.monotonic()
    collector = Collector(todo, store, progress)
    interrupted = False
    if todo:
        job = Job(todo, profile, data_root, run)
        with driver_lock(store):
            progress.begin(todo, settled)
            interrupted = _run(job, collector, inline)
    settled_ids = {*collector.done, *collector.failed}
    not_run = [p.id for p in todo if p.id not in settled_ids]
    return Outcome(collector.done, collector.failed, not_run, interrupted, time.monotonic() - started)


def _run(job: Job, collector: Collector, inline: bool) -> bool:
    """Whether a signal ended the run."""
    progress = collector.progress

    def on_first(signal_name: str) -> None:
        progress.say(STOPPING.format(signal=signal_name))
        if inline:
            raise KeyboardInterrupt

    try:
        with StopWish(on_first) as stop:
            if inline:
                run_inline(job, collector)
            else:
                from harness.orchestrate.ray_tune import run_with_ray

                run_with_ray(job, collector, stop)
            return stop.asked is not None
    except KeyboardInterrupt:
        return True
    finally:
        progress.end()
