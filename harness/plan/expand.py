"""Rows × seeds × a profile become trials, in seed-major order, so that an interrupted grid is a balanced table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.base.errors import UserError
from harness.experiment.identity import trial_id
from harness.experiment.load import place_of
from harness.experiment.spec import (
    STAGES,
    Experiment,
    Network,
    Pretraining,
    Profile,
    Row,
    TestProtocol,
    Trial,
    Variant,
)

if TYPE_CHECKING:
    from harness.models.resolve import Resolved


@dataclass(frozen=True)
class Planned:
    """A trial and where it was asked for; only `trial` decides its `id`."""

    experiment: str
    row: str
    profile: str
    seed: int
    trial: Trial
    id: str


def plan_trials(
    experiment: Experiment, profile: Profile, seeds: Sequence[int], *, variant: Path | None = None
) -> list[Planned]:
    """Every trial of an experiment, seed by seed; none for a table of costs alone.

    `variant` is the file of the module that rows may name as their aggregation. Raises UserError naming the row
    for a network that cannot be built.
    """
    loaded = _load_variant(variant)
    if experiment.measure == "cost":
        return []
    rows = [(row, _trial(experiment, row, profile, loaded)) for row in experiment.rows]
    return [
        _planned(experiment.name, row, profile, trial.model_copy(update={"seed": seed}))
        for seed in seeds
        for row, trial in rows
    ]


def distinct(planned: Iterable[Planned]) -> list[Planned]:
    """The first of each id, in order: the same trial in two tables runs once."""
    found: dict[str, Planned] = {}
    for one in planned:
        found.setdefault(one.id, one)
    return list(found.values())


def _load_variant(path: Path | None) -> tuple[str, Variant] | None:
    if path is None:
        return None
    from harness.models.variant import load_variant

    name, source = load_variant(path)
    return name, Variant(file=path.name, source=source)


def _planned(experiment: str, row: Row, profile: Profile, trial: Trial) -> Planned:
    return Planned(experiment, row.name, profile.name, trial.seed, trial, trial_id(trial))


def _trial(experiment: Experiment, row: Row, profile: Profile, variant: tuple[str, Variant] | None) -> Trial:
    """The row's trial with seed 0."""
    network = row_network(experiment, row, profile)
    return Trial(
        network=network,
        dataset=full_dataset(profile.dataset, profile.name),
        train=row.train,
        test=test_protocol(experiment, row, profile),
        crop_px=profile.scale.crop_px,
        interval=profile.scale.interval,
        pretraining=_full_pretraining(profile),
        recipe=profile.recipe,
        numerics=profile.numerics,
        seed=0,
        variant=variant[1] if variant and variant[0] == network.aggregation else None,
    )


def full_dataset(data: Mapping[str, object], profile: str) -> dict[str, object]:
    """A dataset with every default spelled out (a generator's knobs are part of the identity)."""
    from harness.data import dataset_spec

    try:
        return dict(dataset_spec(data).model_dump(mode="json"))
    except UserError as error:
        raise UserError(f"profile {profile!r}: dataset: {error}") from None


def _full_pretraining(profile: Profile) -> Pretraining | None:
    if profile.pretraining is None:
        return None
    dataset = full_dataset(profile.pretraining.dataset, profile.name)
    return profile.pretraining.model_copy(update={"dataset": dataset})


def row_network(experiment: Experiment, row: Row, profile: Profile) -> Network:
    """A row's network at the profile's scale, every default resolved.

    Raises UserError naming file, line and row for a module, an option or a place that there is not.
    """
    try:
        resolved = _resolved(row, profile.scale.width)
    except UserError as error:
        where = place_of(experiment, "rows", row.name, "aggregation")
        raise UserError(f"{where}: row {row.name!r}: {error}") from None
    scale = profile.scale
    return Network(
        backbone=row.backbone,
        aggregation=row.aggregation.name,
        width=scale.width,
        stem_kernel=scale.stem_kernel,
        inflate=tuple(s for s in STAGES if s in scale.inflate) if row.backbone.startswith("i3d") else (),
        dropout=scale.dropout,
        **vars(resolved),
    )


def _resolved(row: Row, width: int) -> Resolved:
    """Every default spelled out, and one module of each stage built, since only it can judge its options."""
    from harness.models.resolve import build_each, resolve

    spec = row.aggregation
    resolved = resolve(
        row.backbone,
        spec.name,
        position=spec.position,
        stages=spec.stages,
        blocks=None if spec.name == "average" else spec.blocks,
        beta=spec.beta,
        options=spec.options,
    )
    build_each(resolved, row.backbone, spec.name, width=width, U=row.train.U, T=row.train.T)
    return resolved


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
    try:
        _check_groups(row, protocol)
    except UserError as error:
        raise UserError(f"{where}: row {row.name!r} of {experiment.name!r}: {error}") from None
    return protocol


test_protocol.__test__ = False  # type: ignore[attr-defined]  # not a pytest function


def _check_groups(row: Row, protocol: TestProtocol) -> None:
    from harness.data import snippet_groups
    from harness.models.resolve import takes_any_U

    size = len(snippet_groups(protocol.U, row.train.U, protocol.grouping)[0])
    if size != row.train.U and not takes_any_U(row.aggregation.name):
        raise UserError(
            f"grouping {protocol.grouping!r} of {protocol.U} snippets gives groups of {size}, and "
            f"{row.aggregation.name!r} takes the {row.train.U} of train.U only"
        )
