"""Every row of the embedded benchmark trains a few steps, is tested, and gives a whole record."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.data import prepare
from harness.experiment import load_experiment, load_profile
from harness.experiment.datasets import VideosPerClass
from harness.experiment.spec import Profile, Scratch
from harness.plan.expand import plan_trials
from harness.trial import run_trial

ROWS = [row.name for row in load_experiment("benchmark").rows]


@pytest.fixture(scope="module")
def few_steps() -> Profile:
    """The smoke profile's scale: 24 videos, three steps from fresh weights, each row's own views."""
    smoke = load_profile("smoke")
    assert smoke.recipe is not None
    few = VideosPerClass(train=2, val=1, test=1)
    changes = {
        "dataset": smoke.dataset.model_copy(update={"videos_per_class": few}),
        "recipe": smoke.recipe.model_copy(update={"epochs": 1, "warmup_epochs": 0}),
        "scale": smoke.scale.model_copy(update={"crop_px": 24}),
        "start": Scratch(),
        "test": None,
    }
    return smoke.model_copy(update=changes)


@pytest.fixture(scope="module")
def data_root(few_steps: Profile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    prepare(few_steps.dataset, root, workers=1)
    return root


@pytest.mark.parametrize("row", ROWS)
def test_a_system_trains_a_few_steps_and_is_tested(row: str, few_steps: Profile, data_root: Path) -> None:
    (planned,) = (p for p in plan_trials(load_experiment("benchmark"), few_steps, [0]) if p.row == row)
    record = run_trial(planned.trial, data_root=data_root)
    assert record.status == "done" and len(record.curve) == 1
    assert np.isfinite(record.curve["loss"]).all() and np.isfinite(list(record.metrics.values())).all()
    assert {"top1", "factor_order", "factor_position"} <= set(record.metrics)
    assert record.cost["params"] < 1_500_000 and record.cost["macs_per_view"] > 0
    assert len(record.predictions["video"].unique()) == 12
