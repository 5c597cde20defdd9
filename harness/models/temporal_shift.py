"""Temporal shift (TSM): information moves between neighbouring frames at no multiply-add.

Lin, Gan, Han: "TSM: Temporal Shift Module for Efficient Video Understanding", ICCV 2019, section 4 (residual
shift, 1/8 each way, at the input of the first convolution of every block).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def temporal_shift(x_BCTHW: Tensor, share: int = 8) -> Tensor:
    """The first C/share channels take frame t+1, the next frame t−1, with zeros at the ends. Same shape."""
    fold = x_BCTHW.shape[1] // share
    later, earlier, still = x_BCTHW.split([fold, fold, x_BCTHW.shape[1] - 2 * fold], dim=1)
    from_next = F.pad(later[:, :, 1:], (0, 0, 0, 0, 0, 1))
    from_previous = F.pad(earlier[:, :, :-1], (0, 0, 0, 0, 1, 0))
    return torch.cat([from_next, from_previous, still], dim=1)
