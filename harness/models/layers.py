"""Layers and heads that several families share."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.base.errors import UserError
from harness.models.network import Head


def conv3d(
    inputs: int, outputs: int, kernel: tuple[int, int, int], stride: int = 1, stride_t: int = 1
) -> nn.Conv3d:
    """A convolution that keeps the size at stride 1: padding half the kernel, no bias.

    `stride` is of height and width, `stride_t` of time.
    """
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Conv3d(inputs, outputs, kernel, stride=(stride_t, stride, stride), padding=padding, bias=False)


def max_pool3d(
    x: Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int], *, padded: bool = True
) -> Tensor:
    """Max pooling that any clip passes: an odd kernel is padded by its half; an even one, or one without padding, is
    cut to the maps' size."""
    pad = [padded and k % 2 == 1 for k in kernel]
    cut = tuple(k if p else min(k, size) for k, p, size in zip(kernel, pad, x.shape[2:], strict=True))
    padding = tuple(k // 2 if p else 0 for k, p in zip(kernel, pad, strict=True))
    return F.max_pool3d(x, cut, stride=stride, padding=padding)


class AverageHead(Head):
    """Mean over T, H, W, dropout, a linear layer (normal 0.01).

    A 2D network's frames are averaged as well: the layer is linear, so a mean of features is a mean of logits.
    """

    def __init__(self, channels: int, num_classes: int, dropout: float, std: float = 0.01) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, num_classes)
        nn.init.normal_(self.fc.weight, std=std)
        nn.init.zeros_(self.fc.bias)

    def forward(self, maps: Any, U: int, boxes: Tensor | None = None) -> Tensor:
        """(N·U, C, T, H, W) to (N, U, num_classes)."""
        return self.fc(self.dropout(maps.mean((2, 3, 4)))).unflatten(0, (-1, U))


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
