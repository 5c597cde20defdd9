"""TEINet: motion decides how much of each channel passes, then a learned shift mixes neighbouring frames.

Liu et al., "TEINet: Towards an Efficient Architecture for Video Recognition", AAAI 2020, section 3. There is no
official code: the place (before the first convolution of all 16 blocks) is the one that gives the 30.4 M parameters
that other papers list, and the sigmoid stands after the last convolution, as in the paper (docs/systems.md).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.models.network import Backbone, Head, InputSpec
from harness.models.registry import register_inside, register_model
from harness.models.tsm import put_everywhere
from harness.models.tsn import frame_resnet


def shift_kernels(conv: nn.Conv3d, forth: int, back: int) -> None:
    """A depthwise 3×1×1 convolution starts as TSM's shift: `forth` channels take frame t+1, `back` take t−1."""
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[:forth, 0, 2] = 1
        conv.weight[forth : forth + back, 0, 0] = 1
        conv.weight[forth + back :, 0, 1] = 1


@register_inside("tei", position="I", stages="all", blocks="all")
class TemporalEnhancement(nn.Module):
    """Motion enhanced module, then temporal interaction module.

    gate[t] = σ(W3·(W2·mean[t+1] − W1·mean[t])) of the spatial means, C to C/8 to C; the last frame has no next
    one and stays. Then a depthwise convolution along T that starts as TSM's shift (1/8, 1/8, 6/8).
    """

    def __init__(self, channels: int, *, reduction: int = 8) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.here, self.next = nn.Conv1d(channels, hidden, 1), nn.Conv1d(channels, hidden, 1)
        self.gate = nn.Conv1d(hidden, channels, 1)
        self.mix = nn.Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0), groups=channels, bias=False)
        shift_kernels(self.mix, channels // 8, channels // 8)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Same shape out; with one frame only the second half acts."""
        if x_BCTHW.shape[2] > 1:
            mean_BCT = x_BCTHW.mean((3, 4))
            motion = self.next(mean_BCT[:, :, 1:]) - self.here(mean_BCT[:, :, :-1])
            gate_BCT = torch.sigmoid(self.gate(motion))[..., None, None]
            x_BCTHW = torch.cat([x_BCTHW[:, :, :-1] * gate_BCT, x_BCTHW[:, :, -1:]], dim=2)
        return self.mix(x_BCTHW)


def _teinet(
    depth: int, num_classes: int, width: int, stem_kernel: int, dropout: float
) -> tuple[Backbone, Head]:
    backbone, head = frame_resnet(depth, num_classes, width, stem_kernel, dropout)
    put_everywhere(backbone, "I", TemporalEnhancement)
    return backbone, head


@register_model(InputSpec())
def teinet_r18(
    num_classes: int, *, width: int = 64, stem_kernel: int = 7, dropout: float = 0.5
) -> tuple[Backbone, Head]:
    """TSN's ResNet-18 with the module in every block (not in the paper)."""
    return _teinet(18, num_classes, width, stem_kernel, dropout)


@register_model(InputSpec())
def teinet_r50(
    num_classes: int, *, width: int = 64, stem_kernel: int = 7, dropout: float = 0.5
) -> tuple[Backbone, Head]:
    """TSN's ResNet-50 with the module in every block."""
    return _teinet(50, num_classes, width, stem_kernel, dropout)
