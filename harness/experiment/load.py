"""Read experiments and profiles from YAML; a mistake is one message with file, line, key and remedy."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.base.errors import UserError, near_match
from harness.base.text import first_line
from harness.experiment.base import Declared
from harness.experiment.explain import message_of, place_of, validate
from harness.experiment.recipe import Recipe, RecipeFile
from harness.experiment.spec import Aggregation, Experiment, Profile, Row
from harness.experiment.yaml_file import line_of, read_yaml

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS = ROOT / "experiments"
BASELINES = ROOT / "results" / "baselines"  # what ships: one folder a profile


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


def load_recipe(name: str | Path) -> RecipeFile:
    """A recipe by name (`experiments/recipes/NAME.yaml`) or by path."""
    path = _find(name, EXPERIMENTS / "recipes")
    recipe = validate(RecipeFile, read_yaml(path), path).declared_in(path)
    _check_name(recipe, path)
    return recipe


def load_profile(name: str | Path) -> Profile:
    """A profile by name (`experiments/profiles/NAME.yaml`) or by path; a recipe in it may be the name of a file."""
    path = _find(name, EXPERIMENTS / "profiles")
    data = read_yaml(path)
    for place in (data, data.get("start")):
        if isinstance(place, dict) and isinstance(place.get("recipe"), str):
            place["recipe"] = load_recipe(place["recipe"]).recipe.model_dump(exclude_unset=True)
    profile = validate(Profile, data, path).declared_in(path)
    _check_name(profile, path)
    return profile


def load_experiment(name: str | Path) -> Experiment:
    """An experiment by name (`experiments/NAME.yaml`) or by path.

    `defaults` are merged under every row; a `grid` of dotted keys adds the product of its values as rows, but for the
    points that `exclude` names.
    """
    path = _find(name, EXPERIMENTS)
    data = read_yaml(path)
    merged = _merged_rows(data, path)
    for index, row in enumerate(merged):
        label = f"row {row.get('name', index + 1)!r}: "  # names the row, and not a place in the merged data
        validate(Row, row, path, ("rows", index), label)
    rest = {key: value for key, value in data.items() if key not in ("defaults", "grid", "exclude", "rows")}
    experiment = validate(Experiment, {**rest, "rows": merged}, path).declared_in(path)
    _check_name(experiment, path)
    return experiment


def experiment_names() -> list[str]:
    """Names of the project's experiments, broken ones too."""
    return sorted(path.stem for path in EXPERIMENTS.glob("*.yaml") if path.stem != "paper")


class BrokenDraft(UserWarning):
    """An experiment's file that cannot be read, and was not asked for by name."""


def load_all_experiments() -> list[Experiment]:
    """Every experiment of the project; a broken draft among them is a BrokenDraft warning and left out."""
    found = []
    for name in experiment_names():
        try:
            found.append(load_experiment(name))
        except UserError as error:
            warnings.warn(f"left out: {first_line(error)}", BrokenDraft, stacklevel=2)
    return found


def recipe_of(row: Row, profile: Profile, where: str) -> Recipe:
    """The profile's recipe, else the row's file, with the row's own changes.

    Raises UserError where neither names one, or the changes do not fit.
    """
    if profile.recipe is None and row.recipe.file is None:
        raise UserError(f"{where}: recipe: neither the row nor profile {profile.name!r} names one")
    base = profile.recipe or load_recipe(str(row.recipe.file)).recipe
    try:
        return row.recipe.applied(base)
    except ValidationError as error:
        raise UserError(f"{where}: recipe: {message_of(error.errors(include_url=False)[0])}") from None


def _merged_rows(data: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    """The listed rows and those of the grid, each on top of the defaults."""
    defaults, grid, rows = data.get("defaults", {}), data.get("grid", {}), data.get("rows", [])
    for key, value in (("defaults", defaults), ("grid", grid)):
        if not isinstance(value, dict):
            raise UserError(f"{path}{line_of(path, (key,))}: {key}: expected a mapping, found {value!r}")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        where = line_of(path, ("rows",))
        raise UserError(f"{path}{where}: rows: expected a list of mappings, each with a name, found {rows!r}")
    points = _without_excluded(_grid_points(grid, path), data.get("exclude", []), grid, path)
    return [_merge(defaults, row) for row in [*rows, *map(_grid_row, points)]]


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


def _grid_points(grid: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    """The product of `{"aggregation.alpha": [1, 2], ...}`, each point as dotted key -> value."""
    for key, values in grid.items():
        where = f"{path}{line_of(path, ('grid', key))}: grid: {key}"
        if not isinstance(values, list) or not values:
            raise UserError(f"{where}: expected a list of values, found {values!r}")
        if not isinstance(key, str) or any(str(other).startswith(f"{key}.") for other in grid):
            raise UserError(
                f"{where}: expected a key such as aggregation.alpha, and nothing below it beside it"
            )
    points = itertools.product(*grid.values()) if grid else ()
    return [dict(zip(grid, values, strict=True)) for values in points]


def _without_excluded(
    points: list[dict[str, Any]], exclude: Any, grid: dict[str, Any], path: Path
) -> list[dict[str, Any]]:
    """Points that no line of `exclude` fits: a mapping of grid keys to the value, or a list of values, to leave out."""
    where = f"{path}{line_of(path, ('exclude',))}: exclude"
    if not isinstance(exclude, list) or not all(isinstance(one, dict) and one for one in exclude):
        raise UserError(
            f"{where}: expected a list of mappings of the grid's keys to values, found {exclude!r}"
        )
    for one in exclude:
        for key in one:
            if key not in grid:
                raise UserError(f"{where}: {key!r} is no key of the grid{near_match(str(key), grid)}")
    lists = [
        {k: v if isinstance(v, list) and not isinstance(grid[k][0], list) else [v] for k, v in one.items()}
        for one in exclude
    ]
    kept = [p for p in points if not any(all(p[k] in values for k, values in one.items()) for one in lists)]
    if points and not kept:
        raise UserError(f"{where}: leaves nothing of the grid")
    return kept


def _grid_row(point: dict[str, Any]) -> dict[str, Any]:
    """A point as a row named after its values, which hold against any profile."""
    row: dict[str, Any] = {"name": ", ".join(f"{k.rsplit('.', 1)[-1]} {_short(v)}" for k, v in point.items())}
    for dotted, value in point.items():
        inner = row
        *parents, leaf = dotted.split(".")
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[leaf] = value
    return {**row, "firm": list(point)}


def _short(value: Any) -> str:
    return "{" + ",".join(map(str, value)) + "}" if isinstance(value, list) else str(value)


def variant_paths(experiment: Experiment) -> list[Path]:
    """The files that `variants` names, relative to the experiment's own. Raises UserError for one that is not there."""
    folder = experiment.file.parent if experiment.file else Path()
    paths = [Path(name) if Path(name).is_absolute() else folder / name for name in experiment.variants]
    for number, path in enumerate(paths):
        if not path.is_file():
            raise UserError(
                f"{place_of(experiment, 'variants', number)}: variants: {path}: there is no such file"
            )
    return paths


def aggregation_for_variant(base: Aggregation, name: str) -> Aggregation:
    """The baseline's place in the network, with another module standing there."""
    return Aggregation(
        name=name, position=base.position, beta=base.beta, stages=base.stages, blocks=base.blocks, U=base.U
    )
