"""Every row of the benchmark tables can learn under its OWN recipe: each of its weights has a gradient."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import nn

from harness.experiment import load_experiment, load_profile
from harness.experiment.spec import Scale, Trial
from harness.models import VideoModel, build_network
from harness.plan.expand import plan_trials
from harness.trial.failure import TrialFailed
from harness.trial.fit import make_optimizer, train_mode
from tests.trial.tiny import tiny_trial

TABLES = ("mini_kinetics_200", "kinetics_400", "activitynet_1_3", "something_v1")
torch.set_num_threads(1)
CLASSES, STEPS, LONGEST = 5, 3, 32
SIDE = {"tsn_inception_v3": 80}  # its pools need more than 32 px


@cache
def narrow(table: str) -> dict[str, Trial]:
    """row -> its trial at width 8, the recipe its own."""
    profile = load_profile(table).model_copy(update={"scale": Scale.model_validate({"width": 8})})
    return {p.row: p.trial for p in plan_trials(load_experiment(table), profile, [0])}


@pytest.mark.parametrize(("table", "row"), [(table, row) for table in TABLES for row in narrow(table)])
def test_every_weight_of_a_row_has_a_gradient_under_its_own_recipe(table: str, row: str) -> None:
    trial = narrow(table)[row]
    torch.manual_seed(0)
    T = min(trial.train.T, LONGEST)
    model = build_network(trial.network, CLASSES, U=trial.train.U, T=T)
    had = _had_gradient(model, trial, T)
    only_norms_freeze = all(
        parameter.ndim == 1 or name in had for name, parameter in model.named_parameters()
    )
    assert only_norms_freeze
    assert [name for name, has in had.items() if not has] == []


def _had_gradient(model: VideoModel, trial: Trial, T: int) -> dict[str, bool]:
    """Each weight that is not frozen -> whether it had a gradient in one of the first steps."""
    optimizer, side = make_optimizer(model, trial.recipe), SIDE.get(trial.network.model, 32)
    train_mode(model, trial.recipe)
    had = {name: False for name, parameter in model.named_parameters() if parameter.requires_grad}
    for _ in range(STEPS):
        train_mode(model, trial.recipe)
        optimizer.zero_grad(set_to_none=True)
        scores_NK = model(torch.randn(2, trial.train.U, 3, T, side, side), None)
        nn.functional.cross_entropy(scores_NK, torch.tensor([0, 1])).backward()
        # Where a recipe does not clip, fresh weights may explode.
        nn.utils.clip_grad_norm_(model.parameters(), trial.recipe.clip_norm or 40.0)
        optimizer.step()
        for name in had:
            gradient = model.get_parameter(name).grad
            had[name] |= gradient is not None and bool(gradient.any())
        if all(had.values()):
            break
    return had


def test_a_frozen_scale_of_zero_is_refused_and_named() -> None:
    trial = tiny_trial(module=None, frozen_norms=True)
    model = build_network(trial.network, CLASSES, U=2, T=2)
    train_mode(model, trial.recipe)  # scales of one are the affine part that they start with
    nn.init.zeros_(model.get_submodule("backbone.res3.0.bn2").weight)
    with pytest.raises(
        TrialFailed, match=r"recipe\.frozen_norms: the scale of backbone\.res3\.0\.bn2 starts at zero"
    ):
        train_mode(model, trial.recipe)
