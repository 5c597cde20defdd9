"""Clips whose pixels say which frame they are, in every container and codec that PyAV can write."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

COLUMNS, ROWS = (
    5,
    2,
)  # ten big black or white blocks hold ten bits; the left column's grey strip says what is up


def draw(number: int, width: int = 96, height: int = 64) -> NDArray[np.uint8]:
    """Frame `number` (0-1023) as blocks, (H, W, 3). The upper row's blocks have a grey top, so a turned picture
    or a mirrored one reads as another number."""
    frame = np.zeros((height, width, 3), np.uint8)
    for bit in range(COLUMNS * ROWS):
        row, column = divmod(bit, COLUMNS)
        y, x = row * height // ROWS, column * width // COLUMNS
        level = 225 if number >> bit & 1 else 30
        frame[y : (row + 1) * height // ROWS, x : (column + 1) * width // COLUMNS] = level
    return frame


def number_of(frame_HW3: NDArray[np.uint8]) -> int:
    """The number that a frame shows."""
    height, width, _ = frame_HW3.shape
    number = 0
    for bit in range(COLUMNS * ROWS):
        row, column = divmod(bit, COLUMNS)
        y, x = int((row + 0.5) * height / ROWS), int((column + 0.5) * width / COLUMNS)
        number |= int(frame_HW3[y - 3 : y + 4, x - 3 : x + 4].mean() > 127) << bit
    return number


def numbers(frames_FHW3: NDArray[np.uint8]) -> list[int]:
    """What each of these frames shows."""
    return [number_of(frame) for frame in frames_FHW3]


@contextlib.contextmanager
def own_priority() -> Iterator[None]:
    """Around an encoder: SVT-AV1, where root runs it, gives the thread that calls it the highest real-time priority for
    good, and everything else on the machine would starve."""
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def write_clip(
    path: Path,
    codec: str = "libx264",
    shown: Sequence[int] = range(60),
    size_wh: tuple[int, int] = (96, 64),
    fps: int = 25,
    options: dict[str, str] | None = None,
    pix_fmt: str = "yuv420p",
    rotation: int | None = None,
    hflip: bool = False,
    times: Callable[[int], int] | None = None,
    container_options: dict[str, str] | None = None,
    gop: int | None = None,
    b_frames: int | None = None,
    audio: bool = False,
    second_stream: bool = False,
) -> Path:
    """Write a clip that shows these numbers. `times`: frame place -> ticks of 1/fps (variable frame rate)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with own_priority(), av.open(str(path), "w", options=container_options or {}) as container:
        streams = []
        if second_stream:  # a small still stream first: whoever takes stream 0 reads it
            streams.append(_stream(container, codec, (32, 32), fps, {}, pix_fmt))
        main = _stream(container, codec, size_wh, fps, options or {}, pix_fmt)
        if gop is not None:
            main.codec_context.gop_size = gop
        if b_frames is not None:
            main.codec_context.max_b_frames = b_frames
        if rotation is not None or hflip:
            main.set_display_rotation(rotation or 0, hflip=hflip)
        sound = container.add_stream("aac", rate=8000) if audio else None
        for place, number in enumerate(shown):
            if second_stream:
                _encode(container, streams[0], draw(1023, 32, 32), place, fps)
            _encode(container, main, draw(number, *size_wh), times(place) if times else place, fps)
            if sound is not None:
                _encode_silence(container, sound, place, fps)
        for stream in [*streams, main, *([sound] if sound is not None else [])]:
            container.mux(stream.encode(None))
    return path


def _stream(
    container: Any, codec: str, size_wh: tuple[int, int], fps: int, options: dict, pix_fmt: str
) -> Any:
    stream = container.add_stream(codec, rate=fps, options=options)
    stream.width, stream.height, stream.pix_fmt = *size_wh, pix_fmt
    stream.codec_context.time_base = Fraction(1, fps)
    stream.codec_context.thread_count = 1
    return stream


def _encode(container: Any, stream: Any, picture: NDArray[np.uint8], tick: int, fps: int) -> None:
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=stream.pix_fmt)
    frame.pts, frame.time_base = tick, Fraction(1, fps)
    container.mux(stream.encode(frame))


def _encode_silence(container: Any, stream: Any, place: int, fps: int) -> None:
    samples = 8000 // fps
    frame = av.AudioFrame.from_ndarray(np.zeros((1, samples), np.float32), format="fltp", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = 8000, place * samples, Fraction(1, 8000)
    container.mux(stream.encode(frame))


def remux(
    source: Path,
    target: Path,
    shift: int = 0,
    first_packet: int = 0,
    last_packet: int | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Copy packets without decoding, times moved by `shift` ticks of the source: a cut as `-ss … -c copy` makes it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(source)) as reader, av.open(str(target), "w", options=options or {}) as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        packets = [p for p in reader.demux(stream) if p.size]
        for packet in packets[first_packet:last_packet]:
            packet.pts += shift
            packet.dts += shift
            packet.stream = copy
            writer.mux(packet)
    return target
