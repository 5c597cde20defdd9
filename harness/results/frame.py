"""All records of several stores as one frame, one line a trial."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from harness.base.files import folder_from
from harness.base.text import is_uri
from harness.experiment.load import BASELINES, ROOT
from harness.results.index import PARTS, Index
from harness.results.store import Store


class Unreadable(UserWarning):
    """A record file is damaged; it is left out and its trial counts as not done."""


def runs_root() -> Path | str:
    """The user's own records: `$HARNESS_RESULTS` (a folder, or a URI that pyarrow knows), else `results/runs`."""
    named = os.environ.get("HARNESS_RESULTS", "")
    return named if is_uri(named) else folder_from("HARNESS_RESULTS", ROOT / "results" / "runs")


def baseline_roots() -> list[Path]:
    """The shipped records, one folder a profile."""
    return sorted(p for p in BASELINES.glob("*") if p.is_dir())


def load(*roots: Path | str) -> pd.DataFrame:
    """Records of `roots` (default: the user's runs, then the shipped baselines), one line a trial.

    Columns: id, status (done, failed, unreadable), reason, source (runs, baselines), root, seed, the
    configuration (`harness.results.flatten.config_columns`), every metric that a record holds, by its name,
    `cost_*`, `provenance_*`. The first root that has a trial done wins; a failed or unreadable record stands
    only where no root has it done. A damaged file gives an `Unreadable` warning and a line of that status.
    """
    stores = [Store(root) for root in roots or (runs_root(), *baseline_roots())]
    indexed = [(store, store.index()) for store in stores]
    frames = [frame for part in PARTS for store, index in indexed for frame in _frames(store, index, part)]
    if not frames:
        return pd.DataFrame(columns=["id", "status", "reason", "source", "root"])
    frame = pd.concat(frames, ignore_index=True)
    order = (frame["status"] != "done").argsort(kind="stable")  # done before the rest, earlier roots first
    firsts = order[~frame["id"].iloc[order].duplicated().to_numpy()]
    frame = frame.iloc[firsts].reset_index(drop=True)
    for name in map(str, frame.select_dtypes("str").columns):
        if not frame[name].notna().any():  # no variant, no reason: None as in the records, not NaN
            frame[name] = pd.Series([None] * len(frame), dtype=object)
    return frame


def _frames(store: Store, index: Index, part: str) -> Iterator[pd.DataFrame]:
    """The readable records of a part, then the others; none of them empty."""
    where = {"source": store.source, "root": str(store.root)}
    rows = index.frame(part)
    if len(rows):
        yield rows.assign(**where)
    lost = [(stem, reason) for (found, stem), reason in index.unreadable.items() if found == part]
    for _, reason in lost:
        warnings.warn(reason, Unreadable, stacklevel=4)
    if lost:
        names, reasons = zip(*lost, strict=True)
        yield pd.DataFrame({"id": names, "status": "unreadable", "reason": reasons}).assign(**where)
