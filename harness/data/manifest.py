"""What is known of every video of a copy: proven by decoding, kept in a parquet file, hashed without the host.

While videos are looked at, each answer is appended to a journal beside the manifest, so a stop loses at most the
files in flight; the parquet file is written whole under its final name when all answers are there.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from harness.base.errors import UserError
from harness.base.files import append_line, write_atomically

OK, SHORT, BROKEN = "ok", "short", "broken"
UNTRIED, AGREES = "untried", "agrees"
_REMEDY = "what was looked at so far is kept; manifests lie in --data or $HARNESS_DATA"


@dataclass(frozen=True)
class Entry:
    """One video. path: below the root (or the copies), "/" between folders. Sizes are upright, in pixels.

    status: ok; short (fewer frames can be decoded than its index says, all of `frames` can); broken (with `reason`).
    decoder: pyav, pyav_sequence or frames: what reads it right. decord: agrees, untried, or why it is not used.
    modified: the file's time, to notice a change; not part of the hash.
    """

    video_id: str
    path: str
    bytes: int
    modified: int
    status: str
    reason: str = ""
    frames: int = 0
    fps: float = 0.0
    width: int = 0
    height: int = 0
    rotation: int = 0
    decoder: str = ""
    decord: str = UNTRIED
    whole: bool = False
    """Whether every frame was decoded, not a spread of places."""

    def decoder_for(self, wanted: str) -> str:
        """The decoder that reads it where a profile asks for `auto`, `pyav` or `decord`."""
        if self.decoder == "frames" or wanted == "pyav":
            return self.decoder
        return "decord" if self.decord == AGREES or wanted == "decord" else self.decoder

    def content(self, wanted: str) -> tuple[Any, ...]:
        """What decides the frames that it gives."""
        shape = (self.frames, round(float(self.fps), 6), self.width, self.height, self.rotation)
        return (self.video_id, self.bytes, self.status, *shape, self.decoder_for(wanted))


class Manifest:
    """The entries of one copy, by path."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "manifest.parquet"
        self.journal = directory / "journal.jsonl"
        self.entries: dict[str, Entry] = {}

    @classmethod
    def load(cls, directory: Path) -> Manifest:
        """What is on disk: the parquet file, then the journal of an interrupted run."""
        manifest = cls(directory)
        for entry in (*manifest._from_parquet(), *manifest._from_journal()):
            manifest.entries[entry.path] = entry
        return manifest

    def note(self, entry: Entry) -> None:
        """Keep one answer, on disk at once. Raises StorageError."""
        self.entries[entry.path] = entry
        append_line(self.journal, json.dumps(vars(entry)), remedy=_REMEDY)

    def save(self, paths: Iterable[str]) -> None:
        """Write the entries of these paths, sorted, under the final name; the journal is then done with.

        Raises StorageError.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = [vars(self.entries[path]) for path in sorted(paths)]
        columns = {f.name: [row[f.name] for row in rows] for f in fields(Entry)}
        write_atomically(self.file, lambda file: pq.write_table(pa.table(columns), file), remedy=_REMEDY)
        self.journal.unlink(missing_ok=True)

    def _from_parquet(self) -> list[Entry]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self.file.is_file():
            return []
        try:
            return [Entry(**row) for row in pq.read_table(self.file).to_pylist()]
        except (pa.ArrowException, OSError, TypeError) as error:
            raise UserError(f"{self.file}: {error}; delete it and run `harness data verify` again") from None

    def _from_journal(self) -> Iterator[Entry]:
        if not self.journal.is_file():
            return
        for line in self.journal.read_text(encoding="utf-8").splitlines():
            try:
                yield Entry(**json.loads(line))
            except (ValueError, TypeError):
                continue  # the line that was being written at the stop


def content_hash(entries: Iterable[Entry], wanted: str, more: Any) -> str:
    """SHA-256 of what the entries give by these decoders, in any order, and of `more` (JSON): no path, host or date."""
    rows = sorted(entry.content(wanted) for entry in entries)
    text = json.dumps([rows, more], separators=(",", ":"), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def is_current(entry: Entry | None, path: Path) -> bool:
    """Whether the file is the one that the entry speaks of."""
    return entry is not None and (entry.bytes, entry.modified) == stamp(path)


def stamp(path: Path) -> tuple[int, int]:
    """Bytes and time of a file; of a folder, the number of its files and its own time. (-1, 0) where it is gone."""
    try:
        status = path.stat()
        if path.is_dir():
            return sum(1 for _ in os.scandir(path)), status.st_mtime_ns
    except OSError:
        return -1, 0
    return status.st_size, status.st_mtime_ns
