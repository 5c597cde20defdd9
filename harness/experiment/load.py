"""Read experiments and profiles from YAML; a mistake is one message with file, line, key and remedy."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from harness.base.errors import UserError, near_match
from harness.experiment.spec import Aggregation, Declared, Experiment, Frozen, Profile, Row
from harness.experiment.yaml_file import Location, line_of, read_yaml

T = TypeVar("T", bound=Frozen)
ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS = ROOT / "experiments"
BASELINES = ROOT / "results" / "baselines"  # what ships: one folder a profile
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
    if first["type"] == "extra_forbidden":
        known = _known_keys(model, first["loc"][:-1])
        listed = f"; known keys here: {', '.join(sorted(known))}" if known else ""
        return f"unknown key {dotted!r}{near_match(str(location[-1]), known)}{listed}"
    if first["type"] == "missing":
        return f"the key {dotted!r} is missing"
    message = ", or ".join(dict.fromkeys(map(_message, found)))
    given = "" if isinstance(first["input"], dict | list) else f", not {first['input']!r}"
    return (f"{dotted}: " if dotted else "") + message + given + near_match(first["input"], _choices(found))


def _message(found: ErrorDetails) -> str:
    return _WORDS.get(found["type"]) or found["msg"].removeprefix("Value error, ").removeprefix("Input ")


def _choices(found: list[ErrorDetails]) -> list[str]:
    """The words that a key may be set to, where it takes only some."""
    return [
        word for f in found for word in re.findall("'([^']*)'", str(f.get("ctx", {}).get("expected", "")))
    ]


def _known_keys(model: Any, location: tuple[int | str, ...]) -> list[str]:
    for step in location:
        if isinstance(step, int):
            continue
        model = _inner_model(model.model_fields[step].annotation) if step in model.model_fields else None
        if model is None:
            return []
    return [*model.model_fields, *(("defaults", "grid") if model is Experiment else ())]


def _inner_model(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, Frozen):
        return annotation
    found = (_inner_model(arg) for arg in getattr(annotation, "__args__", ()))
    return next((m for m in found if m is not None), None)


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


def _find(name: str | Path, folder: Path) -> Path:
    """A file given by path, or by its bare name in `folder`."""
    path = Path(name)
    return path if path.suffix in {".yaml", ".yml"} else folder / f"{name}.yaml"


def _check_name(declared: Declared, path: Path) -> None:
    if path.stem != declared.name:
        raise UserError(
            f"{path}{line_of(path, ('name',))}: name: is {declared.name!r}, but the file is called {path.name}; "
            "make them the same"
        )


def place_of(declared: Declared, *location: int | str) -> str:
    """`file:line` of a key, for a message; the thing's kind and name where it was made in Python."""
    if declared.file is None:
        return f"{type(declared).__name__.lower()} {declared.name!r}"
    return f"{declared.file}{line_of(declared.file, location)}"


def load_profile(name: str | Path) -> Profile:
    """A profile by name (`experiments/profiles/NAME.yaml`) or by path."""
    path = _find(name, EXPERIMENTS / "profiles")
    profile = validate(Profile, read_yaml(path), path).declared_in(path)
    _check_name(profile, path)
    _check_dataset(profile, profile.dataset, "dataset")
    if profile.pretraining is not None:
        _check_dataset(profile, profile.pretraining.dataset, "pretraining", "dataset")
    return profile


def _check_dataset(profile: Profile, dataset: dict[str, Any], *keys: str) -> None:
    from harness.data import dataset_spec

    try:
        dataset_spec(dataset)
    except UserError as error:
        raise UserError(f"{place_of(profile, *keys)}: {'.'.join(keys)}: {error}") from None


def load_experiment(name: str | Path) -> Experiment:
    """An experiment by name (`experiments/NAME.yaml`) or by path.

    `defaults` are merged under every row; a `grid` of dotted keys adds the product of its values as rows.
    """
    path = _find(name, EXPERIMENTS)
    data = read_yaml(path)
    merged = _merged_rows(data, path)
    for index, row in enumerate(merged):
        label = f"row {row.get('name', index + 1)!r}: "  # names the row, and not a place in the merged data
        validate(Row, row, path, ("rows", index), label)
    rest = {key: value for key, value in data.items() if key not in ("defaults", "grid", "rows")}
    experiment = validate(Experiment, {**rest, "rows": merged}, path).declared_in(path)
    _check_name(experiment, path)
    return experiment


def _merged_rows(data: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    """The listed rows and those of the grid, each on top of the defaults."""
    defaults, grid, rows = data.get("defaults", {}), data.get("grid", {}), data.get("rows", [])
    for key, value in (("defaults", defaults), ("grid", grid)):
        if not isinstance(value, dict):
            raise UserError(f"{path}{line_of(path, (key,))}: {key}: expected a mapping, found {value!r}")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        where = line_of(path, ("rows",))
        raise UserError(f"{path}{where}: rows: expected a list of mappings, each with a name, found {rows!r}")
    return [_merge(defaults, row) for row in [*rows, *_grid_rows(grid, path)]]


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
        where = f"{path}{line_of(path, ('grid', key))}: grid: {key}"
        if not isinstance(values, list) or not values:
            raise UserError(f"{where}: expected a list of values, found {values!r}")
        if not isinstance(key, str) or any(str(other).startswith(f"{key}.") for other in grid):
            raise UserError(
                f"{where}: expected a key such as aggregation.alpha, and nothing below it beside it"
            )
    points = itertools.product(*grid.values()) if grid else ()
    return [_grid_point(dict(zip(grid, values, strict=True))) for values in points]


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
