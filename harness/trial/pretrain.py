"""The backbone's start: one training on single snippets, shared by every row and seed that asks for it.

It stands for the paper's ImageNet-trained, inflated ResNet (method.md, "Initialisation"): the trunk learns
appearance and short-term motion once, and never sees two snippets of one video. Like the dataset it is made
before any trial starts; two makers at once do not hurt each other, and a half-written file is never used.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from harness.base.locks import locked
from harness.experiment.identity import trial_id
from harness.experiment.load import BASELINES
from harness.experiment.spec import TestProtocol, TrainSampling, Trial
from harness.models import VideoModel
from harness.trial.checkpoint import save_atomically
from harness.trial.fit import Report, TrialFailed

ACROSS = ".across."  # the names of modules across snippets, which no pre-trained trunk has


def pretraining_trial(trial: Trial) -> Trial:
    """The trial that makes a trial's starting weights: its backbone alone, on single snippets."""
    start = trial.pretraining
    if start is None:
        raise ValueError("this trial starts from scratch")
    alone: dict[str, object] = {
        "aggregation": "average",
        "position": None,
        "beta": 1.0,
        "placement": {},
        "options": {},
    }
    return trial.model_copy(
        update={
            "network": trial.network.model_copy(update=alone),
            "dataset": start.dataset,
            "train": TrainSampling(T=start.T, U=1),
            "test": TestProtocol(U=1, crops=1, grouping="all"),
            "recipe": start.recipe,
            "seed": start.seed,
            "pretraining": None,
            "variant": None,
        }
    )


def weights_path(trial: Trial, root: Path) -> Path:
    """Where the starting weights lie: named by all that they depend on.

    Those of the shipped baselines ship with them. Trained again on another machine they would differ in their last
    bits at first and visibly at the end, and with them every trial that starts there: a new module would then be
    compared with a baseline of another start. Anything else lies under `root`.
    """
    name = f"{trial.network.backbone}-{trial_id(pretraining_trial(trial))}.pt"
    shipped = (folder / "pretrained" / name for folder in BASELINES.glob("*"))
    return next((path for path in shipped if path.exists()), root / "pretrained" / name)


def prepare_weights(
    trial: Trial, root: Path, fit: Callable[[Trial, Report | None], VideoModel], report: Report | None = None
) -> Path:
    """Make the starting weights unless they are there; returns their file.

    `fit` trains a trial and returns its network. A second maker waits for the first and then finds the file.
    """
    path = weights_path(trial, root)
    if path.exists():
        return path
    with locked(path.parent / f".{path.name}.lock"):
        if not path.exists():
            trunk = fit(pretraining_trial(trial), report).backbone
            save_atomically({name: value.cpu() for name, value in trunk.state_dict().items()}, path)
    return path


def load_weights(model: VideoModel, path: Path) -> None:
    """Fill the backbone from a file of `prepare_weights`; modules across snippets and the head stay as they are.

    Raises TrialFailed where the file is damaged or of another network.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        missing, unexpected = model.backbone.load_state_dict(state, strict=False)
    except Exception as error:
        what = str(error).partition("\n")[0][:120]
        raise TrialFailed(
            f"{path}: the starting weights cannot be used ({what}); delete the file and run again"
        ) from None
    foreign = [name for name in missing if ACROSS not in name] + list(unexpected)
    if foreign:
        raise TrialFailed(f"{path}: the starting weights do not fit the backbone at {foreign[0]}")
