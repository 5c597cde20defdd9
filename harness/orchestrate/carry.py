"""What must reach other hosts where no folder is shared: checkpoints and trunks travel through the store's storage.

A store in a folder needs none of it: its checkpoints lie beside the records, and every host sees them.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from harness.base.files import write_atomically
from harness.experiment.start import start_trial, trunk_path
from harness.plan.expand import Planned
from harness.results.store import Store

LAST = "last.pt"


class Carrier:
    """The files of one trial, between this host and a store behind a URI; every method is idempotent."""

    def __init__(self, store: Store, planned: Planned, data_root: Path, trunk: Path | None) -> None:
        self.storage, self.remote = store.storage, not isinstance(store.root, Path)
        self.here = store.checkpoint_dir(planned.id) / LAST
        self.there = f"checkpoints/{planned.id}/{LAST}"
        self.made = trunk
        start = start_trial(planned.trial)
        self.needed = None if start is None else trunk_path(start, data_root)
        self._sent = self.stamp()

    def stamp(self) -> int | None:
        """When the checkpoint here was written last."""
        with contextlib.suppress(FileNotFoundError):
            return self.here.stat().st_mtime_ns
        return None

    def fetch(self) -> None:
        """The last checkpoint that any host sent, and the trunk to start from."""
        if not self.remote:
            return
        for name, path in ((self.there, self.here), (_name(self.needed), self.needed)):
            if path is not None and not (path == self.needed and path.exists()):
                with contextlib.suppress(FileNotFoundError):
                    write_atomically(path, self.storage.read(name))
        self._sent = self.stamp()

    def send(self) -> None:
        """The checkpoint, where it is newer than what was sent; called with every heartbeat."""
        if self.remote and (now := self.stamp()) is not None and now != self._sent:
            self.storage.write(self.there, self.here.read_bytes())
            self._sent = now

    def has_trunk(self) -> bool:
        """Whether the trunk that this trial makes is here, or could be fetched."""
        if self.made is None or self.made.exists() or not self.remote:
            return self.made is not None and self.made.exists()
        with contextlib.suppress(FileNotFoundError):
            write_atomically(self.made, self.storage.read(_name(self.made)))
        return self.made.exists()

    def send_trunk(self) -> None:
        if self.remote and self.made is not None:
            self.storage.write(_name(self.made), self.made.read_bytes())

    def drop(self) -> None:
        if self.remote:
            self.storage.delete(self.there)


def _name(path: Path | None) -> str:
    return "" if path is None else f"pretrained/{path.name}"
