"""A network with every default spelled out, so that equal networks are equal data.

`alpha` left out and `alpha: 2`, `blocks: every_second` and `[2]` of a two-block stage, an option's default and the
same value written down: each pair is one network and must get one identity.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from harness.base.errors import UserError
from harness.models.aggregation import (
    Placement,
    beta_share,
    block_numbers,
    channels_taking_part,
    position_name,
    stage_names,
)
from harness.models.registry import AVERAGE, STAGES, Blocks, aggregation_entry, check_options
from harness.models.resnet3d import DEPTHS, ResNet3d
from harness.models.zoo import backbone_spec, refuse_module_knobs


@dataclass(frozen=True)
class Resolved:
    """Where modules stand (stage -> 1-based block numbers) and what they are set to."""

    position: str | None = None
    beta: float = 1.0
    placement: dict[str, tuple[int, ...]] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


def resolve(
    name: str,
    aggregation: str = AVERAGE,
    *,
    position: str | None = None,
    stages: str | Sequence[str] | None = None,
    blocks: Blocks | None = None,
    beta: float | None = None,
    options: Mapping[str, Any] | None = None,
) -> Resolved:
    """What `create_model` would build from the same arguments. Raises UserError for anything unknown or impossible."""
    depth, options = backbone_spec(name).depth, dict(options or {})
    if aggregation == AVERAGE:
        refuse_module_knobs(Placement(position, stages, blocks, beta), options)
        return Resolved()
    entry = aggregation_entry(aggregation)
    check_options(entry, options)
    default_stages = entry.stages["basic" if depth < 50 else "bottleneck"]
    named = stage_names(default_stages if stages is None else stages)
    chosen = entry.blocks if blocks is None else blocks
    counts = dict(zip(STAGES, DEPTHS[depth], strict=True))
    return Resolved(
        position=position_name(position or entry.position),
        beta=beta_share(entry.beta if beta is None else beta),
        placement={
            stage: tuple(sorted(block_numbers(chosen, stage, counts[stage]))) for stage in sorted(named)
        },
        options={**_option_defaults(entry.cls), **options},
    )


def _option_defaults(cls: type[nn.Module]) -> dict[str, Any]:
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    return {
        p.name: p.default
        for p in parameters
        if p.default is not inspect.Parameter.empty and p.name not in ("channels", "U", "T")
    }


def build_each(resolved: Resolved, name: str, aggregation: str, *, width: int, U: int, T: int) -> None:
    """Build the module of each stage once and drop it: only its constructor can judge its options.

    Raises UserError for what the module refuses, or where the backbone's blocks have no such position.
    """
    if resolved.position is None:
        return
    entry, thin = aggregation_entry(aggregation), _thin_backbone(name)
    for stage, numbers in resolved.placement.items():
        channels = width * thin.stage(stage)[numbers[0] - 1].channels_at(resolved.position)
        try:
            entry.build(channels_taking_part(channels, resolved.beta), U, T, resolved.options)
        except UserError:
            raise
        except Exception as error:  # a user's constructor can raise anything
            raise UserError(
                f"aggregation {aggregation!r} cannot be built with options {resolved.options}: "
                f"{type(error).__name__}: {error}"
            ) from error


@functools.cache
def _thin_backbone(name: str) -> ResNet3d:
    """The backbone one channel wide: its channels are the factors of a real one's width."""
    return ResNet3d(backbone_spec(name).depth, 1, 3, (), shift=False)


def takes_any_U(aggregation: str) -> bool:  # noqa: N802 (U is the field's name)
    """Whether a network tests with another number of snippets than it was trained with."""
    return aggregation == AVERAGE or aggregation_entry(aggregation).any_U
