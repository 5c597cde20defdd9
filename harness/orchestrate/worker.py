"""Whoever runs a trial, this process or one of Ray's, writes its record and reports a few small facts.

The record never travels: what comes back is an `Answer`. An error of the surroundings (a full disk, a purged folder, a
lost GPU) is raised and ends the run; it is never a verdict about the trial that met it.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import pickle
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from harness.base.errors import UserError
from harness.orchestrate.progress import label
from harness.plan.expand import Planned
from harness.results.files import DamagedError, read_row
from harness.results.record import Record
from harness.results.store import Store

Report = Callable[[dict[str, Any]], None]
RunTrial = Callable[..., Record]
PROGRESS, ANSWER, STOP, BUG = "progress", "answer", "stop", "bug"


@dataclass(frozen=True)
class Task:
    """One trial to run: the store that gets its record, the datasets' folder, a start's trunk file, loaders."""

    planned: Planned
    store: str
    data_root: Path
    trunk: Path | None = None
    loaders: int = 0


@dataclass(frozen=True)
class Answer:
    """What became of a trial."""

    id: str
    status: Literal["done", "failed"]
    reason: str | None
    metrics: dict[str, float]


class Told(Protocol):
    """What an executor tells of each trial."""

    def started(self, trial_id: str) -> None: ...
    def reported(self, trial_id: str, report: dict[str, Any]) -> None: ...
    def finished(self, answer: Answer) -> None: ...


def run_one(task: Task, report: Report, *, attempt: int = 0, run: RunTrial | None = None) -> Answer:
    """Run a trial, keep its record and drop its checkpoint; one that another process has finished is not run again.

    attempt: how often its process was lost before. run: in place of `harness.trial.run_trial`. Raises UserError where
    the surroundings fail; what the trial itself raises is its record.
    """
    store, planned = Store(task.store), task.planned
    if task.trunk is None and (found := _finished(store, planned.id)) is not None:
        return found
    if run is None:
        from harness.trial import run_trial

        run = run_trial
    try:
        try:
            record = run(
                planned.trial,
                checkpoint_dir=store.checkpoint_dir(planned.id),
                data_root=task.data_root,
                report=report,
                trunk=task.trunk,
                loaders=task.loaders,
            )
        except Exception as error:
            from harness.trial.failure import failed_record, surroundings

            if (cause := surroundings(error)) is not None:
                raise cause from error
            record = failed_record(planned.trial, error)
        record = dataclasses.replace(record, provenance={**record.provenance, "retries": attempt})
        store.write(record, planned)
    except UserError as error:
        raise UserError(f"{error} (met by {label(planned)}). Finished records are kept") from error
    store.drop_checkpoint(planned.id)
    return Answer(planned.id, record.status, record.reason, record.metrics)


def _finished(store: Store, trial_id: str) -> Answer | None:
    """The answer of a record that is there and whole."""
    try:
        row = read_row(store.storage, f"trials/{trial_id}.parquet")
    except (FileNotFoundError, DamagedError):
        return None
    names = json.loads(row.get("metrics") or "[]")
    return Answer(trial_id, "done", None, {name: float(row[name]) for name in names})


def run_inline(tasks: Sequence[Task], told: Told, run: RunTrial | None = None) -> None:
    """One trial after the other in this very process: for a debugger, a smoke test, a single GPU.

    A KeyboardInterrupt of the caller's signal handler passes through.
    """
    for task in tasks:
        trial_id = task.planned.id
        told.started(trial_id)
        told.finished(run_one(task, functools.partial(told.reported, trial_id), run=run))


def trainable(config: dict[str, Any]) -> None:
    """What Ray Tune runs in a process of its own. No exception leaves it: Tune tries again lost processes only."""
    from ray import tune

    one = config["one"]
    try:
        answer = run_one(
            pickle.loads(one["task"]),
            lambda report: tune.report({PROGRESS: report}),
            attempt=one["attempt"],
            run=config["run"],
        )
    except UserError as error:
        tune.report({STOP: str(error)})
    except Exception:
        tune.report({BUG: traceback.format_exc()})
    else:
        tune.report({ANSWER: dataclasses.asdict(answer)})
