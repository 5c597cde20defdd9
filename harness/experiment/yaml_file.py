"""One YAML file as data, and the line on which a key of it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from harness.base.errors import UserError, near_match

Location = tuple[int | str, ...]


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader in which a value means what it looks like, or is refused.

    PyYAML follows YAML 1.1, where `010` is 8, `1:30` is 90, `yes` is true and `1e-3` is text, and it keeps the last of
    two equal keys. Here numbers are decimal, true and false are the only truth values, `1e-3` is a number, and what
    YAML 1.1 would turn into something else must be quoted.
    """


_TRAPS = (
    (re.compile(r"^[-+]?0[0-9_]+$"), "YAML reads an octal number; write it without the leading zero"),
    (re.compile(r"^[-+]?0[xXbBoO][0-9a-fA-F_]+$"), "write the number in decimals"),
    (re.compile(r"^[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$"), "YAML reads a number to the base 60"),
    (re.compile(r"^[-+]?[0-9]+_[0-9_]*$"), "write the number without underscores"),
    (re.compile(r"^(y|Y|yes|Yes|YES|n|N|no|No|NO|on|On|ON|off|Off|OFF)$"), "YAML reads true or false"),
    (re.compile(r"^\d{4}-\d\d?-\d\d?([Tt ].*)?$"), "YAML reads a date"),
)
_NUMBER = re.compile(r"^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?$")


def _construct_scalar_or_refuse(loader: _StrictLoader, node: yaml.ScalarNode) -> Any:
    for trap, reads in _TRAPS:
        if node.style is None and trap.match(node.value):
            raise yaml.constructor.ConstructorError(
                None,
                None,
                f'{node.value}: {reads}; if text is meant, quote it: "{node.value}"',
                node.start_mark,
            )
    return loader.construct_scalar(node)


def _construct_number(loader: _StrictLoader, node: yaml.ScalarNode) -> Any:
    value = str(_construct_scalar_or_refuse(loader, node))
    return int(value) if re.fullmatch(r"[-+]?[0-9]+", value) else float(value)


def _construct_truth(loader: _StrictLoader, node: yaml.ScalarNode) -> Any:
    plain = node.value.lower() in ("true", "false")
    return loader.construct_yaml_bool(node) if plain else _construct_scalar_or_refuse(loader, node)


_StrictLoader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in known
        if tag.rpartition(":")[2] in ("bool", "float", "merge", "null")
    ]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _first in "-+.0123456789":
    _StrictLoader.yaml_implicit_resolvers.setdefault(_first, []).insert(0, ("harness:number", _NUMBER))
_StrictLoader.add_constructor("tag:yaml.org,2002:str", _construct_scalar_or_refuse)
_StrictLoader.add_constructor("harness:number", _construct_number)
_StrictLoader.add_constructor("tag:yaml.org,2002:bool", _construct_truth)


def _construct_mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen = set()
    for key_node, _ in node.value:
        if isinstance(key_node, yaml.ScalarNode) and key_node.value in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key_node.value!r} stands twice", key_node.start_mark
            )
        if isinstance(key_node, yaml.ScalarNode):
            seen.add(key_node.value)
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)


def read_yaml(path: Path) -> dict[str, Any]:
    """One YAML mapping. Raises UserError on a missing, unreadable or broken file."""
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)  # a SafeLoader
    except FileNotFoundError:
        raise UserError(f"{path}: no such file{_near_file(path)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {_os_problem(error)}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {_yaml_problem(error)}") from None
    except RecursionError:
        raise UserError(f"{path}: not valid YAML: nested too deeply") from None
    if isinstance(data, dict):
        data = {
            key: value for key, value in data.items() if not str(key).startswith("x-")
        }  # a place for anchors
    if not isinstance(data, dict):
        found = "an empty file" if data is None else type(data).__name__
        raise UserError(f"{path}: expected a mapping of keys to values at the top, found {found}")
    return data


def _near_file(path: Path) -> str:
    siblings = [p.stem for p in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
    known = f"; there are: {', '.join(sorted(siblings))}" if siblings else ""
    return near_match(path.stem, siblings) + known


def _os_problem(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 text (byte {error.start}); save it as UTF-8"
    return error.strerror or str(error)


def _yaml_problem(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    return f"{getattr(error, 'problem', None) or str(error).splitlines()[0]}{where}"


def line_of(path: Path, location: Location) -> str:
    """`:12`, the line of the deepest key of `location` that the file really has.

    A row of an experiment (by number or by name) may get a key from `defaults` or from `grid`; it is looked
    for there as well.
    """
    root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    places = [location]
    if location[:1] == ("rows",) and len(location) > 2:
        inner = location[2:]
        dotted = ".".join(map(str, inner))
        alike = [key for key in _keys(root, "grid") if key == dotted or key.startswith(f"{inner[0]}.")]
        places += [("defaults", *inner), *(("grid", key) for key in sorted(alike, key=lambda k: k != dotted))]
    found = [_descend(root, place) for place in places]
    return f":{min(found, key=lambda line_and_rest: line_and_rest[1])[0]}"


def _keys(root: yaml.Node | None, key: str) -> list[str]:
    """The keys of a mapping that stands at the top of the file under `key`."""
    found = _child(root, key)
    inner = found[1] if found else None
    return [str(node.value) for node, _ in inner.value] if isinstance(inner, yaml.MappingNode) else []


def _descend(node: yaml.Node | None, location: Location) -> tuple[int, int]:
    """The line of the deepest key that is there, and how many steps are left."""
    line = 1
    for done, step in enumerate(location):
        found = _child(node, step)
        if found is None:
            return line, len(location) - done
        line, node = found
    return line, 0


def _child(node: yaml.Node | None, step: int | str) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        match = [(key.start_mark.line + 1, value) for key, value in node.value if key.value == str(step)]
        return match[0] if match else None
    if isinstance(node, yaml.SequenceNode):
        named = [item for i, item in enumerate(node.value) if step in (i, _name_of(item))]
        return (named[0].start_mark.line + 1, named[0]) if named else None
    return None


def _name_of(node: yaml.Node) -> str | None:
    name = _child(node, "name") if isinstance(node, yaml.MappingNode) else None
    return str(name[1].value) if name else None
