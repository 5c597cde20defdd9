"""Broken or slow files written anew into a folder of one's own, with a record of how; the root is never touched.

H.264 in mp4 with a key frame every few frames and no B-frames: every decoder reads it right and seeks quickly.
Every frame that can be decoded is kept, upright, at a constant rate. What cannot be decoded is gone: the manifest and
the record say how many frames there were.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.base.errors import UserError
from harness.base.files import append_line, write_error
from harness.base.signals import deaf_children, end_with
from harness.data.decode import VideoError

if TYPE_CHECKING:
    from harness.data.dataset import Progress
    from harness.data.formats.base import Listing
    from harness.data.manifest import Entry, Manifest
    from harness.experiment.datasets_published import PublishedVideos

RECORD = "reencoded.jsonl"


@dataclass(frozen=True)
class Settings:
    """short_side: pixels at most (smaller videos keep their size); key_every: frames; crf: x264's quality."""

    short_side: int = 256
    key_every: int = 12
    crf: int = 18


def reencode(source: Path, target: Path, settings: Settings = Settings()) -> int:
    """Write `target` (mp4) from all frames of `source` that can be decoded; returns how many.

    Raises VideoError where there is none, StorageError where it cannot be written; `target` then does not exist.
    """
    import av

    from harness.data.decode.base import resized_wh
    from harness.data.decode.pyav import PyavReader

    reader = PyavReader(source)
    side = min(settings.short_side, *reader.size_wh)
    width, height = (pixels + pixels % 2 for pixels in resized_wh(reader.size_wh, side))
    options = {
        "crf": str(settings.crf),
        "g": str(settings.key_every),
        "bf": "0",
        "preset": "medium",
        "sc_threshold": "0",
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.stem}.{secrets.token_hex(4)}.mp4")
    count = 0
    try:
        with av.open(os.fspath(temporary), "w") as container:
            rate = Fraction(reader.fps or 25).limit_denominator(1001)
            stream: Any = container.add_stream("libx264", rate=rate, options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.codec_context.thread_count = 1
            for picture_HW3 in reader.pictures(width, height):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture_HW3, format="rgb24")))
                count += 1
            container.mux(stream.encode(None))
        temporary.replace(target)
    except av.FFmpegError as error:
        if isinstance(error, OSError):  # the disk's fault; the reader's errors are VideoErrors
            raise write_error(target, error) from None
        raise VideoError(source, f"cannot be written anew: {error}") from None
    finally:
        reader.close()
        temporary.unlink(missing_ok=True)
    return count


def worth_it(entry: Entry) -> str:
    """Why a file is written anew, or nothing: it is short, or can only be read in sequence, which is slow."""
    if entry.status == "short":
        return entry.reason
    return "can only be read in sequence" if entry.decoder == "pyav_sequence" else ""


def reencode_all(
    spec: PublishedVideos,
    listing: Listing,
    manifest: Manifest,
    folder: Path,
    *,
    workers: int,
    progress: Progress | None = None,
) -> None:
    """Every file that is worth it, into `folder` under its own name; `reencoded.jsonl` there records each.

    A file that is already there is left alone. Raises UserError where the folder lies in the root, or a name leads
    out of the folder.
    """
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from harness.data.formats.base import need_root
    from harness.data.published import namer

    if folder.resolve().is_relative_to(need_root(spec).resolve()):
        raise UserError(
            f"{folder} lies in the root {need_root(spec)}: both would be found; name a folder outside it"
        )
    work, name_of = [], namer(spec)
    for video in listing.videos:
        entry = manifest.entries.get(name_of(video.path)) if video.path else None
        if video.path and entry and worth_it(entry):
            target = folder / Path(entry.path.removeprefix("copies:")).with_suffix(".mp4")
            if not target.resolve().is_relative_to(folder.resolve()):
                raise UserError(
                    f"{entry.path}: its copy would lie outside {folder}; name it relative to the root in its list"
                )
            if not target.exists():
                work.append((video.path, target, entry.path, worth_it(entry)))
    tell = progress or (lambda *_: None)
    tell("re-encode", 0, len(work))
    with ProcessPoolExecutor(workers, get_context("spawn"), end_with, (os.getpid(),)) as pool:
        with deaf_children():
            lines = pool.map(_one, work)
        for done, line in enumerate(lines, start=1):
            append_line(folder / RECORD, json.dumps(line))
            tell("re-encode", done, len(work))


def _one(work: tuple[Path, Path, str, str]) -> dict[str, Any]:
    import av

    source, target, name, reason = work
    settings = Settings()
    line: dict[str, Any] = {"file": name, "why": reason, **vars(settings), "pyav": av.__version__}
    try:
        return line | {"frames": reencode(source, target, settings)}
    except VideoError as error:
        return line | {"frames": 0, "failed": error.reason}
