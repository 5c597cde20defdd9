"""A record as one flat row, and the row as a record again.

Scalars that people filter by stand in columns of their own; `config` (the whole trial) and `provenance` are
JSON as well, so that nothing is lost and the record can be rebuilt exactly.
"""

from __future__ import annotations

import json
import math
from typing import Any

import pandas as pd

from harness.experiment.identity import canonical_json
from harness.experiment.spec import Trial
from harness.results.record import SCHEMA_VERSION, Record, Written

# The metrics of the first records, which did not say which of their columns are metrics.
FIRST_METRICS = (
    "top1",
    "top5",
    "mean_class_accuracy",
    "factor_appearance",
    "factor_motion",
    "factor_order",
    "factor_position",
    "test_loss",
    "val_top1",
)

# Columns that the index and `harness.results.load` add.
ADDED = {"index_part", "index_file", "index_stamp", "source", "root"}


def flatten(record: Record, written: Written | None) -> dict[str, Any]:
    """One row of scalars: identity, configuration, every metric by its name, `cost_*`, `provenance_*`.

    `written` says under which experiment, row and profile the trial ran first; it is for people, not for
    joining: the same trial may stand in several tables. Raises ValueError for a metric with the name of another
    column: it would hide it.
    """
    row = _without_metrics(record, written)
    if taken := sorted((row.keys() | ADDED) & record.metrics.keys()):
        raise ValueError(f"a metric cannot be called {taken[0]!r}: that is another column of a record")
    return {**row, **{name: float(value) for name, value in record.metrics.items()}}


def _without_metrics(record: Record, written: Written | None) -> dict[str, Any]:
    return {
        "id": record.id,
        "schema_version": SCHEMA_VERSION,
        "status": record.status,
        "reason": record.reason,
        "traceback": record.traceback,
        "written_experiment": written.experiment if written else None,
        "written_row": written.row if written else None,
        "written_profile": written.profile if written else None,
        **config_columns(record.trial),
        "dataset_manifest": record.provenance.get("dataset_manifest"),
        "metrics": json.dumps(list(record.metrics)),
        **{f"cost_{name}": float(value) for name, value in record.cost.items()},
        **{f"provenance_{name}": _scalar(value) for name, value in record.provenance.items()},
        "provenance": json.dumps(record.provenance, sort_keys=True, default=str),
    }


def config_columns(trial: Trial) -> dict[str, Any]:
    """The trial's own settings, by the names of the field (T frames a snippet, U snippets a video)."""
    network = trial.network
    return {
        "seed": trial.seed,
        "backbone": network.backbone,
        "aggregation": network.aggregation,
        "position": network.position,
        "beta": float(network.beta),
        "placement": canonical_json(network.placement),
        "options": canonical_json(network.options),
        "width": network.width,
        "T": trial.train.T,
        "U": trial.train.U,
        "test_U": trial.test.U,
        "crops": trial.test.crops,
        "grouping": trial.test.grouping,
        "interval": trial.interval,
        "crop_px": trial.crop_px,
        "dataset": str(trial.dataset.get("name")),
        "recipe": canonical_json(trial.recipe.model_dump(mode="json")),
        **trial.numerics.model_dump(include={"device", "threads", "precision"}),
        "variant": trial.variant.file if trial.variant else None,
        "config": trial.model_dump_json(),
    }


def _scalar(value: Any) -> Any:
    return (
        value
        if value is None or isinstance(value, str | bool | int | float)
        else json.dumps(value, default=str)
    )


def unflatten(row: dict[str, Any], curve: pd.DataFrame, predictions: pd.DataFrame) -> Record:
    """The record that `flatten` wrote."""
    cost = {name.removeprefix("cost_"): value for name, value in row.items() if name.startswith("cost_")}
    return Record(
        trial=Trial.model_validate_json(row["config"]),
        status=row["status"],
        reason=row["reason"],
        traceback=row["traceback"],
        metrics=_metrics(row),
        curve=curve,
        predictions=predictions,
        cost={name: value for name, value in cost.items() if value is not None},
        provenance=json.loads(row["provenance"]),
    )


def _metrics(row: dict[str, Any]) -> dict[str, float]:
    """A first record wrote NaN for what it did not have; a later one names what it has."""
    if row.get("metrics"):
        return {name: float(row[name]) for name in json.loads(row["metrics"])}
    held = {name: row[name] for name in FIRST_METRICS if row.get(name) is not None}
    return {name: float(value) for name, value in held.items() if not math.isnan(value)}
