"""What each run was expected to take and what it took: one file a run in the store's `history/`."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import pandas as pd

from harness.base.locks import process_start, this_machine
from harness.plan.estimate import Estimate
from harness.results.files import DamagedError, read_row, write_frame
from harness.results.store import Store

OWN = re.compile(r"\d{8}-\d{6}-[0-9a-f]+\.parquet")


class Ended(Protocol):
    """What became of a run (`harness.orchestrate.Outcome` is one)."""

    @property
    def seconds(self) -> float: ...
    @property
    def done(self) -> Sequence[str]: ...
    @property
    def failed(self) -> Mapping[str, str]: ...
    @property
    def interrupted(self) -> bool: ...


@dataclass(frozen=True)
class RunNote:
    """One run's file: written before it starts, and again with what happened."""

    store: Store
    name: str
    row: dict[str, Any]

    def finish(self, outcome: Ended) -> None:
        """Add the wall time and the counts."""
        happened = {
            "actual_seconds": outcome.seconds,
            "done": len(outcome.done),
            "failed": len(outcome.failed),
            "interrupted": outcome.interrupted,
        }
        write_frame(self.store.storage, self.name, pd.DataFrame([{**self.row, **happened}]))


def note_run(store: Store, experiments: Sequence[str], profile: str, expected: Estimate) -> RunNote:
    """Keep the estimate before a run begins. Raises UserError when the store cannot be written."""
    wall = expected.wall_seconds
    row = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "experiments": " ".join(experiments),
        "profile": profile,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "process_started": process_start(os.getpid()),
        "machine": this_machine(),
        "trials": expected.trials,
        "estimated_seconds": wall.middle if wall else None,
        "estimated_low": wall.low if wall else None,
        "estimated_high": wall.high if wall else None,
    }
    name = f"history/{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(4)}.parquet"
    write_frame(store.storage, name, pd.DataFrame([row]))
    return RunNote(store, name, row)


def past_runs(store: Store) -> list[dict[str, Any]]:
    """All runs of a store, oldest first; those that go on, or were killed, have no `actual_seconds`.

    Damaged notes are skipped: they say nothing about results.
    """
    rows = []
    for name in sorted(name for name in store.storage.listing("history") if OWN.fullmatch(name)):
        with contextlib.suppress(DamagedError, FileNotFoundError):
            rows.append(read_row(store.storage, f"history/{name}"))
    return rows


def goes_on(run: dict[str, Any]) -> bool | None:
    """Whether a run without an end goes on. Its process is known to its own machine; elsewhere None."""
    if run.get("actual_seconds") is not None or not run.get("machine"):  # a note of an older version has none
        return False
    if run["machine"] != this_machine():
        return None
    return process_start(int(run["pid"])) == run["process_started"]


def error_percent(run: dict[str, Any]) -> float | None:
    """Estimated against actual wall time of a whole run: +20 means a fifth too high."""
    estimated, actual = run.get("estimated_seconds"), run.get("actual_seconds")
    if not estimated or not actual or run.get("interrupted"):
        return None
    return 100.0 * (estimated / actual - 1.0)
