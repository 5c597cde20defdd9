"""One driver a store: two of them would run the same trials twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from harness.base.errors import StorageError, UserError
from harness.base.files import remove_leftovers
from harness.base.locks import HeldError, check_lockable, locked
from harness.results.store import Store

FOLDERS = ("", "trials", "predictions", "answers", "curves", "failed", "history")


@contextmanager
def driver_lock(store: Store) -> Iterator[None]:
    """Hold the store for one run; the kernel frees it when the process ends, however it ends.

    Raises UserError when another driver holds it, or when the folder cannot be written. A store behind a URI is
    guarded against a second driver on this machine only.
    """
    check_writable(store)
    try:
        with locked(store.local / ".lock", wait=False):
            for folder in FOLDERS:
                remove_leftovers(store.local / folder)
            yield
    except HeldError as held:
        raise UserError(
            f"{store.storage.place()}: another `harness run` ({held.holder}) is using this folder; wait for it, "
            "stop it, or give this one a folder of its own with --results"
        ) from None


def check_writable(store: Store) -> None:
    """Raise StorageError now when records could not be written later."""
    try:
        check_lockable(store.local / ".lock")
    except StorageError as error:
        raise StorageError(
            f"{store.storage.place()}: results cannot be written there: {error}; make the folder writable or "
            "choose another with --results"
        ) from None
