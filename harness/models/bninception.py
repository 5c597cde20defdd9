"""BN-Inception, the network of TSN's, TRN's and ECO's releases, in every frame.

Ioffe and Szegedy, ICML 2015, as yjxiong/tensorflow-model-zoo.torch has it: biased convolutions, pools that round up
(golden bninception). It names no places: its four branches side by side leave no position "after the first
convolution".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.base.errors import UserError
from harness.models.layers import (
    AverageHead,
    Conv3d,
    average_3x3,
    check_sizes,
    kaiming_convolutions,
    max_3x3_halving,
)
from harness.models.network import Backbone, Head, InputSpec, Step
from harness.models.registry import register_model
from harness.models.weights import register_release

CAFFE = InputSpec((104.0, 117.0, 128.0), (1.0, 1.0, 1.0), "bgr", 224, 224)
# one: 1×1; three: 1×1, 3×3; deep: 1×1, 3×3, 3×3; pool: 3×3, 1×1. 0: no such branch, the pool passes as it is.
BLOCKS: dict[str, tuple[int, tuple[int, int], tuple[int, int, int], tuple[str, int]]] = {
    "3a": (64, (64, 64), (64, 96, 96), ("average", 32)),
    "3b": (64, (64, 96), (64, 96, 96), ("average", 64)),
    "3c": (0, (128, 160), (64, 96, 96), ("max", 0)),
    "4a": (224, (64, 96), (96, 128, 128), ("average", 128)),
    "4b": (192, (96, 128), (96, 128, 128), ("average", 128)),
    "4c": (160, (128, 160), (128, 160, 160), ("average", 128)),
    "4d": (96, (128, 192), (160, 192, 192), ("average", 128)),
    "4e": (0, (128, 192), (192, 256, 256), ("max", 0)),
    "5a": (352, (192, 320), (160, 224, 224), ("average", 128)),
    "5b": (352, (192, 320), (192, 224, 224), ("max", 128)),
}


class Unit(nn.Module):
    """A biased convolution in each frame, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        k, s = (1, kernel, kernel), (1, stride, stride)
        self.conv = Conv3d(inputs, outputs, k, stride=s, padding=(0, kernel // 2, kernel // 2))
        self.bn = nn.BatchNorm3d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, T, H, W) to (N, outputs, T, H/stride, W/stride)."""
        return F.relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    """Four branches side by side; a block without `one` halves the picture and passes its pool unchanged."""

    def __init__(self, name: str, inputs: int, width: int) -> None:
        super().__init__()
        one, three, deep, (self.kind, projection) = BLOCKS[name]
        self.halves = one == 0
        stride = 2 if self.halves else 1
        a, b, c, d, e = (scaled(channels, width) for channels in (*three, *deep))
        self.outputs = b + e
        if not self.halves:
            self.one = Unit(inputs, scaled(one, width), 1)
            self.project = Unit(inputs, scaled(projection, width), 1)
            self.outputs += scaled(one, width) + scaled(projection, width)
        else:
            self.outputs += inputs
        self.three = nn.Sequential(Unit(inputs, a, 1), Unit(a, b, 3, stride))
        self.deep = nn.Sequential(Unit(inputs, c, 1), Unit(c, d, 3), Unit(d, e, 3, stride))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, T, H, W) to (N, outputs, T, H, W), H and W halved where it halves."""
        if self.halves:
            return torch.cat([self.three(x), self.deep(x), max_3x3_halving(x)], dim=1)
        pooled = average_3x3(x) if self.kind == "average" else F.max_pool3d(x, (1, 3, 3), 1, (0, 1, 1))
        return torch.cat([self.one(x), self.three(x), self.deep(x), self.project(pooled)], dim=1)


def scaled(channels: int, width: int) -> int:
    """`channels` at width 64, in proportion at another; at least 1."""
    return max(1, channels * width // 64)


class BNInception(Backbone):
    """Stem and the named blocks, "3a" to "5b".

    width: channels of the first convolution (64); every layer in proportion. small_input: for pictures under 75 px,
    without the stem's second pool, so that the blocks begin at a quarter of the size as a ResNet's do.
    """

    def __init__(
        self,
        width: int,
        stem_kernel: int,
        blocks: Sequence[str] = tuple(BLOCKS),
        small_input: bool = False,
    ) -> None:
        super().__init__()
        check_sizes(width=width)
        if stem_kernel not in (3, 5, 7):
            raise UserError(f"stem_kernel {stem_kernel!r}: 3, 5 or 7")
        self.small_input = small_input
        first, second = scaled(64, width), scaled(192, width)
        self.conv1 = Unit(3, first, stem_kernel, 2)
        self.conv2_reduce, self.conv2 = Unit(first, first, 1), Unit(first, second, 3)
        self.channels = second
        self.inception = nn.ModuleDict()
        for name in blocks:
            block = Inception(name, self.channels, width)
            self.inception[name], self.channels = block, block.outputs
        kaiming_convolutions(self)

    def stem(self, x: Tensor) -> Tensor:
        """(N·U, 3, T, H, W) to maps of an eighth of the size, or a quarter."""
        x = max_3x3_halving(self.conv1(x))
        x = self.conv2(self.conv2_reduce(x))
        return x if self.small_input else max_3x3_halving(x)

    def steps(self) -> Sequence[Step]:
        return [self.stem, *self.inception.values()]


@register_model(CAFFE)
def tsn_bninception(
    num_classes: int,
    *,
    width: int = 64,
    stem_kernel: int = 7,
    dropout: float = 0.8,
    consensus: str = "mean",
) -> tuple[Backbone, Head]:
    """TSN on BN-Inception; consensus: "mean" or "top3" over snippets (of one frame each, as TSN samples)."""
    backbone = BNInception(width, stem_kernel)
    return backbone, AverageHead(backbone.channels, num_classes, dropout, 0.001, consensus)


_BRANCHES = {
    "1x1": "one",
    "3x3_reduce": "three.0",
    "3x3": "three.1",
    "double_3x3_reduce": "deep.0",
    "double_3x3_1": "deep.1",
    "double_3x3_2": "deep.2",
    "pool_proj": "project",
}


def bninception_name(name: str) -> str:
    """A name of the release under ours; one that is none of BN-Inception's comes back as it is."""
    layer, _, leaf = name.rpartition(".")
    part = "bn" if layer.endswith("_bn") else "conv"
    layer = layer.removesuffix("_bn")
    if layer in ("conv1_7x7_s2", "conv2_3x3_reduce", "conv2_3x3"):
        own = layer.replace("_7x7_s2", "").replace("_3x3", "")
        return f"backbone.{own}.{part}.{leaf}"
    match = re.match(r"^inception_(\d\w)_(.*)$", layer)
    if match and match[2] in _BRANCHES:
        return f"backbone.inception.{match[1]}.{_BRANCHES[match[2]]}.{part}.{leaf}"
    return name


@register_release("bninception", telling="conv1_7x7_s2.weight", plain=True)
def from_bninception(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """yjxiong/tensorflow-model-zoo.torch, and TSN's checkpoints of it (base_model, new_fc)."""
    renamed = {}
    for name, tensor in state.items():
        own = bninception_name(name.removeprefix("base_model.").replace("new_fc.", "fc."))
        renamed[own.replace("fc.", "head.fc.") if own.startswith("fc.") else own] = tensor
    return renamed
