"""Making the embedded dataset once, and opening it: mp4 files, one uint8 cache of their frames, a manifest.

Layout of `root/scripted_digits-<identity>/`:
    videos/<video id>.mp4     the dataset
    frames.npy                all decoded frames, (F, H, W, 3) uint8, in the manifest's order; trials map it
    manifest.parquet          one row a video
    dataset.json              the card; written last

It is built under a temporary name, under a lock, and renamed when it is whole, so a directory of this name
is either complete or was damaged afterwards. Sizes are checked on every opening, the videos' hashes by
`prepare`.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from harness.base.errors import StorageError, UserError
from harness.base.locks import locked
from harness.data.dataset import DatasetInfo, Progress
from harness.data.digits.make import build, sha256
from harness.data.digits.script import FAMILIES, SPLIT_OF, chance, classes, label_swaps, order_blind_ceiling
from harness.data.digits.videos import DigitsDataset, FrameMap
from harness.data.video import VideoError
from harness.experiment.datasets import ScriptedDigits

_CARD = "dataset.json"


def directory(spec: ScriptedDigits, root: Path) -> Path:
    """Where the dataset of `spec` lives: another spec or generator version is another directory."""
    return Path(root) / f"{spec.name}-{spec.identity}"


def is_made(spec: ScriptedDigits, root: Path) -> bool:
    """Whether a whole dataset lies there; its files are not looked at."""
    return (directory(spec, root) / _CARD).exists()


def prepare(
    spec: ScriptedDigits, root: Path, *, workers: int | None = None, progress: Progress | None = None
) -> DatasetInfo:
    """Make the dataset unless it is there. Several processes may call it at once: one makes, the rest wait.

    workers: processes, all of this process's cores by default; 1 works in this process. progress: called with
    (stage, done, total), the stages being "waiting", "videos" and "cache".

    Raises UserError where the disk is full, `root` cannot be written, or what is there is damaged.
    """
    target = directory(spec, root)
    if not (target / _CARD).exists():
        _refuse_import()
        with _os_errors_named(target), _locked(target, progress or _silent):
            if not (target / _CARD).exists():
                _make(spec, target, workers or len(os.sched_getaffinity(0)), progress or _silent)
    dataset = open_digits(spec, root)
    _check_videos(dataset, target)
    return dataset.info


def _refuse_import() -> None:
    """A spawned worker that imports its parent's script would wait for the parent's lock for ever."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise UserError(
            "prepare() was called while a script is imported; put it under if __name__ == '__main__':"
        )


def open_digits(spec: ScriptedDigits, root: Path) -> DigitsDataset:
    """The prepared dataset, its frames mapped read-only.

    Raises UserError where it is not prepared, or a file is missing or has another size than when it was made.
    """
    target = directory(spec, root)
    if not is_made(spec, root):
        raise UserError(f"{target}: this dataset is not prepared; run `harness data prepare` first")
    info, sizes = _read_card(spec, target)
    for name, size in sizes.items():
        _check_size(target, target / name, size)
    return DigitsDataset(spec, info, _read_manifest(target), _map_frames(target))


def verify(dataset: DigitsDataset, target: Path) -> None:
    """Compare every file and every cached frame in `target` with the hashes taken when they were made.

    Raises UserError for the first that differs.
    """
    _check_videos(dataset, target)
    columns = dataset.manifest[["video_id", "offset", "frames", "frames_sha256"]]
    for video_id, offset, frames, expected in columns.itertuples(index=False):
        if sha256(dataset.map.frames_FHW3[offset : offset + frames].data) != expected:
            raise _damaged(target, target / "frames.npy", f"the frames of {video_id} have changed")


def _silent(stage: str, done: int, total: int) -> None:
    """The progress of a caller who does not want to know."""


def _make(spec: ScriptedDigits, target: Path, workers: int, progress: Progress) -> None:
    """Build under a temporary name and rename. Only the holder of the lock is here, so leftovers are dead."""
    temporary = target.with_name(f".{target.name}.tmp-{secrets.token_hex(6)}")
    for leftover in [*target.parent.glob(f".{target.name}.tmp-*"), target]:
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        temporary.mkdir()
        card = build(spec, temporary, workers, progress)
        (temporary / _CARD).write_text(json.dumps(card, indent=1))
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _locked(target: Path, progress: Progress) -> Iterator[None]:
    """Hold the one lock on `target`, telling `progress` while somebody else has it."""
    waited = []

    def wait_for(holder: str) -> None:
        waited.append(holder)
        progress("waiting", 0, 1)

    with locked(target.with_name(f".{target.name}.lock"), on_wait=wait_for):
        if waited:
            progress("waiting", 1, 1)
        yield


@contextmanager
def _os_errors_named(target: Path) -> Iterator[None]:
    try:
        yield
    except VideoError as error:
        raise UserError(f"{error}; it was just written, so run again, which makes the dataset anew") from None
    except (OSError, StorageError) as error:
        cause = getattr(error, "strerror", None) or error
        raise UserError(
            f"{target}: the dataset could not be made: {cause}; free some space there or "
            "choose another, writable data directory, and run again (nothing half-made was left)"
        ) from error


def _damaged(target: Path, file: Path, what: str) -> UserError:
    return UserError(f"{file}: {what}; delete {target} and run again, which makes it anew")


def _read_card(spec: ScriptedDigits, target: Path) -> tuple[DatasetInfo, dict[str, int]]:
    """What the dataset is, and the sizes of its other files."""
    try:
        card = json.loads((target / _CARD).read_text())
        return _info(spec, card["info"], target), card["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(target, target / _CARD, f"is no dataset card of this version ({error})") from None


def _info(spec: ScriptedDigits, made: dict[str, Any], target: Path) -> DatasetInfo:
    """Card and specification as the contract's description."""
    width, height = spec.size_wh
    class_table = classes(spec)
    present, swaps = {c.family for c in class_table}, label_swaps(spec)
    return DatasetInfo(
        name=spec.name,
        manifest_hash=made["manifest_hash"],
        class_names=tuple(c.class_name for c in class_table),
        splits=SPLIT_OF,
        counts={role: made["counts"][split] for role, split in SPLIT_OF.items()},
        facets=("appearance", *(f for f in FAMILIES if f in present)),
        flip="swap" if swaps else "yes",
        label_swaps=swaps,
        order_blind_ceiling=order_blind_ceiling(spec),
        chance=chance(spec),
        facts={
            "frame_width": width,
            "frame_height": height,
            "fps": spec.fps,
            "video_bytes": made["video_bytes"],
            "cache_bytes": made["cache_bytes"],
        },
        directory=target,
    )


def _read_manifest(target: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(target / "manifest.parquet")
    except (OSError, ValueError) as error:
        raise _damaged(target, target / "manifest.parquet", f"cannot be read ({error})") from None


def _check_size(target: Path, file: Path, size: int) -> None:
    try:
        found = file.stat().st_size
    except OSError as error:
        raise _damaged(target, file, error.strerror or str(error)) from None
    if found != size:
        raise _damaged(target, file, f"has {found:,} bytes instead of {size:,}")


def _map_frames(target: Path) -> FrameMap:
    try:
        return FrameMap(target / "frames.npy")
    except ValueError as error:
        raise _damaged(target, target / "frames.npy", f"is no array file ({error})") from None


def _check_videos(dataset: DigitsDataset, target: Path) -> None:
    """Compare every mp4 file with the hash taken when it was made (tens of MB: a fraction of a second)."""
    for path, expected in zip(dataset.manifest["path"], dataset.manifest["mp4_sha256"], strict=True):
        try:
            found = sha256((target / path).read_bytes())
        except OSError as error:
            raise _damaged(target, target / path, error.strerror or str(error)) from None
        if found != expected:
            raise _damaged(target, target / path, "is not the video that was made (its hash differs)")
