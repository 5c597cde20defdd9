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
from harness.plan.expand import Planned
from harness.trial.record import METRICS, SCHEMA_VERSION, Record


def flatten(record: Record, written: Planned | None) -> dict[str, Any]:
    """One row of scalars: identity, configuration, metrics, `cost_*`, `provenance_*`.

    `written` says under which experiment, row and profile the trial ran first; it is for people, not for
    joining: the same trial may stand in several tables.
    """
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
        **{name: record.metrics.get(name, math.nan) for name in METRICS},
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
    metrics = {name: float(row[name]) for name in METRICS if row.get(name) is not None}
    cost = {name.removeprefix("cost_"): value for name, value in row.items() if name.startswith("cost_")}
    return Record(
        trial=Trial.model_validate_json(row["config"]),
        status=row["status"],
        reason=row["reason"],
        traceback=row["traceback"],
        metrics=metrics,
        curve=curve,
        predictions=predictions,
        cost={name: value for name, value in cost.items() if value is not None},
        provenance=json.loads(row["provenance"]),
    )
