"""ECO Lite: BN-Inception's first blocks in every frame, then a 3D ResNet over all frames together.

Zolfaghari et al., "ECO: Efficient Convolutional Network for Online Video Understanding", ECCV 2018, section 3;
mzolfaghari/ECO-pytorch (golden eco_lite_8). Any number of frames; the paper's ensemble is an average of rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from harness.models.bninception import CAFFE, BNInception, Unit, bninception_name, scaled
from harness.models.layers import AverageHead, kaiming_convolutions
from harness.models.network import Backbone, Head, Place, PlaceName, Step
from harness.models.registry import register_model
from harness.models.weights import register_release


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Conv3d:
    return nn.Conv3d(inputs, outputs, 3, stride=stride, padding=1)


class PreActivated(nn.Module):
    """bn, ReLU, two 3×3×3 convolutions, added to the raw input, or to a strided 3×3×3 convolution of bn's output.

    Places as in a BasicBlock: I before conv1, II after conv1 (bn, ReLU), III before the sum, "after" behind it.
    """

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.bn, self.bn1 = nn.BatchNorm3d(inputs), nn.BatchNorm3d(width)
        self.conv1, self.conv2 = _conv(inputs, width, stride), _conv(width, width)
        self.down = _conv(inputs, width, stride) if stride > 1 else None
        widths = {"I": inputs, "II": width, "III": width, "after": width}
        self.at = nn.ModuleDict({position: Place(channels) for position, channels in widths.items()})

    def forward(self, x: Tensor) -> Tensor:
        """(N·U, inputs, T, H, W) to (N·U, width, T/stride, H/stride, W/stride)."""
        ready = F.relu(self.bn(x))
        shortcut = x if self.down is None else self.down(ready)
        y = self.at["II"](F.relu(self.bn1(self.conv1(self.at["I"](ready)))))
        y = self.at["III"](self.conv2(y))
        return self.at["after"](y + shortcut)  # type: ignore[no-any-return]


class EcoLite(Backbone):
    """BN-Inception up to the first 3×3 of 3c's double branch (an eighth of the picture), res3 to res5 in 3D.

    res3 has one block with places (res3b), res4 and res5 have two. Time and space halve in res4 and res5.
    """

    kind: ClassVar[str] = "basic"

    def __init__(self, width: int, stem_kernel: int, small_input: bool = False) -> None:
        super().__init__()
        self.frames = BNInception(width, stem_kernel, ("3a", "3b"), small_input)
        reduced, leaving = scaled(64, width), scaled(96, width)
        self.last = nn.Sequential(Unit(self.frames.channels, reduced, 1), Unit(reduced, leaving, 3))
        third, fourth, fifth = (scaled(channels, width) for channels in (128, 256, 512))
        self.res3a = _conv(leaving, third)
        self.res3 = nn.ModuleList([PreActivated(third, third, 1)])
        self.res4 = nn.ModuleList([PreActivated(third, fourth, 2), PreActivated(fourth, fourth, 1)])
        self.res5 = nn.ModuleList([PreActivated(fourth, fifth, 2), PreActivated(fifth, fifth, 1)])
        self.bn, self.channels = nn.BatchNorm3d(fifth), fifth
        kaiming_convolutions(self)

    def _end(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(x))

    def steps(self) -> Sequence[Step]:
        return [*self.frames.steps(), self.last, self.res3a, *self.res3, *self.res4, *self.res5, self._end]

    def places(self) -> dict[PlaceName, Place]:
        return self.places_of(("res3", "res4", "res5"))


@register_model(CAFFE)
def eco_lite(
    num_classes: int,
    *,
    width: int = 64,
    stem_kernel: int = 7,
    small_input: bool = False,
    dropout: float = 0.5,
) -> tuple[Backbone, Head]:
    """ECO Lite; the paper's rows have 4 to 32 frames."""
    backbone = EcoLite(width, stem_kernel, small_input)
    return backbone, AverageHead(backbone.channels, num_classes, dropout)


_LAYERS = {  # the batch norm after a sum is the next block's first layer
    "res3a_2": "res3a",
    "res3a_bn": "res3.0.bn",
    "res3b_bn": "res4.0.bn",
    "res4a_bn": "res4.1.bn",
    "res4b_bn": "res5.0.bn",
    "res5a_bn": "res5.1.bn",
    "res5b_bn": "bn",
}
_IN_BLOCK = {"1": "conv1", "1_bn": "bn1", "2": "conv2", "down": "down"}
_BLOCKS = {"res3b": "res3.0", "res4a": "res4.0", "res4b": "res4.1", "res5a": "res5.0", "res5b": "res5.1"}
_LAST = {"double_3x3_reduce": "last.0", "double_3x3_1": "last.1"}


@register_release("eco", telling="res3a_2.weight")
def from_eco(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """mzolfaghari/ECO-pytorch, Lite: Caffe's names, the classifier `fc_final` or `new_fc`."""
    return {_eco_name(name.removeprefix("base_model.")): tensor for name, tensor in state.items()}


def _eco_name(name: str) -> str:
    layer, _, leaf = name.rpartition(".")
    block, _, part = layer.partition("_")
    if layer in ("fc_final", "new_fc"):
        return f"head.fc.{leaf}"
    if layer in _LAYERS:
        return f"backbone.{_LAYERS[layer]}.{leaf}"
    if block in _BLOCKS and part in _IN_BLOCK:
        return f"backbone.{_BLOCKS[block]}.{_IN_BLOCK[part]}.{leaf}"
    if layer.startswith("inception_3c_"):
        own = _LAST.get(layer.removeprefix("inception_3c_").removesuffix("_bn"), layer)
        return f"backbone.{own}.{'bn' if layer.endswith('_bn') else 'conv'}.{leaf}"
    return bninception_name(name).replace("backbone.", "backbone.frames.")
