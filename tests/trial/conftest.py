"""The tiny dataset, and one undisturbed trial that the others are held against."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from harness.data import prepare
from harness.results.record import Record
from harness.trial import run_trial
from tests.trial.tiny import SPEC, tiny_trial


class Undisturbed(NamedTuple):
    """A finished trial; its last checkpoint lies in `folder`."""

    record: Record
    folder: Path
    reports: list[dict[str, object]]


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tiny dataset is prepared; not to be written to."""
    root = tmp_path_factory.mktemp("trial-data")
    prepare(SPEC, root, workers=1)
    return root


@pytest.fixture(scope="session")
def undisturbed(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder, reports = tmp_path_factory.mktemp("undisturbed"), []
    record = run_trial(tiny_trial(), data_root=data_root, checkpoint_dir=folder, report=reports.append)
    return Undisturbed(record, folder, reports)
