"""Does the input keep up? Videos decoded a second per core, and the share of its time that a training step waits.

    .venv/bin/python benchmarks/bench_input.py                       # about two minutes, its own H.264 files
    .venv/bin/python benchmarks/bench_input.py --step-ms 400 --workers 4 --batch 12

Decoding: the harness's decoders beside a straightforward loop of decord (open, get_batch) and of PyAV (decode from the
start, keep what is wanted, stop at the last), the same places of the same files. Seconds are this process's CPU
seconds, so a busy machine changes little. Waiting: a step is a sleep of --step-ms, as a GPU's would be to the CPU.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import av
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.data.batches import TestBatches, TrainBatches
from harness.data.dataset import DatasetInfo, Split
from harness.data.decode import open_video
from harness.data.reading import Loading
from harness.data.sampling import train_places
from harness.experiment.augment import Augment, RandomResized
from harness.experiment.sampling import FrameRule

FRAMES, FPS, SIZE_WH = 300, 30, (340, 256)  # a Kinetics clip at the short side that papers train on
SAMPLINGS = {"4x4": (4, 4, FrameRule(interval=16)), "8x8": (8, 8, FrameRule(interval=8))}  # T, U
Reader = Callable[[Path, NDArray[np.int64]], NDArray[np.uint8]]


def make_video(path: Path, seed: int, key_frames: int) -> None:
    """Moving smooth noise: about as hard to decode as a Kinetics clip (200-400 kbit/s); x264's default B-frames."""
    width, height = SIZE_WH
    rng = np.random.default_rng(seed)
    texture = np.kron(rng.integers(0, 255, (70, 90, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    with av.open(str(path), "w") as container:
        options = {"crf": "23", "preset": "medium", "g": str(key_frames), "threads": "1"}
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for t in range(FRAMES):
            y, x = int(100 + 90 * np.sin(t / 40)), int(150 + 140 * np.cos(t / 55))
            picture = np.ascontiguousarray(texture[y : y + height, x : x + width])
            picture[::4, ::4] += rng.integers(0, 12, (height // 4, width // 4, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def by_harness(decoder: str, path: Path, places: NDArray[np.int64]) -> NDArray[np.uint8]:
    reader = open_video(path, decoder)
    try:
        return reader.read(places)
    finally:
        reader.close()


def by_decord(path: Path, places: NDArray[np.int64]) -> NDArray[np.uint8]:
    """What most loaders do."""
    import decord

    frames: NDArray[np.uint8] = decord.VideoReader(str(path), num_threads=1).get_batch(places).asnumpy()
    return frames


def by_pyav(path: Path, places: NDArray[np.int64]) -> NDArray[np.uint8]:
    """What the others do."""
    wanted, found = set(places.tolist()), {}
    with av.open(str(path)) as container:
        for i, frame in enumerate(container.decode(video=0)):
            if i in wanted:
                found[i] = frame.to_ndarray(format="rgb24")
            if i >= max(wanted):
                break
    return np.stack([found[int(i)] for i in places])


READERS: dict[str, Reader] = {
    "harness, pyav": partial(by_harness, "pyav"),
    "harness, decord": partial(by_harness, "decord"),
    "plain decord loop": by_decord,
    "plain PyAV loop": by_pyav,
}


def decoding(files: list[Path]) -> pd.DataFrame:
    """Videos a CPU second of each reader and sampling, and its rate as a multiple of the plain PyAV loop's."""
    rows = []
    for sampling, (T, U, rule) in SAMPLINGS.items():
        rng = np.random.default_rng(0)
        places = [train_places(FRAMES, T, U, rule, rng).reshape(-1) for _ in files]
        for name, read in READERS.items():
            read(files[0], places[0])  # imports and the page cache
            started = time.process_time()
            for path, wanted in zip(files, places, strict=True):
                read(path, wanted)
            rows.append((sampling, name, len(files) / (time.process_time() - started)))
    table = pd.DataFrame(rows, columns=["sampling", "reader", "videos_per_s"])
    plain = table[table["reader"] == "plain PyAV loop"].set_index("sampling")["videos_per_s"]
    return table.assign(ratio=table["videos_per_s"] / table["sampling"].map(plain))


@dataclass(frozen=True)
class FileVideo:
    """A `Sample` over a file of this benchmark."""

    path: Path
    labels: tuple[int, ...] = (0,)
    boxes: None = None

    @property
    def video_id(self) -> str:
        return self.path.stem

    def frames(self) -> int:
        return FRAMES

    def fps(self) -> float:
        return FPS

    def size_wh(self) -> tuple[int, int]:
        return SIZE_WH

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return by_harness("pyav", self.path, indices)


@dataclass(frozen=True)
class Files:
    paths: tuple[Path, ...]

    def __call__(self, i: int) -> FileVideo:
        return FileVideo(self.paths[i])


def split_of(files: list[Path], copies: int) -> Split:
    """Each file several times, so that an epoch has some length."""
    paths = tuple(files) * copies
    info = DatasetInfo(
        name="bench",
        manifest_hash="",
        class_names=("one",),
        splits={"train": "train"},
        counts={"train": len(paths)},
    )
    table = pd.DataFrame({"video_id": [p.stem for p in paths], "label": 0})
    return Split(info, "train", table, Files(paths))


def waiting(split: Split, sampling: str, batch: int, loading: Loading, step_s: float) -> tuple[float, float]:
    """Share of its time that a step waits for its batch (the first batch aside), and videos a second."""
    T, U, rule = SAMPLINGS[sampling]
    crop = RandomResized(kind="random_resized")
    batches = TrainBatches(split, T, U, rule, 224, batch, 0, Augment(crop=crop, flip=True), loading=loading)
    epoch = batches.epoch(0)
    next(epoch)
    started, waited, steps = time.perf_counter(), 0.0, 0
    while True:
        asked = time.perf_counter()
        if next(epoch, None) is None:
            break
        waited += time.perf_counter() - asked
        steps += 1
        time.sleep(step_s)
    total = time.perf_counter() - started
    return waited / total, steps * batch / total


def testing(split: Split, sampling: str, crops: int) -> float:
    """Test videos a CPU second in this process, cutting and resizing included."""
    T, U, rule = SAMPLINGS[sampling]
    started = time.process_time()
    videos = sum(len(b.videos) for b in TestBatches(split, T, 2 * U, rule, 256, crops, 4, short_side=256))
    return videos / (time.process_time() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--videos", type=int, default=12)
    parser.add_argument("--key-frames", type=int, default=250, help="frames from one key frame to the next")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--step-ms", type=float, default=500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{i:03d}.mp4" for i in range(arguments.videos)]
        for i, path in enumerate(files):
            make_video(path, i, arguments.key_frames)
        size_kb = sum(path.stat().st_size for path in files) / len(files) / 1000
        print(f"{len(files)} files of {FRAMES} frames, {SIZE_WH[0]}x{SIZE_WH[1]}, {size_kb:.0f} kB each\n")
        print(decoding(files).round(2).to_string(index=False), "\n")
        split = split_of(files, 3)
        for sampling in SAMPLINGS:
            for workers in (0, arguments.workers):
                loading = Loading(workers=workers)
                share, rate = waiting(split, sampling, arguments.batch, loading, arguments.step_ms / 1000)
                print(
                    f"{sampling}: batch {arguments.batch}, step {arguments.step_ms:g} ms, {workers} workers: "
                    f"waits {100 * share:.0f} % of its time, {rate:.1f} videos a second"
                )
            one, three = (testing(split_of(files, 1), sampling, crops) for crops in (1, 3))
            print(f"{sampling}: testing {one:.1f} videos a CPU second with 1 crop, {three:.1f} with 3\n")


if __name__ == "__main__":
    main()
