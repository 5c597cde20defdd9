"""Read experiments and profiles from YAML; a mistake is one message with file, line, key and remedy."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from harness.errors import UserError, near_match
from harness.experiment.spec import Aggregation, Experiment, Frozen, Profile, Row

T = TypeVar("T", bound=Frozen)
ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS = ROOT / "experiments"


class _UniqueKeyLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key written twice (PyYAML keeps the last one silently)."""


def _construct_mapping(loader: _UniqueKeyLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    pairs = [(loader.construct_object(k, deep=True), k, v) for k, v in node.value]
    seen: set[Any] = set()
    for key, key_node, _ in pairs:
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} stands twice", key_node.start_mark
            )
        seen.add(key)
    return {key: loader.construct_object(v, deep=True) for key, _, v in pairs}


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)


def read_yaml(path: Path) -> dict[str, Any]:
    """One YAML mapping. Raises UserError on a missing, unreadable or broken file."""
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)  # a SafeLoader
    except FileNotFoundError:
        raise UserError(f"{path}: no such file{_near_file(path)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {_yaml_problem(error)}") from None
    if not isinstance(data, dict):
        raise UserError(
            f"{path}: expected a mapping of keys to values at the top, found {type(data).__name__}"
        )
    return data


def _near_file(path: Path) -> str:
    siblings = [p.stem for p in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
    known = f"; there are: {', '.join(sorted(siblings))}" if siblings else ""
    return near_match(path.stem, siblings) + known


def _yaml_problem(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    return f"{getattr(error, 'problem', None) or error}{where}"


def _line_of(path: Path, location: tuple[int | str, ...]) -> str:
    """`:12`, the line of the deepest key of `location` that the file really has."""
    node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    line = 1
    for step in location:
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
        elif isinstance(node, yaml.MappingNode):
            match = [(k, v) for k, v in node.value if k.value == str(step)]
            if not match:
                break
            line, node = match[0][0].start_mark.line + 1, match[0][1]
        else:
            break
    return f":{line}"


def _explain(error: ErrorDetails, model: type[Frozen]) -> str:
    """Pydantic's finding in the project's words, with the near match of an unknown key."""
    location = [str(step) for step in error["loc"]]
    if error["type"] == "extra_forbidden":
        known = _known_keys(model, error["loc"][:-1])
        listed = f"; known keys here: {', '.join(sorted(known))}" if known else ""
        return f"unknown key '{'.'.join(location)}'{near_match(location[-1], known)}{listed}"
    if error["type"] == "missing":
        return f"the key '{'.'.join(location)}' is missing"
    message = error["msg"].removeprefix("Value error, ")
    given = "" if isinstance(error["input"], dict | list) else f", not {error['input']!r}"
    return f"{'.'.join(location) or 'the file'}: {message}{given}"


def _known_keys(model: Any, location: tuple[int | str, ...]) -> list[str]:
    for step in location:
        if isinstance(step, int):
            continue
        model = _inner_model(model.model_fields[step].annotation) if step in model.model_fields else None
        if model is None:
            return []
    return list(model.model_fields)


def _inner_model(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, Frozen):
        return annotation
    found = (_inner_model(arg) for arg in getattr(annotation, "__args__", ()))
    return next((m for m in found if m is not None), None)


def validate(model: type[T], data: dict[str, Any], path: Path, prefix: tuple[int | str, ...] = ()) -> T:
    """`data` as a `model`; raises UserError with every finding on a line of its own."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        lines = [
            f"{path}{_line_of(path, prefix + tuple(e['loc']))}: {_explain(e, model)}"
            for e in error.errors(include_url=False)
        ]
        raise UserError("\n".join(dict.fromkeys(lines))) from None


def _find(name: str | Path, folder: Path) -> Path:
    """A file given by path, or by its bare name in `folder`."""
    path = Path(name)
    return path if path.suffix in {".yaml", ".yml"} else folder / f"{name}.yaml"


def load_profile(name: str | Path) -> Profile:
    """A profile by name (`experiments/profiles/NAME.yaml`) or by path."""
    path = _find(name, EXPERIMENTS / "profiles")
    return validate(Profile, read_yaml(path), path)


def load_experiment(name: str | Path) -> Experiment:
    """An experiment by name (`experiments/NAME.yaml`) or by path.

    `defaults` are merged under every row; a `grid` of dotted keys adds the product of its values as rows.
    """
    path = _find(name, EXPERIMENTS)
    data = read_yaml(path)
    defaults, grid = data.pop("defaults", {}), data.pop("grid", {})
    for key, value in (("defaults", defaults), ("grid", grid)):
        if not isinstance(value, dict):
            raise UserError(f"{path}: {key}: expected a mapping, found {value!r}")
    rows = data.get("rows") or []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path}: rows: expected a list of mappings, each with a name")
    merged = [_merge(defaults, row) for row in [*rows, *_grid_rows(grid, path)]]
    for index, row in enumerate(merged):
        _check_row(row, index, path)
    experiment = validate(Experiment, {**data, "rows": merged}, path)
    if path.stem != experiment.name:
        raise UserError(
            f"{path}: name: is {experiment.name!r}, but the file is called {path.name}; make them the same"
        )
    return experiment


def _check_row(row: dict[str, Any], index: int, path: Path) -> None:
    """Validate one row by itself, so that a message names the row and not a place inside the merged data."""
    try:
        Row.model_validate(row)
    except ValidationError as error:
        label = f"row {row.get('name', index + 1)!r}"
        lines = []
        for found in error.errors(include_url=False):
            where = _line_of(path, ("rows", index, *found["loc"]))
            lines.append(f"{path}{where}: {label}: {_explain(found, Row)}")
        raise UserError("\n".join(dict.fromkeys(lines))) from None


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`, mappings merged key by key."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        if (
            key == "aggregation"
            and both
            and value.get("name", base[key].get("name")) != base[key].get("name")
        ):
            both = False  # another module: the default module's options are not its own
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _grid_rows(grid: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    """The product of `{"aggregation.alpha": [1, 2], ...}` as rows named after their values."""
    for key, values in grid.items():
        if not isinstance(values, list) or not values:
            raise UserError(f"{path}: grid: {key}: expected a list of values, found {values!r}")
    if not grid:
        return []
    return [_grid_point(dict(zip(grid, values, strict=True))) for values in itertools.product(*grid.values())]


def _grid_point(point: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"name": ", ".join(f"{k.rsplit('.', 1)[-1]} {_short(v)}" for k, v in point.items())}
    for dotted, value in point.items():
        inner = row
        *parents, leaf = dotted.split(".")
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[leaf] = value
    return row


def _short(value: Any) -> str:
    return "{" + ",".join(map(str, value)) + "}" if isinstance(value, list) else str(value)


def aggregation_for_variant(base: Aggregation, name: str) -> Aggregation:
    """The baseline's place in the network, with another module standing there."""
    return Aggregation(
        name=name, position=base.position, beta=base.beta, stages=base.stages, blocks=base.blocks, U=base.U
    )
