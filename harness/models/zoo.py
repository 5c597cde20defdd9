"""Models by name, as in timm: `create_model("i3d_r50", aggregation="dsa", position="II", alpha=2)`."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.base.errors import UserError, near_match

# dsa, se and v4d are imported for their registration.
from harness.models import dsa, se, v4d  # noqa: F401
from harness.models.aggregation import Placement, check_stages, insert_aggregation
from harness.models.registry import AVERAGE, Blocks, aggregation_entry, check_options
from harness.models.resnet3d import ResNet3d
from harness.models.video_model import VideoModel


@dataclass(frozen=True)
class BackboneSpec:
    depth: int
    inflated: bool = False
    shift: bool = False


_BACKBONES = {
    "i3d_r18": BackboneSpec(18, inflated=True),
    "i3d_r50": BackboneSpec(50, inflated=True),
    "tsm_r18": BackboneSpec(18, shift=True),
    "tsm_r50": BackboneSpec(50, shift=True),
    "tsn_r18": BackboneSpec(18),
    "tsn_r50": BackboneSpec(50),
}


def list_models(pattern: str = "*") -> list[str]:
    """Model names that match a shell pattern ("*r50*"), sorted."""
    return sorted(fnmatch.filter(_BACKBONES, pattern))


def create_model(
    name: str,
    num_classes: int = 200,
    *,
    U: int = 4,
    aggregation: str = AVERAGE,
    position: str | None = None,
    beta: float | None = None,
    stages: str | Sequence[str] | None = None,
    blocks: Blocks | None = None,
    width: int = 64,
    stem_kernel: int = 7,
    inflate: Sequence[str] = ("res4", "res5"),
    dropout: float = 0.5,
    T: int | None = None,
    **aggregation_options: Any,
) -> VideoModel:
    """A network with fresh weights, on the default device.

    name: one of `list_models()`: i3d_* (inflated), tsm_* (shift), tsn_* (2D, frames averaged).
    aggregation: one of `list_aggregations()`; "average" has no module and takes no placement.
    position, stages, blocks, beta: where modules stand; None = the aggregation's registered default.
        blocks: "every_second" (2, 4, 6), "all", or 1-based block numbers.
    width: channels of res2 (64 in the paper). stem_kernel: 3, 5 or 7. inflate: stages with temporal kernels
        (i3d_* only; the 2D networks have none).
    U: snippets a video. T: frames a snippet, needed only by a module whose constructor names it.
    aggregation_options: the module's own (dsa: alpha; se: reduction).

    Backbone and head draw their random numbers before any module does, so that with one seed all aggregations
    start from the same backbone. Raises UserError for anything unknown or impossible.
    """
    spec = backbone_spec(name)
    _check_sizes(num_classes=num_classes, U=U, width=width)
    _check_stem_and_dropout(stem_kernel, dropout)
    check_stages(inflate, "inflate")
    backbone = ResNet3d(spec.depth, width, stem_kernel, inflate if spec.inflated else (), spec.shift)
    model = VideoModel(backbone, num_classes, dropout, U)
    placement = Placement(position, stages, blocks, beta)
    if aggregation == AVERAGE:
        refuse_module_knobs(placement, aggregation_options)
        return model
    entry = aggregation_entry(aggregation)
    check_options(entry, aggregation_options)
    insert_aggregation(backbone, entry, placement, U=U, T=T, options=aggregation_options)
    model.any_U = entry.any_U
    return model


def backbone_spec(name: str) -> BackboneSpec:
    if name not in _BACKBONES:
        known = list_models()
        raise UserError(f"unknown model {name!r}{near_match(name, known)}; known are {', '.join(known)}")
    return _BACKBONES[name]


def _check_sizes(**sizes: int) -> None:
    for key, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UserError(f"{key} {value!r}: a whole number, 1 or more")


def _check_stem_and_dropout(stem_kernel: int, dropout: float) -> None:
    if stem_kernel not in (3, 5, 7):
        raise UserError(f"stem_kernel {stem_kernel!r}: 3, 5 or 7")
    if not 0 <= dropout < 1:
        raise UserError(f"dropout {dropout!r}: at least 0 and below 1")


def refuse_module_knobs(placement: Placement, options: dict[str, Any]) -> None:
    unused = [*placement.given(), *options]
    if unused:
        raise UserError(f"aggregation 'average' has no module to place or to set: remove {', '.join(unused)}")
