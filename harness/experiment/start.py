"""A start is a trial: the one that trains the trunk from which other trials start."""

from __future__ import annotations

from pathlib import Path

from harness.experiment.identity import trial_id
from harness.experiment.load import BASELINES
from harness.experiment.spec import Scratch, Trial, Trunk


def start_trial(trial: Trial) -> Trial | None:
    """The trial that makes a trial's starting weights: its backbone alone, on single snippets; None without a trunk."""
    start = trial.start
    if not isinstance(start, Trunk):
        return None
    whole = trial.test.model_copy(update={"U": 1, "crops": 1, "grouping": "all"})
    return trial.model_copy(
        update={
            "network": trial.network.model_copy(update={"aggregation": None}),
            "dataset": start.dataset,
            "train": trial.train.model_copy(update={"T": start.T, "U": 1}),
            "test": whole,
            "recipe": start.recipe,
            "seed": start.seed,
            "start": Scratch(),
            "variants": tuple(v for v in trial.variants if _registers_model(v.source, trial.network.model)),
        }
    )


def trunk_path(start: Trial, data_root: Path) -> Path:
    """Where the trunk of a start trial lies, or will lie: named by all that it depends on.

    Those of the shipped baselines ship with them. Trained again on another machine they would differ in their last
    bits at first and visibly at the end, and with them every trial that starts there: a new module would then be
    compared with a baseline of another start. Anything else lies under `data_root`.
    """
    name = f"{start.network.model}-{trial_id(start)}.pt"
    shipped = (folder / "pretrained" / name for folder in BASELINES.glob("*"))
    return next((path for path in shipped if path.exists()), data_root / "pretrained" / name)


def _registers_model(source: str, model: str) -> bool:
    """Whether a variant's text defines the trial's model (an entry function of its name), and not only its module."""
    return f"def {model}(" in source
