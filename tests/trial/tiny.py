"""Trials of about a second: ten classes of 24-px videos, a network two channels wide, three epochs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch

from harness.experiment.augment import Augment
from harness.experiment.datasets import ScriptedDigits, VideosPerClass
from harness.experiment.recipe import Recipe
from harness.experiment.sampling import TestProtocol, TrainSampling
from harness.experiment.spec import Input, Network, Numerics, Placed, Trial, Trunk

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
    schedule="cosine",
    warmup_epochs=1,
    epochs=EPOCHS,
    batch_videos=4,
    clip_norm=5,
    augment=Augment(flip=True),
)
INPUT = Input(mean=(110, 110, 110), std=(50, 50, 50))
DSA = Placed(name="dsa", position="II", beta=1.0, placement={"res5": (2,)}, options={"alpha": 2})
V4D = Placed(name="v4d", position="after", beta=1.0, placement={"res3": (2,)}, options={})


def tiny_trial(seed: int = 0, module: Placed | None = DSA, **changes: Any) -> Trial:
    """DSA on an I3D R18, two snippets of two frames; `changes` are fields of the recipe or of the trial."""
    recipe = {key: changes.pop(key) for key in list(changes) if key in Recipe.model_fields}
    options = {"width": 2, "stem_kernel": 3, "inflate": ("res5",), "dropout": 0.5}
    fields: dict[str, Any] = {
        "network": Network(model="i3d_r18", options=options, aggregation=module),
        "dataset": SPEC,
        "train": TrainSampling(T=2, U=2, interval=2, crop_px=24),
        "test": TestProtocol(U=4, crops=3, grouping="interleaved", crop_px=24),
        "input": INPUT,
        "recipe": RECIPE.model_copy(update=recipe),
        "numerics": Numerics(),
        "seed": seed,
    }
    return Trial(**{**fields, **changes})


def trunk(**changes: Any) -> Trunk:
    """One epoch on single snippets of the same videos."""
    recipe = RECIPE.model_copy(update={"epochs": 1, "warmup_epochs": 0.5, **changes})
    return Trunk(dataset=SPEC, T=2, recipe=recipe)


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
