"""A wish to stop, at any stage of a run or while datasets are made or checked: exit code 130, nothing left behind.

The same command then goes on.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import main
from harness.experiment.load import EXPERIMENTS, ROOT
from harness.results import Store
from tests.cli.test_data_commands import profile
from tests.data import fake_copies
from tests.data.clips import write_clip
from tests.orchestrate import fakes

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


def _all_end(group: int) -> None:
    """multiprocessing's tracker ends a moment behind the process."""
    end = time.monotonic() + 20
    while _children(group) and time.monotonic() < end:
        time.sleep(0.1)
    assert _children(group) == []


def _all_go(semaphores: set[Path]) -> None:
    """Another test's, of the suite's other worker, go with it; a leaked one stays."""
    end = time.monotonic() + 60
    while any(one.exists() for one in semaphores) and time.monotonic() < end:
        time.sleep(0.1)
    assert [one for one in semaphores if one.exists()] == []


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
    _all_end(process.pid)
    _all_go(set(Path("/dev/shm").glob("sem.mp-*")) - before)
    assert not list((tmp_path / "data").glob(".*.tmp-*")), "half a dataset was left"


def _verify(tmp_path: Path, data: str, *more: str) -> subprocess.Popen[str]:
    command = "-m harness data verify --json --workers 1 --profile".split()
    return subprocess.Popen(
        [sys.executable, *command, str(tmp_path / "mine.yaml"), "--data", str(tmp_path / data), *more],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_verify_can_be_stopped(tmp_path: Path, number: signal.Signals) -> None:
    """The signal comes to every process of it one by one, the workers first, as SLURM's daemon sends it: no video is
    called broken because its worker was told to stop. The last one hangs: a picture is a pipe that nobody writes to."""
    copy = fake_copies.kinetics(tmp_path / "copy", train=1, val=1, defects=False)
    profile(tmp_path, name="kinetics_400", root=str(copy.root))
    last = next(copy.root.glob("val/*/Ab_000009-Z_000009_000019.mp4"))
    last.unlink()
    picture = fake_copies.frame_folder(last.with_suffix("")) / "00005.jpg"
    kept = picture.rename(tmp_path / "kept.jpg")
    os.mkfifo(picture)
    process = _verify(tmp_path, "data")
    try:
        end = time.monotonic() + 120
        while _answers(tmp_path / "data") < 9:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.05)
        for pid in [*(pid for pid in _children(process.pid) if pid != process.pid), process.pid]:
            os.kill(pid, number)
            time.sleep(0.3)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, err
    assert "the same command goes on" in err and "Traceback" not in err and "ready" not in err, err
    _all_end(process.pid)
    assert _answers(tmp_path / "data") == 9
    kept.replace(picture)
    outs = []
    for data in ("data", "undisturbed"):
        again = _verify(tmp_path, data)
        out, err = again.communicate(timeout=120)
        assert again.returncode == 0, err
        outs.append(json.loads(out))
        assert err.startswith("verify 9/10" if data == "data" else "verify 0/10"), (
            "only the file in flight is left"
        )
    assert outs[0] == outs[1]


def test_writing_files_anew_can_be_stopped(tmp_path: Path) -> None:
    """The signal comes to the whole group; whole files stay, half a file is nowhere."""
    copy = fake_copies.kinetics(tmp_path / "copy", train=1, val=1, defects=False)
    profile(tmp_path, name="kinetics_400", root=str(copy.root))
    options = {"movflags": "faststart"}
    clip = write_clip(tmp_path / "c.mp4", shown=range(400), size_wh=(340, 256), container_options=options)
    for path in copy.root.rglob("*.mp4"):  # all are short
        path.write_bytes(clip.read_bytes()[: int(0.8 * clip.stat().st_size)])
    new = tmp_path / "new"
    process = _verify(tmp_path, "data", "--reencode-to", str(new))
    try:
        end = time.monotonic() + 120
        while not (new / "reencoded.jsonl").is_file():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, err
    assert "the same command goes on" in err and "Traceback" not in err, err
    _all_end(process.pid)
    assert 0 < len(list(new.rglob("*.mp4"))) < 10 and not list(new.rglob(".*.mp4"))


def _answers(data: Path) -> int:
    return sum(path.read_text().count("}\n") for path in data.glob("manifests/*/journal.jsonl"))


STAGES = [
    "harness.plan.expand.plan_trials",
    "harness.results.store.Store.settled",
    "harness.plan.estimate.estimate",
    "harness.plan.history.note_run",
    "harness.results.lock.check_writable",
    "harness.orchestrate.claims.Claims.take",
    "harness.trial.run_trial",
    "harness.results.store.Store.write",
    "harness.results.store.Store.drop_checkpoint",
    "harness.orchestrate.claims.Claim.release",
]
SINGLE = [s for s in STAGES if s.split(".")[-1] not in ("settled", "estimate", "note_run", "check_writable")]


@pytest.fixture
def one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A command's last words: an experiment of a start and a trial that cost nothing, their datasets there."""
    (tmp_path / "mine.yaml").write_text(EXPERIMENT)
    monkeypatch.setenv("HARNESS_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("harness.trial.run_trial", fakes.run)
    monkeypatch.setattr("harness.plan.prepare.prepare_datasets", lambda *_: None)
    return [str(tmp_path / "mine.yaml"), "-p", "smoke"]


def _code(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    assert isinstance(ended.value.code, int)
    return ended.value.code


def _stopped_at(stage: str, patch: pytest.MonkeyPatch, *words: str) -> int:
    """The command's exit code where a signal comes as it reaches this function, each time after the first, too."""
    real = _named(stage)

    def reached(*args: Any, **options: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*args, **options)

    with patch.context() as inside:
        inside.setattr(stage, reached)
        return _code(*words)


def _named(place: str) -> Callable[..., Any]:
    module, _, name = place.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError:
        return getattr(_named(module), name)


def _left(one_row: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What `harness plan --ids` prints: what would run."""
    capsys.readouterr()
    assert _code("plan", *one_row, "--ids") == 0
    return capsys.readouterr().out


def _is_whole(store: Store, left: str) -> None:
    """Nothing is left to run, every curve is whole, and no trial was blamed for the signal."""
    assert left == ""
    curves = [store.record(trial).curve["loss"].tolist() for trial in store.done()]
    assert curves and all(curve == [1.0, 1 / 2, 1 / 3, 1 / 4] for curve in curves)
    assert not store.failed()


@pytest.mark.parametrize("stage", STAGES)
def test_a_signal_at_any_stage_of_a_run(
    stage: str,
    one_row: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _stopped_at(stage, monkeypatch, "run", *one_row, "--inline") == 130
    monkeypatch.setattr(
        "harness.orchestrate.claims.Ticket.gone", property(lambda _: True)
    )  # that process ended
    assert _code("run", *one_row, "--inline") == 0
    _is_whole(Store(tmp_path / "results"), _left(one_row, capsys))


@pytest.mark.parametrize("stage", SINGLE)
def test_a_signal_at_any_stage_of_an_arrays_trial(
    stage: str,
    one_row: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    *_, trial = _left(one_row, capsys).split()
    assert _stopped_at(stage, monkeypatch, "run", *one_row, "--trial", trial) == 130
    monkeypatch.setattr(
        "harness.orchestrate.claims.Ticket.gone", property(lambda _: True)
    )  # that process ended
    assert _code("run", *one_row, "--trial", trial) == 0
    _is_whole(Store(tmp_path / "results"), _left(one_row, capsys))
