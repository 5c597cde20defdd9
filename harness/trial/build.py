"""The network of a trial, and the variant's module that it may need."""

from __future__ import annotations

from typing import Any

from harness.experiment.spec import Trial
from harness.models import VideoModel, create_model
from harness.models.variant import load_variant_source


def build_model(trial: Trial, num_classes: int) -> VideoModel:
    """A fresh network by the trial's specification, its weights from torch's global generator."""
    if trial.variant is not None:
        load_variant_source(trial.variant.source, trial.variant.file)
    network = trial.network
    modules: dict[str, Any] = {
        "position": network.position,
        "beta": network.beta,
        "stages": tuple(network.placement),
        "blocks": network.placement,
        **network.options,
    }
    return create_model(
        network.backbone,
        num_classes,
        U=trial.train.U,
        T=trial.train.T,
        aggregation=network.aggregation,
        width=network.width,
        stem_kernel=network.stem_kernel,
        inflate=network.inflate,
        dropout=network.dropout,
        **(modules if network.placement else {}),
    )
