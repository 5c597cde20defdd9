"""Options of a model or module, judged by its signature: unknown ones refused, values of the parameter's type.

A YAML file says `1e-3` and means a number, though YAML 1.1 reads text; `1/8` is a number to the paper. What the
constructor is given is of the type of the parameter's default or annotation, or the option is refused, so that one
value has one spelling in a trial's identity.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from types import NoneType, UnionType
from typing import Any

from harness.base.errors import UserError, near_match

_EMPTY = inspect.Parameter.empty
_ORDER = (
    bool,
    int,
    float,
    frozenset,
    tuple,
    list,
    str,
    NoneType,
)  # a value is taken as the strictest type that fits


def option_defaults(function: Callable[..., Any], *, but: Sequence[str]) -> dict[str, Any]:
    """Name -> default of every parameter with one, but for the named; sequences as tuples."""
    return {
        name: _plain(p.default) for name, p in _parameters(function, but).items() if p.default is not _EMPTY
    }


def checked_options(
    function: Callable[..., Any],
    given: Mapping[str, Any],
    what: str,
    *,
    but: Sequence[str],
    others: Sequence[str],
) -> dict[str, Any]:
    """Every default and every given value, of the parameters' types. Raises UserError naming the option.

    `but`: parameters that are no options. `others`: keys that stand beside options, for the near match alone.
    """
    known = _parameters(function, but)
    any_option = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values())
    for key in given:
        if key not in known and not any_option:
            takes = f"it takes {', '.join(known)}" if known else "it takes no options"
            raise UserError(f"{what} has no option {key!r}{near_match(key, [*known, *others])}: {takes}")
    hints = _hints(function)
    defaults = option_defaults(function, but=but)
    chosen = {k: _coerced(v, hints.get(k), defaults.get(k), f"{what}: option {k}") for k, v in given.items()}
    return {**defaults, **chosen}


def _parameters(function: Callable[..., Any], but: Sequence[str]) -> dict[str, inspect.Parameter]:
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p for p in parameters if p.kind in named and p.name not in but}


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    target = function.__init__ if inspect.isclass(function) else function  # type: ignore[misc]
    try:
        return typing.get_type_hints(target)
    except Exception:  # an annotation that does not resolve says nothing about the type
        return {}


def _plain(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return tuple(sorted(value))  # a set has one spelling
    return tuple(value) if isinstance(value, list | tuple) else value


def _coerced(value: Any, hint: Any, default: Any, what: str) -> Any:
    """`value` as the annotated type, else as the default's type; unchanged where neither says one."""
    kinds = _kinds(hint) or ((type(default),) if type(default) in _ORDER and default is not None else ())
    if value is None:
        if not kinds or NoneType in kinds or default is None:
            return None
        raise UserError(f"{what}: expected {_names(kinds)}, not nothing")
    for kind in sorted(kinds, key=_ORDER.index):
        if (found := _as(kind, value)) is not None:
            return found
    if not kinds:
        if isinstance(value, str) and _number(value) is not None:
            raise UserError(
                f"{what}: {value!r} is text that reads like a number; write it as {_number(value)}"
            )
        return _plain(value)
    raise UserError(f"{what}: expected {_names(kinds)}, not {value!r}")


def _kinds(hint: Any) -> tuple[type, ...]:
    """The plain types of an annotation; none for one that is not plain."""
    if typing.get_origin(hint) in (typing.Union, UnionType):
        return tuple(kind for part in typing.get_args(hint) for kind in _kinds(part))
    if typing.get_origin(hint) is typing.Literal:
        return tuple({type(choice) for choice in typing.get_args(hint)})
    if typing.get_origin(hint) in (set, frozenset):
        return (frozenset,)
    if typing.get_origin(hint) in (tuple, list, Sequence):
        return (tuple,)
    return (hint,) if hint in _ORDER else ()


def _as(kind: type, value: Any) -> Any:
    """`value` as `kind`, or None where it is none."""
    if kind in (bool, str):
        return value if type(value) is kind else None
    if kind in (frozenset, tuple, list):
        several = isinstance(value, list | tuple | set | frozenset)
        return _plain(frozenset(value) if kind is frozenset else value) if several else None
    number = None if isinstance(value, bool) else _number(value)
    if number is None or kind is NoneType:
        return None
    if kind is int:
        return int(number) if number.is_integer() and not isinstance(value, str) else None
    return number


def _number(value: Any) -> float | None:
    """A number, or a text that the paper would call one: 1e-3, 1/8."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str):
        return None
    try:
        return float(Fraction(value.replace(" ", ""))) if "/" in value else float(value)
    except (ValueError, ZeroDivisionError):
        return None


def _names(kinds: Sequence[type]) -> str:
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text", tuple: "a list"}
    return " or ".join(dict.fromkeys(words.get(k, k.__name__) for k in kinds if k is not NoneType))
