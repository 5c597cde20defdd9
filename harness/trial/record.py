"""The metrics of a trial. The record itself is plain data and stands in `harness.results.record`."""

from __future__ import annotations

from typing import Literal

from harness.experiment.migrate import SCHEMA_VERSION
from harness.results.record import Record

__all__ = ["METRICS", "SCHEMA_VERSION", "Record"]

# Every metric with its direction. Accuracies are percentages over videos; factor accuracies say WHY a row wins
# (harness.data.factor_accuracies); val_* never appear in a table, they are for choosing recipes.
METRICS: dict[str, Literal["higher", "lower"]] = {
    "top1": "higher",
    "top5": "higher",
    "mean_class_accuracy": "higher",
    "factor_appearance": "higher",
    "factor_motion": "higher",
    "factor_order": "higher",
    "factor_position": "higher",
    "test_loss": "lower",
    "val_top1": "higher",
}
