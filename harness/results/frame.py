"""All records of several stores as one frame, one line a trial."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from harness.experiment.load import BASELINES, ROOT
from harness.results.store import Store


class Unreadable(UserWarning):
    """A record file is damaged; it is left out and its trial counts as not done."""


def runs_root() -> Path:
    """The user's own records: `$HARNESS_RESULTS`, else `results/runs`."""
    return Path(os.environ.get("HARNESS_RESULTS") or ROOT / "results" / "runs")


def baseline_roots() -> list[Path]:
    """The shipped records, one folder a profile."""
    return sorted(p for p in BASELINES.glob("*") if p.is_dir())


def load(*roots: Path | str) -> pd.DataFrame:
    """Records of `roots` (default: the user's runs, then the shipped baselines), one line a trial.

    Columns: id, status (done, failed, unreadable), reason, source (runs, baselines), root, seed, the
    configuration (`harness.results.flatten.config_columns`), every metric of `harness.trial.record.METRICS`,
    `cost_*`, `provenance_*`. The first root that has a trial done wins; a failed or unreadable record stands
    only where no root has it done. A damaged file gives an `Unreadable` warning and a line of that status.
    """
    stores = [Store(Path(root)) for root in roots or (runs_root(), *baseline_roots())]
    rows = [row for part in ("trials", "failed") for store in stores for row in _rows(store, part)]
    rows.sort(key=lambda row: row["status"] != "done")  # stable: done before the rest, earlier roots first
    frame = pd.DataFrame(rows, columns=None if rows else ["id", "status", "reason", "source", "root"])
    return frame.drop_duplicates("id").reset_index(drop=True)


def _rows(store: Store, part: str) -> Iterator[dict[str, Any]]:
    where = {"source": store.source, "root": str(store.root)}
    rows, unreadable = store.rows(part)
    yield from ({**row, **where} for row in rows)
    for trial_id, reason in unreadable.items():
        warnings.warn(reason, Unreadable, stacklevel=4)
        yield {"id": trial_id, "status": "unreadable", "reason": reason, **where}
