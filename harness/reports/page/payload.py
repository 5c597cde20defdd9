"""What the page's scripts read: columns, rows, runs and test videos as one JSON object.

rows   the methods to choose from, each with its runs by seed
runs   every line of the results frame; what repeats stands once in `pool`, as numbers into it
rules  what each field of a run's setting is (`harness.methods.fairness`): the page compares by the same rule
sets   each set of test videos once: ids, labels, frames of the videos that flip most
"""

from __future__ import annotations

import base64
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.base.errors import UserError
from harness.experiment.identity import canonical_json
from harness.methods import Gathered
from harness.methods.fairness import facts, rule_of
from harness.reports.columns import PAPER_GROUP, SHOWN_COSTS
from harness.reports.facets import class_names
from harness.reports.page.pictures import Picture, strips_of
from harness.reports.table import Table
from harness.reports.words import CAUTIONS, VERDICTS
from harness.results import Store
from harness.results.answers import answers
from harness.results.metrics import COSTS, FACET, list_metrics
from harness.statistics.paired import flips

MOST_FRAMES = 48  # videos with frames: 5 kB each
OTHER = "runs outside these tables"
CURVE = ("val_top1", "train_top1", "loss")
Seeds = dict[int, str]  # seed -> trial id
Place = tuple[int, int]  # number of the set, place of the video in it


@dataclass(frozen=True)
class Section:
    """One table on the page. `gathered` is None for a table of costs, which has no records."""

    table: Table
    gathered: Gathered | None
    figures: tuple[Picture, ...]


@dataclass(frozen=True)
class ComparableRow:
    """A method: its runs by seed. `table` is the anchor of the table it stands in, or `OTHER`."""

    table: str
    name: str
    seeds: Seeds


@dataclass(frozen=True)
class VideoSet:
    """The test videos that trials share: ids in sorted order and their labels; `manifest` names the dataset."""

    manifest: str
    videos: tuple[str, ...]
    labels: tuple[int, ...]


class Pool:
    """Values by number; equal values have one number."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._numbers: dict[str, int] = {}

    def number(self, value: Any) -> int:
        key = canonical_json(value)
        if key not in self._numbers:
            self._numbers[key] = len(self.values)
            self.values.append(value)
        return self._numbers[key]


class AnswerBook:
    """All trials' answers by id. `problems` says why a trial has none; `sets` holds each set of videos once."""

    def __init__(self) -> None:
        self.problems: dict[str, str] = {}
        self.sets: list[VideoSet] = []
        self._numbers: dict[VideoSet, int] = {}
        self._known: dict[str, tuple[int, NDArray[np.int64]]] = {}  # trial id -> its set, predicted classes

    def read(self, root: str, trial_id: str, manifest: str) -> None:
        """Read one trial's predictions, or note why that is not possible."""
        try:
            found = answers(root, trial_id)
        except UserError as error:
            self.problems[trial_id] = str(error)
            return
        videos = VideoSet(manifest, found.videos, tuple(found.labels.tolist()))
        if videos not in self._numbers:
            self._numbers[videos] = len(self.sets)
            self.sets.append(videos)
        self._known[trial_id] = (self._numbers[videos], found.predicted)

    def number(self, trial_id: str) -> int | None:
        """Which of `sets` the trial was tested on; None where its answers are not known."""
        return self._known[trial_id][0] if trial_id in self._known else None

    def right(self, trial_id: str) -> NDArray[np.bool_]:
        """(videos,) right or wrong; KeyError for a trial whose answers are not known."""
        number, predicted_V = self._known[trial_id]
        return predicted_V == np.asarray(self.sets[number].labels)

    def packed(self, trial_id: str) -> str:
        """Right or wrong as one bit a video, the first video lowest, in base64."""
        return base64.b64encode(np.packbits(self.right(trial_id), bitorder="little").tobytes()).decode()

    def usual(self, trial_ids: Iterable[str], of: int, place: int) -> int | None:
        """The class that most of these trials answer for the video at `place` of set `of`; ties: the smaller."""
        known = [self._known[i] for i in trial_ids if self.number(i) == of]
        votes = Counter(int(predicted_V[place]) for _, predicted_V in known)
        return min(votes, key=lambda label: (-votes[label], label)) if votes else None


def payload_of(sections: Sequence[Section], frame: pd.DataFrame, data: Path | None) -> dict[str, Any]:
    """All that the page's scripts need, as JSON."""
    pool, book = Pool(), AnswerBook()
    metrics = [*list_metrics(), *(str(c) for c in frame if str(c).startswith((FACET, "val_")))]
    runs = [_run(line, metrics, pool, book) for line in frame.to_dict("records")]
    measured = [(s.table.name, s.gathered) for s in sections if s.gathered is not None]
    rows = [row for anchor, gathered in measured for row in table_rows(anchor, gathered)]
    rows += other_rows(frame, rows)
    by_table = [pairs for anchor, gathered in measured if (pairs := list(default_pairs(anchor, gathered)))]
    seeds = [(new.seeds, base.seeds) for table in by_table for new, base in table]
    chosen = most_flipped(seeds, book, MOST_FRAMES)
    fields = dict.fromkeys(f for run in runs if "fair" in run for f in pool.values[run["fair"]])
    allowed = {s.table.name: s.gathered.allowed for s in sections if s.gathered is not None}
    return {
        "words": {"verdicts": VERDICTS, "cautions": CAUTIONS},
        "rules": {field: [rule.kind, rule.word, rule.shared] for field in fields for rule in [rule_of(field)]},
        "metrics": metrics,
        "cost": list(COSTS),
        "curve": list(CURVE),
        "columns": _columns(sections, metrics),
        "tables": [
            {"anchor": s.table.name, "title": s.table.title, "allowed": sorted(allowed.get(s.table.name, ()))}
            for s in sections
        ],
        "rows": [_row(row, chosen, book) for row in rows],
        "pair": [rows.index(row) for row in by_table[0][-1]] if by_table else None,
        "runs": runs,
        "pool": pool.values,
        "sets": [_set(number, videos, frame, chosen, data) for number, videos in enumerate(book.sets)],
        "problems": book.problems,
    }


def _columns(sections: Sequence[Section], metrics: list[str]) -> dict[str, Any]:
    """How the detail of a cell is told: column key -> words, and where a run keeps the number."""
    columns = {c.key: c for s in sections for c in s.table.columns}

    def kept_in(key: str) -> list[Any] | None:
        """(list of a run's entry, index, divisor); None where a column is not a number of a run."""
        if key in metrics:
            return ["metrics", metrics.index(key), 1]
        if key in SHOWN_COSTS:
            name, _ = SHOWN_COSTS[key]
            return ["cost", list(COSTS).index(name), COSTS[name].factor]
        return None

    return {
        key: {
            "name": c.header if c.group in ("ours", PAPER_GROUP) else f"{c.group} {c.header}".strip(),
            "unit": c.unit,
            "direction": c.direction,
            "source": c.source,
            "from": kept_in(key),
        }
        for key, c in columns.items()
    }


def table_rows(anchor: str, gathered: Gathered) -> list[ComparableRow]:
    """The rows of one table that have at least one record; an average of rows has no runs of its own."""
    return [
        ComparableRow(anchor, method.label, {seed: method.ids[seed][0] for seed in method.seeds})
        for method in gathered.methods
        if method.seeds and not method.components
    ]


def default_pairs(anchor: str, gathered: Gathered) -> Iterator[tuple[ComparableRow, ComparableRow]]:
    """(new, base) for every row against the table's declared baseline, else against its first row with records."""
    rows = table_rows(anchor, gathered)
    base = next((r for r in rows if r.name == gathered.experiment.baseline), rows[0] if rows else None)
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
    name = told or f"{first['model']} {first['aggregation']} {first['T']}×{first['U']}"
    return ComparableRow(OTHER, name, {int(line["seed"]): line["id"] for line in lines})


def _row(row: ComparableRow, chosen: list[Place], book: AnswerBook) -> dict[str, Any]:
    """A row with its usual answers on the videos of `chosen`, in that order; seeds and trial ids in one order."""
    ids = list(row.seeds.values())
    return {
        "table": row.table,
        "name": row.name,
        "seeds": list(row.seeds),
        "runs": ids,
        "answers": [book.usual(ids, of, place) for of, place in chosen],
    }


def most_flipped(pairs: Iterable[tuple[Seeds, Seeds]], book: AnswerBook, limit: int) -> list[Place]:
    """The videos that flip in most of these (new, base) comparisons, the most often flipped first."""
    counts = Counter(place for new, base in pairs for place in _flipped(new, base, book))
    return sorted(counts, key=lambda place: (-counts[place], place))[:limit]


def _flipped(new: Seeds, base: Seeds, book: AnswerBook) -> list[Place]:
    """Places of the videos whose majority answer flips, over the seeds that both ran on the same videos."""
    common = [s for s in new if s in base and None is not book.number(new[s]) == book.number(base[s])]
    numbers = {book.number(new[seed]) for seed in common}
    if len(numbers) != 1:
        return []
    (number,) = numbers
    new_SV, base_SV = (np.stack([book.right(row[seed]) for seed in common]) for row in (new, base))
    return [(number or 0, flip.place) for flip in flips(new_SV, base_SV)]


def _set(
    number: int, videos: VideoSet, frame: pd.DataFrame, chosen: list[Place], data: Path | None
) -> dict[str, Any]:
    """One set of test videos; `chosen` maps a video with frames to its place in every row's `answers`."""
    same = frame[frame["dataset_manifest"] == videos.manifest]
    dataset = json.loads(same["config"].iloc[0])["dataset"]
    asked = {videos.videos[place]: index for index, (of, place) in enumerate(chosen) if of == number}
    frames, missing = strips_of(dataset, videos.manifest, list(asked), data)
    return {
        "videos": list(videos.videos),
        "labels": list(videos.labels),
        "classes": class_names(dataset),
        "chosen": asked,
        "frames": frames,
        "missing": missing,
    }


def _run(line: dict[Any, Any], metrics: list[str], pool: Pool, book: AnswerBook) -> dict[str, Any]:
    """One line of `harness.results.load()` as a small object; reads the run's predictions and curve."""
    entry: dict[str, Any] = {"id": line["id"], "status": line["status"], "source": line["source"]}
    if isinstance(line["reason"], str):
        entry["reason"] = line["reason"]
    if line["status"] != "unreadable":
        entry |= _declared(line, pool)
    if line["status"] == "failed":
        entry["traceback"] = line["traceback"]
    if line["status"] == "done":
        entry |= _measured(line, metrics, pool, book)
    return entry


def _declared(line: dict[Any, Any], pool: Pool) -> dict[str, Any]:
    """Configuration (without the seed, so that seeds share one), where it ran, and who asked for it.

    Of the provenance, what differs from run to run (times) stays with the run; the machine and its versions are shared.
    """
    config, facts_of_run = json.loads(line["config"]), json.loads(line["provenance"])
    seed, variants = config.pop("seed"), config.pop("variants")
    origin = [line[f"written_{name}"] for name in ("experiment", "row", "profile")]
    own = {k: v for k, v in facts_of_run.items() if isinstance(v, float) or k == "created"}
    return {
        "seed": seed,
        "config": pool.number({key: pool.number(value) for key, value in config.items()}),
        **({"variants": pool.number(variants)} if variants else {}),
        **({"asked": pool.number(origin)} if isinstance(origin[0], str) else {}),
        "machine": pool.number({k: v for k, v in facts_of_run.items() if k not in own}),
        "times": {k: v if isinstance(v, str) else rounded(v) for k, v in own.items()},
    }


def _measured(line: dict[Any, Any], metrics: list[str], pool: Pool, book: AnswerBook) -> dict[str, Any]:
    root, trial_id = line["root"], line["id"]
    book.read(root, trial_id, str(line["dataset_manifest"]))
    number = book.number(trial_id)
    return {
        "metrics": [rounded(line.get(name), 7) for name in metrics],
        "cost": [rounded(line.get(f"cost_{name}")) for name in COSTS],
        "fair": pool.number(facts(line)),
        "curve": _curve(root, trial_id),
        **({} if number is None else {"set": number, "right": book.packed(trial_id)}),
    }


def _curve(root: str, trial_id: str) -> list[list[float | None]] | None:
    """The columns of `CURVE`, one number an epoch; None where the file cannot be read."""
    try:
        curve = Store(root).curve(trial_id)
    except UserError:
        return None
    known = [curve[name].tolist() if name in curve else [] for name in CURVE]
    return [[rounded(value, 4) for value in values] for values in known]


def rounded(value: Any, digits: int = 5) -> float | None:
    """A number with so many significant digits; None for what is no finite number."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(f"{value:.{digits}g}")
