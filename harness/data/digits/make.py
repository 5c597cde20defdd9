"""The two phases of making the embedded dataset, over all cores: encode the videos, decode to the cache."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from harness.base.errors import UserError
from harness.data.dataset import Progress
from harness.data.digits.draw import render_video
from harness.data.digits.script import (
    SPLITS,
    VideoKey,
    classes,
    video_keys,
)
from harness.data.video import X264_OPTIONS, VideoError, encode_mp4, read_frames
from harness.experiment.datasets import ScriptedDigits

_Result = TypeVar("_Result")
Map = Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[Any]]


def build(spec: ScriptedDigits, directory: Path, workers: int, progress: Progress) -> dict[str, Any]:
    """Make videos, cache and manifest in `directory`; returns the dataset's card, to be written last.

    Raises UserError where a video that was just written cannot be read back, or a worker process was killed.
    """
    (directory / "videos").mkdir()
    keys = video_keys(spec)
    with _pool(workers) as mapped:
        encode = partial(_encode, spec, directory)
        written = list(_reported("videos", mapped(encode, keys), len(keys), progress))
        manifest = _manifest(spec, keys, written)
        decode = partial(_decode, spec, directory, _create_cache(spec, directory, manifest))
        rows = list(zip(manifest["path"], manifest["offset"], manifest["frames"], strict=True))
        manifest["frames_sha256"] = list(_reported("cache", mapped(decode, rows), len(rows), progress))
    manifest.to_parquet(directory / "manifest.parquet", index=False)
    return _card(spec, directory, manifest)


@contextmanager
def _pool(workers: int) -> Iterator[Map]:
    """An ordered map over processes. Spawned, not forked: the caller may hold threads (Ray, torch)."""
    if workers == 1:
        yield map
        return
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(workers, context, initializer=_start_worker)
    try:
        yield partial(executor.map, chunksize=8)
    except BrokenProcessPool:
        raise UserError("a worker that made the dataset was killed (out of memory?); run again") from None
    finally:
        executor.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """Leave Ctrl+C to the parent, and end when it ends: the pool's own workers outlive a killed parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def _reported(stage: str, results: Iterator[_Result], total: int, progress: Progress) -> Iterator[_Result]:
    progress(stage, 0, total)
    for done, result in enumerate(results, start=1):
        yield result
        progress(stage, done, total)


def _encode(spec: ScriptedDigits, directory: Path, key: VideoKey) -> tuple[int, int, str, str]:
    """Write one video; returns its frames, bytes, the SHA-256 of the file and that of the frames as drawn."""
    frames_LHW3 = render_video(spec, key)
    mp4 = encode_mp4(frames_LHW3, spec.fps)
    (directory / _video_path(key)).write_bytes(mp4)
    return len(frames_LHW3), len(mp4), sha256(mp4), sha256(frames_LHW3.data)


def _video_path(key: VideoKey) -> str:
    return f"videos/{key.video_id}.mp4"


def _manifest(
    spec: ScriptedDigits, keys: Sequence[VideoKey], written: Sequence[tuple[int, int, str, str]]
) -> pd.DataFrame:
    manifest = pd.DataFrame([asdict(key) for key in keys]).drop(columns="k")
    manifest.insert(0, "video_id", [key.video_id for key in keys])
    class_table = pd.DataFrame([asdict(c) for c in classes(spec)])
    manifest = manifest.merge(class_table[["label", "class_name", "family"]], on="label", how="left")
    manifest["path"] = [_video_path(key) for key in keys]
    manifest[["frames", "mp4_bytes", "mp4_sha256", "drawn_sha256"]] = pd.DataFrame(written)
    manifest["offset"] = manifest["frames"].cumsum() - manifest["frames"]
    return manifest


def _create_cache(spec: ScriptedDigits, directory: Path, manifest: pd.DataFrame) -> int:
    """Write the header of frames.npy; returns the position of the first frame's first byte."""
    width, height = spec.size_wh
    header = {
        "descr": "|u1",
        "fortran_order": False,
        "shape": (int(manifest["frames"].sum()), height, width, 3),
    }
    with (directory / "frames.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        return file.tell()


def _decode(spec: ScriptedDigits, directory: Path, origin: int, row: tuple[str, int, int]) -> str:
    """Read one video back and write its frames at their place in the cache; returns their SHA-256.

    Written, not mapped: a full disk is then an error, where a store through a map would kill the process.
    """
    path, offset, frames = row
    frames_LHW3 = read_frames(directory / path)
    width, height = spec.size_wh
    if frames_LHW3.shape != (frames, height, width, 3):
        raise VideoError(
            directory / path, f"decoded to {frames_LHW3.shape}, not {(frames, height, width, 3)}"
        )
    content = np.ascontiguousarray(frames_LHW3)
    with (directory / "frames.npy").open("r+b") as file:
        file.seek(origin + offset * height * width * 3)
        file.write(content.data)
    return sha256(content.data)


def _card(spec: ScriptedDigits, directory: Path, manifest: pd.DataFrame) -> dict[str, Any]:
    """What dataset.json holds: the spec, what is known only now, the classes and the files' sizes."""
    files = {name: (directory / name).stat().st_size for name in ("frames.npy", "manifest.parquet")}
    info = {
        "manifest_hash": _manifest_hash(manifest),
        "counts": {split: int((manifest["split"] == split).sum()) for split in SPLITS},
        "video_bytes": int(manifest["mp4_bytes"].sum()),
        "cache_bytes": files["frames.npy"],
    }
    class_rows = [asdict(c) for c in classes(spec)]
    return {"spec": spec.model_dump(mode="json"), "info": info, "classes": class_rows, "files": files}


def _manifest_hash(manifest: pd.DataFrame) -> str:
    """Of the frames as drawn, not as decoded: FFmpeg's colour conversion may differ by a grey level between
    CPUs, and two machines that hold the same dataset must be able to compare their results."""
    content = manifest[["video_id", "label", "class_name", "drawn_sha256"]].to_csv(index=False)
    return sha256(f"{X264_OPTIONS}\n{content}".encode())


def sha256(content: bytes | memoryview) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
