"""How much a trial computes, in multiply-adds: what makes the seconds of two trials comparable."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from harness.data import dataset_spec, describe, snippet_groups
from harness.experiment.spec import Trial

BACKWARD = 3.0  # forward and backward together, in forward passes


@dataclass(frozen=True)
class Passes:
    """Snippets that go through the network in one trial: forward and backward, and forward alone."""

    train: float
    test: float

    @property
    def forward_equivalents(self) -> float:
        return BACKWARD * self.train + self.test


def passes_of(trial: Trial) -> Passes | None:
    """Counted from the declarations (nothing need be prepared); None where the dataset's size is unknown."""
    sizes = describe(dataset_spec(trial.dataset))
    if sizes is None:
        return None
    views = sum(len(group) for group in _groups(trial)) * trial.test.crops
    train = sizes.videos["train"] * trial.train.U * trial.recipe.epochs
    validation = sizes.videos["select"] * trial.train.U * trial.recipe.epochs
    return Passes(train, sizes.videos["report"] * views + validation)


def work_of(trial: Trial, macs_per_view: float | None = None) -> float | None:
    """Multiply-adds of a whole trial; None where the dataset's size is unknown.

    `macs_per_view` is what a record measured; without it the network is built and counted (about half a second).
    """
    passes = passes_of(trial)
    if passes is None:
        return None
    if macs_per_view is not None:
        return passes.forward_equivalents * macs_per_view / len(_groups(trial)[0])
    seedless = trial.model_copy(update={"seed": 0})
    return passes.forward_equivalents * _macs_per_snippet(seedless.model_dump_json())


def _groups(trial: Trial) -> tuple[tuple[int, ...], ...]:
    return snippet_groups(trial.test.U, trial.train.U, trial.test.grouping)


@functools.lru_cache(maxsize=256)
def _macs_per_snippet(trial_json: str) -> float:
    from harness.models.cost import model_cost
    from harness.trial.build import build_model

    trial = Trial.model_validate_json(trial_json)
    model = build_model(trial, num_classes=classes_of(trial))
    counted = model_cost(model, T=trial.train.T, U=trial.train.U, crop_px=trial.crop_px)
    return counted.macs / trial.train.U


def classes_of(trial: Trial) -> int:
    """Classes of the declared dataset; 200 for an unknown one (the head is a vanishing part of the work)."""
    sizes = describe(dataset_spec(trial.dataset))
    return 200 if sizes is None else sizes.num_classes
