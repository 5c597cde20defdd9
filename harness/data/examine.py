"""One video looked at: every frame decoded where it is short, many places where it is long, decoders compared.

Runs in a process of its own (`verify.py`), since native code may spin or crash on a damaged file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.data.decode import VideoError, VideoReader, open_video
from harness.data.decode.pyav import PyavReader, decode_all
from harness.data.manifest import AGREES, BROKEN, OK, SHORT, Entry, stamp

WHOLE_FRAMES = 1000  # longer videos are decoded at PLACES places; a 10-s clip at 60 fps is decoded whole
PLACES = 12
LONG_PLACES = 48
# Elsewhere no check can clear it: the last frames of an mpeg4 avi with B-frames came wrong in 3 of 12 readings of one
# file, by the timing of its threads. mp4, mkv and webm gave the same frames in 240 readings of each of six files.
_DECORD_CONTAINERS = ("mov,mp4", "matroska,webm")
_LEVELS = 6.0  # mean grey levels by which decoders' colours may differ (10-bit, odd sizes); beyond, frames do


def examine(video_id: str, path: Path, name: str, try_decord: bool, every_frame: bool) -> Iterator[Entry]:
    """Yields the entry as the reference decoder finds it, then once more with decord's verdict where it is tried."""
    size, modified = stamp(path)
    blank = Entry(video_id, name, size, modified, BROKEN)
    try:
        look = _frame_folder if path.is_dir() else _video
        entry = look(blank, path, every_frame)
    except VideoError as error:
        yield replace(blank, reason=error.reason)
        return
    yield entry
    if try_decord and entry.status != BROKEN and entry.decoder != "frames":
        yield replace(entry, decord=_decord_verdict(entry, path))


def spread(frames: int, places: int) -> list[int]:
    """So many places of a video, the first and the last among them, in order."""
    return sorted({round(i) for i in np.linspace(0, frames - 1, min(places, frames))})


def _facts(entry: Entry, reader: VideoReader) -> Entry:
    width, height = reader.size_wh
    return replace(
        entry, frames=reader.frames, fps=reader.fps, width=width, height=height, rotation=reader.rotation
    )


def _frame_folder(blank: Entry, path: Path, every_frame: bool) -> Entry:
    reader = open_video(path, "frames")
    whole = every_frame or reader.frames <= WHOLE_FRAMES
    entry = replace(_facts(blank, reader), decoder="frames", status=OK, whole=whole)
    for place in range(reader.frames) if whole else spread(reader.frames, LONG_PLACES):
        reader.read([place])
    return entry


def _video(blank: Entry, path: Path, every_frame: bool) -> Entry:
    reader = PyavReader(path)
    entry = replace(
        _facts(blank, reader), status=OK, decoder="pyav_sequence" if reader.in_sequence else "pyav"
    )
    if reader.frames > WHOLE_FRAMES and not every_frame:
        try:
            reader.read(spread(reader.frames, LONG_PLACES), short_side=64)
            return entry
        except VideoError:
            pass  # which frames it has is then found out by decoding all
    entry = replace(entry, whole=True)
    pts, pictures = decode_all(path, spread(reader.frames, PLACES))
    if reader.in_sequence:
        return entry
    return _by_index_or_not(entry, reader.announced, reader.leading(pts), len(pts), _same(path, pictures))


def _by_index_or_not(entry: Entry, announced: int, leading: int, decoded: int, same: bool) -> Entry:
    """Read by the index where it numbers the frames as the decoder does, up to where they end; else in sequence."""
    status = OK if decoded >= announced else SHORT
    reason = "" if status == OK else f"{decoded} of {announced} frames can be decoded"
    if leading == decoded and same:
        return replace(entry, status=status, reason=reason, frames=leading)
    return replace(entry, status=status, reason=reason, frames=decoded, decoder="pyav_sequence")


def _same(path: Path, pictures: dict[int, NDArray[np.uint8]]) -> bool:
    """Whether a fresh reader, which seeks from key frame to key frame, finds what the decoder gave in sequence."""
    places = sorted(pictures)
    try:
        found = open_video(path).read(places, short_side=64)
    except VideoError:
        return False
    return all(np.array_equal(found[i], pictures[place]) for i, place in enumerate(places))


def _decord_verdict(entry: Entry, path: Path) -> str:
    """`agrees`, or in what decord differs from the reference at spread places and their neighbours."""
    if entry.decoder == "pyav_sequence":
        return "its times do not number its frames"
    reader = PyavReader(path)
    if not reader.container.startswith(_DECORD_CONTAINERS):
        return f"not trusted with {reader.container}"
    try:
        other = open_video(path, "decord")
        if (other.frames, other.size_wh) != (entry.frames, (entry.width, entry.height)):
            return f"counts {other.frames} frames of {other.size_wh[0]} x {other.size_wh[1]}"
        return _compared(reader, other, open_video(path, "decord"))
    except VideoError as error:
        return error.reason or "an error"


def _compared(reference: VideoReader, forwards: VideoReader, backwards: VideoReader) -> str:
    """Frames of one reader in order, of another from the end, so that it must seek: each must be the reference's
    frame of that place, and no nearer to a neighbour."""
    last = reference.frames - 1
    places = spread(reference.frames, PLACES)
    near = {place: sorted({max(0, place - 1), place, min(last, place + 1)}) for place in places}
    looked_at = sorted({n for own in near.values() for n in own})
    ours = dict(zip(looked_at, reference.read(looked_at), strict=True))
    one_by_one = [backwards.read([place])[0] for place in places[::-1]]  # a read of several goes forwards
    for theirs in (forwards.read(places), one_by_one[::-1]):
        for place, frame in zip(places, theirs, strict=True):
            distance = {n: float(np.abs(frame.astype(np.int16) - ours[n]).mean()) for n in near[place]}
            if distance[place] > min(_LEVELS, *distance.values()):
                return f"another frame at {place}"
    return AGREES
