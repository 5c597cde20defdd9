"""The inline executor, and what both share: the plan minus the store, signals, a disk that is full."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.base.errors import UserError
from harness.experiment.load import ROOT
from harness.orchestrate import Outcome, execute
from harness.orchestrate.progress import PlainProgress
from harness.plan.pending import pending
from harness.results import Store
from tests.orchestrate import fakes


def _execute(store: Store, *seeds: int, stream: Any = None, retry_failed: bool = False) -> Outcome:
    todo = pending(fakes.plan(*seeds), store, retry_failed=retry_failed).todo
    progress = PlainProgress(stream or io.StringIO())
    return execute(
        todo, store, fakes.profile(), data_root=store.root, progress=progress, inline=True, run=fakes.RUN
    )


def test_runs_what_is_missing_and_nothing_twice(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert len(_execute(store, 0, 10).done) == 2
    assert _execute(store, 0, 10).done == []
    assert _execute(store, 0, 10, 20).done == [fakes.plan(20)[0].id]


def test_a_failed_trial_is_tried_again_only_on_request(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert _execute(store, fakes.RAISES, 0).failed == {
        fakes.plan(fakes.RAISES)[0].id: "RuntimeError: the module raises"
    }
    split = pending(fakes.plan(fakes.RAISES, 0), store)
    assert [len(split.done), len(split.failed), len(split.todo)] == [1, 1, 0]
    assert len(pending(fakes.plan(fakes.RAISES, 0), store, retry_failed=True).todo) == 1


def test_the_same_trial_in_two_tables_runs_once(tmp_path: Path) -> None:
    split = pending([*fakes.plan(0), *fakes.plan(0)], Store(tmp_path))
    assert len(split.todo) == 1


def test_a_damaged_record_is_named_and_runs_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    _execute(store, 0)
    trial_id = fakes.plan(0)[0].id
    store.path("trials", trial_id).write_bytes(b"PAR1 and then nothing")
    split = pending(fakes.plan(0), store)
    assert str(store.path("trials", trial_id)) in split.unreadable[trial_id]
    assert _execute(store, 0).done == [trial_id]
    aside = store.path("trials", trial_id).with_suffix(".parquet.unreadable")
    assert aside.read_bytes() == b"PAR1 and then nothing", "the damaged file was deleted"


def test_nothing_to_run_does_not_import_ray(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.orchestrate.driver import drive; "
        f"drive(Path({str(tmp_path)!r}), [0], inline=True); assert drive(Path({str(tmp_path)!r}), [0]) == 0; "
        "assert 'ray' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


class _InterruptAfterFirst(PlainProgress):
    """Ctrl-C when the first trial is done."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(io.StringIO())
        self.number = number

    def done(self, *args: Any) -> None:
        os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_signals_stop_cleanly_and_say_what_is_kept(tmp_path: Path, number: signal.Signals) -> None:
    store, progress = Store(tmp_path), _InterruptAfterFirst(number)
    before = signal.getsignal(number)
    todo = fakes.plan(0, 10)
    outcome = execute(
        todo, store, fakes.profile(), data_root=tmp_path, progress=progress, inline=True, run=fakes.RUN
    )
    assert outcome.interrupted
    assert (outcome.done, outcome.not_run) == ([todo[0].id], [todo[1].id])
    assert store.done() == {todo[0].id}
    assert isinstance(progress.stream, io.StringIO)
    assert f"stopping ({number.name}): finished trials are kept" in progress.stream.getvalue()
    assert signal.getsignal(number) == before


def test_plain_lines_tell_every_event(tmp_path: Path) -> None:
    stream = io.StringIO()
    _execute(Store(tmp_path), 0, fakes.RAISES, stream=stream)
    lines = [line.split("] ")[-1] for line in stream.getvalue().splitlines()]
    row = "ablation_a · DSA+I3D 4x4 · seed"
    assert lines[0] == "2 trials to run, 0 settled before"
    assert lines[1] == f"start  {row} 0"
    assert lines[2].startswith(f"done   {row} 0: top-1 ")
    assert lines[4] == f"FAILED {row} 1: RuntimeError: the module raises"


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_is_one_message_and_finished_records_stay(tiny_disk: Path) -> None:
    store = Store(tiny_disk / "store")
    _execute(store, 0)
    (tiny_disk / "ballast").write_bytes(b"x" * (os.statvfs(tiny_disk).f_bavail * 4096 - 4 * 4096))
    with pytest.raises(UserError, match=r"disk is full.*Finished records are kept"):
        _execute(store, 10)
    assert store.done() == {fakes.plan(0)[0].id}
    assert not list(tiny_disk.rglob("*.parquet.*.tmp")), "a half-written file was left"
    (tiny_disk / "ballast").unlink()
    assert _execute(store, 0, 10).done == [fakes.plan(10)[0].id]
