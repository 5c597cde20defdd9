"""The registry of modules that act across snippets ("aggregations").

A variant is one class and one decorator, in one file, inside or outside the package:

    @register_aggregation("mine", position="II", stages=("res5",))
    class Mine(nn.Module):
        def __init__(self, channels: int, U: int, **options): ...
        def forward(self, x_NUCTHW): ...            # the same shape out

The decorator's arguments are the places that the module stands in where `create_model` is told none.
"""

from __future__ import annotations

import fnmatch
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import nn

from harness.base.errors import UserError, near_match

POSITIONS = ("I", "II", "III", "IV", "after")
STAGES = ("res2", "res3", "res4", "res5")
PLACEMENT = ("position", "stages", "blocks", "beta")  # what every aggregation is placed by
AVERAGE = "average"  # the mean of snippet logits alone: no module

Stages = Sequence[str]
Blocks = str | Sequence[int] | Mapping[str, Sequence[int]]
ModuleClass = TypeVar("ModuleClass", bound=type[nn.Module])


@dataclass(frozen=True)
class AggregationEntry:
    """A registered module class and the placement it takes where none is asked for."""

    name: str
    cls: type[nn.Module]
    position: str
    stages: Mapping[str, tuple[str, ...]]  # by kind of block: "basic", "bottleneck"
    blocks: Blocks
    beta: float

    @property
    def any_U(self) -> bool:  # noqa: N802 (U is the field's name)
        """Whether the module accepts at test time another U than it was built for."""
        return bool(getattr(self.cls, "any_U", False))

    def option_names(self) -> tuple[str, ...]:
        """Keyword options of the class beyond (channels, U, T)."""
        parameters = list(inspect.signature(self.cls.__init__).parameters.values())[1:]
        named = (p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
        return tuple(n for n in named if n not in ("channels", "U", "T"))

    def build(self, channels: int, U: int, T: int | None, options: Mapping[str, Any]) -> nn.Module:
        """One module for `channels` channels; T only reaches a class whose constructor names it."""
        takes_T = "T" in inspect.signature(self.cls.__init__).parameters
        if takes_T and T is None:
            raise UserError(f"aggregation {self.name!r} is built for a number of frames: give T")
        extra = {"T": T} if takes_T else {}
        return self.cls(channels, U, **extra, **options)


_ENTRIES: dict[str, AggregationEntry] = {}


def register_aggregation(
    name: str,
    *,
    position: str = "II",
    stages: Stages | Mapping[str, Stages] = ("res5",),
    blocks: Blocks = "every_second",
    beta: float = 1.0,
) -> Callable[[ModuleClass], ModuleClass]:
    """Class decorator: make the class known as `aggregation=name`.

    `stages` may differ by kind of block: {"basic": (...), "bottleneck": (...)}.
    Raises UserError when the name is taken by a class of another file (the same file may be loaded again).
    """
    by_kind = stages if isinstance(stages, Mapping) else {"basic": stages, "bottleneck": stages}
    frozen = {kind: tuple(names) for kind, names in by_kind.items()}

    def register(cls: ModuleClass) -> ModuleClass:
        _refuse_other_owner(name, cls)
        _ENTRIES[name] = AggregationEntry(name, cls, position, frozen, blocks, beta)
        return cls

    return register


def _refuse_other_owner(name: str, cls: type) -> None:
    if name == AVERAGE:
        raise UserError(f"aggregation name {name!r} is reserved for the mean of snippet logits")
    owner = _ENTRIES.get(name)
    if owner and (_source(owner.cls), owner.cls.__qualname__) != (_source(cls), cls.__qualname__):
        raise UserError(
            f"aggregation {name!r} is already registered by {owner.cls.__qualname__} in {_source(owner.cls)}:"
            f" give {cls.__qualname__} in {_source(cls)} another name"
        )


def _source(cls: type) -> str:
    try:
        return inspect.getfile(cls)
    except (TypeError, OSError):  # classes made in a notebook or by exec have no file
        return cls.__module__


def unregister_aggregation(name: str) -> None:
    """Forget a registered name (a variant's file that was only being checked)."""
    _ENTRIES.pop(name, None)


def list_aggregations(pattern: str = "*") -> list[str]:
    """Names known to `create_model(aggregation=...)` that match a shell pattern, sorted."""
    return sorted(fnmatch.filter([AVERAGE, *_ENTRIES], pattern))


def aggregation_entry(name: str) -> AggregationEntry:
    """The entry of a registered module; raises UserError with the near match."""
    if name not in _ENTRIES:
        known = list_aggregations()
        raise UserError(
            f"unknown aggregation {name!r}{near_match(name, known)}; known are {', '.join(known)};"
            " a variant in a file of its own must be loaded first"
        )
    return _ENTRIES[name]


def check_options(entry: AggregationEntry, options: Mapping[str, Any]) -> None:
    """Refuse options that the module's constructor doesn't take."""
    known = entry.option_names()
    parameters = inspect.signature(entry.cls.__init__).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return  # the class takes any option and judges them itself
    for key in options:
        if key not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes no options"
            raise UserError(
                f"aggregation {entry.name!r} has no option {key!r}{near_match(key, [*known, *PLACEMENT])}: {takes}"
            )
