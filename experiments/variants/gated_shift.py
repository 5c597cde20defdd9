"""Gated shift across snippets: channels are taken from the neighbouring snippets, as far as a learned gate opens.

TSM (Lin et al., ICCV 2019) shifts a fixed share of the channels along time, inside a snippet. Here the shift goes
across snippets, and each video opens the gate of each channel for itself. No multiply-add at full resolution.

    make compare VARIANT=experiments/variants/gated_shift.py BASELINE=dsa
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from harness.models import register_aggregation


@register_aggregation("gated_shift", position="II", stages=("res3", "res4"))
class GatedShift(nn.Module):
    """y = x + g·(shifted − x): the first half of the channels looks back, the second half ahead.

    g_NC = sigmoid(W·mean of the video + b). `openness` is the gate's value where W sees nothing: at the
    start the network is little disturbed. The first and the last snippet repeat themselves at the border.
    """

    any_U = True

    def __init__(self, channels: int, U: int, *, openness: float = 0.25) -> None:
        super().__init__()
        if not 0 < openness < 1:
            raise ValueError(f"openness {openness}: between 0 and 1")
        self.gate = nn.Linear(channels, channels)
        nn.init.constant_(self.gate.bias, math.log(openness / (1 - openness)))

    def forward(self, x_NUCTHW: Tensor) -> Tensor:
        """Same shape out."""
        back, ahead = x_NUCTHW.chunk(2, dim=2) if x_NUCTHW.shape[2] > 1 else (x_NUCTHW, x_NUCTHW[:, :, :0])
        before = torch.cat([back[:, :1], back[:, :-1]], dim=1)
        after = torch.cat([ahead[:, 1:], ahead[:, -1:]], dim=1)
        shifted_NUCTHW = torch.cat([before, after], dim=2)
        gate_NC = self.gate(x_NUCTHW.mean((1, 3, 4, 5))).sigmoid()
        return torch.lerp(x_NUCTHW, shifted_NUCTHW, gate_NC[:, None, :, None, None, None].to(x_NUCTHW.dtype))
