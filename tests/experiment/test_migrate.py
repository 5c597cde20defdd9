"""Older records: read in today's words under the name that they always had, or refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.base.errors import UserError
from harness.experiment import trial_id
from harness.experiment.migrate import SCHEMA_VERSION, read_trial

KEPT: list[dict[str, Any]] = json.loads((Path(__file__).parent / "kept" / "schema_1.json").read_text())


@pytest.mark.parametrize("record", KEPT, ids=lambda record: record["id"])
def test_a_record_of_the_first_schema_keeps_its_name(record: dict[str, Any]) -> None:
    trial = read_trial(json.dumps(record["config"]), 1, "kept")
    assert trial_id(trial) == record["id"]
    assert trial.network.model == record["config"]["network"]["backbone"]
    assert read_trial(trial.model_dump_json(), SCHEMA_VERSION, "again") == trial


@pytest.mark.parametrize(
    ("config", "version", "said"),
    [
        ("{}", 1, "its config is not of schema 1"),
        ("{", 1, "its config is not of schema 1"),
        (json.dumps(KEPT[0]["config"]), 2, "its config is not of schema 2"),
        (json.dumps({**KEPT[0]["config"], "seed": -1}), 1, "its config is not of schema 1"),
        ("{}", 99, "written by a newer version of the harness"),
    ],
)
def test_what_is_not_of_its_version_is_one_line_that_names_the_file(
    config: str, version: int, said: str
) -> None:
    with pytest.raises(UserError) as caught:
        read_trial(config, version, "trials/x.parquet")
    assert str(caught.value).startswith(f"trials/x.parquet: {said}")
    assert "\n" not in str(caught.value)
