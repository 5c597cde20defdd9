"""TEA: motion excitation, then a hierarchy of temporal and spatial convolutions over four groups of channels.

Li et al., "TEA: Temporal Excitation and Aggregation for Action Recognition", CVPR 2020, section 3, on Res2Net-50
(Gao et al., TPAMI 2021; 26 width × 4 scales); Phoenix1327/tea-action-recognition (golden tea_r50).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.models.layers import AverageHead, average_3x3, conv3d
from harness.models.network import Backbone, Head, InputSpec, Place
from harness.models.registry import register_model
from harness.models.resnet import Block, ResNet3d, torchvision_names
from harness.models.teinet import shift_kernels
from harness.models.weights import register_release

SCALES = 4


class MotionExcitation(nn.Module):
    """x + x·(σ(BN(W3·mean(d))) − ½), d[t] the change from y[t] to the depthwise 3×3 of y[t+1], y = BN(W1·x)."""

    def __init__(self, channels: int, *, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.conv1, self.bn1 = conv3d(channels, hidden, (1, 1, 1)), nn.BatchNorm3d(hidden)
        self.conv2 = nn.Conv3d(hidden, hidden, (1, 3, 3), padding=(0, 1, 1), groups=hidden, bias=False)
        self.conv3, self.bn3 = conv3d(hidden, channels, (1, 1, 1)), nn.BatchNorm3d(channels)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Same shape out; the last frame has no next one: its change is zero."""
        y = self.bn1(self.conv1(x_BCTHW))
        change = self.conv2(y)[:, :, 1:] - y[:, :, :-1]
        mean_BCT11 = F.pad(change, (0, 0, 0, 0, 0, 1)).mean((3, 4), keepdim=True)
        gate = torch.sigmoid(self.bn3(self.conv3(mean_BCT11))) - 0.5
        return x_BCTHW + x_BCTHW * gate


class TeaBlock(Block):
    """1×1, motion excitation, multiple temporal aggregation (the stride), 1×1.

    Of the four groups, the first three pass a temporal and a spatial convolution each and, but in a stage's first
    block, hand their result on to the next; the fourth passes a temporal convolution alone.
    """

    expansion = 4
    kind = "bottleneck"

    def __init__(self, inputs: int, width: int, stride: int, kt: int = 1) -> None:
        super().__init__(inputs, width, stride, kt)
        group = max(1, width * 26 // 64)
        inner = group * SCALES
        self.first, self.stride, self.group = self.shortcut is not None, stride, group
        self.conv1, self.bn1 = conv3d(inputs, inner, (1, 1, 1)), nn.BatchNorm3d(inner)
        self.me = MotionExcitation(inner)
        self.shifts = nn.ModuleList(self._temporal() for _ in range(SCALES))
        self.convs = nn.ModuleList(conv3d(group, group, (1, 3, 3), stride) for _ in range(SCALES - 1))
        self.bns = nn.ModuleList(nn.BatchNorm3d(group) for _ in range(SCALES - 1))
        self.conv3, self.bn3 = conv3d(inner, self.outputs, (1, 1, 1)), nn.BatchNorm3d(self.outputs)
        widths = {"I": inputs, "II": inner, "III": inner, "IV": self.outputs, "after": self.outputs}
        self.at = nn.ModuleDict({position: Place(channels) for position, channels in widths.items()})

    def _temporal(self) -> nn.Conv3d:
        group = self.group
        return nn.Conv3d(group, group, (3, 1, 1), padding=(1, 0, 0), groups=group, bias=False)

    def start_temporal(self) -> None:
        """Groups 1 to 3 start as the identity, group 4 as a shift: half the channels from t+1, half from t−1."""
        for number, shift in enumerate(self.shifts):
            back = self.group // 2 if number == SCALES - 1 else 0
            forth = self.group - back if back else 0
            shift_kernels(shift, forth, back)  # type: ignore[arg-type]

    def residual(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(self.at["I"](x))))
        x = self.me(self.at["II"](x))
        x = self.bn3(self.conv3(self.at["III"](self._aggregate(x))))
        return self.at["IV"](x)  # type: ignore[no-any-return]

    def _aggregate(self, x: Tensor) -> Tensor:
        groups = x.split(self.group, dim=1)
        done: list[Tensor] = []
        for part, shift, conv, bn in zip(groups, self.shifts, self.convs, self.bns, strict=False):
            y = part if self.first or not done else part + done[-1]
            done.append(F.relu(bn(conv(shift(y)))))
        last = self.shifts[-1](groups[-1])
        if self.first:
            last = average_3x3(last, self.stride)
        return torch.cat([*done, last], dim=1)


class TeaResNet(ResNet3d):
    """The shared body with TEA's blocks."""

    bottleneck = TeaBlock

    def __init__(self, width: int, stem_kernel: int) -> None:
        super().__init__(50, width, stem_kernel)
        for block in self.modules():
            if isinstance(block, TeaBlock):
                block.start_temporal()


@register_model(InputSpec())
def tea_r50(
    num_classes: int, *, width: int = 64, stem_kernel: int = 7, dropout: float = 0.5
) -> tuple[Backbone, Head]:
    """Res2Net-50 with TEA's blocks; there is no basic block of it."""
    backbone = TeaResNet(width, stem_kernel)
    return backbone, AverageHead(backbone.channels, num_classes, dropout)


@register_release("tea", telling=".me.conv1.")
def from_tea(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Phoenix1327/tea-action-recognition: torchvision's trunk names; a temporal convolution is `shifts.N.conv`."""
    plain = {}
    for name, tensor in state.items():
        own = name.removeprefix("base_model.").replace("new_fc.", "fc.")
        temporal = ".shifts." in own
        plain[own.replace(".conv.weight", ".weight") if temporal else own] = (
            tensor[..., None, None] if temporal else tensor
        )
    return torchvision_names(plain)
