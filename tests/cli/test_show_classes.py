"""`harness show TRIAL`: a number of every class, from the stored scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from harness.cli.main import main
from harness.experiment.datasets_published import ActivityNet13
from harness.experiment.load import EXPERIMENTS
from harness.results import Store
from harness.results.metrics import Truth, score_metrics
from harness.results.predictions import predictions_frame
from harness.results.record import Record
from tests.data import fake_copies
from tests.factories import CLASSES, make_failed_record, make_record
from tests.orchestrate import fakes


def _show(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    with pytest.raises(SystemExit) as left:
        main(["show", *map(str, words)])
    out, err = capsys.readouterr()
    assert not left.value.code, err
    return out


def _kept(record: Record, root: Path) -> tuple[str, str, Path]:
    Store(root).write(record)
    return record.id, "--results", root


def test_accuracy_of_every_class_the_worst_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = make_record(fakes.plan(0)[0])
    ask = _kept(record, tmp_path)
    classes = json.loads(_show(capsys, *ask, "--json"))["classes"]
    assert sorted(line["label"] for line in classes) == list(range(CLASSES))
    values = [line["value"] for line in classes]
    assert values == sorted(values) and values[0] < values[-1]
    assert np.mean(values) == pytest.approx(record.metrics["mean_class_accuracy"])
    own = record.predictions[record.predictions["label"] == classes[0]["label"]]
    right = [
        np.mean(list(views["scores"]), 0).argmax() == classes[0]["label"] for _, views in own.groupby("video")
    ]
    assert (classes[0]["value"], classes[0]["videos"]) == (pytest.approx(100 * np.mean(right)), len(right))
    shown = _show(capsys, *ask).split("classes: ")[1].split("\ncost")[0].splitlines()
    assert shown[0] == f"top-1 in percent, the worst first, the worst 10 of {CLASSES} (--json: all)"
    assert len(shown) == 11 and classes[0]["class"] in shown[1] and f"{values[9]:.1f} " in shown[10]


def test_average_precision_where_a_video_has_several_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Class 2 has no test video: it has no line, as it has no part in mAP. Names come from the profile's copy."""
    rng = np.random.default_rng(0)
    targets_VK = np.zeros((6, 3), np.float32)
    targets_VK[:, 0], targets_VK[:2, 1] = 1, 1
    scores_VGK = rng.normal(size=(6, 2, 3)).astype(np.float32)
    truth = Truth(np.zeros(6, np.int64), targets_VK)
    videos = [f"v{i}" for i in range(6)]
    copy = fake_copies.activitynet(tmp_path / "copy", train=1, val=0, defects=False)
    trial = fakes.plan(0)[0].trial
    record = Record(
        trial=trial.model_copy(update={"dataset": ActivityNet13(root=copy.root)}),
        status="done",
        metrics=score_metrics(scores_VGK.mean(1), truth),
        predictions=predictions_frame(scores_VGK, truth.labels, videos, targets_VK),
    )
    ask = _kept(record, tmp_path / "runs")
    classes = json.loads(_show(capsys, *ask, "--json"))["classes"]
    assert {line["label"]: line["videos"] for line in classes} == {0: 6, 1: 2}
    assert {line["metric"] for line in classes} == {"average precision"}
    assert np.mean([line["value"] for line in classes]) == pytest.approx(record.metrics["map"])
    assert "average precision in percent, the worst first\n" in _show(capsys, *ask)
    assert "class 1 (2 videos)" in _show(capsys, *ask)
    profile = yaml.safe_load((EXPERIMENTS / "profiles" / "smoke.yaml").read_text(encoding="utf-8"))
    profile |= {"name": "copy", "dataset": {"name": "activitynet_1_3", "root": str(copy.root)}}
    profile.pop("start")
    (tmp_path / "copy.yaml").write_text(yaml.safe_dump(profile), encoding="utf-8")
    assert f"{copy.classes[1]} (2 videos)" in _show(capsys, *ask, "--profile", tmp_path / "copy.yaml")


def test_a_failed_trial_has_no_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "classes:" not in _show(capsys, *_kept(make_failed_record(fakes.plan(0)[0]), tmp_path))
