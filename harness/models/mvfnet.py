"""MVFNet: an eighth of the channels is mixed along time, height and width before a block's first convolution.

Wu et al., "MVFNet: Multi-View Fusion Network for Efficient Video Recognition", AAAI 2021, section 3; the 9 blocks of
res4 and res5, as in whwu95/MVFNet (golden mvfnet_r50).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.base.errors import UserError
from harness.models.network import Backbone, Head, InputSpec, check_stages
from harness.models.registry import register_inside, register_model
from harness.models.resnet import STAGES, torchvision_names
from harness.models.tsm import put_everywhere
from harness.models.tsn import frame_resnet
from harness.models.weights import register_release


@register_inside("mvf", position="I", stages=("res4", "res5"), blocks="all")
class MultiViewFusion(nn.Module):
    """Three depthwise convolutions (3×1×1, 1×3×1, 1×1×3) of the first C·share channels, summed; BN, h-swish.

    The other channels pass unchanged.
    """

    def __init__(self, channels: int, *, share: float = 1 / 8) -> None:
        super().__init__()
        if not 0 < share <= 1:
            raise UserError(f"share {share!r}: of the channels, above 0 and at most 1")
        mixed = max(1, int(channels * share))
        self.split = [mixed, channels - mixed]
        self.along_t, self.along_h, self.along_w = (
            nn.Conv3d(mixed, mixed, kernel, padding="same", groups=mixed, bias=False)
            for kernel in ((3, 1, 1), (1, 3, 1), (1, 1, 3))
        )
        self.bn = nn.BatchNorm3d(mixed)
        for conv in (self.along_t, self.along_h, self.along_w):
            nn.init.normal_(conv.weight, std=math.sqrt(2 / (3 * mixed)))

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Same shape out."""
        mixed, still = x_BCTHW.split(self.split, dim=1)
        views = self.along_t(mixed) + self.along_h(mixed) + self.along_w(mixed)
        return torch.cat([F.hardswish(self.bn(views)), still], dim=1)


def _mvfnet(
    depth: int, num_classes: int, width: int, stem_kernel: int, fuse: Iterable[str], dropout: float
) -> tuple[Backbone, Head]:
    check_stages(sorted(fuse), STAGES, "fuse")
    backbone, head = frame_resnet(depth, num_classes, width, stem_kernel, dropout)
    put_everywhere(backbone, "I", MultiViewFusion, tuple(fuse))
    return backbone, head


@register_model(InputSpec())
def mvfnet_r18(
    num_classes: int,
    *,
    width: int = 64,
    stem_kernel: int = 7,
    fuse: frozenset[str] = frozenset({"res4", "res5"}),
    dropout: float = 0.5,
) -> tuple[Backbone, Head]:
    """TSN's ResNet-18 with the fusion in all blocks of these stages (no release)."""
    return _mvfnet(18, num_classes, width, stem_kernel, fuse, dropout)


@register_model(InputSpec())
def mvfnet_r50(
    num_classes: int,
    *,
    width: int = 64,
    stem_kernel: int = 7,
    fuse: frozenset[str] = frozenset({"res4", "res5"}),
    dropout: float = 0.5,
) -> tuple[Backbone, Head]:
    """TSN's ResNet-50 with the fusion in all blocks of these stages."""
    return _mvfnet(50, num_classes, width, stem_kernel, fuse, dropout)


_PARTS = {"shift_conv": "along_t", "h_conv": "along_h", "w_conv": "along_w", "bn": "bn"}


@register_release("mvfnet", telling=".conv1.shift_conv.")
def from_mvfnet(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """whwu95/MVFNet: the fusion wraps conv1 (conv1.net); checkpoints hold `backbone.` and `cls_head.new_fc`."""
    plain = {}
    for name, tensor in state.items():
        own = (
            name.removeprefix("backbone.")
            .replace("cls_head.new_fc.", "fc.")
            .replace(".conv1.net.", ".conv1.")
        )
        for theirs, ours in _PARTS.items():
            own = own.replace(f".conv1.{theirs}.", f".at.I.inside.{ours}.")
        plain[own] = tensor
    return torchvision_names(plain)
