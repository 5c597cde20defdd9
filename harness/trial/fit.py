"""Training: one loop, one schedule, a checkpoint each epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.experiment.spec import Numerics, Recipe
from harness.trial.checkpoint import restore_checkpoint, save_checkpoint

Report = Callable[[dict[str, Any]], None]


class TrialFailed(Exception):  # noqa: N818 - it is a finding about the trial, reported as its reason
    """A trial that ended by its own fault; the message is the reason that the tables show."""


class Batches(Protocol):
    """What `fit` asks of the training data; `harness.data.TrainBatches` is one."""

    def __len__(self) -> int: ...

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor, Any]]: ...


def learning_rate(step: int, steps_per_epoch: int, recipe: Recipe) -> float:
    """The rate of a step: linear warm-up from 0.01·lr, then half a cosine to 0, or steps of ×0.1 at the milestones."""
    warmup = recipe.warmup_epochs * steps_per_epoch
    if step < warmup:
        return recipe.lr * (0.01 + 0.99 * step / warmup)
    if recipe.schedule == "steps":
        return recipe.lr * 0.1 ** sum(step >= m * steps_per_epoch for m in recipe.milestones)
    share = (step - warmup) / (recipe.epochs * steps_per_epoch - warmup)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * share))


def is_new(name: str) -> bool:
    """Whether a parameter has no pre-trained weights: the head's, and those of modules across snippets."""
    return not name.startswith("backbone.") or ".across." in name


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW, or SGD with Nesterov momentum as both releases use it.

    Two groups: the trunk, and the layers that no pre-training has (head, modules across snippets), `times` the rate.
    """
    named = list(model.named_parameters())
    new = [value for name, value in named if is_new(name)]
    groups = [
        {"params": [value for name, value in named if not is_new(name)], "times": 1.0},
        {"params": new, "times": recipe.new_layers_lr},
    ]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)
    return torch.optim.SGD(
        groups,
        lr=recipe.lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.momentum > 0,
    )


@dataclass(frozen=True)
class InputTransform:
    """uint8 frames to the network's floats, on the model's device: (x − mean) / std a channel."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    device: str

    def __call__(self, x_NUCTHW: Tensor) -> Tensor:
        x = x_NUCTHW.to(self.device, non_blocking=True).float()
        shape = (1, 1, 3, 1, 1, 1)
        mean = torch.tensor(self.mean, device=x.device).view(shape)
        std = torch.tensor(self.std, device=x.device).view(shape)
        return (x - mean) / std


def autocast(numerics: Numerics) -> torch.autocast:
    """bfloat16 matrix products where the profile asks for them; the weights stay float32."""
    return torch.autocast(numerics.device, dtype=torch.bfloat16, enabled=numerics.precision == "bfloat16")


@dataclass
class Fit:
    """All that a training run needs, and after `run` its learning curve, `history`.

    `resumed_from` is the number of epochs that came from a checkpoint.
    """

    model: nn.Module
    batches: Batches
    recipe: Recipe
    numerics: Numerics
    transform: InputTransform
    validate: Callable[[], float]
    trial: str
    checkpoint_dir: Path | None = None
    report: Report | None = None
    history: list[dict[str, float]] = field(default_factory=list, init=False)
    resumed_from: int = field(default=0, init=False)

    def run(self) -> None:
        """Train to the last epoch, from the checkpoint if there is one; TrialFailed where the loss is no number."""
        optimizer = make_optimizer(self.model, self.recipe)
        self.history = self._restored(optimizer)
        self.resumed_from = len(self.history)
        for epoch in range(self.resumed_from, self.recipe.epochs):
            self.history.append(self._epoch(epoch, optimizer))
            if self.checkpoint_dir is not None:
                save_checkpoint(self.checkpoint_dir, self.trial, self.model, optimizer, self.history)
            self._tell()

    def _restored(self, optimizer: torch.optim.Optimizer) -> list[dict[str, float]]:
        if self.checkpoint_dir is None:
            return []
        return restore_checkpoint(self.checkpoint_dir, self.trial, self.model, optimizer)

    def _epoch(self, epoch: int, optimizer: torch.optim.Optimizer) -> dict[str, float]:
        started = time.perf_counter()
        self.model.train()
        sums = torch.zeros(3, dtype=torch.float64, device=self.transform.device)  # loss·videos, right, videos
        rate = 0.0
        for step, (x_NUCTHW, labels, _) in enumerate(
            self.batches.epoch(epoch), start=epoch * len(self.batches)
        ):
            rate = learning_rate(step, len(self.batches), self.recipe)
            sums += self._step(x_NUCTHW, labels, rate, optimizer)
        loss, right, videos = sums.tolist()
        if not math.isfinite(loss):
            raise TrialFailed(f"diverged: the training loss of epoch {epoch + 1} is {loss}")
        trained = time.perf_counter() - started
        return {
            "epoch": epoch + 1,
            "loss": loss / videos,
            "lr": rate,
            "train_top1": 100 * right / videos,
            "val_top1": self.validate(),
            "train_videos_per_s": videos / trained,
            "seconds": time.perf_counter() - started,
        }

    def _step(
        self, x_NUCTHW: Tensor, labels: Tensor, rate: float, optimizer: torch.optim.Optimizer
    ) -> Tensor:
        """One update; returns (loss·videos, right, videos) without waiting for the device."""
        for group in optimizer.param_groups:
            group["lr"] = rate * group["times"]
        labels = labels.to(self.transform.device, non_blocking=True)
        with autocast(self.numerics):
            scores_NK = self.model(self.transform(x_NUCTHW))
        loss = F.cross_entropy(scores_NK.float(), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
        optimizer.step()
        videos = torch.tensor(float(len(labels)), device=loss.device)
        right = (scores_NK.detach().argmax(1) == labels).sum()
        return torch.stack([loss.detach() * videos, right, videos]).double()

    def _tell(self) -> None:
        if self.report is None:
            return
        done, last = len(self.history), self.history[-1]
        left = (self.recipe.epochs - done) * sum(h["seconds"] for h in self.history) / done
        self.report(
            {
                "state": "train",
                "epoch": done,
                "epochs": self.recipe.epochs,
                "loss": last["loss"],
                "val_top1": last["val_top1"],
                "seconds_left": left,
            }
        )
