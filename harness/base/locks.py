"""One helper for locks between processes.

The kernel's lock (flock) is used where the file system has it: it is free when its holder dies, however it dies.
Where it has none (NFS without a lock daemon, Lustre, some FUSE) an exclusive file beside it stands in: it says who
made it, and is taken over when that process is gone from this machine. Another machine's file can only be waited
for or deleted by hand; leases with a heartbeat for that belong into this module.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from harness.base.errors import UserError
from harness.base.files import write_error

POLL_SECONDS = 0.2
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}
_JUST_STARTED = "a process that just started"
_warned: set[Path] = set()
Told = Callable[[str], object]


class NoLocks(UserWarning):
    """A file system without locks; a file stands in."""


class HeldError(UserError):
    """Somebody else has the lock; `holder` says who, as far as is known."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(f"{path}: held by {holder}")
        self.holder = holder


@contextmanager
def locked(path: Path, *, wait: bool = True, on_wait: Told | None = None) -> Iterator[None]:
    """Hold the lock file `path` (its folder is made). `on_wait` is told the holder once, before waiting.

    Raises HeldError where `wait` is false and somebody else has it, StorageError where the file cannot be opened.
    """
    with _opened(path) as file:
        if _flocked(file, path, wait, on_wait):
            yield
        else:
            with _exclusive(path.with_name(f"{path.name}.held"), wait, on_wait):
                yield


def check_lockable(path: Path) -> None:
    """Raise StorageError now when the lock file could not be made later."""
    _opened(path).close()


def _opened(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a", encoding="utf-8")
    except OSError as error:
        raise write_error(path, error) from None


def _flocked(file: TextIO, path: Path, wait: bool, on_wait: Told | None) -> bool:
    """Take the kernel's lock, which lasts until `file` is closed; false where this file system has none."""
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _first(_read(path))
            if not wait:
                raise HeldError(path, holder) from None
            if on_wait is not None:
                on_wait(holder)
            fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise write_error(path, error) from None
        _warn_once(path, errno.errorcode[error.errno])
        return False
    with contextlib.suppress(OSError):  # a full disk: the name is for people, the lock is held all the same
        file.truncate(0)
        file.write(_myself())
        file.flush()
    return True


def _warn_once(path: Path, why: str) -> None:
    if path not in _warned:
        _warned.add(path)
        warnings.warn(
            f"{path.parent}: this file system has no locks ({why}), so {path.name}.held stands in; "
            "after a crash on another machine it may have to be deleted by hand",
            NoLocks,
            stacklevel=5,
        )


@contextmanager
def _exclusive(path: Path, wait: bool, on_wait: Told | None) -> Iterator[None]:
    mine, told = f"{_myself()} {secrets.token_hex(4)}", False
    while not _created(path, mine):
        text = _read(path)
        if _is_gone(text):
            _take_away(path, text)
            continue
        if not wait:
            raise HeldError(path, f"{_first(text)}; if it runs no more, delete {path}")
        if not told and on_wait is not None:
            on_wait(_first(text))
        told = True
        time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        if _read(path) == mine:
            path.unlink(missing_ok=True)


def _created(path: Path, text: str) -> bool:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    except OSError as error:
        raise write_error(path, error) from None
    return True


def _take_away(path: Path, expected: str) -> None:
    """Remove a dead holder's file and no other's: by a rename, so that of two who try only one succeeds."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return
    if _read(aside) != expected:  # somebody was quicker, and this one is his
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
    aside.unlink()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def _first(text: str) -> str:
    return text.partition("\n")[0] or _JUST_STARTED


def _myself() -> str:
    """A line for people; a line by which another process on this machine can tell whether this one still lives."""
    pid = os.getpid()
    return f"process {pid} on {socket.gethostname()}\n{pid} {process_start(pid)} {this_machine()}"


def _is_gone(text: str) -> bool:
    """Whether the holder ran on this machine and does no more; a number that lives again is told by its start."""
    pid, started, machine, *_ = [*text.partition("\n")[2].split(), "", "", ""]
    return machine == this_machine() and process_start(int(pid)) != started


def this_machine() -> str:
    """This boot of this kernel and this namespace of process numbers: host names repeat among containers."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    return f"{boot}:{Path('/proc/self/ns/pid').readlink()}"


def process_start(pid: int) -> str:
    """The process's start in clock ticks since boot; `gone` where there is none. Zombies are gone, too."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return "gone"
    return "gone" if fields[0] in {"Z", "X"} else fields[19]
