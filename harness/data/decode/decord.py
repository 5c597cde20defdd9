"""decord as a second decoder: quick on dense reads, and only for files on which `verify` found it right."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.decode.base import Places, VideoError, checked_places, one_line, resized_wh


class DecordReader:
    """A `VideoReader` over decord, one thread. It rotates by itself and does not say by how much (`rotation` 0).

    It may spin for ever in native code on a damaged file; nothing in this process can stop it then.
    """

    def __init__(self, path: Path | str) -> None:
        self.path, self.rotation = Path(path), 0
        if not self.path.is_file():
            raise VideoError(self.path, "no such video file")
        self._reader = self._open(-1, -1)
        self._reader_wh = (-1, -1)
        self.frames = len(self._reader)
        self.fps = float(self._reader.get_avg_fps())

    @cached_property
    def size_wh(self) -> tuple[int, int]:
        """Learnt by decoding a frame, which a read at the file's own size need not pay for."""
        height, width, _ = self._frames([0]).shape[1:] if self.frames else (0, 0, 3)
        return width, height

    def read(self, indices: Places, short_side: int | None = None) -> NDArray[np.uint8]:
        """See `VideoReader.read`. (F, H, W, 3) uint8; FFmpeg's bicubic where it resizes."""
        wanted = checked_places(self.path, indices, self.frames)
        size_wh = (-1, -1) if short_side is None else resized_wh(self.size_wh, short_side)
        if size_wh != self._reader_wh:
            self._reader, self._reader_wh = self._open(*size_wh), size_wh
        return self._frames(wanted)

    def close(self) -> None:
        """Free the reader: an open one keeps decoding ahead into memory."""
        del self._reader

    def _open(self, width: int, height: int) -> Any:
        import decord

        decord.logging.set_level(decord.logging.QUIET)  # what it would print is in the exception
        try:
            path = os.path.abspath(self.path)  # noqa: PTH100 - resolve() would follow links
            return decord.VideoReader(path, ctx=decord.cpu(0), width=width, height=height, num_threads=1)
        except Exception as error:  # RuntimeError, DECORDError and plain Exception alike
            raise VideoError(self.path, one_line(error)) from None

    def _frames(self, wanted: list[int]) -> NDArray[np.uint8]:
        """Each frame decoded once, in order: for every step back decord decodes again from a key frame, and snippets
        overlap (8x8 from a clip of 300 frames took 3.5 times as long)."""
        places, which = np.unique(wanted, return_inverse=True)
        try:
            frames_FHW3: NDArray[np.uint8] = self._reader.get_batch(places.tolist()).asnumpy()
        except Exception as error:  # as above
            raise VideoError(self.path, one_line(error)) from None
        return frames_FHW3 if places.tolist() == wanted else frames_FHW3[which]
