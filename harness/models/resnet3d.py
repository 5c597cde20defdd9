"""The network inside a snippet: ResNet-18/50 as the "I3D" of the DSANet paper, and its 2D-in-frame forms.

He et al. 2016 (ResNet), Carreira and Zisserman 2017 (inflation), Feichtenhofer et al. 2019 (the slow pathway
that this "I3D" is); cross-checked with the DSANet release's `ResNet_I3D`. Layout (N·U, C, T, H, W), the U
snippets of one video adjacent; no temporal stride anywhere, so T is kept to the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from harness.base.errors import UserError
from harness.models.aggregation import AcrossSnippets
from harness.models.registry import POSITIONS, STAGES
from harness.models.temporal_shift import temporal_shift

DEPTHS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}


def _conv(inputs: int, outputs: int, kernel: tuple[int, int, int], stride: int = 1) -> nn.Conv3d:
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Conv3d(inputs, outputs, kernel, stride=(1, stride, stride), padding=padding, bias=False)


class Block(nn.Module):
    """What both residual blocks share: the shortcut, and one place for a module across snippets."""

    expansion: ClassVar[int]
    kind: ClassVar[str]
    positions: ClassVar[tuple[str, ...]]

    def __init__(self, inputs: int, width: int, stride: int, shift: bool) -> None:
        super().__init__()
        self.inputs, self.width, self.outputs = inputs, width, width * self.expansion
        self.shift = shift
        self.position: str | None = None
        self.across: AcrossSnippets | None = None
        self.shortcut: nn.Module | None = None
        if stride != 1 or inputs != self.outputs:
            self.shortcut = nn.Sequential(
                _conv(inputs, self.outputs, (1, 1, 1), stride), nn.BatchNorm3d(self.outputs)
            )

    def channels_at(self, position: str) -> int:
        """Channels of the map that a module at `position` sees; UserError where there is no such place."""
        if position not in self.positions:
            raise UserError(
                f"position {position!r}: a BasicBlock has three places, {', '.join(self.positions)}"
            )
        if position == "I":
            return self.inputs
        return self.width if position in ("II", "III") else self.outputs

    def place(self, position: str, module: AcrossSnippets) -> None:
        """Stand `module` at `position` (docs/method.md, "position I–IV"; "after": after the final ReLU)."""
        self.position, self.across = position, module

    def at(self, position: str, x: Tensor, U: int) -> Tensor:
        """What leaves `position`: the module's output where one stands there, else x itself."""
        if self.across is None or self.position != position:
            return x
        return self.across(x, U)

    def residual(self, x: Tensor, U: int) -> Tensor:
        """The residual branch up to the sum."""
        raise NotImplementedError

    def forward(self, x: Tensor, U: int) -> Tensor:
        """(N·U, inputs, T, H, W) to (N·U, outputs, T, H/stride, W/stride)."""
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return self.at("after", F.relu(self.residual(x, U) + shortcut), U)

    def enter(self, x: Tensor, U: int) -> Tensor:
        """The input of conv1: place I, then TSM's shift, which belongs to the convolution."""
        x = self.at("I", x, U)
        return temporal_shift(x) if self.shift else x


class BasicBlock(Block):
    """Two 3×3 convolutions; inflated, both are 3×3×3 (docs/systems.md)."""

    expansion = 1
    kind = "basic"
    positions = ("I", "II", "III", "after")

    def __init__(self, inputs: int, width: int, stride: int, kt: int, shift: bool) -> None:
        super().__init__(inputs, width, stride, shift)
        self.conv1, self.bn1 = _conv(inputs, width, (kt, 3, 3), stride), nn.BatchNorm3d(width)
        self.conv2, self.bn2 = _conv(width, width, (kt, 3, 3)), nn.BatchNorm3d(width)

    def residual(self, x: Tensor, U: int) -> Tensor:
        x = F.relu(self.bn1(self.conv1(self.enter(x, U))))
        x = self.bn2(self.conv2(self.at("II", x, U)))
        return self.at("III", x, U)


class Bottleneck(Block):
    """1×1, 3×3 (the stride), 1×1; inflated, the first is 3×1×1 (docs/systems.md)."""

    expansion = 4
    kind = "bottleneck"
    positions = POSITIONS

    def __init__(self, inputs: int, width: int, stride: int, kt: int, shift: bool) -> None:
        super().__init__(inputs, width, stride, shift)
        self.conv1, self.bn1 = _conv(inputs, width, (kt, 1, 1)), nn.BatchNorm3d(width)
        self.conv2, self.bn2 = _conv(width, width, (1, 3, 3), stride), nn.BatchNorm3d(width)
        self.conv3, self.bn3 = _conv(width, self.outputs, (1, 1, 1)), nn.BatchNorm3d(self.outputs)

    def residual(self, x: Tensor, U: int) -> Tensor:
        x = F.relu(self.bn1(self.conv1(self.enter(x, U))))
        x = F.relu(self.bn2(self.conv2(self.at("II", x, U))))
        x = self.bn3(self.conv3(self.at("III", x, U)))
        return self.at("IV", x, U)


class ResNet3d(nn.Module):
    """Stem and four stages. `inflate`: the stages with temporal kernels; `shift`: every block is TSM's."""

    def __init__(self, depth: int, width: int, stem_kernel: int, inflate: Sequence[str], shift: bool) -> None:
        super().__init__()
        self.block_class: type[BasicBlock] | type[Bottleneck] = BasicBlock if depth < 50 else Bottleneck
        self.stem = _conv(3, width, (1, stem_kernel, stem_kernel), 2)
        self.stem_bn = nn.BatchNorm3d(width)
        self.channels = width
        for index, (stage, count) in enumerate(zip(STAGES, DEPTHS[depth], strict=True)):
            kt = 3 if stage in inflate else 1
            self.add_module(stage, self._stage(count, width << index, 1 if index == 0 else 2, kt, shift))
        self._initialise()

    def _stage(self, count: int, width: int, stride: int, kt: int, shift: bool) -> nn.ModuleList:
        blocks = nn.ModuleList()
        for index in range(count):
            blocks.append(self.block_class(self.channels, width, stride if index == 0 else 1, kt, shift))
            self.channels = width * self.block_class.expansion
        return blocks

    def _initialise(self) -> None:
        """From scratch as torchvision's ResNet: Kaiming normal, fan out; no zero-init of the last BN (§1)."""
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def stage(self, name: str) -> list[Block]:
        """The blocks of "res2".."res5", in order."""
        return [b for b in self.get_submodule(name).children() if isinstance(b, Block)]

    def blocks(self) -> Iterator[Block]:
        """All residual blocks, in order."""
        for name in STAGES:
            yield from self.stage(name)

    def forward(self, x: Tensor, U: int) -> Tensor:
        """(N·U, 3, T, H, W) to (N·U, channels, T, H/32, W/32), sizes rounded up."""
        x = F.relu(self.stem_bn(self.stem(x)))
        x = F.max_pool3d(x, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
        for block in self.blocks():
            x = block(x, U)
        return x
