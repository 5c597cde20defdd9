"""The residual 4D block of V4D: y = x + Conv4d(x), kernel (3,3,1,1) over (U, T, H, W).

Zhang et al., "V4D: 4D Convolutional Neural Networks for Video-level Representation Learning", ICLR 2020,
section 3.2; the release's "fast" form, which is one 3D convolution over (U, T, H·W) (docs/systems.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor, nn

from harness.models.registry import register_aggregation
from harness.models.resnet import torchvision_names
from harness.models.weights import register_release


@register_aggregation(
    "v4d",
    position="after",
    stages={"bottleneck": ("res3",), "basic": ("res3", "res4")},
    blocks="every_second",
)
class V4D(nn.Module):
    """No bias, no normalisation, no ReLU; zero padding along U and T, so any U can pass."""

    any_U = True

    def __init__(self, channels: int, U: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, channels, (3, 3, 1), padding=(1, 1, 0), bias=False)

    def forward(self, x_NUCTHW: Tensor) -> Tensor:
        """Same shape out. Channels-last maps are read as a view; others are copied once by the conv."""
        x_NCUTS = x_NUCTHW.transpose(1, 2).flatten(4)
        y_NUCTS = self.conv(x_NCUTS).transpose(1, 2)
        return x_NUCTHW + y_NUCTS.unflatten(4, x_NUCTHW.shape[4:])


@register_release("v4d", telling=".tsa.")
def from_v4d(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """msight-tech/research-v4d: 4D blocks are layers between the residual blocks, which shifts the blocks' numbers."""
    prefix = re.compile(r"^(b|base_model)\.")
    plain = {prefix.sub("", name).replace("new_fc.", "fc."): tensor for name, tensor in state.items()}
    extra = [re.sub(r"\.tsa\..*$", "", name) for name in plain if ".tsa." in name]
    return torchvision_names({_block_name(name, extra): tensor for name, tensor in plain.items()})


def _block_name(name: str, extra: list[str]) -> str:
    match = re.match(r"^(layer\d)\.(\d+)\.(.*)$", name)
    if not match:
        return name
    layer, index, rest = match[1], int(match[2]), match[3]
    before = sum(f"{layer}.{earlier}" in extra for earlier in range(index))
    if rest.startswith("tsa."):  # belongs to the residual block just before it
        return f"{layer}.{index - before - 1}.at.*.across.module.{rest.replace('tsa.', 'conv.')}"
    return f"{layer}.{index - before}.{rest}"
