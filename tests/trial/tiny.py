"""Trials of about a second: ten classes of 24-px videos, a network two channels wide, three epochs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch

from harness.data import ScriptedDigits
from harness.experiment.datasets import VideosPerClass
from harness.experiment.spec import Network, Numerics, Pretraining, Recipe, TestProtocol, TrainSampling, Trial

EPOCHS = 3
SPEC = ScriptedDigits(
    scripts=("RR", "RU", "UR", "R-", "-R"),
    frame_width=32,
    frame_height=24,
    length=(24, 28),
    lead=(0, 2),
    gap=(2, 4),
    videos_per_class=VideosPerClass(train=2, val=1, test=2),
)
RECIPE = Recipe(
    optimizer="adamw",
    lr=4e-3,
    weight_decay=0.01,
    schedule="one_cycle",
    warmup_epochs=1,
    epochs=EPOCHS,
    batch_videos=4,
    clip_norm=5,
    horizontal_flip=True,
    mean=(110, 110, 110),
    std=(50, 50, 50),
)
PLAIN: dict[str, Any] = {
    "aggregation": "average",
    "position": None,
    "beta": 1.0,
    "placement": {},
    "options": {},
}
DSA: dict[str, Any] = {
    "aggregation": "dsa",
    "position": "II",
    "beta": 1.0,
    "placement": {"res5": (2,)},
    "options": {"alpha": 2},
}


def tiny_trial(seed: int = 0, module: dict[str, Any] | None = None, **changes: Any) -> Trial:
    """DSA on an I3D R18, two snippets of two frames; `changes` are fields of the recipe or of the trial."""
    recipe = {key: changes.pop(key) for key in list(changes) if key in Recipe.model_fields}
    network = Network(
        backbone="i3d_r18",
        width=2,
        stem_kernel=3,
        inflate=("res5",),
        dropout=0.5,
        **(DSA if module is None else module),
    )
    fields: dict[str, Any] = {
        "network": network,
        "dataset": SPEC.model_dump(mode="json"),
        "train": TrainSampling(T=2, U=2),
        "test": TestProtocol(U=4, crops=3, grouping="interleaved"),
        "crop_px": 24,
        "interval": 2,
        "recipe": RECIPE.model_copy(update=recipe),
        "numerics": Numerics(),
        "seed": seed,
    }
    return Trial(**{**fields, **changes})


def pretraining(**changes: Any) -> Pretraining:
    """One epoch on single snippets of the same videos."""
    recipe = RECIPE.model_copy(update={"epochs": 1, "warmup_epochs": 0.5, **changes})
    return Pretraining(dataset=SPEC.model_dump(mode="json"), T=2, recipe=recipe)


def weights(checkpoint_dir: Path) -> dict[str, torch.Tensor]:
    """The network of the last checkpoint."""
    state: dict[str, torch.Tensor] = torch.load(checkpoint_dir / "last.pt", weights_only=True)["model"]
    return state


def same_tensors(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def untimed(curve: pd.DataFrame) -> pd.DataFrame:
    """What of a curve does not depend on the machine's mood."""
    return curve.drop(columns=["seconds", "train_videos_per_s"])
