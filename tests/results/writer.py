"""What a writing process does; it imports neither torch nor the test's own modules, so it starts quickly."""

from __future__ import annotations

from pathlib import Path

from harness.results.record import Record
from harness.results.store import Store


def write_all(root: Path, records: list[Record]) -> None:
    """Write every record to the store at `root`."""
    for record in records:
        Store(root).write(record)


def write_and_refresh(root: Path, records: list[Record]) -> None:
    """Write every record and look at the whole store after each."""
    for record in records:
        Store(root).write(record)
        assert record.id in Store(root).settled().done
