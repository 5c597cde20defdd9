"""One YAML file as data, and the line on which a key of it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from harness.base.errors import UserError, near_match

Location = tuple[int | str, ...]


class _UniqueKeyLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key written twice (PyYAML keeps the last one silently)."""


def _construct_mapping(loader: _UniqueKeyLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen = set()
    for key_node, _ in node.value:
        if isinstance(key_node, yaml.ScalarNode) and key_node.value in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key_node.value!r} stands twice", key_node.start_mark
            )
        if isinstance(key_node, yaml.ScalarNode):
            seen.add(key_node.value)
    return loader.construct_mapping(node, deep=True)


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)


def read_yaml(path: Path) -> dict[str, Any]:
    """One YAML mapping. Raises UserError on a missing, unreadable or broken file."""
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)  # a SafeLoader
    except FileNotFoundError:
        raise UserError(f"{path}: no such file{_near_file(path)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {_os_problem(error)}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {_yaml_problem(error)}") from None
    except RecursionError:
        raise UserError(f"{path}: not valid YAML: nested too deeply") from None
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
        places += [("defaults", *inner), ("grid", ".".join(map(str, inner)))]
    found = [_descend(root, place) for place in places]
    return f":{min(found, key=lambda line_and_rest: line_and_rest[1])[0]}"


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
