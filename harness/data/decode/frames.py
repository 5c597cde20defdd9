"""A folder of pictures as a video: sorted by number, without a gap, counted by looking."""

from __future__ import annotations

import os
import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.data.decode.base import Places, VideoError, checked_places, one_line, resized_wh

if TYPE_CHECKING:
    from PIL import Image

_PICTURE = re.compile(r"^(?P<stem>.*?)(?P<number>\d+)\.(?:jpe?g|png|webp)$", re.IGNORECASE)
_NOT_A_FRAME = re.compile(r"^(?:\.|flow[_-]|thumbs\.db$|\d+-[xy]_)", re.IGNORECASE)


class FrameFolderReader:
    """A `VideoReader` over a folder of jpg, png or webp pictures. `fps` is what the caller knows, 0 for unknown."""

    def __init__(self, path: Path | str, fps: float = 0) -> None:
        self.path, self.fps, self.rotation = Path(path), float(fps), 0
        self._pictures = list_frames(self.path)
        self.frames = len(self._pictures)
        self.size_wh: tuple[int, int] = self._open(0).size

    def read(self, indices: Places, short_side: int | None = None) -> NDArray[np.uint8]:
        """See `VideoReader.read`. (F, H, W, 3) uint8; bilinear where it resizes."""
        wanted = checked_places(self.path, indices, self.frames)
        size_wh = resized_wh(self.size_wh, short_side)
        frames_FHW3 = np.empty((len(wanted), size_wh[1], size_wh[0], 3), np.uint8)
        decoded: dict[int, NDArray[np.uint8]] = {}
        for slot, place in enumerate(wanted):
            if place not in decoded:
                decoded[place] = self._picture(place, size_wh)
            frames_FHW3[slot] = decoded[place]
        return frames_FHW3

    def close(self) -> None:
        """Nothing is held open."""

    def _open(self, place: int) -> Image.Image:
        from PIL import Image

        path = self.path / self._pictures[place]
        try:
            return Image.open(path)
        except (OSError, SyntaxError) as error:
            raise VideoError(path, one_line(error)) from None

    def _picture(self, place: int, size_wh: tuple[int, int]) -> NDArray[np.uint8]:
        from PIL import Image

        path = self.path / self._pictures[place]
        with self._open(place) as picture:
            if picture.size != self.size_wh:
                raise VideoError(path, f"is {picture.size}, the folder's first picture is {self.size_wh}")
            try:
                rgb = picture.convert("RGB")
            except (OSError, SyntaxError, ValueError) as error:
                raise VideoError(path, one_line(error)) from None
        return np.asarray(rgb if rgb.size == size_wh else rgb.resize(size_wh, Image.Resampling.BILINEAR))


def list_frames(folder: Path) -> list[str]:
    """File names of a folder's frames in order. Optical flow, Thumbs.db and hidden files are not frames.

    Raises VideoError where there is no folder or no picture, where a number is missing or stands twice, or where
    the names follow two patterns.
    """
    if not folder.is_dir():
        raise VideoError(folder, "no such folder of frames")
    names = [name for name in os.listdir(folder) if not _NOT_A_FRAME.match(name)]  # noqa: PTH208 - names alone
    found = [(m["stem"], int(m["number"]), name) for name in names if (m := _PICTURE.match(name))]
    if not found:
        raise VideoError(folder, "no numbered jpg, png or webp pictures in this folder")
    stems = sorted({stem for stem, _, _ in found})
    if len(stems) > 1:
        raise VideoError(folder, f"pictures of two patterns, {stems[0]}… and {stems[1]}…, in one folder")
    found.sort(key=lambda entry: entry[1])
    numbers = [number for _, number, _ in found]
    for before, number in pairwise(numbers):
        if number == before:
            raise VideoError(folder, f"picture {number} stands twice")
        if number != before + 1:
            raise VideoError(folder, f"picture {before + 1} is missing ({before} and {number} are there)")
    return [name for _, _, name in found]
