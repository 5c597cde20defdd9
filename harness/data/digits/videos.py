"""The prepared embedded dataset behind the contract: every frame of every video in one memory map."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.data.dataset import DatasetInfo, Role, Split, check_role
from harness.data.digits.factors import factor_answers
from harness.experiment.datasets import ScriptedDigits


class FrameMap:
    """The file of all decoded frames, mapped read-only; a process that gets a copy maps the file itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # A plain array on the map: np.memmap's own indexing is several times slower.
        self.frames_FHW3: NDArray[np.uint8] = np.asarray(np.load(path, mmap_mode="r"))

    def __reduce__(self) -> tuple[type[FrameMap], tuple[Path]]:
        return FrameMap, (self.path,)


@dataclass(frozen=True)
class MappedVideo:
    """A `Sample`: `length` frames of the map from `offset` on."""

    video_id: str
    labels: tuple[int, ...]
    map: FrameMap
    offset: int
    length: int
    rate: float
    boxes: None = None

    def frames(self) -> int:
        return self.length

    def fps(self) -> float:
        return self.rate

    def size_wh(self) -> tuple[int, int]:
        _, height, width, _ = self.map.frames_FHW3.shape
        return width, height

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """See `Sample`: a copy, for the map is read-only."""
        video_LHW3 = self.map.frames_FHW3[self.offset : self.offset + self.length]
        frames_FHW3: NDArray[np.uint8] = video_LHW3[indices]
        return frames_FHW3


@dataclass(frozen=True)
class MappedVideos:
    """Opens the videos of a split: lists beside the map, for a table's rows are slow to look up."""

    map: FrameMap
    video_ids: tuple[str, ...]
    labels: tuple[int, ...]
    offsets: tuple[int, ...]
    lengths: tuple[int, ...]
    rate: float

    @classmethod
    def of(cls, table: pd.DataFrame, frame_map: FrameMap, rate: float) -> MappedVideos:
        ids, labels, offsets, lengths = (
            tuple(table[name].tolist()) for name in ("video_id", "label", "offset", "frames")
        )
        return cls(frame_map, ids, labels, offsets, lengths, rate)

    def __call__(self, i: int) -> MappedVideo:
        return MappedVideo(
            self.video_ids[i], (self.labels[i],), self.map, self.offsets[i], self.lengths[i], self.rate
        )


@dataclass(frozen=True)
class DigitsDataset:
    """See `harness.data.dataset.Dataset`. `manifest` has one row a video of any split."""

    spec: ScriptedDigits
    info: DatasetInfo
    manifest: pd.DataFrame
    map: FrameMap

    def split(self, role: Role) -> Split:
        name = self.info.splits[check_role(role, self.info)]
        table = self.manifest[self.manifest["split"] == name].reset_index(drop=True)
        return Split(self.info, role, table, MappedVideos.of(table, self.map, self.spec.fps))

    def facet_metrics(self, scores_VK: NDArray[np.floating], role: Role) -> dict[str, float]:
        labels_V = self.split(role).labels
        if scores_VK.shape != (len(labels_V), self.info.num_classes):
            raise ValueError(
                f"scores {scores_VK.shape} for {len(labels_V)} videos, {self.info.num_classes} classes"
            )
        answers = factor_answers(self.spec, scores_VK.argmax(1), labels_V)
        return {f"factor_{name}": 100 * float(right.mean()) for name, (_, right) in answers.items()}
