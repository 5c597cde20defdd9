"""X3D-L: a narrow, deep network of depthwise 3×3×3 convolutions with squeeze-and-excitation.

Feichtenhofer: "X3D: Expanding Architectures for Efficient Video Recognition", CVPR 2020, tables 1 and 3; the release
facebookresearch/SlowFast for what the text leaves open (docs/systems.md). Golden x3d_l, which was made without
the swish: the release takes it from pytorchvideo, and the run that made the case had a stand-in that does nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from harness.base.errors import UserError
from harness.models.layers import AverageHead, check_dropout, check_sizes, conv3d, kaiming_convolutions
from harness.models.network import Backbone, Head, InputSpec, Place, PlaceName, Step
from harness.models.pyslowfast import MEAN, STD
from harness.models.registry import register_model
from harness.models.resnet import STAGES

INNER = 2.25  # channels inside a block for each channel of the stage


class Excitation(nn.Module):
    """Squeeze-and-excitation: mean over T, H, W, a hidden layer of C/16 rounded to eights, sigmoid, scale."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = _to_eights(channels / 16)
        self.fc1, self.fc2 = nn.Conv3d(channels, hidden, 1), nn.Conv3d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.fc2(F.relu(self.fc1(x.mean((2, 3, 4), keepdim=True))))
        return x * gate.sigmoid()


def _to_eights(channels: float) -> int:
    """The nearest multiple of 8, at least 8 and never more than a tenth smaller."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


class X3DBlock(nn.Module):
    """1×1×1, depthwise 3×3×3 (the stride), excitation in every second block, swish, 1×1×1.

    Places: I before conv1, II after it (bn, relu), III before conv3, IV after it (bn), "after" the final ReLU.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, excited: bool) -> None:
        super().__init__()
        inner = int(INNER * outputs)
        self.conv1, self.bn1 = conv3d(inputs, inner, (1, 1, 1)), nn.BatchNorm3d(inner)
        self.conv2 = nn.Conv3d(inner, inner, 3, (1, stride, stride), padding=1, groups=inner, bias=False)
        self.bn2 = nn.BatchNorm3d(inner)
        self.se = Excitation(inner) if excited else nn.Identity()
        self.swish = nn.SiLU()
        self.conv3, self.bn3 = conv3d(inner, outputs, (1, 1, 1)), nn.BatchNorm3d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(conv3d(inputs, outputs, (1, 1, 1), stride), nn.BatchNorm3d(outputs))
        widths = {"I": inputs, "II": inner, "III": inner, "IV": outputs, "after": outputs}
        self.at = nn.ModuleDict({position: Place(channels) for position, channels in widths.items()})

    def forward(self, x: Tensor) -> Tensor:
        """(N·U, inputs, T, H, W) to (N·U, outputs, T, H/stride, W/stride)."""
        y = F.relu(self.bn1(self.conv1(self.at["I"](x))))
        y = self.swish(self.se(self.bn2(self.conv2(self.at["II"](y)))))
        y = self.at["IV"](self.bn3(self.conv3(self.at["III"](y))))
        out: Tensor = self.at["after"](F.relu(y + self.shortcut(x)))
        return out


class X3D(Backbone):
    """Stem 1×k×k then depthwise 5×1×1, four stages that double the width and halve the size, a last 1×1×1.

    No stride along time. The last BatchNorm of every block starts at 0.
    """

    kind: ClassVar[str] = "bottleneck"

    def __init__(self, width: int, stem_kernel: int, depths: Sequence[int]) -> None:
        super().__init__()
        check_sizes(width=width)
        if len(depths) != 4:
            raise UserError(f"depths {list(depths)}: the number of blocks of each of four stages")
        check_sizes(**dict(zip(STAGES, depths, strict=True)))
        self.stem_xy = conv3d(3, width, (1, stem_kernel, stem_kernel), 2)
        self.stem = nn.Conv3d(width, width, (5, 1, 1), padding=(2, 0, 0), groups=width, bias=False)
        self.stem_bn = nn.BatchNorm3d(width)
        inputs = width
        for index, (stage, depth) in enumerate(zip(STAGES, depths, strict=True)):
            blocks = nn.ModuleList()
            for number in range(depth):
                stride = 1 if number else 2
                blocks.append(X3DBlock(inputs, width << index, stride, excited=number % 2 == 0))
                inputs = width << index
            self.add_module(stage, blocks)
        self.channels = int(INNER * inputs)
        self.conv5, self.conv5_bn = conv3d(inputs, self.channels, (1, 1, 1)), nn.BatchNorm3d(self.channels)
        kaiming_convolutions(self)
        for stage in STAGES:
            for block in self._blocks(stage):
                nn.init.zeros_(block.bn3.weight)

    def _blocks(self, stage: str) -> list[X3DBlock]:
        return list(self.get_submodule(stage).children())  # type: ignore[arg-type]

    def _stem(self, x: Tensor) -> Tensor:
        return F.relu(self.stem_bn(self.stem(self.stem_xy(x))))

    def _conv5(self, x: Tensor) -> Tensor:
        return F.relu(self.conv5_bn(self.conv5(x)))

    def steps(self) -> Sequence[Step]:
        return [self._stem, *(block for stage in STAGES for block in self._blocks(stage)), self._conv5]

    def places(self) -> dict[PlaceName, Place]:
        return self.places_of(STAGES)


class X3DHead(AverageHead):
    """Mean over T, H, W, a hidden layer without bias, ReLU, dropout, a linear layer."""

    def __init__(self, channels: int, hidden: int, num_classes: int, dropout: float) -> None:
        super().__init__(hidden, num_classes, dropout)
        self.lin5 = nn.Linear(channels, hidden, bias=False)
        nn.init.kaiming_normal_(self.lin5.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, maps: Any, U: int, boxes: Tensor | None = None) -> Tensor:
        """(N·U, C, T, H, W) to (N, U, num_classes)."""
        hidden = F.relu(self.lin5(maps.mean((2, 3, 4))))
        return self.fc(self.dropout(hidden)).unflatten(0, (-1, U))


@register_model(InputSpec(mean=MEAN, std=STD, train_crop=312, test_crop=356))
def x3d_l(
    num_classes: int,
    *,
    width: int = 24,
    stem_kernel: int = 3,
    depths: tuple[int, ...] = (5, 10, 25, 15),
    dropout: float = 0.5,
) -> tuple[Backbone, Head]:
    """16 frames at step 5. The head's hidden layer has 2048 units at width 24; depths (2, 2, 4, 2) make a tiny net."""
    check_dropout(dropout)
    backbone = X3D(width, stem_kernel, depths)
    return backbone, X3DHead(backbone.channels, max(1, 2048 * width // 24), num_classes, dropout)
