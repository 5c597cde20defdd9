"""`harness data describe` and `verify` on fake copies, as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from harness.cli.data import app
from tests.data import fake_copies

ROOT = Path(__file__).resolve().parents[2]


def profile(tmp_path: Path, **dataset: object) -> str:
    """A profile file like the smoke one, on this dataset."""
    content = yaml.safe_load((ROOT / "experiments" / "profiles" / "smoke.yaml").read_text())
    content.pop("pretraining", None)
    content |= {"name": "mine", "dataset": dataset}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content))
    return str(tmp_path / "mine.yaml")


def call(*words: str) -> str:
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_copy_that_the_environment_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the shipped profiles are used."""
    copy = fake_copies.kinetics(tmp_path / "copy", "flat", train=2, val=1, defects=False)
    monkeypatch.setenv("HARNESS_KINETICS_400", str(copy.root))
    described = call("describe", "--profile", "kinetics_400", "--data", str(tmp_path / "data"))
    assert described.startswith(f"kinetics_400 in {copy.root}\n")
    assert "roles: train 5, select 5, report 5 (not checked yet" in described


def test_describe_then_verify(tmp_path: Path) -> None:
    copy = fake_copies.kinetics(tmp_path / "copy", "mmaction2")
    mine = profile(tmp_path, name="kinetics_400", root=str(copy.root))
    options = ["--profile", mine, "--data", str(tmp_path / "data")]
    described = call("describe", *options)
    lines = [line.split() for line in described.splitlines()]
    assert ["train", "246,534", "20", "18", "?", "?"] in lines
    assert ["val", "19,906", "10", "10", "?", "?"] in lines
    assert "classes: 5 of 400" in described
    assert "not checked yet" in described
    verified = call("verify", *options, "--workers", "2")
    lines = [line.split() for line in verified.splitlines()]
    assert ["train", "246,534", "20", "18", "15", "0"] in lines
    assert "broken: 4" in verified
    assert "not found: 2" in verified
    for video in copy.broken.keys() | copy.missing:
        assert f"/{video}" in verified
    again = json.loads(call("describe", *options, "--json"))
    assert again["manifest"] in verified
    assert {name.split("/")[1] for name in again["broken"]} == copy.broken.keys()


@pytest.mark.parametrize("command", ["describe", "verify"])
def test_the_embedded_dataset_has_no_copy(command: str) -> None:
    from harness.base.errors import UserError

    with pytest.raises(UserError, match="is made by the harness"):
        call(command, "--profile", "smoke")
