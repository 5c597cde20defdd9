"""The record of one trial: everything that a table, a comparison or a sceptic will ask of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from harness.experiment.identity import trial_id
from harness.experiment.spec import Trial

SCHEMA_VERSION = 1

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


@dataclass(frozen=True)
class Record:
    """One finished or failed trial.

    metrics      name -> value, names and directions in `METRICS`
    curve        one line an epoch: epoch, loss, lr, train_top1, val_top1, seconds
    predictions  one line a test video × view group: video, label, group, scores (list of float32, one a class;
                 mean over the group's crops, in the protocol's kind: logits, or softmax for `combinations`)
    cost         params, macs_per_view, views, macs_inference, latency_ms, peak_memory_mb, train_videos_per_s
    provenance   commit, dirty, versions, hardware, seeds, dataset manifest hash, wall and CPU seconds, retries, ...
    """

    trial: Trial
    status: Literal["done", "failed"]
    reason: str | None = None
    traceback: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    curve: pd.DataFrame = field(default_factory=pd.DataFrame)
    predictions: pd.DataFrame = field(default_factory=pd.DataFrame)
    cost: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return trial_id(self.trial)
