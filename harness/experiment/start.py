"""A start is a trial: the one that trains the trunk from which other trials start."""

from __future__ import annotations

from harness.experiment.spec import Sample, Scratch, TestProtocol, Trial, Trunk


def start_trial(trial: Trial) -> Trial | None:
    """The trial that makes a trial's starting weights: its backbone alone, on single snippets; None without a trunk."""
    start = trial.start
    if not isinstance(start, Trunk):
        return None
    inside_models = {"aggregation": None}
    return trial.model_copy(
        update={
            "network": trial.network.model_copy(update=inside_models),
            "dataset": start.dataset,
            "train": Sample(T=start.T, U=1, interval=trial.interval, crop_px=trial.train_crop),
            "test": TestProtocol(U=1, crops=1, grouping="all", crop_px=trial.test_crop),
            "recipe": start.recipe,
            "seed": start.seed,
            "start": Scratch(),
            "variants": tuple(v for v in trial.variants if _registers_model(v.source, trial.network.model)),
        }
    )


def _registers_model(source: str, model: str) -> bool:
    """Whether a variant's text defines the trial's model (an entry function of its name), and not only its module."""
    return f"def {model}(" in source
