"""Where modules stand: a declared placement is resolved once, and built from what was resolved.

Modules across snippets (DSA, V4D, SE, a user's variant) and modules inside the snippet are placed by the same knobs:
position, stages, blocks, and for those across beta, the share of the channels that takes part. Equal networks
resolve to equal data: `alpha` left out and `alpha: 2`, `every_second` and `[2]` of a two-block stage are one.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from harness.base.errors import UserError, near_match
from harness.models.across import AcrossSnippets, channels_taking_part
from harness.models.network import Backbone, PlaceName, VideoModel, check_stages
from harness.models.registry import AVERAGE, Blocks, Kind, ModuleEntry, model_entry, module_entry


@dataclass(frozen=True)
class Declared:
    """A module as a row declares it; None: the module's own default."""

    name: str
    position: str | None = None
    stages: str | Sequence[str] | None = None
    blocks: Blocks | None = None
    beta: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Placed:
    """A module with every default spelled out; `placement`: stage -> block numbers, from 1."""

    name: str
    position: str
    beta: float
    placement: dict[str, tuple[int, ...]]
    options: dict[str, Any]


@dataclass(frozen=True)
class Resolved:
    """A network with every default spelled out."""

    model: str
    options: dict[str, Any]
    inside: tuple[Placed, ...]
    aggregation: Placed | None


class PlacedLike(Protocol):
    """`Placed`, or the trial's own form of it."""

    @property
    def name(self) -> str: ...
    @property
    def position(self) -> str: ...
    @property
    def beta(self) -> float: ...
    @property
    def placement(self) -> Mapping[str, tuple[int, ...]]: ...
    @property
    def options(self) -> Mapping[str, Any]: ...


class NetworkLike(Protocol):
    """`Resolved`, or the trial's own form of it (harness.experiment.spec.Network)."""

    @property
    def model(self) -> str: ...
    @property
    def options(self) -> Mapping[str, Any]: ...
    @property
    def inside(self) -> Sequence[PlacedLike]: ...
    @property
    def aggregation(self) -> PlacedLike | None: ...


def resolve(
    model: str,
    options: Mapping[str, Any] | None = None,
    *,
    aggregation: Declared | None = None,
    inside: Sequence[Declared] = (),
    U: int,
    T: int,
) -> Resolved:
    """Every default spelled out, and one module of each stage built, since only it can judge its options.

    Raises UserError for an unknown name or option and for a place that there is not.
    """
    chosen = model_entry(model).check(options or {})
    if aggregation is not None and aggregation.name == AVERAGE:
        _refuse_knobs(aggregation)
        aggregation = None
    ghost = _Ghost(model, chosen, U, T)
    return Resolved(
        model,
        chosen,
        tuple(_placed(one, module_entry("inside", one.name), ghost) for one in inside),
        None
        if aggregation is None
        else _placed(aggregation, module_entry("across", aggregation.name), ghost),
    )


def _refuse_knobs(average: Declared) -> None:
    knobs = {name: getattr(average, name) for name in ("position", "stages", "blocks", "beta")}
    unused = [*(name for name, value in knobs.items() if value is not None), *average.options]
    if unused:
        raise UserError(f"aggregation 'average' has no module to place or to set: remove {', '.join(unused)}")


@dataclass(frozen=True)
class _Ghost:
    """The backbone without storage, to be asked for its places."""

    model: str
    options: dict[str, Any]
    U: int
    T: int

    @property
    def backbone(self) -> Backbone:
        return _on_meta(self.model, tuple(sorted(self.options.items())), self.U, self.T)


@functools.lru_cache(maxsize=64)
def _on_meta(model: str, options: tuple[tuple[str, Any], ...], U: int, T: int) -> Backbone:
    with torch.device("meta"):
        return model_entry(model).build(2, U, T, dict(options))[0]


def _placed(declared: Declared, entry: ModuleEntry, ghost: _Ghost) -> Placed:
    backbone = ghost.backbone
    places = backbone.places()
    if not places:
        raise UserError(f"model {ghost.model!r} names no places: {entry.name!r} cannot stand in it")
    counts: dict[str, int] = {}
    for name in places:
        counts[name.stage] = max(counts.get(name.stage, 0), name.block)
    stages = _stage_names(declared.stages, entry, backbone, tuple(counts))
    blocks = entry.blocks if declared.blocks is None else declared.blocks
    beta = _beta(entry.beta if declared.beta is None else declared.beta)
    placed = Placed(
        entry.name,
        _position_name(declared.position or entry.position, places),
        beta,
        {
            stage: tuple(sorted(numbers))
            for stage in sorted(stages)
            if (numbers := block_numbers(blocks, stage, counts[stage]))
        },
        entry.check(declared.options),
    )
    _try_each(placed, entry, ghost)
    return placed


def _stage_names(
    given: str | Sequence[str] | None, entry: ModuleEntry, backbone: Backbone, known: Sequence[str]
) -> list[str]:
    if given is None:
        names = [backbone.analogues.get(stage, stage) for stage in entry.stages[backbone.kind]]
        return [name for name in dict.fromkeys(names) if name in known]
    names = [given] if isinstance(given, str) else list(given)
    if not names:
        raise UserError(f"stages: name at least one of {', '.join(known)}")
    check_stages(names, known, "stages")
    return names


def _position_name(position: str, places: Mapping[PlaceName, Any]) -> str:
    known = list(dict.fromkeys(name.position for name in places))
    if position not in known:
        raise UserError(f"position {position!r}{near_match(position, known)}: one of {', '.join(known)}")
    return position


def _beta(beta: float) -> float:
    if isinstance(beta, bool) or not isinstance(beta, int | float) or not 0 < beta <= 1:
        raise UserError(f"beta {beta!r}: the share of channels must be above 0 and at most 1")
    return float(beta)


def block_numbers(blocks: Blocks, stage: str, count: int) -> list[int]:
    """1-based numbers; "every_second" = 2, 4, 6 (this alone gives the counts of the paper's table f).

    A mapping gives each stage its own numbers. Raises UserError for a block that there is not.
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


def _try_each(placed: Placed, entry: ModuleEntry, ghost: _Ghost) -> None:
    """Build the module of each stage once and drop it: only its constructor can judge its options.

    The random numbers that this draws are given back, so that a seed set before still gives one backbone.
    """
    names = {name.stage: name for name in _names(placed, ghost.model, ghost.backbone)}
    for name in names.values():
        channels = channels_taking_part(ghost.backbone.places()[name].channels, placed.beta)
        try:
            with torch.random.fork_rng(devices=[]):
                entry.build(channels, ghost.U, ghost.T, placed.options)
        except UserError:
            raise
        except Exception as error:  # a user's constructor can raise anything
            raise UserError(
                f"{entry.title} {placed.name!r} cannot be built with options {placed.options}: "
                f"{type(error).__name__}: {error}"
            ) from error


def _names(placed: PlacedLike, model: str, backbone: Backbone) -> list[PlaceName]:
    """The places of a placed module; UserError where the backbone has no such place."""
    places = backbone.places()
    names = [PlaceName(s, number, placed.position) for s, ns in placed.placement.items() for number in ns]
    for name in names:
        if name not in places:
            here = [p.position for p in places if (p.stage, p.block) == (name.stage, name.block)]
            raise UserError(
                f"position {name.position!r}: block {name.block} of {name.stage} in {model!r} has the places "
                f"{', '.join(here) or 'none'}"
            )
    return names


def build_network(network: NetworkLike, num_classes: int, *, U: int, T: int | None) -> VideoModel:
    """The network with fresh weights. Backbone and head draw their random numbers before any placed module does,
    so that with one seed all aggregations start from the same backbone."""
    entry = model_entry(network.model)
    backbone, head = entry.build(num_classes, U, T, network.options)
    model = VideoModel(backbone, head, U=U, input=entry.input)
    for inside in network.inside:
        _insert(inside, "inside", network.model, model, T)
    if network.aggregation is not None:
        _insert(network.aggregation, "across", network.model, model, T)
    return model


def _insert(placed: PlacedLike, kind: Kind, name: str, model: VideoModel, T: int | None) -> None:
    entry, places = module_entry(kind, placed.name), model.backbone.places()
    for where in _names(placed, name, model.backbone):
        place = places[where]
        if kind == "inside":
            place.put_inside(entry.build(place.channels, model.U, T, placed.options))
        else:
            taking_part = channels_taking_part(place.channels, placed.beta)
            module = entry.build(taking_part, model.U, T, placed.options)
            place.put_across(AcrossSnippets(module, place.channels, taking_part))
    model.any_U = model.any_U and entry.any_U
