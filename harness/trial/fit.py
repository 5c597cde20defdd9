"""Training: one loop that reads top to bottom, with a checkpoint by step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.experiment.recipe import Recipe
from harness.experiment.spec import Input, Numerics, Trial
from harness.trial.failure import TrialFailed
from harness.trial.ranks import ALONE, Ranks
from harness.trial.state import Checkpoints, Position

Report = Callable[[dict[str, Any]], None]
_NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


class Batch(Protocol):
    """N videos; `harness.data.batches.TrainBatch` is one. targets_NK is None where each video has one label."""

    x_NUCTHW: Tensor
    labels: Tensor
    targets_NK: Tensor | None
    boxes_NUTR4: Tensor | None


class Batches(Protocol):
    """What `train` asks of the training data."""

    def __len__(self) -> int: ...

    def epoch(self, e: int, start_step: int = 0) -> Iterator[Any]: ...


def train(
    model: nn.Module,
    batches: Batches,
    trial: Trial,
    *,
    validate: Callable[[], float],
    checkpoints: Checkpoints | None = None,
    report: Report | None = None,
    ranks: Ranks = ALONE,
) -> Position:
    """Train to the last epoch, from the checkpoint if there is one; returns where it ended, the curve in `history`.

    With several ranks each is given its part of every batch; rank 0 alone writes checkpoints and is
    given a `report`. Raises TrialFailed where the loss of an epoch is no number.
    """
    recipe, numerics, steps = trial.recipe, trial.numerics, len(batches)
    transform, own = InputTransform(trial.input, numerics.device), _Training(model, trial, checkpoints, ranks)
    at, rate = own.start, 0.0
    for epoch in range(len(at.history), recipe.epochs):
        started, sums = time.perf_counter() - at.seconds, own.sums(at)
        train_mode(model, recipe)
        for step, batch in enumerate(batches.epoch(epoch, at.step), start=at.step):
            rate = learning_rate(epoch * steps + step, steps, recipe)
            ranks.seed_step(trial.seed, epoch * steps + step)
            own.begin_step(rate)
            for x_NUCTHW, target, labels, boxes in _parts(batch, numerics):
                with autocast(numerics):
                    scores_NK = own.forward(transform(x_NUCTHW), boxes).float()
                loss = F.cross_entropy(scores_NK, target)
                own.scaler.scale(_share(loss, len(labels), len(batch.labels))).backward()
                sums += _tally(loss, scores_NK, labels)
            own.end_step()
            if checkpoints and ranks.agreed(checkpoints.due(), step) and step + 1 < steps:
                seconds, so_far = time.perf_counter() - started, ranks.summed(sums).cpu()
                at = Position(at.history, step + 1, so_far, seconds, at.resumed_from)
                own.save(at)
        line = _epoch_line(epoch + 1, rate, ranks.summed(sums), started)
        ranks.share_buffers(model)
        line |= {"val_top1": validate(), "seconds": time.perf_counter() - started}
        at = Position([*at.history, line], resumed_from=at.resumed_from)
        own.save(at)
        if report is not None:
            report(_progress(at.history, recipe.epochs))
    return at


class _Training:
    """What the steps change on this rank, and how it is kept.

    start    where the training begins: at the checkpoint, if there is one
    forward  the model as the steps run it: compiled, and its gradients averaged over the ranks
    """

    def __init__(self, model: nn.Module, trial: Trial, checkpoints: Checkpoints | None, ranks: Ranks) -> None:
        numerics = trial.numerics
        self.model, self.checkpoints, self.ranks = model, checkpoints, ranks
        self.device, self.clip_norm = numerics.device, trial.recipe.clip_norm
        self.optimizer = make_optimizer(model, trial.recipe)
        self.scaler = torch.amp.GradScaler(self.device, enabled=numerics.precision == "float16")
        self.start = checkpoints.restore(model, self.optimizer, self.scaler) if checkpoints else Position()
        train_mode(model, trial.recipe)  # what is frozen is known before the ranks agree on what is shared
        stepped: nn.Module = torch.compile(model) if numerics.compile else model  # type: ignore[assignment]
        self.forward = ranks.wrapped(stepped, numerics)

    def sums(self, at: Position) -> Tensor:
        """(loss·videos, right, videos) of the epoch so far; rank 0 alone goes on with a checkpoint's."""
        so_far = at.sums if self.ranks.rank == 0 else torch.zeros_like(at.sums)
        return so_far.to(self.device).clone()

    def begin_step(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["multiple"]
        self.optimizer.zero_grad(set_to_none=True)

    def end_step(self) -> None:
        """Gradients, clipped, into the weights."""
        self.scaler.unscale_(self.optimizer)
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def save(self, at: Position) -> None:
        if self.checkpoints and self.ranks.rank == 0:
            self.checkpoints.save(at, self.model, self.optimizer, self.scaler)


def _epoch_line(epoch: int, rate: float, sums: Tensor, started: float) -> dict[str, float]:
    """An epoch's line of the curve, with room for what is known once it is validated. Raises TrialFailed."""
    loss_sum, right, videos = sums.tolist()
    if not math.isfinite(loss_sum):
        raise TrialFailed(f"diverged: the training loss of epoch {epoch} is {loss_sum}")
    return {
        "epoch": epoch,
        "loss": loss_sum / videos,
        "lr": rate,
        "train_top1": 100 * right / videos,
        "val_top1": math.nan,
        "train_videos_per_s": videos / (time.perf_counter() - started),
        "seconds": math.nan,
    }


def learning_rate(step: int, steps_per_epoch: int, recipe: Recipe) -> float:
    """The rate of a step: linear warm-up from 0.01·lr, then half a cosine to 0, or ×0.1 at each milestone."""
    warmup = recipe.warmup_epochs * steps_per_epoch
    if step < warmup:
        return recipe.peak_lr * (0.01 + 0.99 * step / warmup)
    if recipe.schedule == "steps":
        return recipe.peak_lr * 0.1 ** sum(step >= m * steps_per_epoch for m in recipe.milestones)
    share = (step - warmup) / (recipe.epochs * steps_per_epoch - warmup)
    return recipe.peak_lr * 0.5 * (1 + math.cos(math.pi * share))


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW, or SGD; one group for each rate and decay.

    A group's `multiple` is what the schedule's rate is multiplied by: layers without pre-trained weights (the head and
    every placed module) by `new_layers_lr`, biases by `bias_lr`.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    norms = {id(p) for m in model.modules() if isinstance(m, _NORMS) for p in m.parameters(recurse=False)}
    for name, parameter in model.named_parameters():
        bias = name.endswith(".bias") and id(parameter) not in norms
        multiple = (recipe.new_layers_lr if is_new(name) else 1.0) * (recipe.bias_lr if bias else 1.0)
        spared = (bias and not recipe.decay_biases) or (id(parameter) in norms and not recipe.decay_norms)
        groups.setdefault((multiple, 0.0 if spared else recipe.weight_decay), []).append(parameter)
    options = [
        {"params": params, "multiple": multiple, "weight_decay": decay}
        for (multiple, decay), params in groups.items()
    ]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(options, lr=recipe.peak_lr)
    nesterov = recipe.nesterov and recipe.momentum > 0
    return torch.optim.SGD(options, lr=recipe.peak_lr, momentum=recipe.momentum, nesterov=nesterov)


def is_new(name: str) -> bool:
    """Whether a parameter belongs to what a pre-trained trunk never has: the head, and modules that were placed."""
    return name.startswith("head.") or ".at." in name


def train_mode(model: nn.Module, recipe: Recipe) -> None:
    """Training mode; frozen batch norms keep their statistics and their affine part.

    Raises TrialFailed for a frozen scale of zero: nothing behind it would ever learn.
    """
    model.train()
    for name, module in model.named_modules() if recipe.frozen_norms else ():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
            module.requires_grad_(False)
            if module.affine and not module.weight.any():
                raise TrialFailed(
                    f"recipe.frozen_norms: the scale of {name} starts at zero and would stay there: nothing before "
                    "it would learn. Start from a file that has it, or say frozen_norms: false in the row's recipe"
                )


class InputTransform:
    """uint8 frames to the network's floats, on its device: (x − mean) / std a channel, in the network's order."""

    def __init__(self, spec: Input, device: str) -> None:
        shape = (1, 1, 3, 1, 1, 1)
        self.device = device
        self.mean = torch.tensor(spec.mean, device=device).view(shape)
        self.std = torch.tensor(spec.std, device=device).view(shape)
        self.bgr = spec.order == "bgr"

    def __call__(self, x_NUCTHW: Tensor) -> Tensor:
        """(N, U, 3, T, H, W) uint8 RGB, anywhere, to float32 on the device."""
        x = x_NUCTHW.to(self.device, non_blocking=True).float()
        if self.bgr:
            x = x.flip(2)
        return (x - self.mean) / self.std


def autocast(numerics: Numerics) -> torch.autocast:
    """16-bit matrix products where the profile asks for them; the weights stay float32."""
    dtype = torch.float16 if numerics.precision == "float16" else torch.bfloat16
    return torch.autocast(numerics.device, dtype=dtype, enabled=numerics.precision != "float32")


def _parts(batch: Batch, numerics: Numerics) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor | None]]:
    """The batch in `accumulate` parts: frames, what the loss compares with, first labels, boxes."""
    labels = batch.labels.to(numerics.device, non_blocking=True)
    target = labels
    if batch.targets_NK is not None:  # several labels: equal shares of one
        targets_NK = batch.targets_NK.to(numerics.device, non_blocking=True)
        target = targets_NK / targets_NK.sum(1, keepdim=True)
    parts = numerics.accumulate
    boxes = [None] * parts if batch.boxes_NUTR4 is None else batch.boxes_NUTR4.chunk(parts)
    yield from zip(batch.x_NUCTHW.chunk(parts), target.chunk(parts), labels.chunk(parts), boxes, strict=False)


def _share(loss: Tensor, part: int, whole: int) -> Tensor:
    """A part's weight in the batch's mean loss."""
    return loss if part == whole else loss * (part / whole)


def _tally(loss: Tensor, scores_NK: Tensor, labels: Tensor) -> Tensor:
    """(loss·videos, right, videos), without waiting for the device."""
    videos = torch.tensor(float(len(labels)), device=loss.device)
    right = (scores_NK.detach().argmax(1) == labels).sum()
    return torch.stack([loss.detach() * videos, right, videos]).double()


def _progress(history: list[dict[str, float]], epochs: int) -> dict[str, Any]:
    done, last = len(history), history[-1]
    left = (epochs - done) * sum(line["seconds"] for line in history) / done
    return {"state": "train", "epochs": epochs, "seconds_left": left, **last}
