"""A dataset small enough to be made in the tests: 40 videos of 32 x 24 px, three script families."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.data import Dataset, ScriptedDigits, open_dataset, prepare
from harness.experiment.datasets import VideosPerClass


@pytest.fixture(scope="session")
def tiny_spec() -> ScriptedDigits:
    return ScriptedDigits(
        scripts=("RR", "RU", "UR", "R-", "-R"),
        frame_width=32,
        frame_height=24,
        length=(48, 56),
        videos_per_class=VideosPerClass(train=2, val=1, test=1),
    )


@pytest.fixture(scope="session")
def tiny_root(tiny_spec: ScriptedDigits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tiny dataset is prepared; not to be written to."""
    root = tmp_path_factory.mktemp("data")
    prepare(tiny_spec, root, workers=1)
    return root


@pytest.fixture(scope="session")
def tiny(tiny_spec: ScriptedDigits, tiny_root: Path) -> Dataset:
    return open_dataset(tiny_spec, tiny_root)


@pytest.fixture
def spoilable(tiny_root: Path, tmp_path: Path) -> Path:
    """A root with a copy of the tiny dataset, to be damaged."""
    return Path(shutil.copytree(tiny_root, tmp_path / "copy"))
