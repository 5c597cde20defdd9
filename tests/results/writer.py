"""What a writing process does; it imports neither torch nor the test's own modules, so it starts quickly."""

from __future__ import annotations

from pathlib import Path

from harness.results.store import Store
from harness.trial.record import Record


def write_all(root: Path, records: list[Record]) -> None:
    """Write every record to the store at `root`."""
    for record in records:
        Store(root).write(record)
