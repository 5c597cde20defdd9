"""How a share of the channels passes through a module across snippets."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class AcrossSnippets(nn.Module):
    """Carries (N·U, C, T, H, W) into a module as (N, U, C', T, H, W), a view, and back.

    The first C' = int(beta·C), at least 1, channels pass through the module; the others go by untouched and
    keep their order (the DSANet release's `split_ratio`).
    """

    def __init__(self, module: nn.Module, channels: int, taking_part: int) -> None:
        super().__init__()
        self.module = module
        self.split = [taking_part, channels - taking_part]

    def forward(self, x: Tensor, U: int) -> Tensor:
        """Same shape out. Raises ValueError when the rows are no multiple of U."""
        if x.shape[0] % U:
            raise ValueError(f"{x.shape[0]} snippets are no whole number of videos of U={U} snippets")
        if self.split[1] == 0:
            return self._through(x, U)
        mixed, untouched = x.split(self.split, dim=1)
        return torch.cat([self._through(mixed, U), untouched], dim=1)

    def _through(self, x: Tensor, U: int) -> Tensor:
        x_NUCTHW = x.unflatten(0, (-1, U))
        y_NUCTHW = self.module(x_NUCTHW)
        if y_NUCTHW.shape != x_NUCTHW.shape:
            name = type(self.module).__name__
            raise ValueError(
                f"{name} must keep the shape: {tuple(x_NUCTHW.shape)} became {tuple(y_NUCTHW.shape)}"
            )
        return y_NUCTHW.flatten(0, 1)


def channels_taking_part(channels: int, beta: float) -> int:
    """C' = int(beta·C), at least 1."""
    return max(1, int(beta * channels))
