"""Layers and heads that several families share."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.base.errors import UserError, near_match
from harness.models.network import Head

FEW = 16  # below this many rows torch convolves 3D maps on the CPU by slow paths


class Conv3d(nn.Conv3d):
    """nn.Conv3d, which on the CPU and below 16 rows runs k×1×1 and 1×k×k kernels as 2D convolutions.

    The same sums in another order (a few 1e-7); from 16 rows on, on other devices, traced and compiled it is
    nn.Conv3d itself. benchmarks/bench_conv.py measures what that is worth.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, T, H, W) to (N, outputs, T', H', W')."""
        if _is_watched() or x.device.type != "cpu" or x.shape[0] >= FEW:
            return super().forward(x)
        weight, (st, sh, sw) = self.weight, self.stride
        pt, ph, pw = (int(p) for p in self.padding)
        if weight.shape[2] > 1 and weight.shape[3:] == (1, 1) and (sh, sw, ph, pw) == (1, 1, 0, 0):
            picture = x.flatten(3)  # (T, H·W)
            y = F.conv2d(picture, weight[..., 0], self.bias, (st, 1), (pt, 0), 1, self.groups)
            return y.unflatten(3, x.shape[3:])
        # Frames can stand in the batch without a copy only where channels come last; a copy costs what is won.
        if (
            weight.shape[2] == 1
            and (st, pt) == (1, 0)
            and x.is_contiguous(memory_format=torch.channels_last_3d)
        ):
            frames = x.transpose(1, 2).flatten(0, 1)
            y = F.conv2d(frames, weight[:, :, 0], self.bias, (sh, sw), (ph, pw), 1, self.groups)
            return y.unflatten(0, (-1, x.shape[2])).transpose(1, 2)
        return super().forward(x)


def _is_watched() -> bool:
    """Traced or compiled: what is recorded must not depend on the number of rows."""
    return torch.jit.is_tracing() or torch.compiler.is_compiling()


def conv3d(
    inputs: int, outputs: int, kernel: tuple[int, int, int], stride: int = 1, stride_t: int = 1
) -> Conv3d:
    """A convolution that keeps the size at stride 1: padding half the kernel, no bias.

    `stride` is of height and width, `stride_t` of time.
    """
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return Conv3d(inputs, outputs, kernel, stride=(stride_t, stride, stride), padding=padding, bias=False)


def max_pool3d(
    x: Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int], *, padded: bool = True
) -> Tensor:
    """Max pooling that any clip passes: an odd kernel is padded by its half; an even one, or one without padding, is
    cut to the maps' size."""
    pad = [padded and k % 2 == 1 for k in kernel]
    cut = tuple(k if p else min(k, size) for k, p, size in zip(kernel, pad, x.shape[2:], strict=True))
    padding = tuple(k // 2 if p else 0 for k, p in zip(kernel, pad, strict=True))
    return F.max_pool3d(x, cut, stride=stride, padding=padding)


def average_3x3(x: Tensor, stride: int = 1) -> Tensor:
    """The mean of 3×3 positions in each frame, zeros beyond the edge counted; (N, C, T, H, W).

    Frames stand in the batch, since torch's 3D pooling refuses maps smaller than 3×3.
    """
    frames = F.avg_pool2d(x.transpose(1, 2).flatten(0, 1), 3, stride=stride, padding=1)
    return frames.unflatten(0, (-1, x.shape[2])).transpose(1, 2)


def max_3x3_halving(x: Tensor) -> Tensor:
    """The largest of 3×3 positions at stride 2 in each frame: Caffe's pools, which round up; (N, C, T, H, W).

    Maps of an odd size, which Caffe's networks never have, are padded, so that convolutions of stride 2 beside a pool
    give the same size.
    """
    odd = (int(x.shape[-2]) % 2, int(x.shape[-1]) % 2)
    return F.max_pool3d(x, (1, 3, 3), stride=(1, 2, 2), padding=(0, *odd), ceil_mode=True)


CONSENSUS = ("mean", "top3")


class AverageHead(Head):
    """Mean over T, H, W, dropout, a linear layer (normal 0.01).

    A 2D network's frames are averaged as well: the layer is linear, so a mean of features is a mean of logits.
    consensus: over snippets, "mean", or "top3": for every class the mean of its 3 largest snippet logits.
    """

    def __init__(
        self, channels: int, num_classes: int, dropout: float, std: float = 0.01, consensus: str = "mean"
    ) -> None:
        super().__init__()
        check_dropout(dropout)
        if consensus not in CONSENSUS:
            near = near_match(consensus, CONSENSUS)
            raise UserError(f"consensus {consensus!r}{near}: one of {', '.join(CONSENSUS)}")
        self.rule = consensus
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, num_classes)
        nn.init.normal_(self.fc.weight, std=std)
        nn.init.zeros_(self.fc.bias)

    def forward(self, maps: Any, U: int, boxes: Tensor | None = None) -> Tensor:
        """(N·U, C, T, H, W) to (N, U, num_classes)."""
        return self.fc(self.dropout(maps.mean((2, 3, 4)))).unflatten(0, (-1, U))

    def consensus(self, logits_NUK: Tensor) -> Tensor:
        """(N, K), by the rule; of fewer than 3 snippets "top3" takes all."""
        if self.rule == "top3":
            logits_NUK = logits_NUK.topk(min(3, logits_NUK.shape[1]), dim=1).values
        return logits_NUK.mean(1)


def check_sizes(**sizes: int) -> None:
    """Refuse a size that is no whole number of at least 1. Raises UserError."""
    for key, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UserError(f"{key} {value!r}: a whole number, 1 or more")


def check_dropout(dropout: float) -> None:
    """Refuse a share outside [0, 1). Raises UserError."""
    if not 0 <= dropout < 1:
        raise UserError(f"dropout {dropout!r}: at least 0 and below 1")


def kaiming_convolutions(module: nn.Module) -> None:
    """From scratch as torchvision's ResNet: Kaiming normal, fan out; batch norms start at 1 and 0."""
    for child in module.modules():
        if isinstance(child, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(child.weight, mode="fan_out", nonlinearity="relu")
            if child.bias is not None:
                torch.nn.init.zeros_(child.bias)
