"""A record as one flat row, and the row as a record again.

Scalars that people filter by stand in columns of their own; `config` (the whole trial) and `provenance` are
JSON as well, so that nothing is lost and the record can be rebuilt exactly.
"""

from __future__ import annotations

import json
import math
from typing import Any

import pandas as pd

from harness.base.text import dotted
from harness.experiment.identity import canonical_json, trial_id
from harness.experiment.migrate import SCHEMA_VERSION, read_trial
from harness.experiment.spec import Trial
from harness.results.record import Record, Written

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
    network, across = trial.network, trial.network.aggregation
    return {
        "seed": trial.seed,
        "model": network.model,
        "model_options": canonical_json(network.options),
        "inside": canonical_json([one.model_dump(mode="json") for one in network.inside]),
        "aggregation": across.name if across else "average",
        "position": across.position if across else None,
        "beta": across.beta if across else 1.0,
        "placement": canonical_json(across.placement if across else {}),
        "options": canonical_json(across.options if across else {}),
        "T": trial.train.T,
        "U": trial.train.U,
        "test_U": trial.test.U,
        "crops": trial.test.crops,
        "grouping": trial.test.grouping,
        "interval": trial.train.interval,
        "crop_px": trial.train_crop,
        "test_crop_px": trial.test_crop,
        "dataset": trial.dataset.name,
        "recipe": canonical_json(trial.recipe.model_dump(mode="json")),
        **trial.numerics.model_dump(include={"device", "threads", "precision"}),
        "variant": ", ".join(variant.file for variant in trial.variants) or None,
        "config": trial.model_dump_json(),
    }


def flat_config(trial: Trial) -> dict[str, Any]:
    """Every setting by its dotted name in YAML (`recipe.lr`, `network.options.width`), for tools that know no nesting.

    Values are text, numbers and booleans; lists and nothing are JSON. A variant's source is left out.
    """
    config = trial.model_dump(mode="json", exclude={"variants": {"__all__": {"source"}}})
    return {
        name: value if isinstance(value, str | bool | int | float) else canonical_json(value)
        for name, value in dotted(config)
    }


def migrated(row: dict[str, Any], place: str) -> dict[str, Any]:
    """A record's row in today's columns: the config of an older schema is migrated, and what follows from it.

    The row's `schema_version` stays what its file has. Raises UserError where the config is not of its version.
    """
    version = int(row.get("schema_version") or SCHEMA_VERSION)
    if "config" not in row or version == SCHEMA_VERSION:
        return row
    trial = read_trial(row["config"], version, place)
    kept = {name: value for name, value in row.items() if name not in _FIRST_COLUMNS}
    return {**kept, **config_columns(trial), "id": trial_id(trial)}


_FIRST_COLUMNS = {"backbone", "width"}  # of the first schema, called otherwise now


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
        metrics=metrics_of(row),
        curve=curve,
        predictions=predictions,
        cost={name: value for name, value in cost.items() if value is not None},
        provenance=json.loads(row["provenance"]),
    )


def metrics_of(row: dict[str, Any]) -> dict[str, float]:
    """A record's metrics by name. A first record wrote NaN for what it did not have; a later one names what it has.

    A metric that is no number (a facet without a video) is a null in the file.
    """
    if row.get("metrics"):
        names = json.loads(row["metrics"])
        return {name: math.nan if row[name] is None else float(row[name]) for name in names}
    held = {name: row[name] for name in FIRST_METRICS if row.get(name) is not None}
    return {name: float(value) for name, value in held.items() if not math.isnan(value)}
