"""Files that are either whole or not there, and the folders that a user may name.

A file is written under a temporary name that no other process or host can choose, flushed to the disk, and
renamed; then its folder is flushed, so that the rename itself survives a power cut.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from harness.base.errors import StorageError, UserError
from harness.base.text import is_uri

TEMPORARY = ".tmp"
LEFTOVER_SECONDS = 3600.0  # no writer holds a temporary file open for that long
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EACCES}
Fill = Callable[[BinaryIO], object]


def write_atomically(path: Path, content: bytes | Fill, *, remedy: str = "") -> None:
    """Write `content` (bytes, or a function that fills an open binary file) so that no reader sees a part of it.

    Folders on the way are made. Raises StorageError, naming the path and what to do (`remedy`, said after the
    cause), where the disk is full or the folder cannot be written; nothing half-written is left then.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}{TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content) if isinstance(content, bytes) else content(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise write_error(path, error, remedy) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def append_line(path: Path, line: str, *, remedy: str = "") -> None:
    """Add a line to a journal; one that a stop cut in half before it is ended first, for readers to pass over.

    Raises StorageError, naming the path.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
            torn = file.read() not in (b"", b"\n")
            file.write(f"{chr(10) * torn}{line}\n".encode())
    except OSError as error:
        raise write_error(path, error, remedy) from error


def _sync_folder(folder: Path) -> None:
    """Not every file system can flush a folder (CIFS, some FUSE); there the rename is as safe as it gets."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        if error.errno in _NO_FOLDER_SYNC:
            return
        raise
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(descriptor)


def write_error(place: Path | str, error: OSError, remedy: str = "") -> StorageError:
    """What a failed write means, in the user's words: the place, the cause, the remedy."""
    cause = error.strerror or str(error)
    # pyarrow wraps the disk's error and keeps its number only in the text
    if error.errno in _FULL or "No space left" in str(error):
        return StorageError(
            f"{place}: the disk is full ({cause}); {remedy or 'free some space and try again'}"
        )
    if error.errno in _FORBIDDEN:
        advice = remedy or "make the folder writable or choose another"
        return StorageError(f"{place}: cannot be written: {cause}; {advice}")
    return StorageError(f"{place}: cannot be written: {cause}{f'; {remedy}' if remedy else ''}")


def remove_leftovers(folder: Path, older_than: float = LEFTOVER_SECONDS) -> None:
    """Remove temporary files of killed writers; young ones may belong to a writer that is still at work."""
    for path in folder.glob(f".*{TEMPORARY}"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > older_than:
                path.unlink()


def expanded(place: str | Path) -> Path:
    """A path with `~` and `~name` replaced. Raises UserError for a home that does not exist."""
    try:
        return Path(place).expanduser()
    except RuntimeError:
        raise UserError(f"{place}: there is no such home folder; write the path out") from None


def local_folder(named: str, by: str) -> Path:
    """The folder of this machine that an option or a variable (`by`) names, `~` expanded.

    Raises UserError for an address, without repeating it: it may carry a key.
    """
    if is_uri(named):
        raise UserError(f"{by}: a folder of this machine is meant, not an address; only results have one")
    return expanded(named)


def folder_from(variable: str, default: Path) -> Path:
    """The folder that an environment variable names, as `local_folder` reads it, else `default`."""
    value = os.environ.get(variable)
    return local_folder(value, variable) if value else default


def cache_root() -> Path:
    """What can be made again at any time: `$HARNESS_CACHE`, else the user's cache folder (XDG)."""
    base = folder_from("XDG_CACHE_HOME", Path("~/.cache"))
    return folder_from("HARNESS_CACHE", expanded(base / "video-ablation-harness"))
