"""Frames that are right: one small interface over PyAV (the reference), decord and folders of pictures."""

from __future__ import annotations

from pathlib import Path

from harness.base.errors import UserError, near_match
from harness.data.decode.base import Places, VideoError, VideoReader

DECODERS = ("pyav", "pyav_sequence", "decord", "frames")

__all__ = ["DECODERS", "Places", "VideoError", "VideoReader", "open_video"]


def open_video(path: Path | str, decoder: str = "pyav") -> VideoReader:
    """Open a video file, or a folder of pictures, which only `frames` reads.

    decoder: pyav (by index), pyav_sequence (numbers frames as they are decoded, for files whose times lie), decord.
    Raises VideoError where the file is missing or broken, UserError for an unknown decoder.
    """
    if decoder == "frames" or Path(path).is_dir():
        from harness.data.decode.frames import FrameFolderReader

        return FrameFolderReader(path)
    if decoder in {"pyav", "pyav_sequence"}:
        from harness.data.decode.pyav import PyavReader

        return PyavReader(path, in_sequence=decoder == "pyav_sequence")
    if decoder == "decord":
        from harness.data.decode.decord import DecordReader

        return DecordReader(path)
    raise UserError(
        f"unknown decoder {decoder!r}{near_match(decoder, DECODERS)}; known: {', '.join(DECODERS)}"
    )
