"""Rows × seeds × a profile become trials, in seed-major order, so that an interrupted grid is a balanced table."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.base.cache import cached_json, source_hash, versions
from harness.base.errors import StorageError, UserError, near_match
from harness.experiment.explain import place_of
from harness.experiment.identity import trial_id
from harness.experiment.load import load_recipe, recipe_of, variant_paths
from harness.experiment.sampling import TestProtocol
from harness.experiment.spec import (
    Aggregation,
    Experiment,
    Input,
    Inside,
    Network,
    Profile,
    Row,
    Trial,
    Variant,
)
from harness.experiment.start import start_trial

if TYPE_CHECKING:
    from harness.models.place import Declared

PAPER_INTERVAL = 16  # of T = 4: the span of the release's T = 8 at interval 8


@dataclass(frozen=True)
class Planned:
    """A trial and where it was asked for; only `trial` decides its `id`."""

    experiment: str
    row: str
    profile: str
    seed: int
    trial: Trial
    id: str


@dataclass(frozen=True)
class LoadedVariant:
    """A variant's file and what it registers: (kind, name), kinds "model", "inside", "across"."""

    variant: Variant
    registers: tuple[tuple[str, str], ...]


def plan_trials(
    experiment: Experiment, profile: Profile, seeds: Sequence[int], *, variants: Sequence[Path] = ()
) -> list[Planned]:
    """Every trial of an experiment, seed by seed; none for a table of costs alone.

    `variants` are files of models and modules that rows may name, beside those that the experiment names itself.
    A row that averages others has no trials of its own. Raises UserError naming the row for a network that cannot be
    built.
    """
    if experiment.measure == "cost":
        return []
    rows = row_trials(experiment, profile, [*variant_paths(experiment), *variants])
    return [
        _planned(experiment.name, row, profile, trial.model_copy(update={"seed": seed}))
        for seed in seeds
        for row, trial in rows
    ]


def row_trials(experiment: Experiment, profile: Profile, variants: Sequence[Path]) -> list[tuple[Row, Trial]]:
    """Each row that is no average with its trial of seed 0; `variants` are all files that rows may name.

    Kept on disk: resolving needs torch, and status or plan should not. So is a refusal, unless code that is not the
    project's had a part in it: variants, or what this process may have registered. Raises UserError as `plan_trials`.
    """
    others = bool(variants) or "harness.models" in sys.modules
    rows = [row for row in experiment.rows if not row.average_of]

    def expanded() -> list[Any] | str:
        try:
            check_scale(profile)
            loaded = load_variants(variants)
            return [row_trial(experiment, row, profile, loaded).model_dump(mode="json") for row in rows]
        except UserError as error:
            if others or isinstance(error, StorageError):
                raise
            return str(error)

    recipes = [load_recipe(row.recipe.file) for row in rows if row.recipe.file and profile.recipe is None]
    # The declarations' own files, too: a refusal names file and line.
    files = [*variants, *(one.file for one in (experiment, profile) if one.file)]
    sources = [(str(p), p.read_bytes().hex() if p.is_file() else None) for p in files]
    declared = [one.model_dump(mode="json") for one in (experiment, profile, *recipes)]
    code = source_hash("experiment", "models", "plan/expand.py", "data/views.py")
    kept = cached_json("trials", [declared, sources, code, versions(("torch", "pydantic"))], expanded)
    if isinstance(kept, str) and others:
        kept = expanded()
    if isinstance(kept, str):
        raise UserError(kept)
    own = {"dataset": profile.dataset, "start": profile.start}  # with the places on this machine
    trials = [Trial.model_validate(data).model_copy(update=own) for data in kept]
    return list(zip(rows, trials, strict=True))


def with_starts(planned: Iterable[Planned]) -> list[Planned]:
    """The distinct trials, each start (the trunk that trials begin with) before the first trial that needs it."""
    found: dict[str, Planned] = {}
    for one in planned:
        if (start := start_trial(one.trial)) is not None:
            name = trial_id(start)
            found.setdefault(
                name,
                Planned(
                    one.experiment,
                    f"start of {one.trial.network.model}",
                    one.profile,
                    start.seed,
                    start,
                    name,
                ),
            )
        found.setdefault(one.id, one)
    return list(found.values())


def distinct(planned: Iterable[Planned]) -> list[Planned]:
    """The first of each id, in order: the same trial in two tables runs once."""
    found: dict[str, Planned] = {}
    for one in planned:
        found.setdefault(one.id, one)
    return list(found.values())


def load_variants(paths: Iterable[Path]) -> list[LoadedVariant]:
    """Run each file once; what it registers can then be named. Raises UserError naming file and line."""
    unique = list(dict.fromkeys(path.resolve() for path in paths))
    if not unique:
        return []
    from harness.models.variant import load_variant

    loaded = [(path, *load_variant(path)) for path in unique]
    return [
        LoadedVariant(Variant(file=path.name, source=source), tuple(names)) for path, names, source in loaded
    ]


def _planned(experiment: str, row: Row, profile: Profile, trial: Trial) -> Planned:
    return Planned(experiment, row.name, profile.name, trial.seed, trial, trial_id(trial))


def row_trial(
    experiment: Experiment, row: Row, profile: Profile, variants: Sequence[LoadedVariant] = ()
) -> Trial:
    """The row's trial with seed 0, every default resolved. Raises UserError naming file, line and row."""
    from harness.models import model_entry

    test = test_protocol(experiment, row, profile)
    network = row_network(experiment, row, profile)
    own, scale = model_entry(row.model).input, profile.scale
    train = row.train.model_copy(
        update={
            "interval": None
            if row.train.mode == "uniform"
            else _firm(row, "train.interval", row.train.interval, scale.interval, PAPER_INTERVAL),
            "crop_px": _firm(row, "train.crop_px", row.train.crop_px, scale.crop_px, own.train_crop),
        }
    )
    crop = scale.test_crop_px or scale.crop_px
    test = test.model_copy(
        update={
            "crop_px": _firm(row, "test.crop_px", row.test.crop_px, crop, own.test_crop),
            "short_side": scale.test_short_side or row.test.short_side,
        }
    )
    return Trial(
        network=network,
        dataset=profile.dataset,
        train=train,
        test=test,
        input=profile.input or Input(mean=own.mean, std=own.std, order=own.order),
        start=profile.start,
        recipe=recipe_of(
            row, profile, f"{place_of(experiment, 'rows', row.name, 'recipe')}: row {row.name!r}"
        ),
        numerics=profile.numerics,
        seed=0,
        variants=_used(network, variants),
    )


def _firm(row: Row, key: str, own: int | None, profile: int | None, default: int) -> int:
    """A grid's value, else the profile's for all rows alike, else the row's, else the default."""
    if key in row.firm and own is not None:
        return own
    return profile or own or default


def _used(network: Network, variants: Sequence[LoadedVariant]) -> tuple[Variant, ...]:
    """The variants whose model or modules the network names."""
    names = {("model", network.model)} | {("inside", one.name) for one in network.inside}
    if network.aggregation is not None:
        names.add(("across", network.aggregation.name))
    return tuple(one.variant for one in variants if names & set(one.registers))


def row_network(experiment: Experiment, row: Row, profile: Profile) -> Network:
    """A row's network at the profile's scale, every default resolved by the registry.

    Raises UserError naming file, line and row for a model, a module, an option or a place that there is not.
    """
    from harness.models import model_entry, resolve

    try:
        known = model_entry(row.model).options()
        scaled = {key: value for key, value in profile.scale.options.items() if key in known}
        if profile.scale.options:
            scaled |= row.scaled
        resolved = resolve(
            row.model,
            {**scaled, **row.options},
            aggregation=_declared(row.aggregation, row.aggregation.beta),
            inside=[_declared(one, None) for one in row.inside],
            U=row.train.U,
            T=row.train.T,
        )
    except UserError as error:
        words = str(error).replace(":", " ").split()  # the key that is wrong often leads the message
        key = "model" if words[:2] == ["unknown", "model"] or words[0] == "model" else "aggregation"
        where = place_of(experiment, "rows", row.name, key, words[0])
        if words[0] in profile.scale.options and words[0] not in {**row.options, **row.scaled}:
            where = place_of(profile, "scale", words[0])
        raise UserError(f"{where}: row {row.name!r}: {error}") from None
    return Network.model_validate(asdict(resolved))


def _declared(module: Aggregation | Inside, beta: float | None) -> Declared:
    from harness.models import Declared

    blocks = None if module.blocks is None or module.name == "average" else module.blocks
    options: dict[str, Any] = dict(module.options)
    return Declared(module.name, module.position, module.stages, blocks, beta, options)


def check_scale(profile: Profile) -> None:
    """Refuse an option in a profile's scale that no model has. Raises UserError with the near match."""
    from harness.models import list_models, model_entry

    known = {option for name in list_models() for option in model_entry(name).options()}
    for option in profile.scale.options:
        if option not in known:
            where = place_of(profile, "scale", option)
            raise UserError(
                f"{where}: unknown key 'scale.{option}'{near_match(option, [*known, 'crop_px', 'interval'])}: "
                "crop_px, test_crop_px, interval, or an option of a model"
            )


def test_protocol(experiment: Experiment, row: Row, profile: Profile) -> TestProtocol:
    """The row's protocol (the paper's), or the profile's smaller one.

    Raises UserError where its snippets do not make groups that the row's network takes.
    """
    override = profile.test
    if override is None:
        protocol, where = row.test, f"{place_of(experiment, 'rows', row.name, 'test')}: test"
    elif row.train.U == 1:
        protocol = TestProtocol(U=override.clips, crops=override.crops, grouping="each")
        where = f"{place_of(profile, 'test', 'clips')}: test"
    else:
        protocol = TestProtocol(U=override.snippets, crops=override.crops, grouping=override.grouping)
        where = f"{place_of(profile, 'test', 'snippets')}: test"
    firm = {key: getattr(row.test, key) for key in ("U", "crops", "grouping") if f"test.{key}" in row.firm}
    protocol = protocol.model_copy(update=firm)
    try:
        _check_groups(row, protocol)
    except UserError as error:
        raise UserError(f"{where}: row {row.name!r} of {experiment.name!r}: {error}") from None
    return protocol


test_protocol.__test__ = False  # type: ignore[attr-defined]  # not a pytest function


def _check_groups(row: Row, protocol: TestProtocol) -> None:
    from harness.data import snippet_groups
    from harness.models import takes_any_U

    size = len(snippet_groups(protocol.U, row.train.U, protocol.grouping)[0])
    if size != row.train.U and not takes_any_U(row.aggregation.name):
        raise UserError(
            f"grouping {protocol.grouping!r} of {protocol.U} snippets gives groups of {size}, and "
            f"{row.aggregation.name!r} takes the {row.train.U} of train.U only"
        )
