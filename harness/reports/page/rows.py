"""The rows that a reader may compare: those of every table, and runs that stand in no table (variants)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.experiment.identity import canonical_json
from harness.methods.evidence import Evidence

OTHER = "runs outside these tables"


@dataclass(frozen=True)
class ComparableRow:
    """A method: its runs by seed. `table` is the anchor of the table it stands in, or `OTHER`."""

    table: str
    name: str
    seeds: dict[int, str]

    def entry(self) -> dict[str, Any]:
        """As JSON: seeds and trial ids in one order."""
        return {
            "table": self.table,
            "name": self.name,
            "seeds": list(self.seeds),
            "runs": list(self.seeds.values()),
        }


def table_rows(anchor: str, evidence: Evidence) -> list[ComparableRow]:
    """The rows of one table that have at least one record."""
    return [
        ComparableRow(anchor, row.row.name, dict(zip(row.seeds, row.trial_ids, strict=True)))
        for row in evidence.rows
        if row.trial_ids
    ]


def default_pairs(anchor: str, evidence: Evidence) -> Iterator[tuple[ComparableRow, ComparableRow]]:
    """(new, base) for every row against the table's declared baseline, else against its first row with records."""
    rows = table_rows(anchor, evidence)
    base = next((r for r in rows if r.name == evidence.experiment.baseline), rows[0] if rows else None)
    return ((row, base) for row in rows if base is not None and row is not base)


def other_rows(frame: pd.DataFrame, shown: Iterable[ComparableRow]) -> list[ComparableRow]:
    """Finished runs of no shown row, those that differ in the seed alone together."""
    known = {i for row in shown for i in row.seeds.values()}
    done = frame[(frame["status"] == "done") & ~frame["id"].isin(known)]
    groups: dict[str, list[dict[Any, Any]]] = {}
    for line in done.to_dict("records"):
        config = json.loads(line["config"])
        config.pop("seed")
        groups.setdefault(canonical_json(config), []).append(line)
    return [_together(lines) for lines in groups.values()]


def _together(lines: list[dict[Any, Any]]) -> ComparableRow:
    first, lines = lines[0], sorted(lines, key=lambda line: line["seed"])
    asked = [first[f"written_{part}"] for part in ("experiment", "row", "profile")]
    told = " / ".join(str(part) for part in asked if isinstance(part, str))
    name = told or f"{first['backbone']} {first['aggregation']} {first['T']}×{first['U']}"
    return ComparableRow(OTHER, name, {int(line["seed"]): line["id"] for line in lines})
