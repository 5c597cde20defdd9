"""Batches straight from the memory map, as `x_NUCTHW` uint8 (design.md, "Contracts")."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from harness.base.errors import UserError
from harness.data.dataset import Split
from harness.data.sampling import test_snippets, train_snippets
from harness.data.views import crop_offsets

# Third entry of a seed: keeps the draws of the order and of the videos apart.
_ORDER, _VIDEO = 0, 1


class TrainBatches:
    """The training batches of every epoch.

    What a video shows in an epoch (its snippets, its window) depends on (seed, epoch, video) alone and the
    order of the videos on (seed, epoch), never on what was drawn before: going on at epoch e after a crash
    gives the very batches of an undisturbed run. The last, incomplete batch of an epoch is left out.
    """

    def __init__(  # noqa: PLR0917 - T, U, interval and crop come in the order of every table
        self,
        split: Split,
        T: int,
        U: int,
        interval: int,
        crop_px: int,
        batch_videos: int,
        seed: int,
        horizontal_flip: bool = False,
    ) -> None:
        _check_crop(split, crop_px)
        if len(split) < batch_videos:
            raise UserError(
                f"batch of {batch_videos} videos, but the {split.name} split has only {len(split)}"
            )
        self.split, self.T, self.U, self.interval = split, T, U, interval
        self.crop_px, self.batch_videos, self.seed = crop_px, batch_videos, seed
        self.horizontal_flip = horizontal_flip

    def __len__(self) -> int:
        return len(self.split) // self.batch_videos

    def epoch(self, e: int) -> Iterator[tuple[torch.Tensor, torch.Tensor, NDArray[np.int64]]]:
        """Yields (x_NUCTHW uint8, labels (N,) int64, indices (N,) of the videos in the split)."""
        order = np.random.default_rng([self.seed, e, _ORDER]).permutation(len(self.split))
        for step in range(len(self)):
            videos = order[step * self.batch_videos : (step + 1) * self.batch_videos]
            shape = (len(videos), self.U, 3, self.T, self.crop_px, self.crop_px)
            x_NUCTHW = np.empty(shape, np.uint8)
            for n, video in enumerate(videos):
                self._fill(x_NUCTHW[n], int(video), e)
            yield torch.from_numpy(x_NUCTHW), torch.from_numpy(self.split.labels[videos]), videos

    def _fill(self, x_UCTHW: NDArray[np.uint8], video: int, e: int) -> None:
        """One video, augmented: all its snippets share one window and one side."""
        rng = np.random.default_rng([self.seed, e, _VIDEO, video])
        indices_UT = train_snippets(int(self.split.lengths[video]), self.T, self.U, self.interval, rng)
        _, height, width, _ = self.split.frames_FHW3.shape
        corner = int(rng.integers(width - self.crop_px + 1)), int(rng.integers(height - self.crop_px + 1))
        _gather(x_UCTHW, self.split.frames(video), indices_UT, corner)
        if self.horizontal_flip and rng.random() < 0.5:
            x_UCTHW[:] = x_UCTHW[..., ::-1].copy()


class TestBatches:
    """The test batches: every video, all U test snippets of one crop together (to be grouped by `views`)."""

    __test__ = False  # its name makes pytest take it for a test case

    def __init__(  # noqa: PLR0917 - as in TrainBatches
        self, split: Split, T: int, U: int, interval: int, crop_px: int, crops: int, batch_videos: int
    ) -> None:
        _check_crop(split, crop_px)
        _, height, width, _ = split.frames_FHW3.shape
        self.split, self.T, self.U, self.interval = split, T, U, interval
        self.crop_px, self.batch_videos = crop_px, batch_videos
        self.corners = crop_offsets(width, height, crop_px, crops)

    def __len__(self) -> int:
        return -(-len(self.split) // self.batch_videos) * len(self.corners)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, NDArray[np.int64], int]]:
        """Yields (x_NUCTHW uint8, indices (N,) of the videos in the split, number of the crop)."""
        for first in range(0, len(self.split), self.batch_videos):
            videos = np.arange(first, min(first + self.batch_videos, len(self.split)))
            for crop, corner in enumerate(self.corners):
                yield torch.from_numpy(self._batch(videos, corner)), videos, crop

    def _batch(self, videos: NDArray[np.int64], corner: tuple[int, int]) -> NDArray[np.uint8]:
        x_NUCTHW = np.empty((len(videos), self.U, 3, self.T, self.crop_px, self.crop_px), np.uint8)
        for n, video in enumerate(videos):
            indices_UT = test_snippets(int(self.split.lengths[video]), self.T, self.U, self.interval)
            _gather(x_NUCTHW[n], self.split.frames(video), indices_UT, corner)
        return x_NUCTHW


def _check_crop(split: Split, crop_px: int) -> None:
    _, height, width, _ = split.frames_FHW3.shape
    if crop_px > min(width, height):
        raise UserError(f"crop_px {crop_px} is larger than the dataset's {width} x {height} frames")


def _gather(
    x_UCTHW: NDArray[np.uint8],
    frames_LHW3: NDArray[np.uint8],
    indices_UT: NDArray[np.int64],
    corner: tuple[int, int],
) -> None:
    """Copy one video's frames and window into a batch, colour planes apart."""
    x, y = corner
    side = x_UCTHW.shape[-1]
    window_LHW3 = frames_LHW3[:, y : y + side, x : x + side]
    x_UCTHW[:] = window_LHW3[indices_UT].transpose(0, 4, 1, 2, 3)
