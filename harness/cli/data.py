"""`harness data`: the datasets that profiles name."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from tabulate import tabulate

from harness.base.errors import UserError
from harness.base.text import duration
from harness.cli.common import DEFAULT_PROFILE, Data, Json, ProfileName, print_json
from harness.data.copy_report import CopyReport, SplitCount, describe_dataset, verify_dataset
from harness.experiment.datasets import parse_dataset
from harness.experiment.datasets_published import PublishedVideos
from harness.experiment.load import load_profile
from harness.experiment.spec import Profile, Trial

app = typer.Typer(help="Prepare and describe the dataset of a profile.")


@app.command()
def prepare(profile: ProfileName = DEFAULT_PROFILE, data: Data = None) -> None:
    """Make the profile's dataset (videos and their decoded cache) unless it is there."""
    from harness.data import data_root

    prepare_with_progress(load_profile(profile), data or data_root())
    info(profile, data)


@app.command()
def info(profile: ProfileName = DEFAULT_PROFILE, data: Data = None, json: Json = False) -> None:
    """Say what the profile's dataset is, where it lies, and what an order-blind method can reach."""
    from harness.data import data_root, dataset_spec, open_dataset

    dataset = open_dataset(dataset_spec(load_profile(profile).dataset), data or data_root())
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
    from harness.data.registry import data_root

    _tell(describe_dataset(_published(profile), data or data_root()), json)


@app.command()
def verify(  # noqa: PLR0917 - typer's way of declaring options
    profile: ProfileName = DEFAULT_PROFILE,
    data: Data = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; default: this machine's cores.")
    ] = None,
    every_frame: Annotated[bool, typer.Option(help="Decode long videos whole, not at 48 places.")] = False,
    seconds: Annotated[float, typer.Option(min=1, help="The most that one video may take.")] = 120,
    reencode_to: Annotated[
        Path | None,
        typer.Option(help="Write short and slow files anew into this folder (`copies` in a profile)."),
    ] = None,
    json: Json = False,
) -> None:
    """Open and decode every video in processes that can be killed; a stop is resumed by the same command."""
    from harness.data.registry import data_root

    with _Preparation() as progress:
        report = verify_dataset(
            _published(profile),
            data or data_root(),
            workers=workers,
            every_frame=every_frame,
            seconds=seconds,
            reencode_to=reencode_to,
            progress=progress.tell,
        )
    _tell(report, json)


def _published(profile: str) -> Any:
    """The specification of a profile's dataset, where that is one of real videos."""
    spec = parse_dataset(load_profile(profile).dataset)
    if not isinstance(spec, PublishedVideos):
        raise UserError(
            f"dataset {spec.name!r} of profile {profile!r} is made by the harness: see `harness data info`"
        )
    return spec


def _tell(report: CopyReport, json: bool) -> None:
    if json:
        print_json(dataclasses.asdict(report))
        return
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


def prepare_with_progress(profile: Profile, root: Path, trials: Sequence[Trial] = ()) -> None:
    """Prepare what a profile and these trials of it need, telling standard error what takes long."""
    from harness.trial.prepare import prepare_datasets, prepare_trials

    with _Preparation() as progress:
        if trials:
            prepare_trials(trials, root, progress.tell)
        else:
            prepare_datasets([profile.dataset], root, progress.tell)


class _Preparation:
    """A bar on a terminal, else a line every ten seconds and at the end of each stage."""

    def __init__(self) -> None:
        self._told = 0.0
        self._started = time.monotonic()
        self._stage = ""
        self.tell: Callable[[str, int, int], None] = self._plain

    def __enter__(self) -> _Preparation:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress

            self._bars = Progress(console=Console(stderr=True), transient=True)
            self._bars.start()
            self.tell = self._draw
        return self

    def __exit__(self, *_: object) -> None:
        if self.tell == self._draw:
            self._bars.stop()
        if self._stage:
            print(f"ready after {duration(time.monotonic() - self._started)}", file=sys.stderr)

    def _draw(self, stage: str, done: int, total: int) -> None:
        if stage != self._stage:
            self._stage, self._task = stage, self._bars.add_task(stage, total=total)
        self._bars.update(self._task, completed=done)

    def _plain(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage != self._stage or done == total or now - self._told > 10:
            print(f"{stage} {done}/{total}", file=sys.stderr, flush=True)
            self._stage, self._told = stage, now
