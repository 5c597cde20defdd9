"""CPU milliseconds to read a video's training frames: this project's readers against plain loops, and memory.

    PYTHONPATH=. python benchmarks/bench_decode.py [FILE …] [--reads 10000]

Without files, two H.264 clips of 300 frames at 340x256 are made: x264's key frames (every 250) and one every 12. The
plain loops are what others write: decord's get_batch, and PyAV decoding from the start up to the last wanted frame.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from harness.data.decode import open_video

Frames = NDArray[np.uint8]
Read = Callable[[Path, list[int]], Frames]


def decord_loop(path: Path, places: list[int]) -> Frames:
    """decord, as most loaders use it."""
    import decord

    frames: Frames = decord.VideoReader(str(path), num_threads=1).get_batch(places).asnumpy()
    return frames


def pyav_loop(path: Path, places: list[int]) -> Frames:
    """PyAV in sequence up to the last wanted frame."""
    kept = {}
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for i, frame in enumerate(container.decode(video=0)):
            if i in places:
                kept[i] = frame.to_ndarray(format="rgb24")
            if i >= max(places):
                break
    return np.stack([kept[i] for i in places])


def ours(decoder: str) -> Read:
    """This project's reader, opened and closed as a `Sample` does."""

    def read(path: Path, places: list[int]) -> Frames:
        reader = open_video(path, decoder)
        try:
            return reader.read(places)
        finally:
            reader.close()

    return read


def snippets(frames: int, T: int, interval: int, U: int) -> list[int]:
    """U snippets of T frames, evenly spread."""
    starts = np.linspace(0, max(0, frames - T * interval), U).astype(int)
    return [int(min(frames - 1, start + t * interval)) for start in starts for t in range(T)]


def make_clip(path: Path, key_every: int) -> Path:
    """A moving smooth texture, so that motion vectors and residuals are as in a real video."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (80, 110, 3), np.uint8)
    wide = coarse.repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"g": str(key_every), "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 340, 256, "yuv420p"
        for i in range(300):
            shown = np.ascontiguousarray(wide[i : i + 256, 2 * i % 400 : 2 * i % 400 + 340])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def cpu_ms(read: Read, path: Path, places: list[int], times: int = 9) -> float:
    """Median CPU milliseconds of one read, so that other work on the machine matters little."""
    taken = []
    for _ in range(times):
        begun = time.process_time()
        read(path, places)
        taken.append(time.process_time() - begun)
    return 1000 * statistics.median(taken)


def flat_memory(path: Path, reads: int) -> tuple[float, float]:
    """Peak memory in MB after the first hundredth of the reads and after all."""
    read, peaks = ours("pyav"), []
    for i in range(reads):
        read(path, snippets(300, 4, 8, 1 + i % 4))
        if i in {reads // 100, reads - 1}:
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return peaks[0], peaks[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--reads", type=int, default=0, help="also read so often and print the peak memory")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = {"key frames every 250": 250, "key frames every 12": 12}
        files = {path.name: path for path in options.files} or {
            name: make_clip(Path(folder) / f"{every}.mp4", every) for name, every in made.items()
        }
        readers = {
            "decord": decord_loop,
            "PyAV loop": pyav_loop,
            "ours, decord": ours("decord"),
            "ours": ours("pyav"),
        }
        print(f"{'CPU ms a video':<44}" + "".join(f"{name:>14}" for name in readers))
        for name, path in files.items():
            frames = open_video(path).frames
            for T, interval, U in ((4, 16, 1), (8, 8, 1), (4, 16, 4), (8, 8, 4), (4, 16, 8)):
                places = snippets(frames, T, interval, U)
                row = [cpu_ms(read, path, places) for read in readers.values()]
                print(
                    f"{name[:24]:<26}{U} x ({T} x {interval:>2})      "
                    + "".join(f"{ms:>14.0f}" for ms in row)
                )
        if options.reads:
            early, late = flat_memory(next(iter(files.values())), options.reads)
            print(
                f"peak memory: {early:.0f} MB after {options.reads // 100} reads, {late:.0f} MB after {options.reads}"
            )


if __name__ == "__main__":
    main()
