"""Rows × seeds × a profile become trials, in seed-major order, so that an interrupted grid is a balanced table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.experiment.identity import trial_id
from harness.experiment.spec import (
    Experiment,
    Network,
    Pretraining,
    Profile,
    Row,
    TestProtocol,
    Trial,
    Variant,
)


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
    rows = [(row, row_network(experiment, row, profile)) for row in experiment.rows]
    return [
        _planned(experiment.name, row, profile, _trial(row, network, profile, seed, loaded))
        for seed in seeds
        for row, network in rows
    ]


def distinct(planned: Iterable[Planned]) -> list[Planned]:
    """The first of each id, in order: the same trial in two tables runs once."""
    return list({p.id: p for p in reversed(list(planned))}.values())[::-1]


def _load_variant(path: Path | None) -> tuple[str, Variant] | None:
    if path is None:
        return None
    from harness.models.variant import load_variant

    name, source = load_variant(path)
    return name, Variant(file=path.name, source=source)


def _planned(experiment: str, row: Row, profile: Profile, trial: Trial) -> Planned:
    return Planned(experiment, row.name, profile.name, trial.seed, trial, trial_id(trial))


def _trial(
    row: Row, network: Network, profile: Profile, seed: int, variant: tuple[str, Variant] | None
) -> Trial:
    return Trial(
        network=network,
        dataset=full_dataset(profile.dataset, profile.name),
        train=row.train,
        test=test_protocol(row, profile),
        crop_px=profile.scale.crop_px,
        interval=profile.scale.interval,
        pretraining=_full_pretraining(profile),
        recipe=profile.recipe,
        numerics=profile.numerics,
        seed=seed,
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
    """A row's network at the profile's scale, every default resolved; UserError names experiment and row."""
    from harness.models.resolve import resolve

    spec, scale = row.aggregation, profile.scale
    try:
        resolved = resolve(
            row.backbone,
            spec.name,
            position=spec.position,
            stages=spec.stages,
            blocks=None if spec.name == "average" else spec.blocks,
            beta=spec.beta,
            options=spec.options,
        )
    except UserError as error:
        raise UserError(f"experiment {experiment.name!r}, row {row.name!r}: {error}") from None
    return Network(
        backbone=row.backbone,
        aggregation=spec.name,
        width=scale.width,
        stem_kernel=scale.stem_kernel,
        inflate=scale.inflate if row.backbone.startswith("i3d") else (),
        dropout=scale.dropout,
        **vars(resolved),
    )


def test_protocol(row: Row, profile: Profile) -> TestProtocol:
    """The row's protocol (the paper's), or the profile's smaller one."""
    override = profile.test
    if override is None:
        return row.test
    if row.train.U == 1:
        return TestProtocol(U=override.clips, crops=override.crops, grouping="each")
    return TestProtocol(U=override.snippets, crops=override.crops, grouping=override.grouping)


test_protocol.__test__ = False  # type: ignore[attr-defined]  # not a pytest function
