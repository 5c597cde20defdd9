"""The three registries: models, modules inside a snippet, modules across snippets ("aggregations").

    @register_model(InputSpec())                      # an entry function: the network by keyword options
    def my_net_r50(num_classes: int, *, width: int = 64, dropout: float = 0.5) -> tuple[Backbone, Head]: ...

    @register_inside("shift", position="I", stages="all", blocks="all")
    class Shift(nn.Module):                           # (channels, **options); forward(x_BCTHW), the same shape out

    @register_aggregation("mine", position="II", stages=("res5",))
    class Mine(nn.Module):                            # (channels, U, **options); forward(x_NUCTHW), the same shape out

Each may live inside or outside the package, one file each. A decorator's arguments are the places where the module
stands when a row names none. A constructor that names T gets the frames of a snippet.
"""

from __future__ import annotations

import fnmatch
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from torch import nn

from harness.base.errors import UserError, near_match
from harness.models.network import Backbone, Head, InputSpec
from harness.models.options import checked_options, option_defaults

POSITIONS = ("I", "II", "III", "IV", "after")
STAGES = ("res2", "res3", "res4", "res5")
AVERAGE = "average"  # the mean of snippet logits alone: no module
_SIZES = ("channels", "U", "T")  # what the network decides; everything else of a constructor is an option

Stages = str | Sequence[str]
Blocks = str | Sequence[int] | Mapping[str, Sequence[int]]
ModelFunction = Callable[..., tuple[Backbone, Head]]
ModuleClass = TypeVar("ModuleClass", bound=type[nn.Module])
Kind = Literal["across", "inside"]


@dataclass(frozen=True)
class ModelEntry:
    """A registered entry function: (num_classes, *, [U], [T], **options) -> (backbone, head)."""

    name: str
    function: ModelFunction
    input: InputSpec

    def options(self) -> dict[str, Any]:
        """Every option with its default."""
        return option_defaults(self.function, but=("num_classes", *_SIZES))

    def build(
        self, num_classes: int, U: int, T: int | None, options: Mapping[str, Any]
    ) -> tuple[Backbone, Head]:
        """Backbone and head with fresh weights; U and T only reach a function that names them."""
        return self.function(num_classes, **_sizes(self.function, f"model {self.name!r}", U, T), **options)

    def check(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Defaults and `options`, coerced to the types of the signature. Raises UserError."""
        return checked_options(
            self.function, options, f"model {self.name!r}", but=("num_classes", *_SIZES), others=()
        )


@dataclass(frozen=True)
class ModuleEntry:
    """A registered module class and the places that it takes where none are asked for."""

    name: str
    kind: Kind
    cls: type[nn.Module]
    position: str
    stages: Mapping[str, tuple[str, ...]]  # by kind of block: "basic", "bottleneck"
    blocks: Blocks
    beta: float

    @property
    def any_U(self) -> bool:  # noqa: N802 (U is the field's name)
        """Whether the module accepts at test time another U than it was built for."""
        return self.kind == "inside" or bool(getattr(self.cls, "any_U", False))

    def options(self) -> dict[str, Any]:
        """Every option with its default."""
        return option_defaults(self.cls, but=_SIZES)

    def check(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Defaults and `options`, coerced to the types of the signature. Raises UserError."""
        placement = ("position", "stages", "blocks", "beta")
        return checked_options(self.cls, options, f"{self.title} {self.name!r}", but=_SIZES, others=placement)

    def build(self, channels: int, U: int, T: int | None, options: Mapping[str, Any]) -> nn.Module:
        """One module for `channels` channels."""
        sizes = _sizes(self.cls, f"{self.title} {self.name!r}", U, T)
        return self.cls(channels, **sizes, **options)

    @property
    def title(self) -> str:
        return "aggregation" if self.kind == "across" else "inside module"


def _sizes(function: Callable[..., Any], what: str, U: int, T: int | None) -> dict[str, int]:
    """U and T for a function that names them."""
    named = inspect.signature(function).parameters
    sizes: dict[str, int] = {"U": U} if "U" in named else {}
    if "T" in named:
        if T is None:
            raise UserError(f"{what} is built for a number of frames: give T")
        sizes["T"] = T
    return sizes


_MODELS: dict[str, ModelEntry] = {}
_MODULES: dict[Kind, dict[str, ModuleEntry]] = {"across": {}, "inside": {}}


def register_model(input: InputSpec | None = None) -> Callable[[ModelFunction], ModelFunction]:
    """Function decorator: make the entry function known as `create_model(its name)`.

    Raises UserError when the name is taken by a function of another file (the same file may be loaded again).
    """

    def register(function: ModelFunction) -> ModelFunction:
        name = function.__name__
        _refuse_other_owner("model", name, _MODELS[name].function if name in _MODELS else None, function)
        _MODELS[name] = ModelEntry(name, function, input or InputSpec())
        return function

    return register


def register_aggregation(
    name: str,
    *,
    position: str = "II",
    stages: Stages | Mapping[str, Stages] = ("res5",),
    blocks: Blocks = "every_second",
    beta: float = 1.0,
) -> Callable[[ModuleClass], ModuleClass]:
    """Class decorator: make a module across snippets known as `aggregation: {name: …}`.

    `stages` may differ by kind of block: {"basic": (...), "bottleneck": (...)}; "all" is every stage.
    Raises UserError when the name is taken by a class of another file.
    """
    return _register_module("across", name, position, stages, blocks, beta)


def register_inside(
    name: str,
    *,
    position: str = "I",
    stages: Stages | Mapping[str, Stages] = "all",
    blocks: Blocks = "all",
) -> Callable[[ModuleClass], ModuleClass]:
    """Class decorator: make a module inside the snippet known as `inside: [{name: …}]`."""
    return _register_module("inside", name, position, stages, blocks, 1.0)


def _register_module(
    kind: Kind, name: str, position: str, stages: Stages | Mapping[str, Stages], blocks: Blocks, beta: float
) -> Callable[[ModuleClass], ModuleClass]:
    by_kind = stages if isinstance(stages, Mapping) else {"basic": stages, "bottleneck": stages}
    frozen = {
        k: STAGES if s == "all" else (s,) if isinstance(s, str) else tuple(s) for k, s in by_kind.items()
    }

    def register(cls: ModuleClass) -> ModuleClass:
        entry = ModuleEntry(name, kind, cls, position, frozen, blocks, beta)
        if name == AVERAGE:
            raise UserError(f"aggregation name {name!r} is reserved for the mean of snippet logits")
        owner = _MODULES[kind].get(name)
        _refuse_other_owner(entry.title, name, owner.cls if owner else None, cls)
        _MODULES[kind][name] = entry
        return cls

    return register


def _refuse_other_owner(what: str, name: str, owner: Any, new: Any) -> None:
    if owner is not None and (_source(owner), owner.__qualname__) != (_source(new), new.__qualname__):
        raise UserError(
            f"{what} {name!r} is already registered by {owner.__qualname__} in {_source(owner)}:"
            f" give {new.__qualname__} in {_source(new)} another name"
        )


def _source(thing: Any) -> str:
    try:
        return inspect.getfile(thing)
    except (TypeError, OSError):  # classes made in a notebook or by exec have no file
        return str(thing.__module__)


def unregister(name: str) -> None:
    """Forget a registered name (a variant's file that was only being checked)."""
    _MODELS.pop(name, None)
    for modules in _MODULES.values():
        modules.pop(name, None)


def list_models(pattern: str = "*") -> list[str]:
    """Model names that match a shell pattern ("*r50*"), sorted."""
    return sorted(fnmatch.filter(_MODELS, pattern))


def list_aggregations(pattern: str = "*") -> list[str]:
    """Names for `aggregation` that match a shell pattern, sorted."""
    return sorted(fnmatch.filter([AVERAGE, *_MODULES["across"]], pattern))


def list_inside(pattern: str = "*") -> list[str]:
    """Names for `inside` that match a shell pattern, sorted."""
    return sorted(fnmatch.filter(_MODULES["inside"], pattern))


def model_entry(name: str) -> ModelEntry:
    """The entry of a registered model; raises UserError with the near match."""
    if name not in _MODELS:
        known = list_models()
        raise UserError(f"unknown model {name!r}{near_match(name, known)}; known are {', '.join(known)}")
    return _MODELS[name]


def module_entry(kind: Kind, name: str) -> ModuleEntry:
    """The entry of a registered module; raises UserError with the near match."""
    if name not in _MODULES[kind]:
        known = list_aggregations() if kind == "across" else list_inside()
        title = "aggregation" if kind == "across" else "inside module"
        raise UserError(
            f"unknown {title} {name!r}{near_match(name, known)}; known are {', '.join(known)};"
            " one in a file of its own must be named: `variants: [file.py]`, or --variant"
        )
    return _MODULES[kind][name]


def takes_any_U(aggregation: str) -> bool:  # noqa: N802 (U is the field's name)
    """Whether a network tests with another number of snippets than it was trained with."""
    return aggregation == AVERAGE or module_entry("across", aggregation).any_U


def registered_in(module: str) -> list[tuple[str, str]]:
    """(kind, name) of everything that a Python module registered; kinds "model", "across", "inside"."""
    models = [("model", e.name) for e in _MODELS.values() if e.function.__module__ == module]
    return models + [
        (k, e.name) for k, es in _MODULES.items() for e in es.values() if e.cls.__module__ == module
    ]
