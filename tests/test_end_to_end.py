"""`make ablation-a` from nothing, as a user gives it: the smoke profile through Ray, then what may follow.

One Ray start in this file (about half a minute on two cores); everything else needs none.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest

from harness.cli import main
from harness.experiment import load_experiment
from harness.experiment.load import ROOT

pytestmark = pytest.mark.slow
RUN = ("run", "ablation_a", "--profile", "smoke", "--json")
ROWS = [row.name for row in load_experiment("ablation_a").rows]
ONE_ROW = """\
name: mine
title: One row of table (a), and a user's own
defaults:
  model: i3d_r18
  train: {T: 4, U: 4}
rows:
  - name: the same
    test: {U: 10, crops: 3, grouping: all}
"""


class Finished(NamedTuple):
    """The folders of a finished `make ablation-a`, and what the command said."""

    root: Path
    said: subprocess.CompletedProcess[str]
    tables: subprocess.CompletedProcess[str]


def _environment(root: Path) -> dict[str, str]:
    folders = {f"HARNESS_{name.upper()}": str(root / name) for name in ("results", "data", "reports")}
    return {**os.environ, **folders, "HOME": str(root), "COLUMNS": "160"}


def _command(root: Path, *arguments: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *python, "-m", "harness", *arguments],
        cwd=ROOT,
        env=_environment(root),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    root = tmp_path_factory.mktemp("user")
    said = _command(root, *RUN)
    return Finished(root, said, _command(root, "tables", "ablation_a", "--profile", "smoke"))


@pytest.fixture
def copy(finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folders once more, to be spoiled; commands of this process work on them."""
    root = Path(shutil.copytree(finished.root, tmp_path / "user"))
    for name, value in _environment(root).items():
        if name.startswith("HARNESS_"):
            monkeypatch.setenv(name, value)
    return root


def _harness(*arguments: str) -> int:
    """A command in this very process; its exit code."""
    with pytest.raises(SystemExit) as left:
        main.main(list(arguments))
    assert isinstance(left.value.code, int)
    return left.value.code


def _json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_five_trials_are_run_and_kept(finished: Finished) -> None:
    assert finished.said.returncode == 0, finished.said.stderr
    summary = json.loads(finished.said.stdout)
    assert len(summary["done"]) == 5
    assert (summary["failed"], summary["not_run"], summary["interrupted"]) == ({}, [], False)
    for part in ("trials", "predictions", "curves"):
        found = {path.stem for path in (finished.root / "results" / part).glob("*.parquet")}
        assert found > set(summary["done"])
        assert len(found) == 6, "the five, and the start that they begin with"
    assert not list((finished.root / "results" / "checkpoints").glob("*/*"))
    assert not (finished.root / ".ray").exists()


def test_the_records_are_plain_parquet(finished: Finished) -> None:
    frame = pd.concat(map(pd.read_parquet, (finished.root / "results" / "trials").glob("*.parquet")))
    assert sorted(frame["written_row"]) == sorted([*ROWS, "start of i3d_r18"])
    assert set(frame["status"]) == {"done"}
    assert frame["top1"].between(0, 100).all()
    assert frame["dataset_manifest"].nunique() == 2, "the trials' videos, the start's"
    assert (frame["provenance_retries"] == 0).all()


def test_preparation_and_trials_are_told_in_plain_lines_without_chatter(finished: Finished) -> None:
    lines = finished.said.stderr.splitlines()
    for stage in ("dataset: videos", "dataset: cache", "estimate"):
        assert any(line.startswith(stage) for line in lines), stage
    told = [line.split("] ")[-1] for line in lines if line.startswith("[")]
    assert told[0] == "start  ablation_a · start of i3d_r18 · seed 0"
    assert told[1].startswith("done   ablation_a · start of i3d_r18"), (
        "nothing starts before its start is done"
    )
    assert sum(line.startswith("done   ablation_a") for line in told) == 6
    assert not re.search(r"ray|deprecat|warning", finished.said.stderr, re.IGNORECASE)


def test_the_table_is_printed_and_written_in_four_formats(finished: Finished) -> None:
    assert finished.tables.returncode == 0, finished.tables.stderr
    folder = finished.root / "reports" / "tables"
    texts = {path.suffix: path.read_text() for path in folder.glob("ablation_a.*")}
    assert texts.keys() == {".md", ".tex", ".html", ".csv"}
    texts["the terminal"] = finished.tables.stdout
    for kind, text in texts.items():
        assert all(re.search(row.replace("x", "[x×]").replace("+", r"\+"), text) for row in ROWS), kind
    assert "smoke" in texts[".md"]
    assert "77.3" in texts[".md"], "the paper's number stands beside ours"


def test_a_second_run_runs_nothing_and_needs_no_ray(finished: Finished) -> None:
    before = {p: p.stat().st_mtime_ns for p in (finished.root / "results" / "trials").iterdir()}
    again = _command(finished.root, *RUN, python=("-X", "importtime"))
    assert again.returncode == 0
    assert len(json.loads(again.stdout)["done_before"]) == 5
    assert {p: p.stat().st_mtime_ns for p in before} == before
    imported = {line.split("|")[-1].strip() for line in again.stderr.splitlines() if "|" in line}
    assert "harness.cli.run" in imported
    assert not any(name.partition(".")[0] in ("ray", "torch") for name in imported)


def test_a_new_seed_runs_alone_and_a_row_of_another_table_is_shared(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copy / "mine.yaml").write_text(ONE_ROW)
    run = ("run", str(copy / "mine.yaml"), "--profile", "smoke", "--inline", "--json")
    assert _harness(*run, "--seeds", "2") == 0
    summary = _json(capsys)
    assert (len(summary["done_before"]), len(summary["done"])) == (1, 1)
    record = pd.read_parquet(copy / "results" / "trials" / f"{summary['done'][0]}.parquet").iloc[0]
    assert (record["seed"], record["written_experiment"]) == (1, "mine")
    assert len(list((copy / "results" / "trials").iterdir())) == 7


def test_a_corrupted_video_is_one_message_and_nothing_runs(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = sorted(copy.glob("data/*/videos/test_*.mp4"))[0]
    whole = bytearray(video.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    video.write_bytes(bytes(whole))
    assert _harness(*RUN, "--seeds", "2", "--inline") == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert f"error: {video}: is not the video that was made (its hash differs); delete" in told.err
    assert "Traceback" not in told.err
    assert len(list((copy / "results" / "trials").iterdir())) == 6


def test_a_corrupted_record_is_named_and_the_others_stay(
    finished: Finished, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = json.loads(finished.said.stdout)["done"]
    victim = copy / "results" / "trials" / f"{done[2]}.parquet"
    victim.write_bytes(victim.read_bytes()[:100])
    assert _harness("plan", *RUN[1:]) == 0
    told = capsys.readouterr()
    plan = json.loads(told.out)
    assert (plan["done"], plan["to_run"]) == (4, 1)
    assert f"{victim}: damaged or no parquet file" in told.err
    assert _harness("tables", "ablation_a", "--profile", "smoke") == 0
    told = capsys.readouterr()
    assert f"warning: {victim}: damaged" in told.err
    assert "Traceback" not in told.err
    assert len(pd.read_csv(copy / "reports" / "tables" / "ablation_a.csv", comment="#")) == 5
    assert victim.exists(), "a damaged record was deleted"
