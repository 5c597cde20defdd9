"""Synthetic records of table (a) in the embedded profile: three seeds, DSA and TSN alike, the others clearly behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from harness.experiment import Profile, load_experiment, load_profile, trial_id
from harness.experiment.spec import Trial
from harness.plan.expand import Planned, plan_trials
from harness.results import Store, load
from tests.factories import make_record

SEEDS = (0, 1, 2)
TOP1 = {"I3D 4x1": 55.0, "I3D 16x1": 66.0, "TSN+I3D 4x4": 90.0, "V4D+I3D 4x4": 80.0, "DSA+I3D 4x4": 90.0}
DSA, V4D, TSN = "DSA+I3D 4x4", "V4D+I3D 4x4", "TSN+I3D 4x4"


def planned_row(row: str, seeds: tuple[int, ...] = SEEDS) -> list[Planned]:
    trials = plan_trials(load_experiment("ablation_a"), load_profile("embedded"), seeds)
    return [p for p in trials if p.row == row]


def changed(planned: list[Planned], change: Callable[[Trial], Trial]) -> list[Planned]:
    """The same trials with something else in them, under their new names."""
    trials = [change(p.trial) for p in planned]
    return [
        Planned("another", p.row, p.profile, p.seed, t, trial_id(t))
        for p, t in zip(planned, trials, strict=True)
    ]


def write_records(root: Path, planned: list[Planned], top1: float, **options: object) -> None:
    for p in planned:
        Store(root).write(make_record(p, top1, **options), p)


@pytest.fixture(scope="session")
def profile() -> Profile:
    return load_profile("embedded")


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("table_a") / "runs"
    for row, top1 in TOP1.items():
        write_records(folder, planned_row(row), top1, seed_sd=0.2)  # verdicts that no seed can turn
    return folder


@pytest.fixture(scope="session")
def frame(root: Path) -> pd.DataFrame:
    return load(root)
