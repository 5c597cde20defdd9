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
from pydantic import ValidationError
from torch import Tensor, nn

from harness.data import TrainBatch
from harness.experiment.recipe import Recipe
from harness.experiment.spec import Input, Numerics
from harness.models import create_model
from harness.trial import state
from harness.trial.failure import TrialFailed
from harness.trial.fit import InputTransform, learning_rate, make_optimizer, train, train_mode
from harness.trial.state import Checkpoints, Position
from tests.trial.tiny import RECIPE, tiny_trial

EPOCHS = st.integers(2, 40)


def _recipe(**changes: Any) -> Recipe:
    return Recipe.model_validate({**RECIPE.model_dump(), **changes})


@given(EPOCHS, st.integers(1, 50), st.floats(0, 1))
def test_the_cosine_rises_to_the_peak_and_falls_to_nothing(epochs: int, steps: int, share: float) -> None:
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
    y = InputTransform(Input(mean=(0, 10, 55), std=(1, 50, 100)), "cpu")(x)
    assert y.shape == x.shape
    assert y[0, 0, :, 0, 0, 0].tolist() == [0.0, 2.0, 2.0]
    bgr = InputTransform(Input(mean=(0, 10, 55), std=(1, 50, 100), order="bgr"), "cpu")(x)
    assert bgr[0, 0, :, 0, 0, 0].tolist() == [255.0, 2.0, pytest.approx(-0.55)]


class Toy:
    """Two classes told apart by brightness; a batch is a function of epoch and step alone."""

    def __init__(self, spoil_epoch: int | None = None, several: bool = False) -> None:
        self.asked: list[tuple[int, int]] = []
        self.spoil_epoch, self.several = spoil_epoch, several

    def __len__(self) -> int:
        return 4

    def epoch(self, e: int, start_step: int = 0) -> Iterator[Any]:
        for step in range(start_step, 4):
            self.asked.append((e, step))
            rng = np.random.default_rng([e, step])
            labels = torch.from_numpy(rng.permutation(8) % 2)
            x = torch.from_numpy(rng.integers(0, 60, (8, 1, 3, 1, 2, 2), dtype=np.uint8))
            x += (150 * labels).to(torch.uint8).view(-1, 1, 1, 1, 1, 1)
            spoiled = x.float() * math.nan if e == self.spoil_epoch else x
            targets = nn.functional.one_hot(labels, 2).float() if self.several else None
            yield TrainBatch(spoiled, labels, np.arange(8), targets)


class Flat(nn.Module):
    """A linear network on the pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(12, 2)

    def forward(self, x_NUCTHW: Tensor, boxes: Tensor | None = None) -> Tensor:
        scores: Tensor = self.fc(x_NUCTHW.flatten(1))
        return scores


def _train(recipe: Recipe, batches: Toy, **options: Any) -> tuple[Flat, Position]:
    torch.manual_seed(3)
    model = Flat()
    trial = tiny_trial(numerics=options.pop("numerics", Numerics())).model_copy(update={"recipe": recipe})
    return model, train(model, batches, trial, validate=options.pop("validate", lambda: 12.5), **options)


def test_it_learns_what_can_be_learned_and_keeps_the_curve() -> None:
    recipe = _recipe(lr=0.05, epochs=4)
    _, end = _train(recipe, Toy())
    losses = [epoch["loss"] for epoch in end.history]
    assert losses == sorted(losses, reverse=True)
    assert end.history[-1]["train_top1"] == 100
    assert [epoch["epoch"] for epoch in end.history] == [1, 2, 3, 4]
    assert {epoch["val_top1"] for epoch in end.history} == {12.5}
    assert [epoch["lr"] for epoch in end.history] == [learning_rate(4 * e + 3, 4, recipe) for e in range(4)]


class Killed(BaseException):
    """What a training does not survive."""


def _stop_in(epoch: int) -> Any:
    def stop(told: dict[str, Any]) -> None:
        if told["epoch"] == epoch:
            raise Killed

    return stop


def test_it_goes_on_where_the_checkpoint_ends(tmp_path: Path) -> None:
    recipe = _recipe(epochs=4)
    with pytest.raises(Killed):
        _train(recipe, Toy(), checkpoints=Checkpoints(tmp_path, "toy"), report=_stop_in(2))
    batches = Toy()
    resumed, end = _train(recipe, batches, checkpoints=Checkpoints(tmp_path, "toy"))
    whole, undisturbed = _train(recipe, Toy())
    assert batches.asked == [(e, s) for e in (2, 3) for s in range(4)]
    assert end.resumed_from == 2
    assert [e["loss"] for e in end.history] == [e["loss"] for e in undisturbed.history]
    assert all(map(torch.equal, resumed.parameters(), whole.parameters()))


@pytest.mark.parametrize("steps", [1, 5, 7, 10])
def test_a_training_killed_within_an_epoch_ends_with_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    monkeypatch.setattr(state, "SECONDS_BETWEEN", -1.0)  # a checkpoint after every step

    class Dies(Toy):
        def epoch(self, e: int, start_step: int = 0) -> Iterator[Any]:
            for batch in super().epoch(e, start_step):
                if len(self.asked) > steps:
                    raise Killed
                yield batch

    recipe, batches = _recipe(epochs=3), Toy()
    with pytest.raises(Killed):
        _train(recipe, Dies(), checkpoints=Checkpoints(tmp_path, "toy"))
    resumed, end = _train(recipe, batches, checkpoints=Checkpoints(tmp_path, "toy"))
    whole, undisturbed = _train(recipe, Toy())
    assert batches.asked[0] == divmod(steps, 4), "a step was trained twice or never"
    for ours, theirs in zip(end.history, undisturbed.history, strict=True):
        assert (ours["loss"], ours["train_top1"]) == (theirs["loss"], theirs["train_top1"])
    assert all(map(torch.equal, resumed.parameters(), whole.parameters()))


def test_a_loss_that_is_no_number_ends_the_trial_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(TrialFailed, match=r"^diverged: the training loss of epoch 2 is nan$"):
        _train(_recipe(), Toy(spoil_epoch=1), checkpoints=Checkpoints(tmp_path, "toy"))
    kept = torch.load(tmp_path / "last.pt", weights_only=True)
    assert len(kept["position"]["history"]) == 1, "a diverged epoch was kept"


def test_no_step_is_longer_than_rate_times_clipped_gradient() -> None:
    recipe = _recipe(optimizer="sgd", momentum=0, weight_decay=0, lr=1, clip_norm=1e-3, epochs=2)
    torch.manual_seed(3)
    before = torch.cat([p.detach().flatten() for p in Flat().parameters()])
    model, _ = _train(recipe, Toy())
    moved = torch.cat([p.detach().flatten() for p in model.parameters()]) - before
    assert 0 < moved.norm() <= 8 * 1e-3 * 1.001


def test_bfloat16_keeps_float32_weights_and_gives_other_numbers() -> None:
    model, half = _train(_recipe(), Toy(), numerics=Numerics(precision="bfloat16"))
    _, full = _train(_recipe(), Toy())
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert half.history[0]["loss"] != full.history[0]["loss"]
    assert half.history[0]["loss"] == pytest.approx(full.history[0]["loss"], rel=0.05)


def test_a_batch_in_parts_gives_the_gradient_of_the_whole() -> None:
    whole, one = _train(_recipe(), Toy())
    parts, four = _train(_recipe(), Toy(), numerics=Numerics(accumulate=4))
    assert four.history[0]["loss"] == pytest.approx(one.history[0]["loss"], rel=1e-6)
    for ours, theirs in zip(parts.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_several_labels_share_the_loss_equally() -> None:
    single, _ = _train(_recipe(), Toy())
    several, _ = _train(_recipe(), Toy(several=True))  # one label each, spelled as many could be
    for ours, theirs in zip(several.parameters(), single.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


def test_new_layers_and_biases_have_rates_and_decays_of_their_own() -> None:
    model = create_model("i3d_r18", 5, aggregation="se", stages=("res5",), beta=1.0, width=8)
    recipe = _recipe(new_layers_lr=5, bias_lr=2, decay_biases=False, decay_norms=False, weight_decay=0.1)
    groups = make_optimizer(model, recipe).param_groups
    found = {id(p): (g["multiple"], g["weight_decay"]) for g in groups for p in g["params"]}
    named = {name: found[id(p)] for name, p in model.named_parameters()}
    assert len(found) == len(named) == sum(len(g["params"]) for g in groups)
    assert named["backbone.stem.weight"] == (1, 0.1)
    assert named["backbone.stem_bn.weight"] == named["backbone.stem_bn.bias"] == (1, 0.0)
    assert named["head.fc.weight"] == (5, 0.1)
    assert named["head.fc.bias"] == (10, 0.0)
    gate = next(name for name in named if ".at." in name and name.endswith("0.weight"))
    assert named[gate] == (5, 0.1)
    assert named[gate.replace("weight", "bias")] == (10, 0.0)
    assert len(make_optimizer(model, _recipe()).param_groups) == 1, (
        "a recipe without such rules has one group"
    )


def test_frozen_norms_keep_statistics_and_affine_part() -> None:
    model = create_model("i3d_r18", 5, width=4)
    train_mode(model, _recipe(frozen_norms=True))
    before = {n: b.clone() for n, b in model.state_dict().items() if "bn" in n}
    model(torch.randn(2, 4, 3, 2, 16, 16)).sum().backward()
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    assert all(p.grad is None for n, p in model.named_parameters() if "bn" in n)


def test_the_rate_follows_the_batch_that_it_is_stated_for() -> None:
    stated = _recipe(lr=0.1, batch_videos=64, lr_batch_videos=64, warmup_epochs=0, epochs=2)
    doubled = stated.model_copy(update={"batch_videos": 128})
    assert learning_rate(0, 10, stated) == pytest.approx(0.1)
    assert learning_rate(0, 10, doubled) == pytest.approx(0.2)
    fixed = doubled.model_copy(update={"lr_batch_videos": None})
    assert learning_rate(0, 10, fixed) == pytest.approx(0.1)


def test_momentum_is_nesterovs_or_plain() -> None:
    model = nn.Linear(2, 2)
    for nesterov in (True, False):
        optimizer = make_optimizer(model, _recipe(optimizer="sgd", momentum=0.9, nesterov=nesterov))
        assert optimizer.defaults["nesterov"] is nesterov
    with pytest.raises(ValidationError, match="nesterov is for optimizer 'sgd'"):
        _recipe(nesterov=False)


def test_without_a_clip_norm_gradients_are_not_clipped(data_root: Path) -> None:
    """One step of plain SGD at rate 1 moves the weights by the gradients themselves."""
    from harness.trial import run_trial

    plain = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "lr": 1e-3, "epochs": 2}
    losses = {
        clip: run_trial(tiny_trial(**plain, clip_norm=clip), data_root=data_root).curve["loss"].tolist()
        for clip in (None, 1e9, 1e-3)
    }
    assert losses[None] == losses[1e9] != losses[1e-3]
