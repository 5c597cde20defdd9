"""Videos of random pixels, in memory: what the contract of a dataset allows and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.data.dataset import Boxes, DatasetInfo, Split


def noise(seed: int, frames: int, height: int, width: int) -> NDArray[np.uint8]:
    """Random frames (F, H, W, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), np.uint8)


@dataclass(frozen=True)
class ArrayVideo:
    """A `Sample` on an array. `reads` counts how often it is read."""

    video_id: str
    labels: tuple[int, ...]
    frames_FHW3: NDArray[np.uint8]
    rate: float = 25.0
    boxes: Boxes | None = None
    reads: list[int] = field(default_factory=list)

    def frames(self) -> int:
        return len(self.frames_FHW3)

    def fps(self) -> float:
        return self.rate

    def size_wh(self) -> tuple[int, int]:
        _, height, width, _ = self.frames_FHW3.shape
        return width, height

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        self.reads.append(len(indices))
        return self.frames_FHW3[indices]


@dataclass(frozen=True)
class Listed:
    videos: tuple[ArrayVideo, ...]

    def __call__(self, i: int) -> ArrayVideo:
        return self.videos[i]


def make_split(
    videos: list[ArrayVideo], opener: Callable | None = None, multi_hot=None, **info: object
) -> Split:
    """A training split of these videos."""
    facts = {
        "name": "synthetic",
        "manifest_hash": "0",
        "class_names": tuple(f"class {k}" for k in range(6)),
        "splits": {"train": "train"},
        "counts": {"train": len(videos)},
    } | info
    table = pd.DataFrame({"video_id": [v.video_id for v in videos], "label": [v.labels[0] for v in videos]})
    return Split(DatasetInfo(**facts), "train", table, opener or Listed(tuple(videos)), multi_hot)


def golden_split() -> Split:
    """The 23 videos of `tests/golden/batches.json`."""
    rng = np.random.default_rng(20261125)
    lengths = [int(n) for n in rng.integers(5, 90, 23)]
    labels = [int(n) for n in rng.integers(0, 6, 23)]
    frames_FHW3 = rng.integers(0, 256, (sum(lengths), 24, 32, 3), np.uint8)
    ends = np.cumsum(lengths)
    return make_split(
        [
            ArrayVideo(f"v{i:02d}", (label,), frames_FHW3[end - length : end])
            for i, (label, length, end) in enumerate(zip(labels, lengths, ends, strict=True))
        ]
    )


def mixed_split(**info: object) -> Split:
    """Twelve videos of different sizes, upright and flat, of 1 to 60 frames."""
    sizes = [(40, 30), (30, 40), (64, 36), (36, 36), (37, 53), (48, 48)] * 2
    lengths = [1, 3, 8, 20, 33, 60, 7, 12, 25, 41, 50, 16]
    return make_split(
        [
            ArrayVideo(f"m{i:02d}", (i % 6,), noise(i, length, height, width), rate=[10.0, 25.0, 60.0][i % 3])
            for i, ((width, height), length) in enumerate(zip(sizes, lengths, strict=True))
        ],
        **info,
    )
