"""The residual 4D block of V4D: y = x + Conv4d(x), kernel (3,3,1,1) over (U, T, H, W).

Zhang et al., "V4D: 4D Convolutional Neural Networks for Video-level Representation Learning", ICLR 2020,
section 3.2; the release's "fast" form, which is one 3D convolution over (U, T, H·W) (docs/systems.md).
"""

from __future__ import annotations

from torch import Tensor, nn

from harness.models.registry import register_aggregation


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
