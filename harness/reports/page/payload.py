"""What the page's scripts read: columns, rows, runs and test videos as one JSON object.

rows      the methods to choose from, each with its runs by seed
runs      every line of the results frame; what repeats stands once in `pool`, as numbers into it
sets      each set of test videos once: ids, labels, frames of the videos that flip most
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from harness.methods.evidence import Evidence
from harness.reports.columns import COST_FIELDS, PAPER_GROUP
from harness.reports.page.answers import AnswerBook, Place, VideoSet, most_flipped
from harness.reports.page.pictures import Picture, class_names, frames_of
from harness.reports.page.rows import ComparableRow, default_pairs, other_rows, table_rows
from harness.reports.page.runs import COST, CURVE, Pool, run_entries
from harness.reports.table import Table
from harness.trial.record import METRICS

MOST_FRAMES = 48  # videos with frames: 5 kB each


@dataclass(frozen=True)
class Section:
    """One table on the page. `evidence` is None for a table of costs, which has no records."""

    table: Table
    evidence: Evidence | None
    figures: tuple[Picture, ...]


def payload_of(sections: Sequence[Section], frame: pd.DataFrame, data: Path | None) -> dict[str, Any]:
    """All that the page's scripts need, as JSON."""
    pool, book = Pool(), AnswerBook()
    runs = run_entries(frame, pool, book)
    measured = [(s.table.name, s.evidence) for s in sections if s.evidence is not None]
    rows = [row for anchor, evidence in measured for row in table_rows(anchor, evidence)]
    rows += other_rows(frame, rows)
    by_table = [pairs for anchor, evidence in measured if (pairs := list(default_pairs(anchor, evidence)))]
    pairs = [pair for table in by_table for pair in table]
    chosen = most_flipped(((new.seeds, base.seeds) for new, base in pairs), book, MOST_FRAMES)
    return {
        "metrics": list(METRICS),
        "cost": list(COST),
        "curve": list(CURVE),
        "columns": _columns(sections),
        "tables": [{"anchor": s.table.name, "title": s.table.title} for s in sections],
        "rows": [_row(row, chosen, book) for row in rows],
        "pair": [rows.index(row) for row in by_table[0][-1]] if by_table else None,
        "runs": runs,
        "pool": pool.values,
        "sets": [_set(number, videos, frame, chosen, data) for number, videos in enumerate(book.sets)],
        "problems": book.problems,
    }


def _columns(sections: Sequence[Section]) -> dict[str, Any]:
    """How the detail of a cell is told: column key -> words, and where a run keeps the number."""
    columns = {c.key: c for s in sections for c in s.table.columns}
    return {
        key: {
            "name": c.header if c.group in ("ours", PAPER_GROUP) else f"{c.group} {c.header}".strip(),
            "unit": c.unit,
            "direction": c.direction,
            "source": c.source,
            "from": _field(key),
        }
        for key, c in columns.items()
    }


def _field(key: str) -> list[Any] | None:
    """(list of a run's entry, index, divisor); None where a column is not a number of a run."""
    if key in METRICS:
        return ["metrics", list(METRICS).index(key), 1]
    if key in COST_FIELDS:
        name, unit = COST_FIELDS[key]
        return ["cost", COST.index(name.removeprefix("cost_")), unit]
    return None


def _row(row: ComparableRow, chosen: list[Place], book: AnswerBook) -> dict[str, Any]:
    """A row with its usual answers on the videos of `chosen`, in that order."""
    ids = list(row.seeds.values())
    return {**row.entry(), "answers": [book.usual(ids, of, place) for of, place in chosen]}


def _set(
    number: int, videos: VideoSet, frame: pd.DataFrame, chosen: list[Place], data: Path | None
) -> dict[str, Any]:
    """One set of test videos; `chosen` maps a video with frames to its place in every row's `answers`."""
    same = frame[frame["dataset_manifest"] == videos.manifest]
    dataset = json.loads(same["config"].iloc[0])["dataset"]
    asked = {videos.videos[place]: index for index, (of, place) in enumerate(chosen) if of == number}
    frames, missing = frames_of(dataset, videos.manifest, list(asked), data)
    return {
        "videos": list(videos.videos),
        "labels": list(videos.labels),
        "classes": class_names(dataset),
        "chosen": asked,
        "frames": frames,
        "missing": missing,
    }
