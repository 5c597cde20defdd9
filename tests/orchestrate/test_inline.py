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
from harness.experiment.identity import trial_id
from harness.experiment.load import ROOT
from harness.experiment.start import start_trial, trunk_path
from harness.orchestrate import Outcome, execute
from harness.orchestrate.screen import PlainProgress
from harness.plan.expand import Planned
from harness.plan.pending import pending
from harness.results import Store
from tests.disks import small_disk
from tests.orchestrate import fakes


def _execute(store: Store, *seeds: int, stream: Any = None, retry_failed: bool = False) -> Outcome:
    todo = pending(fakes.plan(*seeds), store, retry_failed=retry_failed).todo
    progress = PlainProgress(stream or io.StringIO())
    return execute(
        todo, store, fakes.profile(), data_root=store.root, progress=progress, inline=True, run=fakes.run
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
        todo, store, fakes.profile(), data_root=tmp_path, progress=progress, inline=True, run=fakes.run
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


def test_an_error_of_the_surroundings_stops_the_run_and_is_no_verdict(tmp_path: Path) -> None:
    """A full disk met by one trial: those before it are kept, the same command goes on."""
    store = Store(tmp_path)
    with pytest.raises(UserError, match=r"No space left.*met by .*seed 6.*Finished records are kept"):
        _execute(store, 0, fakes.DISK_FULL, 10)
    assert store.done() == {fakes.plan(0)[0].id}
    assert store.failed() == {}
    (tmp_path / "room").touch()
    assert len(_execute(store, 0, fakes.DISK_FULL, 10).done) == 2


def test_a_trial_that_another_process_finished_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_FAKE_DIR", str(tmp_path))
    store = Store(tmp_path)
    todo = pending(fakes.plan(0, 10), store).todo
    _execute(store, 10)
    progress = PlainProgress(io.StringIO())
    kept = store.path("trials", todo[1].id).stat().st_mtime_ns
    outcome = execute(
        todo, store, fakes.profile(), data_root=tmp_path, progress=progress, inline=True, run=fakes.run
    )
    assert outcome.done == [p.id for p in todo]
    assert [start["seed"] for start in fakes.starts(tmp_path)] == [10, 0]
    assert store.path("trials", todo[1].id).stat().st_mtime_ns == kept


def test_a_start_runs_first_and_only_while_its_file_is_missing(tmp_path: Path) -> None:
    store, one = Store(tmp_path / "runs"), fakes.with_start(0, start_seed=20)
    start = start_trial(one.trial)
    assert start is not None
    log = io.StringIO()
    outcome = _run([one], store, tmp_path, log)
    assert (outcome.done, outcome.failed, outcome.not_run) == ([one.id], {}, [])
    told = [line.split("] ")[-1] for line in log.getvalue().splitlines()]
    assert told[0] == "2 trials to run, 0 settled before"
    assert told[1] == "start  ablation_a · start of i3d_r18 · seed 20"
    assert trunk_path(start, tmp_path).read_bytes() == b"trunk"
    assert store.record(trial_id(start)).trial == start, "a start is a trial with a record"
    again = fakes.with_start(10, start_seed=20)
    log = io.StringIO()
    _run([again], store, tmp_path, log)
    assert "start of" not in log.getvalue()
    trunk_path(start, tmp_path).unlink()  # a purged data folder: the trunk is made again
    log = io.StringIO()
    _run([fakes.with_start(30, start_seed=20)], store, tmp_path, log)
    assert "done   ablation_a · start of i3d_r18" in log.getvalue()


def test_trials_whose_start_failed_are_not_run_and_say_so(tmp_path: Path) -> None:
    store, blocked, free = Store(tmp_path / "runs"), fakes.with_start(0, fakes.RAISES), fakes.plan(10)[0]
    log = io.StringIO()
    outcome = _run([blocked, free], store, tmp_path, log)
    start = start_trial(blocked.trial)
    assert start is not None
    assert outcome.done == [free.id]
    assert outcome.failed == {trial_id(start): "RuntimeError: the module raises"}
    assert outcome.not_run == [blocked.id]
    assert f"1 trials are not run: the start that they need failed ({trial_id(start)})" in log.getvalue()


def _run(todo: list[Planned], store: Store, data_root: Path, log: io.StringIO) -> Outcome:
    return execute(
        todo,
        store,
        fakes.profile(),
        data_root=data_root,
        progress=PlainProgress(log),
        inline=True,
        run=fakes.run,
    )


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "256k") as disk:
        yield disk


def test_a_full_disk_is_one_message_and_finished_records_stay(tiny_disk: Path) -> None:
    store = Store(tiny_disk / "store")
    _execute(store, 0)
    (tiny_disk / "ballast").write_bytes(b"x" * (os.statvfs(tiny_disk).f_bavail * 4096 - 4 * 4096))
    with pytest.raises(
        UserError, match=r"disk is full.*met by ablation_a · DSA.*seed 10.*Finished records are kept"
    ):
        _execute(store, 10)
    assert store.done() == {fakes.plan(0)[0].id}
    assert not list(tiny_disk.rglob("*.parquet.*.tmp")), "a half-written file was left"
    (tiny_disk / "ballast").unlink()
    assert _execute(store, 0, 10).done == [fakes.plan(10)[0].id]
