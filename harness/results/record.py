"""The record of one trial: everything that a table, a comparison or a sceptic will ask of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol

import pandas as pd

from harness.experiment.identity import trial_id
from harness.experiment.spec import Trial


class Written(Protocol):
    """Under which experiment, row and profile a trial was asked for (`harness.plan.expand.Planned` is one)."""

    @property
    def experiment(self) -> str: ...
    @property
    def row(self) -> str: ...
    @property
    def profile(self) -> str: ...


@dataclass(frozen=True)
class Record:
    """One finished or failed trial.

    metrics      name -> value; the store keeps whatever is here
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

    @cached_property
    def id(self) -> str:
        return trial_id(self.trial)
