"""What each run was expected to take and what it took: one file a run in the store's `history/`."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from harness.base.errors import UserError
from harness.orchestrate.execute import Outcome
from harness.plan.estimate import Estimate
from harness.results import Store
from harness.results.files import read_row, write_parquet


@dataclass(frozen=True)
class RunNote:
    """One run's file: written before it starts, and again with what happened."""

    path: Path
    row: dict[str, Any]

    def finish(self, outcome: Outcome) -> None:
        """Add the wall time and the counts."""
        happened = {
            "actual_seconds": outcome.seconds,
            "done": len(outcome.done),
            "failed": len(outcome.failed),
            "interrupted": outcome.interrupted,
        }
        write_parquet(pd.DataFrame([{**self.row, **happened}]), self.path)


def note_run(store: Store, experiments: Sequence[str], profile: str, expected: Estimate) -> RunNote:
    """Keep the estimate before a run begins. Raises UserError when the store cannot be written."""
    wall = expected.wall_seconds
    row = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "experiments": " ".join(experiments),
        "profile": profile,
        "trials": expected.trials,
        "estimated_seconds": wall.middle if wall else None,
        "estimated_low": wall.low if wall else None,
        "estimated_high": wall.high if wall else None,
    }
    name = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.getpid()}.parquet"
    note = RunNote(store.root / "history" / name, row)
    write_parquet(pd.DataFrame([row]), note.path)
    return note


def past_runs(store: Store) -> list[dict[str, Any]]:
    """All runs of a store, oldest first; those that were killed have no `actual_seconds`.

    Damaged notes are skipped: they say nothing about results.
    """
    rows = []
    for path in sorted((store.root / "history").glob("*.parquet")):
        try:
            rows.append(read_row(path))
        except UserError:
            continue
    return rows


def error_percent(run: dict[str, Any]) -> float | None:
    """Estimated against actual wall time of a whole run: +20 means a fifth too high."""
    estimated, actual = run.get("estimated_seconds"), run.get("actual_seconds")
    if not estimated or not actual or run.get("interrupted"):
        return None
    return 100.0 * (estimated / actual - 1.0)
