"""The store of one root folder: what is done, what failed, and every record's parts.

    root/trials/<id>.parquet        one row: metrics, configuration, cost, provenance. Written last: "done"
    root/predictions/<id>.parquet   one line a test video and view group: video, label, group, scores
    root/curves/<id>.parquet        one line an epoch
    root/failed/<id>.parquet        one row: reason, traceback, configuration
    root/checkpoints/<id>/          of trials that are not done

A trial is done when its record file exists and can be read. Files of different trials never meet, so writers
of different trials need no lock; the driver takes one (`harness.results.lock`) so that no trial runs twice.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from harness.base.errors import UserError, near_match
from harness.experiment.spec import Trial
from harness.plan.expand import Planned
from harness.results.files import read_parquet, read_row, write_parquet
from harness.results.flatten import flatten, unflatten
from harness.trial.record import Record

SCORES = "scores.list.element"


@dataclass(frozen=True)
class Settled:
    """Ids of done trials; failed ones, id -> reason; damaged records, id -> what is wrong with the file."""

    done: set[str]
    failed: dict[str, str]
    unreadable: dict[str, str]


class Store:
    """Records under `root`; nothing is created before the first write."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root).resolve()

    @property
    def source(self) -> str:
        """`baselines` for shipped records, `runs` for the user's own."""
        return "baselines" if "baselines" in self.root.parts else "runs"

    def path(self, part: str, trial_id: str) -> Path:
        """File of one part (`trials`, `predictions`, `curves`, `failed`) of a trial."""
        return self.root / part / f"{trial_id}.parquet"

    def checkpoint_dir(self, trial_id: str) -> Path:
        return self.root / "checkpoints" / trial_id

    def write(self, record: Record, written: Planned | None = None) -> None:
        """Keep a record, done or failed. Raises UserError on a full disk or a folder that is not writable."""
        row = pd.DataFrame([flatten(record, written)])
        if record.status == "failed":
            write_parquet(row, self.path("failed", record.id))
            return
        write_parquet(record.curve, self.path("curves", record.id))
        floats = [SCORES] if "scores" in record.predictions else []
        write_parquet(record.predictions, self.path("predictions", record.id), floats=floats)
        self._put_aside_unreadable(record.id)
        write_parquet(row, self.path("trials", record.id))
        self.path("failed", record.id).unlink(missing_ok=True)

    def _put_aside_unreadable(self, trial_id: str) -> None:
        """A damaged record is never deleted, only renamed when its trial has been run again."""
        path = self.path("trials", trial_id)
        try:
            if path.exists():
                read_row(path)
        except UserError:
            path.replace(path.with_suffix(".parquet.unreadable"))

    def rows(self, part: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
        """All rows of `trials` or `failed`, and what could not be read: id -> reason."""
        rows, unreadable = [], {}
        for path in sorted((self.root / part).glob("*.parquet")):
            try:
                rows.append(read_row(path))
            except UserError as error:
                unreadable[path.stem] = str(error)
        return rows, unreadable

    def settled(self) -> Settled:
        """What is done, failed and damaged, in one pass over the files (about 2 ms a record)."""
        rows, unreadable = self.rows("trials")
        done = {str(row["id"]) for row in rows}
        failed = {row["id"]: row["reason"] for row in self.rows("failed")[0] if row["id"] not in done}
        return Settled(done, failed, unreadable)

    def done(self) -> set[str]:
        """Ids of trials whose record is there and whole."""
        return self.settled().done

    def failed(self) -> dict[str, str]:
        """Failed trials that have not been done since: id -> reason in one line."""
        return self.settled().failed

    def ids(self) -> list[str]:
        """Ids of all records, done and failed."""
        return sorted(
            {path.stem for part in ("trials", "failed") for path in (self.root / part).glob("*.parquet")}
        )

    def record(self, trial_id: str) -> Record:
        """The whole record. Raises UserError when there is none or its file is damaged."""
        if self.path("trials", trial_id).exists():
            row = read_row(self.path("trials", trial_id))
            return unflatten(row, self.curve(trial_id), self.predictions(trial_id))
        if not self.path("failed", trial_id).exists():
            raise UserError(f"{self.root}: no record {trial_id!r}{near_match(trial_id, self.ids())}")
        row = read_row(self.path("failed", trial_id))
        return unflatten(row, pd.DataFrame(), pd.DataFrame())

    def trial(self, trial_id: str) -> Trial:
        """The trial as written."""
        part = "trials" if self.path("trials", trial_id).exists() else "failed"
        return Trial.model_validate_json(read_row(self.path(part, trial_id))["config"])

    def predictions(self, trial_id: str) -> pd.DataFrame:
        """Columns video, label, group, scores (float32, one a class); a line a test video and view group."""
        return read_parquet(self.path("predictions", trial_id))

    def curve(self, trial_id: str) -> pd.DataFrame:
        """One line an epoch."""
        return read_parquet(self.path("curves", trial_id))

    def drop_checkpoint(self, trial_id: str) -> None:
        """Remove what a finished trial no longer needs."""
        shutil.rmtree(self.checkpoint_dir(trial_id), ignore_errors=True)
