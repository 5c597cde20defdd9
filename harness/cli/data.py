"""`harness data`: the datasets that profiles name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.base.errors import UserError
from harness.cli.common import DEFAULT_PROFILE, Data, Json, ProfileName, folder_option, print_json

if TYPE_CHECKING:
    from harness.data.copy_report import CopyReport, SplitCount


app = typer.Typer(help="Prepare and describe the dataset of a profile.")


@app.command()
def prepare(profile: ProfileName = DEFAULT_PROFILE, data: Data = None, json: Json = False) -> None:
    """Make the profile's dataset (videos and their decoded cache) unless it is there, or check the user's copy."""
    from harness.data.registry import data_root
    from harness.experiment.load import load_profile
    from harness.orchestrate.screen import Preparing
    from harness.plan.prepare import prepare_datasets

    with Preparing() as progress:
        prepare_datasets([load_profile(profile).dataset], data or data_root(), progress.tell)
    info(profile, data, json)


@app.command()
def info(profile: ProfileName = DEFAULT_PROFILE, data: Data = None, json: Json = False) -> None:
    """Say what the profile's dataset is, where it lies, and what an order-blind method can reach."""
    from harness.data.registry import data_root, open_dataset
    from harness.experiment.load import load_profile

    dataset = open_dataset(load_profile(profile).dataset, data or data_root())
    facts = dataset.info.model_dump(mode="json")
    facts |= facts.pop("facts")
    if json:
        print_json(facts)
        return
    facts["excluded"] = {role: f"{len(own)} videos" for role, own in facts["excluded"].items()}
    for key, value in facts.items():
        long = isinstance(value, list) and len(value) > 6
        print(f"{key:<20} {', '.join(value[:6])} … ({len(value)})" if long else f"{key:<20} {value}")


@app.command()
def describe(profile: ProfileName = DEFAULT_PROFILE, data: Data = None, json: Json = False) -> None:
    """What the profile's copy of a published dataset holds: listed, found and official, by split and class."""
    from harness.data.copy_report import describe_dataset
    from harness.data.registry import data_root

    _tell(describe_dataset(_published(profile), data or data_root()), json)


@app.command()
def verify(
    profile: ProfileName = DEFAULT_PROFILE,
    data: Data = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; default: this machine's cores.")
    ] = None,
    every_frame: Annotated[bool, typer.Option(help="Decode long videos whole, not at 48 places.")] = False,
    seconds: Annotated[float, typer.Option(min=1, help="The most that one video may take.")] = 120,
    retry_broken: Annotated[
        bool, typer.Option(help="Look again at videos that were found broken and have not changed since.")
    ] = False,
    reencode_to: Annotated[
        Path | None,
        folder_option(
            "--reencode-to", "Write short and slow files anew into this folder (`copies` in a profile)."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Open and decode every video in processes that can be killed; a stop is resumed by the same command."""
    from harness.base.signals import shield_resource_tracker
    from harness.data.copy_report import verify_dataset
    from harness.data.registry import data_root
    from harness.orchestrate.screen import Preparing

    shield_resource_tracker()
    with Preparing() as progress:
        report = verify_dataset(
            _published(profile),
            data or data_root(),
            workers=workers,
            every_frame=every_frame,
            seconds=seconds,
            retry_broken=retry_broken,
            reencode_to=reencode_to,
            progress=progress.tell,
        )
    _tell(report, json)


def _published(profile: str) -> Any:
    """The specification of a profile's dataset, where that is one of real videos."""
    from harness.experiment.datasets_published import PublishedVideos
    from harness.experiment.load import load_profile

    spec = load_profile(profile).dataset
    if not isinstance(spec, PublishedVideos):
        raise UserError(
            f"dataset {spec.name!r} of profile {profile!r} is made by the harness: see `harness data info`"
        )
    return spec


def _tell(report: CopyReport, json: bool) -> None:
    if json:
        print_json(dataclasses.asdict(report))
        return
    from tabulate import tabulate

    print(f"{report.dataset} in {report.root}")
    print(tabulate([_split_row(s) for s in report.splits], _SPLIT_HEADER, colalign=("left", *["right"] * 5)))
    print(_class_line(report))
    roles = ", ".join(f"{role} {count}" for role, count in report.roles.items())
    print(f"roles: {roles}{'' if report.manifest else ' (not checked yet: `harness data verify`)'}")
    for title, names in (("not found", report.missing), ("broken", report.broken), ("short", report.short)):
        _name_some(title, names)
    if report.manifest:
        print(f"read by: {', '.join(f'{name} {count}' for name, count in report.decoders.items())}")
        print(f"manifest: {report.manifest}")
    for note in report.notes:
        print(f"note: {note}")


_SPLIT_HEADER = ("split", "official", "listed", "found", "readable", "short")


def _split_row(split: SplitCount) -> tuple[str, ...]:
    unknown = "?"
    checked = (unknown if n is None else f"{n:,}" for n in (split.readable, split.short))
    return (
        split.split,
        f"{split.official:,}" if split.official else "-",
        f"{split.listed:,}",
        f"{split.found:,}",
        *checked,
    )


def _class_line(report: CopyReport) -> str:
    """The number of classes, and the class that lost most of its training videos."""
    official = f" of {report.official_classes}" if report.official_classes else ""
    line = f"classes: {len(report.classes)}{official}"
    worst = min(report.classes, key=lambda c: c.train[1] / max(1, c.train[0]))
    return f"{line}; fewest training videos found: {worst.name}, {worst.train[1]} of {worst.train[0]}"


def _name_some(title: str, names: Sequence[str] | Mapping[str, str], most: int = 20) -> None:
    if not names:
        return
    print(f"{title}: {len(names)}")
    for name in list(names)[:most]:
        print(f"  {name}  {names[name]}" if isinstance(names, Mapping) else f"  {name}")
    if len(names) > most:
        print(f"  … and {len(names) - most} more (`--json` lists all)")
