"""From a folder of videos to a table: every published dataset's fake copy is checked, trained on and rendered."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from harness.cli.common import make_plan
from harness.cli.main import main
from harness.experiment.load import EXPERIMENTS
from harness.models import create_model
from harness.plan import estimate
from harness.results import Store, load
from tests.cli.torchvision_names import as_torchvision
from tests.data import fake_copies
from tests.data.clips import write_clip
from tests.factories import make_failed_record, make_record

MAKERS = {
    "kinetics_400": fake_copies.kinetics,
    "mini_kinetics_200": fake_copies.mini_kinetics,
    "something_v1": fake_copies.something_v1,
    "activitynet_1_3": fake_copies.activitynet,
}
TABLE = """
name: mine
title: Mine
columns: [COLUMN, top5]
rows:
  - name: TSN
    model: tsn_r18
    train: {T: 2, U: 2}
    test: {U: 2, crops: 3, grouping: all}
"""


def _profile(folder: Path, name: str, root: Path) -> str:
    content = yaml.safe_load((EXPERIMENTS / "profiles" / "smoke.yaml").read_text(encoding="utf-8"))
    for key in ("start", "test"):
        del content[key]
    content |= {"name": "copy", "dataset": {"name": name, "root": str(root), "held_out": 0.25}}
    recipe = yaml.safe_load((EXPERIMENTS / "recipes" / "smoke.yaml").read_text(encoding="utf-8"))["recipe"]
    content["recipe"] = recipe | {"batch_videos": 4}
    content["scale"] |= {"test_short_side": 32, "crop_px": 24}
    path = folder / "copy.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(path)


def _call(*words: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(list(words))
    return int(exit_.value.code or 0)


@pytest.mark.parametrize("name", MAKERS)
def test_one_command_checks_trains_and_the_copy_is_part_of_the_trial(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = MAKERS[name](tmp_path / "copy")
    column = "map" if name == "activitynet_1_3" else "top1"
    (tmp_path / "mine.yaml").write_text(TABLE.replace("COLUMN", column), encoding="utf-8")
    profile = _profile(tmp_path, name, copy.root)
    places = ["--results", str(tmp_path / "runs")]
    data = ["--data", str(tmp_path / "data")]
    ask = [str(tmp_path / "mine.yaml"), "--profile", profile]
    assert _call("run", *ask, *places, *data, "--inline", "--seeds", "1") == 0, capsys.readouterr().err
    frame = load(tmp_path / "runs")
    (line,) = frame.to_dict("records")
    manifest = json.loads(line["config"])["dataset"]["manifest"]
    assert line["status"] == "done" and manifest == line["dataset_manifest"]
    assert str(copy.root) not in line["config"] and line[column] >= 0
    capsys.readouterr()
    assert _call("run", *ask, *places, *data, "--inline", "--seeds", "1") == 0
    assert len(load(tmp_path / "runs")) == 1, "nothing runs twice"
    capsys.readouterr()
    assert _call("tables", *ask, *places, *data, "--reports", str(tmp_path / "reports"), "--seeds", "1") == 0
    told = re.search(
        r"missing or broken, and in no number: (\d+) \(in training (\d+)\)", _on_one_line(capsys)
    )
    assert told and sum(map(int, told.groups())) == len(copy.missing | copy.broken.keys())


def _on_one_line(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_another_copy_is_another_trial(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = fake_copies.kinetics(tmp_path / "copy", defects=False)
    (tmp_path / "mine.yaml").write_text(TABLE.replace("COLUMN", "top1"), encoding="utf-8")
    ask = [str(tmp_path / "mine.yaml"), "--profile", _profile(tmp_path, "kinetics_400", copy.root)]
    data = ["--data", str(tmp_path / "data")]

    def planned() -> str:
        assert _call("data", "verify", *ask[1:], *data) == 0
        capsys.readouterr()
        assert _call("plan", *ask, *data, "--results", str(tmp_path / "runs"), "--seeds", "1", "--ids") == 0
        return capsys.readouterr().out

    before = planned()
    assert planned() == before
    video = sorted(copy.root.rglob("*.mp4"))[0]
    write_clip(video, shown=range(30), gop=8)
    assert planned() != before


def test_status_show_and_retry_speak_of_the_copy_that_data_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = fake_copies.kinetics(tmp_path / "copy", defects=False)
    table, store = tmp_path / "mine.yaml", Store(tmp_path / "runs")
    table.write_text(TABLE.replace("COLUMN", "top1"), encoding="utf-8")
    profile = _profile(tmp_path, "kinetics_400", copy.root)
    data = ["--data", str(tmp_path / "data")]
    assert _call("data", "verify", "--profile", profile, *data) == 0
    done, failed = make_plan([str(table)], profile, 2, data=tmp_path / "data").trials
    store.write(make_record(done), done)
    store.write(make_failed_record(failed), failed)

    def told(command: str, *words: str) -> Any:
        capsys.readouterr()
        ask = [command, str(table), *words, "--profile", profile, "--results", str(store.root), "--json"]
        assert _call(*ask) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    def counts(*words: str) -> tuple[int, int]:
        (row,) = told("status", "--seeds", "2", *words)["rows"]
        return row["done"], row["failed"]

    assert (counts(*data), counts()) == ((1, 1), (0, 0))
    trials = [
        [seed["trial"] for seed in told("show", "TSN", "top1", *words)["seeds"]] for words in (data, ())
    ]
    assert trials[0] == [done.id, failed.id] and done.id not in trials[1]
    assert ("no records" in told("show", *data)["caption"], "no records" in told("show")["caption"]) == (
        False,
        True,
    )
    assert told("retry", "--seeds", "2", "--failed") == {"forgotten": {}}
    assert list(told("retry", "--seeds", "2", "--failed", *data)["forgotten"]) == [failed.id]
    assert (store.done(), store.failed()) == ({done.id}, {})


def test_a_plan_says_that_reading_is_not_in_a_calibrated_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "calibrated_seconds", lambda trial: 10.0)
    copy = fake_copies.kinetics(tmp_path / "copy", defects=False)
    table, store = tmp_path / "mine.yaml", Store(tmp_path / "runs")
    table.write_text(TABLE.replace("COLUMN", "top1"), encoding="utf-8")
    profile = _profile(tmp_path, "kinetics_400", copy.root)

    def planned(profile: str) -> tuple[bool, bool]:
        assert (
            _call("plan", str(table), "--profile", profile, "--results", str(store.root), "--seeds", "2") == 0
        )
        out = capsys.readouterr().out
        return "calibrated)" in out, "how long the videos take to read is not in it" in out

    assert planned(profile) == (True, True)
    assert planned("smoke") == (True, False), "drawn frames take a tenth of a step"
    done, _ = make_plan([str(table)], profile, 2).trials
    store.write(make_record(done), done)
    assert planned(profile) == (False, False), "a record's time has the reading in it"


def test_published_weights_are_tested_without_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_RESULTS", str(tmp_path / "runs"))
    copy = fake_copies.kinetics(tmp_path / "copy")
    (tmp_path / "mine.yaml").write_text(TABLE.replace("COLUMN", "top1"), encoding="utf-8")
    data = ["--data", str(tmp_path / "data")]
    profile = _profile(tmp_path, "kinetics_400", copy.root)
    seen = create_model("tsn_r18", len(copy.classes), width=8, stem_kernel=5, U=2)
    with torch.no_grad():  # whatever it sees, it answers class 3
        seen.head.fc.weight.zero_()
        seen.head.fc.bias.copy_(torch.tensor([0.0, 1, 2, 9, 3]))
    torch.save({"state_dict": as_torchvision(seen)}, tmp_path / "release.pth")
    ask = ["--experiment", str(tmp_path / "mine.yaml"), "--row", "TSN", "--profile", profile, *data]
    weights = ["--weights", str(tmp_path / "release.pth")]

    assert _call("test", *weights, *ask, "--json") == 0, capsys.readouterr().err
    told = json.loads(capsys.readouterr().out)
    report = [v for k, v in enumerate(copy.labels) if k % 6 >= 4]  # the last two of each class of six
    readable = [video for video in report if video not in copy.broken]
    right = sum(copy.labels[video] == 3 for video in readable)
    assert told["metrics"]["top1"] == pytest.approx(100 * right / len(readable))
    assert (told["videos"], told["excluded"]) == (len(readable), 1)
    assert (told["source"], told["views"]) == ("torchvision", 3)
    assert not (tmp_path / "runs").exists(), "nothing is recorded"

    assert _call("test", *weights, *ask) == 0
    shown = capsys.readouterr().out
    assert "2 snippets of 2 frames" in shown and "3 of 24 px, short side 32" in shown and "mean (110" in shown

    torch.save(
        as_torchvision(create_model("tsn_r18", 400, width=8, stem_kernel=5, U=2)), tmp_path / "other.pth"
    )
    assert _call("test", "--weights", str(tmp_path / "other.pth"), *ask) == 2
    assert "head.fc.weight (400, 64) for (5, 64)" in capsys.readouterr().err
    assert _call("test", *weights, *ask[:3], "TSM", *ask[4:]) == 2
    assert "did you mean 'TSN'" in capsys.readouterr().err
