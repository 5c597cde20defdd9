"""Low-rank attention across snippets: each snippet asks the others how much of them it wants.

Queries and keys live in a space of `rank` dimensions and see each snippet's mean over T, H, W, so the attention
map is U × U a video; values are the feature maps themselves, without a projection (Wang et al., "Non-local
Neural Networks", CVPR 2018, attends over all positions with full projections instead).

    make compare VARIANT=experiments/variants/low_rank_attention.py BASELINE=dsa
    ... --option rank=4,16        one row each, with Holm's correction
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.models import register_aggregation


@register_aggregation("low_rank_attention", position="II", stages=("res3", "res4"))
class LowRankAttention(nn.Module):
    """y = (1 − m)·x + m·A·x with A_NUU = softmax(Q·Kᵀ / √rank) and a learned m, one half at the start.

    Snippets have no position in A: their order can enter only through what they show.
    """

    any_U = True

    def __init__(self, channels: int, U: int, *, rank: int = 8) -> None:
        super().__init__()
        if rank < 1:
            raise ValueError(f"rank {rank}: a whole number, 1 or more")
        self.query = nn.Linear(channels, rank)
        self.key = nn.Linear(channels, rank, bias=False)  # a bias of the keys would cancel in the softmax
        self.mix = nn.Parameter(torch.zeros(()))
        self.rank = rank

    def forward(self, x_NUCTHW: Tensor) -> Tensor:
        """Same shape out."""
        phi_NUC = x_NUCTHW.mean((3, 4, 5))
        logits_NUU = self.query(phi_NUC) @ self.key(phi_NUC).transpose(1, 2) / self.rank**0.5
        attended_NUX = torch.bmm(logits_NUU.softmax(-1).to(x_NUCTHW.dtype), x_NUCTHW.flatten(2))
        return torch.lerp(x_NUCTHW, attended_NUX.view(x_NUCTHW.shape), self.mix.sigmoid().to(x_NUCTHW.dtype))
