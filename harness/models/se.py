"""Squeeze-and-excitation inside one snippet: the control of table (h), which never looks across snippets.

Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018; at DSA's places, reduction 16 (docs/systems.md).
"""

from __future__ import annotations

from torch import Tensor, nn

from harness.base.errors import UserError
from harness.models.registry import register_aggregation, register_inside


@register_aggregation("se", position="II", stages=("res3", "res4"))
class SE(nn.Module):
    """Pool over T, H, W of the snippet, C to C/reduction to C (with biases), sigmoid, scale."""

    any_U = True

    def __init__(self, channels: int, U: int, *, reduction: int = 16) -> None:
        super().__init__()
        if isinstance(reduction, bool) or not isinstance(reduction, int) or reduction < 1:
            raise UserError(f"reduction {reduction!r}: a whole number, 1 or more")
        hidden = max(1, channels // reduction)
        self.gate = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, channels), nn.Sigmoid()
        )

    def forward(self, x_NUCTHW: Tensor) -> Tensor:
        """Same shape out; (N·U, C, T, H, W) as well, since no snippet sees another."""
        gate_NUC = self.gate(x_NUCTHW.mean((-3, -2, -1)))
        return x_NUCTHW * gate_NUC[..., None, None, None]


@register_inside("se", position="II", stages=("res3", "res4"), blocks="every_second")
class InsideSE(SE):
    """The same as a module inside the snippet: it can stand beside one across snippets."""

    def __init__(self, channels: int, *, reduction: int = 16) -> None:
        super().__init__(channels, 1, reduction=reduction)
