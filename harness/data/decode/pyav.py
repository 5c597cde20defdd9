"""The reference decoder: PyAV, by an index of the packets' times, in sequence where the index cannot be trusted.

Seeking by frame number is what decoders get wrong without an error (open groups of pictures, edit lists, negative
starts, B-frames in avi and MPEG-TS). Here the file is read once without decoding; frame i is the i-th smallest
time among the packets that are shown. A wanted frame is reached from the key frame one before the last one at or
ahead of it, since pictures behind a key frame may lean on what came before it, and counts as found only when a
decoded frame has exactly its time. `in_sequence` numbers the frames as they leave the decoder instead: slow, and
right by construction.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from harness.data.decode.base import Places, VideoError, checked_places, one_line, resized_wh

# VP8, RFC 6386 section 9.1: an alternate reference is a packet of its own that is never shown.
_SHOW_FRAME = 0x10


class _TimesLieError(Exception):
    """Frames left the decoder in another order than their times say."""


class PyavReader:
    """A `VideoReader` over FFmpeg. Only wanted frames are converted and kept; one thread."""

    def __init__(self, path: Path | str, in_sequence: bool = False) -> None:
        self.path = Path(path)
        self._position: int | None = None  # time of the frame that was decoded last
        self._last: Any = None  # that frame
        self._open()
        pts, self._hidden, self._key_pts = self._index()
        first = self._first_frame()
        self.codec: str = self._stream.codec_context.name
        self.container: str = self._container.format.name  # as FFmpeg calls it: "matroska,webm"
        self.fps = float(self._stream.average_rate or self._stream.guessed_rate or 0)
        self._turn = _turn_of(first)
        self.rotation = int(first.rotation) % 360
        self.size_wh = (first.height, first.width) if self._turn[0] else (first.width, first.height)
        delay = bool(getattr(self._stream.codec_context, "has_b_frames", False))
        self.in_sequence = in_sequence or not _times_hold(pts, first.pts, delay)
        self._pts: list[int] = [] if self.in_sequence else sorted(p for p in pts if p is not None)

    @cached_property
    def frames(self) -> int:
        """By the index; where it is not to be trusted all frames are decoded to count them, once and when asked."""
        return sum(1 for _ in self._from_start()) if self.in_sequence else len(self._pts)

    @property
    def announced(self) -> int:
        """Frames by the header, where it says more than there are: the file was cut off."""
        return max(self.frames, self._stream.frames - self._hidden)

    def read(self, indices: Places, short_side: int | None = None) -> NDArray[np.uint8]:
        """See `VideoReader.read`. (F, H, W, 3) uint8."""
        wanted = [int(i) for i in indices]
        if not self.in_sequence or min(wanted, default=0) < 0:
            checked_places(self.path, wanted, self.frames)
        try:
            return self._read(wanted, short_side)
        except _TimesLieError:
            self.in_sequence = True
            self.__dict__.pop("frames")
            return self._read(wanted, short_side)

    def _read(self, wanted: Sequence[int], short_side: int | None) -> NDArray[np.uint8]:
        width, height = resized_wh(self.size_wh, short_side)
        frames_FHW3 = np.empty((len(wanted), height, width, 3), np.uint8)
        slots: dict[int, list[int]] = {}
        for slot, place in enumerate(wanted):
            slots.setdefault(place, []).append(slot)
        for place, frame in self._find(sorted(slots)):
            frames_FHW3[slots.pop(place)] = self._picture(frame, width, height)
        if slots:
            checked_places(self.path, wanted, self.frames)
            raise VideoError(self.path, f"frame {min(slots)} of {self.frames} cannot be decoded")
        return frames_FHW3

    def pictures(self, width: int, height: int) -> Iterator[NDArray[np.uint8]]:
        """Every frame that can be decoded, in order, upright, (H, W, 3)."""
        for frame in self._from_start():
            yield self._picture(frame, width, height)

    def leading(self, decoded_pts: Sequence[int | None]) -> int:
        """How many frames from the first on are among the decoded ones, by their times."""
        there = set(decoded_pts)
        return next((i for i, pts in enumerate(self._pts) if pts not in there), len(self._pts))

    def close(self) -> None:
        """Give the file back."""
        self._container.close()

    def _open(self) -> None:
        """Open the file anew and choose its stream. An absolute path is never taken for a URL."""
        if not self.path.is_file():
            raise VideoError(self.path, "no such video file")
        try:
            options = {"protocol_whitelist": "file"}  # a playlist in disguise must not reach for the network
            self._container: Any = av.open(os.path.abspath(self.path), options=options)  # noqa: PTH100
        except (av.FFmpegError, OSError, ValueError) as error:
            raise VideoError(self.path, one_line(error)) from None
        self._stream = _best_stream(self._container, self.path)
        self._stream.codec_context.thread_count = 1
        self._frames: Iterator[Any] = iter(())

    def _index(self) -> tuple[list[int | None], int, list[int]]:
        """Times of the packets that are shown, in file order; how many are not; times of all key packets, sorted."""
        shown: list[int | None] = []
        not_shown = 0
        keys: list[int] = []
        is_vp8 = self._stream.codec_context.name == "vp8"
        try:
            for packet in self._container.demux(self._stream):
                if packet.size == 0:
                    continue
                if packet.is_keyframe and packet.pts is not None:
                    keys.append(packet.pts)
                if packet.is_discard or (is_vp8 and not memoryview(packet)[0] & _SHOW_FRAME):
                    not_shown += 1
                else:
                    shown.append(packet.pts)
        except (av.FFmpegError, OSError) as error:
            if not shown:
                raise VideoError(self.path, one_line(error)) from None
            # A file that was cut off: what comes before the cut is indexed.
        return shown, not_shown, sorted(keys)

    def _first_frame(self) -> Any:
        """By rewinding, which spares an open; where that gives nothing, from a file opened anew."""
        frame = None
        if self._key_pts and self._approach(self._key_pts[0]):
            frame = next(self._frames, None)
        if frame is None:
            self._frames = self._from_start()
            frame = next(self._frames, None)
        if frame is None:
            raise VideoError(self.path, "no frame can be decoded")
        self._position, self._last = frame.pts, frame
        return frame

    def _find(self, places: Sequence[int]) -> Iterator[tuple[int, Any]]:
        """(place, frame) for the sorted places; a place that cannot be decoded is left out."""
        if self.in_sequence:
            yield from _pick(enumerate(self._from_start()), places, places)
            return
        missing = []
        for place in places:
            frame = self._at(self._pts[place])
            if frame is None:
                missing.append(place)
            else:
                yield place, frame
        if missing:  # the container seeks wrongly, or the file is damaged: look once more from the start
            decoded = ((frame.pts, frame) for frame in self._from_start())
            yield from _pick(decoded, [self._pts[place] for place in missing], missing)
            self._frames = iter(())

    def _at(self, pts: int) -> Any | None:
        """The frame of exactly this time, or None where it does not come by from its key frame on."""
        if self._position == pts:
            return self._last
        if not self._approach(pts):
            return None
        for frame in self._frames:
            if frame.pts is None or (self._position is not None and frame.pts <= self._position):
                raise _TimesLieError
            self._position, self._last = frame.pts, frame
            if frame.pts >= pts:
                return frame if frame.pts == pts else None
        self._position = None
        return None

    def _approach(self, pts: int) -> bool:
        """Go on decoding where the wanted frame is near, else seek; False where the container cannot."""
        key = self._key_pts[max(0, bisect_right(self._key_pts, pts) - 2)] if self._key_pts else self._pts[0]
        if self._position is not None and key <= self._position < pts:
            return True
        self._position = None
        try:
            self._container.seek(key, stream=self._stream)
        except (av.FFmpegError, OSError):
            return False
        self._frames = _decoded(self._container, self._stream)
        return True

    def _from_start(self) -> Iterator[Any]:
        """All frames that can be decoded, in order, from a file that is opened anew (not all formats can rewind)."""
        self.close()
        self._open()
        self._position = self._last = None
        return _decoded(self._container, self._stream)

    def _picture(self, frame: Any, width: int, height: int) -> NDArray[np.uint8]:
        transposed, _, _ = self._turn
        stored_wh = (height, width) if transposed else (width, height)
        stored_HW3 = frame.to_ndarray(format="rgb24", width=stored_wh[0], height=stored_wh[1])
        return _upright(stored_HW3, self._turn)


def decode_all(
    path: Path | str, places: Sequence[int], short_side: int = 64
) -> tuple[list[int | None], dict[int, NDArray[np.uint8]]]:
    """Every frame decoded in sequence: their times, and small pictures (H, W, 3) of the frames at these places."""
    reader = PyavReader(path)
    times: list[int | None] = []
    pictures: dict[int, NDArray[np.uint8]] = {}
    wanted = set(places)
    for place, frame in enumerate(reader._from_start()):
        times.append(frame.pts)
        if place in wanted:
            pictures[place] = reader._picture(frame, *resized_wh(reader.size_wh, short_side))
    reader.close()
    return times, pictures


def _times_hold(pts: Sequence[int | None], first: int | None, delay: bool) -> bool:
    """Whether the packets' times number the frames: none missing or twice, the first one decoded, and reordered
    where the decoder says that the stream has B-frames (avi, asf and mxf give the order of decoding instead)."""
    known = [p for p in pts if p is not None]
    if not known or len(known) != len(pts) or len(set(known)) != len(known) or min(known) != first:
        return False
    return not (delay and known == sorted(known) and len(known) > 1)


def _best_stream(container: Any, path: Path) -> Any:
    """The video stream with the largest picture, the first of equals; never a cover picture."""
    cover = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & cover]
    if not streams:
        raise VideoError(path, "no video stream")
    readable = [s for s in streams if s.codec_context is not None]
    if not readable:
        raise VideoError(path, "no decoder for its video stream")
    return max(readable, key=lambda s: s.codec_context.width * s.codec_context.height)


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    """Frames from where the container stands. A packet that cannot be decoded is passed over: its frame is missing
    by its time, and whoever asked for it is told. A file that ends early ends the frames."""
    try:
        for packet in container.demux(stream):
            try:
                yield from packet.decode()
            except av.FFmpegError:
                continue
    except (av.FFmpegError, OSError):
        try:
            yield from stream.decode(None)
        except (av.FFmpegError, OSError):
            return


def _pick(
    numbered: Iterator[tuple[Any, Any]], keys: Sequence[int], places: Sequence[int]
) -> Iterator[tuple[int, Any]]:
    """(place, frame) where a number is one of `keys` (sorted as places are); stops behind the last one."""
    place_of = dict(zip(keys, places, strict=True))
    for number, frame in numbered:
        if number in place_of:
            yield place_of.pop(number), frame
        if not place_of:
            return


Turn = tuple[bool, bool, bool]


def _turn_of(frame: Any) -> Turn:
    """How the stored picture becomes the shown one: transpose, then turn rows round, then columns.

    The display matrix sends a stored (x, y) to (a x + c y, b x + d y). It may mirror, which an angle cannot say.
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return False, False, False
    m = np.frombuffer(bytes(matrix), np.int32).reshape(3, 3)
    a, b, c, d = (int(v) for v in (m[0, 0], m[0, 1], m[1, 0], m[1, 1]))
    if abs(b) > abs(a):
        return True, b < 0, c < 0
    return False, d < 0, a < 0


def _upright(stored_HW3: NDArray[np.uint8], turn: Turn) -> NDArray[np.uint8]:
    transposed, rows, columns = turn
    shown = stored_HW3.swapaxes(0, 1) if transposed else stored_HW3
    return shown[:: -1 if rows else 1, :: -1 if columns else 1]
