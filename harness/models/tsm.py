"""TSM: information moves between neighbouring frames at no multiply-add.

Lin, Gan, Han: "TSM: Temporal Shift Module for Efficient Video Understanding", ICCV 2019, section 4 (residual shift,
1/8 each way, at the input of the first convolution of every block); golden tsm_r50.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.models.network import Backbone, Head, InputSpec
from harness.models.registry import register_inside, register_model
from harness.models.resnet import STAGES, ResNet3d, torchvision_names
from harness.models.tsn import frame_resnet
from harness.models.weights import register_release


@register_inside("shift", position="I", stages="all", blocks="all")
class TemporalShift(nn.Module):
    """The first C/share channels take frame t+1, the next frame t−1, with zeros at the ends; the rest stay."""

    def __init__(self, channels: int, *, share: int = 8) -> None:
        super().__init__()
        self.fold = channels // share

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Same shape out."""
        later, earlier, still = x_BCTHW.split([self.fold, self.fold, x_BCTHW.shape[1] - 2 * self.fold], dim=1)
        from_next = F.pad(later[:, :, 1:], (0, 0, 0, 0, 0, 1))
        from_previous = F.pad(earlier[:, :, :-1], (0, 0, 0, 0, 1, 0))
        return torch.cat([from_next, from_previous, still], dim=1)


def put_everywhere(
    backbone: ResNet3d, position: str, make: Callable[[int], nn.Module], stages: tuple[str, ...] = STAGES
) -> None:
    """Stand `make(channels)` at one position of every block of the stages."""
    for name, place in backbone.places().items():
        if name.position == position and name.stage in stages:
            place.put_inside(make(place.channels))


def _tsm(depth: int, num_classes: int, width: int, stem_kernel: int, dropout: float) -> tuple[Backbone, Head]:
    backbone, head = frame_resnet(depth, num_classes, width, stem_kernel, dropout)
    put_everywhere(backbone, "I", TemporalShift)
    return backbone, head


@register_model(InputSpec())
def tsm_r18(
    num_classes: int, *, width: int = 64, stem_kernel: int = 7, dropout: float = 0.5
) -> tuple[Backbone, Head]:
    """TSN's ResNet-18 with the shift in every block."""
    return _tsm(18, num_classes, width, stem_kernel, dropout)


@register_model(InputSpec())
def tsm_r50(
    num_classes: int, *, width: int = 64, stem_kernel: int = 7, dropout: float = 0.5
) -> tuple[Backbone, Head]:
    """TSN's ResNet-50 with the shift in every block."""
    return _tsm(50, num_classes, width, stem_kernel, dropout)


@register_release("tsm", telling="layer1.0.conv1.net.weight")
def from_tsm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """mit-han-lab/temporal-shift-module: the shift wraps conv1 (conv1.net); training wraps the ResNet (base_model)."""
    plain = {
        name.removeprefix("base_model.").replace("new_fc.", "fc.").replace(".conv1.net.", ".conv1."): tensor
        for name, tensor in state.items()
    }
    return torchvision_names(plain)
