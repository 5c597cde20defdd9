"""The training loop and its schedule, on a toy that can be followed by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from harness.experiment.spec import Numerics, Recipe
from harness.trial.fit import Fit, InputTransform, TrialFailed, learning_rate, make_optimizer
from tests.trial.tiny import RECIPE

EPOCHS = st.integers(2, 40)


def _recipe(**changes: Any) -> Recipe:
    return Recipe.model_validate({**RECIPE.model_dump(), **changes})


@given(EPOCHS, st.integers(1, 50), st.floats(0, 1))
def test_one_cycle_rises_to_the_peak_and_falls_to_nothing(epochs: int, steps: int, share: float) -> None:
    recipe = _recipe(lr=0.5, epochs=epochs, warmup_epochs=share * (epochs - 1))
    rates = [learning_rate(step, steps, recipe) for step in range(epochs * steps)]
    warmup = math.ceil(recipe.warmup_epochs * steps)
    assert all(0 < rate <= 0.5 for rate in rates)
    assert rates[:warmup] == sorted(rates[:warmup])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)
    assert learning_rate(epochs * steps, steps, recipe) == pytest.approx(0, abs=1e-12)
    if warmup:
        assert rates[0] == pytest.approx(0.5 * 0.01), "starts at a hundredth"


@given(st.integers(1, 50), st.sets(st.integers(2, 29), min_size=1, max_size=4))
def test_steps_divide_by_ten_at_every_milestone(steps: int, milestones: set[int]) -> None:
    ordered = sorted(milestones)
    recipe = _recipe(schedule="steps", lr=1, milestones=ordered, epochs=30, warmup_epochs=1)
    for epoch in range(1, 30):
        expected = 0.1 ** sum(epoch >= m for m in ordered)
        assert learning_rate(epoch * steps, steps, recipe) == pytest.approx(expected)
        assert learning_rate(epoch * steps + steps - 1, steps, recipe) == pytest.approx(expected)


def test_the_schedule_is_a_function_of_the_step_alone() -> None:
    recipe = _recipe(epochs=10, warmup_epochs=2)
    assert learning_rate(10, 5, recipe) == recipe.lr, "the peak stands at the end of the warm-up"
    assert learning_rate(30, 5, recipe) == pytest.approx(recipe.lr / 2), "half-way down the cosine"


def test_optimizers_are_set_by_the_recipe() -> None:
    model = nn.Linear(2, 2)
    adamw = make_optimizer(model, _recipe(weight_decay=0.3))
    sgd = make_optimizer(model, _recipe(optimizer="sgd", momentum=0.8, weight_decay=0.3))
    plain = make_optimizer(model, _recipe(optimizer="sgd", momentum=0))
    assert isinstance(adamw, torch.optim.AdamW)
    assert adamw.param_groups[0]["weight_decay"] == 0.3
    assert (sgd.param_groups[0]["nesterov"], sgd.param_groups[0]["momentum"]) == (True, 0.8)
    assert plain.param_groups[0]["nesterov"] is False


def test_frames_become_floats_by_channel() -> None:
    x = torch.tensor([0, 110, 255], dtype=torch.uint8).view(1, 1, 3, 1, 1, 1).expand(2, 3, 3, 4, 5, 5)
    y = InputTransform((0, 10, 55), (1, 50, 100), "cpu")(x)
    assert y.shape == x.shape
    assert y[0, 0, :, 0, 0, 0].tolist() == [0.0, 2.0, 2.0]


class Toy:
    """Two classes told apart by brightness; batches are a function of the epoch alone."""

    def __init__(self, spoil_epoch: int | None = None) -> None:
        self.asked: list[int] = []
        self.spoil_epoch = spoil_epoch

    def __len__(self) -> int:
        return 4

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor, Any]]:
        self.asked.append(epoch)
        rng = np.random.default_rng(epoch)
        for _ in range(4):
            labels = torch.from_numpy(rng.permutation(8) % 2)
            x = torch.from_numpy(rng.integers(0, 60, (8, 1, 3, 1, 2, 2), dtype=np.uint8))
            x += (150 * labels).to(torch.uint8).view(-1, 1, 1, 1, 1, 1)
            yield (x.float() * math.nan if epoch == self.spoil_epoch else x), labels, None


def _fit(recipe: Recipe, batches: Toy, **options: Any) -> Fit:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    transform = InputTransform(recipe.mean, recipe.std, "cpu")
    numerics = options.pop("numerics", Numerics())
    return Fit(model, batches, recipe, numerics, transform, lambda: 12.5, "toy", **options)


def test_it_learns_what_can_be_learned_and_keeps_the_curve() -> None:
    fit = _fit(_recipe(lr=0.05, epochs=4), Toy())
    fit.run()
    losses = [epoch["loss"] for epoch in fit.history]
    assert losses == sorted(losses, reverse=True)
    assert fit.history[-1]["train_top1"] == 100
    assert [epoch["epoch"] for epoch in fit.history] == [1, 2, 3, 4]
    assert {epoch["val_top1"] for epoch in fit.history} == {12.5}
    assert [epoch["lr"] for epoch in fit.history] == [
        learning_rate(4 * e + 3, 4, fit.recipe) for e in range(4)
    ]


def test_it_goes_on_where_the_checkpoint_ends(tmp_path: Path) -> None:
    recipe = _recipe(epochs=4)

    def stop(told: dict[str, Any]) -> None:
        if told["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _fit(recipe, Toy(), checkpoint_dir=tmp_path, report=stop).run()
    batches = Toy()
    resumed, whole = _fit(recipe, batches, checkpoint_dir=tmp_path), _fit(recipe, Toy())
    resumed.run()
    whole.run()
    assert batches.asked == [2, 3]
    assert resumed.resumed_from == 2
    assert [e["loss"] for e in resumed.history] == [e["loss"] for e in whole.history]
    assert all(map(torch.equal, resumed.model.parameters(), whole.model.parameters()))


def test_a_loss_that_is_no_number_ends_the_trial_with_its_reason(tmp_path: Path) -> None:
    fit = _fit(_recipe(), Toy(spoil_epoch=1), checkpoint_dir=tmp_path)
    with pytest.raises(TrialFailed, match=r"^diverged: the training loss of epoch 2 is nan$"):
        fit.run()
    kept = torch.load(tmp_path / "last.pt", weights_only=True)
    assert len(kept["history"]) == 1, "a diverged epoch was kept"


def test_no_step_is_longer_than_rate_times_clipped_gradient() -> None:
    recipe = _recipe(optimizer="sgd", momentum=0, weight_decay=0, lr=1, clip_norm=1e-3, epochs=2)
    fit = _fit(recipe, Toy())
    before = torch.cat([p.detach().clone().flatten() for p in fit.model.parameters()])
    fit.run()
    moved = torch.cat([p.detach().flatten() for p in fit.model.parameters()]) - before
    assert 0 < moved.norm() <= 8 * 1e-3 * 1.001


def test_bfloat16_keeps_float32_weights_and_gives_other_numbers() -> None:
    half = _fit(_recipe(), Toy(), numerics=Numerics(precision="bfloat16"))
    full = _fit(_recipe(), Toy())
    for fit in (half, full):
        fit.run()
    assert {p.dtype for p in half.model.parameters()} == {torch.float32}
    assert half.history[0]["loss"] != full.history[0]["loss"]
    assert half.history[0]["loss"] == pytest.approx(full.history[0]["loss"], rel=0.05)
