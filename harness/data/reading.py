"""Reading videos batch by batch, in this process or by workers that read ahead."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from harness.base.errors import UserError
from harness.data.augment import Window, boxes_through, cut
from harness.data.dataset import Sample, Split
from harness.data.video import VideoError

Key = tuple[int, int]
"""Epoch, and the video's place in the split."""
Plan = Callable[[Sample, Key], tuple[NDArray[np.int64], tuple[Window, ...]]]
"""Which frames (U, T) of a video are shown, through which windows."""


@dataclass(frozen=True)
class Loading:
    """How videos are read. Nothing here changes a batch, but for `device`, by a grey level where it resizes.

    workers: processes that read ahead; 0 reads in this process (the embedded dataset: a batch is a copy in memory).
    device: cut and resize there, on whole frames uploaded as uint8, in place of the workers ("cuda"); None: in the
    workers, the batch stays on the CPU. pin: page-locked memory, for an upload that does not wait; with CUDA only.
    timeout_s: how long one batch may take before its videos are named and the run stops; with workers only.
    """

    workers: int = 0
    device: str | None = None
    pin: bool = False
    timeout_s: float = 600
    prefetch: int = 2


class Read(NamedTuple):
    """What a worker hands over: per video frames (U·T, H, W, 3), windows and, per window, boxes (U·T, R, 4)."""

    videos: list[int]
    frames: list[Tensor]
    windows: list[tuple[Window, ...]]
    boxes: list[tuple[Tensor, ...]] | None


class Cut(NamedTuple):
    """The same after cutting: x_NUCTHW and boxes_NUTR4 of every window."""

    videos: list[int]
    windows: list[tuple[Window, ...]]
    x: tuple[Tensor, ...]
    boxes: tuple[Tensor | None, ...]


class _Failure(NamedTuple):
    """An error on its way out of a worker; torch would wrap it in a traceback."""

    error: UserError


@dataclass(frozen=True)
class _Videos:
    """The loader's dataset: a list of keys is a whole batch."""

    split: Split
    T: int
    plan: Plan
    on_device: bool

    def __getitems__(self, keys: list[Key]) -> Read | Cut | _Failure:
        try:
            read = self._read(keys)
        except UserError as error:
            return _Failure(error)
        return read if self.on_device else cut_batch(read, self.T)

    def _read(self, keys: list[Key]) -> Read:
        shown = [self._one(self.split.sample(video), (epoch, video)) for epoch, video in keys]
        frames, windows, boxes = (list(column) for column in zip(*shown, strict=True))
        return Read([video for _, video in keys], frames, windows, boxes if boxes[0] else None)

    def _one(self, sample: Sample, key: Key) -> tuple[Tensor, tuple[Window, ...], tuple[Tensor, ...]]:
        try:
            places_UT, windows = self.plan(sample, key)
            places = places_UT.reshape(-1)
            frames_FHW3 = sample.read(places)
        except VideoError:
            raise  # names its file
        except UserError as error:
            raise UserError(f"video {sample.video_id} of the {self.split.name} split: {error}") from None
        width, height = sample.size_wh()
        if frames_FHW3.shape != (len(places), height, width, 3):
            raise UserError(
                f"video {sample.video_id} of the {self.split.name} split: its frames are {frames_FHW3.shape}, "
                f"not {(len(places), height, width, 3)} as its entry says; run `harness data verify`"
            )
        if sample.boxes is None:
            return torch.from_numpy(frames_FHW3), windows, ()
        boxes_FR4 = sample.boxes(places)
        inside = (boxes_through(boxes_FR4, (width, height), window) for window in windows)
        return torch.from_numpy(frames_FHW3), windows, tuple(map(torch.from_numpy, inside))


def cut_batch(read: Read, T: int, device: str | None = None) -> Cut:
    """Frames through their windows into one array a window, colour planes apart; on `device`."""
    videos, crops = len(read.videos), len(read.windows[0])
    side, U = read.windows[0][0].out_px, len(read.frames[0]) // T
    x = [torch.empty((videos, U, 3, T, side, side), dtype=torch.uint8, device=device) for _ in range(crops)]
    for n, (frames_FHW3, windows) in enumerate(zip(read.frames, read.windows, strict=True)):
        uploaded = frames_FHW3.to(device, non_blocking=True) if device else frames_FHW3
        for x_NUCTHW, shown_F3SS in zip(x, cut(uploaded, windows), strict=True):
            x_NUCTHW[n] = shown_F3SS.view(U, T, 3, side, side).transpose(1, 2)
    boxes: list[Tensor | None] = [None] * crops
    if read.boxes is not None:
        boxes = [torch.stack(of_window).unflatten(1, (U, T)) for of_window in zip(*read.boxes, strict=True)]
    return Cut(read.videos, read.windows, tuple(x), tuple(boxes))


class _Current:
    """The batch sampler: whatever batches are to be read now.

    It knows nothing of its reader: a circle would leave ending the workers to the garbage collector, which may run
    in a newly forked worker and wait there.
    """

    def __init__(self) -> None:
        self.batches: list[list[Key]] = []

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class Reader:
    """Runs a list of batches through torch's loader; its workers stay for the next list."""

    def __init__(self, split: Split, T: int, plan: Plan, loading: Loading) -> None:
        self._videos, self._loading = _Videos(split, T, plan, loading.device is not None), loading
        self._current, self._turn = _Current(), 0

    @cached_property
    def _loader(self) -> DataLoader[Any]:
        workers = self._loading.workers
        return DataLoader(
            self._videos,  # type: ignore[arg-type]  # has __getitems__, all that the loader calls
            batch_sampler=self._current,  # type: ignore[arg-type]
            collate_fn=_as_it_is,
            num_workers=workers,
            persistent_workers=workers > 0,
            prefetch_factor=self._loading.prefetch if workers else None,
            timeout=self._loading.timeout_s if workers else 0,
            pin_memory=self._loading.pin and torch.cuda.is_available(),
            # Its own: by default the loader draws a number from torch's global state, on which training depends.
            generator=torch.Generator().manual_seed(0),
        )

    def run(self, batches: list[list[Key]]) -> Iterator[Cut]:
        """The batches in order. Raises the UserError of the first video that cannot be read."""
        self._turn += 1
        turn, self._current.batches = self._turn, batches
        found = self._begun()
        for keys in batches:
            if turn != self._turn:
                raise RuntimeError("another pass over these batches was begun before this one ended")
            read = self._next(found, keys)
            if isinstance(read, _Failure):
                self.close()
                del found  # the error's traceback would keep it, and its workers with it
                raise read.error
            yield cut_batch(read, self._videos.T, self._loading.device) if isinstance(read, Read) else read

    def _begun(self) -> Iterator[Any]:
        """The loader's next pass; its first one forks the workers.

        They must not collect what was garbage in this process by then: the threads of a decoder or a scaler, and the
        workers of a dead loader, do not exist in a worker, which would wait for them for ever.
        """
        gc.freeze()
        try:
            return iter(self._loader)
        finally:
            gc.unfreeze()

    def _next(self, found: Iterator[Any], keys: list[Key]) -> Any:
        try:
            return next(found)
        except RuntimeError as error:
            if "DataLoader" not in str(error):
                raise
            self._kill(found)
            names = [self._videos.split.video_ids[video] for _, video in keys]
            raise UserError(
                f"reading stopped ({str(error).splitlines()[0].strip()}) while waiting for these videos of the "
                f"{self._videos.split.name} split: {', '.join(names[:8])}{' …' if len(names) > 8 else ''}; a file "
                "may hang its decoder (`harness data verify` finds it), or memory ran out (fewer workers)"
            ) from None

    def _kill(self, found: Iterator[Any]) -> None:
        """A worker stuck in native code ignores a polite end, and the process would wait for it for ever."""
        for worker in getattr(found, "_workers", ()):
            worker.kill()
        self.close()

    def close(self) -> None:
        """End the workers; another pass starts new ones."""
        self.__dict__.pop("_loader", None)


def _as_it_is(batch: Any) -> Any:
    return batch
