"""TANet: a kernel along time made for every clip and channel, after a gate for every frame and channel.

Liu et al., "TAM: Temporal Adaptive Module for Video Recognition", ICCV 2021, section 3; in all blocks after the first
convolution, as in liu-zhy/temporal-adaptive-module (golden tanet_r50). Built for a number of frames.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from harness.models.dsa import TAPS, aggregate_snippets
from harness.models.network import Backbone, Head, InputSpec
from harness.models.registry import register_inside, register_model
from harness.models.resnet import torchvision_names
from harness.models.tsm import put_everywhere
from harness.models.tsn import frame_resnet
from harness.models.weights import register_release


@register_inside("tam", position="II", stages="all", blocks="all")
class TemporalAdaptive(nn.Module):
    """Depthwise convolution along T of (x·gate) with a kernel of its own for every clip and channel.

    Both come from the spatial means (C, T): the kernel from all of T (shared over channels), the gate from three
    neighbouring frames of all channels. The names `G` (global) and `L` (local) are the release's.
    """

    def __init__(self, channels: int, T: int) -> None:
        super().__init__()
        hidden = max(1, channels // 4)
        self.T = T
        self.G = nn.Sequential(
            nn.Linear(T, 2 * T, bias=False),
            nn.BatchNorm1d(2 * T),
            nn.ReLU(inplace=True),
            nn.Linear(2 * T, TAPS, bias=False),
        )
        self.L = nn.Sequential(
            nn.Conv1d(channels, hidden, 3, padding=1, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv1d(hidden, channels, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Same shape out. ValueError for another number of frames than built for."""
        if x_BCTHW.shape[2] != self.T:
            raise ValueError(f"this module was built for T={self.T} frames and got {x_BCTHW.shape[2]}")
        mean_BCT = x_BCTHW.mean((3, 4))
        kernel_BCL = self.G(mean_BCT.flatten(0, 1)).softmax(-1).unflatten(0, mean_BCT.shape[:2])
        gated_BCTHW = x_BCTHW * self.L(mean_BCT)[..., None, None]
        # DSA's operator, with frames in the place of snippets: (B, T, C, 1, H, W).
        mixed = aggregate_snippets(gated_BCTHW.transpose(1, 2).unsqueeze(3), kernel_BCL.to(x_BCTHW.dtype))
        return mixed.squeeze(3).transpose(1, 2)


def _tanet(
    depth: int, num_classes: int, T: int, width: int, stem_kernel: int, dropout: float
) -> tuple[Backbone, Head]:
    backbone, head = frame_resnet(depth, num_classes, width, stem_kernel, dropout)
    put_everywhere(backbone, "II", lambda channels: TemporalAdaptive(channels, T))
    return backbone, head


@register_model(InputSpec())
def tanet_r18(
    num_classes: int, T: int, *, width: int = 64, stem_kernel: int = 7, dropout: float = 0.5
) -> tuple[Backbone, Head]:
    """TSN's ResNet-18 with the adaptive module in every block (no release)."""
    return _tanet(18, num_classes, T, width, stem_kernel, dropout)


@register_model(InputSpec())
def tanet_r50(
    num_classes: int, T: int, *, width: int = 64, stem_kernel: int = 7, dropout: float = 0.5
) -> tuple[Backbone, Head]:
    """TSN's ResNet-50 with the adaptive module in every block."""
    return _tanet(50, num_classes, T, width, stem_kernel, dropout)


@register_release("tanet", telling=".tam.G.")
def from_tanet(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """liu-zhy/temporal-adaptive-module: a block is wrapped (`.net.`) and has its module beside it (`.tam.`)."""
    plain = {
        name.removeprefix("base_model.")
        .replace("new_fc.", "fc.")
        .replace(".net.", ".")
        .replace(".tam.", ".at.II.inside."): tensor
        for name, tensor in state.items()
    }
    return torchvision_names(plain)
