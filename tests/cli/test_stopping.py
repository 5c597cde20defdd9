"""A wish to stop while datasets are made: exit code 130, nothing left behind, the same command goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.experiment.load import EXPERIMENTS, ROOT

EXPERIMENT = """name: mine
title: One row
defaults:
  model: i3d_r18
  train: {T: 4, U: 4}
  test: {U: 8, crops: 1, grouping: interleaved}
rows:
  - name: plain
"""


def _children(group: int) -> list[int]:
    """Live processes of a process group."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("to_all", [False, True], ids=["the process", "its group"])
def test_preparation_can_be_stopped(tmp_path: Path, number: signal.Signals, to_all: bool) -> None:
    """As a terminal or SLURM does it: to the process alone, or to all of its group."""
    smoke = (EXPERIMENTS / "profiles" / "smoke.yaml").read_text()
    large = smoke.replace("name: smoke", "name: large", 1).replace("{train: 4, ", "{train: 400, ")
    assert large.count("400") == 2, "minutes of work for the start's videos and the trials'"
    (tmp_path / "large.yaml").write_text(large)
    (tmp_path / "mine.yaml").write_text(EXPERIMENT)
    folders = {f"HARNESS_{name.upper()}": str(tmp_path / name) for name in ("results", "data")}
    before = set(Path("/dev/shm").glob("sem.*"))
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "harness",
            "run",
            str(tmp_path / "mine.yaml"),
            "-p",
            str(tmp_path / "large.yaml"),
        ],
        cwd=ROOT,
        env={**os.environ, **folders},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + 120
        while not any((tmp_path / "data").glob(".*.tmp-*/videos/*.mp4")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.05)
        (os.killpg if to_all else os.kill)(process.pid, number)
        _, err = process.communicate(timeout=120)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, err
    assert "the same command goes on" in err
    assert "Traceback" not in err and "leaked" not in err and "semaphore" not in err, err
    end = time.monotonic() + 20
    while _children(process.pid) and time.monotonic() < end:
        time.sleep(0.1)
    assert _children(process.pid) == []
    assert set(Path("/dev/shm").glob("sem.mp-*")) <= before
    assert not list((tmp_path / "data").glob(".*.tmp-*")), "half a dataset was left"
