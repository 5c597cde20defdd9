"""`harness data`: the datasets that profiles name."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import typer

from harness.base.errors import UserError
from harness.base.text import duration
from harness.cli.common import DEFAULT_PROFILE, Data, Json, ProfileName, print_json
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
    from harness.data import ScriptedDigits, data_root, dataset_spec, open_dataset

    spec = dataset_spec(load_profile(profile).dataset)
    if not isinstance(spec, ScriptedDigits):
        raise UserError(
            f"dataset {spec.name!r} of profile {profile!r} can be planned and costed, but not read yet"
        )
    facts = open_dataset(spec, data or data_root()).info.model_dump(mode="json")
    if json:
        print_json(facts)
        return
    for key, value in facts.items():
        long = isinstance(value, list) and len(value) > 6
        print(f"{key:<20} {', '.join(value[:6])} … ({len(value)})" if long else f"{key:<20} {value}")


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
