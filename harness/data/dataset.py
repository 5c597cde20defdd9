"""A prepared dataset: its card, its splits and its frames in one memory map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from harness.base.errors import UserError, near_match


class DatasetInfo(BaseModel):
    """What a dataset is. Shares are 0-1, sizes are bytes on disk."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    manifest_hash: str
    """SHA-256 over all videos' ids, labels, drawn frames and the codec's settings; no path, host or date."""
    class_names: tuple[str, ...]
    frame_width: int
    frame_height: int
    fps: int
    order_blind_ceiling: float
    """Best top-1 of a model that never sees the order of its snippets."""
    chance: float
    factor_names: tuple[str, ...]
    counts: dict[str, int]
    """Videos in each split."""
    video_bytes: int
    cache_bytes: int
    directory: Path

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def bytes(self) -> int:
        """All that the dataset takes on disk, but for a few kB of tables."""
        return self.video_bytes + self.cache_bytes


class Split:
    """The videos of one split. Video i is row i of `table`; labels, ids and lengths follow the same order."""

    def __init__(self, name: str, table: pd.DataFrame, frames_FHW3: NDArray[np.uint8]) -> None:
        self.name = name
        self.table = table.reset_index(drop=True)
        self.labels: NDArray[np.int64] = self.table["label"].to_numpy(np.int64)
        self.lengths: NDArray[np.int64] = self.table["frames"].to_numpy(np.int64)
        self.video_ids: list[str] = self.table["video_id"].tolist()
        self.offsets: NDArray[np.int64] = self.table["offset"].to_numpy(np.int64)
        self.frames_FHW3 = frames_FHW3

    def __len__(self) -> int:
        return len(self.labels)

    def frames(self, i: int) -> NDArray[np.uint8]:
        """All frames of video i, (L, H, W, 3), a read-only view of the memory map."""
        return self.frames_FHW3[self.offsets[i] : self.offsets[i] + self.lengths[i]]


class Dataset:
    """A dataset that is ready on disk: `info`, `class_table` and, by name, its splits."""

    def __init__(
        self,
        info: DatasetInfo,
        manifest: pd.DataFrame,
        class_table: pd.DataFrame,
        frames_FHW3: NDArray[np.uint8],
    ) -> None:
        self.info = info
        self.manifest = manifest
        self.class_table = class_table
        self._frames_FHW3 = frames_FHW3

    @property
    def factor_names(self) -> tuple[str, ...]:
        """The factors of `factor_accuracies` that this dataset has."""
        return self.info.factor_names

    def split(self, name: str) -> Split:
        """One split by name. Raises UserError where there is none of that name."""
        if name not in self.info.counts:
            raise UserError(
                f"dataset {self.info.name!r} has no split {name!r}{near_match(name, self.info.counts)}; "
                f"it has {', '.join(self.info.counts)}"
            )
        return Split(name, self.manifest[self.manifest["split"] == name], self._frames_FHW3)


def factor_accuracies(
    scores_VK: NDArray[np.floating], split_table: pd.DataFrame, class_table: pd.DataFrame
) -> dict[str, float]:
    """Why a row wins: accuracy on each factor in percent, from the scores of every video.

    appearance: share of all videos whose predicted class has the right actor. A script family (motion, order,
    position): share of that family's videos whose predicted class has the right script, whoever the actor.
    Families without a video are left out.

    Raises ValueError where the rows of scores are not the videos of the table.
    """
    if scores_VK.shape != (len(split_table), len(class_table)):
        raise ValueError(
            f"scores {scores_VK.shape} for {len(split_table)} videos, {len(class_table)} classes"
        )
    predicted = class_table.set_index("label").loc[scores_VK.argmax(1)]
    right_actor = predicted["actor"].to_numpy() == split_table["actor"].to_numpy()
    right_script = predicted["script"].to_numpy() == split_table["script"].to_numpy()
    by_family = pd.Series(right_script).groupby(split_table["family"].to_numpy()).mean()
    return {"appearance": 100 * float(right_actor.mean())} | {
        str(f): 100 * float(a) for f, a in by_family.items()
    }
