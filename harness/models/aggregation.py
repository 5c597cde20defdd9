"""Where a module across snippets stands, and how a share of the channels passes through it.

Every aggregation (DSA, V4D, SE, a user's variant) is placed by the same four knobs, so that all of them
combine with all modules and all backbones: position, stages, blocks, beta.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from harness.base.errors import UserError, near_match
from harness.models.registry import POSITIONS, STAGES, AggregationEntry, Blocks

if TYPE_CHECKING:
    from harness.models.resnet3d import Block, ResNet3d


class AcrossSnippets(nn.Module):
    """Carries (N·U, C, T, H, W) into a module as (N, U, C', T, H, W), a view, and back.

    The first C' = int(beta·C), at least 1, channels pass through the module; the others go by untouched and
    keep their order (docs/method.md, step 4).
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


@dataclass(frozen=True)
class Placement:
    """The four knobs; None = the aggregation's own default."""

    position: str | None = None
    stages: str | Sequence[str] | None = None
    blocks: Blocks | None = None
    beta: float | None = None

    def given(self) -> list[str]:
        """Names of the knobs that were set."""
        return [name for name, value in vars(self).items() if value is not None]


def channels_taking_part(channels: int, beta: float) -> int:
    """C' = int(beta·C), at least 1."""
    return max(1, int(beta * channels))


def insert_aggregation(
    backbone: ResNet3d,
    entry: AggregationEntry,
    placement: Placement,
    *,
    U: int,
    T: int | None,
    options: Mapping[str, Any],
) -> None:
    """Stand one module of `entry` in every chosen block. Raises UserError for an impossible placement."""
    position = position_name(placement.position or entry.position)
    stages = entry.stages[backbone.block_class.kind] if placement.stages is None else placement.stages
    blocks = entry.blocks if placement.blocks is None else placement.blocks
    beta = beta_share(entry.beta if placement.beta is None else placement.beta)
    for block in _chosen_blocks(backbone, stage_names(stages), blocks):
        channels = block.channels_at(position)
        taking_part = channels_taking_part(channels, beta)
        module = entry.build(taking_part, U, T, options)
        block.place(position, AcrossSnippets(module, channels, taking_part))


def position_name(position: str) -> str:
    if position not in POSITIONS:
        raise UserError(
            f"position {position!r}{near_match(position, POSITIONS)}: one of {', '.join(POSITIONS)}"
        )
    return position


def beta_share(beta: float) -> float:
    if isinstance(beta, bool) or not isinstance(beta, int | float) or not 0 < beta <= 1:
        raise UserError(f"beta {beta!r}: the share of channels must be above 0 and at most 1")
    return float(beta)


def stage_names(stages: str | Sequence[str]) -> list[str]:
    names = [stages] if isinstance(stages, str) else list(stages)
    if not names:
        raise UserError(f"stages: name at least one of {', '.join(STAGES)}")
    check_stages(names, "stages")
    return names


def check_stages(names: Sequence[str], key: str) -> None:
    """Refuse anything but res2..res5, each once. `key` is the option's name in the message."""
    for name in names:
        if name not in STAGES:
            raise UserError(
                f"{key}: unknown stage {name!r}{near_match(name, STAGES)}; one of {', '.join(STAGES)}"
            )
    if len(set(names)) != len(names):
        raise UserError(f"{key}: a stage is named twice in {list(names)}")


def _chosen_blocks(backbone: ResNet3d, stages: Sequence[str], blocks: Blocks) -> list[Block]:
    chosen: list[Block] = []
    for stage in stages:
        all_blocks = backbone.stage(stage)
        chosen += [all_blocks[number - 1] for number in block_numbers(blocks, stage, len(all_blocks))]
    return chosen


def block_numbers(blocks: Blocks, stage: str, count: int) -> list[int]:
    """1-based numbers; "every_second" = 2, 4, 6 (docs/method.md: this alone gives the counts of table f).

    A mapping gives each stage its own numbers (the resolved form, `harness.models.resolve`).
    """
    if isinstance(blocks, str):
        ranges = {"every_second": range(2, count + 1, 2), "all": range(1, count + 1)}
        if blocks not in ranges:
            raise UserError(
                f"blocks {blocks!r}{near_match(blocks, ranges)}: every_second, all, or block numbers"
            )
        return list(ranges[blocks])
    numbers = list(blocks[stage] if isinstance(blocks, Mapping) else blocks)
    if not numbers or len(set(numbers)) != len(numbers):
        raise UserError(f"blocks {numbers}: at least one block number, each once")
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= count:
            raise UserError(f"blocks: there is no block {number!r} in {stage}, which has blocks 1 to {count}")
    return numbers
