"""SlowFast and its slow path alone: few frames in a wide network, many frames in one an eighth as wide.

Feichtenhofer, Fan, Malik, He: "SlowFast Networks for Video Recognition", ICCV 2019, tables 1 and 2; the release
facebookresearch/SlowFast for what the text leaves open (docs/systems.md): the slow path's frames are evenly spread
from the clip's first to its last; laterals reach over 5 frames, in 8×8 R50 over 7; 8×8 R101 has kernels along time in
the first 6 of res4's 23 blocks. Golden slow_r50_8x8, slowfast_r50_4x16, slowfast_r50_8x8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.models.layers import AverageHead, check_dropout, check_sizes, conv3d, kaiming_convolutions
from harness.models.network import Backbone, Head, Place, PlaceName, Step
from harness.models.pyslowfast import PYSLOWFAST_INPUT
from harness.models.registry import register_model
from harness.models.resnet import DEPTHS, STAGES, Kernels, ResNet3d

Maps = tuple[Tensor, Tensor]


class Lateral(nn.Module):
    """Fast to slow: a convolution along time with the paths' ratio as its stride, to twice the channels."""

    def __init__(self, channels: int, kernel: int, speed_ratio: int) -> None:
        super().__init__()
        self.conv = conv3d(channels, 2 * channels, (kernel, 1, 1), stride_t=speed_ratio)
        self.bn = nn.BatchNorm3d(2 * channels)
        kaiming_convolutions(self)

    def forward(self, maps: Maps) -> Maps:
        slow, fast = maps
        return torch.cat([slow, F.relu(self.bn(self.conv(fast)))], dim=1), fast


class _Both(nn.Module):
    """A block of either path, one step of the chain."""

    def __init__(self, slow: nn.Module, fast: nn.Module) -> None:
        super().__init__()
        self.slow, self.fast = slow, fast

    def forward(self, maps: Maps) -> Maps:
        return self.slow(maps[0]), self.fast(maps[1])


class SlowFast(Backbone):
    """Two ResNets with laterals after the stem and after res2, res3, res4; places are those of the slow path.

    speed_ratio  α, frames of the fast path for one of the slow path
    fast_share   1/β: how many times narrower the fast path is (at least one channel stays)
    """

    def __init__(
        self,
        depth: int,
        width: int,
        stem_kernel: int,
        lateral_kernel: int,
        speed_ratio: int,
        fast_share: int,
    ) -> None:
        super().__init__()
        check_sizes(speed_ratio=speed_ratio, fast_share=fast_share, width=width)
        self.speed_ratio = speed_ratio
        narrow = max(1, width // fast_share)
        fast_out = (narrow, 4 * narrow, 8 * narrow, 16 * narrow)  # of the stem, res2, res3, res4
        res4 = [3 if number < 6 else 1 for number in range(DEPTHS[depth][2])]
        along_time: Kernels = {"res4": res4, "res5": 3}
        joining = [2 * channels for channels in fast_out]
        self.slow = ResNet3d(depth, width, stem_kernel, along_time, laterals=joining, zero_init=True)
        along_time = {"res2": 3, "res3": 3, **along_time}
        self.fast = ResNet3d(depth, narrow, stem_kernel, along_time, stem_time=5, zero_init=True)
        self.fuse = nn.ModuleDict(
            {
                str(number): Lateral(channels, lateral_kernel, speed_ratio)
                for number, channels in enumerate(fast_out, start=1)
            }
        )
        self.channels = self.slow.channels + self.fast.channels

    def _stems(self, x: Tensor) -> Maps:
        chosen = slow_frames(x.shape[2], self.speed_ratio)
        return self.slow.stem_maps(x[:, :, chosen]), self.fast.stem_maps(x)

    def steps(self) -> Sequence[Step]:
        steps: list[Step] = [self._stems]
        for number, stage in enumerate(STAGES, start=1):
            steps.append(self.fuse[str(number)])
            pairs = zip(self.slow.stage(stage), self.fast.stage(stage), strict=True)
            steps.extend(_Both(slow, fast) for slow, fast in pairs)
        return steps

    def places(self) -> dict[PlaceName, Place]:
        return self.slow.places()


def slow_frames(T: int, speed_ratio: int) -> list[int]:
    """Which frames the slow path sees: ⌈T/α⌉, evenly spread from the first to the last, rounded down."""
    count = (T - 1) // speed_ratio + 1
    return [index * (T - 1) // max(1, count - 1) for index in range(count)]


class TwoPathHead(AverageHead):
    """The mean of each path's maps, concatenated, dropout, a linear layer."""

    def forward(self, maps: Any, U: int, boxes: Tensor | None = None) -> Tensor:
        """((N·U, C, T, H, W), (N·U, C', αT, H, W)) to (N, U, num_classes)."""
        pooled = torch.cat([one.mean((2, 3, 4)) for one in maps], dim=1)
        return self.fc(self.dropout(pooled)).unflatten(0, (-1, U))


def _slowfast(
    depth: int,
    lateral_kernel: int,
    num_classes: int,
    width: int,
    stem_kernel: int,
    speed_ratio: int,
    fast_share: int,
    dropout: float,
) -> tuple[Backbone, Head]:
    check_dropout(dropout)
    backbone = SlowFast(depth, width, stem_kernel, lateral_kernel, speed_ratio, fast_share)
    return backbone, TwoPathHead(backbone.channels, num_classes, dropout)


@register_model(PYSLOWFAST_INPUT)
def slowonly_r50(
    num_classes: int, *, width: int = 64, stem_kernel: int = 7, dropout: float = 0.5
) -> tuple[Backbone, Head]:
    """The slow path alone: the network of `i3d_r50` with this release's input, and its start from scratch."""
    check_dropout(dropout)
    backbone = ResNet3d(50, width, stem_kernel, {"res4": 3, "res5": 3}, zero_init=True)
    return backbone, AverageHead(backbone.channels, num_classes, dropout)


@register_model(PYSLOWFAST_INPUT)
def slowfast_r50_4x16(
    num_classes: int,
    *,
    width: int = 64,
    stem_kernel: int = 7,
    speed_ratio: int = 8,
    fast_share: int = 8,
    dropout: float = 0.5,
) -> tuple[Backbone, Head]:
    """32 frames at step 2; the slow path sees 4 of them. `speed_ratio` is the paper's α, `fast_share` its 1/β."""
    return _slowfast(50, 5, num_classes, width, stem_kernel, speed_ratio, fast_share, dropout)


@register_model(PYSLOWFAST_INPUT)
def slowfast_r50_8x8(
    num_classes: int,
    *,
    width: int = 64,
    stem_kernel: int = 7,
    speed_ratio: int = 4,
    fast_share: int = 8,
    dropout: float = 0.5,
) -> tuple[Backbone, Head]:
    """32 frames at step 2; the slow path sees 8 of them. Laterals reach over 7 frames."""
    return _slowfast(50, 7, num_classes, width, stem_kernel, speed_ratio, fast_share, dropout)


@register_model(PYSLOWFAST_INPUT)
def slowfast_r101_8x8(
    num_classes: int,
    *,
    width: int = 64,
    stem_kernel: int = 7,
    speed_ratio: int = 4,
    fast_share: int = 8,
    dropout: float = 0.5,
) -> tuple[Backbone, Head]:
    """As 8×8 R50 with 101 layers in both paths and laterals over 5 frames."""
    return _slowfast(101, 5, num_classes, width, stem_kernel, speed_ratio, fast_share, dropout)
