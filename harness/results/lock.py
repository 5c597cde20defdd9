"""A store before a run: can it be written, and what did killed writers leave? Who runs what is claimed by trial."""

from __future__ import annotations

from harness.base.errors import StorageError
from harness.base.files import remove_leftovers
from harness.base.locks import check_lockable
from harness.results.store import Store

FOLDERS = ("", "trials", "predictions", "answers", "curves", "failed", "history")


def make_room(store: Store) -> None:
    """Remove what killed writers left, an hour old at least. Raises StorageError where nothing can be written."""
    check_writable(store)
    for folder in FOLDERS:
        remove_leftovers(store.local / folder)


def check_writable(store: Store) -> None:
    """Raise StorageError now when records could not be written later."""
    try:
        check_lockable(store.local / ".lock")
    except StorageError as error:
        raise StorageError(
            f"{store.storage.place()}: results cannot be written there: {error}; make the folder writable or "
            "choose another with --results"
        ) from None
