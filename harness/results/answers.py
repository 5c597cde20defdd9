"""A trial's answers to the test videos: the one reader of all statistics."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from harness.base.errors import StorageError, UserError
from harness.results.files import DamagedError, read_table, write_frame
from harness.results.predictions import answers_frame
from harness.results.store import Store

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Answers:
    """A trial's answers: video ids in sorted order, their labels, the predicted classes (mean of the groups)."""

    videos: tuple[str, ...]
    labels: Ints
    predicted: Ints

    @property
    def right(self) -> NDArray[np.bool_]:
        """(videos,) whether each was answered rightly."""
        return self.predicted == self.labels


@lru_cache(maxsize=4096)
def answers(root: str | Path, trial_id: str) -> Answers:
    """Read a trial's answers; of an older record they are made from its predictions, once, and kept.

    Raises UserError where the predictions are missing or damaged, or hold no single class a video.
    """
    table = _table(Store(root), trial_id)
    labels, predicted = (table[name].to_numpy().astype(np.int64) for name in ("label", "predicted"))
    return Answers(tuple(table["video"].to_pylist()), labels, predicted)


def _table(store: Store, trial_id: str) -> pa.Table:
    name = f"answers/{trial_id}.parquet"
    with contextlib.suppress(FileNotFoundError, DamagedError):
        return read_table(store.storage, name)
    keeper = store.keeper
    if (
        keeper is not store.storage
    ):  # the cache does not notice when a record is written anew: its name says of which
        name = f"answers/{trial_id}-{store.stamp('predictions', trial_id)}.parquet"
        with contextlib.suppress(FileNotFoundError, DamagedError, StorageError):
            return read_table(keeper, name)
    frame = answers_frame(store.predictions(trial_id))
    if frame is None:
        raise UserError(
            f"{store.storage.place()}: trial {trial_id} has no single predicted class a video, so no paired "
            "statistics of right and wrong answers"
        )
    with contextlib.suppress(StorageError):  # made again next time
        write_frame(keeper, name, frame)
    return pa.Table.from_pandas(frame, preserve_index=False)
