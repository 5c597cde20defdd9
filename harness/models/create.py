"""Models by name, as in timm: `create_model("i3d_r50", aggregation="dsa", position="II", alpha=2)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.models.layers import check_sizes
from harness.models.network import VideoModel
from harness.models.place import Declared, build_network, resolve
from harness.models.registry import AVERAGE, Blocks, model_entry


def create_model(
    name: str,
    num_classes: int = 200,
    *,
    U: int = 4,
    T: int | None = None,
    aggregation: str = AVERAGE,
    position: str | None = None,
    stages: str | Sequence[str] | None = None,
    blocks: Blocks | None = None,
    beta: float | None = None,
    inside: Sequence[Declared | str] = (),
    **options: Any,
) -> VideoModel:
    """A network with fresh weights, on the default device.

    name: one of `list_models()`. U: snippets a video. T: frames a snippet, needed only where a constructor names it.
    aggregation: one of `list_aggregations()`; "average" has no module and takes no placement.
    position, stages, blocks, beta: where its modules stand; None = the module's registered default.
        blocks: "every_second" (2, 4, 6), "all", or 1-based block numbers.
    inside: modules inside the snippet, by name (of `list_inside()`) or `Declared` with a placement of their own.
    options: the model's own (width, dropout, ...), and the aggregation's (dsa: alpha; se: reduction).

    Raises UserError for anything unknown or impossible.
    """
    check_sizes(num_classes=num_classes, U=U)
    own, rest = _divided(name, options)
    across = Declared(aggregation, position, stages, blocks, beta, rest)
    placed = [Declared(one) if isinstance(one, str) else one for one in inside]
    resolved = resolve(name, own, aggregation=across, inside=placed, U=U, T=T or 1)
    return build_network(resolved, num_classes, U=U, T=T)


def _divided(name: str, options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the model, and those left for the aggregation."""
    known = model_entry(name).options()
    own = {key: value for key, value in options.items() if key in known}
    return own, {key: value for key, value in options.items() if key not in known}
