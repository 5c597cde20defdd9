"""Every run as a small JSON object: what repeats from run to run is written once, in a pool."""

from __future__ import annotations

import json
import math
from typing import Any

import pandas as pd

from harness.base.errors import UserError
from harness.experiment.identity import canonical_json
from harness.methods.comparable import must_agree
from harness.reports.page.answers import AnswerBook
from harness.results import Store
from harness.trial.record import METRICS

CURVE = ("val_top1", "train_top1", "loss")
COST = (
    "params",
    "macs_per_view",
    "views",
    "macs_inference",
    "latency_ms",
    "peak_memory_mb",
    "train_videos_per_s",
)


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


def rounded(value: Any, digits: int = 5) -> float | None:
    """A number with so many significant digits; None for what is no finite number."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(f"{value:.{digits}g}")


def run_entries(frame: pd.DataFrame, pool: Pool, book: AnswerBook) -> list[dict[str, Any]]:
    """One object a line of `harness.results.load()`; reads each run's predictions and curve."""
    return [_entry(line, pool, book) for line in frame.to_dict("records")]


def _entry(line: dict[Any, Any], pool: Pool, book: AnswerBook) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": line["id"], "status": line["status"], "source": line["source"]}
    if isinstance(line["reason"], str):
        entry["reason"] = line["reason"]
    if line["status"] != "unreadable":
        entry |= _declared(line, pool)
    if line["status"] == "failed":
        entry["traceback"] = line["traceback"]
    if line["status"] == "done":
        entry |= _measured(line, pool, book)
    return entry


def _declared(line: dict[Any, Any], pool: Pool) -> dict[str, Any]:
    """Configuration (without the seed, so that seeds share one), where it ran, and who asked for it."""
    config = json.loads(line["config"])
    seed, variant = config.pop("seed"), config.pop("variant")
    pieces = {key: pool.number(value) for key, value in config.items()}
    origin = [line[f"written_{name}"] for name in ("experiment", "row", "profile")]
    return {
        "seed": seed,
        "config": pool.number(pieces),
        **({"variant": pool.number(variant)} if variant else {}),
        **({"asked": pool.number(origin)} if isinstance(origin[0], str) else {}),
        **_provenance(json.loads(line["provenance"]), pool),
    }


def _provenance(facts: dict[str, Any], pool: Pool) -> dict[str, Any]:
    """What differs from run to run (times) stays with the run; the machine and its versions are shared."""
    own = {k: v for k, v in facts.items() if isinstance(v, float) or k == "created"}
    shared = {k: v for k, v in facts.items() if k not in own}
    return {
        "machine": pool.number(shared),
        "times": {k: v if isinstance(v, str) else rounded(v) for k, v in own.items()},
    }


def _measured(line: dict[Any, Any], pool: Pool, book: AnswerBook) -> dict[str, Any]:
    root, trial_id = line["root"], line["id"]
    book.read(root, trial_id, str(line["dataset_manifest"]))
    number = book.number(trial_id)
    return {
        "metrics": [rounded(line.get(name), 7) for name in METRICS],
        "cost": [rounded(line.get(f"cost_{name}")) for name in COST],
        "fair": pool.number(must_agree(pd.Series(line))),
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
