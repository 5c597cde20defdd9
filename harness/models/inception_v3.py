"""TSN on Inception V3: factored convolutions in every frame.

Szegedy et al., CVPR 2016, in torchvision's layout without the auxiliary head; the last block pools by the largest
value and convolutions have biases, as in yjxiong/tensorflow-model-zoo.torch, which TSN's ActivityNet rows use
(docs/systems.md; that release's names are not known here, so it has no importer). It names no places: its
branches side by side leave no position "after the first convolution".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.models.bninception import scaled
from harness.models.layers import AverageHead, Conv3d, average_3x3, check_sizes, kaiming_convolutions
from harness.models.network import Backbone, Head, InputSpec, Step
from harness.models.registry import register_model


class Layer(NamedTuple):
    """A convolution: channels at full width, kernel (height, width), stride; `valid`: without padding."""

    channels: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    valid: bool = False


class Sizes(NamedTuple):
    """`width` in 64ths; `small`: valid layers are padded, for pictures under 75 px."""

    width: int
    small: bool


Branch = Sequence[Layer | tuple[Layer, ...]]  # a tuple of layers: side by side, on the same maps
STEM: tuple[Layer, ...] = (
    Layer(32, (3, 3), 2, valid=True),
    Layer(32, (3, 3), valid=True),
    Layer(64, (3, 3)),
    Layer(80),
    Layer(192, (3, 3), valid=True),
)


def _thirty_five(pool: int) -> tuple[list[Branch], int]:
    double = [Layer(64), Layer(96, (3, 3)), Layer(96, (3, 3))]
    return [[Layer(64)], [Layer(48), Layer(64, (5, 5))], double], pool


def _seventeen(inner: int) -> tuple[list[Branch], int]:
    along_w, along_h = Layer(inner, (1, 7)), Layer(inner, (7, 1))
    single = [Layer(inner), along_w, Layer(192, (7, 1))]
    double = [Layer(inner), along_h, along_w, along_h, Layer(192, (1, 7))]
    return [[Layer(192)], single, double], 192


def _eight() -> tuple[list[Branch], int]:
    fork = (Layer(384, (1, 3)), Layer(384, (3, 1)))
    return [[Layer(320)], [Layer(384), fork], [Layer(448), Layer(384, (3, 3)), fork]], 192


_HALVING_35: list[Branch] = [
    [Layer(384, (3, 3), 2, valid=True)],
    [Layer(64), Layer(96, (3, 3)), Layer(96, (3, 3), 2, valid=True)],
]
_HALVING_17: list[Branch] = [
    [Layer(192), Layer(320, (3, 3), 2, valid=True)],
    [Layer(192), Layer(192, (1, 7)), Layer(192, (7, 1)), Layer(192, (3, 3), 2, valid=True)],
]
# name -> branches, and the channels of the 1×1 behind the pooling branch; 0: the pool halves and passes as it is
BLOCKS: dict[str, tuple[list[Branch], int]] = {
    "5b": _thirty_five(32),
    "5c": _thirty_five(64),
    "5d": _thirty_five(64),
    "6a": (_HALVING_35, 0),
    "6b": _seventeen(128),
    "6c": _seventeen(160),
    "6d": _seventeen(160),
    "6e": _seventeen(192),
    "7a": (_HALVING_17, 0),
    "7b": _eight(),
    "7c": _eight(),
}


class Unit(nn.Module):
    """A biased convolution in each frame, batch norm (eps 1e-3), ReLU."""

    def __init__(self, inputs: int, layer: Layer, sizes: Sizes) -> None:
        super().__init__()
        (h, w), s = layer.kernel, layer.stride
        padding = (0, 0) if layer.valid and not sizes.small else (h // 2, w // 2)
        self.outputs = scaled(layer.channels, sizes.width)
        self.conv = Conv3d(inputs, self.outputs, (1, h, w), stride=(1, s, s), padding=(0, *padding))
        self.bn = nn.BatchNorm3d(self.outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, T, H, W) to (N, outputs, T, H', W')."""
        return F.relu(self.bn(self.conv(x)))


class SideBySide(nn.Module):
    """Branches on the same maps, their outputs one after the other in the channels."""

    def __init__(self, branches: Sequence[nn.Module], outputs: int) -> None:
        super().__init__()
        self.branches, self.outputs = nn.ModuleList(branches), outputs

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, T, H, W) to (N, outputs, T, H', W')."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class Pool(nn.Module):
    """3×3 in each frame: "average", "max" at stride 1, or "halving", the largest value at stride 2."""

    def __init__(self, kind: str, small: bool) -> None:
        super().__init__()
        self.kind, self.small = kind, small

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W), the same shape out but for "halving"."""
        if self.kind == "average":
            return average_3x3(x)
        if self.kind == "max":
            return F.max_pool3d(x, (1, 3, 3), stride=1, padding=(0, 1, 1))
        return F.max_pool3d(x, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1) if self.small else 0)


def _chain(branch: Branch, inputs: int, sizes: Sizes) -> tuple[nn.Sequential, int]:
    """Layers one after the other, and the channels that leave them."""
    parts: list[nn.Module] = []
    for layer in branch:
        if isinstance(layer, Layer):
            unit = Unit(inputs, layer, sizes)
            parts.append(unit)
            inputs = unit.outputs
        else:
            units = [Unit(inputs, one, sizes) for one in layer]
            inputs = sum(unit.outputs for unit in units)
            parts.append(SideBySide(units, inputs))
    return nn.Sequential(*parts), inputs


def _block(name: str, inputs: int, sizes: Sizes) -> SideBySide:
    branches, projection = BLOCKS[name]
    made = [_chain(branch, inputs, sizes) for branch in branches]
    if projection:
        last, outputs = _chain([Layer(projection)], inputs, sizes)
        kind = "max" if name == "7c" else "average"
        made.append((nn.Sequential(Pool(kind, sizes.small), last), outputs))
    else:
        made.append((nn.Sequential(Pool("halving", sizes.small)), inputs))
    return SideBySide([branch for branch, _ in made], sum(outputs for _, outputs in made))


class InceptionV3(Backbone):
    """Stem and 11 blocks of branches."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        check_sizes(width=sizes.width)
        self.stem_units, self.channels = nn.ModuleList(), 3
        for layer in STEM:
            unit = Unit(self.channels, layer, sizes)
            self.stem_units.append(unit)
            self.channels = unit.outputs
        self.pool = Pool("halving", sizes.small)
        self.mixed = nn.ModuleDict()
        for name in BLOCKS:
            block = _block(name, self.channels, sizes)
            self.mixed[name], self.channels = block, block.outputs
        kaiming_convolutions(self)

    def stem(self, x: Tensor) -> Tensor:
        """(N·U, 3, T, H, W) to maps of an eighth of the size."""
        for number, unit in enumerate(self.stem_units, start=1):
            x = unit(x)
            if number == 3 or number == len(self.stem_units):
                x = self.pool(x)
        return x

    def steps(self) -> Sequence[Step]:
        return [self.stem, *self.mixed.values()]


@register_model(InputSpec((104.0, 117.0, 128.0), (1.0, 1.0, 1.0), "bgr", 299, 299))
def tsn_inception_v3(
    num_classes: int,
    *,
    width: int = 64,
    small_input: bool = False,
    dropout: float = 0.8,
    consensus: str = "mean",
) -> tuple[Backbone, Head]:
    """TSN on Inception V3. width: all channels in 64ths of the paper's; small_input: for pictures under 75 px;
    consensus: "mean" or "top3" over snippets (of one frame each, as TSN samples)."""
    backbone = InceptionV3(Sizes(width, small_input))
    return backbone, AverageHead(backbone.channels, num_classes, dropout, 0.001, consensus)
