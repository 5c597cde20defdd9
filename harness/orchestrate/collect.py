"""The driver's side of a run: every event of a trial passes here, to the store first, then to the screen."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from harness.orchestrate.progress import Progress
from harness.plan.expand import Planned
from harness.results import Store
from harness.trial.record import Record


class Collector:
    """Writes records, drops the checkpoints of settled trials, keeps count. Used by both executors."""

    def __init__(self, todo: Sequence[Planned], store: Store, progress: Progress) -> None:
        self.planned = {p.id: p for p in todo}
        self.store = store
        self.progress = progress
        self.done: list[str] = []
        self.failed: dict[str, str] = {}

    def started(self, trial_id: str) -> None:
        self.progress.started(self.planned[trial_id])

    def reported(self, trial_id: str, report: dict[str, Any]) -> None:
        self.progress.reported(self.planned[trial_id], report)

    def retried(self, trial_id: str, times: int) -> None:
        self.progress.retried(self.planned[trial_id], times)

    def finished(self, trial_id: str, record: Record, retries: int = 0) -> None:
        """Store a record; only then is the trial done. Raises UserError when it cannot be written."""
        record = dataclasses.replace(record, provenance={**record.provenance, "retries": retries})
        self._keep(trial_id, record)
        self.store.drop_checkpoint(trial_id)

    def lost(self, trial_id: str, times: int, traceback: str) -> None:
        """A trial whose process went away too often. Its checkpoint stays for `--retry-failed`."""
        reason = f"its process was lost {times} times (killed, or out of memory)"
        trial = self.planned[trial_id].trial
        self._keep(trial_id, Record(trial=trial, status="failed", reason=reason, traceback=traceback))

    def raised(self, trial_id: str, reason: str, traceback: str) -> None:
        """A trial that could not even give a record of its failure (its code cannot be imported, for one)."""
        trial = self.planned[trial_id].trial
        self._keep(trial_id, Record(trial=trial, status="failed", reason=reason, traceback=traceback))

    def _keep(self, trial_id: str, record: Record) -> None:
        planned = self.planned[trial_id]
        self.store.write(record, planned)
        if record.status == "done":
            self.done.append(trial_id)
            self.progress.done(planned, record)
        else:
            self.failed[trial_id] = record.reason or "no reason given"
            self.progress.failed(planned, self.failed[trial_id])
