"""Batches of videos as `x_NUCTHW` uint8 (`harness.data.dataset`).

What a batch holds depends on (seed, epoch, video) alone, never on what was drawn before, on the number of workers, on
the rank or on the step at which an epoch is entered.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.base.errors import UserError
from harness.data.augment import Window, test_windows, train_window
from harness.data.dataset import Sample, Split
from harness.data.reading import Cut, Key, Loading, Reader
from harness.data.sampling import test_places, train_places
from harness.experiment.augment import Augment
from harness.experiment.sampling import FrameRule

# Third entry of a seed: keeps the draws of the order and of the videos apart.
_ORDER, _VIDEO = 0, 1


@dataclass(frozen=True)
class Shard:
    """One of `world_size` processes that train or test together."""

    rank: int = 0
    world_size: int = 1


class TrainBatch(NamedTuple):
    """N videos: x_NUCTHW uint8, labels (N,) int64, videos (N,) their places in the split.

    targets_NK: float32, 1 for each label of a video; None in a dataset of single labels. boxes_NUTR4: regions in
    pixels of the crop; None where the dataset has none.
    """

    x_NUCTHW: Tensor
    labels: Tensor
    videos: NDArray[np.int64]
    targets_NK: Tensor | None = None
    boxes_NUTR4: Tensor | None = None


class CroppedBatch(NamedTuple):
    """N videos, each read once: `crops` has x_NUCTHW of every crop, `boxes` the regions in it (see TrainBatch).

    mirrored: which of the crops are mirror images; their scores are put in order by `info.mirrored_labels()`.
    """

    crops: tuple[Tensor, ...]
    videos: NDArray[np.int64]
    mirrored: tuple[bool, ...]
    boxes: tuple[Tensor | None, ...]


@dataclass(frozen=True)
class _TrainPlan:
    T: int
    U: int
    rule: FrameRule
    crop_px: int
    augment: Augment
    seed: int

    def __call__(self, sample: Sample, key: Key) -> tuple[NDArray[np.int64], tuple[Window, ...]]:
        """Augmented: all snippets of a video share one window and one side."""
        epoch, video = key
        rng = np.random.default_rng([self.seed, epoch, _VIDEO, video])
        places_UT = train_places(sample.frames(), self.T, self.U, self.rule, rng, sample.fps())
        return places_UT, (train_window(sample.size_wh(), self.crop_px, self.augment, rng),)


@dataclass(frozen=True)
class _TestPlan:
    T: int
    U: int
    rule: FrameRule
    crop_px: int
    crops: int
    short_side: int | None
    model_U: int | None

    def __call__(self, sample: Sample, key: Key) -> tuple[NDArray[np.int64], tuple[Window, ...]]:
        places_UT = test_places(sample.frames(), self.T, self.U, self.rule, sample.fps(), self.model_U)
        return places_UT, test_windows(sample.size_wh(), self.crop_px, self.crops, self.short_side)


_UNCHANGED, _ALONE, _HERE = Augment(), Shard(), Loading()


class TrainBatches:
    """The training batches of every epoch.

    The order of the videos depends on (seed, epoch). The last, incomplete batch of an epoch is left out. With a shard,
    each rank gets its part of every batch: together they hold what one process would.
    """

    def __init__(
        self,
        split: Split,
        T: int,
        U: int,
        rule: FrameRule,
        crop_px: int,
        batch_videos: int,
        seed: int,
        augment: Augment = _UNCHANGED,
        *,
        shard: Shard = _ALONE,
        loading: Loading = _HERE,
    ) -> None:
        """Raises UserError for a crop larger than a frame, a mirror that changes classes, too few videos."""
        _check_flip(split, augment)
        if augment.crop.kind == "window":
            _check_crop(split, crop_px, augment.short_side and augment.short_side[0])
        if len(split) < batch_videos:
            raise UserError(
                f"batch of {batch_videos} videos, but the {split.name} split has only {len(split)}"
            )
        if batch_videos % shard.world_size:
            raise UserError(
                f"batch of {batch_videos} videos cannot be shared by {shard.world_size} processes"
            )
        self.split, self.batch_videos, self.seed, self.shard = split, batch_videos, seed, shard
        self._mirrored_labels = torch.from_numpy(split.info.mirrored_labels())
        self._swap = augment.flip == "swap"
        self._reader = Reader(split, T, _TrainPlan(T, U, rule, crop_px, augment, seed), loading)

    def __len__(self) -> int:
        return len(self.split) // self.batch_videos

    def epoch(self, e: int, start_step: int = 0) -> Iterator[TrainBatch]:
        """The batches of epoch e from step `start_step` on, the very ones of an undisturbed epoch."""
        order = np.random.default_rng([self.seed, e, _ORDER]).permutation(len(self.split))
        share = self.batch_videos // self.shard.world_size
        firsts = [step * self.batch_videos + self.shard.rank * share for step in range(start_step, len(self))]
        batches = [[(e, int(video)) for video in order[first : first + share]] for first in firsts]
        return map(self._batch, self._reader.run(batches))

    def _batch(self, read: Cut) -> TrainBatch:
        videos = np.array(read.videos, np.int64)
        labels = torch.from_numpy(self.split.labels[videos])
        targets_NK = None
        if self.split.multi_hot is not None:
            targets_NK = torch.from_numpy(self.split.multi_hot[videos])
        if self._swap:
            mirrored = torch.tensor([window.mirrored for (window,) in read.windows])
            labels = torch.where(mirrored, self._mirrored_labels[labels], labels)
            if targets_NK is not None:
                targets_NK = torch.where(mirrored[:, None], targets_NK[:, self._mirrored_labels], targets_NK)
        return TrainBatch(read.x[0], labels, videos, targets_NK, read.boxes[0])


class TestBatches:
    """The test batches: every video once, all its U test snippets, in every crop (to be grouped by `views`).

    With a shard, each rank gets every world_size-th video: together all, none twice.
    """

    __test__ = False  # its name makes pytest take it for a test case

    def __init__(
        self,
        split: Split,
        T: int,
        U: int,
        rule: FrameRule,
        crop_px: int,
        crops: int,
        batch_videos: int,
        short_side: int | None = None,
        *,
        model_U: int | None = None,
        shard: Shard = _ALONE,
        loading: Loading = _HERE,
    ) -> None:
        """short_side: resize to it before the crop. model_U: the U of training, for uniform segments.

        Raises UserError for a crop larger than a frame, or mirrored crops of classes that a mirror destroys.
        """
        if crops == 10 and split.info.flip == "no":
            raise UserError(
                f"10 crops: half of them are mirrored, and a mirror changes classes of {split.info.name!r}; use 1 or 3"
            )
        _check_crop(split, crop_px, short_side)
        self.split, self.crops, self.batch_videos, self.shard = split, crops, batch_videos, shard
        plan = _TestPlan(T, U, rule, crop_px, crops, short_side, model_U)
        self._reader = Reader(split, T, plan, loading)

    def __len__(self) -> int:
        return math.ceil(len(self._own()) / self.batch_videos)

    def _own(self) -> range:
        return range(self.shard.rank, len(self.split), self.shard.world_size)

    def __iter__(self) -> Iterator[CroppedBatch]:
        own = [(0, video) for video in self._own()]
        batches = [own[first : first + self.batch_videos] for first in range(0, len(own), self.batch_videos)]
        for read in self._reader.run(batches):
            mirrored = tuple(window.mirrored for window in read.windows[0])
            yield CroppedBatch(read.x, np.array(read.videos, np.int64), mirrored, read.boxes)


def _check_flip(split: Split, augment: Augment) -> None:
    info = split.info
    if augment.flip and info.flip == "no":
        raise UserError(f"flip: {info.name!r} has classes that a mirror changes; set flip: false")
    if augment.flip is True and info.flip == "swap":
        one, other = (info.class_names[label] for label in info.label_swaps[0])
        raise UserError(
            f"flip: a mirror turns some classes of {info.name!r} into one another ({one!r} and {other!r}); "
            "set flip: swap, which exchanges their labels, or false"
        )
    if augment.flip == "swap" and info.flip == "yes":
        raise UserError(f"flip: no classes of {info.name!r} mirror one another; set flip: true or false")


def _check_crop(split: Split, crop_px: int, short_side: int | None) -> None:
    """The crop must fit into every frame, or into what all are resized to; found now, not in the middle of an epoch."""
    if short_side is not None:
        if short_side < crop_px:
            raise UserError(
                f"crop_px {crop_px} is larger than the short_side {short_side} that frames are resized to"
            )
        return
    for i in range(len(split)):
        width, height = split.sample(i).size_wh()
        if crop_px > min(width, height):
            raise UserError(
                f"crop_px {crop_px} is larger than the {width} x {height} frame of video {split.video_ids[i]}; "
                "resize by short_side, or take a smaller crop"
            )
