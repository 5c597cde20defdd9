"""The profile `embedded` is the candidate that the search's log speaks of, and its log can be read."""

from __future__ import annotations

import json
from types import ModuleType

import pytest

from harness.experiment.identity import trial_id
from harness.experiment.load import EXPERIMENTS, load_profile
from tests.scripts import script_at

CHOSEN = "c1"


@pytest.fixture(scope="module")
def search() -> ModuleType:
    return script_at(EXPERIMENTS / "search" / "embedded.py")


@pytest.mark.parametrize("row", ["dsa", "final", "res2"])
def test_the_profile_is_the_chosen_candidate(search: ModuleType, row: str) -> None:
    """But for the number of videos in val and test, which the search has of its own."""
    found = search.planned(row, search.candidate_profile(CHOSEN, 1), seed=0)
    shipped = search.planned(row, load_profile("embedded"), seed=0)
    splits = found.dataset.videos_per_class.model_copy(
        update={"val": shipped.dataset.videos_per_class.val, "test": shipped.dataset.videos_per_class.test}
    )
    found = found.model_copy(
        update={"dataset": found.dataset.model_copy(update={"videos_per_class": splits})}
    )
    assert trial_id(found) == trial_id(shipped)


def test_twice_the_epochs_are_twice_the_warm_up_too(search: ModuleType) -> None:
    once, twice = (search.candidate_profile(CHOSEN, times).recipe for times in (1, 2))
    assert (twice.epochs, twice.warmup_epochs) == (2 * once.epochs, 2 * once.warmup_epochs)


def test_no_line_of_the_log_was_measured_twice(search: ModuleType) -> None:
    lines = [json.loads(line) for line in search.LOG.read_text().splitlines()]
    keys = [(line["candidate"], line["row"], line["seed"]) for line in lines]
    assert len(set(keys)) == len(keys)
    assert all(line["row"] in search.ROWS for line in lines)
