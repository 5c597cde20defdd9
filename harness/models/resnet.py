"""One residual body for every ResNet system: 2D in each frame, inflated, or with kernels along time.

He et al. 2016 (ResNet), Carreira and Zisserman 2017 (inflation), Feichtenhofer et al. 2019 (the slow pathway, which is
the "I3D" of the DSANet paper). Layout (N·U, C, T, H, W), the U snippets of one video adjacent; no temporal stride in
the blocks, so T is kept to the end unless the stem or a pool strides along it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from harness.base.errors import UserError
from harness.models.layers import check_sizes, conv3d, kaiming_convolutions, max_pool3d
from harness.models.network import Backbone, Place, PlaceName, Step

STAGES = ("res2", "res3", "res4", "res5")
Kernels = Mapping[str, int | Sequence[int]]
DEPTHS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


class Block(nn.Module):
    """What both residual blocks share: the shortcut, and the places of modules.

    Places (`at`): I before conv1, II after conv1 (bn, relu), III after conv2, IV after conv3 (bn), before the sum;
    "after" follows the final ReLU. A BasicBlock has no IV.
    """

    expansion: ClassVar[int]
    kind: ClassVar[str]
    at: nn.ModuleDict

    def __init__(self, inputs: int, width: int, stride: int, kt: int = 1) -> None:
        super().__init__()
        self.inputs, self.width, self.outputs = inputs, width, width * self.expansion
        self.shortcut: nn.Module | None = None
        if stride != 1 or inputs != self.outputs:
            self.shortcut = nn.Sequential(
                conv3d(inputs, self.outputs, (1, 1, 1), stride), nn.BatchNorm3d(self.outputs)
            )

    def residual(self, x: Tensor) -> Tensor:
        """The residual branch up to the sum."""
        raise NotImplementedError

    def last_norm(self) -> nn.BatchNorm3d:
        """The residual branch's last BatchNorm."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """(N·U, inputs, T, H, W) to (N·U, outputs, T, H/stride, W/stride)."""
        shortcut = x if self.shortcut is None else self.shortcut(x)
        y: Tensor = self.at["after"](F.relu(self.residual(x) + shortcut))
        return y


class BasicBlock(Block):
    """Two 3×3 convolutions; with kt = 3 both are 3×3×3."""

    expansion = 1
    kind = "basic"

    def __init__(self, inputs: int, width: int, stride: int, kt: int) -> None:
        super().__init__(inputs, width, stride, kt)
        self.conv1, self.bn1 = conv3d(inputs, width, (kt, 3, 3), stride), nn.BatchNorm3d(width)
        self.conv2, self.bn2 = conv3d(width, width, (kt, 3, 3)), nn.BatchNorm3d(width)
        self.at = nn.ModuleDict(
            {"I": Place(inputs), "II": Place(width), "III": Place(width), "after": Place(width)}
        )

    def residual(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(self.at["I"](x))))
        x = self.bn2(self.conv2(self.at["II"](x)))
        return self.at["III"](x)  # type: ignore[no-any-return]

    def last_norm(self) -> nn.BatchNorm3d:
        return self.bn2


class Bottleneck(Block):
    """1×1, 3×3 (the stride), 1×1; with kt = 3 the first is 3×1×1."""

    expansion = 4
    kind = "bottleneck"

    def __init__(self, inputs: int, width: int, stride: int, kt: int) -> None:
        super().__init__(inputs, width, stride, kt)
        self.conv1, self.bn1 = conv3d(inputs, width, (kt, 1, 1)), nn.BatchNorm3d(width)
        self.conv2, self.bn2 = conv3d(width, width, (1, 3, 3), stride), nn.BatchNorm3d(width)
        self.conv3, self.bn3 = conv3d(width, self.outputs, (1, 1, 1)), nn.BatchNorm3d(self.outputs)
        widths = {"I": inputs, "II": width, "III": width, "IV": self.outputs, "after": self.outputs}
        self.at = nn.ModuleDict({position: Place(channels) for position, channels in widths.items()})

    def residual(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(self.at["I"](x))))
        x = F.relu(self.bn2(self.conv2(self.at["II"](x))))
        x = self.bn3(self.conv3(self.at["III"](x)))
        return self.at["IV"](x)  # type: ignore[no-any-return]

    def last_norm(self) -> nn.BatchNorm3d:
        return self.bn3


class ResNet3d(Backbone):
    """Stem (1×k×k, stride 2, max pool 1×3×3) and four stages of residual blocks.

    depth         18, 50 or 101
    width         channels of res2 (64 in the paper)
    temporal      stage -> the kernel length along time of each of its blocks, or one for all (default 1)
    stem_time     the stem's kernel length along time
    time_strides  of the stem, of the max pool after it, and of a max pool between res2 and res3 (1: there is none)
    strides       of height and width in the first block of each stage
    laterals      channels that join the maps before each stage (SlowFast)
    pool_padding  whether the max pool after the stem is padded, as torchvision's, or not, as Caffe2's
    zero_init     the last BatchNorm of every block starts at 0, so that a block starts as its shortcut
    frozen        BatchNorms are fixed scales and shifts: neither their weights nor their statistics are trained
    """

    bottleneck: ClassVar[type[Block]] = Bottleneck  # of depth 50 and more; a family may have its own

    def __init__(
        self,
        depth: int,
        width: int,
        stem_kernel: int,
        temporal: Kernels | None = None,
        *,
        stem_time: int = 1,
        time_strides: Sequence[int] = (1, 1, 1),
        strides: Sequence[int] = (1, 2, 2, 2),
        laterals: Sequence[int] = (0, 0, 0, 0),
        pool_padding: bool = True,
        zero_init: bool = False,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        check_sizes(width=width)
        check_time_strides(time_strides)
        if stem_kernel not in (3, 5, 7):
            raise UserError(f"stem_kernel {stem_kernel!r}: 3, 5 or 7")
        block = BasicBlock if depth < 50 else self.bottleneck
        self.kind = block.kind  # type: ignore[misc]
        _, self.pool_t, self.pool2_t = time_strides
        self.pool_padding = pool_padding
        self.stem = conv3d(3, width, (stem_time, stem_kernel, stem_kernel), 2, stride_t=time_strides[0])
        self.stem_bn = nn.BatchNorm3d(width)
        self.channels = width
        for index, (stage, count) in enumerate(zip(STAGES, DEPTHS[depth], strict=True)):
            given = (temporal or {}).get(stage, 1)
            kernels = [given] * count if isinstance(given, int) else list(given)
            blocks = nn.ModuleList()
            for number, kt in enumerate(kernels):
                joining, stride = (0, 1) if number else (laterals[index], strides[index])
                blocks.append(block(self.channels + joining, width << index, stride, kt))
                self.channels = (width << index) * block.expansion
            self.add_module(stage, blocks)
        kaiming_convolutions(self)
        if zero_init and not frozen:  # a frozen scale of zero would end all learning behind it
            for stage in STAGES:
                for one in self.stage(stage):
                    nn.init.zeros_(one.last_norm().weight)
        self.frozen = frozen
        if frozen:
            for norm in self._norms():
                norm.requires_grad_(False)

    def _norms(self) -> list[nn.BatchNorm3d]:
        """The body's own, not those of modules that stand in its places."""
        placed = {module for place in self.places().values() for module in place.modules()}
        return [m for m in self.modules() if isinstance(m, nn.BatchNorm3d) and m not in placed]

    def train(self, mode: bool = True) -> ResNet3d:
        """As nn.Module.train, but frozen BatchNorms keep using their stored statistics."""
        super().train(mode)
        if self.frozen:
            for norm in self._norms():
                norm.train(False)
        return self

    def stem_maps(self, x: Tensor) -> Tensor:
        """(N·U, 3, T, H, W) to what res2 takes: convolution, BatchNorm, ReLU, max pool."""
        x = F.relu(self.stem_bn(self.stem(x)))
        # An even kernel along time: the pools that stride along it do not overlap.
        return max_pool3d(x, (self.pool_t, 3, 3), (self.pool_t, 2, 2), padded=self.pool_padding)

    def _pool2(self, x: Tensor) -> Tensor:
        return max_pool3d(x, (self.pool2_t, 1, 1), (self.pool2_t, 1, 1))

    def stage(self, name: str) -> list[Block]:
        """The blocks of res2, res3, res4 or res5."""
        return list(self.get_submodule(name).children())  # type: ignore[arg-type]

    def steps(self) -> Sequence[Step]:
        rest = [block for name in STAGES[1:] for block in self.stage(name)]
        pool2 = [] if self.pool2_t == 1 else [self._pool2]
        return [self.stem_maps, *self.stage("res2"), *pool2, *rest]

    def places(self) -> dict[PlaceName, Place]:
        return self.places_of(STAGES)


def check_time_strides(strides: Sequence[int]) -> None:
    """Refuse anything but three strides of 1 or 2. Raises UserError."""
    if len(strides) != 3 or any(isinstance(s, bool) or s not in (1, 2) for s in strides):
        raise UserError(f"time_strides {list(strides)}: three numbers, each 1 or 2")


def trunk_name(name: str) -> str:
    """torchvision's trunk names to ours: conv1/bn1 = stem, layer1..4 = res2..res5, downsample = shortcut."""
    name = re.sub(r"^conv1\.", "stem.", name)
    name = re.sub(r"^bn1\.", "stem_bn.", name)
    name = re.sub(r"^layer(\d)\.", lambda match: f"res{int(match[1]) + 1}.", name)
    return "backbone." + name.replace(".downsample.", ".shortcut.")


def torchvision_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A torchvision ResNet's state dict under our names, head included."""
    return {
        name.replace("fc.", "head.fc.") if name.startswith("fc.") else trunk_name(name): tensor
        for name, tensor in state.items()
    }
