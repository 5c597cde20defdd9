"""One driver a store: two of them would run the same trials twice."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from harness.base.errors import UserError
from harness.results.files import remove_leftovers
from harness.results.store import Store


@contextmanager
def driver_lock(store: Store) -> Iterator[None]:
    """Hold the store for one run; the kernel frees it when the process ends, however it ends.

    Raises UserError when another driver holds it, or when the folder cannot be written.
    """
    with _open(store.root / ".lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(_held(Path(file.name))) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        for part in ("trials", "predictions", "curves", "failed"):
            remove_leftovers(store.root / part)
        yield


def _held(path: Path) -> str:
    holder = path.read_text(encoding="utf-8").strip() or "just started"
    return (
        f"{path.parent}: another `harness run` ({holder}) is using this folder; wait for it, stop it, "
        "or give this one a folder of its own with --results"
    )


def _open(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a", encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{path.parent}: results cannot be written there: {error.strerror}; "
            "make the folder writable or choose another with --results"
        ) from None


def check_writable(store: Store) -> None:
    """Raise UserError now when records could not be written later."""
    _open(store.root / ".lock").close()
