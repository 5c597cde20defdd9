"""Whoever runs a trial, this process or one of Ray's, writes its record and reports a few small facts.

The record never travels: what comes back is an `Answer`. An error of the surroundings (a full disk, a purged folder, a
lost GPU) is raised and ends the run; it is never a verdict about the trial that met it.
"""

from __future__ import annotations

import base64
import dataclasses
import errno
import functools
import os
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from harness.base.errors import StorageError, UserError
from harness.base.text import duration
from harness.orchestrate.board import Board
from harness.orchestrate.carry import Carrier
from harness.orchestrate.claims import Claim, Claims, myself
from harness.orchestrate.progress import label
from harness.plan.expand import Planned
from harness.results.files import DamagedError, read_row
from harness.results.flatten import metrics_of
from harness.results.record import Record
from harness.results.store import Store

Report = Callable[[dict[str, Any]], None]
RunTrial = Callable[..., Record]
T = TypeVar("T")
PROGRESS, ANSWER, STOP, BUG = "progress", "answer", "stop", "bug"
UNREACHABLE_SECONDS = 180.0  # so long a storage may be away before a run stops
_AWAY = {
    errno.EIO,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.ENOTCONN,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
}


@dataclass(frozen=True)
class Task:
    """One trial to run: the store that gets its record, the datasets' folder, a start's trunk file, loaders.

    driver      the `harness run` that it belongs to
    hung_after  seconds without a report or a checkpoint after which its process ends itself (0: never)
    tensorboard  the folder of event files, where they are asked for
    """

    planned: Planned
    store: str
    data_root: Path
    trunk: Path | None = None
    loaders: int = 0
    driver: str = ""
    hung_after: float = 0.0
    tensorboard: Path | None = None


@dataclass(frozen=True)
class Answer:
    """What became of a trial; `elsewhere`: another process runs it, and `reason` says which."""

    id: str
    status: Literal["done", "failed", "elsewhere"]
    reason: str | None
    metrics: dict[str, float]


class Told(Protocol):
    """What an executor tells of each trial."""

    def started(self, trial_id: str) -> None: ...
    def reported(self, trial_id: str, report: dict[str, Any]) -> None: ...
    def finished(self, answer: Answer) -> None: ...


def run_one(task: Task, report: Report, *, attempt: int = 0, run: RunTrial | None = None) -> Answer:
    """Claim a trial, run it, keep its record and drop its checkpoint; one that is finished is not run again.

    attempt: how often its process was lost before. run: in place of `harness.trial.run_trial`. Raises UserError where
    the surroundings fail; what the trial itself raises is its record.
    """
    store, planned = Store(task.store), task.planned
    carrier = Carrier(store, planned, task.data_root, task.trunk)
    try:
        if (found := patiently(lambda: _settled(task, store, carrier))) is not None:
            return found
        claims, me = Claims(store.storage), myself(task.driver, attempt, label(planned))
        claim = patiently(lambda: claims.take(planned.id, me, carrier.send))
        if claim is None:
            holder = claims.holder(planned.id)
            by = holder.who.text if holder is not None and holder.who is not None else "another process"
            return Answer(planned.id, "elsewhere", by, {})
        try:
            # whoever held the claim a moment ago may have finished
            return patiently(lambda: _settled(task, store, carrier)) or _run(
                task, store, carrier, claim, report, attempt, run
            )
        finally:
            claim.release()
    except UserError as error:
        raise UserError(f"{error} (met by {label(planned)}). Finished records are kept") from error


def _run(
    task: Task,
    store: Store,
    carrier: Carrier,
    claim: Claim,
    report: Report,
    attempt: int,
    run: RunTrial | None,
) -> Answer:
    planned = task.planned

    if run is None:
        from harness.plan.prepare import prepare_datasets
        from harness.trial import run_trial

        run = run_trial
        prepare_datasets([planned.trial.dataset], task.data_root, lambda *_: None)  # a host of its own disk
    patiently(carrier.fetch)
    ended = threading.Event()
    if task.hung_after:
        watch = functools.partial(_end_when_hung, task, store, claim, carrier, ended)
        threading.Thread(target=watch, daemon=True).start()
    with Board(task.tensorboard, planned) as board:
        try:
            record = run(
                planned.trial,
                checkpoint_dir=store.checkpoint_dir(planned.id),
                data_root=task.data_root,
                report=lambda line: _tell(board.told(line), claim, report),
                trunk=task.trunk,
                loaders=task.loaders,
            )
        except Exception as error:
            from harness.trial.failure import failed_record, surroundings

            if (cause := surroundings(error)) is not None:
                raise cause from error
            record = failed_record(planned.trial, error)
        finally:
            ended.set()
        if not patiently(claim.held):
            return Answer(planned.id, "elsewhere", "the process that took it over", {})
        board.finished(record)
    record = dataclasses.replace(record, provenance={**record.provenance, "retries": attempt})
    return _keep(record, task, store, carrier)


def _tell(line: dict[str, Any], claim: Claim, report: Report) -> None:
    claim.told(line)
    report(line)


def _keep(record: Record, task: Task, store: Store, carrier: Carrier) -> Answer:
    """Write the record, then drop the checkpoint, which nobody needs any more."""
    planned = task.planned
    if record.status == "done":
        patiently(carrier.send_trunk)
    patiently(lambda: store.write(record, planned))
    store.drop_checkpoint(planned.id)
    patiently(carrier.drop)
    return Answer(planned.id, record.status, record.reason, record.metrics)


def patiently(ask: Callable[[], T]) -> T:
    """Ask a storage again while it is away, for three minutes; a full or forbidden one is told at once."""
    end, wait = time.monotonic() + UNREACHABLE_SECONDS, 1.0
    while True:
        try:
            return ask()
        except StorageError as error:
            cause = error.__cause__ or error.__context__
            away = isinstance(cause, OSError) and (cause.errno is None or cause.errno in _AWAY)
            if not away or "No space left" in str(cause) or time.monotonic() > end:
                raise
        time.sleep(wait)
        wait = min(2 * wait, 10.0)


def _end_when_hung(task: Task, store: Store, claim: Claim, carrier: Carrier, ended: threading.Event) -> None:
    """A process that hangs in native code hears no exception: it leaves a note and is killed; Ray tries again."""
    stamp = carrier.stamp()
    while not ended.wait(min(1.0, task.hung_after / 4)):
        if (now := carrier.stamp()) != stamp:
            stamp, claim.progressed = now, time.monotonic()
        if time.monotonic() - claim.progressed > task.hung_after:
            name, note = hung_note(task.planned.id), f"no progress for {duration(task.hung_after)}".encode()
            patiently(functools.partial(store.storage.write, name, note))
            os.kill(os.getpid(), signal.SIGKILL)


def hung_note(trial_id: str) -> str:
    """Where a trial's process says why it ended itself."""
    return f"claims/{trial_id}.hung"


def _settled(task: Task, store: Store, carrier: Carrier) -> Answer | None:
    """The answer of a trial that is done: its record is there and whole, or a start's trunk."""
    if task.trunk is None:
        return finished(store, task.planned.id)
    return Answer(task.planned.id, "done", None, {}) if carrier.has_trunk() else None


def finished(store: Store, trial_id: str) -> Answer | None:
    """The answer of a record that is there and whole; None where there is none."""
    try:
        row = read_row(store.storage, f"trials/{trial_id}.parquet")
    except (FileNotFoundError, DamagedError):
        return None
    return Answer(trial_id, "done", None, metrics_of(row))


def run_inline(tasks: Sequence[Task], told: Told, run: RunTrial | None = None) -> None:
    """One trial after the other in this very process: for a debugger, a smoke test, a single GPU.

    A KeyboardInterrupt of the caller's signal handler passes through.
    """
    for task in tasks:
        trial_id = task.planned.id
        told.started(trial_id)
        told.finished(run_one(task, functools.partial(told.reported, trial_id), run=run))


def packed(task: Task) -> str:
    """A task as text, which Tune takes as it is."""
    return base64.b64encode(pickle.dumps(task)).decode()


def unpacked(text: str) -> Task:
    task: Task = pickle.loads(base64.b64decode(text))
    return task


def trainable(config: dict[str, Any]) -> None:
    """What Ray Tune runs in a process of its own. No exception leaves it: Tune tries again lost processes only."""
    from ray import tune

    one = config["one"]
    try:
        answer = run_one(
            unpacked(one["task"]),
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
