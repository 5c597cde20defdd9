"""Where files lie: a folder of this machine, or any file system that pyarrow knows (s3://, gs://, hdfs://, ...).

Names are relative to the root and use `/`. A file is whole or not there in both; reading raises FileNotFoundError
for what is not there, and StorageError for everything else that a storage does wrong.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from harness.base.errors import StorageError, UserError
from harness.base.files import TEMPORARY, expanded, write_atomically, write_error
from harness.base.text import first_line, is_uri

# There a file appears when it is whole; a temporary name and a "rename" would copy it once more.
_OBJECT_STORES = {"s3", "gcs", "abfs"}


class Storage(Protocol):
    """The few things that the harness asks of a place for files."""

    def listing(self, folder: str) -> dict[str, str]:
        """Files directly in `folder`, name -> stamp; a file that is written anew has another stamp."""

    def read(self, name: str) -> bytes: ...

    def write(self, name: str, content: bytes, *, remedy: str = "") -> None:
        """Whole or not at all; folders on the way are made. `remedy` is said after the cause of a failure."""

    def stamp(self, name: str) -> str | None:
        """The file's stamp as in `listing`; None where there is no such file."""

    def delete(self, name: str) -> None:
        """Remove a file; it need not be there."""

    def place(self, name: str = "") -> str:
        """The path or URI that a message shows."""


def refuse_key(uri: str, instead: str) -> None:
    """Raise UserError, with what to do `instead`, for a URI that carries a key: it would stand in records, logs and
    messages."""
    parts = urlsplit(uri)
    if parts.username is not None:
        raise UserError(f"{parts.scheme}://…@…: a key does not belong in an address; {instead}")


def storage_at(root: str | Path) -> Storage:
    """The storage of a path (`~` is expanded) or a URI. Raises UserError for a URI that pyarrow does not know, or that
    carries a key."""
    text = str(root)
    if not is_uri(text):
        return LocalStorage(expanded(root).resolve())
    if text.startswith("file://"):
        return LocalStorage(Path(text.removeprefix("file://")).resolve())
    from pyarrow import ArrowException
    from pyarrow.fs import FileSystem

    refuse_key(
        text,
        "put it where its own tools look (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ~/.aws/credentials, …)",
    )
    try:
        filesystem, folder = FileSystem.from_uri(text)
    except (ArrowException, OSError, ValueError) as error:
        raise UserError(f"{text}: no storage can be reached by this name ({first_line(error)})") from None
    return ArrowStorage(filesystem, folder, text)


class LocalStorage:
    """A folder of this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def listing(self, folder: str) -> dict[str, str]:
        try:
            with os.scandir(self.root / folder) as entries:
                found = {e.name: _stamp_of(e) for e in entries}
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise _read_error(self.place(folder), error) from None
        return {name: stamp for name, stamp in found.items() if stamp is not None}

    def read(self, name: str) -> bytes:
        try:
            return (self.root / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise FileNotFoundError(self.place(name)) from None
        except OSError as error:
            raise _read_error(self.place(name), error) from None

    def write(self, name: str, content: bytes, *, remedy: str = "") -> None:
        write_atomically(self.root / name, content, remedy=remedy)

    def stamp(self, name: str) -> str | None:
        try:
            return _stamp((self.root / name).stat())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _read_error(self.place(name), error) from None

    def delete(self, name: str) -> None:
        try:
            (self.root / name).unlink(missing_ok=True)
        except NotADirectoryError:
            return
        except OSError as error:
            raise write_error(self.place(name), error) from None

    def place(self, name: str = "") -> str:
        return str(self.root / name)


def _stamp_of(entry: os.DirEntry[str]) -> str | None:
    try:
        return _stamp(entry.stat())
    except FileNotFoundError:  # went away meanwhile
        return None


def _stamp(found: os.stat_result) -> str | None:
    """Size and time of the last change; None for what is no file."""
    return f"{found.st_size}-{found.st_mtime_ns}" if stat.S_ISREG(found.st_mode) else None


class ArrowStorage:
    """A folder of a `pyarrow.fs` file system. `uri` is how people call it."""

    def __init__(self, filesystem: Any, folder: str, uri: str) -> None:
        self._files = filesystem
        self._folder = folder.rstrip("/")
        self._uri = uri.rstrip("/")

    def _at(self, name: str) -> str:
        return f"{self._folder}/{name}".rstrip("/") if self._folder else name

    def listing(self, folder: str) -> dict[str, str]:
        from pyarrow.fs import FileSelector

        try:
            found = self._files.get_file_info(FileSelector(self._at(folder), allow_not_found=True))
        except (NotADirectoryError, FileNotFoundError):
            return {}
        except OSError as error:
            raise _read_error(self.place(folder), error) from None
        return {info.base_name: stamp for info in found if (stamp := _stamp_of_info(info)) is not None}

    def stamp(self, name: str) -> str | None:
        try:
            return _stamp_of_info(self._files.get_file_info(self._at(name)))
        except OSError as error:
            raise _read_error(self.place(name), error) from None

    def read(self, name: str) -> bytes:
        try:
            with self._files.open_input_stream(self._at(name), compression=None) as file:
                return bytes(file.read())
        except (FileNotFoundError, NotADirectoryError):
            raise FileNotFoundError(self.place(name)) from None
        except OSError as error:
            raise _read_error(self.place(name), error) from None

    def write(self, name: str, content: bytes, *, remedy: str = "") -> None:
        final = self._at(name)
        folder, _, last = final.rpartition("/")
        written = final
        if self._files.type_name not in _OBJECT_STORES:
            beside = f".{last}.{secrets.token_hex(6)}{TEMPORARY}"
            written = f"{folder}/{beside}" if folder else beside
        try:
            if folder:
                self._files.create_dir(folder, recursive=True)
            with self._files.open_output_stream(written, compression=None) as file:
                file.write(content)
            if written != final:
                self._files.move(written, final)
        except OSError as error:
            with contextlib.suppress(OSError):
                if written != final:
                    self._files.delete_file(written)
            raise write_error(self.place(name), error, remedy) from error

    def delete(self, name: str) -> None:
        try:
            if self.stamp(name) is not None:
                self._files.delete_file(self._at(name))
        except FileNotFoundError:
            return
        except OSError as error:
            raise write_error(self.place(name), error) from None

    def place(self, name: str = "") -> str:
        return f"{self._uri}/{name}" if name else self._uri


def _stamp_of_info(info: Any) -> str | None:
    return f"{info.size}-{info.mtime_ns}" if info.is_file else None


def _read_error(place: str, error: OSError) -> StorageError:
    return StorageError(
        f"{place}: cannot be read: {error.strerror or first_line(error)}; mend that (or move the file away), and give "
        "the same command again"
    )
