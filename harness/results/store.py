"""The store of one root: what is done, what failed, and every record's parts.

    root/trials/<id>.parquet        one row: metrics, configuration, cost, provenance. Written last: "done"
    root/predictions/<id>.parquet   one line a test video and view group: video, label, group, scores
    root/answers/<id>.parquet       one line a test video: video, label, predicted
    root/curves/<id>.parquet        one line an epoch
    root/failed/<id>.parquet        one row: reason, traceback, configuration
    root/checkpoints/<id>/          of trials that are not done
    root/index.parquet              the rows of all records in one file (`harness.results.index`)

A trial is done when its record's file exists under its final name and could be read into the index. Files of
different trials never meet, so any number of processes may write; whoever ran a trial writes its record.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from harness.base.errors import UserError, near_match
from harness.base.files import cache_root
from harness.base.storage import LocalStorage, Storage, storage_at
from harness.experiment.spec import Trial
from harness.results.files import DamagedError, read_frame, read_row, write_frame
from harness.results.flatten import flatten, unflatten
from harness.results.index import PARTS, Index, listing, refreshed
from harness.results.predictions import SCORES, answers_frame
from harness.results.record import Record, Written

_COPIED = ("predictions", "curves")  # what a done trial has beside its record, and what a partial copy lacks


@dataclass(frozen=True)
class Settled:
    """What a store knows of its trials.

    done        ids of done trials
    failed      id -> reason, of those not done since
    unreadable  id -> what is wrong with the record's file; the trial counts as not done
    incomplete  id -> which file of a done trial is missing, and what to do
    """

    done: set[str]
    failed: dict[str, str]
    unreadable: dict[str, str]
    incomplete: dict[str, str] = field(default_factory=dict)


class Store:
    """Records under `root`, a path (`~` is expanded) or a URI that pyarrow knows; made with the first write."""

    def __init__(self, root: Path | str) -> None:
        self.storage: Storage = storage_at(root)
        self.root: Path | str = self.storage.root if isinstance(self.storage, LocalStorage) else str(root)

    @property
    def source(self) -> str:
        """`baselines` for shipped records, `runs` for the user's own."""
        return "baselines" if isinstance(self.root, Path) and "baselines" in self.root.parts else "runs"

    @property
    def cache(self) -> LocalStorage:
        """The user's cache of what follows from this store, for a store in which it cannot be kept."""
        return LocalStorage(
            cache_root() / "stores" / hashlib.sha256(str(self.root).encode()).hexdigest()[:16]
        )

    @property
    def keeper(self) -> Storage:
        """Where what follows from the records is kept: in the store, or in the cache where that must not change."""
        shipped = self.source == "baselines"
        writable = not isinstance(self.root, Path) or not self.root.exists() or os.access(self.root, os.W_OK)
        return self.storage if writable and not shipped else self.cache

    @property
    def local(self) -> Path:
        """The folder of this machine for locks and checkpoints: the root itself, or one in the cache."""
        return self.root if isinstance(self.root, Path) else self.cache.root

    def path(self, part: str, trial_id: str) -> Path:
        """File of one part (`trials`, `predictions`, `answers`, `curves`, `failed`) of a trial in a local store."""
        return Path(self.storage.place(_name(part, trial_id)))

    def checkpoint_dir(self, trial_id: str) -> Path:
        return self.local / "checkpoints" / trial_id

    def drop_checkpoint(self, trial_id: str) -> None:
        """Remove what a finished trial no longer needs."""
        shutil.rmtree(self.checkpoint_dir(trial_id), ignore_errors=True)

    def write(self, record: Record, written: Written | None = None) -> None:
        """Keep a record, done or failed; any number of processes may do so at once.

        Raises StorageError on a full disk or a folder that is not writable: the trial is then not done.
        """
        row = pd.DataFrame([flatten(record, written)])
        if record.status == "failed":
            write_frame(self.storage, _name("failed", record.id), row)
            return
        write_frame(self.storage, _name("curves", record.id), record.curve)
        floats = [SCORES] if "scores" in record.predictions else []
        write_frame(self.storage, _name("predictions", record.id), record.predictions, floats=floats)
        answers = answers_frame(record.predictions)
        if answers is not None:
            write_frame(self.storage, _name("answers", record.id), answers)
        self._put_aside_unreadable(record.id)
        write_frame(self.storage, _name("trials", record.id), row)
        self.storage.delete(_name("failed", record.id))

    def _put_aside_unreadable(self, trial_id: str) -> None:
        """A damaged record is never lost: its content is kept beside it when its trial has been run again."""
        name = _name("trials", trial_id)
        if self.storage.stamp(name) is None:
            return
        try:
            read_row(self.storage, name)
        except DamagedError:
            self.storage.write(f"{name}.unreadable", self.storage.read(name))

    def index(self, columns: list[str] | None = None) -> Index:
        """All records' rows (or some columns of them) as the folders are now."""
        return refreshed(self.storage, self.keeper, columns)

    def rows(self, part: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
        """All rows of `trials` or `failed`, and what could not be read: id -> reason."""
        index = self.index()
        return index.rows(part), _of_part(index, part)

    def settled(self) -> Settled:
        """What is done, failed, damaged and incomplete: the folders' listings and the index."""
        index = self.index(["id", "reason"])
        stems = index.files("id", "trials")
        done = set(stems.values())
        reasons = index.files("reason", "failed")
        failed = {i: reasons[stem] for stem, i in index.files("id", "failed").items() if i not in done}
        there = {part: listing(self.storage, part) for part in _COPIED}
        incomplete = {
            i: str(self._missing(part, stem))
            for part in _COPIED
            for stem, i in stems.items()
            if stem not in there[part]
        }
        return Settled(done, failed, _of_part(index, "trials"), incomplete)

    def done(self) -> set[str]:
        """Ids of trials whose record is there and whole."""
        return set(self.index(["id"]).files("id", "trials").values())

    def failed(self) -> dict[str, str]:
        """Failed trials that have not been done since: id -> reason in one line."""
        return self.settled().failed

    def ids(self) -> list[str]:
        """Ids of all records, done and failed; of a damaged one its file's name."""
        index = self.index(["id"])
        return sorted({*index.table["id"].to_pylist(), *(stem for _, stem in index.unreadable)})

    def record(self, trial_id: str, *, predictions: bool = True) -> Record:
        """The whole record, or without the predictions, which are most of it.

        Raises UserError when there is none, or one of its files is damaged or missing.
        """
        part, row = self._row(trial_id)
        if part == "failed":
            return unflatten(row, pd.DataFrame(), pd.DataFrame())
        return unflatten(
            row, self.curve(trial_id), self.predictions(trial_id) if predictions else pd.DataFrame()
        )

    def trial(self, trial_id: str) -> Trial:
        """The trial as written."""
        return Trial.model_validate_json(self._row(trial_id)[1]["config"])

    def _row(self, trial_id: str) -> tuple[str, dict[str, Any]]:
        """Which part a trial stands in, done before failed, and its row."""
        for part in PARTS:
            try:
                return part, read_row(self.storage, _name(part, self._stem(trial_id, part)))
            except FileNotFoundError:
                continue
        raise UserError(f"{self.storage.place()}: no record {trial_id!r}{near_match(trial_id, self.ids())}")

    def _stem(self, trial_id: str, part: str = "trials") -> str:
        """The name of a trial's files: its id, unless the record was migrated on reading."""
        if self.storage.stamp(_name(part, trial_id)) is not None:
            return trial_id
        stems = {i: stem for stem, i in self.index(["id"]).files("id", part).items()}
        return stems.get(trial_id, trial_id)

    def predictions(self, trial_id: str) -> pd.DataFrame:
        """Columns video, label, group, scores (float32, one a class); a line a test video and view group.

        Raises UserError where the file is missing (a store of which only `trials/` was copied) or damaged.
        """
        return self._part("predictions", trial_id)

    def stamp(self, part: str, trial_id: str) -> str | None:
        """Changes when a part of a trial is written anew; None where it is missing."""
        return self.storage.stamp(_name(part, self._stem(trial_id)))

    def curve(self, trial_id: str) -> pd.DataFrame:
        """One line an epoch; raises as `predictions`."""
        return self._part("curves", trial_id)

    def _part(self, part: str, trial_id: str) -> pd.DataFrame:
        try:
            return read_frame(self.storage, _name(part, trial_id))
        except FileNotFoundError:
            stem = self._stem(trial_id)
        try:
            return read_frame(self.storage, _name(part, stem))
        except FileNotFoundError:
            raise self._missing(part, stem) from None

    def _missing(self, part: str, stem: str) -> UserError:
        missing, record = (self.storage.place(_name(p, stem)) for p in (part, "trials"))
        return UserError(
            f"{missing}: is missing. Copy {part}/ along with trials/; or delete {record}, and `harness run` makes "
            "the trial again"
        )


def _name(part: str, trial_id: str) -> str:
    return f"{part}/{trial_id}.parquet"


def _of_part(index: Index, part: str) -> dict[str, str]:
    return {stem: reason for (found, stem), reason in index.unreadable.items() if found == part}
