"""Reading and writing video files: the one reader of the embedded and of all real datasets."""

from __future__ import annotations

import ctypes
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from harness.base.errors import UserError

M_PERTURB = -6  # of glibc's malloc.h
# One thread, no B-frames and no scene cuts: the same frames give the same bytes, and seeking stays simple.
X264_OPTIONS = {"crf": "20", "preset": "veryfast", "g": "16", "bf": "0", "threads": "1", "sc_threshold": "0"}


class VideoError(UserError):
    """A video file that cannot be read: `path` and `reason`."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = Path(path), reason

    def __reduce__(self) -> tuple[type[VideoError], tuple[Path, str]]:
        return VideoError, (self.path, self.reason)  # so that it survives the way back from a worker process


@dataclass(frozen=True)
class VideoProbe:
    """What a file's header says. `frames` is 0 where the header does not count them."""

    frames: int
    width: int
    height: int
    fps: float
    codec: str


@contextmanager
def _zeroed_memory() -> Iterator[None]:
    """New memory of this process holds zeros (glibc's M_PERTURB); elsewhere than on glibc nothing is done."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        yield
        return
    mallopt(M_PERTURB, 0xFF)  # what is allocated is filled with the complement
    try:
        yield
    finally:
        mallopt(M_PERTURB, 0)


def encode_mp4(frames_LHW3: NDArray[np.uint8], fps: int) -> bytes:
    """An H.264 mp4 file, in memory; the same frames always give the same bytes (of one libx264 version).

    Where a side is no multiple of 16, libx264 lets memory that it never wrote into its decisions: at 38x32 and
    32x24 up to 8 % of a video's encodings differed from the usual one, by up to 37 grey levels, and none of
    2,500 did with that memory zeroed.
    """
    with _zeroed_memory():
        return _encode(frames_LHW3, fps)


def _encode(frames_LHW3: NDArray[np.uint8], fps: int) -> bytes:
    buffer = io.BytesIO()
    _, height, width, _ = frames_LHW3.shape
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options=X264_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame_HW3 in frames_LHW3:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame_HW3, format="rgb24")))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def probe(path: Path | str) -> VideoProbe:
    """The header of a video file. Raises VideoError where there is none."""
    _require_file(path)
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            fps = float(stream.average_rate or 0)
            return VideoProbe(stream.frames, stream.width, stream.height, fps, stream.codec_context.name)
    except (av.FFmpegError, IndexError) as error:
        raise VideoError(path, _reason(error)) from None


def read_frames(
    path: Path | str, indices: Sequence[int] | NDArray[np.int64] | None = None, short_side: int | None = None
) -> NDArray[np.uint8]:
    """Frames of a video file as RGB, (T, H, W, 3).

    indices: which frames, all by default. short_side: resize so that the shorter side has so many pixels (the
    aspect ratio is kept, to the pixel). Decord reads it; a file that decord refuses is tried with PyAV.

    Raises VideoError where the file is missing, broken or shorter than the largest index.
    """
    _require_file(path)
    size_wh = _resized(probe(path), short_side) if short_side else None
    try:
        return _read_decord(path, indices, size_wh)
    except VideoError:
        raise
    except Exception as refusal:  # decord raises RuntimeError, DECORDError and plain Exception alike
        return _read_pyav(path, indices, size_wh, _reason(refusal))


def _require_file(path: Path | str) -> None:
    if not Path(path).is_file():
        raise VideoError(path, "no such video file")


def _reason(error: BaseException) -> str:
    """An error in one line, without the clock, source lines and native stack that decord adds to its own."""
    if isinstance(error, av.FFmpegError):
        return error.strerror or type(error).__name__
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r"\[[\d:]+\] \S+:\d+: ", "", lines[0])


def _resized(header: VideoProbe, short_side: int) -> tuple[int, int]:
    factor = short_side / min(header.width, header.height)
    return round(header.width * factor), round(header.height * factor)


def _checked(path: Path | str, indices: Sequence[int] | NDArray[np.int64] | None, frames: int) -> list[int]:
    """The indices as a list, all frames by default; VideoError where the video has not got them."""
    wanted = list(range(frames)) if indices is None else [int(i) for i in indices]
    outside = [i for i in wanted if not 0 <= i < frames]
    if outside:
        raise VideoError(path, f"frame {outside[0]} was asked for, but the video has {frames} frames")
    return wanted


def _read_decord(
    path: Path | str, indices: Sequence[int] | NDArray[np.int64] | None, size_wh: tuple[int, int] | None
) -> NDArray[np.uint8]:
    import decord

    decord.logging.set_level(decord.logging.QUIET)  # what it would print is in the exception
    width, height = size_wh or (-1, -1)
    reader = decord.VideoReader(str(path), ctx=decord.cpu(0), width=width, height=height, num_threads=1)
    wanted = _checked(path, indices, len(reader))
    frames_THW3: NDArray[np.uint8] = reader.get_batch(wanted).asnumpy()
    return frames_THW3


def _read_pyav(
    path: Path | str,
    indices: Sequence[int] | NDArray[np.int64] | None,
    size_wh: tuple[int, int] | None,
    refusal: str,
) -> NDArray[np.uint8]:
    width, height = size_wh or (None, None)
    try:
        with av.open(str(path)) as container:
            decoded = [
                f.to_ndarray(format="rgb24", width=width, height=height) for f in container.decode(video=0)
            ]
    except (av.FFmpegError, IndexError) as error:
        raise VideoError(path, f"decord: {refusal}; PyAV: {_reason(error)}") from None
    if not decoded:
        raise VideoError(path, f"decord: {refusal}; PyAV: no frame could be decoded")
    return np.stack([decoded[i] for i in _checked(path, indices, len(decoded))])
