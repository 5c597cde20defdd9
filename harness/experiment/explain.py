"""What is wrong with a declaration, in one message with file, line, key and remedy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from harness.base.errors import UserError, near_match
from harness.experiment.base import Declared, Frozen
from harness.experiment.yaml_file import Location, line_of

T = TypeVar("T", bound=Frozen)
_RENAMED = {  # keys of the first version
    "backbone": "'model'",
    "pretraining": "'start' (kind: trunk)",
    "mean": "'input.mean', beside the recipe,",
    "std": "'input.std', beside the recipe,",
}
_WORDS = {
    "model_type": "should be a mapping of keys to values",
    "dict_type": "should be a mapping of keys to values",
    "tuple_type": "should be a list",
    "too_short": "should have at least one entry",
}


def _location(found: ErrorDetails, data: Any) -> Location:
    """Where in the file: pydantic's location without the steps (members of a union) that no file has."""
    steps: list[int | str] = []
    for step in found["loc"]:
        if isinstance(data, dict | list) and _has(data, step):
            data = data[step]  # type: ignore[call-overload,index]
            steps.append(step)
    return (*steps, found["loc"][-1]) if found["type"] == "missing" else tuple(steps)


def _has(data: dict[Any, Any] | list[Any], step: int | str) -> bool:
    return step in data if isinstance(data, dict) else isinstance(step, int) and step < len(data)


def _explain(location: Location, found: list[ErrorDetails], model: type[Frozen]) -> str:
    """Pydantic's findings about one place, in the project's words, with the near match."""
    dotted, first = ".".join(map(str, location)), found[0]
    if first["type"] == "extra_forbidden" and location[-1] in _RENAMED:
        return f"{dotted!r} is called {_RENAMED[str(location[-1])]} now"
    if first["type"] == "extra_forbidden":
        known = _known_keys(model, first["loc"][:-1])
        listed = f"; known keys here: {', '.join(sorted(known))}" if known else ""
        return f"unknown key {dotted!r}{near_match(str(location[-1]), known)}{listed}"
    if first["type"] == "missing":
        return f"the key {dotted!r} is missing"
    if first["type"] == "union_tag_invalid":
        key, tag = str(first["ctx"]["discriminator"]).strip("'"), first["ctx"]["tag"]
        known = _choices(found, "expected_tags")
        return f"{dotted}: unknown {key} {tag!r}{near_match(tag, known)}; known: {', '.join(known)}"
    message = ", or ".join(dict.fromkeys(map(message_of, found)))
    given = "" if isinstance(first["input"], dict | list) else f", not {first['input']!r}"
    return (f"{dotted}: " if dotted else "") + message + given + near_match(first["input"], _choices(found))


def message_of(found: ErrorDetails) -> str:
    return _WORDS.get(found["type"]) or found["msg"].removeprefix("Value error, ").removeprefix("Input ")


def _choices(found: list[ErrorDetails], key: str = "expected") -> list[str]:
    """The words that a key may be set to, where it takes only some."""
    return [word for f in found for word in re.findall("'([^']*)'", str(f.get("ctx", {}).get(key, "")))]


def _known_keys(model: Any, location: tuple[int | str, ...]) -> list[str]:
    """The keys of the thing at pydantic's location, which has a step for the member of a union."""
    models = [model]
    for step in location:
        if isinstance(step, int):
            continue
        tagged = [
            m for m in models if step in {m.model_fields[k].default for k in _TAGS & m.model_fields.keys()}
        ]
        inner = [_inner_models(m.model_fields[step].annotation) for m in models if step in m.model_fields]
        models = tagged or [m for found in inner for m in found]
    return [key for m in models[:1] for key in (*m.model_fields, *getattr(m, "also_read", ()))]


_TAGS = {"name", "kind"}


def _inner_models(annotation: Any) -> list[Any]:
    """The declared things that an annotation allows."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for arg in getattr(annotation, "__args__", ()) for m in _inner_models(arg)]


def validate(model: type[T], data: Any, path: Path, prefix: Location = (), label: str = "") -> T:
    """`data` as a `model`; raises UserError with every finding on a line of its own, `label` before it."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        places: dict[Location, list[ErrorDetails]] = {}
        for found in error.errors(include_url=False):
            places.setdefault(_location(found, data), []).append(found)
        lines = [
            f"{path}{line_of(path, prefix + place)}: {label}{_explain(place, found, model)}"
            for place, found in places.items()
            if not _is_misspelt(place, places)
        ]
        raise UserError("\n".join(lines)) from None


def _is_misspelt(place: Location, places: dict[Location, list[ErrorDetails]]) -> bool:
    """A missing key that stands there under a wrong name, which is another finding."""
    unknown = [
        p for p, found in places.items() if found[0]["type"] == "extra_forbidden" and p[:-1] == place[:-1]
    ]
    missing = places[place][0]["type"] == "missing"
    return missing and any(near_match(str(p[-1]), [str(place[-1])]) for p in unknown)


def place_of(declared: Declared, *location: int | str) -> str:
    """`file:line` of a key, for a message; the thing's kind and name where it was made in Python."""
    if declared.file is None:
        return f"{type(declared).__name__.lower()} {declared.name!r}"
    return f"{declared.file}{line_of(declared.file, location)}"
