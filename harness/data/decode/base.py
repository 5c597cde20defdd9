"""What every decoder gives, and what all of them share: the error, the check of places, the resized size."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harness.base.errors import UserError

Places = Sequence[int] | NDArray[np.int64]


class VideoError(UserError):
    """A video that cannot be read: `path` and `reason`."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = Path(path), reason

    def __reduce__(self) -> tuple[type[VideoError], tuple[Path, str]]:
        return VideoError, (self.path, self.reason)  # so that it survives the way back from a worker process


class VideoReader(Protocol):
    """An open video. Frames are counted from 0 in the order in which a player shows them, upright.

    frames: how many there are by the file's index; only decoding proves them (`harness data verify`).
    fps: the average rate, 0 where nobody says it. size_wh: width and height as shown, so after rotation.
    rotation: counter-clockwise degrees that make the stored picture upright; already applied to what is read.
    """

    @property
    def frames(self) -> int: ...

    @property
    def fps(self) -> float: ...

    @property
    def size_wh(self) -> tuple[int, int]: ...

    @property
    def rotation(self) -> int: ...

    def read(self, indices: Places, short_side: int | None = None) -> NDArray[np.uint8]:
        """The frames at these places (any order, repeats allowed), RGB, (F, H, W, 3).

        short_side: pixels of the shorter side after resizing, the aspect ratio kept to the pixel.
        Raises VideoError for a place that the video has not got or that cannot be decoded.
        """
        ...

    def close(self) -> None:
        """Give the file back."""
        ...


def checked_places(path: Path, indices: Places, frames: int) -> list[int]:
    """The places as a list of int. Raises VideoError where the video has not got them."""
    wanted = [int(i) for i in indices]
    outside = [i for i in wanted if not 0 <= i < frames]
    if outside:
        raise VideoError(path, f"frame {outside[0]} was asked for, but the video has {frames} frames")
    return wanted


def resized_wh(size_wh: tuple[int, int], short_side: int | None) -> tuple[int, int]:
    """Width and height with so many pixels on the shorter side; as they are where short_side is None."""
    if short_side is None:
        return size_wh
    factor = short_side / min(size_wh)
    return max(1, round(size_wh[0] * factor)), max(1, round(size_wh[1] * factor))


def one_line(error: BaseException) -> str:
    """An error in one line, without the clock, source lines and native stack that decord adds to its own."""
    text = getattr(error, "strerror", None) or str(error)
    lines = str(text).strip().splitlines() or [type(error).__name__]
    return re.sub(r"\[[\d:]+\] \S+:\d+: ", "", lines[0])
